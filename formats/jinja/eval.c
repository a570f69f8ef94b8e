/* Running a syntax tree. Names live in scopes: the template's own, and one for every loop iteration, macro call, and
 * block that has its own. */
#include <stdlib.h>
#include <string.h>

#include "formats/jinja/jinja_private.h"

static void capture(jinja_state *s, const jinja_nodes *body, jinja_value *text);

/* ---- names ---- */

static void scope_set(jinja_state *s, const jinja_string *name, jinja_value value)
{
    jinja_value key = {.kind = J_STRING, .as.s = name};
    jinja_put(s, &s->scope->names, key, value);
}

static void scope_set_literal(jinja_state *s, const char *name, jinja_value value)
{
    jinja_value key = jinja_literal(s, name);
    if (!s->failed)
        jinja_put(s, &s->scope->names, key, value);
}

/* A scope inside parent becomes the present one; NULL: failed. The caller puts the old one back. */
static jinja_scope *enter_scope(jinja_state *s, jinja_scope *parent)
{
    jinja_scope *scope = jinja_alloc(s, sizeof *scope);
    if (scope) {
        scope->parent = parent;
        s->scope = scope;
    }
    return scope;
}

static jinja_value lookup(jinja_state *s, const jinja_string *name)
{
    for (const jinja_scope *scope = s->scope; scope; scope = scope->parent) {
        const jinja_value *found = jinja_get_name(&scope->names, name->data, name->length);
        if (found)
            return *found;
    }
    const jinja_builtin *function = jinja_find_function(name);
    if (!function)
        return jinja_undefined(name);
    jinja_bound *bound = jinja_alloc(s, sizeof *bound);
    if (bound)
        bound->builtin = function;
    return bound ? (jinja_value){.kind = J_BUILTIN, .as.bound = bound} : jinja_undefined(NULL);
}

/* ---- attributes ---- */

static jinja_value loop_attribute(jinja_value v, const jinja_string *name)
{
    const jinja_loop *l = v.as.loop;
    const jinja_list *items = l->items;
    const struct {
        const char *name;
        jinja_value value;
    } known[] = {
        {"index", jinja_int((int64_t)l->index + 1)},
        {"index0", jinja_int(l->index)},
        {"first", jinja_bool(l->index == 0)},
        {"last", jinja_bool(l->index + 1 == items->count)},
        {"length", jinja_int(items->count)},
        {"revindex", jinja_int((int64_t)items->count - l->index)},
        {"revindex0", jinja_int((int64_t)items->count - l->index - 1)},
        {"previtem", l->index ? items->items[l->index - 1] : jinja_undefined(name)},
        {"nextitem", l->index + 1 < items->count ? items->items[l->index + 1] : jinja_undefined(name)},
        {"depth", jinja_int((int64_t)l->depth + 1)},
        {"depth0", jinja_int(l->depth)},
    };
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        if (strcmp(known[i].name, name->data) == 0)
            return known[i].value;
    return jinja_undefined(name);
}

static jinja_value bind(jinja_state *s, const jinja_builtin *builtin, jinja_value self)
{
    jinja_bound *bound = jinja_alloc(s, sizeof *bound);
    if (!bound)
        return jinja_undefined(NULL);
    *bound = (jinja_bound){builtin, self};
    return (jinja_value){.kind = J_BUILTIN, .as.bound = bound};
}

jinja_value jinja_attribute(jinja_state *s, jinja_value v, const jinja_string *name)
{
    const jinja_builtin *method = jinja_find_method(v.kind, name);
    if (method)
        return bind(s, method, v);
    const jinja_value *found;
    switch (v.kind) {
    case J_UNDEFINED:
        return v.as.s ? jinja_fail(s, "'%.100s' is undefined, so it has no '%.100s'", v.as.s->data, name->data)
                      : jinja_fail(s, "an undefined value has no '%.100s'", name->data);
    case J_DICT:
    case J_NAMESPACE:
        found = jinja_get_name(v.as.d, name->data, name->length);
        return found ? *found : jinja_undefined(name);
    case J_LOOP: return loop_attribute(v, name);
    default: return jinja_undefined(name);
    }
}

