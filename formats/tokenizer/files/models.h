/* The "model" of tokenizer.json made of other files. Internal to formats. The caller owns what is returned; NULL:
 * error. */
#ifndef VKFT_TOKENIZER_MODELS_H
#define VKFT_TOKENIZER_MODELS_H

#include <cjson/cJSON.h>

#include "formats/tokenizer/files/sentencepiece.h"

/* vocab: a parsed vocab.json, which becomes the model's also when this fails. merges: merges.txt. *next_id: the highest
 * id + 1. */
cJSON *vkft_model_of_merges(cJSON *vocab, const char *merges, size_t length, uint32_t *next_id, vkft_err *err);
/* text: tiktoken's lines of base64 and rank. */
cJSON *vkft_model_of_ranks(const char *text, size_t length, const char *file, uint32_t *next_id, vkft_err *err);
/* extra_ids: <extra_id_N-1> ... <extra_id_0> after the pieces of a Unigram model. */
cJSON *vkft_model_of_sentencepiece(const vkft_sentencepiece *sp, uint32_t extra_ids, uint32_t *next_id, vkft_err *err);

/* Appends Llama 3's 256 special tokens, the first with id first_id. */
bool vkft_add_llama3_tokens(cJSON *added, uint32_t first_id, vkft_err *err);
/* Appends the control, unknown and user-defined pieces; puts the character map into tokenizer.json's normalizer. */
bool vkft_add_sentencepiece_tokens(const vkft_sentencepiece *sp, cJSON *root, cJSON *added, vkft_err *err);

#endif
