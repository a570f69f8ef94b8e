/* The modules of new adapters as flags choose them, and the ranks and alphas that some of them have of their own. Texts
 * mean what PEFT's settings of the same names mean, and become the form in which adapter_config.json has them.
 */
#ifndef VKFT_MODULE_CHOICE_H
#define VKFT_MODULE_CHOICE_H

#include "formats/peft/modules.h"
#include "formats/peft/tokens.h"
#include "host/model/model.h"

/* Borrowed texts; NULL: none. A list is "a,b" or JSON's ["a", "b"]. */
typedef struct vkft_module_choice {
    const char *target;  /* "all-linear"; names, each whole or the end of one after a dot; or an expression for all of a
                            name, which is whatever has other characters than names have */
    const char *exclude; /* the same, without all-linear */
    const char *layers, *layers_pattern;      /* numbers; names of what holds the layers, "layers" */
    const char *rank_pattern, *alpha_pattern; /* "q_proj=8,k_proj=4", or a JSON object */
    const char *save;                         /* names of modules that are trained whole */
    const char *tokens; /* whose rows are trained: "1,2,3", or JSON's form of PEFT's trainable_token_indices */
} vkft_module_choice;

typedef struct vkft_chosen_modules {
    vkft_module_targets targets;
    vkft_module_patterns ranks, alphas;
    vkft_token_indices tokens;
    bool all_linear; /* targets then name the kinds of modules that all-linear includes */
} vkft_chosen_modules;

/* Free in any case. Error, with the flag: a name or number that fits nothing of the model, a bad expression or value,
 * flags that exclude each other. */
bool vkft_module_choice_read(const vkft_module_choice *choice, const vkft_model *model, vkft_chosen_modules *chosen,
                             vkft_err *err);
/* Whether the module is one of them. */
bool vkft_chosen_modules_have(const vkft_chosen_modules *chosen, const vkft_module *module, bool *has, vkft_err *err);
void vkft_chosen_modules_free(vkft_chosen_modules *chosen);

/* The last part of a module's name: "q_proj". */
const char *vkft_module_kind(const char *name);

#endif
