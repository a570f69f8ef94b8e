/* The tree's order, and that each rule can fail: a small tree of its own for each is checked before and after the rule
 * is broken. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "runtime/base/file.h"
#include "tests/check_layers/layers.h"
#include "tests/support/expect.h"
#include "tests/support/program.h"

/* base <- runtime, formats <- engine <- model <- trainable <- session <- generate <- train <- bench, doctor <- cli. */
#define BASE "runtime/base "
#define ENGINE BASE "runtime formats shaders "
#define MODEL ENGINE "host/engine "
#define TRAINABLE MODEL "host/model "
#define SESSION TRAINABLE "host/trainable "
#define ABOVE SESSION "host/session "

static const check_room rooms[] = {
    {"runtime/base", ""},
    {"runtime", BASE "runtime"},
    {"runtime/kernels", BASE "runtime shaders"},
    {"runtime/commands", BASE "runtime shaders/core"}, /* how a launch is laid out in rows of workgroups */
    {"runtime/check", BASE "runtime shaders/core"},
    {"formats/tensors", BASE},
    {"formats/config", BASE "formats/tensors"},
    {"formats/native", BASE "formats/tensors formats/config"},
    {"formats/gguf", BASE "formats/tensors formats/config formats/tokenizer"},
    {"formats/convert", BASE "formats/tensors formats/config formats/gguf formats/native"},
    {"formats/weights", BASE "formats/tensors formats/config formats/gguf formats/native formats/convert"},
    {"formats/peft", BASE "formats/tensors"},
    {"formats/tokenizer", BASE},
    {"formats/jinja", BASE},
    {"formats/tensorboard", BASE},
    {"formats/chat", BASE "formats/jinja formats/tokenizer formats/gguf formats/native"},
    {"formats/compress", BASE},
    {"formats/parquet", BASE "formats/compress formats/tensors"},
    {"formats/dataset", BASE "formats/chat formats/tokenizer formats/compress formats/parquet"},
    {"formats/score", BASE},
    {"shaders", "shaders"},
    {"shaders/kernels", "formats/tensors"}, /* rows of storage.def, for each of which there is a kernel */
    {"shaders/core", ""},
    {"shaders/matmul", "shaders/core"},
    {"shaders/elementwise", "shaders/core"},
    {"host/engine", ENGINE "host/engine/matmul"},
    {"host/engine/matmul", ENGINE},
    {"host/engine/ops", MODEL},
    {"host/model", MODEL},
    {"host/trainable", TRAINABLE},
    {"host/session", SESSION},
    {"host/train", ABOVE "host/generate"},
    {"host/generate", ABOVE},
    {"host/chat", ABOVE "host/generate"},
    {"host/merge", BASE "formats host/trainable host/hub"},
    {"host/verify", ABOVE "host/train"},
    {"host/hub", BASE "formats/dataset"},
    {"host/plot", BASE "host/train"},
    {"host/watch", BASE "host/train host/plot"},
    {"host/bench", ABOVE "host/train host/generate host/bench"},
    {"host/bench/kernels", ABOVE "host/bench"},
    {"host/bench/shapes", ABOVE "host/train host/generate host/bench"},
    {"host/bench/report", ABOVE "host/bench"},
    {"host/bench/compare", BASE "host/bench host/plot"},
    {"host/bench/telemetry", BASE "runtime"},
    {"host/doctor", ABOVE "host/train host/doctor"},
    {"host/doctor/reference", "formats host/doctor/reference"},
    {"host/doctor/checks", ENGINE "host/engine host/doctor/reference"},
    {"host/doctor/system", "runtime host/doctor"},
    {"host/cli", "runtime formats host"},
    {"tools", "runtime formats host"},
    {"tests", "runtime formats shaders host tools"},
    {NULL, NULL},
};

/* Breaches that are being mended, to shrink to nothing: an include that breaks a rule or closes a circle, or a file or
 * folder that is too large. The test also fails when one of them is gone and its row is still here: then remove the
 * row. */
