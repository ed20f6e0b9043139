/* Folders: made, made durable, and taken away again. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/err.h"
#include "base/mem.h"
#include "private.h"

enum { FOLDERS_OPEN_MAX = 16 };

static int fail_errno(const char *what, const char *path)
{
    return restore_fail(errno == ENOSPC || errno == EDQUOT ? ERR_NO_SPACE
                                                           : ERR_IO,
                        "cannot %s %s: %s", what, path, strerror(errno));
}

static char *parent_of(const char *path)
{
    size_t size = strlen(path);
    while (size > 1 && path[size - 1] == '/') {
        size--;
    }
    while (size > 0 && path[size - 1] != '/') {
        size--;
    }
    while (size > 1 && path[size - 1] == '/') {
        size--;
    }
    return size ? mem_printf("%.*s", (int)size, path) : mem_strdup(".");
}

int restore_folder_make(const char *path, bool *ret_made)
{
    struct stat st;
    *ret_made = false;
    if (mkdir(path, 0700) == 0) {
        *ret_made = true;
        return restore_folder_sync_above(path);
    }
    if (errno == EEXIST && stat(path, &st) == 0 && S_ISDIR(st.st_mode)) {
        return 0;
    }
    if (errno != ENOENT) {
        return fail_errno("make the folder", path);
    }
    char *parent = parent_of(path);
    bool made;
    int err = strcmp(parent, path) == 0 ? fail_errno("make the folder", path)
                                        : restore_folder_make(parent, &made);
    free(parent);
    if (err == 0 && mkdir(path, 0700) != 0) {
        err = fail_errno("make the folder", path);
    }
    *ret_made = err == 0;
    return err ? err : restore_folder_sync_above(path);
}

int restore_folder_check_empty(const char *path, const char *but)
{
    DIR *d = opendir(path);
    if (d == NULL) {
        return errno == ENOENT ? 0 : ERR_EXISTS;
    }
    int err = 0;
    struct dirent *e;
    while (err == 0 && (e = readdir(d)) != NULL) {
        if (strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0 &&
            strcmp(e->d_name, but) != 0) {
            err = ERR_EXISTS;
        }
    }
    closedir(d);
    return err;
}

int restore_folder_sync(const char *path)
{
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    int err =
        fd < 0 || fsync(fd) != 0 ? fail_errno("sync the folder", path) : 0;
    if (fd >= 0) {
        close(fd);
    }
    return err;
}

int restore_folder_sync_above(const char *path)
{
    char *parent = parent_of(path);
    int err = restore_folder_sync(parent);
    free(parent);
    return err;
}

static int remove_one(const char *path, const struct stat *st, int kind,
                      struct FTW *at)
{
    remove(path);
    return 0;
}

void restore_folder_remove(const char *path)
{
    nftw(path, remove_one, FOLDERS_OPEN_MAX, FTW_DEPTH | FTW_PHYS);
}
