/* Counter-based random numbers for the host: the value depends only on (seed, stream, index), so that order, resume and
 * initialization are reproducible without saving a generator's state. */
#ifndef VKFT_RANDOM_H
#define VKFT_RANDOM_H

#include <stdint.h>

/* Uses of randomness; each is its own stream. Data order uses VKFT_STREAM_SHUFFLE + epoch. */
enum {
    VKFT_STREAM_INIT = 1,
    VKFT_STREAM_SPLIT = 2,
    VKFT_STREAM_SAMPLE = 3,
    VKFT_STREAM_BASIS = 4,
    VKFT_STREAM_SHUFFLE = 1000
};

/* Uniform 64 bits. Source: Steele, Lea & Flood 2014 (SplitMix64), applied to a mix of the three keys. */
uint64_t vkft_random_bits(uint64_t seed, uint64_t stream, uint64_t index);
/* Uniform in [0, 1), 53 bits. */
double vkft_random_uniform(uint64_t seed, uint64_t stream, uint64_t index);
/* A permutation of 0 ... n-1. Source: Fisher & Yates. */
void vkft_random_permutation(uint64_t seed, uint64_t stream, uint32_t *order, uint32_t n);

#endif
