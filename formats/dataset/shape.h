/* The shapes of training data, and what the examples in a row are whatever its shape. Internal to formats. */
#ifndef VKFT_DATASET_SHAPE_H
#define VKFT_DATASET_SHAPE_H

#include <cjson/cJSON.h>

#include "formats/dataset/sample.h"

/* A prompt with its chosen and its rejected answer, or with one answer that is desired or not: texts, lists of
 * messages, or ids in a row. */
typedef struct vkft_choice {
    const char *prompt, *text[2]; /* the prompt NULL in other choices */
    cJSON *messages, *list[2];    /* the same */
    const cJSON *tools, *variables;
    const cJSON *row;
    uint32_t answers; /* 1 or 2 */
    bool desired;     /* of one */
} vkft_choice;

/* The texts of a row one of which is right. */
typedef struct vkft_alternatives {
    const char *prompt;      /* before each of them; of a conversation NULL: all but its last message is */
    const char *separator;   /* between the two; "" or a space */
    const char *const *text; /* [count] */
    uint32_t count, right;
} vkft_alternatives;

/* One of: text; prompt and completion; conversation; choice; row (input_ids and what goes with them). Borrowed for the
 * time of the visit. */
typedef struct vkft_example {
    const char *text;
    const char *prompt, *completion;
    vkft_conversation conversation; /* its messages are NULL in other examples */
    const vkft_choice *choice;
    const vkft_alternatives *alternatives; /* NULL, or what else the answer of a prompt or conversation could be */
    const cJSON *row;
} vkft_example;

/* What the user says of the rows: their own names for the keys of a known shape, "question=Q,answer=A", and the text
 * that makes a prompt. */
typedef struct vkft_data_keys {
    char *names; /* owned; the pairs, zero-terminated one by one */
    struct vkft_data_key {
        const char *name, *key;
    } pairs[16];
    uint32_t count;
    char *prompt_template; /* owned; NULL: each shape's own */
    vkft_preferences preferences;
} vkft_data_keys;

/* text NULL: no renaming. prompt_template NULL, or a text in which {name} stands for a row's value ("" where it has
 * none), {{ and }} for braces, and \n and \t for a line's end and a tab. Error: a pair without '=', a name that no
 * shape has, a brace without its partner. */
bool vkft_data_keys_new(vkft_data_keys *keys, const char *text, const char *prompt_template, vkft_err *err);
void vkft_data_keys_free(vkft_data_keys *keys);

/* The shape of the file's first row by its keys. Error: none of the known ones; tells the keys that were found. */
bool vkft_shape_detect(const vkft_data_keys *keys, const cJSON *row, const char *place, vkft_data_format *format,
                       vkft_err *err);
/* Checks a row of a file whose rows have this shape. What the row lacks is no error here: its examples are rejected.
 * Error: the keys of another shape, or of preference data; no object. */
bool vkft_shape_check(const vkft_data_keys *keys, const cJSON *row, vkft_data_format format, const char *place,
                      vkft_err *err);
/* The row's keys that a shape does not use, as a list for people; cut off where it does not fit. */
void vkft_shape_unused(const vkft_data_keys *keys, const cJSON *row, vkft_data_format format, bool as_chat, char *text,
                       size_t size);

/* Whether a key of this name may be used by rows of a format, under any of its spellings; VKFT_DATA_FORMATS: of any. */
bool vkft_shape_may_use(const vkft_data_keys *keys, vkft_data_format format, const char *key);

/* What is done with the examples of a row. */
typedef struct vkft_shape_sink {
    bool as_chat;       /* a prompt and its answer are a conversation */
    bool learn_prompts; /* the messages of a prompt, too */
    bool (*example)(void *context, const vkft_example *example, vkft_err *err);
    /* One that cannot be trained on; message is one line. */
    bool (*reject)(void *context, vkft_bad_reason reason, const char *message, vkft_err *err);
    void *context;
} vkft_shape_sink;

/* Gives every example of a row of this shape to the sink; there are several in SQuAD's. The row is changed: messages
 * get their usual keys and roles. False: a function of the sink failed, or out of memory. */
bool vkft_shape_examples(const vkft_data_keys *keys, cJSON *row, vkft_data_format format, const char *place,
                         const vkft_shape_sink *sink, vkft_err *err);

#endif
