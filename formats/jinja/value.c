/* Values as Python has them: making, comparing, printing, indexing, computing. */
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "formats/jinja/jinja_private.h"
#include "runtime/base/json.h"
#include "runtime/base/size.h"

#define CHUNK (64u << 10)

struct jinja_chunk {
    struct jinja_chunk *next;
    size_t used, size;
    _Alignas(16) char data[];
};

void *jinja_arena_alloc(jinja_arena *arena, size_t size)
{
    struct jinja_chunk *c = arena->chunks;
    size = round_up(size, 16);
    if (size > JINJA_MAX_BYTES || arena->total + size > JINJA_MAX_BYTES)
        return NULL;
    if (!c || c->size - c->used < size) {
        size_t room = max_u64(size, CHUNK);
        c = malloc(sizeof *c + room);
        if (!c)
            return NULL;
        *c = (struct jinja_chunk){.next = arena->chunks, .size = room};
        arena->chunks = c;
    }
    void *p = c->data + c->used;
    c->used += size;
    arena->total += size;
    return memset(p, 0, size);
}

void jinja_arena_free(jinja_arena *arena)
{
    for (struct jinja_chunk *c = arena->chunks, *next; c; c = next) {
        next = c->next;
        free(c);
    }
    *arena = (jinja_arena){0};
}

void *jinja_alloc(jinja_state *s, size_t size)
{
    void *p = s->failed ? NULL : jinja_arena_alloc(&s->arena, size);
    if (!p && !s->failed) {
        if (size > JINJA_MAX_BYTES || s->arena.total > JINJA_MAX_BYTES - round_up(size, 16))
            jinja_fail(s, "the template needs more than %u MiB", JINJA_MAX_BYTES >> 20);
        else
            s->failed = !vkft_fail_memory(s->err, "while rendering a template");
    }
    return p;
}

jinja_value jinja_fail(jinja_state *s, const char *format, ...)
{
    if (!s->failed) {
        char what[600];
        va_list args;
        va_start(args, format);
        vsnprintf(what, sizeof what, format, args);
        va_end(args);
        for (char *c = what; *c; c++) /* an error is one line */
            if (*c == '\n' || *c == '\r')
                *c = ' ';
        vkft_fail(s->err, VKFT_ERR_INPUT, "%s: line %u: %s", s->file, s->line, what);
        s->failed = true;
        s->failed_at = s->writer;
    }
    return jinja_undefined(NULL);
}

bool jinja_step(jinja_state *s)
{
    if (++s->steps > s->max_steps)
        jinja_fail(s, "the template takes more than %u steps", s->max_steps);
    return !s->failed;
}

bool jinja_work(jinja_state *s, size_t bytes)
{
    s->steps = (uint32_t)min_u64(s->steps + bytes / 16, s->max_steps);
    return bytes < 16 || jinja_step(s);
}

jinja_value jinja_none(void)
{
    return (jinja_value){.kind = J_NONE};
}

jinja_value jinja_bool(bool b)
{
    return (jinja_value){.kind = J_BOOL, .as.b = b};
}

jinja_value jinja_int(int64_t i)
{
    return (jinja_value){.kind = J_INT, .as.i = i};
}

jinja_value jinja_float(double f)
{
    return (jinja_value){.kind = J_FLOAT, .as.f = f};
}

jinja_value jinja_undefined(const jinja_string *name)
{
    return (jinja_value){.kind = J_UNDEFINED, .as.s = name};
}

jinja_value jinja_new_list(jinja_state *s, bool tuple)
{
    jinja_list *list = jinja_alloc(s, sizeof *list);
    if (!list)
        return jinja_undefined(NULL);
    list->tuple = tuple;
    return (jinja_value){.kind = J_LIST, .as.l = list};
}

jinja_value jinja_new_dict(jinja_state *s)
{
    jinja_dict *dict = jinja_alloc(s, sizeof *dict);
    return dict ? (jinja_value){.kind = J_DICT, .as.d = dict} : jinja_undefined(NULL);
}

