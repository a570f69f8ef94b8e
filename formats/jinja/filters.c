/* Jinja2's filters. Those for HTML and asynchronous code are left out. */
#include <ctype.h>
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "formats/jinja/jinja_private.h"

#define FILTER(name) static jinja_value name(jinja_state *s, jinja_value v, const jinja_arguments *args)

static bool flag(const jinja_arguments *args, uint32_t i, bool absent)
{
    return args->given[i] ? jinja_truth(args->values[i]) : absent;
}

static int64_t number(const jinja_arguments *args, uint32_t i, int64_t absent)
{
    return args->given[i] && args->values[i].kind == J_INT ? args->values[i].as.i : absent;
}

/* A method of strings on str(v). */
static jinja_value text_method(jinja_state *s, const char *name, jinja_value v, const jinja_arguments *args)
{
    const jinja_string method = {.data = name, .length = strlen(name)};
    jinja_value text = jinja_str(s, v);
    return s->failed ? text : jinja_find_method(J_STRING, &method)->call(s, text, args);
}

FILTER(filter_upper)
{
    return text_method(s, "upper", v, args);
}
FILTER(filter_lower)
{
    return text_method(s, "lower", v, args);
}
FILTER(filter_capitalize)
{
    return text_method(s, "capitalize", v, args);
}
FILTER(filter_trim)
{
    return text_method(s, "strip", v, args);
}
FILTER(filter_replace)
{
    return text_method(s, "replace", v, args);
}

/* As Jinja2: a word begins after white space, and after - ( { [ <. */
FILTER(filter_title)
{
    jinja_value lowered = text_method(s, "lower", v, args);
    jinja_buffer out = {0};
    bool start = true;
    for (size_t i = 0, n; !s->failed && i < lowered.as.s->length; i += n) {
        const char *p = lowered.as.s->data + i;
        n = vkft_utf8_length(p, lowered.as.s->length - i);
        n = n ? n : 1;
        jinja_value one = jinja_part(s, lowered.as.s, i, n);
        jinja_append_str(s, &out, start ? text_method(s, "upper", one, args) : one);
        start = n == 1 && strchr(" \t\n\r\f\v-({[<", *p) != NULL;
    }
    return jinja_take_text(s, &out);
}

FILTER(filter_string)
{
    (void)args;
    return jinja_str(s, v);
}

jinja_value jinja_safe(jinja_state *s, jinja_value v)
{
    jinja_value text = jinja_str(s, v);
    jinja_string *copy = s->failed || text.as.s->safe ? NULL : jinja_alloc(s, sizeof *copy);
    if (!copy)
        return text;
    *copy = *text.as.s;
    copy->safe = true;
    return (jinja_value){.kind = J_STRING, .as.s = copy};
}

static jinja_value escape(jinja_state *s, jinja_value v)
{
    jinja_buffer out = {0};
    jinja_value text = jinja_str(s, v);
    for (size_t i = 0; !s->failed && i < text.as.s->length; i++) {
        char c = text.as.s->data[i], plain[2] = {c, 0};
        const char *to = c == '&'    ? "&amp;"
                         : c == '<'  ? "&lt;"
                         : c == '>'  ? "&gt;"
                         : c == '"'  ? "&#34;"
                         : c == '\'' ? "&#39;"
                                     : plain;
        jinja_append_marked(s, &out, to, c ? strlen(to) : 1, text.as.s->marks ? text.as.s->marks[i] : text.as.s->mark);
    }
    return jinja_safe(s, jinja_take_text(s, &out));
}

jinja_value jinja_escaped(jinja_state *s, jinja_value v)
{
    return v.kind == J_STRING && v.as.s->safe ? v : escape(s, v);
}

FILTER(filter_safe)
{
    (void)args;
    return jinja_safe(s, v);
}

FILTER(filter_escape)
{
    (void)args;
    return jinja_escaped(s, v);
}

FILTER(filter_forceescape)
{
    (void)args;
    return escape(s, v);
}

FILTER(filter_length)
{
    (void)args;
    return jinja_int(jinja_length(s, v));
}

