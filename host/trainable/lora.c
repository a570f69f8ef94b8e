/* Choice of modules by name and the flat layout of their parameters. */
#include "host/trainable/lora.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/base/random.h"
#include "runtime/base/size.h"

#define PREFIX "base_model.model."
#define PAD 64u

/* PEFT's rule: the whole name, or its end behind a dot. */
static bool matches(const char *module, const char *target, size_t length)
{
    size_t n = strlen(module);
    if (length == 0 || length > n || memcmp(module + n - length, target, length) != 0)
        return false;
    return length == n || module[n - length - 1] == '.';
}

static const char *last_part(const char *module)
{
    const char *dot = strrchr(module, '.');
    return dot ? dot + 1 : module;
}

static bool reserve(vkft_lora_set *set, const vkft_model *model, vkft_err *err)
{
    memset(set, 0, sizeof *set);
    set->model = model;
    set->modules = calloc((size_t)model->module_count, sizeof *set->modules);
    return set->modules || vkft_fail_memory(err, "for the adapter's modules");
}

static void add_module(vkft_lora_set *set, const vkft_module *module)
{
    vkft_lora_module *m = &set->modules[set->count++];
    vkft_linear *linear = module->linear;
    uint64_t a = (uint64_t)set->r * linear->w.cols, b = (uint64_t)set->r * linear->w.rows;
    snprintf(m->name, sizeof m->name, "%s", module->name);
    m->linear = linear;
    m->expert_group = module->expert_group;
    m->a = vkft_parameter_space_append(&set->layout, round_up(a, PAD), VKFT_PARAMETER_SPACE_FLOATS);
    m->b = vkft_parameter_space_append(&set->layout, round_up(b, PAD), VKFT_PARAMETER_SPACE_FLOATS);
    set->parameters += a + b;
}

static bool chosen(const vkft_module *candidate, const char *targets)
{
    const char *module = candidate->name;
    if (strcmp(targets, "all-linear") == 0)
        return !candidate->explicit_only;
    for (const char *at = targets; *at;) {
        size_t length = strcspn(at, ",");
        if (matches(module, at, length))
            return true;
        at += length + (at[length] == ',');
    }
    return false;
}

/* Whether the list ", a, b" has this name. */
static bool listed(const char *list, const char *name)
{
    size_t length = strlen(name);
    for (const char *at = list; (at = strstr(at, name)); at++)
        if (at[-1] == ' ' && (at[length] == ',' || !at[length]))
            return true;
    return false;
}

/* The last parts of the model's module names, each once: "q_proj, k_proj". */
static void list_kinds(const vkft_model *model, char *list, size_t size)
{
    list[0] = 0;
    for (uint32_t i = 0; i < model->module_count; i++) {
        const char *kind = last_part(model->modules[i].name);
        if (!listed(list, kind))
            snprintf(list + strlen(list), size - strlen(list), ", %s", kind);
    }
}

static bool check_targets(const vkft_model *model, const char *targets, vkft_err *err)
{
    for (const char *at = targets; *at && strcmp(targets, "all-linear") != 0;) {
        size_t length = strcspn(at, ",");
        bool found = false;
        for (uint32_t i = 0; i < model->module_count && !found; i++)
            found = matches(model->modules[i].name, at, length);
        if (!found) {
            char known[256];
            list_kinds(model, known, sizeof known);
            return vkft_fail(err, VKFT_ERR_INPUT,
                             "--lora-target-modules: \"%.*s\" matches no linear layer of this model; expected "
                             "all-linear%s",
                             (int)length, at, known);
        }
        at += length + (at[length] == ',');
    }
    return true;
}

/* One kernel serves all experts of a layer, so all of them have adapters or none. */
static bool check_experts(const vkft_lora_set *set, vkft_err *err)
{
    uint32_t groups = set->model->config->experts,
             *adapted = calloc(set->model->expert_groups + 1ull, sizeof *adapted); /* of each group */
    if (!adapted)
        return vkft_fail_memory(err, "for the adapter's modules");
    bool ok = true;
    for (uint32_t i = 0; i < set->count; i++)
        adapted[set->modules[i].expert_group]++;
    for (uint32_t i = 0; ok && i < set->count; i++) {
        uint32_t n = adapted[set->modules[i].expert_group];
        ok = !set->modules[i].expert_group || n == groups ||
             vkft_fail(err, VKFT_ERR_INPUT,
                       "%s has an adapter, as have %u of the layer's %u experts; expected all of them or none",
                       set->modules[i].name, n, groups);
    }
    free(adapted);
    return ok;
}

bool vkft_lora_choose(vkft_lora_set *set, const vkft_model *model, const char *targets, uint32_t r, float alpha,
                      float dropout, vkft_err *err)
{
    if (!check_targets(model, targets, err) || !reserve(set, model, err))
        return false;
    set->r = r;
    set->alpha = alpha;
    set->dropout = dropout;
    set->scale = alpha / (float)r;
    for (uint32_t i = 0; i < model->module_count; i++)
        if (chosen(&model->modules[i], targets))
            add_module(set, &model->modules[i]);
    if (check_experts(set, err))
        return true;
    vkft_lora_free(set);
    return false;
}

