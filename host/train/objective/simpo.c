/* Simple preference optimization: the mean log-probability of the chosen answer is to exceed that of the rejected one
 * by a margin. No reference.
 *
 *   loss = -(1-e) log s(x) - e log s(-x), x = b (l(chosen) - l(rejected)) - gamma, l the mean log-probability of the
 *   answer's tokens, e the label smoothing; rewards are b l.
 * Source: Meng et al. 2024; TRL's CPOTrainer with loss_type simpo and cpo_alpha 0. Test: test_objectives,
 * test_golden_preference
 */
#include "host/train/objective/objective.h"

static double judge(const vkft_objective_options *o, vkft_scored *answers, uint32_t count, double kl,
                    double metrics[VKFT_METRICS])
{
    uint32_t pairs = count / 2;
    double sum = 0, e = o->label_smoothing;
    (void)kl;
    for (uint32_t i = 0; i < count; i += 2) {
        vkft_scored *a = &answers[i], *b = &answers[i + 1];
        double logp[] = {a->logp / a->tokens, b->logp / b->tokens};
        double x = o->beta * (logp[0] - logp[1]) - o->simpo_gamma;
        double slope = o->beta * (e * vkft_sigmoid(x) - (1 - e) * vkft_sigmoid(-x)) / pairs;
        sum -= (1 - e) * vkft_log_sigmoid(x) + e * vkft_log_sigmoid(-x);
        a->slope = slope / a->tokens;
        b->slope = -slope / b->tokens;
        vkft_metrics_add_pair(metrics, (const double[]){o->beta * logp[0], o->beta * logp[1]}, logp, pairs);
    }
    return sum / pairs;
}

const vkft_objective vkft_objective_simpo = {.name = "simpo", .preferences = VKFT_PREFERENCES_PAIRS, .judge = judge};
