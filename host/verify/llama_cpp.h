/* llama.cpp's own programs, asked about a GGUF file: llama-tokenize for the tokens of a text, and llama-perplexity for
 * log-probabilities, which it writes into a file with --kl-divergence-base. A server that answers over a socket was
 * rejected: it needs a free port and a client, and its answers change from version to version.
 * Test: test_llama_cpp, with scripts in their place
 */
#ifndef VKFT_LLAMA_CPP_H
#define VKFT_LLAMA_CPP_H

#include "formats/tokenizer/ids.h"
#include "runtime/base/error.h"

typedef struct vkft_llama_cpp {
    char *tokenize, *perplexity; /* paths of the programs */
} vkft_llama_cpp;

/* Looks in `directory`, or in those of PATH where it is NULL. Not found: both paths are NULL, which is an error where
 * the directory was given. */
bool vkft_llama_cpp_find(const char *directory, vkft_llama_cpp *programs, vkft_err *err);
void vkft_llama_cpp_free(vkft_llama_cpp *programs); /* zeroes it */

/* The tokens of the text in a file, with what the tokenizer puts around a text. Error: the program ends with one. */
bool vkft_llama_cpp_tokens(const vkft_llama_cpp *programs, const char *gguf, const char *text_path, vkft_ids *ids,
                           vkft_err *err);

/* Log-probabilities of a context of tokens, of which the program tells the second half. */
typedef struct vkft_llama_cpp_logprobs {
    vkft_ids ids;   /* the context, a bos in its first place where the model has it so */
    uint32_t first; /* number of the first token whose log-probability is known; so are all after it */
    double *values; /* of the tokens from `first` on */
    double *floors; /* where not NaN: the value was cut off, and the true one is at most this */
    double step;    /* values are multiples of this, which is half a step from the true ones at most */
} vkft_llama_cpp_logprobs;

/* Keys and values in f32, on the CPU, a context of `context` tokens: the text in the file must have twice as many.
 * scratch: a file to be written and removed, of half as many rows of the vocabulary's size, 2 bytes a token. */
bool vkft_llama_cpp_logprobs_of(const vkft_llama_cpp *programs, const char *gguf, const char *text_path,
                                const char *scratch, uint32_t context, vkft_llama_cpp_logprobs *found, vkft_err *err);
void vkft_llama_cpp_logprobs_free(vkft_llama_cpp_logprobs *found);

#endif
