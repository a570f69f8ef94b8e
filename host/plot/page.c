/* See page.h. */
#include "host/plot/page.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "host/plot/answers.h"
#include "host/plot/markup.h"
#include "host/plot/summary.h"

static const char head[] = "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n"
                           "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n"
                           "<meta name=\"color-scheme\" content=\"light dark\">\n<title>";

static const char style[] = "</title>\n<style>\n"
                            "body { font: 15px/1.5 system-ui, sans-serif; margin: 0 auto; max-width: 84rem; "
                            "padding: 1rem; background: #ffffff; color: #1a1a1a; }\n"
                            "h2 { font-size: 1.1rem; margin: 1.2rem 0 .5rem; }\n"
                            "h1 { font-size: 1.3rem; margin: .3rem 0 .8rem; overflow-wrap: anywhere; }\n"
                            ".scroll { overflow-x: auto; }\n"
                            "table { border-collapse: collapse; margin: .5rem 0 1rem; }\n"
                            "th, td { text-align: left; padding: .25rem .7rem .25rem 0; vertical-align: top; "
                            "border-bottom: 1px solid #d9d9d9; overflow-wrap: anywhere; }\n"
                            "th { font-weight: 600; white-space: nowrap; }\n"
                            "td.n { font-variant-numeric: tabular-nums; white-space: nowrap; }\n"
                            ".swatch { display: inline-block; width: .8rem; height: .8rem; border-radius: 2px; "
                            "margin-right: .4rem; }\n"
                            ".charts { display: grid; gap: 1rem; margin: 1rem 0; "
                            "grid-template-columns: repeat(auto-fill, minmax(min(100%, 24rem), 1fr)); }\n"
                            ".charts figure { margin: 0; border: 1px solid #d9d9d9; border-radius: 6px; "
                            "overflow: hidden; }\n"
                            ".charts svg { display: block; width: 100%; height: auto; }\n"
                            ".warning { border-left: 4px solid #d55e00; padding: .2rem .8rem; }\n"
                            ".note { color: #595959; }\n"
                            "summary { cursor: pointer; }\n"
                            "button { font: inherit; padding: .3rem .9rem; margin: 0 .4rem .4rem 0; }\n"
                            ".lost #live { opacity: .5; }\n"
                            "@media (prefers-color-scheme: dark) {\n"
                            "body { background: #16181d; color: #f0f0f0; }\n"
                            "th, td, .charts figure { border-color: #3a3f49; }\n"
                            ".note { color: #b0b0b0; }\n"
                            "}\n";

typedef struct page {
    const vkft_plot *plot;
    vkft_text *out;
    vkft_err *err;
} page;

static bool append(const page *p, const char *markup)
{
    return vkft_markup_append(p->out, markup, p->err);
}

static bool append_cell(const page *p, const char *open, const char *text, const char *close)
{
    return append(p, open) && vkft_markup_escape(p->out, text, p->err) && append(p, close);
}

/* A number of the table of runs: how it is told, and where it stands. */
typedef struct column {
    const char *title, *format; /* NULL: bytes */
    size_t offset;
} column;

static const column columns[] = {
    {"steps", "%.0f", offsetof(vkft_plot_summary, steps)},
    {"epochs", "%.2f", offsetof(vkft_plot_summary, epochs)},
    {"tokens", "%.0f", offsetof(vkft_plot_summary, tokens)},
    {"loss at the end", "%.4f", offsetof(vkft_plot_summary, loss)},
    {"validation loss", "%.4f", offsetof(vkft_plot_summary, last_eval_loss)},
    {"lowest", "%.4f", offsetof(vkft_plot_summary, best_eval_loss)},
    {"at step", "%.0f", offsetof(vkft_plot_summary, best_eval_step)},
    {"skipped steps", "%.0f", offsetof(vkft_plot_summary, skipped_steps)},
    {"tokens/s", "%.1f", offsetof(vkft_plot_summary, tokens_per_second)},
    {"device memory", NULL, offsetof(vkft_plot_summary, memory_bytes)},
};
#define COLUMNS (sizeof columns / sizeof *columns)

static double number_of(const vkft_plot_summary *s, const column *c)
{
    double number;
    memcpy(&number, (const char *)s + c->offset, sizeof number);
    return number;
}

/* Whether a run has the number at all. */
static bool is_told(const vkft_plot_summary *summaries, size_t count, const column *c)
{
    for (size_t i = 0; i < count; i++)
        if (isfinite(number_of(&summaries[i], c)))
            return true;
    return false;
}

static bool append_swatch(const page *p, size_t run)
{
    return p->plot->count == 1 ||
           vkft_markup_format(p->out, p->err, "<span class=\"swatch\" style=\"background:%s\"></span>",
                              vkft_markup_colour(run));
}

