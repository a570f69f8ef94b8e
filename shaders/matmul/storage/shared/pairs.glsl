/* Elements of 16 bits. Include after pair_of(word), the two elements of a word. */
float weight(weight_ref W, uint row, uint column)
{
    uint i = row * W.cols + column;
    return pair_of(Words_ref(W.data).v[i / 2] >> (16 * (i % 2))).x;
}

struct raw8 { uvec4 words; };

raw8 fetch8(weight_ref W, uint row, uint column)
{
    return raw8(Words4_ref(W.data).at[(row * W.cols + column) / 8]);
}

void decode8(weight_ref W, raw8 raw, out float w[8])
{
    [[unroll]] for (uint q = 0; q < 8; q += 2) {
        vec2 values = pair_of(raw.words[q / 2]);
        w[q] = values.x;
        w[q + 1] = values.y;
    }
}

void weight8(weight_ref W, uint row, uint column, uint count, bool aligned, out float w[8])
{
    uint i = row * W.cols + column;
    if (aligned) {
        uint first = i / 2;
        decode8(W, raw8(uvec4(Words_ref(W.data).v[first], Words_ref(W.data).v[first + 1], Words_ref(W.data).v[first + 2], Words_ref(W.data).v[first + 3])), w);
    } else {
        [[unroll]] for (uint q = 0; q < 8; q++)
            w[q] = weight(W, row, column + min(q, count - 1));
    }
}
