/* ggml's Q4_K. */
#define CODE_BITS 4
#define NUMBER(code) (code)
#define SCALES_K
#include "shaders/matmul/storage/shared/ggml.glsl"
