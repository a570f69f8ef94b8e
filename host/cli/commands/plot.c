/* vkft plot: training runs as a page of charts. */
#include <stdlib.h>
#include <string.h>

#include "host/cli/cli.h"
#include "host/plot/page.h"
#include "runtime/base/file.h"

typedef struct plot_options {
    const char *runs[FLAG_TEXTS_MAX + 1];
    const char *output, *svg, *title;
    vkft_plot_x x;
} plot_options;

#define AT(member) .offset = offsetof(plot_options, member)

const flag_choice cli_x_choices[] = {
    {.name = "step", .value = VKFT_PLOT_STEP},
    {.name = "epoch", .value = VKFT_PLOT_EPOCH},
    {.name = "tokens", .value = VKFT_PLOT_TOKENS},
    {0},
};

_Static_assert(sizeof(vkft_plot_x) == sizeof(int), "FLAG_CHOICE stores an int");

static const flag plot_flags[] = {
    {.kind = FLAG_TEXTS,
     .name = "RUN",
     .positional = true,
     .value = "a directory",
     .help = "output directory of a run, finished or going on; also that of transformers' Trainer",
     .required = true,
     AT(runs)},
    {.kind = FLAG_TEXT, .name = "output-file", .letter = 'o', .value = "FILE", .help = "the page", AT(output)},
    {.kind = FLAG_TEXT,
     .name = "svg",
     .value = "DIR",
     .help = "also write each chart as a file into this directory",
     .default_text = "none",
     AT(svg)},
    {.kind = FLAG_CHOICE,
     .name = "x-axis",
     .value = "NAME",
     .help = "what the charts run over; tokens compares runs with batches of other sizes",
     .choices = cli_x_choices,
     AT(x)},
    {.kind = FLAG_TEXT,
     .name = "title",
     .value = "TEXT",
     .help = "heading of the page",
     .default_text = "the name of the run, or how many there are",
     AT(title)},
};

static const flag_table plot_table = {
    .command = "plot",
    .usage = "RUN... [flags]",
    .about =
        "Draws training runs over each other: one HTML page with numbers, charts and the settings that differ, which "
        "needs no other file.",
    .flags = plot_flags,
    .count = FLAG_COUNT(plot_flags),
};

/* "rewards/margins" as the name of a file. */
static void file_name(const char *key, char *name, size_t size)
{
    snprintf(name, size, "%s.svg", key);
    for (char *c = name; *c; c++)
        if (!strchr("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.-", *c))
            *c = '-';
}

static bool write_charts(const vkft_plot *plot, const char *dir, vkft_err *err)
{
    bool ok = vkft_directory_create(dir, err);
    for (size_t i = 0; ok && i < plot->chart_count; i++) {
        char name[sizeof plot->charts->key + 8];
        vkft_text text = {0};
        file_name(plot->charts[i].key, name, sizeof name);
        char *path = vkft_path_join(dir, name);
        ok = (path || vkft_fail_memory(err, "for a chart")) &&
             vkft_chart_svg(&plot->charts[i], plot->logs, plot->count, plot->x, true, &text, err) &&
             vkft_file_write(path, text.data, text.length, err);
        free(path);
        vkft_text_free(&text);
    }
    return ok;
}

static bool write_all(const plot_options *o, vkft_plot *plot, vkft_err *err)
{
    char title[64];
    vkft_text text = {0};
    snprintf(title, sizeof title, "%zu training runs", plot->count);
    plot->title = o->title ? o->title : plot->count == 1 ? plot->logs[0].label : title;
    bool ok = (plot->chart_count ||
               vkft_fail(err, VKFT_ERR_INPUT,
                         "%s: nothing to draw: no number was logged twice yet; wait for more steps", o->runs[0])) &&
              vkft_plot_page(plot, &text, err) && (!o->svg || write_charts(plot, o->svg, err)) &&
              vkft_file_write(o->output, text.data, text.length, err);
    vkft_text_free(&text);
    return ok;
}

static bool run(const plot_options *o, vkft_err *err)
{
    vkft_plot_log logs[FLAG_TEXTS_MAX];
    vkft_chart *charts = NULL;
    vkft_plot plot = {.logs = logs, .x = o->x};
    while (plot.count < FLAG_TEXTS_MAX && o->runs[plot.count])
        plot.count++;
    if (!vkft_plot_logs_read(o->runs, plot.count, logs, err))
        return false;
    bool ok = vkft_charts_of(logs, plot.count, &charts, &plot.chart_count, err);
    plot.charts = charts;
    ok = ok && write_all(o, &plot, err);
    if (ok)
        printf("%zu charts of %zu run%s: %s\n", plot.chart_count, plot.count, plot.count == 1 ? "" : "s", o->output);
    free(charts);
    vkft_plot_logs_free(logs, plot.count);
    return ok;
}

int cmd_plot(int argc, char **argv)
{
    plot_options options = {.output = "plot.html"};
    vkft_recipe recipe = {0};
    vkft_err err = {0};
    int code;
    if (!cli_flags(&plot_table, &options, argc, argv, &recipe, &code))
        return code;
    code = run(&options, &err) ? EXIT_SUCCESS : cli_fail(&plot_table, &err);
    recipe_free(&recipe);
    return code;
}
