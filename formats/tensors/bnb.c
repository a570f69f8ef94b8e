/* Weights that bitsandbytes has quantized to NF4 or FP4. Beside NAME.weight (the codes, U8) lie NAME.weight.absmax,
 * .quant_map, .quant_state.bitsandbytes__nf4 or __fp4 (JSON in bytes) and, with double quantization, .nested_absmax and
 * .nested_quant_map. The tables in the file are compared with ours bit for bit: equal tables make the copy exact.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "formats/tensors/nf4.h"
#include "formats/tensors/prequantized.h"
#include "runtime/base/json.h"
#include "runtime/base/size.h"

static bool check_config(const void *quantization_config, const char *file, vkft_err *err)
{
    bool four = true, eight = false;
    return vkft_json_get_bool(quantization_config, "load_in_4bit", false, &four, file, err) &&
           vkft_json_get_bool(quantization_config, "load_in_8bit", false, &eight, file, err) &&
           ((four && !eight) ||
            vkft_fail(err, VKFT_ERR_INPUT,
                      "%s: the checkpoint is quantized already (quant_method bitsandbytes, 8 bits); of bitsandbytes "
                      "only the 4 bits are supported: convert the original one",
                      file));
}

static bool find(const vkft_tensor_finder *checkpoint, const char *weight, const char *suffix, vkft_shard_tensor *found)
{
    char name[512];
    return (size_t)snprintf(name, sizeof name, "%s.%s", weight, suffix) < sizeof name &&
           checkpoint->find(checkpoint->context, name, found);
}

static const uint8_t *data_of(const vkft_shard_tensor *t)
{
    return vkft_tensor_file_data(t->shard, t->tensor);
}

/* A part with this type and number of elements. */
static bool take(const vkft_tensor_finder *checkpoint, const char *where, const char *weight, const char *suffix,
                 vkft_dtype dtype, uint64_t elements, vkft_shard_tensor *part, vkft_err *err)
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

static bool check_table(const vkft_tensor_finder *checkpoint, const char *where, const char *weight, const char *suffix,
                        const float *table, uint64_t count, vkft_err *err)
{
    vkft_shard_tensor part;
    if (!take(checkpoint, where, weight, suffix, VKFT_F32, count, &part, err))
        return false;
    return same(data_of(&part), table, count) ||
           vkft_fail(err, VKFT_ERR_INPUT, "%s: '%s.%s' is another table than that of bitsandbytes", where, weight,
                     suffix);
}

/* What the quantization state says: the shape, and of double quantization the offset. */
static bool read_state(const vkft_shard_tensor *state, const char *where, vkft_stored *w, bool *twice, vkft_err *err)
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
        w->offset = (float)offset;
        ok = (block == VKFT_NF4_BLOCK && nested == VKFT_NF4_NESTED_BLOCK) ||
             vkft_fail(err, VKFT_ERR_INPUT, "%s: blocks of %" PRIu32 " and %" PRIu32 "; expected %d and %d", where,
                       block, nested, VKFT_NF4_BLOCK, VKFT_NF4_NESTED_BLOCK);
    }
    uint64_t elements;
    ok = ok && ((cJSON_GetArraySize(shape) == 2 && vkft_json_is_u64(shape->child, &w->rows) &&
                 vkft_json_is_u64(shape->child->next, &w->cols) &&
                 !__builtin_mul_overflow(w->rows, w->cols, &elements) && elements <= UINT64_MAX / 8) ||
                vkft_fail(err, VKFT_ERR_INPUT, "%s: 'shape' must be two whole numbers", where));
    cJSON_Delete(root);
    return ok;
}

static bool find_weight(const vkft_tensor_finder *checkpoint, const vkft_shard_tensor *weight,
                        vkft_prequantized_weight *parts, bool *found, vkft_err *err)
{
    const char *name = weight->tensor->name, *path = weight->shard->path;
    vkft_shard_tensor state;
    vkft_stored *w = &parts->stored;
    uint64_t bytes[VKFT_PARTS];
    bool twice;
    bool nf4 = find(checkpoint, name, "quant_state.bitsandbytes__nf4", &state);
    *found = nf4 || find(checkpoint, name, "quant_state.bitsandbytes__fp4", &state);
    if (!*found)
        return true;
    char where[700];
    snprintf(where, sizeof where, "%.400s: '%.250s'", path, state.tensor->name);
    if (!read_state(&state, where, w, &twice, err))
        return false;
    w->storage =
        nf4 ? (twice ? VKFT_STORAGE_nf4_dq : VKFT_STORAGE_nf4) : (twice ? VKFT_STORAGE_fp4_dq : VKFT_STORAGE_fp4);
    vkft_storage_part_bytes(w->storage, w->rows, w->cols, bytes);
    if (weight->tensor->dtype != VKFT_U8 || weight->tensor->elements != bytes[VKFT_PART_DATA])
        return vkft_fail(err, VKFT_ERR_INPUT,
                         "%s: tensor '%s' has %" PRIu64 " elements of %s; expected %" PRIu64 " of U8", path, name,
                         weight->tensor->elements, vkft_dtype_name(weight->tensor->dtype), bytes[VKFT_PART_DATA]);
    vkft_shard_tensor *source = parts->source;
    source[VKFT_PART_DATA] = *weight;
    if (!take(checkpoint, path, name, "absmax", twice ? VKFT_U8 : VKFT_F32,
              bytes[VKFT_PART_SCALES] / (twice ? 1 : sizeof(float)), &source[VKFT_PART_SCALES], err) ||
        !check_table(checkpoint, path, name, "quant_map", nf4 ? vkft_nf4_table : vkft_fp4_table, 16, err))
        return false;
    float map[256];
    vkft_dynamic_map(map);
    if (twice && (!take(checkpoint, path, name, "nested_absmax", VKFT_F32, bytes[VKFT_PART_SUPER] / sizeof(float),
                        &source[VKFT_PART_SUPER], err) ||
                  !check_table(checkpoint, path, name, "nested_quant_map", map, 256, err)))
        return false;
    for (uint32_t part = 0; part < VKFT_PARTS; part++)
        if (source[part].tensor)
            w->part[part] = data_of(&source[part]);
    return true;
}

const vkft_prequantizer vkft_bitsandbytes = {.methods = {{.name = "bitsandbytes", .check = check_config}},
                                             .find = find_weight};
