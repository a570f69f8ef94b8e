/* The list of architectures. */
#include "arch.h"

#include <string.h>

static const vkft_arch *const architectures[] = {&vkft_arch_llama, &vkft_arch_mistral};

const vkft_arch *vkft_arch_find(const vkft_config *config, vkft_err *err)
{
    char known[256] = "";
    for (size_t i = 0; i < sizeof architectures / sizeof *architectures; i++) {
        if (strcmp(architectures[i]->model_type, config->model_type) == 0)
            return architectures[i]->check(config, err) ? architectures[i] : NULL;
        if (i)
            strncat(known, ", ", sizeof known - strlen(known) - 1);
        strncat(known, architectures[i]->model_type, sizeof known - strlen(known) - 1);
    }
    vkft_fail(err, VKFT_ERR_INPUT, "model_type \"%s\" is not supported; this version supports: %s", config->model_type,
              known);
    return NULL;
}
