/*
 * The YAML (or JSON) configuration file: one flat map and four nested ones,
 * each key standing for a flag.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <yaml.h>

#include "base/err.h"
#include "base/log.h"
#include "base/mem.h"
#include "config.h"

enum { LIST_TEXT_MAX = 64 << 10 };

struct rename {
    const char *section;
    const char *key;
    const char *flag; /* NULL: the section's prefix and the key */
    const char *prefix;
};

static const struct rename renames[] = {
    {"client-transport-security", "allowed-hostname",
     "client-cert-allowed-hostname", NULL},
    {"client-transport-security", NULL, NULL, ""},
    {"peer-transport-security", "allowed-hostname",
     "peer-cert-allowed-hostname", NULL},
    {"peer-transport-security", "allowed-cn", "peer-cert-allowed-cn", NULL},
    {"peer-transport-security", NULL, NULL, "peer-"},
    {"socket-options", NULL, NULL, "socket-"},
    {"discovery-config", NULL, NULL, "discovery-"},
};

static char *flag_name(const char *section, const char *key)
{
    if (section == NULL) {
        return mem_strdup(key);
    }
    for (size_t i = 0; i < sizeof renames / sizeof *renames; i++) {
        const struct rename *r = &renames[i];
        if (strcmp(r->section, section) != 0 ||
            (r->key && strcmp(r->key, key) != 0)) {
            continue;
        }
        return r->flag ? mem_strdup(r->flag)
                       : mem_printf("%s%s", r->prefix, key);
    }
    return mem_printf("%s.%s", section, key);
}

static const char *scalar(const yaml_node_t *n)
{
    return n->type == YAML_SCALAR_NODE ? (const char *)n->data.scalar.value
                                       : "";
}

/* A list becomes the comma-joined text that the flag takes. */
static char *value_text(yaml_document_t *doc, const yaml_node_t *n)
{
    struct buf b = BUF_INIT(LIST_TEXT_MAX);
    if (n->type == YAML_SEQUENCE_NODE) {
        yaml_node_item_t *it = n->data.sequence.items.start;
        for (; it < n->data.sequence.items.top; it++) {
            buf_printf(&b, "%s%s", b.size ? "," : "",
                       scalar(yaml_document_get_node(doc, *it)));
        }
    } else {
        buf_append_str(&b, scalar(n));
    }
    buf_append_byte(&b, '\0');
    size_t size;
    return (char *)buf_detach(&b, &size);
}

static int set_one(struct config *c, const struct flag *f, const char *key,
                   char *value, struct buf *why)
{
    struct buf reason = BUF_INIT(LIST_TEXT_MAX);
    char *text = f->type == FLAG_DURATION ? mem_printf("%sns", value)
                                          : mem_strdup(value);
    int err = flag_set(c, f, text, &reason);
    if (err && f->type == FLAG_URLS) {
        buf_printf(why, "unexpected error setting up %s: %.*s", key,
                   (int)reason.size, (const char *)reason.data);
    } else if (err) {
        buf_printf(why,
                   "error unmarshaling JSON: invalid value \"%s\" for %s: "
                   "%.*s%s",
                   value, key, (int)reason.size, (const char *)reason.data,
                   f->type == FLAG_DURATION
                       ? " (durations are whole nanoseconds here)"
                       : "");
    }
    free(text);
    buf_release(&reason);
    return err;
}

static int read_map(struct config *c, yaml_document_t *doc,
                    const yaml_node_t *map, const char *section,
                    struct buf *why)
{
    yaml_node_pair_t *pair = map->data.mapping.pairs.start;
    int err = 0;
    for (; err == 0 && pair < map->data.mapping.pairs.top; pair++) {
        const char *key = scalar(yaml_document_get_node(doc, pair->key));
        yaml_node_t *node = yaml_document_get_node(doc, pair->value);
        if (node->type == YAML_MAPPING_NODE && section == NULL) {
            err = read_map(c, doc, node, key, why);
            continue;
        }
        char *name = flag_name(section, key);
        char *value = value_text(doc, node);
        const struct flag *f = flag_find(name, strlen(name));
        if (f == NULL) {
            log_warn("unknown key in the configuration file",
                     LOG_STR("key", name));
        } else if (value[0] != '\0' && strcmp(value, "null") != 0) {
            err = set_one(c, f, key, value, why);
        }
        free(name);
        free(value);
    }
    return err;
}

static int read_document(struct config *c, yaml_parser_t *parser,
                         struct buf *why)
{
    yaml_document_t doc;
    if (!yaml_parser_load(parser, &doc)) {
        buf_printf(why, "error converting YAML to JSON: yaml: line %zu: %s",
                   parser->problem_mark.line + 1,
                   parser->problem ? parser->problem : "unreadable");
        return ERR_INVALID;
    }
    yaml_node_t *root = yaml_document_get_root_node(&doc);
    int err = 0;
    if (root && root->type != YAML_MAPPING_NODE) {
        buf_append_str(why, "error unmarshaling JSON: not a map");
        err = ERR_INVALID;
    } else if (root) {
        err = read_map(c, &doc, root, NULL, why);
    }
    yaml_document_delete(&doc);
    return err;
}

int config_read_file(struct config *c, const char *path, struct buf *why)
{
    FILE *file = fopen(path, "re");
    if (file == NULL) {
        buf_printf(why, "open %s: %s", path,
                   errno == ENOENT ? "no such file or directory"
                                   : strerror(errno));
        return ERR_IO;
    }
    log_info("loaded server configuration, other configuration command line "
             "flags and environment variables will be ignored if provided",
             LOG_STR("path", path));
    yaml_parser_t parser;
    yaml_parser_initialize(&parser);
    yaml_parser_set_input_file(&parser, file);
    int err = read_document(c, &parser, why);
    yaml_parser_delete(&parser);
    fclose(file);
    return err;
}
