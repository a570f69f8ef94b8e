/* See lora_gguf.h. The experts of a layer are one tensor [experts, rank, in] or [experts, out, rank]. */
#include "host/merge/lora_gguf.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "formats/config/arch.h"
#include "formats/gguf/model.h"
#include "formats/gguf/writer.h"
#include "host/merge/adapter.h"
#include "runtime/base/file.h"

#define MERGE "'vkft merge --gguf FILE' writes model and adapter together"

/* One pair of tensors of the file. */
typedef struct pair {
    vkft_gguf_place place;
    const vkft_merge_module **modules; /* one, or one an expert; NULL: this expert has none */
    uint32_t count;
    const vkft_merge_module *first;
} pair;

typedef struct job {
    const vkft_config *config;
    const vkft_gguf_arch *arch;
    vkft_merge_adapter adapter;
    pair *pairs;
    uint32_t count;
    vkft_err *err;
} job;

static bool check_kind(const job *j)
{
    const vkft_adapter_config *c = &j->adapter.adapter.config;
    const char *what = c->format->ia3                                                   ? "IA3"
                       : c->format->vera                                                ? "VeRA"
                       : c->format->use_dora                                            ? "DoRA"
                       : c->format->lora_bias                                           ? "lora_bias"
                       : j->adapter.saved_count && c->bias                              ? "trained biases (bias)"
                       : j->adapter.tokens_count                                        ? "trainable_token_indices"
                       : j->adapter.saved_count                                         ? "modules_to_save"
                       : strcmp(c->format->peft_type, "LORA") || c->format->suffixes[2] ? c->format->peft_type
                                                                                        : NULL;
    return !what || vkft_fail(j->err, VKFT_ERR_INPUT, "%s: llama.cpp's adapters have no form for %s; " MERGE,
                              j->adapter.path, what);
}

static pair *find_pair(job *j, const vkft_gguf_place *place)
{
    for (uint32_t i = 0; i < j->count; i++)
        if (strcmp(j->pairs[i].place.name, place->name) == 0)
            return &j->pairs[i];
    pair *p = &j->pairs[j->count++];
    p->place = *place;
    p->count = place->is_expert ? j->config->experts : 1;
    p->modules = calloc(p->count, sizeof *p->modules);
    return p;
}

static bool add_module(job *j, const vkft_merge_module *m)
{
    vkft_gguf_place place;
    char weight[300], canonical[256];
    snprintf(weight, sizeof weight, "%s.weight", m->name);
    bool tied = vkft_arch_tensor(j->config, weight, canonical, sizeof canonical) == VKFT_ROLE_TIED_HEAD;
    if (tied || !vkft_gguf_place_of(j->arch, j->config, weight, &place))
        return vkft_fail(j->err, VKFT_ERR_INPUT, "%s: llama.cpp has no weight of its own for %s%s; " MERGE,
                         j->adapter.path, m->name, tied ? ", which is the embedding in this model" : "");
    if (strcmp(place.name, "token_embd.weight") == 0 || strcmp(place.name, "position_embd.weight") == 0)
        return vkft_fail(j->err, VKFT_ERR_INPUT, "%s: an adapter of embeddings (%s) cannot be written; " MERGE,
                         j->adapter.path, m->name);
    pair *p = find_pair(j, &place);
    if (!p->modules)
        return vkft_fail_memory(j->err, "for adapter '%s'", j->adapter.path);
    if (place.expert >= p->count)
        return vkft_fail(j->err, VKFT_ERR_INPUT, "%s: %s: the model has %u experts", j->adapter.path, m->name,
                         p->count);
    const vkft_adapter_tensor *const *t = m->tensor;
    if (p->first && (t[0]->rows != p->first->tensor[0]->rows || t[0]->cols != p->first->tensor[0]->cols ||
                     t[1]->rows != p->first->tensor[1]->rows))
        return vkft_fail(j->err, VKFT_ERR_INPUT,
                         "%s: %s has another shape than %s; the experts of a layer are one "
                         "tensor in a GGUF file",
                         j->adapter.path, m->name, p->first->name);
    p->modules[place.expert] = m;
    p->first = p->first ? p->first : m;
    return t[1]->rows % (place.interleaved_heads ? 2 * place.interleaved_heads : 1) == 0 ||
           vkft_fail(j->err, VKFT_ERR_INPUT, "%s: %s has %u rows; expected a multiple of twice its %u heads",
                     j->adapter.path, m->name, t[1]->rows, place.interleaved_heads);
}

static void put_string(vkft_gguf_writer *writer, const char *key, const char *text)
{
    vkft_gguf_put_string(writer, key, text, strlen(text));
}

/* alpha of all modules; llama.cpp takes B A as it is where this is 0, instead of nothing. */
static float alpha_of(const job *j)
{
    const float alpha = j->adapter.adapter.config.lora_alpha;
    return alpha != 0 ? alpha : 1;
}