/* ---- calls ---- */

/* The position of a name in a list of names with spaces between; -1: not in it. */
static int position_of(const char *parameters, const jinja_string *name)
{
    int position = 0;
    for (const char *p = parameters; *p; position++) {
        size_t n = strcspn(p, " ");
        if (n == name->length && memcmp(p, name->data, n) == 0)
            return position;
        p += n + (p[n] == ' ');
    }
    return -1;
}

static uint32_t parameter_count(const char *parameters)
{
    uint32_t count = *parameters != 0;
    for (const char *p = parameters; *p; p++)
        count += *p == ' ';
    return count;
}

static void set_argument(jinja_arguments *args, uint32_t i, jinja_value value)
{
    args->values[i] = value;
    args->given[i] = true;
    if (args->count < i + 1)
        args->count = i + 1;
}

/* A call's arguments, evaluated in the present scope. */
typedef struct call_values {
    jinja_value positional, named; /* a list and a dict */
} call_values;

static void spread(jinja_state *s, const jinja_node *node, call_values *values)
{
    jinja_value v = jinja_eval(s, node->a);
    if (s->failed)
        return;
    if (node->flag && v.kind != J_DICT) {
        jinja_fail(s, "** needs a dict, a %s was given", jinja_type_name(v));
        return;
    }
    const jinja_list *items = node->flag ? NULL : jinja_iterate(s, v);
    for (uint32_t i = 0; items && i < items->count; i++)
        jinja_push(s, values->positional.as.l, items->items[i]);
    for (uint32_t i = 0; node->flag && i < v.as.d->count; i++)
        jinja_put(s, values->named.as.d, v.as.d->pairs[i].key, v.as.d->pairs[i].value);
}

static call_values eval_arguments(jinja_state *s, const jinja_node *call)
{
    call_values values = {jinja_new_list(s, true), jinja_new_dict(s)};
    for (uint32_t i = 0; i < call->list.count && !s->failed; i++) {
        if (call->list.items[i]->kind == N_SPREAD)
            spread(s, call->list.items[i], &values);
        else
            jinja_push(s, values.positional.as.l, jinja_eval(s, call->list.items[i]));
    }
    for (uint32_t i = 0; i < call->keywords.count && !s->failed; i++) {
        jinja_value key = {.kind = J_STRING, .as.s = call->keywords.items[i]->name};
        jinja_put(s, values.named.as.d, key, jinja_eval(s, call->keywords.items[i]->a));
    }
    return values;
}

jinja_value jinja_call_builtin(jinja_state *s, const jinja_builtin *builtin, jinja_value self, const jinja_node *call)
{
    jinja_arguments args = {0};
    bool any = strcmp(builtin->parameters, "*") == 0;
    uint32_t max_positional = any ? JINJA_MAX_ARGUMENTS - 1 : parameter_count(builtin->parameters);
    call_values values = eval_arguments(s, call);
    if (s->failed)
        return jinja_undefined(NULL);
    const jinja_list *positional = values.positional.as.l;
    const jinja_dict *named = values.named.as.d;
    if (positional->count > max_positional)
        return jinja_fail(s, "%s takes at most %u arguments, %u are given", builtin->name, max_positional,
                          positional->count);
    for (uint32_t i = 0; i < positional->count; i++)
        set_argument(&args, i, positional->items[i]);
    if (any && named->count) /* all of them, after the others */
        set_argument(&args, JINJA_MAX_ARGUMENTS - 1, values.named);
    for (uint32_t i = 0; !any && i < named->count; i++) {
        const jinja_string *name = named->pairs[i].key.as.s;
        int at = named->pairs[i].key.kind == J_STRING ? position_of(builtin->parameters, name) : -1;
        if (at < 0)
            return jinja_fail(s, "%s has no argument of this name", builtin->name);
        set_argument(&args, (uint32_t)at, named->pairs[i].value);
    }
    return builtin->call(s, self, &args);
}

jinja_value jinja_apply(jinja_state *s, const jinja_builtin *builtin, jinja_value self, const jinja_arguments *args,
                        uint32_t skip)
{
    jinja_arguments rest = {0};
    for (uint32_t i = skip; i < args->count; i++)
        if (args->given[i])
            set_argument(&rest, i - skip, args->values[i]);
    return builtin->call(s, self, &rest);
}

