/*
 * The question, by the C library's resolver: resolv.conf, random ids and
 * ports, TCP where an answer does not fit. Names and servers are gone through
 * here, so that one can say which server gave which reason.
 */
#include <arpa/inet.h>
#include <arpa/nameser.h>
#include <errno.h>
#include <resolv.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/random.h>

#include "base/err.h"
#include "base/mem.h"
#include "srv/internal.h"

enum { ANSWER_SIZE_MAX = 65536, QUERY_SIZE_MAX = 512, HEADER_SIZE = 12 };

union server {
    struct sockaddr_in v4;
    struct sockaddr_in6 v6;
    sa_family_t family;
};

struct question {
    struct __res_state state;
    union server servers[MAXNS];
    int server_count;
    uint8_t *packet; /* ANSWER_SIZE_MAX */
    struct srv_answer answer;
    const char *reason; /* of the last failure */
    char server[64];    /* that it is of; "": none */
};

static int fail(struct question *q, int err, const char *reason)
{
    q->reason = reason;
    return err;
}

/* ---- servers ---- */

static int open_resolver(struct question *q)
{
    if (res_ninit(&q->state) != 0) {
        return fail(q, ERR_UNAVAILABLE, "no resolver");
    }
    q->packet = mem_alloc(ANSWER_SIZE_MAX);
    q->server_count = q->state.nscount;
    for (int i = 0; i < q->server_count; i++) {
        q->state._u._ext.nssocks[i] = -1;
        if (q->state.nsaddr_list[i].sin_family != 0) {
            q->servers[i].v4 = q->state.nsaddr_list[i];
        } else if (q->state._u._ext.nsaddrs[i]) {
            q->servers[i].v6 = *q->state._u._ext.nsaddrs[i];
        }
    }
    return 0;
}

/* The resolver frees as many addresses as it believes to have. */
static void close_resolver(struct question *q)
{
    q->state.nscount = q->server_count;
    q->state._u._ext.nscount = (uint16_t)q->server_count;
    res_nclose(&q->state);
}

/* From now on the resolver knows this one only. An IPv4 address belongs into
 * nsaddr_list; a longer one behind it, and the family there says so. */
static void choose_server(struct question *q, int i)
{
    struct __res_state *s = &q->state;
    char host[INET6_ADDRSTRLEN] = "";
    s->nscount = 1;
    if (q->servers[i].family == AF_INET6) {
        const struct sockaddr_in6 *v6 = &q->servers[i].v6;
        if (s->_u._ext.nsaddrs[0] == NULL) {
            s->_u._ext.nsaddrs[0] = mem_alloc(sizeof *v6);
        }
        *s->_u._ext.nsaddrs[0] = *v6;
        s->_u._ext.nscount = 1;
        s->nsaddr_list[0].sin_family = 0;
        inet_ntop(AF_INET6, &v6->sin6_addr, host, sizeof host);
        snprintf(q->server, sizeof q->server, "[%s]:%u", host,
                 ntohs(v6->sin6_port));
    } else {
        s->nsaddr_list[0] = q->servers[i].v4;
        s->_u._ext.nscount = 0; /* it copies the list anew */
        inet_ntop(AF_INET, &q->servers[i].v4.sin_addr, host, sizeof host);
        snprintf(q->server, sizeof q->server, "%s:%u", host,
                 ntohs(q->servers[i].v4.sin_port));
    }
}

/* ---- one question to one server ---- */

static int judge(struct question *q, int err)
{
    const struct srv_answer *a = &q->answer;
    if (a->rcode == SRV_RCODE_NO_NAME) {
        return fail(q, ERR_NOT_FOUND, "no such host");
    } else if (err == ERR_TOO_LARGE) {
        return fail(q, err, "too many records");
    } else if (err) {
        return fail(q, err, "cannot unmarshal DNS message");
    } else if (a->is_lame) {
        return fail(q, ERR_UNAVAILABLE, "lame referral");
    } else if (a->rcode != SRV_RCODE_OK) {
        return fail(q, ERR_UNAVAILABLE, "server misbehaving");
    } else if (a->has_bad_name) {
        return fail(q, ERR_INVALID,
                    "DNS response contained records which contain invalid "
                    "names");
    } else if (a->found.count == 0) {
        return fail(q, ERR_NOT_FOUND, "no such host");
    }
    return 0;
}

/* The resolver takes no refusal for an answer and speaks of a time-out then;
 * the refusal still lies where it was received. */
static int judge_silence(struct question *q, const uint8_t *query, int number)
{
    bool is_response = memcmp(q->packet, query, 2) == 0 && q->packet[2] & 0x80;
    if (is_response) {
        srv_answer_parse(slice_of(q->packet, HEADER_SIZE), &q->answer);
        if (q->answer.rcode != SRV_RCODE_OK) {
            return fail(q, ERR_UNAVAILABLE, "server misbehaving");
        } else if (q->answer.is_lame) {
            return fail(q, ERR_UNAVAILABLE, "lame referral");
        }
    }
    return number == ETIMEDOUT
               ? fail(q, ERR_TIMEOUT, "i/o timeout")
               : fail(q, ERR_REFUSED, "the server cannot be reached");
}

