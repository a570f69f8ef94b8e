/* SplitMix64 as a counter-based generator. */
#include "runtime/base/random.h"

static uint64_t mix(uint64_t z)
{
    z += 0x9e3779b97f4a7c15u;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

uint64_t vkft_random_bits(uint64_t seed, uint64_t stream, uint64_t index)
{
    return mix(mix(mix(seed) ^ stream) ^ index);
}

double vkft_random_uniform(uint64_t seed, uint64_t stream, uint64_t index)
{
    return (double)(vkft_random_bits(seed, stream, index) >> 11) * 0x1.0p-53;
}

void vkft_random_permutation(uint64_t seed, uint64_t stream, uint32_t *order, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++)
        order[i] = i;
    for (uint32_t i = n; i > 1; i--) {
        uint32_t j = (uint32_t)(vkft_random_uniform(seed, stream, i) * i);
        uint32_t swap = order[i - 1];
        order[i - 1] = order[j];
        order[j] = swap;
    }
}
