/* Methods of strings, lists, dicts and loops, as Python has them. What changes its object is refused, as in Jinja2's
 * immutable sandbox. */
#include <stdlib.h>
#include <string.h>

#include <utf8proc.h>

#include "formats/jinja/jinja_private.h"
#include "runtime/base/size.h"

static const jinja_string *need_text(jinja_state *s, const char *what, jinja_value v)
{
    static const jinja_string empty = {.data = ""};
    if (v.kind == J_STRING) {
        jinja_work(s, v.as.s->length); /* all methods read it once */
        return v.as.s;
    }
    jinja_fail(s, "%s needs a str, a %s was given", what, jinja_type_name(v));
    return &empty;
}

static bool is_space(uint32_t p)
{
    return (p >= 9 && p <= 13) || (p >= 28 && p <= 32) || p == 0x85 || p == 0xa0 || p == 0x1680 ||
           (p >= 0x2000 && p <= 0x200a) || p == 0x2028 || p == 0x2029 || p == 0x202f || p == 0x205f || p == 0x3000;
}

/* Whether the character at p, n bytes long, is stripped: white space, or one of set. */
static bool in_set(const char *p, size_t n, const jinja_string *set)
{
    if (!set)
        return is_space(vkft_utf8_decode(p, n));
    for (size_t i = 0; i + n <= set->length; i++)
        if (memcmp(set->data + i, p, n) == 0)
            return true;
    return false;
}

static size_t length_at(const jinja_string *t, size_t at)
{
    size_t n = vkft_utf8_length(t->data + at, t->length - at);
    return n ? n : 1;
}

static size_t length_before(const jinja_string *t, size_t end)
{
    size_t n = 1;
    while (n < 4 && n < end && ((unsigned char)t->data[end - n] & 0xc0) == 0x80)
        n++;
    return n;
}

static jinja_value strip_sides(jinja_state *s, jinja_value self, const jinja_arguments *args, bool left, bool right)
{
    const jinja_string *t = need_text(s, "strip", self), *set = NULL;
    size_t begin = 0, end = t->length;
    if (args->given[0] && args->values[0].kind != J_NONE)
        set = need_text(s, "strip", args->values[0]);
    size_t each = set ? set->length : 0;
    while (left && begin < end && jinja_work(s, each) && in_set(t->data + begin, length_at(t, begin), set))
        begin += length_at(t, begin);
    while (right && end > begin && jinja_work(s, each) &&
           in_set(t->data + end - length_before(t, end), length_before(t, end), set))
        end -= length_before(t, end);
    return jinja_part(s, t, begin, end - begin);
}

static jinja_value strip(jinja_state *s, jinja_value self, const jinja_arguments *args)
{
    return strip_sides(s, self, args, true, true);
}

static jinja_value lstrip(jinja_state *s, jinja_value self, const jinja_arguments *args)
{
    return strip_sides(s, self, args, true, false);
}

static jinja_value rstrip(jinja_state *s, jinja_value self, const jinja_arguments *args)
{
    return strip_sides(s, self, args, false, true);
}

static void split_white(jinja_state *s, const jinja_string *t, int64_t max_splits, jinja_list *parts)
{
    for (size_t at = 0; at < t->length && jinja_step(s);) {
        size_t n = length_at(t, at), end;
        if (in_set(t->data + at, n, NULL)) {
            at += n;
            continue;
        }
        bool rest = max_splits >= 0 && parts->count >= max_splits;
        for (end = at; end < t->length && (rest || !in_set(t->data + end, length_at(t, end), NULL));)
            end += length_at(t, end);
        jinja_push(s, parts, jinja_part(s, t, at, end - at));
        at = rest ? t->length : end;
    }
}

