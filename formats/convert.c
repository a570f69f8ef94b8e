/* What a conversion consists of: which tensors become what, the small files, and the run over all tensors in the order in which they lie on
 * disk. The work on one tensor is in convert_tensor.c. */
#include "convert.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "convert_source.h"
#include "convert_tensor.h"

static const char *const quant_names[] = {
    [VKFT_QUANT_NONE] = "none", [VKFT_QUANT_NF4] = "nf4", [VKFT_QUANT_BF16] = "bf16", [VKFT_QUANT_FP16] = "fp16",
    [VKFT_QUANT_FP32] = "fp32",
};
#define QUANT_COUNT (sizeof quant_names / sizeof *quant_names)

const char *vkft_quant_name(vkft_quant quant)
{
    return (unsigned)quant < QUANT_COUNT ? quant_names[quant] : "?";
}

bool vkft_quant_parse(const char *text, vkft_quant *quant)
{
    for (size_t i = 0; i < QUANT_COUNT; i++) {
        if (strcmp(text, quant_names[i]) == 0) {
            *quant = (vkft_quant)i;
            return true;
        }
    }
    return false;
}

const char *vkft_quantization_label(const vkft_convert_options *options)
{
    return options->quant == VKFT_QUANT_NF4 && options->double_quant ? "nf4-dq" : vkft_quant_name(options->quant);
}

/* A component "layers.<number>." in the name: the tensor belongs to a decoder layer. */
static bool in_layer(const char *name)
{
    for (const char *p = name; (p = strstr(p, "layers.")); p++) {
        const char *digits = p + strlen("layers.");
        size_t n = strspn(digits, "0123456789");
        if ((p == name || p[-1] == '.') && n && digits[n] == '.')
            return true;
    }
    return false;
}

static bool is_matrix(const vkft_safetensors_tensor *tensor)
{
    size_t length = strlen(tensor->name), suffix = strlen(".weight");
    return tensor->dims == 2 && length > suffix && strcmp(tensor->name + length - suffix, ".weight") == 0;
}

/* The matrices of decoder layers are the weights of its linear modules: norms have one dimension, and the two matrices that are no such
 * module or that bitsandbytes leaves alone, embedding and lm_head, lie outside the layers. */
static vkft_dtype target_dtype(const vkft_safetensors_tensor *tensor, vkft_quant quant)
{
    if (!is_matrix(tensor))
        return tensor->dtype;
    switch (quant) {
    case VKFT_QUANT_NF4: return in_layer(tensor->name) ? VKFT_NF4 : tensor->dtype;
    case VKFT_QUANT_BF16: return VKFT_BF16;
    case VKFT_QUANT_FP16: return VKFT_F16;
    case VKFT_QUANT_FP32: return VKFT_F32;
    case VKFT_QUANT_NONE: break;
    }
    return tensor->dtype;
}

static bool plan_tensor(const vkft_checkpoint_tensor *source, const vkft_convert_options *options, vkft_model_spec *spec,
                        vkft_err *err)
{
    const vkft_safetensors_tensor *tensor = source->tensor;
    const char *path = source->shard->path;
    bool convertible = tensor->dtype == VKFT_F32 || tensor->dtype == VKFT_F16 || tensor->dtype == VKFT_BF16;
    spec->name = tensor->name;
    spec->dtype = target_dtype(tensor, options->quant);
    spec->dims = tensor->dims;
    spec->double_quant = spec->dtype == VKFT_NF4 && options->double_quant;
    if (strstr(tensor->name, ".quant_state.bitsandbytes__"))
        return vkft_fail(err, VKFT_ERR_INPUT, "%s: '%s': the checkpoint is quantized by bitsandbytes already; convert the original one",
                         path, tensor->name);
    if (!convertible && (tensor->dtype == VKFT_F64 || is_matrix(tensor)))
        return vkft_fail(err, VKFT_ERR_INPUT, "%s: tensor '%s' has dtype %s; supported are F32, F16 and BF16", path, tensor->name,
                         vkft_dtype_name(tensor->dtype));
    if (tensor->dims > VKFT_MODEL_MAX_DIMS)
        return vkft_fail(err, VKFT_ERR_INPUT, "%s: tensor '%s' has %" PRIu32 " dimensions; at most %d are supported", path, tensor->name,
                         tensor->dims, VKFT_MODEL_MAX_DIMS);
    memcpy(spec->shape, tensor->shape, sizeof spec->shape);
    return true;
}

static bool run(const vkft_checkpoint *checkpoint, const vkft_model_spec *specs, const vkft_convert_options *options,
                vkft_model_writer *writer, vkft_err *err)
{
    uint64_t largest = 0, done = 0;
    for (uint32_t i = 0; i < checkpoint->count; i++)
        if (checkpoint->tensors[i].tensor->elements > largest)
            largest = checkpoint->tensors[i].tensor->elements;
    vkft_converter *converter = vkft_converter_new(options->threads, largest, err);
    bool ok = converter != NULL;
    for (uint32_t i = 0; ok && i < checkpoint->count; i++) {
        ok = vkft_convert_tensor(converter, &checkpoint->tensors[i], &specs[i], writer, i, err);
        done += checkpoint->tensors[i].tensor->bytes;
        if (ok && options->progress && !options->progress(options->progress_context, done, checkpoint->total_bytes))
            ok = vkft_fail(err, VKFT_ERR_INTERRUPTED, "conversion of '%s' interrupted; nothing was written", checkpoint->dir);
    }
    vkft_converter_free(converter);
    return ok;
}

/* Plans and writes; the source's parts are open and checked. */
static bool write_model(const vkft_checkpoint *checkpoint, const vkft_source *source, const char *out_path,
                        const vkft_convert_options *options, vkft_err *err)
{
    vkft_model_spec *specs = calloc((size_t)checkpoint->count + 1, sizeof *specs);
    bool ok = specs || vkft_fail(err, VKFT_ERR_MEMORY, "out of memory converting '%s'", checkpoint->dir);
    for (uint32_t i = 0; ok && i < checkpoint->count; i++)
        ok = plan_tensor(&checkpoint->tensors[i], options, &specs[i], err);
    vkft_model_writer *writer = NULL;
    if (ok)
        writer = vkft_model_writer_open(out_path, source->name, vkft_quantization_label(options), source->info, source->blobs,
                                        source->blob_count, specs, checkpoint->count, err);
    ok = writer && run(checkpoint, specs, options, writer, err);
    if (ok)
        ok = vkft_model_writer_commit(writer, err);
    else
        vkft_model_writer_abandon(writer);
    free(specs);
    return ok;
}

bool vkft_convert(const char *hf_dir, const char *out_path, const vkft_convert_options *options, vkft_err *err)
{
    vkft_checkpoint checkpoint;
    vkft_source source = {0};
    if (vkft_directory_exists(out_path))
        return vkft_fail(err, VKFT_ERR_INPUT, "'%s' is a directory; expected the name of the .vkft file to write", out_path);
    if (!vkft_source_open(hf_dir, &source, err))
        return false;
    bool ok = vkft_checkpoint_open(hf_dir, &checkpoint, err);
    if (ok) {
        ok = vkft_source_describe(&source, &checkpoint, err) && write_model(&checkpoint, &source, out_path, options, err);
        vkft_checkpoint_close(&checkpoint);
    }
    vkft_source_close(&source);
    return ok;
}
