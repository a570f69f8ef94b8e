/* FP8 E4M3: a sign, 4 bits of exponent with bias 7 and 3 of mantissa; no infinity, and NaN where all bits but the sign
 * are set. The matrix is cut into blocks of 128 x 128 that share an f32 scale: w[i,j] = value(code[i,j]) * scale[i/128,
 * j/128].
 *
 * Checkpoints with quant_method "fp8": NAME.weight in F8_E4M3, and beside it NAME.weight_scale_inv, which despite its
 * name is the scale of each block (DeepSeek V3, Qwen 3), or NAME.weight_scale, one number for the whole matrix, which
 * every block then gets. Scales of inputs are for products in FP8 and are not used: these here are computed in f32 or
 * bf16.
 *
 * Source: Micikevicius et al. 2022, "FP8 formats for deep learning". Test: test_fp8
 */
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "formats/tensors/prequantized.h"
#include "runtime/base/json.h"
#include "runtime/base/size.h"

#define BLOCK 128u

static uint64_t scale_bytes(vkft_part part, uint64_t rows, uint64_t cols)
{
    (void)part;
    return ceil_div_u64(rows, BLOCK) * ceil_div_u64(cols, BLOCK) * sizeof(float);
}

static float value_of(uint8_t code)
{
    int exponent = code >> 3 & 15, mantissa = code & 7;
    float magnitude = exponent ? ldexpf((float)(8 + mantissa), exponent - 10) : ldexpf((float)mantissa, -9);
    if ((code & 0x7f) == 0x7f)
        magnitude = NAN;
    return code & 0x80 ? -magnitude : magnitude;
}

static void decode(const vkft_stored *w, float *y)
{
    const uint8_t *codes = w->part[VKFT_PART_DATA];
    const float *scales = w->part[VKFT_PART_SCALES];
    uint64_t across = ceil_div_u64(w->cols, BLOCK);
    float values[256];
    for (uint32_t code = 0; code < 256; code++)
        values[code] = value_of((uint8_t)code);
    for (uint64_t i = 0; i < w->rows; i++)
        for (uint64_t j = 0; j < w->cols; j++)
            y[i * w->cols + j] = values[codes[i * w->cols + j]] * scales[i / BLOCK * across + j / BLOCK];
}

static uint64_t first_not_finite(const vkft_stored *w)
{
    const uint8_t *codes = w->part[VKFT_PART_DATA];
    const float *scales = w->part[VKFT_PART_SCALES];
    uint64_t across = ceil_div_u64(w->cols, BLOCK), down = ceil_div_u64(w->rows, BLOCK);
    for (uint64_t i = 0; i < w->rows * w->cols; i++)
        if ((codes[i] & 0x7f) == 0x7f)
            return i;
    for (uint64_t b = 0; b < down * across; b++)
        if (!isfinite(scales[b]))
            return b / across * BLOCK * w->cols + b % across * BLOCK;
    return UINT64_MAX;
}

/* "weight_block_size": absent or null (one scale for a matrix), or [128, 128]. */
static bool check_config(const void *quantization_config, const char *file, vkft_err *err)
{
    const char *scheme = "dynamic", *format = "e4m3";
    const cJSON *size = vkft_json_member(quantization_config, "weight_block_size");
    if (!vkft_json_get_string(quantization_config, "activation_scheme", false, &scheme, file, err) ||
        !vkft_json_get_string(quantization_config, "fmt", false, &format, file, err))
        return false;
    if (strcmp(scheme, "dynamic") != 0 || strcmp(format, "e4m3") != 0)
        return vkft_fail(err, VKFT_ERR_INPUT,
                         "%s: the checkpoint is quantized already (quant_method fp8, %.40s, activation_scheme %.40s); "
                         "supported is e4m3 with dynamic ones: convert the original one",
                         file, format, scheme);
    uint64_t rows = BLOCK, cols = BLOCK;
    bool listed = cJSON_IsArray(size) && cJSON_GetArraySize(size) == 2 && vkft_json_is_u64(size->child, &rows) &&
                  vkft_json_is_u64(size->child->next, &cols);
    return ((!size || cJSON_IsNull(size) || listed) && rows == BLOCK && cols == BLOCK) ||
           vkft_fail(
               err, VKFT_ERR_INPUT,
               "%s: the checkpoint is quantized already (quant_method fp8) in other blocks than 'weight_block_size' "
               "[128, 128]: convert the original one",
               file);
}

