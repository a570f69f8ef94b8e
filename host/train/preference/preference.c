/* A micro batch of a preference objective, and the validation data. The model runs over the batch twice: for the
 * log-probabilities of its answers, and, once it is known what each of their tokens counts, for the gradients. */
#include "host/train/preference/preference.h"

#include <math.h>
#include <stdlib.h>

#include "runtime/base/size.h"

/* How much likelier than before training answers have become under prompts of other samples, at least 0. */
static bool divergence(vkft_trainer *t, const vkft_sample *const *samples, uint32_t count, double *kl, vkft_err *err)
{
    const vkft_sample **others = malloc(count * sizeof *others);
    vkft_scored *answers = t->answers + count;
    for (uint32_t i = 0; others && i < count; i++)
        others[i] = samples[i]->mismatched;
    bool ok = others ? vkft_preference_score(t, others, count, answers, err) : vkft_fail_memory(err, "for a batch");
    double sum = 0;
    for (uint32_t i = 0; ok && i < count; i++)
        sum += answers[i].logp - answers[i].reference;
    *kl = fmax(sum / count, 0);
    free(others);
    return ok;
}

/* The loss of a micro batch whose answers go to t->answers. */
static bool judge(vkft_trainer *t, const vkft_sample *const *samples, uint32_t count, double *loss,
                  vkft_metric_sums *sums, vkft_err *err)
{
    double metrics[VKFT_METRICS], kl = 0;
    for (int i = 0; i < VKFT_METRICS; i++)
        metrics[i] = NAN;
    if ((t->objective->mismatches && !divergence(t, samples, count, &kl, err)) ||
        !vkft_preference_score(t, samples, count, t->answers, err))
        return false;
    *loss = t->objective->judge(&t->options->objective, t->answers, count, kl, metrics);
    vkft_metric_sums_add(sums, metrics);
    return true;
}

/* What the tokens of these answers count: a loss is minus a log-probability. */
static void put_weights(const vkft_trainer *t, const vkft_scored *answers, uint32_t count, double share, float *weight)
{
    for (uint32_t i = 0; i < count; i++) {
        const vkft_scored *a = &answers[i];
        double slope = -share * a->slope;
        for (uint32_t k = a->tokens; k < a->sample->trained; k++)
            *weight++ = (float)(-share * a->prompt_slope);
        for (uint32_t k = 0; k < a->tokens; k++)
            *weight++ = (float)(k < a->shared ? slope : slope * t->options->objective.ld_alpha);
    }
}

bool vkft_preference_train(vkft_trainer *t, const vkft_sample *const *samples, uint32_t count, double share,
                           double *loss, vkft_metric_sums *metrics, vkft_err *err)
{
    if (!judge(t, samples, count, loss, metrics, err))
        return false;
    uint32_t each = t->objective->preferences == VKFT_PREFERENCES_PAIRS ? 2 : 1, part = each * t->portion.packs;
    for (uint32_t done = 0; done < count; done += part) {
        uint32_t now = min_u32(part, count - done);
        double sum;
        vkft_session_fill(&t->session, samples + done, now);
        put_weights(t, t->answers + done, now, share, t->session.batch.row_weight_host);
        if (!vkft_learner_run(&t->learner, 0, &sum, err))
            return false;
    }
    return true;
}

bool vkft_preference_evaluate(vkft_trainer *t, double *loss, vkft_metric_sums *metrics, vkft_err *err)
{
    const vkft_train_options *o = t->options;
    const vkft_world *world = t->world;
    uint32_t size = vkft_eval_batch_size(o), batches = ceil_div(t->valid.packs, size);
    if (o->eval_batches)
        batches = min_u32(batches, o->eval_batches);
    double sums[2] = {0, 0}; /* of the losses of packs, and their number */
    *metrics = (vkft_metric_sums){0};
    for (uint32_t round = 0; round < batches; round += world->size) {
        uint32_t b = round + world->rank, packs, count;
        double mean;
        if (world->any(vkft_observer_interrupted(t->observer)))
            return vkft_fail(err, VKFT_ERR_INTERRUPTED, "interrupted while evaluating");
        if (b >= batches)
            break;
        packs = min_u32(size, t->valid.packs - b * size);
        count = vkft_sample_packs_batch(&t->valid, NULL, b * size, packs, t->samples);
        if (!judge(t, t->samples, count, &mean, metrics, err))
            return false;
        sums[0] += mean * packs;
        sums[1] += packs;
        vkft_observer_work(t->observer, "evaluating", b + 1, batches);
    }
    if (!world->sum(sums, 2, err) || !world->sum(metrics->sum, VKFT_METRICS, err) ||
        !world->sum(metrics->count, VKFT_METRICS, err))
        return false;
    *loss = sums[0] / sums[1];
    return true;
}
