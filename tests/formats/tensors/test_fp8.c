/* FP8 E4M3: every code against the definition, scales of blocks, what is not finite; checkpoints that hold it, and
 * those that are refused. */
#include <inttypes.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "formats/convert/convert.h"
#include "formats/tensors/safetensors.h"
#include "formats/tensors/storage.h"
#include "runtime/base/directory.h"
#include "runtime/base/file.h"
#include "tests/support/expect.h"
#include "tests/support/fp8_checkpoint.h"
#include "tests/support/program.h"
#include "tests/support/tiny_model.h"

static void every_code(void **state)
{
    (void)state;
    uint8_t codes[256];
    const float scale = 0.75f;
    float values[256];
    for (int i = 0; i < 256; i++)
        codes[i] = (uint8_t)i;
    const vkft_codec *codec = vkft_storage_get(VKFT_STORAGE_fp8)->codec;
    codec->decode(&(vkft_stored){VKFT_STORAGE_fp8, 128, 2, {codes, &scale, NULL}, 0}, values);
    for (int i = 0; i < 256; i++) {
        double want = vkft_test_fp8_value((uint8_t)i) * 0.75;
        assert_true((double)values[i] == want || (isnan(values[i]) && isnan(want)));
        assert_int_equal(signbit(values[i]) != 0, i >= 128);
    }
    assert_true(values[0x7e] == 448 * 0.75f && values[1] == 0x1p-9f * 0.75f && isnan(values[0x7f]) &&
                isnan(values[0xff]));
}

static void blocks(void **state)
{
    (void)state;
    enum { ROWS = 130, COLS = 300 };
    const vkft_codec *codec = vkft_storage_get(VKFT_STORAGE_fp8)->codec;
    uint64_t bytes[VKFT_PARTS];
    assert_true(vkft_storage_part_bytes(VKFT_STORAGE_fp8, ROWS, COLS, bytes));
    assert_true(bytes[VKFT_PART_DATA] == ROWS * COLS && bytes[VKFT_PART_SCALES] == 2 * 3 * sizeof(float) &&
                bytes[VKFT_PART_SUPER] == 0);
    static uint8_t codes[ROWS * COLS];
    static float values[ROWS * COLS];
    float scales[6] = {1, 2, 3, 4, 5, 6};
    memset(codes, 0x38, sizeof codes); /* 1 */
    vkft_stored w = {VKFT_STORAGE_fp8, ROWS, COLS, {codes, scales, NULL}, 0};
    codec->decode(&w, values);
    for (uint32_t i = 0; i < ROWS; i++)
        for (uint32_t j = 0; j < COLS; j++)
            assert_true(values[i * COLS + j] == (float)(1 + i / 128 * 3 + j / 128));
    assert_true(codec->first_not_finite(&w) == UINT64_MAX);
    codes[777] = 0xff;
    assert_int_equal(codec->first_not_finite(&w), 777);
    codes[777] = 0x7f;
    assert_int_equal(codec->first_not_finite(&w), 777);
    codes[777] = 0x7e;
    scales[4] = INFINITY;
    assert_int_equal(codec->first_not_finite(&w), 128 * COLS + 128);
}

typedef struct fixture {
    char *dir;
    char source[512], fp8[512], f32[512], out[512];
} fixture;

static int set_up(void **state)
{
    fixture *f = calloc(1, sizeof *f);
    vkft_err err = {0};
    f->dir = vkft_test_directory();
    char *const paths[] = {f->source, f->fp8, f->f32, f->out};
    static const char *const names[] = {"source", "fp8", "f32", "out.vkft"};
    for (int i = 0; i < 4; i++) {
        snprintf(paths[i], 512, "%s/%s", f->dir, names[i]);
        if (i < 3)
            expect_ok(vkft_directory_create(paths[i], &err));
    }
    vkft_tiny_model model = vkft_tiny_model_default();
    model.layers = 1;
    model.hidden_size = 132;
    model.heads = 6;
    model.kv_heads = 3;
    model.intermediate_size = 301;
    vkft_tiny_model_write(&model, f->source);
    *state = f;
    return 0;
}

