/* Checkpoints that bitsandbytes quantized: what belongs to a weight is taken as it is, and whatever is missing or
 * another than bitsandbytes writes it is refused with its name. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cjson/cJSON.h>
#include <cmocka.h>

#include "formats/tensors/prequantized.h"
#include "formats/tensors/safetensors.h"
#include "tests/support/expect.h"

#define NF4 VKFT_TEST_DATA "/bnb/nf4/model.safetensors"
#define NF4_DOUBLE VKFT_TEST_DATA "/bnb/nf4_dq/model.safetensors"
#define WEIGHT "model.layers.0.mlp.down_proj.weight"
#define STATE "quant_state.bitsandbytes__nf4"

/* One tensor of a checkpoint that is another, or missing. */
typedef struct substitute {
    const char *suffix; /* of the weight's; "" is the weight, NULL nothing is changed */
    bool missing;
    const char *data; /* its bytes; NULL: as they are */
    uint64_t elements;
    vkft_dtype dtype;
} substitute;

typedef struct checkpoint {
    vkft_tensor_file file, other; /* other: what holds the changed data */
    substitute change;
    vkft_file_tensor changed;
} checkpoint;

static bool find(const void *context, const char *name, vkft_shard_tensor *found)
{
    checkpoint *c = (checkpoint *)(uintptr_t)context;
    char changed[200];
    const vkft_file_tensor *t = vkft_tensor_file_find(&c->file, name);
    *found = (vkft_shard_tensor){&c->file, t};
    snprintf(changed, sizeof changed, "%s%s%s", WEIGHT, c->change.suffix && *c->change.suffix ? "." : "",
             c->change.suffix ? c->change.suffix : "?");
    if (!t || strcmp(name, changed) != 0)
        return t != NULL;
    c->changed = *t;
    c->changed.elements = c->change.elements ? c->change.elements : t->elements;
    c->changed.dtype = c->change.elements ? c->change.dtype : t->dtype;
    found->tensor = &c->changed;
    if (c->change.data) {
        c->other = (vkft_tensor_file){
            .path = c->file.path, .mapping = {.data = (const uint8_t *)c->change.data, .size = strlen(c->change.data)}};
        c->changed.offset = 0;
        c->changed.bytes = strlen(c->change.data);
        found->shard = &c->other;
    }
    return !c->change.missing;
}

static bool take(const char *path, substitute change, vkft_prequantized_weight *parts, bool *is_quantized,
                 vkft_err *err)
{
    checkpoint c = {.change = change};
    vkft_shard_tensor weight;
    const vkft_tensor_finder finder = {find, &c};
    assert_true(vkft_safetensors_open(path, &c.file, err));
    assert_true(find(&c, WEIGHT, &weight));
    const vkft_file_tensor copy = *weight.tensor; /* looking for others overwrites a changed one */
    weight.tensor = &copy;
    *parts = (vkft_prequantized_weight){0};
    bool ok = vkft_bitsandbytes.find(&finder, &weight, parts, is_quantized, err);
    vkft_tensor_file_close(&c.file);
    return ok;
}

static void refused(const char *path, substitute change, const char *part)
{
    vkft_err err = {0};
    vkft_prequantized_weight parts;
    bool is_quantized;
    bool ok = take(path, change, &parts, &is_quantized, &err);
    if (ok || !strstr(err.message, part) || !strstr(err.message, path))
        fail_msg("%s: expected \"%s\", found \"%s\"", change.suffix, part, ok ? "a weight" : err.message);
}

static void test_taken(void **state)
{
    (void)state;
    vkft_err err = {0};
    vkft_prequantized_weight parts;
    bool is_quantized;
    expect_ok(take(NF4_DOUBLE, (substitute){0}, &parts, &is_quantized, &err));
    assert_true(is_quantized && parts.stored.storage == VKFT_STORAGE_nf4_dq);
    assert_true(parts.stored.rows == 45 && parts.stored.cols == 64);
    expect_ok(take(NF4, (substitute){0}, &parts, &is_quantized, &err));
    assert_true(is_quantized && parts.stored.storage == VKFT_STORAGE_nf4);
    /* Without a state the weight is none of bitsandbytes'. */
    expect_ok(take(NF4, (substitute){.suffix = STATE, .missing = true}, &parts, &is_quantized, &err));
    assert_false(is_quantized);
}

