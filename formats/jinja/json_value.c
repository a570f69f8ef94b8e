/* JSON as values, and the filter tojson as transformers defines it: Python's json.dumps with ensure_ascii false. */
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "formats/jinja/jinja_private.h"
#include "runtime/base/json.h"

/* text as a string that is data of message `origin`; 0: of none. */
static jinja_value from_json_string(jinja_state *s, const char *text, uint32_t origin)
{
    jinja_string *string = jinja_alloc(s, sizeof *string);
    char *copy = string ? jinja_alloc(s, strlen(text) + 1) : NULL;
    if (!copy)
        return jinja_undefined(NULL);
    *string = (jinja_string){.data = copy, .length = vkft_json_decode_zeros(text, copy), .mark = origin};
    return (jinja_value){.kind = J_STRING, .as.s = string};
}

/* As Python reads the digits, if they are known. */
static jinja_value from_json_number(jinja_state *s, const cJSON *json)
{
    const char *digits = json->valuestring;
    double x = json->valuedouble;
    if (!digits)
        return fabs(x) < 9007199254740992.0 && x == floor(x) ? jinja_int((int64_t)x) : jinja_float(x);
    if (strpbrk(digits, ".eE"))
        return jinja_float(x);
    errno = 0;
    long long whole = strtoll(digits, NULL, 10);
    if (errno != ERANGE)
        return jinja_int(whole);
    jinja_value big = from_json_string(s, digits, 0);
    big.kind = s->failed ? big.kind : J_BIG_INT;
    return big;
}

/* A value inside message `origin` (0: none), at this depth in it. What names the speaker is no content. */
static jinja_value from_json(jinja_state *s, const cJSON *json, uint32_t depth, uint32_t origin, uint32_t inside)
{
    const cJSON *item;
    if (depth > JINJA_MAX_DEPTH)
        return jinja_fail(s, "a value is nested more than %d deep", JINJA_MAX_DEPTH);
    if (cJSON_IsString(json))
        return from_json_string(s, json->valuestring, origin);
    if (cJSON_IsBool(json))
        return jinja_bool(cJSON_IsTrue(json));
    if (cJSON_IsNumber(json))
        return from_json_number(s, json);
    if (cJSON_IsArray(json)) {
        jinja_value list = jinja_new_list(s, false);
        if (!s->failed)
            list.as.l->inside = inside ? origin : 0;
        cJSON_ArrayForEach(item, json) if (!s->failed)
            jinja_push(s, list.as.l, from_json(s, item, depth + 1, origin, inside + 1));
        return list;
    }
    if (cJSON_IsObject(json)) {
        jinja_value dict = jinja_new_dict(s);
        if (!s->failed)
            dict.as.d->inside = inside ? origin : 0;
        cJSON_ArrayForEach(item, json) if (!s->failed)
        {
            bool speaker = !inside && (strcmp(item->string, "role") == 0 || strcmp(item->string, "name") == 0);
            jinja_put(s, dict.as.d, from_json_string(s, item->string, inside ? origin : 0),
                      from_json(s, item, depth + 1, speaker ? 0 : origin, inside + 1));
        }
        return dict;
    }
    return jinja_none();
}

static jinja_value tracked_messages(jinja_state *s, const cJSON *messages)
{
    jinja_value list = jinja_new_list(s, false);
    const cJSON *message;
    uint32_t number = 0;
    cJSON_ArrayForEach(message, messages)
    {
        if (++number >= JINJA_OTHER_LOOP)
            jinja_fail(s, "a conversation has at most %u messages", JINJA_OTHER_LOOP - 1);
        jinja_value value = s->failed ? list : from_json(s, message, 1, number, 0);
        if (s->failed)
            break;
        if (value.kind == J_DICT)
            value.as.d->message = number;
        jinja_push(s, list.as.l, value);
    }
    return list;
}

