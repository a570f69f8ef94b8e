/* The inside of the Jinja evaluator: values, syntax tree, and the state of a rendering. Internal to formats.
 *
 * Everything that a parse or a rendering makes lies in its arena and is freed at once. Errors stick: after the first
 * one every function returns quickly with an undefined value, so that code reads straight on and whoever began reports
 * it.
 */
#ifndef VKFT_JINJA_PRIVATE_H
#define VKFT_JINJA_PRIVATE_H

#include "formats/jinja/jinja.h"
#include "runtime/base/utf8.h"

/* The bounds of what a template may do. */
#define JINJA_MAX_SOURCE (4u << 20)
#define JINJA_MAX_DEPTH 200          /* of expressions, statements, macro calls and values inside each other */
#define JINJA_MAX_BYTES (256u << 20) /* of values */
#define JINJA_MAX_OUTPUT (64u << 20)

typedef struct jinja_arena {
    struct jinja_chunk *chunks;
    size_t total;
} jinja_arena;

void *jinja_arena_alloc(jinja_arena *arena, size_t size); /* zeroed; NULL: over JINJA_MAX_BYTES or out of memory */
void jinja_arena_free(jinja_arena *arena);

typedef enum jinja_kind {
    J_UNDEFINED,
    J_NONE,
    J_BOOL,
    J_INT,
    J_FLOAT,
    J_STRING,
    J_LIST,
    J_DICT,
    J_NAMESPACE,
    J_LOOP,
    J_MACRO,
    J_BUILTIN,
    J_BIG_INT, /* beyond 64 bits: its digits, in s */
} jinja_kind;

/* Where a byte comes from, while messages are tracked. Low half: the message whose data it is, from 1; 0: none's;
 * JINJA_MIXED: of several, or not known byte by byte. High half: who wrote it, a message in a loop over messages, from
 * 1; JINJA_OTHER_LOOP and above: an iteration of another loop; 0: nobody. */
typedef uint32_t jinja_mark;
#define JINJA_MIXED VKFT_JINJA_MIXED
#define JINJA_OTHER_LOOP VKFT_JINJA_OTHER_LOOP

typedef struct jinja_string {
    const char *data; /* zero-terminated, may hold zeros */
    size_t length;
    jinja_mark mark;         /* of all bytes, or */
    const jinja_mark *marks; /* of each byte */
    bool safe;               /* what is added to it is escaped for HTML first, as with MarkupSafe */
} jinja_string;

/* A text that grows. */
typedef struct jinja_buffer {
    vkft_text text;
    jinja_mark *marks; /* of each byte; NULL when nothing is tracked */
    size_t marks_room;
} jinja_buffer;

typedef struct jinja_value {
    jinja_kind kind;
    union {
        bool b;
        int64_t i;
        double f;
        const jinja_string *s; /* also the name of what is undefined, or NULL */
        struct jinja_list *l;
        struct jinja_dict *d; /* also a namespace's */
        struct jinja_loop *loop;
        struct jinja_macro *macro;
        struct jinja_bound *bound;
    } as;
} jinja_value;

typedef struct jinja_list {
    jinja_value *items;
    uint32_t count, capacity;
    bool tuple;
    uint32_t inside; /* the tracked message that it is a part of, from 1; 0: none */
} jinja_list;

typedef struct jinja_pair {
    jinja_value key, value;
} jinja_pair;

typedef struct jinja_dict {
    jinja_pair *pairs;
    uint32_t count, capacity;
    uint32_t message; /* its number among the tracked messages, from 1; 0: it is none */
    uint32_t inside;  /* the message that it is a part of */
} jinja_dict;

typedef struct jinja_state jinja_state;

/* Arguments in the order of a builtin's parameters. */
#define JINJA_MAX_ARGUMENTS 12
typedef struct jinja_arguments {
    jinja_value values[JINJA_MAX_ARGUMENTS];
    bool given[JINJA_MAX_ARGUMENTS];
    uint32_t count; /* highest given + 1 */
} jinja_arguments;

