/* Stages: data that is written to device memory while the launches of the stage before run. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "shaders/elementwise/args.h"
#include "tests/support/expect.h"
#include "tests/support/kernels/kernel_test.h"

/* Writes the number everywhere. */
static bool fill_number(void *context, uint32_t number, void *memory, vkft_err *err)
{
    uint32_t *calls = context, *words = memory;
    (*calls)++;
    for (uint32_t i = 0; i < 1000; i++)
        words[i] = number;
    return number != 99 || vkft_fail(err, VKFT_ERR_INPUT, "number 99 cannot be read");
}

/* Stages read what their uploads write, in two places in turn; what a place holds already is not written again. */
static void test_stages(void **state)
{
    const vkft_kernel_fixture *f = *state;
    vkft_err err;
    enum { WORDS = 1000, STAGES = 7, WHOLE = 6 }; /* the last one's launch may end between two submissions */
    static const uint32_t numbers[STAGES] = {1, 2, 3, 4, 3, 2, 5}; /* 3 is still there when it comes again, 2 is not */
    vkft_buffer slots[2], staging, result;
    uint32_t holds[2] = {UINT32_MAX, UINT32_MAX}, calls = 0, got[STAGES * WORDS];
    for (int i = 0; i < 2; i++)
        expect_ok(vkft_buffer_new(f->dev, 256 + WORDS * 4, VKFT_MEMORY_DEVICE, "slot", &slots[i], &err));
    expect_ok(vkft_buffer_new(f->dev, WORDS * 4, VKFT_MEMORY_HOST, "staging", &staging, &err));
    expect_ok(vkft_buffer_new(f->dev, sizeof got, VKFT_MEMORY_DEVICE, "result", &result, &err));
    vkft_upload uploads[STAGES + 1];
    vkft_commands_reset(f->cmds);
    for (uint32_t i = 0; i <= STAGES; i++) {
        uint32_t number = i < STAGES ? numbers[i] : 99, slot = number % 2;
        uploads[i] = (vkft_upload){.number = number,
                                   .holds = &holds[slot],
                                   .to = &slots[slot],
                                   .offset = 256,
                                   .bytes = WORDS * 4,
                                   .staging = &staging,
                                   .fill = fill_number,
                                   .context = &calls};
        vkft_commands_stage(f->cmds, &uploads[i]); /* the last one has no launches */
        if (i == STAGES)
            break;
        struct copy_columns_args copy = {.from = slots[slot].address + 256,
                                         .to = result.address + i * WORDS * 4,
                                         .T = 1,
                                         .n = WORDS,
                                         .run = WORDS,
                                         .from_ld = WORDS,
                                         .to_ld = WORDS};
        vkft_launch(f->cmds, VKFT_KERNEL_copy_columns, &copy, sizeof copy, WORDS, 1, WORDS);
    }
    for (int run = 0; run < 2; run++) {
        expect_failure(vkft_commands_run(f->cmds, &err), "number 99 cannot be read");
        expect_ok(vkft_buffer_read(f->dev, &result, 0, got, sizeof got, &err));
        for (uint32_t i = 0; i < WHOLE * WORDS; i++)
            assert_int_equal(got[i], numbers[i / WORDS]);
    }
    assert_int_equal(calls, 7 + 6); /* 2 of the first run is still there */
    vkft_commands_reset(f->cmds);
    for (int i = 0; i < 2; i++)
        vkft_buffer_free(f->dev, &slots[i]);
    vkft_buffer_free(f->dev, &staging);
    vkft_buffer_free(f->dev, &result);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_stages)};
    return cmocka_run_group_tests_name("stages", tests, vkft_kernel_setup, vkft_kernel_teardown);
}
