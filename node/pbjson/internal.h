/* What the files of pbjson/ share. */
#ifndef PBJSON_INTERNAL_H
#define PBJSON_INTERNAL_H

#include "base/err.h"
#include "pbjson.h"
#include "proto/proto.h"

enum pbjson_kind {
    PBJSON_OBJECT, /* its opening bracket; likewise PBJSON_ARRAY */
    PBJSON_ARRAY,
    PBJSON_CLOSE, /* of either */
    PBJSON_STRING,
    PBJSON_NUMBER,
    PBJSON_TRUE,
    PBJSON_FALSE,
    PBJSON_NULL,
    PBJSON_COMMA,
    PBJSON_COLON,
};

struct pbjson_token {
    enum pbjson_kind kind;
    struct slice raw; /* as written, a string with its quotes */
};

/* Reads text that pbjson_scan() has found whole. */
struct pbjson_reader {
    const uint8_t *begin;
    const uint8_t *at;
    const uint8_t *end;
    struct buf *out;
    struct buf *why;
    uint32_t depth; /* of messages */
};

/* read.c */
struct pbjson_token pbjson_next(struct pbjson_reader *r);
struct pbjson_token pbjson_peek(const struct pbjson_reader *r);
/* Over one value, whatever it is. */
void pbjson_skip(struct pbjson_reader *r);
/* A string token's content. ERR_INVALID, with the reason told. */
int pbjson_string(struct pbjson_reader *r, struct pbjson_token t,
                  struct buf *to);
/* Tell, with the place of the token: ERR_INVALID. */
int pbjson_fail(struct pbjson_reader *r, struct pbjson_token t,
                const char *format, ...) __attribute__((format(printf, 3, 4)));
int pbjson_fail_syntax(struct pbjson_reader *r, struct pbjson_token t,
                       const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* number.c: an integer out of a JSON number (1, 1.0, 1e3); false when it is
 * none or does not fit. */
bool pbjson_integer(struct slice number, bool *ret_negative, uint64_t *ret);

/* scalar.c: appends a value with its tag. `keep_zero`: also when it is
 * the type's zero. */
int pbjson_scalar(struct pbjson_reader *r, const ProtobufCFieldDescriptor *f,
                  struct pbjson_token t, bool keep_zero);
/* The spelling rangeEnd of range_end. */
bool pbjson_is_camel(const char *name, struct slice text);

#endif
