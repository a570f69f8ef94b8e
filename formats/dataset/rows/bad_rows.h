/* Rows, or examples of a row, that cannot be trained on: counted by reason, with the places of the first ones. */
#ifndef VKFT_BAD_ROWS_H
#define VKFT_BAD_ROWS_H

#include <stdbool.h>
#include <stdint.h>

#include "runtime/base/text.h"

typedef enum vkft_bad_reason {
    VKFT_BAD_NULL,         /* a value is null or missing */
    VKFT_BAD_VALUE,        /* a value is of a kind that cannot be used */
    VKFT_BAD_EMPTY,        /* an empty text or conversation */
    VKFT_BAD_LONG_PROMPT,  /* the prompt fills the maximum length */
    VKFT_BAD_NO_ASSISTANT, /* a conversation without an assistant's message */
    VKFT_BAD_MASKED,       /* the row's own labels, masks or weights leave nothing */
    VKFT_BAD_CONVERSATION, /* the chat template refuses it, or the assistant's part cannot be found */
    VKFT_BAD_UNDESIRED,    /* its label says that the answer is a bad one (KTO) */
    VKFT_BAD_UNANSWERABLE, /* a question that the data itself says has no answer (SQuAD 2) */
    VKFT_BAD_TOO_LONG,     /* longer than the maximum, where such rows are dropped */
    VKFT_BAD_REASONS
} vkft_bad_reason;

typedef struct vkft_bad_place {
    const char *file; /* its name; NULL: there is only one */
    uint32_t file_number;
    uint64_t number; /* from 1 */
    bool is_row;     /* the number is that of a row, not of a line */
} vkft_bad_place;

/* Plain data: it is kept with cached tokens. */
typedef struct vkft_bad_rows {
    uint64_t count[VKFT_BAD_REASONS];
    uint64_t place[VKFT_BAD_REASONS][4]; /* numbers of the first ones that are in the file of the very first; 0: none */
    char first[VKFT_BAD_REASONS][160];   /* what is wrong with the first one */
    char file[VKFT_BAD_REASONS][64];     /* where it is; "": there is only one */
    uint32_t file_number[VKFT_BAD_REASONS], is_row[VKFT_BAD_REASONS];
} vkft_bad_rows;

void vkft_bad_rows_add(vkft_bad_rows *bad, vkft_bad_reason reason, const vkft_bad_place *place, const char *message);
uint64_t vkft_bad_rows_count(const vkft_bad_rows *bad);
/* Those that something is wrong with: not what the data marks itself, or what the user wants dropped. */
uint64_t vkft_bad_rows_faults(const vkft_bad_rows *bad);
bool vkft_bad_reason_is_fault(vkft_bad_reason reason);
/* "null_value", for machines. */
const char *vkft_bad_reason_name(vkft_bad_reason reason);
/* What may help with most of them. */
vkft_advice vkft_bad_rows_advice(const vkft_bad_rows *bad);
#define VKFT_BAD_ROWS_TEXT 900 /* what fits in a message beside the name of a file */

/* "2 with a null or missing value (lines 3, 7: completion is null), 1 ...": one line, ending in ... where more does not
 * fit. Of several files "(a.jsonl, lines 3, 7: ...)", with the places in the file of the first one. */
void vkft_bad_rows_describe(const vkft_bad_rows *bad, char text[VKFT_BAD_ROWS_TEXT]);

/* Whether what a file says is such a count: its texts end. */
bool vkft_bad_rows_valid(const vkft_bad_rows *bad);

/* Makes a message one line of valid UTF-8, at most size - 1 bytes, in place. */
void vkft_clean_line(char *line, size_t size);

#endif
