/* MXFP4 as ggml has it: values are those of e2m1, doubled. */
int number_of(uint code)
{
    uint low = (code & 4) != 0 ? 0x0c080604u : 0x03020100u, high = (code & 4) != 0 ? 0xf4f8fafcu : 0xfdfeff00u;
    return bitfieldExtract(int((code & 8) != 0 ? high : low), int(8 * (code & 3)), 8);
}

#define CODE_BITS 4
#define NUMBER(code) number_of(code)
#define SCALES_E8M0
#include "shaders/matmul/storage/shared/ggml.glsl"
