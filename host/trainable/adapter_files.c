/* PEFT's form of a set of adapters: the modules that an adapter's tensors are for, and tensors read and written. */
#include "host/trainable/adapters_private.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "host/model/tensor_spec.h"
#include "runtime/base/json.h"
#include "runtime/base/text.h"

#define PREFIX "base_model.model."

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
static bool add_stored(vkft_adapter_set *set, const vkft_module *module, const vkft_adapter_config *config,
                       const key_index *keys, vkft_err *err)
{
    const vkft_adapter_tensor *found[VKFT_ADAPTER_TENSORS];
    vkft_adapted_module *m = vkft_adapter_set_next(set, module);
    uint32_t tensors = vkft_adapter_set_kinds(set), present = 0, rows, cols;
    for (uint32_t j = 0; j < tensors; j++)
        present += (found[j] = find(keys, module->name, vkft_adapter_set_suffix(set, m, j))) != NULL;
    if (!present)
        return true;
    m->linear->ia3.input = set->method == &vkft_method_ia3 && found[0] && found[0]->rows == 1;
    if (!vkft_adapted_module_check_kind(set, m, err) ||
        !vkft_adapted_module_apply_patterns(m, &config->rank_pattern, &config->alpha_pattern, err))
        return false;
    for (uint32_t j = 0; j < tensors; j++) {
        const vkft_adapter_tensor *t = found[j];
        vkft_adapter_set_shape(set, m, j, &rows, &cols);
        if (!t)
            return vkft_fail(err, VKFT_ERR_INPUT, "adapter: %s has no %s", module->name,
                             vkft_adapter_set_suffix(set, m, j) + 1);
        if (t->rows != rows || t->cols != cols)
            return vkft_fail(err, VKFT_ERR_INPUT,
                             "adapter: %s has shape [%u, %u]; this model and %s %u call for [%u, %u]", t->key, t->rows,
                             t->cols, m->r == set->config.r ? "r" : "rank_pattern", m->r, rows, cols);
    }
    set->count++;
    return true;
}

/* Keeps of the biases that the configuration means those that are there. */
static bool add_stored_biases(vkft_adapter_set *set, const key_index *keys, vkft_err *err)
{
    uint32_t first = set->saved_count, kept = first;
    if (!vkft_adapter_set_save_biases(set, err))
        return false;
    for (uint32_t i = first; i < set->saved_count; i++) {
        const vkft_adapter_tensor *t = find(keys, set->saved[i].name, ".bias");
        if (t && t->rows != set->saved[i].spec->cols)
            return vkft_fail(err, VKFT_ERR_INPUT, "adapter: %s has %u elements; this model's bias has %u", t->key,
                             t->rows, set->saved[i].spec->cols);
        if (t)
            set->saved[kept++] = set->saved[i];
    }
    set->saved_count = kept;
    return true;
}

/* Adds the modules that the adapter holds whole, and biases. */
static bool add_stored_whole(vkft_adapter_set *set, const vkft_adapter *adapter, const key_index *keys, vkft_err *err)
{
    for (char **name = adapter->config.modules_to_save; name && *name; name++) {
        if (!vkft_adapter_set_save(set, *name, err))
            return false;
        const vkft_saved_tensor *saved = &set->saved[set->saved_count - 1];
        const vkft_adapter_tensor *t = find(keys, saved->name, ".weight");
        if (!t || t->rows != saved->spec->rows || t->cols != saved->spec->cols)
            return vkft_fail(err, VKFT_ERR_INPUT,
                             "adapter: modules_to_save names %s, and no tensor of shape [%u, %u] is there for it; a "
                             "model with a vocabulary of another size is another model",
                             *name, saved->spec->rows, saved->spec->cols);
    }
    return add_stored_biases(set, keys, err);
}

