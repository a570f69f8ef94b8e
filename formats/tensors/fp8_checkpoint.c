/* Checkpoints with weights in FP8 E4M3: NAME.weight, and beside it NAME.weight_scale or NAME.weight_scale_inv, which
 * despite its name is a scale too. It has one element for the whole matrix, which every block then gets, or one for
 * each block of 128 x 128. Scales of inputs and of the cache of keys and values are for products in FP8 and are not
 * used: these here are computed in f32 or bf16.
 *
 * Which layers are quantized, and how many scales they have, is read from the tensors; config.json only has to say
 * nothing else. Those who write such checkpoints have three ways to say it: "fp8" (AutoFP8, DeepSeek V3, Qwen 3,
 * Ministral 3), "compressed-tensors" (llm-compressor) and "modelopt" (NVIDIA). Test: test_fp8
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "formats/tensors/prequantized.h"
#include "runtime/base/json.h"
#include "runtime/base/size.h"

#define BLOCK VKFT_FP8_BLOCK

/* A member and the JSON texts that it may be; "null" is also an absent one. */
typedef struct rule {
    const char *key, *values[3];
} rule;

static const rule fp8_rules[] = {
    {"fmt", {"null", "\"e4m3\""}},
    {"activation_scheme", {"null", "\"dynamic\"", "\"static\""}},
    {"weight_block_size", {"null", "[128,128]"}},
};

static const rule compressed_rules[] = {
    {"format", {"\"float-quantized\"", "\"naive-quantized\""}},
    {"transform_config", {"null", "{}"}},
};

/* Of "weights" in each of the groups. */
static const rule group_rules[] = {
    {"type", {"\"float\""}},
    {"num_bits", {"8"}},
    {"symmetric", {"null", "true"}},
    {"strategy", {"\"tensor\"", "\"block\""}},
    {"block_structure", {"null", "[128,128]"}},
};

static const rule modelopt_rules[] = {{"quant_algo", {"\"FP8\"", "\"FP8_PB_WO\"", "\"fp8_pb_wo\""}}};

static bool allows(const rule *r, const char *text)
{
    for (size_t i = 0; i < sizeof r->values / sizeof *r->values && r->values[i]; i++)
        if (strcmp(r->values[i], text) == 0)
            return true;
    return false;
}

static bool check_rules(const rule *rules, size_t count, const cJSON *object, const char *method, const char *file,
                        vkft_err *err)
{
    bool ok = true;
    for (const rule *r = rules; ok && r < rules + count; r++) {
        const cJSON *member = vkft_json_member(object, r->key);
        char *text = member ? cJSON_PrintUnformatted(member) : NULL;
        if (member && !text)
            return vkft_fail_memory(err, "while reading '%s'", file);
        ok = allows(r, text ? text : "null") ||
             vkft_fail(err, VKFT_ERR_INPUT,
                       "%s: the checkpoint is quantized already (quant_method %s with %s %.60s); of this method only "
                       "FP8 E4M3 with a scale per matrix or per block of 128 x 128 is supported: convert the original "
                       "one",
                       file, method, r->key, text ? text : "null");
        cJSON_free(text);
    }
    return ok;
}

#define CHECK(rules, object, method) check_rules(rules, sizeof(rules) / sizeof *(rules), object, method, file, err)

static bool check_fp8(const void *config, const char *file, vkft_err *err)
{
    return CHECK(fp8_rules, config, "fp8");
}

static bool check_compressed(const void *config, const char *file, vkft_err *err)
{
    const cJSON *groups, *weights;
    if (!CHECK(compressed_rules, config, "compressed-tensors") ||
        !vkft_json_get_object(config, "config_groups", true, &groups, file, err))
        return false;
    for (const cJSON *group = groups->child; group; group = group->next)
        if (!vkft_json_get_object(group, "weights", true, &weights, file, err) ||
            !CHECK(group_rules, weights, "compressed-tensors"))
            return false;
    return true;
}

/* The same members in config.json, and inside "quantization" in the file of its own. */
static bool check_modelopt(const void *config, const char *file, vkft_err *err)
{
    const cJSON *object = config;
    return vkft_json_get_object(config, "quantization", false, &object, file, err) &&
           CHECK(modelopt_rules, object, "modelopt");
}

/* Whether the tensor's shape is [rows, cols], apart from axes of one element: some write [rows, 1, cols, 1]. */
static bool has_shape(const vkft_file_tensor *t, uint64_t rows, uint64_t cols)
{
    const uint64_t want[2] = {rows, cols};
    uint32_t at = 0;
    for (uint32_t d = 0; d < t->dims; d++) {
        while (at < 2 && want[at] == 1)
            at++;
        if (t->shape[d] != 1 && (at == 2 || t->shape[d] != want[at++]))
            return false;
    }
    return t->elements == rows * cols;
}

/* The scales of w as f32, each element of the tensor `from` for one block, or its only one for all. */
static bool read_scales(vkft_stored *w, const vkft_shard_tensor *from, void **made, vkft_err *err)
{
    const vkft_file_tensor *t = from->tensor;
    const char *path = from->shard->path;
    uint64_t down = ceil_div_u64(w->rows, BLOCK), across = ceil_div_u64(w->cols, BLOCK), count = down * across;
    if (t->dtype != VKFT_F32 && t->dtype != VKFT_BF16 && t->dtype != VKFT_F16)
        return vkft_fail(err, VKFT_ERR_INPUT, "%s: '%s' has dtype %s; expected F32, BF16 or F16", path, t->name,
                         vkft_dtype_name(t->dtype));
    if (t->elements != 1 && has_shape(t, w->rows, 1))
        return vkft_fail(
            err, VKFT_ERR_INPUT,
            "%s: '%s' has a scale per row of the matrix; supported is one per matrix or per block of 128 x "
            "128: convert the original checkpoint",
            path, t->name);
    if (t->elements != 1 && !has_shape(t, down, across))
        return vkft_fail(err, VKFT_ERR_INPUT,
                         "%s: '%s' has another shape than [%" PRIu64 ", %" PRIu64
                         "], a scale for each block of 128 x 128, and is not one scale for the matrix",
                         path, t->name, down, across);
    float *scales = *made = malloc((size_t)(count + 1) * sizeof *scales);
    if (!scales)
        return vkft_fail_memory(err, "while reading '%s'", path);
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
    char inv[512], plain[512];
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
    snprintf(inv, sizeof inv, "%.480s_scale_inv", t->name);
    snprintf(plain, sizeof plain, "%.480s_scale", t->name);
    if (!checkpoint->find(checkpoint->context, inv, &from) && !checkpoint->find(checkpoint->context, plain, &from))
        return vkft_fail(err, VKFT_ERR_INPUT, "%s: '%s' and '%s' are missing; the quantized checkpoint is not whole",
                         path, inv, plain);
    return read_scales(&parts->stored, &from, &parts->made, err);
}

const vkft_prequantizer vkft_fp8_checkpoint = {
    .methods = {{.name = "fp8", .check = check_fp8},
                {.name = "compressed-tensors", .check = check_compressed},
                {.name = "modelopt", .file = "hf_quant_config.json", .check = check_modelopt}},
    .find = find,
};
