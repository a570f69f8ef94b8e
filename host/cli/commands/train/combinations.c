/* See combinations.h. */
#include "host/cli/commands/train/combinations.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/base/file.h"

#define MAX_VALUES 64u
#define MAX_COMBINATIONS 256u
#define MAX_NAME 120u /* characters of a directory */

/* A flag and its values. */
typedef struct axis {
    const flag *flag;
    const char *given; /* as the flag is called on the command line */
    const char *values[MAX_VALUES];
    uint32_t count;
} axis;

typedef struct axes {
    axis list[FLAG_TEXTS_MAX];
    uint32_t count;
} axes;

/* Flags of the base, which the runs share. */
static bool is_of_the_base(const char *name)
{
    static const char *const flags[] = {"model",   "quant",  "double-quant",   "compute-dtype",
                                        "offload", "device", "fine-tune-type", "modules-to-save"};
    for (size_t i = 0; i < FLAG_COUNT(flags); i++)
        if (strcmp(name, flags[i]) == 0)
            return true;
    return false;
}

/* Of the flags that a resumed run may change, those that change what is trained. */
static bool is_length_or_data(const char *name)
{
    return strcmp(name, "num-train-epochs") == 0 || strcmp(name, "max-steps") == 0 || strcmp(name, "data") == 0;
}

static bool check_flag(const axes *all, const flag *f, vkft_err *err)
{
    for (uint32_t i = 0; i < all->count; i++)
        if (all->list[i].flag == f)
            return vkft_fail(err, VKFT_ERR_USAGE, "--sweep names --%s twice; list all of its values in one", f->name);
    if (is_of_the_base(f->name))
        return vkft_fail(
            err, VKFT_ERR_USAGE,
            "--sweep %s: it changes the loaded model, which all runs of a sweep share; run vkft train once "
            "for each value",
            f->name);
    return f->same_run || is_length_or_data(f->name) ||
           vkft_fail(err, VKFT_ERR_USAGE,
                     "--sweep %s: --%s does not change what a run learns; give it once, for all runs", f->name,
                     f->name);
}

/* Adds a value, which no other may mean. */
static bool add_value(axis *a, const char *value, const char *origin, const train_options *options, vkft_recipe *recipe,
                      vkft_err *err)
{
    train_options scratch = *options;
    char text[256], other[256];
    if (a->count == MAX_VALUES)
        return vkft_fail(err, VKFT_ERR_USAGE, "%s has more than %u values", origin, MAX_VALUES);
    if (!flags_set(&train_table, &scratch, a->given, value, origin, recipe, &a->flag, err))
        return false;
    flag_value_text(a->flag, &scratch, text, sizeof text);
    for (uint32_t i = 0; i < a->count; i++) {
        if (!flags_set(&train_table, &scratch, a->given, a->values[i], origin, recipe, &a->flag, err))
            return false;
        flag_value_text(a->flag, &scratch, other, sizeof other);
        if (strcmp(text, other) == 0)
            return vkft_fail(err, VKFT_ERR_USAGE, "%s: %s and %s are the same value", origin, a->values[i], value);
    }
    a->values[a->count++] = value;
    return true;
}

/* "lora_r=8,16". Name and values are parts of a copy that the recipe keeps. */
static bool read_axis(const char *text, const train_options *options, axes *all, vkft_recipe *recipe, vkft_err *err)
{
    axis *a = &all->list[all->count];
    const size_t dashes = strspn(text, "-"), length = strcspn(text + dashes, "=");
    char origin[160];
    if (!text[dashes + length] || !length)
        return vkft_fail(err, VKFT_ERR_USAGE, "--sweep: expected NAME=X,Y,..., found '%s'", text);
    char *name = (char *)(uintptr_t)recipe_join(recipe, text + dashes, "");
    if (!name)
        return vkft_fail_memory(err, "while reading --sweep");
    name[length] = 0;
    *a = (axis){.given = name};
    snprintf(origin, sizeof origin, "--sweep %.100s", name);
    char *value = name + length + 1;
    const char *between = strchr(value, ';') ? ";" : ",";
    for (bool more = true; more;) {
        size_t end = strcspn(value, between);
        more = value[end] != 0;
        value[end] = 0;
        if (!end)
            return vkft_fail(err, VKFT_ERR_USAGE, "%s: a value is empty in '%s'", origin, text);
        if (!add_value(a, value, origin, options, recipe, err))
            return false;
        value += end + 1;
    }
    if (!check_flag(all, a->flag, err))
        return false;
    all->count++;
    return true;
}

