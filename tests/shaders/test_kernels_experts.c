/* Kernels of mixtures of experts that the ops' test (test_ops_experts) does not bring to their edges: grouped products
 * in all storage types, ties between experts, and the order of the assignments.
 *
 * Tolerance of products: that of test_matmul, (K + 3) u times the sum of the terms' magnitudes, u = 2^-24.
 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "shaders/experts/args.h"
#include "shaders/matmul/args.h"
#include "host/engine/matmul/gemm.h"
#include "tests/support/gguf/sampled_type.h"
#include "tests/support/expect.h"
#include "tests/support/kernels/kernel_test.h"
#include "tests/support/system/system.h"
#include "host/doctor/checks/kernels.h"
#include "host/doctor/reference/matmul.h"

#define GROUPS 5
/* Rows of each group: none, fewer than a tile, and several tiles; few on average, which reads the matrices as they are
 * stored, and many, which decodes them first. */
static const uint32_t few_rows[GROUPS] = {0, 3, 0, 37, 16}, many_rows[GROUPS] = {70, 0, 133, 16, 0},
                      odd_rows[GROUPS] = {0, 1, 31, 0, 129};

typedef struct weights {
    vkft_reference_weight w[GROUPS];
    vkft_guarded part[GROUPS][VKFT_PARTS], table;
} weights;

static vkft_guarded place(const vkft_kernel_fixture *f, const void *data, size_t bytes)
{
    uint32_t words = (uint32_t)((bytes + 3) / 4), *padded = calloc(words + 1, sizeof *padded);
    if (bytes)
        memcpy(padded, data, bytes);
    vkft_guarded g = vkft_guarded_words(f, padded, words ? words : 1);
    free(padded);
    return g;
}

static void make_weights(const vkft_kernel_fixture *f, weights *set, vkft_storage storage, uint32_t rows, uint32_t cols)
{
    struct weight_ref table[GROUPS];
    for (uint32_t g = 0; g < GROUPS; g++) {
        const vkft_reference_weight *w = &set->w[g];
        set->w[g] = vkft_reference_weight_new(storage, rows, cols, 30 + g);
        vkft_weight placed = {.storage = storage, .rows = rows, .cols = cols, .offset = w->offset};
        for (uint32_t part = 0; part < VKFT_PARTS; part++) {
            set->part[g][part] = place(f, w->part[part], w->bytes[part]);
            placed.part[part] = set->part[g][part].address;
        }
        table[g] = vkft_weight_ref(&placed);
    }
    set->table = place(f, table, sizeof table);
}

static void free_weights(const vkft_kernel_fixture *f, weights *set)
{
    for (uint32_t g = 0; g < GROUPS; g++) {
        for (uint32_t part = 0; part < VKFT_PARTS; part++)
            vkft_guarded_free(f, &set->part[g][part]);
        vkft_reference_weight_free(&set->w[g]);
    }
    vkft_guarded_free(f, &set->table);
}

static uint32_t sum_of(const uint32_t *group_rows)
{
    uint32_t rows = 0;
    for (uint32_t g = 0; g < GROUPS; g++)
        rows += group_rows[g];
    return rows;
}

/* The table of first rows and tiles. */
static vkft_guarded place_groups(const vkft_kernel_fixture *f, const uint32_t *group_rows)
{
    uint32_t group[2 * GROUPS + 2] = {0};
    for (uint32_t g = 0; g < GROUPS; g++) {
        group[2 * g + 2] = group[2 * g] + group_rows[g];
        group[2 * g + 3] = group[2 * g + 1] + (group_rows[g] + GROUP_TILE - 1) / GROUP_TILE;
    }
    return vkft_guarded_words(f, group, 2 * GROUPS + 2);
}

static void assert_sums(const char *what, const float *got, const double *want, const double *size, uint32_t n,
                        uint32_t K)
{
    for (uint32_t i = 0; i < n; i++)
        if (!(fabs((double)got[i] - want[i]) <= (K + 3) * 0x1p-24 * (size[i] + fabs(want[i])) + 1e-30))
            fail_msg("%s: element %u is %.9g, expected %.9g", what, i, (double)got[i], want[i]);
}

