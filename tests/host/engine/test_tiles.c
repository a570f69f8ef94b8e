/* Which tiles a chip gets, from what drivers of real ones report. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include "host/engine/matmul/tiles.h"
#include "shaders/matmul/args.h"

/* Mesa 26.1, and what NVIDIA's and Qualcomm's own drivers and MoltenVK are known to report. */
static const struct chip {
    const char *name;
    uint32_t vendor_id, subgroup, min, max, shared, invocations;
    bool choice;
    vkft_component matrices[2]; /* F32: none */
    vkft_generation generation;
    uint32_t rows, columns, tile_m, tile_n, subgroup_asked; /* of the first block */
    uint32_t panel_rows;
} chips[] = {
#define NONE                                                                                                           \
    {                                                                                                                  \
        VKFT_COMPONENT_F32, VKFT_COMPONENT_F32                                                                         \
    }
#define F16                                                                                                            \
    {                                                                                                                  \
        VKFT_COMPONENT_S8, VKFT_COMPONENT_F16                                                                          \
    }
#define BF16                                                                                                           \
    {                                                                                                                  \
        VKFT_COMPONENT_F16, VKFT_COMPONENT_BF16                                                                        \
    }
    {"RX 580", 0x1002, 64, 64, 64, 65536, 1024, false, NONE, VKFT_GENERATION_GCN, 8, 8, 128, 128, 0, 16},
    {"RX Vega", 0x1002, 64, 64, 64, 65536, 1024, false, NONE, VKFT_GENERATION_GCN, 8, 8, 128, 128, 0, 16},
    {"RX 5700", 0x1002, 64, 32, 64, 65536, 1024, true, NONE, VKFT_GENERATION_RDNA, 8, 8, 128, 128, 0, 16},
    {"RX 6800", 0x1002, 64, 32, 64, 65536, 1024, true, NONE, VKFT_GENERATION_RDNA, 8, 8, 128, 128, 0, 16},
    {"RX 7900 XTX", 0x1002, 64, 32, 64, 65536, 1024, true, F16, VKFT_GENERATION_RDNA3, 8, 8, 128, 128, 0, 16},
    {"RX 9070 XT", 0x1002, 64, 32, 64, 65536, 1024, true, BF16, VKFT_GENERATION_RDNA4, 8, 8, 128, 128, 0, 8},
    {"GTX 1080", 0x10de, 32, 32, 32, 49152, 1024, true, NONE, VKFT_GENERATION_NVIDIA, 8, 8, 128, 128, 0, 8},
    {"Titan V, NVK", 0x10de, 32, 32, 32, 49152, 1024, false, NONE, VKFT_GENERATION_NVIDIA, 8, 8, 128, 128, 0, 8},
    {"RTX 3090", 0x10de, 32, 32, 32, 49152, 1024, true, F16, VKFT_GENERATION_TURING, 8, 8, 128, 128, 0, 8},
    {"RTX 5090", 0x10de, 32, 32, 32, 49152, 1024, true, BF16, VKFT_GENERATION_TURING, 8, 8, 128, 128, 0, 8},
    {"HD 530", 0x8086, 32, 8, 32, 65536, 1024, true, NONE, VKFT_GENERATION_INTEL, 8, 4, 128, 64, 8, 8},
    {"Iris Xe", 0x8086, 32, 8, 32, 49152, 1024, true, NONE, VKFT_GENERATION_INTEL, 8, 4, 128, 64, 8, 8},
    {"A770", 0x8086, 32, 8, 32, 49152, 1024, true, BF16, VKFT_GENERATION_INTEL, 8, 4, 128, 64, 8, 8},
    {"B580", 0x8086, 32, 16, 32, 49152, 1024, true, BF16, VKFT_GENERATION_XE2, 8, 4, 128, 64, 16, 8},
    {"Adreno 660", 0x5143, 128, 64, 128, 32768, 1024, true, NONE, VKFT_GENERATION_ADRENO, 8, 4, 32, 64, 0, 8},
    {"Adreno 730", 0x5143, 128, 64, 128, 32768, 1024, true, NONE, VKFT_GENERATION_ADRENO, 8, 4, 32, 64, 0, 8},
    {"Mali", 0x13b5, 16, 16, 16, 32768, 512, false, NONE, VKFT_GENERATION_OTHER, 4, 4, 32, 32, 0, 8},
    {"Apple M1", 0x106b, 32, 32, 32, 32768, 1024, false, NONE, VKFT_GENERATION_OTHER, 4, 4, 32, 32, 0, 8},
    /* An old Intel driver that gives no choice of subgroups, and a device with the least that Vulkan promises. */
    {"HD 530, 2019", 0x8086, 32, 8, 32, 65536, 1024, false, NONE, VKFT_GENERATION_INTEL, 4, 4, 32, 32, 0, 8},
    {"least", 0x1010, 4, 4, 4, 16384, 128, false, NONE, VKFT_GENERATION_OTHER, 4, 4, 32, 32, 0, 8},
};

