/* First values of A and B, as PEFT's init_lora_weights has them; the numbers are of a generator of our own.
 * Initializations that change the weights of the model (PiSSA, OLoRA, LoftQ, CorDA, LoRA-GA) are not here. Test:
 * test_lora_init
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "host/trainable/methods/lora_private.h"
#include "runtime/base/random.h"

#define TWO_PI 6.283185307179586476925

/* Standard normal. Source: Box & Muller 1958. */
static double normal(uint64_t seed, uint64_t stream, uint64_t index)
{
    double u = 1.0 - vkft_random_uniform(seed, stream, 2 * index), v = vkft_random_uniform(seed, stream, 2 * index + 1);
    return sqrt(-2.0 * log(u)) * cos(TWO_PI * v);
}

/* A random orthogonal matrix [r,r] by rows, the same for both tensors of a module. Gram-Schmidt, twice a row, so that
 * rows are at right angles to the last digits. NULL: out of memory. */
static double *random_basis(const vkft_adapter_start *start, uint32_t r)
{
    double *q = malloc((size_t)r * r * sizeof *q);
    for (uint32_t i = 0; q && i < r; i++) {
        double *row = q + (size_t)i * r, size = 0;
        for (uint32_t c = 0; c < r; c++)
            row[c] = normal(start->seed, VKFT_STREAM_BASIS, start->module + (uint64_t)i * r + c);
        for (uint32_t again = 0; again < 2; again++)
            for (uint32_t j = 0; j < i; j++) {
                const double *other = q + (size_t)j * r;
                double along = 0;
                for (uint32_t c = 0; c < r; c++)
                    along += row[c] * other[c];
                for (uint32_t c = 0; c < r; c++)
                    row[c] -= along * other[c];
            }
        for (uint32_t c = 0; c < r; c++)
            size += row[c] * row[c];
        for (uint32_t c = 0; c < r; c++)
            row[c] /= sqrt(size);
    }
    return q;
}

/* values [n,r], a row at stride `along` and its elements at stride `across`: random sums of every other row of the
 * basis, from `parity` on, divided by 10 as in PEFT. False: out of memory. */
static bool orthogonal(const vkft_adapter_start *start, uint32_t n, uint32_t r, uint32_t parity, size_t along,
                       size_t across, float *values)
{
    double *q = random_basis(start, r), *row = malloc(r * sizeof *row);
    for (uint32_t i = 0; q && row && i < n; i++) {
        memset(row, 0, r * sizeof *row);
        for (uint32_t j = parity; j < r; j += 2) {
            double x = normal(start->seed, VKFT_STREAM_INIT, start->first + (uint64_t)i * (r / 2) + j / 2) / 10;
            for (uint32_t k = 0; k < r; k++)
                row[k] += x * q[(size_t)j * r + k];
        }
        for (uint32_t k = 0; k < r; k++)
            values[i * along + k * across] = (float)row[k];
    }
    bool ok = q && row;
    free(q);
    free(row);
    return ok;
}

bool vkft_lora_init_a(const vkft_adapter_start *start, uint32_t rows, uint32_t cols, float *values)
{
    double bound = 1.0 / sqrt((double)cols), deviation = 1.0 / rows;
    if (start->embedding)
        return true;
    if (start->init == VKFT_LORA_INIT_ORTHOGONAL)
        return orthogonal(start, cols, rows, 0, 1, cols, values);
    for (uint64_t i = 0; i < (uint64_t)rows * cols; i++)
        values[i] =
            start->init == VKFT_LORA_INIT_GAUSSIAN
                ? (float)(deviation * normal(start->seed, VKFT_STREAM_INIT, start->first + i))
                : (float)(bound * (2.0 * vkft_random_uniform(start->seed, VKFT_STREAM_INIT, start->first + i) - 1.0));
    return true;
}

bool vkft_lora_init_b(const vkft_adapter_start *start, uint32_t rows, uint32_t cols, float *values)
{
    for (uint64_t i = 0; start->embedding && i < (uint64_t)rows * cols; i++)
        values[i] = (float)normal(start->seed, VKFT_STREAM_INIT, start->first + i);
    return start->embedding || start->init != VKFT_LORA_INIT_ORTHOGONAL ||
           orthogonal(start, rows, cols, 1, cols, 1, values);
}