static jinja_value split(jinja_state *s, jinja_value self, const jinja_arguments *args)
{
    const jinja_string *t = need_text(s, "split", self);
    jinja_value parts = jinja_new_list(s, false);
    int64_t max_splits = args->given[1] && args->values[1].kind == J_INT ? args->values[1].as.i : -1;
    if (s->failed)
        return parts;
    if (!args->given[0] || args->values[0].kind == J_NONE) {
        split_white(s, t, max_splits, parts.as.l);
        return parts;
    }
    const jinja_string *by = need_text(s, "split", args->values[0]);
    if (!s->failed && by->length == 0)
        return jinja_fail(s, "split needs a separator that is not empty");
    size_t at = 0, found;
    while (!s->failed && (max_splits < 0 || parts.as.l->count < max_splits) &&
           (found = jinja_find_text(s, t, by, at, t->length, false)) != SIZE_MAX) {
        jinja_push(s, parts.as.l, jinja_part(s, t, at, found - at));
        at = found + by->length;
    }
    jinja_push(s, parts.as.l, jinja_part(s, t, at, t->length - at));
    return parts;
}

static jinja_value rsplit(jinja_state *s, jinja_value self, const jinja_arguments *args)
{
    const jinja_string *t = need_text(s, "rsplit", self);
    int64_t max_splits = args->given[1] && args->values[1].kind == J_INT ? args->values[1].as.i : -1;
    if (max_splits < 0)
        return split(s, self, args);
    if (!args->given[0] || args->values[0].kind != J_STRING || args->values[0].as.s->length == 0)
        return jinja_fail(s, "rsplit with a limit needs a separator that is not empty");
    const jinja_string *by = args->values[0].as.s;
    jinja_value backwards = jinja_new_list(s, false), parts = jinja_new_list(s, false);
    size_t end = t->length, found;
    while (!s->failed && backwards.as.l->count < max_splits &&
           (found = jinja_find_text(s, t, by, 0, end, true)) != SIZE_MAX) {
        jinja_push(s, backwards.as.l, jinja_part(s, t, found + by->length, end - found - by->length));
        end = found;
    }
    if (s->failed)
        return parts;
    jinja_push(s, parts.as.l, jinja_part(s, t, 0, end));
    for (uint32_t i = backwards.as.l->count; i > 0; i--)
        jinja_push(s, parts.as.l, backwards.as.l->items[i - 1]);
    return parts;
}

/* (before, separator, after); without the separator all of it is on one side. */
static jinja_value cut(jinja_state *s, jinja_value self, const jinja_arguments *args, bool last)
{
    const jinja_string *t = need_text(s, "partition", self), *by = need_text(s, "partition", args->values[0]);
    jinja_value three = jinja_new_list(s, true);
    if (s->failed)
        return three;
    if (by->length == 0)
        return jinja_fail(s, "partition needs a separator that is not empty");
    size_t at = jinja_find_text(s, t, by, 0, t->length, last), n = at == SIZE_MAX ? 0 : by->length;
    at = at != SIZE_MAX ? at : last ? 0 : t->length;
    jinja_push(s, three.as.l, jinja_part(s, t, 0, at));
    jinja_push(s, three.as.l, jinja_part(s, t, at, n));
    jinja_push(s, three.as.l, jinja_part(s, t, at + n, t->length - at - n));
    return three;
}

static jinja_value partition(jinja_state *s, jinja_value self, const jinja_arguments *args)
{
    return cut(s, self, args, false);
}

static jinja_value rpartition(jinja_state *s, jinja_value self, const jinja_arguments *args)
{
    return cut(s, self, args, true);
}

/* The bytes of the line's end at a place; 0: there is none. */
static size_t line_end(const jinja_string *t, size_t at)
{
    static const uint32_t ends[] = {'\n', '\r', '\v', '\f', 0x1c, 0x1d, 0x1e, 0x85, 0x2028, 0x2029};
    size_t n = length_at(t, at);
    uint32_t point = vkft_utf8_decode(t->data + at, n);
    if (point == '\r' && at + 1 < t->length && t->data[at + 1] == '\n')
        return 2;
    for (size_t i = 0; i < sizeof ends / sizeof *ends; i++)
        if (ends[i] == point)
            return n;
    return 0;
}

