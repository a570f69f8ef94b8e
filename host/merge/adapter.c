/* See adapter.h. */
#include "host/merge/adapter.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "formats/config/arch.h"
#include "host/hub/name.h"
#include "runtime/base/file.h"
#include "runtime/base/text.h"
#include "runtime/base/transpose.h"

#define PREFIX "base_model.model."

void vkft_merge_adapter_close(vkft_merge_adapter *adapter)
{
    vkft_adapter_free(&adapter->adapter);
    free(adapter->path);
    free(adapter->modules);
    free(adapter->saved);
    free(adapter->tokens);
    *adapter = (vkft_merge_adapter){0};
}

static int compare_modules(const void *a, const void *b)
{
    return strcmp(((const vkft_merge_module *)a)->name, ((const vkft_merge_module *)b)->name);
}

const vkft_merge_module *vkft_merge_find_module(const vkft_merge_adapter *adapter, const char *module)
{
    vkft_merge_module key;
    if (!adapter->count || (size_t)snprintf(key.name, sizeof key.name, "%s", module) >= sizeof key.name)
        return NULL;
    return bsearch(&key, adapter->modules, adapter->count, sizeof key, compare_modules);
}

const vkft_merge_saved *vkft_merge_find_saved(const vkft_merge_adapter *adapter, const char *name)
{
    for (uint32_t i = 0; i < adapter->saved_count; i++)
        if (strcmp(adapter->saved[i].name, name) == 0)
            return &adapter->saved[i];
    return NULL;
}

/* The suffix of the method's that a key has; NULL: none. *embedding: it is that of an embedding's tensor. */
static const char *suffix_of(const vkft_adapter_format *format, const char *key, uint32_t *number, bool *embedding)
{
    for (uint32_t i = 0; i < 2 * VKFT_ADAPTER_TENSORS; i++) {
        *number = i / 2;
        *embedding = i % 2;
        const char *suffix = *embedding ? format->embedding[*number] : format->suffixes[*number];
        if (suffix && vkft_string_ends_with(key, suffix))
            return key + strlen(key) - strlen(suffix);
    }
    return NULL;
}

/* An embedding is looked up by rows, so that its A is [r,vocabulary] and its B [hidden,r], where the matrix
 * [vocabulary, hidden] as a layer would have [r,hidden] and [vocabulary,r]: the transposes of B and A. */
static bool transpose(vkft_adapter_tensor *t, vkft_err *err)
{
    const size_t bytes = (size_t)t->rows * t->cols * sizeof *t->data;
    float *data = malloc(bytes);
    if (!data)
        return vkft_fail_memory(err, "for '%s'", t->key);
    vkft_transpose(t->data, t->rows, t->cols, sizeof *data, data);
    free(t->data);
    const uint32_t rows = t->cols;
    *t = (vkft_adapter_tensor){.key = t->key, .rows = rows, .cols = t->rows, .data = data};
    return true;
}

/* Rank and alpha of one module; PEFT knows it by the name in the key. */
static bool find_scale(const vkft_adapter_config *config, const char *module, uint32_t rank, float *scale,
                       vkft_err *err)
{
    double r = rank, alpha = (double)config->lora_alpha;
    if (!vkft_module_patterns_find(&config->alpha_pattern, module, &alpha, err))
        return false;
    *scale = (float)(alpha / (config->use_rslora ? sqrt(r) : r));
    return true;
}

/* An adapter of one of embedding and head where both are one matrix. */
static bool check_shared(const vkft_merge_adapter *a, const vkft_config *config, vkft_tensor_role role,
                         const char *name, const vkft_adapter_tensor *t, vkft_err *err)
{
    const char *embedding = config->arch->embedding;
    bool shared = role == VKFT_ROLE_TIED_HEAD || (config->tie_word_embeddings && role == VKFT_ROLE_EMBEDDING &&
                                                  strncmp(name, embedding, strlen(embedding)) == 0);
    return !shared || vkft_fail(err, VKFT_ERR_INPUT,
                                "%s: tensor '%s': in this model embedding and head are one matrix, and an adapter that "
                                "trained one of them alone cannot be merged",
                                a->path, t->key);
}

