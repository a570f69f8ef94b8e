/* Rows in f16 of a tensor, for products in f16.
 *
 * What makes a tensor has its values at hand, and several products may read it, so it makes these rows in the same
 * launch, and no product has to convert them. The plan finds out whether a product reads them; if none does, they are
 * not made and take no memory.
 */
#ifndef VKFT_F16_ROWS_H
#define VKFT_F16_ROWS_H

#include "host/engine/graph.h"

/* Gives t a place for its rows in f16, where the pass has such. Before any address of the launch that makes them is
 * taken. */
void vkft_f16_rows_new(vkft_graph *graph, vkft_tensor *t);

/* Where the launch that makes t writes them; zeros: it does not. */
vkft_f16_rows vkft_f16_rows_output(vkft_graph *graph, const vkft_tensor *t);

/* For a product with t; zeros: there are none. */
vkft_f16_rows vkft_f16_rows_of(vkft_graph *graph, const vkft_tensor *t);

#endif