FILTER(filter_default)
{
    bool missing = v.kind == J_UNDEFINED || (flag(args, 1, false) && !jinja_truth(v));
    return !missing ? v : args->given[0] ? args->values[0] : jinja_literal(s, "");
}

FILTER(filter_first)
{
    const jinja_list *items = jinja_iterate(s, v);
    (void)args;
    return items && items->count ? items->items[0] : jinja_undefined(NULL);
}

FILTER(filter_last)
{
    const jinja_list *items = jinja_iterate(s, v);
    (void)args;
    return items && items->count ? items->items[items->count - 1] : jinja_undefined(NULL);
}

FILTER(filter_list)
{
    const jinja_list *items = jinja_iterate(s, v);
    jinja_value list = jinja_new_list(s, false);
    (void)args;
    for (uint32_t i = 0; items && i < items->count && !s->failed; i++)
        jinja_push(s, list.as.l, items->items[i]);
    return list;
}

FILTER(filter_reverse)
{
    const jinja_list *items = jinja_iterate(s, v);
    jinja_value list = jinja_new_list(s, false);
    (void)args;
    for (uint32_t i = items ? items->count : 0; i > 0 && !s->failed; i--)
        jinja_push(s, list.as.l, items->items[i - 1]);
    if (v.kind != J_STRING)
        return list;
    jinja_buffer out = {0};
    for (uint32_t i = 0; !s->failed && i < list.as.l->count; i++)
        jinja_append_str(s, &out, list.as.l->items[i]);
    return jinja_take_text(s, &out);
}

FILTER(filter_abs)
{
    (void)args;
    if (!jinja_is_number(v))
        return jinja_fail(s, "abs needs a number, a %s was given", jinja_type_name(v));
    return jinja_number(v) < 0 ? jinja_binary(s, '-', jinja_int(0), v) : jinja_binary(s, '+', jinja_int(0), v);
}

/* A number's text as Python reads it: white space around it and single underscores between its digits do not count.
 * false: it is none. */
static bool number_text(const jinja_string *t, char out[64])
{
    size_t begin = 0, end = t->length, n = 0;
    while (begin < end && vkft_is_space(t->data[begin]))
        begin++;
    while (end > begin && vkft_is_space(t->data[end - 1]))
        end--;
    for (size_t i = begin; i < end && n < 63; i++) {
        bool between = i > begin && i + 1 < end && isalnum((unsigned char)t->data[i - 1]) &&
                       isalnum((unsigned char)t->data[i + 1]);
        if (t->data[i] == '_' && !between)
            return false;
        if (t->data[i] != '_')
            out[n++] = t->data[i];
    }
    out[n] = 0;
    return n > 0 && n < 63;
}

static bool parse_int(jinja_state *s, const jinja_string *t, int base, int64_t *i)
{
    char text[64], *end;
    if (!number_text(t, text))
        return false;
    errno = 0;
    *i = strtoll(text, &end, base);
    if (!*end && errno == ERANGE)
        jinja_fail(s, "the int %.40s is too large for 64 bits", text);
    return !*end;
}

static bool parse_float(const jinja_string *t, double *x)
{
    char text[64], *end;
    if (!number_text(t, text) || strpbrk(text, "xXpP(")) /* C's, not Python's */
        return false;
    *x = strtod(text, &end);
    return !*end;
}

FILTER(filter_int)
{
    double x = 0;
    int64_t i = 0;
    jinja_value absent = args->given[0] ? args->values[0] : jinja_int(0);
    if (v.kind == J_INT || v.kind == J_BIG_INT)
        return v;
    if (v.kind == J_BOOL)
        return jinja_int(v.as.b);
    if (v.kind == J_FLOAT)
        return fabs(v.as.f) < 9.2e18 ? jinja_int((int64_t)v.as.f) : absent;
    if (v.kind != J_STRING)
        return absent;
    if (parse_int(s, v.as.s, (int)number(args, 1, 10), &i))
        return jinja_int(i);
    return parse_float(v.as.s, &x) && fabs(x) < 9.2e18 ? jinja_int((int64_t)x) : absent;
}

FILTER(filter_float)
{
    double x = 0;
    (void)s;
    if (jinja_is_number(v))
        return jinja_float(jinja_number(v));
    if (v.kind == J_STRING && parse_float(v.as.s, &x))
        return jinja_float(x);
    return args->given[0] ? args->values[0] : jinja_float(0);
}

