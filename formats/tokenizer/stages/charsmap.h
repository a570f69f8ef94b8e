/* The precompiled character map of SentencePiece models, and base64, in which it is stored. */
#ifndef VKFT_TOKENIZER_CHARSMAP_H
#define VKFT_TOKENIZER_CHARSMAP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "runtime/base/text.h"

/* SentencePiece's precompiled character map: a double-array trie of strings, and what each becomes. */
typedef struct vkft_charsmap {
    uint32_t *units;
    uint32_t unit_count;
    char *targets; /* zero-terminated strings, which the trie's values point into */
    size_t target_bytes;
    void *memory;
} vkft_charsmap;

/* base64: "precompiled_charsmap" of tokenizer.json. */
bool vkft_charsmap_new(vkft_charsmap *map, const char *base64, const char *where, vkft_err *err);
void vkft_charsmap_free(vkft_charsmap *map);
/* Bytes written to out, which has room for 3 bytes per 4 characters; -1: not base64. */
long vkft_base64_decode(const char *text, size_t length, unsigned char *out);
/* Appends the mapped text, grapheme by grapheme as the `tokenizers` package does. Error: out grows beyond limit. */
bool vkft_charsmap_apply(const vkft_charsmap *map, const char *text, size_t length, size_t limit, vkft_text *out,
                         vkft_err *err);

#endif
