/* SwiftShader gives the invocations of a subgroup each other's addresses where a variable is an array of buffer
 * references, or a struct with references: shaders keep such addresses as uvec2 (PLACE in shaders/core/args.h). This
 * reads the sources, because only that driver fails. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "runtime/base/directory.h"
#include "runtime/base/file.h"
#include "tests/support/expect.h"

static const char word[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_";

/* A declaration "Name_ref name[" in the text; NULL: none. References have capitals; weight_ref is a struct. */
static const char *array_of_references(const char *text)
{
    for (const char *at = strstr(text, "_ref "); at; at = strstr(at + 1, "_ref ")) {
        const char *type = at, *name = at + strlen("_ref ");
        while (type > text && strchr(word, type[-1]))
            type--;
        size_t length = strspn(name, word);
        if (length > 0 && name[length] == '[' && *type >= 'A' && *type <= 'Z')
            return type;
    }
    return NULL;
}

static uint32_t files;

static void check_folder(const char *folder);

static bool check_entry(void *context, const char *name)
{
    char path[700], *text = NULL;
    size_t size;
    vkft_err err;
    snprintf(path, sizeof path, "%s/%s", (const char *)context, name);
    if (!strchr(name, '.')) {
        check_folder(path);
        return true;
    }
    expect_ok(vkft_file_read(path, 1 << 20, &text, &size, &err));
    const char *found = array_of_references(text);
    if (found)
        fail_msg("%s keeps references in an array: %.60s", path, found);
    files++;
    free(text);
    return true;
}

static void check_folder(const char *folder)
{
    vkft_err err;
    expect_ok(vkft_directory_list(folder, check_entry, (void *)(uintptr_t)folder, &err));
}

static void test_no_arrays(void **state)
{
    (void)state;
    assert_non_null(array_of_references("    F32_ref z[COLUMNS];\n"));
    assert_null(array_of_references("readonly buffer WeightRef_ref { weight_ref at[]; };\nF32_ref z;"));
    check_folder(VKFT_PROJECT_DIR "/shaders");
    assert_true(files > 50);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_no_arrays)};
    return cmocka_run_group_tests_name("references", tests, NULL, NULL);
}
