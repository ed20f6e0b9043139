/* Compressed messages, through a server. */
#include "harness.h"

#include <zlib.h>

static size_t gzip(uint8_t *to, size_t room, const void *from, size_t size)
{
    z_stream z = {.next_in = (Bytef *)(uintptr_t)from,
                  .avail_in = (uInt)size,
                  .next_out = to,
                  .avail_out = (uInt)room};
    deflateInit2(&z, 6, Z_DEFLATED, 31, 8, Z_DEFAULT_STRATEGY);
    assert_int_equal(deflate(&z, Z_FINISH), Z_STREAM_END);
    deflateEnd(&z);
    return z.total_out;
}

static size_t gunzip(uint8_t *to, size_t room, const void *from, size_t size)
{
    z_stream z = {.next_in = (Bytef *)(uintptr_t)from,
                  .avail_in = (uInt)size,
                  .next_out = to,
                  .avail_out = (uInt)room};
    inflateInit2(&z, 31);
    assert_int_equal(inflate(&z, Z_FINISH), Z_STREAM_END);
    inflateEnd(&z);
    return z.total_out;
}

static const char *const gzip_headers[] = {BASE, TYPE, "grpc-encoding", "gzip",
                                           NULL};

static void gzip_in_and_out(void **state)
{
    struct fixture *f = *state;
    uint8_t packed[256], plain[256];
    size_t size = gzip(packed, sizeof packed, "hello hello hello", 17);
    for (uint8_t flag = 0; flag <= 1; flag++) {
        struct exchange x;
        begin_with(f, &x, gzip_headers);
        if (flag) {
            message(&x, 1, packed, size);
        } else {
            message(&x, 0, "hello hello hello", 17);
        }
        done(&x);
        run(f);
        assert_string_equal(x.encoding, "gzip");
        assert_int_equal(x.body.data[0], 1);
        assert_int_equal(
            gunzip(plain, sizeof plain, x.body.data + 5, x.body.size - 5), 17);
        assert_memory_equal(plain, "hello hello hello", 17);
        expect(&x, 200, 0, "");
    }
}

static void bad_compression(void **state)
{
    struct fixture *f = *state;
    static uint8_t zeros[MESSAGE_MAX + 1], packed[1 << 16];
    struct exchange x;
    begin(f, &x, "/t.T/Echo");
    message(&x, 1, "x", 1);
    done(&x);
    run(f);
    expect(&x, 200, 13,
           "grpc: compressed flag set with identity or empty encoding");
    begin(f, &x, "/t.T/Echo");
    message(&x, 2, "x", 1);
    done(&x);
    run(f);
    expect(&x, 200, 13, "grpc: received unexpected payload format 2");
    size_t size = gzip(packed, sizeof packed, "hello", 5);
    begin_with(f, &x, gzip_headers);
    message(&x, 1, packed, size - 1);
    done(&x);
    run(f);
    expect(&x, 200, 13,
           "grpc: failed to decompress the message: unexpected EOF");
    size = gzip(packed, sizeof packed, zeros, sizeof zeros);
    begin_with(f, &x, gzip_headers);
    message(&x, 1, packed, size);
    done(&x);
    run(f);
    expect(&x, 200, 8,
           "grpc: received message after decompression larger than max "
           "2097152");
    size = gzip(packed, sizeof packed, zeros, sizeof zeros - 1);
    begin_with(f, &x, gzip_headers);
    message(&x, 1, packed, size);
    done(&x);
    run(f);
    expect(&x, 200, 0, "");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(gzip_in_and_out),
        TEST(bad_compression),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