/* The scales of w as f32, each element of the tensor `from` for one block, or its only one for all. */
static bool read_scales(vkft_stored *w, const vkft_shard_tensor *from, void **made, vkft_err *err)
{
    const vkft_file_tensor *t = from->tensor;
    uint64_t count = scale_bytes(VKFT_PART_SCALES, w->rows, w->cols) / sizeof(float);
    if (t->dtype != VKFT_F32 && t->dtype != VKFT_BF16 && t->dtype != VKFT_F16)
        return vkft_fail(err, VKFT_ERR_INPUT, "%s: '%s' has dtype %s; expected F32, BF16 or F16", from->shard->path,
                         t->name, vkft_dtype_name(t->dtype));
    float *scales = *made = malloc((size_t)(count + 1) * sizeof *scales);
    if (!scales)
        return vkft_fail_memory(err, "while reading '%s'", from->shard->path);
    uint64_t stored = min_u64(t->elements, count);
    vkft_to_f32(t->dtype, vkft_tensor_file_data(from->shard, t), stored, scales);
    for (uint64_t i = stored; i < count; i++)
        scales[i] = scales[0];
    w->part[VKFT_PART_SCALES] = scales;
    return true;
}

static bool find(const vkft_tensor_finder *checkpoint, const vkft_shard_tensor *weight, vkft_prequantized_weight *parts,
                 bool *found, vkft_err *err)
{
    const vkft_file_tensor *t = weight->tensor;
    const char *path = weight->shard->path;
    char blocks[512], whole[512];
    vkft_shard_tensor from;
    *found = t->dtype == VKFT_F8_E4M3;
    if (!*found)
        return true;
    if (t->dims != 2)
        return vkft_fail(err, VKFT_ERR_INPUT, "%s: tensor '%s' has %" PRIu32 " dimensions; expected 2", path, t->name,
                         t->dims);
    parts->stored = (vkft_stored){.storage = VKFT_STORAGE_fp8, .rows = t->shape[0], .cols = t->shape[1]};
    parts->source[VKFT_PART_DATA] = *weight;
    parts->stored.part[VKFT_PART_DATA] = vkft_tensor_file_data(weight->shard, t);
    snprintf(blocks, sizeof blocks, "%.480s_scale_inv", t->name);
    snprintf(whole, sizeof whole, "%.480s_scale", t->name);
    uint64_t down = ceil_div_u64(t->shape[0], BLOCK), across = ceil_div_u64(t->shape[1], BLOCK);
    if (checkpoint->find(checkpoint->context, blocks, &from)) {
        if (from.tensor->dims != 2 || from.tensor->shape[0] != down || from.tensor->shape[1] != across)
            return vkft_fail(err, VKFT_ERR_INPUT,
                             "%s: '%s' has another shape than [%" PRIu64 ", %" PRIu64
                             "], a scale for each block of 128 x "
                             "128",
                             path, blocks, down, across);
    } else if (checkpoint->find(checkpoint->context, whole, &from)) {
        if (from.tensor->elements != 1)
            return vkft_fail(err, VKFT_ERR_INPUT,
                             "%s: '%s' has %" PRIu64 " elements; expected one scale for the matrix", path, whole,
                             from.tensor->elements);
    } else {
        return vkft_fail(err, VKFT_ERR_INPUT, "%s: '%s' and '%s' are missing; the quantized checkpoint is not whole",
                         path, blocks, whole);
    }
    return read_scales(&parts->stored, &from, &parts->made, err);
}

static const vkft_prequantizer method = {.name = "fp8", .check = check_config, .find = find};

const vkft_codec vkft_codec_fp8 = {.part_keys = {NULL, "block_scales", NULL},
                                   .overflow = 0x7f800000,
                                   .part_bytes = scale_bytes,
                                   .decode = decode,
                                   .first_not_finite = first_not_finite,
                                   .prequantizer = &method};
