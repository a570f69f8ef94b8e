/* Text made of a pattern and values: '...' % values and '...'.format(values), as Python has them. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "formats/jinja/jinja_private.h"
#include "runtime/base/size.h"

#define MAX_WIDTH 10000 /* of a field, and digits after the point */

/* [[fill]align][sign][#][0][width][grouping][.precision][type] */
typedef struct format_spec {
    char fill[8], align, sign, group, type; /* 0: not given */
    bool alternate;
    int width, precision; /* -1: not given */
} format_spec;

static jinja_value refuse(jinja_state *s, const jinja_string *pattern)
{
    return jinja_fail(s, "the format '%.60s' is not supported or has too few values", pattern->data);
}

static void repeat(jinja_state *s, jinja_buffer *out, const char *fill, int times)
{
    for (int i = 0; i < times && jinja_step(s); i++)
        jinja_append(s, out, fill, strlen(fill));
}

/* Digits before the point in threes. */
static void append_grouped(jinja_state *s, jinja_buffer *out, const char *digits, char group)
{
    size_t whole = strspn(digits, "0123456789");
    for (size_t i = 0; i < whole && !s->failed; i++) {
        if (group && i && (whole - i) % 3 == 0)
            jinja_append(s, out, &group, 1);
        jinja_append(s, out, digits + i, 1);
    }
    jinja_append(s, out, digits + whole, strlen(digits) - whole);
}

/* The magnitude of a number, without its sign. false: no number is written so. */
static bool number_digits(jinja_state *s, jinja_value v, const format_spec *f, vkft_text *digits, bool *negative)
{
    char text[MAX_WIDTH + 400], pattern[16];
    char type = f->type;
    bool real = type && strchr("eEfFgG%", type);
    int n = 0;
    if (v.kind == J_BIG_INT && (!type || type == 'd' || type == 'i')) {
        *negative = v.as.s->data[0] == '-';
        return vkft_text_append(digits, v.as.s->data + *negative, v.as.s->length - *negative, s->err);
    }
    if (!real && v.kind == J_FLOAT && !type && f->precision < 0) {
        jinja_buffer plain = {0};
        *negative = signbit(v.as.f) != 0;
        jinja_append_str(s, &plain, jinja_float(fabs(v.as.f)));
        bool ok = vkft_text_append(digits, plain.text.data, plain.text.length, s->err);
        jinja_buffer_free(&plain);
        return ok;
    }
    if (real) {
        double x = jinja_number(v);
        *negative = signbit(x) != 0;
        snprintf(pattern, sizeof pattern, "%%%s.*%c", f->alternate ? "#" : "", type == '%' ? 'f' : type);
        n = snprintf(text, sizeof text, pattern, f->precision < 0 ? 6 : f->precision,
                     fabs(x) * (type == '%' ? 100 : 1));
        if (type == '%')
            n += snprintf(text + n, sizeof text - (size_t)n, "%%");
    } else if ((v.kind == J_INT || v.kind == J_BOOL) && (!type || strchr("dixXob", type))) {
        int64_t i = v.kind == J_BOOL ? v.as.b : v.as.i;
        uint64_t magnitude = i < 0 ? 0 - (uint64_t)i : (uint64_t)i;
        *negative = i < 0;
        if (type == 'b') {
            n = 1;
            while (n < 64 && magnitude >> n)
                n++;
            for (int k = 0; k < n; k++)
                text[k] = (char)('0' + (magnitude >> (n - 1 - k) & 1));
        } else {
            n = snprintf(text, sizeof text,
                         type == 'x'   ? "%llx"
                         : type == 'X' ? "%llX"
                         : type == 'o' ? "%llo"
                                       : "%llu",
                         (unsigned long long)magnitude);
        }
    } else {
        return false;
    }
    return n > 0 && vkft_text_append(digits, text, (size_t)n, s->err);
}

/* Between what stands before the padding (a sign) and after it. */
static void append_padded(jinja_state *s, jinja_buffer *out, const format_spec *f, const char *sign,
                          const jinja_string *body, char align)
{
    const jinja_value text = {.kind = J_STRING, .as.s = body};
    int length = (int)min_u64(strlen(sign) + jinja_length(s, text), INT32_MAX), space = f->width - length,
        left = align == '>'   ? space
               : align == '^' ? space / 2
                              : 0;
    const char *fill = f->fill[0] ? f->fill : " ";
    repeat(s, out, fill, left);
    jinja_append(s, out, sign, strlen(sign));
    repeat(s, out, fill, align == '=' ? space : 0);
    jinja_append_str(s, out, text);
    repeat(s, out, fill, align == '<' ? space : align == '^' ? space - space / 2 : 0);
}

