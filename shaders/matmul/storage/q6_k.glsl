/* ggml's Q6_K. */
#define CODE_BITS 6
#define NUMBER(code) (int(code) - 32)
#define SCALES_Q6_K
#include "shaders/matmul/storage/shared/ggml.glsl"
