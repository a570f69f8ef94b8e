/* Whether a GGUF file is the model that it was made from: the tokens of a text and their log-probabilities by both, and
 * by llama.cpp's own programs where they are installed. Test: test_merge, test_llama_cpp */
#ifndef VKFT_VERIFY_H
#define VKFT_VERIFY_H

#include "runtime/base/observer.h"

typedef struct vkft_verify_options {
    const char *gguf, *against; /* the file; the model: a checkpoint, a GGUF or a .vkft file */
    const char *adapter;        /* that was merged into the file; NULL: none */
    const char *text;           /* a file; NULL: a short text in several languages, with numbers and code */
    const char *device;
    const char *llama_cpp; /* directory of llama.cpp's programs; NULL: those of PATH, if any */
    uint32_t tokens;       /* of the text, at most, whose log-probabilities are compared; at least 2 */
    double max_difference; /* of a log-probability; NaN: what the file's type explains */
} vkft_verify_options;

typedef struct vkft_verify_result {
    uint32_t tokens;     /* of the text */
    int64_t other_token; /* the first position at which tokens differ; -1: none */
    uint32_t compared;   /* log-probabilities */
    double worst, mean;  /* differences of them; NaN: one is no number */
    double loss[2];      /* of the model and of the file */
    double allowed;      /* NaN: any difference */
    bool llama;          /* asked, too; what follows is then from its programs, about the file */
    uint32_t llama_tokens, llama_compared;
    int64_t llama_other_token;
    double llama_worst, llama_mean, llama_allowed; /* with half a step of the numbers that its programs tell */
} vkft_verify_result;

/* Error: a file that cannot be read, a text of one token, a device that fails; interrupted. That they differ is none.
 */
bool vkft_verify(const vkft_verify_options *options, const vkft_observer *observer, vkft_verify_result *result,
                 vkft_err *err);

/* Whether the file and the model, or llama.cpp, agree; the latter also where it was not asked. */
bool vkft_verify_passes(const vkft_verify_result *result);
bool vkft_verify_llama_cpp_agrees(const vkft_verify_result *result);

#endif
