/* What the files of srv/ share. answer.c, name.c and order.c are pure. */
#ifndef SRV_INTERNAL_H
#define SRV_INTERNAL_H

#include "base/rng.h"
#include "srv/srv.h"

enum { SRV_RCODE_OK = 0, SRV_RCODE_NO_NAME = 3 }; /* RFC 1035, 4.1.1 */

struct srv_answer {
    unsigned rcode;
    bool is_lame;      /* a server that neither knows nor asks others */
    bool has_bad_name; /* a target that is no host name was left out */
    struct srv_list found;
};

/* Reads a DNS message (RFC 1035, section 4); it may be anything. A target of
 * "." says that the service is not to be had there (RFC 2782) and is left
 * out. ERR_CORRUPT: no whole DNS message; ERR_TOO_LARGE: more than
 * SRV_RECORDS_MAX records. *ret_answer is written in any case. */
int srv_answer_parse(struct slice packet, struct srv_answer *ret_answer);

/* Letters, digits, hyphens and underscores in labels of up to 63 bytes, not
 * only digits; 254 bytes with the dot at the end, which is optional. */
bool srv_name_is_valid(const char *name);

/* By priority; within one, each next is drawn with a chance in proportion to
 * its weight among those left, and those of weight 0 come last, in the order
 * they had. */
void srv_order(struct srv_record *list, uint32_t count, struct rng *rng);

/* Asks for the records of _<service>._tcp.<domain>, with the search list of
 * resolv.conf. Errors as srv_find(); `why` then gets one line, in the words
 * of Go's resolver where that has any. */
int srv_ask(const char *service, const char *domain, struct srv_list *ret_list,
            struct buf *why);

/* Keeps the records with TLS that accept a TCP connection. `why` gets what
 * was wrong with the others, separated by commas. ERR_IO: no descriptors;
 * then all stay. */
int srv_keep_reachable(struct srv_list *l, struct buf *why);

#endif
