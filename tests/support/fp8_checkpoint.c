/* See fp8_checkpoint.h. */
#include "tests/support/fp8_checkpoint.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "formats/tensors/safetensors.h"
#include "runtime/base/file.h"
#include "tests/support/expect.h"
#include "tests/support/program.h"

const vkft_test_fp8_spelling vkft_test_fp8_blocks = {
    .config = "{\"quant_method\": \"fp8\", \"activation_scheme\": \"dynamic\", \"fmt\": \"e4m3\", "
              "\"weight_block_size\": [128, 128], \"modules_to_not_convert\": [\"lm_head\"]}",
    .suffix = "_scale_inv",
    .rows = 128,
    .cols = 128,
    .dtype = VKFT_F32,
    .dims = 2};
const vkft_test_fp8_spelling vkft_test_fp8_whole = {
    .config = "{\"quant_method\": \"fp8\", \"activation_scheme\": \"dynamic\"}",
    .suffix = "_scale",
    .dtype = VKFT_BF16,
    .dims = 1};

double vkft_test_fp8_value(uint8_t code)
{
    int exponent = code >> 3 & 15, mantissa = code & 7;
    double value = exponent ? ldexp(1 + mantissa / 8.0, exponent - 7) : ldexp(mantissa / 8.0, -6);
    if (exponent == 15 && mantissa == 7)
        value = (double)NAN;
    return code & 0x80 ? -value : value;
}

static uint8_t nearest(double x)
{
    uint8_t best = 0;
    for (int code = 1; code < 256; code++)
        if (fabs(vkft_test_fp8_value((uint8_t)code) - x) < fabs(vkft_test_fp8_value(best) - x))
            best = (uint8_t)code;
    return best;
}

/* Quantizes x [rows, cols] in blocks of height x width; x becomes what the codes stand for, scales have the dtype. */
static void quantize(float *x, uint64_t rows, uint64_t cols, uint64_t height, uint64_t width, vkft_dtype dtype,
                     uint8_t *codes, uint8_t *scales)
{
    for (uint64_t r = 0; r < rows; r += height)
        for (uint64_t c = 0; c < cols; c += width) {
            float largest = 0, scale;
            for (uint64_t i = r; i < rows && i < r + height; i++)
                for (uint64_t j = c; j < cols && j < c + width; j++)
                    largest = fmaxf(largest, fabsf(x[i * cols + j]));
            vkft_from_f32(dtype, &(const float){largest / 448.0f}, 1, scales);
            vkft_to_f32(dtype, scales, 1, &scale);
            scales += vkft_dtype_bits(dtype) / 8;
            for (uint64_t i = r; i < rows && i < r + height; i++)
                for (uint64_t j = c; j < cols && j < c + width; j++) {
                    float *at = &x[i * cols + j];
                    codes[i * cols + j] = nearest((double)*at / (double)scale);
                    *at = (float)vkft_test_fp8_value(codes[i * cols + j]) * scale;
                }
        }
}

typedef struct output {
    vkft_safetensors_spec specs[200];
    const void *data[200];
    size_t bytes[200];
    uint32_t count;
} output;

static void add(output *out, const char *name, vkft_dtype dtype, uint32_t dims, const uint64_t *shape, const void *data)
{
    vkft_safetensors_spec *spec = &out->specs[out->count];
    uint64_t n = 1;
    *spec = (vkft_safetensors_spec){.name = name, .dtype = dtype, .dims = dims};
    for (uint32_t d = 0; d < dims; d++)
        n *= spec->shape[d] = shape[d];
    out->data[out->count] = data;
    out->bytes[out->count++] = (size_t)n * vkft_dtype_bits(dtype) / 8;
}

static void write(const output *out, const char *dir)
{
    vkft_err err = {0};
    char *path = vkft_path_join(dir, "model.safetensors");
    vkft_safetensors_writer *writer = vkft_safetensors_create(path, out->specs, out->count, &err);
    expect_ok(writer);
    for (uint32_t i = 0; i < out->count; i++)
        expect_ok(vkft_safetensors_append(writer, out->data[i], out->bytes[i], &err));
    expect_ok(vkft_safetensors_commit(writer, &err));
    free(path);
}

