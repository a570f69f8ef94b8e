/* See choice.h. */
#include "host/hub/choice.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "formats/dataset/files/files.h"
#include "host/hub/gguf_choice.h"
#include "runtime/base/file.h"
#include "runtime/base/json.h"
#include "runtime/base/text.h"

enum { MAX_INDEX_BYTES = 64 << 20 };

/* What a conversion reads beside the weights. */
static const char *const model_files[] = {
    "config.json",         "generation_config.json",
    "tokenizer.json",      "tokenizer_config.json",
    "tokenizer.model",     "spiece.model",
    "vocab.json",          "merges.txt",
    "added_tokens.json",   "special_tokens_map.json",
    "chat_template.jinja", "chat_template.json",
    "README.md",           "additional_chat_templates/tool_use.jinja",
};

/* In the order in which a conversion looks for them. */
static const struct {
    const char *weights, *index;
} kinds[] = {{"model.safetensors", "model.safetensors.index.json"},
             {"pytorch_model.bin", "pytorch_model.bin.index.json"}};

bool vkft_hub_matches(const char *pattern, const char *text)
{
    const char *star = NULL, *rest = NULL; /* after the last star, and what of the text it began with */
    while (*text) {
        if (*pattern == '*') {
            star = ++pattern;
            rest = text;
        } else if (*pattern == '?' || *pattern == *text) {
            pattern++;
            text++;
        } else if (star) {
            pattern = star;
            text = ++rest;
        } else {
            return false;
        }
    }
    while (*pattern == '*')
        pattern++;
    return !*pattern;
}

/* --- by patterns -------------------------------------------------------------------------------------------------- */

static bool has_patterns(const vkft_hub_wish *wish)
{
    return wish->all || (wish->include && wish->include[0]) || (wish->exclude && wish->exclude[0]);
}

static bool matches_one(const char *const *patterns, const char *path)
{
    for (; patterns && *patterns; patterns++) {
        size_t length = strlen(*patterns);
        if (vkft_hub_matches(*patterns, path) ||
            (length && (*patterns)[length - 1] == '/' && strncmp(*patterns, path, length) == 0))
            return true;
    }
    return false;
}

static bool choose_by_patterns(const vkft_hub_wish *wish, vkft_hub_listing *listing, vkft_err *err)
{
    bool every = !wish->include || !wish->include[0], any = false;
    for (uint32_t i = 0; i < listing->count; i++) {
        vkft_hub_file *f = &listing->files[i];
        f->wanted = (every || matches_one(wish->include, f->path)) && !matches_one(wish->exclude, f->path);
        any |= f->wanted;
    }
    return any || vkft_fail(err, VKFT_ERR_INPUT, "%s: none of its %u files is asked for by these patterns", wish->text,
                            listing->count);
}

/* --- models ------------------------------------------------------------------------------------------------------- */

static bool want(const vkft_hub_listing *listing, const char *path)
{
    vkft_hub_file *f = vkft_hub_listing_find(listing, path);
    if (f)
        f->wanted = true;
    return f != NULL;
}

static bool fail_model(const vkft_hub_wish *wish, const vkft_hub_listing *listing, vkft_err *err)
{
    static const struct {
        const char *file, *what;
    } signs[] = {
        {"adapter_config.json", "an adapter, not a model: give the model as --model, and it as --adapter"},
        {"model_index.json", "a pipeline of diffusers, not a language model"},
        {"consolidated.safetensors", "a model in the format of its makers: use its version for transformers"},
        {"tf_model.h5", "a model for TensorFlow: use one that has safetensors"},
        {"flax_model.msgpack", "a model for Flax: use one that has safetensors"},
    };
    for (size_t i = 0; i < sizeof signs / sizeof *signs; i++)
        if (vkft_hub_listing_find(listing, signs[i].file))
            return vkft_fail(err, VKFT_ERR_INPUT, "%s is %s (it has %s)", wish->text, signs[i].what, signs[i].file);
    return vkft_fail(err, VKFT_ERR_INPUT,
                     "%s has no model that can be read: expected config.json with model.safetensors or "
                     "pytorch_model.bin, or a GGUF file",
                     wish->text);
}

static bool choose_model(const vkft_hub_wish *wish, vkft_hub_listing *listing, vkft_err *err)
{
    bool weights = false, config = vkft_hub_listing_find(listing, "config.json") != NULL;
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
        weights |= vkft_hub_listing_find(listing, kinds[i].weights) || vkft_hub_listing_find(listing, kinds[i].index);
    if (wish->name.file[0] || !config || !weights) {
        bool any;
        if (!vkft_hub_choose_gguf(wish->text, wish->name.file, listing, &any, err))
            return false;
        return any || fail_model(wish, listing, err);
    }
    for (size_t i = 0; i < sizeof model_files / sizeof *model_files; i++)
        want(listing, model_files[i]);
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
        if (want(listing, kinds[i].weights) || want(listing, kinds[i].index))
            break;
    return true;
}

static bool choose_adapter(const vkft_hub_wish *wish, vkft_hub_listing *listing, vkft_err *err)
{
    if (want(listing, "adapter_config.json") &&
        (want(listing, "adapter_model.safetensors") || want(listing, "adapter_model.bin")))
        return true;
    return vkft_fail(
        err, VKFT_ERR_INPUT,
        "%s has no adapter: expected adapter_config.json and adapter_model.safetensors, as PEFT writes them",
        wish->text);
}

