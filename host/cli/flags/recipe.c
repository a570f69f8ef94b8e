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
#include "runtime/base/text.h"

/* Far more than a recipe has; libyaml's own time grows with the square of some things. */
#define MAX_RECIPE_BYTES (256u << 10)
#define MAX_ENTRIES 1000
#define MAX_ANCHORS 100

static bool wrong(const vkft_recipe *r, uint32_t line, const char *name, const char *what, vkft_err *err)
{
    return vkft_fail(err, VKFT_ERR_USAGE, "%s:%u: %s: %s; expected a text, a number, true or false, or a list of these",
                     r->path, line, name, what);
}

/* A value on its way: its texts, each with its end. */
typedef struct value_texts {
    vkft_text texts; /* data NULL: null */
    uint32_t items;
    bool list;
} value_texts;

/* The value of an entry, and its list; *texts is emptied. */
static bool take_value(vkft_recipe_entry *e, value_texts *v)
{
    if (v->list && !v->items)
        return (e->value = vkft_string_copy("")) != NULL;
    if (v->list) {
        e->list = v->texts.data;
        e->items = v->items;
        v->texts.data = malloc(v->texts.length + 1);
        if (!v->texts.data)
            return false;
        memcpy(v->texts.data, e->list, v->texts.length + 1);
        for (size_t i = 1, at = 0; i < e->items; i++) {
            at += strlen(v->texts.data + at);
            v->texts.data[at++] = ',';
        }
    }
    e->value = v->texts.data;
    v->texts = (vkft_text){0};
    return true;
}

static void free_entry(vkft_recipe_entry *e)
{
    free(e->name);
    free(e->value);
    free(e->list);
}

/* Takes over what the value holds. */
static bool add_entry(vkft_recipe *r, const char *name, value_texts *value, uint32_t line, vkft_err *err)
{
    bool ok = r->count < MAX_ENTRIES || vkft_fail(err, VKFT_ERR_USAGE,
                                                  "%s:%u: more than %d settings; nothing has so "
                                                  "many",
                                                  r->path, line, MAX_ENTRIES);
    for (uint32_t i = 0; ok && i < r->count; i++)
        if (strcmp(r->entries[i].name, name) == 0)
            ok = vkft_fail(err, VKFT_ERR_USAGE, "%s:%u: %s stands twice, first in line %u", r->path, line, name,
                           r->entries[i].line);
    vkft_recipe_entry *grown = ok ? realloc(r->entries, (r->count + 1) * sizeof *grown) : NULL;
    if (grown)
        r->entries = grown;
    vkft_recipe_entry e = {.name = grown ? vkft_string_copy(name) : NULL, .line = line};
    if (!e.name || !take_value(&e, value)) {
        free_entry(&e);
        return ok && vkft_fail_memory(err, "while reading %s", r->path);
    }
    r->entries[r->count++] = e;
    return true;
}

static bool add_text(const vkft_recipe *r, value_texts *value, const char *item, vkft_err *err)
{
    bool ok = (!value->items || vkft_text_append(&value->texts, "", 1, err)) &&
              vkft_text_append(&value->texts, item, strlen(item), err);
    value->items++;
    return ok || vkft_fail_context(err, "while reading %s", r->path);
}

/* Whether a mapping of this name groups lines that mean the same without it: the arguments of a class of transformers,
 * PEFT or bitsandbytes. */
static bool is_group(const char *name)
{
    static const char *const groups[] = {"training_arguments", "training_args",       "lora_config",
                                         "peft_config",        "quantization_config", "bnb_config"};
    for (size_t i = 0; i < sizeof groups / sizeof *groups; i++)
        if (strcmp(name, groups[i]) == 0)
            return true;
    return false;
}

/* --- YAML --- */

/* What an anchor (&name) stands for: a text alone, which is all that a recipe can use. */
typedef struct anchor {
    char *name, *text;
    bool null;
} anchor;

/* Events of the parser are read one by one: a document of its own would be built in a time that grows with the square
 * of its anchors, and to any depth. */
typedef struct yaml_reader {
    vkft_recipe *r;
    yaml_parser_t parser;
    yaml_event_t event; /* the one looked at; its memory is its own until the next one */
    anchor anchors[MAX_ANCHORS];
    uint32_t anchor_count;
    size_t aliased; /* bytes that aliases stood for */
    vkft_err *err;
} yaml_reader;

static uint32_t yaml_line(const yaml_reader *y)
{
    return (uint32_t)y->event.start_mark.line + 1;
}

static bool yaml_next(yaml_reader *y)
{
    yaml_event_delete(&y->event);
    if (yaml_parser_parse(&y->parser, &y->event))
        return true;
    if (y->parser.error == YAML_MEMORY_ERROR)
        return vkft_fail_memory(y->err, "while reading %s", y->r->path);
    return vkft_fail(y->err, VKFT_ERR_USAGE, "%s:%u: not YAML: %s", y->r->path,
                     (uint32_t)y->parser.problem_mark.line + 1, y->parser.problem ? y->parser.problem : "damaged");
}

