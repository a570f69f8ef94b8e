/* Choice of modules by name and the flat layout of their parameters. */
#include "host/trainable/adapters_private.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "host/model/tensor_spec.h"
#include "runtime/base/size.h"
#include "runtime/base/text.h"

#define PAD 64u

uint32_t vkft_adapter_set_kinds(const vkft_adapter_set *set)
{
    uint32_t count = 0;
    while (count < VKFT_ADAPTER_TENSORS && set->method->format.suffixes[count])
        count++;
    return count;
}

/* Whether the adapter's first product is taken off the weights. */
static bool has_origin(vkft_lora_init init)
{
    return init == VKFT_LORA_INIT_OLORA || init >= VKFT_LORA_INIT_PISSA;
}

uint32_t vkft_adapter_set_written_rank(const vkft_adapter_set *set, const vkft_adapted_module *m)
{
    return set->origin_floats ? 2 * m->r : m->r;
}

const char *vkft_adapter_set_suffix(const vkft_adapter_set *set, const vkft_adapted_module *m, uint32_t tensor)
{
    const char *embedding = m->embedding ? set->method->format.embedding[tensor] : NULL;
    return embedding ? embedding : set->method->format.suffixes[tensor];
}

uint64_t vkft_adapter_set_shape(const vkft_adapter_set *set, const vkft_adapted_module *m, uint32_t tensor,
                                uint32_t *rows, uint32_t *cols)
{
    set->method->tensor[tensor].shape(m->linear, m->r, rows, cols);
    return (uint64_t)*rows * *cols;
}

bool vkft_adapter_set_reserve(vkft_adapter_set *set, const vkft_model *model, const vkft_adapter_method *method,
                              const vkft_adapter_config *config, vkft_err *err)
{
    memset(set, 0, sizeof *set);
    set->method = method;
    set->model = model;
    set->config = *config;
    set->config.base_model_name_or_path = NULL;
    set->config.target_modules = NULL;
    set->config.targets = (vkft_module_targets){0};
    set->config.modules_to_save = NULL;
    set->config.tokens = (vkft_token_indices){0};
    set->config.rank_pattern = set->config.alpha_pattern = (vkft_module_patterns){0};
    set->modules = calloc((size_t)model->module_count, sizeof *set->modules);
    set->saved = calloc(model->tensor_count + 1ull, sizeof *set->saved);
    return (set->modules && set->saved) || vkft_fail_memory(err, "for the adapter's modules");
}

vkft_adapted_module *vkft_adapter_set_next(vkft_adapter_set *set, const vkft_module *module)
{
    vkft_adapted_module *m = &set->modules[set->count];
    snprintf(m->name, sizeof m->name, "%s", module->name);
    m->linear = module->linear;
    m->expert_group = module->expert_group;
    m->embedding = module->embedding;
    m->head = module->head;
    m->r = set->config.r;
    m->lora_alpha = set->config.lora_alpha;
    m->linear->ia3.input = vkft_ia3_is_feedforward(set->config.feedforward_modules, m->name);
    return m;
}

void vkft_adapter_set_lay_out(vkft_adapter_set *set)
{
    uint32_t rows, cols;
    for (uint32_t i = 0; i < set->count && set->method->squares; i++) {
        set->modules[i].row = set->rows;
        set->rows += set->modules[i].linear->w.rows;
    }
    if (set->method->projection)
        vkft_adapter_set_lay_out_projection(set);
    for (int pass = 0; pass < 2; pass++) {
        for (uint32_t i = 0; i < set->count; i++)
            for (uint32_t j = 0; j < vkft_adapter_set_kinds(set); j++) {
                if (set->method->tensor[j].decays != (pass == 0))
                    continue;
                uint64_t floats = vkft_adapter_set_shape(set, &set->modules[i], j, &rows, &cols);
                set->modules[i].offset[j] =
                    vkft_parameter_space_append(&set->layout, round_up(floats, PAD), VKFT_PARAMETER_SPACE_FLOATS);
                set->parameters += floats;
            }
        if (pass == 0 && has_origin(set->config.init))
            set->origin_floats = vkft_parameter_space_length(&set->layout);
        for (uint32_t i = 0; i < set->saved_count; i++) {
            if ((set->saved[i].spec->weight != NULL) != (pass == 0)) /* biases do not decay */
                continue;
            uint64_t floats = (uint64_t)set->saved[i].spec->rows * set->saved[i].spec->cols;
            set->saved[i].offset =
                vkft_parameter_space_append(&set->layout, round_up(floats, PAD), VKFT_PARAMETER_SPACE_FLOATS);
            set->parameters += floats;
        }
        for (uint32_t i = 0; i < set->tokens_count && pass == 0; i++) {
            uint64_t floats = (uint64_t)set->tokens[i].count * set->tokens[i].spec->cols;
            set->tokens[i].offset =
                vkft_parameter_space_append(&set->layout, round_up(floats, PAD), VKFT_PARAMETER_SPACE_FLOATS);
            set->parameters += floats;
        }
        if (pass == 0)
            set->decayed = vkft_parameter_space_length(&set->layout);
    }
}

