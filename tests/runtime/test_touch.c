/* Which launches may run at the same time, by what they touch. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "runtime/touch.h"

static const vkft_touch a = {.reads = {{1000, 100}}, .writes = {{2000, 100}}};

/* Whether a second launch may run beside `a`. */
static bool beside(vkft_touch touch)
{
    vkft_touch_window window = {0};
    assert_false(vkft_touch_window_add(&window, &a)); /* the first always has a barrier */
    return vkft_touch_window_add(&window, &touch);
}

static void test_pairs(void **state)
{
    (void)state;
    assert_true(beside((vkft_touch){.reads = {{1000, 100}}, .writes = {{3000, 100}}}));  /* the same input */
    assert_true(beside((vkft_touch){.reads = {{2100, 100}}, .writes = {{1900, 100}}}));  /* right beside */
    assert_false(beside((vkft_touch){.reads = {{2099, 100}}, .writes = {{3000, 100}}})); /* reads its output */
    assert_false(beside((vkft_touch){.reads = {{1, 1}, {2, 1}, {1990, 11}}, .writes = {{3000, 1}}}));
    assert_false(beside((vkft_touch){.writes = {{3000, 100}, {1099, 1}}})); /* overwrites its input */
    assert_false(beside((vkft_touch){.writes = {{2050, 1}}}));              /* overwrites its output */
    assert_false(beside((vkft_touch){.writes = {{0, 1ull << 40}}}));
    assert_true(beside((vkft_touch){.writes = {{2050, 0}}}));
}

static void test_window(void **state)
{
    (void)state;
    vkft_touch_window window = {0};
    const vkft_touch other = {.reads = {{1000, 100}}, .writes = {{3000, 100}}};
    assert_false(vkft_touch_window_add(&window, &a));
    assert_true(vkft_touch_window_add(&window, &other));
    assert_false(vkft_touch_window_add(&window, &a)); /* against the first of them */
    assert_true(vkft_touch_window_add(&window, &other));
    assert_false(vkft_touch_window_add(&window, NULL));
    assert_false(vkft_touch_window_add(&window, &other)); /* the one before is unknown */
    for (uint64_t i = 0; i < 3 * VKFT_TOUCH_WINDOW; i++) {
        const vkft_touch own = {.writes = {{10000 + 10 * i, 10}}};
        vkft_touch_window_add(&window, &own);
        assert_true(window.count > 0 && window.count <= VKFT_TOUCH_WINDOW);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_pairs), cmocka_unit_test(test_window)};
    return cmocka_run_group_tests_name("touch", tests, NULL, NULL);
}
