#include <nss.h>
#include <stdlib.h>

#include "base/err.h"
#include "net/internal.h"

static bool run_pass(struct loop *l)
{
    list_each(it, safe, &l->hooks)
    {
        struct pass_hook *h = container_of(it, struct pass_hook, link);
        h->run(h);
    }
    return net_conn_pass(l);
}

static void on_check(uv_check_t *h)
{
    run_pass(h->data);
}

static void on_idle(uv_idle_t *h)
{
}

/* The last chance before sleeping. Callbacks that ran behind the hooks may
 * have queued work for them, so then the poll must not block. */
static void on_prepare(uv_prepare_t *h)
{
    struct loop *l = h->data;
    bool again = run_pass(l);
    again |= !list_empty(&l->dirty) || !list_empty(&l->closed);
    if (again) {
        uv_idle_start(&l->idle, on_idle);
    } else {
        uv_idle_stop(&l->idle);
    }
}

static void on_reap(void *ctx)
{
    net_conn_reap(ctx);
}

int loop_new(struct loop **ret_loop)
{
    /* A static binary must not load the modules that the machine's
     * nsswitch.conf names: they want the machine's own libc. These two are
     * built in. */
    __nss_configure_lookup("hosts", "files dns");
    struct loop *l = mem_zalloc(sizeof *l);
    if (uv_loop_init(&l->uv) != 0) {
        free(l);
        return ERR_IO;
    }
    l->uv.data = l;
    list_init(&l->hooks);
    list_init(&l->conns);
    list_init(&l->dirty);
    list_init(&l->closed);
    list_init(&l->leaving);
    uv_check_init(&l->uv, &l->check);
    uv_prepare_init(&l->uv, &l->prepare);
    uv_idle_init(&l->uv, &l->idle);
    l->check.data = l->prepare.data = l->idle.data = l;
    uv_check_start(&l->check, on_check);
    uv_prepare_start(&l->prepare, on_prepare);
    l->reaper = timer_new(l, on_reap, l);
    l->read_buf = mem_alloc(NET_READ_BYTES);
    buf_init(&l->out, NET_OUT_BYTES_MAX);
    *ret_loop = l;
    return 0;
}

static void close_left(uv_handle_t *h, void *ctx)
{
    if (!uv_is_closing(h)) {
        uv_close(h, NULL);
    }
}

void loop_free(struct loop *l)
{
    if (!l) {
        return;
    }
    net_conn_free_all(l);
    net_bulk_free(l->bulk);
    timer_free(l->reaper);
    uv_close((uv_handle_t *)&l->check, NULL);
    uv_close((uv_handle_t *)&l->prepare, NULL);
    uv_close((uv_handle_t *)&l->idle, NULL);
    /* What is left belongs to owners that forgot it; its memory is theirs,
     * the handles must not keep the loop. */
    uv_walk(&l->uv, close_left, NULL);
    while (uv_loop_close(&l->uv) != 0) {
        uv_run(&l->uv, UV_RUN_DEFAULT); /* the close callbacks */
    }
    buf_release(&l->out);
    free(l->read_buf);
    free(l);
}

void loop_run(struct loop *l)
{
    uv_run(&l->uv, UV_RUN_DEFAULT);
}

void loop_stop(struct loop *l)
{
    uv_stop(&l->uv);
}

uint64_t loop_now_ms(const struct loop *l)
{
    return uv_now(&l->uv);
}

uint64_t loop_now_ns(const struct loop *l)
{
    return uv_hrtime();
}

uv_loop_t *loop_uv(struct loop *l)
{
    return &l->uv;
}

void loop_add_hook(struct loop *l, struct pass_hook *h)
{
    list_append(&l->hooks, &h->link);
}

/* ---- timers ---- */

struct timer {
    uv_timer_t uv;
    void (*fire)(void *ctx);
    void *ctx;
};

struct timer *timer_new(struct loop *l, void (*fire)(void *ctx), void *ctx)
{
    struct timer *t = mem_zalloc(sizeof *t);
    uv_timer_init(&l->uv, &t->uv);
    t->fire = fire;
    t->ctx = ctx;
    return t;
}

static void on_timer(uv_timer_t *h)
{
    struct timer *t = container_of(h, struct timer, uv);
    t->fire(t->ctx);
}

void timer_start(struct timer *t, uint64_t after_ms, uint64_t repeat_ms)
{
    uv_timer_start(&t->uv, on_timer, after_ms, repeat_ms);
}

void timer_stop(struct timer *t)
{
    uv_timer_stop(&t->uv);
}

static void free_timer(uv_handle_t *h)
{
    free(container_of((uv_timer_t *)h, struct timer, uv));
}

void timer_free(struct timer *t)
{
    if (t) {
        uv_close((uv_handle_t *)&t->uv, free_timer);
    }
}

/* ---- wake-ups from other threads ---- */

struct waker {
    uv_async_t uv;
    void (*fire)(void *ctx);
    void *ctx;
};

static void on_async(uv_async_t *h)
{
    struct waker *w = container_of(h, struct waker, uv);
    w->fire(w->ctx);
}

struct waker *waker_new(struct loop *l, void (*fire)(void *ctx), void *ctx)
{
    struct waker *w = mem_zalloc(sizeof *w);
    w->fire = fire;
    w->ctx = ctx;
    if (uv_async_init(&l->uv, &w->uv, on_async) != 0) {
        abort(); /* no descriptor for the loop's own use */
    }
    return w;
}

void waker_wake(struct waker *w)
{
    uv_async_send(&w->uv);
}

static void free_waker(uv_handle_t *h)
{
    free(container_of((uv_async_t *)h, struct waker, uv));
}

void waker_free(struct waker *w)
{
    if (w) {
        uv_close((uv_handle_t *)&w->uv, free_waker);
    }
}

/* ---- the pool for what blocks ---- */

struct offload {
    uv_work_t uv;
    void (*work)(void *ctx);
    void (*done)(void *ctx);
    void *ctx;
};

static void on_work(uv_work_t *req)
{
    struct offload *o = container_of(req, struct offload, uv);
    o->work(o->ctx);
}

static void on_worked(uv_work_t *req, int status)
{
    struct offload *o = container_of(req, struct offload, uv);
    o->done(o->ctx);
    free(o);
}

void loop_offload(struct loop *l, void (*work)(void *ctx),
                  void (*done)(void *ctx), void *ctx)
{
    struct offload *o = mem_zalloc(sizeof *o);
    o->work = work;
    o->done = done;
    o->ctx = ctx;
    uv_queue_work(&l->uv, &o->uv, on_work, on_worked);
}
