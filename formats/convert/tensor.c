/* One tensor at a time, in chunks that are cut into tasks for the threads. Pages of the source are given back after
 * each chunk, so that the memory needed does not grow with the checkpoint: scratch of every thread, one chunk of
 * output, and the block scales of the tensor (1/64 of its elements), which double quantization needs all at once for
 * their mean. */
#include "formats/convert/tensor.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "formats/tensors/nf4.h"
#include "runtime/base/parallel.h"
#include "runtime/base/size.h"
#include "runtime/base/transpose.h"

#define TASK ((uint64_t)1 << 16) /* elements; as f32 they fit a core's second-level cache */
#define CHUNK (32 * TASK)

struct vkft_converter {
    uint32_t workers;
    float *scratch; /* [workers, TASK] */
    uint8_t *out;   /* CHUNK elements of at most 4 bytes */
    float *absmax;  /* of a whole tensor */
    uint8_t *absmax8;
    float *nested;
    uint64_t bad[CHUNK / TASK]; /* per task: first unusable element of the chunk, or UINT64_MAX */

    /* the chunk at work */
    const uint8_t *source;
    vkft_dtype from, to;
    uint64_t first, elements; /* first counts from the start of the tensor */
};

vkft_converter *vkft_converter_new(uint32_t threads, uint64_t max_elements, vkft_err *err)
{
    vkft_converter *converter = calloc(1, sizeof *converter);
    uint64_t blocks = max_elements / VKFT_NF4_BLOCK + 1;
    if (converter) {
        converter->workers = vkft_worker_count(threads);
        converter->scratch = malloc(converter->workers * TASK * sizeof(float));
        converter->out = malloc(CHUNK * sizeof(float));
        converter->absmax = calloc(blocks, sizeof *converter->absmax);
        converter->absmax8 = calloc(blocks, 1);
        converter->nested = calloc(blocks / VKFT_NF4_NESTED_BLOCK + 1, sizeof *converter->nested);
        if (converter->scratch && converter->out && converter->absmax && converter->absmax8 && converter->nested)
            return converter;
    }
    vkft_converter_free(converter);
    vkft_fail_memory(err, "while preparing a conversion");
    return NULL;
}

void vkft_converter_free(vkft_converter *converter)
{
    if (!converter)
        return;
    free(converter->scratch);
    free(converter->out);
    free(converter->absmax);
    free(converter->absmax8);
    free(converter->nested);
    free(converter);
}

/* Magnitudes from here on (as f32 bits) round to infinity in the type, or are infinite or NaN already. */
static uint32_t magnitude_limit(vkft_dtype to)
{
    return to == VKFT_F16 ? 0x477ff000 : to == VKFT_BF16 ? 0x7f7f8000 : 0x7f800000;
}

static uint64_t first_bad(const float *x, uint64_t n, uint32_t limit)
{
    uint32_t any = 0;
    for (uint64_t i = 0; i < n; i++) {
        uint32_t u;
        memcpy(&u, &x[i], sizeof u);
        any |= (u & 0x7fffffff) >= limit;
    }
    for (uint64_t i = 0; any && i < n; i++) {
        uint32_t u;
        memcpy(&u, &x[i], sizeof u);
        if ((u & 0x7fffffff) >= limit)
            return i;
    }
    return UINT64_MAX;
}

static void run_task(void *context, uint64_t task, uint32_t worker)
{
    vkft_converter *c = context;
    uint64_t begin = task * TASK, n = min_u64(c->elements - begin, TASK);
    float *x = c->scratch + worker * TASK;
    vkft_to_f32(c->from, c->source + begin * (vkft_dtype_bits(c->from) / 8), n, x);
    uint64_t bad = first_bad(x, n, c->from == c->to ? 0x7f800000 : magnitude_limit(c->to));
    c->bad[task] = bad == UINT64_MAX ? bad : begin + bad;
    if (c->to == VKFT_NF4)
        vkft_nf4_quantize(x, n, c->out + begin / 2, c->absmax + (c->first + begin) / VKFT_NF4_BLOCK);
    else if (c->to != c->from)
        vkft_from_f32(c->to, x, n, c->out + begin * (vkft_dtype_bits(c->to) / 8));
}

