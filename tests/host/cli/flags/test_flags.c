/* A table of flags parses, and says the values again as text. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "host/cli/flags/flags.h"

typedef struct options {
    double rate;
    float alpha;
    uint32_t rank;
    int64_t steps;
    bool shuffle;
    int optimizer;
    const char *path;
    const char *ends[FLAG_TEXTS_MAX + 1];
} options;

#define AT(member) .offset = offsetof(options, member)

static const flag_choice optimizers[] = {{.name = "adamw", .value = 3}, {.name = "lion", .value = 5}, {0}};

static const flag flags[] = {
    {.kind = FLAG_HEADING, .name = "numbers"},
    {.kind = FLAG_DOUBLE, .name = "learning-rate", AT(rate)},
    {.kind = FLAG_FLOAT, .name = "lora-alpha", .same_run = true, AT(alpha), .range = ABOVE(0)},
    {.kind = FLAG_U32, .name = "lora-r", .help = "", .same_run = true, AT(rank)},
    {.kind = FLAG_I64, .name = "max-steps", AT(steps)},
    {.kind = FLAG_HEADING, .name = "others"},
    {.kind = FLAG_SWITCH, .name = "shuffle", AT(shuffle)},
    {.kind = FLAG_CHOICE, .name = "optim", .choices = optimizers, AT(optimizer)},
    {.kind = FLAG_TEXT, .name = "data", AT(path)},
    {.kind = FLAG_TEXTS, .name = "stop", .value = "TEXT", .help = "h", AT(ends)},
};

static const flag_spelling spellings[] = {
    {.name = "other programs"},
    {.name = "lora_rank", .flag = "lora-r"},
    {.name = "ratio", .flag = "learning-rate", .range = FROM_TO_BELOW(0, 1)},
    {.name = "file", .flag = "data", .prefix = "dir/"},
    {.name = "fast", .value = "true", .flag = "optim", .means = "lion"},
    {.name = "fast", .value = "false", .flag = "optim", .verdict = SPELLING_NOTHING, .note = "n"},
    {.name = "optim", .value = "Adam", .flag = "optim", .verdict = SPELLING_REFUSED, .note = "use adamw"},
    {.name = "ends", .flag = "stop"},
    {.name = "lora_rank", .flag = "max-steps"}, /* the first row counts */
    {.name = "depth", .flag = "not-in-the-table"},
    {0},
};

static const flag_table table = {
    .command = "train", .usage = "", .flags = flags, .count = FLAG_COUNT(flags), .spellings = spellings};

