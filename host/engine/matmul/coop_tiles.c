/* See coop_tiles.h. The shape and the subgroup size tell the vendor and the generation apart, so nothing else is asked:
 * 16x16x16 at 64 is AMD's RDNA3 and RDNA4, at 32 NVIDIA since Turing; 8x16x16 is Intel's Xe2 and later, 8x8x16 its
 * older Arc cards, for which others measured that plain products are faster; 8x8x8 is lavapipe, where cooperative
 * matrices are for tests.
 *
 * Tiles are the largest whose sums, operands and addresses fit the registers of such a card without spilling, as its
 * compiler reports. A branch is added where that leaves the main loop as it is: Intel's compiler spills, and Mesa's for
 * NVIDIA copies all sums in each step, once there is a second loop.
 */
#include "host/engine/matmul/coop_tiles.h"

#include <stddef.h>

#include "shaders/matmul/args.h"

static const vkft_coop_tiles rows[] = {
    {16, 16, 16, 64, 128, true, true, false, {{128, 128, 64, 64}, {64, 64, 32, 64}, {64, 64, 32, 64}}},
    {16, 16, 16, 32, 128, true, false, false, {{128, 128, 32, 64}, {64, 64, 32, 32}, {64, 64, 32, 32}}},
    {8, 16, 16, 16, 64, false, false, false, {{128, 128, 32, 16}, {64, 64, 32, 16}, {32, 32, 8, 16}}},
    {8, 8, 16, 8, 128, false, false, true, {{32, 32, 8, 8}, {32, 32, 8, 8}, {32, 32, 8, 8}}},
    {8, 8, 8, 8, 16, true, true, true, {{32, 32, 16, 8}, {16, 16, 8, 8}, {16, 16, 8, 8}}},
};

static bool lists(const vkft_caps *caps, const vkft_coop_tiles *tiles)
{
    for (uint32_t i = 0; i < caps->matrix_shape_count; i++) {
        const vkft_matrix_shape *s = &caps->matrix_shapes[i];
        if (s->M == tiles->M && s->N == tiles->N && s->K == tiles->K && s->a == VKFT_COMPONENT_F16 &&
            s->b == VKFT_COMPONENT_F16 && s->c == VKFT_COMPONENT_F32 && s->result == VKFT_COMPONENT_F32 &&
            !s->saturating)
            return true;
    }
    return false;
}

/* As the kernel declares it: the two tiles, a matrix of sums for each subgroup, tables of codes and scales, and where a
 * group of rows ends. */
static uint32_t shared_bytes(const vkft_coop_tiles *tiles, vkft_coop_size size)
{
    const vkft_coop_tile *t = &tiles->sizes[size];
    uint32_t subgroups = vkft_coop_width(tiles, size) / tiles->subgroup;
    return (t->bm + t->bn) * (COOP_STEP + 8) * 2 + subgroups * tiles->M * tiles->N * 4 + (256 + 16) * 4 + 16;
}

static bool fits(const vkft_caps *caps, const vkft_coop_tiles *tiles)
{
    for (vkft_coop_size size = 0; size < VKFT_COOP_SIZES; size++)
        if (!vkft_caps_subgroup_size(caps, vkft_coop_width(tiles, size), tiles->subgroup) ||
            shared_bytes(tiles, size) > caps->shared_memory_bytes)
            return false;
    return true;
}

const vkft_coop_tiles *vkft_coop_tiles_of(const vkft_caps *caps, bool forced)
{
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        if ((forced || !rows[i].forced_only) && lists(caps, &rows[i]) && fits(caps, &rows[i]))
            return &rows[i];
    return NULL;
}
