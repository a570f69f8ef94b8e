/* ggml's Q5_0. */
#define CODE_BITS 5
#define NUMBER(code) (int(code) - 16)
#define SCALES_HALF
#include "shaders/matmul/storage/shared/ggml.glsl"