/* A filter, test, method or global function. parameters: names by position without self, "default_value boolean"; "*":
 * any number. */
typedef struct jinja_builtin {
    const char *name;
    const char *parameters;
    jinja_value (*call)(jinja_state *s, jinja_value self, const jinja_arguments *args);
} jinja_builtin;

typedef const jinja_builtin *jinja_lookup(const jinja_string *name); /* NULL: there is none of that name */

typedef struct jinja_bound {
    const jinja_builtin *builtin;
    jinja_value self;
} jinja_bound;

typedef enum jinja_node_kind {
    /* expressions */
    N_CONST,     /* value */
    N_NAME,      /* name */
    N_LIST,      /* list; tuple: flag */
    N_DICT,      /* list: key, value, key, value ... */
    N_ATTRIBUTE, /* a . name */
    N_ITEM,      /* a [ b ] */
    N_SLICE,     /* a [ b : c : d ], each may be NULL */
    N_CALL,      /* a ( list, keywords ) */
    N_SPREAD,    /* in a call's list: * a; flag: ** a */
    N_FILTER,    /* a | name ( list, keywords ); a NULL in a filter block */
    N_TEST,      /* a is name ( list ); flag: not */
    N_NOT,       /* not a */
    N_NEGATE,    /* - a; op '+': + a */
    N_BINARY,    /* a op b */
    N_AND,
    N_OR,        /* a and b */
    N_COMPARE,   /* a, then list of N_BINARY with op and b: a < b < c */
    N_CONDITION, /* a if b else c; c may be NULL */
    /* statements; bodies are in list */
    N_DATA,         /* name: the text */
    N_PRINT,        /* a */
    N_IF,           /* a, list, other */
    N_FOR,          /* for a in b if c, list, other; flag: recursive */
    N_SET,          /* set a = b */
    N_SET_BLOCK,    /* set a, filters: b (a chain whose innermost a is NULL) or NULL */
    N_MACRO,        /* name, parameters: keywords with a as default or NULL, list */
    N_CALL_BLOCK,   /* call a, list as the caller's body, parameters: keywords */
    N_FILTER_BLOCK, /* b: filter chain, list */
    N_WITH,         /* keywords, list */
    N_BREAK,
    N_CONTINUE,
    N_GENERATION, /* list */
} jinja_node_kind;

typedef struct jinja_node jinja_node;
typedef struct jinja_nodes {
    jinja_node **items;
    uint32_t count, capacity;
} jinja_nodes;

struct jinja_node {
    jinja_node_kind kind;
    uint32_t line;
    char op; /* + - * / D(//) % P(**) ~; = N(!=) < > L(<=) G(>=) I(in) X(not in) */
    bool flag;
    const jinja_string *name;
    const jinja_builtin *builtin; /* of filters and tests */
    jinja_value value;
    jinja_node *a, *b, *c, *d;
    jinja_nodes list, keywords, other; /* keywords: nodes with name and a */
};

typedef struct jinja_scope {
    struct jinja_scope *parent;
    jinja_dict names;
} jinja_scope;

typedef struct jinja_macro {
    const jinja_node *node;
    jinja_scope *scope; /* where it was defined */
} jinja_macro;

typedef struct jinja_loop {
    const jinja_list *items;
    const jinja_node *node; /* for a recursive call */
    uint32_t index, depth;  /* from 0 */
    jinja_value changed;
    bool has_changed;
} jinja_loop;

/* Of a parse or a rendering. */
struct jinja_state {
    jinja_arena arena;
    const char *file;
    uint32_t line, depth, steps, max_steps;
    bool failed;
    vkft_err *err;
    jinja_scope *scope;
    jinja_buffer *out, *root; /* what is written to now, and the whole output */
    vkft_jinja_output *output;
    const char *tracked; /* the variable whose messages are tracked; NULL: none */
    uint32_t writer;     /* as in the high half of a mark */
    uint32_t failed_at;  /* the writer when the first error came */
    uint32_t other_loops;
    int64_t now;
    jinja_node_kind flow; /* N_BREAK or N_CONTINUE on its way to the loop; else 0 */
};

