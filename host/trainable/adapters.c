/* Choice of modules by name and the flat layout of their parameters. */
#include "host/trainable/adapters.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/base/size.h"
#include "runtime/base/text.h"

#define PREFIX "base_model.model."
#define PAD 64u

/* PEFT's rule: the whole name, or its end after a dot. */
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

static uint32_t tensor_count(const vkft_adapter_set *set)
{
    uint32_t count = 0;
    while (count < VKFT_ADAPTER_TENSORS && set->method->format.suffixes[count])
        count++;
    return count;
}

static uint64_t shape_of(const vkft_adapter_set *set, const vkft_linear *linear, uint32_t tensor, uint32_t *rows,
                         uint32_t *cols)
{
    set->method->tensor[tensor].shape(linear, set->config.r, rows, cols);
    return (uint64_t)*rows * *cols;
}

static bool reserve(vkft_adapter_set *set, const vkft_model *model, const vkft_adapter_method *method,
                    const vkft_adapter_config *config, vkft_err *err)
{
    memset(set, 0, sizeof *set);
    set->method = method;
    set->model = model;
    set->config = *config;
    set->config.base_model_name_or_path = NULL;
    set->config.target_modules = NULL;
    set->modules = calloc((size_t)model->module_count, sizeof *set->modules);
    return set->modules || vkft_fail_memory(err, "for the adapter's modules");
}

static void add_module(vkft_adapter_set *set, const vkft_module *module)
{
    vkft_adapted_module *m = &set->modules[set->count++];
    snprintf(m->name, sizeof m->name, "%s", module->name);
    m->linear = module->linear;
    m->expert_group = module->expert_group;
}