static bool add_module_tensor(vkft_merge_adapter *a, const vkft_config *config, const vkft_adapter_tensor *t,
                              const char *end, uint32_t number, vkft_err *err)
{
    char module[256], weight[300], canonical[256];
    snprintf(module, sizeof module, "%.*s", (int)(end - t->key - (ptrdiff_t)strlen(PREFIX)), t->key + strlen(PREFIX));
    snprintf(weight, sizeof weight, "%s.weight", module);
    vkft_tensor_role role = vkft_arch_tensor(config, weight, canonical, sizeof canonical);
    if (role == VKFT_ROLE_NONE)
        return vkft_fail(err, VKFT_ERR_INPUT, "%s: tensor '%s': the model has no module of this name", a->path, t->key);
    if (!check_shared(a, config, role, canonical, t, err))
        return false;
    size_t length = strlen(canonical) - strlen(".weight");
    vkft_merge_module *m = &a->modules[a->count++]; /* those of one name are joined later */
    snprintf(m->name, sizeof m->name, "%.*s", (int)length, canonical);
    m->tensor[number] = t;
    const vkft_adapter_format *format = a->adapter.config.format;
    return number || format->ia3 || format->vera || find_scale(&a->adapter.config, module, t->rows, &m->scale, err);
}

/* PEFT puts the layer itself into the adapted one: its bias is "<module>.base_layer.bias". */
static bool add_saved(vkft_merge_adapter *a, const vkft_config *config, const vkft_adapter_tensor *t, vkft_err *err)
{
    static const char inside[] = ".base_layer";
    char name[300];
    snprintf(name, sizeof name, "%s", t->key + strlen(PREFIX));
    char *at = strstr(name, inside);
    if (at)
        memmove(at, at + strlen(inside), strlen(at) - strlen(inside) + 1);
    vkft_merge_saved *saved = &a->saved[a->saved_count++];
    saved->tensor = t;
    vkft_tensor_role role = vkft_arch_tensor(config, name, saved->name, sizeof saved->name);
    if (role == VKFT_ROLE_NONE)
        return vkft_fail(err, VKFT_ERR_INPUT, "%s: tensor '%s': the model has no such tensor", a->path, t->key);
    return check_shared(a, config, role, saved->name, t, err);
}

/* The matrix that PEFT copies into an adapter of an embedding or head is the model's own. */
static bool is_copy(const vkft_merge_adapter *a, const char *key)
{
    return a->adapter.config.format->embedding[0] && vkft_string_ends_with(key, VKFT_ADAPTER_COPY);
}

/* The tokens that the configuration names for a module, which it may name by its end; the embedding needs no name. */
static const vkft_module_tokens *find_tokens(const vkft_adapter_config *config, const char *module, bool embedding)
{
    for (uint32_t i = 0; i < config->tokens.count; i++) {
        const vkft_module_tokens *item = &config->tokens.items[i];
        bool named = item->module && (strcmp(item->module, module) == 0 || vkft_string_ends_with(module, item->module));
        if (named || (!item->module && embedding))
            return item;
    }
    return NULL;
}

/* In a model whose head is the embedding, PEFT gives both the same rows. */
static bool add_tokens(vkft_merge_adapter *a, const vkft_config *config, const vkft_adapter_tensor *t, vkft_err *err)
{
    vkft_merge_tokens *tokens = &a->tokens[a->tokens_count];
    char module[256], weight[300];
    snprintf(module, sizeof module, "%.*s", (int)(strlen(t->key) - strlen(PREFIX VKFT_ADAPTER_TOKENS)),
             t->key + strlen(PREFIX));
    snprintf(weight, sizeof weight, "%s.weight", module);
    vkft_tensor_role role = vkft_arch_tensor(config, weight, tokens->name, sizeof tokens->name);
    const vkft_module_tokens *item =
        find_tokens(&a->adapter.config, module,
                    strncmp(tokens->name, config->arch->embedding, strlen(config->arch->embedding)) == 0);
    if (role == VKFT_ROLE_TIED_HEAD)
        return vkft_fail(err, VKFT_ERR_INPUT,
                         "%s: tensor '%s': in this model the head is the embedding, whose tokens alone can be merged",
                         a->path, t->key);
    if (role == VKFT_ROLE_NONE || !item || item->count != t->rows)
        return vkft_fail(err, VKFT_ERR_INPUT,
                         "%s: tensor '%s': the model has no such module, or its trainable_token_indices "
                         "are not %u tokens",
                         a->path, t->key, t->rows);
    for (uint32_t i = 0; i < item->count; i++)
        if (item->tokens[i] >= config->vocab_size)
            return vkft_fail(err, VKFT_ERR_INPUT, "%s: trainable_token_indices: the model has no token %u", a->path,
                             item->tokens[i]);
    tokens->tensor = t;
    tokens->tokens = item->tokens;
    a->tokens_count++;
    return true;
}

