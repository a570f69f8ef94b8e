/* Plain bf16, two elements a word. */
vec2 pair_of(uint word)
{
    return uintBitsToFloat(uvec2(word << 16, word & 0xffff0000u));
}

#include "shaders/matmul/storage/shared/pairs.glsl"