jinja_value jinja_from_json(jinja_state *s, const cJSON *json)
{
    jinja_value dict = jinja_new_dict(s);
    const cJSON *item;
    cJSON_ArrayForEach(item, json) if (!s->failed)
    {
        bool tracked = s->tracked && strcmp(item->string, s->tracked) == 0 && cJSON_IsArray(item);
        jinja_put(s, dict.as.d, from_json_string(s, item->string, 0),
                  tracked ? tracked_messages(s, item) : from_json(s, item, 0, 0, 0));
    }
    return dict;
}

typedef struct json_style {
    const char *indent; /* of one level; NULL: all in one line */
    const char *comma, *colon;
    bool sort_keys, ascii;
} json_style;

static void put(jinja_state *s, jinja_buffer *out, const char *text)
{
    jinja_append(s, out, text, strlen(text));
}

static void put_string(jinja_state *s, jinja_buffer *out, const jinja_string *t, const json_style *style)
{
    static const char from[] = "\"\\\n\r\t\b\f", to[] = "\"\\nrtbf";
    jinja_mark mark = jinja_mark_of(t);
    put(s, out, "\"");
    for (size_t i = 0, n; i < t->length && !s->failed; i += n) {
        char escape[16];
        unsigned char c = (unsigned char)t->data[i];
        const char *found = c ? strchr(from, c) : NULL;
        n = vkft_utf8_length(t->data + i, t->length - i);
        n = n ? n : 1;
        if (found) {
            snprintf(escape, sizeof escape, "\\%c", to[found - from]);
            jinja_append_marked(s, out, escape, strlen(escape), mark);
        } else if (c < 32 || (style->ascii && n > 1)) {
            uint32_t p = vkft_utf8_decode(t->data + i, n), high = 0xd800 + ((p - 0x10000) >> 10),
                     low = 0xdc00 + ((p - 0x10000) & 0x3ff);
            if (p < 0x10000)
                snprintf(escape, sizeof escape, "\\u%04x", p);
            else
                snprintf(escape, sizeof escape, "\\u%04x\\u%04x", high & 0xffff, low & 0xffff);
            jinja_append_marked(s, out, escape, strlen(escape), mark);
        } else {
            jinja_append_part(s, out, t, i, n);
        }
    }
    put(s, out, "\"");
}

static void put_break(jinja_state *s, jinja_buffer *out, const json_style *style, uint32_t level)
{
    if (!style->indent)
        return;
    put(s, out, "\n");
    for (uint32_t i = 0; i < level && !s->failed; i++)
        put(s, out, style->indent);
}

static void put_value(jinja_state *s, jinja_buffer *out, jinja_value v, const json_style *style, uint32_t level);

static void put_key(jinja_state *s, jinja_buffer *out, jinja_value key, const json_style *style)
{
    if (key.kind == J_STRING) {
        put_string(s, out, key.as.s, style);
    } else if (key.kind == J_INT || key.kind == J_BIG_INT || key.kind == J_FLOAT || key.kind == J_BOOL ||
               key.kind == J_NONE) {
        put(s, out, "\"");
        put_value(s, out, key, style, 0);
        put(s, out, "\"");
    } else {
        jinja_fail(s, "tojson: a %s cannot be a key", jinja_type_name(key));
    }
}

/* The pairs in the order of their keys. */
static jinja_dict sorted(jinja_state *s, const jinja_dict *dict)
{
    jinja_dict copy = {.pairs = jinja_alloc(s, (dict->count + 1) * sizeof *copy.pairs)};
    for (uint32_t i = 0; i < dict->count && !s->failed; i++) {
        uint32_t at = copy.count++;
        for (; at > 0 && jinja_compare(s, copy.pairs[at - 1].key, dict->pairs[i].key) > 0; at--)
            copy.pairs[at] = copy.pairs[at - 1];
        copy.pairs[at] = dict->pairs[i];
        s->steps += copy.count - at;
        jinja_step(s);
    }
    return copy;
}

