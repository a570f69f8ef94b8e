/* What a conversion consists of: which tensors become what, the small files, and the run over all tensors in the order
 * in which they lie on disk. The work on one tensor is in tensor.c. */
#include "formats/convert/convert.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "formats/config/arch.h"
#include "formats/convert/gguf_checkpoint.h"
#include "formats/convert/notes.h"
#include "formats/convert/prequantized.h"
#include "formats/convert/source.h"
#include "formats/convert/tensor.h"
#include "formats/gguf/gguf.h"
#include "runtime/base/size.h"

/* What bitsandbytes quantizes are the linear layers of the blocks; it leaves embeddings and the head alone. */
static vkft_storage target_storage(vkft_tensor_role role, vkft_storage found, vkft_storage quant)
{
    if (role == VKFT_ROLE_VECTOR || role == VKFT_ROLE_TABLE || vkft_storage_keeps(quant))
        return found;
    return vkft_storage_is_quantized(quant) && role != VKFT_ROLE_LINEAR ? found : quant;
}

/* One tensor of the model, with its source in the checkpoint. */
typedef struct job {
    const vkft_shard_tensor *source;
    bool swapped;    /* the checkpoint's shape is [in,out] */
    bool transposed; /* its data has to be transposed */
    bool quantized;  /* already; parts has them */
    vkft_prequantized_weight parts;
    char name[256];
} job;

static bool plan_tensor(const job *j, vkft_tensor_role role, const vkft_convert_options *options, vkft_model_spec *spec,
                        vkft_err *err)
{
    const vkft_file_tensor *tensor = j->source->tensor;
    const char *path = j->source->shard->path;
    if (j->quantized) {
        const vkft_stored *w = &j->parts.stored;
        *spec = (vkft_model_spec){.name = j->name, .storage = w->storage, .dims = 2, .shape = {w->rows, w->cols}};
        if (vkft_storage_keeps(options->quant) || vkft_storage_is_quantized(options->quant))
            return true;
        vkft_fail(err, VKFT_ERR_INPUT, "%s: tensor '%s' is quantized already (%s); convert the original checkpoint",
                  path, tensor->name, vkft_storage_get(w->storage)->label);
        return vkft_advise(err, VKFT_ADVICE_KEEP_QUANTIZATION);
    }
    vkft_storage found = vkft_storage_of_dtype(tensor->dtype);
    if (found == VKFT_STORAGE_none)
        return vkft_fail(err, VKFT_ERR_INPUT, "%s: tensor '%s' has dtype %s; supported are F64, F32, F16 and BF16",
                         path, tensor->name, vkft_dtype_name(tensor->dtype));
    uint32_t dims = role == VKFT_ROLE_VECTOR ? 1 : 2;
    if (tensor->dims != dims)
        return vkft_fail(err, VKFT_ERR_INPUT, "%s: tensor '%s' has %" PRIu32 " dimensions; expected %" PRIu32, path,
                         tensor->name, tensor->dims, dims);
    *spec = (vkft_model_spec){.name = j->name, .storage = target_storage(role, found, options->quant), .dims = dims};
    for (uint32_t d = 0; d < dims; d++)
        spec->shape[d] = tensor->shape[j->swapped ? dims - 1 - d : d];
    return true;
}

/* Whether the checkpoint's form of the tensor may be kept. */
static bool may_be_kept(vkft_tensor_role role, vkft_dtype dtype, vkft_storage quant)
{
    if (vkft_dtype_block(dtype) > 1)
        return quant == VKFT_STORAGE_stored && role != VKFT_ROLE_VECTOR && role != VKFT_ROLE_TABLE;
    return role == VKFT_ROLE_LINEAR || role == VKFT_ROLE_NEVER_QUANTIZED;
}

/* A conversion: the tensors that belong to the model, in the order in which they lie on disk. */
typedef struct plan {
    job *jobs;
    vkft_model_spec *specs;
    uint32_t count;
    uint64_t bytes; /* to read */
} plan;

/* Whether the checkpoint's head has values of its own, though the configuration ties it to the embedding. It is then
 * used, as in transformers 5. */