/* The shards that an index names. */
static bool choose_shards(const vkft_hub_wish *wish, vkft_hub_listing *listing, const char *dir, const char *index,
                          vkft_err *err)
{
    char *path = vkft_path_join(dir, index);
    const cJSON *map = NULL, *entry;
    cJSON *root = path ? vkft_json_read_object(path, MAX_INDEX_BYTES, err) : NULL;
    if (!path)
        vkft_fail_memory(err, "while reading an index");
    bool ok = root && vkft_json_get_object(root, "weight_map", true, &map, path, err);
    if (ok)
        cJSON_ArrayForEach(entry, map)
        {
            const char *shard = cJSON_GetStringValue(entry);
            if (ok && (!shard || !want(listing, shard)))
                ok = vkft_fail(err, VKFT_ERR_INPUT, "%s: %s names the file '%.200s', which is not there", wish->text,
                               index, shard && vkft_hub_is_path(shard) ? shard : "?");
        }
    cJSON_Delete(root);
    free(path);
    return ok;
}

static bool choose_rest_of_model(const vkft_hub_wish *wish, vkft_hub_listing *listing, const char *dir, vkft_err *err)
{
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
        const vkft_hub_file *index = vkft_hub_listing_find(listing, kinds[i].index);
        if (index && index->wanted)
            return choose_shards(wish, listing, dir, kinds[i].index, err);
    }
    return true;
}

/* --- datasets ----------------------------------------------------------------------------------------------------- */

/* Marks the files of one split, as a directory with all of them would have it. */
static bool choose_split(const vkft_hub_wish *wish, vkft_hub_listing *listing, const char *const *paths,
                         const char *dir, const char *split, bool named, vkft_err *err)
{
    vkft_data_files files;
    const vkft_data_request request = {.data = dir,
                                       .config = wish->config,
                                       .split = split,
                                       .named = named,
                                       .listed = paths,
                                       .listed_count = listing->count};
    if (!vkft_data_files_find(&request, &files, err))
        return false;
    for (uint32_t i = 0; i < files.count; i++)
        want(listing, files.paths[i] + strlen(dir) + 1);
    vkft_data_files_free(&files);
    return true;
}

/* One of them is enough; what is missing is said when it is needed. */
static bool choose_usual(const vkft_hub_wish *wish, vkft_hub_listing *listing, const char *const *paths,
                         const char *dir, vkft_err *err)
{
    static const char *const splits[] = {"train", "valid", "test"};
    bool any = false;
    for (int i = 0; i < 3; i++)
        if (!choose_split(wish, listing, paths, dir, splits[i], false, i == 0 ? err : NULL) && i > 0)
            return false;
    for (uint32_t i = 0; i < listing->count; i++)
        any |= listing->files[i].wanted && strcmp(listing->files[i].path, "README.md") != 0;
    return any;
}

/* Where nothing can be read, the hub may have made Parquet files of it. */
static bool advise_parquet(const vkft_hub_wish *wish, vkft_err *err)
{
    if (err && strstr(err->message, "no train.jsonl")) {
        vkft_fail(err, VKFT_ERR_INPUT,
                  "%s has no .jsonl, .json, .csv, .tsv, .txt or .parquet files; the hub's own conversion may be there "
                  "as '%s@refs/convert/parquet'",
                  wish->text, wish->name.repository);
    }
    return false;
}

static bool choose_data(const vkft_hub_wish *wish, vkft_hub_listing *listing, const char *dir, vkft_err *err)
{
    const char **paths = malloc((listing->count + 1ull) * sizeof *paths);
    if (!paths)
        return vkft_fail_memory(err, "while choosing files");
    for (uint32_t i = 0; i < listing->count; i++)
        paths[i] = listing->files[i].path;
    bool ok = true;
    if (wish->split || wish->validation_split)
        ok = choose_split(wish, listing, paths, dir, wish->split ? wish->split : "train", wish->split != NULL, err) &&
             (!wish->validation_split || choose_split(wish, listing, paths, dir, wish->validation_split, true, err));
    else
        ok = choose_usual(wish, listing, paths, dir, err);
    free(paths);
    return ok || advise_parquet(wish, err);
}

/* ------------------------------------------------------------------------------------------------------------------ */

bool vkft_hub_choose_first(const vkft_hub_wish *wish, vkft_hub_listing *listing, vkft_err *err)
{
    if (listing->count == 0)
        return vkft_fail(err, VKFT_ERR_INPUT, "%s has no files", wish->text);
    if (has_patterns(wish))
        return choose_by_patterns(wish, listing, err);
    if (wish->adapter)
        return choose_adapter(wish, listing, err);
    if (wish->name.type == VKFT_HUB_MODEL)
        return choose_model(wish, listing, err);
    want(listing, "README.md");
    return true;
}

bool vkft_hub_choose_rest(const vkft_hub_wish *wish, vkft_hub_listing *listing, const char *dir, vkft_err *err)
{
    if (has_patterns(wish) || wish->adapter)
        return true;
    return wish->name.type == VKFT_HUB_MODEL ? choose_rest_of_model(wish, listing, dir, err)
                                             : choose_data(wish, listing, dir, err);
}

const vkft_hub_file *vkft_hub_chosen_gguf(const vkft_hub_wish *wish, const vkft_hub_listing *listing)
{
    if (has_patterns(wish) || wish->adapter || wish->name.type != VKFT_HUB_MODEL)
        return NULL;
    for (uint32_t i = 0; i < listing->count; i++) /* of a split model the first comes first */
        if (listing->files[i].wanted && vkft_string_ends_with(listing->files[i].path, ".gguf"))
            return &listing->files[i];
    return NULL;
}