static bool append_number(const page *p, const vkft_plot_summary *s, const column *c)
{
    char text[64] = "";
    double number = number_of(s, c);
    if (isfinite(number) && c->format)
        snprintf(text, sizeof text, c->format, number);
    else if (isfinite(number))
        vkft_bytes_text((uint64_t)fmax(0, number), text, sizeof text);
    return append_cell(p, "<td class=\"n\">", text, "</td>");
}

static bool append_runs(const page *p, const vkft_plot_summary *summaries)
{
    const vkft_plot *plot = p->plot;
    bool ok = append(p, "<div class=\"scroll\"><table>\n<tr><th>run</th><th></th>");
    for (size_t c = 0; ok && c < COLUMNS; c++)
        ok = !is_told(summaries, plot->count, &columns[c]) || append_cell(p, "<th>", columns[c].title, "</th>");
    for (size_t i = 0; ok && i < plot->count; i++) {
        ok = append(p, "</tr>\n<tr><td class=\"n\">") && append_swatch(p, i) &&
             append_cell(p, "", plot->logs[i].label, "</td>") &&
             append(p, plot->logs[i].finished ? "<td class=\"n\">finished</td>" : "<td class=\"n\">not finished</td>");
        for (size_t c = 0; ok && c < COLUMNS; c++)
            ok = !is_told(summaries, plot->count, &columns[c]) || append_number(p, &summaries[i], &columns[c]);
    }
    return ok && append(p, "</tr>\n</table></div>\n");
}

static bool append_warnings(const page *p, const vkft_plot_summary *summaries)
{
    bool ok = true;
    for (size_t i = 0; ok && i < p->plot->count; i++) {
        const vkft_plot_summary *s = &summaries[i];
        if (!s->overfits)
            continue;
        ok =
            append_cell(p, "<p class=\"warning\">", p->plot->logs[i].label, ": ") &&
            vkft_markup_format(p->out, p->err,
                               "the validation loss was lowest at step %.0f (%.4f) and is %.4f at the end, while the "
                               "training loss kept falling: over-fitting. Fewer epochs, a lower rank or learning rate, "
                               "dropout or more data help.</p>\n",
                               s->best_eval_step, s->best_eval_loss, s->last_eval_loss);
    }
    return ok;
}

/* What the runs said at their ends. */
static bool append_stories(const page *p)
{
    bool ok = true, many = p->plot->count > 1;
    for (size_t i = 0; ok && i < p->plot->count; i++) {
        const vkft_plot_log *log = &p->plot->logs[i];
        const cJSON *line;
        if (!log->summary->child)
            continue;
        ok = !many || (append(p, "<details><summary>") && append_swatch(p, i) &&
                       append_cell(p, "How ", log->label, " went</summary>\n"));
        ok = ok && append(p, "<table>\n");
        cJSON_ArrayForEach(line, log->summary)
        {
            ok = ok && append_cell(p, "<tr><th>", line->string, "</th>") &&
                 append_cell(p, "<td>", line->valuestring, "</td></tr>\n");
        }
        ok = ok && append(p, many ? "</table></details>\n" : "</table>\n");
    }
    return ok;
}

static const char *setting(const vkft_plot_log *log, const char *name)
{
    const cJSON *item = cJSON_GetObjectItemCaseSensitive(log->settings, name);
    return item ? item->valuestring : "";
}

/* Whether all runs have the same value. */
static bool is_common(const vkft_plot *plot, const char *name)
{
    for (size_t i = 1; i < plot->count; i++)
        if (strcmp(setting(&plot->logs[i], name), setting(&plot->logs[0], name)) != 0)
            return false;
    return true;
}

/* The rows of the runs' settings that differ, or those that do not. A name that the first run lacks comes from the run
 * that has it first. */
static bool append_setting_rows(const page *p, bool common, bool *any)
{
    const vkft_plot *plot = p->plot;
    bool ok = true;
    for (size_t i = 0; ok && i < plot->count; i++) {
        const cJSON *item;
        cJSON_ArrayForEach(item, plot->logs[i].settings)
        {
            bool seen = false;
            for (size_t k = 0; k < i; k++)
                seen |= cJSON_GetObjectItemCaseSensitive(plot->logs[k].settings, item->string) != NULL;
            if (!ok || seen || is_common(plot, item->string) != common)
                continue;
            *any = true;
            ok = append_cell(p, "<tr><th>", item->string, "</th>");
            for (size_t k = 0; ok && k < (common ? 1 : plot->count); k++)
                ok = append_cell(p, "<td>", setting(&plot->logs[k], item->string), "</td>");
            ok = ok && append(p, "</tr>\n");
        }
    }
    return ok;
}

static bool append_differences(const page *p)
{
    bool any = false, ok = append(p, "<h2>What differs</h2>\n<div class=\"scroll\"><table>\n<tr><th></th>");
    for (size_t i = 0; ok && i < p->plot->count; i++)
        ok = append(p, "<th>") && append_swatch(p, i) && append_cell(p, "", p->plot->logs[i].label, "</th>");
    ok = ok && append(p, "</tr>\n") && append_setting_rows(p, false, &any) && append(p, "</table></div>\n");
    return ok && (any || append(p, "<p>No setting differs.</p>\n"));
}

