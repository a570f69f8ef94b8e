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

struct raw8 { uvec4 low, high; };

raw8 fetch8(weight_ref W, uint row, uint column)
{
    Words4_ref data = Words4_ref(W.data);
    uint i = (row * W.cols + column) / 4;
    return raw8(data.at[i], data.at[i + 1]);
}

void decode8(weight_ref W, raw8 raw, out float w[8])
{
    [[unroll]] for (uint q = 0; q < 8; q++)
        w[q] = uintBitsToFloat(q < 4 ? raw.low[q] : raw.high[q - 4]);
}
