/* What an answer shows is the text before the string that ends it, however the text comes in parts. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "host/chat/held_text.h"
#include "tests/support/expect.h"

/* In parts of `step` bytes. */
static void expect_shown(const char *text, size_t step, const char *const *stops, const char *want, bool ended)
{
    vkft_err err = {0};
    vkft_held_text held = {0};
    vkft_text shown = {0};
    for (size_t at = 0, length = strlen(text); at < length; at += step) {
        expect_ok(vkft_held_text_push(&held, text + at, at + step < length ? step : length - at, stops, &shown, &err));
        assert_true(shown.length <= strlen(want)); /* nothing is shown too early */
    }
    assert_int_equal(held.ended, ended);
    expect_ok(vkft_held_text_finish(&held, &shown, &err));
    expect_ok(vkft_text_append(&shown, "", 0, &err));
    assert_string_equal(shown.data, want);
    vkft_text_free(&shown);
    vkft_held_text_free(&held);
}

static void test_every_split(void **state)
{
    (void)state;
    static const char *const none[] = {NULL}, *const two[] = {"\nUser:", "END", NULL}, *const same[] = {"aab", NULL};
    for (size_t step = 1; step < 20; step++) {
        expect_shown("a text\nUser", step, none, "a text\nUser", false);
        expect_shown("a text\nUser: more END", step, two, "a text", true);
        expect_shown("END", step, two, "", true);
        expect_shown("a text\nUs", step, two, "a text\nUs", false);
        expect_shown("a \nUsEN \nUserEND", step, two, "a \nUsEN \nUser", true);
        expect_shown("xaaab", step, same, "xa", true); /* its beginning comes twice */
        expect_shown("xaa", step, same, "xaa", false);
    }
}

/* Only what may be the beginning of such a string waits. */
static void test_what_waits(void **state)
{
    (void)state;
    vkft_err err = {0};
    vkft_held_text held = {0};
    vkft_text shown = {0};
    static const char *const stops[] = {"\nUser:", NULL};
    expect_ok(vkft_held_text_push(&held, "abc\nUs", 6, stops, &shown, &err));
    assert_int_equal(shown.length, 3);
    expect_ok(vkft_held_text_push(&held, "a", 1, stops, &shown, &err));
    assert_int_equal(shown.length, 7);
    vkft_text_free(&shown);
    vkft_held_text_free(&held);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_split),
        cmocka_unit_test(test_what_waits),
    };
    return cmocka_run_group_tests_name("held_text", tests, NULL, NULL);
}
