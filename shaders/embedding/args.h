/* Arguments of the kernels of embeddings; shaders/core/args.h says how to read them. */
#ifndef VKFT_EMBEDDING_ARGS_H
#define VKFT_EMBEDDING_ARGS_H

#include "shaders/core/args.h"
#include "shaders/matmul/args.h"

/* embedding_<type>: y[t] = (add ? y[t] : 0) + scale * table[ids[t] + offset] as f32; table [V,C] in the storage type; y
 * [T,C]. */
struct embedding_args {
    STRUCT(weight_ref) table;
    ADDR(U32) ids;
    ADDR(F32) y;
    uint T, C;
    uint offset, add;
    float scale;
};

/* embedding_backward: dtable[ids[t] + offset] += scale * dy[t] for all t in order. dtable [V,C], dy [T,C] f32. One
 * invocation a column. */
struct embedding_backward_args {
    ADDR(U32) ids;
    ADDR(F32) dy;
    ADDR(F32) dtable;
    uint T, C;
    uint offset;
    float scale;
};

/* noise: x[t] += alpha / sqrt(L * C) * u, u uniform in [-1, 1) from the dropout generator with this layer. L: length of
 * t's sample, which follows from its ranges (vkft_sequence). x [T,C]. */
struct noise_args {
    ADDR(F32) x;
    ADDR(U32) query_range;
    ADDR(U32) key_range;
    ADDR(F32) step;
    uint T, C;
    uint seed_low, seed_high;
    uint layer;
    float alpha;
};

#endif
