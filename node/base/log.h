/*
 * The log: one line an event, JSON or console, in the field order that
 * log shippers written for etcd expect. Called from the rim and from
 * server/ only; pure cores return what happened instead.
 *
 *   log_info("added member", LOG_ID("added-peer-id", id),
 *            LOG_STR("added-peer-peer-urls", urls));
 *
 * Thread-safe: a line is one write(2).
 */
#ifndef BASE_LOG_H
#define BASE_LOG_H

#include <stdbool.h>
#include <stdint.h>

#include "slice.h"

enum log_level {
    LOG_LEVEL_DEBUG,
    LOG_LEVEL_INFO,
    LOG_LEVEL_WARN,
    LOG_LEVEL_ERROR,
    LOG_LEVEL_PANIC,
    LOG_LEVEL_FATAL,
};

enum log_kind {
    LOG_KIND_STR,
    LOG_KIND_INT,
    LOG_KIND_UINT,
    LOG_KIND_ID, /* lower hex string */
    LOG_KIND_BOOL,
    LOG_KIND_DURATION, /* nanoseconds, printed as 1.5ms */
    LOG_KIND_RAW,      /* JSON text, printed as it is */
};

struct log_field {
    const char *key;
    enum log_kind kind;
    struct slice text;
    int64_t number;
};

#define LOG_STR(k, v)                                          \
    (struct log_field)                                         \
    {                                                          \
        .key = (k), .kind = LOG_KIND_STR, .text = slice_str(v) \
    }
#define LOG_SLICE(k, v)                               \
    (struct log_field)                                \
    {                                                 \
        .key = (k), .kind = LOG_KIND_STR, .text = (v) \
    }
#define LOG_NUMBER_(k, kind_, v)                            \
    (struct log_field)                                      \
    {                                                       \
        .key = (k), .kind = (kind_), .number = (int64_t)(v) \
    }
#define LOG_INT(k, v) LOG_NUMBER_(k, LOG_KIND_INT, v)
#define LOG_UINT(k, v) LOG_NUMBER_(k, LOG_KIND_UINT, v)
#define LOG_ID(k, v) LOG_NUMBER_(k, LOG_KIND_ID, v)
#define LOG_BOOL(k, v) LOG_NUMBER_(k, LOG_KIND_BOOL, v)
#define LOG_DURATION(k, ns) LOG_NUMBER_(k, LOG_KIND_DURATION, ns)
#define LOG_RAW(k, v)                                          \
    (struct log_field)                                         \
    {                                                          \
        .key = (k), .kind = LOG_KIND_RAW, .text = slice_str(v) \
    }
#define LOG_ERR(err) LOG_STR("error", err_text(err))

/* Where lines go and from which level on; call before any thread starts.
 * Defaults: JSON, info, standard error. */
void log_setup(enum log_level least, bool console, int fd);

/* ERR_INVALID for a word that is none of debug info warn error panic
 * fatal. */
int log_level_parse(const char *word, enum log_level *ret_level);

bool log_enabled(enum log_level level);

void log_write(enum log_level level, const char *logger, const char *file,
               int line, const char *msg, const struct log_field *fields,
               int count);

#define LOG_AT(level, logger, msg, ...)                                    \
    do {                                                                   \
        if (log_enabled(level)) {                                          \
            const struct log_field fields_[] = {{0}, ##__VA_ARGS__};       \
            log_write(level, logger, __FILE__, __LINE__, msg, fields_ + 1, \
                      (int)(sizeof fields_ / sizeof *fields_) - 1);        \
        }                                                                  \
    } while (0)
#define log_debug(msg, ...) LOG_AT(LOG_LEVEL_DEBUG, NULL, msg, ##__VA_ARGS__)
#define log_info(msg, ...) LOG_AT(LOG_LEVEL_INFO, NULL, msg, ##__VA_ARGS__)
#define log_warn(msg, ...) LOG_AT(LOG_LEVEL_WARN, NULL, msg, ##__VA_ARGS__)
#define log_error(msg, ...) LOG_AT(LOG_LEVEL_ERROR, NULL, msg, ##__VA_ARGS__)

/* Logs at fatal level and ends the process with status 1. */
#define log_fatal(msg, ...)                                \
    do {                                                   \
        LOG_AT(LOG_LEVEL_FATAL, NULL, msg, ##__VA_ARGS__); \
        log_exit();                                        \
    } while (0)
_Noreturn void log_exit(void);

#endif
