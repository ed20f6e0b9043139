#include <stdlib.h>

#include "base/err.h"
#include "base/mem.h"
#include "config.h"
#include "net/net.h"

void url_list_release(struct url_list *l)
{
    for (uint32_t i = 0; i < l->count; i++) {
        free(l->urls[i]);
    }
    free(l->text);
    *l = (struct url_list){0};
}

/* Go's words for what net/url or the list rules find wrong. */
static int check_url(const char *url, struct buf *why)
{
    const char *sep = strstr(url, "://");
    size_t scheme = sep ? (size_t)(sep - url) : 0;
    static const char *const known[] = {"http", "https", "unix", "unixs"};
    bool is_known = false;
    for (size_t i = 0; i < 4; i++) {
        is_known |=
            scheme == strlen(known[i]) && memcmp(url, known[i], scheme) == 0;
    }
    if (!is_known) {
        const char *colon = strchr(url, ':');
        const char *slash = strchr(url, '/');
        if (colon && (slash == NULL || colon < slash) && sep == NULL) {
            buf_printf(why,
                       "parse \"%s\": first path segment in URL cannot "
                       "contain colon",
                       url);
        } else {
            buf_printf(
                why, "URL scheme must be http, https, unix, or unixs: %s", url);
        }
        return ERR_INVALID;
    }
    if (url[0] == 'u') {
        return 0;
    }
    const char *host = sep + 3, *path = strchr(host, '/');
    const char *end = path ? path : host + strlen(host);
    const char *port = NULL;
    for (const char *p = host; p < end; p++) {
        port = *p == ':' ? p : *p == ']' ? NULL : port;
    }
    if (port == NULL || port + 1 == end) {
        buf_printf(why, "URL address does not have the form \"host:port\": %s",
                   url);
        return ERR_INVALID;
    }
    if (path) {
        buf_printf(why, "URL must not contain a path: %s", url);
        return ERR_INVALID;
    }
    /* An empty host is judged later, by what the list is for. */
    struct url parsed;
    if (port > host && url_parse(url, &parsed) != 0) {
        buf_printf(why, "parse \"%s\": invalid host or port", url);
        return ERR_INVALID;
    }
    return 0;
}

static int by_text(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static void drop_doubles(struct url_list *l)
{
    uint32_t kept = 0;
    for (uint32_t i = 0; i < l->count; i++) {
        if (kept && strcmp(l->urls[kept - 1], l->urls[i]) == 0) {
            free(l->urls[i]);
        } else {
            l->urls[kept++] = l->urls[i];
        }
    }
    l->count = kept;
}

static char *trimmed(char *item)
{
    while (*item == ' ') {
        item++;
    }
    size_t n = strlen(item);
    while (n && item[n - 1] == ' ') {
        item[--n] = '\0';
    }
    return item;
}

int config_parse_urls(const char *text, struct url_list *ret_list,
                      struct buf *why)
{
    struct url_list l = {.text = mem_strdup(text)};
    char *copy = mem_strdup(text), *rest = copy;
    int err = 0;
    for (char *item; err == 0 && (item = strsep(&rest, ",")) != NULL;) {
        item = trimmed(item);
        if (l.count == CONFIG_URLS_MAX) {
            buf_printf(why, "more than %d URLs", CONFIG_URLS_MAX);
            err = ERR_INVALID;
        } else if ((err = check_url(item, why)) == 0) {
            l.urls[l.count++] = mem_strdup(item);
        }
    }
    free(copy);
    if (err) {
        url_list_release(&l);
        return err;
    }
    qsort(l.urls, l.count, sizeof l.urls[0], by_text);
    drop_doubles(&l);
    *ret_list = l;
    return 0;
}
