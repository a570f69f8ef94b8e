/* PEFT's trainable_token_indices: tokens whose rows of an embedding, or of the head, are trained by themselves. */
#ifndef VKFT_PEFT_TOKENS_H
#define VKFT_PEFT_TOKENS_H

#include <stdbool.h>
#include <stdint.h>

#include <cjson/cJSON.h>

#include "runtime/base/error.h"

typedef struct vkft_module_tokens {
    char *module;     /* a name, or its end; NULL: the input embedding */
    uint32_t *tokens; /* in the order of their rows, each once */
    uint32_t count;
} vkft_module_tokens;

/* Starts as all zeros. */
typedef struct vkft_token_indices {
    vkft_module_tokens *items;
    uint32_t count;
} vkft_token_indices;

/* A list of numbers, or an object of such lists by the names of modules; absent, null and empty: none. name: of the key
 * or flag, for errors. Error: another type; a number that is no token's; one that is there twice. */
bool vkft_token_indices_read(vkft_token_indices *indices, const cJSON *value, const char *name, vkft_err *err);
bool vkft_token_indices_copy(vkft_token_indices *copy, const vkft_token_indices *indices, vkft_err *err);
/* The form that is read; NULL: out of memory. */
cJSON *vkft_token_indices_json(const vkft_token_indices *indices);
void vkft_token_indices_free(vkft_token_indices *indices);

#endif
