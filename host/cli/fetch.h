/* Models and data that a command line names as they are called on the hub. */
#ifndef VKFT_CLI_FETCH_H
#define VKFT_CLI_FETCH_H

#include "host/cli/flags/flags.h"

/* Replaces each value of a flag for a model, an adapter or data (flag.hub) that is no path here, but has the form of a
 * name on the hub, by the path of what was downloaded, which lives as long as the recipe. only_config: of models the
 * configuration alone, for plans. Shows progress. Error: as vkft_hub_fetch. */
bool cli_fetch(const flag_table *table, void *options, bool only_config, vkft_recipe *recipe, vkft_err *err);

/* The same for a model's name that comes from elsewhere; *path, malloc'ed, is replaced. */
bool cli_fetch_model(const flag_table *table, char **path, vkft_err *err);

#endif
