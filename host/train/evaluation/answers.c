/* See answers.h. */
#include "host/train/evaluation/answers.h"

#include "runtime/base/size.h"

bool vkft_answers_open(vkft_answers *answers, vkft_session *session, uint32_t max_new_tokens,
                       const vkft_observer *observer, vkft_err *err)
{
    *answers = (vkft_answers){.options = vkft_generate_defaults(), .observer = observer};
    answers->options.temperature = 0;
    answers->options.max_new_tokens = max_new_tokens;
    answers->options.temperature_given = answers->options.max_new_tokens_given = true;
    return vkft_generator_open(&answers->generator, session, err);
}

void vkft_answers_close(vkft_answers *answers)
{
    vkft_generator_close(&answers->generator);
}

/* Who hears of a text: the run's observer of what is wrong with the model's settings, once. */
static vkft_generate_observer listener(vkft_answers *answers, void *context)
{
    vkft_generate_observer listener = {.general = {.context = context}};
    if (!answers->silent)
        listener.general.message = answers->observer->message;
    answers->silent = true;
    return listener;
}

bool vkft_answers_expect(vkft_answers *answers, const int32_t *ids, uint32_t count, vkft_err *err)
{
    vkft_batch_limits needed;
    const vkft_generate_observer heard = listener(answers, answers->observer->context);
    if (!vkft_generator_begin(&answers->generator, &answers->options, &heard, ids, count, &needed, err))
        return false;
    vkft_batch_limits_join(&answers->limits, &needed);
    return true;
}

typedef struct writing {
    vkft_text *text;
    const vkft_observer *observer;
    bool failed;
} writing;

static void append(void *context, const char *text, size_t length)
{
    writing *w = context;
    w->failed = !vkft_text_append(w->text, text, length, NULL) || w->failed;
}

static bool is_interrupted(void *context)
{
    const writing *w = context;
    return vkft_observer_interrupted(w->observer);
}

bool vkft_answers_give(vkft_answers *answers, const int32_t *ids, uint32_t count, vkft_text *text, vkft_err *err)
{
    writing w = {text, answers->observer, false};
    const vkft_generate_observer heard = {.general = {.context = &w, .interrupted = is_interrupted}, .text = append};
    vkft_batch_limits needed;
    vkft_generate_result result;
    if (!vkft_generator_begin(&answers->generator, &answers->options, &heard, ids, count, &needed, err) ||
        !vkft_generator_produce(&answers->generator, &result, err))
        return false;
    if (vkft_observer_interrupted(answers->observer))
        return vkft_fail(err, VKFT_ERR_INTERRUPTED, "interrupted while answers were generated");
    return (!w.failed && vkft_text_append(text, "", 0, err)) || vkft_fail_memory(err, "for an answer");
}