FILTER(filter_round)
{
    int64_t digits = number(args, 0, 0);
    if (!jinja_is_number(v))
        return jinja_fail(s, "round needs a number, a %s was given", jinja_type_name(v));
    if (digits < 0 || digits > 15)
        return jinja_fail(s, "round takes 0 to 15 digits");
    double scale = pow(10, (double)digits), x = jinja_number(v);
    const char *how = args->given[1] && args->values[1].kind == J_STRING ? args->values[1].as.s->data : "common";
    if (strcmp(how, "common") == 0 && v.kind != J_FLOAT)
        return v.kind == J_BOOL ? jinja_int(v.as.b) : v;
    if (strcmp(how, "common") == 0) { /* Python's round: half to even of the exact decimal value, as printf does */
        char text[400];
        snprintf(text, sizeof text, "%.*f", (int)digits, x);
        return jinja_float(strtod(text, NULL));
    }
    if (strcmp(how, "ceil") != 0 && strcmp(how, "floor") != 0)
        return jinja_fail(s, "round takes common, ceil or floor");
    return jinja_float((how[0] == 'c' ? ceil(x * scale) : floor(x * scale)) / scale);
}

/* The value that an attribute path such as "a.b" or an index names. */
static jinja_value path(jinja_state *s, jinja_value v, jinja_value attribute)
{
    if (attribute.kind == J_INT)
        return jinja_item(s, v, attribute);
    if (attribute.kind != J_STRING)
        return jinja_fail(s, "an attribute must be a str or an int, a %s was given", jinja_type_name(attribute));
    const jinja_string *p = attribute.as.s;
    for (size_t at = 0; at <= p->length && !s->failed;) {
        size_t end = at;
        while (end < p->length && p->data[end] != '.')
            end++;
        jinja_value name = jinja_text(s, p->data + at, end - at);
        bool digits = end > at && strspn(p->data + at, "0123456789") >= end - at && end - at < 10;
        if (s->failed)
            break;
        v = v.kind == J_UNDEFINED ? v
            : digits              ? jinja_item(s, v, jinja_int(atoi(name.as.s->data)))
                                  : jinja_item(s, v, name);
        at = end + 1;
    }
    return v;
}

FILTER(filter_attr)
{
    if (args->values[0].kind != J_STRING)
        return jinja_fail(s, "attr needs a name");
    const jinja_builtin *method = jinja_find_method(v.kind, args->values[0].as.s);
    return method || v.kind == J_LOOP || v.kind == J_NAMESPACE ? jinja_attribute(s, v, args->values[0].as.s)
                                                               : jinja_undefined(args->values[0].as.s);
}

/* join(d='', attribute=None) */
FILTER(filter_join)
{
    const jinja_list *items = jinja_iterate(s, v);
    jinja_buffer out = {0};
    for (uint32_t i = 0; items && i < items->count && !s->failed; i++) {
        if (i && args->given[0])
            jinja_append_str(s, &out, args->values[0]);
        jinja_append_str(s, &out, args->given[1] ? path(s, items->items[i], args->values[1]) : items->items[i]);
    }
    return jinja_take_text(s, &out);
}

static jinja_value lowered(jinja_state *s, jinja_value v, bool case_sensitive)
{
    const jinja_arguments none = {0};
    return v.kind == J_STRING && !case_sensitive ? text_method(s, "lower", v, &none) : v;
}

/* Merge sort of items by keys: stable, and bounded by the steps of its comparisons. */
static void merge_sort(jinja_state *s, jinja_pair *pairs, jinja_pair *space, uint32_t n, bool reverse)
{
    if (n < 2 || s->failed)
        return;
    uint32_t half = n / 2, a = 0, b = half;
    merge_sort(s, pairs, space, half, reverse);
    merge_sort(s, pairs + half, space, n - half, reverse);
    for (uint32_t i = 0; i < n && jinja_step(s); i++) {
        bool left = b == n || (a < half && (reverse ? jinja_compare(s, pairs[b].key, pairs[a].key) <= 0
                                                    : jinja_compare(s, pairs[b].key, pairs[a].key) >= 0));
        space[i] = left ? pairs[a++] : pairs[b++];
    }
    if (!s->failed)
        memcpy(pairs, space, n * sizeof *pairs);
}

