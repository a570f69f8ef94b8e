/* What makes two runs the same: what was measured, and the flags whose rows say so. */
#include "host/session/as_trained.h"
#include "host/train/setup/setup_private.h"
#include "runtime/base/json/builder.h"

#include <stdio.h>
#include <string.h>
#include <xxhash.h>

/* Values that compute the same are one here. */
static const char *computed(const vkft_trainer *t, const char *name, const char *value)
{
    if (strcmp(name, "--compute-dtype") == 0) /* one of them is "auto" */
        return vkft_compute_name(vkft_session_compute_dtype(&t->session));
    if (strcmp(name, "--optim") == 0) /* wherever its state lies */
        return vkft_optimizer_kind_of(t->options->optim)->name;
    return value;
}

static void add_hash(vkft_json_node f, const char *name, uint64_t hash)
{
    char text[17];
    snprintf(text, sizeof text, "%016llx", (unsigned long long)hash);
    vkft_json_put_string(f, name, text);
}

/* Of the tokens and of what is trained of them, in their order. Runs at the speed of memory: tokens of a gigabyte take
 * a tenth of a second. */
static uint64_t hash_samples(const vkft_sample_packs *split)
{
    uint64_t hash = split->packs;
    for (uint32_t i = 0; i < split->count; i++) {
        const vkft_sample *s = split->samples[i];
        const uint32_t lengths[] = {s->length, s->source_length};
        hash = XXH3_64bits_withSeed(lengths, sizeof lengths, hash);
        const uint32_t choice[] = {s->prompt_length, s->answer};
        if (s->answer != VKFT_ANSWER_PLAIN)
            hash = XXH3_64bits_withSeed(choice, sizeof choice, hash);
        hash = XXH3_64bits_withSeed(s->ids, s->length * sizeof *s->ids, hash);
        hash = XXH3_64bits_withSeed(s->labels, s->length * sizeof *s->labels, hash);
    }
    return hash;
}

/* The adapter as it is, which need not be what the flags say: it may be one that is trained on. */
static void add_adapter(vkft_json_node f, const vkft_adapter_set *set)
{
    char text[128];
    uint64_t hash = set->count;
    for (uint32_t i = 0; i < set->count; i++) {
        const vkft_adapted_module *m = &set->modules[i];
        hash = XXH3_64bits_withSeed(m->name, strlen(m->name), hash);
        if (m->r != set->config.r || m->lora_alpha != set->config.lora_alpha) {
            char own[64];
            snprintf(own, sizeof own, "r %u, alpha %.9g", m->r, (double)m->lora_alpha);
            hash = XXH3_64bits_withSeed(own, strlen(own), hash);
        }
    }
    for (uint32_t i = 0; i < set->tokens_count; i++)
        hash = XXH3_64bits_withSeed(set->tokens[i].tokens, set->tokens[i].count * sizeof *set->tokens[i].tokens, hash);
    snprintf(text, sizeof text, "r %u, alpha %.9g%s, dropout %.9g on %u modules (%016llx)", set->config.r,
             (double)set->config.lora_alpha, set->config.use_rslora ? " (rslora)" : "",
             (double)set->config.lora_dropout, set->count, (unsigned long long)hash);
    vkft_json_put_string(f, "adapter", text);
}

cJSON *vkft_trainer_fingerprint(const vkft_trainer *t)
{
    const vkft_settings *settings = &t->options->settings;
    bool failed = false;
    vkft_json_node f = vkft_json_make_object(&failed);
    for (uint32_t i = 0; i < settings->count; i++) {
        char name[64];
        snprintf(name, sizeof name, "--%s", settings->list[i].name);
        if (settings->list[i].same_run)
            vkft_json_put_string(f, name, computed(t, name, settings->list[i].value));
    }
    if (t->session.file)
        vkft_json_put_string(f, VKFT_RECORD_WEIGHTS, vkft_model_file_quantization(t->session.file));
    vkft_json_put_number(f, "layers", t->session.config->num_layers);
    vkft_json_put_number(f, "hidden size", t->session.config->hidden_size);
    vkft_json_put_number(f, "frozen weight bytes", (double)t->session.model.device_bytes);
    vkft_json_put_number(f, "training samples", t->train.count);
    vkft_json_put_number(f, "data tokens", (double)t->data.tokens);
    vkft_json_put_number(f, "trained parameters", (double)vkft_trainables_parameters(&t->session.trained));
    if (!vkft_trains_all_weights(&t->session.trained))
        add_adapter(f, &t->session.trained.adapters);
    if (t->session.file)
        add_hash(f, "weights with hash", vkft_model_file_hash(t->session.file));
    add_hash(f, "training data with hash", hash_samples(&t->train));
    if (t->valid.count)
        add_hash(f, "validation data with hash", hash_samples(&t->valid));
    if (t->retain.count)
        add_hash(f, "retained data with hash", hash_samples(&t->retain));
    return vkft_json_made(f);
}
