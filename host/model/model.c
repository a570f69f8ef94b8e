/* Layout of a model's tensors. */
#include "host/model/model.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "host/engine/matmul/tune.h"
#include "runtime/base/size.h"
#include "host/model/blocks/blocks.h"
#include "host/model/list.h"

/* Everything of a block that its weights' addresses do not change. */
static void compile_layer(vkft_model *model, vkft_stack_kind kind, vkft_stack *stack, uint32_t index, bool relative)
{
    vkft_layer *layer = &stack->layers[index];
    vkft_block_spec *spec = &layer->spec;
    *spec = vkft_config_block(model->config, kind, index);
    layer->cross_attention = layer->attention = (vkft_attention_shape){.Hq = spec->heads,
                                                                       .Hk = spec->kv_heads,
                                                                       .D = spec->head_dim,
                                                                       .scale = spec->attention_scale,
                                                                       .softcap = spec->attention_softcap};
    layer->attention.relative = relative ? &stack->layers[0].relative : NULL;
    if (spec->rope != VKFT_BLOCK_NO_ROPE)
        layer->rotary = &model->rotary[spec->rope == VKFT_BLOCK_LOCAL_ROPE];
}

static void list_layer(vkft_model_list *list, vkft_layer *layer)
{
    const char *const *names = list->names->norm;
    for (vkft_norm_slot s = 0; s < VKFT_NORM_SLOTS; s++) {
        char module[120];
        if (!names[s])
            continue;
        snprintf(module, sizeof module, "%s.%u.%s", list->names->layers, list->layer, names[s]);
        vkft_list_norm(list, &layer->norm[s], vkft_norm_width(&layer->spec, s), module);
    }
    for (uint32_t i = 0; i < VKFT_BLOCK_PARTS && layer->spec.parts[i]; i++)
        vkft_block_row_of(layer->spec.parts[i])->list(list, layer, layer->spec.parts[i]);
}

static void list_stack(vkft_model *model, vkft_model_list *list, vkft_stack_kind kind, vkft_stack *stack)
{
    const vkft_config *c = model->config;
    list->names = kind == VKFT_ENCODER ? &c->arch->encoder : &c->arch->decoder;
    bool relative = list->names->relative_bias != NULL;
    if (!stack->count)
        return;
    if (relative) {
        vkft_relative_bias *bias = &stack->layers[0].relative;
        char module[120];
        bias->buckets = c->relative_buckets;
        snprintf(module, sizeof module, "%s.0.%s", list->names->layers, list->names->relative_bias);
        vkft_list_table(list, &bias->bias, &bias->dbias, c->relative_buckets, c->num_heads, module, "weight");
    }
    for (list->layer = 0; list->layer < stack->count; list->layer++) {
        compile_layer(model, kind, stack, list->layer, relative);
        list->blocks++;
        list->in_block = true;
        list_layer(list, &stack->layers[list->layer]);
        list->in_block = false;
    }
    if (!c->no_final_norm)
        vkft_list_norm(list, &stack->final_norm, c->hidden_size, list->names->final_norm);
}

static void list_tensors(vkft_model *model, vkft_model_list *list)
{
    const vkft_config *c = model->config;
    const vkft_arch *arch = c->arch;
    uint32_t C = c->hidden_size, E = c->embedding_size;
    struct vkft_tensor_spec *embedding =
        vkft_list_matrix(list, &model->embedding, c->vocab_size, E, true, arch->embedding);
    if (embedding)
        embedding->host = !model->tied;
    if (arch->positions)
        vkft_list_matrix(list, &model->positions, c->position_offset + c->max_position, C, true, arch->positions);
    if (E != C)
        vkft_list_linear(list, &model->project_in, C, E, false, false, arch->project_in);
    list_stack(model, list, VKFT_ENCODER, &model->encoder);
    list_stack(model, list, VKFT_DECODER, &model->decoder);
    if (E != C)
        vkft_list_linear(list, &model->project_out, E, C, false, false, arch->project_out);
    if (!model->tied)
        vkft_list_matrix(list, &model->head.w, c->vocab_size, E, true, arch->head);
    uint32_t V = c->vocab_size;
    if (model->encoder.count) { /* both read the embedding that they share, which in transformers each calls its own */
        vkft_list_outer(list, &model->encoder.embedding, &model->token_rows, E, V, false, "encoder.embed_tokens");
        vkft_list_outer(list, &model->decoder.embedding, &model->token_rows, E, V, false, "decoder.embed_tokens");
    } else {
        vkft_list_outer(list, &model->decoder.embedding, &model->token_rows, E, V, false, arch->embedding);
    }
    vkft_list_outer(list, &model->head.adapted, &model->head.rows, V, E, true,
                    arch->head_module ? arch->head_module : arch->head);
}

/* The type that converting a checkpoint would give this matrix. */
static vkft_storage converted_storage(const vkft_model *model, const struct vkft_tensor_spec *spec, vkft_storage quant)
{
    bool kept = vkft_storage_keeps(quant) || (vkft_storage_is_quantized(quant) && spec->never_quantized);
    return kept ? vkft_storage_of_dtype(model->config->dtype) : quant;
}

