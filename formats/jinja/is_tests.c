/* Jinja's tests, and the global functions of chat templates. */
#include <string.h>
#include <time.h>

#include "formats/jinja/jinja_private.h"
#include "runtime/base/os/os.h"

static jinja_value is_defined(jinja_state *s, jinja_value v, const jinja_arguments *args)
{
    (void)s, (void)args;
    return jinja_bool(v.kind != J_UNDEFINED);
}

static jinja_value is_undefined(jinja_state *s, jinja_value v, const jinja_arguments *args)
{
    (void)s, (void)args;
    return jinja_bool(v.kind == J_UNDEFINED);
}

static jinja_value is_none(jinja_state *s, jinja_value v, const jinja_arguments *args)
{
    (void)s, (void)args;
    return jinja_bool(v.kind == J_NONE);
}

static jinja_value is_boolean(jinja_state *s, jinja_value v, const jinja_arguments *args)
{
    (void)s, (void)args;
    return jinja_bool(v.kind == J_BOOL);
}

static jinja_value is_true(jinja_state *s, jinja_value v, const jinja_arguments *args)
{
    (void)s, (void)args;
    return jinja_bool(v.kind == J_BOOL && v.as.b);
}

static jinja_value is_false(jinja_state *s, jinja_value v, const jinja_arguments *args)
{
    (void)s, (void)args;
    return jinja_bool(v.kind == J_BOOL && !v.as.b);
}

static jinja_value is_integer(jinja_state *s, jinja_value v, const jinja_arguments *args)
{
    (void)s, (void)args;
    return jinja_bool(v.kind == J_INT || v.kind == J_BIG_INT);
}

static jinja_value is_float(jinja_state *s, jinja_value v, const jinja_arguments *args)
{
    (void)s, (void)args;
    return jinja_bool(v.kind == J_FLOAT);
}

static jinja_value is_number(jinja_state *s, jinja_value v, const jinja_arguments *args)
{
    (void)s, (void)args;
    return jinja_bool(jinja_is_number(v));
}

static jinja_value is_string(jinja_state *s, jinja_value v, const jinja_arguments *args)
{
    (void)s, (void)args;
    return jinja_bool(v.kind == J_STRING);
}

static jinja_value is_mapping(jinja_state *s, jinja_value v, const jinja_arguments *args)
{
    (void)s, (void)args;
    return jinja_bool(v.kind == J_DICT);
}

static jinja_value is_iterable(jinja_state *s, jinja_value v, const jinja_arguments *args)
{
    (void)s, (void)args;
    return jinja_bool(v.kind == J_LIST || v.kind == J_DICT || v.kind == J_STRING || v.kind == J_UNDEFINED);
}

static jinja_value is_callable(jinja_state *s, jinja_value v, const jinja_arguments *args)
{
    (void)s, (void)args;
    return jinja_bool(v.kind == J_MACRO || v.kind == J_BUILTIN);
}

static jinja_value modulo(jinja_state *s, jinja_value v, jinja_value by)
{
    if (!jinja_is_number(v) || !jinja_is_number(by)) /* a str would be a format */
        return jinja_fail(s, "odd, even and divisibleby need numbers, a %s was given",
                          jinja_type_name(jinja_is_number(v) ? by : v));
    return jinja_binary(s, '%', v, by);
}

static jinja_value is_odd(jinja_state *s, jinja_value v, const jinja_arguments *args)
{
    (void)args;
    return jinja_bool(jinja_equal(s, modulo(s, v, jinja_int(2)), jinja_int(1)));
}

static jinja_value is_even(jinja_state *s, jinja_value v, const jinja_arguments *args)
{
    (void)args;
    return jinja_bool(jinja_equal(s, modulo(s, v, jinja_int(2)), jinja_int(0)));
}

static jinja_value is_divisible(jinja_state *s, jinja_value v, const jinja_arguments *args)
{
    return jinja_bool(jinja_equal(s, modulo(s, v, args->values[0]), jinja_int(0)));
}

static jinja_value has_case(jinja_state *s, jinja_value v, const char *method)
{
    const jinja_string name = {.data = method, .length = strlen(method)};
    const jinja_arguments none = {0};
    return jinja_find_method(J_STRING, &name)->call(s, jinja_str(s, v), &none);
}

static jinja_value is_upper(jinja_state *s, jinja_value v, const jinja_arguments *args)
{
    (void)args;
    return has_case(s, v, "isupper");
}

static jinja_value is_lower(jinja_state *s, jinja_value v, const jinja_arguments *args)
{
    (void)args;
    return has_case(s, v, "islower");
}

static jinja_value is_equal(jinja_state *s, jinja_value v, const jinja_arguments *args)
{
    return jinja_bool(jinja_equal(s, v, args->values[0]));
}

static jinja_value is_not_equal(jinja_state *s, jinja_value v, const jinja_arguments *args)
{
    return jinja_bool(!jinja_equal(s, v, args->values[0]));
}

