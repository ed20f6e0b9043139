#include "image/error.h"

#include "image/image.h"

static _Thread_local const char *error_text = "";

const char *image_error_text(void)
{
    return error_text;
}

int image_fail(int err, const char *text)
{
    error_text = text;
    return err;
}
