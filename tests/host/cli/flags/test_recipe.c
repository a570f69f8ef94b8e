/* Recipes in YAML and JSON: the entries they become, and what is refused with its line. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "host/cli/flags/recipe.h"
#include "runtime/base/file.h"
#include "runtime/base/text.h"
#include "tests/support/expect.h"
#include "tests/support/program.h"

static char *dir, path[600];

static int make_directory(void **state)
{
    (void)state;
    dir = vkft_test_directory();
    return 0;
}

static int remove_directory(void **state)
{
    (void)state;
    vkft_test_remove_directory(dir);
    return 0;
}

static bool read_text(const char *name, const char *text, vkft_recipe *recipe, vkft_err *err)
{
    snprintf(path, sizeof path, "%s/%s", dir, name);
    if (!vkft_file_write(path, text, strlen(text), err))
        fail_msg("%s", err->message);
    *recipe = (vkft_recipe){0};
    return recipe_read(path, recipe, err);
}

typedef struct entry {
    const char *name, *value;
    uint32_t line;
} entry;

static void expect_entries(const char *name, const char *text, const entry *wanted, uint32_t count)
{
    vkft_recipe recipe;
    vkft_err err = {0};
    expect_ok(read_text(name, text, &recipe, &err));
    assert_int_equal(recipe.count, count);
    for (uint32_t i = 0; i < count; i++) {
        const vkft_recipe_entry *got = &recipe.entries[i];
        assert_string_equal(got->name, wanted[i].name);
        assert_int_equal(got->line, wanted[i].line);
        assert_int_equal(got->value == NULL, wanted[i].value == NULL);
        if (got->value)
            assert_string_equal(got->value, wanted[i].value);
    }
    recipe_free(&recipe);
}

static void test_yaml(void **state)
{
    (void)state;
    const entry wanted[] = {{"model", "m 1", 2}, {"batch_size", "4", 3}, {"data", "a.txt,b.txt", 4},
                            {"seed", NULL, 7},   {"shuffle", "no", 8},   {"empty", "", 9},
                            {"list", "", 10}};
    expect_entries("a.yaml",
                   "# a run\nmodel: m 1\nbatch_size: 4\ndata:\n  - a.txt\n  - b.txt\nseed: ~\nshuffle: no\nempty: "
                   "\"\"\nlist: []\n",
                   wanted, 7);
}

static void test_json(void **state)
{
    (void)state;
    const entry wanted[] = {
        {"model", "m", 1}, {"lora-alpha", "0.5", 2}, {"steps", "12", 3}, {"on", "true", 3}, {"seed", NULL, 4}};
    static const char text[] =
        "{\"model\": \"m\",\n \"lora-alpha\": 0.5,\n \"steps\": 12, \"on\": true,\n \"seed\": null}";
    expect_entries("a.json", text, wanted, 5);
    expect_entries("a.txt", text, wanted, 5); /* by its first character */
}

/* The arguments of a class count as if they stood outside, with their lines. */
static void test_groups(void **state)
{
    (void)state;
    const entry wanted[] = {
        {"model", "m", 1}, {"r", "8", 3}, {"target_modules", "q,v", 4}, {"load_in_4bit", "true", 5}, {"seed", "1", 6}};
    expect_entries("a.yaml",
                   "model: m\nlora_config:\n  r: 8\n  target_modules: [q, v]\nquantization_config: {load_in_4bit: "
                   "true}\nseed: 1\ntraining_args: {}\n",
                   wanted, 5);
    expect_entries("a.json",
                   "{\"model\": \"m\",\n\"lora_config\": {\n\"r\": 8,\n\"target_modules\": [\"q\", \"v\"]},\n"
                   "\"bnb_config\": {\"load_in_4bit\": true},\n\"seed\": 1}",
                   wanted, 5);
}

