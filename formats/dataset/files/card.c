/* The dataset card: README.md, whose first lines between --- are YAML. Its `configs` is a list of
 *
 *     config_name: default
 *     default: true            perhaps
 *     data_dir: data           perhaps: what its patterns are in
 *     data_files: "*.csv", or a list of such, or {train: "train.csv", test: [...]}, or
 *       - split: train
 *         path: data/train-*
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <yaml.h>

#include "formats/dataset/files/card.h"
#include "runtime/base/file.h"
#include "runtime/base/text.h"

enum { MAX_BYTES = 4 << 20, MAX_PATTERNS = 10000 };

typedef struct reading {
    yaml_document_t *document;
    const char *path, *directory; /* data_dir, or NULL */
    vkft_dataset_card *out;
    vkft_err *err;
} reading;

static yaml_node_t *node(const reading *c, int index)
{
    return yaml_document_get_node(c->document, index);
}

/* The scalar's text; NULL: it is none. */
static const char *text_of(const yaml_node_t *n)
{
    return n && n->type == YAML_SCALAR_NODE ? (const char *)n->data.scalar.value : NULL;
}

static yaml_node_t *member(const reading *c, const yaml_node_t *map, const char *key)
{
    if (!map || map->type != YAML_MAPPING_NODE)
        return NULL;
    for (yaml_node_pair_t *p = map->data.mapping.pairs.start; p < map->data.mapping.pairs.top; p++) {
        const char *name = text_of(node(c, p->key));
        if (name && strcmp(name, key) == 0)
            return node(c, p->value);
    }
    return NULL;
}

static bool add_pattern(const reading *c, const char *split, const char *pattern)
{
    vkft_dataset_card *r = c->out;
    if (r->count == MAX_PATTERNS)
        return vkft_fail(c->err, VKFT_ERR_INPUT, "%s: more than %d patterns in data_files", c->path, MAX_PATTERNS);
    vkft_card_files *grown = realloc(r->files, (r->count + 1ull) * sizeof *grown);
    if (!grown)
        return vkft_fail_memory(c->err, "while reading %s", c->path);
    r->files = grown;
    vkft_card_files *s = &grown[r->count];
    s->split = vkft_string_copy(split);
    s->pattern = c->directory ? vkft_path_join(c->directory, pattern) : vkft_string_copy(pattern);
    if (s->split && s->pattern) {
        r->count++;
        return true;
    }
    free(s->split);
    free(s->pattern);
    return vkft_fail_memory(c->err, "while reading %s", c->path);
}

/* A pattern, or a list of them. */
static bool add_patterns(const reading *c, const char *split, const yaml_node_t *n)
{
    bool ok = true;
    if (text_of(n))
        return add_pattern(c, split, text_of(n));
    if (!n || n->type != YAML_SEQUENCE_NODE)
        return vkft_fail(c->err, VKFT_ERR_INPUT,
                         "%s: the files of split '%.60s' are no path; expected a path, or a list", c->path, split);
    for (yaml_node_item_t *i = n->data.sequence.items.start; ok && i < n->data.sequence.items.top; i++) {
        const char *pattern = text_of(node(c, *i));
        ok = pattern ? add_pattern(c, split, pattern)
                     : vkft_fail(c->err, VKFT_ERR_INPUT, "%s: a file of split '%.60s' is no path", c->path, split);
    }
    return ok;
}

static bool add_files(const reading *c, const yaml_node_t *files)
{
    bool ok = true;
    if (!files)
        return add_pattern(c, "", "**");
    if (files->type == YAML_MAPPING_NODE) {
        for (yaml_node_pair_t *p = files->data.mapping.pairs.start; ok && p < files->data.mapping.pairs.top; p++) {
            const char *split = text_of(node(c, p->key));
            ok = add_patterns(c, split ? split : "", node(c, p->value));
        }
        return ok;
    }
    if (files->type != YAML_SEQUENCE_NODE)
        return add_patterns(c, "train", files);
    for (yaml_node_item_t *i = files->data.sequence.items.start; ok && i < files->data.sequence.items.top; i++) {
        const yaml_node_t *item = node(c, *i);
        const char *split = text_of(member(c, item, "split"));
        ok = text_of(item) ? add_pattern(c, "train", text_of(item))
                           : add_patterns(c, split ? split : "train", member(c, item, "path"));
    }
    return ok;
}

static const char *name_of(const reading *c, const yaml_node_t *config)
{
    const char *name = text_of(member(c, config, "config_name"));
    return name ? name : "default";
}

