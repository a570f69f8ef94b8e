/* Data files that are unpacked part by part: rows across the parts' ends, and rows of Parquet files as those of the
 * same JSON lines. The files are made by tests/golden/make_parquet_fixtures.py. */
#include "tests/support/expect.h"

#include <stdio.h>
#include <stdlib.h>

#include "formats/chat/model_text.h"
#include "formats/dataset/dataset.h"
#include "tests/support/program.h"

#define LONG VKFT_TEST_DATA "/compressed/long"
#define PARQUET VKFT_TEST_DATA "/parquet/"

static vkft_model_text text;

static int set_up(void **state)
{
    vkft_err err;
    (void)state;
    expect_ok(vkft_model_text_open(VKFT_PROJECT_DIR "/tools/bundled/model", NULL, &text, &err));
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    vkft_model_text_free(&text);
    return 0;
}

static vkft_dataset_options options(void)
{
    return (vkft_dataset_options){.max_seq_length = 256,
                                  .mask_prompt = true,
                                  .vocab_size = vkft_tokenizer_vocab_size(text.tokenizer),
                                  .eos_id = vkft_tokenizer_eos_id(text.tokenizer)};
}

/* Every row once, in order: those of JSON, as lines and as an array, hold their numbers; one is longer than a part. */
static void rows_go_on_in_the_next_part(void **state)
{
    static const char *const names[] = {LONG ".jsonl.gz", LONG ".json.zst"};
    vkft_err err;
    vkft_dataset data;
    vkft_dataset_options o = options();
    (void)state;
    for (size_t n = 0; n < 2; n++) {
        expect_ok(vkft_dataset_open(names[n], text.tokenizer, &o, &data, &err));
        assert_int_equal(data.count, 60);
        for (int32_t i = 0; i < 60; i++) {
            assert_int_equal(data.samples[i].ids[0], i);
            assert_int_equal(data.samples[i].ids[1], i + 1);
        }
        assert_string_equal(data.unused, "pad");
        vkft_dataset_free(&data);
    }
    expect_ok(vkft_dataset_open(LONG ".csv.gz", text.tokenizer, &o, &data, &err));
    assert_int_equal(data.count, 100);
    vkft_dataset_free(&data);
}

/* The place of a row is told across parts. */
static void places_are_of_the_file(void **state)
{
    vkft_err err;
    vkft_dataset data;
    vkft_dataset_options o = options();
    (void)state;
    o.vocab_size = 59;
    expect_failure(vkft_dataset_open(LONG ".jsonl.gz", text.tokenizer, &o, &data, &err),
                   "long.jsonl.gz: line 59: token id 59 is outside");
    expect_failure(vkft_dataset_open(LONG ".json.zst", text.tokenizer, &o, &data, &err),
                   "long.json.zst: row 59 (line 59)");
}

static void same_samples(const vkft_dataset *a, const vkft_dataset *b)
{
    assert_int_equal(a->count, b->count);
    for (uint32_t i = 0; i < a->count; i++) {
        assert_int_equal(a->samples[i].length, b->samples[i].length);
        assert_memory_equal(a->samples[i].ids, b->samples[i].ids, 4 * a->samples[i].length);
        assert_memory_equal(a->samples[i].labels, b->samples[i].labels, 4 * a->samples[i].length);
    }
}