static void write_configs(const char *dir, const char *fp8_dir, const char *f32_dir,
                          const vkft_test_fp8_spelling *spelling)
{
    vkft_err err = {0};
    size_t size;
    char *from = vkft_path_join(dir, "config.json"), *own = vkft_path_join(fp8_dir, "hf_quant_config.json"),
         *to[2] = {vkft_path_join(f32_dir, "config.json"), vkft_path_join(fp8_dir, "config.json")};
    char *text = vkft_test_read(from, &size);
    expect_ok(vkft_file_write(to[0], text, size, &err));
    cJSON *root = cJSON_Parse(text), *quantization = spelling->config ? cJSON_Parse(spelling->config) : NULL;
    assert_int_equal(quantization != NULL, spelling->config != NULL);
    if (quantization)
        cJSON_AddItemToObject(root, "quantization_config", quantization);
    char *changed = cJSON_Print(root);
    expect_ok(vkft_file_write(to[1], changed, strlen(changed), &err));
    if (spelling->file)
        expect_ok(vkft_file_write(own, spelling->file, strlen(spelling->file), &err));
    else
        remove(own); /* of an earlier checkpoint */
    cJSON_free(changed);
    cJSON_Delete(root);
    free(text), free(from), free(own), free(to[0]), free(to[1]);
}

/* The tensor beside weight that ends in suffix instead; its name and its one value stay in memory. */
static void add_beside(output *out, const char *weight, const char *suffix)
{
    static char names[200][256];
    static const float value = 0.25f;
    char *name = names[out->count];
    snprintf(name, sizeof names[0], "%.*s%s", (int)(strlen(weight) - strlen("weight")), weight, suffix);
    add(out, name, VKFT_F32, 0, NULL, &value);
}

static void add_scales(output *out, const char *weight, const vkft_test_fp8_spelling *spelling, uint64_t down,
                       uint64_t across, const void *scales)
{
    static char names[200][256];
    char *name = names[out->count];
    const uint64_t two[] = {down, across}, four[] = {down, 1, across, 1};
    snprintf(name, sizeof names[0], "%s%s", weight, spelling->suffix);
    add(out, name, spelling->dtype, spelling->dims, spelling->dims == 4 ? four : two, scales);
    if (!spelling->activations)
        return;
    add_beside(out, weight, "input_scale");
    if (strstr(weight, "k_proj"))
        add_beside(out, weight, "k_scale");
    if (strstr(weight, "v_proj"))
        add_beside(out, weight, "v_scale");
}

void vkft_test_fp8_checkpoint(const char *dir, const char *fp8_dir, const char *f32_dir,
                              const vkft_test_fp8_spelling *spelling)
{
    static output fp8, f32;
    vkft_err err = {0};
    vkft_tensor_file file;
    void *made[600];
    uint32_t made_count = 0;
    char *path = vkft_path_join(dir, "model.safetensors");
    expect_ok(vkft_safetensors_open(path, &file, &err));
    fp8.count = f32.count = 0;
    for (uint32_t i = 0; i < file.count; i++) {
        const vkft_file_tensor *t = &file.tensors[i];
        float *x = made[made_count++] = malloc((size_t)t->bytes);
        memcpy(x, vkft_tensor_file_data(&file, t), (size_t)t->bytes);
        add(&f32, t->name, VKFT_F32, t->dims, t->shape, x);
        if (!strstr(t->name, "_proj.")) {
            add(&fp8, t->name, VKFT_F32, t->dims, t->shape, x);
            continue;
        }
        uint64_t rows = t->shape[0], cols = t->shape[1], height = spelling->rows ? spelling->rows : rows,
                 width = spelling->cols ? spelling->cols : cols, down = (rows + height - 1) / height,
                 across = (cols + width - 1) / width;
        uint8_t *codes = made[made_count++] = malloc((size_t)t->elements);
        uint8_t *scales = made[made_count++] = malloc((size_t)(down * across) * sizeof(float));
        quantize(x, rows, cols, height, width, spelling->dtype, codes, scales);
        add(&fp8, t->name, VKFT_F8_E4M3, 2, t->shape, codes);
        add_scales(&fp8, t->name, spelling, down, across, scales);
    }
    write(&fp8, fp8_dir);
    write(&f32, f32_dir);
    write_configs(dir, fp8_dir, f32_dir, spelling);
    for (uint32_t i = 0; i < made_count; i++)
        free(made[i]);
    vkft_tensor_file_close(&file);
    free(path);
}
