/* What the rules say of an image that comes in pieces. */
#include <openssl/evp.h>

#include "table.h"

enum { PIECE_BYTES_MAX = 32768 };

void snapshot_summary(struct side *s, const struct answer *a, struct buf *out)
{
    EVP_MD_CTX *sum = EVP_MD_CTX_new();
    uint8_t digest[32];
    bool small = true, falls = true, named = true, whole = false;
    uint64_t left = 0;
    EVP_DigestInit_ex(sum, EVP_sha256(), NULL);
    for (int i = 0; i < a->count; i++) {
        void *p = side_message(s, a, i, &pb__snapshot_response__descriptor);
        const Pb__SnapshotResponse *r = p;
        small &= r && r->blob.len <= PIECE_BYTES_MAX;
        named &= r && (i + 1 == a->count || strcmp(r->version, "3.7.0") == 0);
        if (!r || i + 1 == a->count) {
            EVP_DigestFinal_ex(sum, digest, NULL);
            whole = r && r->blob.len == sizeof digest && left == 0 &&
                    memcmp(r->blob.data, digest, sizeof digest) == 0;
            break;
        }
        falls &= i == 0 || r->remaining_bytes == left - r->blob.len;
        left = r->remaining_bytes;
        EVP_DigestUpdate(sum, r->blob.data, r->blob.len);
    }
    EVP_MD_CTX_free(sum);
    buf_append_str(out, small ? "small " : "LARGE ");
    buf_append_str(out, falls ? "counted " : "MISCOUNTED ");
    buf_append_str(out, named ? "named " : "UNNAMED ");
    buf_append_str(out, whole ? "whole\n" : "TORN\n");
}