static jinja_value splitlines(jinja_state *s, jinja_value self, const jinja_arguments *args)
{
    const jinja_string *t = need_text(s, "splitlines", self);
    bool keep = args->given[0] && jinja_truth(args->values[0]);
    jinja_value lines = jinja_new_list(s, false);
    for (size_t at = 0, end; at < t->length && !s->failed; at = end) {
        size_t mark = 0;
        for (end = at; end < t->length && !(mark = line_end(t, end));)
            end += length_at(t, end);
        size_t length = end - at;
        jinja_push(s, lines.as.l, jinja_part(s, t, at, length + (keep ? mark : 0)));
        end += mark;
    }
    return lines;
}

/* One affix or a tuple of them. */
static jinja_value has_affix(jinja_state *s, jinja_value self, const jinja_arguments *args, bool at_start)
{
    const jinja_string *t = need_text(s, "startswith", self);
    jinja_value one = args->values[0];
    if (!args->given[0])
        return jinja_fail(s, "%s needs an argument", at_start ? "startswith" : "endswith");
    uint32_t count = one.kind == J_LIST ? one.as.l->count : 1;
    for (uint32_t i = 0; i < count && !s->failed; i++) {
        const jinja_string *affix =
            need_text(s, at_start ? "startswith" : "endswith", one.kind == J_LIST ? one.as.l->items[i] : one);
        if (affix->length <= t->length &&
            memcmp(t->data + (at_start ? 0 : t->length - affix->length), affix->data, affix->length) == 0)
            return jinja_bool(!s->failed);
    }
    return jinja_bool(false);
}

static jinja_value startswith(jinja_state *s, jinja_value self, const jinja_arguments *args)
{
    return has_affix(s, self, args, true);
}

static jinja_value endswith(jinja_state *s, jinja_value self, const jinja_arguments *args)
{
    return has_affix(s, self, args, false);
}

static jinja_value without_affix(jinja_state *s, jinja_value self, const jinja_arguments *args, bool prefix)
{
    const jinja_string *t = need_text(s, "removeprefix", self);
    if (!jinja_truth(has_affix(s, self, args, prefix)) || args->values[0].kind != J_STRING)
        return self;
    size_t n = args->values[0].as.s->length;
    return jinja_part(s, t, prefix ? n : 0, t->length - n);
}

static jinja_value removeprefix(jinja_state *s, jinja_value self, const jinja_arguments *args)
{
    return without_affix(s, self, args, true);
}

static jinja_value removesuffix(jinja_state *s, jinja_value self, const jinja_arguments *args)
{
    return without_affix(s, self, args, false);
}

/* s.replace(old, new, count): an empty old stands between all characters. */
static jinja_value replace(jinja_state *s, jinja_value self, const jinja_arguments *args)
{
    if (!args->given[0] || !args->given[1])
        return jinja_fail(s, "replace needs the old text and the new one");
    const jinja_string *t = need_text(s, "replace", jinja_str(s, self));
    const jinja_string *from = need_text(s, "replace", jinja_str(s, args->values[0])),
                       *to = need_text(s, "replace", jinja_str(s, args->values[1]));
    int64_t left = args->given[2] && args->values[2].kind == J_INT ? args->values[2].as.i : -1;
    jinja_buffer out = {0};
    size_t at = 0;
    while (at <= t->length && left != 0 && jinja_step(s)) {
        size_t found = jinja_find_text(s, t, from, at, t->length, false);
        if (found == SIZE_MAX)
            break;
        jinja_append_part(s, &out, t, at, found - at);
        jinja_append_part(s, &out, to, 0, to->length);
        at = found + from->length;
        if (from->length == 0) {
            size_t n = at < t->length ? length_at(t, at) : 1;
            jinja_append_part(s, &out, t, at, at < t->length ? n : 0);
            at += n;
        }
        left -= left > 0;
    }
    if (at < t->length)
        jinja_append_part(s, &out, t, at, t->length - at);
    return jinja_take_text(s, &out);
}

static jinja_value change_case(jinja_state *s, jinja_value self, jinja_casing how)
{
    return jinja_change_case(s, need_text(s, "upper or lower", self), how);
}