/* Adds the tokens whose rows the adapter holds. */
static bool add_stored_tokens(vkft_adapter_set *set, const vkft_adapter *adapter, const key_index *keys, vkft_err *err)
{
    if (!vkft_adapter_set_train_tokens(set, &adapter->config.tokens, err))
        return false;
    for (uint32_t i = 0; i < set->tokens_count; i++) {
        const vkft_trained_tokens *tokens = &set->tokens[i];
        const vkft_adapter_tensor *t = find(keys, tokens->name, VKFT_ADAPTER_TOKENS);
        if (!t || t->rows != tokens->count || t->cols != tokens->spec->cols)
            return vkft_fail(
                err, VKFT_ERR_INPUT,
                "adapter: trainable_token_indices names %u tokens of %s, and no tensor of shape [%u, %u] is "
                "there for them",
                tokens->count, tokens->name, tokens->count, tokens->spec->cols);
    }
    return true;
}

static int by_name(const void *a, const void *b)
{
    return strcmp(((const vkft_adapted_module *)a)->name, ((const vkft_adapted_module *)b)->name);
}

static bool is_key(const vkft_adapter_tensor *t, const char *module, const char *suffix)
{
    char key[192];
    snprintf(key, sizeof key, PREFIX "%s%s", module, suffix);
    return strcmp(t->key, key) == 0;
}

/* Whether it is PEFT's copy of the matrix of an adapted embedding or head. */
static bool is_copy(const vkft_adapter_set *set, const vkft_adapter_tensor *t)
{
    for (uint32_t i = 0; i < set->count; i++)
        if ((set->modules[i].embedding || set->modules[i].head) && is_key(t, set->modules[i].name, VKFT_ADAPTER_COPY))
            return true;
    return false;
}

/* Whether one of the modules, which are sorted, has this tensor. */
static bool is_used(const vkft_adapter_set *set, const vkft_adapted_module *sorted, const vkft_adapter_tensor *t)
{
    for (uint32_t i = 0; i < set->saved_count; i++)
        if (is_key(t, set->saved[i].name, vkft_saved_tensor_suffix(&set->saved[i])))
            return true;
    for (uint32_t i = 0; i < set->tokens_count; i++)
        if (is_key(t, set->tokens[i].name, VKFT_ADAPTER_TOKENS))
            return true;
    if (is_copy(set, t))
        return true;
    for (uint32_t j = 0; j < 2 * vkft_adapter_set_kinds(set); j++) {
        const char *suffix = j % 2 ? set->method->format.embedding[j / 2] : set->method->format.suffixes[j / 2];
        size_t key = strlen(t->key), prefix = strlen(PREFIX), end = suffix ? strlen(suffix) : 0;
        vkft_adapted_module wanted;
        if (!suffix || key <= prefix + end || strcmp(t->key + key - end, suffix) != 0 ||
            key - prefix - end >= sizeof wanted.name)
            continue;
        snprintf(wanted.name, sizeof wanted.name, "%.*s", (int)(key - prefix - end), t->key + prefix);
        if (bsearch(&wanted, sorted, set->count, sizeof *sorted, by_name))
            return true;
    }
    return false;
}

/* Names the first tensor that no module has. */
static bool fail_unused(const vkft_adapter_set *set, const vkft_adapter *adapter, uint32_t unused, vkft_err *err)
{
    vkft_adapted_module *sorted = malloc((set->count + 1ull) * sizeof *sorted);
    if (!sorted)
        return vkft_fail_memory(err, "while reading the adapter");
    memcpy(sorted, set->modules, set->count * sizeof *sorted);
    qsort(sorted, set->count, sizeof *sorted, by_name);
    uint32_t first = 0;
    while (first + 1 < adapter->count && is_used(set, sorted, &adapter->tensors[first]))
        first++;
    free(sorted);
    return vkft_fail(err, VKFT_ERR_INPUT,
                     "adapter: %u of its %u tensors belong to no linear layer of this model; the first is %s", unused,
                     adapter->count, adapter->count ? adapter->tensors[first].key : "none");
}

