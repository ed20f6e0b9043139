#include <inttypes.h>
#include <jansson.h>
#include <stdlib.h>

#include "base/err.h"
#include "base/text.h"
#include "replica.h"

static void put_urls(struct buf *out, char *const *urls, uint32_t count)
{
    buf_append_byte(out, '[');
    for (uint32_t i = 0; i < count; i++) {
        if (i) {
            buf_append_byte(out, ',');
        }
        text_json_string(out, slice_str(urls[i]));
    }
    buf_append_byte(out, ']');
}

void member_to_json(const struct member *m, bool with_attributes,
                    struct buf *out)
{
    buf_printf(out, "{\"id\":%" PRIu64 ",\"peerURLs\":", m->id);
    put_urls(out, m->peer_urls, m->peer_url_count);
    if (m->is_learner) {
        buf_append_str(out, ",\"isLearner\":true");
    }
    if (with_attributes && m->name && m->name[0]) {
        buf_append_str(out, ",\"name\":");
        text_json_string(out, slice_str(m->name));
    }
    if (with_attributes && m->client_url_count) {
        buf_append_str(out, ",\"clientURLs\":");
        put_urls(out, m->client_urls, m->client_url_count);
    }
    buf_append_byte(out, '}');
}

/* jansson's integers are signed; ids are not, so the number is read from
 * the text as it stands. */
static int read_id(struct slice json, uint64_t *ret_id)
{
    static const char name[] = "\"id\":";
    const uint8_t *at = memmem(json.data, json.size, name, sizeof name - 1);
    if (at == NULL) {
        return ERR_INVALID;
    }
    const uint8_t *end = json.data + json.size;
    uint64_t id = 0;
    at += sizeof name - 1;
    while (at < end && *at == ' ') {
        at++;
    }
    const uint8_t *first = at;
    for (; at < end && *at >= '0' && *at <= '9'; at++) {
        if (__builtin_mul_overflow(id, 10u, &id) ||
            __builtin_add_overflow(id, (uint64_t)(*at - '0'), &id)) {
            return ERR_INVALID;
        }
    }
    if (at == first) {
        return ERR_INVALID;
    }
    *ret_id = id;
    return 0;
}

static int read_urls(const json_t *array, char ***ret_urls, uint32_t *ret_count)
{
    size_t count = json_array_size(array);
    if (count > MEMBER_URLS_MAX) {
        return ERR_INVALID;
    }
    char **urls = mem_alloc(count * sizeof *urls);
    for (size_t i = 0; i < count; i++) {
        const char *url = json_string_value(json_array_get(array, i));
        urls[i] = mem_strdup(url ? url : "");
    }
    *ret_urls = urls;
    *ret_count = (uint32_t)count;
    return 0;
}

int member_from_json(struct slice json, struct member *ret_member,
                     bool *ret_promote)
{
    struct member m = {0};
    json_error_t why;
    json_t *root = json_loadb((const char *)json.data, json.size,
                              JSON_DECODE_INT_AS_REAL, &why);
    int err = json_is_object(root) ? read_id(json, &m.id) : ERR_INVALID;
    if (err == 0) {
        err = read_urls(json_object_get(root, "peerURLs"), &m.peer_urls,
                        &m.peer_url_count);
    }
    if (err == 0) {
        err = read_urls(json_object_get(root, "clientURLs"), &m.client_urls,
                        &m.client_url_count);
    }
    if (err == 0) {
        const char *name = json_string_value(json_object_get(root, "name"));
        m.name = mem_strdup(name ? name : "");
        m.is_learner = json_is_true(json_object_get(root, "isLearner"));
        if (ret_promote) {
            *ret_promote = json_is_true(json_object_get(root, "isPromote"));
        }
        *ret_member = m;
    } else {
        member_release(&m);
    }
    json_decref(root);
    return err;
}

/* The end of the object that begins here; ids lose digits in jansson, so
 * each object is read by itself. */
static const uint8_t *object_end(const uint8_t *at, const uint8_t *end)
{
    int depth = 0;
    bool is_text = false;
    for (; at < end; at++) {
        if (is_text && *at == '\\') {
            at++;
        } else if (is_text) {
            is_text = *at != '"';
        } else if (*at == '"') {
            is_text = true;
        } else if (*at == '{') {
            depth++;
        } else if (*at == '}' && --depth == 0) {
            return at + 1;
        }
    }
    return NULL;
}

int members_from_json(struct slice json, struct members *ret_members)
{
    json_t *root = json_loadb((const char *)json.data, json.size,
                              JSON_DECODE_INT_AS_REAL, NULL);
    bool fits = json_is_array(root) && json_array_size(root) <= MEMBERS_MAX;
    json_decref(root);
    if (!fits) {
        return ERR_INVALID;
    }
    struct members ms = {0};
    const uint8_t *at = json.data, *end = json.data + json.size;
    int err = 0;
    while (err == 0 && (at = memchr(at, '{', (size_t)(end - at))) != NULL) {
        const uint8_t *next = object_end(at, end);
        struct member m;
        err =
            next ? member_from_json(slice_of(at, (size_t)(next - at)), &m, NULL)
                 : ERR_INVALID;
        if (err == 0) {
            members_put(&ms, &m);
            member_release(&m);
            at = next;
        }
    }
    if (err) {
        members_release(&ms);
        return err;
    }
    *ret_members = ms;
    return 0;
}
