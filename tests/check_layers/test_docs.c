/* Every file and folder that README.md, CONTRIBUTING.md and docs/ name in backticks exists: paths from the top of the
 * tree as a whole, other names of sources as the end of some file's path. */
#include <dirent.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <cmocka.h>

#include "tests/support/program.h"

enum { PATH = 512, MAX_FILES = 4096 };

static const char *const tops[] = {"runtime", "formats", "shaders", "host", "tests", "tools", "docs", "recipes"};
enum { TOPS = sizeof tops / sizeof tops[0] };
static const char *const sources[] = {".c", ".h", ".def", ".comp", ".glsl", ".cmake"};

/* Made up in explanations, or of another project. */
static const char *const foreign[] = {"llm.c", "_private.h"};

typedef struct file_list {
    char *paths[MAX_FILES];
    size_t count;
} file_list;

static void list(file_list *files, const char *path)
{
    char full[2 * PATH];
    snprintf(full, sizeof full, "%s/%s", VKFT_PROJECT_DIR, path);
    DIR *dir = opendir(full);
    if (!dir) {
        assert_true(files->count < MAX_FILES);
        files->paths[files->count++] = strdup(path);
        return;
    }
    for (struct dirent *entry; (entry = readdir(dir));) {
        char inner[PATH];
        if (entry->d_name[0] == '.' || strcmp(path, "tests/data") == 0)
            continue;
        assert_true((size_t)snprintf(inner, sizeof inner, "%s/%s", path, entry->d_name) < sizeof inner);
        list(files, inner);
    }
    closedir(dir);
}

static bool ends_with(const char *text, const char *end)
{
    size_t n = strlen(text), m = strlen(end);
    return n >= m && strcmp(text + n - m, end) == 0;
}

static bool in_tree(const char *name)
{
    for (size_t i = 0; i < TOPS; i++)
        if (strncmp(name, tops[i], strlen(tops[i])) == 0 && name[strlen(tops[i])] == '/')
            return true;
    return false;
}

static bool is_source(const char *name)
{
    if (name[0] == '.') /* an ending alone */
        return false;
    for (size_t i = 0; i < sizeof foreign / sizeof foreign[0]; i++)
        if (ends_with(name, foreign[i]))
            return false;
    for (size_t i = 0; i < sizeof sources / sizeof sources[0]; i++)
        if (ends_with(name, sources[i]))
            return true;
    return false;
}

static bool exists(const file_list *files, const char *name)
{
    char full[2 * PATH], tail[PATH + 1];
    struct stat status;
    snprintf(full, sizeof full, "%s/%s", VKFT_PROJECT_DIR, name);
    if (stat(full, &status) == 0)
        return true;
    snprintf(tail, sizeof tail, "/%s", name);
    for (size_t i = 0; !in_tree(name) && i < files->count; i++)
        if (ends_with(files->paths[i], tail))
            return true;
    return false;
}

/* The words in backticks of one page that are names of files or folders. Returns how many those are. */
static uint32_t check_page(const file_list *files, const char *page)
{
    char path[2 * PATH];
    size_t size;
    uint32_t count = 0;
    snprintf(path, sizeof path, "%s/%s", VKFT_PROJECT_DIR, page);
    char *text = vkft_test_read(path, &size);
    for (char *at = text; (at = strchr(at, '`'));) {
        size_t length = strcspn(++at, "`\n");
        char name[PATH];
        bool whole = at[length] == '`' && length > 0 && length < sizeof name;
        snprintf(name, sizeof name, "%.*s", whole ? (int)length : 0, at);
        at += length + whole;
        if (strpbrk(name, " <>*") || !(in_tree(name) || is_source(name)))
            continue;
        if (!exists(files, name))
            fail_msg("%s: %s does not exist", page, name);
        count++;
    }
    free(text);
    return count;
}

static void test_names(void **state)
{
    (void)state;
    static file_list files;
    uint32_t count = 0;
    for (size_t i = 0; i < TOPS; i++)
        list(&files, tops[i]);
    check_page(&files, "README.md");
    check_page(&files, "CONTRIBUTING.md");
    for (size_t i = 0; i < files.count; i++)
        if (strncmp(files.paths[i], "docs/", 5) == 0 && ends_with(files.paths[i], ".md"))
            count += check_page(&files, files.paths[i]);
    assert_true(count > 100);
    for (size_t i = 0; i < files.count; i++)
        free(files.paths[i]);
}

static uint32_t count_golden(void)
{
    uint32_t count = 0;
    DIR *dir = opendir(VKFT_TEST_DATA "/golden");
    assert_non_null(dir);
    for (struct dirent *entry; (entry = readdir(dir));)
        count += entry->d_name[0] != '.';
    closedir(dir);
    return count;
}

/* How many golden cases there are is said as it is. */
static void test_golden_count(void **state)
{
    static const char *const pages[] = {"README.md", "docs/measured.md"};
    char path[2 * PATH], words[64];
    (void)state;
    snprintf(words, sizeof words, " %u small models of all families", count_golden());
    for (size_t i = 0; i < sizeof pages / sizeof *pages; i++) {
        size_t size;
        snprintf(path, sizeof path, "%s/%s", VKFT_PROJECT_DIR, pages[i]);
        char *text = vkft_test_read(path, &size);
        if (!strstr(text, words))
            fail_msg("%s does not say \"%s\"", pages[i], words);
        free(text);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_names), cmocka_unit_test(test_golden_count)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
