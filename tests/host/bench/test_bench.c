/* Measuring the smallest shape: rows, their losses against the reference, and a device that computes something else.
 * The tests put their own function before the set-up of a model's kernels to spoil one after its self-test. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "runtime/base/os/machine.h"
#include "host/bench/bench.h"
#include "host/bench/shapes/shapes.h"
#include "host/engine/matmul/gemm.h"
#include "host/model/model.h"
#include "tests/support/expect.h"
#include "tests/support/program.h"
#include "tests/support/system/system.h"

static bool spoil; /* products by panels: their tiles become smaller than the host thinks, so that rows are left out */

bool __real_vkft_model_setup_kernels(const vkft_model *model, vkft_device *dev, vkft_dtype operands, uint32_t positions,
                                     bool training, vkft_err *err);
bool __wrap_vkft_model_setup_kernels(const vkft_model *model, vkft_device *dev, vkft_dtype operands, uint32_t positions,
                                     bool training, vkft_err *err);
bool __wrap_vkft_model_setup_kernels(const vkft_model *model, vkft_device *dev, vkft_dtype operands, uint32_t positions,
                                     bool training, vkft_err *err)
{
    if (!__real_vkft_model_setup_kernels(model, dev, operands, positions, training, err))
        return false;
    const vkft_tile t = vkft_gemm_of(dev)->tiles.panel;
    const uint32_t constants[] = {t.rows / 2, t.columns, t.band, 0};
    if (spoil)
        vkft_kernel_specialize(dev, VKFT_KERNEL_matmul_panel_quantized, t.width, 0, constants, 4);
    return true;
}

static bool be_a_card; /* not a software device */

const vkft_device_info *__real_vkft_device_get_info(const vkft_device *dev);
const vkft_device_info *__wrap_vkft_device_get_info(const vkft_device *dev);
const vkft_device_info *__wrap_vkft_device_get_info(const vkft_device *dev)
{
    static vkft_device_info info;
    if (!be_a_card)
        return __real_vkft_device_get_info(dev);
    info = *__real_vkft_device_get_info(dev);
    info.caps.software = false;
    return &info;
}

const vkft_caps *__wrap_vkft_device_get_caps(const vkft_device *dev);
const vkft_caps *__wrap_vkft_device_get_caps(const vkft_device *dev)
{
    return &__wrap_vkft_device_get_info(dev)->caps;
}

#define MAX_ROWS 16

typedef struct seen {
    vkft_bench_row rows[MAX_ROWS];
    uint32_t count, begun;
    char said[4000];
} seen;

static void on_begin(void *context, const vkft_device_info *info, double cpu_peak)
{
    (void)cpu_peak;
    assert_true(info->name[0]);
    ((seen *)context)->begun++;
}

static void on_row(void *context, const vkft_bench_row *row)
{
    seen *s = context;
    assert_true(s->count < MAX_ROWS);
    s->rows[s->count++] = *row;
}

static void on_message(void *context, const char *line)
{
    seen *s = context;
    strncat(s->said, line, sizeof s->said - strlen(s->said) - 1);
}

static bool interrupt(void *context)
{
    (void)context;
    return true;
}

static vkft_bench_observer observer_of(seen *s)
{
    return (vkft_bench_observer){.general = {.context = s, .message = on_message}, .begin = on_begin, .row = on_row};
}

static vkft_bench_options small_run(void)
{
    vkft_bench_options o = vkft_bench_defaults();
    o.device = getenv("VKFT_DEVICE");
    o.steps = true;
    o.shapes = "tiny";
    o.context = 64;
    o.new_tokens = 8;
    o.repetitions = 2;
    return o;
}

static void test_rows(void **state)
{
    (void)state;
    vkft_err err;
    seen s = {0};
    const vkft_bench_observer observer = observer_of(&s);
    const vkft_bench_options o = small_run();
    expect_ok(vkft_bench_run(&o, &observer, &err));
    static const char *const tests[] = {"eval", "train", "generate"};
    assert_int_equal(s.count, 3);
    assert_int_equal(s.begun, 1);
    for (uint32_t i = 0; i < 3; i++) {
        const vkft_bench_row *row = &s.rows[i];
        assert_string_equal(row->test, tests[i]);
        assert_string_equal(row->name, "tiny");
        assert_string_equal(row->unit, "tokens/s");
        assert_string_equal(row->quant, "nf4-dq");
        assert_true(row->value > 0 && row->wall_ms > 0);
        assert_true(row->cpu_ms > 0 || vkft_os_is_windows()); /* whose clock of the CPU ticks 64 times a second */
        double tokens = i == 2 ? 1 : 64;
        assert_true(row->value * row->wall_ms > 999 * tokens && row->value * row->wall_ms < 1001 * tokens);
        if (i == 2)
            break;
        assert_int_equal(row->check, VKFT_BENCH_PASS);
        assert_int_equal(row->repetitions, 2);
        assert_int_equal(row->tokens, 64);
        assert_int_equal(row->lora_r, 16);
        assert_true(row->planned_bytes > 0 && row->planned_bytes == row->measured_bytes);
    }
}

