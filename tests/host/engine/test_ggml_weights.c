/* ggml's block types as kernels read them: all codes with all edges of their scales have the values of the CPU's
 * decoder, bit for bit. A row of X that is 0 but for one 1 makes a product an element of W.
 *
 * On a software device a pipeline takes a third of a second to compile, so each type is multiplied by one strategy
 * there: they take turns, and test_matmul has the others. */
#include "tests/support/gguf/ggml_blocks.h"

#include "host/engine/matmul/gemm.h"
#include "runtime/kernels.h"
#include "shaders/embedding/args.h"
#include "shaders/matmul/args.h"
#include "tests/support/kernels/kernel_test.h"

enum { ROWS = 12, COLS = 512 };

static vkft_weight place(const vkft_kernel_fixture *f, const vkft_test_blocks *w, vkft_guarded placed[VKFT_PARTS])
{
    vkft_weight weight = {.storage = w->storage, .rows = w->rows, .cols = w->cols};
    for (uint32_t p = 0; p < VKFT_PARTS; p++) {
        if (!w->bytes[p])
            continue;
        placed[p] = vkft_guarded_words(f, (const uint32_t *)(const void *)w->part[p], (uint32_t)(w->bytes[p] + 3) / 4);
        weight.part[p] = placed[p].address;
    }
    return weight;
}

/* 0 and -0 are the same: products add 0. */
static void expect_same(const char *what, const vkft_test_blocks *w, const float *values)
{
    for (uint32_t i = 0; i < w->rows * w->cols; i++)
        if (!(values[i] == w->value[i]))
            fail_msg("%s of %s: element %u is %.9g, on the CPU %.9g", what, vkft_storage_get(w->storage)->name, i,
                     (double)values[i], (double)w->value[i]);
}

static void look_up(const vkft_kernel_fixture *f, const vkft_test_blocks *w, const vkft_weight *weight)
{
    uint32_t ids[ROWS];
    float values[ROWS * COLS];
    for (uint32_t r = 0; r < ROWS; r++)
        ids[r] = r;
    vkft_guarded tokens = vkft_guarded_words(f, ids, ROWS), y = vkft_guarded_floats(f, NULL, ROWS * COLS);
    struct embedding_args args = {
        .table = vkft_weight_ref(weight), .ids = tokens.address, .y = y.address, .T = ROWS, .C = COLS, .scale = 1};
    vkft_kernel_run(f, vkft_kernel_by_type(VKFT_FAMILY_embedding, w->storage), &args, sizeof args, ROWS, 1);
    vkft_guarded_read(f, &y, values);
    expect_same("a look-up", w, values);
    vkft_guarded_free(f, &tokens);
    vkft_guarded_free(f, &y);
}

/* X is the identity [ROWS,ROWS], so Y is W. */
static void multiply(const vkft_kernel_fixture *f, const vkft_test_blocks *w, const vkft_weight *weight,
                     const vkft_strategy *strategy)
{
    static float values[ROWS * COLS], identity[ROWS * ROWS];
    vkft_err err = {0};
    for (uint32_t r = 0; r < ROWS; r++)
        identity[r * ROWS + r] = 1;
    uint64_t scratch_bytes = vkft_product_scratch_bytes(ROWS, COLS);
    vkft_guarded X = vkft_guarded_floats(f, identity, ROWS * ROWS), y = vkft_guarded_floats(f, NULL, ROWS * COLS),
                 scratch = vkft_guarded_floats(f, NULL, (uint32_t)(scratch_bytes / 4));
    vkft_commands *cmds = vkft_commands_new(f->dev, &err);
    const vkft_matmul_ctx ctx = {
        .dev = f->dev, .cmds = cmds, .scratch = scratch.address, .scratch_bytes = scratch_bytes};
    const vkft_product p = {
        .w = weight, .M = ROWS, .X = X.address, .Y = y.address, .ldx = ROWS, .ldy = COLS, .scale = 1};
    if (strategy->suits(vkft_gemm_of(f->dev), &ctx, &p)) {
        strategy->record(vkft_gemm_of(f->dev), &ctx, &p);
        expect_ok(vkft_commands_run(cmds, &err));
        vkft_guarded_read(f, &y, values);
        expect_same(strategy->name, w, values);
    }
    vkft_commands_free(cmds);
    vkft_guarded_free(f, &X);
    vkft_guarded_free(f, &y);
    vkft_guarded_free(f, &scratch);
}

static void values_are_those_of_the_cpu(void **state)
{
    const vkft_kernel_fixture *f = *state;
    vkft_err err = {0};
    expect_ok(vkft_gemm_setup(f->dev, VKFT_F32, &err));
    const bool software = vkft_device_get_caps(f->dev)->software;
    for (uint32_t type = 0; type < VKFT_TEST_BLOCK_TYPES; type++) {
        vkft_test_blocks w = vkft_test_blocks_new(type, ROWS, COLS, 0);
        vkft_guarded placed[VKFT_PARTS] = {0};
        const vkft_weight weight = place(f, &w, placed);
        look_up(f, &w, &weight);
        const vkft_strategy *const *usable = vkft_gemm_of(f->dev)->usable[w.storage][0][0];
        uint32_t count = 0;
        while (usable[count])
            count++;
        for (uint32_t s = 0; s < count; s++)
            if (!usable[s]->rounds && (!software || s == type % count))
                multiply(f, &w, &weight, usable[s]);
        for (uint32_t p = 0; p < VKFT_PARTS; p++)
            if (w.bytes[p])
                vkft_guarded_free(f, &placed[p]);
        vkft_test_blocks_free(&w);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(values_are_those_of_the_cpu)};
    return cmocka_run_group_tests(tests, vkft_kernel_setup, vkft_kernel_teardown);
}
