/* Rotary tables. Frequencies and angles are rounded to f32 where the reference implementation rounds them, because at position 8000 the
 * rounding of an angle is visible in the logits; the cosine itself is then taken in double. */
#include "rope.h"

#include <math.h>
#include <stdlib.h>

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

void vkft_rope_inv_freq(const vkft_config *config, uint32_t length, double *inv_freq)
{
    const vkft_rope *rope = &config->rope;
    uint32_t D = config->head_dim;
    double theta = rope->theta;
    if (rope->type == VKFT_ROPE_DYNAMIC) {
        double P = config->max_position, L = length > config->max_position ? length : P;
        theta *= pow(rope->factor * L / P - (rope->factor - 1), (double)D / (D - 2.0));
    }
    for (uint32_t i = 0; i < D / 2; i++) {
        double frequency = pow(theta, -2.0 * i / D);
        if (rope->type == VKFT_ROPE_LINEAR)
            frequency /= rope->factor;
        else if (rope->type == VKFT_ROPE_LLAMA3)
            frequency = llama3(rope, frequency);
        inv_freq[i] = frequency;
    }
}

void vkft_rope_table(const vkft_config *config, uint32_t length, uint32_t positions, float *table)
{
    uint32_t half = config->head_dim / 2;
    double inv_freq[512];
    vkft_rope_inv_freq(config, length, inv_freq);
    for (uint32_t p = 0; p < positions; p++) {
        for (uint32_t i = 0; i < half; i++) {
            float angle = (float)p * (float)inv_freq[i];
            table[2 * ((uint64_t)p * half + i)] = (float)cos((double)angle);
            table[2 * ((uint64_t)p * half + i) + 1] = (float)sin((double)angle);
        }
    }
}