/* bf16, fp16 and fp32 hold the same random weights; products in bf16 have a wider bound. */
static void test_types(void **state)
{
    (void)state;
    vkft_err err;
    static const vkft_storage storages[] = {VKFT_STORAGE_none, VKFT_STORAGE_f16, VKFT_STORAGE_f32, VKFT_STORAGE_nf4};
    for (uint32_t i = 0; i < 4; i++) {
        seen s = {0};
        const vkft_bench_observer observer = observer_of(&s);
        vkft_bench_options o = small_run();
        o.repetitions = 0; /* only the check */
        o.quant = storages[i];
        o.compute_dtype = o.quant == VKFT_STORAGE_nf4 ? VKFT_BF16 : VKFT_F32;
        expect_ok(vkft_bench_run(&o, &observer, &err));
        assert_int_equal(s.count, 1);
        assert_string_equal(s.rows[0].test, "train");
        assert_int_equal(s.rows[0].check, VKFT_BENCH_PASS);
        assert_true(s.rows[0].value == 0);
        assert_string_equal(s.rows[0].compute, i == 3 ? "bf16" : "fp32");
    }
    /* Nobody knows what another rank gives. */
    seen s = {0};
    const vkft_bench_observer observer = observer_of(&s);
    vkft_bench_options o = small_run();
    o.repetitions = 0;
    o.lora_r = 3;
    expect_ok(vkft_bench_run(&o, &observer, &err));
    assert_int_equal(s.rows[0].check, VKFT_BENCH_UNCHECKED);
    s = (seen){0};
    o.lora_r = 16;
    o.lora_alpha = 8; /* nor another scale */
    expect_ok(vkft_bench_run(&o, &observer, &err));
    assert_int_equal(s.rows[0].check, VKFT_BENCH_UNCHECKED);
}

static void test_wrong_device(void **state)
{
    (void)state;
    vkft_err err;
    seen s = {0};
    const vkft_bench_observer observer = observer_of(&s);
    const vkft_bench_options o = small_run();
    char *before = vkft_test_swap_environment("VKFT_STRATEGY", "panel,direct");
    spoil = true;
    bool ok = vkft_bench_run(&o, &observer, &err);
    spoil = false;
    vkft_test_environment("VKFT_STRATEGY", before);
    free(before);
    expect_ok(ok);
    assert_int_equal(s.count, 2); /* and nothing is generated */
    for (uint32_t i = 0; i < 2; i++) {
        assert_int_equal(s.rows[i].check, VKFT_BENCH_FAIL);
        assert_true(s.rows[i].value == 0 && s.rows[i].wall_ms == 0);
        assert_non_null(strstr(s.rows[i].note, ", expected "));
    }
}

/* Every device has its rows; what none of them can do is an error. */
static void test_all_devices(void **state)
{
    (void)state;
    vkft_err err;
    vkft_device_info *infos;
    uint32_t count, usable = 0;
    expect_ok(vkft_device_list(&infos, &count, &err));
    for (uint32_t i = 0; i < count; i++)
        usable += infos[i].usable;
    free(infos);
    seen s = {0};
    const vkft_bench_observer observer = observer_of(&s);
    vkft_bench_options o = small_run();
    o.device = "all";
    o.repetitions = 0;
    expect_ok(vkft_bench_run(&o, &observer, &err));
    assert_int_equal(s.begun, usable);
    assert_int_equal(s.count, usable);
#if !defined(__SANITIZE_ADDRESS__) /* which ends a program that asks for so much */
    o.lora_r = 1u << 30;           /* no memory for such adapters */
    expect_failure(vkft_bench_run(&o, &observer, &err), "devices could not be measured, see above");
    assert_non_null(strstr(s.said, "error: "));
#endif
}

