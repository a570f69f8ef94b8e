/* Random weights: the same on every machine, of the deviation that they are said to have, and exact in every type
 * without scales. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "host/model/random_weights.h"
#include "tests/support/expect.h"
#include "tests/support/kernels/kernel_test.h"

#define ROWS 333u
#define COLS 1031u
#define COUNT (ROWS * COLS)

static vkft_device *device(void)
{
    vkft_err err;
    vkft_device *dev = vkft_device_open(getenv("VKFT_DEVICE"), &err);
    if (!dev)
        fail_msg("%s", err.message);
    return dev;
}

/* The values of a matrix, between canaries. */
static float *make(vkft_device *dev, vkft_storage storage, uint32_t index)
{
    vkft_err err;
    vkft_weight weight = {0};
    struct vkft_tensor_spec t = {.name = "model.layers.0.self_attn.q_proj.weight",
                                 .weight = &weight,
                                 .rows = ROWS,
                                 .cols = COLS,
                                 .storage = storage};
    uint64_t bytes[VKFT_PARTS], at = 256, total = 512;
    expect_ok(vkft_storage_part_bytes(storage, ROWS, COLS, bytes));
    for (uint32_t part = 0; part < VKFT_PARTS; part++)
        total += t.bytes[part] = (bytes[part] + 255) / 256 * 256;
    vkft_buffer buffer = {0};
    expect_ok(vkft_buffer_new(dev, total, VKFT_MEMORY_DEVICE, "weights", &buffer, &err));
    expect_ok(vkft_buffer_fill(dev, &buffer, 0, total, 0xa5a5a5a5, &err));
    expect_ok(vkft_random_weights_make(dev, &buffer, at, &t, index, &err));
    uint8_t *all = malloc(total);
    expect_ok(vkft_buffer_read(dev, &buffer, 0, all, total, &err));
    for (uint32_t i = 0; i < 256; i++)
        assert_true(all[i] == 0xa5 && all[total - 1 - i] == 0xa5);
    vkft_stored stored = {.storage = storage, .rows = ROWS, .cols = COLS, .offset = weight.offset};
    for (uint32_t part = 0; part < VKFT_PARTS; at += t.bytes[part], part++)
        stored.part[part] = bytes[part] ? all + at : NULL;
    float *values = malloc(COUNT * sizeof *values);
    vkft_storage_get(storage)->codec->decode(&stored, values);
    free(all);
    vkft_buffer_free(dev, &buffer);
    return values;
}

static void test_values(void **state)
{
    (void)state;
    static const vkft_storage storages[] = {VKFT_STORAGE_f32, VKFT_STORAGE_bf16, VKFT_STORAGE_f16, VKFT_STORAGE_nf4,
                                            VKFT_STORAGE_nf4_dq};
    vkft_device *dev = device();
    float *plain = make(dev, VKFT_STORAGE_f32, 7);
    for (uint32_t s = 0; s < sizeof storages / sizeof *storages; s++) {
        float *values = make(dev, storages[s], 7), *again = make(dev, storages[s], 7),
              *other = make(dev, storages[s], 8);
        double sum = 0, squares = 0, product = 0;
        for (uint32_t i = 0; i < COUNT; i++) {
            sum += values[i];
            squares += (double)values[i] * values[i];
            product += (double)values[i] * other[i];
        }
        double deviation = sqrt(squares / COUNT);
        assert_true(fabs(sum / COUNT) <
                    5 * deviation / sqrt(COUNT)); /* also of types in blocks, whose signs are random */
        assert_true(deviation > 0.017 && deviation < 0.023);
        assert_true(fabs(product / COUNT) <
                    4 * deviation * deviation / sqrt(COUNT)); /* another tensor is another one */
        assert_memory_equal(values, again, COUNT * sizeof *values);
        if (!vkft_storage_is_quantized(storages[s]))
            assert_memory_equal(values, plain, COUNT * sizeof *values);
        free(values), free(again), free(other);
    }
    /* A value of the generator's, so that no version makes other weights unseen. */
    assert_true(plain[0] == -45 * 0x1p-13f && plain[COUNT - 1] == -249 * 0x1p-13f);
    free(plain);
    vkft_device_close(dev);
}

static void test_vectors(void **state)
{
    (void)state;
    vkft_err err;
    vkft_device *dev = device();
    uint64_t address;
    vkft_buffer buffer = {0};
    expect_ok(vkft_buffer_new(dev, 1024, VKFT_MEMORY_DEVICE, "vectors", &buffer, &err));
    expect_ok(vkft_buffer_fill(dev, &buffer, 0, 1024, 0xffffffff, &err));
    struct vkft_tensor_spec gain = {.name = "model.norm.weight", .vector = &address, .rows = 1, .cols = 31},
                            bias = {.name = "model.norm.bias", .vector = &address, .rows = 1, .cols = 31};
    expect_ok(vkft_random_weights_make(dev, &buffer, 0, &gain, 0, &err));
    expect_ok(vkft_random_weights_make(dev, &buffer, 256, &bias, 1, &err));
    float values[128];
    expect_ok(vkft_buffer_read(dev, &buffer, 0, values, sizeof values, &err));
    for (uint32_t i = 0; i < 32; i++) {
        assert_true(i == 31 ? isnan(values[i]) : values[i] == 1);
        assert_true(i == 31 ? isnan(values[64 + i]) : values[64 + i] == 0);
    }
    vkft_buffer_free(dev, &buffer);
    vkft_device_close(dev);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_values), cmocka_unit_test(test_vectors)};
    return cmocka_run_group_tests_name("random_weights", tests, NULL, NULL);
}
