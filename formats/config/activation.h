/* Activation functions of a feed-forward layer; shaders/elementwise/args.h has the same numbers. */
#ifndef VKFT_ACTIVATION_H
#define VKFT_ACTIVATION_H

typedef enum vkft_activation {
    VKFT_ACT_SILU,      /* x sigmoid(x) */
    VKFT_ACT_GELU,      /* x/2 (1 + erf(x/sqrt 2)) */
    VKFT_ACT_GELU_TANH, /* x/2 (1 + tanh(sqrt(2/pi) (x + 0.044715 x^3))) */
    VKFT_ACT_RELU,      /* max(x, 0) */
} vkft_activation;

#endif
