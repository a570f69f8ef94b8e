/* What reading the examples of a row shares. */
#ifndef VKFT_DATASET_SHAPE_PRIVATE_H
#define VKFT_DATASET_SHAPE_PRIVATE_H

#include "formats/dataset/shape.h"

/* keys.c: the member that has this name in the known shapes, and in *key what the row calls it; NULL: absent or null.
 */
const cJSON *vkft_data_member(const vkft_data_keys *keys, const cJSON *row, const char *name, const char **key);
/* The row's keys as a list for people: one line, cut off where it does not fit. */
void vkft_list_keys(const cJSON *row, char *text, size_t size);

typedef struct visitor {
    const vkft_data_keys *keys;
    const vkft_shape_sink *sink;
    const char *place;
    const vkft_alternatives *alternatives; /* of the example at hand, or NULL */
    bool failed;                           /* out of memory, or the sink has failed */
    vkft_err *err;
} visitor;

/* Rejects the example at hand; returns false, so that `return visitor_reject(...)` ends it. */
bool visitor_reject(visitor *v, vkft_bad_reason reason, const char *format, ...) VKFT_PRINTF(3, 4);
bool visitor_fail_memory(visitor *v);
bool visitor_example(visitor *v, const vkft_example *example);

/* The member as a text: a string as it is, a number or a boolean as Python's str() writes it. *text is NULL where it is
 * absent or null and not required. False: the example is rejected, or failed. */
bool visitor_text(visitor *v, cJSON *row, const char *name, bool required, const char **text);

/* Makes a number or a boolean the string that Python's str() gives. False: out of memory. */
bool visitor_make_string(cJSON *value);

/* shape.c: the user's template with the row's values. NULL: out of memory. */
char *visitor_fill_template(visitor *v, cJSON *row, const char *context);

/* preference.c: rows with chosen and rejected answers, or with answers that are desired or not. */
void visit_choice(visitor *v, cJSON *row, vkft_data_format format);

/* choices.c: rows with choices, one of which is the answer. */
void visit_alternatives(visitor *v, cJSON *row);
/* shape.c: what is made of a prompt and its answer. Takes over prompt; NULL: out of memory. */
void visit_pair(visitor *v, cJSON *row, char *prompt, const char *completion);

/* conversation.c */
/* Appends the messages of a member to a list; a text is one of this role. */
bool conversation_add_side(visitor *v, cJSON *row, const char *name, const char *role, cJSON *all);
bool conversation_add_text(visitor *v, const char *role, const char *content, cJSON *all);
/* Gives messages their usual keys and roles. */
bool conversation_normalize(visitor *v, cJSON *messages, const char *key);
/* The row's "system" before the messages, unless they begin with one. */
bool conversation_put_system(visitor *v, cJSON *row, cJSON *messages);
/* The row's tools as templates expect them, NULL: none, to be freed; and its variables for the template. */
bool conversation_read_tools(visitor *v, const cJSON *row, cJSON **tools);
bool conversation_read_variables(visitor *v, const cJSON *row, const cJSON **variables);
void visit_messages(visitor *v, cJSON *row, bool sharegpt);
/* TRL's prompt and completion of messages. */
void visit_dialogue(visitor *v, cJSON *row);
/* A prompt and its answer as a conversation, after the row's "system" and "history". */
bool visit_pair_as_chat(visitor *v, cJSON *row, const char *prompt, const char *completion);

#endif
