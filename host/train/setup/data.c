/* The samples of a run: which ones train, and which ones validate. */
#include "host/train/setup/setup_private.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "host/train/setup/shared_data.h"
#include "host/train/training_data.h"
#include "runtime/base/random.h"
#include "runtime/base/size.h"

static bool take_samples(const vkft_trainer *t, vkft_sample_packs *split, const vkft_dataset *data,
                         const uint32_t *index, uint32_t count, vkft_err *err)
{
    const vkft_data_options *o = &t->options->data;
    if (!vkft_sample_packs_new(split, data, index, count, o->packing ? o->max_seq_length : 0, err))
        return false;
    if (vkft_objective_of(o->objective)->preferences == VKFT_PREFERENCES_PAIRS)
        vkft_sample_packs_pair(split);
    if (o->packing)
        vkft_observer_say(t->observer, "packing: %u samples in %u packs of at most %u tokens", split->count,
                          split->packs, o->max_seq_length);
    return true;
}

static int by_index(const void *pa, const void *pb)
{
    uint32_t a = *(const uint32_t *)pa, b = *(const uint32_t *)pb;
    return a < b ? -1 : a > b;
}

/* Holds out a random part of the rows; both parts stay in file order. */
static bool hold_out(vkft_trainer *t, vkft_err *err)
{
    bool pairs = vkft_objective_of(t->options->data.objective)->preferences == VKFT_PREFERENCES_PAIRS;
    uint32_t each = pairs ? 2 : 1, n = t->data.count / each, held = (uint32_t)ceil(t->options->val_split * n);
    if (held == 0 || held >= n)
        return vkft_fail(err, VKFT_ERR_INPUT, "--val-split %g of %u %s leaves nothing to %s", t->options->val_split, n,
                         pairs ? "pairs" : "samples", held ? "train on" : "validate on");
    uint32_t *order = malloc((uint64_t)n * each * sizeof *order);
    if (!order)
        return vkft_fail_memory(err, "while splitting the data");
    vkft_random_permutation(t->options->seed, VKFT_STREAM_SPLIT, order, n);
    qsort(order, held, sizeof *order, by_index);
    qsort(order + held, n - held, sizeof *order, by_index);
    for (uint32_t i = n; pairs && i-- > 0;) {
        order[2 * i + 1] = 2 * order[i] + 1;
        order[2 * i] = 2 * order[i];
    }
    bool ok = take_samples(t, &t->valid, &t->data, order, each * held, err) &&
              take_samples(t, &t->train, &t->data, order + each * held, each * (n - held), err);
    free(order);
    return ok;
}

/* Opens a part of the data, or takes what a run before this one has opened. */
static bool open_part(vkft_trainer *t, vkft_shared_part part, const vkft_data_options *o, vkft_dataset *data,
                      bool *found, vkft_err *err)
{
    const vkft_session *r = &t->session;
    const char *split = part == VKFT_SHARED_VALID ? "valid" : "train";
    vkft_shared_data *shared = t->options->shared_data;
    *found = shared && vkft_shared_data_take(shared, part, o, r->text.hash, data);
    if (*found)
        return vkft_data_say(o, split, &r->text, r->config, t->observer, data, err);
    if (!vkft_data_open(o, split, &r->text, r->config, t->observer, data, found, err))
        return false;
    if (shared && *found)
        vkft_shared_data_opened(shared, part, o, r->text.hash);
    return true;
}

/* As the training data are made into samples, but for what only these rows have. */
static bool open_retained(vkft_trainer *t, vkft_err *err)
{
    vkft_data_options o = t->options->data;
    bool found;
    o.path = t->options->retain_data;
    o.completions = o.keys = o.prompt_template = o.dataset_config = o.split = NULL;
    o.objective = VKFT_OBJECTIVE_sft;
    return open_part(t, VKFT_SHARED_RETAINED, &o, &t->retain_data, &found, err) ||
           vkft_fail_context(err, "--retain-data");
}

