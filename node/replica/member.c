#include <openssl/sha.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/endian.h"
#include "base/err.h"
#include "replica.h"

static void urls_free(char **urls, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        free(urls[i]);
    }
    free(urls);
}

static char **urls_copy(char *const *urls, uint32_t count)
{
    char **copy = mem_alloc(count * sizeof *copy);
    for (uint32_t i = 0; i < count; i++) {
        copy[i] = mem_strdup(urls[i]);
    }
    return copy;
}

void member_release(struct member *m)
{
    free(m->name);
    urls_free(m->peer_urls, m->peer_url_count);
    urls_free(m->client_urls, m->client_url_count);
    *m = (struct member){0};
}

void members_release(struct members *ms)
{
    for (uint32_t i = 0; i < ms->count; i++) {
        member_release(&ms->list[i]);
    }
    free(ms->list);
    free(ms->removed);
    *ms = (struct members){0};
}

struct member *members_find(const struct members *ms, uint64_t id)
{
    for (uint32_t i = 0; i < ms->count; i++) {
        if (ms->list[i].id == id) {
            return &ms->list[i];
        }
    }
    return NULL;
}

bool members_is_removed(const struct members *ms, uint64_t id)
{
    for (uint32_t i = 0; i < ms->removed_count; i++) {
        if (ms->removed[i] == id) {
            return true;
        }
    }
    return false;
}

static struct member member_copy(const struct member *m)
{
    return (struct member){
        .id = m->id,
        .name = mem_strdup(m->name ? m->name : ""),
        .peer_urls = urls_copy(m->peer_urls, m->peer_url_count),
        .peer_url_count = m->peer_url_count,
        .client_urls = urls_copy(m->client_urls, m->client_url_count),
        .client_url_count = m->client_url_count,
        .is_learner = m->is_learner,
    };
}

void members_put(struct members *ms, const struct member *m)
{
    struct member copy = member_copy(m);
    struct member *known = members_find(ms, m->id);
    if (known) {
        member_release(known);
        *known = copy;
        return;
    }
    ms->list = mem_realloc(ms->list, (ms->count + 1) * sizeof *ms->list);
    uint32_t at = ms->count++;
    for (; at > 0 && ms->list[at - 1].id > copy.id; at--) {
        ms->list[at] = ms->list[at - 1];
    }
    ms->list[at] = copy;
}

void members_remove(struct members *ms, uint64_t id)
{
    struct member *m = members_find(ms, id);
    if (m) {
        member_release(m);
        size_t behind = (size_t)(ms->list + ms->count - (m + 1));
        memmove(m, m + 1, behind * sizeof *m);
        ms->count--;
    }
    if (!members_is_removed(ms, id)) {
        ms->removed = mem_realloc(ms->removed, (ms->removed_count + 1) *
                                                   sizeof *ms->removed);
        ms->removed[ms->removed_count++] = id;
    }
}

static int by_text(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

uint64_t member_id_of(char *const *urls, uint32_t count, const char *salt)
{
    char **sorted = urls_copy(urls, count);
    qsort(sorted, count, sizeof *sorted, by_text);
    struct buf text = BUF_INIT(1 << 20);
    for (uint32_t i = 0; i < count; i++) {
        buf_append_str(&text, sorted[i]);
    }
    buf_append_str(&text, salt);
    uint8_t digest[SHA_DIGEST_LENGTH];
    SHA1(text.data, text.size, digest);
    buf_release(&text);
    urls_free(sorted, count);
    return get_be64(digest);
}

uint64_t members_cluster_id(const struct members *ms)
{
    uint8_t ids[MEMBERS_MAX * 8];
    uint32_t count = ms->count < MEMBERS_MAX ? ms->count : MEMBERS_MAX;
    for (uint32_t i = 0; i < count; i++) {
        put_be64(ids + i * 8, ms->list[i].id);
    }
    uint8_t digest[SHA_DIGEST_LENGTH];
    SHA1(ids, count * 8, digest);
    return get_be64(digest);
}

/* Adds a URL under a name; members are told apart by name here. */
static int add_named(struct member *list, uint32_t *count, const char *name,
                     size_t name_size, const char *url, const char **why)
{
    struct member *m = NULL;
    for (uint32_t i = 0; i < *count && m == NULL; i++) {
        if (strlen(list[i].name) == name_size &&
            memcmp(list[i].name, name, name_size) == 0) {
            m = &list[i];
        }
    }
    if (m == NULL) {
        if (*count == MEMBERS_MAX) {
            *why = "has too many members";
            return ERR_INVALID;
        }
        m = &list[(*count)++];
        *m = (struct member){.name = mem_printf("%.*s", (int)name_size, name)};
        m->peer_urls = mem_alloc(MEMBER_URLS_MAX * sizeof *m->peer_urls);
    }
    if (m->peer_url_count == MEMBER_URLS_MAX) {
        *why = "has too many URLs for one member";
        return ERR_INVALID;
    }
    m->peer_urls[m->peer_url_count++] = mem_strdup(url);
    return 0;
}

static int parse_named(char *text, struct member *list, uint32_t *count,
                       const char **why)
{
    char *rest = NULL;
    for (char *item = strtok_r(text, ",", &rest); item;
         item = strtok_r(NULL, ",", &rest)) {
        char *eq = strchr(item, '=');
        if (eq == NULL || eq == item || eq[1] == '\0') {
            *why = "is not of the form name=url,name=url";
            return ERR_INVALID;
        }
        int err =
            add_named(list, count, item, (size_t)(eq - item), eq + 1, why);
        if (err) {
            return err;
        }
    }
    return 0;
}

static bool share_url(const struct member *a, const struct member *b)
{
    for (uint32_t i = 0; i < a->peer_url_count; i++) {
        for (uint32_t j = 0; j < b->peer_url_count; j++) {
            if (strcmp(a->peer_urls[i], b->peer_urls[j]) == 0) {
                return true;
            }
        }
    }
    return false;
}

int members_parse(const char *initial_cluster, const char *token,
                  struct members *ret_members, const char **ret_text)
{
    struct member list[MEMBERS_MAX];
    uint32_t count = 0;
    char *text = mem_strdup(initial_cluster);
    int err = parse_named(text, list, &count, ret_text);
    free(text);
    if (err == 0 && count == 0) {
        *ret_text = "is empty";
        err = ERR_INVALID;
    }
    struct members ms = {0};
    for (uint32_t i = 0; i < count; i++) {
        struct member *m = &list[i];
        qsort(m->peer_urls, m->peer_url_count, sizeof *m->peer_urls, by_text);
        m->id = member_id_of(m->peer_urls, m->peer_url_count, token);
        for (uint32_t j = 0; err == 0 && j < ms.count; j++) {
            if (share_url(m, &ms.list[j])) {
                *ret_text = "has duplicate url";
                err = ERR_INVALID;
            }
        }
        if (err == 0) {
            members_put(&ms, m);
        }
        member_release(m);
    }
    if (err) {
        members_release(&ms);
        return err;
    }
    ms.cluster_id = members_cluster_id(&ms);
    *ret_members = ms;
    return 0;
}
