/* Rows of the embedding and the head that are trained token by token: PEFT's trainable_token_indices. Where the two are
 * one matrix, the same rows are in both, unless the head has other tokens. The matrices themselves stay as they are;
 * the model reads these rows in the place of theirs.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "host/model/tensor_spec.h"
#include "host/trainable/adapters_private.h"

/* The module that a name, or its end, is; NULL: none. Without a name the embedding, or the head. */
static const vkft_module *find_module(const vkft_model *model, const char *name, bool head)
{
    for (uint32_t i = 0; i < model->module_count; i++) {
        const vkft_module *module = &model->modules[i];
        size_t n = strlen(module->name), k = name ? strlen(name) : 0;
        bool named =
            k && k <= n && strcmp(module->name + n - k, name) == 0 && (k == n || module->name[n - k - 1] == '.');
        if (module->rows && (name ? named : module->head == head))
            return module;
    }
    return NULL;
}

/* An embedding that two stacks share has a name beside theirs. */
static bool is_shared(const vkft_model *model, const char *name)
{
    return model->encoder.count && (!name || strcmp(name, model->config->arch->embedding) == 0);
}

static const struct vkft_tensor_spec *find_spec(const vkft_model *model, bool head)
{
    const vkft_weight *weight = head && !model->tied ? &model->head.w : &model->embedding;
    for (uint32_t i = 0; i < model->tensor_count; i++)
        if (model->tensors[i].weight == weight)
            return &model->tensors[i];
    return NULL;
}

static bool same_tokens(const vkft_module_tokens *a, const vkft_module_tokens *b)
{
    return a->count == b->count && memcmp(a->tokens, b->tokens, a->count * sizeof *a->tokens) == 0;
}

/* What else is trained must not be what these rows are of. */
static bool check_alone(const vkft_adapter_set *set, const vkft_trained_tokens *tokens, vkft_err *err)
{
    for (uint32_t i = 0; i < set->count; i++) {
        const vkft_adapted_module *m = &set->modules[i];
        if ((m->embedding && tokens->places[0]) || (m->head && tokens->places[1]))
            return vkft_fail(
                err, VKFT_ERR_INPUT,
                "trainable token indices and an adapter are both for %s; leave it out of the target modules", m->name);
    }
    for (uint32_t i = 0; i < set->saved_count; i++)
        if (set->saved[i].spec == tokens->spec)
            return vkft_fail(
                err, VKFT_ERR_INPUT,
                "%s is already trained whole, with all its rows; leave it out of modules_to_save, or leave "
                "the trainable token indices out",
                set->saved[i].name);
    return true;
}

static bool add_tokens(vkft_adapter_set *set, const vkft_module_tokens *item, vkft_err *err)
{
    const vkft_model *model = set->model;
    bool shared = is_shared(model, item->module);
    const vkft_module *module = find_module(model, shared ? NULL : item->module, false);
    if (!module || (module->embedding && model->encoder.count && !shared))
        return vkft_fail(
            err, VKFT_ERR_INPUT,
            "trainable token indices: \"%s\" is neither the embedding of this model nor its head; expected "
            "%s or %s",
            item->module, model->config->arch->embedding, find_module(model, NULL, true)->name);
    if (model->encoder.count && !model->tied)
        return vkft_fail(
            err, VKFT_ERR_INPUT,
            "trainable token indices: this encoder-decoder has a head apart from its embedding, and PEFT "
            "puts rows of the one into the other; leave them out, or train with --modules-to-save lm_head");
    vkft_trained_tokens *tokens = &set->tokens[set->tokens_count++];
    tokens->spec = find_spec(model, module->head);
    snprintf(tokens->name, sizeof tokens->name, "%s", shared ? model->config->arch->embedding : module->name);
    tokens->places[module->head] = module->rows;
    tokens->count = item->count;
    tokens->tokens = malloc((item->count + 1ull) * sizeof *tokens->tokens);
    if (!tokens->tokens)
        return vkft_fail_memory(err, "for token indices");
    memcpy(tokens->tokens, item->tokens, item->count * sizeof *tokens->tokens);
    for (uint32_t i = 0; i < item->count; i++)
        if (item->tokens[i] >= model->config->vocab_size)
            return vkft_fail(err, VKFT_ERR_INPUT,
                             "trainable token indices: %u is no token of this model; expected numbers below %u",
                             item->tokens[i], model->config->vocab_size);
    return true;
}

