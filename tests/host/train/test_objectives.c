/* The preference objectives' slopes are the derivatives of their losses: central differences of step h = 1e-5 in double
 * are off by h^2 and by 2^-52 / h, 1e-10 both, times what the loss and its derivatives are, at most some hundreds here.
 * Their values are those of TRL, see test_golden_preference. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <cmocka.h>

#include "host/train/objective/objective.h"

#define COUNT 6

/* Three pairs of different lengths. */
static void make(vkft_sample samples[COUNT], vkft_scored answers[COUNT])
{
    static const uint32_t length[COUNT] = {9, 7, 20, 31, 4, 4}, prompt[COUNT] = {3, 3, 8, 8, 0, 0};
    for (uint32_t i = 0; i < COUNT; i++) {
        samples[i] = (vkft_sample){.length = length[i],
                                   .prompt_length = prompt[i],
                                   .trained = length[i] - 1,
                                   .answer = i % 2 ? VKFT_ANSWER_REJECTED : VKFT_ANSWER_CHOSEN};
        uint32_t tokens = length[i] - (prompt[i] ? prompt[i] : 1);
        answers[i] = (vkft_scored){.sample = &samples[i],
                                   .logp = -0.7 * tokens + 0.9 * sin(3.0 * i),
                                   .reference = -0.7 * tokens + 0.4 * cos(5.0 * i),
                                   .prompt = prompt[i] > 1 ? -1.1 * (prompt[i] - 1) : 0,
                                   .tokens = tokens,
                                   .shared = tokens};
    }
}

static double judge(const vkft_objective *objective, const vkft_objective_options *o, const vkft_scored *answers,
                    vkft_scored out[COUNT])
{
    double metrics[VKFT_METRICS];
    for (int i = 0; i < VKFT_METRICS; i++)
        metrics[i] = NAN;
    for (int i = 0; i < COUNT; i++)
        out[i] = answers[i];
    return objective->judge(o, out, COUNT, 0.3, metrics);
}

static void check_slope(const char *what, double slope, double difference)
{
    if (!(fabs(slope - difference) <= 1e-7 * fmax(1, fabs(difference))))
        fail_msg("%s: slope %.12g, central difference %.12g", what, slope, difference);
}

static void check(const vkft_objective *objective, const vkft_objective_options *o, const char *what)
{
    const double h = 1e-5;
    vkft_sample samples[COUNT];
    vkft_scored answers[COUNT], at[COUNT], moved[COUNT];
    make(samples, answers);
    assert_true(isfinite(judge(objective, o, answers, at)));
    for (int i = 0; i < COUNT; i++)
        for (int prompt = 0; prompt < 2; prompt++) {
            double *value = prompt ? &answers[i].prompt : &answers[i].logp, before = *value;
            *value = before + h;
            double above = judge(objective, o, answers, moved);
            *value = before - h;
            double below = judge(objective, o, answers, moved);
            *value = before;
            check_slope(what, prompt ? at[i].prompt_slope : at[i].slope, (above - below) / (2 * h));
        }
}

static void test_slopes(void **state)
{
    static const char *const names[] = {
#define DPO_LOSS(name, function) #name,
#include "host/train/objective/dpo_losses.def"
#undef DPO_LOSS
    };
    (void)state;
    vkft_objective_options o = vkft_objective_defaults();
    o.beta = 0.4;
    for (int smooth = 0; smooth < 2; smooth++) {
        o.label_smoothing = smooth ? 0.2 : 0.001;
        for (int loss = 0; loss < VKFT_DPO_LOSSES; loss++) {
            o.loss_type = (vkft_dpo_loss)loss;
            check(&vkft_objective_dpo, &o, names[loss]);
        }
        check(&vkft_objective_orpo, &o, "orpo");
        check(&vkft_objective_simpo, &o, "simpo");
        o.undesirable_weight = 1.7;
        check(&vkft_objective_kto, &o, "kto");
    }
}

/* Where logits are far from 0 nothing overflows. */
static void test_extremes(void **state)
{
    (void)state;
    vkft_objective_options o = vkft_objective_defaults();
    vkft_sample samples[COUNT];
    vkft_scored answers[COUNT], out[COUNT];
    for (int sign = -1; sign <= 1; sign += 2) {
        make(samples, answers);
        answers[0].logp += sign * 1e5;
        assert_true(isfinite(judge(&vkft_objective_dpo, &o, answers, out)));
        assert_true(isfinite(out[0].slope));
        make(samples, answers);
        answers[0].logp = sign < 0 ? -1e5 : 0;
        assert_true(isfinite(judge(&vkft_objective_orpo, &o, answers, out)));
        assert_true(isfinite(out[0].slope));
        assert_true(isfinite(judge(&vkft_objective_simpo, &o, answers, out)));
    }
    assert_true(vkft_log_sigmoid(-1000) == -1000 && vkft_log_sigmoid(1000) == 0);
    assert_true(vkft_sigmoid(-1000) == 0 && vkft_sigmoid(1000) == 1);
}

/* With smoothing e a pair is taken to be the wrong way round with that share: loss(e) = (1-e) loss(d) + e loss(-d). */
static void test_label_smoothing(void **state)
{
    (void)state;
    vkft_objective_options o = vkft_objective_defaults();
    vkft_sample samples[COUNT];
    vkft_scored answers[COUNT], turned[COUNT], out[COUNT];
    make(samples, answers);
    for (int i = 0; i < COUNT; i++)
        turned[i] = answers[i ^ 1];
    double right = judge(&vkft_objective_dpo, &o, answers, out), wrong = judge(&vkft_objective_dpo, &o, turned, out);
    o.label_smoothing = 0.1;
    assert_true(fabs(judge(&vkft_objective_dpo, &o, answers, out) - (0.9 * right + 0.1 * wrong)) < 1e-12);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_slopes), cmocka_unit_test(test_extremes),
                                       cmocka_unit_test(test_label_smoothing)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