/* Items with their sort keys, sorted. */
static jinja_pair *sort_items(jinja_state *s, const jinja_list *items, const jinja_value *attribute,
                              bool case_sensitive, bool reverse)
{
    jinja_pair *pairs = jinja_alloc(s, 2 * (items->count + 1ull) * sizeof *pairs);
    if (!pairs)
        return NULL;
    for (uint32_t i = 0; i < items->count && !s->failed; i++)
        pairs[i] =
            (jinja_pair){lowered(s, attribute ? path(s, items->items[i], *attribute) : items->items[i], case_sensitive),
                         items->items[i]};
    merge_sort(s, pairs, pairs + items->count + 1, items->count, reverse);
    return s->failed ? NULL : pairs;
}

/* sort(reverse=False, case_sensitive=False, attribute=None) */
FILTER(filter_sort)
{
    const jinja_list *items = jinja_iterate(s, v);
    jinja_value list = jinja_new_list(s, false);
    bool by = args->given[2] && args->values[2].kind != J_NONE;
    jinja_pair *pairs =
        items ? sort_items(s, items, by ? &args->values[2] : NULL, flag(args, 1, false), flag(args, 0, false)) : NULL;
    for (uint32_t i = 0; pairs && i < items->count; i++)
        jinja_push(s, list.as.l, pairs[i].value);
    return list;
}

/* dictsort(case_sensitive=False, by='key', reverse=False) */
FILTER(filter_dictsort)
{
    const jinja_arguments none = {0};
    if (v.kind != J_DICT)
        return jinja_fail(s, "dictsort needs a dict, a %s was given", jinja_type_name(v));
    const jinja_string items_name = {.data = "items", .length = 5};
    jinja_value items = jinja_find_method(J_DICT, &items_name)->call(s, v, &none), list = jinja_new_list(s, false);
    bool value = args->given[1] && args->values[1].kind == J_STRING && strcmp(args->values[1].as.s->data, "value") == 0;
    jinja_value at = jinja_int(value);
    jinja_pair *pairs = s->failed ? NULL : sort_items(s, items.as.l, &at, flag(args, 0, false), flag(args, 2, false));
    for (uint32_t i = 0; pairs && i < items.as.l->count; i++)
        jinja_push(s, list.as.l, pairs[i].value);
    return list;
}

static jinja_value extreme(jinja_state *s, jinja_value v, const jinja_arguments *args, int sign)
{
    const jinja_list *items = jinja_iterate(s, v);
    bool by = args->given[1] && args->values[1].kind != J_NONE;
    jinja_value best = jinja_undefined(NULL), best_key = best;
    for (uint32_t i = 0; items && i < items->count && !s->failed; i++) {
        jinja_value key =
            lowered(s, by ? path(s, items->items[i], args->values[1]) : items->items[i], flag(args, 0, false));
        if (i == 0 || (!s->failed && sign * jinja_compare(s, key, best_key) > 0)) {
            best = items->items[i];
            best_key = key;
        }
    }
    return best;
}

FILTER(filter_max)
{
    return extreme(s, v, args, 1);
}
FILTER(filter_min)
{
    return extreme(s, v, args, -1);
}

/* sum(attribute=None, start=0) */
FILTER(filter_sum)
{
    const jinja_list *items = jinja_iterate(s, v);
    jinja_value sum = args->given[1] ? args->values[1] : jinja_int(0);
    bool by = args->given[0] && args->values[0].kind != J_NONE;
    for (uint32_t i = 0; items && i < items->count && !s->failed; i++)
        sum = jinja_binary(s, '+', sum, by ? path(s, items->items[i], args->values[0]) : items->items[i]);
    return sum;
}

/* unique(case_sensitive=False, attribute=None) */
FILTER(filter_unique)
{
    const jinja_list *items = jinja_iterate(s, v);
    jinja_value seen = jinja_new_list(s, false), list = jinja_new_list(s, false);
    for (uint32_t i = 0; items && i < items->count && !s->failed; i++) {
        jinja_value key = lowered(s, args->given[1] ? path(s, items->items[i], args->values[1]) : items->items[i],
                                  flag(args, 0, false));
        if (s->failed || jinja_contains(s, seen, key))
            continue;
        jinja_push(s, seen.as.l, key);
        jinja_push(s, list.as.l, items->items[i]);
    }
    return list;
}