static jinja_value upper(jinja_state *s, jinja_value self, const jinja_arguments *args)
{
    (void)args;
    return change_case(s, self, JINJA_UPPER);
}

static jinja_value lower(jinja_state *s, jinja_value self, const jinja_arguments *args)
{
    (void)args;
    return change_case(s, self, JINJA_LOWER);
}

static jinja_value title(jinja_state *s, jinja_value self, const jinja_arguments *args)
{
    (void)args;
    return change_case(s, self, JINJA_TITLE);
}

static jinja_value capitalize(jinja_state *s, jinja_value self, const jinja_arguments *args)
{
    (void)args;
    return change_case(s, self, JINJA_CAPITALIZE);
}

static jinja_value swapcase(jinja_state *s, jinja_value self, const jinja_arguments *args)
{
    (void)args;
    return change_case(s, self, JINJA_SWAP);
}

/* s.join(list): items must be strings. */
static jinja_value join(jinja_state *s, jinja_value self, const jinja_arguments *args)
{
    const jinja_list *items = jinja_iterate(s, args->values[0]);
    jinja_buffer out = {0};
    for (uint32_t i = 0; items && i < items->count && !s->failed; i++) {
        if (i)
            jinja_append_str(s, &out, self);
        const jinja_string *t = need_text(s, "join", items->items[i]);
        jinja_append_part(s, &out, t, 0, t->length);
    }
    return jinja_take_text(s, &out);
}

/* A character index from a byte offset. */
static int64_t characters_before(const jinja_string *t, size_t at)
{
    int64_t n = 0;
    for (size_t i = 0; i < at; i += length_at(t, i))
        n++;
    return n;
}

static jinja_value find_text(jinja_state *s, jinja_value self, const jinja_arguments *args, bool last, bool must)
{
    const jinja_string *t = need_text(s, "find", self), *part = need_text(s, "find", args->values[0]);
    if (args->given[1])
        return jinja_fail(s, "find with a start is not supported");
    size_t at = jinja_find_text(s, t, part, 0, t->length, last);
    if (at == SIZE_MAX && must)
        return jinja_fail(s, "the substring is not in the string");
    return jinja_int(at == SIZE_MAX ? -1 : characters_before(t, at));
}

static jinja_value find(jinja_state *s, jinja_value self, const jinja_arguments *args)
{
    return find_text(s, self, args, false, false);
}

static jinja_value rfind(jinja_state *s, jinja_value self, const jinja_arguments *args)
{
    return find_text(s, self, args, true, false);
}

static jinja_value index_of(jinja_state *s, jinja_value self, const jinja_arguments *args)
{
    return find_text(s, self, args, false, true);
}

static jinja_value count_text(jinja_state *s, jinja_value self, const jinja_arguments *args)
{
    const jinja_string *t = need_text(s, "count", self), *part = need_text(s, "count", args->values[0]);
    int64_t n = 0;
    if (part->length == 0)
        return jinja_int((int64_t)jinja_length(s, self) + 1);
    for (size_t at = 0; (at = jinja_find_text(s, t, part, at, t->length, false)) != SIZE_MAX; at += part->length)
        n++;
    return jinja_int(n);
}

/* Whether there is a character and all are of the classes that accepts says. */
static jinja_value all_characters(jinja_state *s, jinja_value self, bool (*accepts)(uint32_t point))
{
    const jinja_string *t = need_text(s, "isdigit and its like", self);
    for (size_t i = 0; i < t->length; i += length_at(t, i))
        if (!accepts(vkft_utf8_decode(t->data + i, length_at(t, i))))
            return jinja_bool(false);
    return jinja_bool(t->length > 0);
}

static bool is_decimal(uint32_t p)
{
    return utf8proc_category((utf8proc_int32_t)p) == UTF8PROC_CATEGORY_ND;
}

