/* The list of architectures, and what follows from their tables: the roles of tensors. */
#include "formats/config/arch.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MAX_DIGITS 6 /* of a layer's or an expert's number */

#define ARCH(name) extern const vkft_arch vkft_arch_##name;
#include "formats/config/arch.def"
#undef ARCH

#define ARCH(name) &vkft_arch_##name,
static const vkft_arch *const architectures[] = {
#include "formats/config/arch.def"
};
#undef ARCH
#define COUNT (sizeof architectures / sizeof *architectures)

const vkft_arch *vkft_arch_find(const char *model_type)
{
    for (size_t i = 0; i < COUNT; i++)
        if (strcmp(architectures[i]->model_type, model_type) == 0)
            return architectures[i];
    return NULL;
}

static size_t common_prefix(const char *a, const char *b)
{
    size_t n = 0;
    while (a[n] && a[n] == b[n])
        n++;
    return n;
}

bool vkft_arch_fail_unknown(const char *model_type, const char *file, vkft_err *err)
{
    char known[512] = "";
    const vkft_arch *nearest = architectures[0];
    for (size_t i = 0; i < COUNT; i++) {
        size_t length = strlen(known);
        snprintf(known + length, sizeof known - length, "%s%s", i ? ", " : "", architectures[i]->model_type);
        if (common_prefix(model_type, architectures[i]->model_type) > common_prefix(model_type, nearest->model_type))
            nearest = architectures[i];
    }
    return vkft_fail(err, VKFT_ERR_INPUT,
                     "%s: model_type '%s' is not supported; the nearest supported one is '%s' (of %s)", file,
                     model_type, nearest->model_type, known);
}

/* Whether `name` is one of the names that are not NULL. */
static bool listed(const char *const *names, size_t count, const char *name)
{
    for (size_t i = 0; i < count; i++)
        if (names[i] && strcmp(names[i], name) == 0)
            return true;
    return false;
}

/* '*' in the pattern stands for a number below `count`. */
static bool same_module(const char *pattern, const char *name, uint32_t count)
{
    const char *star = strchr(pattern, '*');
    size_t length = star ? (size_t)(star - pattern) : 0;
    if (!star)
        return strcmp(pattern, name) == 0;
    if (strncmp(pattern, name, length) != 0)
        return false;
    size_t digits = strspn(name + length, "0123456789");
    return digits && digits <= MAX_DIGITS && strtoul(name + length, NULL, 10) < count &&
           strcmp(star + 1, name + length + digits) == 0;
}

/* A module inside one of the stack's blocks, "self_attn.q_proj", and the number of that block; NULL when the name is
 * none of such. */
static const char *inside_block(const vkft_stack_names *stack, uint32_t blocks, const char *module, uint32_t *number)
{
    size_t length = stack->layers ? strlen(stack->layers) : 0;
    if (!length || strncmp(module, stack->layers, length) != 0 || module[length] != '.')
        return NULL;
    module += length + 1;
    size_t digits = strspn(module, "0123456789");
    *number = (uint32_t)strtoul(module, NULL, 10);
    return digits && digits <= MAX_DIGITS && *number < blocks && module[digits] == '.' ? module + digits + 1 : NULL;
}

static vkft_tensor_role role_of_linear(const vkft_arch *arch, const vkft_block_spec *block, vkft_linear_slot slot,
                                       bool weight)
{
    if (!vkft_block_has(block, vkft_linear_part(slot)))
        return VKFT_ROLE_NONE;
    if (!weight)
        return vkft_linear_has_bias(block, slot) ? VKFT_ROLE_VECTOR : VKFT_ROLE_NONE;
    return arch->never_quantized[slot] ? VKFT_ROLE_NEVER_QUANTIZED : VKFT_ROLE_LINEAR;
}

static vkft_tensor_role role_in_stack(const vkft_config *config, vkft_stack_kind kind, const char *module, bool weight)
{
    const vkft_arch *arch = config->arch;
    const vkft_stack_names *stack = kind == VKFT_ENCODER ? &arch->encoder : &arch->decoder;
    uint32_t blocks = kind == VKFT_ENCODER ? config->encoder_layers : config->num_layers, number;
    vkft_tensor_role norm = weight || config->layernorm ? VKFT_ROLE_VECTOR : VKFT_ROLE_NONE;
    if (stack->final_norm && blocks && !config->no_final_norm && strcmp(module, stack->final_norm) == 0)
        return norm;
    const char *inner = inside_block(stack, blocks, module, &number);
    if (!inner)
        return VKFT_ROLE_NONE;
    const vkft_block_spec block = vkft_config_block(config, kind, number);
    for (vkft_linear_slot s = 0; s < VKFT_LINEAR_SLOTS; s++)
        if (stack->linear[s] && same_module(stack->linear[s], inner, block.experts))
            return role_of_linear(arch, &block, s, weight);
    if (weight && number == 0 && listed(&stack->relative_bias, 1, inner))
        return VKFT_ROLE_TABLE;
    return listed(stack->norm, VKFT_NORM_SLOTS, inner) ? norm : VKFT_ROLE_NONE;
}

static vkft_tensor_role role_of(const vkft_config *config, const char *name)
{
    const vkft_arch *arch = config->arch;
    const char *dot = strrchr(name, '.');
    char module[256];
    if (!dot || (size_t)(dot - name) >= sizeof module)
        return VKFT_ROLE_NONE;
    bool weight = strcmp(dot, ".weight") == 0;
    if (!weight && strcmp(dot, ".bias") != 0)
        return VKFT_ROLE_NONE;
    snprintf(module, sizeof module, "%.*s", (int)(dot - name), name);

    const char *const embeddings[] = {arch->embedding, arch->positions};
    const char *const linears[] = {arch->project_in, arch->project_out};
    if (weight && listed(embeddings, 2, module))
        return VKFT_ROLE_EMBEDDING;
    if (weight && strcmp(module, arch->head) == 0)
        return config->tie_word_embeddings && !config->tied_unless_stored ? VKFT_ROLE_TIED_HEAD : VKFT_ROLE_EMBEDDING;
    if (weight && config->embedding_size != config->hidden_size && listed(linears, 2, module))
        return VKFT_ROLE_LINEAR;
    vkft_tensor_role role = role_in_stack(config, VKFT_DECODER, module, weight);
    return role != VKFT_ROLE_NONE ? role : role_in_stack(config, VKFT_ENCODER, module, weight);
}

/* name with `prefix` replaced by `with`; false when it does not begin so. */
static bool respell(const char *name, const char *prefix, const char *with, char *out, size_t size)
{
    size_t length = strlen(prefix);
    if (strncmp(name, prefix, length) != 0)
        return false;
    int written = snprintf(out, size, "%s%s", with, name + length);
    return written > 0 && (size_t)written < size;
}

vkft_tensor_role vkft_arch_tensor(const vkft_config *config, const char *name, char *canonical, size_t size)
{
    const char *base = config->arch->base;
    const char *const spellings[][2] = {
        {"", ""}, {"", base}, {"language_model.", ""}, {"language_model.", base}, {"model.language_model.", base}};
    size_t count = config->multimodal_type[0] ? 5 : 2;
    for (size_t i = 0; i < count; i++) {
        if (!respell(name, spellings[i][0], spellings[i][1], canonical, size))
            continue;
        vkft_tensor_role role = role_of(config, canonical);
        if (role != VKFT_ROLE_NONE)
            return role;
    }
    return VKFT_ROLE_NONE;
}
