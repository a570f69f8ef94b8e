/* Names of tensors: those of llama.cpp become those of transformers, and back, from the architecture's table. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "formats/config/arch.h"
#include "formats/gguf/model.h"
#include "runtime/base/text.h"

static const char *const linears[VKFT_LINEAR_SLOTS] = {
    [VKFT_QKV] = "attn_qkv",
    [VKFT_Q] = "attn_q",
    [VKFT_K] = "attn_k",
    [VKFT_V] = "attn_v",
    [VKFT_O] = "attn_output",
    [VKFT_GATE_UP] = "ffn_up", /* of architectures without one of their own */
    [VKFT_GATE] = "ffn_gate",
    [VKFT_UP] = "ffn_up",
    [VKFT_DOWN] = "ffn_down",
    [VKFT_ROUTER] = "ffn_gate_inp",
    [VKFT_EXPERT_GATE] = "ffn_gate_exps",
    [VKFT_EXPERT_UP] = "ffn_up_exps",
    [VKFT_EXPERT_DOWN] = "ffn_down_exps",
};

static const char *const norms[VKFT_NORM_SLOTS] = {
    [VKFT_NORM_ATTENTION] = "attn_norm", [VKFT_NORM_Q] = "attn_q_norm",
    [VKFT_NORM_K] = "attn_k_norm",       [VKFT_NORM_ATTENTION_AFTER] = "post_attention_norm",
    [VKFT_NORM_MLP] = "ffn_norm",        [VKFT_NORM_MLP_AFTER] = "post_ffw_norm",
};

/* What a tensor is: a module of the model, inside a block or not. */
typedef struct place {
    const char *module; /* as transformers names it; NULL: none of the model's */
    uint32_t block;
    bool in_block, is_norm;
    vkft_linear_slot slot; /* VKFT_LINEAR_SLOTS: no linear layer */
} place;

static const char *outside(const vkft_arch *arch, const char *module)
{
    return strcmp(module, "token_embd") == 0      ? arch->embedding
           : strcmp(module, "position_embd") == 0 ? arch->positions
           : strcmp(module, "output") == 0        ? arch->head
           : strcmp(module, "output_norm") == 0   ? arch->decoder.final_norm
                                                  : NULL;
}

/* module: the name without ".weight" or ".bias". */
static place find_place(const vkft_arch *arch, const char *module)
{
    const vkft_stack_names *stack = &arch->decoder;
    place p = {.slot = VKFT_LINEAR_SLOTS};
    unsigned block;
    int used = 0;
    if (sscanf(module, "blk.%5u.%n", &block, &used) != 1 || !used) {
        p.module = outside(arch, module);
        p.is_norm = strcmp(module, "output_norm") == 0;
        return p;
    }
    p.in_block = true;
    p.block = block;
    for (uint32_t s = 0; s < VKFT_LINEAR_SLOTS && !p.module; s++)
        if (linears[s] && stack->linear[s] && strcmp(linears[s], module + used) == 0) {
            p.module = stack->linear[s];
            p.slot = (vkft_linear_slot)s;
        }
    for (uint32_t s = 0; s < VKFT_NORM_SLOTS && !p.module; s++)
        if (norms[s] && stack->norm[s] && strcmp(norms[s], module + used) == 0) {
            p.module = stack->norm[s];
            p.is_norm = true;
        }
    return p;
}

/* "<layers>.<block>.<module><ending>", the '*' in the module replaced by an expert's number. */
static char *name_of(const vkft_arch *arch, const place *p, uint64_t expert, const char *ending)
{
    const char *star = strchr(p->module, '*');
    char text[512];
    size_t before = star ? (size_t)(star - p->module) : strlen(p->module);
    int n = p->in_block ? snprintf(text, sizeof text, "%s.%" PRIu32 ".", arch->decoder.layers, p->block) : 0;
    n += snprintf(text + n, sizeof text - (size_t)n, "%.*s", (int)before, p->module);
    if (star)
        snprintf(text + n, sizeof text - (size_t)n, "%" PRIu64 "%s%s", expert, star + 1, ending);
    else
        snprintf(text + n, sizeof text - (size_t)n, "%s", ending);
    return vkft_string_copy(text);
}

/* Of one tensor those that transformers has, at out; out NULL: only counts. */
typedef struct renamer {
    const vkft_gguf_arch *source;
    const vkft_config *config;
    const char *file;
    vkft_err *err;
} renamer;

