/* Atomic files, directories, and JSON with positions in its errors. */
#include "tests/support/expect.h"

#include <stdio.h>
#include <stdlib.h>

#include "runtime/base/directory.h"
#include "runtime/base/file.h"
#include "runtime/base/json.h"
#include "runtime/base/os/os.h"
#include "tests/support/program.h"
#include "tests/support/system/system.h"

static bool count_entry(void *context, const char *name)
{
    (void)name;
    ++*(int *)context;
    return true;
}

static int entries(const char *dir)
{
    int count = 0;
    vkft_err err = {0};
    expect_ok(vkft_directory_list(dir, count_entry, &count, &err));
    return count;
}

static void replaces_whole_files(void **state)
{
    (void)state;
    char *dir = vkft_test_directory(), *path = vkft_path_join(dir, "file");
    vkft_err err = {0};
    size_t size;
    expect_ok(vkft_file_write(path, "first", 5, &err));
    vkft_writer *writer = vkft_writer_open(path, &err);
    expect_ok(vkft_writer_append(writer, "sec", 3, &err));
    expect_ok(vkft_writer_write_at(writer, 6, "!", 1, &err));
    expect_ok(vkft_writer_append(writer, "ond", 3, &err));
    char *text = vkft_test_read(path, &size); /* not yet */
    assert_string_equal(text, "first");
    free(text);
    expect_ok(vkft_writer_commit(writer, &err));
    text = vkft_test_read(path, &size);
    assert_string_equal(text, "second!");
    free(text);
    writer = vkft_writer_open(path, &err);
    expect_ok(vkft_writer_append(writer, "third", 5, &err));
    vkft_writer_abandon(writer);
    text = vkft_test_read(path, &size);
    assert_string_equal(text, "second!");
    assert_int_equal(entries(dir), 1);
    free(text);
    free(path);
    vkft_test_remove_directory(dir);
}

/* A full disk, played by the limit on the size of a file: the old content stays, nothing else does. */
static void full_disk(void **state)
{
    (void)state;
    char *dir = vkft_test_directory(), *path = vkft_path_join(dir, "file"), *large = calloc(1, 100000);
    vkft_err err = {0};
    expect_ok(vkft_file_write(path, "old", 3, &err));
    if (!vkft_test_limit_file_size(50000)) {
        free(large);
        free(path);
        vkft_test_remove_directory(dir);
        skip();
    }
    bool written = vkft_file_write(path, large, 100000, &err);
    vkft_test_limit_file_size(0);
    assert_false(written);
    assert_non_null(strstr(err.message, "cannot write"));
    assert_int_equal(err.kind, VKFT_ERR_IO);
    char *text = vkft_test_read(path, NULL);
    assert_string_equal(text, "old");
    assert_int_equal(entries(dir), 1);
    free(text);
    free(large);
    free(path);
    vkft_test_remove_directory(dir);
}

static void places_that_cannot_be_written(void **state)
{
    (void)state;
    vkft_err err = {0};
    expect_failure(vkft_file_write("/proc/vkft", "x", 1, &err), "cannot create");
    expect_failure(vkft_file_write("/does/not/exist", "x", 1, &err), "check the path");
    expect_failure(vkft_file_write("/dev/null/x", "x", 1, &err), "cannot create");
    if (vkft_test_has_posix)
        expect_failure(vkft_file_write("/dev/null", "x", 1, &err), "not a regular file");
    expect_failure(vkft_directory_create("/proc/vkft/a", &err), "cannot create directory");
}

