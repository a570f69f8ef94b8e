/* Pre-tokenizers: the second stage, which cuts a text into pieces that merges do not cross. */
#ifndef VKFT_TOKENIZER_PRE_TOKENIZER_H
#define VKFT_TOKENIZER_PRE_TOKENIZER_H

#include <cjson/cJSON.h>

#include "formats/tokenizer/stages/pattern/pattern.h"
#include "runtime/base/text.h"

/* Pieces of a text. */
typedef struct vkft_piece_list {
    struct vkft_span {
        size_t begin, end;
    } * spans;
    uint32_t count, capacity;
} vkft_piece_list;
bool vkft_pieces_push(vkft_piece_list *pieces, size_t begin, size_t end, vkft_err *err); /* empty pieces are dropped */
void vkft_pieces_free(vkft_piece_list *pieces);

typedef enum vkft_pre_kind {
    VKFT_PRE_SPLIT,
    VKFT_PRE_DIGITS,
    VKFT_PRE_BYTE_LEVEL,
    VKFT_PRE_METASPACE,
    VKFT_PRE_PUNCTUATION,
    VKFT_PRE_WHITESPACE_SPLIT,
} vkft_pre_kind;

typedef enum vkft_behavior {
    VKFT_REMOVED,
    VKFT_ISOLATED,
    VKFT_MERGED_WITH_PREVIOUS,
    VKFT_MERGED_WITH_NEXT,
    VKFT_CONTIGUOUS,
} vkft_behavior;

typedef enum vkft_prepend_scheme { VKFT_PREPEND_NEVER, VKFT_PREPEND_FIRST, VKFT_PREPEND_ALWAYS } vkft_prepend_scheme;

typedef struct vkft_pre_step {
    vkft_pre_kind kind;
    vkft_pattern pattern; /* what separates */
    vkft_behavior behavior;
    bool invert;
    bool split;                 /* metaspace; byte level: use_regex */
    bool add_prefix_space;      /* byte level */
    vkft_prepend_scheme scheme; /* metaspace */
    char *replacement;          /* metaspace */
} vkft_pre_step;

typedef struct vkft_pre_tokenizer {
    vkft_pre_step *steps;
    uint32_t count;
} vkft_pre_tokenizer;

bool vkft_pre_tokenizer_new(vkft_pre_tokenizer *p, const cJSON *json, const char *file, vkft_err *err);
void vkft_pre_tokenizer_free(vkft_pre_tokenizer *p);
/* Splits text, which steps may also rewrite (byte level, metaspace). at_start: the text begins the whole input. */
bool vkft_pre_tokenizer_apply(const vkft_pre_tokenizer *p, vkft_text *text, bool at_start, vkft_piece_list *pieces,
                              vkft_err *err);

#endif
