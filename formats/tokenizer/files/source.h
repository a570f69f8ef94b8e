/* A tokenizer from whatever files a checkpoint brings: tokenizer.json, else vocab.json + merges.txt, else a
 * SentencePiece model (tokenizer.model, spiece.model), else tiktoken's ranks (tokenizer.model of Llama 3).
 *
 * Without tokenizer.json the rules that the files do not state (how text is cut, what stands around it) are those of
 * the tokenizer class that tokenizer_config.json names, as transformers 5 has them. Test: test_tokenizer,
 * test_tokenizer_vectors
 */
#ifndef VKFT_FILES_SOURCE_H
#define VKFT_FILES_SOURCE_H

#include "formats/tokenizer/tokenizer.h"

enum {
    VKFT_FILE_TOKENIZER,
    VKFT_FILE_TOKENIZER_CONFIG,
    VKFT_FILE_VOCAB,
    VKFT_FILE_MERGES,
    VKFT_FILE_MODEL,
    VKFT_FILE_SPIECE,
    VKFT_FILE_SPECIAL_TOKENS,
    VKFT_FILE_ADDED_TOKENS,
    VKFT_FILE_CONFIG,
    VKFT_TOKENIZER_FILES,
};
extern const char *const vkft_tokenizer_file_names[VKFT_TOKENIZER_FILES]; /* "tokenizer.json", ... */

typedef struct vkft_small_file {
    const char *data; /* NULL: there is no such file */
    size_t length;
} vkft_small_file;

/* *tok is NULL when the files hold no tokenizer. Error: a file that is wrong, or a tokenizer class whose rules are not
 * known. */
bool vkft_tokenizer_from_files(const vkft_small_file files[VKFT_TOKENIZER_FILES], vkft_tokenizer **tok, vkft_err *err);

/* The same as a parsed tokenizer.json, that of the files or what is made of the others. */
bool vkft_tokenizer_json_of_files(const vkft_small_file files[VKFT_TOKENIZER_FILES], cJSON **root, vkft_err *err);

/* tokenizer.json without model and added tokens for a SentencePiece model of Llama's kind, whose texts begin with a
 * space that is added, or for one of Gemma's, where none is. */
const char *vkft_tokenizer_llama_parts(bool add_prefix);

#endif