void jinja_push(jinja_state *s, jinja_list *list, jinja_value item)
{
    if (s->failed)
        return;
    if (list->count == list->capacity) {
        uint32_t capacity = list->capacity ? 2 * list->capacity : 8;
        jinja_value *items = jinja_alloc(s, capacity * sizeof *items);
        if (!items)
            return;
        if (list->count)
            memcpy(items, list->items, list->count * sizeof *items);
        list->items = items;
        list->capacity = capacity;
    }
    list->items[list->count++] = item;
}

const jinja_value *jinja_get(jinja_state *s, const jinja_dict *dict, jinja_value key)
{
    for (uint32_t i = 0; i < dict->count; i++)
        if (jinja_equal(s, dict->pairs[i].key, key))
            return &dict->pairs[i].value;
    return NULL;
}

const jinja_value *jinja_get_name(const jinja_dict *dict, const char *name, size_t length)
{
    for (uint32_t i = 0; i < dict->count; i++) {
        const jinja_value *key = &dict->pairs[i].key;
        if (key->kind == J_STRING && key->as.s->length == length && memcmp(key->as.s->data, name, length) == 0)
            return &dict->pairs[i].value;
    }
    return NULL;
}

void jinja_put(jinja_state *s, jinja_dict *dict, jinja_value key, jinja_value value)
{
    if (s->failed)
        return;
    if (key.kind == J_LIST && !key.as.l->tuple) {
        jinja_fail(s, "a list cannot be the key of a dict");
        return;
    }
    for (uint32_t i = 0; i < dict->count; i++)
        if (jinja_equal(s, dict->pairs[i].key, key)) {
            dict->pairs[i].value = value;
            return;
        }
    if (dict->count == dict->capacity) {
        uint32_t capacity = dict->capacity ? 2 * dict->capacity : 8;
        jinja_pair *pairs = jinja_alloc(s, capacity * sizeof *pairs);
        if (!pairs)
            return;
        if (dict->count)
            memcpy(pairs, dict->pairs, dict->count * sizeof *pairs);
        dict->pairs = pairs;
        dict->capacity = capacity;
    }
    dict->pairs[dict->count++] = (jinja_pair){key, value};
}

bool jinja_is_number(jinja_value v)
{
    return v.kind == J_INT || v.kind == J_FLOAT || v.kind == J_BOOL || v.kind == J_BIG_INT;
}

double jinja_number(jinja_value v)
{
    switch (v.kind) {
    case J_FLOAT: return v.as.f;
    case J_BOOL: return v.as.b;
    case J_BIG_INT: return strtod(v.as.s->data, NULL);
    default: return (double)v.as.i;
    }
}

/* Whether it is compared as a double. */
static bool is_real(jinja_value v)
{
    return v.kind == J_FLOAT || v.kind == J_BIG_INT;
}

static int64_t whole(jinja_value v)
{
    return v.kind == J_BOOL ? v.as.b : v.as.i;
}

bool jinja_truth(jinja_value v)
{
    switch (v.kind) {
    case J_UNDEFINED:
    case J_NONE: return false;
    case J_BOOL: return v.as.b;
    case J_INT: return v.as.i != 0;
    case J_FLOAT: return v.as.f != 0;
    case J_STRING: return v.as.s->length > 0;
    case J_LIST: return v.as.l->count > 0;
    case J_DICT: return v.as.d->count > 0;
    default: return true;
    }
}

static int compare_strings(const jinja_string *a, const jinja_string *b)
{
    size_t n = min_u64(a->length, b->length); /* the order of UTF-8 bytes is that of code points */
    int c = memcmp(a->data, b->data, n);
    return c ? (c < 0 ? -1 : 1) : a->length < b->length ? -1 : a->length > b->length;
}

