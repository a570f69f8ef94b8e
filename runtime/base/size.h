/* Arithmetic on sizes and counts: bounds, division rounded up, padding. */
#ifndef VKFT_SIZE_H
#define VKFT_SIZE_H

#include <stdint.h>

static inline uint32_t min_u32(uint32_t a, uint32_t b)
{
    return a < b ? a : b;
}

static inline uint32_t max_u32(uint32_t a, uint32_t b)
{
    return a > b ? a : b;
}

static inline uint64_t min_u64(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

static inline uint64_t max_u64(uint64_t a, uint64_t b)
{
    return a > b ? a : b;
}

/* n / parts, rounded up. No overflow for any n. */
static inline uint32_t ceil_div(uint32_t n, uint32_t parts)
{
    return n / parts + (n % parts != 0);
}

static inline uint64_t ceil_div_u64(uint64_t n, uint64_t parts)
{
    return n / parts + (n % parts != 0);
}

/* The next multiple of `unit` that is at least n. */
static inline uint64_t round_up(uint64_t n, uint64_t unit)
{
    return ceil_div_u64(n, unit) * unit;
}

/* Bytes as GiB, for messages. */
static inline double gib(uint64_t bytes)
{
    return (double)bytes / 0x1p30;
}

#endif