struct vkft_jinja {
    jinja_arena arena;
    jinja_nodes body;
    char *file, *source;
    bool has_generation;
};

/* value.c, write.c */
void *jinja_alloc(jinja_state *s, size_t size); /* NULL only after a failure */
jinja_value jinja_fail(jinja_state *s, const char *format, ...) VKFT_PRINTF(2, 3);
bool jinja_step(jinja_state *s); /* false: over the limit */
/* Counts the reading of that many bytes of a text as steps; false: over the limit. */
bool jinja_work(jinja_state *s, size_t bytes);

jinja_value jinja_none(void);
jinja_value jinja_bool(bool b);
jinja_value jinja_int(int64_t i);
jinja_value jinja_float(double f);
jinja_value jinja_undefined(const jinja_string *name);
jinja_value jinja_text(jinja_state *s, const char *data, size_t length); /* copied */
jinja_value jinja_literal(jinja_state *s, const char *text);
jinja_value jinja_part(jinja_state *s, const jinja_string *t, size_t begin, size_t length); /* with its marks */
jinja_value jinja_new_list(jinja_state *s, bool tuple);
jinja_value jinja_new_dict(jinja_state *s);
void jinja_push(jinja_state *s, jinja_list *list, jinja_value item);
void jinja_put(jinja_state *s, jinja_dict *dict, jinja_value key, jinja_value value);
const jinja_value *jinja_get(jinja_state *s, const jinja_dict *dict, jinja_value key);
const jinja_value *jinja_get_name(const jinja_dict *dict, const char *name, size_t length);
jinja_value jinja_from_json(jinja_state *s, const cJSON *json);

bool jinja_is_number(jinja_value v); /* bool counts, as in Python */
double jinja_number(jinja_value v);
bool jinja_truth(jinja_value v);
bool jinja_equal(jinja_state *s, jinja_value a, jinja_value b);
int jinja_compare(jinja_state *s, jinja_value a, jinja_value b); /* -1, 0, 1; fails for what has no order */
const char *jinja_type_name(jinja_value v);                      /* "str", "dict", as Python says */
/* As Python's str() and repr(), appended. */
void jinja_append_str(jinja_state *s, jinja_buffer *out, jinja_value v);
void jinja_append_repr(jinja_state *s, jinja_buffer *out, jinja_value v);
jinja_value jinja_str(jinja_state *s, jinja_value v);
void jinja_append(jinja_state *s, jinja_buffer *out, const char *data, size_t length);
void jinja_append_marked(jinja_state *s, jinja_buffer *out, const char *data, size_t length, jinja_mark mark);
void jinja_append_part(jinja_state *s, jinja_buffer *out, const jinja_string *t, size_t begin, size_t length);
jinja_value jinja_take_text(jinja_state *s, jinja_buffer *buffer); /* moves it into the arena, frees it */
/* The same for text that was made of source, but not byte by byte. */
jinja_value jinja_take_like(jinja_state *s, jinja_buffer *buffer, const jinja_string *source);
/* What is written from begin on and nobody's yet becomes data of message `inside`. */
void jinja_mark_rest(jinja_buffer *out, size_t begin, uint32_t inside);
void jinja_buffer_free(jinja_buffer *buffer);
jinja_mark jinja_mark_of(const jinja_string *t); /* JINJA_MIXED where its bytes differ */
/* What iterating gives: items of lists, keys of dicts, characters of strings; undefined: nothing. NULL: not iterable,
 * failed. */