static void test_companions(void **state)
{
    (void)state;
    static char zeros[1024];
    memset(zeros, '0', sizeof zeros - 1);
    refused(NF4, (substitute){.suffix = "absmax", .missing = true},
            "'" WEIGHT ".absmax' is missing; the quantized checkpoint is not whole");
    refused(NF4, (substitute){.suffix = "absmax", .elements = 44, .dtype = VKFT_F32},
            "'" WEIGHT ".absmax' has 44 elements of F32; expected 45 of F32");
    refused(NF4, (substitute){.suffix = "absmax", .elements = 45, .dtype = VKFT_U8},
            "has 45 elements of U8; expected 45 of F32");
    refused(NF4, (substitute){.suffix = "quant_map", .missing = true}, ".quant_map' is missing");
    refused(NF4, (substitute){.suffix = "quant_map", .data = zeros},
            "'" WEIGHT ".quant_map' is another table than that of bitsandbytes");
    refused(NF4_DOUBLE, (substitute){.suffix = "absmax", .elements = 45, .dtype = VKFT_F32}, "expected 45 of U8");
    refused(NF4_DOUBLE, (substitute){.suffix = "nested_absmax", .missing = true}, ".nested_absmax' is missing");
    refused(NF4_DOUBLE, (substitute){.suffix = "nested_quant_map", .data = zeros},
            ".nested_quant_map' is another table than that of bitsandbytes");
    refused(NF4, (substitute){.suffix = "", .elements = 1440, .dtype = VKFT_F32},
            "tensor '" WEIGHT "' has 1440 elements of F32; expected 1440 of U8");
    refused(NF4, (substitute){.suffix = "", .elements = 1441, .dtype = VKFT_U8}, "expected 1440 of U8");
}

static void test_states(void **state)
{
    (void)state;
    static const char *const states[][2] = {
        {"{\"blocksize\": 128, \"shape\": [45, 64]}", "blocks of 128 and 256; expected 64 and 256"},
        {"{\"blocksize\": 64, \"nested_blocksize\": 128, \"shape\": [45, 64]}", "blocks of 64 and 128"},
        {"{\"shape\": [45, 64]}", "key 'blocksize' is missing"},
        {"{\"blocksize\": 64}", "key 'shape' is missing"},
        {"{\"blocksize\": 64, \"shape\": [45]}", "'shape' must be two whole numbers"},
        {"{\"blocksize\": 64, \"shape\": [45, -64]}", "'shape' must be two whole numbers"},
        {"{\"blocksize\": 64, \"shape\": [45.5, 64]}", "'shape' must be two whole numbers"},
        {"{\"blocksize\": 64, \"shape\": [1e300, 64]}", "'shape' must be two whole numbers"},
        {"{\"blocksize\": 64, \"shape\": [45, 63]}", "expected 14"},
        {"{\"blocksize\": 64, \"nested_offset\": \"x\", \"shape\": [45, 64]}", "nested_offset"},
        {"{\"blocksize\": 64", "line 1"},
        {"5", "blocksize"},
    };
    for (size_t i = 0; i < sizeof states / sizeof *states; i++)
        refused(NF4, (substitute){.suffix = STATE, .data = states[i][0]}, states[i][1]);
}

static void test_configurations(void **state)
{
    (void)state;
    static const struct {
        const char *json, *part; /* NULL: it is taken */
    } cases[] = {
        {"{\"quant_method\": \"bitsandbytes\", \"load_in_4bit\": true}", NULL},
        {"{\"quant_method\": \"bitsandbytes\"}", NULL},
        {"{\"load_in_8bit\": true, \"load_in_4bit\": false}", "config.json: the checkpoint is quantized already "
                                                              "(quant_method bitsandbytes, 8 bits)"},
        {"{\"load_in_4bit\": false}", "8 bits"},
        {"{\"load_in_4bit\": 1}", "load_in_4bit"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        vkft_err err = {0};
        cJSON *json = cJSON_Parse(cases[i].json);
        bool ok = vkft_bitsandbytes.methods[0].check(json, "config.json", &err);
        if (ok != !cases[i].part || (!ok && !strstr(err.message, cases[i].part)))
            fail_msg("%s: %s", cases[i].json, ok ? "taken" : err.message);
        cJSON_Delete(json);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_taken), cmocka_unit_test(test_companions),
                                       cmocka_unit_test(test_states), cmocka_unit_test(test_configurations)};
    return cmocka_run_group_tests_name("bnb", tests, NULL, NULL);
}