static bool shape_matches(const vkft_model_tensor *tensor, const struct vkft_tensor_spec *spec)
{
    if (spec->vector && spec->rows == 1)
        return tensor->dims == 1 && tensor->shape[0] == spec->cols;
    return tensor->dims == 2 && tensor->shape[0] == spec->rows && tensor->shape[1] == spec->cols;
}

/* "[rows, cols]", or "[rows]" with cols 0. */
static void shape_text(char *text, size_t size, uint64_t rows, uint64_t cols)
{
    if (cols)
        snprintf(text, size, "[%llu, %llu]", (unsigned long long)rows, (unsigned long long)cols);
    else
        snprintf(text, size, "[%llu]", (unsigned long long)rows);
}

static bool take_from_file(struct vkft_tensor_spec *spec, const vkft_model_file *file, vkft_err *err)
{
    const vkft_model_tensor *tensor = vkft_model_file_find(file, spec->name);
    const char *path = vkft_model_file_path(file);
    if (!tensor)
        return vkft_fail(err, VKFT_ERR_INPUT, "%s: tensor %s is missing; config.json calls for it", path, spec->name);
    if (!shape_matches(tensor, spec)) {
        char found[48], expected[48];
        if (tensor->dims == 2)
            shape_text(found, sizeof found, tensor->shape[0], tensor->shape[1]);
        else
            snprintf(found, sizeof found, "%u dimensions", tensor->dims);
        if (tensor->dims == 1)
            shape_text(found, sizeof found, tensor->shape[0], 0);
        bool flat = spec->vector && spec->rows == 1;
        shape_text(expected, sizeof expected, flat ? spec->cols : spec->rows, flat ? 0 : spec->cols);
        return vkft_fail(err, VKFT_ERR_INPUT, "%s: tensor %s has shape %s; config.json calls for %s", path, spec->name,
                         found, expected);
    }
    if (vkft_storage_is_quantized(tensor->storage) && spec->vector)
        return vkft_fail(err, VKFT_ERR_INPUT, "%s: tensor %s has type %s; expected F32, F16 or BF16", path, spec->name,
                         vkft_storage_get(tensor->storage)->header);
    spec->storage = spec->vector ? VKFT_STORAGE_f32 : tensor->storage;
    return true;
}

static void measure(vkft_model *model, struct vkft_tensor_spec *spec)
{
    vkft_storage_part_bytes(spec->storage, spec->rows, spec->cols, spec->bytes); /* 2^64 is far */
    for (uint32_t part = 0; part < VKFT_PARTS; part++)
        spec->bytes[part] = round_up(spec->bytes[part], VKFT_BUFFER_ALIGNMENT);
    *(spec->host ? &model->host_bytes : &model->device_bytes) += vkft_tensor_spec_bytes(spec);
    if (spec->weight) {
        *spec->weight = (vkft_weight){.storage = spec->storage, .rows = spec->rows, .cols = spec->cols};
        uint64_t scratch = vkft_product_scratch_bytes(spec->rows, spec->cols);
        if (scratch > model->scratch_bytes)
            model->scratch_bytes = scratch;
    }
}

void vkft_model_release(vkft_model *model, struct vkft_tensor_spec *spec)
{
    *(spec->host ? &model->host_bytes : &model->device_bytes) -= vkft_tensor_spec_bytes(spec);
    spec->storage = VKFT_STORAGE_f32;
    memset(spec->bytes, 0, sizeof spec->bytes);
    *spec->weight = (vkft_weight){.storage = spec->storage, .rows = spec->rows, .cols = spec->cols};
}

void vkft_model_set_head(vkft_model *model)
{
    if (model->tied)
        model->head.w = model->embedding;
}

/* One kernel multiplies all experts of a layer. */
static bool check_experts(const vkft_model *model, vkft_err *err)
{
    const vkft_module *first[VKFT_EXPERT_SLOTS] = {0}; /* of the group, by gate, up and down */
    for (uint32_t i = 0; i < model->module_count; i++) {
        const vkft_module *module = &model->modules[i];
        if (!module->expert_group)
            continue;
        uint32_t kind = (module->expert_group - 1) % VKFT_EXPERT_SLOTS;
        if (!first[kind] || first[kind]->expert_group != module->expert_group)
            first[kind] = module;
        const vkft_weight *w = &module->linear->w, *other = &first[kind]->linear->w;
        if (w->storage != other->storage)
            return vkft_fail(
                err, VKFT_ERR_INPUT,
                "tensor %s.weight is stored as %s and that of the layer's first expert as %s; expected one type",
                module->name, vkft_storage_get(w->storage)->label, vkft_storage_get(other->storage)->label);
    }
    return true;
}

