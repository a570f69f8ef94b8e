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

/* embedding_lora: z[t,k] = a[k, ids[t]], the rank's columns of an embedding's A; embedding_lora_backward:
 * a[k, ids[t]] += z[t,k] for all t in order, a and z being gradients. a [r,V], z [T,r]. */
struct embedding_lora_args {
    ADDR(F32) a;
    ADDR(U32) ids;
    ADDR(F32) z;
    uint T, V, r;
};
#define EMBEDDING_LORA_PARTS 32 /* of the vocabulary, each with invocations of its own in the backward */

/* token_rows: y[t] = scale * rows[slots[ids[t]] - 1] where slots[ids[t]] is not 0; other rows of y stay. slots [V]: 1 +
 * a token's number among the rows, or 0. rows [n,C], y [T,C]. token_rows_backward: rows[slots[ids[t]] - 1] += scale *
 * y[t] for all such t in order, rows and y being gradients. One invocation a column. */
struct token_rows_args {
    ADDR(F32) rows;
    ADDR(U32) slots;
    ADDR(U32) ids;
    ADDR(F32) y;
    uint T, C;
    float scale;
};

/* token_columns: x[t, tokens[j]] = own[t,j], or with take own[t,j] = x[t, tokens[j]] and that becomes 0. x [T,V], own
 * [T,n]. */
struct token_columns_args {
    ADDR(F32) x;
    ADDR(U32) tokens;
    ADDR(F32) own;
    uint T, V, n;
    uint take;
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
