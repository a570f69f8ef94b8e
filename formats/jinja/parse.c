/* Tokens to a syntax tree, by recursive descent; precedences as Jinja2 has them, where filters and tests bind tighter
 * than operators. */
#include <string.h>

#include "formats/jinja/jinja_private.h"

typedef struct parser {
    jinja_state *s;
    jinja_lexer lexer;
    jinja_token now, next;
    bool has_generation;
    uint32_t loops;    /* for blocks around this place, inside the macro */
    jinja_node broken; /* stands for nodes that could not be made; parsing has failed then */
} parser;

static jinja_node *parse_expression(parser *p);
static jinja_node *parse_unary(parser *p, bool with_filters);
static void parse_body(parser *p, jinja_nodes *body, const char *const *ends);

static void advance(parser *p)
{
    p->now = p->next;
    p->next = jinja_next_token(p->s, &p->lexer);
    p->s->line = p->now.line;
}

static jinja_node *node_new(parser *p, jinja_node_kind kind)
{
    jinja_node *node = jinja_alloc(p->s, sizeof *node);
    if (!node)
        return &p->broken;
    node->kind = kind;
    node->line = p->now.line;
    return node;
}

static void push(parser *p, jinja_nodes *nodes, jinja_node *node)
{
    if (nodes->count == nodes->capacity) {
        uint32_t capacity = nodes->capacity ? 2 * nodes->capacity : 8;
        jinja_node **items = jinja_alloc(p->s, capacity * sizeof *items);
        if (!items)
            return;
        if (nodes->count)
            memcpy(items, nodes->items, nodes->count * sizeof *items);
        nodes->items = items;
        nodes->capacity = capacity;
    }
    nodes->items[nodes->count++] = node;
}

static bool is_operator(const parser *p, char op)
{
    return p->now.kind == T_OPERATOR && p->now.op == op;
}

static bool is_word(const jinja_token *t, const char *word)
{
    return t->kind == T_NAME && t->value.as.s && strcmp(t->value.as.s->data, word) == 0;
}

static bool accept(parser *p, char op)
{
    if (p->s->failed || !is_operator(p, op))
        return false;
    advance(p);
    return true;
}

static bool accept_word(parser *p, const char *word)
{
    if (p->s->failed || !is_word(&p->now, word))
        return false;
    advance(p);
    return true;
}

static void fail_here(parser *p, const char *expected)
{
    const jinja_token *t = &p->now;
    if (t->kind == T_END)
        jinja_fail(p->s, "the template ends early; expected %s", expected);
    else if (t->kind == T_NAME || t->kind == T_STRING)
        jinja_fail(p->s, "'%.40s' found; expected %s", t->value.as.s ? t->value.as.s->data : "", expected);
    else if (t->kind == T_OPERATOR)
        jinja_fail(p->s, "'%c' found; expected %s", t->op == 'e' ? '=' : t->op, expected);
    else
        jinja_fail(p->s, "the tag ends early; expected %s", expected);
}

static void expect(parser *p, char op)
{
    char text[4] = {'\'', op, '\'', 0};
    if (!accept(p, op))
        fail_here(p, text);
}

static const jinja_string *expect_name(parser *p, const char *what)
{
    const jinja_string *name = p->now.value.as.s;
    if (p->now.kind != T_NAME || p->s->failed) {
        fail_here(p, what);
        return NULL;
    }
    advance(p);
    return name;
}

static bool enter(parser *p)
{
    if (++p->s->depth > JINJA_MAX_DEPTH)
        jinja_fail(p->s, "nested more than %d deep", JINJA_MAX_DEPTH);
    return !p->s->failed;
}

static void leave(parser *p)
{
    p->s->depth--;
}

/* a, b, c up to `close`, which is taken too. */
static void parse_items(parser *p, jinja_nodes *items, char close)
{
    while (!p->s->failed && !accept(p, close)) {
        push(p, items, parse_expression(p));
        if (!is_operator(p, close))
            expect(p, ',');
    }
}

