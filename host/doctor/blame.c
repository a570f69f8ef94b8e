/* See blame.h. A kernel may be wrong at one shape and right at others, so where all kernels of a wrong run are cleared,
 * all of them are suspects again. */
#include "host/doctor/blame.h"

#include <string.h>

/* Takes the cleared kernels from the set, unless none would be left. */
static vkft_kernel_set suspects(const vkft_kernel_set *kernels, const vkft_kernel_set *cleared)
{
    vkft_kernel_set left;
    uint64_t any = 0;
    for (uint32_t i = 0; i < VKFT_KERNEL_SET_WORDS; i++)
        any |= left.bits[i] = kernels->bits[i] & ~cleared->bits[i];
    return any ? left : *kernels;
}

static bool overlap(const vkft_kernel_set *a, const vkft_kernel_set *b)
{
    uint64_t any = 0;
    for (uint32_t i = 0; i < VKFT_KERNEL_SET_WORDS; i++)
        any |= a->bits[i] & b->bits[i];
    return any != 0;
}

static bool is_open(const vkft_verdict *v, const vkft_kernel_set *named, const vkft_kernel_set *cleared,
                    vkft_kernel_set *set)
{
    if (v->right)
        return false;
    *set = suspects(&v->kernels, cleared);
    return !overlap(set, named);
}

/* Names the kernels that are suspects of the most wrong runs that nobody explains yet; false: all are explained. */
static bool name_some(const vkft_verdict *verdicts, uint32_t count, const vkft_kernel_set *cleared,
                      vkft_kernel_set *named)
{
    uint32_t runs[VKFT_KERNEL_COUNT] = {0}, most = 0;
    vkft_kernel_set set;
    for (uint32_t i = 0; i < count; i++)
        for (uint32_t k = 0; is_open(&verdicts[i], named, cleared, &set) && k < VKFT_KERNEL_COUNT; k++)
            if (vkft_kernel_set_has(&set, k) && ++runs[k] > most)
                most = runs[k];
    for (uint32_t k = 0; most && k < VKFT_KERNEL_COUNT; k++)
        if (runs[k] == most)
            vkft_kernel_set_add(named, k);
    return most > 0;
}

void vkft_blame(const vkft_verdict *verdicts, uint32_t count, const vkft_verdict *wrong[VKFT_KERNEL_COUNT])
{
    vkft_kernel_set cleared = {{0}}, named = {{0}};
    for (uint32_t i = 0; i < count; i++)
        for (uint32_t w = 0; verdicts[i].right && w < VKFT_KERNEL_SET_WORDS; w++)
            cleared.bits[w] |= verdicts[i].kernels.bits[w];
    while (name_some(verdicts, count, &cleared, &named)) {
    }
    memset(wrong, 0, VKFT_KERNEL_COUNT * sizeof *wrong);
    for (uint32_t i = count; i-- > 0;) {
        vkft_kernel_set set = suspects(&verdicts[i].kernels, &cleared);
        for (uint32_t k = 0; !verdicts[i].right && k < VKFT_KERNEL_COUNT; k++)
            if (vkft_kernel_set_has(&set, k) && vkft_kernel_set_has(&named, k))
                wrong[k] = &verdicts[i];
    }
}
