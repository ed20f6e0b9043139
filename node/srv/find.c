#include <stdlib.h>

#include "base/err.h"
#include "base/mem.h"
#include "srv/internal.h"

enum { WHY_SIZE_MAX = 2048 };

void srv_endpoint_text(const struct srv_record *r, struct buf *out)
{
    buf_printf(out, "%s://%s:%u", r->tls ? "https" : "http", r->target,
               r->port);
}

/* Adds what a service has to the list. */
static int add_service(const char *service, bool tls,
                       const struct srv_domain *d, struct srv_list *list,
                       struct buf *why)
{
    struct srv_list found = {.count = 0};
    char *full = mem_printf("%s%s%s", service, d->name[0] ? "-" : "", d->name);
    int err = srv_ask(full, d->domain, &found, why);
    if (err == 0 && list->count + found.count > SRV_RECORDS_MAX) {
        buf_printf(why, "SRV records of %.255s: more than %d", d->domain,
                   SRV_RECORDS_MAX);
        err = ERR_TOO_LARGE;
    }
    for (uint32_t i = 0; err == 0 && i < found.count; i++) {
        found.list[i].tls = tls;
        list->list[list->count++] = found.list[i];
    }
    free(full);
    return err;
}

int srv_find(const struct srv_domain *d, struct srv_list *ret_list,
             struct buf *why)
{
    struct buf tls_why = BUF_INIT(WHY_SIZE_MAX);
    struct buf plain_why = BUF_INIT(WHY_SIZE_MAX);
    struct srv_list list = {.count = 0};
    int tls_err = add_service("etcd-client-ssl", true, d, &list, &tls_why);
    int err = add_service("etcd-client", false, d, &list, &plain_why);
    if (tls_err == ERR_TOO_LARGE) {
        buf_append_slice(why, buf_slice(&tls_why));
        err = tls_err;
    } else if (err == ERR_TOO_LARGE) {
        buf_append_slice(why, buf_slice(&plain_why));
    } else if (tls_err && err) {
        buf_append_str(why, "dns lookup errors: ");
        buf_append_slice(why, buf_slice(&tls_why));
        buf_append_str(why, " and ");
        buf_append_slice(why, buf_slice(&plain_why));
    } else {
        *ret_list = list;
        err = 0;
    }
    buf_release(&tls_why);
    buf_release(&plain_why);
    return err;
}
