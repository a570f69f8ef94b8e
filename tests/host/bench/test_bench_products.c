/* The list of products that vkft bench --kernels measures: each is recorded and described; the test stands in for the
 * stopwatch, so that none is run. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "host/bench/kernels/fastest.h"
#include "host/bench/kernels/products.h"
#include "tests/support/expect.h"
#include "tests/support/kernels/kernel_test.h"

bool __wrap_vkft_bench_fastest(vkft_device *dev, vkft_commands *cmds, double work, double minimum_ms,
                               vkft_bench_row *row, vkft_err *err);
bool __wrap_vkft_bench_fastest(vkft_device *dev, vkft_commands *cmds, double work, double minimum_ms,
                               vkft_bench_row *row, vkft_err *err)
{
    (void)dev, (void)minimum_ms, (void)err;
    assert_true(vkft_commands_launch_count(cmds) > 0);
    assert_true(work == 2e-9 * row->M * row->N * row->K);
    row->value = row->per_cpu_second = 50;
    return true;
}

double __wrap_vkft_cpu_fma_peak(void);
double __wrap_vkft_cpu_fma_peak(void)
{
    return 200;
}

#define GGUF_TYPES 10 /* which are measured at one of three sizes */

typedef struct seen {
    uint32_t count, grouped, outer;
    bool stop;
} seen;

static void on_row(void *context, const vkft_bench_row *row)
{
    seen *s = context;
    assert_string_equal(row->test, "product");
    assert_true(row->percent_of_peak == 25);
    s->grouped += strncmp(row->name, "128x ", 5) == 0;
    s->outer += strncmp(row->name, "TN ", 3) == 0;
    s->count++;
}

static bool interrupted(void *context)
{
    const seen *s = context;
    return s->stop && s->count == 1;
}

static void test_all(void **state)
{
    const vkft_kernel_fixture *f = *state;
    vkft_err err = {0};
    seen s = {0};
    const vkft_bench_observer observer = {.general = {.context = &s, .interrupted = interrupted}, .row = on_row};
    const vkft_bench_peak peak = {.f32 = 200, .matrix = 200};
    expect_ok(vkft_bench_products(f->dev, VKFT_COMPUTE_AUTO, &peak, &observer, &err));
    const uint32_t large = vkft_device_get_caps(f->dev)->software ? 0 : 6;
    assert_int_equal(s.count, 3 * (2 * VKFT_STORAGE_COUNT + 1) - 2 * 2 * GGUF_TYPES + 4 + large + 2 + 2 + 2);
    assert_int_equal(s.grouped, 2);
    assert_int_equal(s.outer, 5);
    s = (seen){.stop = true};
    expect_failure(vkft_bench_products(f->dev, VKFT_COMPUTE_AUTO, &peak, &observer, &err),
                   "interrupted while measuring");
    assert_int_equal(err.kind, VKFT_ERR_INTERRUPTED);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_all)};
    return cmocka_run_group_tests_name("bench_products", tests, vkft_kernel_setup, vkft_kernel_teardown);
}
