/* Which kernels compute attention, by what drivers of real chips say (the test stands in for the runtime), and what
 * happens where matrix cores compute it wrongly. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "host/engine/matmul/gemm.h"
#include "host/engine/ops/attention_kernels.h"
#include "tests/support/expect.h"
#include "tests/support/system/system.h"

static vkft_device_info info;
static vkft_gemm gemm;
static bool computes_right;
static uint32_t specialized[VKFT_ATTENTION_PARTS]; /* kernels, in this order */
static uint32_t specialized_count;
static uint32_t head_size;                               /* that they are to have */
static uint32_t subgroups_of_rows[VKFT_ATTENTION_PARTS]; /* as the constants say, and the invocations of a workgroup */
static uint32_t widths[VKFT_ATTENTION_PARTS];
static uint32_t kept[VKFT_ATTENTION_PARTS]; /* the constant of kernels with lanes */

const vkft_device_info *__wrap_vkft_device_get_info(const vkft_device *dev);
const vkft_device_info *__wrap_vkft_device_get_info(const vkft_device *dev)
{
    (void)dev;
    return &info;
}

const vkft_caps *__wrap_vkft_device_get_caps(const vkft_device *dev);
const vkft_caps *__wrap_vkft_device_get_caps(const vkft_device *dev)
{
    (void)dev;
    return &info.caps;
}

void *__wrap_vkft_device_attached(const vkft_device *dev);
void *__wrap_vkft_device_attached(const vkft_device *dev)
{
    (void)dev;
    return &gemm;
}

bool __wrap_vkft_kernel_is_built(vkft_kernel kernel);
bool __wrap_vkft_kernel_is_built(vkft_kernel kernel)
{
    (void)kernel;
    return true;
}

void __wrap_vkft_kernel_specialize(vkft_device *dev, vkft_kernel kernel, uint32_t width, uint32_t subgroup_size,
                                   const uint32_t *constants, uint32_t constant_count);
void __wrap_vkft_kernel_specialize(vkft_device *dev, vkft_kernel kernel, uint32_t width, uint32_t subgroup_size,
                                   const uint32_t *constants, uint32_t constant_count)
{
    (void)dev;
    assert_int_equal(constants[0], head_size);
    assert_true(!subgroup_size || width % subgroup_size == 0);
    assert_true(constant_count == 4 || constant_count == 7 || constant_count == 12 || constant_count == 13);
    uint32_t part = specialized_count++ % VKFT_ATTENTION_PARTS;
    specialized[part] = kernel;
    subgroups_of_rows[part] = constant_count == 13 ? constants[12] : 1;
    widths[part] = width;
    kept[part] = constant_count == 7 ? constants[6] : 0;
}

bool __wrap_vkft_attention_compare(vkft_device *dev, uint32_t head_dim,
                                   void (*choose)(vkft_device *dev, bool matrix, const void *context),
                                   const void *context, bool *same, vkft_err *err);
bool __wrap_vkft_attention_compare(vkft_device *dev, uint32_t head_dim,
                                   void (*choose)(vkft_device *dev, bool matrix, const void *context),
                                   const void *context, bool *same, vkft_err *err)
{
    (void)head_dim, (void)err;
    choose(dev, false, context);
    choose(dev, true, context);
    *same = computes_right;
    return true;
}

static void be(uint32_t vendor, uint32_t subgroup, uint32_t smallest, uint32_t shared, uint32_t M, uint32_t N)
{
    info = (vkft_device_info){.name = "card",
                              .vendor_id = vendor,
                              .caps = {.set = (1u << VKFT_CAP_COUNT) - 1,
                                       .vendor_id = vendor,
                                       .subgroup_size = subgroup,
                                       .subgroup_min = smallest,
                                       .subgroup_max = subgroup,
                                       .subgroup_size_choice = smallest < subgroup,
                                       .workgroup_subgroups = 64,
                                       .workgroup_invocations = 1024,
                                       .shared_memory_bytes = shared}};
    if (M)
        info.caps.matrix_shapes[info.caps.matrix_shape_count++] = (vkft_matrix_shape){
            M, N, 16, VKFT_COMPONENT_F16, VKFT_COMPONENT_F16, VKFT_COMPONENT_F32, VKFT_COMPONENT_F32, false};
    gemm = (vkft_gemm){
        .caps = &info.caps, .coop = vkft_coop_tiles_of(&info.caps, false), .operands = VKFT_F16, .attention = M != 0};
    specialized_count = 0;
    head_size = 64;
}

static vkft_attention_kernel choose(vkft_attention_part part, uint32_t head)
{
    return vkft_attention_choose(NULL, part, head);
}

