/* See hub.h. */
#include "host/hub/hub.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "host/hub/cache/cache.h"
#include "host/hub/cache/local_copy.h"
#include "host/hub/transfer.h"
#include "runtime/base/file.h"
#include "runtime/base/text.h"

typedef struct fetch {
    const vkft_hub_wish *wish;
    vkft_hub_source source;
    vkft_hub_listing listing;
    char *dir; /* the snapshot; local_dir when the files are there */
} fetch;

/* The path of what was chosen. */
static char *chosen_path(const fetch *f, vkft_err *err)
{
    const vkft_hub_file *gguf = vkft_hub_chosen_gguf(f->wish, &f->listing);
    char *path = gguf ? vkft_path_join(f->dir, gguf->path) : vkft_path_join(f->dir, "");
    if (!path)
        vkft_fail_memory(err, "for a path in the cache");
    else if (!gguf)
        path[strlen(path) - 1] = 0;
    return path;
}

/* What the cache has of it. why: the error that kept us from the hub, or NULL with HF_HUB_OFFLINE. */
static bool use_cache(fetch *f, const vkft_err *why, vkft_err *err)
{
    const vkft_hub_name *name = &f->wish->name;
    vkft_err lacks = {0};
    if (!vkft_hub_cache_find(f->source.cache, name->revision, &f->dir, err))
        return false;
    bool ok = f->dir && vkft_hub_listing_of_directory(f->dir, &f->listing, &lacks) &&
              vkft_hub_choose_first(f->wish, &f->listing, &lacks) &&
              vkft_hub_choose_rest(f->wish, &f->listing, f->dir, &lacks);
    if (ok && why)
        vkft_observer_say(f->source.observer, "the hub cannot be reached; using what is in the cache of %s",
                          f->wish->text);
    if (ok)
        return true;
    char cached[700] = "and the cache has nothing of it";
    if (f->dir)
        snprintf(cached, sizeof cached, "and the cache has a part of it: %.600s", lacks.message);
    if (why)
        return vkft_fail(err, why->kind, "%s, %s", why->message, cached);
    return vkft_fail(err, VKFT_ERR_INPUT, "%s: HF_HUB_OFFLINE is set, %s", f->wish->text, cached);
}

static bool fetch_files(fetch *f, vkft_err *err)
{
    const char *commit = f->listing.commit;
    f->dir = vkft_hub_cache_snapshot(f->source.cache, commit, err);
    return f->dir && vkft_hub_choose_first(f->wish, &f->listing, err) &&
           vkft_hub_fetch_wanted(&f->source, &f->listing, err) && vkft_directory_create(f->dir, err) &&
           vkft_hub_choose_rest(f->wish, &f->listing, f->dir, err) &&
           vkft_hub_fetch_wanted(&f->source, &f->listing, err) &&
           vkft_hub_cache_refer(f->source.cache, f->wish->name.revision, commit, err);
}

/* Whether a commit is named, of a model, whose files tell whether they are all there: the hub need not be asked. */
static bool is_pinned(const vkft_hub_wish *wish)
{
    return wish->name.type == VKFT_HUB_MODEL && !wish->all && !wish->include && !wish->exclude &&
           vkft_hub_is_hash(wish->name.revision, VKFT_HUB_SHA1_DIGITS);
}

/* Which tokenizer a model has is not written anywhere: without any, the hub is asked. */
static bool has_tokenizer(const fetch *f)
{
    static const char *const files[] = {"tokenizer.json", "tokenizer.model", "spiece.model", "vocab.json"};
    bool has = vkft_hub_chosen_gguf(f->wish, &f->listing) != NULL;
    for (size_t i = 0; i < sizeof files / sizeof *files; i++)
        has |= vkft_hub_listing_find(&f->listing, files[i]) != NULL;
    return has;
}

static bool run(fetch *f, vkft_err *err)
{
    bool unreachable;
    if (f->source.settings->offline)
        return use_cache(f, NULL, err);
    if (is_pinned(f->wish) && use_cache(f, NULL, NULL) && (f->wish->adapter || has_tokenizer(f)))
        return true;
    vkft_hub_listing_free(&f->listing);
    free(f->dir);
    f->dir = NULL;
    vkft_err why = {0};
    if (vkft_hub_fetch_listing(&f->source, &f->listing, &unreachable, &why))
        return fetch_files(f, err);
    if (unreachable)
        return use_cache(f, &why, err);
    if (err)
        *err = why;
    return false;
}

static bool copy_to_local_dir(fetch *f, vkft_err *err)
{
    const char *to = f->wish->local_dir;
    if (!to)
        return true;
    if (!vkft_hub_copy_wanted(&f->listing, f->dir, to, f->source.observer, err))
        return false;
    free(f->dir);
    f->dir = vkft_string_copy(to);
    return f->dir || vkft_fail_memory(err, "for a path");
}

bool vkft_hub_fetch(const vkft_hub_wish *wish, const vkft_hub_settings *settings, const vkft_observer *observer,
                    char **path, vkft_err *err)
{
    vkft_hub_settings own = {0};
    vkft_hub_cache cache = {0};
    *path = NULL;
    if (!settings && !vkft_hub_settings_read(&own, err))
        return false;
    if (!settings)
        settings = &own;
    fetch f = {.wish = wish,
               .source = {.settings = settings, .name = &wish->name, .cache = &cache, .observer = observer}};
    bool ok = vkft_hub_cache_open(settings->cache, &wish->name, &cache, err) && run(&f, err) &&
              copy_to_local_dir(&f, err) && (*path = chosen_path(&f, err)) != NULL;
    vkft_hub_listing_free(&f.listing);
    free(f.dir);
    vkft_hub_cache_close(&cache);
    vkft_hub_settings_free(&own);
    return ok;
}