/* Puts a macro's arguments into the present scope, which is the macro's. */
static void bind_arguments(jinja_state *s, const jinja_node *macro, const call_values *values)
{
    const jinja_nodes *parameters = &macro->keywords;
    const jinja_list *positional = values->positional.as.l;
    const jinja_dict *named = values->named.as.d;
    const char *name = macro->name ? macro->name->data : "caller";
    uint32_t used = 0;
    if (positional->count > parameters->count)
        jinja_fail(s, "the macro '%.60s' takes at most %u arguments, %u are given", name, parameters->count,
                   positional->count);
    for (uint32_t i = 0; i < parameters->count && !s->failed; i++) {
        const jinja_node *parameter = parameters->items[i];
        const jinja_value *given = jinja_get_name(named, parameter->name->data, parameter->name->length);
        jinja_value value = jinja_undefined(parameter->name);
        used += given != NULL;
        if (i < positional->count)
            value = positional->items[i];
        else if (given)
            value = *given;
        else if (parameter->a)
            value = jinja_eval(s, parameter->a);
        scope_set(s, parameter->name, value);
    }
    if (used < named->count)
        jinja_fail(s, "the macro '%.60s' is given an argument by a name that it does not have", name);
}

/* caller: what {% call %} gives, or undefined. */
static jinja_value call_macro(jinja_state *s, const jinja_macro *macro, const jinja_node *call, jinja_value caller)
{
    jinja_scope *outside = s->scope;
    jinja_value text = jinja_undefined(NULL);
    call_values values = eval_arguments(s, call);
    if (!s->failed && enter_scope(s, macro->scope)) {
        bind_arguments(s, macro->node, &values);
        if (caller.kind == J_MACRO)
            scope_set_literal(s, "caller", caller);
        capture(s, &macro->node->list, &text);
    }
    s->scope = outside;
    return text;
}

static void run_loop(jinja_state *s, const jinja_node *node, jinja_value over, uint32_t depth);

/* loop(items) inside a recursive loop. */
static jinja_value call_loop(jinja_state *s, const jinja_loop *loop, const jinja_node *call)
{
    jinja_buffer text = {0}, *out = s->out;
    if (!loop->node->flag || call->list.count != 1)
        return jinja_fail(s, "only a recursive loop can be called, with one argument");
    jinja_value over = jinja_eval(s, call->list.items[0]);
    s->out = &text;
    run_loop(s, loop->node, over, loop->depth + 1);
    s->out = out;
    return jinja_take_text(s, &text);
}

static jinja_value eval_call(jinja_state *s, const jinja_node *node)
{
    jinja_value callee = jinja_eval(s, node->a);
    if (s->failed)
        return callee;
    switch (callee.kind) {
    case J_BUILTIN: return jinja_call_builtin(s, callee.as.bound->builtin, callee.as.bound->self, node);
    case J_MACRO: return call_macro(s, callee.as.macro, node, jinja_undefined(NULL));
    case J_LOOP: return call_loop(s, callee.as.loop, node);
    case J_UNDEFINED:
        return callee.as.s ? jinja_fail(s, "'%.100s' is undefined and cannot be called", callee.as.s->data)
                           : jinja_fail(s, "an undefined value cannot be called");
    default: return jinja_fail(s, "a %s cannot be called", jinja_type_name(callee));
    }
}

/* ---- expressions ---- */

static jinja_value eval_items(jinja_state *s, const jinja_node *node)
{
    jinja_value list = jinja_new_list(s, node->flag);
    for (uint32_t i = 0; i < node->list.count && !s->failed; i++)
        jinja_push(s, list.as.l, jinja_eval(s, node->list.items[i]));
    return list;
}

static jinja_value eval_dict(jinja_state *s, const jinja_node *node)
{
    jinja_value dict = jinja_new_dict(s);
    for (uint32_t i = 0; i + 1 < node->list.count && !s->failed; i += 2) {
        jinja_value key = jinja_eval(s, node->list.items[i]), value = jinja_eval(s, node->list.items[i + 1]);
        jinja_put(s, dict.as.d, key, value);
    }
    return dict;
}

