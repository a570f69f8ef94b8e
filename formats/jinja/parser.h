/* What parses templates: a window of two tokens, and expressions. Internal to formats/jinja. */
#ifndef VKFT_JINJA_PARSER_H
#define VKFT_JINJA_PARSER_H

#include "formats/jinja/jinja_private.h"

typedef struct parser {
    jinja_state *s;
    jinja_lexer lexer;
    jinja_token now, next;
    jinja_lookup *find_filter, *find_test;
    bool has_generation;
    uint32_t loops;    /* for blocks around this place, inside the macro */
    jinja_node broken; /* stands for nodes that could not be made; parsing has failed then */
} parser;

void parser_advance(parser *p);
jinja_node *parser_node(parser *p, jinja_node_kind kind); /* never NULL */
void parser_push(parser *p, jinja_nodes *nodes, jinja_node *node);

/* Whether the token is this operator or word; accept also takes it. */
bool parser_at(const parser *p, char op);
bool parser_is_word(const jinja_token *t, const char *word);
bool parser_accept(parser *p, char op);
bool parser_accept_word(parser *p, const char *word);
/* Takes the operator or a name; another token is an error that says what was expected. */
void parser_expect(parser *p, char op);
const jinja_string *parser_expect_name(parser *p, const char *what);
void parser_fail(parser *p, const char *expected);

/* Bounds the depth of recursion. Each enter, failed or not, needs its leave. */
bool parser_enter(parser *p);
void parser_leave(parser *p);

/* expression.c */
jinja_node *parser_expression(parser *p);
/* node with what follows it: .name, [item], (arguments). */
jinja_node *parser_postfix(parser *p, jinja_node *node);
/* A name, a constant, or something in brackets. */
jinja_node *parser_primary(parser *p);
/* An expression, or several with commas as a tuple. condition: whether `if` belongs to it. */
jinja_node *parser_tuple(parser *p, bool condition);
/* What is assigned to: a name, names with commas, or a namespace's attribute. */
jinja_node *parser_target(parser *p);
/* name or name(arguments) after a | or in a filter block. */
jinja_node *parser_filter(parser *p, jinja_node *object);

#endif
