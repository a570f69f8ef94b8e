/* Which files of a directory are a split: as downloaded from the hub, with and without a README.md that says so. */
#include "tests/support/expect.h"

#include <stdio.h>
#include <stdlib.h>

#include "formats/dataset/files/files.h"
#include "formats/dataset/files/pattern.h"
#include "runtime/base/directory.h"
#include "runtime/base/file.h"
#include "tests/support/program.h"
#include "tests/support/system/system.h"

static char *dir;

static void put_file(const char *name, const char *content)
{
    vkft_err err;
    char *path = vkft_path_join(dir, name), *parent = vkft_path_parent(path);
    expect_ok(vkft_directory_create(parent, &err));
    expect_ok(vkft_file_write(path, content, strlen(content), &err));
    free(parent);
    free(path);
}

static int set_up(void **state)
{
    (void)state;
    dir = vkft_test_directory();
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    vkft_test_remove_directory(dir);
    return 0;
}

static vkft_data_request request(const char *config, const char *split, bool named)
{
    return (vkft_data_request){.data = dir, .config = config, .split = split, .named = named};
}

/* The files that are found, as paths in the directory. */
static void expect_files(const char *config, const char *split, bool named, const char *expected)
{
    vkft_err err = {0};
    vkft_data_files files;
    vkft_data_request r = request(config, split, named);
    char found[1000] = "";
    expect_ok(vkft_data_files_find(&r, &files, &err));
    for (uint32_t i = 0; i < files.count; i++) {
        assert_memory_equal(files.paths[i], dir, strlen(dir));
        snprintf(found + strlen(found), sizeof found - strlen(found), "%s%s", i ? " " : "",
                 files.paths[i] + strlen(dir) + 1);
    }
    assert_string_equal(found, expected);
    vkft_data_files_free(&files);
}

static void expect_error(const char *config, const char *split, bool named, const char *part)
{
    vkft_err err;
    vkft_data_files files;
    vkft_data_request r = request(config, split, named);
    expect_failure(vkft_data_files_find(&r, &files, &err), part);
    assert_null(files.paths);
}

