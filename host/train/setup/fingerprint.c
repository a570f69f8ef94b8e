/* What makes two runs the same: what was measured, and the flags whose rows say so. */
#include "host/train/setup/setup_private.h"
#include "runtime/base/json/builder.h"

#include <stdio.h>
#include <string.h>

/* Values that compute the same are one here. */
static const char *computed(const vkft_train_options *o, const char *name, const char *value)
{
    if (strcmp(name, "--compute-dtype") == 0) /* one of them is "auto" */
        return o->model.compute_dtype == VKFT_BF16 ? "bf16" : "fp32";
    if (strcmp(name, "--optim") == 0) /* wherever its state lies */
        return vkft_optimizer_kind_of(o->optim)->name;
    return value;
}

cJSON *vkft_setup_fingerprint(const vkft_trainer *t)
{
    const vkft_settings *settings = &t->options->settings;
    bool failed = false;
    vkft_json_node f = vkft_json_make_object(&failed);
    for (uint32_t i = 0; i < settings->count; i++) {
        char name[64];
        snprintf(name, sizeof name, "--%s", settings->list[i].name);
        if (settings->list[i].same_run)
            vkft_json_put_string(f, name, computed(t->options, name, settings->list[i].value));
    }
    vkft_json_put_number(f, "layers", t->session.config->num_layers);
    vkft_json_put_number(f, "hidden size", t->session.config->hidden_size);
    vkft_json_put_number(f, "frozen weight bytes", (double)t->session.model.device_bytes);
    vkft_json_put_number(f, "training samples", t->train.count);
    vkft_json_put_number(f, "data tokens", (double)t->data.tokens);
    vkft_json_put_number(f, "trained parameters", (double)vkft_trainables_parameters(&t->session.trained));
    return vkft_json_made(f);
}
