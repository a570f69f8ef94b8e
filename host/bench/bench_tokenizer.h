/* Speed of tokenizing on one thread. */
#ifndef VKFT_BENCH_TOKENIZER_H
#define VKFT_BENCH_TOKENIZER_H

#include <stdbool.h>

#include "runtime/base/error.h"

/* Encodes every line of the JSONL file `documents`, a JSON string each, without special tokens, with the tokenizer of
 * `model`; prints bytes, tokens, CPU seconds of the encoding alone and MB/s (or, with json, one object, which also has
 * a checksum of the ids: sum of id x (1 + index mod 1000)). */
bool vkft_bench_tokenizer(const char *model, const char *documents, bool json, vkft_err *err);

#endif
