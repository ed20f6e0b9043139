/* user add, delete, get, list, passwd, grant-role, revoke-role. */
#include <stdlib.h>

#include "cli.h"

enum { ALL_BUT_TABLE = CLI_SIMPLE | CLI_FIELDS | CLI_JSON | CLI_PROTOBUF };

static char *one_name(const char *command, int argc, char **argv)
{
    if (argc != 1) {
        cli_exit(CLI_EXIT_BAD_ARGS,
                 "user %s command requires user name as its argument", command);
    }
    return argv[0];
}

/* Asked for twice, so that a slip of the finger locks nobody out. */
static char *ask_password(struct cli *x, const char *name)
{
    struct arena *a = &x->flags.arena;
    char *first = cli_read_secret(x, arena_printf(a, "Password of %s: ", name));
    if (*first == 0) {
        cli_exit(CLI_EXIT_BAD_ARGS, "empty password");
    }
    char *second = cli_read_secret(
        x,
        arena_printf(a, "Type password of %s again for confirmation: ", name));
    if (strcmp(first, second) != 0) {
        cli_exit(CLI_EXIT_BAD_ARGS, "given passwords are different");
    }
    return first;
}

/* The first word of a line of standard input. */
static char *read_password(struct cli *x, const char *name)
{
    if (pflag_bool(&x->flags, "interactive")) {
        return ask_password(x, name);
    }
    char *line = cli_read_line(stdin);
    char *word = line ? line + strspn(line, " \t\r") : NULL;
    char *kept =
        arena_printf(&x->flags.arena, "%.*s",
                     word ? (int)strcspn(word, " \t\r") : 0, word ? word : "");
    free(line);
    return kept;
}

static void run_add(struct cli *x, int argc, char **argv)
{
    char *name = one_name("add", argc, argv);
    Pb__AuthUserAddRequest request;
    Pb__UserAddOptions options;
    pb__auth_user_add_request__init(&request);
    pb__user_add_options__init(&options);
    request.options = &options;
    request.name = name;
    char *colon = strchr(name, ':');
    const char *given = pflag_text(&x->flags, "new-user-password");
    cli_begin(x, ALL_BUT_TABLE);
    if (pflag_bool(&x->flags, "no-password")) {
        options.no_password = true;
    } else if (*given) {
        request.password = arena_strdup(&x->flags.arena, given);
    } else if (colon) {
        *colon = 0;
        request.password = colon + 1;
        if (*name == 0) {
            cli_exit(CLI_EXIT_BAD_ARGS, "empty user name is not allowed");
        }
    } else {
        request.password = read_password(x, name);
    }
    struct cofre_reply *reply =
        cli_ask(x, "/etcdserverpb.Auth/UserAdd", &request.base,
                &pb__auth_user_add_response__descriptor);
    if (x->format == CLI_SIMPLE) {
        printf("User %s created\n", request.name);
    }
    cofre_reply_free(reply);
}

static void run_delete(struct cli *x, int argc, char **argv)
{
    Pb__AuthUserDeleteRequest request;
    pb__auth_user_delete_request__init(&request);
    request.name = one_name("delete", argc, argv);
    cli_begin(x, ALL_BUT_TABLE);
    struct cofre_reply *reply =
        cli_ask(x, "/etcdserverpb.Auth/UserDelete", &request.base,
                &pb__auth_user_delete_response__descriptor);
    if (x->format == CLI_SIMPLE) {
        printf("User %s deleted\n", request.name);
    }
    cofre_reply_free(reply);
}

static void print_role(struct cli *x, char *name)
{
    Pb__AuthRoleGetRequest request;
    pb__auth_role_get_request__init(&request);
    request.role = name;
    struct cofre_reply *reply =
        cli_call(x, "/etcdserverpb.Auth/RoleGet", &request.base,
                 &pb__auth_role_get_response__descriptor, NULL);
    putchar('\n');
    cli_print_role(name, CLI_MESSAGE(Pb__AuthRoleGetResponse, reply));
    cofre_reply_free(reply);
}

static void run_get(struct cli *x, int argc, char **argv)
{
    Pb__AuthUserGetRequest request;
    pb__auth_user_get_request__init(&request);
    request.name = one_name("get", argc, argv);
    cli_begin(x, CLI_SIMPLE | CLI_JSON | CLI_PROTOBUF);
    struct cofre_reply *reply =
        cli_ask(x, "/etcdserverpb.Auth/UserGet", &request.base,
                &pb__auth_user_get_response__descriptor);
    const Pb__AuthUserGetResponse *m =
        CLI_MESSAGE(Pb__AuthUserGetResponse, reply);
    bool detail = pflag_bool(&x->flags, "detail");
    if (x->format == CLI_SIMPLE) {
        printf("User: %s\n", request.name);
        fputs(detail ? "" : "Roles:", stdout);
        for (size_t i = 0; i < m->n_roles; i++) {
            if (detail) {
                print_role(x, m->roles[i]);
            } else {
                printf(" %s", m->roles[i]);
            }
        }
        fputs(detail ? "" : "\n", stdout);
    }
    cofre_reply_free(reply);
}

