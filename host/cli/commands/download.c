/* vkft download: a model or a dataset from the hub, into the cache that all commands look into, or also a directory. */
#include <stdlib.h>
#include <string.h>

#include "host/cli/cli.h"
#include "host/cli/interrupt.h"
#include "host/cli/progress.h"
#include "host/hub/hub.h"
#include "runtime/base/json/builder.h"

typedef struct download_options {
    const char *name, *type, *revision, *local_dir;
    const char *include[FLAG_TEXTS_MAX + 1], *exclude[FLAG_TEXTS_MAX + 1];
    bool all, json;
} download_options;

#define AT(member) .offset = offsetof(download_options, member)

static const flag_choice types[] = {{.name = "model"}, {.name = "dataset"}, {0}};

static const flag download_flags[] = {
    {.kind = FLAG_TEXT,
     .name = "NAME",
     .help = "OWNER/NAME[@REVISION]; of a repository with GGUF files also OWNER/NAME:Q4_K_M, or with a file's name",
     .positional = true,
     .required = true,
     AT(name)},
    {.kind = FLAG_TEXT, .name = "repo-type", .value = "TYPE", .help = "what it is", .choices = types, AT(type)},
    {.kind = FLAG_TEXT,
     .name = "revision",
     .value = "REVISION",
     .help = "branch, tag or commit, as after '@'",
     .default_text = "main",
     AT(revision)},
    {.kind = FLAG_TEXTS,
     .name = "include",
     .value = "PATTERN",
     .help = "fetch the files that match, and no others; '*' stands for any characters",
     .default_text = "what --model or --data needs",
     AT(include)},
    {.kind = FLAG_TEXTS,
     .name = "exclude",
     .value = "PATTERN",
     .help = "do not fetch the files that match",
     .default_text = "none",
     AT(exclude)},
    {.kind = FLAG_TEXT,
     .name = "local-dir",
     .value = "DIR",
     .help = "also copy the files to this directory, and print it; a file there with another content is an error",
     AT(local_dir)},
    {.kind = FLAG_SWITCH, .name = "all", .help = "fetch all files", AT(all)},
    {.kind = FLAG_SWITCH, .name = "json", .help = "print the result as a JSON object on standard output", AT(json)},
};

static const flag_table download_table = {
    .command = "download",
    .usage = "OWNER/NAME[@REVISION] [flags]",
    .about = "Brings what --model or --data needs of a model or dataset from the Hugging Face hub into its cache, and\n"
             "prints where it lies. The commands do the same when they are given such a name.",
    .flags = download_flags,
    .count = FLAG_COUNT(download_flags),
};

static bool make_wish(const download_options *o, vkft_hub_wish *wish, vkft_err *err)
{
    vkft_hub_type type = strcmp(o->type, "dataset") == 0 ? VKFT_HUB_DATASET : VKFT_HUB_MODEL;
    *wish = (vkft_hub_wish){
        .text = o->name, .include = o->include, .exclude = o->exclude, .all = o->all, .local_dir = o->local_dir};
    if (!vkft_hub_name_parse(o->name, type, &wish->name))
        return vkft_fail(err, VKFT_ERR_USAGE, "NAME: found '%.200s', expected OWNER/NAME or OWNER/NAME@REVISION",
                         o->name);
    if (!o->revision)
        return true;
    if (strchr(o->name, '@'))
        return vkft_fail(err, VKFT_ERR_USAGE, "give the revision once: with --revision, or after '@'");
    if (strlen(o->revision) >= sizeof wish->name.revision || !vkft_hub_is_path(o->revision))
        return vkft_fail(err, VKFT_ERR_USAGE, "--revision: '%.200s' is no branch, tag or commit", o->revision);
    snprintf(wish->name.revision, sizeof wish->name.revision, "%s", o->revision);
    return true;
}

static int report(const char *path, bool json)
{
    if (!json) {
        printf("%s\n", path);
        return EXIT_SUCCESS;
    }
    bool failed = false;
    vkft_json_node o = vkft_json_make_object(&failed);
    vkft_json_put_string(o, "path", path);
    return cli_print_json(vkft_json_made(o));
}

int cmd_download(int argc, char **argv)
{
    download_options options = {.type = "model"};
    vkft_recipe recipe = {0};
    int code;
    if (!cli_flags(&download_table, &options, argc, argv, &recipe, &code))
        return code;
    interrupt_install();
    vkft_err err = {0};
    vkft_hub_wish wish;
    char *path = NULL;
    progress display = progress_new(&download_table);
    const vkft_observer observer = progress_observer(&display);
    bool ok = make_wish(&options, &wish, &err) && vkft_hub_fetch(&wish, NULL, &observer, &path, &err);
    progress_close(&display);
    code = ok ? report(path, options.json) : cli_fail(&download_table, &err);
    free(path);
    recipe_free(&recipe);
    return code;
}