bool vkft_adapter_set_choose_from(vkft_adapter_set *set, const vkft_model *model, const vkft_adapter *adapter,
                                  vkft_err *err)
{
    key_index keys;
    if (!vkft_adapter_set_reserve(set, model, vkft_adapter_method_of(adapter->config.format), &adapter->config, err))
        return false;
    if (!index_keys(adapter, &keys)) {
        vkft_adapter_set_free(set);
        return vkft_fail_memory(err, "while reading the adapter");
    }
    bool ok = vkft_module_targets_copy(&set->config.targets, &adapter->config.targets, err);
    for (uint32_t i = 0; ok && i < model->module_count; i++)
        ok = add_stored(set, &model->modules[i], &adapter->config, &keys, err);
    ok = ok && add_stored_whole(set, adapter, &keys, err);
    ok = ok && add_stored_tokens(set, adapter, &keys, err);
    uint32_t used = vkft_adapter_set_kinds(set) * set->count + set->saved_count + set->tokens_count;
    for (uint32_t i = 0; ok && i < adapter->count; i++)
        used += is_copy(set, &adapter->tensors[i]);
    if (ok && used != adapter->count)
        ok = fail_unused(set, adapter, adapter->count - used, err);
    ok = ok && vkft_adapter_set_check_experts(set, err);
    free(keys.tensors);
    if (ok)
        vkft_adapter_set_lay_out(set);
    ok = ok && (!set->projection.floats || vkft_adapter_set_read_projection(set, adapter, err));
    if (!ok)
        vkft_adapter_set_free(set);
    return ok;
}

/* The shape of a tensor in files. */
static uint64_t written_shape(const vkft_adapter_set *set, const vkft_adapted_module *m, uint32_t tensor,
                              uint32_t *rows, uint32_t *cols)
{
    vkft_adapted_module written = *m;
    written.r = vkft_adapter_set_written_rank(set, m);
    return vkft_adapter_set_shape(set, &written, tensor, rows, cols);
}

/* With an origin, A is written as [A, A0] by rows, and B as [B, -B0] by columns: s (B A - B0 A0) as one product. */
static void import_tensor(const vkft_adapter_set *set, const vkft_adapted_module *m, uint32_t tensor, const float *data,
                          float *flat)
{
    uint32_t rows, cols;
    uint64_t floats = vkft_adapter_set_shape(set, m, tensor, &rows, &cols), offset = m->offset[tensor];
    if (!set->origin_floats || tensor == 0)
        memcpy(flat + offset, data, (size_t)floats * sizeof *flat);
    if (set->origin_floats && tensor == 0)
        memcpy(set->origin + offset, data + floats, (size_t)floats * sizeof *flat);
    for (uint32_t i = 0; set->origin_floats && tensor && i < rows; i++)
        for (uint32_t k = 0; k < cols; k++) {
            flat[offset + (size_t)i * cols + k] = data[(size_t)i * 2 * cols + k];
            set->origin[offset + (size_t)i * cols + k] = -data[((size_t)i * 2 + 1) * cols + k];
        }
}