/* The peaks of the device, and a row only where it can be measured. */
static void test_peaks(void **state)
{
    (void)state;
    vkft_err err;
    seen s = {0};
    const vkft_bench_observer observer = observer_of(&s);
    vkft_bench_options o = small_run();
    o.steps = false;
    o.peaks = true;
    expect_ok(vkft_bench_run(&o, &observer, &err));
    static const char *const always[] = {"f32 FMA", "memory", "host to device", "device to host", "launch"};
    uint32_t found = 0;
    for (uint32_t i = 0; i < s.count; i++) {
        const vkft_bench_row *row = &s.rows[i];
        assert_string_equal(row->test, "peak");
        assert_true(row->value > 0 && row->repetitions >= 3);
        if (found < 5 && strcmp(row->name, always[found]) == 0)
            found++;
    }
    assert_int_equal(found, 5);
}

/* What takes too long is left out, and named. */
static void test_time_limit(void **state)
{
    (void)state;
    vkft_err err;
    seen s = {0};
    const vkft_bench_observer observer = observer_of(&s);
    vkft_bench_options o = small_run();
    o.shapes = NULL;
    o.time_limit = 1e-3;
    expect_ok(vkft_bench_run(&o, &observer, &err));
    assert_int_equal(s.count, 0);
    assert_non_null(strstr(s.said, "left out: llama-110m (it would take too long"));
    assert_non_null(strstr(s.said, "left out: llama-8b "));
    assert_null(strstr(s.said, "tiny ("));
}

/* A card's kernels are timed by its timestamps, and it takes the kernels of cards. */
static void test_card(void **state)
{
    (void)state;
    vkft_err err;
    seen s = {0};
    const vkft_bench_observer observer = observer_of(&s);
    vkft_bench_options o = small_run();
    o.new_tokens = 0;
    be_a_card = true;
    bool ok = vkft_bench_run(&o, &observer, &err);
    be_a_card = false;
    expect_ok(ok);
    assert_int_equal(s.count, 2);
    for (uint32_t i = 0; i < 2; i++) {
        assert_int_equal(s.rows[i].check, VKFT_BENCH_PASS);
        assert_true(s.rows[i].device_ms > 0 && s.rows[i].per_cpu_second == 0);
    }
}

static void test_errors(void **state)
{
    (void)state;
    vkft_err err;
    seen s = {0};
    vkft_bench_observer observer = observer_of(&s);
    vkft_bench_options o = small_run();
    o.shapes = "tiny,nope";
    expect_failure(vkft_bench_run(&o, &observer, &err),
                   "there is no shape 'nope'; expected some of tiny, llama-110m, ");
    assert_int_equal(err.kind, VKFT_ERR_USAGE);
    assert_int_equal(s.begun, 0);
    o = small_run();
    o.device = "no such device";
    expect_failure(vkft_bench_run(&o, &observer, &err), "no such device");
    o = small_run();
    observer.general.interrupted = interrupt;
    expect_failure(vkft_bench_run(&o, &observer, &err), "interrupted");
    assert_int_equal(err.kind, VKFT_ERR_INTERRUPTED);
    assert_int_equal(s.count, 0);
}

/* The configurations are those that the model's own reader accepts, with as many weights as the table says. */
static void test_shapes(void **state)
{
    (void)state;
    vkft_err err;
    static const double billions[] = {0.0002, 0.110, 0.135, 0.596, 1.1, 1.236, 4.02, 8.03};
    for (uint32_t i = 0; vkft_bench_shapes[i].name; i++) {
        const vkft_bench_shape *shape = &vkft_bench_shapes[i];
        char *text = vkft_bench_shape_config(shape);
        vkft_config config;
        vkft_model model;
        expect_ok(vkft_config_parse(text, strlen(text), shape->name, &config, &err));
        expect_ok(vkft_model_init(&model, &config, NULL, VKFT_STORAGE_none, false, &err));
        uint64_t matrices = 0;
        for (uint32_t t = 0; t < model.tensor_count; t++)
            if (!model.tensors[t].vector)
                matrices += (uint64_t)model.tensors[t].rows * model.tensors[t].cols;
        assert_int_equal(matrices, vkft_bench_shape_parameters(shape));
        double found = 1e-9 * (double)matrices;
        if (i && !(found > 0.99 * billions[i] && found < 1.01 * billions[i]))
            fail_msg("%s: %.4f billion weights", shape->name, found);
        vkft_model_free(&model);
        free(text);
    }
    assert_ptr_equal(vkft_bench_shape_find("llama-8b"), &vkft_bench_shapes[7]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_shapes),       cmocka_unit_test(test_rows),   cmocka_unit_test(test_types),
        cmocka_unit_test(test_card),         cmocka_unit_test(test_errors), cmocka_unit_test(test_time_limit),
        cmocka_unit_test(test_wrong_device), cmocka_unit_test(test_peaks),  cmocka_unit_test(test_all_devices),
    };
    return cmocka_run_group_tests_name("bench", tests, NULL, NULL);
}
