/* The commands of the tutorial work, in both languages.
 *
 * All of its commands are in blocks of the kind `sh`. They run in order, as a reader types them, in a directory that
 * looks like the project's after building, with small models of the same architectures under the page's names. Blocks
 * of other kinds show data and output; those that hold commands for other programs are listed below.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

#include "runtime/base/directory.h"
#include "runtime/base/file.h"
#include "tests/docs/page.h"
#include "tests/support/expect.h"
#include "tests/support/program.h"
#include "tests/support/tiny_model.h"

static const char *const names[] = {"docs/tutorial.md", "docs/tutorial.ko.md"};
enum { PAGES = sizeof names / sizeof names[0] };

/* What cannot run here: commands that download or serve, and Python, by its first line. */
static const char *const elsewhere[] = {
    "$ hf download facebook/opt-125m --local-dir opt-125m --exclude \"*.h5\" \"*.msgpack\"",
    "$ hf download google/flan-t5-small --local-dir flan-t5-small --exclude \"*.h5\" \"*.msgpack\"",
    "$ hf download Qwen/Qwen2.5-7B-Instruct config.json --local-dir qwen2.5-7b",
    "from peft import PeftModel",
    "$ tensorboard --logdir runs/logs",
};
enum { ELSEWHERE = sizeof elsewhere / sizeof elsewhere[0] };

typedef struct block_kind {
    const char *kind;
    bool same; /* in both languages */
} block_kind;

static const block_kind kinds[] = {
    {"sh", true},    {"console", true}, {"python", true}, /* commands, commands of other programs, Python */
    {"text", true},                                       /* what is printed */
    {"json", false}, {"csv", false},    {"txt", false},   /* rows of data */
};

/* Folders of the project that the page names, and what stands for models of these names: random weights in the files
 * that the hub has. */
static const struct {
    const char *name, *from;
} folders[] = {
    {"recipes", VKFT_PROJECT_DIR "/recipes"},
    {"recipes/data", VKFT_PROJECT_DIR "/recipes/data"},
    {"tools/bundled", VKFT_PROJECT_DIR "/tools/bundled"},
    {"opt-125m", VKFT_TEST_DATA "/recipes/opt"},
    {"flan-t5-small", VKFT_TEST_DATA "/recipes/flan_t5"},
};
enum { FOLDERS = sizeof folders / sizeof folders[0] };

static bool is(const page_block *block, const char *kind)
{
    return strcmp(block->kind, kind) == 0;
}

/* --- the form of the pages -----------------------------------------------------------------------------------------
 */

static const block_kind *kind_of(const page *p, const page_block *block)
{
    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++)
        if (is(block, kinds[i].kind))
            return &kinds[i];
    fail_msg("%s:%u: unknown kind of block '%s'", p->name, block->line, block->kind);
    return NULL;
}

static void check_form(const page *first, const page *other)
{
    const char *a = first->form, *b = other->form;
    while (*a && *a == *b) {
        a++;
        b++;
    }
    while (a > first->form && a[-1] != '\n') { /* to the start of the line */
        a--;
        b--;
    }
    if (*a || *b)
        fail_msg("%s and %s differ in a heading, a table's numbers or the kind of a block:\n%.100s\n%.100s",
                 first->name, other->name, a, b);
}

static void test_same_in_both_languages(void **state)
{
    (void)state;
    page first = page_read(names[0]);
    for (size_t i = 1; i < PAGES; i++) {
        page other = page_read(names[i]);
        check_form(&first, &other);
        for (uint32_t b = 0; b < first.block_count; b++)
            if (kind_of(&first, &first.blocks[b])->same && strcmp(other.blocks[b].text, first.blocks[b].text) != 0)
                fail_msg("%s:%u differs from %s:%u:\n%s", other.name, other.blocks[b].line, first.name,
                         first.blocks[b].line, other.blocks[b].text);
        page_free(&other);
    }
    page_free(&first);
}

/* Whether a command that runs starts with these words. */
static bool runs(const page *p, const char *words, size_t length)
{
    for (uint32_t b = 0; b < p->block_count; b++)
        for (const char *line = p->blocks[b].text; is(&p->blocks[b], "sh") && line;
             line = (line = strchr(line, '\n')) ? line + 1 : NULL)
            if (strncmp(line, words, length) == 0)
                return true;
    return false;
}

