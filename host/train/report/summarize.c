/* What a run was and how it went, as lines. See summary.h and card.h. */
#include "host/train/report/card.h"

#include <assert.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "host/train/evaluation/best.h"
#include "host/train/evaluation/overfit.h"
#include "runtime/base/file.h"
#include "runtime/base/json.h"

#define FALL 0.99 /* of a validation loss; less is noise */

static void VKFT_PRINTF(3, 4) add(vkft_run_summary *s, const char *name, const char *format, ...)
{
    assert(s->count < VKFT_RUN_LINES);
    vkft_run_line *line = &s->lines[s->count++];
    va_list args;
    line->name = name;
    va_start(args, format);
    vsnprintf(line->text, sizeof line->text, format, args);
    va_end(args);
}

static void add_trained(const vkft_trainer *t, vkft_run_summary *s)
{
    unsigned long long parameters = vkft_trainables_parameters(&t->session.trained);
    const vkft_adapter_set *set = &t->session.trained.adapters;
    if (vkft_trains_all_weights(&t->session.trained))
        add(s, "trained", "all weights: %llu parameters", parameters);
    else if (!set->config.r)
        add(s, "trained", "%s adapter on %u modules: %llu parameters", set->method->name, set->count, parameters);
    else if (set->projection.floats)
        add(s, "trained", "%s adapter, r %u, on %u modules: %llu parameters", set->method->name, set->config.r,
            set->count, parameters);
    else
        add(s, "trained", "%s adapter, r %u, alpha %g, on %u modules: %llu parameters",
            set->method == &vkft_method_dora ? "DoRA" : "LoRA", set->config.r, (double)set->config.lora_alpha,
            set->count, parameters);
    for (uint32_t i = 0; !vkft_trains_all_weights(&t->session.trained) && i < set->tokens_count; i++)
        add(s, "tokens", "rows of %u tokens of %s%s", set->tokens[i].count, set->tokens[i].name,
            set->tokens[i].places[0] && set->tokens[i].places[1] ? ", which the head shares" : "");
    const vkft_train_options *o = t->options;
    if (o->data.objective != VKFT_OBJECTIVE_sft)
        add(s, "objective", "%s, beta %g", vkft_objective_of(o->data.objective)->name, o->objective.beta);
}

static void add_model(const vkft_trainer *t, vkft_run_summary *s)
{
    const char *source = vkft_session_model_name(&t->session);
    add(s, "model", "%.120s, weights in %s", vkft_path_base(source),
        vkft_storage_get(t->session.model.modules[0].linear->w.storage)->label);
}

static uint32_t samples_of(const vkft_trainer *t, uint32_t count)
{
    return t->objective->preferences == VKFT_PREFERENCES_PAIRS ? count / 2 : count;
}

static void add_data(const vkft_trainer *t, vkft_run_summary *s)
{
    const char *what = t->objective->preferences == VKFT_PREFERENCES_PAIRS ? "pairs" : "samples";
    add(s, "data", "%.120s: %u %s of %s, %llu tokens in the file", vkft_path_base(t->options->data.path),
        samples_of(t, t->train.count), what, vkft_data_format_name(t->data.format), (unsigned long long)t->data.tokens);
    if (t->valid.count)
        add(s, "validation", "%u %s%s", samples_of(t, t->valid.count), what,
            t->valid_data.count ? " of the valid file" : ", held out of the data");
}

static void add_course(const vkft_trainer *t, const vkft_train_result *r, vkft_run_summary *s)
{
    char time[32], memory[32];
    unsigned long long step = t->state.step, all = t->total_steps;
    vkft_time_text(r->seconds, time, sizeof time);
    vkft_bytes_text(r->peak_memory_bytes, memory, sizeof memory);
    add(s, "length", "%llu of %llu steps of %u samples, %.3g epochs, %llu tokens", step, all,
        t->options->batch_size * t->options->gradient_accumulation_steps, vkft_epoch_of(t, step),
        (unsigned long long)t->state.tokens);
    if (t->stop_reason[0])
        add(s, "stopped", "%s", t->stop_reason);
    if (t->state.skipped)
        add(s, "skipped", "%llu steps whose loss or gradient was not finite", (unsigned long long)t->state.skipped);
    add(s, "time", "%s%s with evaluations and saving, %.0f tokens/s", time,
        t->resumed_from ? " since it was resumed" : "", r->tokens_per_second);
    add(s, "device", "%.120s, at most %s of its memory", vkft_device_get_info(t->session.dev)->name, memory);
    if (!isnan(r->first_loss)) /* a run that is resumed after its last step has none */
        add(s, "loss", "%.4f in the first step, %.4f in the last", r->first_loss, r->last_loss);
}

static void add_best(const vkft_trainer *t, vkft_run_summary *s)
{
    const vkft_run_state *state = &t->state;
    if (!isfinite(state->best_metric))
        return;
    bool this_step = t->options->load_best_model_at_end || state->best_step == state->step;
    char perplexity[48] = "";
    if (!t->objective->judge && strcmp(t->best.key, "eval_loss") == 0)
        snprintf(perplexity, sizeof perplexity, " (perplexity %.4g)", exp(state->best_metric));
    add(s, "best", "step %llu, %s %.4f%s; the result is that of %s", (unsigned long long)state->best_step,
        vkft_best_name(&t->best), state->best_metric, perplexity, this_step ? "this step" : "the last step");
}

/* Whether the last validation loss is lower than the one before by more than noise. */
static bool still_falls(const vkft_trainer *t)
{
    double before = NAN, last = NAN;
    const cJSON *row;
    cJSON_ArrayForEach(row, t->state.history)
    {
        const cJSON *loss = vkft_json_member(row, "eval_loss");
        before = cJSON_IsNumber(loss) ? last : before;
        last = cJSON_IsNumber(loss) ? loss->valuedouble : last;
    }
    return last < FALL * before;
}

/* One thing, the most useful one. */
static void add_next(const vkft_trainer *t, vkft_run_summary *s)
{
    vkft_overfit overfit = {0};
    if (!t->valid.count)
        add(s, "next", "hold data out with --val-split 0.1: then the best step is kept, and over-fitting is seen");
    else if (vkft_overfit_of_history(t->state.history, &overfit, NULL) && overfit.overfits)
        add(s, "next",
            "the validation loss rose again, to %.4f: over-fitting; fewer epochs, a lower learning rate or rank, or "
            "more data",
            overfit.last);
    else if (still_falls(t))
        add(s, "next", "the validation loss was still falling: more epochs may make it better");
    else
        add(s, "next", "try it on prompts that it has not seen, beside the model without it");
}

void vkft_run_summarize(const vkft_trainer *t, const vkft_train_result *result, vkft_run_summary *s)
{
    *s = (vkft_run_summary){0};
    add_trained(t, s);
    add_model(t, s);
    add_data(t, s);
    add_course(t, result, s);
    add_best(t, s);
    add_next(t, s);
}
