/* The tuner: which strategy and shape of tiles is fastest for products of a kind, found by timing them once for a
 * device, driver and build of the kernels.
 *
 * Only strategies that passed their self-test are timed. What would be used without a tuner stays unless something else
 * is clearly faster, so noise decides nothing. The results are kept beside those of the self-test; deleting them may
 * change the last bits of later runs, because another strategy may add in another order.
 */
#ifndef VKFT_TUNE_H
#define VKFT_TUNE_H

#include "host/engine/matmul/gemm.h"

/* A way to compute products of a class and size; variant as in struct vkft_gemm. */
typedef struct vkft_tune_candidate {
    vkft_gemm_class class;
    vkft_product_size size;
    vkft_choice choice;
} vkft_tune_candidate;

/* Times a candidate; one without a strategy is what is used without a tuner. *ms INFINITY: it cannot compute this.
 * false: no time is left, or the device failed. */
typedef bool vkft_tune_timer(void *context, const vkft_tune_candidate *candidate, double *ms);

/* Decides the `choices` of products with weights of these types, of groups too if `grouped`, that are not decided yet.
 */
void vkft_tune_choose(vkft_gemm *gemm, const bool storages[VKFT_STORAGE_COUNT], bool grouped, vkft_tune_timer *timer,
                      void *context);

/* After vkft_gemm_selftest: chooses by what was kept or by timing. Does nothing on a software device, where the device
 * has no timestamps, or when VKFT_STRATEGY names the strategies, unless VKFT_TUNE=1, which also takes its time; nothing
 * at all when VKFT_TUNE=0. Error: the device fails. */
bool vkft_tune(vkft_device *dev, const bool storages[VKFT_STORAGE_COUNT], bool grouped, vkft_err *err);

/* What was kept for the device, a line for each choice, malloc'ed; NULL: nothing. */
char *vkft_tune_results(const vkft_device *dev);

#endif
