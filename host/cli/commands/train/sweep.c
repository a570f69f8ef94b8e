/* See sweep.h. All runs are planned first, so that what cannot run is said before the first one begins; then each
 * trains as vkft train alone would: the same numbers and files. They do not run side by side: memory for one is enough
 * then. */
#include "host/cli/commands/train/sweep.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "host/cli/commands/train/combinations.h"
#include "host/cli/commands/train/says.h"
#include "host/cli/interrupt.h"
#include "host/cli/progress.h"
#include "host/session/base.h"
#include "host/train/setup/shared_data.h"
#include "runtime/base/file.h"
#include "runtime/base/json/builder.h"
#include "runtime/base/os/machine.h"
#include "runtime/base/text.h"

/* A directory with a run is for one that goes on, or takes its place. */
static bool check_directory(const train_combination *c, vkft_err *err)
{
    const vkft_train_options *o = &c->options.run;
    vkft_run_outcome outcome;
    cJSON *ended = NULL;
    char *checkpoint = NULL;
    if (o->dry_run || o->resume_from_checkpoint || o->overwrite || !vkft_directory_exists(o->output_dir))
        return true;
    bool ok = vkft_run_outcome_read(o->output_dir, c->plan.best.key, &outcome, &ended, err) &&
              vkft_run_directory_newest(o->output_dir, &checkpoint, err);
    if (ended || checkpoint)
        ok = vkft_fail(
            err, VKFT_ERR_INPUT,
            "%s holds a run; use --resume-from-checkpoint auto to go on with a sweep, --overwrite, or another "
            "--output-dir",
            o->output_dir);
    cJSON_Delete(ended);
    free(checkpoint);
    return ok;
}

static bool plan_one(train_combination *c, const vkft_train_observer *observer, vkft_err *err)
{
    vkft_train_options o = c->options.run;
    o.dry_run = true;
    return (vkft_train_plan_make(&o, observer, &c->plan, err) || vkft_fail_context(err, "--sweep, %s", c->name)) &&
           check_directory(c, err);
}

/* *unfit: how many do not fit the device's memory, which is said. */
static bool plan_all(train_combinations *all, uint32_t *unfit, vkft_err *err)
{
    progress display = progress_new(&train_table);
    vkft_observer general = progress_observer(&display);
    general.message = NULL; /* each run says it when it begins */
    const vkft_train_observer observer = {.general = general};
    bool ok = true;
    *unfit = 0;
    for (uint32_t i = 0; ok && i < all->count; i++) {
        train_combination *c = &all->list[i];
        ok = vkft_observer_interrupted(&general) ? vkft_fail(err, VKFT_ERR_INTERRUPTED, "interrupted while planning")
                                                 : plan_one(c, &observer, err);
        progress_close(&display);
        if (!ok || c->plan.fits || c->plan.no_device.kind)
            continue;
        fprintf(stderr, "%s: %s\n", c->name, c->plan.why_not.message);
        (*unfit)++;
    }
    return ok;
}

/* *err: why the sweep cannot go on; where it can, the run has failed, which was said. */
static bool train_one(train_combination *c, bool *failed, vkft_err *err)
{
    vkft_train_result result;
    progress display = progress_new(&train_table);
    const vkft_train_observer observer = {.general = progress_observer(&display), .step = progress_step};
    *err = (vkft_err){0};
    bool ok = vkft_train(&c->options.run, &observer, &result, err);
    progress_close(&display);
    if (ok)
        return true;
    *failed = err->kind == VKFT_ERR_INPUT || err->kind == VKFT_ERR_MEMORY; /* which need not hold for the others */
    if (*failed)
        cli_fail(&train_table, err);
    return *failed;
}

static bool train_all(train_combinations *all, uint32_t *failures, vkft_err *err)
{
    for (uint32_t i = 0; i < all->count; i++) {
        train_combination *c = &all->list[i];
        const vkft_train_options *o = &c->options.run;
        bool failed = false;
        cJSON *ended;
        fprintf(stderr, "\nrun %u of %u: %s, in %s%s\n", i + 1, all->count, c->name, o->output_dir,
                c->plan.finished ? ": finished before" : "");
        if (!c->plan.finished && !train_one(c, &failed, err))
            return false;
        *failures += failed;
        if (failed)
            continue;
        if (!vkft_run_outcome_read(o->output_dir, c->plan.best.key, &c->outcome, &ended, err))
            return false;
        c->ended = ended != NULL;
        cJSON_Delete(ended);
    }
    return true;
}

/* The best evaluation first, then those that have none by their training loss, then those that did not end. */
static int better_first(const void *pa, const void *pb)
{
    const train_combination *a = pa, *b = pb;
    bool judged = isfinite(a->outcome.best);
    if (a->ended != b->ended)
        return a->ended ? -1 : 1;
    if (judged != isfinite(b->outcome.best))
        return judged ? -1 : 1;
    double x = judged ? a->outcome.best : a->outcome.loss, y = judged ? b->outcome.best : b->outcome.loss;
    if (isnan(x) || isnan(y))
        return isnan(x) - isnan(y);
    bool first = judged && a->plan.best.greater ? x > y : x < y;
    return x == y ? 0 : first ? -1 : 1;
}

