/* ggml's IQ4_NL: 16 values, spaced unevenly. */
int number_of(uint code)
{
    uint low = (code & 4) != 0 ? 0xf6eaddcfu : 0xbfad9881u, high = (code & 4) != 0 ? 0x71594535u : 0x26190d01u;
    return bitfieldExtract(int((code & 8) != 0 ? high : low), int(8 * (code & 3)), 8);
}

#define CODE_BITS 4
#define NUMBER(code) number_of(code)
#define SCALES_HALF
#include "shaders/matmul/storage/shared/ggml.glsl"
