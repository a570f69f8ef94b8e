/* Speed of tokenizing on one thread. */
#ifndef VKFT_BENCH_TOKENIZER_H
#define VKFT_BENCH_TOKENIZER_H

#include <stdbool.h>
#include <stdint.h>

#include "runtime/base/error.h"

typedef struct vkft_bench_tokens {
    uint64_t documents, bytes, tokens;
    uint64_t checksum; /* of the ids: sum of id * (1 + index mod 1000) */
    double seconds;    /* CPU time of the encoding alone */
} vkft_bench_tokens;

/* Encodes every line of the JSONL file `documents`, a JSON string each, without special tokens, with the tokenizer of
 * `model`. */
bool vkft_bench_tokenizer(const char *model, const char *documents, vkft_bench_tokens *result, vkft_err *err);

#endif
