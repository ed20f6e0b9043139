/* DNS messages: good ones, cut ones, hostile ones, noise. */
#include "../test.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/err.h"
#include "srv/internal.h"

static uint8_t packet[65536];
static size_t size;
static struct srv_answer answer;

static void put_u16(unsigned v)
{
    packet[size++] = (uint8_t)(v >> 8);
    packet[size++] = (uint8_t)v;
}

/* "a.b.": labels and the end; without the dot behind: the labels alone. */
static void put_name(const char *name)
{
    while (*name) {
        size_t n = strcspn(name, ".");
        packet[size++] = (uint8_t)n;
        memcpy(packet + size, name, n);
        size += n;
        name += n;
        if (*name == '.' && *++name == '\0') {
            packet[size++] = 0;
        }
    }
}

enum { QUESTION_AT = 12, OK = 0x8180 };

/* Header and the question for _s.test. */
static void begin(unsigned flags, unsigned answers)
{
    size = 0;
    put_u16(0x1234);
    put_u16(flags);
    put_u16(1);
    put_u16(answers);
    put_u16(0);
    put_u16(0);
    put_name("_s.test.");
    put_u16(33);
    put_u16(1);
}

static size_t size_at;

static void begin_record(unsigned type)
{
    put_u16(0xc000 | QUESTION_AT);
    put_u16(type);
    put_u16(1);
    put_u16(0);
    put_u16(60);
    size_at = size;
    put_u16(0);
}

static void end_record(void)
{
    size_t data = size - size_at - 2;
    packet[size_at] = (uint8_t)(data >> 8);
    packet[size_at + 1] = (uint8_t)data;
}

static void put_record(unsigned priority, unsigned weight, unsigned port,
                       const char *target)
{
    begin_record(33);
    put_u16(priority);
    put_u16(weight);
    put_u16(port);
    put_name(target);
    end_record();
}

/* In memory of exactly its size, so that a byte behind it is noticed. */
static int parse_of(size_t part)
{
    uint8_t *copy = malloc(part ? part : 1);
    memcpy(copy, packet, part);
    int err = srv_answer_parse(slice_of(copy, part), &answer);
    free(copy);
    return err;
}

static int parse(void)
{
    return parse_of(size);
}

static void takes_records(void **state)
{
    begin(OK, 3);
    put_record(1, 2, 2379, "n1.test.");
    begin_record(5); /* a CNAME between them */
    put_name("other.test.");
    end_record();
    begin_record(33);
    put_u16(3);
    put_u16(4);
    put_u16(65535);
    put_name("n2");
    put_u16(0xc000 | (QUESTION_AT + 3)); /* test. of the question */
    end_record();
    assert_int_equal(parse(), 0);
    assert_int_equal(answer.rcode, SRV_RCODE_OK);
    assert_false(answer.is_lame || answer.has_bad_name);
    assert_int_equal(answer.found.count, 2);
    const struct srv_record *r = answer.found.list;
    assert_string_equal(r[0].target, "n1.test.");
    assert_int_equal(r[0].priority, 1);
    assert_int_equal(r[0].weight, 2);
    assert_int_equal(r[0].port, 2379);
    assert_string_equal(r[1].target, "n2.test.");
    assert_int_equal(r[1].port, 65535);
}

static void tells_no_from_nothing(void **state)
{
    begin(0x8183, 0);
    assert_int_equal(parse(), 0);
    assert_int_equal(answer.rcode, SRV_RCODE_NO_NAME);
    begin(OK, 0);
    assert_int_equal(parse(), 0);
    assert_false(answer.is_lame);
    assert_int_equal(answer.found.count, 0);
    begin(0x8100, 0);
    assert_int_equal(parse(), 0);
    assert_true(answer.is_lame);
    begin(0x8185, 0);
    assert_int_equal(parse(), 0);
    assert_int_equal(answer.rcode, 5);
    /* "." is no service. */
    begin(OK, 1);
    begin_record(33);
    put_u16(0);
    put_u16(0);
    put_u16(0);
    packet[size++] = 0;
    end_record();
    assert_int_equal(parse(), 0);
    assert_int_equal(answer.found.count, 0);
    assert_false(answer.has_bad_name);
    /* Of another class. */
    begin(OK, 1);
    put_record(0, 0, 1, "n.test.");
    packet[size_at - 5] = 3;
    assert_int_equal(parse(), 0);
    assert_int_equal(answer.found.count, 0);
}