static void join_modules(vkft_merge_adapter *a)
{
    uint32_t count = 0;
    qsort(a->modules, a->count, sizeof *a->modules, compare_modules);
    for (uint32_t i = 0; i < a->count; i++) {
        const vkft_merge_module from = a->modules[i];
        if (!count || strcmp(a->modules[count - 1].name, from.name) != 0)
            a->modules[count++] = (vkft_merge_module){0};
        vkft_merge_module *to = &a->modules[count - 1];
        memcpy(to->name, from.name, sizeof to->name);
        for (uint32_t k = 0; k < VKFT_ADAPTER_TENSORS; k++)
            to->tensor[k] = from.tensor[k] ? from.tensor[k] : to->tensor[k];
        to->scale = from.scale != 0 ? from.scale : to->scale;
    }
    a->count = count;
}

static bool check_module(const vkft_merge_adapter *a, const vkft_merge_module *m, vkft_err *err)
{
    const vkft_adapter_format *format = a->adapter.config.format;
    for (uint32_t i = 0; format->suffixes[i]; i++)
        if (!m->tensor[i])
            return vkft_fail(err, VKFT_ERR_INPUT, "%s: %s has no tensor '%s'", a->path, m->name, format->suffixes[i]);
    if (format->ia3 || format->vera)
        return true;
    const vkft_adapter_tensor *A = m->tensor[0], *B = m->tensor[1];
    return A->rows == B->cols ||
           vkft_fail(err, VKFT_ERR_INPUT, "%s: %s: lora_A is [%u, %u] and lora_B [%u, %u]; expected the same rank",
                     a->path, m->name, A->rows, A->cols, B->rows, B->cols);
}

static bool add_tensor(vkft_merge_adapter *a, const vkft_config *config, vkft_adapter_tensor *t, vkft_err *err)
{
    uint32_t number;
    bool embedding;
    const char *end = suffix_of(a->adapter.config.format, t->key, &number, &embedding);
    if (is_copy(a, t->key))
        return true;
    if (vkft_string_ends_with(t->key, VKFT_ADAPTER_TOKENS))
        return add_tokens(a, config, t, err);
    if (!end)
        return add_saved(a, config, t, err);
    if (embedding && !transpose(t, err))
        return false;
    return add_module_tensor(a, config, t, end, embedding ? 1 - number : number, err);
}

bool vkft_merge_adapter_open(const char *dir, const vkft_config *config, vkft_merge_adapter *a, vkft_err *err)
{
    *a = (vkft_merge_adapter){.path = vkft_string_copy(dir)};
    bool ok = a->path ? vkft_adapter_read(dir, vkft_adapter_formats(), &a->adapter, err)
                      : vkft_fail_memory(err, "for adapter '%s'", dir);
    if (ok) {
        a->method = vkft_adapter_method_of(a->adapter.config.format);
        ok = a->method->merge ||
             vkft_fail(err, VKFT_ERR_INPUT, "%s: a %s adapter cannot be merged or exported", a->path, a->method->name);
    }
    if (ok) {
        a->modules = calloc(a->adapter.count + 1ull, sizeof *a->modules);
        a->saved = calloc(a->adapter.count + 1ull, sizeof *a->saved);
        a->tokens = calloc(a->adapter.count + 1ull, sizeof *a->tokens);
        ok = (a->modules && a->saved && a->tokens) || vkft_fail_memory(err, "for adapter '%s'", dir);
    }
    for (uint32_t i = 0; ok && i < a->adapter.count; i++)
        ok = add_tensor(a, config, &a->adapter.tensors[i], err);
    if (ok)
        join_modules(a);
    for (uint32_t i = 0; ok && i < a->count; i++)
        ok = check_module(a, &a->modules[i], err);
    if (!ok)
        vkft_merge_adapter_close(a);
    return ok;
}

char *vkft_merge_base_model(const char *adapter_dir, vkft_err *err)
{
    vkft_adapter adapter;
    char *base = NULL;
    if (!vkft_adapter_read(adapter_dir, vkft_adapter_formats(), &adapter, err))
        return NULL;
    const char *said = adapter.config.base_model_name_or_path;
    vkft_hub_name name;
    if (said &&
        (vkft_directory_exists(said) || vkft_file_exists(said) || vkft_hub_name_parse(said, VKFT_HUB_MODEL, &name))) {
        base = vkft_string_copy(said);
        if (!base)
            vkft_fail_memory(err, "for adapter '%s'", adapter_dir);
    } else {
        vkft_fail(err, VKFT_ERR_USAGE, "%s: was trained on '%s', which is not there; name the model with --model",
                  adapter_dir, said ? said : "a model without a name");
    }
    vkft_adapter_free(&adapter);
    return base;
}
