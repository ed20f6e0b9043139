#include "err.h"

const char *err_name(int err)
{
    switch (err) {
    case 0:
        return "OK";
#define ERR_CASE(name, number, text) \
    case ERR_##name:                 \
        return #name;
        ERR_LIST(ERR_CASE)
#undef ERR_CASE
    default:
        return "UNKNOWN";
    }
}

const char *err_text(int err)
{
    switch (err) {
    case 0:
        return "ok";
#define ERR_CASE(name, number, text) \
    case ERR_##name:                 \
        return text;
        ERR_LIST(ERR_CASE)
#undef ERR_CASE
    default:
        return "unknown error";
    }
}