/* Also superscripts and digits in circles: Unicode's Numeric_Type Digit. */
static bool is_digit(uint32_t p)
{
    static const uint32_t ranges[][2] = {
        {0xb2, 0xb3},     {0xb9, 0xb9},       {0x1369, 0x1371},   {0x19da, 0x19da},   {0x2070, 0x2070},
        {0x2074, 0x2079}, {0x2080, 0x2089},   {0x2460, 0x2468},   {0x2474, 0x247c},   {0x2488, 0x2490},
        {0x24ea, 0x24ea}, {0x24f5, 0x24fd},   {0x24ff, 0x24ff},   {0x2776, 0x277e},   {0x2780, 0x2788},
        {0x278a, 0x2792}, {0x10a40, 0x10a43}, {0x10e60, 0x10e68}, {0x11052, 0x1105a}, {0x1f100, 0x1f10a}};
    for (size_t i = 0; i < sizeof ranges / sizeof *ranges; i++)
        if (p >= ranges[i][0] && p <= ranges[i][1])
            return true;
    return is_decimal(p);
}

/* Also fractions, Roman numbers and those of Chinese, which are letters. */
static bool is_numeric(uint32_t p)
{
    static const uint32_t letters[] = {
        0x3405,  0x3483,  0x382a,  0x3b4d,  0x4e00,  0x4e03,  0x4e07,  0x4e09,  0x4e5d,  0x4e8c,  0x4e94,  0x4e96,
        0x4ebf,  0x4ec0,  0x4edf,  0x4ee8,  0x4f0d,  0x4f70,  0x5104,  0x5146,  0x5169,  0x516b,  0x516d,  0x5341,
        0x5343,  0x5344,  0x5345,  0x534c,  0x53c1,  0x53c2,  0x53c3,  0x53c4,  0x56db,  0x58f1,  0x58f9,  0x5e7a,
        0x5efe,  0x5eff,  0x5f0c,  0x5f0d,  0x5f0e,  0x5f10,  0x62fe,  0x634c,  0x67d2,  0x6f06,  0x7396,  0x767e,
        0x8086,  0x842c,  0x8cae,  0x8cb3,  0x8d30,  0x9621,  0x9646,  0x964c,  0x9678,  0x96f6,  0xf96b,  0xf973,
        0xf978,  0xf9b2,  0xf9d1,  0xf9d3,  0xf9fd,  0x20001, 0x20064, 0x200e2, 0x20121, 0x2092a, 0x20983, 0x2098c,
        0x2099c, 0x20aea, 0x20afd, 0x20b19, 0x22390, 0x22998, 0x23b1b, 0x2626d, 0x2f890};
    utf8proc_category_t category = utf8proc_category((utf8proc_int32_t)p);
    for (size_t i = 0; i < sizeof letters / sizeof *letters; i++)
        if (letters[i] == p)
            return true;
    return category == UTF8PROC_CATEGORY_ND || category == UTF8PROC_CATEGORY_NL || category == UTF8PROC_CATEGORY_NO;
}

static bool is_alpha(uint32_t p)
{
    utf8proc_category_t c = utf8proc_category((utf8proc_int32_t)p);
    return c >= UTF8PROC_CATEGORY_LU && c <= UTF8PROC_CATEGORY_LO;
}

static bool is_alnum(uint32_t p)
{
    return is_alpha(p) || is_numeric(p);
}

static jinja_value isdigit_method(jinja_state *s, jinja_value self, const jinja_arguments *args)
{
    (void)args;
    return all_characters(s, self, is_digit);
}

static jinja_value isdecimal_method(jinja_state *s, jinja_value self, const jinja_arguments *args)
{
    (void)args;
    return all_characters(s, self, is_decimal);
}

static jinja_value isnumeric_method(jinja_state *s, jinja_value self, const jinja_arguments *args)
{
    (void)args;
    return all_characters(s, self, is_numeric);
}

static jinja_value isalpha_method(jinja_state *s, jinja_value self, const jinja_arguments *args)
{
    (void)args;
    return all_characters(s, self, is_alpha);
}

