/* The filter tojson as transformers defines it: Python's json.dumps with ensure_ascii false. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "formats/jinja/jinja_private.h"

typedef struct json_style {
    const char *indent; /* of one level; NULL: all in one line */
    const char *comma, *colon;
    bool sort_keys, ascii;
} json_style;

static void put(jinja_state *s, vkft_text *out, const char *text)
{
    jinja_append(s, out, text, strlen(text));
}

static void put_string(jinja_state *s, vkft_text *out, const jinja_string *t, const json_style *style)
{
    static const char from[] = "\"\\\n\r\t\b\f", to[] = "\"\\nrtbf";
    put(s, out, "\"");
    for (size_t i = 0, n; i < t->length && !s->failed; i += n) {
        char escape[16];
        unsigned char c = (unsigned char)t->data[i];
        const char *found = c ? strchr(from, c) : NULL;
        n = vkft_utf8_length(t->data + i, t->length - i);
        n = n ? n : 1;
        if (found) {
            snprintf(escape, sizeof escape, "\\%c", to[found - from]);
            put(s, out, escape);
        } else if (c < 32 || (style->ascii && n > 1)) {
            uint32_t p = vkft_utf8_decode(t->data + i, n), high = 0xd800 + ((p - 0x10000) >> 10),
                     low = 0xdc00 + ((p - 0x10000) & 0x3ff);
            if (p < 0x10000)
                snprintf(escape, sizeof escape, "\\u%04x", p);
            else
                snprintf(escape, sizeof escape, "\\u%04x\\u%04x", high & 0xffff, low & 0xffff);
            put(s, out, escape);
        } else {
            jinja_append(s, out, t->data + i, n);
        }
    }
    put(s, out, "\"");
}

static void put_break(jinja_state *s, vkft_text *out, const json_style *style, uint32_t level)
{
    if (!style->indent)
        return;
    put(s, out, "\n");
    for (uint32_t i = 0; i < level && !s->failed; i++)
        put(s, out, style->indent);
}

static void put_value(jinja_state *s, vkft_text *out, jinja_value v, const json_style *style, uint32_t level);

static void put_key(jinja_state *s, vkft_text *out, jinja_value key, const json_style *style)
{
    if (key.kind == J_STRING) {
        put_string(s, out, key.as.s, style);
    } else if (key.kind == J_INT || key.kind == J_FLOAT || key.kind == J_BOOL || key.kind == J_NONE) {
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

static void put_list(jinja_state *s, vkft_text *out, const jinja_list *list, const json_style *style, uint32_t level)
{
    put(s, out, "[");
    for (uint32_t i = 0; i < list->count && !s->failed; i++) {
        put(s, out, i ? style->comma : "");
        put_break(s, out, style, level + 1);
        put_value(s, out, list->items[i], style, level + 1);
    }
    if (list->count)
        put_break(s, out, style, level);
    put(s, out, "]");
}

static void put_dict(jinja_state *s, vkft_text *out, const jinja_dict *given, const json_style *style, uint32_t level)
{
    jinja_dict dict = style->sort_keys ? sorted(s, given) : *given;
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
}

static void put_value(jinja_state *s, vkft_text *out, jinja_value v, const json_style *style, uint32_t level)
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
    vkft_text out = {0};
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
