/*
 * The members' processes, which PIDS names in the order of their addresses:
 *   kill WHO..     SIGKILL, and waits for the end
 *   stop WHO..     SIGTERM
 *   ended WHO..    waits until they have ended
 *   freeze WHO.., thaw WHO..
 *   start WHO..    those that have ended once more, as they were started
 *   join           a server for the member added last, with the peer URL
 *                  SPARE_PEER and the client URL SPARE_CLIENT
 * WHO: leader, follower, me, others (all but me), all, added. What is started
 * here ends with this process.
 */
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/mem.h"
#include "table.h"

enum { ARGS_MAX = 96, ARGS_BYTES_MAX = 8192, END_MS = 20000, PAUSE_MS = 10 };

static struct server {
    pid_t pid;
    bool is_ours; /* our child */
    bool has_ended;
    char *args[ARGS_MAX + 1];
} servers[MEMBERS_MAX + 1];

/* ---- what runs ---- */

static void read_args(struct server *p)
{
    char path[64], text[ARGS_BYTES_MAX];
    snprintf(path, sizeof path, "/proc/%d/cmdline", (int)p->pid);
    FILE *f = fopen(path, "r");
    size_t size = f ? fread(text, 1, sizeof text - 1, f) : 0;
    int count = 0;
    if (f) {
        fclose(f);
    }
    text[size] = 0;
    for (char *at = text; at < text + size && count < ARGS_MAX;
         at += strlen(at) + 1) {
        p->args[count++] = mem_strdup(at);
    }
}

static bool find_servers(void)
{
    const char *at = getenv("PIDS");
    char *end = NULL;
    for (int i = 0; at && i < MEMBERS_MAX && !servers[i].pid; i++, at = end) {
        servers[i].pid = (pid_t)strtol(at, &end, 10);
        if (servers[i].pid == 0) {
            break;
        }
        read_args(&servers[i]);
    }
    return servers[0].args[0] != NULL;
}

/* A child of the shell's that has ended may wait for it as a zombie. */
static bool has_ended(struct server *p)
{
    char path[64], text[512] = "";
    if (p->is_ours) {
        p->has_ended |= waitpid(p->pid, NULL, WNOHANG) == p->pid;
        return p->has_ended;
    }
    snprintf(path, sizeof path, "/proc/%d/stat", (int)p->pid);
    FILE *f = fopen(path, "r");
    if (f) {
        text[fread(text, 1, sizeof text - 1, f)] = 0;
        fclose(f);
    }
    const char *state = strrchr(text, ')');
    p->has_ended |= !state || state[2] == 'Z' || state[2] == 'X';
    return p->has_ended;
}

static const char *wait_end(struct server *p)
{
    for (int i = 0; !has_ended(p); i++) {
        if (i > END_MS / PAUSE_MS) {
            return "it runs on";
        }
        usleep(PAUSE_MS * 1000);
    }
    return NULL;
}

static const char *launch(struct server *p)
{
    pid_t parent = getpid();
    p->pid = fork();
    if (p->pid == 0) {
        int nothing = open("/dev/null", O_RDWR);
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        if (getppid() != parent) {
            _exit(1);
        }
        dup2(nothing, 0);
        dup2(nothing, 1);
        dup2(nothing, 2);
        for (int fd = 3; fd < 256; fd++) {
            close(fd);
        }
        execv(p->args[0], p->args);
        _exit(127);
    }
    p->is_ours = true;
    p->has_ended = false;
    return p->pid > 0 ? NULL : "cannot fork";
}

static const char *kill_one(struct server *p)
{
    if (!p->has_ended) {
        kill(p->pid, SIGKILL);
    }
    return wait_end(p);
}

/* ---- one that joins ---- */

static void set_arg(struct server *p, const char *name, const char *value)
{
    int i = 0;
    while (p->args[i] && strcmp(p->args[i], name) != 0) {
        i++;
    }
    if (!p->args[i]) {
        p->args[i] = mem_strdup(name);
    } else {
        free(p->args[i + 1]);
    }
    p->args[i + 1] = mem_strdup(value);
}