static jinja_value isalnum_method(jinja_state *s, jinja_value self, const jinja_arguments *args)
{
    (void)args;
    return all_characters(s, self, is_alnum);
}

static jinja_value isspace_method(jinja_state *s, jinja_value self, const jinja_arguments *args)
{
    (void)args;
    return all_characters(s, self, is_space);
}

static jinja_value cased(jinja_state *s, jinja_value self, jinja_casing how)
{
    jinja_casing other = how == JINJA_UPPER ? JINJA_LOWER : JINJA_UPPER;
    return jinja_bool(jinja_equal(s, change_case(s, self, how), self) &&
                      !jinja_equal(s, change_case(s, self, other), self));
}

static jinja_value isupper_method(jinja_state *s, jinja_value self, const jinja_arguments *args)
{
    (void)args;
    return cased(s, self, JINJA_UPPER);
}

static jinja_value islower_method(jinja_state *s, jinja_value self, const jinja_arguments *args)
{
    (void)args;
    return cased(s, self, JINJA_LOWER);
}

static jinja_value dict_items(jinja_state *s, jinja_value self, const jinja_arguments *args)
{
    jinja_value list = jinja_new_list(s, false);
    (void)args;
    for (uint32_t i = 0; i < self.as.d->count && !s->failed; i++) {
        jinja_value pair = jinja_new_list(s, true);
        if (s->failed)
            break;
        jinja_push(s, pair.as.l, self.as.d->pairs[i].key);
        jinja_push(s, pair.as.l, self.as.d->pairs[i].value);
        jinja_push(s, list.as.l, pair);
    }
    return list;
}

static jinja_value dict_side(jinja_state *s, jinja_value self, bool keys)
{
    jinja_value list = jinja_new_list(s, false);
    for (uint32_t i = 0; i < self.as.d->count && !s->failed; i++)
        jinja_push(s, list.as.l, keys ? self.as.d->pairs[i].key : self.as.d->pairs[i].value);
    return list;
}

static jinja_value dict_keys(jinja_state *s, jinja_value self, const jinja_arguments *args)
{
    (void)args;
    return dict_side(s, self, true);
}

static jinja_value dict_values(jinja_state *s, jinja_value self, const jinja_arguments *args)
{
    (void)args;
    return dict_side(s, self, false);
}

static jinja_value dict_get(jinja_state *s, jinja_value self, const jinja_arguments *args)
{
    const jinja_value *found = jinja_get(s, self.as.d, args->values[0]);
    return found ? *found : args->given[1] ? args->values[1] : jinja_none();
}

static jinja_value dict_copy(jinja_state *s, jinja_value self, const jinja_arguments *args)
{
    jinja_value copy = jinja_new_dict(s);
    (void)args;
    for (uint32_t i = 0; i < self.as.d->count && !s->failed; i++)
        jinja_put(s, copy.as.d, self.as.d->pairs[i].key, self.as.d->pairs[i].value);
    return copy;
}

static jinja_value list_index(jinja_state *s, jinja_value self, const jinja_arguments *args)
{
    for (uint32_t i = 0; i < self.as.l->count; i++)
        if (jinja_equal(s, self.as.l->items[i], args->values[0]))
            return jinja_int(i);
    return jinja_fail(s, "the value is not in the list");
}

static jinja_value list_count(jinja_state *s, jinja_value self, const jinja_arguments *args)
{
    int64_t n = 0;
    for (uint32_t i = 0; i < self.as.l->count; i++)
        n += jinja_equal(s, self.as.l->items[i], args->values[0]);
    return jinja_int(n);
}

static jinja_value list_copy(jinja_state *s, jinja_value self, const jinja_arguments *args)
{
    jinja_value copy = jinja_new_list(s, false);
    (void)args;
    for (uint32_t i = 0; i < self.as.l->count && !s->failed; i++)
        jinja_push(s, copy.as.l, self.as.l->items[i]);
    return copy;
}

static jinja_value refuse_change(jinja_state *s, jinja_value self, const jinja_arguments *args)
{
    (void)args;
    return jinja_fail(s, "a template must not change a %s", jinja_type_name(self));
}

