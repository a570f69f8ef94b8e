/* What a conversion consists of: which tensors become what, the small files, and the run over all tensors in the order
 * in which they lie on disk. The work on one tensor is in tensor.c. */
#include "formats/convert/convert.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "formats/config/arch.h"
#include "formats/convert/bnb.h"
#include "formats/convert/source.h"
#include "formats/convert/tensor.h"
#include "runtime/base/size.h"

static const char *const quant_names[] = {
    [VKFT_QUANT_NONE] = "none", [VKFT_QUANT_NF4] = "nf4",   [VKFT_QUANT_BF16] = "bf16",
    [VKFT_QUANT_FP16] = "fp16", [VKFT_QUANT_FP32] = "fp32",
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

/* What bitsandbytes quantizes are the linear layers of the blocks; it leaves embeddings and the head alone. */
static vkft_dtype target_dtype(vkft_tensor_role role, vkft_dtype found, vkft_quant quant)
{
    found = found == VKFT_F64 ? VKFT_F32 : found; /* doubles are rounded once, here */
    if (role == VKFT_ROLE_VECTOR || role == VKFT_ROLE_TABLE)
        return found;
    switch (quant) {
    case VKFT_QUANT_NF4: return role == VKFT_ROLE_LINEAR ? VKFT_NF4 : found;
    case VKFT_QUANT_BF16: return VKFT_BF16;
    case VKFT_QUANT_FP16: return VKFT_F16;
    case VKFT_QUANT_FP32: return VKFT_F32;
    case VKFT_QUANT_NONE: break;
    }
    return found;
}

/* One tensor of the model, with its source in the checkpoint. */
typedef struct job {
    const vkft_hf_checkpoint_tensor *source;
    bool swapped;    /* the checkpoint's shape is [in,out] */
    bool transposed; /* its data has to be turned around */
    bool quantized;  /* by bitsandbytes; bnb has the parts */
    vkft_bnb_weight bnb;
    char name[256];
} job;

static bool plan_tensor(const job *j, vkft_tensor_role role, const vkft_convert_options *options, vkft_model_spec *spec,
                        vkft_err *err)
{
    const vkft_file_tensor *tensor = j->source->tensor;
    const char *path = j->source->shard->path;
    if (j->quantized) {
        *spec = (vkft_model_spec){.name = j->name,
                                  .dtype = j->bnb.dtype,
                                  .dims = 2,
                                  .shape = {j->bnb.shape[0], j->bnb.shape[1]},
                                  .double_quant = j->bnb.nested_absmax.tensor != NULL};
        return options->quant == VKFT_QUANT_NF4 || options->quant == VKFT_QUANT_NONE ||
               vkft_fail(err, VKFT_ERR_INPUT,
                         "%s: tensor '%s' is in 4 bits already; use --quant nf4, or the original checkpoint", path,
                         tensor->name);
    }
    if (tensor->dtype != VKFT_F32 && tensor->dtype != VKFT_F16 && tensor->dtype != VKFT_BF16 &&
        tensor->dtype != VKFT_F64)
        return vkft_fail(err, VKFT_ERR_INPUT, "%s: tensor '%s' has dtype %s; supported are F64, F32, F16 and BF16",
                         path, tensor->name, vkft_dtype_name(tensor->dtype));
    uint32_t dims = role == VKFT_ROLE_VECTOR ? 1 : 2;
    if (tensor->dims != dims)
        return vkft_fail(err, VKFT_ERR_INPUT, "%s: tensor '%s' has %" PRIu32 " dimensions; expected %" PRIu32, path,
                         tensor->name, tensor->dims, dims);
    *spec =
        (vkft_model_spec){.name = j->name, .dtype = target_dtype(role, tensor->dtype, options->quant), .dims = dims};
    spec->double_quant = spec->dtype == VKFT_NF4 && options->double_quant;
    for (uint32_t d = 0; d < dims; d++)
        spec->shape[d] = tensor->shape[j->swapped ? dims - 1 - d : d];
    return true;
}

/* A conversion: the tensors that belong to the model, in the order in which they lie on disk. */
typedef struct plan {
    job *jobs;
    vkft_model_spec *specs;
    uint32_t count;
    uint64_t bytes, largest; /* to read; elements of the largest tensor */
} plan;

static bool plan_tensors(const vkft_hf_checkpoint *checkpoint, const vkft_config *config,
                         const vkft_convert_options *options, plan *p, vkft_err *err)
{
    p->jobs = calloc((size_t)checkpoint->count + 1, sizeof *p->jobs);
    p->specs = calloc((size_t)checkpoint->count + 1, sizeof *p->specs);
    if (!p->jobs || !p->specs)
        return vkft_fail_memory(err, "while converting '%s'", checkpoint->dir);
    for (uint32_t i = 0; i < checkpoint->count; i++) {
        const vkft_file_tensor *tensor = checkpoint->tensors[i].tensor;
        job *j = &p->jobs[p->count];
        j->source = &checkpoint->tensors[i];
        vkft_tensor_role role = vkft_arch_tensor(config, tensor->name, j->name, sizeof j->name);
        if (role == VKFT_ROLE_NONE)
            continue;
        j->swapped = config->arch->conv1d && (role == VKFT_ROLE_LINEAR || role == VKFT_ROLE_NEVER_QUANTIZED);
        j->transposed = j->swapped != tensor->turned;
        if ((role == VKFT_ROLE_LINEAR || role == VKFT_ROLE_NEVER_QUANTIZED) &&
            !vkft_bnb_find(checkpoint, j->source, &j->bnb, &j->quantized, err))
            return false;
        if (!plan_tensor(j, role, options, &p->specs[p->count], err))
            return false;
        p->count++;
        p->bytes += tensor->bytes;
        p->largest = max_u64(p->largest, tensor->elements);
    }
    return p->count ||
           vkft_fail(err, VKFT_ERR_INPUT,
                     "'%s': none of its %" PRIu32 " tensors belongs to a model of type '%s' (the first is '%s')",
                     checkpoint->dir, checkpoint->count, config->model_type,
                     checkpoint->count ? checkpoint->tensors[0].tensor->name : "none");
}

static bool run(const vkft_hf_checkpoint *checkpoint, const plan *p, const vkft_convert_options *options,
                vkft_model_writer *writer, vkft_err *err)
{
    uint64_t done = 0;
    vkft_converter *converter = vkft_converter_new(options->threads, p->largest, err);
    bool ok = converter != NULL;
    for (uint32_t i = 0; ok && i < p->count; i++) {
        const job *j = &p->jobs[i];
        ok = j->quantized ? vkft_bnb_write(&j->bnb, writer, i, err)
                          : vkft_convert_tensor(converter, j->source, &p->specs[i], writer, i, j->transposed, err);
        done += j->source->tensor->bytes;
        if (ok && options->progress && !options->progress(options->progress_context, done, p->bytes))
            ok = vkft_fail(err, VKFT_ERR_INTERRUPTED, "conversion of '%s' interrupted; nothing was written",
                           checkpoint->dir);
    }
    vkft_converter_free(converter);
    return ok;
}

/* Plans and writes; the source's parts are open and checked. */
static bool write_model(const vkft_hf_checkpoint *checkpoint, const vkft_source *source, const char *out_path,
                        const vkft_convert_options *options, vkft_err *err)
{
    plan p = {0};
    vkft_model_writer *writer = NULL;
    bool ok = plan_tensors(checkpoint, &source->config, options, &p, err);
    if (ok)
        writer = vkft_model_writer_open(out_path, source->name, vkft_quantization_label(options), source->info,
                                        source->blobs, source->blob_count, p.specs, p.count, err);
    ok = writer && run(checkpoint, &p, options, writer, err);
    if (ok)
        ok = vkft_model_writer_commit(writer, err);
    else
        vkft_model_writer_abandon(writer);
    free(p.jobs);
    free(p.specs);
    return ok;
}

bool vkft_convert(const char *hf_dir, const char *out_path, const vkft_convert_options *options, vkft_err *err)
{
    vkft_hf_checkpoint checkpoint;
    vkft_source source = {0};
    if (vkft_directory_exists(out_path))
        return vkft_fail(err, VKFT_ERR_INPUT, "'%s' is a directory; expected the name of the .vkft file to write",
                         out_path);
    if (!vkft_source_open(hf_dir, &source, err))
        return false;
    bool ok = vkft_hf_checkpoint_open(hf_dir, &checkpoint, err);
    if (ok) {
        ok = vkft_source_describe(&source, &checkpoint, err) &&
             write_model(&checkpoint, &source, out_path, options, err);
        vkft_hf_checkpoint_close(&checkpoint);
    }
    vkft_source_close(&source);
    return ok;
}