/* An adapter's tensors in the order of their keys: experts make tens of thousands of them. */
typedef struct key_index {
    const vkft_adapter_tensor **tensors;
    uint32_t count;
} key_index;

static int by_key(const void *a, const void *b)
{
    return strcmp((*(const vkft_adapter_tensor *const *)a)->key, (*(const vkft_adapter_tensor *const *)b)->key);
}

static bool index_keys(const vkft_adapter *adapter, key_index *keys)
{
    *keys = (key_index){calloc(adapter->count + 1ull, sizeof *keys->tensors), adapter->count};
    for (uint32_t i = 0; keys->tensors && i < adapter->count; i++)
        keys->tensors[i] = &adapter->tensors[i];
    if (keys->tensors)
        qsort(keys->tensors, keys->count, sizeof *keys->tensors, by_key);
    return keys->tensors != NULL;
}

static const vkft_adapter_tensor *find(const key_index *keys, const char *module, char half)
{
    char key[192];
    snprintf(key, sizeof key, PREFIX "%s.lora_%c.weight", module, half);
    const vkft_adapter_tensor wanted = {.key = key}, *pointer = &wanted;
    const vkft_adapter_tensor **found = bsearch(&pointer, keys->tensors, keys->count, sizeof *keys->tensors, by_key);
    return found ? *found : NULL;
}

static bool check_half(const vkft_adapter_tensor *t, uint32_t rows, uint32_t cols, const char *module, char half,
                       vkft_err *err)
{
    if (!t)
        return vkft_fail(err, VKFT_ERR_INPUT, "adapter: %s has no lora_%c.weight", module, half);
    if (t->rows != rows || t->cols != cols)
        return vkft_fail(err, VKFT_ERR_INPUT, "adapter: %s has shape [%u, %u]; this model and r expect [%u, %u]",
                         t->key, t->rows, t->cols, rows, cols);
    return true;
}

bool vkft_lora_choose_from(vkft_lora_set *set, const vkft_model *model, const vkft_adapter *adapter, vkft_err *err)
{
    key_index keys;
    if (!reserve(set, model, err))
        return false;
    if (!index_keys(adapter, &keys)) {
        vkft_lora_free(set);
        return vkft_fail_memory(err, "while reading the adapter");
    }
    const vkft_adapter_config *c = &adapter->config;
    set->r = c->r;
    set->alpha = c->lora_alpha;
    set->dropout = c->lora_dropout;
    set->use_rslora = c->use_rslora;
    set->scale = c->use_rslora ? c->lora_alpha / sqrtf((float)c->r) : c->lora_alpha / (float)c->r;
    for (uint32_t i = 0; i < model->module_count; i++) {
        const char *name = model->modules[i].name;
        const vkft_adapter_tensor *a = find(&keys, name, 'A'), *b = find(&keys, name, 'B');
        if (!a && !b)
            continue;
        const vkft_linear *linear = model->modules[i].linear;
        if (!check_half(a, c->r, linear->w.cols, name, 'A', err) ||
            !check_half(b, linear->w.rows, c->r, name, 'B', err))
            goto fail;
        add_module(set, &model->modules[i]);
    }
    if (2 * set->count != adapter->count) {
        vkft_fail(err, VKFT_ERR_INPUT,
                  "adapter: %u of its %u tensors belong to no linear layer of this model (its first key is %s)",
                  adapter->count - 2 * set->count, adapter->count, adapter->count ? adapter->tensors[0].key : "none");
        goto fail;
    }
    if (!check_experts(set, err))
        goto fail;
    free(keys.tensors);
    return true;
fail:
    free(keys.tensors);
    vkft_lora_free(set);
    return false;
}

void vkft_lora_free(vkft_lora_set *set)
{
    free(set->modules);
    memset(set, 0, sizeof *set);
}

void vkft_lora_bind(const vkft_lora_set *set, const vkft_parameter_space *parameters,
                    const vkft_parameter_space *gradients)
{
    for (uint32_t i = 0; i < set->count; i++) {
        const vkft_lora_module *m = &set->modules[i];
        m->linear->lora = (vkft_lora){
            .r = set->r,
            .scale = set->scale,
            .dropout = set->dropout,
            .layer = i,
            .A = vkft_parameter_space_at(parameters, m->a),
            .B = vkft_parameter_space_at(parameters, m->b),
            .dA = gradients ? vkft_parameter_space_at(gradients, m->a) : 0,
            .dB = gradients ? vkft_parameter_space_at(gradients, m->b) : 0,
        };
    }
}

