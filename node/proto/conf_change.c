#include "base/bytes.h"
#include "proto.h"
#include "proto/raft.pb-c.h"

struct bytes *proto_conf_change(uint64_t id, int type, uint64_t node_id,
                                struct slice context)
{
    Pbr__ConfChange cc = PBR__CONF_CHANGE__INIT;
    cc.has_id = id != 0;
    cc.id = id;
    cc.has_type = cc.has_node_id = 1;
    cc.type = (Pbr__ConfChangeType)type;
    cc.node_id = node_id;
    cc.has_context = context.size != 0;
    cc.context =
        (ProtobufCBinaryData){context.size, (uint8_t *)(uintptr_t)context.data};
    struct bytes *data = bytes_new(pbr__conf_change__get_packed_size(&cc));
    pbr__conf_change__pack(&cc, data->data);
    return data;
}
