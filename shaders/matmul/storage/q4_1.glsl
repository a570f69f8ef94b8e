/* ggml's Q4_1. */
#define CODE_BITS 4
#define NUMBER(code) (code)
#define SCALES_PAIR
#include "shaders/matmul/storage/shared/ggml.glsl"
