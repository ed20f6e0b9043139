#include <stdlib.h>

#include "base/err.h"
#include "base/mem.h"
#include "base/text.h"
#include "config.h"

const struct flag *flag_find(const char *name, size_t size)
{
    for (size_t i = 0; i < flag_count; i++) {
        if (strlen(flag_table[i].name) == size &&
            memcmp(flag_table[i].name, name, size) == 0) {
            return &flag_table[i];
        }
    }
    return NULL;
}

int flag_parse_bool(struct slice word, bool *ret)
{
    static const char *const words[2][6] = {
        {"0", "f", "F", "false", "FALSE", "False"},
        {"1", "t", "T", "true", "TRUE", "True"}};
    for (int truth = 0; truth < 2; truth++) {
        for (int i = 0; i < 6; i++) {
            if (slice_eq_str(word, words[truth][i])) {
                *ret = truth;
                return 0;
            }
        }
    }
    return ERR_INVALID;
}

static int set_bool(bool *to, const char *value, struct buf *why)
{
    int err = flag_parse_bool(slice_str(value), to);
    if (err) {
        buf_append_str(why, "parse error");
    }
    return err;
}

static int set_uint(uint64_t *to, const char *value, uint64_t max,
                    uint64_t zero, struct buf *why)
{
    uint64_t v = 0;
    int err = text_parse_u64(value, 0, &v);
    if (err == ERR_INVALID) {
        buf_append_str(why, "parse error");
        return ERR_INVALID;
    }
    if (err || v > max) {
        if (max == UINT32_MAX) {
            buf_printf(why,
                       "strconv.ParseUint: parsing \"%s\": value out of "
                       "range",
                       value);
        } else {
            buf_append_str(why, "value out of range");
        }
        return ERR_INVALID;
    }
    *to = v == 0 ? zero : v;
    return 0;
}

static int set_int(int64_t *to, const char *value, uint64_t zero,
                   struct buf *why)
{
    int64_t v = 0;
    int err = text_parse_i64(value, 0, &v);
    if (err) {
        buf_append_str(why, err == ERR_INVALID ? "parse error"
                                               : "value out of range");
        return ERR_INVALID;
    }
    *to = v == 0 ? (int64_t)zero : v;
    return 0;
}

static int set_duration(int64_t *to, const char *value, uint64_t zero,
                        struct buf *why)
{
    int64_t v = 0;
    if (text_parse_duration(value, &v) != 0) {
        buf_append_str(why, "parse error");
        return ERR_INVALID;
    }
    *to = v == 0 ? (int64_t)zero : v;
    return 0;
}

static void set_string(char **to, const char *value)
{
    char *copy = mem_strdup(value);
    free(*to);
    *to = copy;
}

static int set_urls(struct url_list *to, const char *value, struct buf *why)
{
    if (value[0] == '\0') {
        return 0; /* the default stays */
    }
    struct url_list list;
    int err = config_parse_urls(value, &list, why);
    if (err == 0) {
        url_list_release(to);
        *to = list;
    }
    return err;
}

int flag_set(struct config *c, const struct flag *f, const char *value,
             struct buf *why)
{
    void *field = (char *)c + f->offset;
    if (f->use == FLAG_REFUSED && strcmp(value, f->fallback) != 0 &&
        c->refused == NULL) {
        c->refused = f;
    }
    switch (f->type) {
    case FLAG_BOOL:
        return set_bool(field, value, why);
    case FLAG_UINT:
        return set_uint(field, value, UINT64_MAX, f->zero_means, why);
    case FLAG_UINT32:
        return set_uint(field, value, UINT32_MAX, f->zero_means, why);
    case FLAG_INT:
        return set_int(field, value, f->zero_means, why);
    case FLAG_DURATION:
        return set_duration(field, value, f->zero_means, why);
    case FLAG_URLS:
        return set_urls(field, value, why);
    case FLAG_STATE:
        if (strcmp(value, "new") != 0 && strcmp(value, "existing") != 0) {
            buf_append_str(why, "invalid value");
            return ERR_INVALID;
        }
        set_string(field, value);
        return 0;
    case FLAG_GATES:
        return config_gates_parse(value, field, why);
    case FLAG_STRING:
        set_string(field, value);
        return 0;
    }
    return ERR_INVALID;
}
