/* FP4 with double quantization. */
#define DOUBLE_QUANT
#include "shaders/matmul/storage/fp4.glsl"