static void test_matrix_cores(void **state)
{
    (void)state;
    be(0x1002, 64, 32, 65536, 16, 16); /* RX 7900 XTX */
    vkft_attention_kernel k = choose(VKFT_ATTENTION_FORWARD, 128);
    assert_int_equal(k.kernel, VKFT_KERNEL_attention_coop);
    assert_int_equal(k.subgroup, 64);
    assert_true(k.rows >= 16 && k.rows <= 64);
    assert_int_equal(vkft_attention_count(NULL, k, k.rows * 3 + 1), 4);
    assert_int_equal(choose(VKFT_ATTENTION_DQ, 64).kernel, VKFT_KERNEL_attention_dq_coop);
    assert_int_equal(choose(VKFT_ATTENTION_DKV, 64).kernel, VKFT_KERNEL_attention_dkv_coop);
    assert_int_equal(choose(VKFT_ATTENTION_DKV, 64).rows, 64);
    assert_int_equal(choose(VKFT_ATTENTION_DQ, 128).kernel, VKFT_KERNEL_attention_dq_coop);
    assert_int_equal(choose(VKFT_ATTENTION_DKV, 128).kernel, VKFT_KERNEL_attention_dkv_coop);
    assert_int_equal(choose(VKFT_ATTENTION_DKV, 256).kernel, VKFT_KERNEL_attention_dkv_coop);
    assert_int_equal(choose(VKFT_ATTENTION_DKV, 256).rows, 16);
    /* Larger heads do not fit; these parts have no such kernel; and 72 is no multiple of the tiles. */
    assert_int_equal(choose(VKFT_ATTENTION_FORWARD, 272).kernel, VKFT_KERNEL_attention_lanes);
    assert_int_equal(choose(VKFT_ATTENTION_DELTA, 64).kernel, VKFT_KERNEL_attention_delta_lanes);
    assert_int_equal(choose(VKFT_ATTENTION_FORWARD, 72).kernel, VKFT_KERNEL_attention_lanes);
    /* With less shared memory a workgroup has fewer rows. */
    be(0x10de, 32, 32, 49152, 16, 16);
    assert_int_equal(choose(VKFT_ATTENTION_DKV, 64).rows, 64);
    assert_int_equal(choose(VKFT_ATTENTION_DQ, 128).rows, 32);
    assert_int_equal(choose(VKFT_ATTENTION_DKV, 128).rows, 32);
    assert_int_equal(choose(VKFT_ATTENTION_DQ, 160).kernel, VKFT_KERNEL_attention_dq_coop);
    assert_int_equal(choose(VKFT_ATTENTION_DKV, 160).kernel, VKFT_KERNEL_attention_dkv_lanes); /* would spill */
    uint32_t rows = choose(VKFT_ATTENTION_FORWARD, 128).rows;
    info.caps.shared_memory_bytes = 32768;
    assert_true(choose(VKFT_ATTENTION_FORWARD, 128).rows < rows);
    assert_int_equal(choose(VKFT_ATTENTION_DKV, 96).rows, 16); /* two subgroups, which have them together */
    info.caps.shared_memory_bytes = 16384;                     /* not even those */
    assert_int_equal(choose(VKFT_ATTENTION_DKV, 128).kernel, VKFT_KERNEL_attention_dkv_lanes);
    be(0x8086, 32, 16, 49152, 8, 16); /* Xe2, whose compiler spills */
    assert_int_equal(choose(VKFT_ATTENTION_FORWARD, 64).kernel, VKFT_KERNEL_attention_lanes);
}

/* Invocations hold at most so many units of four elements, so that lanes follow from the head size. */
static void test_lanes(void **state)
{
    (void)state;
    be(0x1002, 64, 64, 65536, 0, 0); /* RX 580 */
    assert_int_equal(choose(VKFT_ATTENTION_FORWARD, 128).lanes, 16);
    assert_int_equal(choose(VKFT_ATTENTION_FORWARD, 64).lanes, 8);
    assert_int_equal(choose(VKFT_ATTENTION_FORWARD, 80).lanes, 16);
    be(0x8086, 32, 8, 65536, 0, 0); /* Gen9 */
    vkft_attention_kernel k = choose(VKFT_ATTENTION_FORWARD, 128);
    assert_int_equal(k.subgroup, 8);
    assert_int_equal(k.lanes, 8);
    vkft_err err = {0};
    const vkft_ops_constants capped = {.head_dim = 64, .softcap = true}, plain = {.head_dim = 64};
    expect_ok(vkft_attention_setup(NULL, &plain, &err));
    assert_int_equal(kept[VKFT_ATTENTION_DKV], 1);
    expect_ok(vkft_attention_setup(NULL, &capped, &err));
    assert_int_equal(kept[VKFT_ATTENTION_DKV],
                     2); /* capping needs registers: rows that are used twice are read twice */
    assert_int_equal(kept[VKFT_ATTENTION_DQ], 1);
    assert_int_equal(kept[VKFT_ATTENTION_FORWARD], 0);
    be(0x1002, 64, 64, 65536, 0, 0);
    info.caps.set &= ~(uint32_t)VKFT_CAP_SUBGROUP_SHUFFLE;
    assert_int_equal(choose(VKFT_ATTENTION_FORWARD, 128).kernel, VKFT_KERNEL_attention);
}

