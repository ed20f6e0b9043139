/* role add, delete, get, list, grant-permission, revoke-permission. */
#include <stdlib.h>
#include <strings.h>

#include "base/mem.h"
#include "base/text.h"
#include "cli.h"

enum { ALL_BUT_TABLE = CLI_SIMPLE | CLI_FIELDS | CLI_JSON | CLI_PROTOBUF };

static char *one_name(const char *command, int argc, char **argv)
{
    if (argc != 1) {
        cli_exit(CLI_EXIT_BAD_ARGS,
                 "role %s command requires role name as its argument", command);
    }
    return argv[0];
}

static void run_add(struct cli *x, int argc, char **argv)
{
    Pb__AuthRoleAddRequest request;
    pb__auth_role_add_request__init(&request);
    request.name = one_name("add", argc, argv);
    cli_begin(x, ALL_BUT_TABLE);
    struct cofre_reply *reply =
        cli_ask(x, "/etcdserverpb.Auth/RoleAdd", &request.base,
                &pb__auth_role_add_response__descriptor);
    if (x->format == CLI_SIMPLE) {
        printf("Role %s created\n", request.name);
    }
    cofre_reply_free(reply);
}

static void run_delete(struct cli *x, int argc, char **argv)
{
    Pb__AuthRoleDeleteRequest request;
    pb__auth_role_delete_request__init(&request);
    request.role = one_name("delete", argc, argv);
    cli_begin(x, ALL_BUT_TABLE);
    struct cofre_reply *reply =
        cli_ask(x, "/etcdserverpb.Auth/RoleDelete", &request.base,
                &pb__auth_role_delete_response__descriptor);
    if (x->format == CLI_SIMPLE) {
        printf("Role %s deleted\n", request.role);
    }
    cofre_reply_free(reply);
}

static void run_list(struct cli *x, int argc, char **argv)
{
    Pb__AuthRoleListRequest request;
    if (argc > 0) {
        cli_exit(CLI_EXIT_BAD_ARGS, "role list command requires no arguments");
    }
    pb__auth_role_list_request__init(&request);
    cli_begin(x, ALL_BUT_TABLE);
    struct cofre_reply *reply =
        cli_ask(x, "/etcdserverpb.Auth/RoleList", &request.base,
                &pb__auth_role_list_response__descriptor);
    const Pb__AuthRoleListResponse *m =
        CLI_MESSAGE(Pb__AuthRoleListResponse, reply);
    if (x->format == CLI_FIELDS) {
        fputs("\"Roles\" :", stdout);
        for (size_t i = 0; i < m->n_roles; i++) {
            struct buf quoted = BUF_INIT(SIZE_MAX);
            text_quote(&quoted, slice_str(m->roles[i]));
            printf(" %.*s", (int)quoted.size, (char *)quoted.data);
            buf_release(&quoted);
        }
        putchar('\n');
    }
    for (size_t i = 0; x->format == CLI_SIMPLE && i < m->n_roles; i++) {
        puts(m->roles[i]);
    }
    cofre_reply_free(reply);
}

static bool is_open_end(ProtobufCBinaryData end)
{
    return end.len == 1 && end.data[0] == 0;
}

static bool is_prefix_range(ProtobufCBinaryData key, ProtobufCBinaryData end)
{
    uint8_t *room = mem_alloc(key.len + 1);
    struct cofre_bytes prefix = {key.data, key.len};
    size_t size = cofre_prefix_end(prefix, room);
    bool same = slice_eq(slice_of(room, size), cli_bytes(end));
    free(room);
    return same;
}

static void print_range(ProtobufCBinaryData key, ProtobufCBinaryData end)
{
    putchar('\t');
    if (end.len == 0) {
        fwrite(key.data, 1, key.len, stdout);
    } else if (is_open_end(end)) {
        putchar('[');
        fwrite(key.data, 1, key.len, stdout);
        fputs(", <open ended>", stdout);
    } else {
        putchar('[');
        fwrite(key.data, 1, key.len, stdout);
        fputs(", ", stdout);
        fwrite(end.data, 1, end.len, stdout);
        putchar(')');
        if (is_prefix_range(key, end)) {
            fputs(" (prefix ", stdout);
            fwrite(key.data, 1, key.len, stdout);
            putchar(')');
        }
    }
    putchar('\n');
}