static bool scalar_is_null(const yaml_event_t *event)
{
    const char *text = (const char *)event->data.scalar.value;
    return event->data.scalar.style == YAML_PLAIN_SCALAR_STYLE &&
           (!*text || strcmp(text, "~") == 0 || strcmp(text, "null") == 0 || strcmp(text, "Null") == 0 ||
            strcmp(text, "NULL") == 0);
}

static bool keep_anchor(yaml_reader *y, const char *name, const char *text, bool null)
{
    if (y->anchor_count == MAX_ANCHORS)
        return vkft_fail(y->err, VKFT_ERR_USAGE, "%s:%u: more than %d anchors (&)", y->r->path, yaml_line(y),
                         MAX_ANCHORS);
    anchor *a = &y->anchors[y->anchor_count++];
    *a = (anchor){vkft_string_copy(name), vkft_string_copy(text), null};
    return (a->name && a->text) || vkft_fail_memory(y->err, "while reading %s", y->r->path);
}

static bool find_anchor(yaml_reader *y, const char **text, bool *null)
{
    const char *name = (const char *)y->event.data.alias.anchor;
    for (uint32_t i = y->anchor_count; i-- > 0;)
        if (strcmp(y->anchors[i].name, name) == 0) {
            *text = y->anchors[i].text;
            *null = y->anchors[i].null;
            y->aliased += strlen(*text);
            return y->aliased <= MAX_RECIPE_BYTES ||
                   vkft_fail(y->err, VKFT_ERR_USAGE, "%s:%u: aliases (*) stand for more than %u bytes", y->r->path,
                             yaml_line(y), MAX_RECIPE_BYTES);
        }
    return vkft_fail(y->err, VKFT_ERR_USAGE, "%s:%u: the alias *%s does not stand for a text before it", y->r->path,
                     yaml_line(y), name);
}

/* The text of the event that is looked at, borrowed until the next one. *text NULL: it is none. */
static bool yaml_text(yaml_reader *y, const char **text, bool *null)
{
    const yaml_event_t *event = &y->event;
    *text = NULL;
    if (event->type == YAML_ALIAS_EVENT)
        return find_anchor(y, text, null);
    if (event->type != YAML_SCALAR_EVENT || strlen((const char *)event->data.scalar.value) != event->data.scalar.length)
        return true;
    *text = (const char *)event->data.scalar.value;
    *null = scalar_is_null(event);
    const char *name = (const char *)event->data.scalar.anchor;
    return !name || keep_anchor(y, name, *text, *null);
}

/* The rest of a sequence. *text: false when an item is no text. */
static bool yaml_list(yaml_reader *y, value_texts *value, bool *text)
{
    value->list = true;
    const char *item;
    bool null;
    for (;;) {
        if (!yaml_next(y))
            return false;
        if (y->event.type == YAML_SEQUENCE_END_EVENT)
            return true;
        if (!yaml_text(y, &item, &null))
            return false;
        *text = item != NULL;
        if (!item)
            return true;
        if (!add_text(y->r, value, item, y->err))
            return false;
    }
}

/* The value of a key, which is looked at. */
static bool yaml_value(yaml_reader *y, value_texts *value, bool *text)
{
    const char *scalar;
    bool null;
    *text = true;
    if (y->event.type == YAML_SEQUENCE_START_EVENT)
        return yaml_list(y, value, text);
    if (!yaml_text(y, &scalar, &null))
        return false;
    *text = scalar != NULL;
    return !scalar || null || add_text(y->r, value, scalar, y->err);
}

static bool yaml_entries(yaml_reader *y, bool in_group);

/* The key is looked at. */
static bool yaml_entry(yaml_reader *y, bool in_group)
{
    const char *key;
    bool null, text;
    uint32_t line = yaml_line(y);
    value_texts value = {0};
    if (!yaml_text(y, &key, &null))
        return false;
    if (!key)
        return wrong(y->r, line, "name", "not a text", y->err);
    char *name = vkft_string_copy(key);
    bool ok = (name || vkft_fail_memory(y->err, "while reading %s", y->r->path)) && yaml_next(y);
    if (ok && y->event.type == YAML_MAPPING_START_EVENT && !in_group && is_group(name)) {
        free(name);
        return yaml_entries(y, true);
    }
    ok = ok && yaml_value(y, &value, &text);
    if (ok && !text)
        ok = wrong(y->r, line, name, "a nested value", y->err);
    ok = ok && add_entry(y->r, name, &value, line, y->err);
    vkft_text_free(&value.texts);
    free(name);
    return ok;
}