static void reading(void **state)
{
    (void)state;
    char *dir = vkft_test_directory(), *path = vkft_path_join(dir, "file"), *text;
    size_t size;
    vkft_err err = {0};
    vkft_mapping mapping;
    expect_ok(vkft_file_write(path, "", 0, &err));
    expect_ok(vkft_mapping_open(path, &mapping, &err)); /* an empty file maps to nothing */
    assert_true(mapping.size == 0 && !mapping.data);
    vkft_mapping_close(&mapping);
    expect_ok(vkft_file_read(path, 10, &text, &size, &err));
    assert_true(size == 0 && text[0] == 0);
    free(text);
    expect_ok(vkft_file_write(path, "12345", 5, &err));
    expect_failure(vkft_file_read(path, 4, &text, &size, &err), "has 5 bytes; at most 4");
    expect_ok(vkft_mapping_open(path, &mapping, &err));
    vkft_mapping_drop(&mapping, 0, 5);
    vkft_mapping_drop(&mapping, 3, UINT64_MAX); /* outside: no effect */
    assert_memory_equal(mapping.data, "12345", 5);
    vkft_mapping_close(&mapping);
    expect_failure(vkft_file_read(dir, 10, &text, &size, &err), "s a directory");
    free(path);
    path = vkft_path_join(dir, "a/b/c");
    expect_ok(vkft_directory_create(path, &err));
    expect_ok(vkft_directory_create(path, &err));
    assert_true(vkft_directory_exists(path));
    assert_string_equal(vkft_path_base("x/y.z"), "y.z");
    free(path);
    vkft_test_remove_directory(dir);
}

static void json_positions(void **state)
{
    (void)state;
    static const struct {
        const char *text, *message;
    } cases[] = {
        {"", "f: line 1, column 1: the text ends"},
        {"{\"a\":1,", "f: line 1, column 8: the text ends"},
        {"{\n\"a\": 1,\n  \"b\": tru\n}", "f: line 3, column 8: not valid JSON at 'tru'"},
        {"{\"a\":1} x", "f: line 1, column 9"},
        {"[1,\n2,\n]", "f: line 3, column 1"},
        {"{\"\xea\xb0\x80\xeb\x82\x98\" 1}", "f: line 1, column 7"}, /* columns count characters */
        {"{'a':1}", "f: line 1, column 2: a single quote where JSON has double quotes, at 'a':1}"},
        {"{\"a\":1,}", "f: line 1, column 8: a comma before '}'; remove it"},
        {"{\"a\":1,\n  b:2}", "f: line 2, column 3: not valid JSON at 'b:2}'"},
        {"[1,x]", "f: line 1, column 4: not valid JSON at 'x]'"},
        {"[1,[x]]", "f: line 1, column 5"},
        {"{\"a\":x}", "f: line 1, column 6"},
        {"nul", "f: line 1, column 1"},
    };
    vkft_err err = {0};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        expect_failure(vkft_json_parse(cases[i].text, strlen(cases[i].text), "f", &err), cases[i].message);
    expect_failure(vkft_json_parse("{}\0{}", 5, "f", &err), "line 1, column 3");
    expect_failure(vkft_json_parse_line("{\"a\" 1}", 7, "f", 17, &err), "f: line 17, column 6");
    char *deep = malloc(5000);
    memset(deep, '[', 5000);
    expect_failure(vkft_json_parse(deep, 5000, "f", &err), "line 1");
    free(deep);
    cJSON *root = vkft_json_parse(" {\"a\": [1, 2]}\r\n\t ", 18, "f", &err);
    expect_ok(root);
    cJSON_Delete(root);
}