static jinja_value eval_item(jinja_state *s, const jinja_node *node)
{
    jinja_value object = jinja_eval(s, node->a), key = jinja_eval(s, node->b);
    if (s->failed)
        return object;
    jinja_value item = jinja_item(s, object, key);
    /* what is no item may be an attribute */
    return item.kind == J_UNDEFINED && key.kind == J_STRING && !s->failed ? jinja_attribute(s, object, key.as.s) : item;
}

static jinja_value eval_bound(jinja_state *s, const jinja_node *node)
{
    return node ? jinja_eval(s, node) : jinja_none();
}

static jinja_value eval_compare(jinja_state *s, const jinja_node *node)
{
    jinja_value left = jinja_eval(s, node->a);
    bool holds = true;
    for (uint32_t i = 0; i < node->list.count && holds && !s->failed; i++) {
        jinja_value right = jinja_eval(s, node->list.items[i]->b);
        holds = !s->failed && jinja_compare_op(s, node->list.items[i]->op, left, right);
        left = right;
    }
    return jinja_bool(holds);
}

static jinja_value eval_negate(jinja_state *s, const jinja_node *node)
{
    jinja_value v = jinja_eval(s, node->a);
    if (s->failed)
        return v;
    if (!jinja_is_number(v))
        return jinja_fail(s, "a %s has no sign", jinja_type_name(v));
    return jinja_binary(s, node->op, jinja_int(0), v);
}

static jinja_value eval_node(jinja_state *s, const jinja_node *node)
{
    jinja_value a;
    switch (node->kind) {
    case N_CONST: return node->value;
    case N_NAME: return lookup(s, node->name);
    case N_LIST: return eval_items(s, node);
    case N_DICT: return eval_dict(s, node);
    case N_ATTRIBUTE: a = jinja_eval(s, node->a); return s->failed ? a : jinja_attribute(s, a, node->name);
    case N_ITEM: return eval_item(s, node);
    case N_SLICE:
        a = jinja_eval(s, node->a);
        return jinja_slice(s, a, eval_bound(s, node->b), eval_bound(s, node->c), eval_bound(s, node->d));
    case N_CALL: return eval_call(s, node);
    case N_FILTER:
    case N_TEST:
        a = jinja_eval(s, node->a);
        a = s->failed ? a : jinja_call_builtin(s, node->builtin, a, node);
        return node->kind == N_TEST ? jinja_bool(jinja_truth(a) != node->flag) : a;
    case N_NOT: return jinja_bool(!jinja_truth(jinja_eval(s, node->a)));
    case N_NEGATE: return eval_negate(s, node);
    case N_AND:
    case N_OR: a = jinja_eval(s, node->a); return jinja_truth(a) == (node->kind == N_OR) ? a : jinja_eval(s, node->b);
    case N_COMPARE: return eval_compare(s, node);
    case N_CONDITION:
        if (jinja_truth(jinja_eval(s, node->a)))
            return jinja_eval(s, node->b);
        return node->c ? jinja_eval(s, node->c) : jinja_undefined(NULL);
    default: {
        jinja_value left = jinja_eval(s, node->a), right = jinja_eval(s, node->b);
        return s->failed ? left : jinja_binary(s, node->op, left, right);
    }
    }
}

jinja_value jinja_eval(jinja_state *s, const jinja_node *node)
{
    if (!jinja_step(s))
        return jinja_undefined(NULL);
    uint32_t line = s->line;
    s->line = node->line;
    jinja_value v = jinja_undefined(NULL);
    if (++s->depth > 2 * JINJA_MAX_DEPTH)
        jinja_fail(s, "calls and expressions are nested too deep");
    else
        v = eval_node(s, node);
    s->depth--;
    if (!s->failed)
        s->line = line;
    return v;
}

/* ---- statements ---- */