static int tear_down(void **state)
{
    fixture *f = *state;
    vkft_test_remove_directory(f->dir);
    free(f);
    return 0;
}

/* quantization_config of compressed-tensors, with these members of a group's "weights". */
#define COMPRESSED(weights)                                                                                            \
    "{\"quant_method\": \"compressed-tensors\", \"format\": \"float-quantized\", \"ignore\": [\"lm_head\"], "          \
    "\"quantization_status\": \"compressed\", \"transform_config\": {}, \"config_groups\": {\"group_0\": {"            \
    "\"targets\": [\"Linear\"], \"weights\": {" weights ", \"dynamic\": false}, \"input_activations\": {"              \
    "\"num_bits\": 8, \"type\": \"float\", \"strategy\": \"token\", \"dynamic\": true}}}}"
#define FLOAT8 "\"num_bits\": 8, \"type\": \"float\", \"symmetric\": true, "

/* As programs write them, besides the two of fp8_checkpoint.h. */
static const vkft_test_fp8_spelling spellings[] = {
    /* AutoFP8 with scales of inputs */
    {.config = "{\"quant_method\": \"fp8\", \"activation_scheme\": \"static\", \"ignored_layers\": [\"lm_head\"]}",
     .suffix = "_scale",
     .dtype = VKFT_F32,
     .activations = true},
    /* Ministral 3 */
    {.config = "{\"quant_method\": \"fp8\", \"activation_scheme\": \"static\", \"weight_block_size\": null}",
     .suffix = "_scale_inv",
     .dtype = VKFT_BF16},
    /* llm-compressor */
    {.config = COMPRESSED(FLOAT8 "\"strategy\": \"tensor\", \"block_structure\": null"),
     .suffix = "_scale",
     .dtype = VKFT_F16,
     .dims = 1,
     .activations = true},
    {.config = COMPRESSED(FLOAT8 "\"strategy\": \"block\", \"block_structure\": [128, 128]"),
     .suffix = "_scale",
     .rows = 128,
     .cols = 128,
     .dtype = VKFT_BF16,
     .dims = 2},
    /* modelopt: in config.json, in a file of its own, in both; blocks */
    {.config = "{\"quant_method\": \"modelopt\", \"quant_algo\": \"FP8\", \"ignore\": [\"lm_head\"]}",
     .suffix = "_scale",
     .dtype = VKFT_F32,
     .activations = true},
    {.file = "{\"producer\": {\"name\": \"modelopt\"}, \"quantization\": {\"quant_algo\": \"FP8\", "
             "\"kv_cache_quant_algo\": \"FP8\", \"exclude_modules\": [\"lm_head\"]}}",
     .suffix = "_scale",
     .dtype = VKFT_F32,
     .activations = true},
    {.config = "{\"quant_method\": \"modelopt\", \"quantization\": {\"quant_algo\": \"fp8_pb_wo\"}}",
     .file = "{\"quantization\": {\"quant_algo\": \"fp8_pb_wo\"}}",
     .suffix = "_scale",
     .rows = 128,
     .cols = 128,
     .dtype = VKFT_F32,
     .dims = 4},
};

/* Converts a checkpoint; codes are as they were, values equal to the f32 checkpoint's, and nothing else is in it. */
static void expect_converted(const fixture *f, const vkft_test_fp8_spelling *spelling, vkft_storage quant)
{
    vkft_err err = {0};
    vkft_test_fp8_checkpoint(f->source, f->fp8, f->f32, spelling);
    vkft_convert_options options = {.quant = quant, .threads = 1};
    expect_ok(vkft_convert(f->fp8, f->out, &options, &err));
    vkft_model_file *model = vkft_model_file_open(f->out, &err);
    expect_ok(model);
    char *path = vkft_path_join(f->f32, "model.safetensors");
    vkft_tensor_file file;
    expect_ok(vkft_safetensors_open(path, &file, &err));
    uint32_t quantized = 0;
    assert_int_equal(vkft_model_file_tensor_count(model), file.count);
    for (uint32_t i = 0; i < file.count; i++) {
        const vkft_model_tensor *t = vkft_model_file_tensor(model, i);
        const vkft_file_tensor *want = vkft_tensor_file_find(&file, t->name);
        assert_non_null(want);
        expect_ok(vkft_model_file_verify(model, t, &err));
        assert_int_equal(t->storage, strstr(t->name, "_proj.") ? VKFT_STORAGE_fp8 : VKFT_STORAGE_f32);
        quantized += t->storage == VKFT_STORAGE_fp8;
        float *values = malloc((size_t)t->elements * sizeof *values);
        vkft_model_tensor_decode(t, values);
        assert_memory_equal(values, vkft_tensor_file_data(&file, want), (size_t)want->bytes);
        free(values);
    }
    assert_int_equal(quantized, 7);
    vkft_tensor_file_close(&file);
    vkft_model_file_close(model);
    free(path);
}

