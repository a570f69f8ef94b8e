/* One tensor at a time, in chunks that are cut into tasks for the threads. Pages of the source are given back after
 * each chunk, so that the memory needed does not grow with the checkpoint: scratch of every thread, one chunk of
 * output, and the block scales of the tensor, which a type may need all at once. */
#include "formats/convert/tensor.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "formats/tensors/ggml/ggml.h"
#include "runtime/base/parallel.h"
#include "runtime/base/size.h"
#include "runtime/base/transpose.h"

#define TASK ((uint64_t)1 << 16) /* elements; as f32 they fit a core's second-level cache */
#define CHUNK (32 * TASK)
#define MAX_BLOCK 256         /* elements of a source that are stored together */
#define NOT_FINITE 0x7f800000 /* f32 bits from which magnitudes are not */

#define STORAGE(name, header, bits, block, label, flag, super, codec)                                                  \
    _Static_assert(TASK % (block) == 0 && TASK * (bits) % 8 == 0, "a task has whole blocks of " #name);
#include "formats/tensors/storage.def"
#undef STORAGE

struct vkft_converter {
    uint32_t workers;
    float *scratch;             /* [workers, TASK] */
    uint8_t *out;               /* CHUNK elements of at most 4 bytes */
    uint64_t bad[CHUNK / TASK]; /* per task: first unusable element of the chunk, or UINT64_MAX */

    float *scales; /* of the tensor at work; NULL: its type has none */

    /* the chunk at work */
    const uint8_t *source;
    vkft_dtype from;
    const vkft_storage_type *to;
    bool kept;                /* the bytes of the source are what is written */
    float subtracted;         /* from every value */
    uint64_t first, elements; /* first counts from the start of the tensor */
};

vkft_converter *vkft_converter_new(uint32_t threads, vkft_err *err)
{
    vkft_converter *converter = calloc(1, sizeof *converter);
    if (converter) {
        converter->workers = vkft_worker_count(threads);
        converter->scratch = malloc(converter->workers * TASK * sizeof(float));
        converter->out = malloc(CHUNK * sizeof(float));
        if (converter->scratch && converter->out)
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
    free(converter);
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
    vkft_ggml_to_f32(c->from, c->source + vkft_dtype_bytes(c->from, begin), n, x);
    for (uint64_t i = 0; c->subtracted != 0 && i < n; i++)
        x[i] -= c->subtracted;
    uint64_t bad = first_bad(x, n, c->kept ? NOT_FINITE : c->to->codec->overflow);
    c->bad[task] = bad == UINT64_MAX ? bad : begin + bad;
    if (!c->kept)
        c->to->codec->encode(x, n, c->out + begin * c->to->bits / 8,
                             c->scales ? c->scales + (c->first + begin) / c->to->block : NULL);
}

static bool check_values(const vkft_converter *c, const vkft_shard_tensor *source, vkft_err *err)
{
    for (uint64_t task = 0; task * TASK < c->elements; task++) {
        if (c->bad[task] == UINT64_MAX)
            continue;
        const uint32_t block = vkft_dtype_block(c->from);
        float values[MAX_BLOCK];
        vkft_ggml_to_f32(c->from, c->source + vkft_dtype_bytes(c->from, c->bad[task] / block * block), block, values);
        float value = values[c->bad[task] % block] - c->subtracted;
        bool finite = value - value == 0;
        return vkft_fail(err, VKFT_ERR_INPUT, "%s: tensor '%s': element %" PRIu64 " is %g, %s%s", source->shard->path,
                         source->tensor->name, c->first + c->bad[task], (double)value,
                         finite ? "which does not fit " : "expected finite weights; the checkpoint is damaged",
                         finite ? c->to->header : "");
    }
    return true;
}

/* The parts past the data. */
static bool write_scales(const vkft_converter *c, const vkft_model_spec *spec, vkft_model_writer *writer,
                         uint32_t index, float *offset, vkft_err *err)
{
    uint64_t bytes[VKFT_PARTS];
    void *part[VKFT_PARTS] = {NULL};
    bool ok = true;
    vkft_storage_part_bytes(spec->storage, spec->shape[0], spec->shape[1], bytes);
    for (uint32_t p = VKFT_PART_SCALES; ok && p < VKFT_PARTS; p++)
        ok = (part[p] = malloc((size_t)bytes[p] + 1)) || vkft_fail_memory(err, "while converting '%s'", spec->name);
    if (ok)
        c->to->codec->finish(c->scales, spec->shape[0], spec->shape[1], part, offset);
    for (uint32_t p = VKFT_PART_SCALES; ok && p < VKFT_PARTS; p++)
        ok = !bytes[p] || vkft_model_writer_append(writer, index, p, part[p], (size_t)bytes[p], err);
    for (uint32_t p = VKFT_PART_SCALES; p < VKFT_PARTS; p++)
        free(part[p]);
    return ok;
}

/* The values in `data`, of the source's type and in the order in which they are written. */
static bool write_values(vkft_converter *c, const uint8_t *data, const vkft_shard_tensor *source,
                         vkft_model_writer *writer, uint32_t index, vkft_err *err)
{
    const vkft_file_tensor *tensor = source->tensor;
    const uint64_t to_bits = c->to->bits;
    bool mapped = data == vkft_tensor_file_data(source->shard, tensor);
    for (c->first = 0; c->first < tensor->elements; c->first += c->elements) {
        c->elements = min_u64(tensor->elements - c->first, CHUNK);
        c->source = data + vkft_dtype_bytes(c->from, c->first);
        vkft_parallel(c->workers, ceil_div_u64(c->elements, TASK), run_task, c);
        if (!check_values(c, source, err))
            return false;
        const void *result = c->kept ? c->source : c->out;
        if (!vkft_model_writer_append(writer, index, VKFT_PART_DATA, result,
                                      (size_t)(ceil_div_u64(c->elements * to_bits, 8)), err))
            return false;
        if (mapped)
            vkft_mapping_drop(&source->shard->mapping, tensor->offset + vkft_dtype_bytes(c->from, c->first),
                              vkft_dtype_bytes(c->from, c->elements));
    }
    return true;
}

/* The rows of each head in the order of transformers. */
static void join_halves(const uint8_t *data, const vkft_file_tensor *tensor, uint8_t *out)
{
    const uint64_t rows = tensor->shape[0], bytes = tensor->bytes / rows;
    for (uint64_t r = 0; r < rows; r++)
        memcpy(out + r * bytes, data + vkft_file_tensor_row(tensor, rows, r) * bytes, (size_t)bytes);
}

bool vkft_convert_tensor(vkft_converter *converter, const vkft_shard_tensor *source, const vkft_model_spec *spec,
                         vkft_model_writer *writer, uint32_t index, bool transposed, vkft_err *err)
{
    vkft_converter *c = converter;
    const vkft_file_tensor *tensor = source->tensor;
    const uint8_t *data = vkft_tensor_file_data(source->shard, tensor);
    uint8_t *copy = NULL;
    c->from = tensor->dtype;
    c->to = vkft_storage_get(spec->storage);
    c->subtracted = tensor->gain_plus_one ? 1.0f : 0.0f;
    c->kept = c->from != VKFT_F64 && vkft_dtype_block(c->from) == 1 && c->subtracted == 0 &&
              vkft_storage_of_dtype(c->from) == spec->storage;
    bool scaled = vkft_storage_is_quantized(spec->storage);
    c->scales = scaled ? calloc(ceil_div_u64(tensor->elements, c->to->block) + 1, sizeof *c->scales) : NULL;
    bool ok = !scaled || c->scales;
    if (ok && transposed) {
        ok = (copy = malloc(tensor->bytes + 1)) != NULL;
        if (ok)
            vkft_transpose(data, tensor->shape[tensor->column_major], tensor->shape[!tensor->column_major],
                           vkft_dtype_bits(c->from) / 8, copy);
        data = copy;
    } else if (ok && tensor->interleaved_heads) {
        ok = (copy = malloc(tensor->bytes + 1)) != NULL;
        if (ok)
            join_halves(data, tensor, copy);
        data = copy;
    }
    float offset = 0;
    ok = ok ? write_values(c, data, source, writer, index, err)
            : vkft_fail_memory(err, "while converting tensor '%s'", tensor->name);
    ok = ok && (!scaled || write_scales(c, spec, writer, index, &offset, err));
    free(copy);
    free(c->scales);
    c->scales = NULL;
    if (ok)
        vkft_model_writer_end(writer, index, offset);
    return ok;
}

#define COMPARED 4096 /* values that are decoded at a time */

/* n values of two arrays; 0 and -0 are the same. */
static bool same_values(const uint8_t *a, vkft_dtype a_type, const uint8_t *b, vkft_dtype b_type, uint64_t n)
{
    float x[COMPARED], y[COMPARED];
    if (a_type == b_type && memcmp(a, b, vkft_dtype_bytes(a_type, n)) == 0)
        return true;
    for (uint64_t first = 0; first < n; first += COMPARED) {
        uint64_t count = min_u64(n - first, COMPARED);
        vkft_ggml_to_f32(a_type, a + vkft_dtype_bytes(a_type, first), count, x);
        vkft_ggml_to_f32(b_type, b + vkft_dtype_bytes(b_type, first), count, y);
        for (uint64_t i = 0; i < count; i++)
            if (!(x[i] == y[i]))
                return false;
    }
    return true;
}

bool vkft_convert_same_values(const vkft_shard_tensor *a, const vkft_shard_tensor *b)
{
    const vkft_file_tensor *s = a->tensor, *t = b->tensor;
    if (s->dims != t->dims || memcmp(s->shape, t->shape, s->dims * sizeof *s->shape) != 0 ||
        s->column_major != t->column_major || vkft_storage_of_dtype(s->dtype) == VKFT_STORAGE_none ||
        vkft_storage_of_dtype(t->dtype) == VKFT_STORAGE_none)
        return false;
    const uint8_t *x = vkft_tensor_file_data(a->shard, s), *y = vkft_tensor_file_data(b->shard, t);
    for (uint64_t first = 0; first < s->elements; first += CHUNK) {
        uint64_t n = min_u64(s->elements - first, CHUNK);
        const uint64_t s_at = vkft_dtype_bytes(s->dtype, first), t_at = vkft_dtype_bytes(t->dtype, first);
        if (!same_values(x + s_at, s->dtype, y + t_at, t->dtype, n))
            return false;
        vkft_mapping_drop(&a->shard->mapping, s->offset + s_at, vkft_dtype_bytes(s->dtype, n));
        vkft_mapping_drop(&b->shard->mapping, t->offset + t_at, vkft_dtype_bytes(t->dtype, n));
    }
    return true;
}