static void assign(jinja_state *s, const jinja_node *target, jinja_value value)
{
    if (s->failed)
        return;
    if (target->kind == N_NAME) {
        scope_set(s, target->name, value);
    } else if (target->kind == N_ATTRIBUTE) {
        jinja_value object = jinja_eval(s, target->a), key = {.kind = J_STRING, .as.s = target->name};
        if (object.kind == J_NAMESPACE)
            jinja_put(s, object.as.d, key, value);
        else
            jinja_fail(s, "only the attributes of a namespace can be set");
    } else {
        const jinja_list *items = jinja_iterate(s, value);
        if (items && items->count != target->list.count)
            jinja_fail(s, "%u values are given for %u names", items->count, target->list.count);
        for (uint32_t i = 0; i < target->list.count && !s->failed; i++)
            assign(s, target->list.items[i], items->items[i]);
    }
}

/* The items of a loop that its condition lets through. */
static const jinja_list *loop_items(jinja_state *s, const jinja_node *node, jinja_value over)
{
    const jinja_list *all = jinja_iterate(s, over);
    if (!all || !node->c)
        return all;
    jinja_value chosen = jinja_new_list(s, false);
    jinja_scope *outside = s->scope;
    for (uint32_t i = 0; i < all->count && !s->failed; i++) {
        if (enter_scope(s, outside)) {
            assign(s, node->a, all->items[i]);
            if (jinja_truth(jinja_eval(s, node->c)))
                jinja_push(s, chosen.as.l, all->items[i]);
        }
        s->scope = outside;
    }
    return s->failed ? NULL : chosen.as.l;
}

/* Who writes in this iteration: the message that it is about; in other loops that stand in none about a message, the
 * iteration itself, unless it goes over what is inside a message. */
static uint32_t writer_of(jinja_state *s, jinja_value item)
{
    if (item.kind == J_DICT && item.as.d->message && (!s->writer || s->writer >= JINJA_OTHER_LOOP))
        return item.as.d->message;
    bool inside = (item.kind == J_DICT && item.as.d->inside) || (item.kind == J_STRING && jinja_mark_of(item.as.s));
    if (!s->tracked || s->writer || inside)
        return s->writer;
    s->other_loops += JINJA_OTHER_LOOP + s->other_loops < 0xffff;
    return JINJA_OTHER_LOOP + s->other_loops;
}

static void run_loop(jinja_state *s, const jinja_node *node, jinja_value over, uint32_t depth)
{
    const jinja_list *items = s->failed ? NULL : loop_items(s, node, over);
    jinja_loop *loop = items ? jinja_alloc(s, sizeof *loop) : NULL;
    jinja_scope *outside = s->scope;
    uint32_t writer = s->writer;
    if (!loop)
        return;
    *loop = (jinja_loop){.items = items, .node = node, .depth = depth};
    for (uint32_t i = 0; i < items->count && !s->failed && s->flow != N_BREAK; i++) {
        s->flow = 0;
        loop->index = i;
        if (enter_scope(s, outside)) {
            scope_set_literal(s, "loop", (jinja_value){.kind = J_LOOP, .as.loop = loop});
            assign(s, node->a, items->items[i]);
            s->writer = writer_of(s, items->items[i]);
            jinja_run(s, &node->list);
            s->writer = writer;
        }
        s->scope = outside;
    }
    s->flow = 0;
    if (items->count == 0)
        jinja_run(s, &node->other);
}

/* What a body writes, as a string. */
static void capture(jinja_state *s, const jinja_nodes *body, jinja_value *text)
{
    jinja_buffer written = {0}, *out = s->out;
    uint32_t writer = s->writer;
    s->out = &written;
    s->writer = 0; /* who writes the text out says that, unless a loop inside is about messages */
    jinja_run(s, body);
    s->writer = writer;
    s->out = out;
    *text = jinja_take_text(s, &written);
}

static jinja_value apply_chain(jinja_state *s, const jinja_node *chain, jinja_value value)
{
    if (!chain || s->failed)
        return value;
    return jinja_call_builtin(s, chain->builtin, apply_chain(s, chain->a, value), chain);
}