static void put_list(jinja_state *s, jinja_buffer *out, const jinja_list *list, const json_style *style, uint32_t level)
{
    size_t begin = out->text.length;
    put(s, out, "[");
    for (uint32_t i = 0; i < list->count && !s->failed; i++) {
        put(s, out, i ? style->comma : "");
        put_break(s, out, style, level + 1);
        put_value(s, out, list->items[i], style, level + 1);
    }
    if (list->count)
        put_break(s, out, style, level);
    put(s, out, "]");
    jinja_mark_rest(out, begin, list->inside);
}

static void put_dict(jinja_state *s, jinja_buffer *out, const jinja_dict *given, const json_style *style,
                     uint32_t level)
{
    jinja_dict dict = style->sort_keys ? sorted(s, given) : *given;
    size_t begin = out->text.length;
    put(s, out, "{");
    for (uint32_t i = 0; i < dict.count && !s->failed; i++) {
        put(s, out, i ? style->comma : "");
        put_break(s, out, style, level + 1);
        put_key(s, out, dict.pairs[i].key, style);
        put(s, out, style->colon);
        put_value(s, out, dict.pairs[i].value, style, level + 1);
    }
    if (dict.count)
        put_break(s, out, style, level);
    put(s, out, "}");
    jinja_mark_rest(out, begin, given->inside);
}

static void put_value(jinja_state *s, jinja_buffer *out, jinja_value v, const json_style *style, uint32_t level)
{
    if (level > JINJA_MAX_DEPTH) {
        jinja_fail(s, "tojson: a value is nested more than %d deep", JINJA_MAX_DEPTH);
        return;
    }
    if (!jinja_step(s))
        return;
    switch (v.kind) {
    case J_NONE: put(s, out, "null"); return;
    case J_BOOL: put(s, out, v.as.b ? "true" : "false"); return;
    case J_FLOAT:
        if (isnan(v.as.f) || isinf(v.as.f))
            put(s, out, isnan(v.as.f) ? "NaN" : v.as.f < 0 ? "-Infinity" : "Infinity");
        else
            jinja_append_str(s, out, v);
        return;
    case J_BIG_INT:
    case J_INT: jinja_append_str(s, out, v); return;
    case J_STRING: put_string(s, out, v.as.s, style); return;
    case J_LIST: put_list(s, out, v.as.l, style, level); return;
    case J_DICT: put_dict(s, out, v.as.d, style, level); return;
    default: jinja_fail(s, "tojson: a value of type %s cannot be written as JSON", jinja_type_name(v)); return;
    }
}

/* tojson(ensure_ascii=False, indent=None, separators=None, sort_keys=False) */
jinja_value jinja_to_json(jinja_state *s, jinja_value self, const jinja_arguments *args)
{
    json_style style = {.comma = ", ", .colon = ": "};
    char spaces[65];
    jinja_buffer out = {0};
    style.ascii = args->given[0] && jinja_truth(args->values[0]);
    if (args->given[1] && args->values[1].kind == J_INT) {
        int64_t n = args->values[1].as.i < 0 ? 0 : args->values[1].as.i > 64 ? 64 : args->values[1].as.i;
        memset(spaces, ' ', (size_t)n);
        spaces[n] = 0;
        style.indent = spaces;
    } else if (args->given[1] && args->values[1].kind == J_STRING) {
        style.indent = args->values[1].as.s->data;
    }
    if (style.indent)
        style.comma = ",";
    if (args->given[2] && args->values[2].kind == J_LIST && args->values[2].as.l->count == 2) {
        const jinja_value *pair = args->values[2].as.l->items;
        if (pair[0].kind != J_STRING || pair[1].kind != J_STRING)
            return jinja_fail(s, "tojson: separators must be two strings");
        style.comma = pair[0].as.s->data;
        style.colon = pair[1].as.s->data;
    }
    style.sort_keys = args->given[3] && jinja_truth(args->values[3]);
    put_value(s, &out, self, &style, 0);
    return jinja_take_text(s, &out);
}
