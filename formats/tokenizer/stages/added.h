/* Added tokens: those that are matched in the text before the model sees it. */
#ifndef VKFT_TOKENIZER_ADDED_H
#define VKFT_TOKENIZER_ADDED_H

#include <cjson/cJSON.h>

#include "formats/tokenizer/stages/normalizer.h"
#include "formats/tokenizer/stages/vocab.h"

typedef struct vkft_added_token {
    char *name;    /* as tokenizer.json has it */
    char *content; /* what is matched and what it decodes to: normalized when `normalized` says so */
    uint32_t length;
    int32_t id;
    bool special, lstrip, rstrip, single_word, normalized;
} vkft_added_token;

typedef struct vkft_added_tokens {
    vkft_added_token *tokens;
    uint32_t count;
    bool split_special;    /* special ones are not matched: they are text like any other */
    vkft_string_map names; /* to ids */
    struct vkft_added_order {
        const vkft_added_token **tokens; /* in the order of their bytes; none is empty, none is there twice */
        uint32_t begin[257];             /* by first byte */
    } order[2];                          /* by normalized */
} vkft_added_tokens;

#define VKFT_TOKENIZER_CONFIG "tokenizer_config.json"
#define VKFT_LEGACY_TOKEN                                                                                              \
    "legacy" /* set in a token of the decoder whose flags are a guess: those of the list go before */

/* list: "added_tokens" of tokenizer.json. decoder: "added_tokens_decoder" of tokenizer_config.json, whose flags go
 * before those of the list and whose other tokens are added too, as in transformers. special: tokens without an id, as
 * texts or objects; those that are new get that of the vocabulary, else the next free one. Any of the three may be
 * NULL. */
bool vkft_added_tokens_read(vkft_added_tokens *added, const vkft_normalizers *normalizers, const cJSON *list,
                            const cJSON *decoder, const cJSON *special, const vkft_vocab *vocab, const char *where,
                            vkft_err *err);
void vkft_added_tokens_free(vkft_added_tokens *added);
/* The first added token from `start` on that is matched in raw or in normalized text; begin and end include the white
 * space that it strips. NULL: none. */
const vkft_added_token *vkft_added_tokens_find(const vkft_added_tokens *added, bool normalized, const char *text,
                                               size_t length, size_t start, size_t *begin, size_t *end);

#endif