/* groupby(attribute, default=None): a list of (grouper, list). */
FILTER(filter_groupby)
{
    const jinja_list *items = jinja_iterate(s, v);
    jinja_value groups = jinja_new_list(s, false), group = groups;
    jinja_pair *pairs = items ? sort_items(s, items, &args->values[0], false, false) : NULL;
    for (uint32_t i = 0; pairs && i < items->count && !s->failed; i++) {
        if (i == 0 || !jinja_equal(s, pairs[i].key, pairs[i - 1].key)) {
            jinja_value pair = jinja_new_list(s, true);
            group = jinja_new_list(s, false);
            if (s->failed)
                break;
            jinja_push(s, pair.as.l, path(s, pairs[i].value, args->values[0]));
            jinja_push(s, pair.as.l, group);
            jinja_push(s, groups.as.l, pair);
        }
        jinja_push(s, group.as.l, pairs[i].value);
    }
    return groups;
}

FILTER(filter_items)
{
    const jinja_arguments none = {0};
    const jinja_string name = {.data = "items", .length = 5};
    (void)args;
    if (v.kind == J_UNDEFINED)
        return jinja_new_list(s, false);
    return v.kind == J_DICT ? jinja_find_method(J_DICT, &name)->call(s, v, &none)
                            : jinja_fail(s, "items needs a dict, a %s was given", jinja_type_name(v));
}

/* map('filter', ...) or map(attribute='name', default=...). */
FILTER(filter_map)
{
    const jinja_list *items = jinja_truth(v) ? jinja_iterate(s, v) : NULL; /* as Jinja2: nothing is an empty list */
    jinja_value list = jinja_new_list(s, false);
    const jinja_value *named = args->given[JINJA_MAX_ARGUMENTS - 1] ? &args->values[JINJA_MAX_ARGUMENTS - 1] : NULL;
    const jinja_value *attribute = named && named->kind == J_DICT ? jinja_get_name(named->as.d, "attribute", 9) : NULL;
    const jinja_value *absent = attribute ? jinja_get_name(named->as.d, "default", 7) : NULL;
    const jinja_builtin *filter = !attribute && args->given[0] && args->values[0].kind == J_STRING
                                      ? jinja_find_filter(args->values[0].as.s)
                                      : NULL;
    if (!attribute && !filter)
        return jinja_fail(s, "map needs the name of a known filter, or attribute=");
    jinja_arguments rest = *args;
    rest.given[JINJA_MAX_ARGUMENTS - 1] = false;
    for (uint32_t i = 0; items && i < items->count && !s->failed; i++) {
        jinja_value item =
            attribute ? path(s, items->items[i], *attribute) : jinja_apply(s, filter, items->items[i], &rest, 1);
        jinja_push(s, list.as.l, item.kind == J_UNDEFINED && absent ? *absent : item);
    }
    return list;
}

/* select, reject, selectattr, rejectattr: by the truth of an item or an attribute, or by a test on it. */
static jinja_value choose(jinja_state *s, jinja_value v, const jinja_arguments *args, bool by_attribute, bool wanted)
{
    const jinja_list *items = jinja_truth(v) ? jinja_iterate(s, v) : NULL;
    jinja_value list = jinja_new_list(s, false);
    uint32_t at = by_attribute;
    const jinja_builtin *test = NULL;
    if (args->given[at]) {
        test = args->values[at].kind == J_STRING ? jinja_find_test(args->values[at].as.s) : NULL;
        if (!test)
            return jinja_fail(s, "select and reject need the name of a known test");
    }
    for (uint32_t i = 0; items && i < items->count && !s->failed; i++) {
        jinja_value value = by_attribute ? path(s, items->items[i], args->values[0]) : items->items[i];
        if (test && !s->failed)
            value = jinja_apply(s, test, value, args, at + 1);
        if (jinja_truth(value) == wanted)
            jinja_push(s, list.as.l, items->items[i]);
    }
    return list;
}

