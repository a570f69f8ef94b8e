/* Plain f16, two elements a word. */
vec2 pair_of(uint word)
{
    return unpackHalf2x16(word);
}

#include "shaders/matmul/storage/shared/pairs.glsl"