static void test_every_command_runs(void **state)
{
    (void)state;
    for (size_t i = 0; i < PAGES; i++) {
        page p = page_read(names[i]);
        size_t listed = 0;
        for (uint32_t b = 0; b < p.block_count; b++) {
            const page_block *block = &p.blocks[b];
            const char *text = block->text;
            kind_of(&p, block);
            if (is(block, "console") || is(block, "python")) {
                for (const char *line = text; *line; line = strchr(line, '\n') + 1) {
                    size_t length = strcspn(line, "\n");
                    if (listed == ELSEWHERE || strlen(elsewhere[listed]) != length ||
                        strncmp(line, elsewhere[listed], length) != 0)
                        fail_msg("%s:%u: runs nowhere: %s", p.name, block->line, line);
                    listed++;
                    if (is(block, "python"))
                        break;
                }
            } else if (is(block, "sh")) { /* the shell would see the failure of the last one alone */
                if (strpbrk(text, "|;&"))
                    fail_msg("%s:%u: one plain command in a line: %s", p.name, block->line, text);
            } else if (strncmp(text, "vkft ", 5) == 0 || strstr(text, "\nvkft ") || strchr(text, '$')) {
                fail_msg("%s:%u: a command in a block of kind '%s': %s", p.name, block->line, block->kind, text);
            }
        }
        if (listed < ELSEWHERE)
            fail_msg("%s: does not have %s", p.name, elsewhere[listed]);
        for (const char *at = p.prose; (at = strstr(at, "`vkft ")); at++)
            if (!runs(&p, at + 1, strcspn(at + 1, "`")))
                fail_msg("%s: runs nowhere: %.*s", p.name, (int)strcspn(at + 1, "`"), at + 1);
        page_free(&p);
    }
}

#define NAME_CHARACTERS "abcdefghijklmnopqrstuvwxyz0123456789-"

static bool has_word(const char *text, const char *word)
{
    size_t length = strlen(word);
    for (const char *at = text; (at = strstr(at, word)); at += length)
        if (strspn(at + length, NAME_CHARACTERS) == 0)
            return true;
    return false;
}

/* Every flag in the text is one of the program's. */
static void test_flags_exist(void **state)
{
    (void)state;
    char *flags = vkft_test_read(VKFT_PROJECT_DIR "/docs/flags.md", NULL);
    for (size_t i = 0; i < PAGES; i++) {
        page p = page_read(names[i]);
        uint32_t count = 0;
        for (const char *at = p.prose; (at = strstr(at, "`--")); at++) {
            char name[64], plain[72], either[72];
            size_t length = strspn(at + 3, NAME_CHARACTERS);
            snprintf(name, sizeof name, "%.*s", (int)length, at + 3);
            snprintf(plain, sizeof plain, "--%s", name);
            snprintf(either, sizeof either, "--[no-]%s", strncmp(name, "no-", 3) == 0 ? name + 3 : name);
            if (!has_word(flags, plain) && !has_word(flags, either))
                fail_msg("%s: --%s is no flag", p.name, name);
            count++;
        }
        assert_true(count > 20);
        page_free(&p);
    }
    free(flags);
}

/* The rows on the page are rows of the example data. */
static void test_rows(void **state)
{
    (void)state;
    static const char *const files[] = {
        "corpus-en.txt",         "corpus-ko.txt",         "questions-en.csv", "questions-ko.csv",
        "instructions-en.jsonl", "instructions-ko.jsonl", "style-en.jsonl",   "style-ko.jsonl",
    };
    enum { FILES = sizeof files / sizeof files[0] };
    char *data[FILES], path[512];
    uint32_t found = 0;
    for (size_t f = 0; f < FILES; f++) {
        snprintf(path, sizeof path, VKFT_PROJECT_DIR "/recipes/data/%s", files[f]);
        data[f] = vkft_test_read(path, NULL);
    }
    for (size_t i = 0; i < PAGES; i++) {
        page p = page_read(names[i]);
        for (uint32_t b = 0; b < p.block_count; b++) {
            bool stands = kind_of(&p, &p.blocks[b])->same;
            for (size_t f = 0; f < FILES && !stands; f++)
                stands = strstr(data[f], p.blocks[b].text) != NULL;
            if (!stands)
                fail_msg("%s:%u: in none of the files of recipes/data: %s", p.name, p.blocks[b].line, p.blocks[b].text);
            found += !kind_of(&p, &p.blocks[b])->same;
        }
        page_free(&p);
    }
    assert_int_equal(found, 4 * PAGES);
    for (size_t f = 0; f < FILES; f++)
        free(data[f]);
}

