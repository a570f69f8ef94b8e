/* NF4 with other code values. */
#define FP4_VALUES
#include "shaders/matmul/storage/nf4.glsl"