static void parse_arguments(parser *p, jinja_node *call)
{
    while (!p->s->failed && !accept(p, ')')) {
        if (is_operator(p, '*') || is_operator(p, 'P')) {
            jinja_node *spread = node_new(p, N_SPREAD);
            spread->flag = p->now.op == 'P';
            advance(p);
            spread->a = parse_expression(p);
            push(p, &call->list, spread);
        } else if (p->now.kind == T_NAME && p->next.kind == T_OPERATOR && p->next.op == '=') {
            jinja_node *keyword = node_new(p, N_CONST);
            keyword->name = p->now.value.as.s;
            advance(p);
            advance(p);
            keyword->a = parse_expression(p);
            push(p, &call->keywords, keyword);
        } else {
            push(p, &call->list, parse_expression(p));
        }
        if (!is_operator(p, ')'))
            expect(p, ',');
    }
}

static jinja_node *parse_dict(parser *p)
{
    jinja_node *node = node_new(p, N_DICT);
    while (!p->s->failed && !accept(p, '}')) {
        push(p, &node->list, parse_expression(p));
        expect(p, ':');
        push(p, &node->list, parse_expression(p));
        if (!is_operator(p, '}'))
            expect(p, ',');
    }
    return node;
}

/* ( ... ): an expression in brackets, or a tuple. */
static jinja_node *parse_brackets(parser *p)
{
    jinja_node *tuple = node_new(p, N_LIST);
    tuple->flag = true;
    if (accept(p, ')'))
        return tuple;
    jinja_node *first = parse_expression(p);
    if (accept(p, ')'))
        return first;
    push(p, &tuple->list, first);
    expect(p, ',');
    parse_items(p, &tuple->list, ')');
    return tuple;
}

static jinja_node *constant(parser *p, jinja_value value)
{
    jinja_node *node = node_new(p, N_CONST);
    node->value = value;
    return node;
}

static jinja_node *parse_name(parser *p)
{
    static const struct {
        const char *name;
        jinja_kind kind;
        bool b;
    } constants[] = {{"true", J_BOOL, true},   {"True", J_BOOL, true},  {"false", J_BOOL, false},
                     {"False", J_BOOL, false}, {"none", J_NONE, false}, {"None", J_NONE, false}};
    jinja_node *node = NULL;
    for (size_t i = 0; !node && i < sizeof constants / sizeof *constants; i++)
        if (is_word(&p->now, constants[i].name))
            node = constant(p, (jinja_value){.kind = constants[i].kind, .as.b = constants[i].b});
    if (!node) {
        node = node_new(p, N_NAME);
        node->name = p->now.value.as.s;
    }
    advance(p);
    return node;
}

static jinja_node *parse_strings(parser *p)
{
    vkft_text text = {0};
    while (p->now.kind == T_STRING && !p->s->failed) { /* neighbours are joined */
        jinja_append(p->s, &text, p->now.value.as.s->data, p->now.value.as.s->length);
        advance(p);
    }
    return constant(p, jinja_take_text(p->s, &text));
}

static jinja_node *parse_primary(parser *p)
{
    jinja_node *node;
    switch (p->now.kind) {
    case T_NAME: return parse_name(p);
    case T_STRING: return parse_strings(p);
    case T_INT:
    case T_FLOAT:
        node = constant(p, p->now.value);
        advance(p);
        return node;
    default: break;
    }
    if (accept(p, '('))
        return parse_brackets(p);
    if (accept(p, '[')) {
        node = node_new(p, N_LIST);
        parse_items(p, &node->list, ']');
        return node;
    }
    if (accept(p, '{'))
        return parse_dict(p);
    fail_here(p, "an expression");
    return node_new(p, N_CONST);
}

/* [ ... ] behind an expression. */
static jinja_node *parse_subscript(parser *p, jinja_node *object)
{
    jinja_node *parts[3] = {NULL, NULL, NULL}, *node;
    int part = 0;
    bool slice = false;
    while (!p->s->failed && !accept(p, ']')) {
        if (accept(p, ':')) {
            slice = true;
            if (++part > 2)
                fail_here(p, "']'");
            continue;
        }
        parts[part < 3 ? part : 2] = parse_expression(p);
        if (!is_operator(p, ':') && !is_operator(p, ']'))
            fail_here(p, "']'");
    }
    node = node_new(p, slice ? N_SLICE : N_ITEM);
    node->a = object;
    node->b = parts[0];
    node->c = parts[1];
    node->d = parts[2];
    if (!slice && !node->b)
        jinja_fail(p->s, "an index is missing in []");
    return node;
}

