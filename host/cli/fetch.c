/* See fetch.h. */
#include "host/cli/fetch.h"

#include <stdlib.h>
#include <string.h>

#include "host/cli/progress.h"
#include "host/hub/hub.h"
#include "runtime/base/file.h"

static const char *text_of(const flag_table *table, const char *name, const void *options)
{
    const flag *f = flags_find(table, name);
    return f && f->kind == FLAG_TEXT ? *(const char *const *)((const char *)options + f->offset) : NULL;
}

/* Whether the text is to be looked for on the hub: what is here always comes first. */
static bool is_hub_name(const char *text, flag_hub hub, vkft_hub_name *name)
{
    return !vkft_directory_exists(text) && !vkft_file_exists(text) &&
           vkft_hub_name_parse(text, hub == FLAG_HUB_DATASET ? VKFT_HUB_DATASET : VKFT_HUB_MODEL, name);
}

static char *fetch(const flag_table *table, const vkft_hub_wish *wish, vkft_err *err)
{
    progress display = progress_new(table);
    const vkft_observer observer = progress_observer(&display);
    char *path = NULL;
    bool ok = vkft_hub_fetch(wish, NULL, &observer, &path, err);
    progress_close(&display);
    if (!ok && err->kind != VKFT_ERR_INTERRUPTED)
        vkft_fail_context(err, "'%s' does not exist here; on the hub", wish->text);
    return path;
}

static bool fetch_flag(const flag_table *table, const flag *f, void *options, bool only_config, vkft_recipe *recipe,
                       vkft_err *err)
{
    static const char *const config[] = {"config.json", NULL};
    const char **value = (const char **)((char *)options + f->offset);
    vkft_hub_wish wish = {.text = *value, .adapter = f->hub == FLAG_HUB_ADAPTER};
    if (!*value || !is_hub_name(*value, f->hub, &wish.name))
        return true;
    if (f->hub == FLAG_HUB_MODEL && only_config && !wish.name.file[0])
        wish.include = config;
    if (f->hub == FLAG_HUB_DATASET && strcmp(f->name, "retain-data") != 0) {
        wish.config = text_of(table, "dataset-config", options);
        wish.split = text_of(table, "dataset-split", options);
        wish.validation_split = text_of(table, "dataset-validation-split", options);
    }
    char *path = fetch(table, &wish, err);
    const char *kept = path ? recipe_join(recipe, path, "") : NULL;
    if (path && !kept)
        vkft_fail_memory(err, "for the path of '%s'", wish.text);
    if (kept)
        *value = kept;
    free(path);
    return kept != NULL;
}

bool cli_fetch(const flag_table *table, void *options, bool only_config, vkft_recipe *recipe, vkft_err *err)
{
    for (uint32_t i = 0; i < table->count; i++)
        if (table->flags[i].hub != FLAG_HUB_NONE &&
            !fetch_flag(table, &table->flags[i], options, only_config, recipe, err))
            return false;
    return true;
}

bool cli_fetch_model(const flag_table *table, char **path, vkft_err *err)
{
    vkft_hub_wish wish = {.text = *path};
    if (!is_hub_name(*path, FLAG_HUB_MODEL, &wish.name))
        return true;
    char *fetched = fetch(table, &wish, err);
    if (!fetched)
        return false;
    free(*path);
    *path = fetched;
    return true;
}
