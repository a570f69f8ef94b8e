/* Text as templates make it: strings with their marks, buffers that grow, values printed as Python prints them.
 *
 * While a rendering tracks messages, every byte has a mark that says whose data it is. Marks go with the bytes through
 * concatenation, slices, splits and replacements, so that the finished text tells which of it stands in a message,
 * whatever the template did with it on the way.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <utf8proc.h>

#include "formats/jinja/jinja_private.h"
#include "runtime/base/json.h"
#include "runtime/base/size.h"

jinja_value jinja_text(jinja_state *s, const char *data, size_t length)
{
    jinja_string *string = jinja_alloc(s, sizeof *string);
    char *copy = string ? jinja_alloc(s, length + 1) : NULL;
    if (!copy)
        return jinja_undefined(NULL);
    if (length)
        memcpy(copy, data, length);
    *string = (jinja_string){.data = copy, .length = length};
    return (jinja_value){.kind = J_STRING, .as.s = string};
}

jinja_value jinja_literal(jinja_state *s, const char *text)
{
    return jinja_text(s, text, strlen(text));
}

jinja_value jinja_part(jinja_state *s, const jinja_string *t, size_t begin, size_t length)
{
    jinja_value part = jinja_text(s, t->data + begin, length);
    if (part.kind == J_STRING) {
        jinja_string *string = (jinja_string *)(uintptr_t)part.as.s;
        string->mark = t->mark;
        string->marks = t->marks ? t->marks + begin : NULL;
    }
    return part;
}

jinja_mark jinja_mark_of(const jinja_string *t)
{
    for (size_t i = 1; t->marks && i < t->length; i++)
        if (t->marks[i] != t->marks[0])
            return JINJA_MIXED;
    return t->marks && t->length ? t->marks[0] : t->mark;
}

static bool reserve_marks(jinja_buffer *out, size_t count)
{
    if (count <= out->marks_room)
        return true;
    size_t room = max_u64(2 * out->marks_room, max_u64(count, 256));
    jinja_mark *marks = realloc(out->marks, room * sizeof *marks);
    if (!marks)
        return false;
    out->marks = marks;
    out->marks_room = room;
    return true;
}

/* marks NULL: `mark` for all bytes. What is written to the output has the loop iteration that wrote it in its marks. */
static void append(jinja_state *s, jinja_buffer *out, const char *data, size_t length, const jinja_mark *marks,
                   jinja_mark mark)
{
    size_t begin = out->text.length;
    if (s->failed)
        return;
    if (length > JINJA_MAX_OUTPUT - begin) {
        jinja_fail(s, "the template writes more than %u MiB", JINJA_MAX_OUTPUT >> 20);
        return;
    }
    if (!vkft_text_append(&out->text, data, length, s->err)) {
        s->failed = true;
        return;
    }
    if (!s->tracked)
        return;
    if (!reserve_marks(out, begin + length)) {
        s->failed = !vkft_fail_memory(s->err, "while rendering a template");
        return;
    }
    jinja_mark writer = out == s->out ? s->writer << 16 : 0;
    bool message = writer && s->writer < JINJA_OTHER_LOOP; /* of loops in each other the outer one tells */
    for (size_t i = 0; i < length; i++) {
        jinja_mark m = marks ? marks[i] : mark;
        out->marks[begin + i] = message ? (m & 0xffff) | writer : m >> 16 ? m : m | writer;
    }
}

void jinja_append(jinja_state *s, jinja_buffer *out, const char *data, size_t length)
{
    append(s, out, data, length, NULL, 0);
}

void jinja_append_marked(jinja_state *s, jinja_buffer *out, const char *data, size_t length, jinja_mark mark)
{
    append(s, out, data, length, NULL, mark);
}

void jinja_append_part(jinja_state *s, jinja_buffer *out, const jinja_string *t, size_t begin, size_t length)
{
    append(s, out, t->data + begin, length, t->marks ? t->marks + begin : NULL, t->mark);
}

static void append_text(jinja_state *s, jinja_buffer *out, const char *text)
{
    jinja_append(s, out, text, strlen(text));
}

static void append_float(jinja_state *s, jinja_buffer *out, double f)
{
    char text[64];
    vkft_float_text(f, text, sizeof text);
    append_text(s, out, text);
}

/* As Python's str.isprintable. */
static bool is_printable(uint32_t p)
{
    switch (utf8proc_category((utf8proc_int32_t)p)) {
    case UTF8PROC_CATEGORY_CC:
    case UTF8PROC_CATEGORY_CF:
    case UTF8PROC_CATEGORY_CS:
    case UTF8PROC_CATEGORY_CO:
    case UTF8PROC_CATEGORY_CN:
    case UTF8PROC_CATEGORY_ZL:
    case UTF8PROC_CATEGORY_ZP:
    case UTF8PROC_CATEGORY_ZS: return false;
    default: return true;
    }
}

