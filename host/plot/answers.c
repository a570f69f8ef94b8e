/* See answers.h. */
#include "host/plot/answers.h"

#include <string.h>

#include "host/plot/markup.h"
#include "runtime/base/json.h"

#define PROMPTS 50 /* more than a person reads */

const char vkft_plot_answers_style[] =
    ".answers section { border: 1px solid #d9d9d9; border-radius: 6px; padding: .4rem .8rem; margin: 0 0 1rem; }\n"
    ".answers p { margin: .2rem 0 .6rem; white-space: pre-wrap; overflow-wrap: anywhere; }\n"
    ".answers h3 { font-size: .85rem; margin: .4rem 0 0; font-weight: 600; color: #595959; }\n"
    "@media (prefers-color-scheme: dark) {\n"
    ".answers section { border-color: #3a3f49; }\n"
    ".answers h3 { color: #b0b0b0; }\n"
    "}\n";

typedef struct answers {
    const vkft_plot_log *logs;
    size_t count;
    vkft_text *out;
    vkft_err *err;
} answers;

static const char *text_of(const cJSON *row, const char *key)
{
    const cJSON *text = vkft_json_member(row, key);
    return cJSON_IsString(text) ? text->valuestring : NULL;
}

static bool is_about(const cJSON *row, const char *prompt)
{
    const char *found = text_of(row, "prompt");
    return found && strcmp(found, prompt) == 0;
}

/* A run's newest row about a prompt; NULL: it has none. */
static const cJSON *newest(const vkft_plot_log *log, const char *prompt)
{
    const cJSON *row, *found = NULL;
    cJSON_ArrayForEach(row, log->samples) found = is_about(row, prompt) && text_of(row, "adapter") ? row : found;
    return found;
}

/* Answers that continue a prompt begin with a space. */
static bool append_answer(const answers *a, const char *text)
{
    const char *shown = text + strspn(text, " \n");
    return vkft_markup_append(a->out, *shown ? "</h3>\n<p>" : "</h3>\n<p class=\"note\">(nothing)", a->err) &&
           vkft_markup_escape(a->out, shown, a->err) && vkft_markup_append(a->out, "</p>\n", a->err);
}

static bool append_run(const answers *a, size_t run)
{
    return vkft_markup_append(a->out, "<h3>", a->err) &&
           (a->count == 1 ||
            (vkft_markup_format(a->out, a->err, "<span class=\"swatch\" style=\"background:%s\"></span>",
                                vkft_markup_colour(run)) &&
             vkft_markup_escape(a->out, a->logs[run].label, a->err) && vkft_markup_append(a->out, ", ", a->err)));
}

static bool append_row(const answers *a, size_t run, const cJSON *row)
{
    const cJSON *step = vkft_json_member(row, "step");
    return append_run(a, run) &&
           vkft_markup_format(a->out, a->err, "after step %.0f", cJSON_IsNumber(step) ? step->valuedouble : 0) &&
           append_answer(a, text_of(row, "adapter"));
}

/* Of a single run: what it said after the steps before the newest, folded in. */
static bool append_earlier(const answers *a, const char *prompt, const cJSON *last)
{
    const cJSON *row;
    bool any = false, ok = true;
    cJSON_ArrayForEach(row, a->logs[0].samples)
    {
        if (!ok || row == last || !is_about(row, prompt) || !text_of(row, "adapter"))
            continue;
        ok = (any || vkft_markup_append(a->out, "<details><summary>After earlier steps</summary>\n", a->err)) &&
             append_row(a, 0, row);
        any = true;
    }
    return ok && (!any || vkft_markup_append(a->out, "</details>\n", a->err));
}

/* An answer before training stands once where the runs have the same. */
static bool append_prompt(const answers *a, const char *prompt)
{
    const char *base = NULL;
    bool ok = vkft_markup_append(a->out, "<section>\n<h3>prompt", a->err) && append_answer(a, prompt);
    for (size_t i = 0; ok && i < a->count; i++) {
        const cJSON *row = newest(&a->logs[i], prompt);
        const char *before = row ? text_of(row, "base") : NULL;
        if (!row)
            continue;
        if (before && (!base || strcmp(base, before) != 0)) {
            ok = (base ? append_run(a, i) : vkft_markup_append(a->out, "<h3>", a->err)) &&
                 vkft_markup_append(a->out, "before training", a->err) && append_answer(a, before);
            base = before;
        }
        ok = ok && append_row(a, i, row) && (a->count > 1 || append_earlier(a, prompt, row));
    }
    return ok && vkft_markup_append(a->out, "</section>\n", a->err);
}

bool vkft_plot_answers(const vkft_plot_log *logs, size_t count, vkft_text *out, vkft_err *err)
{
    const answers a = {logs, count, out, err};
    const char *seen[PROMPTS];
    size_t prompts = 0;
    bool ok = true;
    for (size_t i = 0; ok && i < count; i++) {
        const cJSON *row;
        cJSON_ArrayForEach(row, logs[i].samples)
        {
            const char *prompt = text_of(row, "prompt");
            bool is_new = prompt && newest(&logs[i], prompt) && prompts < PROMPTS;
            for (size_t s = 0; s < prompts && is_new; s++)
                is_new = strcmp(seen[s], prompt) != 0;
            if (!ok || !is_new)
                continue;
            ok = (prompts || vkft_markup_append(out, "<h2>Sample answers</h2>\n<div class=\"answers\">\n", err)) &&
                 append_prompt(&a, prompt);
            seen[prompts++] = prompt;
        }
    }
    return ok && (!prompts || vkft_markup_append(out, "</div>\n", err));
}