/* The rest of a mapping. */
static bool yaml_entries(yaml_reader *y, bool in_group)
{
    for (;;) {
        if (!yaml_next(y))
            return false;
        if (y->event.type == YAML_MAPPING_END_EVENT)
            return true;
        if (!yaml_entry(y, in_group))
            return false;
    }
}

static bool yaml_document(yaml_reader *y)
{
    const vkft_recipe *r = y->r;
    if (!yaml_next(y) || !yaml_next(y)) /* the stream begins, then a document */
        return false;
    if (y->event.type != YAML_DOCUMENT_START_EVENT)
        return vkft_fail(y->err, VKFT_ERR_USAGE, "%s: the recipe is empty; expected lines such as 'batch-size: 4'",
                         r->path);
    if (!yaml_next(y))
        return false;
    if (y->event.type != YAML_MAPPING_START_EVENT)
        return vkft_fail(y->err, VKFT_ERR_USAGE, "%s:%u: expected lines such as 'batch-size: 4'", r->path,
                         yaml_line(y));
    if (!yaml_entries(y, false) || !yaml_next(y) || !yaml_next(y)) /* the document ends, then the stream */
        return false;
    return y->event.type == YAML_STREAM_END_EVENT ||
           vkft_fail(y->err, VKFT_ERR_USAGE, "%s:%u: a second document; expected one", r->path, yaml_line(y));
}

static bool read_yaml(vkft_recipe *r, const char *text, size_t size, vkft_err *err)
{
    yaml_reader y = {.r = r, .err = err};
    if (!yaml_parser_initialize(&y.parser))
        return vkft_fail_memory(err, "while reading %s", r->path);
    yaml_parser_set_input_string(&y.parser, (const unsigned char *)text, size);
    bool ok = yaml_document(&y);
    yaml_event_delete(&y.event);
    yaml_parser_delete(&y.parser);
    for (uint32_t i = 0; i < y.anchor_count; i++) {
        free(y.anchors[i].name);
        free(y.anchors[i].text);
    }
    return ok;
}

/* --- JSON --- */

/* cJSON keeps no positions: the line of a key is found by looking for "key" followed by a colon, from the last key on.
 * A key that is spelled with escapes is not found and gets the line of the one before. */
static void json_line(const char *text, size_t *at, uint32_t *line, const char *key)
{
    size_t length = strlen(key), from = *at;
    for (const char *p = text + *at; (p = strchr(p, '"')) != NULL; p++) {
        if (strncmp(p + 1, key, length) == 0 && p[length + 1] == '"' &&
            p[length + 2 + strspn(p + length + 2, " \t\r\n")] == ':') {
            *at = (size_t)(p - text) + length + 2;
            break;
        }
    }
    for (size_t i = from; i < *at; i++)
        *line += text[i] == '\n';
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

/* Appends the value, or a list's items. *text: false when one is none. */
static bool json_value(const vkft_recipe *r, const cJSON *value, value_texts *texts, bool *text, vkft_err *err)
{
    char buffer[64];
    bool list = texts->list = cJSON_IsArray(value);
    *text = true;
    for (const cJSON *item = list ? value->child : value; *text && item; item = list ? item->next : NULL) {
        const char *scalar = json_scalar(item, buffer, sizeof buffer);
        *text = scalar != NULL;
        if (scalar && !add_text(r, texts, scalar, err))
            return false;
    }
    return true;
}

/* The position in the text of the last key that was read. */
typedef struct json_place {
    const char *text;
    size_t at;
    uint32_t line;
} json_place;

static bool json_entries(vkft_recipe *r, json_place *place, const cJSON *root, bool in_group, vkft_err *err)
{
    for (const cJSON *value = root->child; value; value = value->next) {
        value_texts texts = {0};
        bool is_text = true;
        json_line(place->text, &place->at, &place->line, value->string);
        uint32_t line = place->line;
        if (cJSON_IsObject(value) && !in_group && is_group(value->string)) {
            if (!json_entries(r, place, value, true, err))
                return false;
            continue;
        }
        bool ok = cJSON_IsNull(value) || json_value(r, value, &texts, &is_text, err);
        if (ok && !is_text)
            ok = wrong(r, line, value->string,
                       cJSON_IsNumber(value) ? "a number too large for JSON, write it as text" : "a nested value", err);
        ok = ok && add_entry(r, value->string, &texts, line, err);
        vkft_text_free(&texts.texts);
        if (!ok)
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
    json_place place = {text, 0, 1};
    bool ok = cJSON_IsObject(root)
                  ? json_entries(r, &place, root, false, err)
                  : vkft_fail(err, VKFT_ERR_USAGE, "%s: expected an object such as {\"batch-size\": 4}", r->path);
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
    for (uint32_t i = 0; i < r->count; i++)
        free_entry(&r->entries[i]);
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