static bool equal(jinja_state *s, jinja_value a, jinja_value b, uint32_t depth)
{
    if (depth > JINJA_MAX_DEPTH || !jinja_step(s))
        return false;
    if (a.kind == J_BIG_INT && b.kind == J_BIG_INT)
        return compare_strings(a.as.s, b.as.s) == 0;
    if (jinja_is_number(a) && jinja_is_number(b))
        return is_real(a) || is_real(b) ? jinja_number(a) == jinja_number(b) : whole(a) == whole(b);
    if (a.kind != b.kind)
        return false;
    switch (a.kind) {
    case J_UNDEFINED:
    case J_NONE: return true;
    case J_STRING:
        return a.as.s->length == b.as.s->length && jinja_work(s, a.as.s->length) &&
               compare_strings(a.as.s, b.as.s) == 0;
    case J_LIST:
        if (a.as.l->count != b.as.l->count || a.as.l->tuple != b.as.l->tuple)
            return false;
        for (uint32_t i = 0; i < a.as.l->count; i++)
            if (!equal(s, a.as.l->items[i], b.as.l->items[i], depth + 1))
                return false;
        return true;
    case J_DICT:
        if (a.as.d->count != b.as.d->count)
            return false;
        for (uint32_t i = 0; i < a.as.d->count; i++) {
            const jinja_value *other = jinja_get(s, b.as.d, a.as.d->pairs[i].key);
            if (!other || !equal(s, a.as.d->pairs[i].value, *other, depth + 1))
                return false;
        }
        return true;
    default: return a.as.loop == b.as.loop;
    }
}

bool jinja_equal(jinja_state *s, jinja_value a, jinja_value b)
{
    return equal(s, a, b, 0);
}

const char *jinja_type_name(jinja_value v)
{
    static const char *const names[] = {"Undefined", "NoneType",  "bool",        "int",   "float",    "str", "list",
                                        "dict",      "Namespace", "LoopContext", "Macro", "function", "int"};
    return v.kind == J_LIST && v.as.l->tuple ? "tuple" : names[v.kind];
}

static jinja_value fail_undefined(jinja_state *s, jinja_value v)
{
    return v.as.s ? jinja_fail(s, "'%.100s' is undefined", v.as.s->data) : jinja_fail(s, "a value is undefined");
}

int jinja_compare(jinja_state *s, jinja_value a, jinja_value b)
{
    if (jinja_is_number(a) && jinja_is_number(b)) {
        if (!is_real(a) && !is_real(b))
            return whole(a) < whole(b) ? -1 : whole(a) > whole(b);
        return jinja_number(a) < jinja_number(b) ? -1 : jinja_number(a) > jinja_number(b);
    }
    if (a.kind == J_STRING && b.kind == J_STRING) {
        jinja_work(s, min_u64(a.as.s->length, b.as.s->length));
        return compare_strings(a.as.s, b.as.s);
    }
    if (a.kind == J_LIST && b.kind == J_LIST && jinja_step(s) && s->depth < JINJA_MAX_DEPTH) {
        int c = 0;
        s->depth++;
        for (uint32_t i = 0; !c && !s->failed && i < a.as.l->count && i < b.as.l->count; i++)
            if (!jinja_equal(s, a.as.l->items[i], b.as.l->items[i]))
                c = jinja_compare(s, a.as.l->items[i], b.as.l->items[i]);
        s->depth--;
        return c ? c : a.as.l->count < b.as.l->count ? -1 : a.as.l->count > b.as.l->count;
    }
    if (a.kind == J_UNDEFINED || b.kind == J_UNDEFINED)
        fail_undefined(s, a.kind == J_UNDEFINED ? a : b);
    else
        jinja_fail(s, "'%s' and '%s' have no order", jinja_type_name(a), jinja_type_name(b));
    return 0;
}

/* Length of the character at p; strings are valid UTF-8. */
static size_t character(const char *p, size_t left)
{
    size_t n = vkft_utf8_length(p, left);
    return n ? n : 1;
}

uint32_t jinja_length(jinja_state *s, jinja_value v)
{
    uint32_t n = 0;
    switch (v.kind) {
    case J_UNDEFINED: return 0;
    case J_LIST: return v.as.l->count;
    case J_DICT: return v.as.d->count;
    case J_STRING:
        jinja_work(s, v.as.s->length);
        for (size_t i = 0; i < v.as.s->length; i += character(v.as.s->data + i, v.as.s->length - i))
            n++;
        return n;
    default: jinja_fail(s, "a %s has no length", jinja_type_name(v)); return 0;
    }
}

