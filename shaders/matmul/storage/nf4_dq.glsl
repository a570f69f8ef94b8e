/* NF4 with double quantization: the scales are quantized too. */
#define DOUBLE_QUANT
#include "shaders/matmul/storage/nf4.glsl"