static const vkft_ops_constants head64 = {.head_dim = 64};

static void test_setup(void **state)
{
    (void)state;
    vkft_err err = {0};
    be(0x1002, 64, 32, 65536, 16, 16);
    expect_ok(vkft_attention_setup(NULL, &head64, &err));
    assert_int_equal(specialized_count, VKFT_ATTENTION_PARTS);
    assert_int_equal(specialized[VKFT_ATTENTION_FORWARD], VKFT_KERNEL_attention_coop);
    assert_int_equal(subgroups_of_rows[VKFT_ATTENTION_DKV], 1);
    const vkft_ops_constants relative = {.head_dim = 64, .relative = true}, head128 = {.head_dim = 128};
    head_size = 128;
    expect_ok(vkft_attention_setup(NULL, &head128, &err));
    assert_int_equal(subgroups_of_rows[VKFT_ATTENTION_FORWARD], 1);
    assert_int_equal(subgroups_of_rows[VKFT_ATTENTION_DQ], 2);
    assert_int_equal(subgroups_of_rows[VKFT_ATTENTION_DKV], 2);
    assert_int_equal(widths[VKFT_ATTENTION_DKV], 4 * 64); /* 32 rows, 16 of each pair of subgroups */
    head_size = 64;
    expect_ok(vkft_attention_setup(NULL, &relative, &err)); /* T5's biases are for lanes */
    assert_int_equal(specialized[VKFT_ATTENTION_FORWARD], VKFT_KERNEL_attention_lanes);
}

static void test_selftest(void **state)
{
    (void)state;
    vkft_err err = {0};
    be(0x1002, 64, 32, 65536, 16, 16);
    computes_right = true;
    expect_ok(vkft_attention_selftest(NULL, &head64, &err));
    assert_string_equal(gemm.notice, "");
    assert_int_equal(specialized[VKFT_ATTENTION_FORWARD], VKFT_KERNEL_attention_coop);
    computes_right = false;
    expect_ok(vkft_attention_selftest(NULL, &head64, &err));
    assert_string_equal(gemm.notice, "attention on matrix cores computes wrong results on card: it is computed in f32");
    assert_false(gemm.attention);
    assert_int_equal(specialized[VKFT_ATTENTION_FORWARD], VKFT_KERNEL_attention_lanes);
    specialized_count = 0;
    expect_ok(vkft_attention_selftest(NULL, &head64, &err)); /* nothing is left to test */
    assert_int_equal(specialized_count, 0);
}

/* What VKFT_ATTENTION asks for is done or refused. */
static void test_wishes(void **state)
{
    (void)state;
    vkft_err err = {0};
    const vkft_ops_constants relative = {.head_dim = 64, .relative = true};
    be(0x1002, 64, 32, 65536, 16, 16);
    vkft_test_environment("VKFT_ATTENTION", "coop");
    expect_ok(vkft_attention_setup(NULL, &head64, &err));
    assert_int_equal(choose(VKFT_ATTENTION_DQ, 128).kernel, VKFT_KERNEL_attention_dq_coop); /* however slow */
    expect_failure(vkft_attention_setup(NULL, &relative, &err), "has no biases by position");
    be(0x1002, 64, 64, 65536, 0, 0);
    expect_failure(vkft_attention_setup(NULL, &head64, &err),
                   "VKFT_ATTENTION=coop: card, or this build, has no matrix");
    vkft_test_environment("VKFT_ATTENTION", "plain");
    assert_int_equal(choose(VKFT_ATTENTION_FORWARD, 64).kernel, VKFT_KERNEL_attention);
    vkft_test_environment("VKFT_ATTENTION", "lanes:4:2");
    assert_int_equal(choose(VKFT_ATTENTION_FORWARD, 64).lanes, 4);
    assert_int_equal(choose(VKFT_ATTENTION_FORWARD, 64).rows, 2);
    assert_int_equal(choose(VKFT_ATTENTION_DELTA, 64).rows, 1);
    vkft_test_environment("VKFT_ATTENTION", "lanes:3");
    expect_failure(vkft_attention_setup(NULL, &head64, &err), "powers of two, N up to 64");
    vkft_test_environment("VKFT_ATTENTION", NULL);
}

int main(void)
{
    vkft_test_environment("VKFT_ATTENTION", NULL);
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_matrix_cores), cmocka_unit_test(test_lanes),
                                       cmocka_unit_test(test_setup), cmocka_unit_test(test_selftest),
                                       cmocka_unit_test(test_wishes)};
    return cmocka_run_group_tests_name("attention_kernels", tests, NULL, NULL);
}
