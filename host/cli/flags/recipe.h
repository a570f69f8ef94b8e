/* Recipes: a YAML or JSON file that gives flags by name. */
#ifndef VKFT_RECIPE_H
#define VKFT_RECIPE_H

#include <stdbool.h>
#include <stdint.h>

#include "runtime/base/error.h"

typedef struct vkft_recipe_entry {
    char *name;
    char *value; /* the scalar as text, a list joined by commas; NULL for null, which leaves the default */
    char *list;  /* the items of a list, each with its end; NULL: a scalar */
    uint32_t items;
    uint32_t line; /* from 1 */
} vkft_recipe_entry;

typedef struct vkft_recipe {
    const char *path; /* borrowed; names the file in errors */
    vkft_recipe_entry *entries;
    uint32_t count;
    char **made; /* texts that were made of values and are used as long */
    uint32_t made_count;
} vkft_recipe;

/* Reads a mapping of names to scalars or lists of scalars; lines in a mapping that is called training_arguments,
 * lora_config, quantization_config or the like count as if they stood outside. recipe must be zeroed. A file that ends
 * in .json or starts with '{' is JSON. Error: missing file, syntax error with its line, a nested value, a name that
 * stands twice.
 */
bool recipe_read(const char *path, vkft_recipe *recipe, vkft_err *err);
void recipe_free(vkft_recipe *recipe);

/* A text of both parts that lives as long as the recipe. NULL: out of memory. */
const char *recipe_join(vkft_recipe *recipe, const char *first, const char *second);

#endif
