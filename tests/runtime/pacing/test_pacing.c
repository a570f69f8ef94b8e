/* Pacing: the cut of launches into submissions, and the rates that it follows. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "runtime/base/random.h"
#include "runtime/pacing/cut.h"
#include "runtime/pacing/rate.h"
#include "shaders/core/args.h"
#include "tests/support/expect.h"

/* Every workgroup of every launch lies in exactly one piece, in order, no piece crosses the end of a row, and
 * submissions keep to the target. */
static void check_cut(const vkft_cut_launch *launches, uint32_t count, double target_ms, uint32_t row)
{
    const vkft_cut_limits limits = {.target_ms = target_ms, .probe_ms = target_ms, .row = row};
    vkft_cut cut = {0};
    assert_true(vkft_cut_make(&cut, launches, count, (vkft_place){0, 0}, &limits));
    assert_true(!cut.probes && cut.end.launch == count && cut.end.base == 0);
    double submission_ms = 0;
    uint32_t submissions = 0, next = 0, pieces_of_submission = 0;
    for (uint32_t i = 0; i < count; i++) {
        const vkft_cut_launch *l = &launches[i];
        uint64_t covered = 0, all = (uint64_t)l->groups[0] * l->groups[1], end = 0;
        for (bool first = true; next < cut.count && cut.pieces[next].launch == i; next++, first = false) {
            const vkft_piece *p = &cut.pieces[next];
            uint64_t groups = (uint64_t)p->count[0] * p->count[1],
                     begin = (uint64_t)p->base[1] * l->groups[0] + p->base[0];
            assert_true(first || begin > end - 1); /* after the piece before it */
            end = begin + 1;
            assert_int_equal(p->first, first);
            assert_true(p->new_submission || !first || !l->new_submission);
            for (int axis = 0; axis < 2; axis++)
                assert_true(p->count[axis] > 0 && p->base[axis] + p->count[axis] <= l->groups[axis]);
            assert_int_equal(p->base[0] / row, (p->base[0] + p->count[0] - 1) / row);
            if (p->new_submission) {
                submissions++;
                submission_ms = 0;
                pieces_of_submission = 0;
            }
            submission_ms += l->time_ms * (double)groups / (double)all;
            pieces_of_submission++;
            assert_true(submission_ms <= target_ms * (1 + 1e-9) || pieces_of_submission == 1);
            covered += groups;
        }
        assert_int_equal(covered, all);
    }
    assert_int_equal(next, cut.count);
    assert_int_equal(submissions, cut.submissions);
    vkft_cut_free(&cut);
}

static void test_cut(void **state)
{
    (void)state;
    static const vkft_cut_launch fixed[] = {
        {{1, 1}, 0.01, false, false},      {{100, 3}, 40, false, false}, {{100000, 1}, 5, false, false},
        {{3, 5000}, 990, false, true},     {{1, 1}, 1e6, false, false},  {{2, 300}, 251, false, false},
        {{70000, 70001}, 2, false, false},
    };
    check_cut(fixed, 7, 250, WORKGROUPS_PER_ROW);
    check_cut(fixed, 6, 0.001, WORKGROUPS_PER_ROW);
    check_cut(fixed, 3, 250, 7);
    check_cut(fixed, 0, 250, WORKGROUPS_PER_ROW);
    for (uint64_t seed = 0; seed < 200; seed++) {
        vkft_cut_launch random[40];
        uint32_t count = (uint32_t)(40 * vkft_random_uniform(seed, 0, 0));
        for (uint32_t i = 0; i < count; i++) {
            random[i] = (vkft_cut_launch){{1 + (uint32_t)(2000 * vkft_random_uniform(seed, 1, i)),
                                           1 + (uint32_t)(6 * vkft_random_uniform(seed, 2, i))},
                                          300 * vkft_random_uniform(seed, 3, i),
                                          false,
                                          vkft_random_uniform(seed, 4, i) < 0.2};
        }
        check_cut(random, count, 50, 700);
    }
}

/* Cut again and again at the places where it ended, each workgroup is still in one piece; what is a guess and long ends
 * a cut with a short submission of its own. */