static const check_exception exceptions[] = {
    {NULL, NULL},
};

static void test_tree(void **state)
{
    (void)state;
    char *found = check_layers(VKFT_PROJECT_DIR, rooms, exceptions);
    fputs(found, stderr); /* cmocka's messages have an end */
    assert_int_equal(found[0], 0);
    free(found);
}

/* --- each rule fails when it is broken -------------------------------------------------------------------------------
 */

static const check_room small_rooms[] = {
    {"runtime/base", ""},   {"runtime", "runtime/base"}, {"host/engine", "runtime"},
    {"formats/config", ""}, {"tests", "runtime host"},   {NULL, NULL},
};
static const check_exception none[] = {{NULL, NULL}};
static char *root;

static void write_file(const char *name, const char *text)
{
    vkft_err err;
    char *path = vkft_path_join(root, name);
    *strrchr(path, '/') = 0;
    expect_ok(vkft_directory_create(path, &err));
    path[strlen(path)] = '/';
    expect_ok(vkft_file_write(path, text, strlen(text), &err));
    free(path);
}

/* What is found in the tree is one line that contains `part`; "" expects nothing. */
static void expect_found(const check_exception *known, const char *part)
{
    char *found = check_layers(root, small_rooms, known);
    if (part[0] ? !strstr(found, part) || strchr(found, '\n') != strrchr(found, '\n') : found[0])
        fail_msg("found '%s', expected '%s'", found, part);
    free(found);
}

static int make_tree(void **state)
{
    (void)state;
    root = vkft_test_directory();
    write_file("runtime/base/text.h", "/* Test: test_text */\n");
    write_file("runtime/base/text.c", "#include \"runtime/base/text.h\"\n#include <stdio.h>\n");
    write_file("runtime/device.h", "#include \"runtime/base/text.h\"\n#include \"runtime/caps_private.h\"\n");
    write_file("runtime/caps_private.h", "");
    write_file("host/engine/graph.h", "# include \"runtime/device.h\"\n");
    write_file("host/engine/graph.c", "#include \"host/engine/graph.h\"\n#include \"kernel_code.inc\"\n");
    write_file("tests/test_text.c", "#include \"host/engine/graph.h\"\n");
    write_file("README.md", "Run build/tests/test_other; see tests/test_text.c, tests/.\n");
    expect_found(none, "");
    return 0;
}

static int remove_tree(void **state)
{
    (void)state;
    vkft_test_remove_directory(root);
    return 0;
}

static void test_arrow(void **state)
{
    (void)state;
    write_file("runtime/device.c", "\n#include \"host/engine/graph.h\"\n");
    char *found = check_layers(root, small_rooms, none); /* it also closes a circle */
    assert_non_null(strstr(found, "runtime/device.c:2: runtime may not include host/engine/graph.h\n"));
    free(found);
    write_file("runtime/device.c", "");
    write_file("runtime/base/error.h", "#include \"runtime/device.h\"\n");
    expect_found(none, "runtime/base/error.h:1: runtime/base may not include runtime/device.h\n");
}

static void test_private(void **state)
{
    (void)state;
    write_file("host/engine/plan.c", "#include \"runtime/caps_private.h\"\n");
    expect_found(none, "host/engine/plan.c:1: runtime/caps_private.h is private to its folder\n");
}

static void test_circle(void **state)
{
    (void)state;
    write_file("runtime/memory.h", "#include \"runtime/device.h\"\n");
    expect_found(none, "");
    write_file("runtime/device.c", "#include \"runtime/device.h\"\n#include \"runtime/memory.h\"\n");
    expect_found(none,
                 "runtime/memory.h:1: closes a circle: runtime/device.c -> runtime/memory.h -> runtime/device.h\n");
}

