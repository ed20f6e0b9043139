#include "log.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "buf.h"
#include "err.h"
#include "text.h"

enum { LINE_MAX_BYTES = 64 << 10 };

static enum log_level least_level = LOG_LEVEL_INFO;
static bool use_console;
static int log_fd = STDERR_FILENO;

static const char *const level_words[] = {"debug", "info",  "warn",
                                          "error", "panic", "fatal"};

void log_setup(enum log_level least, bool console, int fd)
{
    least_level = least;
    use_console = console;
    log_fd = fd;
}

int log_level_parse(const char *word, enum log_level *ret_level)
{
    for (int i = 0; i <= LOG_LEVEL_FATAL; i++) {
        if (strcmp(word, level_words[i]) == 0) {
            *ret_level = (enum log_level)i;
            return 0;
        }
    }
    return ERR_INVALID;
}

bool log_enabled(enum log_level level)
{
    return level >= least_level;
}

static void put_time(struct buf *b)
{
    struct timespec now;
    struct tm tm;
    char day[40], zone[8];
    clock_gettime(CLOCK_REALTIME, &now);
    localtime_r(&now.tv_sec, &tm);
    strftime(day, sizeof day, "%Y-%m-%dT%H:%M:%S", &tm);
    strftime(zone, sizeof zone, "%z", &tm);
    buf_printf(b, "%s.%06ld%s", day, now.tv_nsec / 1000,
               strcmp(zone, "+0000") == 0 ? "Z" : zone);
}

static void put_value(struct buf *b, const struct log_field *f)
{
    switch (f->kind) {
    case LOG_KIND_STR:
        text_json_string(b, f->text);
        break;
    case LOG_KIND_INT:
        buf_printf(b, "%" PRId64, f->number);
        break;
    case LOG_KIND_UINT:
        buf_printf(b, "%" PRIu64, (uint64_t)f->number);
        break;
    case LOG_KIND_ID:
        buf_printf(b, "\"%" PRIx64 "\"", (uint64_t)f->number);
        break;
    case LOG_KIND_BOOL:
        buf_append_str(b, f->number ? "true" : "false");
        break;
    case LOG_KIND_DURATION:
        buf_append_byte(b, '"');
        text_duration(b, f->number);
        buf_append_byte(b, '"');
        break;
    case LOG_KIND_RAW:
        buf_append_slice(b, f->text);
        break;
    }
}

/* The last folder and the file: "server/start.c:12". */
static void put_caller(struct buf *b, const char *file, int line)
{
    const char *start = file;
    int slashes = 0;
    for (const char *p = file + strlen(file); p > file && slashes < 2; p--) {
        if (p[-1] == '/' && ++slashes == 2) {
            start = p;
        }
    }
    buf_printf(b, "%s:%d", start, line);
}

static void put_json(struct buf *b, enum log_level level, const char *logger,
                     const char *file, int line, const char *msg,
                     const struct log_field *fields, int count)
{
    buf_printf(b, "{\"level\":\"%s\",\"ts\":\"", level_words[level]);
    put_time(b);
    buf_append_byte(b, '"');
    if (logger) {
        buf_printf(b, ",\"logger\":\"%s\"", logger);
    }
    buf_append_str(b, ",\"caller\":\"");
    put_caller(b, file, line);
    buf_append_str(b, "\",\"msg\":");
    text_json_string(b, slice_str(msg));
    for (int i = 0; i < count; i++) {
        buf_append_byte(b, ',');
        text_json_string(b, slice_str(fields[i].key));
        buf_append_byte(b, ':');
        put_value(b, &fields[i]);
    }
    buf_append_byte(b, '}');
}

static void put_console(struct buf *b, enum log_level level, const char *logger,
                        const char *file, int line, const char *msg,
                        const struct log_field *fields, int count)
{
    put_time(b);
    buf_printf(b, "\t%s\t", level_words[level]);
    if (logger) {
        buf_printf(b, "%s\t", logger);
    }
    put_caller(b, file, line);
    buf_printf(b, "\t%s", msg);
    for (int i = 0; i < count; i++) {
        buf_append_str(b, i == 0 ? "\t{" : ", ");
        text_json_string(b, slice_str(fields[i].key));
        buf_append_str(b, ": ");
        put_value(b, &fields[i]);
    }
    if (count) {
        buf_append_byte(b, '}');
    }
}

void log_write(enum log_level level, const char *logger, const char *file,
               int line, const char *msg, const struct log_field *fields,
               int count)
{
    struct buf b = BUF_INIT(LINE_MAX_BYTES);
    (use_console ? put_console : put_json)(&b, level, logger, file, line, msg,
                                           fields, count);
    buf_append_byte(&b, '\n');
    for (size_t done = 0; done < b.size;) {
        ssize_t n = write(log_fd, b.data + done, b.size - done);
        if (n <= 0) {
            break; /* nowhere left to say so */
        }
        done += (size_t)n;
    }
    buf_release(&b);
}

_Noreturn void log_exit(void)
{
    exit(1);
}