static void run_commands(const vkft_kernel_fixture *f)
{
    vkft_err err;
    if (!vkft_commands_run(f->cmds, &err))
        fail_msg("%s", err.message);
}

typedef struct trial {
    vkft_storage storage;
    vkft_dtype operands;
    bool transposed;
    uint32_t rows, cols; /* of W */
    const uint32_t *group_rows;
    uint32_t scratch_floats;
    const char *kernel; /* how the name of the kernel begins that multiplies; NULL: any */
    bool made;          /* the rows in f16 are there before the product */
} trial;

/* The last launch but for the one that adds slices. */
static void assert_kernel(const vkft_kernel_fixture *f, const char *begin)
{
    uint32_t last = vkft_commands_launch_count(f->cmds) - 1;
    last -= vkft_commands_kernel(f->cmds, last) == VKFT_KERNEL_matmul_sum;
    const char *name = vkft_kernel_name(vkft_commands_kernel(f->cmds, last));
    if (strncmp(name, begin, strlen(begin)) != 0)
        fail_msg("kernel %s multiplied, expected %s", name, begin);
}

/* Rows of f16 of X [M,K], as the kernel before a product makes them. */
static vkft_f16_rows make_rows(const vkft_kernel_fixture *f, uint32_t M, uint32_t K, uint64_t X, uint64_t address)
{
    const vkft_f16_rows made = {
        .rows = address + vkft_f16_inverse_bytes(M), .inverse = address, .stride = vkft_f16_row_length(K)};
    const struct rows_f16_args args = {
        .X = X, .Y = made.rows, .inverse = made.inverse, .K = K, .ldx = K, .ldy = vkft_f16_row_length(K)};
    vkft_launch_workgroups(f->cmds, VKFT_KERNEL_rows_f16, &args, sizeof args, M, 1, 0);
    return made;
}

/* Y += 0.5 X W^T or 0.5 X W of each group, W [rows,cols]. */
static void check_product(const vkft_kernel_fixture *f, const trial *t)
{
    weights set;
    const uint32_t *group_rows = t->group_rows;
    uint32_t rows = t->rows, cols = t->cols;
    bool transposed = t->transposed;
    uint32_t M = sum_of(group_rows), K = transposed ? cols : rows, N = transposed ? rows : cols;
    float *x = vkft_random_array(3, M * K), *before = vkft_random_array(4, M * N), *got = malloc(M * N * sizeof *got);
    double *wide = t->operands == VKFT_F16 ? vkft_reference_rows_f16(M, K, K, x)
                                           : vkft_reference_operands(t->operands, x, M * K),
           *want = malloc(M * N * sizeof *want), *size = malloc(M * N * sizeof *size);
    make_weights(f, &set, t->storage, rows, cols);
    vkft_guarded bx = vkft_guarded_floats(f, x, M * K), by = vkft_guarded_floats(f, before, M * N),
                 bg = place_groups(f, group_rows);
    vkft_guarded bs = vkft_guarded_floats(f, NULL, t->scratch_floats), bf = {0};
    const vkft_matmul_ctx ctx = {
        .dev = f->dev, .cmds = f->cmds, .scratch = bs.address, .scratch_bytes = t->scratch_floats * sizeof(float)};
    const vkft_grouping grouping = {.groups = GROUPS, .rows = M, .max_rows = M, .table = bg.address};
    const vkft_weight w = {.storage = t->storage, .rows = rows, .cols = cols};
    vkft_commands_reset(f->cmds);
    vkft_f16_rows f16 = {0};
    if (t->made) {
        bf = vkft_guarded_floats(f, NULL, (uint32_t)vkft_f16_rows_bytes(M, K) / 4);
        f16 = make_rows(f, M, K, bx.address, bf.address);
    }
    vkft_multiply(&ctx, &(vkft_product){.w = &w,
                                        .groups = &grouping,
                                        .f16 = f16,
                                        .weights = set.table.address,
                                        .transposed = transposed,
                                        .M = M,
                                        .X = bx.address,
                                        .R = by.address,
                                        .Y = by.address,
                                        .scale = 0.5f});
    if (t->kernel)
        assert_kernel(f, t->kernel);
    for (uint32_t i = 1; t->made && i < vkft_commands_launch_count(f->cmds); i++)
        assert_int_not_equal(vkft_commands_kernel(f->cmds, i), VKFT_KERNEL_rows_f16);
    run_commands(f);
    vkft_guarded_read(f, &by, got);
    for (uint32_t g = 0, row = 0; g < GROUPS; row += group_rows[g++]) {
        double *values = vkft_reference_operands(t->operands, set.w[g].value, rows * cols);
        (transposed ? vkft_reference_nt : vkft_reference_nn)(group_rows[g], N, K, wide + row * K, values,
                                                             want + row * N, size + row * N);
        free(values);
    }
    for (uint32_t i = 0; i < M * N; i++)
        want[i] = (double)before[i] + 0.5 * want[i];
    assert_sums(vkft_storage_get(t->storage)->name, got, want, size, M * N, K);
    vkft_guarded_free(f, &bx), vkft_guarded_free(f, &by), vkft_guarded_free(f, &bg), vkft_guarded_free(f, &bs);
    if (t->made)
        vkft_guarded_free(f, &bf);
    free_weights(f, &set);
    free(x), free(before), free(got), free(wide), free(want), free(size);
}

