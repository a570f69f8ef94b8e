/* Log-probabilities of answers, from the losses of their tokens. */
#include "host/train/preference/preference.h"
#include "runtime/base/size.h"

/* How many of an answer's tokens the other one of the pair has, too. */
static uint32_t shared_tokens(const vkft_trainer *t, const vkft_scored *answers, uint32_t i)
{
    if (t->objective->preferences != VKFT_PREFERENCES_PAIRS || t->options->objective.ld_alpha == 1)
        return answers[i].tokens;
    return min_u32(answers[i].tokens, answers[i ^ 1].tokens);
}

static void take_losses(const vkft_trainer *t, const float *losses, uint32_t first, uint32_t count,
                        vkft_scored *answers)
{
    const double tail = t->options->objective.ld_alpha;
    for (uint32_t i = first; i < first + count; i++) {
        vkft_scored *a = &answers[i];
        uint32_t prompt = a->sample->trained - a->tokens;
        double sum = 0, rest = 0, before = 0;
        for (uint32_t k = 0; k < prompt; k++)
            before -= (double)*losses++;
        for (uint32_t k = 0; k < a->tokens; k++)
            *(k < a->shared ? &sum : &rest) -= (double)*losses++;
        a->prompt = before;
        a->logp = a->shared < a->tokens ? sum + tail * rest : sum;
    }
}

bool vkft_preference_score(vkft_trainer *t, const vkft_sample *const *samples, uint32_t count, vkft_scored *answers,
                           vkft_err *err)
{
    vkft_session *session = &t->session;
    uint32_t each = t->objective->preferences == VKFT_PREFERENCES_PAIRS ? 2 : 1;
    for (uint32_t i = 0; i < count; i++) {
        const vkft_sample *s = samples[i];
        answers[i] = (vkft_scored){
            .sample = s, .reference = s->reference, .tokens = s->length - (s->prompt_length ? s->prompt_length : 1)};
    }
    for (uint32_t i = 0; i < count; i++)
        answers[i].shared = shared_tokens(t, answers, i);
    for (uint32_t done = 0, part; done < count; done += part) {
        double sum;
        part = min_u32(each * t->portion.packs, count - done);
        vkft_session_fill(session, samples + done, part);
        if (vkft_session_run(session, t->learner.eval, &sum, err)) {
            take_losses(t, session->batch.loss_host, done, part, answers);
            continue;
        }
        if (!vkft_session_shrink(session, err))
            return false;
        part = 0; /* again */
    }
    return true;
}