static jinja_node *parse_attribute(parser *p, jinja_node *object)
{
    jinja_node *node = node_new(p, N_ATTRIBUTE);
    node->a = object;
    if (p->now.kind == T_INT) { /* a.0 is a[0] */
        node->kind = N_ITEM;
        node->b = constant(p, p->now.value);
        advance(p);
        return node;
    }
    node->name = expect_name(p, "the name of an attribute");
    return node;
}

static jinja_node *parse_call(parser *p, jinja_node *callee)
{
    jinja_node *node = node_new(p, N_CALL);
    node->a = callee;
    parse_arguments(p, node);
    return node;
}

static jinja_node *parse_postfix(parser *p, jinja_node *node)
{
    for (; !p->s->failed;) {
        if (accept(p, '.'))
            node = parse_attribute(p, node);
        else if (accept(p, '['))
            node = parse_subscript(p, node);
        else if (accept(p, '('))
            node = parse_call(p, node);
        else
            break;
    }
    return node;
}

/* name or name(arguments) behind a | or in a filter block. */
static jinja_node *parse_filter(parser *p, jinja_node *object)
{
    jinja_node *node = node_new(p, N_FILTER);
    node->a = object;
    node->name = expect_name(p, "the name of a filter");
    if (!node->name)
        return node;
    node->builtin = jinja_find_filter(node->name);
    if (!node->builtin)
        jinja_fail(p->s, "the filter '%.60s' is not known", node->name->data);
    if (accept(p, '('))
        parse_arguments(p, node);
    return node;
}

static bool begins_test_argument(const parser *p)
{
    if (p->now.kind == T_OPERATOR)
        return p->now.op == '[' || p->now.op == '{';
    if (p->now.kind == T_NAME)
        return !is_word(&p->now, "else") && !is_word(&p->now, "or") && !is_word(&p->now, "and") &&
               !is_word(&p->now, "is") && !is_word(&p->now, "if") && !is_word(&p->now, "in") &&
               !is_word(&p->now, "not");
    return p->now.kind == T_STRING || p->now.kind == T_INT || p->now.kind == T_FLOAT;
}

static jinja_node *parse_test(parser *p, jinja_node *object)
{
    jinja_node *node = node_new(p, N_TEST);
    node->a = object;
    node->flag = accept_word(p, "not");
    node->name = expect_name(p, "the name of a test");
    if (!node->name)
        return node;
    node->builtin = jinja_find_test(node->name);
    if (!node->builtin)
        jinja_fail(p->s, "the test '%.60s' is not known", node->name->data);
    if (accept(p, '('))
        parse_arguments(p, node);
    else if (begins_test_argument(p))
        push(p, &node->list, parse_postfix(p, parse_primary(p)));
    return node;
}

static jinja_node *parse_filters(parser *p, jinja_node *node)
{
    for (; !p->s->failed;) {
        if (accept(p, '|'))
            node = parse_filter(p, node);
        else if (accept_word(p, "is"))
            node = parse_test(p, node);
        else if (accept(p, '('))
            node = parse_call(p, node);
        else
            break;
    }
    return node;
}

static jinja_node *parse_unary(parser *p, bool with_filters)
{
    jinja_node *node;
    if (!enter(p)) {
        leave(p);
        return node_new(p, N_CONST);
    }
    if (is_operator(p, '-') || is_operator(p, '+')) {
        node = node_new(p, N_NEGATE);
        node->op = p->now.op;
        advance(p);
        node->a = parse_unary(p, false);
    } else {
        node = parse_primary(p);
    }
    node = parse_postfix(p, node);
    if (with_filters)
        node = parse_filters(p, node);
    leave(p);
    return node;
}

/* The operators of one level, weakest first; the last level is that of the power. */
static const char *const levels[] = {"+-", "~", "*/D%", "P"};

