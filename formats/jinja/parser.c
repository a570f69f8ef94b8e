/* The window of tokens that the parser looks at. */
#include "formats/jinja/parser.h"

#include <string.h>

void parser_advance(parser *p)
{
    p->now = p->next;
    p->next = jinja_next_token(p->s, &p->lexer);
    p->s->line = p->now.line;
}

jinja_node *parser_node(parser *p, jinja_node_kind kind)
{
    jinja_node *node = jinja_alloc(p->s, sizeof *node);
    if (!node)
        return &p->broken;
    node->kind = kind;
    node->line = p->now.line;
    return node;
}

void parser_push(parser *p, jinja_nodes *nodes, jinja_node *node)
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

bool parser_at(const parser *p, char op)
{
    return p->now.kind == T_OPERATOR && p->now.op == op;
}

bool parser_is_word(const jinja_token *t, const char *word)
{
    return t->kind == T_NAME && t->value.as.s && strcmp(t->value.as.s->data, word) == 0;
}

bool parser_accept(parser *p, char op)
{
    if (p->s->failed || !parser_at(p, op))
        return false;
    parser_advance(p);
    return true;
}

bool parser_accept_word(parser *p, const char *word)
{
    if (p->s->failed || !parser_is_word(&p->now, word))
        return false;
    parser_advance(p);
    return true;
}

void parser_fail(parser *p, const char *expected)
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

void parser_expect(parser *p, char op)
{
    char text[4] = {'\'', op, '\'', 0};
    if (!parser_accept(p, op))
        parser_fail(p, text);
}

const jinja_string *parser_expect_name(parser *p, const char *what)
{
    const jinja_string *name = p->now.value.as.s;
    if (p->now.kind != T_NAME || p->s->failed) {
        parser_fail(p, what);
        return NULL;
    }
    parser_advance(p);
    return name;
}

bool parser_enter(parser *p)
{
    if (++p->s->depth > JINJA_MAX_DEPTH)
        jinja_fail(p->s, "nested more than %d deep", JINJA_MAX_DEPTH);
    return !p->s->failed;
}

void parser_leave(parser *p)
{
    p->s->depth--;
}
