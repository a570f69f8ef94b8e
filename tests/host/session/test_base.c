/* A base that runs share one after another: its weights are uploaded once and stay where they are, nothing else stays,
 * and a run on it computes what a run alone computes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "host/session/base.h"
#include "host/train/train.h"
#include "tests/support/expect.h"
#include "tests/support/program.h"

#define GOLDEN VKFT_TEST_DATA "/golden/llama_gqa/"

typedef struct runs {
    vkft_base base;
    char *dir;
    uint32_t loads;
    uint64_t loaded; /* bytes of the last load */
} runs;

static void count_loads(void *context, const char *what, uint64_t done, uint64_t total)
{
    runs *r = context;
    (void)total;
    if (strcmp(what, "loading") != 0)
        return;
    r->loads += r->loaded == 0 || done < r->loaded;
    r->loaded = done;
}

static vkft_train_result train(runs *r, vkft_base *base, const char *out, uint32_t rank, const char *save,
                               vkft_offload offload)
{
    char path[500];
    vkft_err err = {0};
    vkft_train_result result;
    vkft_train_options o = vkft_train_defaults();
    snprintf(path, sizeof path, "%s/%s", r->dir, out);
    o.model.path = GOLDEN "model";
    o.model.device = getenv("VKFT_DEVICE");
    o.model.quant = VKFT_STORAGE_nf4;
    o.model.quant_explicit = true;
    o.model.offload = offload;
    o.data.path = GOLDEN "train.jsonl";
    o.data.max_seq_length = 64;
    o.output_dir = path;
    o.lora_r = rank;
    o.lora_modules.save = save;
    o.lora_dropout = 0.1f;
    o.max_steps = 2;
    o.learning_rate = 1e-2;
    o.warmup_steps = 0;
    o.gradient_accumulation_steps = 1;
    o.save_strategy = VKFT_WHEN_NEVER;
    o.base = base;
    const vkft_train_observer observer = {.general = {.context = r, .work = count_loads}};
    expect_ok(vkft_train(&o, &observer, &result, &err));
    return result;
}

static void same_adapter(const runs *r, const char *a, const char *b)
{
    vkft_test_same_file(r->dir, a, b, "adapter_model.safetensors");
}

static uint64_t weight_bytes(const vkft_base *base)
{
    uint64_t bytes = 0;
    for (uint32_t i = 0; i < base->weights.buffer_count; i++)
        bytes += base->weights.buffers[i].kind == VKFT_MEMORY_DEVICE ? base->weights.buffers[i].size_bytes : 0;
    return bytes;
}

static void expect_only_weights(const vkft_base *base)
{
    vkft_memory_stats stats = vkft_memory_get_stats(base->dev);
    assert_true(weight_bytes(base) > 0);
    assert_int_equal(stats.device_bytes, weight_bytes(base));
}

static void loaded_once(void **state)
{
    runs *r = *state;
    const vkft_train_result alone = train(r, NULL, "alone", 8, NULL, VKFT_OFFLOAD_NONE);
    assert_int_equal(r->loads, 1);
    train(r, &r->base, "first", 16, NULL, VKFT_OFFLOAD_NONE);
    assert_int_equal(r->loads, 2);
    expect_only_weights(&r->base);
    const vkft_device *dev = r->base.dev;
    const uint64_t address = r->base.weights.buffers[0].address;
    const uint64_t allocations = vkft_memory_get_stats(dev).allocations;
    const vkft_train_result second = train(r, &r->base, "second", 8, NULL, VKFT_OFFLOAD_NONE);
    assert_int_equal(r->loads, 2);
    expect_only_weights(&r->base);
    assert_true(r->base.dev == dev && r->base.weights.buffers[0].address == address);
    const uint64_t per_run = vkft_memory_get_stats(dev).allocations - allocations;
    train(r, &r->base, "third", 8, NULL, VKFT_OFFLOAD_NONE);
    assert_int_equal(vkft_memory_get_stats(dev).allocations - allocations, 2 * per_run);
    assert_true(second.peak_memory_bytes == alone.peak_memory_bytes && second.last_loss == alone.last_loss);
    same_adapter(r, "alone", "second");
    same_adapter(r, "alone", "third");
}

/* Weights that lie elsewhere are loaded again, in the place of the others. */
static void loaded_again(void **state)
{
    runs *r = *state;
    uint64_t all = weight_bytes(&r->base);
    if (r->base.in_place.count) {
        print_message("skipped: weights stay in the file (VKFT_IN_PLACE=1)\n");
        skip();
    }
    r->loads = 0;
    train(r, &r->base, "streamed", 8, NULL, VKFT_OFFLOAD_WEIGHTS);
    assert_int_equal(r->loads, 1);
    assert_int_equal(vkft_memory_get_stats(r->base.dev).device_bytes, 0);
    train(r, &r->base, "saved", 8, "lm_head", VKFT_OFFLOAD_NONE);
    assert_int_equal(r->loads, 2);
    assert_true(weight_bytes(&r->base) < all);
    expect_only_weights(&r->base);
    train(r, &r->base, "fourth", 8, NULL, VKFT_OFFLOAD_NONE);
    assert_int_equal(r->loads, 3);
    assert_int_equal(weight_bytes(&r->base), all);
    same_adapter(r, "alone", "streamed");
    same_adapter(r, "alone", "fourth");
}

static int set_up(void **state)
{
    runs *r = calloc(1, sizeof *r);
    r->dir = vkft_test_directory();
    *state = r;
    return 0;
}

static int tear_down(void **state)
{
    runs *r = *state;
    vkft_base_close(&r->base);
    vkft_test_remove_directory(r->dir);
    free(r);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(loaded_once), cmocka_unit_test(loaded_again)};
    return cmocka_run_group_tests_name("base", tests, set_up, tear_down);
}
