/* What adapter_config.json says of modules by their names: which ones have an adapter, and where rank and alpha differ
 * from r and lora_alpha. Names are matched as PEFT matches them. */
#ifndef VKFT_PEFT_MODULES_H
#define VKFT_PEFT_MODULES_H

#include <stdbool.h>
#include <stdint.h>

#include <cjson/cJSON.h>

#include "runtime/base/error.h"

typedef struct vkft_module_pattern {
    char *key;   /* a name, its end after a dot, or a regular expression for one of these */
    void *regex; /* compiled; NULL: the key is a name, in which a dot stands for any character */
    double value;
} vkft_module_pattern;

/* rank_pattern or alpha_pattern; starts as all zeros. */
typedef struct vkft_module_patterns {
    vkft_module_pattern *items;
    uint32_t count, capacity;
} vkft_module_patterns;

/* The member `key` of root; absent and null: none. Error: no object of numbers, a bad expression, too many of them. */
bool vkft_module_patterns_read(vkft_module_patterns *patterns, const cJSON *root, const char *key, const char *path,
                               vkft_err *err);
bool vkft_module_patterns_add(vkft_module_patterns *patterns, const char *name, double value, vkft_err *err);
/* The value of the first key that matches; *value stays as it is when none does. */
bool vkft_module_patterns_find(const vkft_module_patterns *patterns, const char *module, double *value, vkft_err *err);
void vkft_module_patterns_free(vkft_module_patterns *patterns);

/* target_modules, exclude_modules and layers_to_transform; starts as all zeros. */
typedef struct vkft_module_targets {
    cJSON *config;                  /* a copy of these keys */
    void *target, *exclude, *layer; /* compiled expressions, or NULL */
} vkft_module_targets;

bool vkft_module_targets_read(vkft_module_targets *targets, const cJSON *root, const char *path, vkft_err *err);
bool vkft_module_targets_copy(vkft_module_targets *copy, const vkft_module_targets *targets, vkft_err *err);
/* Puts a NULL-terminated list of names in the place of target_modules. */
bool vkft_module_targets_list(vkft_module_targets *targets, char *const *names, vkft_err *err);
/* Whether PEFT gives this linear layer an adapter. */
bool vkft_module_targets_find(const vkft_module_targets *targets, const char *module, bool *named, vkft_err *err);
void vkft_module_targets_free(vkft_module_targets *targets);

#endif