static void converts(void **state)
{
    const fixture *f = *state;
    vkft_err err = {0};
    const vkft_storage quants[] = {VKFT_STORAGE_none, VKFT_STORAGE_nf4_dq};
    for (int i = 0; i < 2; i++) {
        expect_converted(f, &vkft_test_fp8_blocks, quants[i]);
        expect_converted(f, &vkft_test_fp8_whole, quants[i]);
    }
    for (size_t i = 0; i < sizeof spellings / sizeof *spellings; i++)
        expect_converted(f, &spellings[i], VKFT_STORAGE_none);
    vkft_convert_options options = {.quant = VKFT_STORAGE_bf16, .threads = 1};
    expect_failure(vkft_convert(f->fp8, f->out, &options, &err), "is quantized already (fp8)");
}

/* Replaces the first `old` in a file by the equally long `new`. */
static void change(const char *dir, const char *name, const char *old, const char *new)
{
    char *path = vkft_path_join(dir, name);
    vkft_err err = {0};
    size_t size, length = strlen(old);
    char *text = vkft_test_read(path, &size);
    assert_int_equal(length, strlen(new));
    size_t at = 0;
    while (at + length <= size && memcmp(text + at, old, length) != 0)
        at++;
    assert_true(at + length <= size);
    memcpy(text + at, new, length);
    expect_ok(vkft_file_write(path, text, size, &err));
    free(text), free(path);
}

static void refused(void **state)
{
    const fixture *f = *state;
    static const struct {
        const vkft_test_fp8_spelling *spelling;
        const char *file, *old, *new, *message;
    } cases[] = {
        {&vkft_test_fp8_blocks, "config.json", "dynamic", "statics",
         "quant_method fp8 with activation_scheme \"statics\""},
        {&vkft_test_fp8_blocks, "config.json", "e4m3", "e5m2", "quant_method fp8 with fmt \"e5m2\""},
        {&vkft_test_fp8_blocks, "config.json", "[128, 128]", "[128, 256]", "with weight_block_size [128,256]"},
        {&vkft_test_fp8_blocks, "config.json", "\"fp8\"", "\"fp6\"",
         "supported are bitsandbytes, fp8, compressed-tensors, modelopt"},
        {&vkft_test_fp8_blocks, "model.safetensors", "up_proj.weight_scale_inv", "up_proj.weight_scale_out",
         "are missing"},
        {&vkft_test_fp8_blocks, "model.safetensors", "[3,2]", "[2,3]", "has another shape than [3, 2]"},
        {&vkft_test_fp8_blocks, "model.safetensors", "[3,2]", "[6,1]", "has another shape than [3, 2]"},
        {&vkft_test_fp8_whole, "model.safetensors", "up_proj.weight_scale", "up_proj.weight_skale", "are missing"},
    };
    vkft_convert_options options = {.quant = VKFT_STORAGE_none, .threads = 1};
    vkft_err err = {0};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        vkft_test_fp8_checkpoint(f->source, f->fp8, f->f32, cases[i].spelling);
        change(f->fp8, cases[i].file, cases[i].old, cases[i].new);
        expect_failure(vkft_convert(f->fp8, f->out, &options, &err), cases[i].message);
    }
}

