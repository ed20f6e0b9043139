/*
 * Stands in for the members: an uplink door that notes what is sent, and
 * whose links are raised, lost and answered by hand.
 */
#ifndef TESTS_PROXY_MEMBER_H
#define TESTS_PROXY_MEMBER_H

#include "../test.h"

#include "base/list.h"
#include "base/mem.h"
#include "proxy/uplink.h"

enum { LINKS_MAX = 8, SENT_MAX = 64 };

struct member_link {
    struct uplink_handler handler;
    void *ctx;
    bool is_open;
    struct buf sent[SENT_MAX]; /* since the last look */
    int sent_count;
};

static struct member_link links[LINKS_MAX];
static int link_count; /* ever opened */

static void *member_open(void *ctx, const char *path,
                         const char *const *metadata,
                         const struct uplink_handler *h, void *h_ctx)
{
    assert_true(link_count < LINKS_MAX);
    struct member_link *l = &links[link_count++];
    *l = (struct member_link){.handler = *h, .ctx = h_ctx, .is_open = true};
    return l;
}

static void member_forget(struct member_link *l)
{
    while (l->sent_count) {
        buf_release(&l->sent[--l->sent_count]);
    }
}

static void member_send(void *uplink, struct slice message)
{
    struct member_link *l = uplink;
    assert_true(l->is_open && l->sent_count < SENT_MAX);
    struct buf *b = &l->sent[l->sent_count++];
    buf_init(b, 1 << 20);
    buf_append_slice(b, message);
}

static void member_close(void *uplink)
{
    struct member_link *l = uplink;
    l->is_open = false;
    member_forget(l);
}

static const struct uplink_door member_door = {member_open, member_send,
                                               member_close, NULL};

static inline void member_up(int link)
{
    links[link].handler.up(links[link].ctx);
}

static inline bool member_down(int link, enum grpc_code code, const char *text)
{
    member_forget(&links[link]);
    bool again = links[link].handler.down(links[link].ctx, code, text);
    links[link].is_open = again;
    return again;
}

static inline void member_reset(void)
{
    for (int i = 0; i < link_count; i++) {
        assert_false(links[i].is_open); /* all were closed */
        member_forget(&links[i]);
    }
    link_count = 0;
}

#endif