/* The configuration of this name; NULL: the one that is marked, or called default, or the only one. */
static const yaml_node_t *choose(const reading *c, const yaml_node_t *configs, const char *wanted)
{
    const yaml_node_t *chosen = NULL, *only = NULL;
    vkft_text names = {0};
    uint32_t count = 0;
    for (yaml_node_item_t *i = configs->data.sequence.items.start; i < configs->data.sequence.items.top; i++, count++) {
        const yaml_node_t *config = only = node(c, *i);
        const char *name = name_of(c, config), *mark = text_of(member(c, config, "default"));
        bool marked = mark && (strcmp(mark, "true") == 0 || strcmp(mark, "True") == 0);
        if (wanted ? strcmp(name, wanted) == 0 : marked || (!chosen && strcmp(name, "default") == 0))
            chosen = config;
        if (names.length < 400) {
            vkft_text_append(&names, names.length ? ", " : "", names.length ? 2 : 0, NULL);
            vkft_text_append(&names, name, strlen(name), NULL);
        }
    }
    if (!chosen && !wanted && count == 1)
        chosen = only;
    if (!chosen && wanted)
        vkft_fail(c->err, VKFT_ERR_INPUT, "%s: no configuration '%.60s'; it has %.400s", c->path, wanted,
                  names.data ? names.data : "none");
    else if (!chosen)
        vkft_fail(c->err, VKFT_ERR_INPUT,
                  "%s: several configurations, none of which is the default: %.400s; choose one with "
                  "--dataset-config",
                  c->path, names.data ? names.data : "none");
    vkft_text_free(&names);
    return chosen;
}

static bool read_document(reading *c, const char *wanted)
{
    const yaml_node_t *configs = member(c, yaml_document_get_root_node(c->document), "configs");
    if (!configs || configs->type != YAML_SEQUENCE_NODE)
        return true;
    const yaml_node_t *config = choose(c, configs, wanted);
    if (!config)
        return false;
    c->out->has_configs = true;
    c->directory = text_of(member(c, config, "data_dir"));
    return add_files(c, member(c, config, "data_files"));
}

/* The YAML between the first two lines of ---; NULL: there is none. */
static const char *front_matter(const char *text, size_t *length)
{
    if (strncmp(text, "---", 3) != 0 || (text[3] != '\n' && text[3] != '\r'))
        return NULL;
    const char *begin = text + 4, *end = strstr(begin, "\n---");
    *length = end ? (size_t)(end - begin) + 1 : 0;
    return end ? begin : NULL;
}

static bool parse(const char *path, const char *text, const char *config, vkft_dataset_card *r, vkft_err *err)
{
    yaml_parser_t parser;
    yaml_document_t document;
    size_t length;
    const char *yaml = front_matter(text, &length);
    if (!yaml)
        return true;
    if (!yaml_parser_initialize(&parser))
        return vkft_fail_memory(err, "while reading %s", path);
    yaml_parser_set_input_string(&parser, (const unsigned char *)yaml, length);
    bool ok = yaml_parser_load(&parser, &document);
    if (ok) {
        reading c = {.document = &document, .path = path, .out = r, .err = err};
        ok = read_document(&c, config);
        yaml_document_delete(&document);
    } else {
        vkft_fail(err, VKFT_ERR_INPUT, "%s: line %zu: %s; the YAML at its beginning says which files the splits have",
                  path, parser.problem_mark.line + 2, parser.problem ? parser.problem : "not valid YAML");
    }
    yaml_parser_delete(&parser);
    return ok;
}

bool vkft_dataset_card_read(const char *directory, const char *config, vkft_dataset_card *r, vkft_err *err)
{
    *r = (vkft_dataset_card){0};
    char *path = vkft_path_join(directory, "README.md"), *text = NULL;
    size_t size;
    bool found = false, ok = path || vkft_fail_memory(err, "while looking for the data");
    ok = ok && vkft_file_find(path, &found, err);
    if (ok && found)
        ok = vkft_file_read(path, MAX_BYTES, &text, &size, err) && parse(path, text, config, r, err);
    if (ok && config && !r->has_configs)
        ok = vkft_fail(err, VKFT_ERR_INPUT,
                       "%s: no README.md with `configs`, of which --dataset-config could choose '%.60s'; leave it out",
                       directory, config);
    free(text);
    free(path);
    if (!ok)
        vkft_dataset_card_free(r);
    return ok;
}

void vkft_dataset_card_free(vkft_dataset_card *r)
{
    for (uint32_t i = 0; i < r->count; i++) {
        free(r->files[i].split);
        free(r->files[i].pattern);
    }
    free(r->files);
    *r = (vkft_dataset_card){0};
}