FILTER(filter_select)
{
    return choose(s, v, args, false, true);
}
FILTER(filter_reject)
{
    return choose(s, v, args, false, false);
}
FILTER(filter_selectattr)
{
    return choose(s, v, args, true, true);
}
FILTER(filter_rejectattr)
{
    return choose(s, v, args, true, false);
}

/* batch(linecount, fill_with=None): rows of linecount items. */
FILTER(filter_batch)
{
    const jinja_list *items = jinja_iterate(s, v);
    jinja_value rows = jinja_new_list(s, false), row = rows;
    int64_t width = number(args, 0, 0);
    if (width < 1 || width > 1000000)
        return jinja_fail(s, "batch needs a count of at least 1");
    for (uint32_t i = 0; items && i < items->count && !s->failed; i++) {
        if (i % width == 0) {
            row = jinja_new_list(s, false);
            jinja_push(s, rows.as.l, row);
        }
        if (!s->failed)
            jinja_push(s, row.as.l, items->items[i]);
    }
    while (!s->failed && items->count && args->given[1] && row.as.l->count < width && jinja_step(s))
        jinja_push(s, row.as.l, args->values[1]);
    return rows;
}

/* slice(slices, fill_with=None): that many columns. */
FILTER(filter_slice)
{
    const jinja_list *items = jinja_iterate(s, v);
    jinja_value columns = jinja_new_list(s, false);
    int64_t slices = number(args, 0, 0), n = items ? items->count : 0, at = 0;
    if (slices < 1 || slices > 100000)
        return jinja_fail(s, "slice needs a count of at least 1");
    for (int64_t i = 0; i < slices && jinja_step(s); i++) {
        jinja_value column = jinja_new_list(s, false);
        int64_t end = at + n / slices + (i < n % slices);
        while (at < end && !s->failed)
            jinja_push(s, column.as.l, items->items[at++]);
        if (args->given[1] && i >= n % slices && n % slices && !s->failed)
            jinja_push(s, column.as.l, args->values[1]);
        jinja_push(s, columns.as.l, column);
    }
    return columns;
}

static void pad(jinja_state *s, jinja_buffer *out, int64_t n)
{
    for (int64_t i = 0; i < n && !s->failed; i++)
        jinja_append(s, out, " ", 1);
}

FILTER(filter_center)
{
    jinja_value text = jinja_str(s, v);
    int64_t width = number(args, 0, 80), n = jinja_length(s, text),
            left = width > n ? (width - n) / 2 + (((width - n) & width & 1)) : 0;
    jinja_buffer out = {0};
    pad(s, &out, left);
    jinja_append_str(s, &out, text);
    pad(s, &out, width - n - left);
    return jinja_take_text(s, &out);
}

/* indent(width=4, first=False, blank=False) */
FILTER(filter_indent)
{
    jinja_value text = jinja_str(s, v), by = jinja_literal(s, "");
    jinja_buffer spaces = {0}, out = {0};
    if (args->given[0] && args->values[0].kind == J_STRING) {
        by = args->values[0];
    } else {
        pad(s, &spaces, number(args, 0, 4));
        by = jinja_take_text(s, &spaces);
    }
    for (size_t at = 0, line = 0; !s->failed && at <= text.as.s->length; line++) {
        const char *begin = text.as.s->data + at, *newline = memchr(begin, '\n', text.as.s->length - at);
        size_t n = newline ? (size_t)(newline - begin) : text.as.s->length - at;
        if (line)
            jinja_append_part(s, &out, text.as.s, at - 1, 1);
        if (line ? n > 0 || flag(args, 2, false) : flag(args, 1, false))
            jinja_append_str(s, &out, by);
        jinja_append_part(s, &out, text.as.s, at, n);
        at += n + 1;
    }
    return jinja_take_text(s, &out);
}

