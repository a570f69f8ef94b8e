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

/* The ramp's ends, as numbers of frequencies. */
typedef struct ramp {
    double low, high;
} ramp;

static double yarn_end(const vkft_rope *rope, double rotations)
{
    return rope->dim * log(rope->original_max_position / (rotations * TWO_PI)) / (2 * log(rope->theta));
}

static ramp yarn_ramp(const vkft_rope *rope)
{
    ramp r = {yarn_end(rope, rope->beta_fast), yarn_end(rope, rope->beta_slow)};
    if (rope->truncate) {
        r.low = floor(r.low);
        r.high = ceil(r.high);
    }
    r.low = fmax(r.low, 0);
    r.high = fmin(r.high, rope->dim - 1.0);
    if (r.low == r.high)
        r.high += 0.001;
    return r;
}

static double yarn(const vkft_rope *rope, const ramp *r, uint32_t i, double frequency)
{
    double scaled = fmin(fmax((i - r->low) / (r->high - r->low), 0), 1);
    return frequency / rope->factor * scaled + frequency * (1 - scaled);
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
    const ramp between = rope->type == VKFT_ROPE_YARN ? yarn_ramp(rope) : (ramp){0, 1};
    for (uint32_t i = 0; i < d / 2; i++) {
        double frequency = pow(theta, -2.0 * i / d);
        if (rope->type == VKFT_ROPE_LINEAR)
            frequency /= rope->factor;
        else if (rope->type == VKFT_ROPE_LLAMA3)
            frequency = llama3(rope, frequency);
        else if (rope->type == VKFT_ROPE_YARN)
            frequency = yarn(rope, &between, i, frequency);
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
