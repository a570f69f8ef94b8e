/* The transpose of a matrix in host memory. */
#ifndef VKFT_TRANSPOSE_H
#define VKFT_TRANSPOSE_H

#include <stdint.h>

/* to [cols,rows] = transpose of from [rows,cols]; elements of `bytes` bytes each. The two must not overlap. */
void vkft_transpose(const void *from, uint64_t rows, uint64_t cols, uint64_t bytes, void *to);

#endif
