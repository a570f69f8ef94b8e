/* The random numbers of torch.Generator("cpu"): a Mersenne Twister (Matsumoto & Nishimura 1998). */
#ifndef VKFT_TORCH_RANDOM_H
#define VKFT_TORCH_RANDOM_H

#include <stddef.h>
#include <stdint.h>

typedef struct vkft_torch_random {
    uint32_t state[624], at;
} vkft_torch_random;

void vkft_torch_random_seed(vkft_torch_random *random, uint32_t seed);
/* Tensor.uniform_(-bound, bound) of a tensor in f32, the next ones of the generator. Test: test_vera */
void vkft_torch_random_uniform(vkft_torch_random *random, float bound, float *values, size_t count);

#endif
