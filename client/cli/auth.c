/* auth enable, disable, status. */
#include <inttypes.h>

#include "cli.h"

static void no_words(const char *command, int argc)
{
    if (argc > 0) {
        cli_exit(CLI_EXIT_BAD_ARGS,
                 "auth %s command does not accept any arguments", command);
    }
}

static int enable(struct cli *x)
{
    struct cofre_reply *reply = NULL;
    Pb__AuthEnableRequest request;
    pb__auth_enable_request__init(&request);
    int code =
        cofre_call(x->client, "/etcdserverpb.Auth/AuthEnable", &request.base,
                   &pb__auth_enable_response__descriptor, &reply);
    cofre_reply_free(reply);
    return code;
}

/* Makes the role that the user root lacks, and gives it to root. */
static void give_root_its_role(struct cli *x)
{
    struct cofre_reply *reply = NULL;
    Pb__AuthRoleAddRequest role;
    Pb__AuthUserGrantRoleRequest grant;
    pb__auth_role_add_request__init(&role);
    pb__auth_user_grant_role_request__init(&grant);
    char root[] = "root";
    role.name = grant.user = grant.role = root;
    int code = cofre_call(x->client, "/etcdserverpb.Auth/RoleAdd", &role.base,
                          &pb__auth_role_add_response__descriptor, &reply);
    cofre_reply_free(reply);
    if (code != COFRE_OK &&
        strcmp(cofre_error_text(x->client),
               "etcdserver: role name already exists") != 0) {
        cli_exit(CLI_EXIT_ERROR, "%s",
                 cli_error_text(x->client, &x->flags.arena));
    }
    cofre_reply_free(
        cli_call(x, "/etcdserverpb.Auth/UserGrantRole", &grant.base,
                 &pb__auth_user_grant_role_response__descriptor, NULL));
}

static void run_enable(struct cli *x, int argc, char **argv)
{
    no_words("enable", argc);
    cli_begin(x, CLI_TEXT_ONLY);
    cli_connect(x, true);
    int code = enable(x);
    if (code != COFRE_OK &&
        strcmp(cofre_error_text(x->client),
               "etcdserver: root user does not have root role") == 0) {
        give_root_its_role(x);
        code = enable(x);
    }
    if (code != COFRE_OK) {
        cli_exit(CLI_EXIT_ERROR, "%s",
                 cli_error_text(x->client, &x->flags.arena));
    }
    puts("Authentication Enabled");
}

static void run_disable(struct cli *x, int argc, char **argv)
{
    Pb__AuthDisableRequest request;
    no_words("disable", argc);
    pb__auth_disable_request__init(&request);
    cli_begin(x, CLI_TEXT_ONLY);
    cli_connect(x, true);
    cofre_reply_free(cli_call(x, "/etcdserverpb.Auth/AuthDisable",
                              &request.base,
                              &pb__auth_disable_response__descriptor, NULL));
    puts("Authentication Disabled");
}

static void run_status(struct cli *x, int argc, char **argv)
{
    Pb__AuthStatusRequest request;
    no_words("status", argc);
    pb__auth_status_request__init(&request);
    cli_begin(x, CLI_SIMPLE | CLI_JSON | CLI_PROTOBUF);
    struct cofre_reply *reply =
        cli_ask(x, "/etcdserverpb.Auth/AuthStatus", &request.base,
                &pb__auth_status_response__descriptor);
    if (x->format == CLI_SIMPLE) {
        const Pb__AuthStatusResponse *m =
            CLI_MESSAGE(Pb__AuthStatusResponse, reply);
        printf("Authentication Status: %s\nAuthRevision: %" PRIu64 "\n",
               m->enabled ? "true" : "false", m->authrevision);
    }
    cofre_reply_free(reply);
}

static const struct cli_command enable_command = {
    .name = "enable",
    .summary = "Turns authentication on",
    .parent = &cli_auth,
    .run = run_enable,
};
static const struct cli_command disable_command = {
    .name = "disable",
    .summary = "Turns authentication off",
    .parent = &cli_auth,
    .run = run_disable,
};
static const struct cli_command status_command = {
    .name = "status",
    .summary = "Tells whether authentication is on",
    .parent = &cli_auth,
    .run = run_status,
};
const struct cli_command cli_auth = {
    .name = "auth",
    .summary = "Commands for turning authentication on and off",
    .group = "Authentication commands",
    .parent = &cli_root,
    .children = (const struct cli_command *const[]){
        &enable_command, &disable_command, &status_command, NULL}};