/* The reverse. */
static void write_tensor(const vkft_adapter_set *set, const vkft_adapted_module *m, uint32_t tensor, const float *flat,
                         float *data)
{
    uint32_t rows, cols;
    uint64_t floats = vkft_adapter_set_shape(set, m, tensor, &rows, &cols), offset = m->offset[tensor];
    if (!set->origin_floats || tensor == 0)
        memcpy(data, flat + offset, (size_t)floats * sizeof *flat);
    if (set->origin_floats && tensor == 0)
        memcpy(data + floats, set->origin + offset, (size_t)floats * sizeof *flat);
    for (uint32_t i = 0; set->origin_floats && tensor && i < rows; i++)
        for (uint32_t k = 0; k < cols; k++) {
            data[(size_t)i * 2 * cols + k] = flat[offset + (size_t)i * cols + k];
            data[((size_t)i * 2 + 1) * cols + k] = -set->origin[offset + (size_t)i * cols + k];
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
        for (uint32_t j = 0; ok && j < vkft_adapter_set_kinds(set); j++) {
            const char *module = set->modules[i].name, *suffix = vkft_adapter_set_suffix(set, &set->modules[i], j);
            const vkft_adapter_tensor *t = find(&keys, module, suffix);
            written_shape(set, &set->modules[i], j, &rows, &cols);
            ok = (t && t->rows == rows && t->cols == cols) ||
                 vkft_fail(err, VKFT_ERR_INPUT, "adapter: %s%s of shape [%u, %u] is missing", module, suffix, rows,
                           cols);
            if (ok)
                import_tensor(set, &set->modules[i], j, t->data, flat);
        }
    for (uint32_t i = 0; ok && i < set->saved_count; i++) {
        const vkft_saved_tensor *saved = &set->saved[i];
        const vkft_adapter_tensor *t = find(&keys, saved->name, vkft_saved_tensor_suffix(saved));
        bool flat_vector = saved->spec->vector != NULL;
        ok = (t && t->rows == (flat_vector ? saved->spec->cols : saved->spec->rows) &&
              t->cols == (flat_vector ? 1 : saved->spec->cols)) ||
             vkft_fail(err, VKFT_ERR_INPUT, "adapter: %s is missing", saved->spec->name);
        if (ok)
            memcpy(flat + saved->offset, t->data, (size_t)t->rows * t->cols * sizeof *flat);
    }
    for (uint32_t i = 0; ok && i < set->tokens_count; i++) { /* the set has those of the adapter */
        const vkft_trained_tokens *tokens = &set->tokens[i];
        const vkft_adapter_tensor *t = find(&keys, tokens->name, VKFT_ADAPTER_TOKENS);
        ok = (t && t->rows == tokens->count && t->cols == tokens->spec->cols) ||
             vkft_fail(err, VKFT_ERR_INPUT, "adapter: %s" VKFT_ADAPTER_TOKENS " is missing", tokens->name);
        if (ok)
            memcpy(flat + tokens->offset, t->data, (size_t)t->rows * t->cols * sizeof *flat);
    }
    free(keys.tensors);
    return ok;
}

static bool export_tensor(const vkft_adapter_set *set, const vkft_adapted_module *m, uint32_t tensor, const float *flat,
                          vkft_adapter *adapter)
{
    vkft_adapter_tensor *t = &adapter->tensors[adapter->count++];
    char key[192];
    snprintf(key, sizeof key, PREFIX "%s%s", m->name, vkft_adapter_set_suffix(set, m, tensor));
    t->key = vkft_string_copy(key);
    t->data = malloc((size_t)written_shape(set, m, tensor, &t->rows, &t->cols) * sizeof *flat);
    if (!t->key || !t->data)
        return false;
    write_tensor(set, m, tensor, flat, t->data);
    return true;
}

static void free_names(char **list)
{
    for (char **name = list; name && *name; name++)
        free(*name);
    free(list);
}

/* A tensor that is trained as it is, and a module's name for the configuration. */
static bool export_saved(const vkft_saved_tensor *saved, const float *flat, vkft_adapter *adapter, char ***name)
{
    vkft_adapter_tensor *t = &adapter->tensors[adapter->count++];
    char key[192];
    snprintf(key, sizeof key, PREFIX "%s%s", saved->name, vkft_saved_tensor_suffix(saved));
    *t = (vkft_adapter_tensor){.key = vkft_string_copy(key), .rows = saved->spec->rows, .cols = saved->spec->cols};
    if (saved->spec->vector) {
        t->rows = saved->spec->cols;
        t->cols = 1;
    }
    size_t bytes = (size_t)t->rows * t->cols * sizeof *flat;
    t->data = malloc(bytes);
    if (!t->key || !t->data || (saved->spec->weight && !(*(*name)++ = vkft_string_copy(vkft_module_kind(saved->name)))))
        return false;
    memcpy(t->data, flat + saved->offset, bytes);
    return true;
}

static bool export_tokens(const vkft_adapter_set *set, const float *flat, vkft_adapter *adapter, vkft_err *err)
{
    for (uint32_t i = 0; i < set->tokens_count; i++) {
        const vkft_trained_tokens *tokens = &set->tokens[i];
        vkft_adapter_tensor *t = &adapter->tensors[adapter->count++];
        char key[192];
        snprintf(key, sizeof key, PREFIX "%s" VKFT_ADAPTER_TOKENS, tokens->name);
        *t = (vkft_adapter_tensor){.key = vkft_string_copy(key), .rows = tokens->count, .cols = tokens->spec->cols};
        size_t bytes = (size_t)t->rows * t->cols * sizeof *flat;
        t->data = malloc(bytes);
        if (!t->key || !t->data)
            return vkft_fail_memory(err, "while writing the adapter");
        memcpy(t->data, flat + tokens->offset, bytes);
    }
    return vkft_token_indices_copy(&adapter->config.tokens, &set->config.tokens, err);
}

static bool contains(char *const *list, uint32_t count, const char *name)
{
    for (uint32_t i = 0; i < count; i++)
        if (strcmp(list[i], name) == 0)
            return true;
    return false;
}

/* Names as a configuration may list them: the last parts of the adapted modules' names, each once, or their full names;
 * sorted. NULL: out of memory. */
static char **name_list(const vkft_adapter_set *set, bool full)
{
    char **list = calloc(set->count + 1ull, sizeof *list);
    uint32_t n = 0;
    bool ok = list != NULL;
    for (uint32_t i = 0; ok && i < set->count; i++) {
        const char *name = full ? set->modules[i].name : vkft_module_kind(set->modules[i].name);
        if (full || !contains(list, n, name))
            ok = (list[n++] = vkft_string_copy(name)) != NULL;
    }
    if (ok)
        qsort(list, n, sizeof *list, vkft_string_compare);
    else
        free_names(list);
    return ok ? list : NULL;
}

/* Whether these targets name the set's modules and no others of the model. */
static bool select_set(const vkft_adapter_set *set, const vkft_module_targets *targets)
{
    uint32_t next = 0;
    bool same = true;
    for (uint32_t i = 0; same && i < set->model->module_count; i++) { /* both in the model's order */
        const char *name = set->model->modules[i].name;
        bool in = next < set->count && strcmp(set->modules[next].name, name) == 0, named = false;
        next += in;
        same = vkft_module_targets_find(targets, name, &named, NULL) && named == in;
    }
    return same;
}

/* Whether a last part of names stands for layers whose input is multiplied and for such whose output is (IA3). */
static bool mixes_kinds(const vkft_adapter_set *set)
{
    for (uint32_t i = 0; i < set->count && set->method == &vkft_method_ia3; i++)
        for (uint32_t j = 0; j < i; j++)
            if (set->modules[i].linear->ia3.input != set->modules[j].linear->ia3.input &&
                strcmp(vkft_module_kind(set->modules[i].name), vkft_module_kind(set->modules[j].name)) == 0)
                return true;
    return false;
}

/* How the configuration names the set's modules: the last parts of their names, which with what was left out select
 * them again when whole kinds were chosen. Otherwise, and always inside a multimodal model (its other parts have
 * modules with the same last names) and where PEFT's method knows no exclude_modules (VeRA), full names and nothing
 * else. An expression is not written: PEFT refuses one that matches what is no linear layer, and which names a model
 * has besides is not known here. */
static bool export_targets(const vkft_adapter_set *set, vkft_adapter_config *config, vkft_err *err)
{
    bool short_names = !set->model->config->multimodal_type[0] &&
                       (!set->method->projection || !vkft_json_member(set->config.targets.config, "exclude_modules"));
    if (short_names && !vkft_module_targets_copy(&config->targets, &set->config.targets, err))
        return false;
    if (!(config->target_modules = name_list(set, !short_names)))
        return vkft_fail_memory(err, "while writing the adapter");
    if (!short_names)
        return true;
    if (!vkft_module_targets_list(&config->targets, config->target_modules, err))
        return false;
    if (!mixes_kinds(set) && select_set(set, &config->targets))
        return true;
    vkft_module_targets_free(&config->targets);
    free_names(config->target_modules);
    config->target_modules = name_list(set, true);
    return config->target_modules || vkft_fail_memory(err, "while writing the adapter");
}

/* Twice the rank needs this many times the alpha to be scaled alike. */
static float alpha_factor(const vkft_adapter_set *set)
{
    return !set->origin_floats ? 1.0f : set->config.use_rslora ? sqrtf(2) : 2.0f;
}

/* What modules have of their own, by their whole names. */
static bool export_patterns(const vkft_adapter_set *set, vkft_adapter_config *config)
{
    bool ok = true;
    float factor = alpha_factor(set);
    for (uint32_t i = 0; ok && i < set->count; i++) {
        const vkft_adapted_module *m = &set->modules[i];
        if (m->r != set->config.r)
            ok = vkft_module_patterns_add(&config->rank_pattern, m->name, vkft_adapter_set_written_rank(set, m), NULL);
        if (ok && m->lora_alpha != set->config.lora_alpha)
            ok = vkft_module_patterns_add(&config->alpha_pattern, m->name, (double)(m->lora_alpha * factor), NULL);
    }
    return ok;
}

bool vkft_adapter_set_export(const vkft_adapter_set *set, const float *flat, const char *base_model,
                             vkft_adapter *adapter, vkft_err *err)
{
    memset(adapter, 0, sizeof *adapter);
    adapter->config = set->config;
    adapter->config.targets = (vkft_module_targets){0};
    adapter->config.tokens = (vkft_token_indices){0};
    adapter->config.format = &set->method->format;
    adapter->config.r *= set->origin_floats ? 2 : 1;
    adapter->config.lora_alpha *= alpha_factor(set);
    adapter->config.base_model_name_or_path = vkft_string_copy(base_model);
    adapter->config.target_all_linear = false;
    adapter->config.fan_in_fan_out = set->model->config->arch->conv1d;
    adapter->config.seq2seq = set->model->encoder.count != 0;
    uint32_t whole = 0;
    for (uint32_t i = 0; i < set->saved_count; i++)
        whole += set->saved[i].spec->weight != NULL;
    char **names = adapter->config.modules_to_save = whole ? calloc(whole + 1ull, sizeof *names) : NULL;
    adapter->tensors = calloc(vkft_adapter_set_tensor_count(set), sizeof *adapter->tensors);
    bool ok = (adapter->tensors && (!whole || names) && adapter->config.base_model_name_or_path &&
               export_patterns(set, &adapter->config) && vkft_adapter_set_write_projection(set, adapter)) ||
              vkft_fail_memory(err, "while writing the adapter");
    ok = ok && export_targets(set, &adapter->config, err);
    for (uint32_t i = 0; ok && i < set->count; i++)
        for (uint32_t j = 0; ok && j < vkft_adapter_set_kinds(set); j++)
            ok = export_tensor(set, &set->modules[i], j, flat, adapter) ||
                 vkft_fail_memory(err, "while writing the adapter");
    ok = ok && export_tokens(set, flat, adapter, err);
    for (uint32_t i = 0; ok && i < set->saved_count; i++)
        ok = export_saved(&set->saved[i], flat, adapter, &names) || vkft_fail_memory(err, "while writing the adapter");
    if (!ok)
        vkft_adapter_free(adapter);
    return ok;
}