static void announce(const job *j, vkft_gguf_writer *writer)
{
    const char *base = j->adapter.adapter.config.base_model_name_or_path;
    put_string(writer, "general.architecture", j->arch->name);
    put_string(writer, "general.type", "adapter");
    put_string(writer, "adapter.type", "lora");
    vkft_gguf_put_f32(writer, "adapter.lora.alpha", (double)alpha_of(j));
    vkft_gguf_put_u32(writer, "general.file_type", 0);
    vkft_gguf_put_u32(writer, "general.quantization_version", 2);
    if (base)
        put_string(writer, "general.base_model.0.name", vkft_path_base(base));
    for (uint32_t i = 0; i < j->count; i++) {
        const pair *p = &j->pairs[i];
        const vkft_adapter_tensor *A = p->first->tensor[0], *B = p->first->tensor[1];
        const uint64_t a[] = {p->count, A->rows, A->cols}, b[] = {p->count, B->rows, B->cols};
        uint32_t dims = p->place.is_expert ? 3 : 2;
        char name[160];
        snprintf(name, sizeof name, "%s.lora_a", p->place.name);
        vkft_gguf_add_tensor(writer, name, VKFT_F32, dims, a + 3 - dims);
        snprintf(name, sizeof name, "%s.lora_b", p->place.name);
        vkft_gguf_add_tensor(writer, name, VKFT_F32, dims, b + 3 - dims);
    }
}

/* B as the file has it: scaled, and its rows in llama.cpp's order, in which each head's two halves alternate. */
static void arrange(const job *j, const pair *p, const vkft_merge_module *m, float *out)
{
    const vkft_adapter_tensor *B = m->tensor[1];
    const float factor = m->scale / (alpha_of(j) / (float)B->cols);
    const uint32_t head = p->place.interleaved_heads ? B->rows / p->place.interleaved_heads : 0;
    for (uint32_t r = 0; r < B->rows; r++) {
        const uint64_t from = head ? vkft_gguf_interleaved_row(r, head) : r;
        for (uint32_t k = 0; k < B->cols; k++) {
            float value = B->data[from * B->cols + k];
            out[(size_t)r * B->cols + k] = factor == 1 ? value : value * factor;
        }
    }
}

static bool write_pair(const job *j, const pair *p, vkft_gguf_writer *writer)
{
    const vkft_adapter_tensor *A = p->first->tensor[0], *B = p->first->tensor[1];
    const size_t a = (size_t)A->rows * A->cols, b = (size_t)B->rows * B->cols;
    float *values = malloc((a > b ? a : b) * sizeof *values);
    bool ok = values || vkft_fail_memory(j->err, "for adapter '%s'", j->adapter.path);
    for (uint32_t tensor = 0; tensor < 2; tensor++)
        for (uint32_t e = 0; ok && e < p->count; e++) {
            const vkft_merge_module *m = p->modules[e];
            if (!m)
                memset(values, 0, (tensor ? b : a) * sizeof *values);
            else if (tensor)
                arrange(j, p, m, values);
            else
                memcpy(values, m->tensor[0]->data, a * sizeof *values);
            ok = vkft_gguf_append(writer, values, (tensor ? b : a) * sizeof *values, j->err);
        }
    free(values);
    return ok;
}

static bool write_file(const job *j, const char *path)
{
    vkft_gguf_writer *writer = vkft_gguf_writer_new(j->err);
    if (!writer)
        return false;
    announce(j, writer);
    bool ok = vkft_gguf_begin(writer, path, j->err);
    for (uint32_t i = 0; ok && i < j->count; i++)
        ok = write_pair(j, &j->pairs[i], writer);
    if (ok)
        return vkft_gguf_commit(writer, j->err);
    vkft_gguf_writer_abandon(writer);
    return false;
}

bool vkft_write_lora_gguf(const char *adapter_dir, const vkft_config *config, const char *path, vkft_err *err)
{
    job j = {.config = config, .arch = vkft_gguf_arch_for(config, err), .err = err};
    if (!j.arch || !vkft_merge_adapter_open(adapter_dir, config, &j.adapter, err))
        return false;
    j.pairs = calloc(j.adapter.count + 1ull, sizeof *j.pairs);
    bool ok = j.pairs ? check_kind(&j) : vkft_fail_memory(err, "for adapter '%s'", adapter_dir);
    for (uint32_t i = 0; ok && i < j.adapter.count; i++)
        ok = add_module(&j, &j.adapter.modules[i]);
    ok = ok && write_file(&j, path);
    for (uint32_t i = 0; j.pairs && i < j.count; i++)
        free(j.pairs[i].modules);
    free(j.pairs);
    vkft_merge_adapter_close(&j.adapter);
    return ok;
}