static void test_probes(void **state)
{
    (void)state;
    vkft_cut_launch launches[] = {
        {{100, 3}, 40, false, false}, {{8, 1}, 9, true, false},    {{1000, 2}, 5000, true, false},
        {{50, 1}, 20, false, false},  {{3, 700}, 99, true, false}, {{1, 1}, 1000, true, false},
    };
    const vkft_cut_limits limits = {.target_ms = 250, .probe_ms = 10, .row = 300};
    static const uint32_t probed[] = {2, 4, 5};
    uint64_t covered[6] = {0};
    vkft_cut cut = {0};
    vkft_place at = {0, 0};
    uint32_t probes = 0;
    while (at.launch < 6) {
        assert_true(vkft_cut_make(&cut, launches, 6, at, &limits));
        assert_true(cut.pieces[0].launch == at.launch && vkft_piece_place(&cut.pieces[0]).base == at.base);
        for (uint32_t i = 0; i < cut.count; i++)
            covered[cut.pieces[i].launch] += (uint64_t)cut.pieces[i].count[0] * cut.pieces[i].count[1];
        const vkft_piece *last = &cut.pieces[cut.count - 1];
        at = cut.end;
        if (!cut.probes)
            continue;
        vkft_cut_launch *launch = &launches[last->launch];
        double share = (double)last->count[0] * last->count[1] / ((double)launch->groups[0] * launch->groups[1]);
        assert_int_equal(last->launch, probed[probes++]);
        assert_true(last->new_submission && (launch->time_ms * share <= 10 || last->launch == 5));
        launch->is_guess = false;
    }
    assert_int_equal(probes, 3);
    for (uint32_t i = 0; i < 6; i++)
        assert_int_equal(covered[i], (uint64_t)launches[i].groups[0] * launches[i].groups[1]);
    vkft_cut_free(&cut);
}

static void test_target(void **state)
{
    (void)state;
    assert_true(vkft_cut_target_ms(0) == 250 && vkft_cut_target_ms(2000) == 250 && vkft_cut_target_ms(10000) == 250);
    assert_true(vkft_cut_target_ms(800) == 100);
}

static void test_rates(void **state)
{
    (void)state;
    vkft_err err;
    const uint32_t narrow[] = {64, 8, 4}, wide[] = {64, 8, 40};
    char key[VKFT_RATE_KEY], other[VKFT_RATE_KEY];
    vkft_text text = {0}, again = {0}, newer = {0};
    vkft_rate_key("matmul_panel", narrow, 3, 0, key);
    vkft_rate_key("matmul_panel", wide, 3, 32, other);
    assert_string_equal(key, "matmul_panel/64,8,4/0");
    assert_string_equal(other, "matmul_panel/64,8,40/32");
    expect_ok(vkft_rates_start(&text, NULL, 77, &err));
    assert_true(vkft_rates_find(&text, key) == 0);
    expect_ok(vkft_rates_add(&text, other, 0.25, &err));
    assert_true(vkft_rates_find(&text, other) == 0.25 && vkft_rates_find(&text, key) == 0);
    expect_ok(vkft_rates_start(&again, text.data, 77, &err));
    assert_true(vkft_rates_find(&again, other) == 0.25);
    expect_ok(vkft_rates_start(&newer, text.data, 78, &err)); /* kernels of another build */
    assert_true(vkft_rates_find(&newer, other) == 0);
    static const char *const damaged[] = {"-1", "nan", "inf", "x", ""};
    for (size_t i = 0; i < sizeof damaged / sizeof *damaged; i++) {
        char line[VKFT_RATE_KEY + 8];
        int length = snprintf(line, sizeof line, "%s%zu %s\n", key, i, damaged[i]);
        expect_ok(vkft_text_append(&text, line, (size_t)length, &err));
        snprintf(line, sizeof line, "%s%zu", key, i);
        assert_true(vkft_rates_find(&text, line) == 0);
    }
    uint32_t many[40];
    memset(many, 0xff, sizeof many);
    vkft_rate_key("a_kernel_with_a_name", many, 40, 64, key); /* longer than its place: cut */
    assert_int_equal(strlen(key), VKFT_RATE_KEY - 1);
    vkft_text_free(&text), vkft_text_free(&again), vkft_text_free(&newer);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_cut),
        cmocka_unit_test(test_probes),
        cmocka_unit_test(test_target),
        cmocka_unit_test(test_rates),
    };
    return cmocka_run_group_tests_name("pacing", tests, NULL, NULL);
}