static jinja_value is_less(jinja_state *s, jinja_value v, const jinja_arguments *args)
{
    return jinja_bool(jinja_compare_op(s, '<', v, args->values[0]));
}

static jinja_value is_at_most(jinja_state *s, jinja_value v, const jinja_arguments *args)
{
    return jinja_bool(jinja_compare_op(s, 'L', v, args->values[0]));
}

static jinja_value is_greater(jinja_state *s, jinja_value v, const jinja_arguments *args)
{
    return jinja_bool(jinja_compare_op(s, '>', v, args->values[0]));
}

static jinja_value is_at_least(jinja_state *s, jinja_value v, const jinja_arguments *args)
{
    return jinja_bool(jinja_compare_op(s, 'G', v, args->values[0]));
}

static jinja_value is_in(jinja_state *s, jinja_value v, const jinja_arguments *args)
{
    return jinja_bool(jinja_contains(s, args->values[0], v));
}

static jinja_value is_same(jinja_state *s, jinja_value v, const jinja_arguments *args)
{
    jinja_value w = args->values[0];
    bool object = v.kind == J_LIST || v.kind == J_DICT;
    return jinja_bool(v.kind == w.kind && (object ? v.as.l == w.as.l : jinja_equal(s, v, w)));
}

static const jinja_builtin tests[] = {
    {"defined", "", is_defined},
    {"undefined", "", is_undefined},
    {"none", "", is_none},
    {"boolean", "", is_boolean},
    {"true", "", is_true},
    {"false", "", is_false},
    {"integer", "", is_integer},
    {"float", "", is_float},
    {"number", "", is_number},
    {"string", "", is_string},
    {"mapping", "", is_mapping},
    {"iterable", "", is_iterable},
    {"sequence", "", is_iterable},
    {"callable", "", is_callable},
    {"odd", "", is_odd},
    {"even", "", is_even},
    {"divisibleby", "num", is_divisible},
    {"upper", "", is_upper},
    {"lower", "", is_lower},
    {"eq", "other", is_equal},
    {"equalto", "other", is_equal},
    {"==", "other", is_equal},
    {"ne", "other", is_not_equal},
    {"!=", "other", is_not_equal},
    {"lt", "other", is_less},
    {"lessthan", "other", is_less},
    {"<", "other", is_less},
    {"le", "other", is_at_most},
    {"<=", "other", is_at_most},
    {"gt", "other", is_greater},
    {"greaterthan", "other", is_greater},
    {">", "other", is_greater},
    {"ge", "other", is_at_least},
    {">=", "other", is_at_least},
    {"in", "seq", is_in},
    {"sameas", "other", is_same},
    {0},
};

const jinja_builtin *jinja_find_test(const jinja_string *name)
{
    return jinja_find(tests, name);
}

static jinja_value raise_exception(jinja_state *s, jinja_value self, const jinja_arguments *args)
{
    jinja_value message = jinja_str(s, args->values[0]);
    (void)self;
    return s->failed ? message : jinja_fail(s, "the template refuses this conversation: %.400s", message.as.s->data);
}

static jinja_value range(jinja_state *s, jinja_value self, const jinja_arguments *args)
{
    int64_t bounds[3] = {0, 0, 1};
    (void)self;
    for (uint32_t i = 0; i < args->count; i++) {
        if (args->values[i].kind != J_INT)
            return jinja_fail(s, "range needs ints, a %s was given", jinja_type_name(args->values[i]));
        bounds[i] = args->values[i].as.i;
    }
    if (args->count == 1) {
        bounds[1] = bounds[0];
        bounds[0] = 0;
    }
    if (args->count == 0 || bounds[2] == 0)
        return jinja_fail(s, "range needs an end and a step other than 0");
    jinja_value list = jinja_new_list(s, false);
    int64_t i = bounds[0];
    while (!s->failed && (bounds[2] > 0 ? i < bounds[1] : i > bounds[1]) && jinja_step(s)) {
        jinja_push(s, list.as.l, jinja_int(i));
        if (list.as.l->count > 100000) /* as Jinja2's sandbox */
            return jinja_fail(s, "a range of more than 100000 numbers");
        if (__builtin_add_overflow(i, bounds[2], &i))
            break;
    }
    return list;
}

/* The keywords of a call, which "*" puts last. */
static jinja_value keywords(jinja_state *s, const jinja_arguments *args, jinja_kind kind)
{
    jinja_value v = args->given[JINJA_MAX_ARGUMENTS - 1] ? args->values[JINJA_MAX_ARGUMENTS - 1] : jinja_new_dict(s);
    if (args->given[0] && args->values[0].kind == J_DICT) {
        jinja_value all = jinja_new_dict(s);
        for (int part = 0; part < 2 && !s->failed; part++) {
            const jinja_dict *d = part ? v.as.d : args->values[0].as.d;
            for (uint32_t i = 0; i < d->count; i++)
                jinja_put(s, all.as.d, d->pairs[i].key, d->pairs[i].value);
        }
        v = all;
    }
    if (!s->failed)
        v.kind = kind;
    return v;
}