static bool check_values(const vkft_converter *c, const vkft_hf_checkpoint_tensor *source, vkft_err *err)
{
    for (uint64_t task = 0; task * TASK < c->elements; task++) {
        if (c->bad[task] == UINT64_MAX)
            continue;
        float value;
        vkft_to_f32(c->from, c->source + c->bad[task] * (vkft_dtype_bits(c->from) / 8), 1, &value);
        bool finite = value - value == 0;
        return vkft_fail(err, VKFT_ERR_INPUT, "%s: tensor '%s': element %" PRIu64 " is %g, %s%s", source->shard->path,
                         source->tensor->name, c->first + c->bad[task], (double)value,
                         finite ? "which does not fit " : "expected finite weights; the checkpoint is damaged",
                         finite ? vkft_dtype_name(c->to) : "");
    }
    return true;
}

static bool write_scales(vkft_converter *c, uint64_t blocks, const vkft_model_spec *spec, vkft_model_writer *writer,
                         uint32_t index, float *offset, vkft_err *err)
{
    if (!spec->double_quant)
        return vkft_model_writer_append(writer, index, VKFT_PART_SCALES, c->absmax, blocks * sizeof *c->absmax, err);
    vkft_nf4_double_quantize(c->absmax, blocks, c->absmax8, c->nested, offset);
    uint64_t nested = ceil_div_u64(blocks, VKFT_NF4_NESTED_BLOCK);
    return vkft_model_writer_append(writer, index, VKFT_PART_SCALES, c->absmax8, blocks, err) &&
           vkft_model_writer_append(writer, index, VKFT_PART_SUPER, c->nested, nested * sizeof *c->nested, err);
}

static bool is_float(vkft_dtype dtype)
{
    return dtype == VKFT_F32 || dtype == VKFT_F16 || dtype == VKFT_BF16 || dtype == VKFT_F64;
}

/* The values in `data`, of the source's type and in the order in which they are written. */
static bool write_values(vkft_converter *c, const uint8_t *data, const vkft_hf_checkpoint_tensor *source,
                         vkft_model_writer *writer, uint32_t index, vkft_err *err)
{
    const vkft_file_tensor *tensor = source->tensor;
    const uint64_t from_bits = vkft_dtype_bits(c->from), to_bits = vkft_dtype_bits(c->to);
    bool mapped = data == vkft_tensor_file_data(source->shard, tensor);
    for (c->first = 0; c->first < tensor->elements; c->first += c->elements) {
        c->elements = min_u64(tensor->elements - c->first, CHUNK);
        c->source = data + c->first * (from_bits / 8);
        if (is_float(c->from)) {
            vkft_parallel(c->workers, ceil_div_u64(c->elements, TASK), run_task, c);
            if (!check_values(c, source, err))
                return false;
        }
        const void *result = c->to == c->from ? c->source : c->out;
        if (!vkft_model_writer_append(writer, index, VKFT_PART_DATA, result,
                                      (size_t)(ceil_div_u64(c->elements * to_bits, 8)), err))
            return false;
        if (mapped)
            vkft_mapping_drop(&source->shard->mapping, tensor->offset + c->first * (from_bits / 8),
                              c->elements * (from_bits / 8));
    }
    return true;
}

bool vkft_convert_tensor(vkft_converter *converter, const vkft_hf_checkpoint_tensor *source,
                         const vkft_model_spec *spec, vkft_model_writer *writer, uint32_t index, bool transposed,
                         vkft_err *err)
{
    vkft_converter *c = converter;
    const vkft_file_tensor *tensor = source->tensor;
    const uint8_t *data = vkft_tensor_file_data(source->shard, tensor);
    uint8_t *turned = NULL;
    c->from = tensor->dtype;
    c->to = spec->dtype;
    if (transposed) {
        if (!(turned = malloc(tensor->bytes + 1)))
            return vkft_fail_memory(err, "while converting tensor '%s'", tensor->name);
        vkft_transpose(data, tensor->shape[tensor->turned], tensor->shape[!tensor->turned],
                       vkft_dtype_bits(c->from) / 8, turned);
        data = turned;
    }
    bool ok = write_values(c, data, source, writer, index, err);
    free(turned);
    float offset = 0;
    uint64_t blocks = ceil_div_u64(tensor->elements, VKFT_NF4_BLOCK);
    if (!ok || (c->to == VKFT_NF4 && !write_scales(c, blocks, spec, writer, index, &offset, err)))
        return false;
    vkft_model_writer_end(writer, index, offset);
    return true;
}
