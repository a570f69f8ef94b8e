/* Merges of a BPE vocabulary that is stored without them: every way to cut a token into two tokens, best tokens first.
 *
 * Source: transformers, convert_slow_tokenizer.py (generate_merges, TikTokenConverter). Internal to formats.
 */
#ifndef VKFT_FILES_MERGES_H
#define VKFT_FILES_MERGES_H

#include <cjson/cJSON.h>

#include "formats/tokenizer/stages/vocab.h"

typedef struct vkft_ranked_token {
    const char *text; /* what is cut, between characters when by_characters, else between bytes; no zero inside unless
                         length says so */
    size_t length;
    const char *name; /* as the merges name it */
    double score; /* the higher the earlier; by_characters breaks ties by the longer left, then the longer right half */
} vkft_ranked_token;

/* Appends "left right" strings to merges. ids maps text to the index in tokens. */
bool vkft_merges_generate(const vkft_ranked_token *tokens, uint32_t count, const vkft_string_map *ids,
                          bool by_characters, cJSON *merges, vkft_err *err);

#endif
