/* Choice of modules by name and the flat layout of their parameters. */
#include "lora.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "random.h"

#define PREFIX "base_model.model."
#define PAD 64u

static uint64_t padded(uint64_t floats)
{
    return (floats + PAD - 1) / PAD * PAD;
}

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
    return set->modules || vkft_fail(err, VKFT_ERR_MEMORY, "out of host memory for the adapter's modules");
}

static void add_module(vkft_lora_set *set, const vkft_module *module)
{
    vkft_lora_module *m = &set->modules[set->count++];
    vkft_linear *linear = module->linear;
    uint64_t a = (uint64_t)set->r * linear->w.cols, b = (uint64_t)set->r * linear->w.rows;
    snprintf(m->name, sizeof m->name, "%s", module->name);
    m->linear = linear;
    m->a = set->floats;
    m->b = m->a + padded(a);
    set->floats = m->b + padded(b);
    set->parameters += a + b;
}

static bool chosen(const char *module, const char *targets)
{
    if (strcmp(targets, "all-linear") == 0)
        return true;
    for (const char *at = targets; *at;) {
        size_t length = strcspn(at, ",");
        if (matches(module, at, length))
            return true;
        at += length + (at[length] == ',');
    }
    return false;
}

/* The last parts of the model's module names, each once: "q_proj, k_proj". */
static void list_kinds(const vkft_model *model, char *list, size_t size)
{
    list[0] = 0;
    for (uint32_t i = 0; i < model->module_count; i++) {
        const char *kind = last_part(model->modules[i].name);
        bool known = false;
        for (uint32_t j = 0; j < i && !known; j++)
            known = strcmp(last_part(model->modules[j].name), kind) == 0;
        size_t length = strlen(list);
        if (!known)
            snprintf(list + length, size - length, ", %s", kind);
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
        if (chosen(model->modules[i].name, targets))
            add_module(set, &model->modules[i]);
    return true;
}

static const vkft_adapter_tensor *find(const vkft_adapter *adapter, const char *module, char half)
{
    char key[192];
    snprintf(key, sizeof key, PREFIX "%s.lora_%c.weight", module, half);
    for (uint32_t i = 0; i < adapter->count; i++)
        if (strcmp(adapter->tensors[i].key, key) == 0)
            return &adapter->tensors[i];
    return NULL;
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
    if (!reserve(set, model, err))
        return false;
    const vkft_adapter_config *c = &adapter->config;
    set->r = c->r;
    set->alpha = c->lora_alpha;
    set->dropout = c->lora_dropout;
    set->use_rslora = c->use_rslora;
    set->scale = c->use_rslora ? c->lora_alpha / sqrtf((float)c->r) : c->lora_alpha / (float)c->r;
    for (uint32_t i = 0; i < model->module_count; i++) {
        const char *name = model->modules[i].name;
        const vkft_adapter_tensor *a = find(adapter, name, 'A'), *b = find(adapter, name, 'B');
        if (!a && !b)
            continue;
        const vkft_linear *linear = model->modules[i].linear;
        if (!check_half(a, c->r, linear->w.cols, name, 'A', err) || !check_half(b, linear->w.rows, c->r, name, 'B', err))
            goto fail;
        add_module(set, &model->modules[i]);
    }
    if (2 * set->count != adapter->count) {
        vkft_fail(err, VKFT_ERR_INPUT,
                  "adapter: %u of its %u tensors belong to no linear layer of this model (its first key is %s)",
                  adapter->count - 2 * set->count, adapter->count, adapter->count ? adapter->tensors[0].key : "none");
        goto fail;
    }
    return true;
fail:
    vkft_lora_free(set);
    return false;
}

void vkft_lora_free(vkft_lora_set *set)
{
    free(set->modules);
    memset(set, 0, sizeof *set);
}

void vkft_lora_bind(const vkft_lora_set *set, uint64_t parameters, uint64_t gradients)
{
    for (uint32_t i = 0; i < set->count; i++) {
        const vkft_lora_module *m = &set->modules[i];
        m->linear->lora = (vkft_lora){
            .r = set->r, .scale = set->scale, .dropout = set->dropout, .layer = i,
            .A = parameters + m->a * sizeof(float), .B = parameters + m->b * sizeof(float),
            .dA = gradients + m->a * sizeof(float), .dB = gradients + m->b * sizeof(float),
        };
    }
}

void vkft_lora_init(const vkft_lora_set *set, uint64_t seed, float *flat)
{
    memset(flat, 0, set->floats * sizeof *flat);
    for (uint32_t i = 0; i < set->count; i++) {
        const vkft_lora_module *m = &set->modules[i];
        uint64_t n = (uint64_t)set->r * m->linear->w.cols;
        double bound = 1.0 / sqrt((double)m->linear->w.cols);
        for (uint64_t j = 0; j < n; j++)
            flat[m->a + j] = (float)(bound * (2.0 * vkft_random_uniform(seed, VKFT_STREAM_INIT, m->a + j) - 1.0));
    }
}

void vkft_lora_import(const vkft_lora_set *set, const vkft_adapter *adapter, float *flat)
{
    memset(flat, 0, set->floats * sizeof *flat);
    for (uint32_t i = 0; i < set->count; i++) {
        const vkft_lora_module *m = &set->modules[i];
        const vkft_adapter_tensor *a = find(adapter, m->name, 'A'), *b = find(adapter, m->name, 'B');
        memcpy(flat + m->a, a->data, (size_t)a->rows * a->cols * sizeof *flat);
        memcpy(flat + m->b, b->data, (size_t)b->rows * b->cols * sizeof *flat);
    }
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

/* How many of the names end in this last part. */
static uint32_t count_kind(const void *first_name, size_t stride, uint32_t count, const char *kind)
{
    uint32_t same = 0;
    for (uint32_t i = 0; i < count; i++)
        same += strcmp(last_part((const char *)first_name + i * stride), kind) == 0;
    return same;
}

/* The sorted last parts of the adapted modules, which select them again in PEFT when whole kinds were chosen; otherwise their full names. */
static char **target_list(const vkft_lora_set *set)
{
    char **list = calloc(set->count + 1ull, sizeof *list);
    uint32_t n = 0;
    bool whole = true;
    for (uint32_t i = 0; list && i < set->count && whole; i++) {
        const char *kind = last_part(set->modules[i].name);
        whole = count_kind(set->modules[0].name, sizeof *set->modules, set->count, kind) ==
                count_kind(set->model->modules[0].name, sizeof *set->model->modules, set->model->module_count, kind);
    }
    for (uint32_t i = 0; list && i < set->count; i++) {
        const char *name = whole ? last_part(set->modules[i].name) : set->modules[i].name;
        if (!contains(list, n, name) && !(list[n++] = strdup(name)))
            break;
    }
    if (list)
        qsort(list, n, sizeof *list, by_text);
    return list;
}

bool vkft_lora_export(const vkft_lora_set *set, const float *flat, const char *base_model, vkft_adapter *adapter,
                      vkft_err *err)
{
    memset(adapter, 0, sizeof *adapter);
    adapter->config = (vkft_adapter_config){
        .r = set->r, .lora_alpha = set->alpha, .lora_dropout = set->dropout, .use_rslora = set->use_rslora,
        .base_model_name_or_path = strdup(base_model), .target_modules = target_list(set),
        .fan_in_fan_out = set->model->arch->conv1d,
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
    return vkft_fail(err, VKFT_ERR_MEMORY, "out of host memory while writing the adapter");
}