static jinja_value loop_cycle(jinja_state *s, jinja_value self, const jinja_arguments *args)
{
    uint32_t n = 0;
    while (n < JINJA_MAX_ARGUMENTS && args->given[n])
        n++;
    return n ? args->values[self.as.loop->index % n] : jinja_fail(s, "loop.cycle needs an argument");
}

static jinja_value loop_changed(jinja_state *s, jinja_value self, const jinja_arguments *args)
{
    jinja_value now = jinja_new_list(s, true);
    jinja_loop *loop = self.as.loop;
    for (uint32_t i = 0; i < args->count && !s->failed; i++)
        jinja_push(s, now.as.l, args->values[i]);
    bool changed = !loop->has_changed || !jinja_equal(s, loop->changed, now);
    loop->changed = now;
    loop->has_changed = true;
    return jinja_bool(changed);
}

static const jinja_builtin text_methods[] = {
    {"strip", "chars", strip},
    {"lstrip", "chars", lstrip},
    {"rstrip", "chars", rstrip},
    {"split", "sep maxsplit", split},
    {"rsplit", "sep maxsplit", rsplit},
    {"splitlines", "keepends", splitlines},
    {"partition", "sep", partition},
    {"rpartition", "sep", rpartition},
    {"startswith", "prefix", startswith},
    {"endswith", "suffix", endswith},
    {"removeprefix", "prefix", removeprefix},
    {"removesuffix", "suffix", removesuffix},
    {"replace", "old new count", replace},
    {"upper", "", upper},
    {"lower", "", lower},
    {"title", "", title},
    {"capitalize", "", capitalize},
    {"swapcase", "", swapcase},
    {"join", "iterable", join},
    {"find", "sub start", find},
    {"rfind", "sub start", rfind},
    {"index", "sub start", index_of},
    {"count", "sub", count_text},
    {"isdigit", "", isdigit_method},
    {"isnumeric", "", isnumeric_method},
    {"isdecimal", "", isdecimal_method},
    {"isalpha", "", isalpha_method},
    {"isalnum", "", isalnum_method},
    {"isspace", "", isspace_method},
    {"isupper", "", isupper_method},
    {"islower", "", islower_method},
    {"format", "*", jinja_format},
    {0},
};

static const jinja_builtin dict_methods[] = {
    {"items", "", dict_items},
    {"keys", "", dict_keys},
    {"values", "", dict_values},
    {"get", "key default", dict_get},
    {"copy", "", dict_copy},
    {"pop", "*", refuse_change},
    {"update", "*", refuse_change},
    {"clear", "*", refuse_change},
    {"setdefault", "*", refuse_change},
    {"popitem", "*", refuse_change},
    {0},
};

static const jinja_builtin list_methods[] = {
    {"index", "value", list_index}, {"count", "value", list_count}, {"copy", "", list_copy},
    {"append", "*", refuse_change}, {"extend", "*", refuse_change}, {"insert", "*", refuse_change},
    {"pop", "*", refuse_change},    {"remove", "*", refuse_change}, {"reverse", "*", refuse_change},
    {"sort", "*", refuse_change},   {"clear", "*", refuse_change},  {0},
};

static const jinja_builtin loop_methods[] = {{"cycle", "*", loop_cycle}, {"changed", "*", loop_changed}, {0}};

const jinja_builtin *jinja_find(const jinja_builtin *table, const jinja_string *name)
{
    for (; table->name; table++)
        if (strlen(table->name) == name->length && memcmp(table->name, name->data, name->length) == 0)
            return table;
    return NULL;
}

const jinja_builtin *jinja_find_method(jinja_kind kind, const jinja_string *name)
{
    switch (kind) {
    case J_STRING: return jinja_find(text_methods, name);
    case J_DICT: return jinja_find(dict_methods, name);
    case J_LIST: return jinja_find(list_methods, name);
    case J_LOOP: return jinja_find(loop_methods, name);
    default: return NULL;
    }
}
