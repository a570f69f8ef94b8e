/* Expressions, by recursive descent; precedences as Jinja2 has them, where filters and tests bind tighter than
 * operators. */
#include "formats/jinja/parser.h"

#include <string.h>

static jinja_node *parse_unary(parser *p, bool with_filters);

/* a, b, c up to `close`, which is taken too. */
static void parse_items(parser *p, jinja_nodes *items, char close)
{
    while (!p->s->failed && !parser_accept(p, close)) {
        parser_push(p, items, parser_expression(p));
        if (!parser_at(p, close))
            parser_expect(p, ',');
    }
}

static void parse_arguments(parser *p, jinja_node *call)
{
    while (!p->s->failed && !parser_accept(p, ')')) {
        if (parser_at(p, '*') || parser_at(p, 'P')) {
            jinja_node *spread = parser_node(p, N_SPREAD);
            spread->flag = p->now.op == 'P';
            parser_advance(p);
            spread->a = parser_expression(p);
            parser_push(p, &call->list, spread);
        } else if (p->now.kind == T_NAME && p->next.kind == T_OPERATOR && p->next.op == '=') {
            jinja_node *keyword = parser_node(p, N_CONST);
            keyword->name = p->now.value.as.s;
            parser_advance(p);
            parser_advance(p);
            keyword->a = parser_expression(p);
            parser_push(p, &call->keywords, keyword);
        } else {
            parser_push(p, &call->list, parser_expression(p));
        }
        if (!parser_at(p, ')'))
            parser_expect(p, ',');
    }
}

static jinja_node *parse_dict(parser *p)
{
    jinja_node *node = parser_node(p, N_DICT);
    while (!p->s->failed && !parser_accept(p, '}')) {
        parser_push(p, &node->list, parser_expression(p));
        parser_expect(p, ':');
        parser_push(p, &node->list, parser_expression(p));
        if (!parser_at(p, '}'))
            parser_expect(p, ',');
    }
    return node;
}

/* ( ... ): an expression in brackets, or a tuple. */
static jinja_node *parse_brackets(parser *p)
{
    jinja_node *tuple = parser_node(p, N_LIST);
    tuple->flag = true;
    if (parser_accept(p, ')'))
        return tuple;
    jinja_node *first = parser_expression(p);
    if (parser_accept(p, ')'))
        return first;
    parser_push(p, &tuple->list, first);
    parser_expect(p, ',');
    parse_items(p, &tuple->list, ')');
    return tuple;
}

static jinja_node *constant(parser *p, jinja_value value)
{
    jinja_node *node = parser_node(p, N_CONST);
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
        if (parser_is_word(&p->now, constants[i].name))
            node = constant(p, (jinja_value){.kind = constants[i].kind, .as.b = constants[i].b});
    if (!node) {
        node = parser_node(p, N_NAME);
        node->name = p->now.value.as.s;
    }
    parser_advance(p);
    return node;
}

static jinja_node *parse_strings(parser *p)
{
    jinja_buffer text = {0};
    while (p->now.kind == T_STRING && !p->s->failed) { /* neighbours are joined */
        jinja_append(p->s, &text, p->now.value.as.s->data, p->now.value.as.s->length);
        parser_advance(p);
    }
    return constant(p, jinja_take_text(p->s, &text));
}

jinja_node *parser_primary(parser *p)
{
    jinja_node *node;
    switch (p->now.kind) {
    case T_NAME: return parse_name(p);
    case T_STRING: return parse_strings(p);
    case T_INT:
    case T_FLOAT:
        node = constant(p, p->now.value);
        parser_advance(p);
        return node;
    default: break;
    }
    if (parser_accept(p, '('))
        return parse_brackets(p);
    if (parser_accept(p, '[')) {
        node = parser_node(p, N_LIST);
        parse_items(p, &node->list, ']');
        return node;
    }
    if (parser_accept(p, '{'))
        return parse_dict(p);
    parser_fail(p, "an expression");
    return parser_node(p, N_CONST);
}

