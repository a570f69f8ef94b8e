/* Inputs that hold several files: each part but the last ends with a zero byte. */
#ifndef VKFT_FUZZ_PARTS_H
#define VKFT_FUZZ_PARTS_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

/* The length of the text before the first zero byte, at most size. */
static inline size_t text_length(const uint8_t *data, size_t size)
{
    const uint8_t *end = size ? memchr(data, 0, size) : NULL;
    return end ? (size_t)(end - data) : size;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#endif