/* A table gives the samples of its JSON lines, through renamed keys and templates too. */
static void tables_equal_their_lines(void **state)
{
    static const struct {
        const char *table, *lines, *keys, *prompt_template;
    } cases[] = {
        {"flat_dictionary", "flat", NULL, NULL},
        {"flat_delta", "flat", "text=gap", NULL},
        {"flat_plain", "flat", "prompt=i64,completion=u32", "{id} {u64}: {f32} {text}"},
        {"duckdb_flat", "duckdb_flat", "text=bytes", NULL},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        vkft_err err;
        vkft_dataset table, lines;
        vkft_dataset_options o = options();
        char path[600];
        o.keys = cases[i].keys;
        o.prompt_template = cases[i].prompt_template;
        snprintf(path, sizeof path, PARQUET "%s.parquet", cases[i].table);
        expect_ok(vkft_dataset_open(path, text.tokenizer, &o, &table, &err));
        snprintf(path, sizeof path, PARQUET "%s.jsonl", cases[i].lines);
        expect_ok(vkft_dataset_open(path, text.tokenizer, &o, &lines, &err));
        same_samples(&table, &lines);
        assert_string_equal(table.unused, lines.unused);
        assert_int_equal(vkft_bad_rows_count(&table.bad), vkft_bad_rows_count(&lines.bad));
        assert_memory_equal(table.bad.place, lines.bad.place,
                            sizeof table.bad.place); /* rows begin at 1, as lines do */
        vkft_dataset_free(&table);
        vkft_dataset_free(&lines);
    }
}

static void says_which_column(void **state)
{
    vkft_err err;
    vkft_dataset data;
    vkft_dataset_options o = options();
    (void)state;
    expect_ok(vkft_dataset_open(PARQUET "brotli.parquet", text.tokenizer, &o, &data, &err));
    assert_int_equal(data.count, 2);
    assert_string_equal(data.unused, "score");
    vkft_dataset_free(&data);
    o.keys = "text=score";
    expect_failure(vkft_dataset_open(PARQUET "brotli.parquet", text.tokenizer, &o, &data, &err),
                   "brotli.parquet: column 'score', row group 0: it is compressed with brotli");
    o.keys = NULL;
    o.completions = PARQUET "brotli.parquet";
    expect_failure(vkft_dataset_open(PARQUET "bytes.parquet", text.tokenizer, &o, &data, &err),
                   "no lines that --completions");
    o.completions = NULL;
    o.error_on_bad_row = true;
    o.keys = "text=nothing";
    expect_failure(vkft_dataset_open(PARQUET "flat_plain.parquet", text.tokenizer, &o, &data, &err),
                   "flat_plain.parquet: row 1: this row cannot be trained on");
}

/* Files are read one after the other; Parquet files with the columns that the first one has shown to be needed. */
static void joins_files(void **state)
{
    static char *const tables[] = {PARQUET "flat_dictionary.parquet", PARQUET "flat_delta.parquet",
                                   PARQUET "flat.jsonl"};
    static char *const mixed[] = {PARQUET "flat.jsonl", VKFT_TEST_DATA "/rows/crlf.txt"};
    vkft_err err;
    vkft_dataset joined, one;
    vkft_dataset_options o = options();
    (void)state;
    expect_ok(vkft_dataset_open(tables[2], text.tokenizer, &o, &one, &err));
    expect_ok(vkft_dataset_open_files(tables, 3, text.tokenizer, &o, &joined, &err));
    assert_int_equal(joined.count, 3 * one.count);
    for (uint32_t i = 0; i < joined.count; i++) {
        const vkft_sample *a = &joined.samples[i], *b = &one.samples[i % one.count];
        assert_int_equal(a->length, b->length);
        assert_memory_equal(a->ids, b->ids, 4 * a->length);
    }
    vkft_dataset_free(&joined);
    vkft_dataset_free(&one);
    expect_failure(vkft_dataset_open_files(mixed, 2, text.tokenizer, &o, &joined, &err),
                   "crlf.txt: plain text and files");
    o.completions = PARQUET "flat.jsonl";
    expect_failure(vkft_dataset_open_files(tables, 3, text.tokenizer, &o, &joined, &err), "and there are 3; name one");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rows_go_on_in_the_next_part),
        cmocka_unit_test(places_are_of_the_file),
        cmocka_unit_test(tables_equal_their_lines),
        cmocka_unit_test(says_which_column),
        cmocka_unit_test(joins_files),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
