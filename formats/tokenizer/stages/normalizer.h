/* Normalizers: the first stage, from the text as it comes to the one that is split. */
#ifndef VKFT_TOKENIZER_NORMALIZER_H
#define VKFT_TOKENIZER_NORMALIZER_H

#include <cjson/cJSON.h>

#include "formats/tokenizer/stages/charsmap.h"
#include "formats/tokenizer/stages/pattern/pattern.h"
#include "runtime/base/text.h"

typedef enum vkft_normalizer_kind {
    VKFT_NORMALIZE_NFC,
    VKFT_NORMALIZE_NFD,
    VKFT_NORMALIZE_NFKC,
    VKFT_NORMALIZE_NFKD,
    VKFT_NORMALIZE_PREPEND,
    VKFT_NORMALIZE_REPLACE,
    VKFT_NORMALIZE_STRIP,
    VKFT_NORMALIZE_LOWERCASE,
    VKFT_NORMALIZE_PRECOMPILED,
} vkft_normalizer_kind;

typedef struct vkft_normalizer {
    vkft_normalizer_kind kind;
    vkft_pattern pattern; /* replace */
    char *content;        /* replace, prepend */
    bool left, right;     /* strip */
    vkft_charsmap charsmap;
} vkft_normalizer;

typedef struct vkft_normalizers {
    vkft_normalizer *steps;
    uint32_t count;
} vkft_normalizers;

bool vkft_normalizers_new(vkft_normalizers *n, const cJSON *json, const char *file, vkft_err *err);
void vkft_normalizers_free(vkft_normalizers *n);
/* text is replaced by its normal form. */
bool vkft_normalizers_apply(const vkft_normalizers *n, vkft_text *text, vkft_err *err);

#endif