const jinja_list *jinja_iterate(jinja_state *s, jinja_value v);
uint32_t jinja_length(jinja_state *s, jinja_value v); /* characters of strings */
/* v[key] with the missing as undefined, and v[begin:end:step]; absent bounds are J_NONE. */
jinja_value jinja_item(jinja_state *s, jinja_value v, jinja_value key);
jinja_value jinja_slice(jinja_state *s, jinja_value v, jinja_value begin, jinja_value end, jinja_value step);
jinja_value jinja_binary(jinja_state *s, char op, jinja_value a, jinja_value b);
bool jinja_compare_op(jinja_state *s, char op, jinja_value a, jinja_value b);
bool jinja_contains(jinja_state *s, jinja_value container, jinja_value item);
/* Byte offset of the first (or last) place of part within bytes [from, to) of text; SIZE_MAX: none. */
size_t jinja_find_text(jinja_state *s, const jinja_string *text, const jinja_string *part, size_t from, size_t to,
                       bool last);

/* parse.c */
bool jinja_parse(jinja_state *s, const char *source, size_t length, jinja_lookup *find_filter, jinja_lookup *find_test,
                 jinja_nodes *body, bool *has_generation);

/* lex.c: the source as text and tags. */
typedef enum jinja_token_kind {
    T_END,
    T_DATA,
    T_PRINT_BEGIN,
    T_PRINT_END,
    T_BLOCK_BEGIN,
    T_BLOCK_END,
    T_NAME,
    T_INT,
    T_FLOAT,
    T_STRING,
    T_OPERATOR
} jinja_token_kind;
typedef struct jinja_token {
    jinja_token_kind kind;
    char op; /* one character, or as in jinja_node; the punctuation ()[]{},:.|= ('e' is ==) */
    uint32_t line;
    jinja_value value; /* string, name, data: J_STRING; numbers */
} jinja_token;
typedef struct jinja_lexer {
    const char *source;
    size_t length, at;
    uint32_t line;
    uint32_t braces;   /* open ( [ { in the tag */
    int inside;        /* 0: text, 1: {{ }}, 2: {% %} */
    bool trim_left;    /* the tag before ended with - */
    bool trim_newline; /* the tag before was a block: a newline after it is dropped */
} jinja_lexer;
jinja_token jinja_next_token(jinja_state *s, jinja_lexer *lexer);

/* eval.c */
jinja_value jinja_eval(jinja_state *s, const jinja_node *node);
void jinja_run(jinja_state *s, const jinja_nodes *body);
jinja_value jinja_attribute(jinja_state *s, jinja_value v, const jinja_string *name);
jinja_value jinja_call_builtin(jinja_state *s, const jinja_builtin *builtin, jinja_value self, const jinja_node *call);
jinja_value jinja_apply(jinja_state *s, const jinja_builtin *builtin, jinja_value self, const jinja_arguments *args,
                        uint32_t skip);

/* filters.c: text that is escaped for HTML unless it is safe, and is safe. */
jinja_value jinja_escaped(jinja_state *s, jinja_value v);
jinja_value jinja_safe(jinja_state *s, jinja_value v);
/* filters.c, is_tests.c, methods.c: NULL when there is none of that name. */
const jinja_builtin *jinja_find_filter(const jinja_string *name);
const jinja_builtin *jinja_find_test(const jinja_string *name);
const jinja_builtin *jinja_find_method(jinja_kind kind, const jinja_string *name);
const jinja_builtin *jinja_find_function(const jinja_string *name);
const jinja_builtin *jinja_find(const jinja_builtin *table,
                                const jinja_string *name); /* a table ends with a NULL name */
/* casing.c: of the same origin as the text. */
typedef enum jinja_casing { JINJA_UPPER, JINJA_LOWER, JINJA_TITLE, JINJA_CAPITALIZE, JINJA_SWAP } jinja_casing;
jinja_value jinja_change_case(jinja_state *s, const jinja_string *t, jinja_casing how);
/* format.c: '...' % values, and the method of strings. */
jinja_value jinja_format_percent(jinja_state *s, jinja_value format, jinja_value values);
jinja_value jinja_format(jinja_state *s, jinja_value self, const jinja_arguments *args);
/* json_value.c: also the filter tojson. */
jinja_value jinja_to_json(jinja_state *s, jinja_value self, const jinja_arguments *args);

#endif