static void append_quoted(jinja_state *s, jinja_buffer *out, const jinja_string *string)
{
    jinja_mark mark = jinja_mark_of(string);
    char quote = memchr(string->data, '\'', string->length) && !memchr(string->data, '"', string->length) ? '"' : '\'';
    jinja_append(s, out, &quote, 1);
    for (size_t i = 0, n; i < string->length && !s->failed; i += n) {
        unsigned char c = (unsigned char)string->data[i];
        char escape[16];
        n = c < 128 ? 1 : vkft_utf8_length(string->data + i, string->length - i);
        uint32_t p = n > 1 ? vkft_utf8_decode(string->data + i, n) : 0;
        n = n ? n : 1;
        if (c == (unsigned char)quote || c == '\\')
            snprintf(escape, sizeof escape, "\\%c", c);
        else if (c == '\n' || c == '\r' || c == '\t')
            snprintf(escape, sizeof escape, "\\%c", c == '\n' ? 'n' : c == '\r' ? 'r' : 't');
        else if (c < 32 || c == 127)
            snprintf(escape, sizeof escape, "\\x%02x", c);
        else if (p && !is_printable(p))
            snprintf(escape, sizeof escape, p < 0x100 ? "\\x%02x" : p < 0x10000 ? "\\u%04x" : "\\U%08x", p);
        else
            snprintf(escape, sizeof escape, "%.*s", (int)n, string->data + i);
        jinja_append_marked(s, out, escape, strlen(escape), mark);
    }
    jinja_append(s, out, &quote, 1);
}

void jinja_mark_rest(jinja_buffer *out, size_t begin, uint32_t inside)
{
    for (size_t i = begin; inside && out->marks && i < out->text.length; i++)
        if (!(out->marks[i] & 0xffff))
            out->marks[i] |= inside;
}

static void append_items(jinja_state *s, jinja_buffer *out, const jinja_list *list)
{
    size_t begin = out->text.length;
    append_text(s, out, list->tuple ? "(" : "[");
    for (uint32_t i = 0; i < list->count && !s->failed; i++) {
        append_text(s, out, i ? ", " : "");
        jinja_append_repr(s, out, list->items[i]);
    }
    append_text(s, out, list->tuple ? list->count == 1 ? ",)" : ")" : "]");
    jinja_mark_rest(out, begin, list->inside);
}

static void append_pairs(jinja_state *s, jinja_buffer *out, const jinja_dict *dict)
{
    size_t begin = out->text.length;
    append_text(s, out, "{");
    for (uint32_t i = 0; i < dict->count && !s->failed; i++) {
        append_text(s, out, i ? ", " : "");
        jinja_append_repr(s, out, dict->pairs[i].key);
        append_text(s, out, ": ");
        jinja_append_repr(s, out, dict->pairs[i].value);
    }
    append_text(s, out, "}");
    jinja_mark_rest(out, begin, dict->inside);
}

void jinja_append_repr(jinja_state *s, jinja_buffer *out, jinja_value v)
{
    if (v.kind == J_STRING) {
        append_quoted(s, out, v.as.s);
    } else if (v.kind == J_UNDEFINED) {
        append_text(s, out, "Undefined");
    } else if (v.kind == J_LIST || v.kind == J_DICT) {
        if (!jinja_step(s))
            return;
        if (++s->depth > JINJA_MAX_DEPTH)
            jinja_fail(s, "a value is nested more than %d deep", JINJA_MAX_DEPTH);
        else if (v.kind == J_LIST)
            append_items(s, out, v.as.l);
        else
            append_pairs(s, out, v.as.d);
        s->depth--;
    } else {
        jinja_append_str(s, out, v);
    }
}

void jinja_append_str(jinja_state *s, jinja_buffer *out, jinja_value v)
{
    char number[32];
    switch (v.kind) {
    case J_UNDEFINED: return;
    case J_NONE: append_text(s, out, "None"); return;
    case J_BOOL: append_text(s, out, v.as.b ? "True" : "False"); return;
    case J_INT:
        snprintf(number, sizeof number, "%lld", (long long)v.as.i);
        append_text(s, out, number);
        return;
    case J_FLOAT: append_float(s, out, v.as.f); return;
    case J_BIG_INT:
    case J_STRING: jinja_append_part(s, out, v.as.s, 0, v.as.s->length); return;
    case J_LIST:
    case J_DICT: jinja_append_repr(s, out, v); return;
    default: jinja_fail(s, "a %s cannot be written out", jinja_type_name(v)); return;
    }
}

void jinja_buffer_free(jinja_buffer *buffer)
{
    vkft_text_free(&buffer->text);
    free(buffer->marks);
    *buffer = (jinja_buffer){0};
}

/* The marks of a finished text: one for all where they agree. */
static void take_marks(jinja_state *s, const jinja_buffer *buffer, jinja_string *string)
{
    size_t n = string->length, same = 1;
    while (same < n && buffer->marks[same] == buffer->marks[0])
        same++;
    if (same < n) {
        jinja_mark *marks = jinja_alloc(s, n * sizeof *marks);
        if (marks)
            memcpy(marks, buffer->marks, n * sizeof *marks);
        string->marks = marks;
    } else if (n) {
        string->mark = buffer->marks[0];
    }
}

jinja_value jinja_take_text(jinja_state *s, jinja_buffer *buffer)
{
    jinja_value v = jinja_text(s, buffer->text.data, buffer->text.length);
    if (v.kind == J_STRING && buffer->marks)
        take_marks(s, buffer, (jinja_string *)(uintptr_t)v.as.s);
    jinja_buffer_free(buffer);
    return v;
}

jinja_value jinja_take_like(jinja_state *s, jinja_buffer *buffer, const jinja_string *source)
{
    jinja_value v = jinja_text(s, buffer->text.data, buffer->text.length);
    if (v.kind == J_STRING)
        ((jinja_string *)(uintptr_t)v.as.s)->mark = jinja_mark_of(source);
    jinja_buffer_free(buffer);
    return v;
}

jinja_value jinja_str(jinja_state *s, jinja_value v)
{
    jinja_buffer text = {0};
    if (v.kind == J_STRING)
        return v;
    jinja_append_str(s, &text, v);
    return jinja_take_text(s, &text);
}
