/* Rotary tables. Frequencies and angles are rounded to f32 where the reference implementation rounds them, because at
 * position 8000 the rounding of an angle is visible in the logits; the cosine itself is then taken in double. */
#include "host/model/rope.h"

#include <math.h>
#include <stdlib.h>

#include "runtime/base/size.h"

#define TWO_PI 6.283185307179586

static double llama3(const vkft_rope *rope, double frequency)
{
    double low_wavelength = rope->original_max_position / rope->low_freq_factor;
    double high_wavelength = rope->original_max_position / rope->high_freq_factor;
    double wavelength = TWO_PI / frequency;
    if (wavelength < high_wavelength)
        return frequency;
    if (wavelength > low_wavelength)
        return frequency / rope->factor;
    double smooth = (rope->original_max_position / wavelength - rope->low_freq_factor) /
                    (rope->high_freq_factor - rope->low_freq_factor);
    return (1 - smooth) * frequency / rope->factor + smooth * frequency;
}

uint32_t vkft_rope_length(const vkft_rope *rope, uint32_t length)
{
    switch (rope->type) {
    case VKFT_ROPE_DYNAMIC: return max_u32(length, rope->max_position);
    case VKFT_ROPE_LONGROPE: return length > rope->original_max_position ? rope->original_max_position + 1 : 1;
    default: return 1;
    }
}

void vkft_rope_inv_freq(const vkft_rope *rope, uint32_t length, double *inv_freq)
{
    uint32_t d = rope->dim;
    double theta = rope->theta;
    if (rope->type == VKFT_ROPE_DYNAMIC) {
        double P = rope->max_position, L = vkft_rope_length(rope, length);
        theta *= pow(rope->factor * L / P - (rope->factor - 1), (double)d / (d - 2.0));
    }
    const float *factors = length > rope->original_max_position ? rope->long_factor : rope->short_factor;
    for (uint32_t i = 0; i < d / 2; i++) {
        double frequency = pow(theta, -2.0 * i / d);
        if (rope->type == VKFT_ROPE_LINEAR)
            frequency /= rope->factor;
        else if (rope->type == VKFT_ROPE_LLAMA3)
            frequency = llama3(rope, frequency);
        else if (rope->type == VKFT_ROPE_LONGROPE)
            frequency /= (double)factors[i];
        inv_freq[i] = frequency;
    }
}

void vkft_rope_table(const vkft_rope *rope, uint32_t length, uint32_t positions, float *table)
{
    uint32_t half = rope->dim / 2;
    double inv_freq[VKFT_MAX_ROPE_DIM / 2];
    vkft_rope_inv_freq(rope, length, inv_freq);
    for (uint32_t p = 0; p < positions; p++) {
        for (uint32_t i = 0; i < half; i++) {
            float angle = (float)p * (float)inv_freq[i];
            table[2 * ((uint64_t)p * half + i)] = (float)(rope->attention_factor * cos((double)angle));
            table[2 * ((uint64_t)p * half + i) + 1] = (float)(rope->attention_factor * sin((double)angle));
        }
    }
}
