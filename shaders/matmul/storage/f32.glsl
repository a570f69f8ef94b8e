/* Plain f32. */
float weight(weight_ref W, uint row, uint column)
{
    return uintBitsToFloat(Words_ref(W.data).v[row * W.cols + column]);
}

void weight8(weight_ref W, uint row, uint column, uint count, bool aligned, out float w[8])
{
    uint i = row * W.cols + column;
    [[unroll]] for (uint q = 0; q < 8; q++)
        w[q] = uintBitsToFloat(Words_ref(W.data).v[i + (aligned ? q : min(q, count - 1))]);
}