static void run_list(struct cli *x, int argc, char **argv)
{
    Pb__AuthUserListRequest request;
    if (argc > 0) {
        cli_exit(CLI_EXIT_BAD_ARGS, "user list command requires no arguments");
    }
    pb__auth_user_list_request__init(&request);
    cli_begin(x, CLI_SIMPLE | CLI_JSON | CLI_PROTOBUF);
    struct cofre_reply *reply =
        cli_ask(x, "/etcdserverpb.Auth/UserList", &request.base,
                &pb__auth_user_list_response__descriptor);
    const Pb__AuthUserListResponse *m =
        CLI_MESSAGE(Pb__AuthUserListResponse, reply);
    for (size_t i = 0; x->format == CLI_SIMPLE && i < m->n_users; i++) {
        puts(m->users[i]);
    }
    cofre_reply_free(reply);
}

static void run_passwd(struct cli *x, int argc, char **argv)
{
    Pb__AuthUserChangePasswordRequest request;
    pb__auth_user_change_password_request__init(&request);
    request.name = one_name("passwd", argc, argv);
    cli_begin(x, ALL_BUT_TABLE);
    request.password = read_password(x, request.name);
    struct cofre_reply *reply =
        cli_ask(x, "/etcdserverpb.Auth/UserChangePassword", &request.base,
                &pb__auth_user_change_password_response__descriptor);
    if (x->format == CLI_SIMPLE) {
        puts("Password updated");
    }
    cofre_reply_free(reply);
}

static void run_grant_role(struct cli *x, int argc, char **argv)
{
    Pb__AuthUserGrantRoleRequest request;
    if (argc != 2) {
        cli_exit(CLI_EXIT_BAD_ARGS, "user grant command requires user name "
                                    "and role name as its argument");
    }
    pb__auth_user_grant_role_request__init(&request);
    request.user = argv[0];
    request.role = argv[1];
    cli_begin(x, ALL_BUT_TABLE);
    struct cofre_reply *reply =
        cli_ask(x, "/etcdserverpb.Auth/UserGrantRole", &request.base,
                &pb__auth_user_grant_role_response__descriptor);
    if (x->format == CLI_SIMPLE) {
        printf("Role %s is granted to user %s\n", argv[1], argv[0]);
    }
    cofre_reply_free(reply);
}

static void run_revoke_role(struct cli *x, int argc, char **argv)
{
    Pb__AuthUserRevokeRoleRequest request;
    if (argc != 2) {
        cli_exit(CLI_EXIT_BAD_ARGS, "user revoke-role requires user name and "
                                    "role name as its argument");
    }
    pb__auth_user_revoke_role_request__init(&request);
    request.name = argv[0];
    request.role = argv[1];
    cli_begin(x, ALL_BUT_TABLE);
    struct cofre_reply *reply =
        cli_ask(x, "/etcdserverpb.Auth/UserRevokeRole", &request.base,
                &pb__auth_user_revoke_role_response__descriptor);
    if (x->format == CLI_SIMPLE) {
        printf("Role %s is revoked from user %s\n", argv[1], argv[0]);
    }
    cofre_reply_free(reply);
}

static const struct pflag add_flags[] = {
    {"interactive", PFLAG_BOOL, "true",
     "ask for the password (else: a line of standard input)"},
    {"new-user-password", PFLAG_STRING, "", "password of the new user"},
    {"no-password", PFLAG_BOOL, "false",
     "a user without password, for certificates only"},
    {NULL}};
static const struct pflag get_flags[] = {
    {"detail", PFLAG_BOOL, "false", "show what the roles may"}, {NULL}};
static const struct pflag passwd_flags[] = {
    {"interactive", PFLAG_BOOL, "true",
     "ask for the password (else: a line of standard input)"},
    {NULL}};

#define USER_COMMAND(id, name_, arguments_, summary_, flags_) \
    static const struct cli_command id##_command = {          \
        .name = name_,                                        \
        .arguments = arguments_,                              \
        .summary = summary_,                                  \
        .flags = flags_,                                      \
        .parent = &cli_user,                                  \
        .run = run_##id,                                      \
    }

USER_COMMAND(add, "add", "<user name or user:password> [options]",
             "Adds a user", add_flags);
USER_COMMAND(delete, "delete", "<user name>", "Deletes a user", NULL);
USER_COMMAND(get, "get", "<user name> [options]", "Shows a user's roles",
             get_flags);
USER_COMMAND(list, "list", NULL, "Lists all users", NULL);
USER_COMMAND(passwd, "passwd", "<user name> [options]",
             "Changes a user's password", passwd_flags);
USER_COMMAND(grant_role, "grant-role", "<user name> <role name>",
             "Gives a user a role", NULL);
USER_COMMAND(revoke_role, "revoke-role", "<user name> <role name>",
             "Takes a role from a user", NULL);

const struct cli_command cli_user = {
    .name = "user",
    .summary = "Commands for users",
    .group = "Authentication commands",
    .parent = &cli_root,
    .children = (const struct cli_command *const[]){
        &add_command, &delete_command, &get_command, &list_command,
        &passwd_command, &grant_role_command, &revoke_role_command, NULL}};