/* operands: what products with quantized weights round theirs to. */
static void check_products(const vkft_kernel_fixture *f, vkft_dtype operands, const uint32_t *group_rows,
                           uint32_t scratch_floats, const uint32_t (*shapes)[2], size_t count)
{
    for (size_t s = 0; s < count; s++)
        for (vkft_storage storage = 0; storage < VKFT_STORAGE_COUNT; storage++)
            for (int transposed = 0; vkft_test_sampled_type(storage, 4, 10) && transposed < 2; transposed++)
                check_product(f, &(trial){.storage = storage,
                                          .operands = vkft_storage_is_quantized(storage) ? operands : VKFT_F32,
                                          .transposed = transposed,
                                          .rows = shapes[s][0],
                                          .cols = shapes[s][1],
                                          .group_rows = group_rows,
                                          .scratch_floats = scratch_floats});
}

static void test_few_rows(void **state)
{
    static const uint32_t shapes[][2] = {{1, 1}, {13, 37}, {64, 64}, {31, 128}, {333, 7}, {5, 333}};
    check_products(*state, VKFT_F32, few_rows, 1, shapes, 6);
}

/* Room for one panel of one group, for all columns of some groups, and for all. */
static void test_many_rows(void **state)
{
    static const uint32_t shapes[][2] = {{13, 333}, {333, 13}, {64, 128}, {333, 65}},
                          deep[][2] = {{133, 2100}, {2100, 133}};
    check_products(*state, VKFT_F32, many_rows, 333 * 520, shapes, 4);
    check_products(*state, VKFT_F32, many_rows, 1 << 20, shapes, 4);
    check_products(*state, VKFT_F32, many_rows, 2048 * 300, deep, 2);
}

static void test_bf16_operands(void **state)
{
    static const uint32_t shapes[][2] = {{64, 128}, {333, 65}};
    const vkft_kernel_fixture *f = *state;
    vkft_err err;
    expect_ok(vkft_gemm_setup(f->dev, VKFT_BF16, &err));
    check_products(f, VKFT_BF16, few_rows, 1, shapes, 2);
    check_products(f, VKFT_BF16, many_rows, 1 << 20, shapes, 2);
    expect_ok(vkft_gemm_setup(f->dev, VKFT_F32, &err));
}

/* By this strategy alone, where it suits. */
static vkft_gemm *use_strategy(const vkft_kernel_fixture *f, const char *names, vkft_dtype operands)
{
    vkft_err err;
    vkft_test_environment("VKFT_STRATEGY", names);
    expect_ok(vkft_gemm_setup(f->dev, operands, &err));
    return vkft_device_attached(f->dev);
}

/* Two whose rows are not aligned, which test_checks multiplies in all types, and two others, one of them with a long
 * sum, which is cut. */
static const uint32_t tile_shapes[][2] = {{13, 333}, {333, 13}, {72, 136}, {16, 1032}};

static void check_tile(const vkft_kernel_fixture *f, const uint32_t *group_rows, vkft_storage storage,
                       vkft_dtype operands, bool transposed, size_t shape)
{
    check_product(f, &(trial){.storage = storage,
                              .operands = vkft_storage_is_quantized(storage) ? operands : VKFT_F32,
                              .transposed = transposed,
                              .rows = tile_shapes[shape][0],
                              .cols = tile_shapes[shape][1],
                              .group_rows = group_rows,
                              .scratch_floats = 1 << 18,
                              .kernel = transposed ? "grouped_tile_nt_" : "grouped_tile_nn_"});
}

