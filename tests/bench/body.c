/*
 * Prints the body of one gRPC request, as h2load sends it.
 *   body put KEY SIZE      a PutRequest with a value of SIZE bytes
 *   body get KEY           a linearizable RangeRequest for one key
 *   body sget KEY          a serializable one
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static uint8_t out[1 << 20];
static size_t size;

static void put_varint(uint64_t v)
{
    for (; v >= 0x80; v >>= 7) {
        out[size++] = (uint8_t)(v | 0x80);
    }
    out[size++] = (uint8_t)v;
}

static void put_bytes(uint8_t tag, const void *data, size_t n)
{
    out[size++] = tag;
    put_varint(n);
    memcpy(out + size, data, n);
    size += n;
}

int main(int argc, char **argv)
{
    if (argc < 3) {
        fputs("usage: body put KEY SIZE | get KEY | sget KEY\n", stderr);
        return 2;
    }
    put_bytes(0x0a, argv[2], strlen(argv[2]));
    if (strcmp(argv[1], "put") == 0) {
        size_t n = argc > 3 ? strtoul(argv[3], NULL, 10) : 256;
        char *value = malloc(n + 1);
        memset(value, 'v', n);
        put_bytes(0x12, value, n);
        free(value);
    } else if (strcmp(argv[1], "sget") == 0) {
        out[size++] = 7 << 3;
        out[size++] = 1;
    }
    const uint8_t head[5] = {0, (uint8_t)(size >> 24), (uint8_t)(size >> 16),
                             (uint8_t)(size >> 8), (uint8_t)size};
    fwrite(head, 1, sizeof head, stdout);
    fwrite(out, 1, size, stdout);
    return 0;
}