const jinja_list *jinja_iterate(jinja_state *s, jinja_value v)
{
    if (v.kind == J_LIST)
        return v.as.l;
    jinja_value list = jinja_new_list(s, false);
    if (s->failed)
        return NULL;
    if (v.kind == J_DICT) {
        for (uint32_t i = 0; i < v.as.d->count; i++)
            jinja_push(s, list.as.l, v.as.d->pairs[i].key);
    } else if (v.kind == J_STRING) {
        for (size_t i = 0, n; i < v.as.s->length && jinja_step(s); i += n) {
            n = character(v.as.s->data + i, v.as.s->length - i);
            jinja_push(s, list.as.l, jinja_part(s, v.as.s, i, n));
        }
    } else if (v.kind != J_UNDEFINED) {
        jinja_fail(s, "a %s cannot be iterated over", jinja_type_name(v));
    }
    return s->failed ? NULL : list.as.l;
}

/* The character with this index, from the end when negative; undefined outside. */
static jinja_value character_at(jinja_state *s, jinja_value v, int64_t index)
{
    const jinja_string *string = v.as.s;
    jinja_work(s, string->length);
    if (index < 0)
        index += jinja_length(s, v);
    for (size_t i = 0, n; i < string->length && index >= 0; i += n, index--) {
        n = character(string->data + i, string->length - i);
        if (index == 0)
            return jinja_part(s, string, i, n);
    }
    return jinja_undefined(NULL);
}

jinja_value jinja_item(jinja_state *s, jinja_value v, jinja_value key)
{
    const jinja_value *found;
    switch (v.kind) {
    case J_UNDEFINED: return fail_undefined(s, v);
    case J_DICT:
        found = jinja_get(s, v.as.d, key);
        return found ? *found : jinja_undefined(key.kind == J_STRING ? key.as.s : NULL);
    case J_LIST:
    case J_STRING:
        if (key.kind != J_INT && key.kind != J_BOOL)
            return jinja_undefined(key.kind == J_STRING ? key.as.s : NULL);
        if (v.kind == J_STRING)
            return character_at(s, v, whole(key));
        int64_t index = whole(key) < 0 ? whole(key) + v.as.l->count : whole(key);
        return index >= 0 && index < v.as.l->count ? v.as.l->items[index] : jinja_undefined(NULL);
    default: return jinja_undefined(key.kind == J_STRING ? key.as.s : NULL);
    }
}

/* A bound of a slice over n items, as Python clamps it. */
static int64_t bound(jinja_state *s, jinja_value v, int64_t absent, int64_t n, int64_t step)
{
    if (v.kind == J_NONE)
        return absent;
    if (v.kind != J_INT && v.kind != J_BOOL) {
        jinja_fail(s, "a slice's bound is a %s; expected an int", jinja_type_name(v));
        return 0;
    }
    int64_t i = whole(v), low = step > 0 ? 0 : -1, high = step > 0 ? n : n - 1;
    i = i < 0 ? i + n : i;
    return i < low ? low : i > high ? high : i;
}

jinja_value jinja_slice(jinja_state *s, jinja_value v, jinja_value begin, jinja_value end, jinja_value step)
{
    if (v.kind == J_UNDEFINED)
        return fail_undefined(s, v);
    if (v.kind != J_LIST && v.kind != J_STRING) /* as any item that is not there */
        return jinja_undefined(NULL);
    if (step.kind != J_NONE && (step.kind != J_INT || step.as.i == 0))
        return jinja_fail(s, "a slice's step must be an int other than 0");
    const jinja_list *items = jinja_iterate(s, v);
    jinja_value result = jinja_new_list(s, v.kind == J_LIST && v.as.l->tuple);
    if (s->failed)
        return jinja_undefined(NULL);
    int64_t n = items->count, by = step.kind == J_NONE ? 1 : step.as.i;
    by = by > n + 1 ? n + 1 : by < -n - 1 ? -n - 1 : by; /* further steps leave the list as well */
    int64_t i = bound(s, begin, by > 0 ? 0 : n - 1, n, by), stop = bound(s, end, by > 0 ? n : -1, n, by);
    for (; !s->failed && (by > 0 ? i < stop : i > stop); i += by)
        jinja_push(s, result.as.l, items->items[i]);
    if (v.kind == J_LIST || s->failed)
        return result;
    jinja_buffer text = {0};
    for (uint32_t k = 0; k < result.as.l->count; k++)
        jinja_append_str(s, &text, result.as.l->items[k]);
    return jinja_take_text(s, &text);
}