static vkft_caps caps_of(const struct chip *c)
{
    vkft_caps caps = {.set = VKFT_CAP_SUBGROUP_CONTROL | VKFT_CAP_UNIFORM_LOADS,
                      .vendor_id = c->vendor_id,
                      .subgroup_size = c->subgroup,
                      .subgroup_min = c->min,
                      .subgroup_max = c->max,
                      .subgroup_size_choice = c->choice,
                      .workgroup_subgroups = 64,
                      .shared_memory_bytes = c->shared,
                      .workgroup_invocations = c->invocations};
    for (uint32_t i = 0; i < 2 && c->matrices[i] != VKFT_COMPONENT_F32; i++)
        caps.matrix_shapes[caps.matrix_shape_count++] = (vkft_matrix_shape){
            16, 16, 16, c->matrices[i], c->matrices[i], VKFT_COMPONENT_F32, VKFT_COMPONENT_F32, false};
    return caps;
}

static void test_recorded_chips(void **state)
{
    (void)state;
    for (const struct chip *c = chips; c < chips + sizeof chips / sizeof *chips; c++) {
        vkft_caps caps = caps_of(c);
        vkft_tiles tiles = vkft_tiles_of(&caps);
        const vkft_block *b = tiles.blocks;
        if (vkft_caps_generation(&caps) != c->generation || tiles.block_count < 2 || b->rows != c->rows ||
            b->columns != c->columns || b->rows * b->lanes_m != c->tile_m || b->columns * b->lanes_n != c->tile_n ||
            b->subgroup != c->subgroup_asked || tiles.panel.rows != c->panel_rows)
            fail_msg("%s: %s, %u blocks, the first %ux%u of %ux%u with subgroups of %u, panels of %u rows", c->name,
                     vkft_generation_name(vkft_caps_generation(&caps)), tiles.block_count, b->rows, b->columns,
                     b->rows * b->lanes_m, b->columns * b->lanes_n, b->subgroup, tiles.panel.rows);
    }
}

/* What the kernels and the scratch memory take for granted. */
static void test_kernels_limits(void **state)
{
    (void)state;
    for (const struct chip *c = chips; c < chips + sizeof chips / sizeof *chips; c++) {
        vkft_caps caps = caps_of(c);
        vkft_tiles tiles = vkft_tiles_of(&caps);
        for (const vkft_block *b = tiles.blocks; b < tiles.blocks + tiles.block_count; b++) {
            assert_true(b->columns % 4 == 0 && b->depth % 8 == 0 && b->columns * b->lanes_n % 8 == 0);
            assert_true(b->lanes_m * b->lanes_n <= c->invocations);
            assert_true((b->rows * b->lanes_m + b->columns * b->lanes_n) * (b->depth + 4) * 4 + 1088 <= c->shared);
        }
        assert_true(tiles.panel.columns * tiles.panel.width <= VKFT_WIDEST_TILE);
        assert_true(GROUP_TILE % tiles.panel.rows == 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_recorded_chips),
        cmocka_unit_test(test_kernels_limits),
    };
    return cmocka_run_group_tests_name("tiles", tests, NULL, NULL);
}