static void test_refused(void **state)
{
    (void)state;
    static const struct {
        const char *name, *text, *part;
    } cases[] = {
        {"a.yaml", "", "the recipe is empty"},
        {"a.yaml", "- a\n- b\n", ":1: expected lines such as"},
        {"a.yaml", "a: 1\nb:\n  c: 1\n", ":2: b: a nested value"},
        {"a.yaml", "lora_config:\n  peft_config:\n    r: 1\n", ":2: peft_config: a nested value"},
        {"a.yaml", "lora_config:\n  r: {x: 1}\n", ":2: r: a nested value"},
        {"a.yaml", "lora_config:\n  r: 1\nr: 2\n", ":3: r stands twice, first in line 2"},
        {"a.yaml", "lora_config: [{r: 1}]\n", ":1: lora_config: a nested value"},
        {"a.json", "{\"lora_config\":\n {\"peft_config\": {\"r\": 1}}}", ":2: peft_config: a nested value"},
        {"a.yaml", "a: 1\nb: 2\na: 3\n", ":3: a stands twice, first in line 1"},
        {"a.yaml", "a: 1\nb: [1\n", "not YAML"},
        {"a.yaml", "a: \"x\\0y\"\n", "a nested value"}, /* a zero byte has no place in an argument */
        {"a.yaml", "a: 1\n---\nb: 2\n", ":2: a second document"},
        {"a.yaml", "a: *x\n", ":1: the alias *x does not stand for a text"},
        {"a.yaml", "a: &x [1]\nb: *x\n", ":2: the alias *x does not stand for a text"},
        {"a.json", "{\"a\": 1,\n \"b\": [[1]]}", ":2: b: a nested value"},
        {"a.json", "{\"a\": 12345678901234567890}", "too large for JSON"},
        {"a.json", "{\"a\": 1", "line 1"},
        {"a.json", "[1]", "expected an object"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        vkft_recipe recipe;
        vkft_err err;
        expect_failure(read_text(cases[i].name, cases[i].text, &recipe, &err), cases[i].part);
        assert_int_equal(err.kind, VKFT_ERR_USAGE);
        recipe_free(&recipe);
    }
}

/* Anchors stand for texts, where a list wants one too; the last one of a name counts. */
static void test_aliases(void **state)
{
    (void)state;
    const entry wanted[] = {{"r", "16", 1}, {"alpha", "16", 2}, {"list", "16,a", 3}, {"n", NULL, 4},
                            {"m", NULL, 5}, {"s", "x", 6},      {"t", "x", 7}};
    expect_entries("a.yaml", "r: &r 16\nalpha: *r\nlist: [*r, a]\nn: &n ~\nm: *n\ns: &r x\nt: *r\n", wanted, 7);
}

static void append(vkft_text *text, const char *part)
{
    assert_true(vkft_text_append(text, part, strlen(part), NULL));
}

/* What would take a time or a memory out of all proportion to the file is refused by its number. */
static void test_bounds(void **state)
{
    (void)state;
    static const struct {
        const char *name, *begin, *again, *end, *part;
        int count;
    } cases[] = {
        {"a.yaml", "a: ", "[", "", "a nested value", 100000},
        {"a.yaml", "a: ", "{", "", "a nested value", 100000},
        {"a.yaml", "", "- ", "", "expected lines such as", 100000},
        {"a.yaml", "a: &x 0123456789012345678901234567890123456789\nb: [", "*x,", "a]",
         "stand for more than 262144 bytes", 80000},
        {"a.yaml", "a: [", "&x 1,", "1]", "more than 100 anchors", 40000},
        {"a.yaml", "a: 1\n#", "                                                                ", "", "at most 262144",
         5000},
        {"a.json", "{\"a\":", "[", "", "line 1", 100000},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        vkft_text text = {0};
        vkft_recipe recipe;
        vkft_err err;
        append(&text, cases[i].begin);
        for (int k = 0; k < cases[i].count; k++)
            append(&text, cases[i].again);
        append(&text, cases[i].end);
        expect_failure(read_text(cases[i].name, text.data, &recipe, &err), cases[i].part);
        recipe_free(&recipe);
        vkft_text_free(&text);
    }
    for (int json = 0; json < 2; json++) {
        vkft_text text = {0};
        vkft_recipe recipe;
        vkft_err err;
        char line[64];
        append(&text, json ? "{\"z\": 1" : "z: 1\n");
        for (int k = 0; k < 12000; k++) {
            snprintf(line, sizeof line, json ? ", \"k%d\": 1" : "k%d: 1\n", k);
            append(&text, line);
        }
        append(&text, json ? "}" : "");
        expect_failure(read_text(json ? "a.json" : "a.yaml", text.data, &recipe, &err), "more than 1000 settings");
        recipe_free(&recipe);
        vkft_text_free(&text);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_yaml),    cmocka_unit_test(test_json),    cmocka_unit_test(test_groups),
        cmocka_unit_test(test_refused), cmocka_unit_test(test_aliases), cmocka_unit_test(test_bounds),
    };
    return cmocka_run_group_tests_name("recipe", tests, make_directory, remove_directory);
}
