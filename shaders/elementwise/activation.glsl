/* Activation functions f and their derivatives, by the numbers of args.h. Include math.glsl first.
 * Source: Hendrycks & Gimpel 2016 (GELU), Elfwing et al. 2017 (SiLU).
 */
#include "shaders/elementwise/args.h"
#define SQRT_HALF 0.70710678
#define SQRT_2_OVER_PI 0.79788456
#define INV_SQRT_2_PI 0.39894228

float activate(uint activation, float x)
{
    switch (activation) {
    case ACTIVATION_GELU: return 0.5 * x * (1.0 + erf_exact(x * SQRT_HALF));
    case ACTIVATION_GELU_TANH: return x * sigmoid(2.0 * SQRT_2_OVER_PI * x * fma(0.044715 * x, x, 1.0)); /* (1 + tanh u)/2 = sigmoid(2u) */
    case ACTIVATION_RELU: return max(x, 0.0);
    default: return x * sigmoid(x);
    }
}

float activation_slope(uint activation, float x)
{
    switch (activation) {
    case ACTIVATION_GELU:
        return 0.5 * (1.0 + erf_exact(x * SQRT_HALF)) + x * INV_SQRT_2_PI * exp_exact(-0.5 * x * x);
    case ACTIVATION_GELU_TANH: {
        float s = sigmoid(2.0 * SQRT_2_OVER_PI * x * fma(0.044715 * x, x, 1.0));
        return s + x * s * (1.0 - s) * 2.0 * SQRT_2_OVER_PI * fma(3.0 * 0.044715 * x, x, 1.0);
    }
    case ACTIVATION_RELU: return x > 0.0 ? 1.0 : 0.0;
    default: {
        float s = sigmoid(x);
        return s * (1.0 + x * (1.0 - s));
    }
    }
}