static void run_call_block(jinja_state *s, const jinja_node *node)
{
    jinja_value callee = jinja_eval(s, node->a->a);
    jinja_macro *caller = jinja_alloc(s, sizeof *caller);
    if (s->failed)
        return;
    *caller = (jinja_macro){node, s->scope};
    if (callee.kind != J_MACRO) {
        jinja_fail(s, "a call block needs a macro, a %s is called", jinja_type_name(callee));
        return;
    }
    jinja_append_str(s, s->out,
                     call_macro(s, callee.as.macro, node->a, (jinja_value){.kind = J_MACRO, .as.macro = caller}));
}

static void run_with(jinja_state *s, const jinja_node *node)
{
    jinja_scope *outside = s->scope, *inside = enter_scope(s, outside);
    for (uint32_t i = 0; i < node->keywords.count && !s->failed; i++) {
        s->scope = outside;
        jinja_value value = jinja_eval(s, node->keywords.items[i]->a);
        s->scope = inside;
        scope_set(s, node->keywords.items[i]->name, value);
    }
    jinja_run(s, &node->list);
    s->scope = outside;
}

static void run_generation(jinja_state *s, const jinja_node *node)
{
    vkft_jinja_output *o = s->output;
    size_t begin = s->out->text.length;
    jinja_run(s, &node->list);
    if (s->failed || s->out != s->root) /* inside a macro or set block the place in the output is not known */
        return;
    if (o->generated_count == o->generated_capacity) {
        uint32_t capacity = o->generated_capacity ? 2 * o->generated_capacity : 8;
        vkft_byte_range *ranges = realloc(o->generated, capacity * sizeof *ranges);
        if (!ranges) {
            jinja_fail(s, "out of memory");
            return;
        }
        o->generated = ranges;
        o->generated_capacity = capacity;
    }
    o->generated[o->generated_count++] = (vkft_byte_range){begin, s->out->text.length};
}

static void run_node(jinja_state *s, const jinja_node *node)
{
    jinja_value value;
    switch (node->kind) {
    case N_DATA: jinja_append(s, s->out, node->name->data, node->name->length); return;
    case N_PRINT:
        value = jinja_eval(s, node->a);
        jinja_append_str(s, s->out, value);
        return;
    case N_IF:
        value = jinja_eval(s, node->a);
        jinja_run(s, jinja_truth(value) ? &node->list : &node->other);
        return;
    case N_FOR:
        value = jinja_eval(s, node->b);
        run_loop(s, node, value, 0);
        return;
    case N_SET:
        value = jinja_eval(s, node->b);
        assign(s, node->a, value);
        return;
    case N_SET_BLOCK:
        capture(s, &node->list, &value);
        assign(s, node->a, apply_chain(s, node->b, value));
        return;
    case N_FILTER_BLOCK:
        capture(s, &node->list, &value);
        jinja_append_str(s, s->out, apply_chain(s, node->b, value));
        return;
    case N_MACRO: {
        jinja_macro *macro = jinja_alloc(s, sizeof *macro);
        if (!macro)
            return;
        *macro = (jinja_macro){node, s->scope};
        scope_set(s, node->name, (jinja_value){.kind = J_MACRO, .as.macro = macro});
        return;
    }
    case N_CALL_BLOCK: run_call_block(s, node); return;
    case N_WITH: run_with(s, node); return;
    case N_GENERATION: run_generation(s, node); return;
    default: s->flow = node->kind; return; /* break, continue */
    }
}

void jinja_run(jinja_state *s, const jinja_nodes *body)
{
    if (++s->depth > 2 * JINJA_MAX_DEPTH)
        jinja_fail(s, "blocks and macro calls are nested too deep");
    for (uint32_t i = 0; i < body->count && !s->failed && !s->flow; i++) {
        s->line = body->items[i]->line;
        if (jinja_step(s))
            run_node(s, body->items[i]);
    }
    s->depth--;
}

/* ---- the public side ---- */

/* \r\n and \r count as \n, and one line end at the very end goes. */
static bool normalize(const char *source, size_t length, vkft_text *text, vkft_err *err)
{
    if (!vkft_text_append_valid(text, source, length, err))
        return false;
    size_t n = 0;
    for (size_t i = 0; i < text->length; i++) {
        char c = text->data[i];
        if (c == '\r' && i + 1 < text->length && text->data[i + 1] == '\n')
            continue;
        text->data[n++] = c == '\r' ? '\n' : c;
    }
    n -= n > 0 && text->data[n - 1] == '\n';
    text->length = n;
    return true;
}

