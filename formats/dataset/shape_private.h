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
    bool failed; /* out of memory, or the sink has failed */
    vkft_err *err;
} visitor;

/* Rejects the example at hand; returns false, so that `return visitor_reject(...)` ends it. */
bool visitor_reject(visitor *v, vkft_bad_reason reason, const char *format, ...) VKFT_PRINTF(3, 4);
bool visitor_fail_memory(visitor *v);
bool visitor_example(visitor *v, const vkft_example *example);

/* The member as a text: a string as it is, a number or a boolean as Python's str() writes it. *text is NULL where it is
 * absent or null and not required. False: the example is rejected, or failed. */
bool visitor_text(visitor *v, cJSON *row, const char *name, bool required, const char **text);

/* conversation.c */
void visit_messages(visitor *v, cJSON *row, bool sharegpt);
/* TRL's prompt and completion of messages. */
void visit_dialogue(visitor *v, cJSON *row);
/* A prompt and its answer as a conversation, after the row's "system" and "history". */
bool visit_pair_as_chat(visitor *v, cJSON *row, const char *prompt, const char *completion);

#endif
