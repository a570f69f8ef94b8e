/* Manual page, completions and docs/flags.md name every command and every flag that the program has, and are
 * well-formed. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "tests/support/program.h"

static const char *const commands[] = {"devices",  "convert",  "train", "eval", "generate",
                                       "tokenize", "template", "data",  "bench"};
enum { COMMANDS = sizeof commands / sizeof commands[0] };

/* The part of a format that belongs to one command; the caller frees it. */
static char *part_of(const char *format, const char *command)
{
    vkft_test_result r = vkft_test_program("%s --help=%s", command, format);
    assert_int_equal(r.exit_code, 0);
    char *text = strdup(r.out);
    vkft_test_result_free(&r);
    assert_non_null(text);
    return text;
}

/* How a format spells a flag. */
static void spell(const char *format, const char *name, char *out, size_t size)
{
    if (strcmp(format, "fish") == 0) {
        snprintf(out, size, " -l %s", name);
        return;
    }
    char typed[80];
    snprintf(typed, sizeof typed, "--%s", name);
    size_t n = 0;
    for (const char *p = typed; *p && n + 3 < size; p++) {
        if (strcmp(format, "man") == 0 && *p == '-')
            out[n++] = '\\';
        out[n++] = *p;
    }
    out[n] = 0;
}

/* Whether the word occurs whole, not as the beginning of a longer one. */
static bool contains(const char *text, const char *word)
{
    for (const char *at = text; (at = strstr(at, word)); at++)
        if (!strchr("abcdefghijklmnopqrstuvwxyz0123456789-\\", at[strlen(word)]))
            return true;
    return false;
}

/* Looks for every flag that the help of a command lists. Returns how many those are. */
static uint32_t check_flags(const char *command, const char *format)
{
    vkft_test_result r = vkft_test_program("help %s", command);
    char *part = part_of(format, command);
    uint32_t count = 0;
    for (char *line = strtok(r.out, "\n"); line; line = strtok(NULL, "\n")) {
        char *flag = strstr(line, "--");
        if (strncmp(line, "  -", 3) != 0 || !flag || strncmp(flag, "--help", 6) == 0)
            continue;
        char name[64], spelled[160];
        bool is_switch = strncmp(flag, "--[no-]", 7) == 0;
        assert_int_equal(sscanf(flag + (is_switch ? 7 : 2), "%63[a-z0-9-]", name), 1);
        if (is_switch && strcmp(format, "man") == 0) {
            char both[80];
            snprintf(both, sizeof both, "[no-]%s", name);
            spell(format, both, spelled, sizeof spelled);
        } else {
            spell(format, name, spelled, sizeof spelled);
        }
        if (!contains(part, spelled))
            fail_msg("%s: flag --%s of %s is missing", format, name, command);
        count++;
    }
    vkft_test_result_free(&r);
    free(part);
    return count;
}

static void test_complete(void **state)
{
    (void)state;
    static const char *const formats[] = {"man", "bash", "zsh", "fish"};
    for (size_t f = 0; f < sizeof formats / sizeof formats[0]; f++) {
        vkft_test_result r = vkft_test_program("help --format %s", formats[f]);
        assert_int_equal(r.exit_code, 0);
        assert_string_equal(r.err, "");
        for (size_t c = 0; c < COMMANDS; c++) {
            char *part = part_of(formats[f], commands[c]);
            if (!strstr(r.out, part))
                fail_msg("%s: the part of %s is missing", formats[f], commands[c]);
            free(part);
            uint32_t count = check_flags(commands[c], formats[f]);
            assert_true(count >= (strcmp(commands[c], "train") == 0 ? 40u : 2u));
        }
        vkft_test_result_free(&r);
    }
}

static void test_values(void **state)
{
    (void)state;
    static const char *const expected[][2] = {
        {"bash", "train,--quant) words='nf4 bf16 fp16 fp32 none stored'"},
        {"zsh", ":(nf4 bf16 fp16 fp32 none stored)'"},
        {"fish", "-x -a 'nf4 bf16 fp16 fp32 none stored'"},
        {"man", "nf4, bf16, fp16, fp32, none, stored (default nf4; stored for"},
    };
    for (size_t i = 0; i < sizeof expected / sizeof expected[0]; i++) {
        char *part = part_of(expected[i][0], "train");
        if (!strstr(part, expected[i][1]))
            fail_msg("%s: expected '%s' in '%s'", expected[i][0], expected[i][1], part);
        free(part);
    }
}

static void test_unknown_format(void **state)
{
    (void)state;
    vkft_test_result r = vkft_test_program("help --format tcsh");
    assert_int_equal(r.exit_code, 2);
    assert_non_null(strstr(r.err, "expected one of man, bash, zsh, fish"));
    assert_string_equal(r.out, "");
    vkft_test_result_free(&r);
}

/* docs/flags.md holds the help of every command, as tools/update-readme writes it. */
static void test_documented(void **state)
{
    (void)state;
    size_t size;
    char *text = vkft_test_read(VKFT_PROJECT_DIR "/docs/flags.md", &size);
    for (size_t c = 0; c < COMMANDS; c++) {
        char begin[96];
        snprintf(begin, sizeof begin, "<!-- output of: vkft help %s -->\n```\n", commands[c]);
        const char *block = strstr(text, begin);
        if (!block)
            fail_msg("docs/flags.md: the block of %s is missing", commands[c]);
        block += strlen(begin);
        vkft_test_result r = vkft_test_program("help %s", commands[c]);
        size_t length = strlen(r.out);
        if (strncmp(block, r.out, length) != 0 || strncmp(block + length, "```", 3) != 0)
            fail_msg("docs/flags.md: the flags of %s have changed; run tools/update-readme", commands[c]);
        vkft_test_result_free(&r);
    }
    free(text);
}

#ifdef __linux__
/* The exit code of a checker that reads a format from standard input; its output counts as a failure, too. */
static void check_with(const char *format, const char *program, const char *arguments)
{
    char command[1024], line[256];
    snprintf(command, sizeof command, "command -v %s >/dev/null", program);
    if (system(command) != 0) {
        printf("skipped: %s is not installed\n", program);
        return;
    }
    snprintf(command, sizeof command, "'%s' help --format %s | %s %s 2>&1", VKFT_PROGRAM, format, program, arguments);
    FILE *pipe = popen(command, "r");
    assert_non_null(pipe);
    if (fgets(line, sizeof line, pipe))
        fail_msg("%s: %s", program, line);
    assert_int_equal(pclose(pipe), 0);
}

static void test_well_formed(void **state)
{
    (void)state;
    check_with("bash", "bash", "-n /dev/stdin");
    check_with("zsh", "zsh", "-n /dev/stdin");
    check_with("fish", "fish", "--no-execute /dev/stdin");
    check_with("man", "groff", "-man -ww -z");
}
#endif

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_complete),       cmocka_unit_test(test_values),
        cmocka_unit_test(test_unknown_format), cmocka_unit_test(test_documented),
#ifdef __linux__
        cmocka_unit_test(test_well_formed),
#endif
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