vkft_jinja *vkft_jinja_new(const char *source, size_t length, const char *file, vkft_err *err)
{
    jinja_state s = {.file = file, .err = err, .line = 1, .max_steps = VKFT_JINJA_MAX_STEPS};
    vkft_text text = {0};
    vkft_jinja *t = calloc(1, sizeof *t);
    if (length > JINJA_MAX_SOURCE) {
        vkft_fail(err, VKFT_ERR_INPUT, "%s: a template of %zu bytes; at most %u are taken", file, length,
                  JINJA_MAX_SOURCE);
        free(t);
        return NULL;
    }
    bool ok = t && (t->file = strdup(file)) && normalize(source, length, &text, err);
    if (!ok)
        vkft_fail_memory(err, "while reading %s", file);
    ok = ok && jinja_parse(&s, text.data ? text.data : "", text.length, jinja_find_filter, jinja_find_test, &t->body,
                           &t->has_generation);
    if (t) {
        t->source = text.data;
        t->arena = s.arena;
    }
    if (!ok) {
        vkft_jinja_free(t);
        return NULL;
    }
    return t;
}

void vkft_jinja_free(vkft_jinja *t)
{
    if (!t)
        return;
    jinja_arena_free(&t->arena);
    free(t->file);
    free(t->source);
    free(t);
}

bool vkft_jinja_mentions(const vkft_jinja *t, const char *word)
{
    return t->source && strstr(t->source, word);
}

bool vkft_jinja_has_generation(const vkft_jinja *t)
{
    return t->has_generation;
}

void vkft_jinja_output_free(vkft_jinja_output *out)
{
    vkft_text_free(&out->text);
    free(out->generated);
    free(out->runs);
    *out = (vkft_jinja_output){0};
}

/* The output's marks as stretches of equal ones. */
static bool take_runs(const jinja_buffer *written, vkft_jinja_output *out, vkft_err *err)
{
    for (size_t i = 0; i < written->text.length; i++) {
        jinja_mark mark = written->marks[i];
        if (i && mark == written->marks[i - 1]) {
            out->runs[out->run_count - 1].end++;
            continue;
        }
        if (out->run_count == out->run_capacity) {
            uint32_t capacity = out->run_capacity ? 2 * out->run_capacity : 64;
            vkft_jinja_run *runs = realloc(out->runs, capacity * sizeof *runs);
            if (!runs)
                return vkft_fail_memory(err, "for a conversation");
            out->runs = runs;
            out->run_capacity = capacity;
        }
        out->runs[out->run_count++] = (vkft_jinja_run){i, i + 1, mark & 0xffff, mark >> 16};
    }
    return true;
}

bool vkft_jinja_render(const vkft_jinja *t, const cJSON *variables, const char *tracked, int64_t now_unix_seconds,
                       vkft_jinja_output *out, vkft_err *err)
{
    jinja_scope globals = {0}, own = {.parent = &globals};
    jinja_buffer root = {0};
    jinja_state s = {.file = t->file,
                     .err = err,
                     .line = 1,
                     .scope = &own,
                     .out = &root,
                     .root = &root,
                     .output = out,
                     .tracked = tracked,
                     .now = now_unix_seconds,
                     .max_steps = out->max_steps ? out->max_steps : VKFT_JINJA_MAX_STEPS};
    jinja_value given = jinja_from_json(&s, variables);
    if (!s.failed && given.kind == J_DICT) {
        globals.names = *given.as.d;
        jinja_run(&s, &t->body);
    }
    bool ok = !s.failed && (!tracked || take_runs(&root, out, err));
    out->failed_at = s.failed && s.failed_at < JINJA_OTHER_LOOP ? s.failed_at : 0;
    out->steps = s.steps;
    out->text = root.text;
    root.text = (vkft_text){0};
    jinja_buffer_free(&root);
    jinja_arena_free(&s.arena);
    return ok;
}