static jinja_node *parse_binary(parser *p, size_t level)
{
    if (level == sizeof levels / sizeof *levels)
        return parse_unary(p, true);
    jinja_node *left = parse_binary(p, level + 1);
    while (!p->s->failed && p->now.kind == T_OPERATOR && strchr(levels[level], p->now.op)) {
        jinja_node *node = node_new(p, N_BINARY);
        node->op = p->now.op;
        advance(p);
        node->a = left;
        node->b = parse_binary(p, level + 1);
        left = node;
    }
    return left;
}

/* The comparison here; 0: none. */
static char comparison(const parser *p)
{
    if (p->now.kind == T_OPERATOR)
        return p->now.op == 'e' ? '=' : strchr("N<>LG", p->now.op) ? p->now.op : 0;
    if (is_word(&p->now, "in"))
        return 'I';
    return is_word(&p->now, "not") && is_word(&p->next, "in") ? 'X' : 0;
}

static jinja_node *parse_compare(parser *p)
{
    jinja_node *first = parse_binary(p, 0), *node = NULL;
    for (char op; !p->s->failed && (op = comparison(p));) {
        if (!node) {
            node = node_new(p, N_COMPARE);
            node->a = first;
        }
        jinja_node *part = node_new(p, N_BINARY);
        part->op = op;
        advance(p);
        if (op == 'X')
            advance(p);
        part->b = parse_binary(p, 0);
        push(p, &node->list, part);
    }
    return node ? node : first;
}

static jinja_node *parse_not(parser *p)
{
    if (!is_word(&p->now, "not"))
        return parse_compare(p);
    jinja_node *node = node_new(p, N_NOT);
    advance(p);
    if (enter(p))
        node->a = parse_not(p);
    leave(p);
    return node;
}

static jinja_node *parse_and(parser *p)
{
    jinja_node *left = parse_not(p);
    while (accept_word(p, "and")) {
        jinja_node *node = node_new(p, N_AND);
        node->a = left;
        node->b = parse_not(p);
        left = node;
    }
    return left;
}

static jinja_node *parse_or(parser *p)
{
    jinja_node *left = parse_and(p);
    while (accept_word(p, "or")) {
        jinja_node *node = node_new(p, N_OR);
        node->a = left;
        node->b = parse_and(p);
        left = node;
    }
    return left;
}

static jinja_node *parse_expression(parser *p)
{
    if (!enter(p)) {
        leave(p);
        return node_new(p, N_CONST);
    }
    jinja_node *left = parse_or(p);
    while (accept_word(p, "if")) {
        jinja_node *node = node_new(p, N_CONDITION);
        node->b = left;
        node->a = parse_or(p);
        if (accept_word(p, "else"))
            node->c = parse_expression(p);
        left = node;
    }
    leave(p);
    return left;
}

/* An expression, or several with commas as a tuple. condition: whether `if` belongs to it. */
static jinja_node *parse_tuple(parser *p, bool condition)
{
    jinja_node *first = condition ? parse_expression(p) : parse_or(p);
    if (!is_operator(p, ','))
        return first;
    jinja_node *tuple = node_new(p, N_LIST);
    tuple->flag = true;
    push(p, &tuple->list, first);
    while (accept(p, ',') && p->now.kind != T_BLOCK_END && p->now.kind != T_PRINT_END && !is_operator(p, '='))
        push(p, &tuple->list, condition ? parse_expression(p) : parse_or(p));
    return tuple;
}

/* What is assigned to: a name, names with commas, or a namespace's attribute. */
static jinja_node *parse_target(parser *p)
{
    jinja_node *first = NULL, *tuple = NULL;
    if (!enter(p)) {
        leave(p);
        return node_new(p, N_CONST);
    }
    bool brackets = accept(p, '(');
    do {
        if (tuple && (is_word(&p->now, "in") || is_operator(p, '=') || is_operator(p, ')')))
            break;
        jinja_node *node = is_operator(p, '(') ? parse_target(p) : node_new(p, N_NAME);
        if (node->kind == N_NAME) {
            node->name = expect_name(p, "a name to assign to");
            if (accept(p, '.')) {
                jinja_node *attribute = node_new(p, N_ATTRIBUTE);
                attribute->a = node;
                attribute->name = expect_name(p, "the name of an attribute");
                node = attribute;
            }
        }
        if (!first) {
            first = node;
        } else if (!tuple) {
            tuple = node_new(p, N_LIST);
            tuple->flag = true;
            push(p, &tuple->list, first);
        }
        if (tuple)
            push(p, &tuple->list, node);
    } while (accept(p, ','));
    leave(p);
    if (brackets)
        expect(p, ')');
    return tuple ? tuple : first;
}