static void print_permissions(const Pb__AuthRoleGetResponse *m,
                              Pb__Permission__Type kind)
{
    for (size_t i = 0; i < m->n_perm; i++) {
        const Pb__Permission *p = m->perm[i];
        if (p->permtype == kind ||
            p->permtype == PB__PERMISSION__TYPE__READWRITE) {
            print_range(p->key, p->range_end);
        }
    }
}

void cli_print_role(const char *name, const Pb__AuthRoleGetResponse *m)
{
    printf("Role %s\nKV Read:\n", name);
    print_permissions(m, PB__PERMISSION__TYPE__READ);
    puts("KV Write:");
    print_permissions(m, PB__PERMISSION__TYPE__WRITE);
}

static void role_fields(const Pb__AuthRoleGetResponse *m)
{
    for (size_t i = 0; i < m->n_perm; i++) {
        const Pb__Permission *p = m->perm[i];
        const ProtobufCEnumValue *v = protobuf_c_enum_descriptor_get_value(
            &pb__permission__type__descriptor, (int)p->permtype);
        printf("\"PermType\" :  %s\n", v ? v->name : "UNKNOWN");
        cli_field_quoted("Key", cli_bytes(p->key));
        cli_field_quoted("RangeEnd", cli_bytes(p->range_end));
    }
}

static void run_get(struct cli *x, int argc, char **argv)
{
    Pb__AuthRoleGetRequest request;
    pb__auth_role_get_request__init(&request);
    request.role = one_name("get", argc, argv);
    cli_begin(x, ALL_BUT_TABLE);
    struct cofre_reply *reply =
        cli_ask(x, "/etcdserverpb.Auth/RoleGet", &request.base,
                &pb__auth_role_get_response__descriptor);
    const Pb__AuthRoleGetResponse *m =
        CLI_MESSAGE(Pb__AuthRoleGetResponse, reply);
    if (x->format == CLI_SIMPLE) {
        cli_print_role(request.role, m);
    } else if (x->format == CLI_FIELDS) {
        role_fields(m);
    }
    cofre_reply_free(reply);
}

/* The range of a permission: words are key and, without a flag, its end. */
static void permission_range(struct cli *x, int argc, char **argv,
                             ProtobufCBinaryData *ret_key,
                             ProtobufCBinaryData *ret_end)
{
    bool prefix = pflag_bool(&x->flags, "prefix");
    bool from_key = pflag_bool(&x->flags, "from-key");
    if (prefix && from_key) {
        cli_exit(CLI_EXIT_BAD_ARGS,
                 "--from-key and --prefix flags are mutually exclusive");
    }
    if (argc > 1 && (prefix || from_key)) {
        cli_exit(CLI_EXIT_BAD_ARGS, "unexpected endkey argument with --%s flag",
                 prefix ? "prefix" : "from-key");
    }
    cli_set_range(&x->flags, argv[0], argc > 1 ? argv[1] : NULL, ret_key,
                  ret_end);
    if (ret_key->len == 0) {
        *ret_key = (ProtobufCBinaryData){1, arena_zalloc(&x->flags.arena, 1)};
    }
}

static Pb__Permission__Type permission_type(const char *word)
{
    static const char *const words[] = {"read", "write", "readwrite"};
    for (int i = 0; i < 3; i++) {
        if (strcasecmp(word, words[i]) == 0) {
            return (Pb__Permission__Type)i;
        }
    }
    cli_exit(CLI_EXIT_BAD_ARGS, "invalid permission type: %s", word);
}