static bool is_own_head(const vkft_hf_checkpoint *checkpoint, const vkft_config *config, const vkft_shard_tensor *head)
{
    char canonical[256], embedding[256];
    snprintf(embedding, sizeof embedding, "%s.weight", config->arch->embedding);
    for (uint32_t i = 0; i < checkpoint->count; i++) {
        const vkft_shard_tensor *t = &checkpoint->tensors[i];
        if (vkft_arch_tensor(config, t->tensor->name, canonical, sizeof canonical) == VKFT_ROLE_EMBEDDING &&
            strcmp(canonical, embedding) == 0)
            return !vkft_convert_same_values(head, t);
    }
    return false;
}

static bool plan_tensors(const vkft_hf_checkpoint *checkpoint, const vkft_config *config,
                         const vkft_convert_options *options, plan *p, cJSON *notes, vkft_err *err)
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
        if (role == VKFT_ROLE_TIED_HEAD && is_own_head(checkpoint, config, j->source)) {
            role = VKFT_ROLE_EMBEDDING;
            if (!vkft_note(notes,
                           "config.json ties the head to the embedding, but %.100s holds other values: it is used, as "
                           "in transformers 5",
                           tensor->name))
                return vkft_fail_memory(err, "while converting '%s'", checkpoint->dir);
        }
        if (role == VKFT_ROLE_NONE || role == VKFT_ROLE_TIED_HEAD)
            continue;
        j->swapped = config->arch->conv1d && (role == VKFT_ROLE_LINEAR || role == VKFT_ROLE_NEVER_QUANTIZED);
        j->transposed = j->swapped != tensor->column_major;
        if (may_be_kept(role, tensor->dtype, options->quant) &&
            !vkft_prequantized_find(checkpoint, j->source, &j->parts, &j->quantized, err))
            return false;
        if (!plan_tensor(j, role, options, &p->specs[p->count], err))
            return false;
        p->count++;
        p->bytes += tensor->bytes;
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
    vkft_converter *converter = vkft_converter_new(options->threads, err);
    bool ok = converter != NULL;
    for (uint32_t i = 0; ok && i < p->count; i++) {
        const job *j = &p->jobs[i];
        ok = j->quantized ? vkft_prequantized_write(&j->parts, options->threads, writer, i, err)
                          : vkft_convert_tensor(converter, j->source, &p->specs[i], writer, i, j->transposed, err);
        done += j->source->tensor->bytes;
        if (ok && options->progress && !options->progress(options->progress_context, done, p->bytes))
            ok = vkft_fail(err, VKFT_ERR_INTERRUPTED, "conversion of '%s' interrupted; nothing was written",
                           checkpoint->dir);
    }
    vkft_converter_free(converter);
    return ok;
}

/* Of the blocks of a GGUF file those that no storage type keeps. */
static bool note_stored(cJSON *notes, const plan *p)
{
    const char *decoded = NULL;
    bool kept = false;
    for (uint32_t i = 0; i < p->count; i++) {
        kept |= p->jobs[i].quantized;
        if (!p->jobs[i].quantized && vkft_dtype_block(p->jobs[i].source->tensor->dtype) > 1)
            decoded = vkft_dtype_name(p->jobs[i].source->tensor->dtype);
    }
    return (!kept || vkft_note(notes, "weights are kept as the GGUF file has them: their values are llama.cpp's")) &&
           (!decoded || vkft_note(notes,
                                  "weights of the type %s are decoded to fp32, exactly, and so take more memory "
                                  "than in the file",
                                  decoded));
}

/* What becomes of weights that a GGUF file has quantized. */
static bool note_decoded(cJSON *notes, const vkft_hf_checkpoint *checkpoint, const plan *p, vkft_storage quant)
{
    if (!vkft_gguf_checkpoint_is_quantized(checkpoint))
        return true;
    if (quant == VKFT_STORAGE_stored)
        return note_stored(notes, p);
    if (quant == VKFT_STORAGE_none || quant == VKFT_STORAGE_f32)
        return vkft_note(notes, "weights of quantized GGUF types are decoded to fp32, exactly, and so take more memory "
                                "than in the file");
    return vkft_note(notes,
                     "weights of quantized GGUF types are decoded and rounded once more, to %s; --quant none keeps "
                     "their values, as fp32",
                     vkft_quant_label(quant));
}