bool vkft_adapter_set_train_tokens(vkft_adapter_set *set, const vkft_token_indices *indices, vkft_err *err)
{
    bool tied = set->model->tied, same = indices->count == 2 && same_tokens(&indices->items[0], &indices->items[1]);
    vkft_trained_tokens *t = set->tokens;
    if (indices->count && (set->method->format.ia3 || set->method->format.vera))
        return vkft_fail(err, VKFT_ERR_INPUT,
                         "trainable token indices are trained beside LoRA, as in PEFT, and %s is another method; leave "
                         "them out",
                         set->method->name);
    if (indices->count > 2)
        return vkft_fail(err, VKFT_ERR_INPUT, "trainable token indices: found %u modules, expected at most 2",
                         indices->count);
    for (uint32_t i = 0; i < indices->count; i++)
        if (!add_tokens(set, &indices->items[i], err))
            return false;
    if (indices->count == 2 && !t[0].places[0] == !t[1].places[0])
        return vkft_fail(err, VKFT_ERR_INPUT, "trainable token indices name %s twice", t[0].name);
    if (tied && same) { /* those of the embedding serve both */
        if (!t[0].places[0]) {
            vkft_trained_tokens head = t[0];
            t[0] = t[1];
            t[1] = head;
        }
        free(t[1].tokens);
        t[1] = (vkft_trained_tokens){0};
        set->tokens_count = 1;
    }
    if (tied && set->tokens_count == 1 && t[0].places[0])
        t[0].places[1] = find_module(set->model, NULL, true)->rows;
    for (uint32_t i = 0; i < set->tokens_count; i++)
        if (!check_alone(set, &t[i], err))
            return false;
    return vkft_token_indices_copy(&set->config.tokens, indices, err);
}

uint64_t vkft_adapter_set_token_bytes(const vkft_adapter_set *set)
{
    uint64_t words = 0;
    for (uint32_t i = 0; i < set->tokens_count; i++)
        words += set->model->config->vocab_size + (uint64_t)set->tokens[i].count;
    return words * sizeof(uint32_t);
}

void vkft_adapter_set_token_tables(const vkft_adapter_set *set, uint32_t *tables)
{
    for (uint32_t i = 0; i < set->tokens_count; i++) {
        const vkft_trained_tokens *t = &set->tokens[i];
        uint32_t V = set->model->config->vocab_size;
        memset(tables, 0, V * sizeof *tables);
        for (uint32_t j = 0; j < t->count; j++)
            tables[t->tokens[j]] = j + 1;
        memcpy(tables + V, t->tokens, t->count * sizeof *tables);
        tables += V + t->count;
    }
}

void vkft_adapter_set_place_tokens(vkft_adapter_set *set, uint64_t address)
{
    for (uint32_t i = 0; i < set->tokens_count; i++) {
        set->tokens[i].address = address;
        address += (set->model->config->vocab_size + (uint64_t)set->tokens[i].count) * sizeof(uint32_t);
    }
}

void vkft_adapter_set_bind_tokens(const vkft_adapter_set *set, const vkft_parameter_space *parameters,
                                  const vkft_parameter_space *gradients)
{
    for (uint32_t i = 0; i < set->tokens_count; i++) {
        const vkft_trained_tokens *t = &set->tokens[i];
        uint64_t slots = t->address ? t->address : VKFT_PLACEHOLDER_ADDRESS;
        for (uint32_t p = 0; p < 2; p++)
            if (t->places[p])
                *t->places[p] = (vkft_token_rows){
                    .count = t->count,
                    .rows = vkft_parameter_space_at(parameters, t->offset),
                    .drows = gradients ? vkft_parameter_space_at(gradients, t->offset) : 0,
                    .slots = slots,
                    .tokens = slots + set->model->config->vocab_size * (uint64_t)sizeof(uint32_t),
                };
    }
}

bool vkft_adapter_set_read_tokens(const vkft_adapter_set *set, const vkft_model_file *file, float *flat, vkft_err *err)
{
    for (uint32_t i = 0; i < set->tokens_count; i++) {
        const vkft_trained_tokens *t = &set->tokens[i];
        const vkft_model_tensor *tensor = vkft_model_file_find(file, t->spec->name);
        uint32_t C = t->spec->cols;
        if (!vkft_model_file_verify(file, tensor, err))
            return false;
        float *matrix = malloc((size_t)t->spec->rows * C * sizeof *matrix);
        if (!matrix)
            return vkft_fail_memory(err, "for the rows of trained tokens");
        vkft_model_tensor_decode(tensor, matrix);
        for (uint32_t j = 0; j < t->count; j++)
            memcpy(flat + t->offset + (size_t)j * C, matrix + (size_t)t->tokens[j] * C, C * sizeof *flat);
        free(matrix);
    }
    return true;
}