/* Strings alone, there and back: what cJSON cannot carry by itself too. */
static void json_strings(void **state)
{
    (void)state;
    static const struct {
        const char *json, *text;
        size_t length;
        const char *written; /* NULL: as json */
    } cases[] = {
        {"\"\"", "", 0, NULL},
        {"\"a\\u0000b\\u0000\"", "a\0b\0", 4, NULL},
        {" \"\\\\u0000\" ", "\\u0000", 6, "\"\\\\u0000\""},
        {"\"\\ud83d\\ude00\"", "\xf0\x9f\x98\x80", 4, "\"\xf0\x9f\x98\x80\""},
        {"\"\\ud83dx\\ude00\"", "\xef\xbf\xbdx\xef\xbf\xbd", 7, "\"\xef\xbf\xbdx\xef\xbf\xbd\""},
        {"\"\\ud83d\\ud83d\\ude00\"", "\xef\xbf\xbd\xf0\x9f\x98\x80", 7, "\"\xef\xbf\xbd\xf0\x9f\x98\x80\""},
        {"\"\\u001f\\n\\\"\"", "\x1f\n\"", 3, NULL},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        vkft_err err = {0};
        vkft_text text = {0}, written = {0};
        expect_ok(vkft_text_append(&text, "<", 1, &err));
        expect_ok(vkft_json_parse_string(cases[i].json, strlen(cases[i].json), "f", 3, &text, &err));
        assert_int_equal(text.length, cases[i].length + 1);
        assert_memory_equal(text.data + 1, cases[i].text, cases[i].length + 1);
        expect_ok(vkft_json_write_string(cases[i].text, cases[i].length, &written, &err));
        assert_string_equal(written.data, cases[i].written ? cases[i].written : cases[i].json);
        vkft_text_free(&text), vkft_text_free(&written);
    }
    vkft_err err = {0};
    vkft_text text = {0};
    expect_failure(vkft_json_parse_string("\"a\x01\"", 4, "f", 3, &text, &err),
                   "f: line 3: control character in the JSON string; write it as \\u0001");
    expect_failure(vkft_json_parse_string("\"\\u0000\\q\"", 10, "f", 3, &text, &err), "f: line 3, column 8");
    expect_failure(vkft_json_parse_string("[]", 2, "f", 3, &text, &err),
                   "f: line 3: found a list, expected a JSON string");
    expect_failure(vkft_json_parse_string("", 0, "f", 3, &text, &err), "f: line 3");
    static const char *const bad[] = {"",          "\"a",         "a",        "\"a\" b", "\"\\x\"",
                                      "\"\\u12\"", "\"\\u12g4\"", "\"a\nb\"", "\"\\"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        expect_failure(vkft_json_parse_string(bad[i], strlen(bad[i]), "f", 3, &text, &err), "f: line 3");
    vkft_text_free(&text);
}

/* Whatever bytes are written are read back. */
static void json_strings_of_all_bytes(void **state)
{
    (void)state;
    char bytes[160];
    for (size_t i = 0; i < 128; i++)
        bytes[i] = (char)i;
    memcpy(bytes + 128, "\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80", 9);
    vkft_text json = {0}, back = {0};
    vkft_err err = {0};
    expect_ok(vkft_json_write_string(bytes, 137, &json, &err));
    for (size_t i = 0; i < json.length; i++)
        assert_true((unsigned char)json.data[i] >= 0x20);
    expect_ok(vkft_json_parse_string(json.data, json.length, "f", 1, &back, &err));
    assert_int_equal(back.length, 137);
    assert_memory_equal(back.data, bytes, 137);
    free(json.data);
    free(back.data);
}

static void json_members(void **state)
{
    (void)state;
    static const char text[] = "{\"n\":7,\"neg\":-3,\"big\":4294967296,\"half\":0.5,\"t\":true,\"s\":\"text\",\"null\":"
                               "null,\"l\":[],\"o\":{}}";
    vkft_err err = {0};
    cJSON *root = vkft_json_parse(text, strlen(text), "f", &err);
    uint32_t u = 1;
    int32_t i = 1;
    uint64_t big = 1;
    double d = 1;
    bool b = false;
    const char *s = NULL;
    const cJSON *item = NULL;
    expect_ok(vkft_json_get_u32(root, "n", true, &u, "f", &err));
    expect_ok(vkft_json_get_i32(root, "neg", true, &i, "f", &err));
    expect_ok(vkft_json_get_u64(root, "big", true, &big, "f", &err));
    expect_ok(vkft_json_get_double(root, "half", true, &d, "f", &err));
    expect_ok(vkft_json_get_bool(root, "t", true, &b, "f", &err));
    expect_ok(vkft_json_get_string(root, "s", true, &s, "f", &err));
    expect_ok(vkft_json_get_array(root, "l", true, &item, "f", &err));
    expect_ok(vkft_json_get_object(root, "o", true, &item, "f", &err));
    assert_true(u == 7 && i == -3 && big == 4294967296 && d == 0.5 && b && strcmp(s, "text") == 0);
    expect_ok(vkft_json_get_u32(root, "absent", false, &u, "f", &err));
    expect_ok(vkft_json_get_u32(root, "null", false, &u, "f", &err));
    assert_true(u == 7);
    expect_failure(vkft_json_get_u32(root, "null", true, &u, "f", &err), "f: key 'null' is missing");
    expect_failure(vkft_json_get_u32(root, "big", true, &u, "f", &err), "key 'big': found the number 4294967296");
    expect_failure(vkft_json_get_u32(root, "neg", false, &u, "f", &err), "key 'neg'");
    expect_failure(vkft_json_get_u64(root, "half", false, &big, "f", &err),
                   "found the number 0.5, expected a whole number");
    expect_failure(vkft_json_get_string(root, "n", false, &s, "f", &err), "expected a string");
    expect_failure(vkft_json_get_bool(root, "s", false, &b, "f", &err),
                   "found the string 'text', expected true or false");
    expect_failure(vkft_json_get_array(root, "o", false, &item, "f", &err), "found an object, expected a list");
    cJSON_Delete(root);
}

static char *keep(const char *name)
{
    const char *value = getenv(name);
    return value ? strdup(value) : NULL;
}

static void put_back(const char *name, char *value)
{
    if (value)
        vkft_test_environment(name, value);
    else
        vkft_test_environment(name, NULL);
    free(value);
}

static void expect_cache(const char *expected)
{
    vkft_err err = {0};
    char *path = vkft_cache_directory(NULL, &err), *inner = vkft_cache_directory("model-1", &err);
    if (expected) {
        vkft_os_info info;
        assert_string_equal(path, expected);
        assert_memory_equal(inner, expected, strlen(expected));
        assert_string_equal(inner + strlen(expected), "/model-1");
        assert_true(vkft_os_stat(inner, &info) && info.is_directory);
    } else {
        assert_null(path);
        assert_null(inner);
        assert_non_null(strstr(err.message, "VKFT_CACHE_DIR"));
    }
    free(path);
    free(inner);
}

/* One rule for models, tokens and pipelines. */
static void cache_directory(void **state)
{
    (void)state;
    if (!vkft_test_has_posix)
        skip();
    char *own = keep("VKFT_CACHE_DIR"), *xdg = keep("XDG_CACHE_HOME"), *home = keep("HOME");
    char *dir = vkft_test_directory(), *home_dir = vkft_path_join(dir, "home"), *xdg_dir = vkft_path_join(dir, "xdg"),
         *own_dir = vkft_path_join(dir, "own/deep"), *in_xdg = vkft_path_join(xdg_dir, "vkft"),
         *in_home = vkft_path_join(home_dir, ".cache/vkft");
    vkft_test_environment("HOME", home_dir);
    vkft_test_environment("XDG_CACHE_HOME", xdg_dir);
    vkft_test_environment("VKFT_CACHE_DIR", own_dir);
    expect_cache(own_dir);
    vkft_test_environment("VKFT_CACHE_DIR", ""); /* as good as not set */
    expect_cache(in_xdg);
    vkft_test_environment("VKFT_CACHE_DIR", NULL);
    expect_cache(in_xdg);
    vkft_test_environment("XDG_CACHE_HOME", "relative");
    expect_cache(in_home);
    vkft_test_environment("XDG_CACHE_HOME", NULL);
    expect_cache(in_home);
    vkft_test_environment("HOME", "relative");
    expect_cache(NULL);
    vkft_test_environment("HOME", NULL);
    expect_cache(NULL);
    assert_false(vkft_directory_exists("relative"));
    put_back("VKFT_CACHE_DIR", own);
    put_back("XDG_CACHE_HOME", xdg);
    put_back("HOME", home);
    free(home_dir);
    free(xdg_dir);
    free(own_dir);
    free(in_xdg);
    free(in_home);
    vkft_test_remove_directory(dir);
}

static void streams_and_removal(void **state)
{
    (void)state;
    vkft_err err = {0};
    char *dir = vkft_test_directory(), *path = vkft_path_join(dir, "log \xc3\xa9.txt"),
         *parent = vkft_path_parent(path);
    assert_string_equal(parent, dir);
    for (int run = 0; run < 3; run++) { /* new, appended, replaced */
        FILE *stream = vkft_os_open_stream(path, run == 1);
        assert_non_null(stream);
        fputs("line\n", stream);
        fclose(stream);
        size_t size;
        free(vkft_test_read(path, &size));
        assert_int_equal(size, run == 1 ? 10 : 5);
    }
    expect_ok(vkft_file_remove(path, &err));
    assert_false(vkft_file_exists(path));
    expect_ok(vkft_file_remove(path, &err)); /* there is nothing left to remove */
    expect_failure(vkft_file_remove(dir, &err), "cannot remove");
    free(path);
    path = vkft_path_join("a", "b/c");
    assert_string_equal(path, "a/b/c");
    assert_string_equal(vkft_path_base(path), "c");
    free(path);
    path = vkft_path_join("a/", "b");
    assert_string_equal(path, "a/b");
    free(path);
    path = vkft_path_parent("/name");
    assert_string_equal(path, "/");
    free(path);
    path = vkft_path_parent("name");
    assert_string_equal(path, ".");
    free(path), free(parent);
    vkft_test_remove_directory(dir);
}

static void clocks_run_forward(void **state)
{
    (void)state;
    double wall = vkft_os_seconds(), cpu = vkft_os_cpu_seconds();
    volatile double x = 0;
    while (vkft_os_seconds() - wall < 10 && vkft_os_cpu_seconds() <= cpu) /* some systems count in steps of 16 ms */
        x = x + 1;
    assert_true(vkft_os_seconds() > wall && vkft_os_cpu_seconds() > cpu);
    assert_true(vkft_os_memory_available() > 1 << 20);
}

/* A file and a directory by other names: through links, and with steps that lead nowhere else. */
static void same_places(void **state)
{
    (void)state;
    char *dir = vkft_test_directory(), *a = vkft_path_join(dir, "a"), *b = vkft_path_join(dir, "b"),
         *again = vkft_path_join(dir, ".//a/../a/"), *file = vkft_path_join(a, "file"),
         *other = vkft_path_join(b, "file"), *link = vkft_path_join(dir, "link"),
         *inside = vkft_path_join(link, "file");
    vkft_err err = {0};
    expect_ok(vkft_directory_create(a, &err));
    expect_ok(vkft_directory_create(b, &err));
    expect_ok(vkft_file_write(file, "x", 1, &err));
    expect_ok(vkft_file_write(other, "x", 1, &err));
    assert_true(vkft_os_is_same(a, again));
    assert_true(vkft_os_is_same(file, file));
    assert_false(vkft_os_is_same(a, b));
    assert_false(vkft_os_is_same(file, other));
    assert_false(vkft_os_is_same(link, link)); /* is not there */
    if (vkft_os_make_link(a, link)) {
        assert_true(vkft_os_is_same(a, link));
        assert_true(vkft_os_is_same(file, inside));
    }
    char *const all[] = {a, b, again, file, other, link, inside};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        free(all[i]);
    vkft_test_remove_directory(dir);
}

/* Longer than the 260 characters that Windows takes of a plain path. */
static void long_paths(void **state)
{
    (void)state;
    vkft_err err;
    char *base = vkft_test_directory(), dir[600], from[700], to[700];
    int n = snprintf(dir, sizeof dir, "%s", base);
    for (int i = 0; i < 5; i++)
        n += snprintf(dir + n, sizeof dir - (size_t)n, "/%060d", i);
    snprintf(from, sizeof from, "%s/from", dir);
    snprintf(to, sizeof to, "%s/to", dir);
    expect_ok(vkft_directory_create(dir, &err));
    expect_ok(vkft_file_write(from, "abc", 3, &err));
    assert_true(vkft_os_rename(from, to));
    char *text = vkft_test_read(to, NULL);
    assert_string_equal(text, "abc");
    free(text);
    vkft_os_info info;
    assert_true(vkft_os_stat(to, &info) && info.is_regular && info.size == 3);
    assert_true(vkft_directory_exists(dir));
    expect_ok(vkft_file_remove(to, &err));
    assert_false(vkft_file_exists(to));
    vkft_test_remove_directory(base);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(replaces_whole_files),
        cmocka_unit_test(full_disk),
        cmocka_unit_test(places_that_cannot_be_written),
        cmocka_unit_test(reading),
        cmocka_unit_test(cache_directory),
        cmocka_unit_test(streams_and_removal),
        cmocka_unit_test(same_places),
        cmocka_unit_test(long_paths),
        cmocka_unit_test(clocks_run_forward),
        cmocka_unit_test(json_positions),
        cmocka_unit_test(json_strings),
        cmocka_unit_test(json_strings_of_all_bytes),
        cmocka_unit_test(json_members),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
