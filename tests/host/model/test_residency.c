/* Where weights lie: blocks are contiguous, buffers stay below their limit, and a block can be moved as a whole. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "host/model/model.h"
#include "tests/support/expect.h"

static const char llama[] = "{\"model_type\": \"llama\", \"vocab_size\": 61, \"hidden_size\": 32, "
                            "\"intermediate_size\": 48, \"num_hidden_layers\": 3, \"num_attention_heads\": 4, "
                            "\"num_key_value_heads\": 2}";

static void lay_out(vkft_model *model, vkft_config *config, vkft_storage quant)
{
    vkft_err err;
    expect_ok(vkft_config_parse(llama, strlen(llama), "config.json", config, &err));
    expect_ok(vkft_model_init(model, config, NULL, quant, false, &err));
}

/* Every tensor is in one range, every range in one buffer, and nothing shares a byte. */
static void check(const vkft_residency *r, const vkft_model *model, uint64_t limit)
{
    uint32_t next = 0;
    uint64_t ends[64] = {0}, device_bytes = 0, host_bytes = 0;
    assert_true(r->buffer_count <= 64);
    for (uint32_t i = 0; i < r->range_count; i++) {
        const vkft_weight_range *range = &r->ranges[i];
        assert_int_equal(range->first, next);
        uint64_t bytes = 0;
        for (; next < range->end; next++) {
            bytes += vkft_tensor_spec_bytes(&model->tensors[next]);
            assert_int_equal(model->tensors[next].block, model->tensors[range->first].block);
            assert_int_equal(model->tensors[next].host, range->host);
        }
        assert_int_equal(range->bytes, bytes);
        assert_int_equal(range->offset, ends[range->buffer]);
        assert_int_equal(r->buffers[range->buffer].kind, range->host ? VKFT_MEMORY_HOST : VKFT_MEMORY_DEVICE);
        ends[range->buffer] += bytes;
        assert_true(ends[range->buffer] <= limit || ends[range->buffer] == bytes);
        *(range->host ? &host_bytes : &device_bytes) += bytes;
    }
    assert_int_equal(next, model->tensor_count);
    for (uint32_t i = 0; i < r->buffer_count; i++)
        assert_int_equal(r->buffers[i].size_bytes, ends[i]);
    assert_int_equal(device_bytes, model->device_bytes);
    assert_int_equal(host_bytes, model->host_bytes);
}

static void test_ranges(void **state)
{
    (void)state;
    vkft_err err;
    vkft_config config;
    vkft_model model;
    vkft_residency r;
    lay_out(&model, &config, VKFT_STORAGE_nf4_dq);
    expect_ok(vkft_residency_plan(&r, model.tensors, model.tensor_count, 1 << 30, VKFT_WEIGHTS_RESIDENT, &err));
    check(&r, &model, 1 << 30);
    assert_int_equal(r.range_count, 1 + 3 + 2); /* embedding, blocks, final norm and head */
    assert_int_equal(r.buffer_count, 2);        /* the embedding is in host memory */
    uint64_t block = r.ranges[1].bytes;
    vkft_residency_free(&r, NULL);

    expect_ok(
        vkft_residency_plan(&r, model.tensors, model.tensor_count, block + block / 2, VKFT_WEIGHTS_RESIDENT, &err));
    check(&r, &model, block + block / 2);
    assert_int_equal(r.range_count, 6);
    assert_true(r.ranges[1].buffer != r.ranges[2].buffer && r.ranges[2].buffer != r.ranges[3].buffer);
    vkft_residency_free(&r, NULL);

    expect_ok(vkft_residency_plan(&r, model.tensors, model.tensor_count, block / 2, VKFT_WEIGHTS_RESIDENT,
                                  &err)); /* no block fits */
    check(&r, &model, block / 2);
    assert_true(r.range_count > 6);
    vkft_residency_free(&r, NULL);
    vkft_model_free(&model);
}

/* Streamed: blocks have no place of their own, everything else has the same as before. */
static void test_streamed(void **state)
{
    (void)state;
    vkft_err err;
    vkft_config config;
    vkft_model model;
    vkft_residency r;
    lay_out(&model, &config, VKFT_STORAGE_nf4_dq);
    expect_ok(vkft_residency_plan(&r, model.tensors, model.tensor_count, 1 << 30, VKFT_WEIGHTS_STREAMED, &err));
    uint64_t held[2] = {0}, largest = 0, moved = 0;
    for (uint32_t i = 0; i < r.range_count; i++) {
        const vkft_weight_range *range = &r.ranges[i];
        assert_int_equal(range->block, model.tensors[range->first].block);
        if (range->block) {
            assert_int_equal(range->offset, 0);
            largest = range->bytes > largest ? range->bytes : largest;
            moved += range->bytes;
        } else {
            held[range->host] += range->bytes;
        }
    }
    assert_int_equal(r.ring.slot_bytes, largest);
    assert_int_equal(r.ring.blocks, 3);
    vkft_residency_bytes bytes = vkft_residency_measure(model.tensors, model.tensor_count, VKFT_WEIGHTS_STREAMED);
    assert_int_equal(bytes.device, held[0]);
    assert_int_equal(bytes.host, held[1]);
    assert_int_equal(bytes.ring, 2 * largest);
    assert_int_equal(bytes.staging, largest);
    assert_int_equal(bytes.moved, moved);
    vkft_residency_free(&r, NULL);
    vkft_residency_bytes resident = vkft_residency_measure(model.tensors, model.tensor_count, VKFT_WEIGHTS_RESIDENT);
    assert_int_equal(resident.device, model.device_bytes);
    assert_int_equal(resident.host, model.host_bytes);
    assert_int_equal(resident.device, bytes.device + moved);
    assert_true(resident.ring == 0 && resident.staging == 0 && resident.moved == 0);
    expect_failure(vkft_residency_plan(&r, model.tensors, model.tensor_count, largest - 1, VKFT_WEIGHTS_STREAMED, &err),
                   "the weights of block ");
    vkft_model_free(&model);
}

/* All addresses of a block follow from where it begins. */
static void test_place(void **state)
{
    (void)state;
    vkft_err err;
    vkft_config config;
    vkft_model model;
    vkft_residency r;
    lay_out(&model, &config, VKFT_STORAGE_nf4_dq);
    expect_ok(vkft_residency_plan(&r, model.tensors, model.tensor_count, 1 << 30, VKFT_WEIGHTS_RESIDENT, &err));
    const vkft_weight_range *range = &r.ranges[2];
    const vkft_layer *layer = &model.decoder.layers[1], before = model.decoder.layers[0];
    for (uint64_t base = 1 << 20; base <= 3 << 20; base += 1 << 20) {
        vkft_residency_place(range, model.tensors, base);
        assert_int_equal(layer->norm[VKFT_NORM_ATTENTION].gain, base);
        const vkft_weight *w = &layer->linear[VKFT_DOWN].w; /* the last tensor, with codes, scales and their scales */
        assert_int_equal(w->part[1] - w->part[0], 32 * 48 / 2);
        assert_true(w->part[2] > w->part[1] && w->part[2] + VKFT_BUFFER_ALIGNMENT == base + range->bytes);
        assert_memory_equal(&before, &model.decoder.layers[0], sizeof before);
    }
    vkft_residency_free(&r, NULL);
    vkft_model_free(&model);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_ranges), cmocka_unit_test(test_streamed),
                                       cmocka_unit_test(test_place)};
    return cmocka_run_group_tests_name("residency", tests, NULL, NULL);
}
