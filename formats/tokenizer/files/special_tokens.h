/* The special tokens of a checkpoint, from all the files that name them. */
#ifndef VKFT_FILES_SPECIAL_TOKENS_H
#define VKFT_FILES_SPECIAL_TOKENS_H

#include "formats/tokenizer/files/source.h"

/* tokenizer_config.json as transformers completes it, malloc'ed; *text is NULL when no file says anything. Where it has
 * no "added_tokens_decoder", special_tokens_map.json goes before it and added_tokens.json becomes that decoder. Tokens
 * that no file names are those of the tokenizer class. Error: a file that is wrong. */
bool vkft_special_tokens_config(const vkft_small_file files[VKFT_TOKENIZER_FILES], char **text, vkft_err *err);

/* What a class of tokenizers calls its special tokens; class_name may end in "Fast", either may be NULL. NULL: the
 * class is not known. */
typedef struct vkft_class_tokens {
    const char *tokenizer_class, *model_type; /* model_type: what config.json's begins with */
    const char *bos, *eos, *unk, *pad;
} vkft_class_tokens;
const vkft_class_tokens *vkft_tokenizer_class_tokens(const char *class_name, const char *model_type);

#endif