/* [ ... ] after an expression. */
static jinja_node *parse_subscript(parser *p, jinja_node *object)
{
    jinja_node *parts[3] = {NULL, NULL, NULL}, *node;
    int part = 0;
    bool slice = false;
    while (!p->s->failed && !parser_accept(p, ']')) {
        if (parser_accept(p, ':')) {
            slice = true;
            if (++part > 2)
                parser_fail(p, "']'");
            continue;
        }
        parts[part < 3 ? part : 2] = parser_expression(p);
        if (!parser_at(p, ':') && !parser_at(p, ']'))
            parser_fail(p, "']'");
    }
    node = parser_node(p, slice ? N_SLICE : N_ITEM);
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
    jinja_node *node = parser_node(p, N_ATTRIBUTE);
    node->a = object;
    if (p->now.kind == T_INT) { /* a.0 is a[0] */
        node->kind = N_ITEM;
        node->b = constant(p, p->now.value);
        parser_advance(p);
        return node;
    }
    node->name = parser_expect_name(p, "the name of an attribute");
    return node;
}

static jinja_node *parse_call(parser *p, jinja_node *callee)
{
    jinja_node *node = parser_node(p, N_CALL);
    node->a = callee;
    parse_arguments(p, node);
    return node;
}

jinja_node *parser_postfix(parser *p, jinja_node *node)
{
    for (; !p->s->failed;) {
        if (parser_accept(p, '.'))
            node = parse_attribute(p, node);
        else if (parser_accept(p, '['))
            node = parse_subscript(p, node);
        else if (parser_accept(p, '('))
            node = parse_call(p, node);
        else
            break;
    }
    return node;
}

/* name or name(arguments) after a | or in a filter block. */
jinja_node *parser_filter(parser *p, jinja_node *object)
{
    jinja_node *node = parser_node(p, N_FILTER);
    node->a = object;
    node->name = parser_expect_name(p, "the name of a filter");
    if (!node->name)
        return node;
    node->builtin = p->find_filter(node->name);
    if (!node->builtin)
        jinja_fail(p->s, "the filter '%.60s' is not known", node->name->data);
    if (parser_accept(p, '('))
        parse_arguments(p, node);
    return node;
}

static bool begins_test_argument(const parser *p)
{
    if (p->now.kind == T_OPERATOR)
        return p->now.op == '[' || p->now.op == '{';
    if (p->now.kind == T_NAME)
        return !parser_is_word(&p->now, "else") && !parser_is_word(&p->now, "or") && !parser_is_word(&p->now, "and") &&
               !parser_is_word(&p->now, "is") && !parser_is_word(&p->now, "if") && !parser_is_word(&p->now, "in") &&
               !parser_is_word(&p->now, "not");
    return p->now.kind == T_STRING || p->now.kind == T_INT || p->now.kind == T_FLOAT;
}

static jinja_node *parse_test(parser *p, jinja_node *object)
{
    jinja_node *node = parser_node(p, N_TEST);
    node->a = object;
    node->flag = parser_accept_word(p, "not");
    node->name = parser_expect_name(p, "the name of a test");
    if (!node->name)
        return node;
    node->builtin = p->find_test(node->name);
    if (!node->builtin)
        jinja_fail(p->s, "the test '%.60s' is not known", node->name->data);
    if (parser_accept(p, '('))
        parse_arguments(p, node);
    else if (begins_test_argument(p))
        parser_push(p, &node->list, parser_postfix(p, parser_primary(p)));
    return node;
}

static jinja_node *parse_filters(parser *p, jinja_node *node)
{
    for (; !p->s->failed;) {
        if (parser_accept(p, '|'))
            node = parser_filter(p, node);
        else if (parser_accept_word(p, "is"))
            node = parse_test(p, node);
        else if (parser_accept(p, '('))
            node = parse_call(p, node);
        else
            break;
    }
    return node;
}

static jinja_node *parse_unary(parser *p, bool with_filters)
{
    jinja_node *node;
    if (!parser_enter(p)) {
        parser_leave(p);
        return parser_node(p, N_CONST);
    }
    if (parser_at(p, '-') || parser_at(p, '+')) {
        node = parser_node(p, N_NEGATE);
        node->op = p->now.op;
        parser_advance(p);
        node->a = parse_unary(p, false);
    } else {
        node = parser_primary(p);
    }
    node = parser_postfix(p, node);
    if (with_filters)
        node = parse_filters(p, node);
    parser_leave(p);
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
        jinja_node *node = parser_node(p, N_BINARY);
        node->op = p->now.op;
        parser_advance(p);
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
    if (parser_is_word(&p->now, "in"))
        return 'I';
    return parser_is_word(&p->now, "not") && parser_is_word(&p->next, "in") ? 'X' : 0;
}

