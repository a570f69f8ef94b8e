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

#define BLOCK 128

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

/* Quantizes x [rows, cols] in blocks of size x size; x becomes what the codes stand for. */
static void quantize(float *x, uint64_t rows, uint64_t cols, uint64_t size, bool bf16, uint8_t *codes, float *scales)
{
    for (uint64_t r = 0; r < rows; r += size)
        for (uint64_t c = 0; c < cols; c += size) {
            float largest = 0;
            for (uint64_t i = r; i < rows && i < r + size; i++)
                for (uint64_t j = c; j < cols && j < c + size; j++)
                    largest = fmaxf(largest, fabsf(x[i * cols + j]));
            float scale = largest / 448.0f;
            if (bf16)
                scale = vkft_bf16_to_f32(vkft_f32_to_bf16(scale));
            *scales++ = scale;
            for (uint64_t i = r; i < rows && i < r + size; i++)
                for (uint64_t j = c; j < cols && j < c + size; j++) {
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

static void write_configs(const char *dir, const char *fp8_dir, const char *f32_dir, bool blocks)
{
    vkft_err err = {0};
    size_t size;
    char *from = vkft_path_join(dir, "config.json"),
         *to[2] = {vkft_path_join(f32_dir, "config.json"), vkft_path_join(fp8_dir, "config.json")};
    char *text = vkft_test_read(from, &size);
    expect_ok(vkft_file_write(to[0], text, size, &err));
    cJSON *root = cJSON_Parse(text), *quantization = cJSON_AddObjectToObject(root, "quantization_config");
    cJSON_AddStringToObject(quantization, "quant_method", "fp8");
    cJSON_AddStringToObject(quantization, "activation_scheme", "dynamic");
    if (blocks)
        cJSON_AddItemToObject(quantization, "weight_block_size", cJSON_CreateIntArray((const int[]){BLOCK, BLOCK}, 2));
    char *changed = cJSON_Print(root);
    expect_ok(vkft_file_write(to[1], changed, strlen(changed), &err));
    cJSON_free(changed);
    cJSON_Delete(root);
    free(text), free(from), free(to[0]), free(to[1]);
}

void vkft_test_fp8_checkpoint(const char *dir, const char *fp8_dir, const char *f32_dir, bool blocks)
{
    static output fp8, f32;
    static char names[200][256];
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
        uint64_t rows = t->shape[0], cols = t->shape[1], size = blocks ? BLOCK : rows + cols,
                 down = (rows + size - 1) / size, across = (cols + size - 1) / size;
        uint8_t *codes = made[made_count++] = malloc((size_t)t->elements);
        float *scales = made[made_count++] = malloc((size_t)(down * across) * sizeof *scales);
        quantize(x, rows, cols, size, !blocks, codes, scales);
        if (!blocks)
            vkft_from_f32(VKFT_BF16, &(const float){scales[0]}, 1, scales);
        snprintf(names[i], sizeof names[i], "%s%s", t->name, blocks ? "_scale_inv" : "_scale");
        add(&fp8, t->name, VKFT_F8_E4M3, 2, t->shape, codes);
        add(&fp8, names[i], blocks ? VKFT_F32 : VKFT_BF16, blocks ? 2 : 1,
            blocks ? (const uint64_t[]){down, across} : (const uint64_t[]){1}, scales);
    }
    write(&fp8, fp8_dir);
    write(&f32, f32_dir);
    write_configs(dir, fp8_dir, f32_dir, blocks);
    for (uint32_t i = 0; i < made_count; i++)
        free(made[i]);
    vkft_tensor_file_close(&file);
    free(path);
}