static void run_grant(struct cli *x, int argc, char **argv)
{
    Pb__AuthRoleGrantPermissionRequest request;
    Pb__Permission permission;
    if (argc < 3) {
        cli_exit(CLI_EXIT_BAD_ARGS,
                 "role grant command requires role name, permission type, "
                 "and key [endkey] as its argument");
    }
    pb__auth_role_grant_permission_request__init(&request);
    pb__permission__init(&permission);
    request.name = argv[0];
    request.perm = &permission;
    permission.permtype = permission_type(argv[1]);
    permission_range(x, argc - 2, argv + 2, &permission.key,
                     &permission.range_end);
    cli_begin(x, ALL_BUT_TABLE);
    struct cofre_reply *reply =
        cli_ask(x, "/etcdserverpb.Auth/RoleGrantPermission", &request.base,
                &pb__auth_role_grant_permission_response__descriptor);
    if (x->format == CLI_SIMPLE) {
        printf("Role %s updated\n", argv[0]);
    }
    cofre_reply_free(reply);
}

static void print_revoked(char **argv, ProtobufCBinaryData end)
{
    if (end.len == 0) {
        printf("Permission of key %s is revoked from role %s\n", argv[1],
               argv[0]);
    } else if (is_open_end(end)) {
        printf("Permission of range [%s, <open ended> is revoked from role "
               "%s\n",
               argv[1], argv[0]);
    } else {
        printf("Permission of range [%s, %.*s) is revoked from role %s\n",
               argv[1], (int)end.len, (char *)end.data, argv[0]);
    }
}

static void run_revoke(struct cli *x, int argc, char **argv)
{
    Pb__AuthRoleRevokePermissionRequest request;
    if (argc < 2) {
        cli_exit(CLI_EXIT_BAD_ARGS,
                 "role revoke-permission command requires role name and key "
                 "[endkey] as its argument");
    }
    pb__auth_role_revoke_permission_request__init(&request);
    request.role = argv[0];
    permission_range(x, argc - 1, argv + 1, &request.key, &request.range_end);
    cli_begin(x, ALL_BUT_TABLE);
    struct cofre_reply *reply =
        cli_ask(x, "/etcdserverpb.Auth/RoleRevokePermission", &request.base,
                &pb__auth_role_revoke_permission_response__descriptor);
    if (x->format == CLI_SIMPLE) {
        print_revoked(argv, request.range_end);
    }
    cofre_reply_free(reply);
}

static const struct pflag range_flags[] = {
    {"from-key", PFLAG_BOOL, "false",
     "the key and all behind it, in byte order"},
    {"prefix", PFLAG_BOOL, "false", "the keys with this beginning"},
    {NULL}};

#define ROLE_COMMAND(id, name_, arguments_, summary_, flags_) \
    static const struct cli_command id##_command = {          \
        .name = name_,                                        \
        .arguments = arguments_,                              \
        .summary = summary_,                                  \
        .flags = flags_,                                      \
        .parent = &cli_role,                                  \
        .run = run_##id,                                      \
    }

ROLE_COMMAND(add, "add", "<role name>", "Adds a role", NULL);
ROLE_COMMAND(delete, "delete", "<role name>", "Deletes a role", NULL);
ROLE_COMMAND(get, "get", "<role name>", "Shows what a role may", NULL);
ROLE_COMMAND(list, "list", NULL, "Lists all roles", NULL);
ROLE_COMMAND(grant, "grant-permission",
             "[options] <role name> <permission type> <key> [endkey]",
             "Lets a role read or write keys", range_flags);
ROLE_COMMAND(revoke, "revoke-permission", "<role name> <key> [endkey]",
             "Takes a permission from a role", range_flags);

const struct cli_command cli_role = {
    .name = "role",
    .summary = "Commands for roles",
    .group = "Authentication commands",
    .parent = &cli_root,
    .children = (const struct cli_command *const[]){
        &add_command, &delete_command, &get_command, &list_command,
        &grant_command, &revoke_command, NULL}};
