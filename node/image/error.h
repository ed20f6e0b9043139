/* What the last failed call of this thread ran into; private. */
#ifndef IMAGE_ERROR_H
#define IMAGE_ERROR_H

/* Sets image_error_text() and returns `err`. */
int image_fail(int err, const char *text);

#endif
