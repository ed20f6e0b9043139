#include "base/mem.h"
#include "client.h"

ProtobufCBinaryData client_binary(struct cofre_bytes b)
{
    /* protobuf-c has no const, but packing does not write. */
    return (ProtobufCBinaryData){
        .len = b.size,
        .data = (uint8_t *)(uintptr_t)b.data,
    };
}

size_t cofre_prefix_end(struct cofre_bytes prefix, void *ret_end)
{
    uint8_t *end = ret_end;
    if (prefix.size > 0) {
        memcpy(end, prefix.data, prefix.size);
    }
    for (size_t i = prefix.size; i > 0; i--) {
        if (end[i - 1] < 0xff) {
            end[i - 1]++;
            return i;
        }
    }
    end[0] = 0;
    return 1;
}

ProtobufCBinaryData client_prefix_end(struct arena *a, struct cofre_bytes key)
{
    uint8_t *end = arena_alloc(a, key.size + 1);
    size_t size = cofre_prefix_end(key, end);
    return (ProtobufCBinaryData){.len = size, .data = end};
}

/* The range that key, end and prefix describe. An empty prefix is the whole
 * store, whose first possible key is one zero byte. */
static void set_range(struct arena *a, struct cofre_bytes key,
                      struct cofre_bytes range_end, bool prefix,
                      ProtobufCBinaryData *ret_key,
                      ProtobufCBinaryData *ret_end)
{
    *ret_key = client_binary(key);
    *ret_end = client_binary(range_end);
    if (prefix) {
        if (key.size == 0) {
            *ret_key = (ProtobufCBinaryData){1, arena_zalloc(a, 1)};
        }
        *ret_end = client_prefix_end(a, key);
    }
}

int cofre_get(struct cofre *c, struct cofre_bytes key,
              const struct cofre_get_options *options,
              struct cofre_reply **ret_reply)
{
    static const struct cofre_get_options none;
    const struct cofre_get_options *o = options ? options : &none;
    Pb__RangeRequest request;
    pb__range_request__init(&request);
    struct arena arena;
    arena_init(&arena);
    set_range(&arena, key, o->range_end, o->prefix, &request.key,
              &request.range_end);
    request.limit = o->limit;
    request.revision = o->revision;
    request.serializable = o->serializable;
    request.keys_only = o->keys_only;
    int code = cofre_call(c, "/etcdserverpb.KV/Range", &request.base,
                          &pb__range_response__descriptor, ret_reply);
    arena_release(&arena);
    return code;
}

/* Hands the reply on, or drops it where nobody wants it. */
static void give(struct cofre_reply *reply, struct cofre_reply **ret_reply)
{
    if (ret_reply) {
        *ret_reply = reply;
    } else {
        cofre_reply_free(reply);
    }
}

int cofre_put(struct cofre *c, struct cofre_bytes key, struct cofre_bytes value,
              const struct cofre_put_options *options,
              struct cofre_reply **ret_reply)
{
    static const struct cofre_put_options none;
    const struct cofre_put_options *o = options ? options : &none;
    struct cofre_reply *reply = NULL;
    Pb__PutRequest request;
    pb__put_request__init(&request);
    request.key = client_binary(key);
    request.value = client_binary(value);
    request.lease = o->lease;
    request.prev_kv = o->previous;
    request.ignore_value = o->ignore_value;
    request.ignore_lease = o->ignore_lease;
    int code = cofre_call(c, "/etcdserverpb.KV/Put", &request.base,
                          &pb__put_response__descriptor, &reply);
    if (code == COFRE_OK) {
        give(reply, ret_reply);
    }
    return code;
}

int cofre_delete(struct cofre *c, struct cofre_bytes key,
                 const struct cofre_delete_options *options,
                 int64_t *ret_deleted, struct cofre_reply **ret_reply)
{
    static const struct cofre_delete_options none;
    const struct cofre_delete_options *o = options ? options : &none;
    struct cofre_reply *reply = NULL;
    Pb__DeleteRangeRequest request;
    pb__delete_range_request__init(&request);
    struct arena arena;
    arena_init(&arena);
    set_range(&arena, key, o->range_end, o->prefix, &request.key,
              &request.range_end);
    request.prev_kv = o->previous;
    int code = cofre_call(c, "/etcdserverpb.KV/DeleteRange", &request.base,
                          &pb__delete_range_response__descriptor, &reply);
    arena_release(&arena);
    if (code == COFRE_OK) {
        const Pb__DeleteRangeResponse *answer =
            (const Pb__DeleteRangeResponse *)(const void *)reply->message;
        if (ret_deleted) {
            *ret_deleted = answer->deleted;
        }
        give(reply, ret_reply);
    }
    return code;
}

int cofre_compact(struct cofre *c, int64_t revision, bool physical)
{
    struct cofre_reply *reply = NULL;
    Pb__CompactionRequest request;
    pb__compaction_request__init(&request);
    request.revision = revision;
    request.physical = physical;
    int code = cofre_call(c, "/etcdserverpb.KV/Compact", &request.base,
                          &pb__compaction_response__descriptor, &reply);
    cofre_reply_free(reply);
    return code;
}
