/* Python's pickle, as far as PyTorch's files of tensors need it: an interpreter that builds values and runs nothing.
 * Internal to formats.
 *
 * It knows dictionaries, lists, tuples, strings, numbers, PyTorch's storages and the three functions that make tensors
 * and ordered dictionaries of them. Any other name that a pickle wants to import or call is an error that tells it.
 * Values take memory in proportion to the text.
 */
#ifndef VKFT_PICKLE_H
#define VKFT_PICKLE_H

#include <stdbool.h>
#include <stdint.h>

#include "formats/tensors/dtype.h"

typedef enum vkft_pickle_kind {
    VKFT_PICKLE_NONE,
    VKFT_PICKLE_BOOL,
    VKFT_PICKLE_INT,
    VKFT_PICKLE_FLOAT,
    VKFT_PICKLE_STRING,
    VKFT_PICKLE_TUPLE,
    VKFT_PICKLE_LIST,
    VKFT_PICKLE_DICT,    /* items: key, value, key, value, ... in order; a later key wins */
    VKFT_PICKLE_GLOBAL,  /* one of the known names */
    VKFT_PICKLE_STORAGE, /* key, dtype, number = elements */
    VKFT_PICKLE_TENSOR,  /* items: storage, offset, size tuple, stride tuple */
} vkft_pickle_kind;

typedef struct vkft_pickle_value {
    vkft_pickle_kind kind;
    vkft_dtype dtype; /* of a storage, and of the global that names its class */
    int64_t number;   /* bool, int, elements of a storage; which global */
    const char *text; /* string, key of a storage; borrowed from the pickle, not zero-terminated */
    uint32_t text_length;
    uint32_t *items; /* values by number */
    uint32_t count, capacity;
} vkft_pickle_value;

typedef struct vkft_pickle {
    vkft_pickle_value *values;
    uint32_t count, capacity;
    uint32_t result; /* the value it leaves */
} vkft_pickle;

/* Interprets the pickle at the beginning of data; *used is its length. Error: an opcode that tensors do not need, an
 * unknown name, a text that is cut off or makes no sense. */
bool vkft_pickle_load(const uint8_t *data, uint64_t size, const char *file, vkft_pickle *pickle, uint64_t *used,
                      vkft_err *err);
void vkft_pickle_free(vkft_pickle *pickle); /* zeroes it */

#endif