static jinja_value fail_operands(jinja_state *s, char op, jinja_value a, jinja_value b)
{
    if (a.kind == J_UNDEFINED || b.kind == J_UNDEFINED)
        return fail_undefined(s, a.kind == J_UNDEFINED ? a : b);
    return jinja_fail(s, "'%s' and '%s' cannot be combined by %s", jinja_type_name(a), jinja_type_name(b),
                      op == 'D'   ? "//"
                      : op == 'P' ? "**"
                                  : (char[]){op, 0});
}

static jinja_value repeat(jinja_state *s, jinja_value v, int64_t times)
{
    if (v.kind == J_STRING) {
        jinja_buffer text = {0};
        for (int64_t i = 0; i < times && v.as.s->length && jinja_step(s); i++)
            jinja_append_part(s, &text, v.as.s, 0, v.as.s->length);
        return jinja_take_text(s, &text);
    }
    jinja_value list = jinja_new_list(s, v.as.l->tuple);
    for (int64_t i = 0; i < times && v.as.l->count && jinja_step(s); i++)
        for (uint32_t k = 0; k < v.as.l->count && jinja_step(s); k++)
            jinja_push(s, list.as.l, v.as.l->items[k]);
    return list;
}

/* The two as one text; with +, when one is safe for HTML, the other is escaped. */
static jinja_value join_two(jinja_state *s, char op, jinja_value a, jinja_value b)
{
    jinja_buffer text = {0};
    bool safe = op == '+' && (a.as.s->safe || b.as.s->safe);
    jinja_append_str(s, &text, safe ? jinja_escaped(s, a) : a);
    jinja_append_str(s, &text, safe ? jinja_escaped(s, b) : b);
    jinja_value joined = jinja_take_text(s, &text);
    return safe && !s->failed ? jinja_safe(s, joined) : joined;
}

static jinja_value add(jinja_state *s, jinja_value a, jinja_value b)
{
    if (a.kind == J_STRING && b.kind == J_STRING)
        return join_two(s, '+', a, b);
    if (a.kind == J_LIST && b.kind == J_LIST && a.as.l->tuple == b.as.l->tuple) {
        jinja_value list = jinja_new_list(s, a.as.l->tuple);
        for (int part = 0; part < 2; part++)
            for (uint32_t i = 0; i < (part ? b : a).as.l->count && jinja_step(s); i++)
                jinja_push(s, list.as.l, (part ? b : a).as.l->items[i]);
        return list;
    }
    return fail_operands(s, '+', a, b);
}

/* Python's // and % round towards minus infinity. */
static int64_t floor_divide(int64_t a, int64_t b)
{
    return a / b - (a % b != 0 && (a < 0) != (b < 0));
}

static jinja_value power(jinja_state *s, int64_t base, int64_t exponent)
{
    int64_t result = 1;
    for (int64_t i = 0; i < exponent && jinja_step(s); i++)
        if (__builtin_mul_overflow(result, base, &result))
            return jinja_fail(s, "a power is too large for 64 bits");
    return jinja_int(result);
}

static jinja_value whole_arithmetic(jinja_state *s, char op, int64_t a, int64_t b)
{
    int64_t result = 0;
    bool overflow = false;
    if (b == 0 && (op == 'D' || op == '%' || op == '/'))
        return jinja_fail(s, "division by zero");
    if ((op == 'D' || op == '%') && b == -1) /* the one quotient that overflows */
        return op == '%' ? jinja_int(0) : whole_arithmetic(s, '-', 0, a);
    switch (op) {
    case '+': overflow = __builtin_add_overflow(a, b, &result); break;
    case '-': overflow = __builtin_sub_overflow(a, b, &result); break;
    case '*': overflow = __builtin_mul_overflow(a, b, &result); break;
    case 'D': result = floor_divide(a, b); break;
    case '%': result = a - b * floor_divide(a, b); break;
    case 'P': return b < 0 ? jinja_float(pow((double)a, (double)b)) : power(s, a, b);
    default: return jinja_float((double)a / (double)b);
    }
    return overflow ? jinja_fail(s, "an int is too large for 64 bits") : jinja_int(result);
}