/* false: the value is not written so. */
static bool append_number(jinja_state *s, jinja_buffer *out, jinja_value v, const format_spec *f)
{
    vkft_text digits = {0};
    jinja_buffer body = {0};
    bool negative = false, ok = jinja_is_number(v) && number_digits(s, v, f, &digits, &negative);
    if (ok) {
        char sign[4] = {negative ? '-' : f->sign == '-' ? 0 : f->sign, 0};
        if (f->alternate && f->type && strchr("xXob", f->type))
            snprintf(sign + strlen(sign), 3, "0%c", f->type);
        append_grouped(s, &body, digits.data, f->group);
        jinja_value text = jinja_take_text(s, &body);
        if (!s->failed)
            append_padded(s, out, f, sign, text.as.s, f->align ? f->align : '>');
    }
    vkft_text_free(&digits);
    return ok;
}

static void append_text(jinja_state *s, jinja_buffer *out, jinja_value text, const format_spec *f)
{
    if (!s->failed && f->precision >= 0)
        text = jinja_slice(s, text, jinja_none(), jinja_int(f->precision), jinja_none());
    if (!s->failed)
        append_padded(s, out, f, "", text.as.s, f->align && f->align != '=' ? f->align : '<');
}

static int read_number(const char **p, const char *end)
{
    int n = -1;
    for (; *p < end && **p >= '0' && **p <= '9' && n <= MAX_WIDTH; ++*p)
        n = (n < 0 ? 0 : n) * 10 + (**p - '0');
    return n;
}

/* ---- '...' % values ---- */

/* %[(name)][flags][width][.precision]type, after the %. false: not supported. */
static bool read_percent(const char **p, const char *end, format_spec *f, jinja_string *name)
{
    if (*p < end && **p == '(') {
        const char *close = memchr(*p, ')', (size_t)(end - *p));
        if (!close)
            return false;
        *name = (jinja_string){.data = *p + 1, .length = (size_t)(close - *p - 1)};
        *p = close + 1;
    }
    for (; *p < end && strchr("-+ #0", **p) && **p; ++*p) {
        f->align = **p == '-' ? '<' : f->align;
        f->sign = **p == '+' || (**p == ' ' && f->sign != '+') ? **p : f->sign;
        f->alternate = f->alternate || **p == '#';
        if (**p == '0' && f->align != '<') {
            f->fill[0] = '0';
            f->align = '=';
        }
    }
    if (f->align == '<')
        f->fill[0] = 0;
    f->width = read_number(p, end);
    if (*p < end && **p == '.') {
        ++*p;
        f->precision = read_number(p, end);
        f->precision = f->precision < 0 ? 0 : f->precision;
    }
    if (*p == end || f->width > MAX_WIDTH || f->precision > MAX_WIDTH)
        return false;
    f->type = *(*p)++;
    return true;
}

static bool append_percent(jinja_state *s, jinja_buffer *out, jinja_value v, format_spec *f)
{
    if (f->type == 's' || f->type == 'r') {
        jinja_buffer repr = {0};
        if (f->type == 'r')
            jinja_append_repr(s, &repr, v);
        else
            jinja_append_str(s, &repr, v);
        f->align = f->align == '<' ? '<' : '>';
        f->fill[0] = 0;
        append_text(s, out, jinja_take_text(s, &repr), f);
        return true;
    }
    if (strchr("diu", f->type) && jinja_is_number(v)) {
        f->type = 'd';
        v = v.kind == J_FLOAT && fabs(v.as.f) < 9.2e18 ? jinja_int((int64_t)v.as.f) : v;
    }
    return strchr("dxXoeEfFgG", f->type) && append_number(s, out, v, f);
}

jinja_value jinja_format_percent(jinja_state *s, jinja_value format, jinja_value values)
{
    jinja_buffer text = {0};
    const jinja_string *t = format.as.s;
    const char *p = t->data, *end = p + t->length;
    uint32_t used = 0, count = values.kind == J_LIST && values.as.l->tuple ? values.as.l->count : 1;
    while (p < end && !s->failed) {
        if (*p != '%') {
            jinja_append_part(s, &text, t, (size_t)(p - t->data), 1);
            p++;
            continue;
        }
        format_spec f = {.precision = -1};
        jinja_string name = {0};
        const jinja_value *v = NULL;
        p++;
        bool ok = read_percent(&p, end, &f, &name);
        if (ok && f.type == '%') {
            jinja_append(s, &text, "%", 1);
            continue;
        }
        if (name.data)
            v = values.kind == J_DICT ? jinja_get_name(values.as.d, name.data, name.length) : NULL;
        else if (used < count)
            v = values.kind == J_LIST && values.as.l->tuple ? &values.as.l->items[used++] : (used++, &values);
        if ((!ok || !v || !append_percent(s, &text, *v, &f)) && !s->failed)
            refuse(s, t);
    }
    return jinja_take_text(s, &text);
}

