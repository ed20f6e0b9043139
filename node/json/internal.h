/* What the files of json/ share. */
#ifndef JSON_INTERNAL_H
#define JSON_INTERNAL_H

#include "base/err.h"
#include "json.h"
#include "proto/proto.h"

enum json_kind {
    JSON_OBJECT, /* its opening bracket; likewise JSON_ARRAY */
    JSON_ARRAY,
    JSON_CLOSE, /* of either */
    JSON_STRING,
    JSON_NUMBER,
    JSON_TRUE,
    JSON_FALSE,
    JSON_NULL,
    JSON_COMMA,
    JSON_COLON,
};

struct json_token {
    enum json_kind kind;
    struct slice raw; /* as written, a string with its quotes */
};

/* Reads text that json_scan() has found whole. */
struct json_reader {
    const uint8_t *begin;
    const uint8_t *at;
    const uint8_t *end;
    struct buf *out;
    struct buf *why;
    uint32_t depth; /* of messages */
};

/* read.c */
struct json_token json_next(struct json_reader *r);
struct json_token json_peek(const struct json_reader *r);
/* Over one value, whatever it is. */
void json_skip(struct json_reader *r);
/* A string token's content. ERR_INVALID, with the reason told. */
int json_string(struct json_reader *r, struct json_token t, struct buf *to);
/* Tell, with the place of the token: ERR_INVALID. */
int json_fail(struct json_reader *r, struct json_token t, const char *format,
              ...) __attribute__((format(printf, 3, 4)));
int json_fail_syntax(struct json_reader *r, struct json_token t,
                     const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* number.c: an integer out of a JSON number (1, 1.0, 1e3); false when it is
 * none or does not fit. */
bool json_integer(struct slice number, bool *ret_negative, uint64_t *ret);

/* scalar.c: appends a value with its tag. `keep_zero`: also when it is
 * the type's zero. */
int json_scalar(struct json_reader *r, const ProtobufCFieldDescriptor *f,
                struct json_token t, bool keep_zero);
/* The spelling rangeEnd of range_end. */
bool json_is_camel(const char *name, struct slice text);

#endif
