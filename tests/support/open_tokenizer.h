/* Tokenizers of test data, and comparing what they encode. */
#ifndef VKFT_TEST_OPEN_TOKENIZER_H
#define VKFT_TEST_OPEN_TOKENIZER_H

#include <cjson/cJSON.h>

#include "formats/tokenizer/tokenizer.h"

/* dir: holds the files. names: {"tokenizer.model": "file in dir", ...}, or NULL: those in dir that have a tokenizer's
 * names. config: JSON text in the place of tokenizer_config.json, or NULL. Fails the test when this gives no tokenizer.
 */
vkft_tokenizer *vkft_test_open_tokenizer(const char *dir, const cJSON *names, const char *config);

/* The text of a JSON string, zero bytes included. */
vkft_text vkft_test_text(const cJSON *string);
/* Fails the test unless the ids are the ones of the JSON array. */
void vkft_test_same_ids(const char *what, const char *text, const vkft_ids *ids, const cJSON *want);
void vkft_test_encodes(const vkft_tokenizer *tok, const char *what, const cJSON *text, bool special, const cJSON *want);
void vkft_test_decodes(const vkft_tokenizer *tok, const char *what, const cJSON *ids, const cJSON *want);

#endif