static void check_tiles(const vkft_kernel_fixture *f, const uint32_t *group_rows, vkft_dtype operands, size_t first)
{
    for (size_t s = first; s < sizeof tile_shapes / sizeof *tile_shapes; s++)
        for (int transposed = 0; transposed < 2; transposed++)
            check_tile(f, group_rows, VKFT_STORAGE_nf4_dq, operands, transposed, s);
}

/* Tiles in shared memory: all types, one direction each, since a software device takes long to compile a pipeline; then
 * one type in all ways, and with tiles that are longer than most groups. */
static void test_tiles(void **state)
{
    const vkft_kernel_fixture *f = *state;
    vkft_gemm *gemm = use_strategy(f, "tile,direct", VKFT_F32);
    for (vkft_storage storage = 0; storage < VKFT_STORAGE_COUNT; storage++)
        if (vkft_test_sampled_type(storage, 5, 5))
            check_tile(f, many_rows, storage, VKFT_F32, storage % 2, 2);
    check_tiles(f, many_rows, VKFT_F32, 0);
    gemm->tiles.block_count = 1;
    gemm->tiles.blocks[0] = (vkft_block){4, 4, 32, 8, 8, 4, 0, true};
    vkft_gemm_tile.prepare(f->dev, gemm);
    check_tiles(f, many_rows, VKFT_F32, 2);
    check_tiles(f, odd_rows, VKFT_F32, 2);
    use_strategy(f, "tile,direct", VKFT_BF16);
    check_tile(f, odd_rows, VKFT_STORAGE_nf4_dq, VKFT_BF16, true, 2);
    /* Few rows of each group read the matrices as they are stored. */
    use_strategy(f, "tile,direct", VKFT_F32);
    check_product(f, &(trial){.storage = VKFT_STORAGE_nf4,
                              .operands = VKFT_F32,
                              .transposed = true,
                              .rows = 13,
                              .cols = 64,
                              .group_rows = (const uint32_t[GROUPS]){0, 7, 33, 0, 0},
                              .scratch_floats = 1,
                              .kernel = "grouped_nt_"});
    use_strategy(f, NULL, VKFT_F32);
}

/* In f16, which test_checks has in all types where rows are not aligned: with all rows at a time, with a part of
 * them, which begins and ends within a group, and with rows that are there already. tile: rows of the largest one. */
static void check_f16(const vkft_kernel_fixture *f, const char *name, uint32_t tile)
{
    char kernels[2][32]; /* how the names begin of [transposed] */
    snprintf(kernels[0], sizeof kernels[0], "grouped_%s_nn_", name);
    snprintf(kernels[1], sizeof kernels[1], "grouped_%s_nt_", name);
    for (uint32_t i = 0; i < 4 * VKFT_STORAGE_COUNT; i++) {
        vkft_storage storage = (vkft_storage)(i / 4);
        if (!vkft_test_sampled_type(storage, 6, 10))
            continue;
        bool transposed = i / 2 % 2, all = storage == VKFT_STORAGE_nf4_dq;
        for (size_t s = all ? 0 : 2; s < sizeof tile_shapes / sizeof *tile_shapes; s++) {
            if (!all && s + 1 == sizeof tile_shapes / sizeof *tile_shapes)
                continue;
            uint32_t rows = tile_shapes[s][0], cols = tile_shapes[s][1], K = transposed ? cols : rows;
            const uint32_t *group_rows = i % 2 ? many_rows : odd_rows;
            check_product(f,
                          &(trial){.storage = storage,
                                   .operands = VKFT_F16,
                                   .transposed = transposed,
                                   .rows = rows,
                                   .cols = cols,
                                   .group_rows = group_rows,
                                   .scratch_floats = i % 2 ? 1 << 18 : (uint32_t)vkft_f16_rows_bytes(3 * tile, K) / 4,
                                   .kernel = kernels[transposed],
                                   .made = s % 2});
        }
    }
}