static void end_block(parser *p)
{
    if (p->now.kind != T_BLOCK_END && !p->s->failed)
        fail_here(p, "'%}'");
    advance(p);
}

/* The body up to one of `ends`, whose word is taken and whose end of tag is not. */
static void parse_until(parser *p, jinja_nodes *body, const char *const *ends)
{
    end_block(p);
    parse_body(p, body, ends);
}

static jinja_node *parse_if(parser *p)
{
    static const char *const ends[] = {"elif", "else", "endif", NULL}, *const last[] = {"endif", NULL};
    jinja_node *node = node_new(p, N_IF);
    node->a = parse_tuple(p, true);
    parse_until(p, &node->list, ends);
    if (accept_word(p, "elif")) {
        if (enter(p))
            push(p, &node->other, parse_if(p));
        leave(p);
        return node; /* the inner one took endif */
    }
    if (accept_word(p, "else"))
        parse_until(p, &node->other, last);
    accept_word(p, "endif");
    return node;
}

static jinja_node *parse_for(parser *p)
{
    static const char *const ends[] = {"else", "endfor", NULL}, *const last[] = {"endfor", NULL};
    jinja_node *node = node_new(p, N_FOR);
    node->a = parse_target(p);
    if (!accept_word(p, "in"))
        fail_here(p, "'in'");
    node->b = parse_tuple(p, false);
    if (accept_word(p, "if"))
        node->c = parse_expression(p);
    node->flag = accept_word(p, "recursive");
    p->loops++;
    parse_until(p, &node->list, ends);
    p->loops--;
    if (accept_word(p, "else"))
        parse_until(p, &node->other, last);
    accept_word(p, "endfor");
    return node;
}

static jinja_node *parse_filter_chain(parser *p)
{
    jinja_node *chain = parse_filter(p, NULL);
    while (accept(p, '|'))
        chain = parse_filter(p, chain);
    return chain;
}

static jinja_node *parse_set(parser *p)
{
    static const char *const ends[] = {"endset", NULL};
    jinja_node *node = node_new(p, N_SET);
    node->a = parse_target(p);
    if (accept(p, '=')) {
        node->b = parse_tuple(p, true);
        return node;
    }
    node->kind = N_SET_BLOCK;
    if (accept(p, '|'))
        node->b = parse_filter_chain(p);
    parse_until(p, &node->list, ends);
    accept_word(p, "endset");
    return node;
}

/* (name, name=default, ...) */
static void parse_parameters(parser *p, jinja_nodes *parameters)
{
    while (!p->s->failed && !accept(p, ')')) {
        jinja_node *parameter = node_new(p, N_CONST);
        parameter->name = expect_name(p, "the name of a parameter");
        if (accept(p, '='))
            parameter->a = parse_expression(p);
        push(p, parameters, parameter);
        if (!is_operator(p, ')'))
            expect(p, ',');
    }
}

static jinja_node *parse_macro(parser *p)
{
    static const char *const ends[] = {"endmacro", NULL};
    jinja_node *node = node_new(p, N_MACRO);
    uint32_t loops = p->loops;
    node->name = expect_name(p, "the name of a macro");
    expect(p, '(');
    parse_parameters(p, &node->keywords);
    p->loops = 0;
    parse_until(p, &node->list, ends);
    p->loops = loops;
    accept_word(p, "endmacro");
    return node;
}

static jinja_node *parse_call_block(parser *p)
{
    static const char *const ends[] = {"endcall", NULL};
    jinja_node *node = node_new(p, N_CALL_BLOCK);
    uint32_t loops = p->loops;
    if (accept(p, '('))
        parse_parameters(p, &node->keywords);
    node->a = parse_postfix(p, parse_primary(p));
    if (node->a->kind != N_CALL && !p->s->failed)
        jinja_fail(p->s, "a call block needs a call");
    p->loops = 0;
    parse_until(p, &node->list, ends);
    p->loops = loops;
    accept_word(p, "endcall");
    return node;
}

