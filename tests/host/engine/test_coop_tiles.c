/* Which matrix cores are used, by what a driver lists. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "host/engine/matmul/gemm.h"
#include "shaders/matmul/args.h"
#include "tests/support/system/system.h"

static vkft_caps device(uint32_t subgroup_min, uint32_t subgroup_max)
{
    return (vkft_caps){.set = VKFT_CAP_FP16 | VKFT_CAP_COOPERATIVE_MATRIX | VKFT_CAP_SUBGROUP_CONTROL,
                       .subgroup_size = subgroup_max,
                       .subgroup_min = subgroup_min,
                       .subgroup_max = subgroup_max,
                       .subgroup_size_choice = subgroup_min < subgroup_max,
                       .workgroup_subgroups = 64,
                       .workgroup_invocations = 1024,
                       .shared_memory_bytes = 49152};
}

static void list(vkft_caps *caps, uint32_t M, uint32_t N, uint32_t K, vkft_component operand, vkft_component sum)
{
    caps->matrix_shapes[caps->matrix_shape_count++] = (vkft_matrix_shape){M, N, K, operand, operand, sum, sum, false};
}

static void expect(const vkft_caps *caps, bool forced, uint32_t M, uint32_t subgroup)
{
    const vkft_coop_tiles *tiles = vkft_coop_tiles_of(caps, forced);
    assert_non_null(tiles);
    assert_int_equal(tiles->M, M);
    assert_int_equal(tiles->subgroup, subgroup);
    for (vkft_coop_size size = 0; size < VKFT_COOP_SIZES; size++) {
        const vkft_coop_tile *t = &tiles->sizes[size];
        assert_int_equal(t->bm % t->sm + t->bn % t->sn + t->sm % tiles->M + t->sn % tiles->N, 0);
        assert_true(COOP_STEP % tiles->K == 0 && t->bm <= tiles->sizes[VKFT_COOP_LARGE].bm);
    }
}

static void test_known_shapes(void **state)
{
    (void)state;
    vkft_caps amd = device(32, 64), nvidia = device(32, 32), xe2 = device(16, 32);
    list(&amd, 16, 16, 16, VKFT_COMPONENT_F16, VKFT_COMPONENT_F16);
    assert_null(vkft_coop_tiles_of(&amd, false)); /* sums in f16 */
    list(&amd, 16, 16, 16, VKFT_COMPONENT_F16, VKFT_COMPONENT_F32);
    expect(&amd, false, 16, 64);
    list(&nvidia, 16, 8, 16, VKFT_COMPONENT_F16, VKFT_COMPONENT_F32);
    assert_null(vkft_coop_tiles_of(&nvidia, false));
    list(&nvidia, 16, 16, 16, VKFT_COMPONENT_F16, VKFT_COMPONENT_F32);
    expect(&nvidia, false, 16, 32);
    list(&xe2, 8, 16, 16, VKFT_COMPONENT_BF16, VKFT_COMPONENT_F32);
    assert_null(vkft_coop_tiles_of(&xe2, false));
    list(&xe2, 8, 16, 16, VKFT_COMPONENT_F16, VKFT_COMPONENT_F32);
    expect(&xe2, false, 8, 16);
}

/* Shapes that are known to be slow, or unknown, are for tests alone. */
static void test_forced_shapes(void **state)
{
    (void)state;
    vkft_caps dg2 = device(8, 32), lavapipe = device(8, 8);
    list(&dg2, 8, 8, 16, VKFT_COMPONENT_F16, VKFT_COMPONENT_F32);
    list(&lavapipe, 8, 8, 8, VKFT_COMPONENT_F16, VKFT_COMPONENT_F32);
    assert_null(vkft_coop_tiles_of(&dg2, false));
    assert_null(vkft_coop_tiles_of(&lavapipe, false));
    expect(&dg2, true, 8, 8);
    expect(&lavapipe, true, 8, 8);
}

static void test_limits(void **state)
{
    (void)state;
    vkft_caps caps = device(32, 64);
    list(&caps, 16, 16, 16, VKFT_COMPONENT_F16, VKFT_COMPONENT_F32);
    caps.shared_memory_bytes = 16384;
    assert_null(vkft_coop_tiles_of(&caps, true));
    caps.shared_memory_bytes = 65536;
    caps.subgroup_size_choice = false; /* subgroups of 32 or of 64, as the driver likes */
    assert_null(vkft_coop_tiles_of(&caps, true));
    caps.subgroup_size_choice = true;
    caps.matrix_shapes[0].saturating = true;
    assert_null(vkft_coop_tiles_of(&caps, true));
}

/* What --compute-dtype auto asks. */
static void test_has_matrix_cores(void **state)
{
    (void)state;
    vkft_test_environment("VKFT_STRATEGY", NULL);
    vkft_caps caps = device(32, 64);
    assert_false(vkft_gemm_has_matrix_cores(&caps));
    list(&caps, 16, 16, 16, VKFT_COMPONENT_F16, VKFT_COMPONENT_F32);
    assert_int_equal(vkft_gemm_has_matrix_cores(&caps), vkft_kernel_is_built(VKFT_KERNEL_coop_nn_f32));
    caps.skipped[0] = "coop";
    assert_false(vkft_gemm_has_matrix_cores(&caps));
    caps.skipped[0] = NULL;
    caps.set &= ~(uint32_t)VKFT_CAP_COOPERATIVE_MATRIX;
    assert_false(vkft_gemm_has_matrix_cores(&caps));
    assert_false(vkft_gemm_has_f16(&caps));
    /* What multiplies f16 and is no matrix core: it is used where fp16 is asked for. */
    caps.set |= VKFT_CAP_FLOAT_DOT;
    assert_true(vkft_gemm_has_f16(&caps));
    assert_false(vkft_gemm_has_matrix_cores(&caps));
    caps.skipped[0] = "dot";
    assert_false(vkft_gemm_has_f16(&caps));
    caps.skipped[0] = NULL;
    caps.set &= ~(uint32_t)VKFT_CAP_FP16;
    assert_false(vkft_gemm_has_f16(&caps));
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_known_shapes), cmocka_unit_test(test_forced_shapes),
                                       cmocka_unit_test(test_limits), cmocka_unit_test(test_has_matrix_cores)};
    return cmocka_run_group_tests_name("coop_tiles", tests, NULL, NULL);
}