/* Plans and writes; the source's parts are open and checked. */
static bool write_model(const vkft_hf_checkpoint *checkpoint, vkft_source *source, const char *out_path,
                        const vkft_convert_options *options, vkft_err *err)
{
    plan p = {0};
    vkft_model_writer *writer = NULL;
    cJSON *notes = cJSON_CreateArray();
    bool ok = notes && vkft_note_unused(notes, &source->config, checkpoint);
    ok = ok || vkft_fail_memory(err, "while converting '%s'", checkpoint->dir);
    ok = ok && plan_tensors(checkpoint, &source->config, options, &p, notes, err);
    ok = ok && (note_decoded(notes, checkpoint, &p, options->quant) ||
                vkft_fail_memory(err, "while converting '%s'", checkpoint->dir));
    ok = ok && vkft_source_describe(source, checkpoint, notes, err);
    if (ok)
        writer = vkft_model_writer_open(out_path, source->name, vkft_quant_label(options->quant), source->info,
                                        source->blobs, source->blob_count, p.specs, p.count, err);
    ok = writer && run(checkpoint, &p, options, writer, err);
    if (ok)
        ok = vkft_model_writer_commit(writer, err);
    else
        vkft_model_writer_abandon(writer);
    for (uint32_t i = 0; p.jobs && i <= p.count && i < checkpoint->count; i++)
        free(p.jobs[i].parts.made);
    free(p.jobs);
    free(p.specs);
    cJSON_Delete(notes);
    return ok;
}

bool vkft_convert_finds_head(const char *hf_dir, const vkft_config *config, bool *own, vkft_err *err)
{
    vkft_hf_checkpoint checkpoint;
    char head[256], canonical[256];
    bool weights;
    *own = false;
    snprintf(head, sizeof head, "%s.weight", config->arch->head);
    if (!vkft_hf_checkpoint_find(hf_dir, &weights, err) ||
        (weights && !vkft_hf_checkpoint_open(hf_dir, &checkpoint, err)))
        return false;
    for (uint32_t i = 0; weights && i < checkpoint.count; i++) {
        const vkft_shard_tensor *t = &checkpoint.tensors[i];
        vkft_tensor_role role = vkft_arch_tensor(config, t->tensor->name, canonical, sizeof canonical);
        if (role != VKFT_ROLE_NONE && strcmp(canonical, head) == 0)
            *own = role != VKFT_ROLE_TIED_HEAD || is_own_head(&checkpoint, config, t);
    }
    if (weights)
        vkft_hf_checkpoint_close(&checkpoint);
    return true;
}

bool vkft_convert_settle(const char *path, const vkft_convert_options *options, vkft_convert_options *settled,
                         vkft_err *err)
{
    bool quantized = false;
    *settled = *options;
    settled->keep_blocks = false;
    if (options->keep_blocks && vkft_gguf_is(path) && !vkft_gguf_file_is_quantized(path, &quantized, err))
        return false;
    if (quantized)
        settled->quant = VKFT_STORAGE_stored;
    return true;
}

bool vkft_convert(const char *hf_dir, const char *out_path, const vkft_convert_options *options, vkft_err *err)
{
    vkft_hf_checkpoint checkpoint;
    vkft_source source = {0};
    vkft_convert_options settled;
    if (vkft_directory_exists(out_path))
        return vkft_fail(err, VKFT_ERR_INPUT, "'%s' is a directory; expected the name of the .vkft file to write",
                         out_path);
    bool is_file = !vkft_directory_exists(hf_dir) && vkft_gguf_is(hf_dir);
    if (!vkft_convert_settle(hf_dir, options, &settled, err))
        return false;
    if (is_file ? !vkft_gguf_checkpoint_open(hf_dir, &source, &checkpoint, err)
                : !vkft_source_open(hf_dir, &source, err))
        return false;
    bool ok = is_file || vkft_hf_checkpoint_open(hf_dir, &checkpoint, err);
    if (ok) {
        ok = write_model(&checkpoint, &source, out_path, &settled, err);
        vkft_hf_checkpoint_close(&checkpoint);
    }
    vkft_source_close(&source);
    return ok;
}
