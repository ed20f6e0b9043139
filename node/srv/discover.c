#include "base/err.h"
#include "base/log.h"
#include "base/text.h"
#include "srv/internal.h"

enum { TEXT_SIZE_MAX = SRV_RECORDS_MAX * 512 };

/* The endpoints as a JSON array, for the log; ended by a zero. */
static const char *list_text(const struct srv_list *l, struct buf *out)
{
    buf_reset(out, TEXT_SIZE_MAX);
    buf_append_byte(out, '[');
    for (uint32_t i = 0; i < l->count; i++) {
        buf_append_str(out, i ? ",\"" : "\"");
        srv_endpoint_text(&l->list[i], out);
        buf_append_byte(out, '"');
    }
    buf_append(out, "]", 2);
    return (const char *)out->data;
}

static void keep_secure(const struct srv_domain *d, struct srv_list *l)
{
    struct buf text = BUF_INIT(TEXT_SIZE_MAX);
    struct buf why = BUF_INIT(TEXT_SIZE_MAX);
    log_info("validating discovered SRV endpoints",
             LOG_STR("srv-server", d->domain),
             LOG_RAW("endpoints", list_text(l, &text)));
    int err = srv_keep_reachable(l, &why);
    if (err) {
        l->count = 0;
        buf_append_str(&why, err_text(err));
    }
    if (why.size) {
        log_warn("failed to validate discovered endpoints",
                 LOG_STR("srv-server", d->domain),
                 LOG_RAW("endpoints", list_text(l, &text)),
                 LOG_SLICE("error", buf_slice(&why)));
    } else {
        log_info("using validated discovered SRV endpoints",
                 LOG_STR("srv-server", d->domain),
                 LOG_RAW("endpoints", list_text(l, &text)));
    }
    buf_release(&why);
    buf_release(&text);
}

int srv_discover(const struct srv_domain *d, struct srv_list *ret_list,
                 struct buf *why)
{
    struct srv_list list;
    struct buf text = BUF_INIT(TEXT_SIZE_MAX);
    int err = srv_find(d, &list, why);
    if (err == 0) {
        log_info("discovered cluster from SRV",
                 LOG_STR("srv-server", d->domain),
                 LOG_RAW("endpoints", list_text(&list, &text)));
        if (!d->insecure) {
            keep_secure(d, &list);
        }
        *ret_list = list;
    }
    buf_release(&text);
    return err;
}
