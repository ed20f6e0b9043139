/* Hash: CRC-32C over the whole store as it would stand in an image, bucket
 * by bucket, without the three rows that differ between equal members. */
#include <stdlib.h>

#include "base/crc32c.h"
#include "image/image.h"
#include "state.h"

struct hash {
    struct api *api;
    struct grpc_call *call; /* referenced */
    struct mvcc_image *image;
    uint32_t crc;
    int err;
};

static bool is_left_out(struct slice bucket, struct slice key)
{
    return slice_eq_str(bucket, "meta") &&
           (slice_eq_str(key, "consistent_index") ||
            slice_eq_str(key, "term") || slice_eq_str(key, "storageVersion"));
}

static int add_bucket(struct hash *h, const struct image_source *source,
                      struct slice bucket)
{
    struct slice key, value;
    int err;
    h->crc = crc32c(h->crc, bucket.data, bucket.size);
    while ((err = source->next_record(source->ctx, &key, &value)) == 0) {
        if (!is_left_out(bucket, key)) {
            h->crc = crc32c(h->crc, key.data, key.size);
            h->crc = crc32c(h->crc, value.data, value.size);
        }
    }
    return err == ERR_NOT_FOUND ? 0 : err;
}

/* On the pool. */
static void work(void *ctx)
{
    struct hash *h = ctx;
    const struct image_source *source = mvcc_image_source(h->image);
    struct slice bucket;
    int err = source->rewind(source->ctx);
    while (err == 0 && (err = source->next_bucket(source->ctx, &bucket)) == 0) {
        err = add_bucket(h, source, bucket);
    }
    h->err = err == ERR_NOT_FOUND ? 0 : err;
}

static void hashed(void *ctx)
{
    struct hash *h = ctx;
    if (h->image) {
        mvcc_image_close(h->image);
    }
    if (!grpc_call_alive(h->call)) {
        /* nobody listens any more */
    } else if (h->err) {
        api_fail(h->call, h->err);
    } else {
        Pb__ResponseHeader header;
        api_header_pb(h->api, mvcc_revision(h->api->mvcc), &header);
        Pb__HashResponse r = PB__HASH_RESPONSE__INIT;
        r.header = &header;
        r.hash = h->crc;
        grpc_reply(h->call, &r.base);
    }
    grpc_call_unref(h->call);
    free(h);
}

static void opened(void *ctx, struct mvcc_image *image, int err)
{
    struct hash *h = ctx;
    struct loop *loop = h->api->config.loop;
    h->image = image;
    h->err = err;
    if (err) {
        hashed(h);
    } else if (loop) {
        loop_offload(loop, work, hashed, h);
    } else {
        work(h);
        hashed(h);
    }
}

void api_hash(struct grpc_call *call, struct slice message)
{
    if (!grpc_unpack(call, &pb__hash_request__descriptor, message)) {
        return;
    }
    struct hash *h = mem_zalloc(sizeof *h);
    h->api = api_of(call);
    h->call = grpc_call_ref(call);
    mvcc_image_open(h->api->mvcc, opened, h);
}