static jinja_value real_arithmetic(jinja_state *s, char op, double a, double b)
{
    if (b == 0 && (op == 'D' || op == '%' || op == '/'))
        return jinja_fail(s, "division by zero");
    switch (op) {
    case '+': return jinja_float(a + b);
    case '-': return jinja_float(a - b);
    case '*': return jinja_float(a * b);
    case 'D': return jinja_float(floor(a / b));
    case '%': return jinja_float(a - b * floor(a / b));
    case 'P': return jinja_float(pow(a, b));
    default: return jinja_float(a / b);
    }
}

jinja_value jinja_binary(jinja_state *s, char op, jinja_value a, jinja_value b)
{
    if (op == '~')
        return join_two(s, '~', a, b);
    if (jinja_is_number(a) && jinja_is_number(b)) {
        if (a.kind == J_BIG_INT || b.kind == J_BIG_INT)
            return jinja_fail(s, "an int is too large for 64 bits");
        if (a.kind == J_FLOAT || b.kind == J_FLOAT)
            return real_arithmetic(s, op, jinja_number(a), jinja_number(b));
        return whole_arithmetic(s, op, whole(a), whole(b));
    }
    if (op == '+')
        return add(s, a, b);
    if (op == '%' && a.kind == J_STRING)
        return jinja_format_percent(s, a, b);
    if (op == '*' && (a.kind == J_STRING || a.kind == J_LIST) && (b.kind == J_INT || b.kind == J_BOOL))
        return repeat(s, a, whole(b));
    if (op == '*' && (b.kind == J_STRING || b.kind == J_LIST) && (a.kind == J_INT || a.kind == J_BOOL))
        return repeat(s, b, whole(a));
    return fail_operands(s, op, a, b);
}

size_t jinja_find_text(jinja_state *s, const jinja_string *text, const jinja_string *part, size_t from, size_t to,
                       bool last)
{
    size_t found = SIZE_MAX, work = 0;
    for (size_t i = from; part->length <= to && i <= to - part->length; i++) {
        bool begins = part->length == 0 || text->data[i] == part->data[0];
        work += begins ? 1 + part->length : 1;
        if (begins && memcmp(text->data + i, part->data, part->length) == 0) {
            found = i;
            if (!last)
                break;
        }
        if (work >= 4096 && !jinja_work(s, work))
            break;
        work = work >= 4096 ? 0 : work;
    }
    jinja_work(s, work);
    return found;
}

bool jinja_contains(jinja_state *s, jinja_value container, jinja_value item)
{
    if (container.kind == J_STRING) {
        if (item.kind == J_STRING)
            return jinja_find_text(s, container.as.s, item.as.s, 0, container.as.s->length, false) != SIZE_MAX;
        jinja_fail(s, "'in' a str needs a str, a %s was given", jinja_type_name(item));
        return false;
    }
    if (container.kind == J_DICT)
        return jinja_get(s, container.as.d, item) != NULL;
    const jinja_list *list = jinja_iterate(s, container);
    for (uint32_t i = 0; list && i < list->count; i++)
        if (jinja_equal(s, list->items[i], item))
            return true;
    return false;
}

bool jinja_compare_op(jinja_state *s, char op, jinja_value a, jinja_value b)
{
    switch (op) {
    case '=': return jinja_equal(s, a, b);
    case 'N': return !jinja_equal(s, a, b);
    case 'I': return jinja_contains(s, b, a);
    case 'X': return !jinja_contains(s, b, a);
    case '<': return jinja_compare(s, a, b) < 0;
    case '>': return jinja_compare(s, a, b) > 0;
    case 'L': return jinja_compare(s, a, b) <= 0;
    default: return jinja_compare(s, a, b) >= 0;
    }
}
