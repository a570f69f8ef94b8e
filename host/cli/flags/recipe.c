/* Recipes through libyaml and cJSON. See recipe.h.
 *
 * Both parsers end in the same list of entries, whose values are plain text: the table of flags knows the types, so
 * that a value means the same in a recipe and on the command line.
 */
#include "host/cli/flags/recipe.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cjson/cJSON.h>
#include <yaml.h>

#include "runtime/base/file.h"
#include "runtime/base/json.h"

#define MAX_RECIPE_BYTES (1u << 20)

static bool wrong(const vkft_recipe *r, uint32_t line, const char *name, const char *what, vkft_err *err)
{
    return vkft_fail(err, VKFT_ERR_USAGE, "%s:%u: %s: %s; expected a text, a number, true or false, or a list of these",
                     r->path, line, name, what);
}

/* Takes over value, which may be NULL. */
static bool add_entry(vkft_recipe *r, const char *name, char *value, uint32_t line, vkft_err *err)
{
    for (uint32_t i = 0; i < r->count; i++) {
        if (strcmp(r->entries[i].name, name) == 0) {
            free(value);
            return vkft_fail(err, VKFT_ERR_USAGE, "%s:%u: %s stands twice, first in line %u", r->path, line, name,
                             r->entries[i].line);
        }
    }
    vkft_recipe_entry *grown = realloc(r->entries, (r->count + 1) * sizeof *grown);
    if (grown)
        r->entries = grown;
    size_t size = strlen(name) + 1;
    char *copy = grown ? malloc(size) : NULL;
    if (!copy) {
        free(value);
        return vkft_fail_memory(err, "while reading %s", r->path);
    }
    memcpy(copy, name, size);
    r->entries[r->count++] = (vkft_recipe_entry){.name = copy, .value = value, .line = line};
    return true;
}

/* Appends item to a comma-joined text; *joined is NULL at first. */
static bool join(char **joined, const char *item)
{
    size_t old = *joined ? strlen(*joined) + 1 : 0;
    size_t size = strlen(item) + 1;
    char *grown = realloc(*joined, old + size);
    if (!grown)
        return false;
    if (old)
        grown[old - 1] = ',';
    memcpy(grown + old, item, size);
    *joined = grown;
    return true;
}

/* --- YAML --- */

static bool yaml_is_null(const yaml_node_t *node)
{
    const char *text = (const char *)node->data.scalar.value;
    return node->data.scalar.style == YAML_PLAIN_SCALAR_STYLE &&
           (!*text || strcmp(text, "~") == 0 || strcmp(text, "null") == 0 || strcmp(text, "Null") == 0 ||
            strcmp(text, "NULL") == 0);
}

static bool yaml_is_text(const yaml_node_t *node)
{
    return node->type == YAML_SCALAR_NODE && strlen((const char *)node->data.scalar.value) == node->data.scalar.length;
}

static bool yaml_list(yaml_document_t *document, const yaml_node_t *node, char **value)
{
    for (const yaml_node_item_t *i = node->data.sequence.items.start; i < node->data.sequence.items.top; i++) {
        const yaml_node_t *item = yaml_document_get_node(document, *i);
        if (!yaml_is_text(item) || !join(value, (const char *)item->data.scalar.value))
            return false;
    }
    return *value || join(value, "");
}

static bool yaml_entry(vkft_recipe *r, yaml_document_t *document, const yaml_node_pair_t *pair, vkft_err *err)
{
    const yaml_node_t *key = yaml_document_get_node(document, pair->key);
    const yaml_node_t *node = yaml_document_get_node(document, pair->value);
    uint32_t line = (uint32_t)key->start_mark.line + 1;
    if (!yaml_is_text(key))
        return wrong(r, line, "name", "not a text", err);
    const char *name = (const char *)key->data.scalar.value;
    char *value = NULL;
    bool ok = true;
    if (node->type == YAML_SEQUENCE_NODE)
        ok = yaml_list(document, node, &value);
    else if (!yaml_is_text(node))
        ok = false;
    else if (!yaml_is_null(node))
        ok = join(&value, (const char *)node->data.scalar.value);
    if (!ok) {
        free(value);
        return wrong(r, line, name, "a nested value", err);
    }
    return add_entry(r, name, value, line, err);
}

static bool yaml_entries(vkft_recipe *r, yaml_document_t *document, vkft_err *err)
{
    const yaml_node_t *root = yaml_document_get_root_node(document);
    if (!root)
        return vkft_fail(err, VKFT_ERR_USAGE, "%s: the recipe is empty; expected lines such as 'batch-size: 4'",
                         r->path);
    if (root->type != YAML_MAPPING_NODE)
        return vkft_fail(err, VKFT_ERR_USAGE, "%s:%u: expected lines such as 'batch-size: 4'", r->path,
                         (uint32_t)root->start_mark.line + 1);
    for (const yaml_node_pair_t *p = root->data.mapping.pairs.start; p < root->data.mapping.pairs.top; p++)
        if (!yaml_entry(r, document, p, err))
            return false;
    return true;
}

