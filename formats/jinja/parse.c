/* Statements, and text outside of tags: the template to a syntax tree. */
#include "formats/jinja/parser.h"

static void parse_body(parser *p, jinja_nodes *body, const char *const *ends);

static void end_block(parser *p)
{
    if (p->now.kind != T_BLOCK_END && !p->s->failed)
        parser_fail(p, "'%}'");
    parser_advance(p);
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
    jinja_node *node = parser_node(p, N_IF);
    node->a = parser_tuple(p, true);
    parse_until(p, &node->list, ends);
    if (parser_accept_word(p, "elif")) {
        if (parser_enter(p))
            parser_push(p, &node->other, parse_if(p));
        parser_leave(p);
        return node; /* the inner one took endif */
    }
    if (parser_accept_word(p, "else"))
        parse_until(p, &node->other, last);
    parser_accept_word(p, "endif");
    return node;
}

static jinja_node *parse_for(parser *p)
{
    static const char *const ends[] = {"else", "endfor", NULL}, *const last[] = {"endfor", NULL};
    jinja_node *node = parser_node(p, N_FOR);
    node->a = parser_target(p);
    if (!parser_accept_word(p, "in"))
        parser_fail(p, "'in'");
    node->b = parser_tuple(p, false);
    if (parser_accept_word(p, "if"))
        node->c = parser_expression(p);
    node->flag = parser_accept_word(p, "recursive");
    p->loops++;
    parse_until(p, &node->list, ends);
    p->loops--;
    if (parser_accept_word(p, "else"))
        parse_until(p, &node->other, last);
    parser_accept_word(p, "endfor");
    return node;
}

static jinja_node *parse_filter_chain(parser *p)
{
    jinja_node *chain = parser_filter(p, NULL);
    while (parser_accept(p, '|'))
        chain = parser_filter(p, chain);
    return chain;
}

static jinja_node *parse_set(parser *p)
{
    static const char *const ends[] = {"endset", NULL};
    jinja_node *node = parser_node(p, N_SET);
    node->a = parser_target(p);
    if (parser_accept(p, '=')) {
        node->b = parser_tuple(p, true);
        return node;
    }
    node->kind = N_SET_BLOCK;
    if (parser_accept(p, '|'))
        node->b = parse_filter_chain(p);
    parse_until(p, &node->list, ends);
    parser_accept_word(p, "endset");
    return node;
}

/* (name, name=default, ...) */
static void parse_parameters(parser *p, jinja_nodes *parameters)
{
    while (!p->s->failed && !parser_accept(p, ')')) {
        jinja_node *parameter = parser_node(p, N_CONST);
        parameter->name = parser_expect_name(p, "the name of a parameter");
        if (parser_accept(p, '='))
            parameter->a = parser_expression(p);
        parser_push(p, parameters, parameter);
        if (!parser_at(p, ')'))
            parser_expect(p, ',');
    }
}

static jinja_node *parse_macro(parser *p)
{
    static const char *const ends[] = {"endmacro", NULL};
    jinja_node *node = parser_node(p, N_MACRO);
    uint32_t loops = p->loops;
    node->name = parser_expect_name(p, "the name of a macro");
    parser_expect(p, '(');
    parse_parameters(p, &node->keywords);
    p->loops = 0;
    parse_until(p, &node->list, ends);
    p->loops = loops;
    parser_accept_word(p, "endmacro");
    return node;
}

static jinja_node *parse_call_block(parser *p)
{
    static const char *const ends[] = {"endcall", NULL};
    jinja_node *node = parser_node(p, N_CALL_BLOCK);
    uint32_t loops = p->loops;
    if (parser_accept(p, '('))
        parse_parameters(p, &node->keywords);
    node->a = parser_postfix(p, parser_primary(p));
    if (node->a->kind != N_CALL && !p->s->failed)
        jinja_fail(p->s, "a call block needs a call");
    p->loops = 0;
    parse_until(p, &node->list, ends);
    p->loops = loops;
    parser_accept_word(p, "endcall");
    return node;
}

static jinja_node *parse_filter_block(parser *p)
{
    static const char *const ends[] = {"endfilter", NULL};
    jinja_node *node = parser_node(p, N_FILTER_BLOCK);
    node->b = parse_filter_chain(p);
    parse_until(p, &node->list, ends);
    parser_accept_word(p, "endfilter");
    return node;
}

static jinja_node *parse_with(parser *p)
{
    static const char *const ends[] = {"endwith", NULL};
    jinja_node *node = parser_node(p, N_WITH);
    while (!p->s->failed && p->now.kind == T_NAME) {
        jinja_node *keyword = parser_node(p, N_CONST);
        keyword->name = parser_expect_name(p, "a name");
        parser_expect(p, '=');
        keyword->a = parser_expression(p);
        parser_push(p, &node->keywords, keyword);
        if (!parser_accept(p, ','))
            break;
    }
    parse_until(p, &node->list, ends);
    parser_accept_word(p, "endwith");
    return node;
}

static jinja_node *parse_generation(parser *p)
{
    static const char *const ends[] = {"endgeneration", NULL};
    jinja_node *node = parser_node(p, N_GENERATION);
    p->has_generation = true;
    parse_until(p, &node->list, ends);
    parser_accept_word(p, "endgeneration");
    return node;
}

static jinja_node *parse_jump(parser *p, jinja_node_kind kind)
{
    if (p->loops == 0)
        jinja_fail(p->s, "%s stands outside of a loop", kind == N_BREAK ? "break" : "continue");
    return parser_node(p, kind);
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
        if (parser_accept_word(p, statements[i].word))
            return statements[i].parse(p);
    if (p->now.kind == T_NAME && !p->s->failed)
        jinja_fail(p->s, "the tag '%.60s' is not supported", p->now.value.as.s->data);
    else
        parser_fail(p, "the name of a tag");
    return parser_node(p, N_BREAK);
}

static bool at_end(const parser *p, const char *const *ends)
{
    for (; ends && *ends; ends++)
        if (parser_is_word(&p->next, *ends))
            return true;
    return false;
}

static void parse_body(parser *p, jinja_nodes *body, const char *const *ends)
{
    parser_enter(p);
    for (; !p->s->failed;) {
        if (p->now.kind == T_END) {
            if (ends)
                jinja_fail(p->s, "the template ends inside a block; expected {%% %s %%}", ends[0]);
            break;
        }
        if (p->now.kind == T_DATA) {
            jinja_node *node = parser_node(p, N_DATA);
            node->name = p->now.value.as.s;
            parser_push(p, body, node);
            parser_advance(p);
        } else if (p->now.kind == T_PRINT_BEGIN) {
            jinja_node *node = parser_node(p, N_PRINT);
            parser_advance(p);
            node->a = parser_tuple(p, true);
            if (p->now.kind != T_PRINT_END && !p->s->failed)
                parser_fail(p, "'}}'");
            parser_advance(p);
            parser_push(p, body, node);
        } else if (at_end(p, ends)) {
            parser_advance(p);
            break;
        } else {
            parser_advance(p);
            parser_push(p, body, parse_statement(p));
            end_block(p);
        }
    }
    parser_leave(p);
}

bool jinja_parse(jinja_state *s, const char *source, size_t length, jinja_lookup *find_filter, jinja_lookup *find_test,
                 jinja_nodes *body, bool *has_generation)
{
    parser p = {.s = s,
                .find_filter = find_filter,
                .find_test = find_test,
                .lexer = {.source = source, .length = length, .line = 1}};
    parser_advance(&p);
    parser_advance(&p);
    parse_body(&p, body, NULL);
    *has_generation = p.has_generation;
    return !s->failed;
}
