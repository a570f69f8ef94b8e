/* See settings.h. */
#include "host/generate/settings.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "runtime/base/size.h"

/* Where the authors say that they sample, what they leave out has transformers' defaults. */
static double or_default(double said, const vkft_generation_config *model, double theirs, double ours)
{
    return !isnan(said) ? said : model->do_sample == VKFT_SAMPLE_YES ? theirs : ours;
}

static vkft_sampler choose_sampler(const vkft_generate_options *o, const vkft_generation_config *model)
{
    vkft_sampler s = {o->temperature, o->top_p, o->top_k, o->min_p, o->seed};
    if (!o->temperature_given)
        s.temperature =
            model->do_sample == VKFT_SAMPLE_NO ? 0 : (float)or_default(model->temperature, model, 1, o->temperature);
    if (!o->top_p_given)
        s.top_p = (float)or_default(model->top_p, model, 1, o->top_p);
    if (!o->top_k_given)
        s.top_k = (uint32_t)or_default(model->top_k, model, 50, o->top_k);
    if (!o->min_p_given)
        s.min_p = (float)or_default(model->min_p, model, 0, o->min_p);
    return s;
}

static void choose_end(const vkft_generation_source *source, vkft_generation_settings *s)
{
    const vkft_generation_config *model = source->model;
    const vkft_config *c = source->config;
    if (source->options->ignore_eos)
        return;
    s->eos_count = model->eos_count ? model->eos_count : c->eos_count;
    memcpy(s->eos, model->eos_count ? model->eos_token_ids : c->eos_token_ids, s->eos_count * sizeof *s->eos);
    if (source->tokenizer_eos >= 0)
        s->eos[s->eos_count++] = source->tokenizer_eos;
}

static vkft_token_rules choose_rules(const vkft_generation_source *source, vkft_generation_settings *s)
{
    const vkft_generate_options *o = source->options;
    const vkft_generation_config *model = source->model;
    uint64_t least = (uint64_t)source->tokens + model->min_new_tokens;
    return (vkft_token_rules){
        .repetition_penalty = o->repetition_penalty_given ? o->repetition_penalty : (float)model->repetition_penalty,
        .no_repeat_ngram_size = o->no_repeat_ngram_size_given ? o->no_repeat_ngram_size : model->no_repeat_ngram_size,
        .bad_words = model->bad_words,
        .suppress = model->suppress,
        .begin_suppress = model->begin_suppress,
        .eos = {s->eos, s->eos_count},
        .begin = source->tokens,
        .min_length = max_u32(model->min_length, least < UINT32_MAX ? (uint32_t)least : UINT32_MAX),
    };
}

static bool choose_length(const vkft_generation_source *source, uint32_t *tokens, vkft_err *err)
{
    const vkft_generation_config *model = source->model;
    *tokens = source->options->max_new_tokens;
    if (source->options->max_new_tokens_given)
        return true;
    if (model->max_new_tokens) {
        *tokens = model->max_new_tokens;
        return true;
    }
    if (model->max_length && source->tokens >= model->max_length)
        return vkft_fail(err, VKFT_ERR_INPUT,
                         "the prompt has %u tokens, and max_length in the model's generation_config.json is %u; give "
                         "--max-new-tokens",
                         source->tokens, model->max_length);
    if (model->max_length)
        *tokens = min_u32(*tokens, model->max_length - source->tokens);
    return true;
}

/* Settings of the choice among several tokens, where there is none. */
static void say_not_sampled(const vkft_generate_options *o, const vkft_observer *observer)
{
    const struct {
        const char *flag;
        bool given;
    } flags[] = {{"--top-p", o->top_p_given}, {"--top-k", o->top_k_given}, {"--min-p", o->min_p_given}};
    for (size_t i = 0; i < sizeof flags / sizeof *flags; i++)
        if (flags[i].given)
            vkft_observer_say(observer, "%s has no effect: %s, so the likeliest token is always taken", flags[i].flag,
                              o->temperature_given
                                  ? "the temperature is 0"
                                  : "the model's generation_config.json asks for no sampling (--temperature does)");
}

bool vkft_generation_settings_choose(const vkft_generation_source *source, const vkft_observer *observer,
                                     vkft_generation_settings *settings, vkft_err *err)
{
    *settings = (vkft_generation_settings){.sampler = choose_sampler(source->options, source->model)};
    choose_end(source, settings);
    settings->rules = choose_rules(source, settings);
    if (source->model->ignored[0])
        vkft_observer_say(observer, "ignored in the model's generation_config.json: %s", source->model->ignored);
    if (settings->sampler.temperature <= 0)
        say_not_sampled(source->options, observer);
    return choose_length(source, &settings->max_new_tokens, err);
}
