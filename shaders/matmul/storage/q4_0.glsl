/* ggml's Q4_0. */
#define CODE_BITS 4
#define NUMBER(code) (int(code) - 8)
#define SCALES_HALF
#include "shaders/matmul/storage/shared/ggml.glsl"
