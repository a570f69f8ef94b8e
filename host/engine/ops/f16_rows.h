/* Rows in f16 of a tensor, for products in f16.
 *
 * What makes a tensor has its values at hand, and several products may read it, so it makes these rows in the same
 * launch, and no product has to convert them. Gradients of adapters are computed from them, too, so that between
 * forward and backward they are kept alone. The plan finds out whether anything reads them; if nothing does, they are
 * not made and take no memory.
 */
#ifndef VKFT_F16_ROWS_H
#define VKFT_F16_ROWS_H

#include "host/engine/graph.h"

/* Gives t a place for its rows in f16, where the pass has such. Before any address of the launch that makes them is
 * taken. */
void vkft_f16_rows_new(vkft_graph *graph, vkft_tensor *t);

/* The same in the memory of `place`, of which nothing is read any more past the launch that makes them: rows of t are
 * half of its rows, the first or the second half. Where rows need padding they get a place of their own. */
void vkft_f16_rows_new_in(vkft_graph *graph, vkft_tensor *t, vkft_tensor *place, uint32_t half);

/* Where a pass is to save memory (pass.f16_in_place): rows of t in f16 will take the place of its f32 ones, once those
 * were read. False: it is not done with t. What reads t first in f16 calls vkft_f16_rows_make before, which makes them
 * if anything reads them; `beside`: the f32 ones are needed still. It does nothing to other tensors. */
bool vkft_f16_rows_new_later(vkft_graph *graph, vkft_tensor *t);
void vkft_f16_rows_make(vkft_graph *graph, vkft_tensor *t, bool beside);

/* Where the launch that makes t writes them; zeros: it does not. */
vkft_f16_rows vkft_f16_rows_output(vkft_graph *graph, const vkft_tensor *t);

/* For a product with t; zeros: there are none. */
vkft_f16_rows vkft_f16_rows_of(vkft_graph *graph, const vkft_tensor *t);

/* Whether t has them, or will have when the plan is recorded; its addresses are known only then. */
bool vkft_f16_rows_exist(const vkft_graph *graph, const vkft_tensor *t);

/* Whether the kernels that make and read rows in f16 are right on a device; NULL: none that is known, where they are.
 * A plan that says otherwise is not to be recorded there: it may have no room for f32 rows. */
bool vkft_f16_rows_possible(const vkft_device *dev);

/* A copy of x as rows in f16 alone, in host memory (vkft_tensor_keep) or in the arena: half the bytes, 11 bits. And a
 * copy of that in f32. No gradient. */
vkft_tensor *vkft_f16_keep(vkft_graph *graph, const vkft_tensor *x, bool host);
vkft_tensor *vkft_f16_restore(vkft_graph *graph, const vkft_tensor *kept);

#endif