static void settings_say_what_was_parsed(void **state)
{
    static const char *const expected[][2] = {
        {"learning-rate", "0.0002"}, {"lora-alpha", "0.1"}, {"lora-r", "16"}, {"max-steps", "-1"},
        {"shuffle", "off"},          {"optim", "lion"},     {"data", "none"}, {"stop", "none"},
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
    o = (options){.rate = 170, .alpha = 20};
    flag_value_text(&flags[1], &o, text, sizeof text);
    assert_string_equal(text, "170");
    flag_value_text(&flags[2], &o, text, sizeof text);
    assert_string_equal(text, "20");
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
    assert_string_equal(settings.list[settings.count - 2].value, path);
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

/* Each is refused with one line that names the flag and contains the text. */
static void wrong_values_are_refused(void **state)
{
    static const struct {
        const char *word, *part;
    } cases[] = {
        {"--lora-alpha=0", "--lora-alpha: expected a number, above 0"},
        {"--lora-alpha=1e-50", "above 0"}, /* its float is 0 */
        {"--lora-alpha=1e50", "found '1e50'"},
        {"--lora-alpha=nan", "found 'nan'"},
        {"--learning-rate=1e400", "expected a number"},
        {"--learning-rate=1x", "found '1x'"},
        {"--lora-r=-1", "whole number"},
        {"--lora-r=4294967296", "whole number"},
        {"--lora-r", "a value is missing"},
        {"--max-steps=9223372036854775808", "whole number"},
        {"--shuffle=perhaps", "expected true or false"},
        {"--optim=sgd", "adamw, lion"},
        {"--data=", "found nothing"},
        {"--lora-aplha=1", "lora-alpha"},
        {"stray", "unexpected argument 'stray'"},
        {"--ratio=1", "--ratio: expected a number, at least 0 and below 1, found '1'"},
        {"--ratio=x", "--ratio: expected a number, found 'x'"},
        {"--fast=perhaps", "--fast: expected true, false, found 'perhaps'"},
        {"--no-fast=perhaps", "--no-fast: expected true or false, found 'perhaps'"},
        {"--optim=adam", "--optim adam: use adamw"}, /* upper case or lower */
        {"--lora_rang=1", "did you mean --lora_rank?"},
        {"--depth=1", "unknown flag"},
        {"--file", "a value is missing"},
        {"--stop=", "--stop: expected TEXT, found nothing"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char word[64];
        char *argv[] = {word};
        options o = {.alpha = 1};
        vkft_recipe recipe = {0};
        vkft_err err = {0};
        strcpy(word, cases[i].word);
        if (flags_parse(&table, &o, 1, argv, &recipe, &err) != FLAGS_WRONG || !strstr(err.message, cases[i].part) ||
            strchr(err.message, '\n'))
            fail_msg("%s: '%s', expected '%s'", cases[i].word, err.message, cases[i].part);
        assert_int_equal(err.kind, VKFT_ERR_USAGE);
    }
}

static void names_of_other_programs(void **state)
{
    char *argv[] = {"--lora-rank", "7", "--ratio=0.5", "--file", "x", "--fast", "True"};
    options o = {.alpha = 1, .optimizer = 3};
    vkft_recipe recipe = {0};
    (void)state;
    assert_int_equal(flags_parse(&table, &o, (int)FLAG_COUNT(argv), argv, &recipe, NULL), FLAGS_OK);
    assert_true(o.rank == 7 && o.rate == 0.5 && o.optimizer == 5 && o.steps == 0);
    assert_string_equal(o.path, "dir/x");
    recipe_free(&recipe);
    char *slow[] = {"--no-fast"}, *slower[] = {"--fast=false"};
    o.optimizer = 3;
    assert_int_equal(flags_parse(&table, &o, 1, slow, &recipe, NULL), FLAGS_OK);
    assert_int_equal(flags_parse(&table, &o, 1, slower, &recipe, NULL), FLAGS_OK);
    assert_int_equal(o.optimizer, 3);
    char text[300];
    flag_help_text(&table, &flags[3], &o, text, sizeof text);
    assert_non_null(strstr(text, "; also --lora-rank (default"));
}

static void the_last_value_wins(void **state)
{
    char *argv[] = {"--lora-r", "4", "--lora-r=8", "--no-shuffle", "--shuffle"};
    options o = {.alpha = 1};
    vkft_recipe recipe = {0};
    (void)state;
    assert_int_equal(flags_parse(&table, &o, 5, argv, &recipe, NULL), FLAGS_OK);
    assert_int_equal(o.rank, 8);
    assert_true(o.shuffle);
    char *help[] = {"--lora-r", "4", "--help"};
    assert_int_equal(flags_parse(&table, &o, 3, help, &recipe, NULL), FLAGS_HELP);
}

/* Each use adds one, commas are text, and the command line's go before those of the recipe. */
static void several_texts(void **state)
{
    char *argv[] = {"--stop", "a,b", "--ends=--c", "--stop", "a,b"};
    options o = {.alpha = 1};
    vkft_recipe recipe = {0};
    char text[64];
    (void)state;
    o.ends[0] = "by default";
    assert_int_equal(flags_parse(&table, &o, 5, argv, &recipe, NULL), FLAGS_OK);
    flag_value_text(flags_find(&table, "stop"), &o, text, sizeof text);
    assert_string_equal(text, "a,b, --c, a,b");
    assert_null(o.ends[3]);
    flag_help_text(&table, flags_find(&table, "stop"), &o, text, sizeof text);
    assert_string_equal(text, "h; may be given several times; also --ends (default a,b, --c, a");

    char *many[FLAG_TEXTS_MAX + 1];
    vkft_err err = {0};
    for (int i = 0; i <= FLAG_TEXTS_MAX; i++)
        many[i] = "--stop=x";
    assert_int_equal(flags_parse(&table, &o, FLAG_TEXTS_MAX, many, &recipe, &err), FLAGS_OK);
    assert_int_equal(flags_parse(&table, &o, FLAG_TEXTS_MAX + 1, many, &recipe, &err), FLAGS_WRONG);
    assert_string_equal(err.message, "--stop: 'x' is one more than the 16 that can be given");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(settings_say_what_was_parsed), cmocka_unit_test(numbers_read_back),
        cmocka_unit_test(wrong_values_are_refused),     cmocka_unit_test(names_of_other_programs),
        cmocka_unit_test(the_last_value_wins),          cmocka_unit_test(several_texts),
        cmocka_unit_test(long_texts_are_whole),         cmocka_unit_test(settings_are_printed_by_heading),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