static void matches_patterns(void **state)
{
    static const struct {
        const char *pattern, *path;
        bool match;
    } cases[] = {
        {"data/train-*", "data/train-00000-of-00002.parquet", true},
        {"data/train-*", "data/train-a/b", true}, /* a directory that matches */
        {"data/train-*", "other/train-0", false},
        {"*.csv", "a.csv", true},
        {"*.csv", "a/b.csv", false},
        {"**.csv", "a/b.csv", true},
        {"**/*.csv", "b.csv", true},
        {"**/*.csv", "a/b/c.csv", true},
        {"a/**/c.csv", "a/c.csv", true},
        {"a/**", "a/b/c", true},
        {"a/**", "b/a/c", false},
        {"data", "data/a/b.json", true},
        {"data", "database/a", false},
        {"./a?c", "abc", true},
        {"a?c", "a/c", false},
        {"a[0-9]x", "a7x", true},
        {"a[!0-9]x", "a7x", false},
        {"a[]]x", "a]x", true},
        {"a[", "ab", false},
        {"*a*b*c", "xxaxxbxxbxc", true},
        {"*a*b*c", "xxaxxbxxbxd", false},
        {"*/x*/y", "a/b/xx/y", false},
        {"**/x*/y", "a/b/xz/xx/y", true},
        {"", "", true},
        {"*", "", true},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        if (vkft_path_matches(cases[i].pattern, cases[i].path) != cases[i].match)
            fail_msg("'%s' and '%s'", cases[i].pattern, cases[i].path);
}

static void finds_a_file_of_the_name(void **state)
{
    (void)state;
    expect_error(NULL, "train", false, "no train.jsonl, .json, .csv, .tsv, .txt or .parquet in this directory");
    put_file("notes.md", "");
    put_file("data-00000-of-00001.arrow", "ARROW1");
    expect_error(NULL, "train", false, "data-00000-of-00001.arrow is an Arrow file");
    put_file("a.jsonl", "");
    expect_files(NULL, "train", false, "a.jsonl");
    put_file("b.csv", "");
    expect_error(NULL, "train", false, "files of several kinds");
    put_file("train.json", "");
    put_file("val.jsonl.gz", "");
    expect_files(NULL, "train", false, "train.json");
    put_file("train.jsonl", "");
    expect_files(NULL, "train", false, "train.jsonl");
    expect_files(NULL, "valid", false, "val.jsonl.gz");
    put_file("validation.txt", "");
    expect_files(NULL, "valid", false, "validation.txt");
    expect_files(NULL, "test", false, "");
    expect_files(NULL, "val", true, "val.jsonl.gz");
    expect_error(NULL, "dev", true, "no split 'dev' in this directory; it has train, val, validation: name one");
}

static void finds_shards_by_their_names(void **state)
{
    (void)state;
    put_file("README.md", "# No YAML here\n");
    put_file("dataset_infos.json", "{}");
    put_file(".cache/train.jsonl", "");
    put_file("data/train-00001-of-00002.parquet", "");
    put_file("data/train-00000-of-00002.parquet", "");
    put_file("data/validation-00000-of-00001.parquet", "");
    put_file("data/test_sft-00000-of-00001.parquet", "");
    expect_files(NULL, "train", false, "data/train-00000-of-00002.parquet data/train-00001-of-00002.parquet");
    expect_files(NULL, "valid", false, "data/validation-00000-of-00001.parquet");
    expect_files(NULL, "test", false, "");
    expect_files(NULL, "test_sft", true, "data/test_sft-00000-of-00001.parquet");
    expect_error(NULL, "train[:10%]", true, "it has test_sft, train, validation");
    expect_error("main", "train", false, "no README.md with `configs`");
}

static void finds_words_in_names(void **state)
{
    (void)state;
    put_file("my_train_file.jsonl", "");
    put_file("trained.jsonl", "");
    put_file("eval/a.csv", "");
    put_file("eval/b.csv.zst", "");
    expect_files(NULL, "train", false, "my_train_file.jsonl");
    expect_files(NULL, "test", false, "eval/a.csv eval/b.csv.zst");
}

static const char card[] =
    "---\nlicense: mit\nconfigs:\n"
    "- config_name: en\n  data_files:\n  - split: train\n    path: \"en/part-*.jsonl\"\n"
    "  - split: test_sft\n    path:\n    - en/t1.jsonl\n    - en/t2.jsonl\n"
    "- config_name: ko\n  data_files: ko/**\n"
    "- config_name: both\n  default: true\n  data_files:\n    train: [\"en/part-*\", ko/x.jsonl]\n"
    "    validation: en/t1.jsonl\n"
    "- config_name: named\n  data_dir: named\n"
    "- config_name: gone\n  data_files: gone/*\n---\n# Card\n";

static void obeys_the_card(void **state)
{
    static const char *const files[] = {"en/part-0.jsonl", "en/part-1.jsonl",   "en/t1.jsonl",       "en/t2.jsonl",
                                        "ko/x.jsonl",      "named/train.jsonl", "named/dev/x.jsonl", "train.jsonl"};
    (void)state;
    put_file("README.md", card);
    for (size_t i = 0; i < sizeof files / sizeof *files; i++)
        put_file(files[i], "");
    expect_files(NULL, "train", false, "en/part-0.jsonl en/part-1.jsonl ko/x.jsonl");
    expect_files(NULL, "valid", false, "en/t1.jsonl");
    expect_files("en", "train", false, "en/part-0.jsonl en/part-1.jsonl");
    expect_files("en", "valid", false, "");
    expect_files("en", "test_sft", true, "en/t1.jsonl en/t2.jsonl");
    expect_files("ko", "train", false, "ko/x.jsonl");
    expect_files("named", "train", false, "named/train.jsonl");
    expect_files("named", "valid", false, "named/dev/x.jsonl");
    expect_error("fr", "train", false, "README.md: no configuration 'fr'; it has en, ko, both, named, gone");
    expect_error("en", "test", true, "no split 'test' in this directory; it has train, test_sft");
    expect_error("gone", "train", false, "none of the files that its README.md names for train is there");
    put_file("README.md", "---\nconfigs:\n- config_name: a\n  data_files: x\n- config_name: b\n  data_files: y\n---\n");
    expect_error(NULL, "train", false, "several configurations, none of which is the default: a, b; choose one with");
    put_file("README.md", "---\nconfigs: [\n---\n");
    expect_error(NULL, "train", false, "README.md: line ");
}

static void takes_files_and_patterns(void **state)
{
    vkft_err err;
    vkft_data_files files;
    char path[600];
    (void)state;
    put_file("data/a-1.jsonl", "");
    put_file("data/a-2.jsonl", "");
    put_file("data/b.jsonl", "");
    snprintf(path, sizeof path, "%s/data/a-*.jsonl", dir);
    vkft_data_request r = {.data = path, .split = "train"};
    expect_ok(vkft_data_files_find(&r, &files, &err));
    assert_int_equal(files.count, 2);
    vkft_data_files_free(&files);
    r.split = "valid";
    expect_ok(vkft_data_files_find(&r, &files, &err));
    assert_int_equal(files.count, 0);
    r = (vkft_data_request){.data = path, .split = "x", .named = true};
    expect_failure(vkft_data_files_find(&r, &files, &err), "no directory");
    snprintf(path, sizeof path, "%s/d*/c*", dir);
    r = (vkft_data_request){.data = path, .split = "train"};
    expect_failure(vkft_data_files_find(&r, &files, &err), "no file matches this");
}

/* Data of which it cannot be told whether it is there is not none. */
static void looks_at_all(void **state)
{
    char link[600];
    (void)state;
    put_file("train.jsonl", "");
    expect_files(NULL, "valid", false, "");
    snprintf(link, sizeof link, "%s/valid.jsonl", dir);
    if (!vkft_test_make_loop(link))
        skip();
    expect_error(NULL, "valid", false, "cannot look at");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(matches_patterns),
        cmocka_unit_test_setup_teardown(finds_a_file_of_the_name, set_up, tear_down),
        cmocka_unit_test_setup_teardown(finds_shards_by_their_names, set_up, tear_down),
        cmocka_unit_test_setup_teardown(finds_words_in_names, set_up, tear_down),
        cmocka_unit_test_setup_teardown(obeys_the_card, set_up, tear_down),
        cmocka_unit_test_setup_teardown(takes_files_and_patterns, set_up, tear_down),
        cmocka_unit_test_setup_teardown(looks_at_all, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
