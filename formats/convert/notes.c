/* Lines about a conversion: the tensors that nobody takes. */
#include "formats/convert/notes.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "formats/config/arch.h"
#include "runtime/base/text.h"

#define MAX_PREFIXES 8 /* of other parts that are told one by one */
#define NAMED 3        /* tensors that are told by name */

typedef struct other_part {
    char prefix[80];
    uint32_t count;
} other_part;

typedef struct unused {
    other_part parts[MAX_PREFIXES];
    uint32_t part_count;
    const char *names[NAMED];
    uint32_t count; /* of tensors that belong to no such part */
} unused;

bool vkft_note(cJSON *notes, const char *format, ...)
{
    char line[600];
    va_list args;
    va_start(args, format);
    vsnprintf(line, sizeof line, format, args);
    va_end(args);
    for (char *c = line; *c; c++) /* a name may hold anything */
        if ((unsigned char)*c < ' ')
            *c = '?';
    return cJSON_AddItemToArray(notes, cJSON_CreateString(line));
}

/* What programs keep beside the weights and compute again: masks, tables of positions, copies of the embedding. */
static bool is_buffer(const vkft_config *config, const char *name)
{
    static const char *const endings[] = {
        "rotary_emb.inv_freq", "rotary_emb.cos_cached", "rotary_emb.sin_cached", "attn.bias",
        "attn.masked_bias",    "attention.bias",        "attention.masked_bias", "position_ids"};
    static const char *const copies[] = {"encoder.embed_tokens.weight", "decoder.embed_tokens.weight"};
    for (size_t i = 0; i < sizeof endings / sizeof *endings; i++)
        if (vkft_string_ends_with(name, endings[i]))
            return true;
    for (size_t i = 0; config->encoder_layers && i < sizeof copies / sizeof *copies; i++)
        if (strcmp(name, copies[i]) == 0)
            return true;
    return false;
}

static bool has_role(const vkft_config *config, const char *name)
{
    char canonical[256];
    return vkft_arch_tensor(config, name, canonical, sizeof canonical) != VKFT_ROLE_NONE;
}

/* "<weight>.absmax" of bitsandbytes; "<module>.weight_scale" and the scales of activations and of the cache in FP8
 * checkpoints. */
static bool is_companion(const vkft_config *config, const char *name)
{
    static const char *const scales[] = {".weight_scale", ".weight_scale_inv", ".input_scale",
                                         ".output_scale", ".k_scale",          ".v_scale"};
    char weight[256];
    const char *after = strstr(name, ".weight.");
    if (after) {
        snprintf(weight, sizeof weight, "%.*s.weight", (int)(after - name), name);
        return has_role(config, weight);
    }
    for (size_t i = 0; i < sizeof scales / sizeof *scales; i++)
        if (vkft_string_ends_with(name, scales[i])) {
            snprintf(weight, sizeof weight, "%.*s.weight", (int)(strlen(name) - strlen(scales[i])), name);
            return has_role(config, weight) || vkft_string_ends_with(name, ".self_attn.k_scale") ||
                   vkft_string_ends_with(name, ".self_attn.v_scale");
        }
    return false;
}

/* The length of a name's first part, or of its first two where the first is "model"; 0: they are the language model's.
 */
static size_t part_of(const char *name)
{
    static const char *const language[] = {"language_model", "lm_head", "layers", "embed_tokens", "norm"};
    const char *second = strncmp(name, "model.", 6) == 0 ? name + 6 : name;
    size_t length = strcspn(second, ".");
    for (size_t i = 0; i < sizeof language / sizeof *language; i++)
        if (strlen(language[i]) == length && memcmp(second, language[i], length) == 0)
            return 0;
    return (size_t)(second - name) + length;
}

static bool add_to_part(unused *u, const char *name)
{
    char prefix[sizeof u->parts[0].prefix];
    size_t length = part_of(name);
    if (!length || length >= sizeof prefix)
        return false;
    snprintf(prefix, sizeof prefix, "%.*s", (int)length, name);
    uint32_t i = 0;
    while (i < u->part_count && strcmp(u->parts[i].prefix, prefix) != 0)
        i++;
    if (i == MAX_PREFIXES)
        return false;
    if (i == u->part_count) {
        u->part_count++;
        memcpy(u->parts[i].prefix, prefix, sizeof prefix);
    }
    u->parts[i].count++;
    return true;
}

static bool note_names(cJSON *notes, const unused *u)
{
    char names[NAMED * 104] = "", rest[40] = "";
    for (uint32_t i = 0; i < NAMED && i < u->count; i++) {
        size_t n = strlen(names);
        snprintf(names + n, sizeof names - n, "%s%.100s", i ? ", " : "", u->names[i]);
    }
    if (u->count > NAMED)
        snprintf(rest, sizeof rest, " and %" PRIu32 " more", u->count - NAMED);
    return !u->count || vkft_note(notes,
                                  "warning: %" PRIu32 " tensor%s of the checkpoint belong%s to no part of this model "
                                  "and %s not used: %s%s",
                                  u->count, u->count == 1 ? "" : "s", u->count == 1 ? "s" : "",
                                  u->count == 1 ? "is" : "are", names, rest);
}

bool vkft_note_unused(cJSON *notes, const vkft_config *config, const vkft_hf_checkpoint *checkpoint)
{
    unused u = {0};
    for (uint32_t i = 0; i < checkpoint->count; i++) {
        const char *name = checkpoint->tensors[i].tensor->name;
        if (has_role(config, name) || (config->multimodal_type[0] && add_to_part(&u, name)) ||
            is_buffer(config, name) || is_companion(config, name))
            continue;
        if (u.count < NAMED)
            u.names[u.count] = name;
        u.count++;
    }
    bool ok = true;
    for (uint32_t i = 0; ok && i < u.part_count; i++)
        ok = vkft_note(notes, "%s.* (%" PRIu32 " tensor%s) is not used", u.parts[i].prefix, u.parts[i].count,
                       u.parts[i].count == 1 ? "" : "s");
    return ok && note_names(notes, &u);
}
