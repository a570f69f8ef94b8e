/* ggml's Q5_1. */
#define CODE_BITS 5
#define NUMBER(code) (code)
#define SCALES_PAIR
#include "shaders/matmul/storage/shared/ggml.glsl"