/* Methods of the same programs that do not fit: each is named. */
static void other_methods(void **state)
{
    const fixture *f = *state;
    static const struct {
        const char *config, *file, *message;
    } cases[] = {
        {COMPRESSED(FLOAT8 "\"strategy\": \"channel\""), NULL, "with strategy \"channel\"); of this method only FP8"},
        {COMPRESSED(FLOAT8 "\"strategy\": \"block\", \"block_structure\": [64, 64]"), NULL,
         "with block_structure [64,64]"},
        {COMPRESSED("\"num_bits\": 8, \"type\": \"int\", \"strategy\": \"tensor\""), NULL, "with type \"int\""},
        {COMPRESSED("\"num_bits\": 4, \"type\": \"float\", \"strategy\": \"tensor\""), NULL, "with num_bits 4"},
        {COMPRESSED("\"num_bits\": 8, \"type\": \"float\", \"symmetric\": false"), NULL, "with symmetric false"},
        {"{\"quant_method\": \"compressed-tensors\", \"format\": \"nvfp4-pack-quantized\"}", NULL,
         "quant_method compressed-tensors with format \"nvfp4-pack-quantized\""},
        {"{\"quant_method\": \"compressed-tensors\", \"format\": \"float-quantized\", \"transform_config\": {\"a\": "
         "1}}",
         NULL, "with transform_config {\"a\":1}"},
        {"{\"quant_method\": \"compressed-tensors\", \"format\": \"float-quantized\"}", NULL, "config_groups"},
        {"{\"quant_method\": \"modelopt\", \"quant_algo\": \"FP8_PER_CHANNEL_PER_TOKEN\"}", NULL,
         "quant_method modelopt with quant_algo \"FP8_PER_CHANNEL_PER_TOKEN\""},
        {NULL, "{\"quantization\": {\"quant_algo\": \"NVFP4\", \"group_size\": 16}}",
         "hf_quant_config.json: the checkpoint is quantized already (quant_method modelopt with quant_algo \"NVFP4\")"},
        {NULL, "{}", "with quant_algo null"},
        {NULL, "{", "hf_quant_config.json: line 1"},
        {"{\"quant_method\": \"fp8\"}", NULL, "weight_scale' has a scale per row of the matrix"},
    };
    vkft_convert_options options = {.quant = VKFT_STORAGE_none, .threads = 1};
    vkft_err err = {0};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const vkft_test_fp8_spelling per_row = {.config = cases[i].config,
                                                .file = cases[i].file,
                                                .suffix = "_scale",
                                                .rows = 1,
                                                .dtype = VKFT_BF16,
                                                .dims = 2};
        vkft_test_fp8_checkpoint(f->source, f->fp8, f->f32, &per_row);
        expect_failure(vkft_convert(f->fp8, f->out, &options, &err), cases[i].message);
    }
}

/* A NaN among the codes. */
static void not_finite(void **state)
{
    const fixture *f = *state;
    vkft_convert_options options = {.quant = VKFT_STORAGE_none, .threads = 1};
    vkft_err err = {0};
    vkft_test_fp8_checkpoint(f->source, f->fp8, f->f32, &vkft_test_fp8_blocks);
    char *path = vkft_path_join(f->fp8, "model.safetensors");
    vkft_tensor_file file;
    size_t size;
    expect_ok(vkft_safetensors_open(path, &file, &err));
    char *text = vkft_test_read(path, &size);
    const vkft_file_tensor *t = vkft_tensor_file_find(&file, "model.layers.0.mlp.gate_proj.weight");
    assert_non_null(t);
    text[t->offset + 1234] = 0x7f;
    vkft_tensor_file_close(&file);
    expect_ok(vkft_file_write(path, text, size, &err));
    expect_failure(vkft_convert(f->fp8, f->out, &options, &err), "gate_proj.weight': element 1234 is not finite");
    free(text), free(path);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_code),
        cmocka_unit_test(blocks),
        cmocka_unit_test_setup_teardown(converts, set_up, tear_down),
        cmocka_unit_test_setup_teardown(refused, set_up, tear_down),
        cmocka_unit_test_setup_teardown(other_methods, set_up, tear_down),
        cmocka_unit_test_setup_teardown(not_finite, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