static bool lay_out(vkft_model *model, vkft_err *err)
{
    const vkft_config *c = model->config;
    model->embedding_scale = c->embedding_scale;
    model->noise_scale = c->noise_scale;
    model->position_offset = c->position_offset;
    model->head.scale = c->logit_scale;
    model->head.softcap = c->logit_softcap;
    model->rotary[0].dim = c->rope.dim;
    model->rotary[1].dim = c->local_rope.dim;
    model->decoder.layers = calloc(c->num_layers, sizeof *model->decoder.layers);
    model->encoder.layers = calloc(c->encoder_layers + 1ull, sizeof *model->encoder.layers);
    if (!model->decoder.layers || !model->encoder.layers)
        return vkft_fail_memory(err, "while laying out the model");
    model->decoder.count = c->num_layers;
    model->encoder.count = c->encoder_layers;
    vkft_model_list list = {.config = c};
    list_tensors(model, &list);
    model->tensors = list.tensors;
    model->tensor_count = list.tensor_count;
    model->modules = list.modules;
    model->module_count = list.module_count;
    model->expert_groups = list.expert_groups;
    return !list.failed || vkft_fail_memory(err, "while laying out the model");
}

/* A head of its own that the file has goes before what the configuration says. */
static bool is_tied(const vkft_config *config, const vkft_model_file *file)
{
    if (!file || !config->tie_word_embeddings)
        return config->tie_word_embeddings;
    char head[128];
    snprintf(head, sizeof head, "%s.weight", config->arch->head);
    return !vkft_model_file_find(file, head);
}

bool vkft_model_init(vkft_model *model, const vkft_config *config, const vkft_model_file *file, vkft_storage quant,
                     bool trained, vkft_err *err)
{
    memset(model, 0, sizeof *model);
    model->config = config;
    model->tied = is_tied(config, file);
    if (!lay_out(model, err))
        goto fail;
    for (uint32_t i = 0; i < model->tensor_count; i++) {
        struct vkft_tensor_spec *spec = &model->tensors[i];
        if (file) {
            if (!take_from_file(spec, file, err))
                goto fail;
        } else {
            spec->storage = spec->vector ? VKFT_STORAGE_f32 : converted_storage(model, spec, quant);
        }
        if (trained && vkft_storage_is_quantized(spec->storage)) {
            vkft_fail(err, VKFT_ERR_INPUT,
                      "tensor %s is quantized (%s), and all weights are to be trained; use --quant fp32 with the "
                      "original checkpoint",
                      spec->name, vkft_storage_get(spec->storage)->label);
            goto fail;
        }
        if (trained) { /* lies with the optimizer's state */
            spec->storage = VKFT_STORAGE_f32;
            spec->host = false;
        }
        measure(model, spec);
    }
    if (!check_experts(model, err))
        goto fail;
    model->trained = trained;
    if (trained)
        model->device_bytes = model->host_bytes = 0;
    vkft_model_set_head(model);
    return true;
fail:
    vkft_model_free(model);
    return false;
}

bool vkft_model_is_quantized(const vkft_model *model)
{
    for (uint32_t i = 0; i < model->tensor_count; i++)
        if (vkft_storage_is_quantized(model->tensors[i].storage))
            return true;
    return false;
}

bool vkft_model_setup_kernels(const vkft_model *model, vkft_device *dev, vkft_dtype operands, uint32_t positions,
                              bool training, vkft_err *err)
{
    const vkft_config *c = model->config;
    const vkft_caps *caps = vkft_device_get_caps(dev);
    /* attention_dkv iterates over all query heads of a key head; the forward pass over one. */
    uint32_t heads = training ? c->num_heads / c->num_kv_heads : 1;
    uint64_t limit = vkft_attention_iterations(caps) / heads * VKFT_ATTENTION_BLOCK;
    if (caps->loop_limit && positions > limit)
        return vkft_fail(err, VKFT_ERR_INPUT,
                         "%s cannot run this model on samples of more than %llu tokens, and the longest has %u; lower "
                         "--max-seq-length, or use a GPU",
                         vkft_device_get_info(dev)->name, (unsigned long long)limit, positions);
    const vkft_ops_constants constants = {.head_dim = c->head_dim,
                                          .softcap = c->attention_softcap > 0,
                                          .relative = c->relative_buckets > 0,
                                          .longest_walk = (uint64_t)positions * heads,
                                          .operands = operands};
    bool storages[VKFT_STORAGE_COUNT] = {[VKFT_STORAGE_f32] = true}; /* adapters */
    for (uint32_t i = 0; i < model->tensor_count; i++)
        if (model->tensors[i].weight)
            storages[model->tensors[i].storage] = true;
    return vkft_ops_setup(dev, &constants, err) && vkft_gemm_selftest(dev, storages, model->expert_groups > 0, err) &&
           vkft_tune(dev, storages, model->expert_groups > 0, err) && vkft_attention_selftest(dev, &constants, err);
}

static void free_stack(vkft_stack *stack)
{
    for (uint32_t l = 0; l < stack->count; l++)
        for (uint32_t s = 0; s < VKFT_EXPERT_SLOTS; s++)
            free(stack->layers[l].experts[s].linear);
    free(stack->layers);
}

void vkft_model_free(vkft_model *model)
{
    vkft_residency_free(&model->residency, model->dev);
    free(model->tensors);
    vkft_buffer_free(model->dev, &model->expert_tables);
    free_stack(&model->decoder);
    free_stack(&model->encoder);
    free(model->modules);
    memset(model, 0, sizeof *model);
}