static void test_top(void **state)
{
    (void)state;
    write_file("runtime/memory.c", "#include \"device.h\"\n");
    expect_found(none, "runtime/memory.c:1: \"device.h\" is not written from the top of the tree\n");
}

static void test_sizes(void **state)
{
    (void)state;
    char lines[802] = "", name[64];
    memset(lines, '\n', 800);
    write_file("runtime/memory.c", lines);
    expect_found(none, "");
    lines[800] = '\n';
    write_file("runtime/memory.c", lines);
    expect_found(none, "runtime/memory.c:801: 801 lines, more than 800\n");
    write_file("runtime/memory.c", "");
    for (int i = 0; i < 21; i++) {
        snprintf(name, sizeof name, "formats/config/arch/a%d.c", i);
        write_file(name, "");
    }
    write_file("runtime/quirks.def", "");
    for (int i = 0; i < 17; i++) { /* and the three there are */
        snprintf(name, sizeof name, "runtime/a%d.comp", i);
        write_file(name, "");
    }
    expect_found(none, "");
    write_file("runtime/one_more.glsl", "");
    expect_found(none, "runtime:1: 21 source files, more than 20\n");
}

static void test_row(void **state)
{
    (void)state;
    write_file("host/other/a.c", "");
    expect_found(none, "host/other:1: the table of rooms has no row for this folder\n");
}

static void test_pointers(void **state)
{
    (void)state;
    write_file("runtime/memory.c", "/* Source: x. Test: test_text, test_memory */\n");
    expect_found(none, "runtime/memory.c:1: there is no test test_memory\n");
    write_file("runtime/memory.c", "/* see tests/test_text.c and tests/${NAME} */\n\n/* tests/gone.c. */\n");
    expect_found(none, "runtime/memory.c:3: tests/gone.c does not exist\n");
}

static void test_system(void **state)
{
    (void)state;
    write_file("runtime/memory.c",
               "\n    vkft_file_remove(path); vkft_os_rename(a, b);\n    FILE *f = fopen(path, \"r\");\n");
    expect_found(none, "runtime/memory.c:3: fopen is called outside runtime/base/os\n");
    write_file("runtime/memory.c", "    if (!remove(path))\n");
    expect_found(none, "runtime/memory.c:1: remove is called outside runtime/base/os\n");
}

static void test_words(void **state)
{
    (void)state;
    write_file("runtime/memory.c", "/* Bytes behind the end. */\n");
    expect_found(none, "runtime/memory.c:1: \"behind\": docs/style.md says what is plainer\n");
    write_file("runtime/memory.c", "/* is_behind, behinds */\n");
    expect_found(none, "");
}

static void test_exceptions(void **state)
{
    (void)state;
    static const check_exception known[] = {{"runtime/base/error.h", "runtime/device.h"}, {NULL, NULL}};
    expect_found(known, "runtime/base/error.h:1: the exception for runtime/device.h is not needed any more\n");
    write_file("runtime/base/error.h", "#include \"runtime/device.h\"\n");
    expect_found(known, "");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_tree),
        cmocka_unit_test_setup_teardown(test_arrow, make_tree, remove_tree),
        cmocka_unit_test_setup_teardown(test_private, make_tree, remove_tree),
        cmocka_unit_test_setup_teardown(test_circle, make_tree, remove_tree),
        cmocka_unit_test_setup_teardown(test_top, make_tree, remove_tree),
        cmocka_unit_test_setup_teardown(test_sizes, make_tree, remove_tree),
        cmocka_unit_test_setup_teardown(test_row, make_tree, remove_tree),
        cmocka_unit_test_setup_teardown(test_pointers, make_tree, remove_tree),
        cmocka_unit_test_setup_teardown(test_system, make_tree, remove_tree),
        cmocka_unit_test_setup_teardown(test_words, make_tree, remove_tree),
        cmocka_unit_test_setup_teardown(test_exceptions, make_tree, remove_tree),
    };
    return cmocka_run_group_tests_name("check_layers", tests, NULL, NULL);
}
