/* Odds ratio preference optimization: supervised fine-tuning on the prompts and their chosen answers, with a penalty
 * for rejected ones that are not less likely. No reference.
 *
 *   loss = mean over the chosen samples' tokens of -log p  -  b mean over pairs of log s(o),
 *   o = log odds(chosen) - log odds(rejected), odds = p / (1 - p), log p the mean of the answer's tokens; d log odds(p)
 * / d log p = 1 / (1 - p). Rewards are b log p. Source: Hong et al. 2024; TRL's ORPOTrainer. Test: test_objectives,
 * test_golden_preference
 */
#include <math.h>

#include "host/train/objective/objective.h"

/* 1 - p of the mean log-probability; above 0, so that odds are finite. */
static double rest(double logp)
{
    return -expm1(fmin(logp, -1e-12));
}

static double judge(const vkft_objective_options *o, vkft_scored *answers, uint32_t count, double kl,
                    double metrics[VKFT_METRICS])
{
    uint32_t pairs = count / 2;
    double tokens = 0, likelihood = 0, ratio = 0, odds = 0;
    (void)kl;
    for (uint32_t i = 0; i < count; i += 2) {
        tokens += answers[i].sample->trained;
        likelihood += answers[i].prompt + answers[i].logp;
    }
    for (uint32_t i = 0; i < count; i += 2) {
        vkft_scored *a = &answers[i], *b = &answers[i + 1];
        double logp[] = {a->logp / a->tokens, b->logp / b->tokens};
        double x = (logp[0] - logp[1]) - (log(rest(logp[0])) - log(rest(logp[1])));
        double slope = -o->beta * vkft_sigmoid(-x) / pairs;
        a->slope = slope / rest(logp[0]) / a->tokens - 1 / tokens;
        a->prompt_slope = -1 / tokens;
        b->slope = -slope / rest(logp[1]) / b->tokens;
        odds += x / pairs;
        ratio += vkft_log_sigmoid(x) / pairs;
        vkft_metrics_add_pair(metrics, (const double[]){o->beta * logp[0], o->beta * logp[1]}, logp, pairs);
    }
    metrics[VKFT_METRIC_nll_loss] = -likelihood / tokens;
    metrics[VKFT_METRIC_log_odds_ratio] = ratio;
    metrics[VKFT_METRIC_log_odds_chosen] = odds;
    return -likelihood / tokens - o->beta * ratio;
}

const vkft_objective vkft_objective_orpo = {
    .name = "orpo", .preferences = VKFT_PREFERENCES_PAIRS, .learns_prompt = true, .judge = judge};
