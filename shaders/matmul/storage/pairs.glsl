/* Elements of 16 bits. Include after pair_of(word), the two elements of a word. */
float weight(weight_ref W, uint row, uint column)
{
    uint i = row * W.cols + column;
    return pair_of(Words_ref(W.data).v[i / 2] >> (16 * (i % 2))).x;
}

void weight8(weight_ref W, uint row, uint column, uint count, bool aligned, out float w[8])
{
    uint i = row * W.cols + column;
    if (aligned) {
        [[unroll]] for (uint q = 0; q < 8; q += 2) {
            vec2 values = pair_of(Words_ref(W.data).v[i / 2 + q / 2]);
            w[q] = values.x;
            w[q + 1] = values.y;
        }
    } else {
        [[unroll]] for (uint q = 0; q < 8; q++)
            w[q] = weight(W, row, column + min(q, count - 1));
    }
}
