/* Cross entropy, sums, clipping and the optimizers at odd shapes; the checks are those of
 * host/doctor/checks/training.c. Several steps of each optimizer beside PyTorch's are in test_optimizer. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "tests/support/kernels/lab_test.h"

static void test_cross_entropy(void **state)
{
    static const struct {
        uint32_t rows, V;
        float spread;
        vkft_loss_form form;
    } cases[] = {
        {1, 1, 1, {.softcap = 0}},
        {31, 7, 1, {.softcap = 0}},
        {3, 97, 30, {.softcap = 0}}, /* nearly one-hot */
        {2, 333, 1, {.softcap = 0}},
        {3, 1001, 5, {.softcap = 0}},
        {2, 50257, 3, {.softcap = 0}},
        {31, 7, 1, {.softcap = 2}},
        {2, 333, 30, {.softcap = 5}},
        {1, 1, 1, {.smoothing = 0.1f, .z_loss = 0.1f}},
        {31, 7, 1, {.smoothing = 0.5f}},
        {3, 97, 30, {.smoothing = 0.1f}},
        {3, 1001, 5, {.z_loss = 0.01f}},
        {2, 333, 30, {.softcap = 5, .smoothing = 0.2f, .z_loss = 0.001f}},
        {2, 50257, 3, {.smoothing = 0.1f, .z_loss = 1e-4f}},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        vkft_check_cross_entropy(*state, cases[i].rows, cases[i].V, cases[i].spread, cases[i].form);
}

static void test_sums(void **state)
{
    static const uint32_t sizes[] = {1, 31, 1000, 40001};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++)
        vkft_check_sums(*state, sizes[i]);
}

static void test_clip(void **state)
{
    vkft_check_clip(*state, 5, 1);
    vkft_check_clip(*state, 5, 8);
    vkft_check_clip(*state, 5, 0);
    vkft_check_clip(*state, 1, 0.5f);
    vkft_check_clip(*state, 1024, 3);
}

static void test_optimizers(void **state)
{
    static const uint32_t sizes[] = {1, 31, 1003};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        vkft_check_adamw(*state, sizes[i]);
        vkft_check_adamw_8bit(*state, sizes[i]);
        vkft_check_lion(*state, sizes[i]);
        vkft_check_lion_8bit(*state, sizes[i]);
        vkft_check_sgd(*state, sizes[i]);
    }
}

static void test_adafactor(void **state)
{
    static const uint32_t shapes[][2] = {{1, 1}, {1, 31}, {1, 1003}, {31, 1}, {333, 1}, {3, 17}, {31, 333}, {257, 129}};
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++)
        vkft_check_adafactor(*state, shapes[i][0], shapes[i][1]);
    static const uint32_t adapters[][2] = {{1, 0}, {1003, 0}, {1, 1}, {31, 3}, {333, 16}, {5, 67}};
    for (size_t i = 0; i < sizeof adapters / sizeof *adapters; i++)
        vkft_check_lorafa(*state, adapters[i][0], adapters[i][1]);
}

static void test_muon(void **state)
{
    static const uint32_t shapes[][2] = {{1, 1}, {1, 31}, {31, 1}, {3, 17}, {333, 31}, {31, 333}};
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++)
        vkft_check_muon(*state, shapes[i][0], shapes[i][1]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test_teardown(test_cross_entropy, vkft_lab_verdict),
                                       cmocka_unit_test_teardown(test_sums, vkft_lab_verdict),
                                       cmocka_unit_test_teardown(test_clip, vkft_lab_verdict),
                                       cmocka_unit_test_teardown(test_optimizers, vkft_lab_verdict),
                                       cmocka_unit_test_teardown(test_adafactor, vkft_lab_verdict),
                                       cmocka_unit_test_teardown(test_muon, vkft_lab_verdict)};
    return cmocka_run_group_tests_name("kernels: training", tests, vkft_lab_setup, vkft_lab_teardown);
}
