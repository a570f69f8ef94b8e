/* ggml's Q5_K. */
#define CODE_BITS 5
#define NUMBER(code) (code)
#define SCALES_K
#include "shaders/matmul/storage/shared/ggml.glsl"