static void leaves_out_bad_targets(void **state)
{
    static const char *const bad[] = {"a b.test.", "-a.test.", "a-.test.",
                                      "10.0.0.1.", "a/b.",     "a\".test."};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        begin(OK, 2);
        put_record(0, 0, 1, bad[i]);
        put_record(0, 0, 2, "good.test.");
        assert_int_equal(parse(), 0);
        assert_true(answer.has_bad_name);
        assert_int_equal(answer.found.count, 1);
    }
    /* A dot or a zero inside a label. */
    for (int i = 0; i < 2; i++) {
        begin(OK, 1);
        put_record(0, 0, 1, "abc.test.");
        packet[size - 8] = i ? '.' : 0;
        assert_int_equal(parse(), ERR_CORRUPT);
    }
}

static void is_cut_anywhere(void **state)
{
    begin(OK, 2);
    put_record(1, 2, 2379, "n1.test.");
    put_record(1, 2, 2379, "n2.test.");
    assert_int_equal(parse(), 0);
    for (size_t part = 0; part < size; part++) {
        assert_int_equal(parse_of(part), ERR_CORRUPT);
    }
}

/* Data that is longer or shorter than the target it holds. */
static void sizes_must_fit(void **state)
{
    for (int by = -9; by <= 9; by++) {
        begin(OK, 1);
        put_record(1, 2, 3, "n1.test.");
        packet[size_at + 1] = (uint8_t)(packet[size_at + 1] + by);
        size += 9;
        assert_int_equal(parse(), by ? ERR_CORRUPT : 0);
    }
}

static void pointers_end(void **state)
{
    size_t at;
    /* To itself, forward, to each other, past the end. */
    begin(OK, 1);
    begin_record(33);
    put_u16(0);
    put_u16(0);
    put_u16(1);
    at = size;
    put_u16(0xc000 | (unsigned)at);
    end_record();
    assert_int_equal(parse(), ERR_CORRUPT);
    packet[at + 1]++;
    assert_int_equal(parse(), ERR_CORRUPT);
    packet[at] = packet[at + 1] = 0xff;
    assert_int_equal(parse(), ERR_CORRUPT);
    size = at;
    put_name("a");
    put_u16(0xc000 | (unsigned)at);
    end_record();
    assert_int_equal(parse(), ERR_CORRUPT);
    size = at;
    put_u16(0xc000 | (unsigned)(at + 2));
    put_u16(0xc000 | (unsigned)at);
    end_record();
    assert_int_equal(parse(), ERR_CORRUPT);
    /* Half of one at the end of the packet. */
    size = at;
    packet[size++] = 0xc0;
    end_record();
    assert_int_equal(parse(), ERR_CORRUPT);
    /* Heads of no kind. */
    for (unsigned head = 64; head < 192; head += 64) {
        size = at;
        packet[size++] = (uint8_t)head;
        put_name("a.");
        end_record();
        assert_int_equal(parse(), ERR_CORRUPT);
    }
}

/* 254 bytes as text, the dot at the end among them. */
static void names_have_a_limit(void **state)
{
    char label[64];
    memset(label, 'x', 63);
    label[63] = '\0';
    begin(OK, 1);
    begin_record(33);
    put_u16(0);
    put_u16(0);
    put_u16(1);
    size_t at = size;
    for (int i = 0; i < 3; i++) {
        put_name(label);
    }
    label[61] = '\0';
    put_name(label);
    packet[size++] = 0;
    end_record();
    assert_int_equal(parse(), 0);
    assert_int_equal(answer.found.count, 1);
    assert_int_equal(strlen(answer.found.list[0].target), 254);
    size = at;
    label[61] = 'x';
    for (int i = 0; i < 4; i++) {
        label[62] = i < 3 ? 'x' : '\0';
        put_name(label);
    }
    packet[size++] = 0;
    end_record();
    assert_int_equal(parse(), ERR_CORRUPT);
}

