/* See bnb.h. The tables in the file are compared with ours bit for bit: equal tables make the copy exact. */
#include "formats/convert/bnb.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/base/json.h"
#include "formats/tensors/nf4.h"
#include "runtime/base/size.h"

bool vkft_bnb_check_config(const void *quantization_config, const char *file, vkft_err *err)
{
    const char *method = "unknown";
    bool four = true, eight = false;
    if (!quantization_config)
        return true;
    if (!vkft_json_get_string(quantization_config, "quant_method", false, &method, file, err) ||
        !vkft_json_get_bool(quantization_config, "load_in_4bit", false, &four, file, err) ||
        !vkft_json_get_bool(quantization_config, "load_in_8bit", false, &eight, file, err))
        return false;
    if (strcmp(method, "bitsandbytes") == 0 && four && !eight)
        return true;
    return vkft_fail(
        err, VKFT_ERR_INPUT,
        "%s: the checkpoint is quantized already (quant_method %.40s%s); of quantized ones only the 4 bits of "
        "bitsandbytes are supported: convert the original one",
        file, method, eight ? ", 8 bits" : "");
}

static bool find(const vkft_hf_checkpoint *checkpoint, const char *weight, const char *suffix,
                 vkft_hf_checkpoint_tensor *found)
{
    char name[512];
    *found = (vkft_hf_checkpoint_tensor){0};
    if ((size_t)snprintf(name, sizeof name, "%s.%s", weight, suffix) >= sizeof name)
        return false;
    for (uint32_t i = 0; i < checkpoint->shard_count && !found->tensor; i++)
        *found =
            (vkft_hf_checkpoint_tensor){&checkpoint->shards[i], vkft_tensor_file_find(&checkpoint->shards[i], name)};
    return found->tensor != NULL;
}

static const uint8_t *data_of(const vkft_hf_checkpoint_tensor *t)
{
    return vkft_tensor_file_data(t->shard, t->tensor);
}

/* A part with this type and number of elements. */
static bool take(const vkft_hf_checkpoint *checkpoint, const char *where, const char *weight, const char *suffix,
                 vkft_dtype dtype, uint64_t elements, vkft_hf_checkpoint_tensor *part, vkft_err *err)
{
    if (!find(checkpoint, weight, suffix, part))
        return vkft_fail(err, VKFT_ERR_INPUT, "%s: '%s.%s' is missing; the quantized checkpoint is not whole", where,
                         weight, suffix);
    if (part->tensor->dtype != dtype || part->tensor->elements != elements)
        return vkft_fail(err, VKFT_ERR_INPUT, "%s: '%s.%s' has %" PRIu64 " elements of %s; expected %" PRIu64 " of %s",
                         where, weight, suffix, part->tensor->elements, vkft_dtype_name(part->tensor->dtype), elements,
                         vkft_dtype_name(dtype));
    return true;
}

/* Bit for bit, but for the sign of a zero. */
static bool same(const uint8_t *stored, const float *table, uint64_t count)
{
    for (uint64_t i = 0; i < count; i++) {
        float value;
        memcpy(&value, stored + i * sizeof value, sizeof value);
        if (value != table[i])
            return false;
    }
    return true;
}

static bool check_table(const vkft_hf_checkpoint *checkpoint, const char *where, const char *weight, const char *suffix,
                        const float *table, uint64_t count, vkft_err *err)
{
    vkft_hf_checkpoint_tensor part;
    if (!take(checkpoint, where, weight, suffix, VKFT_F32, count, &part, err))
        return false;
    return same(data_of(&part), table, count) ||
           vkft_fail(err, VKFT_ERR_INPUT, "%s: '%s.%s' is another table than that of bitsandbytes", where, weight,
                     suffix);
}