/* Rotary tables, which are in the configuration. */
static bool is_table(const char *name)
{
    return strcmp(name, "rope_freqs.weight") == 0 || strncmp(name, "rope_factors_", 13) == 0;
}

static bool describe(const renamer *r, const place *p, vkft_file_tensor *t)
{
    const vkft_config *c = r->config;
    bool query = p->slot == VKFT_Q, key = p->slot == VKFT_K;
    if (r->source->interleaved && (query || key)) {
        t->interleaved_heads = query ? c->num_heads : c->num_kv_heads;
        if (t->shape[0] % (2ull * t->interleaved_heads))
            return vkft_fail(r->err, VKFT_ERR_INPUT,
                             "%s: tensor '%s' has %" PRIu64 " rows; expected a multiple of twice its %" PRIu32 " heads",
                             r->file, t->name, t->shape[0], t->interleaved_heads);
    }
    t->gain_plus_one = r->source->gain_plus_one && p->is_norm;
    if (c->arch->conv1d && p->slot != VKFT_LINEAR_SLOTS && t->dims == 2) { /* [in,out] there */
        uint64_t out = t->shape[0];
        t->shape[0] = t->shape[1];
        t->shape[1] = out;
        t->column_major = true;
    }
    return true;
}

/* The matrices of a tensor [experts, rows, columns]. */
static bool cut_experts(const renamer *r, const place *p, const vkft_file_tensor *t, const char *ending,
                        vkft_file_tensor *out)
{
    const uint64_t experts = t->shape[0], bytes = t->bytes / experts;
    for (uint64_t e = 0; e < experts; e++) {
        out[e] = *t;
        out[e].name = name_of(r->config->arch, p, e, ending);
        out[e].dims = 2;
        out[e].shape[0] = t->shape[1];
        out[e].shape[1] = t->shape[2];
        out[e].elements = t->elements / experts;
        out[e].bytes = bytes;
        out[e].offset = t->offset + e * bytes;
    }
    for (uint64_t e = 0; e < experts; e++)
        if (!out[e].name)
            return vkft_fail_memory(r->err, "while reading %s", r->file);
    return true;
}

/* How many tensors of transformers one of the file is. */
static uint64_t count_of(const renamer *r, const vkft_file_tensor *t)
{
    bool experts = t->dims == 3 && strstr(t->name, "_exps.") != NULL && t->shape[0] == r->config->experts;
    return is_table(t->name) ? 0 : experts ? t->shape[0] : 1;
}

static bool rename_one(const renamer *r, vkft_file_tensor *t, uint64_t count, vkft_file_tensor *out)
{
    char module[256];
    const char *dot = strrchr(t->name, '.');
    size_t length = dot ? (size_t)(dot - t->name) : 0;
    place p = {0};
    if (length && length < sizeof module) {
        memcpy(module, t->name, length);
        module[length] = 0;
        p = find_place(r->config->arch, module);
    }
    if (p.module && count > 1)
        return cut_experts(r, &p, t, dot, out);
    for (uint64_t i = 0; i < count; i++) {
        out[i] = *t;
        if (p.module ? !describe(r, &p, &out[i]) : false)
            return out[i].name = NULL, false;
        out[i].name = p.module ? name_of(r->config->arch, &p, 0, dot) : vkft_string_copy(t->name);
        if (!out[i].name)
            return vkft_fail_memory(r->err, "while reading %s", r->file);
    }
    return true;
}

static bool rename_part(const renamer *r, vkft_tensor_file *part)
{
    uint64_t total = 0;
    uint32_t count = 0;
    for (uint32_t i = 0; i < part->count; i++)
        total += count_of(r, &part->tensors[i]);
    if (total > UINT32_MAX / 2)
        return vkft_fail(r->err, VKFT_ERR_INPUT, "%s: %" PRIu64 " tensors are too many", r->file, total);
    vkft_file_tensor *tensors = calloc((size_t)total + 1, sizeof *tensors),
                     **by_name = calloc((size_t)total + 1, sizeof *by_name);
    bool ok = (tensors && by_name) || vkft_fail_memory(r->err, "while reading %s", r->file);
    for (uint32_t i = 0; ok && i < part->count; i++) {
        uint64_t n = count_of(r, &part->tensors[i]);
        ok = rename_one(r, &part->tensors[i], n, tensors + count);
        count += (uint32_t)n;
    }
    if (!ok) {
        for (uint32_t i = 0; tensors && i < count; i++)
            free(tensors[i].name);
        free(tensors);
        free(by_name);
        return false;
    }
    for (uint32_t i = 0; i < part->count; i++)
        free(part->tensors[i].name);
    free(part->tensors);
    free(part->by_name);
    part->tensors = tensors;
    part->by_name = by_name;
    part->count = count;
    return vkft_tensor_file_index(part, r->err);
}

