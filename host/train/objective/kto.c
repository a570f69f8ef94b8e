/* Kahneman-Tversky optimization: answers that are desired or not, without pairs. A desired answer is to become
 * likelier, compared with the reference, than answers that do not belong to their prompts have become; an undesired one
 * less likely.
 *
 *   desired: w (1 - s(b (r - kl))), undesired: u (1 - s(b (kl - r))), r = log p - log p_reference, rewards are b r;
 *   kl = max(0, mean of r over the micro batch's prompts with answers of other samples), a constant for the gradient.
 * Source: Ethayarajh et al. 2024; TRL's KTOTrainer. Test: test_objectives, test_golden_preference
 */
#include "host/train/objective/objective.h"

static double judge(const vkft_objective_options *o, vkft_scored *answers, uint32_t count, double kl,
                    double metrics[VKFT_METRICS])
{
    double sum = 0, rewards[2] = {0, 0}, logps[2] = {0, 0}, counts[2] = {0, 0};
    for (uint32_t i = 0; i < count; i++) {
        vkft_scored *a = &answers[i];
        bool rejected = a->sample->answer == VKFT_ANSWER_REJECTED;
        double sign = rejected ? -1 : 1, weight = rejected ? o->undesirable_weight : o->desirable_weight;
        double ratio = a->logp - a->reference, x = sign * o->beta * (ratio - kl);
        sum += weight * vkft_sigmoid(-x);
        a->slope = -sign * weight * o->beta * vkft_sigmoid(x) * vkft_sigmoid(-x) / count;
        rewards[rejected] += o->beta * ratio;
        logps[rejected] += a->logp;
        counts[rejected]++;
    }
    metrics[VKFT_METRIC_kl] = kl;
    for (int i = 0; i < 2; i++)
        if (counts[i] > 0) {
            metrics[i ? VKFT_METRIC_rewards_rejected : VKFT_METRIC_rewards_chosen] = rewards[i] / counts[i];
            metrics[i ? VKFT_METRIC_logps_rejected : VKFT_METRIC_logps_chosen] = logps[i] / counts[i];
        }
    if (counts[0] > 0 && counts[1] > 0)
        metrics[VKFT_METRIC_rewards_margins] = rewards[0] / counts[0] - rewards[1] / counts[1];
    return sum / count;
}

const vkft_objective vkft_objective_kto = {
    .name = "kto", .preferences = VKFT_PREFERENCES_LABELLED, .has_reference = true, .mismatches = true, .judge = judge};
