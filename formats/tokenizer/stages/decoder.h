/* Decoders: from tokens back to text. */
#ifndef VKFT_TOKENIZER_DECODER_H
#define VKFT_TOKENIZER_DECODER_H

#include <cjson/cJSON.h>

#include "formats/tokenizer/stages/pattern/pattern.h"
#include "runtime/base/text.h"

typedef enum vkft_decoder_kind {
    VKFT_DECODE_BYTE_LEVEL,
    VKFT_DECODE_BYTE_FALLBACK,
    VKFT_DECODE_FUSE,
    VKFT_DECODE_STRIP,
    VKFT_DECODE_REPLACE,
    VKFT_DECODE_METASPACE,
} vkft_decoder_kind;

typedef struct vkft_decoder_step {
    vkft_decoder_kind kind;
    vkft_pattern pattern; /* replace */
    char *content;        /* replace; strip: the character; metaspace: the replacement */
    uint32_t start, stop; /* strip */
    bool strip_first;     /* metaspace: the first token's marker was added by the encoder */
} vkft_decoder_step;

typedef struct vkft_decoder {
    vkft_decoder_step *steps;
    uint32_t count;
} vkft_decoder;

bool vkft_decoder_new(vkft_decoder *d, const cJSON *json, const char *file, vkft_err *err);
void vkft_decoder_free(vkft_decoder *d);
/* The steps rewrite the tokens in place; the result is appended to out, valid UTF-8. */
bool vkft_decoder_apply(const vkft_decoder *d, vkft_text *tokens, uint32_t count, vkft_text *out, vkft_err *err);

#endif
