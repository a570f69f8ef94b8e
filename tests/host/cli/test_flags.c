/* A table of flags parses, and says the values again as text. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "host/cli/flags.h"

typedef struct options {
    double rate;
    float alpha;
    uint32_t rank;
    int64_t steps;
    bool shuffle;
    int optimizer;
    const char *path;
} options;

#define AT(member) .offset = offsetof(options, member)

static const flag_choice optimizers[] = {{.name = "adamw", .value = 3}, {.name = "lion", .value = 5}, {0}};

static const flag flags[] = {
    {.kind = FLAG_HEADING, .name = "numbers"},
    {.kind = FLAG_DOUBLE, .name = "learning-rate", AT(rate)},
    {.kind = FLAG_FLOAT, .name = "lora-alpha", .same_run = true, AT(alpha)},
    {.kind = FLAG_U32, .name = "lora-r", .same_run = true, AT(rank)},
    {.kind = FLAG_I64, .name = "max-steps", AT(steps)},
    {.kind = FLAG_HEADING, .name = "others"},
    {.kind = FLAG_SWITCH, .name = "shuffle", AT(shuffle)},
    {.kind = FLAG_CHOICE, .name = "optim", .choices = optimizers, AT(optimizer)},
    {.kind = FLAG_TEXT, .name = "data", AT(path)},
};

static const flag_table table = {.command = "train", .usage = "", .flags = flags, .count = FLAG_COUNT(flags)};

static void settings_say_what_was_parsed(void **state)
{
    static const char *const expected[][2] = {
        {"learning-rate", "0.0002"}, {"lora-alpha", "0.1"}, {"lora-r", "16"}, {"max-steps", "-1"},
        {"shuffle", "off"},          {"optim", "lion"},     {"data", "none"},
    };
    char *argv[] = {"--learning-rate", "2e-4", "--lora-alpha=0.1", "--lora_r", "16",
                    "--max-steps",     "-1",   "--no-shuffle",     "--optim",  "lion"};
    options o = {.shuffle = true, .optimizer = 3};
    vkft_recipe recipe = {0};
    vkft_settings settings;
    (void)state;
    assert_int_equal(flags_parse(&table, &o, (int)FLAG_COUNT(argv), argv, &recipe, NULL), FLAGS_OK);
    assert_true(flags_settings(&table, &o, &settings, NULL));
    assert_int_equal(settings.count, FLAG_COUNT(expected));
    for (uint32_t i = 0; i < settings.count; i++) {
        assert_string_equal(settings.list[i].name, expected[i][0]);
        assert_string_equal(settings.list[i].value, expected[i][1]);
        assert_int_equal(settings.list[i].same_run, i == 1 || i == 2);
    }
    flags_settings_free(&settings);
}

/* Two values that print alike in six digits are two settings. */
static void numbers_read_back(void **state)
{
    options o = {.rate = 0.1 + 0.2, .alpha = 16777216.0f};
    char text[64];
    (void)state;
    flag_value_text(&flags[1], &o, text, sizeof text);
    assert_string_equal(text, "0.30000000000000004");
    flag_value_text(&flags[2], &o, text, sizeof text);
    assert_string_equal(text, "16777216");
}

static void long_texts_are_whole(void **state)
{
    char path[3000];
    memset(path, 'p', sizeof path - 1);
    path[sizeof path - 1] = 0;
    options o = {.path = path};
    vkft_settings settings;
    (void)state;
    assert_true(flags_settings(&table, &o, &settings, NULL));
    assert_string_equal(settings.list[settings.count - 1].value, path);
    flags_settings_free(&settings);
}

/* What is off or absent is left out. */
static void settings_are_printed_by_heading(void **state)
{
    options o = {.rate = 0.5, .alpha = 32, .rank = 16, .steps = 7, .optimizer = 5};
    char text[512] = "";
    FILE *out = tmpfile();
    (void)state;
    flags_print_settings(&table, &o, out);
    rewind(out);
    size_t n = fread(text, 1, sizeof text - 1, out);
    fclose(out);
    text[n] = 0;
    assert_string_equal(text, "numbers                 learning-rate 0.5, lora-alpha 32, lora-r 16, max-steps 7\n"
                              "others                  optim lion\n");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(settings_say_what_was_parsed),
        cmocka_unit_test(numbers_read_back),
        cmocka_unit_test(long_texts_are_whole),
        cmocka_unit_test(settings_are_printed_by_heading),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
