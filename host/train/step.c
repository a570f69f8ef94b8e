/* One optimizer step: the gradients of its micro batches, added up, and the update. A step for which memory runs out is
 * computed again in smaller portions. */
#include "host/train/trainer.h"

#include <math.h>

#include "host/train/preference/preference.h"
#include "host/train/schedule.h"
#include "runtime/base/random.h"
#include "runtime/base/size.h"

/* The packs of an epoch in their order. */
static const uint32_t *epoch_order(vkft_trainer *t, uint64_t epoch)
{
    if (t->order_epoch != epoch) {
        if (t->options->shuffle)
            vkft_random_permutation(t->options->seed, VKFT_STREAM_SHUFFLE + epoch, t->order, t->train.packs);
        else
            for (uint32_t i = 0; i < t->train.packs; i++)
                t->order[i] = i;
        t->order_epoch = epoch;
    }
    return t->order;
}

/* Of micro batch number `micro` of an epoch the packs from `first` on, at most `packs`, to t->samples; returns how many
 * samples these are. */
static uint32_t take_packs(vkft_trainer *t, uint64_t epoch, uint32_t micro, uint32_t first, uint32_t packs)
{
    uint32_t size = t->options->batch_size;
    return vkft_sample_packs_batch(&t->train, epoch_order(t, epoch), micro * size + first, min_u32(packs, size - first),
                                   t->samples);
}

static bool stopped_early(const vkft_trainer *t, const char *doing, vkft_err *err)
{
    return t->world->any(vkft_observer_interrupted(t->observer)) &&
           !vkft_fail(err, VKFT_ERR_INTERRUPTED, "interrupted while %s", doing);
}

/* The number by which dropout knows what begins with a pack of a micro batch: for the first pack that of the micro
 * batch. The others' are counted with their bits in reverse, from the far end of all numbers, so that no two meet. */
static uint32_t dropout_number(uint32_t micro, uint32_t first)
{
    for (uint32_t bit = 0x80000000u; first; first >>= 1, bit >>= 1)
        micro ^= first & 1 ? bit : 0;
    return micro;
}

/* The micro batches of a step: first to end of an epoch. */
typedef struct step_batches {
    uint64_t epoch;
    uint32_t first, end;
} step_batches;

/* The same for a micro batch of a preference objective; each one counts the same in its step, as in TRL. */
static bool add_preferences(vkft_trainer *t, const step_batches *step, uint32_t micro, double *loss_sum,
                            vkft_metric_sums *metrics, vkft_err *err)
{
    double loss;
    uint32_t count = take_packs(t, step->epoch, micro, 0, t->options->batch_size);
    if (!vkft_preference_train(t, t->samples, count, 1.0 / (step->end - step->first), &loss, metrics, err))
        return false;
    *loss_sum += loss;
    return true;
}

/* Adds the gradients of this process's part of the step, which has `trained` tokens in all. */
static bool accumulate(vkft_trainer *t, const step_batches *step, double trained, double *loss_sum,
                       vkft_metric_sums *metrics, vkft_err *err)
{
    const vkft_world *world = t->world;
    *loss_sum = 0;
    *metrics = (vkft_metric_sums){0};
    for (uint32_t round = step->first; round < step->end; round += world->size) {
        double sum;
        uint32_t micro = round + world->rank, count;
        if (stopped_early(t, "training", err))
            return false;
        if (micro >= step->end)
            break;
        if (t->objective->judge) {
            if (!add_preferences(t, step, micro, loss_sum, metrics, err))
                return false;
            continue;
        }
        for (uint32_t first = 0; first < t->options->batch_size; first += t->portion.packs) {
            if ((count = take_packs(t, step->epoch, micro, first, t->portion.packs)) == 0)
                break; /* the epoch's last micro batch */
            if (!vkft_learner_train(&t->learner, t->samples, count, (uint64_t)trained,
                                    dropout_number((uint32_t)(step->epoch * t->micro_per_epoch + micro), first), &sum,
                                    err))
                return false;
            *loss_sum += sum;
        }
    }
    return true;
}

/* The gradients of the step, in smaller portions where memory runs out; what a failed attempt has added is cleared. */
static bool add_gradients(vkft_trainer *t, const step_batches *step, double trained, double *loss_sum,
                          vkft_metric_sums *metrics, vkft_err *err)
{
    while (!accumulate(t, step, trained, loss_sum, metrics, err))
        do {
            if (!vkft_session_shrink(&t->session, err))
                return false;
        } while (!vkft_optimizer_clear_gradients(&t->learner.optimizer, err));
    return t->world->sum(loss_sum, 1, err) && t->world->sum(metrics->sum, VKFT_METRICS, err) &&
           t->world->sum(metrics->count, VKFT_METRICS, err) && t->world->sum_gradients(&t->learner.optimizer, err);
}

static bool update(vkft_trainer *t, uint64_t taken, double learning_rate, double *grad_norm, vkft_err *err)
{
    while (!vkft_optimizer_update(&t->learner.optimizer, learning_rate, taken + 1, grad_norm, err)) {
        t->torn = vkft_optimizer_has_begun(&t->learner.optimizer);
        if (t->torn || !vkft_session_shrink(&t->session, err))
            return false;
    }
    return true;
}

/* f16 ends at 65504, so that with it one batch may be what is not finite; otherwise training has diverged. */
static bool skip(const vkft_trainer *t, vkft_step_result *result, vkft_err *err)
{
    unsigned long long step = t->state.step + 1;
    result->skipped = true;
    if (t->session.options.compute_dtype == VKFT_F16)
        return true;
    if (!isfinite(result->loss))
        return vkft_fail_diverged(t, err, "the loss is not finite at step %llu", step);
    return vkft_fail_diverged(t, err, "gradient not finite at step %llu, whose loss is %f", step, result->loss);
}

bool vkft_train_step(vkft_trainer *t, vkft_step_result *result, vkft_err *err)
{
    const vkft_train_options *o = t->options;
    const vkft_world *world = t->world;
    const uint64_t step = t->state.step, taken = step - t->state.skipped; /* those that were skipped do not count */
    uint32_t first = (uint32_t)(step % t->steps_per_epoch) * o->gradient_accumulation_steps;
    const step_batches batches = {
        .epoch = step / t->steps_per_epoch,
        .first = first,
        .end = (uint32_t)min_u64((uint64_t)first + o->gradient_accumulation_steps, t->micro_per_epoch)};
    double tokens[2] = {0, 0}; /* trained, all */
    double loss_sum;
    *result = (vkft_step_result){0};
    for (uint32_t micro = first + world->rank; micro < batches.end; micro += world->size) {
        uint32_t count = take_packs(t, batches.epoch, micro, 0, o->batch_size);
        for (uint32_t i = 0; i < count; i++) {
            tokens[0] += t->samples[i]->trained;
            tokens[1] += t->samples[i]->length;
        }
    }
    if (!world->sum(tokens, 2, err) || !add_gradients(t, &batches, tokens[0], &loss_sum, &result->metrics, err))
        return false;
    result->tokens = (uint64_t)tokens[1];
    result->loss = loss_sum / (t->objective->judge ? batches.end - batches.first : tokens[0]);
    result->learning_rate = vkft_learning_rate(&t->schedule, taken);
    result->grad_norm = NAN;
    return (isfinite(result->loss) ? update(t, taken, result->learning_rate, &result->grad_norm, err)
                                   : vkft_optimizer_clear_gradients(&t->learner.optimizer, err)) &&
           (isfinite(result->grad_norm) || skip(t, result, err));
}