static void counts_have_a_limit(void **state)
{
    for (int n = SRV_RECORDS_MAX; n < SRV_RECORDS_MAX + 2; n++) {
        begin(OK, (unsigned)n);
        for (int i = 0; i < n; i++) {
            put_record(0, 0, 1, "n.test.");
        }
        assert_int_equal(parse(), n == SRV_RECORDS_MAX ? 0 : ERR_TOO_LARGE);
    }
    /* Counts that nothing stands behind. */
    begin(OK, 65535);
    assert_int_equal(parse(), ERR_CORRUPT);
    begin(OK, 0);
    packet[4] = 0xff;
    assert_int_equal(parse(), ERR_CORRUPT);
}

/* Whatever comes out of a packet can be used. */
static void check_answer(int err)
{
    assert_true(err == 0 || err == ERR_CORRUPT || err == ERR_TOO_LARGE);
    assert_true(answer.found.count <= SRV_RECORDS_MAX);
    for (uint32_t i = 0; i < answer.found.count; i++) {
        const char *target = answer.found.list[i].target;
        assert_true(srv_name_is_valid(target));
        assert_int_equal(target[strlen(target) - 1], '.');
    }
}

static void noise_does_no_harm(void **state)
{
    struct rng rng = {1};
    for (int n = 0; n < 100000; n++) {
        begin(OK, 3);
        put_record(1, 2, 2379, "n1.test.");
        put_record(1, 2, 2379, "a-longer.name.of.test.");
        put_record(1, 2, 2379, "n3.test.");
        if (n % 2) {
            for (uint64_t i = rng_below(&rng, 8); i < 8; i++) {
                packet[rng_below(&rng, size)] = (uint8_t)rng_next(&rng);
            }
        } else {
            size = rng_below(&rng, 300);
            for (size_t i = 0; i < size; i++) {
                packet[i] = (uint8_t)rng_next(&rng);
            }
            if (size > 8) { /* few questions, some answers */
                packet[4] = packet[6] = 0;
                packet[5] &= 1;
            }
        }
        check_answer(parse());
    }
}

static void knows_names(void **state)
{
    static const char *const good[] = {
        "a",         "a.", "_etcd-client._tcp.example.org", "1a.2", "_.",
        "1-1.test.", "A.B"};
    static const char *const bad[] = {"",     ".",    "..",  "a..", ".a",
                                      "a.-b", "a-.b", "1.2", "a b", "\xc3\xa4"};
    char text[300];
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        assert_true(srv_name_is_valid(good[i]));
    }
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        assert_false(srv_name_is_valid(bad[i]));
    }
    memset(text, 'a', sizeof text);
    text[63] = '\0';
    assert_true(srv_name_is_valid(text));
    text[63] = 'a';
    text[64] = '\0';
    assert_false(srv_name_is_valid(text));
    memset(text, 'a', sizeof text);
    for (int i = 1; i < 150; i++) {
        text[2 * i - 1] = '.';
    }
    text[253] = '\0';
    assert_true(srv_name_is_valid(text));
    text[253] = '.';
    text[254] = '\0';
    assert_true(srv_name_is_valid(text));
    text[253] = 'a';
    assert_false(srv_name_is_valid(text));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(takes_records),
        cmocka_unit_test(tells_no_from_nothing),
        cmocka_unit_test(leaves_out_bad_targets),
        cmocka_unit_test(is_cut_anywhere),
        cmocka_unit_test(sizes_must_fit),
        cmocka_unit_test(pointers_end),
        cmocka_unit_test(names_have_a_limit),
        cmocka_unit_test(counts_have_a_limit),
        cmocka_unit_test(noise_does_no_harm),
        cmocka_unit_test(knows_names),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
