/* Tokenizers as tokenizer.json states them (byte-level BPE, BPE with byte fallback, Unigram), to the token what the
 * `tokenizers` package gives. Other sources: files/source.h. */
#ifndef VKFT_TOKENIZER_H
#define VKFT_TOKENIZER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <cjson/cJSON.h>

#include "formats/tokenizer/ids.h"
#include "runtime/base/error.h"
#include "runtime/base/text.h"

typedef struct vkft_tokenizer vkft_tokenizer; /* immutable after creation; may be used from several threads */

/* json: tokenizer.json. config_json: tokenizer_config.json or NULL; its add_bos_token / add_eos_token apply where
 * tokenizer.json has no post-processor that says so, as in transformers. `file` names the source in errors. Error: JSON
 * error with its line, a component that is not supported (named). */
vkft_tokenizer *vkft_tokenizer_new(const char *json, size_t json_length, const char *config_json, size_t config_length,
                                   const char *file, vkft_err *err);
/* The same of a parsed tokenizer.json, which becomes the tokenizer's (also when this fails). */
vkft_tokenizer *vkft_tokenizer_from_json(cJSON *root, const char *config_json, size_t config_length, const char *file,
                                         vkft_err *err);
void vkft_tokenizer_free(vkft_tokenizer *tok);

/* Appends the ids of text (any bytes; invalid UTF-8 becomes U+FFFD as Python's errors="replace" gives) to out. */
bool vkft_tokenizer_encode(const vkft_tokenizer *tok, const char *text, size_t length, bool add_special_tokens,
                           vkft_ids *out, vkft_err *err);
/* The same for two texts, with the special tokens that the post-processor has for pairs. */
bool vkft_tokenizer_encode_pair(const vkft_tokenizer *tok, const char *a, size_t a_length, const char *b,
                                size_t b_length, bool add_special_tokens, vkft_ids *out, vkft_err *err);
/* The same for a text that something else will follow: the special tokens before it, and none after it. */
bool vkft_tokenizer_encode_prompt(const vkft_tokenizer *tok, const char *text, size_t length, vkft_ids *out,
                                  vkft_err *err);
/* Whether the beginning of a text is encoded otherwise than the same text in the middle of another one: with a space
 * before it. */
bool vkft_tokenizer_adds_prefix(const vkft_tokenizer *tok);
/* Appends the text of ids to out. Ids outside the vocabulary are an error. */
bool vkft_tokenizer_decode(const vkft_tokenizer *tok, const int32_t *ids, uint32_t count, bool skip_special_tokens,
                           vkft_text *out, vkft_err *err);

uint32_t vkft_tokenizer_vocab_size(const vkft_tokenizer *tok);           /* with added tokens: highest id + 1 */
int32_t vkft_tokenizer_id(const vkft_tokenizer *tok, const char *token); /* -1 when absent */
bool vkft_tokenizer_has(const vkft_tokenizer *tok, int32_t id);
bool vkft_tokenizer_is_special(const vkft_tokenizer *tok, int32_t id);
int32_t vkft_tokenizer_bos_id(const vkft_tokenizer *tok); /* from tokenizer_config.json; -1 none */
int32_t vkft_tokenizer_eos_id(const vkft_tokenizer *tok);

#endif
