/* What the files of restore share. */
#ifndef RESTORE_PRIVATE_H
#define RESTORE_PRIVATE_H

#include "restore/restore.h"

/* Keeps the text for restore_error_text(); returns err. */
int restore_fail(int err, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
/* The text of an image's or a store's failure. */
int restore_fail_image(int err, const char *image);

/* ---- folder.c ---- */
/* With the folders above; *ret_made: it was not there. */
int restore_folder_make(const char *path, bool *ret_made);
/* ERR_EXISTS when it holds anything but `but`; one that is not there is
 * empty. */
int restore_folder_check_empty(const char *path, const char *but);
int restore_folder_sync(const char *path);
/* The folder that holds `path`. */
int restore_folder_sync_above(const char *path);
/* With all that is in it; no error when it is not there. */
void restore_folder_remove(const char *path);

#endif
