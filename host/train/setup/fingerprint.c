/* What makes two runs the same: what was measured, and the flags whose rows say so. */
#include "host/train/setup/setup_private.h"

#include <stdio.h>
#include <string.h>

cJSON *vkft_setup_fingerprint(const vkft_trainer *t)
{
    const vkft_settings *settings = &t->options->settings;
    const char *compute = t->options->model.compute_dtype == VKFT_BF16 ? "bf16" : "fp32"; /* what "auto" stands for */
    cJSON *f = cJSON_CreateObject();
    for (uint32_t i = 0; i < settings->count; i++) {
        char name[64];
        snprintf(name, sizeof name, "--%s", settings->list[i].name);
        if (settings->list[i].same_run)
            cJSON_AddStringToObject(f, name, strcmp(name, "--compute-dtype") == 0 ? compute : settings->list[i].value);
    }
    cJSON_AddNumberToObject(f, "layers", t->session.config->num_layers);
    cJSON_AddNumberToObject(f, "hidden size", t->session.config->hidden_size);
    cJSON_AddNumberToObject(f, "frozen weight bytes", (double)t->session.model.device_bytes);
    cJSON_AddNumberToObject(f, "training samples", t->train.count);
    cJSON_AddNumberToObject(f, "data tokens", (double)t->data.tokens);
    cJSON_AddNumberToObject(f, "trained parameters", (double)vkft_trainables_parameters(&t->session.trained));
    return f;
}
