/* See torch_random.h. */
#include "host/trainable/start/torch_random.h"

#include <math.h>

#define WORDS 624u
#define SHIFT 397u

void vkft_torch_random_seed(vkft_torch_random *random, uint32_t seed)
{
    random->state[0] = seed;
    for (uint32_t i = 1; i < WORDS; i++) {
        uint32_t before = random->state[i - 1];
        random->state[i] = 1812433253u * (before ^ (before >> 30)) + i;
    }
    random->at = WORDS;
}

static void twist(uint32_t *state)
{
    for (uint32_t i = 0; i < WORDS; i++) {
        uint32_t y = (state[i] & 0x80000000u) | (state[(i + 1) % WORDS] & 0x7fffffffu);
        state[i] = state[(i + SHIFT) % WORDS] ^ (y >> 1) ^ (y & 1 ? 0x9908b0dfu : 0);
    }
}

static uint32_t next(vkft_torch_random *random)
{
    if (random->at == WORDS) {
        twist(random->state);
        random->at = 0;
    }
    uint32_t y = random->state[random->at++];
    y ^= y >> 11;
    y ^= (y << 7) & 0x9d2c5680u;
    y ^= (y << 15) & 0xefc60000u;
    return y ^ (y >> 18);
}

void vkft_torch_random_uniform(vkft_torch_random *random, float bound, float *values, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        float x = (float)(next(random) & 0xffffffu) * 0x1p-24f;
        values[i] = fmaf(x, bound + bound, -bound); /* one rounding, as torch has it on processors with FMA */
    }
}