bool vkft_adapter_set_check_experts(const vkft_adapter_set *set, vkft_err *err)
{
    uint32_t groups = set->model->config->experts,
             *adapted = calloc(set->model->expert_groups + 1ull, sizeof *adapted); /* of each group */
    const vkft_adapted_module **first = calloc(set->model->expert_groups + 1ull, sizeof *first);
    bool ok = (adapted && first) || vkft_fail_memory(err, "for the adapter's modules");
    for (uint32_t i = 0; ok && i < set->count; i++)
        if (!adapted[set->modules[i].expert_group]++)
            first[set->modules[i].expert_group] = &set->modules[i];
    for (uint32_t i = 0; ok && i < set->count; i++) {
        const vkft_adapted_module *m = &set->modules[i], *other = first[m->expert_group];
        uint32_t n = adapted[m->expert_group];
        if (m->expert_group && set->method->not_for_experts)
            ok = vkft_fail(err, VKFT_ERR_INPUT,
                           "%s is an expert, and experts cannot have a %s adapter; train with LoRA, or leave experts "
                           "out of --lora-target-modules",
                           m->name, set->method->name);
        else if (m->expert_group && n != groups)
            ok = vkft_fail(err, VKFT_ERR_INPUT,
                           "%s has an adapter, as have %u of the layer's %u experts; expected all of them or none",
                           m->name, n, groups);
        else if (m->expert_group && (m->r != other->r || m->lora_alpha != other->lora_alpha))
            ok = vkft_fail(err, VKFT_ERR_INPUT,
                           "%s has an adapter with r %u and lora_alpha %g, and %s one with r %u and lora_alpha %g; "
                           "expected the same for all experts of a layer",
                           m->name, m->r, (double)m->lora_alpha, other->name, other->r, (double)other->lora_alpha);
    }
    free(first);
    free(adapted);
    return ok;
}

bool vkft_adapted_module_apply_patterns(vkft_adapted_module *m, const vkft_module_patterns *ranks,
                                        const vkft_module_patterns *alphas, vkft_err *err)
{
    double r = m->r, alpha = (double)m->lora_alpha;
    if (!vkft_module_patterns_find(ranks, m->name, &r, err) || !vkft_module_patterns_find(alphas, m->name, &alpha, err))
        return false;
    m->r = (uint32_t)r;
    m->lora_alpha = (float)alpha;
    return true;
}

/* Embeddings and the head have plain LoRA, or nothing. */
bool vkft_adapted_module_check_kind(const vkft_adapter_set *set, const vkft_adapted_module *m, vkft_err *err)
{
    return (!m->embedding && !m->head) || set->method == &vkft_method_lora ||
           vkft_fail(err, VKFT_ERR_INPUT,
                     "%s is %s of this model, and can have a plain LoRA adapter, not %s; leave it out of the target "
                     "modules, or train with LoRA",
                     m->name, m->head ? "the head" : "an embedding", set->method->name);
}

/* Whether the module can have these first values. */
static bool check_init(const vkft_adapter_set *set, const vkft_adapted_module *m, vkft_err *err)
{
    const vkft_weight *w = &m->linear->w;
    vkft_lora_init init = set->config.init;
    if (init == VKFT_LORA_INIT_ORTHOGONAL && m->r % 2)
        return vkft_fail(err, VKFT_ERR_INPUT,
                         "--init-lora-weights orthogonal is for even ranks, and that of %s is %u; give another "
                         "--lora-r or --rank-pattern",
                         m->name, m->r);
    if (init < VKFT_LORA_INIT_OLORA)
        return true;
    if (set->method != &vkft_method_lora)
        return vkft_fail(err, VKFT_ERR_INPUT,
                         "first values from the weights (--init-lora-weights pissa, olora, loftq) are for plain LoRA; "
                         "leave --use-dora out");
    if (m->embedding || m->head)
        return vkft_fail(err, VKFT_ERR_INPUT,
                         "%s is %s of this model, and cannot have first values from its weights; use another "
                         "--init-lora-weights, or leave it out of --lora-target-modules",
                         m->name, m->head ? "the head" : "an embedding");
    if (m->expert_group)
        return vkft_fail(err, VKFT_ERR_INPUT,
                         "%s is an expert, and experts cannot have first values from their weights; use another "
                         "--init-lora-weights, or leave experts out of --lora-target-modules",
                         m->name);
    return (m->r <= w->rows && m->r <= w->cols) ||
           vkft_fail(err, VKFT_ERR_INPUT,
                     "--init-lora-weights: %s has a weight [%u, %u] and rank %u; expected a rank of at most its "
                     "smaller side",
                     m->name, w->rows, w->cols, m->r);
}