static bool read_state(const vkft_hf_checkpoint_tensor *state, const char *where, vkft_bnb_weight *parts, bool *twice,
                       vkft_err *err)
{
    uint32_t block = VKFT_NF4_BLOCK, nested = VKFT_NF4_NESTED_BLOCK;
    double offset = 0;
    const cJSON *shape = NULL;
    cJSON *root = vkft_json_parse((const char *)data_of(state), (size_t)state->tensor->bytes, where, err);
    bool ok = root && vkft_json_get_u32(root, "blocksize", true, &block, where, err) &&
              vkft_json_get_u32(root, "nested_blocksize", false, &nested, where, err) &&
              vkft_json_get_double(root, "nested_offset", false, &offset, where, err) &&
              vkft_json_get_array(root, "shape", true, &shape, where, err);
    if (ok) {
        *twice = vkft_json_member(root, "nested_blocksize") != NULL;
        parts->offset = (float)offset;
        ok = (block == VKFT_NF4_BLOCK && nested == VKFT_NF4_NESTED_BLOCK) ||
             vkft_fail(err, VKFT_ERR_INPUT, "%s: blocks of %" PRIu32 " and %" PRIu32 "; expected %d and %d", where,
                       block, nested, VKFT_NF4_BLOCK, VKFT_NF4_NESTED_BLOCK);
    }
    ok = ok && ((cJSON_GetArraySize(shape) == 2 && vkft_json_is_u64(shape->child, &parts->shape[0]) &&
                 vkft_json_is_u64(shape->child->next, &parts->shape[1]) &&
                 !__builtin_mul_overflow(parts->shape[0], parts->shape[1], &parts->elements)) ||
                vkft_fail(err, VKFT_ERR_INPUT, "%s: 'shape' must be two whole numbers", where));
    cJSON_Delete(root);
    return ok;
}

bool vkft_bnb_find(const vkft_hf_checkpoint *checkpoint, const vkft_hf_checkpoint_tensor *weight,
                   vkft_bnb_weight *parts, bool *found, vkft_err *err)
{
    const char *name = weight->tensor->name, *path = weight->shard->path;
    vkft_hf_checkpoint_tensor state;
    float map[256];
    bool twice;
    *parts = (vkft_bnb_weight){.codes = *weight};
    bool nf4 = find(checkpoint, name, "quant_state.bitsandbytes__nf4", &state);
    *found = nf4 || find(checkpoint, name, "quant_state.bitsandbytes__fp4", &state);
    parts->dtype = nf4 ? VKFT_NF4 : VKFT_FP4;
    if (!*found)
        return true;
    char where[700];
    snprintf(where, sizeof where, "%.400s: '%.250s'", path, state.tensor->name);
    if (!read_state(&state, where, parts, &twice, err))
        return false;
    uint64_t blocks = ceil_div_u64(parts->elements, VKFT_NF4_BLOCK);
    if (weight->tensor->dtype != VKFT_U8 || weight->tensor->elements != (parts->elements + 1) / 2)
        return vkft_fail(err, VKFT_ERR_INPUT,
                         "%s: tensor '%s' has %" PRIu64 " elements of %s; expected %" PRIu64 " of U8", path, name,
                         weight->tensor->elements, vkft_dtype_name(weight->tensor->dtype), (parts->elements + 1) / 2);
    if (!take(checkpoint, path, name, "absmax", twice ? VKFT_U8 : VKFT_F32, blocks, &parts->absmax, err) ||
        !check_table(checkpoint, path, name, "quant_map", nf4 ? vkft_nf4_table : vkft_fp4_table, 16, err))
        return false;
    if (!twice)
        return true;
    vkft_dynamic_map(map);
    uint64_t nested = ceil_div_u64(blocks, VKFT_NF4_NESTED_BLOCK);
    return take(checkpoint, path, name, "nested_absmax", VKFT_F32, nested, &parts->nested_absmax, err) &&
           check_table(checkpoint, path, name, "nested_quant_map", map, 256, err);
}

static bool append(vkft_model_writer *writer, uint32_t index, vkft_part part, const vkft_hf_checkpoint_tensor *t,
                   vkft_err *err)
{
    bool ok = vkft_model_writer_append(writer, index, part, data_of(t), (size_t)t->tensor->bytes, err);
    vkft_mapping_drop(&t->shard->mapping, t->tensor->offset, t->tensor->bytes);
    return ok;
}

bool vkft_bnb_write(const vkft_bnb_weight *parts, vkft_model_writer *writer, uint32_t index, vkft_err *err)
{
    if (!append(writer, index, VKFT_PART_DATA, &parts->codes, err) ||
        !append(writer, index, VKFT_PART_SCALES, &parts->absmax, err) ||
        (parts->nested_absmax.tensor && !append(writer, index, VKFT_PART_SUPER, &parts->nested_absmax, err)))
        return false;
    vkft_model_writer_end(writer, index, parts->offset);
    return true;
}
