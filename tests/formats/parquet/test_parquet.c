/* Parquet files by pyarrow, polars and DuckDB (tests/golden/make_parquet_fixtures.py) become the JSON lines that
 * pyarrow reads in them; damaged ones are refused.
 *
 *     build/tests/test_parquet FILE     prints the rows of a file, for tests/golden/check_parquet.py */
#include "tests/support/expect.h"

#include <stdio.h>
#include <stdlib.h>

#include "formats/parquet/parquet.h"
#include "runtime/base/file.h"

#define DIR VKFT_TEST_DATA "/parquet/"

/* All rows as lines. */
static bool read_bytes(const char *path, const uint8_t *data, uint64_t size, vkft_text *out, vkft_err *err)
{
    vkft_parquet *file = vkft_parquet_open(path, data, size, err);
    bool found = true, ok = file != NULL;
    while (ok && found)
        ok = vkft_parquet_next(file, out, &found, err) && (!found || vkft_text_append(out, "\n", 1, err));
    vkft_parquet_close(file);
    return ok;
}

static bool read_file(const char *path, vkft_text *out, vkft_err *err)
{
    vkft_mapping file;
    if (!vkft_mapping_open(path, &file, err))
        return false;
    bool ok = read_bytes(path, file.data, file.size, out, err);
    vkft_mapping_close(&file);
    return ok;
}

static void equals_json_lines(void **state)
{
    static const char *const files[][2] = {
        {"flat_plain", "flat"},         {"flat_dictionary", "flat"},        {"flat_delta", "flat"},
        {"flat_int96", "flat_int96"},   {"nested_plain", "nested"},         {"nested_v2", "nested"},
        {"nested_old", "nested"},       {"duckdb_nested", "nested"},        {"duckdb_flat", "duckdb_flat"},
        {"polars_flat", "polars_flat"}, {"polars_nested", "polars_nested"},
    };
    (void)state;
    for (size_t n = 0; n < sizeof files / sizeof *files; n++) {
        vkft_err err = {0};
        char path[600], *expected;
        size_t size;
        vkft_text found = {0};
        snprintf(path, sizeof path, DIR "%s.jsonl", files[n][1]);
        expect_ok(vkft_file_read(path, 1 << 20, &expected, &size, &err));
        snprintf(path, sizeof path, DIR "%s.parquet", files[n][0]);
        expect_ok(read_file(path, &found, &err));
        for (size_t i = 0; i < found.length && i < size; i++)
            if (found.data[i] != expected[i])
                fail_msg("%s: byte %zu: '%.60s', expected '%.60s'", path, i, found.data + i, expected + i);
        assert_int_equal(found.length, size);
        vkft_text_free(&found);
        free(expected);
    }
}

static bool is_text(void *context, const char *name)
{
    (void)context;
    return strcmp(name, "text") == 0;
}

/* What is not needed is not looked at, whatever it is. */
static void leaves_columns_out(void **state)
{
    static const struct {
        const char *file, *error;
    } cases[] = {
        {DIR "bytes.parquet",
         "column 'score', row group 0: row 1 of the group: bytes that are not text in UTF-8; leave this column out"},
        {DIR "brotli.parquet", "column 'score', row group 0: it is compressed with brotli (codec 4), which is not "
                               "supported; write the file with snappy"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        vkft_err err;
        vkft_mapping map;
        vkft_text rows = {0};
        bool found = true;
        expect_failure(read_file(cases[i].file, &rows, &err), cases[i].error);
        rows.length = 0;
        expect_ok(vkft_mapping_open(cases[i].file, &map, &err));
        vkft_parquet *file = vkft_parquet_open(cases[i].file, map.data, map.size, &err);
        assert_non_null(file);
        vkft_parquet_choose(file, is_text, NULL);
        while (found)
            expect_ok(vkft_parquet_next(file, &rows, &found, &err));
        assert_string_equal(rows.data, "{\"text\":\"a\",\"score\":null}{\"text\":\"b\",\"score\":null}");
        vkft_parquet_close(file);
        vkft_mapping_close(&map);
        vkft_text_free(&rows);
    }
}

/* A column may be given up in the middle of a row group. */
static void gives_columns_up(void **state)
{
    static const char *const path = DIR "nested_v2.parquet";
    vkft_err err;
    vkft_mapping map;
    vkft_text rows = {0};
    bool found = true;
    uint32_t count = 0;
    (void)state;
    expect_ok(vkft_mapping_open(path, &map, &err));
    vkft_parquet *file = vkft_parquet_open(path, map.data, map.size, &err);
    assert_non_null(file);
    for (; found; count += found) {
        if (count == 3)
            vkft_parquet_choose(file, is_text, NULL);
        rows.length = 0;
        expect_ok(vkft_parquet_next(file, &rows, &found, &err));
        if (found && count >= 3)
            assert_string_equal(rows.data, "{\"messages\":null,\"tags\":null,\"deep\":null,\"meta\":null,\"map\":null,"
                                           "\"numbered\":null,\"last\":null}");
    }
    assert_int_equal(count, 67);
    vkft_parquet_close(file);
    vkft_mapping_close(&map);
    vkft_text_free(&rows);
}

static void refuses_damage(void **state)
{
    static const char *const names[] = {DIR "flat_dictionary.parquet", DIR "nested_v2.parquet"};
    (void)state;
    for (size_t n = 0; n < 2; n++) {
        vkft_err err;
        char *data;
        size_t size, failures = 0;
        vkft_text rows = {0};
        expect_ok(vkft_file_read(names[n], 1 << 20, &data, &size, &err));
        for (size_t length = 0; length < size; length += 1 + length / 50) {
            uint8_t *cut = malloc(length + 1); /* so that a read past the end is seen */
            memcpy(cut, data, length);
            expect_failure(read_bytes("cut.parquet", cut, length, &rows, &err), "cut.parquet: ");
            free(cut);
        }
        memcpy(data + size - 4, "PARE", 4);
        expect_failure(read_bytes("a.parquet", (uint8_t *)data, size, &rows, &err), "this Parquet file is encrypted");
        memcpy(data + size - 4, "PAR1", 4);
        for (size_t at = 4; at < size / 2; at += 7) { /* its pages have checksums */
            data[at] ^= 0x10;
            rows.length = 0;
            memset(&err, 0, sizeof err);
            failures += !read_bytes("a.parquet", (uint8_t *)data, size, &rows, &err);
            data[at] ^= 0x10;
        }
        assert_in_range(failures, size / 2 / 7 / 2, size); /* a statistic in a header may change unseen */
        free(data);
        vkft_text_free(&rows);
    }
}

static int print_file(const char *path)
{
    vkft_err err = {0};
    vkft_text rows = {0};
    bool ok = read_file(path, &rows, &err);
    fwrite(rows.data, 1, rows.length, stdout);
    if (!ok)
        fprintf(stderr, "%s\n", err.message);
    vkft_text_free(&rows);
    return !ok;
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(equals_json_lines),
        cmocka_unit_test(leaves_columns_out),
        cmocka_unit_test(gives_columns_up),
        cmocka_unit_test(refuses_damage),
    };
    return argc == 2 ? print_file(argv[1]) : cmocka_run_group_tests(tests, NULL, NULL);
}
