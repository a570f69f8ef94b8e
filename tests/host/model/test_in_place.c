/* Weights that stay in the model file: the same bits as from a copy, the bytes of the plan, none in device memory. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "host/model/in_place.h"
#include "host/model/model.h"
#include "tests/support/expect.h"
#include "tests/support/program.h"
#include "tests/support/system/system.h"

#define GOLDEN VKFT_TEST_DATA "/golden/"

static cJSON *run(const char *format, const char *model, const char *dir, int way, const char *more)
{
    char command[1500];
    snprintf(command, sizeof command, format, model, model, dir, way, more);
    vkft_test_result r = vkft_test_program("%s --json", command);
    if (r.exit_code != 0)
        fail_msg("%s: %s", command, r.err);
    cJSON *json = cJSON_Parse(r.out);
    assert_non_null(json);
    vkft_test_result_free(&r);
    return json;
}

static double number(const cJSON *object, const char *name)
{
    const cJSON *value = cJSON_GetObjectItem(object, name);
    return cJSON_IsNumber(value) ? value->valuedouble : 0;
}

/* Grouped queries, an encoder before the decoder, experts. */
static void test_same_bits(void **state)
{
    static const char *const models[] = {"llama_gqa", "t5", "qwen3_moe"};
    static const char train[] = "train --model " GOLDEN "%s/model --data " GOLDEN "%s --output-dir %s/%d --quant nf4 "
                                "--lora-r 4 --lora-dropout 0.1 --batch-size 2 --gradient-accumulation-steps 2 "
                                "--max-steps 3 --eval-steps 3%s";
    (void)state;
    for (size_t m = 0; m < sizeof models / sizeof *models; m++) {
        char *dir = vkft_test_directory();
        double frozen[2];
        for (int way = 0; way < 2; way++) {
            vkft_test_environment("VKFT_IN_PLACE", way ? "1" : NULL);
            cJSON *plan = run(train, models[m], dir, way, " --dry-run"), *trained = run(train, models[m], dir, way, "");
            frozen[way] = number(plan, "frozen weights");
            assert_true(number(trained, "peak_memory_bytes") == number(plan, "device_bytes"));
            bool in_place = number(plan, "weights in the file (host)") > 0;
            cJSON_Delete(plan), cJSON_Delete(trained);
            if (way && !in_place) {
                vkft_test_environment("VKFT_IN_PLACE", NULL);
                vkft_test_remove_directory(dir);
                print_message("skipped: the device does not read memory of the host where it is\n");
                skip();
            }
            assert_true(in_place == way);
        }
        assert_true(frozen[1] < frozen[0] / 2);
        vkft_test_same_file(dir, "0", "1", "adapter_model.safetensors");
        vkft_test_remove_directory(dir);
    }
    vkft_test_environment("VKFT_IN_PLACE", NULL);
}

/* All weights of a file, in parts of whole pages: each byte of them has the address that belongs to it. */
static void test_parts(void **state)
{
    (void)state;
    vkft_err err;
    vkft_model model;
    vkft_device *dev = vkft_device_open(getenv("VKFT_DEVICE"), &err);
    if (!dev || !vkft_device_get_info(dev)->caps.software || !vkft_in_place_can(vkft_device_get_info(dev))) {
        vkft_device_close(dev);
        print_message("skipped: the device does not read memory of the host where it is\n");
        skip();
    }
    char *dir = vkft_test_directory(), path[600];
    vkft_test_program_ok("convert " GOLDEN "llama_gqa/model -o %s/model.vkft", dir);
    snprintf(path, sizeof path, "%s/model.vkft", dir);
    vkft_model_file *file = vkft_model_file_open(path, &err);
    if (!file)
        fail_msg("%s", err.message);
    expect_ok(vkft_model_init(&model, vkft_model_file_config(file), file, VKFT_STORAGE_nf4, false, &err));
    uint64_t largest = 0, before = vkft_memory_get_stats(dev).host_bytes;
    for (uint64_t limit = 1u << 30; limit > 4096; limit = limit > 65536 ? 65536 : limit - 4096) {
        vkft_in_place in_place;
        if (!vkft_in_place_open(&in_place, model.tensors, model.tensor_count, file, dev, limit, &err)) {
            assert_non_null(strstr(err.message, "above what the device allows"));
            assert_true(largest > limit);
            break;
        }
        assert_true(in_place.largest <= limit && in_place.bytes % 4096 == 0);
        assert_int_equal(vkft_memory_get_stats(dev).host_bytes, before + in_place.bytes);
        largest = 0;
        for (uint32_t i = 0; i < model.tensor_count; i++) {
            const vkft_model_tensor *t = vkft_model_file_find(file, model.tensors[i].name);
            for (uint32_t part = 0; model.tensors[i].weight && part < VKFT_PARTS; part++) {
                if (!model.tensors[i].bytes[part])
                    continue;
                const char *bytes = t->part[part];
                uint64_t first = vkft_in_place_address(&in_place, bytes);
                assert_int_equal(vkft_in_place_address(&in_place, bytes + t->bytes[part] - 1),
                                 first + t->bytes[part] - 1);
                assert_int_equal(first % VKFT_BUFFER_ALIGNMENT, 0);
                largest = t->bytes[part] + 8192 > largest ? t->bytes[part] + 8192 : largest;
            }
        }
        vkft_in_place_close(&in_place, dev);
        assert_int_equal(vkft_memory_get_stats(dev).host_bytes, before);
    }
    vkft_model_free(&model);
    vkft_model_file_close(file);
    vkft_device_close(dev);
    vkft_test_remove_directory(dir);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_same_bits), cmocka_unit_test(test_parts)};
    return cmocka_run_group_tests_name("in place", tests, NULL, NULL);
}
