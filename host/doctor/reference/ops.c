/* See ops.h. */
#include "host/doctor/reference/ops.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

double *vkft_reference_widen(const float *x, uint32_t n)
{
    double *y = malloc((n + 1ull) * sizeof *y);
    for (uint32_t i = 0; i < n; i++)
        y[i] = (double)x[i];
    return y;
}

double vkft_reference_activation(vkft_activation activation, double x)
{
    const double root = sqrt(2 / acos(-1));
    switch (activation) {
    case VKFT_ACT_SILU: return x / (1 + exp(-x));
    case VKFT_ACT_GELU: return 0.5 * x * erfc(-x / sqrt(2));
    case VKFT_ACT_GELU_TANH: return 0.5 * x * (1 + tanh(root * (x + 0.044715 * x * x * x)));
    case VKFT_ACT_RELU: return x > 0 ? x : 0;
    }
    return NAN;
}

double vkft_reference_softcap(double x, double cap)
{
    return cap > 0 ? cap * tanh(x / cap) : x;
}

void vkft_reference_norm_row(const vkft_reference_norm *norm, const double *x, const double *gain, const double *bias,
                             double *y)
{
    double mean = 0, squares = 0;
    for (uint32_t c = 0; norm->layernorm && c < norm->C; c++)
        mean += x[c] / norm->C;
    for (uint32_t c = 0; c < norm->C; c++)
        squares += (x[c] - mean) * (x[c] - mean);
    double s = 1 / sqrt(squares / norm->C + norm->eps);
    for (uint32_t c = 0; c < norm->C; c++)
        y[c] = (x[c] - mean) * s * (gain[c] + norm->gain_offset) + (bias ? bias[c] : 0);
}

void vkft_reference_rope_head(double *x, uint32_t R, const float *table)
{
    for (uint32_t i = 0; i < R / 2; i++) {
        double c = (double)table[2 * i], s = (double)table[2 * i + 1], a = x[i], b = x[i + R / 2];
        x[i] = a * c - b * s;
        x[i + R / 2] = b * c + a * s;
    }
}

/* Philox4x32-10 on the host, written from the paper. */
void vkft_reference_philox(uint32_t counter[4], uint32_t key0, uint32_t key1)
{
    for (int round = 0; round < 10; round++) {
        uint64_t p0 = (uint64_t)0xD2511F53u * counter[0], p1 = (uint64_t)0xCD9E8D57u * counter[2];
        uint32_t next[4] = {(uint32_t)(p1 >> 32) ^ counter[1] ^ key0, (uint32_t)p1,
                            (uint32_t)(p0 >> 32) ^ counter[3] ^ key1, (uint32_t)p0};
        memcpy(counter, next, sizeof next);
        key0 += 0x9E3779B9u;
        key1 += 0xBB67AE85u;
    }
}

uint32_t vkft_reference_dropout_word(uint64_t seed, uint32_t layer, uint32_t micro_step, uint32_t i)
{
    uint32_t counter[4] = {i / 4, layer, micro_step, 0};
    vkft_reference_philox(counter, (uint32_t)seed, (uint32_t)(seed >> 32));
    return counter[i % 4];
}

double vkft_reference_cross_entropy(const double *z, uint32_t V, uint32_t target)
{
    double highest = z[0], sum = 0;
    for (uint32_t v = 0; v < V; v++)
        highest = fmax(highest, z[v]);
    for (uint32_t v = 0; v < V; v++)
        sum += exp(z[v] - highest);
    return highest + log(sum) - z[target];
}

double vkft_reference_loss_backward(const vkft_reference_loss *loss, const double *x, uint32_t V, uint32_t target,
                                    double weight, double *z, double *dx)
{
    double mean = 0, e = loss->smoothing, b = loss->z_loss;
    for (uint32_t v = 0; v < V; v++)
        mean += (z[v] = vkft_reference_softcap(x[v], loss->softcap)) / V;
    double log_sum = vkft_reference_cross_entropy(z, V, target) + z[target];
    for (uint32_t v = 0; v < V; v++) {
        double slope = loss->softcap > 0 ? 1 - pow(z[v] / loss->softcap, 2) : 1;
        dx[v] = (exp(z[v] - log_sum) * (1 + 2 * b * log_sum) - (1 - e) * (v == target) - e / V) * slope * weight;
    }
    return (1 - e) * (log_sum - z[target]) + e * (log_sum - mean) + b * log_sum * log_sum;
}

void vkft_central_differences(vkft_scalar_function f, const void *context, double *x, uint32_t n, double *gradient)
{
    const double h = 1e-5;
    for (uint32_t i = 0; i < n; i++) {
        double at = x[i];
        x[i] = at + h;
        double up = f(x, context);
        x[i] = at - h;
        double down = f(x, context);
        x[i] = at;
        gradient[i] = (up - down) / (2 * h);
    }
}