/* What no run of a sweep can do. */
static bool check_rest(const train_options *options, vkft_err *err)
{
    const vkft_train_options *o = &options->run;
    if (o->fine_tune_type == VKFT_TRAINABLE_ALL_WEIGHTS)
        return vkft_fail(err, VKFT_ERR_USAGE,
                         "--sweep with --fine-tune-type full: all weights are trained, so no model stays as it was for "
                         "the next run; run vkft train once for each value");
    if (o->resume_from_checkpoint && strcmp(o->resume_from_checkpoint, "auto") != 0)
        return vkft_fail(err, VKFT_ERR_USAGE,
                         "--sweep with --resume-from-checkpoint %s: each run has checkpoints of its own; auto resumes "
                         "each from its newest",
                         o->resume_from_checkpoint);
    if (o->watch)
        return vkft_fail(
            err, VKFT_ERR_USAGE,
            "--sweep with --watch, which serves the page of one run; 'vkft watch DIR' serves that of each");
    return !o->logging_dir ||
           vkft_fail(
               err, VKFT_ERR_USAGE,
               "--sweep with --logging-dir, where the runs' events would mix; --report-to tensorboard writes them "
               "beside each run, and tensorboard --logdir %s finds all",
               o->output_dir);
}

static char name_character(char c)
{
    return isalnum((unsigned char)c) || strchr("._+-", c) ? c : '-';
}

/* The value of a flag, by its place in the list, in a combination by its number: the last flag's change first. */
static const char *value_of(const axes *all, uint32_t number, uint32_t at)
{
    for (uint32_t i = all->count - 1; i > at; i--)
        number /= all->list[i].count;
    return all->list[at].values[number % all->list[at].count];
}

static bool apply(const axes *all, uint32_t number, train_combination *c, vkft_recipe *recipe, vkft_err *err)
{
    size_t length = 0;
    for (uint32_t i = 0; i < all->count; i++) {
        const axis *a = &all->list[i];
        const char *value = value_of(all, number, i);
        const flag *set;
        if (!flags_set(&train_table, &c->options, a->given, value, a->given, recipe, &set, err))
            return false;
        if (length < sizeof c->name)
            length += (size_t)snprintf(c->name + length, sizeof c->name - length, "%s%s %s", i ? ", " : "",
                                       a->flag->name, value);
    }
    return true;
}

/* "lora_r-8_learning_rate-1e-4"; false: too long. */
static bool directory_name(const axes *all, uint32_t number, char name[MAX_NAME + 1])
{
    size_t length = 0;
    for (uint32_t i = 0; i < all->count; i++) {
        const char *key = all->list[i].flag->name, *value = value_of(all, number, i);
        if (length + strlen(key) + strlen(value) + 2 > MAX_NAME)
            return false;
        if (i)
            name[length++] = '_';
        for (; *key; key++)
            name[length++] = *key == '-' ? '_' : *key;
        name[length++] = '-';
        for (; *value; value++)
            name[length++] = name_character(*value);
    }
    name[length] = 0;
    return true;
}

/* By their values, or by their numbers where such names are too long or the same. */
static bool name_directories(const axes *all, train_combinations *made, vkft_recipe *recipe, vkft_err *err)
{
    char(*names)[MAX_NAME + 1] = calloc(made->count, sizeof *names);
    bool numbers = false, ok = names != NULL;
    for (uint32_t i = 0; ok && i < made->count; i++) {
        numbers |= !directory_name(all, i, names[i]);
        for (uint32_t j = 0; j < i; j++)
            numbers |= strcmp(names[i], names[j]) == 0;
    }
    for (uint32_t i = 0; ok && i < made->count; i++) {
        vkft_train_options *o = &made->list[i].options.run;
        if (numbers)
            snprintf(names[i], sizeof names[i], "run-%u", i + 1);
        char *path = vkft_path_join(o->output_dir, names[i]);
        o->output_dir = path ? recipe_join(recipe, path, "") : NULL;
        ok = o->output_dir != NULL;
        free(path);
    }
    free(names);
    return ok || vkft_fail_memory(err, "for the runs of a sweep");
}

bool train_combinations_make(const train_options *options, vkft_recipe *recipe, train_combinations *made, vkft_err *err)
{
    axes all = {0};
    *made = (train_combinations){0};
    if (!check_rest(options, err))
        return false;
    uint64_t count = 1;
    for (uint32_t i = 0; options->sweep[i]; i++) {
        if (!read_axis(options->sweep[i], options, &all, recipe, err))
            return false;
        count *= all.list[i].count;
        if (count > MAX_COMBINATIONS)
            return vkft_fail(err, VKFT_ERR_USAGE, "--sweep asks for more than %u runs; sweep fewer values",
                             MAX_COMBINATIONS);
    }
    made->list = calloc(count, sizeof *made->list);
    if (!made->list)
        return vkft_fail_memory(err, "for the runs of a sweep");
    made->count = (uint32_t)count;
    bool ok = true;
    for (uint32_t i = 0; ok && i < made->count; i++) {
        made->list[i].options = *options;
        made->list[i].options.sweep[0] = NULL;
        ok = apply(&all, i, &made->list[i], recipe, err);
    }
    ok = ok && name_directories(&all, made, recipe, err);
    for (uint32_t i = 0; ok && i < made->count; i++)
        ok = flags_settings(&train_table, &made->list[i].options, &made->list[i].options.run.settings, err);
    if (!ok)
        train_combinations_free(made);
    return ok;
}

void train_combinations_free(train_combinations *combinations)
{
    for (uint32_t i = 0; i < combinations->count; i++)
        flags_settings_free(&combinations->list[i].options.run.settings);
    free(combinations->list);
    *combinations = (train_combinations){0};
}