static bool append_settings(const page *p)
{
    bool any = false, many = p->plot->count > 1;
    return (!many || append_differences(p)) &&
           append(p, many ? "<details><summary>Settings that are the same</summary>\n<table>\n"
                          : "<details><summary>Settings</summary>\n<table>\n") &&
           append_setting_rows(p, true, &any) && append(p, "</table></details>\n");
}

static bool append_charts(const page *p)
{
    const vkft_plot *plot = p->plot;
    bool ok = append(p, "<div class=\"charts\">\n");
    for (size_t i = 0; ok && i < plot->chart_count; i++)
        ok = append(p, "<figure>") &&
             vkft_chart_svg(&plot->charts[i], plot->logs, plot->count, plot->x, false, p->out, p->err) &&
             append(p, "</figure>\n");
    return ok &&
           append(p, "</div>\n<p class=\"note\">A thick line with a thin one around it is the mean of neighbouring "
                     "logged numbers, about a 25th of all; dashed lines are evaluations.</p>\n");
}

static bool append_buttons(const page *p)
{
    static const char *const buttons[][2] = {
        {"pause", "Pause"}, {"resume", "Resume"}, {"save", "Save a checkpoint"}, {"stop", "Save and stop"}};
    const vkft_plot_live *live = p->plot->live;
    bool paused = live->asked && strcmp(live->asked, "pause") == 0;
    const char *state = !live->going ? "not running" : paused ? "paused" : live->asked ? "asked to " : "running";
    bool ok = append(p, "<p>") && append_cell(p, "<strong>", state, "") &&
              append(p, live->going && live->asked && !paused ? live->asked : "") && append(p, "</strong></p>\n<p>");
    for (size_t i = 0; ok && live->going && i < sizeof buttons / sizeof *buttons; i++) {
        bool idle = strcmp(buttons[i][0], paused ? "pause" : "resume") == 0; /* it is so already */
        ok = vkft_markup_format(p->out, p->err, "<button data-ask=\"%s\"%s>%s</button>\n", buttons[i][0],
                                idle ? " disabled" : "", buttons[i][1]);
    }
    return ok && append(p, "</p>\n");
}

/* Takes the new content over every two seconds and leaves open what the reader has opened; pale when nobody answers. */
static bool append_script(const page *p)
{
    return append_cell(p, "<script nonce=\"", p->plot->live->nonce, "\">\n") &&
           append(p, "const live = document.getElementById('live');\n"
                     "async function refresh() {\n"
                     "  try {\n"
                     "    const answer = await fetch('./');\n"
                     "    if (!answer.ok) throw new Error();\n"
                     "    const page = new DOMParser().parseFromString(await answer.text(), 'text/html');\n"
                     "    const open = [...live.querySelectorAll('details')].map(d => d.open);\n"
                     "    live.replaceChildren(...page.getElementById('live').childNodes);\n"
                     "    live.querySelectorAll('details').forEach((d, i) => { d.open = open[i]; });\n"
                     "    document.body.classList.remove('lost');\n"
                     "  } catch { document.body.classList.add('lost'); }\n"
                     "}\n"
                     "setInterval(refresh, 2000);\n"
                     "document.addEventListener('click', async event => {\n"
                     "  const ask = event.target.dataset.ask;\n"
                     "  if (ask) { await fetch(ask, {method: 'POST'}); refresh(); }\n"
                     "});\n"
                     "</script>\n");
}

bool vkft_plot_page(const vkft_plot *plot, vkft_text *out, vkft_err *err)
{
    const page p = {plot, out, err};
    vkft_plot_summary *summaries = calloc(plot->count + 1, sizeof *summaries);
    bool ok = summaries || vkft_fail_memory(err, "for the page");
    for (size_t i = 0; ok && i < plot->count; i++)
        ok = vkft_plot_summarize(&plot->logs[i], &summaries[i], err);
    ok = ok && append(&p, head) && vkft_markup_escape(out, plot->title, err) && append(&p, style) &&
         append(&p, vkft_chart_style) && append(&p, vkft_plot_answers_style) &&
         append_cell(&p, "</style>\n</head>\n<body>\n<div id=\"live\">\n<h1>", plot->title, "</h1>\n") &&
         (!plot->live || append_buttons(&p)) && append_runs(&p, summaries) && append_warnings(&p, summaries) &&
         append_stories(&p) && append_charts(&p) && vkft_plot_answers(plot->logs, plot->count, out, err) &&
         append_settings(&p) && append(&p, "</div>\n") && (!plot->live || append_script(&p)) &&
         append(&p, "</body>\n</html>\n");
    free(summaries);
    return ok;
}