static const char *get_arg(const struct server *p, const char *name)
{
    for (int i = 0; p->args[i]; i++) {
        if (strcmp(p->args[i], name) == 0) {
            return p->args[i + 1];
        }
    }
    return "";
}

static const char *join(struct side *s)
{
    static int joined;
    struct server *p = &servers[GUEST];
    const char *client = getenv("SPARE_CLIENT"), *peer = getenv("SPARE_PEER");
    char text[ARGS_BYTES_MAX];
    struct url url;
    if (!client || !peer || url_parse(client, &url) != 0) {
        return "no SPARE_CLIENT, SPARE_PEER";
    }
    for (int i = 0; i < ARGS_MAX - 4 && servers[0].args[i]; i++) {
        free(p->args[i]);
        p->args[i] = mem_strdup(servers[0].args[i]);
    }
    snprintf(text, sizeof text, "%s.guest%d",
             get_arg(&servers[0], "--data-dir"), joined++);
    set_arg(p, "--data-dir", text);
    snprintf(text, sizeof text, "%s,guest=%s",
             get_arg(&servers[0], "--initial-cluster"), peer);
    set_arg(p, "--initial-cluster", text);
    set_arg(p, "--initial-cluster-state", "existing");
    set_arg(p, "--name", "guest");
    set_arg(p, "--listen-client-urls", client);
    set_arg(p, "--advertise-client-urls", client);
    set_arg(p, "--listen-peer-urls", peer);
    set_arg(p, "--initial-advertise-peer-urls", peer);
    struct member *m = &s->members[GUEST];
    if (!m->channel) {
        snprintf(m->url, sizeof m->url, "%s", client);
        m->channel = grpc_channel_new(s->loop, &url.address, 5000);
    }
    m->id = text_added();
    return launch(p);
}

/* ---- steps ---- */

static const char *const verbs[] = {"kill", "stop",  "ended", "freeze",
                                    "thaw", "start", "join"};

bool servers_has(const char *verb)
{
    for (size_t i = 0; i < sizeof verbs / sizeof *verbs; i++) {
        if (strcmp(verb, verbs[i]) == 0) {
            return true;
        }
    }
    return false;
}

static const char *act(struct side *s, int member, const char *verb)
{
    struct server *p = &servers[member];
    if (p->pid <= 0) {
        return "no such process";
    }
    if (strcmp(verb, "ended") == 0) {
        return wait_end(p);
    }
    if (strcmp(verb, "start") == 0) {
        const char *wrong = wait_end(p);
        return wrong ? wrong : launch(p);
    }
    s->is_apart = true;
    if (strcmp(verb, "kill") == 0) {
        return kill_one(p);
    }
    int signal = *verb == 's' ? SIGTERM : *verb == 'f' ? SIGSTOP : SIGCONT;
    return kill(p->pid, signal) == 0 ? NULL : "no such process";
}

const char *servers_stop(int member)
{
    if (!find_servers()) {
        return "no PIDS";
    }
    return kill(servers[member].pid, SIGTERM) == 0 ? NULL : "no such process";
}

static bool is_meant(const struct side *s, int me, const char *who, int member)
{
    if (strcmp(who, "added") == 0 || member == GUEST) {
        return strcmp(who, "added") == 0 && member == GUEST;
    }
    return strcmp(who, "all") == 0 ||
           (strcmp(who, "leader") == 0 && member == s->roles[0]) ||
           (strcmp(who, "follower") == 0 &&
            member == s->roles[1 % s->member_count]) ||
           (strcmp(who, "me") == 0 && member == me) ||
           (strcmp(who, "others") == 0 && member != me);
}

const char *servers_step(struct side *s, int me, const char *verb,
                         const char *text)
{
    const char *wrong = find_servers() ? NULL : "no PIDS";
    if (strcmp(verb, "join") == 0) {
        return wrong ? wrong : join(s);
    }
    char *words = arena_strdup(&s->scratch, text), *who;
    while (!wrong && (who = strtok_r(words, " ", &words))) {
        for (int i = 0; i <= GUEST && !wrong; i++) {
            if ((i < s->member_count || i == GUEST) &&
                is_meant(s, me, who, i)) {
                wrong = act(s, i, verb);
            }
        }
    }
    return wrong;
}