static jinja_node *parse_filter_block(parser *p)
{
    static const char *const ends[] = {"endfilter", NULL};
    jinja_node *node = node_new(p, N_FILTER_BLOCK);
    node->b = parse_filter_chain(p);
    parse_until(p, &node->list, ends);
    accept_word(p, "endfilter");
    return node;
}

static jinja_node *parse_with(parser *p)
{
    static const char *const ends[] = {"endwith", NULL};
    jinja_node *node = node_new(p, N_WITH);
    while (!p->s->failed && p->now.kind == T_NAME) {
        jinja_node *keyword = node_new(p, N_CONST);
        keyword->name = expect_name(p, "a name");
        expect(p, '=');
        keyword->a = parse_expression(p);
        push(p, &node->keywords, keyword);
        if (!accept(p, ','))
            break;
    }
    parse_until(p, &node->list, ends);
    accept_word(p, "endwith");
    return node;
}

static jinja_node *parse_generation(parser *p)
{
    static const char *const ends[] = {"endgeneration", NULL};
    jinja_node *node = node_new(p, N_GENERATION);
    p->has_generation = true;
    parse_until(p, &node->list, ends);
    accept_word(p, "endgeneration");
    return node;
}

static jinja_node *parse_jump(parser *p, jinja_node_kind kind)
{
    if (p->loops == 0)
        jinja_fail(p->s, "%s stands outside of a loop", kind == N_BREAK ? "break" : "continue");
    return node_new(p, kind);
}

static jinja_node *parse_break(parser *p)
{
    return parse_jump(p, N_BREAK);
}

static jinja_node *parse_continue(parser *p)
{
    return parse_jump(p, N_CONTINUE);
}

static jinja_node *parse_statement(parser *p)
{
    static const struct {
        const char *word;
        jinja_node *(*parse)(parser *p);
    } statements[] = {
        {"if", parse_if},
        {"for", parse_for},
        {"set", parse_set},
        {"macro", parse_macro},
        {"call", parse_call_block},
        {"with", parse_with},
        {"break", parse_break},
        {"continue", parse_continue},
        {"filter", parse_filter_block},
        {"generation", parse_generation},
    };
    for (size_t i = 0; i < sizeof statements / sizeof *statements; i++)
        if (accept_word(p, statements[i].word))
            return statements[i].parse(p);
    if (p->now.kind == T_NAME && !p->s->failed)
        jinja_fail(p->s, "the tag '%.60s' is not supported", p->now.value.as.s->data);
    else
        fail_here(p, "the name of a tag");
    return node_new(p, N_BREAK);
}

static bool at_end(const parser *p, const char *const *ends)
{
    for (; ends && *ends; ends++)
        if (is_word(&p->next, *ends))
            return true;
    return false;
}

static void parse_body(parser *p, jinja_nodes *body, const char *const *ends)
{
    enter(p);
    for (; !p->s->failed;) {
        if (p->now.kind == T_END) {
            if (ends)
                jinja_fail(p->s, "the template ends inside a block; expected {%% %s %%}", ends[0]);
            break;
        }
        if (p->now.kind == T_DATA) {
            jinja_node *node = node_new(p, N_DATA);
            node->name = p->now.value.as.s;
            push(p, body, node);
            advance(p);
        } else if (p->now.kind == T_PRINT_BEGIN) {
            jinja_node *node = node_new(p, N_PRINT);
            advance(p);
            node->a = parse_tuple(p, true);
            if (p->now.kind != T_PRINT_END && !p->s->failed)
                fail_here(p, "'}}'");
            advance(p);
            push(p, body, node);
        } else if (at_end(p, ends)) {
            advance(p);
            break;
        } else {
            advance(p);
            push(p, body, parse_statement(p));
            end_block(p);
        }
    }
    leave(p);
}

bool jinja_parse(jinja_state *s, const char *source, size_t length, jinja_nodes *body, bool *has_generation)
{
    parser p = {.s = s, .lexer = {.source = source, .length = length, .line = 1}};
    advance(&p);
    advance(&p);
    parse_body(&p, body, NULL);
    *has_generation = p.has_generation;
    return !s->failed;
}