/* --- running them --------------------------------------------------------------------------------------------------
 */

typedef struct copying {
    const char *from, *to;
} copying;

static bool copy_file(void *context, const char *name)
{
    const copying *c = context;
    char from[600], to[600];
    snprintf(from, sizeof from, "%s/%s", c->from, name);
    snprintf(to, sizeof to, "%s/%s", c->to, name);
    if (vkft_file_exists(from))
        vkft_test_copy(from, to);
    return true;
}

/* The place of the bundled model gets one that is a hundred times smaller, with the same tokenizer. */
static void write_bundled_model(const char *dir)
{
    static const char *const tokenizer[] = {"tokenizer.json", "tokenizer_config.json", "special_tokens_map.json"};
    vkft_tiny_model model = vkft_tiny_model_default();
    char path[512];
    vkft_err err = {0};
    model.vocab_size = 2048;
    model.hidden_size = 16;
    model.intermediate_size = 32;
    model.layers = 1;
    model.max_position = 512;
    model.tied = true;
    snprintf(path, sizeof path, "%s/tools/bundled/model", dir);
    expect_ok(vkft_directory_create(path, &err));
    for (size_t i = 0; i < sizeof tokenizer / sizeof tokenizer[0]; i++)
        copy_file(&(copying){VKFT_PROJECT_DIR "/tools/bundled/model", path}, tokenizer[i]);
    vkft_tiny_model_write(&model, path);
}

/* What a reader has after building and downloading. */
static void prepare(const char *dir)
{
    char path[512];
    vkft_err err = {0};
    for (size_t i = 0; i < FOLDERS; i++) {
        snprintf(path, sizeof path, "%s/%s", dir, folders[i].name);
        expect_ok(vkft_directory_list(folders[i].from, copy_file, &(copying){folders[i].from, path}, &err));
    }
    write_bundled_model(dir);
    snprintf(path, sizeof path, "%s/qwen2.5-7b/config.json", dir);
    vkft_test_copy(VKFT_TEST_DATA "/golden/qwen2/model/config.json", path);
    snprintf(path, sizeof path, "%s/build/host", dir);
    expect_ok(vkft_directory_create(path, &err));
    strcat(path, "/vkft");
    assert_int_equal(symlink(VKFT_PROGRAM, path), 0);
}

static void test_commands(void **state)
{
    (void)state;
    char *dir = vkft_test_directory(), script[600], command[2000];
    page p = page_read(names[0]); /* the other pages have the same commands */
    prepare(dir);
    snprintf(script, sizeof script, "%s/commands", dir);
    FILE *out = fopen(script, "w");
    assert_non_null(out);
    for (uint32_t b = 0; b < p.block_count; b++)
        if (is(&p.blocks[b], "sh"))
            fprintf(out, ": %s:%u\n%s", p.name, p.blocks[b].line, p.blocks[b].text);
    assert_int_equal(fclose(out), 0);
    snprintf(command, sizeof command, "cd '%s' && exec sh -ex commands < /dev/null > log 2>&1", dir);
    if (system(command) != 0) { /* cmocka's messages have an end */
        snprintf(command, sizeof command, "tail -n 40 '%s/log' >&2", dir);
        if (system(command) == 0)
            fail_msg("%s: the last command above failed", p.name);
    }
    page_free(&p);
    vkft_test_remove_directory(dir);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_same_in_both_languages),
        cmocka_unit_test(test_every_command_runs),
        cmocka_unit_test(test_flags_exist),
        cmocka_unit_test(test_rows),
        cmocka_unit_test(test_commands),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