/* Mixes these samples into what is trained. */
static bool mix(vkft_trainer *t, const uint32_t *index, uint32_t count, vkft_err *err)
{
    const double share = t->options->replay;
    uint32_t wanted = (uint32_t)fmax(1, round(share / (1 - share) * t->train.packs));
    vkft_sample_packs replayed = {0};
    if (wanted > count)
        vkft_observer_say(t->observer,
                          "note: --replay %g of the training data are %u samples, and --retain-data has %u for it",
                          share, wanted, count);
    bool ok = take_samples(t, &replayed, &t->retain_data, index, min_u32(wanted, count), err) &&
              vkft_sample_packs_mix(&t->train, &replayed, err);
    if (ok)
        vkft_observer_say(t->observer, "replay: %u of the samples that are trained are of --retain-data",
                          replayed.count);
    vkft_sample_packs_free(&replayed);
    return ok;
}

/* What is replayed is not measured: a random half of the rows each. */
static bool setup_retained(vkft_trainer *t, vkft_err *err)
{
    if (!t->options->retain_data)
        return true;
    if (!open_retained(t, err))
        return false;
    uint32_t n = t->retain_data.count, measured = t->options->replay > 0 ? n / 2 : n;
    if (measured == 0)
        return vkft_fail(err, VKFT_ERR_INPUT,
                         "--retain-data has 1 sample, and one half is replayed and the other measured; give more");
    uint32_t *order = malloc((uint64_t)n * sizeof *order);
    if (!order)
        return vkft_fail_memory(err, "while splitting --retain-data");
    vkft_random_permutation(t->options->seed, VKFT_STREAM_SPLIT, order, n);
    qsort(order, measured, sizeof *order, by_index);
    bool ok = take_samples(t, &t->retain, &t->retain_data, order, measured, err) &&
              (measured == n || mix(t, order + measured, n - measured, err));
    free(order);
    return ok;
}

static void say_part_of_validation(const vkft_trainer *t)
{
    uint32_t batches = ceil_div(t->valid.packs, vkft_eval_batch_size(t->options)), limit = t->options->eval_batches;
    if (limit && limit < batches)
        vkft_observer_say(t->observer, "validation: every evaluation uses the first %u of %u batches", limit, batches);
}

/* Settings of evaluations that never come. */
static void say_unused(const vkft_trainer *t, bool has_valid)
{
    const vkft_train_options *o = t->options, usual = vkft_train_defaults();
    const struct {
        const char *flag;
        bool changed;
    } flags[] = {{"--eval-steps", o->eval_steps != usual.eval_steps},
                 {"--eval-batch-size", o->eval_batch_size != usual.eval_batch_size},
                 {"--eval-batches", o->eval_batches != usual.eval_batches}};
    char list[128] = "";
    size_t length = 0;
    if (has_valid && o->val_split > 0)
        vkft_observer_say(t->observer, "note: --val-split has no effect: there is a valid file");
    for (size_t i = 0; i < sizeof flags / sizeof *flags && !t->valid.count; i++)
        if (flags[i].changed)
            length += (size_t)snprintf(list + length, sizeof list - length, "%s%s", length ? ", " : "", flags[i].flag);
    if (length)
        vkft_observer_say(t->observer, "note: %s: no effect without validation data", list);
}

bool vkft_setup_data(vkft_trainer *t, vkft_err *err)
{
    const vkft_data_options *o = &t->options->data;
    bool found, has_valid;
    if (!open_part(t, VKFT_SHARED_TRAIN, o, &t->data, &found, err) ||
        !open_part(t, VKFT_SHARED_VALID, o, &t->valid_data, &has_valid, err))
        return false;
    bool ok = !has_valid && t->options->val_split > 0
                  ? hold_out(t, err)
                  : take_samples(t, &t->train, &t->data, NULL, t->data.count, err) &&
                        (!has_valid || take_samples(t, &t->valid, &t->valid_data, NULL, t->valid_data.count, err));
    ok = ok && setup_retained(t, err);
    vkft_dataset *valid = has_valid ? &t->valid_data : &t->data;
    if (ok && t->objective->mismatches)
        ok = vkft_mismatched_new(&t->mismatched[0], &t->train, &t->data, t->options->batch_size, o->max_seq_length,
                                 err) &&
             vkft_mismatched_new(&t->mismatched[1], &t->valid, valid, t->options->batch_size, o->max_seq_length, err);
    if (ok) {
        say_part_of_validation(t);
        say_unused(t, has_valid);
    }
    return ok;
}