static bool read_yaml(vkft_recipe *r, const char *text, size_t size, vkft_err *err)
{
    yaml_parser_t parser;
    if (!yaml_parser_initialize(&parser))
        return vkft_fail_memory(err, "while reading %s", r->path);
    yaml_parser_set_input_string(&parser, (const unsigned char *)text, size);
    yaml_document_t document;
    bool ok = yaml_parser_load(&parser, &document) != 0;
    if (!ok) {
        vkft_fail(err, VKFT_ERR_USAGE, "%s:%u: not YAML: %s", r->path, (uint32_t)parser.problem_mark.line + 1,
                  parser.problem ? parser.problem : "out of memory");
    } else {
        ok = yaml_entries(r, &document, err);
        yaml_document_delete(&document);
    }
    yaml_parser_delete(&parser);
    return ok;
}

/* --- JSON --- */

/* cJSON keeps no positions: the line of a key is found by looking for "key" followed by a colon, from the last key on.
 * A key that is spelled with escapes is not found and gets the line of the one before. */
static uint32_t json_line(const char *text, size_t *at, const char *key)
{
    size_t length = strlen(key);
    for (const char *p = text + *at; (p = strchr(p, '"')) != NULL; p++) {
        if (strncmp(p + 1, key, length) == 0 && p[length + 1] == '"' &&
            p[length + 2 + strspn(p + length + 2, " \t\r\n")] == ':') {
            *at = (size_t)(p - text) + length + 2;
            break;
        }
    }
    uint32_t line = 1;
    for (size_t i = 0; i < *at; i++)
        line += text[i] == '\n';
    return line;
}

/* The text of a scalar: borrowed, or in buffer. NULL: not a scalar, or a number that a double does not hold exactly. */
static const char *json_scalar(const cJSON *value, char *buffer, size_t size)
{
    if (cJSON_IsString(value))
        return value->valuestring;
    if (cJSON_IsBool(value))
        return cJSON_IsTrue(value) ? "true" : "false";
    if (!cJSON_IsNumber(value))
        return NULL;
    bool whole = value->valuedouble == floor(value->valuedouble);
    if (whole && fabs(value->valuedouble) > 9007199254740992.0)
        return NULL;
    snprintf(buffer, size, whole ? "%.0f" : "%.17g", value->valuedouble);
    return buffer;
}

static bool json_value(const cJSON *value, char **text)
{
    char buffer[64];
    if (!cJSON_IsArray(value)) {
        const char *scalar = json_scalar(value, buffer, sizeof buffer);
        return scalar && join(text, scalar);
    }
    const cJSON *item;
    cJSON_ArrayForEach(item, value)
    {
        const char *scalar = json_scalar(item, buffer, sizeof buffer);
        if (!scalar || !join(text, scalar))
            return false;
    }
    return *text || join(text, "");
}

static bool json_entries(vkft_recipe *r, const char *text, const cJSON *root, vkft_err *err)
{
    if (!cJSON_IsObject(root))
        return vkft_fail(err, VKFT_ERR_USAGE, "%s: expected an object such as {\"batch-size\": 4}", r->path);
    size_t at = 0;
    const cJSON *value;
    cJSON_ArrayForEach(value, root)
    {
        uint32_t line = json_line(text, &at, value->string);
        char *joined = NULL;
        if (!cJSON_IsNull(value) && !json_value(value, &joined)) {
            free(joined);
            const char *what =
                cJSON_IsNumber(value) ? "a number too large for JSON, write it as text" : "a nested value";
            return wrong(r, line, value->string, what, err);
        }
        if (!add_entry(r, value->string, joined, line, err))
            return false;
    }
    return true;
}

static bool read_json(vkft_recipe *r, const char *text, size_t size, vkft_err *err)
{
    cJSON *root = vkft_json_parse(text, size, r->path, err);
    if (!root) {
        if (err->kind == VKFT_ERR_INPUT)
            err->kind = VKFT_ERR_USAGE;
        return false;
    }
    bool ok = json_entries(r, text, root, err);
    cJSON_Delete(root);
    return ok;
}

bool recipe_read(const char *path, vkft_recipe *r, vkft_err *err)
{
    r->path = path;
    char *text = NULL;
    size_t size = 0;
    if (!vkft_file_read(path, MAX_RECIPE_BYTES, &text, &size, err))
        return false;
    size_t length = strlen(path);
    bool json = length > 5 && strcmp(path + length - 5, ".json") == 0;
    if (!json)
        json = text[strspn(text, " \t\r\n")] == '{';
    bool ok = json ? read_json(r, text, size, err) : read_yaml(r, text, size, err);
    free(text);
    return ok;
}

void recipe_free(vkft_recipe *r)
{
    for (uint32_t i = 0; i < r->count; i++) {
        free(r->entries[i].name);
        free(r->entries[i].value);
    }
    free(r->entries);
    for (uint32_t i = 0; i < r->made_count; i++)
        free(r->made[i]);
    free(r->made);
    *r = (vkft_recipe){0};
}

const char *recipe_join(vkft_recipe *r, const char *first, const char *second)
{
    size_t length = strlen(first), size = strlen(second) + 1;
    char **grown = realloc(r->made, (r->made_count + 1) * sizeof *grown);
    if (grown)
        r->made = grown;
    char *text = grown ? malloc(length + size) : NULL;
    if (!text)
        return NULL;
    memcpy(text, first, length);
    memcpy(text + length, second, size);
    return r->made[r->made_count++] = text;
}
