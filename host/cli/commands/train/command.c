/* vkft train: its settings are said, its run is planned, printed as a recipe, or done. */
#include <stdlib.h>
#include <string.h>

#include "host/cli/fetch.h"
#include "host/cli/commands/train/says.h"
#include "host/cli/commands/train/sweep.h"
#include "host/cli/commands/train/table.h"
#include "host/cli/interrupt.h"
#include "host/cli/progress.h"
#include "host/train/train.h"
#include "host/watch/watch.h"

static int plan_run(const vkft_train_options *run, const vkft_train_observer *observer, progress *display,
                    vkft_err *err)
{
    vkft_train_plan plan;
    bool ok = vkft_train_plan_make(run, observer, &plan, err);
    progress_close(display);
    return ok ? train_print_plan(&plan, NULL, run->json) : cli_fail(&train_table, err);
}

/* The numbers of an adapter that is trained on are its own: of the flags for a new one only those are shown that were
 * given. */
static train_options shown_options(const train_options *options)
{
    train_options shown = *options;
    if (!shown.run.init_adapter)
        memset(&shown.run.lora_given, true, sizeof shown.run.lora_given);
    return shown;
}

static void print_settings(const train_options *options)
{
    const train_options shown = shown_options(options);
    flags_print_settings(&train_table, &shown, stderr);
}

/* The recipe of the very run; what only asks for a plan or for this is no part of it. */
static bool print_recipe(const train_options *options, vkft_err *err)
{
    static const char *const without[] = {"dry-run", "print-config", NULL};
    const train_options shown = shown_options(options);
    printf("# The settings of a run, written by vkft %s: vkft train -c FILE\n", cli_get_build().version);
    return flags_print_recipe(&train_table, &shown, without, stdout, err);
}

static int train(const vkft_train_options *run, const vkft_train_observer *observer, progress *display, vkft_err *err)
{
    vkft_train_result result;
    const vkft_watch watch = {.run = run->output_dir, .before_it_begins = true};
    vkft_watch_server *server = run->watch ? vkft_watch_start(&watch, (uint16_t)run->watch_port, err) : NULL;
    if (server)
        fprintf(stderr, "watch this run: %s\n", vkft_watch_server_address(server));
    bool ok = (server || !run->watch) && vkft_train(run, observer, &result, err);
    vkft_watch_server_stop(server);
    progress_close(display);
    return ok ? train_print_summary(run, &result) : cli_fail(&train_table, err);
}

/* Of a plan without data the configuration alone is enough. */
static bool fetch(train_options *options, vkft_recipe *recipe, vkft_err *err)
{
    return cli_fetch(&train_table, options, options->run.dry_run && !options->run.data.path, recipe, err);
}

static int train_or_plan(train_options *options, vkft_recipe *recipe, vkft_err *err)
{
    vkft_train_options *run = &options->run;
    if (!flags_settings(&train_table, options, &run->settings, err))
        return cli_fail(&train_table, err);
    if (!fetch(options, recipe, err)) { /* after the settings, which keep the names */
        flags_settings_free(&run->settings);
        return cli_fail(&train_table, err);
    }
    progress display = progress_new(&train_table);
    vkft_train_observer observer = {.general = progress_observer(&display), .step = progress_step};
    int code = (run->dry_run ? plan_run : train)(run, &observer, &display, err);
    flags_settings_free(&run->settings);
    return code;
}

int cmd_train(int argc, char **argv)
{
    train_options options = {.run = vkft_train_defaults()};
    vkft_recipe recipe = {0};
    vkft_err err = {0};
    int code;
    interrupt_outlive_readers(); /* before anything is said */
    if (!cli_flags(&train_table, &options, argc, argv, &recipe, &code))
        return code;
    vkft_train_options *run = &options.run;
    if (run->logging_dir && !run->report_explicit)
        run->report_to = VKFT_REPORT_TENSORBOARD;
    if (!run->data.path && !run->dry_run) {
        vkft_fail(&err, VKFT_ERR_USAGE, "--data is missing; usage: vkft train --model PATH --data PATH [flags]");
        code = cli_fail(&train_table, &err);
    } else if (run->print_config) {
        code = print_recipe(&options, &err) ? EXIT_SUCCESS : cli_fail(&train_table, &err);
    } else {
        if (!run->dry_run)
            print_settings(&options);
        interrupt_install();
        if (!options.sweep[0])
            code = train_or_plan(&options, &recipe, &err);
        else
            code = fetch(&options, &recipe, &err) ? train_sweep(&options, &recipe) : cli_fail(&train_table, &err);
    }
    recipe_free(&recipe);
    return code;
}