static int exchange(struct question *q, const char *name)
{
    uint8_t query[QUERY_SIZE_MAX];
    int size = res_nmkquery(&q->state, ns_o_query, name, ns_c_in, ns_t_srv,
                            NULL, 0, NULL, query, sizeof query);
    if (size < HEADER_SIZE) {
        return fail(q, ERR_NOT_FOUND, "no such host");
    }
    memset(q->packet, 0, HEADER_SIZE);
    errno = 0;
    int got = res_nsend(&q->state, query, size, q->packet, ANSWER_SIZE_MAX);
    if (got <= 0) {
        return judge_silence(q, query, errno);
    }
    size_t whole = got < ANSWER_SIZE_MAX ? (size_t)got : ANSWER_SIZE_MAX;
    return judge(q, srv_answer_parse(slice_of(q->packet, whole), &q->answer));
}

/* ---- servers in turn, then names in turn ---- */

/* Neither another server nor another name could change it. */
static bool is_settled(int err)
{
    return err == 0 || err == ERR_INVALID || err == ERR_TOO_LARGE;
}

static int ask_servers(struct question *q, const char *name)
{
    int attempts = q->state.retry > 0 ? q->state.retry : 1;
    int err = fail(q, ERR_UNAVAILABLE, "no DNS server is known");
    q->state.retry = 1;
    for (int n = 0; n < attempts * q->server_count; n++) {
        choose_server(q, n % q->server_count);
        err = exchange(q, name);
        if (is_settled(err) || err == ERR_NOT_FOUND) {
            break;
        }
    }
    q->state.retry = attempts;
    return err;
}

/* A name that would be too long is none: the error so far stays. */
static int ask_suffixed(struct question *q, const char *name,
                        const char *suffix, int err)
{
    char full[256];
    bool is_rooted = suffix[0] && suffix[strlen(suffix) - 1] == '.';
    int size = snprintf(full, sizeof full, "%s%s%s%s", name,
                        suffix[0] ? "." : "", suffix, is_rooted ? "" : ".");
    return size > 254 ? err : ask_servers(q, full);
}

static unsigned dots_in(const char *name)
{
    unsigned count = 0;
    for (; *name; name++) {
        count += *name == '.';
    }
    return count;
}

/* As resolv.conf(5) says of "search" and "ndots". */
static int ask_names(struct question *q, const char *name)
{
    int err = fail(q, ERR_NOT_FOUND, "no such host");
    if (name[strlen(name) - 1] == '.') {
        return ask_servers(q, name);
    }
    bool is_long = dots_in(name) >= q->state.ndots;
    if (is_long) {
        err = ask_suffixed(q, name, "", err);
    }
    for (int i = 0; !is_settled(err) && q->state.dnsrch[i]; i++) {
        const char *suffix = q->state.dnsrch[i];
        if (suffix[0] && strcmp(suffix, ".") != 0) {
            err = ask_suffixed(q, name, suffix, err);
        }
    }
    if (!is_long && !is_settled(err)) {
        err = ask_suffixed(q, name, "", err);
    }
    return err;
}

static void seed(struct rng *rng)
{
    if (getrandom(&rng->state, sizeof rng->state, 0) < 0) {
        rng->state = (uintptr_t)rng; /* only a choice among equals */
    }
}

/* Whatever was given as a name: no more of it than a name may have. */
static void explain(const struct question *q, int err, const char *name,
                    const char *domain, struct buf *why)
{
    if (err == ERR_INVALID) {
        buf_printf(why, "lookup %.255s: %s", domain, q->reason);
    } else {
        buf_printf(why, "lookup %.255s%s%s: %s", name,
                   q->server[0] ? " on " : "", q->server, q->reason);
    }
}

int srv_ask(const char *service, const char *domain, struct srv_list *ret_list,
            struct buf *why)
{
    struct question *q = mem_zalloc(sizeof *q);
    struct rng rng;
    char *name = mem_printf("_%s._tcp.%s", service, domain);
    int err = fail(q, ERR_NOT_FOUND, "no such host");
    if (srv_name_is_valid(name)) {
        err = open_resolver(q);
    }
    if (err == 0) {
        err = ask_names(q, name);
        close_resolver(q);
    }
    if (err == 0) {
        seed(&rng);
        srv_order(q->answer.found.list, q->answer.found.count, &rng);
        *ret_list = q->answer.found;
    } else {
        explain(q, err, name, domain, why);
    }
    free(q->packet);
    free(name);
    free(q);
    return err;
}