/* "-" for a number that is not there. */
static void print_number(double number, int width)
{
    if (isnan(number))
        printf("%*s", width, "-");
    else
        printf("%*.4f", width, number);
}

static void print_table(const train_combinations *all)
{
    const vkft_best *best = &all->list[0].plan.best;
    printf("%4s  %*s  %6s  %13s  %6s  %s\n", "rank", 16, vkft_best_name(best), "step", "training loss", "steps",
           "directory");
    for (uint32_t i = 0; i < all->count; i++) {
        const train_combination *c = &all->list[i];
        const vkft_run_outcome *o = &c->outcome;
        if (!c->ended) {
            printf("%4s  %16s  %6s  %13s  %6s  %s\n", "-", "failed", "-", "-", "-", c->options.run.output_dir);
            continue;
        }
        printf("%4u  ", i + 1);
        print_number(o->best, 16);
        if (isfinite(o->best))
            printf("  %6llu  ", (unsigned long long)o->best_step);
        else
            printf("  %6s  ", "-");
        print_number(o->loss, 13);
        printf("  %6llu  %s\n", (unsigned long long)o->steps, c->options.run.output_dir);
    }
}

static int print_json(const train_combinations *all)
{
    cJSON *rows = cJSON_CreateArray();
    bool failed = !rows;
    for (uint32_t i = 0; !failed && i < all->count; i++) {
        const train_combination *c = &all->list[i];
        char best[VKFT_BEST_KEY + 8];
        vkft_json_node row = vkft_json_make_object(&failed);
        snprintf(best, sizeof best, "best_%s", c->plan.best.key);
        vkft_json_put_string(row, "output_dir", c->options.run.output_dir);
        vkft_json_put_string(row, "sweep", c->name);
        vkft_json_put_bool(row, "finished", c->ended);
        if (c->ended) {
            vkft_json_put_number(row, "steps", (double)c->outcome.steps);
            vkft_json_put_number(row, best, c->outcome.best);
            vkft_json_put_number(row, "last_loss", c->outcome.loss);
            if (isfinite(c->outcome.best))
                vkft_json_put_number(row, "best_step", (double)c->outcome.best_step);
        }
        cJSON *made = vkft_json_made(row);
        failed = !made || !cJSON_AddItemToArray(rows, made);
    }
    if (failed)
        cJSON_Delete(rows);
    return cli_print_json(failed ? NULL : rows);
}

/* A command to be pasted into a shell that draws the best runs over each other. */
static void print_command(const train_combinations *all)
{
    vkft_text text = {0};
    bool ok = true;
    for (uint32_t i = 0; ok && i < all->count && i < FLAG_TEXTS_MAX && all->list[i].ended; i++)
        ok = vkft_text_append(&text, " ", 1, NULL) &&
             vkft_text_append_argument(&text, vkft_os_is_windows(), all->list[i].options.run.output_dir, NULL);
    if (ok && text.length)
        fprintf(stderr, "see them side by side:\n  vkft plot%s\n", text.data);
    vkft_text_free(&text);
}

static int print_plans(const train_combinations *all)
{
    int code = EXIT_SUCCESS;
    for (uint32_t i = 0; i < all->count && code == EXIT_SUCCESS; i++)
        code = train_print_plan(&all->list[i].plan, all->list[i].options.run.output_dir, all->list[i].options.run.json);
    return code;
}

static int run(train_combinations *all, vkft_err *err)
{
    uint32_t unfit, failures = 0;
    bool json = all->list[0].options.run.json;
    if (!plan_all(all, &unfit, err))
        return cli_fail(&train_table, err);
    if (all->list[0].options.run.dry_run)
        return print_plans(all);
    if (unfit) {
        vkft_fail(
            err, VKFT_ERR_MEMORY,
            "%u of %u runs of the sweep do not fit the device's memory, and none was begun; leave their values out",
            unfit, all->count);
        vkft_advise(err, VKFT_ADVICE_LESS_MEMORY);
        return cli_fail(&train_table, err);
    }
    if (!train_all(all, &failures, err))
        return cli_fail(&train_table, err);
    qsort(all->list, all->count, sizeof *all->list, better_first);
    fprintf(stderr, "\n");
    int code = EXIT_SUCCESS;
    if (json)
        code = print_json(all);
    else
        print_table(all);
    print_command(all);
    return failures ? EXIT_WORK_FAILED : code;
}

int train_sweep(const train_options *options, vkft_recipe *recipe)
{
    train_combinations all;
    vkft_base base = {0};
    vkft_shared_data data = {0};
    vkft_err err = {0};
    if (!train_combinations_make(options, recipe, &all, &err))
        return cli_fail(&train_table, &err);
    for (uint32_t i = 0; i < all.count; i++) {
        all.list[i].options.run.base = &base;
        all.list[i].options.run.shared_data = &data;
    }
    int code = run(&all, &err);
    vkft_shared_data_close(&data);
    vkft_base_close(&base);
    train_combinations_free(&all);
    return code;
}
