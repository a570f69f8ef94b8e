/* Element by element. Each common size has its own loop, so that a copy is one load and one store. */
#include "runtime/base/transpose.h"

#include <string.h>

static inline void transpose(const uint8_t *from, uint64_t rows, uint64_t cols, uint64_t bytes, uint8_t *to)
{
    for (uint64_t r = 0; r < rows; r++)
        for (uint64_t c = 0; c < cols; c++)
            memcpy(to + (c * rows + r) * bytes, from + (r * cols + c) * bytes, bytes);
}

void vkft_transpose(const void *from, uint64_t rows, uint64_t cols, uint64_t bytes, void *to)
{
    switch (bytes) {
    case 2: transpose(from, rows, cols, 2, to); break;
    case 4: transpose(from, rows, cols, 4, to); break;
    default: transpose(from, rows, cols, bytes, to); break;
    }
}