static jinja_node *parse_compare(parser *p)
{
    jinja_node *first = parse_binary(p, 0), *node = NULL;
    for (char op; !p->s->failed && (op = comparison(p));) {
        if (!node) {
            node = parser_node(p, N_COMPARE);
            node->a = first;
        }
        jinja_node *part = parser_node(p, N_BINARY);
        part->op = op;
        parser_advance(p);
        if (op == 'X')
            parser_advance(p);
        part->b = parse_binary(p, 0);
        parser_push(p, &node->list, part);
    }
    return node ? node : first;
}

static jinja_node *parse_not(parser *p)
{
    if (!parser_is_word(&p->now, "not"))
        return parse_compare(p);
    jinja_node *node = parser_node(p, N_NOT);
    parser_advance(p);
    if (parser_enter(p))
        node->a = parse_not(p);
    parser_leave(p);
    return node;
}

static jinja_node *parse_and(parser *p)
{
    jinja_node *left = parse_not(p);
    while (parser_accept_word(p, "and")) {
        jinja_node *node = parser_node(p, N_AND);
        node->a = left;
        node->b = parse_not(p);
        left = node;
    }
    return left;
}

static jinja_node *parse_or(parser *p)
{
    jinja_node *left = parse_and(p);
    while (parser_accept_word(p, "or")) {
        jinja_node *node = parser_node(p, N_OR);
        node->a = left;
        node->b = parse_and(p);
        left = node;
    }
    return left;
}

jinja_node *parser_expression(parser *p)
{
    if (!parser_enter(p)) {
        parser_leave(p);
        return parser_node(p, N_CONST);
    }
    jinja_node *left = parse_or(p);
    while (parser_accept_word(p, "if")) {
        jinja_node *node = parser_node(p, N_CONDITION);
        node->b = left;
        node->a = parse_or(p);
        if (parser_accept_word(p, "else"))
            node->c = parser_expression(p);
        left = node;
    }
    parser_leave(p);
    return left;
}

/* An expression, or several with commas as a tuple. condition: whether `if` belongs to it. */
jinja_node *parser_tuple(parser *p, bool condition)
{
    jinja_node *first = condition ? parser_expression(p) : parse_or(p);
    if (!parser_at(p, ','))
        return first;
    jinja_node *tuple = parser_node(p, N_LIST);
    tuple->flag = true;
    parser_push(p, &tuple->list, first);
    while (parser_accept(p, ',') && p->now.kind != T_BLOCK_END && p->now.kind != T_PRINT_END && !parser_at(p, '='))
        parser_push(p, &tuple->list, condition ? parser_expression(p) : parse_or(p));
    return tuple;
}

/* What is assigned to: a name, names with commas, or a namespace's attribute. */
jinja_node *parser_target(parser *p)
{
    jinja_node *first = NULL, *tuple = NULL;
    if (!parser_enter(p)) {
        parser_leave(p);
        return parser_node(p, N_CONST);
    }
    bool brackets = parser_accept(p, '(');
    do {
        if (tuple && (parser_is_word(&p->now, "in") || parser_at(p, '=') || parser_at(p, ')')))
            break;
        jinja_node *node = parser_at(p, '(') ? parser_target(p) : parser_node(p, N_NAME);
        if (node->kind == N_NAME) {
            node->name = parser_expect_name(p, "a name to assign to");
            if (parser_accept(p, '.')) {
                jinja_node *attribute = parser_node(p, N_ATTRIBUTE);
                attribute->a = node;
                attribute->name = parser_expect_name(p, "the name of an attribute");
                node = attribute;
            }
        }
        if (!first) {
            first = node;
        } else if (!tuple) {
            tuple = parser_node(p, N_LIST);
            tuple->flag = true;
            parser_push(p, &tuple->list, first);
        }
        if (tuple)
            parser_push(p, &tuple->list, node);
    } while (parser_accept(p, ','));
    parser_leave(p);
    if (brackets)
        parser_expect(p, ')');
    return tuple ? tuple : first;
}
