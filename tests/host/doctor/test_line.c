/* Lines between the doctor and its children: what is written is read back, whatever it holds. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "host/doctor/line.h"

static void expect_parts(const vkft_doctor_line *line, const char *kind, const char *a, const char *b, const char *c)
{
    assert_string_equal(line->kind, kind);
    assert_string_equal(line->a, a);
    assert_string_equal(line->b, b);
    assert_string_equal(line->c, c);
}

static void test_lines(void **state)
{
    (void)state;
    char text[200], small[8], said[] = "WARNING: a driver\twarns", bare[] = "\t", few[] = "\tok\tfine";
    vkft_doctor_line_text(&(vkft_doctor_line){"ok", "one\ttwo\nthree", "", "four"}, text, sizeof text);
    assert_string_equal(text, "\tok\tone two three\t\tfour");
    vkft_doctor_line read = vkft_doctor_line_parse(text);
    expect_parts(&read, "ok", "one two three", "", "four");
    read = vkft_doctor_line_parse(said);
    expect_parts(&read, "said", "WARNING: a driver\twarns", "", "");
    read = vkft_doctor_line_parse(bare);
    expect_parts(&read, "", "", "", "");
    read = vkft_doctor_line_parse(few);
    expect_parts(&read, "ok", "fine", "", "");
    vkft_doctor_line_text(&(vkft_doctor_line){"problem", "long", "", ""}, small, sizeof small);
    assert_string_equal(small, "\tproble");
}

static void keep(void *context, const vkft_doctor_line *line)
{
    vkft_doctor_line_text(line, context, 200);
}

static void test_tell(void **state)
{
    (void)state;
    char text[200];
    const vkft_doctor_listener to = {keep, text};
    vkft_doctor_tell(&to, "warning", "do this", "%s is %d", "it", 7);
    assert_string_equal(text, "\twarning\tit is 7\tdo this\t");
    vkft_doctor_tell(&to, "stage", NULL, "%s", "now");
    assert_string_equal(text, "\tstage\tnow\t\t");
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_lines), cmocka_unit_test(test_tell)};
    return cmocka_run_group_tests_name("lines", tests, NULL, NULL);
}
