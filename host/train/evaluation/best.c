/* See best.h. */
#include "host/train/evaluation/best.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "host/train/evaluation/task.h"
#include "runtime/base/text.h"

/* Adds a name to a list for people. */
static void add_name(char *list, size_t size, const char *name)
{
    size_t length = strlen(list);
    snprintf(list + length, size - length, "%s%s", length ? ", " : "", name);
}

/* Whether an evaluation of this run logs eval_NAME; else *list: what it logs. */
static bool is_logged(const vkft_train_options *o, uint32_t metrics, const char *name, char *list, size_t size)
{
    const vkft_objective *objective = vkft_objective_of(o->data.objective);
    bool found = strcmp(name, "loss") == 0;
    list[0] = 0;
    add_name(list, size, "loss");
    for (int i = 0; i < VKFT_METRICS && objective->judge; i++) {
        found = found || strcmp(name, vkft_metric_name((vkft_metric)i)) == 0;
        add_name(list, size, vkft_metric_name((vkft_metric)i));
    }
    if (o->retain_data) {
        found = found || strcmp(name, "retain_loss") == 0;
        add_name(list, size, "retain_loss");
    }
    for (int i = 0; i < VKFT_TASK_METRICS; i++)
        if (metrics & (1u << i)) {
            found = found || strcmp(name, vkft_task_metric_name((vkft_task_metric)i)) == 0;
            add_name(list, size, vkft_task_metric_name((vkft_task_metric)i));
        }
    return found;
}

bool vkft_best_choose(const vkft_train_options *o, vkft_best *best, vkft_err *err)
{
    const char *asked = o->metric_for_best_model ? o->metric_for_best_model : "loss",
               *name = strncmp(asked, "eval_", 5) == 0 ? asked + 5 : asked;
    char list[256];
    uint32_t metrics;
    if (!vkft_task_parse(o->metrics, &metrics, err))
        return false;
    if (!is_logged(o, metrics, name, list, sizeof list))
        return vkft_fail(err, VKFT_ERR_INPUT,
                         "--metric-for-best-model %s: an evaluation of this run has no such number; it has %s", asked,
                         list);
    snprintf(best->key, sizeof best->key, "eval_%.56s", name);
    best->greater = o->greater_given ? o->greater_is_better : !vkft_string_ends_with(best->key, "loss");
    return true;
}

bool vkft_best_judge(const vkft_best *best, const vkft_train_options *o, double value, vkft_run_state *state,
                     bool *better)
{
    double gain = best->greater ? value - state->best_metric : state->best_metric - value;
    bool first = isnan(state->best_metric);
    *better = isfinite(value) && (first || gain > 0);
    bool enough = *better && (first || gain > o->early_stopping_threshold);
    state->bad_evals = enough ? 0 : state->bad_evals + 1;
    if (*better) {
        state->best_metric = value;
        state->best_step = state->step;
    }
    return o->early_stopping_patience && state->bad_evals >= o->early_stopping_patience;
}

const char *vkft_best_name(const vkft_best *best)
{
    return strcmp(best->key, "eval_loss") == 0 ? "validation loss" : best->key + strlen("eval_");
}

const char *vkft_best_direction(const vkft_best *best)
{
    return best->greater ? "highest" : "lowest";
}
