/*
 * A DNS message, as far as it matters here (RFC 1035, section 4.1):
 *
 *   id 2, flags 2, counts of questions, answers, authorities, more: 2 each
 *   questions:  name, type 2, class 2
 *   answers:    name, type 2, class 2, ttl 4, size 2, data
 *   data of an SRV record (RFC 2782): priority 2, weight 2, port 2, target
 *
 * A name is labels, each with its size in front, up to one of size 0 or to a
 * pointer, 0xc0 and 14 bits, to where it goes on.
 */
#include <string.h>

#include "base/endian.h"
#include "base/err.h"
#include "srv/internal.h"

enum {
    HEADER_SIZE = 12,
    FLAG_AUTHORITATIVE = 0x0400,
    FLAG_RECURSION = 0x0080, /* available */
    TYPE_SRV = 33,
    CLASS_IN = 1,
    NAME_SIZE_MAX = 254, /* as text, with the dot at the end */
};

struct reader {
    struct slice packet;
    size_t at;
};

static size_t left(const struct reader *r)
{
    return r->packet.size - r->at;
}

static int skip(struct reader *r, size_t size)
{
    if (left(r) < size) {
        return ERR_CORRUPT;
    }
    r->at += size;
    return 0;
}

static int take_u16(struct reader *r, uint16_t *ret_value)
{
    if (left(r) < 2) {
        return ERR_CORRUPT;
    }
    *ret_value = get_be16(r->packet.data + r->at);
    r->at += 2;
    return 0;
}

/* Appends a label of `size` bytes and a dot. What a label may not contain in
 * a text is refused: a dot would make two of it, a zero would end it. */
static int take_label(struct reader *r, size_t size, char *text,
                      size_t *text_size)
{
    const uint8_t *label = r->packet.data + r->at;
    if (left(r) < size || *text_size + size + 1 > NAME_SIZE_MAX ||
        memchr(label, '.', size) || memchr(label, 0, size)) {
        return ERR_CORRUPT;
    }
    memcpy(text + *text_size, label, size);
    *text_size += size;
    text[(*text_size)++] = '.';
    r->at += size;
    return 0;
}

/* Follows a pointer. Each leads in front of the bytes that lead to it, so
 * that there is an end. */
static int follow(struct reader *r, size_t *run_start, size_t *resume_at)
{
    uint16_t pointer = 0;
    int err = take_u16(r, &pointer);
    size_t to = pointer & 0x3fff;
    if (err || to >= *run_start) {
        return ERR_CORRUPT;
    }
    if (*resume_at == 0) {
        *resume_at = r->at;
    }
    r->at = *run_start = to;
    return 0;
}

static int take_name(struct reader *r, char ret_text[NAME_SIZE_MAX + 1])
{
    size_t size = 0, run_start = r->at, resume_at = 0;
    for (;;) {
        if (left(r) == 0) {
            return ERR_CORRUPT;
        }
        uint8_t head = r->packet.data[r->at];
        int err = 0;
        if (head == 0) {
            break;
        } else if (head >= 0xc0) {
            err = follow(r, &run_start, &resume_at);
        } else if (head > 63) {
            err = ERR_CORRUPT; /* of no kind that is in use */
        } else {
            r->at++;
            err = take_label(r, head, ret_text, &size);
        }
        if (err) {
            return err;
        }
    }
    r->at = resume_at ? resume_at : r->at + 1;
    if (size == 0) {
        ret_text[size++] = '.';
    }
    ret_text[size] = '\0';
    return 0;
}

static int keep(struct srv_answer *a, const struct srv_record *record)
{
    if (strcmp(record->target, ".") == 0) {
        return 0;
    }
    if (!srv_name_is_valid(record->target)) {
        a->has_bad_name = true;
        return 0;
    }
    if (a->found.count == SRV_RECORDS_MAX) {
        return ERR_TOO_LARGE;
    }
    a->found.list[a->found.count++] = *record;
    return 0;
}

/* `r` stands at the data, which ends at `end`. */
static int take_record(struct reader r, size_t end, struct srv_answer *a)
{
    struct srv_record record = {0};
    if (take_u16(&r, &record.priority) || take_u16(&r, &record.weight) ||
        take_u16(&r, &record.port) || take_name(&r, record.target) ||
        r.at != end) {
        return ERR_CORRUPT;
    }
    return keep(a, &record);
}

static int take_answer(struct reader *r, struct srv_answer *a)
{
    char name[NAME_SIZE_MAX + 1];
    uint16_t type = 0, class = 0, size = 0;
    if (take_name(r, name) || take_u16(r, &type) || take_u16(r, &class) ||
        skip(r, 4) || take_u16(r, &size) || left(r) < size) {
        return ERR_CORRUPT;
    }
    int err = 0;
    if (type == TYPE_SRV && class == CLASS_IN) {
        err = take_record(*r, r->at + size, a);
    }
    r->at += size;
    return err;
}

static int take_question(struct reader *r)
{
    char name[NAME_SIZE_MAX + 1];
    return take_name(r, name) || skip(r, 4) ? ERR_CORRUPT : 0;
}

int srv_answer_parse(struct slice packet, struct srv_answer *ret_answer)
{
    struct reader r = {.packet = packet};
    uint16_t id, flags, questions, answers, authorities, more;
    int err = 0;
    memset(ret_answer, 0, sizeof *ret_answer);
    if (packet.size < HEADER_SIZE) {
        return ERR_CORRUPT;
    }
    take_u16(&r, &id);
    take_u16(&r, &flags);
    take_u16(&r, &questions);
    take_u16(&r, &answers);
    take_u16(&r, &authorities);
    take_u16(&r, &more);
    ret_answer->rcode = flags & 0x0f;
    ret_answer->is_lame = ret_answer->rcode == SRV_RCODE_OK && answers == 0 &&
                          more == 0 &&
                          !(flags & (FLAG_AUTHORITATIVE | FLAG_RECURSION));
    for (uint32_t i = 0; err == 0 && i < questions; i++) {
        err = take_question(&r);
    }
    for (uint32_t i = 0; err == 0 && i < answers; i++) {
        err = take_answer(&r, ret_answer);
    }
    return err;
}