bool vkft_gguf_rename(vkft_gguf *gguf, const vkft_config *config, vkft_err *err)
{
    const vkft_gguf_arch *source = vkft_gguf_arch_of(gguf, err);
    for (uint32_t i = 0; source && i < gguf->part_count; i++) {
        renamer r = {.source = source, .config = config, .file = gguf->parts[i].path, .err = err};
        if (!rename_part(&r, &gguf->parts[i]))
            return false;
    }
    return source != NULL;
}

/* The llama.cpp name of a module outside the blocks; NULL: none of such. */
static const char *outside_back(const vkft_arch *arch, const char *module)
{
    static const char *const names[] = {"token_embd", "position_embd", "output", "output_norm"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        const char *own = outside(arch, names[i]);
        if (own && strcmp(own, module) == 0)
            return names[i];
    }
    return NULL;
}

/* Whether a module inside a block is the one of the pattern, in which '*' stands for an expert's number. */
static bool is_module(const char *pattern, const char *module, uint32_t *expert)
{
    const char *star = pattern ? strchr(pattern, '*') : NULL;
    if (!pattern || !star)
        return pattern && strcmp(pattern, module) == 0;
    size_t before = (size_t)(star - pattern), digits;
    if (strncmp(pattern, module, before) != 0 || !(digits = strspn(module + before, "0123456789")))
        return false;
    *expert = (uint32_t)strtoul(module + before, NULL, 10);
    return strcmp(star + 1, module + before + digits) == 0;
}

/* The same of one inside a block; fills what is known of it. */
static const char *inside_back(const vkft_gguf_arch *source, const vkft_config *config, const char *module,
                               vkft_gguf_place *out)
{
    const vkft_stack_names *stack = &config->arch->decoder;
    for (uint32_t s = 0; s < VKFT_LINEAR_SLOTS; s++) {
        if (!linears[s] || !is_module(stack->linear[s], module, &out->expert))
            continue;
        out->is_linear = true;
        out->is_router = s == VKFT_ROUTER;
        out->is_expert = strchr(stack->linear[s], '*') != NULL;
        if (source->interleaved && (s == VKFT_Q || s == VKFT_K))
            out->interleaved_heads = s == VKFT_Q ? config->num_heads : config->num_kv_heads;
        return linears[s];
    }
    for (uint32_t s = 0; s < VKFT_NORM_SLOTS; s++)
        if (norms[s] && stack->norm[s] && strcmp(stack->norm[s], module) == 0) {
            out->gain_plus_one = source->gain_plus_one;
            return norms[s];
        }
    return NULL;
}

bool vkft_gguf_place_of(const vkft_gguf_arch *arch, const vkft_config *config, const char *name, vkft_gguf_place *out)
{
    const char *dot = strrchr(name, '.'), *layers = config->arch->decoder.layers;
    char module[256], before[32] = "";
    size_t length = dot ? (size_t)(dot - name) : 0, prefix = strlen(layers);
    unsigned block;
    int used = 0;
    *out = (vkft_gguf_place){0};
    if (!length || length >= sizeof module)
        return false;
    memcpy(module, name, length);
    module[length] = 0;
    const char *found = outside_back(config->arch, module);
    out->gain_plus_one = found && strcmp(found, "output_norm") == 0 && arch->gain_plus_one;
    if (!found && strncmp(module, layers, prefix) == 0 && sscanf(module + prefix, ".%5u.%n", &block, &used) == 1 &&
        used) {
        found = inside_back(arch, config, module + prefix + used, out);
        out->block = block;
        snprintf(before, sizeof before, "blk.%u.", block);
    }
    out->is_bias = strcmp(dot, ".bias") == 0;
    return found && snprintf(out->name, sizeof out->name, "%s%s%s", before, found, dot) > 0;
}

uint64_t vkft_gguf_interleaved_row(uint64_t r, uint64_t head)
{
    const uint64_t in = r % head;
    return r - in + in % 2 * (head / 2) + in / 2;
}
