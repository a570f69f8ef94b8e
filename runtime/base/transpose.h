/* The transpose of a matrix in host memory. */
#ifndef VKFT_TRANSPOSE_H
#define VKFT_TRANSPOSE_H

#include <stdint.h>
#include <string.h>

/* to [cols,rows] = transpose of from [rows,cols]; elements of `bytes` bytes each. The two must not overlap. */
static inline void vkft_transpose(const void *from, uint64_t rows, uint64_t cols, uint64_t bytes, void *to)
{
    const uint8_t *in = from;
    uint8_t *out = to;
    for (uint64_t r = 0; r < rows; r++)
        for (uint64_t c = 0; c < cols; c++)
            memcpy(out + (c * rows + r) * bytes, in + (r * cols + c) * bytes, bytes);
}

#endif