static void test_f16(void **state)
{
    static const char *const names[] = {"coop", "dot", "half"};
    const vkft_kernel_fixture *f = *state;
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        char list[32];
        snprintf(list, sizeof list, "%s,direct", names[i]);
        const vkft_gemm *gemm = use_strategy(f, list, VKFT_F16);
        const vkft_block *b = &gemm->tiles.half[0];
        if (gemm->usable[VKFT_STORAGE_nf4][1][1][0]->rounds)
            check_f16(f, names[i], gemm->coop ? gemm->coop->sizes[VKFT_COOP_LARGE].bm : b->rows * b->lanes_m);
        else
            print_message("left out: %s: this device, or this build, cannot\n", names[i]);
        use_strategy(f, NULL, VKFT_F32);
    }
}

/* Y_g += 2 X_g^T Z_g. */
static void check_gradient(const vkft_kernel_fixture *f, uint32_t M, uint32_t N, const uint32_t *group_rows,
                           const char *kernel)
{
    uint32_t K = sum_of(group_rows), n = M * N;
    float *x = vkft_random_array(5, K * M), *z = vkft_random_array(6, K * N), *before = vkft_random_array(7, n),
          *got = malloc(n * sizeof *got);
    double *wide_x = vkft_widen(x, K * M), *wide_z = vkft_widen(z, K * N), *want = calloc(n, sizeof *want),
           *size = calloc(n, sizeof *size);
    struct weight_ref table[GROUPS] = {0};
    vkft_guarded bx = vkft_guarded_floats(f, x, K * M), bz = vkft_guarded_floats(f, z, K * N),
                 bg = place_groups(f, group_rows), by[GROUPS];
    for (uint32_t g = 0; g < GROUPS; g++) {
        by[g] = vkft_guarded_floats(f, before, n);
        table[g].data = by[g].address;
    }
    vkft_guarded bt = place(f, table, sizeof table);
    const vkft_matmul_ctx ctx = {.dev = f->dev, .cmds = f->cmds};
    const vkft_grouping grouping = {.groups = GROUPS, .rows = K, .max_rows = K, .table = bg.address};
    vkft_commands_reset(f->cmds);
    vkft_multiply_outer(&ctx, &(vkft_outer_product){.groups = &grouping,
                                                    .M = M,
                                                    .N = N,
                                                    .K = K,
                                                    .X = bx.address,
                                                    .Z = bz.address,
                                                    .Y = bt.address,
                                                    .scale = 2.0f});
    assert_kernel(f, kernel);
    run_commands(f);
    for (uint32_t g = 0, row = 0; g < GROUPS; row += group_rows[g++]) {
        memset(want, 0, n * sizeof *want), memset(size, 0, n * sizeof *size);
        if (group_rows[g])
            vkft_reference_tn(M, N, group_rows[g], wide_x + row * M, wide_z + row * N, want, size);
        for (uint32_t i = 0; i < n; i++) {
            want[i] = (double)before[i] + 2 * want[i];
            size[i] *= 2;
        }
        vkft_guarded_read(f, &by[g], got);
        assert_sums(kernel, got, want, size, n, group_rows[g]);
        vkft_guarded_free(f, &by[g]);
    }
    vkft_guarded_free(f, &bx), vkft_guarded_free(f, &bz), vkft_guarded_free(f, &bg), vkft_guarded_free(f, &bt);
    free(x), free(z), free(before), free(got), free(wide_x), free(wide_z), free(want), free(size);
}

/* As they are stored, and in tiles: aligned ones are the last two. */
static void test_gradients(void **state)
{
    static const uint32_t shapes[][2] = {{1, 1}, {4, 333}, {333, 4}, {31, 37}, {16, 136}, {136, 72}};
    const vkft_kernel_fixture *f = *state;
    for (int tiles = 0; tiles < 2; tiles++) {
        use_strategy(f, tiles ? "tile,direct" : "direct", VKFT_F32);
        for (size_t s = 0; s < sizeof shapes / sizeof *shapes; s++) {
            const char *kernel = tiles ? "grouped_outer" : "grouped_tn";
            check_gradient(f, shapes[s][0], shapes[s][1], few_rows, kernel);
            check_gradient(f, shapes[s][0], shapes[s][1], many_rows, kernel);
        }
    }
    use_strategy(f, NULL, VKFT_F32);
}