/* Adds the modules that the flags choose. */
static bool add_chosen(vkft_adapter_set *set, const vkft_chosen_modules *chosen, vkft_err *err)
{
    for (uint32_t i = 0; i < set->model->module_count; i++) {
        bool has;
        if (!vkft_chosen_modules_have(chosen, &set->model->modules[i], &has, err))
            return false;
        if (!has)
            continue;
        if (!vkft_adapted_module_apply_patterns(vkft_adapter_set_next(set, &set->model->modules[i]), &chosen->ranks,
                                                &chosen->alphas, err))
            return false;
        const vkft_adapted_module *m = &set->modules[set->count++];
        if (!vkft_adapted_module_check_kind(set, m, err) || !check_init(set, m, err))
            return false;
    }
    return vkft_module_targets_copy(&set->config.targets, &chosen->targets, err);
}

bool vkft_adapter_set_choose(vkft_adapter_set *set, const vkft_model *model, const vkft_adapter_method *method,
                             const vkft_module_choice *choice, const vkft_adapter_config *config, vkft_err *err)
{
    vkft_chosen_modules chosen;
    *set = (vkft_adapter_set){0};
    bool ok = vkft_module_choice_read(choice, model, &chosen, err) &&
              vkft_adapter_set_reserve(set, model, method, config, err) && add_chosen(set, &chosen, err) &&
              vkft_adapter_set_check_experts(set, err) &&
              (!choice->save || vkft_adapter_set_save(set, choice->save, err)) &&
              vkft_adapter_set_save_biases(set, err) && vkft_adapter_set_train_tokens(set, &chosen.tokens, err);
    vkft_chosen_modules_free(&chosen);
    if (ok)
        vkft_adapter_set_lay_out(set);
    else
        vkft_adapter_set_free(set);
    return ok;
}

void vkft_adapter_set_free(vkft_adapter_set *set)
{
    free(set->modules);
    free(set->saved);
    for (uint32_t i = 0; i < set->tokens_count; i++)
        free(set->tokens[i].tokens);
    free(set->squares);
    free(set->origin);
    free(set->projection.values);
    vkft_module_targets_free(&set->config.targets);
    vkft_token_indices_free(&set->config.tokens);
    memset(set, 0, sizeof *set);
}

bool vkft_adapter_set_freeze_a(vkft_adapter_set *set, vkft_err *err)
{
    if (set->method != &vkft_method_lora)
        return vkft_fail(err, VKFT_ERR_INPUT,
                         "--optim lorafa is for plain LoRA, and this is a %s adapter; use another --optim",
                         set->method->name);
    for (uint32_t i = 0; i < set->count; i++)
        if (set->modules[i].embedding)
            return vkft_fail(
                err, VKFT_ERR_INPUT,
                "--optim lorafa is for linear layers, and %s is an embedding, whose A begins as zero; leave "
                "it out of --lora-target-modules, or use another --optim",
                set->modules[i].name);
    set->frozen_a = true;
    for (uint32_t i = 0; i < set->count; i++)
        set->parameters -= (uint64_t)set->modules[i].r * set->modules[i].linear->w.cols;
    return true;
}

static float scale_of(const vkft_adapter_set *set, const vkft_adapted_module *m)
{
    return m->lora_alpha / (set->config.use_rslora ? sqrtf((float)m->r) : (float)m->r);
}

uint32_t vkft_adapter_set_tensor_count(const vkft_adapter_set *set)
{
    return set->count ? set->count * vkft_adapter_set_kinds(set) + set->saved_count + set->tokens_count : 0;
}

