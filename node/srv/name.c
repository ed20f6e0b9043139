#include <string.h>

#include "srv/internal.h"

static bool is_letter(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
}

static bool label_is_valid(const char *label, size_t size)
{
    if (size == 0 || size > 63 || label[0] == '-' || label[size - 1] == '-') {
        return false;
    }
    for (size_t i = 0; i < size; i++) {
        char c = label[i];
        if (!is_letter(c) && c != '-' && (c < '0' || c > '9')) {
            return false;
        }
    }
    return true;
}

/* A name of digits alone would be an address. */
static bool has_letter(const char *name)
{
    for (; *name; name++) {
        if (is_letter(*name) || *name == '-') {
            return true;
        }
    }
    return false;
}

bool srv_name_is_valid(const char *name)
{
    size_t size = strlen(name);
    if (size == 0 || size > 254 || (size == 254 && name[size - 1] != '.')) {
        return false;
    }
    for (const char *label = name; *label;) {
        size_t label_size = strcspn(label, ".");
        if (!label_is_valid(label, label_size)) {
            return false;
        }
        label += label_size + (label[label_size] == '.');
    }
    return has_letter(name);
}