/* truncate(length=255, killwords=False, end='...', leeway=5) */
FILTER(filter_truncate)
{
    jinja_value text = jinja_str(s, v), end = args->given[2] ? jinja_str(s, args->values[2]) : jinja_literal(s, "...");
    int64_t length = number(args, 0, 255), leeway = number(args, 3, 5);
    if (s->failed || (int64_t)jinja_length(s, text) <= length + leeway)
        return text;
    jinja_value cut =
        jinja_slice(s, text, jinja_none(), jinja_int(length - (int64_t)jinja_length(s, end)), jinja_none());
    if (!s->failed && !flag(args, 1, false)) { /* the last word goes whole */
        size_t n = cut.as.s->length;
        while (n > 0 && cut.as.s->data[n - 1] != ' ')
            n--;
        if (n > 0)
            cut = jinja_part(s, cut.as.s, 0, n - 1);
    }
    return jinja_binary(s, '~', cut, end);
}

FILTER(filter_wordcount)
{
    const jinja_arguments none = {0};
    (void)args;
    return jinja_int(jinja_length(s, text_method(s, "split", v, &none)));
}

FILTER(filter_urlencode)
{
    jinja_buffer out = {0};
    jinja_value text = jinja_str(s, v);
    (void)args;
    for (size_t i = 0; !s->failed && i < text.as.s->length; i++) {
        unsigned char c = (unsigned char)text.as.s->data[i];
        char escape[8];
        bool plain = (c >= '0' && c <= '9') || ((c | 32) >= 'a' && (c | 32) <= 'z') || (c && strchr("_.-~/", c));
        snprintf(escape, sizeof escape, plain ? "%c" : "%%%02X", c);
        jinja_append(s, &out, escape, strlen(escape));
    }
    return s->failed ? text : jinja_take_like(s, &out, text.as.s);
}

/* '...' % (values) */
FILTER(filter_format)
{
    jinja_value values = jinja_new_list(s, true);
    for (uint32_t i = 0; i < JINJA_MAX_ARGUMENTS && args->given[i] && !s->failed; i++)
        jinja_push(s, values.as.l, args->values[i]);
    return s->failed ? values : jinja_binary(s, '%', jinja_str(s, v), values);
}

static const jinja_builtin filters[] = {
    {"abs", "", filter_abs},
    {"attr", "name", filter_attr},
    {"batch", "linecount fill_with", filter_batch},
    {"capitalize", "", filter_capitalize},
    {"center", "width", filter_center},
    {"count", "", filter_length},
    {"d", "default_value boolean", filter_default},
    {"default", "default_value boolean", filter_default},
    {"dictsort", "case_sensitive by reverse", filter_dictsort},
    {"e", "", filter_escape},
    {"escape", "", filter_escape},
    {"first", "", filter_first},
    {"float", "default", filter_float},
    {"forceescape", "", filter_forceescape},
    {"format", "*", filter_format},
    {"groupby", "attribute default", filter_groupby},
    {"indent", "width first blank", filter_indent},
    {"int", "default base", filter_int},
    {"items", "", filter_items},
    {"join", "d attribute", filter_join},
    {"last", "", filter_last},
    {"length", "", filter_length},
    {"list", "", filter_list},
    {"lower", "", filter_lower},
    {"map", "*", filter_map},
    {"max", "case_sensitive attribute", filter_max},
    {"min", "case_sensitive attribute", filter_min},
    {"reject", "*", filter_reject},
    {"rejectattr", "*", filter_rejectattr},
    {"replace", "old new count", filter_replace},
    {"reverse", "", filter_reverse},
    {"round", "precision method", filter_round},
    {"safe", "", filter_safe},
    {"select", "*", filter_select},
    {"selectattr", "*", filter_selectattr},
    {"slice", "slices fill_with", filter_slice},
    {"sort", "reverse case_sensitive attribute", filter_sort},
    {"string", "", filter_string},
    {"sum", "attribute start", filter_sum},
    {"title", "", filter_title},
    {"tojson", "ensure_ascii indent separators sort_keys", jinja_to_json},
    {"trim", "chars", filter_trim},
    {"truncate", "length killwords end leeway", filter_truncate},
    {"unique", "case_sensitive attribute", filter_unique},
    {"upper", "", filter_upper},
    {"urlencode", "", filter_urlencode},
    {"wordcount", "", filter_wordcount},
    {0},
};

const jinja_builtin *jinja_find_filter(const jinja_string *name)
{
    return jinja_find(filters, name);
}