void vkft_adapter_set_tensors(const vkft_adapter_set *set, vkft_parameter_tensor *list)
{
    for (uint32_t i = 0; i < set->count; i++)
        for (uint32_t j = 0; j < vkft_adapter_set_kinds(set); j++) {
            vkft_parameter_tensor *t = list++;
            t->offset = set->modules[i].offset[j];
            t->loraplus = set->method->tensor[j].loraplus;
            t->lora_embedding = set->modules[i].embedding;
            t->frozen = set->frozen_a && j == 0;
            t->lora_scale = set->frozen_a && j == 1 ? scale_of(set, &set->modules[i]) : 0;
            vkft_adapter_set_shape(set, &set->modules[i], j, &t->rows, &t->cols);
        }
    for (uint32_t i = 0; i < set->saved_count; i++) {
        const struct vkft_tensor_spec *spec = set->saved[i].spec;
        *list++ = (vkft_parameter_tensor){.offset = set->saved[i].offset,
                                          .rows = spec->rows,
                                          .cols = spec->cols,
                                          .embedding = spec->weight == &set->model->embedding,
                                          .loraplus = spec->vector != NULL};
    }
    for (uint32_t i = 0; i < set->tokens_count; i++)
        *list++ = (vkft_parameter_tensor){
            .offset = set->tokens[i].offset, .rows = set->tokens[i].count, .cols = set->tokens[i].spec->cols};
}

void vkft_adapter_set_bind(const vkft_adapter_set *set, const vkft_parameter_space *parameters,
                           const vkft_parameter_space *gradients)
{
    for (uint32_t i = 0; i < set->saved_count; i++) {
        const struct vkft_tensor_spec *spec = set->saved[i].spec;
        *(spec->weight ? &spec->weight->part[VKFT_PART_DATA] : spec->vector) =
            vkft_parameter_space_at(parameters, set->saved[i].offset);
        *(spec->weight ? &spec->weight->grad : spec->gradient) =
            gradients ? vkft_parameter_space_at(gradients, set->saved[i].offset) : 0;
    }
    vkft_adapter_set_bind_tokens(set, parameters, gradients);
    for (uint32_t i = 0; i < set->count; i++) {
        uint64_t value[VKFT_ADAPTER_TENSORS], gradient[VKFT_ADAPTER_TENSORS];
        for (uint32_t j = 0; j < vkft_adapter_set_kinds(set); j++) {
            value[j] = vkft_parameter_space_at(parameters, set->modules[i].offset[j]);
            gradient[j] = gradients ? vkft_parameter_space_at(gradients, set->modules[i].offset[j]) : 0;
        }
        vkft_adapter_config own = set->config;
        own.r = set->modules[i].r;
        own.lora_alpha = set->modules[i].lora_alpha;
        uint64_t squares = set->address ? set->address + set->modules[i].row * sizeof(float) : VKFT_PLACEHOLDER_ADDRESS;
        set->method->bind(set->modules[i].linear, &own, i, squares, value, gradients ? gradient : NULL);
        if (set->frozen_a)
            set->modules[i].linear->lora.dA = 0;
        if (set->projection.floats) {
            uint64_t at = set->projection.address ? set->projection.address : VKFT_PLACEHOLDER_ADDRESS;
            set->modules[i].linear->lora.A = at + set->modules[i].projection * sizeof(float);
            set->modules[i].linear->lora.B = at;
        }
        if (set->origin_floats) {
            uint64_t origin = set->origin_address ? set->origin_address : VKFT_PLACEHOLDER_ADDRESS;
            vkft_lora *lora = &set->modules[i].linear->lora;
            lora->A0 = origin + set->modules[i].offset[0] * sizeof(float);
            lora->B0 = origin + set->modules[i].offset[1] * sizeof(float);
        }
    }
}

bool vkft_adapter_set_init(const vkft_adapter_set *set, uint64_t seed, float *flat, vkft_err *err)
{
    uint32_t rows, cols;
    memset(flat, 0, vkft_parameter_space_length(&set->layout) * sizeof *flat);
    for (uint32_t i = 0; i < set->count; i++)
        for (uint32_t j = 0; j < vkft_adapter_set_kinds(set); j++) {
            uint64_t offset = set->modules[i].offset[j];
            vkft_adapter_set_shape(set, &set->modules[i], j, &rows, &cols);
            const vkft_adapter_start start = {.seed = seed,
                                              .first = offset,
                                              .module = set->modules[i].offset[0],
                                              .init = set->config.init,
                                              .d_initial = set->config.d_initial,
                                              .embedding = set->modules[i].embedding,
                                              .squares = set->squares ? set->squares + set->modules[i].row : NULL};
            if (set->method->tensor[j].init && !set->method->tensor[j].init(&start, rows, cols, flat + offset))
                return vkft_fail_memory(err, "for the adapter's first values");
        }
    return true;
}