/* Equal logits: the lower number comes first; one that is not a number harms nobody else. */
static void test_ties(void **state)
{
    const vkft_kernel_fixture *f = *state;
    enum { T = 4, E = 5, K = 3 };
    const float logits[T * E] = {1, 2, 2, 1, 2, 0, 0, 0, 0, 0, 3, 1, 3, 1, 1, NAN, NAN, NAN, NAN, NAN};
    static const uint32_t want[(T - 1) * K] = {1, 2, 4, 0, 1, 2, 0, 2, 1};
    uint32_t chosen[T * K];
    float weight[T * K];
    vkft_guarded bl = vkft_guarded_floats(f, logits, T * E), bw = vkft_guarded_floats(f, NULL, T * K),
                 bc = vkft_guarded_floats(f, NULL, T * K);
    struct router_args args = {
        .logits = bl.address, .weight = bw.address, .chosen = bc.address, .T = T, .E = E, .k = K, .normalize = 1};
    vkft_kernel_run(f, VKFT_KERNEL_router, &args, sizeof args, T, 1);
    vkft_guarded_read(f, &bc, (float *)(void *)chosen);
    vkft_guarded_read(f, &bw, weight);
    assert_memory_equal(chosen, want, sizeof want);
    for (uint32_t j = 0; j < K; j++) {
        assert_true(fabs((double)weight[j] - 1.0 / 3) < 1e-6);
        assert_true(chosen[(T - 1) * K + j] < E);
    }
    vkft_guarded_free(f, &bl), vkft_guarded_free(f, &bw), vkft_guarded_free(f, &bc);
}

/* Checks of host/doctor/checks/experts.c. */
static void test_rows(void **state)
{
    static const uint32_t shapes[][2] = {{1, 1}, {31, 7}, {333, 37}, {5, 333}};
    vkft_err err;
    vkft_lab lab;
    expect_ok(vkft_lab_init(&lab, ((vkft_kernel_fixture *)*state)->dev, 8 << 20, &err));
    vkft_check_expert_order(&lab, 1, 1, 1);
    vkft_check_expert_order(&lab, 1, 128, 8);
    vkft_check_expert_order(&lab, 31, 7, 3);
    vkft_check_expert_order(&lab, 333, 128, 2);
    vkft_check_expert_order(&lab, 1025, 11, 8);
    for (int normalize = 0; normalize < 2; normalize++) {
        vkft_check_router(&lab, 1, 1, 1, normalize);
        vkft_check_router(&lab, 31, 8, 2, normalize);
        vkft_check_router(&lab, 333, 60, 4, normalize);
        vkft_check_router(&lab, 3, 128, 8, normalize);
    }
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++) {
        for (int f16 = 0; f16 < 2; f16++) {
            vkft_check_expert_gated(&lab, shapes[i][0], shapes[i][1], VKFT_ACT_SILU, f16);
            vkft_check_expert_gated(&lab, shapes[i][0], shapes[i][1], VKFT_ACT_GELU_TANH, f16);
        }
        vkft_check_gather_f16(&lab, shapes[i][0], shapes[i][1], 2 * shapes[i][0]);
        vkft_check_sum_rows(&lab, shapes[i][0], shapes[i][1], 1);
        vkft_check_sum_rows(&lab, shapes[i][0], shapes[i][1], 5);
    }
    if (vkft_lab_failure(&lab))
        fail_msg("%s", vkft_lab_failure(&lab)->what);
    assert_true(lab.count > 0 && !lab.lost);
    vkft_lab_free(&lab);
}

static int setup(void **state)
{
    if (vkft_kernel_setup(state))
        return 1;
    return !vkft_gemm_setup(((vkft_kernel_fixture *)*state)->dev, VKFT_F32, NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_few_rows),      cmocka_unit_test(test_many_rows),
                                       cmocka_unit_test(test_bf16_operands), cmocka_unit_test(test_tiles),
                                       cmocka_unit_test(test_f16),           cmocka_unit_test(test_gradients),
                                       cmocka_unit_test(test_ties),          cmocka_unit_test(test_rows)};
    return cmocka_run_group_tests_name("kernels: experts", tests, setup, vkft_kernel_teardown);
}