/* Gives each tensor its place: those with weight decay, then the others. */
static void lay_out(vkft_adapter_set *set)
{
    uint32_t rows, cols;
    for (int pass = 0; pass < 2; pass++) {
        for (uint32_t i = 0; i < set->count; i++)
            for (uint32_t j = 0; j < tensor_count(set); j++) {
                if (set->method->tensor[j].decays != (pass == 0))
                    continue;
                uint64_t floats = shape_of(set, set->modules[i].linear, j, &rows, &cols);
                set->modules[i].offset[j] =
                    vkft_parameter_space_append(&set->layout, round_up(floats, PAD), VKFT_PARAMETER_SPACE_FLOATS);
                set->parameters += floats;
            }
        if (pass == 0)
            set->decayed = vkft_parameter_space_length(&set->layout);
    }
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
static bool check_experts(const vkft_adapter_set *set, vkft_err *err)
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

bool vkft_adapter_set_choose(vkft_adapter_set *set, const vkft_model *model, const vkft_adapter_method *method,
                             const char *targets, const vkft_adapter_config *config, vkft_err *err)
{
    if (!check_targets(model, targets, err) || !reserve(set, model, method, config, err))
        return false;
    for (uint32_t i = 0; i < model->module_count; i++)
        if (chosen(&model->modules[i], targets))
            add_module(set, &model->modules[i]);
    lay_out(set);
    if (check_experts(set, err))
        return true;
    vkft_adapter_set_free(set);
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

static const vkft_adapter_tensor *find(const key_index *keys, const char *module, const char *suffix)
{
    char key[192];
    snprintf(key, sizeof key, PREFIX "%s%s", module, suffix);
    const vkft_adapter_tensor wanted = {.key = key}, *pointer = &wanted;
    const vkft_adapter_tensor **found = bsearch(&pointer, keys->tensors, keys->count, sizeof *keys->tensors, by_key);
    return found ? *found : NULL;
}

/* Adds the module if the adapter has its tensors. Error: one is missing, or has another shape. */
static bool add_stored(vkft_adapter_set *set, const vkft_module *module, const key_index *keys, vkft_err *err)
{
    const char *const *suffixes = set->method->format.suffixes;
    const vkft_adapter_tensor *found[VKFT_ADAPTER_TENSORS];
    uint32_t tensors = tensor_count(set), present = 0, rows, cols;
    for (uint32_t j = 0; j < tensors; j++)
        present += (found[j] = find(keys, module->name, suffixes[j])) != NULL;
    for (uint32_t j = 0; present && j < tensors; j++) {
        const vkft_adapter_tensor *t = found[j];
        shape_of(set, module->linear, j, &rows, &cols);
        if (!t)
            return vkft_fail(err, VKFT_ERR_INPUT, "adapter: %s has no %s", module->name, suffixes[j] + 1);
        if (t->rows != rows || t->cols != cols)
            return vkft_fail(err, VKFT_ERR_INPUT, "adapter: %s has shape [%u, %u]; this model and r expect [%u, %u]",
                             t->key, t->rows, t->cols, rows, cols);
    }
    if (present)
        add_module(set, module);
    return true;
}

bool vkft_adapter_set_choose_from(vkft_adapter_set *set, const vkft_model *model, const vkft_adapter *adapter,
                                  vkft_err *err)
{
    key_index keys;
    if (!reserve(set, model, vkft_adapter_method_of(adapter->config.format), &adapter->config, err))
        return false;
    if (!index_keys(adapter, &keys)) {
        vkft_adapter_set_free(set);
        return vkft_fail_memory(err, "while reading the adapter");
    }
    bool ok = true;
    for (uint32_t i = 0; ok && i < model->module_count; i++)
        ok = add_stored(set, &model->modules[i], &keys, err);
    uint32_t used = tensor_count(set) * set->count;
    if (ok && used != adapter->count)
        ok = vkft_fail(err, VKFT_ERR_INPUT,
                       "adapter: %u of its %u tensors belong to no linear layer of this model (its first key is %s)",
                       adapter->count - used, adapter->count, adapter->count ? adapter->tensors[0].key : "none");
    ok = ok && check_experts(set, err);
    free(keys.tensors);
    lay_out(set);
    if (!ok)
        vkft_adapter_set_free(set);
    return ok;
}

void vkft_adapter_set_free(vkft_adapter_set *set)
{
    free(set->modules);
    memset(set, 0, sizeof *set);
}

void vkft_adapter_set_bind(const vkft_adapter_set *set, const vkft_parameter_space *parameters,
                           const vkft_parameter_space *gradients)
{
    for (uint32_t i = 0; i < set->count; i++) {
        uint64_t value[VKFT_ADAPTER_TENSORS], gradient[VKFT_ADAPTER_TENSORS];
        for (uint32_t j = 0; j < tensor_count(set); j++) {
            value[j] = vkft_parameter_space_at(parameters, set->modules[i].offset[j]);
            gradient[j] = gradients ? vkft_parameter_space_at(gradients, set->modules[i].offset[j]) : 0;
        }
        set->method->bind(set->modules[i].linear, &set->config, i, value, gradients ? gradient : NULL);
    }
}

void vkft_adapter_set_init(const vkft_adapter_set *set, uint64_t seed, float *flat)
{
    uint32_t rows, cols;
    memset(flat, 0, vkft_parameter_space_length(&set->layout) * sizeof *flat);
    for (uint32_t i = 0; i < set->count; i++)
        for (uint32_t j = 0; j < tensor_count(set); j++) {
            uint64_t offset = set->modules[i].offset[j];
            shape_of(set, set->modules[i].linear, j, &rows, &cols);
            if (set->method->tensor[j].init)
                set->method->tensor[j].init(seed, offset, rows, cols, flat + offset);
        }
}

bool vkft_adapter_set_import(const vkft_adapter_set *set, const vkft_adapter *adapter, float *flat, vkft_err *err)
{
    key_index keys;
    uint32_t rows, cols;
    memset(flat, 0, vkft_parameter_space_length(&set->layout) * sizeof *flat);
    if (!index_keys(adapter, &keys))
        return vkft_fail_memory(err, "while reading the adapter");
    bool ok = true;
    for (uint32_t i = 0; ok && i < set->count; i++)
        for (uint32_t j = 0; ok && j < tensor_count(set); j++) {
            const char *module = set->modules[i].name, *suffix = set->method->format.suffixes[j];
            const vkft_adapter_tensor *t = find(&keys, module, suffix);
            uint64_t floats = shape_of(set, set->modules[i].linear, j, &rows, &cols);
            ok = (t && t->rows == rows && t->cols == cols) ||
                 vkft_fail(err, VKFT_ERR_INPUT, "adapter: %s%s of shape [%u, %u] is missing", module, suffix, rows,
                           cols);
            if (ok)
                memcpy(flat + set->modules[i].offset[j], t->data, (size_t)floats * sizeof *flat);
        }
    free(keys.tensors);
    return ok;
}

static bool export_tensor(const vkft_adapter_set *set, const vkft_adapted_module *m, uint32_t tensor, const float *flat,
                          vkft_adapter *adapter)
{
    vkft_adapter_tensor *t = &adapter->tensors[adapter->count++];
    char key[192];
    snprintf(key, sizeof key, PREFIX "%s%s", m->name, set->method->format.suffixes[tensor]);
    t->key = vkft_string_copy(key);
    size_t bytes = (size_t)shape_of(set, m->linear, tensor, &t->rows, &t->cols) * sizeof *flat;
    t->data = malloc(bytes);
    if (!t->key || !t->data)
        return false;
    memcpy(t->data, flat + m->offset[tensor], bytes);
    return true;
}

static bool contains(char *const *list, uint32_t count, const char *name)
{
    for (uint32_t i = 0; i < count; i++)
        if (strcmp(list[i], name) == 0)
            return true;
    return false;
}

/* Whether all of the model's modules of this kind are in the set. */
static bool is_whole(const vkft_adapter_set *set, const char *kind)
{
    uint32_t all = 0, adapted = 0;
    for (uint32_t i = 0; i < set->model->module_count; i++)
        all += strcmp(last_part(set->model->modules[i].name), kind) == 0;
    for (uint32_t i = 0; i < set->count; i++)
        adapted += strcmp(last_part(set->modules[i].name), kind) == 0;
    return adapted == all;
}

/* The sorted last parts of the adapted modules, which select them again in PEFT when whole kinds were chosen.
 * Otherwise, and always inside a multimodal model (its other parts have modules with the same last names), full names.
 */
static char **target_list(const vkft_adapter_set *set)
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
        qsort(list, n, sizeof *list, vkft_string_compare);
        return list;
    }
    for (uint32_t i = 0; list && i < n; i++)
        free(list[i]);
    free(list);
    return NULL;
}

bool vkft_adapter_set_export(const vkft_adapter_set *set, const float *flat, const char *base_model,
                             vkft_adapter *adapter, vkft_err *err)
{
    memset(adapter, 0, sizeof *adapter);
    adapter->config = set->config;
    adapter->config.format = &set->method->format;
    adapter->config.base_model_name_or_path = vkft_string_copy(base_model);
    adapter->config.target_modules = target_list(set);
    adapter->config.target_all_linear = false;
    adapter->config.fan_in_fan_out = set->model->config->arch->conv1d;
    adapter->config.seq2seq = set->model->encoder.count != 0;
    adapter->tensors = calloc((size_t)tensor_count(set) * set->count, sizeof *adapter->tensors);
    bool ok = adapter->tensors && adapter->config.base_model_name_or_path && adapter->config.target_modules;
    for (uint32_t i = 0; ok && i < set->count; i++)
        for (uint32_t j = 0; ok && j < tensor_count(set); j++)
            ok = export_tensor(set, &set->modules[i], j, flat, adapter);
    if (ok)
        return true;
    vkft_adapter_free(adapter);
    return vkft_fail_memory(err, "while writing the adapter");
}