static jinja_value make_namespace(jinja_state *s, jinja_value self, const jinja_arguments *args)
{
    (void)self;
    return keywords(s, args, J_NAMESPACE);
}

static jinja_value make_dict(jinja_state *s, jinja_value self, const jinja_arguments *args)
{
    (void)self;
    return keywords(s, args, J_DICT);
}

/* A function with a memory: the dict self. */
static jinja_value remember(jinja_state *s, const jinja_builtin *builtin, jinja_value memory)
{
    jinja_bound *bound = jinja_alloc(s, sizeof *bound);
    if (!bound)
        return jinja_undefined(NULL);
    *bound = (jinja_bound){builtin, memory};
    return (jinja_value){.kind = J_BUILTIN, .as.bound = bound};
}

static void put_name(jinja_state *s, jinja_value dict, const char *name, jinja_value value)
{
    jinja_value key = jinja_literal(s, name);
    if (!s->failed)
        jinja_put(s, dict.as.d, key, value);
}

static const jinja_value *get_name(jinja_value dict, const char *name)
{
    return jinja_get_name(dict.as.d, name, strlen(name));
}

static jinja_value join_next(jinja_state *s, jinja_value self, const jinja_arguments *args)
{
    (void)args;
    const jinja_value *separator = get_name(self, "sep");
    bool used = get_name(self, "used") != NULL;
    jinja_value text = used ? *separator : jinja_literal(s, "");
    put_name(s, self, "used", jinja_bool(true));
    return text;
}

/* joiner(sep): "" when it is called first, then sep. */
static jinja_value make_joiner(jinja_state *s, jinja_value self, const jinja_arguments *args)
{
    static const jinja_builtin next = {"joiner", "", join_next};
    jinja_value memory = jinja_new_dict(s);
    (void)self;
    if (!s->failed)
        put_name(s, memory, "sep", args->given[0] ? args->values[0] : jinja_literal(s, ", "));
    return s->failed ? memory : remember(s, &next, memory);
}

static jinja_value cycle_next(jinja_state *s, jinja_value self, const jinja_arguments *args)
{
    const jinja_list *items = get_name(self, " items")->as.l;
    jinja_value item = *get_name(self, "current");
    int64_t at = (get_name(self, " at")->as.i + 1) % items->count;
    (void)args;
    put_name(s, self, " at", jinja_int(at));
    put_name(s, self, "current", items->items[at]);
    return item;
}

static jinja_value cycle_reset(jinja_state *s, jinja_value self, const jinja_arguments *args)
{
    (void)args;
    put_name(s, self, " at", jinja_int(0));
    put_name(s, self, "current", get_name(self, " items")->as.l->items[0]);
    return jinja_none();
}

/* cycler(a, b, ...): an object with next(), current and reset(). */
static jinja_value make_cycler(jinja_state *s, jinja_value self, const jinja_arguments *args)
{
    static const jinja_builtin next = {"next", "", cycle_next}, reset = {"reset", "", cycle_reset};
    jinja_value cycler = jinja_new_dict(s), items = jinja_new_list(s, true);
    (void)self;
    for (uint32_t i = 0; i < JINJA_MAX_ARGUMENTS - 1 && args->given[i] && !s->failed; i++)
        jinja_push(s, items.as.l, args->values[i]);
    if (s->failed || items.as.l->count == 0)
        return jinja_fail(s, "cycler needs at least one item");
    cycler.kind = J_NAMESPACE;
    put_name(s, cycler, " items", items); /* no attribute has such a name */
    cycle_reset(s, cycler, args);
    put_name(s, cycler, "next", remember(s, &next, cycler));
    put_name(s, cycler, "reset", remember(s, &reset, cycler));
    return cycler;
}

static jinja_value strftime_now(jinja_state *s, jinja_value self, const jinja_arguments *args)
{
    char text[256];
    struct tm parts;
    (void)self;
    if (args->values[0].kind != J_STRING)
        return jinja_fail(s, "strftime_now needs a format");
    const jinja_string *format = args->values[0].as.s;
    for (size_t i = 0; i < format->length; i++) /* only what every system knows */
        if (format->data[i] == '%' && !strchr("aAbBcdHIjmMpSUwWxXyYZ%", format->data[++i]))
            return jinja_fail(s, "strftime_now: %%%c is not supported", format->data[i]);
    if (!vkft_os_utc(s->now, &parts) || format->length > 64)
        return jinja_fail(s, "strftime_now: the format is too long");
    size_t n = strftime(text, sizeof text, format->data, &parts);
    return jinja_text(s, text, n);
}

static const jinja_builtin functions[] = {
    {"raise_exception", "message", raise_exception},
    {"range", "start stop step", range},
    {"namespace", "*", make_namespace},
    {"dict", "*", make_dict},
    {"joiner", "sep", make_joiner},
    {"cycler", "*", make_cycler},
    {"strftime_now", "format", strftime_now},
    {0},
};

const jinja_builtin *jinja_find_function(const jinja_string *name)
{
    return jinja_find(functions, name);
}
