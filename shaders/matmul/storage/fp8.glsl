/* FP8 E4M3 with an f32 scale for each block of 128 x 128, see formats/tensors/fp8.c; NaN does not occur. */
float fp8_value(uint code)
{
    uint magnitude = code & 0x7f; /* the exponent's bias is 7, that of f32 is 127 */
    float value = magnitude < 8 ? float(magnitude) * 0.001953125 : uintBitsToFloat((magnitude << 20) + (120u << 23));
    return (code & 0x80) != 0 ? -value : value;
}

float fp8_scale(weight_ref W, uint row, uint column)
{
    return uintBitsToFloat(Words_ref(W.scales).v[row / 128 * ((W.cols + 127) / 128) + column / 128]);
}

uint fp8_code(weight_ref W, uint i)
{
    return Words_ref(W.data).v[i / 4] >> (8 * (i % 4)) & 255;
}

float weight(weight_ref W, uint row, uint column)
{
    return fp8_value(fp8_code(W, row * W.cols + column)) * fp8_scale(W, row, column);
}

/* An aligned run is two words and lies in one block. */
struct raw8 { uvec2 words; float scale; };

raw8 fetch8(weight_ref W, uint row, uint column)
{
    return raw8(Words2_ref(W.data).at[(row * W.cols + column) / 8], fp8_scale(W, row, column));
}

void decode8(weight_ref W, raw8 raw, out float w[8])
{
    [[unroll]] for (uint q = 0; q < 8; q++)
        w[q] = fp8_value((q < 4 ? raw.words.x : raw.words.y) >> (8 * (q % 4)) & 255) * raw.scale;
}

void weight8(weight_ref W, uint row, uint column, uint count, bool aligned, out float w[8])
{
    uint i = row * W.cols + column;
    float scale = fp8_scale(W, row, column);
    if (aligned) {
        decode8(W, raw8(uvec2(Words_ref(W.data).v[i / 4], Words_ref(W.data).v[i / 4 + 1]), scale), w);
    } else {
        uint border = 128 - column % 128; /* elements from here on lie in the next block */
        float next = fp8_scale(W, row, column + count - 1);
        [[unroll]] for (uint q = 0; q < 8; q++)
            w[q] = fp8_value(fp8_code(W, i + min(q, count - 1))) * (q < border ? scale : next);
    }
}
