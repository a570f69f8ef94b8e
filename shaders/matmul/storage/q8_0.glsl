/* ggml's Q8_0. */
#define CODE_BITS 8
#define NUMBER(code) bitfieldExtract(int(code), 0, 8)
#define SCALES_HALF
#include "shaders/matmul/storage/shared/ggml.glsl"
