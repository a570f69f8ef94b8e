/* What training minimizes, as weights of rows: the gradient of a step is the sum over its trained tokens of
 * weight * d(-log p(token)). The loss kernel multiplies by the weights.
 *
 * Supervised fine-tuning knows its weights beforehand. A preference objective compares answers: its loss is a function
 * of the log-probabilities of whole answers, so these are computed first, and the weight of an answer's tokens is then
 * minus the derivative of the loss by its log-probability. Each such objective is a file beside this one and a row in
 * objectives.def.
 */
#ifndef VKFT_OBJECTIVE_H
#define VKFT_OBJECTIVE_H

#include <stdint.h>

#include "formats/dataset/dataset.h"

typedef enum vkft_objective_type {
#define OBJECTIVE(name) VKFT_OBJECTIVE_##name,
#include "host/train/objective/objectives.def"
#undef OBJECTIVE
} vkft_objective_type;

/* The losses of DPO, as TRL calls them. */
typedef enum vkft_dpo_loss {
#define DPO_LOSS(name, function) VKFT_DPO_##name,
#include "host/train/objective/dpo_losses.def"
#undef DPO_LOSS
    VKFT_DPO_LOSSES
} vkft_dpo_loss;

/* TRL's names. */
typedef struct vkft_objective_options {
    vkft_dpo_loss loss_type;
    double beta, label_smoothing;
    double ld_alpha; /* what tokens count that the shorter answer of a pair does not have; 1: as all */
    bool reference_free;
    double simpo_gamma;
    double desirable_weight, undesirable_weight;
} vkft_objective_options;

static inline vkft_objective_options vkft_objective_defaults(void)
{
    return (vkft_objective_options){
        .beta = 0.1, .ld_alpha = 1, .simpo_gamma = 0.5, .desirable_weight = 1, .undesirable_weight = 1};
}

/* An answer of a micro batch. */
typedef struct vkft_scored {
    const vkft_sample *sample;
    double logp;      /* sum of its tokens' log-probabilities, those past `shared` times ld_alpha */
    double reference; /* the same before training; 0 where it is not needed */
    double prompt;    /* sum of the log-probabilities of the prompt's tokens, where they are labelled */
    uint32_t tokens;  /* of the answer that are predicted */
    uint32_t shared;  /* of them, those that the other answer of the pair has too */
    /* The derivative of the micro batch's loss by `logp` and by `prompt`. */
    double slope, prompt_slope;
} vkft_scored;

/* What the log says of a micro batch, under TRL's names; NaN: nothing. */
typedef enum vkft_metric {
#define METRIC(id, name) VKFT_METRIC_##id,
#include "host/train/objective/metrics.def"
#undef METRIC
    VKFT_METRICS
} vkft_metric;
const char *vkft_metric_name(vkft_metric metric);

typedef struct vkft_objective {
    const char *name;
    vkft_preferences preferences; /* the rows that it needs */
    bool has_reference;           /* compares with the model as it was before training */
    bool learns_prompt;           /* of chosen answers, too */
    bool mismatches;              /* needs prompts with answers of other samples */
    /* The loss of a micro batch, with the slopes; kl: of KTO. answers: pair by pair, the chosen one first, or in any
     * order where they are labelled. NULL: supervised fine-tuning. */
    double (*judge)(const vkft_objective_options *o, vkft_scored *answers, uint32_t count, double kl,
                    double metrics[VKFT_METRICS]);
} vkft_objective;

#define OBJECTIVE(name) extern const vkft_objective vkft_objective_##name;
#include "host/train/objective/objectives.def"
#undef OBJECTIVE

const vkft_objective *vkft_objective_of(vkft_objective_type type);

/* Supervised fine-tuning: the weights of a micro batch's trained tokens, sample by sample; step_tokens: trained tokens
 * of the whole step. */
void vkft_sft_weights(const vkft_sample *const *samples, uint32_t count, uint64_t step_tokens, float *row_weight);

/* log(1 / (1 + exp(-x))) and 1 / (1 + exp(-x)), exact for any x. */
double vkft_log_sigmoid(double x);
double vkft_sigmoid(double x);
/* Adds a pair of `pairs` to the means of the rewards and log-probabilities. */
void vkft_metrics_add_pair(double metrics[VKFT_METRICS], const double reward[2], const double logp[2], uint32_t pairs);

#endif