/* ---- '...'.format(values) ---- */

static bool is_align(char c)
{
    return c == '<' || c == '>' || c == '^' || c == '=';
}

static bool read_spec(const char *p, const char *end, format_spec *f)
{
    size_t n = vkft_utf8_length(p, (size_t)(end - p));
    if (n && p + n < end && is_align(p[n])) {
        memcpy(f->fill, p, n);
        f->align = p[n];
        p += n + 1;
    } else if (p < end && is_align(*p)) {
        f->align = *p++;
    }
    if (p < end && (*p == '+' || *p == '-' || *p == ' '))
        f->sign = *p++;
    if (p < end && *p == '#')
        f->alternate = *p++ != 0;
    if (p < end && *p == '0' && !f->align) {
        f->fill[0] = '0';
        f->align = '=';
    }
    f->width = read_number(&p, end);
    if (p < end && (*p == ',' || *p == '_'))
        f->group = *p++;
    if (p < end && *p == '.') {
        p++;
        if ((f->precision = read_number(&p, end)) < 0)
            return false;
    }
    if (p < end)
        f->type = *p++;
    return p == end && f->width <= MAX_WIDTH && f->precision <= MAX_WIDTH &&
           (!f->type || strchr("sdxXobeEfFgG%", f->type));
}

/* What {name!conversion:spec} stands for. */
typedef struct field {
    jinja_string name;
    char conversion;
    const char *spec, *end;
} field;

static field read_field(const char *p, const char *end)
{
    field f = {.spec = end, .end = end};
    const char *colon = memchr(p, ':', (size_t)(end - p)), *stop = colon ? colon : end;
    if (stop - p >= 2 && stop[-2] == '!') {
        f.conversion = stop[-1];
        stop -= 2;
    }
    f.spec = colon ? colon + 1 : end;
    f.name = (jinja_string){.data = p, .length = (size_t)(stop - p)};
    return f;
}

static const jinja_value *field_value(const jinja_arguments *args, const jinja_string *name, uint32_t *automatic)
{
    size_t at = name->length == 0                                                  ? (*automatic)++
                : name->data[0] >= '0' && name->data[0] <= '9' && name->length < 3 ? (size_t)atoi(name->data)
                                                                                   : JINJA_MAX_ARGUMENTS;
    if (at < JINJA_MAX_ARGUMENTS - 1)
        return args->given[at] ? &args->values[at] : NULL;
    const jinja_value *named = &args->values[JINJA_MAX_ARGUMENTS - 1];
    bool any = at == JINJA_MAX_ARGUMENTS && args->given[JINJA_MAX_ARGUMENTS - 1] && named->kind == J_DICT;
    return any ? jinja_get_name(named->as.d, name->data, name->length) : NULL;
}

static bool append_field(jinja_state *s, jinja_buffer *out, jinja_value v, const field *f)
{
    format_spec spec = {.precision = -1};
    bool plain = f->spec == f->end;
    if (!plain && !read_spec(f->spec, f->end, &spec))
        return false;
    if (f->conversion && f->conversion != 's' && f->conversion != 'r')
        return false;
    if (f->conversion || v.kind == J_STRING || plain) {
        jinja_buffer text = {0};
        if (f->conversion == 'r')
            jinja_append_repr(s, &text, v);
        else
            jinja_append_str(s, &text, v);
        if (!plain && spec.type && spec.type != 's') {
            jinja_buffer_free(&text);
            return false;
        }
        append_text(s, out, jinja_take_text(s, &text), &spec);
        return true;
    }
    return spec.type != 's' && append_number(s, out, v, &spec);
}

jinja_value jinja_format(jinja_state *s, jinja_value self, const jinja_arguments *args)
{
    const jinja_string *t = self.as.s;
    jinja_buffer out = {0};
    uint32_t automatic = 0;
    for (size_t i = 0; i < t->length && !s->failed; i++) {
        char c = t->data[i];
        if ((c == '{' || c == '}') && i + 1 < t->length && t->data[i + 1] == c) {
            jinja_append_part(s, &out, t, i++, 1);
        } else if (c == '{') {
            const char *begin = t->data + i + 1, *close = memchr(begin, '}', t->length - i - 1);
            if (!close) {
                jinja_buffer_free(&out);
                return refuse(s, t);
            }
            field f = read_field(begin, close);
            const jinja_value *v = field_value(args, &f.name, &automatic);
            if ((!v || !append_field(s, &out, *v, &f)) && !s->failed)
                refuse(s, t);
            i = (size_t)(close - t->data);
        } else {
            jinja_append_part(s, &out, t, i, 1);
        }
    }
    return jinja_take_text(s, &out);
}