void vkft_lora_init(const vkft_lora_set *set, uint64_t seed, float *flat)
{
    memset(flat, 0, vkft_parameter_space_length(&set->layout) * sizeof *flat);
    for (uint32_t i = 0; i < set->count; i++) {
        const vkft_lora_module *m = &set->modules[i];
        uint64_t n = (uint64_t)set->r * m->linear->w.cols;
        double bound = 1.0 / sqrt((double)m->linear->w.cols);
        for (uint64_t j = 0; j < n; j++)
            flat[m->a + j] = (float)(bound * (2.0 * vkft_random_uniform(seed, VKFT_STREAM_INIT, m->a + j) - 1.0));
    }
}

bool vkft_lora_import(const vkft_lora_set *set, const vkft_adapter *adapter, float *flat, vkft_err *err)
{
    key_index keys;
    memset(flat, 0, vkft_parameter_space_length(&set->layout) * sizeof *flat);
    if (!index_keys(adapter, &keys))
        return vkft_fail_memory(err, "while reading the adapter");
    for (uint32_t i = 0; i < set->count; i++) {
        const vkft_lora_module *m = &set->modules[i];
        const vkft_adapter_tensor *a = find(&keys, m->name, 'A'), *b = find(&keys, m->name, 'B');
        memcpy(flat + m->a, a->data, (size_t)a->rows * a->cols * sizeof *flat);
        memcpy(flat + m->b, b->data, (size_t)b->rows * b->cols * sizeof *flat);
    }
    free(keys.tensors);
    return true;
}

static bool export_half(vkft_adapter *adapter, const vkft_lora_module *m, char half, uint32_t rows, uint32_t cols,
                        const float *data)
{
    vkft_adapter_tensor *t = &adapter->tensors[adapter->count++];
    size_t bytes = (size_t)rows * cols * sizeof *data;
    char key[192];
    snprintf(key, sizeof key, PREFIX "%s.lora_%c.weight", m->name, half);
    *t = (vkft_adapter_tensor){.key = strdup(key), .rows = rows, .cols = cols, .data = malloc(bytes)};
    if (!t->key || !t->data)
        return false;
    memcpy(t->data, data, bytes);
    return true;
}

static int by_text(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static bool contains(char *const *list, uint32_t count, const char *name)
{
    for (uint32_t i = 0; i < count; i++)
        if (strcmp(list[i], name) == 0)
            return true;
    return false;
}

/* Whether all of the model's modules of this kind are in the set. */
static bool is_whole(const vkft_lora_set *set, const char *kind)
{
    uint32_t all = 0, adapted = 0;
    for (uint32_t i = 0; i < set->model->module_count; i++)
        all += strcmp(last_part(set->model->modules[i].name), kind) == 0;
    for (uint32_t i = 0; i < set->count; i++)
        adapted += strcmp(last_part(set->modules[i].name), kind) == 0;
    return adapted == all;
}

/* The sorted last parts of the adapted modules, which select them again in PEFT when whole kinds were chosen; otherwise
 * their full names. Those too inside a multimodal model, whose other parts have modules of the same kinds. */
static char **target_list(const vkft_lora_set *set)
{
    char **list = calloc(set->count + 1ull, sizeof *list);
    uint32_t n = 0;
    bool whole = !set->model->config->multimodal_type[0], ok = list != NULL;
    for (uint32_t i = 0; ok && whole && i < set->count; i++) {
        const char *kind = last_part(set->modules[i].name);
        if (contains(list, n, kind))
            continue;
        whole = is_whole(set, kind);
        ok = (list[n++] = strdup(kind)) != NULL;
    }
    while (ok && !whole && n)
        free(list[--n]);
    for (uint32_t i = 0; ok && !whole && i < set->count; i++)
        ok = (list[n++] = strdup(set->modules[i].name)) != NULL;
    if (ok) {
        qsort(list, n, sizeof *list, by_text);
        return list;
    }
    for (uint32_t i = 0; list && i < n; i++)
        free(list[i]);
    free(list);
    return NULL;
}

bool vkft_lora_export(const vkft_lora_set *set, const float *flat, const char *base_model, vkft_adapter *adapter,
                      vkft_err *err)
{
    memset(adapter, 0, sizeof *adapter);
    adapter->config = (vkft_adapter_config){
        .r = set->r,
        .lora_alpha = set->alpha,
        .lora_dropout = set->dropout,
        .use_rslora = set->use_rslora,
        .base_model_name_or_path = strdup(base_model),
        .target_modules = target_list(set),
        .fan_in_fan_out = set->model->config->arch->conv1d,
        .seq2seq = set->model->encoder.count != 0,
    };
    adapter->tensors = calloc(2ull * set->count, sizeof *adapter->tensors);
    bool ok = adapter->tensors && adapter->config.base_model_name_or_path && adapter->config.target_modules;
    for (uint32_t i = 0; ok && i < set->count; i++) {
        const vkft_lora_module *m = &set->modules[i];
        ok = export_half(adapter, m, 'A', set->r, m->linear->w.cols, flat + m->a) &&
             export_half(adapter, m, 'B', m->linear->w.rows, set->r, flat + m->b);
    }
    if (ok)
        return true;
    vkft_adapter_free(adapter);
    return vkft_fail_memory(err, "while writing the adapter");
}
