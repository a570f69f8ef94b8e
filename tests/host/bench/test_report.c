/* Rows as text: the schema, the hash, and texts that the formats have characters for. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "host/bench/report/report.h"
#include "host/plot/markup.h"
#include "runtime/base/json.h"
#include "tests/support/expect.h"

static const vkft_bench_origin origin = {.date = "2026-11-26T03:24Z",
                                         .version = "0.1.0",
                                         .commit = "0123456789ab",
                                         .kernels = 0x123,
                                         .device = "Card \"X\" | 16, GB <b>",
                                         .driver = "driver_1",
                                         .vulkan = "1.3.0",
                                         .device_type = "discrete",
                                         .os = "Linux 6"};

static const vkft_bench_row train = {.test = "train",
                                     .name = "llama-8b",
                                     .unit = "tokens/s",
                                     .value = 1234.56789,
                                     .deviation_percent = 0.51234,
                                     .repetitions = 5,
                                     .warm_up_runs = 3,
                                     .steady = false,
                                     .quant = "nf4-dq",
                                     .compute = "bf16",
                                     .tokens = 512,
                                     .batch = 2,
                                     .lora_r = 16,
                                     .wall_ms = 829.44,
                                     .planned_bytes = 6442450944,
                                     .measured_bytes = 6442450944,
                                     .power_w = 215.25,
                                     .clock_mhz = 2371,
                                     .temperature_c = 61,
                                     .check = VKFT_BENCH_PASS,
                                     .loss = 10.123456789},
                            product = {.test = "product",
                                       .name = "NT nf4",
                                       .unit = "GFLOP/s",
                                       .value = 56.5,
                                       .repetitions = 3,
                                       .M = 512,
                                       .N = 1024,
                                       .K = 2048,
                                       .percent_of_peak = 22.4,
                                       .per_cpu_second = 27.1},
                            wrong = {.test = "train",
                                     .name = "tiny",
                                     .unit = "tokens/s",
                                     .value = 99999,
                                     .wall_ms = 0,
                                     .check = VKFT_BENCH_FAIL,
                                     .note = "loss 1, expected 2"};

static cJSON *rows(void)
{
    cJSON *list = cJSON_CreateArray();
    const vkft_bench_row *all[] = {&train, &product, &wrong};
    for (int i = 0; i < 3; i++) {
        cJSON *row = vkft_bench_row_json(&origin, all[i]);
        assert_non_null(row);
        cJSON_AddItemToArray(list, row);
    }
    return list;
}

static char *report(vkft_bench_format format)
{
    vkft_err err;
    vkft_text text = {0};
    cJSON *list = rows();
    expect_ok(vkft_bench_report(format, list, &text, &err));
    cJSON_Delete(list);
    return text.data;
}

static void expect_parts(const char *text, const char *const *parts, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++)
        if (!strstr(text, parts[i]))
            fail_msg("expected '%s' in '%s'", parts[i], text);
}
#define EXPECT_PARTS(text, ...)                                                                                        \
    do {                                                                                                               \
        static const char *const parts[] = {__VA_ARGS__};                                                              \
        expect_parts(text, parts, sizeof parts / sizeof *parts);                                                       \
    } while (0)

static void test_json(void **state)
{
    (void)state;
    cJSON *row = vkft_bench_row_json(&origin, &train);
    char *text = cJSON_PrintUnformatted(row);
    assert_string_equal(
        text, "{\"schema\":\"vkft-bench/1\",\"date\":\"2026-11-26T03:24Z\",\"version\":\"0.1.0\","
              "\"commit\":\"0123456789ab\",\"kernels\":\"0000000000000123\",\"device\":\"Card \\\"X\\\" | 16, "
              "GB <b>\",\"driver\":\"driver_1\",\"vulkan\":\"1.3.0\",\"device_type\":\"discrete\",\"os\":"
              "\"Linux 6\",\"test\":\"train\",\"name\":\"llama-8b\",\"quant\":\"nf4-dq\",\"compute\":\"bf16\","
              "\"tokens\":512,\"batch\":2,\"lora_r\":16,\"unit\":\"tokens/s\",\"value\":1234.57,"
              "\"deviation_percent\":0.512,\"repetitions\":5,\"warm_up_runs\":3,\"steady\":false,\"wall_ms\":"
              "829.44,\"planned_bytes\":6442450944,\"measured_bytes\":6442450944,\"power_w\":215.2,\"clock_mhz\":2371,"
              "\"temperature_c\":61,\"check\":\"pass\",\"loss\":"
              "10.1234568,\"hash\":\"8201402ab2af4d11\"}");
    cJSON_free(text);
    cJSON_Delete(row);
}

/* FNV-1a, 64 bits, of the text before the hash. */
static void test_hash(void **state)
{
    (void)state;
    vkft_err err;
    cJSON *row = vkft_bench_row_json(&origin, &train);
    char *text = cJSON_PrintUnformatted(row), *end = strstr(text, ",\"hash\":\"");
    uint64_t h = 14695981039346656037u;
    for (const char *c = text; c < end; c++)
        h = (h ^ (unsigned char)*c) * 1099511628211u;
    assert_int_equal(strtoull(end + strlen(",\"hash\":\""), NULL, 16), h);
    assert_true(vkft_bench_row_is_whole(row));
    /* Read back it is whole; with another number, another key, or without a hash it is not. */
    cJSON *again = vkft_json_parse(text, strlen(text), "rows", &err);
    assert_true(vkft_bench_row_is_whole(again));
    cJSON_SetNumberValue(cJSON_GetObjectItem(again, "value"), 2000);
    assert_false(vkft_bench_row_is_whole(again));
    cJSON_SetNumberValue(cJSON_GetObjectItem(again, "value"), 1234.57);
    assert_true(vkft_bench_row_is_whole(again));
    cJSON_AddNumberToObject(again, "later", 1);
    assert_false(vkft_bench_row_is_whole(again));
    cJSON_DeleteItemFromObject(again, "later");
    cJSON_DeleteItemFromObject(again, "hash");
    assert_false(vkft_bench_row_is_whole(again));
    cJSON_Delete(again);
    cJSON *empty = cJSON_CreateObject();
    assert_false(vkft_bench_row_is_whole(empty));
    cJSON_Delete(empty);
    cJSON_free(text);
    cJSON_Delete(row);
}

static void test_wrong_row(void **state)
{
    (void)state;
    cJSON *row = vkft_bench_row_json(&origin, &wrong);
    assert_true(cJSON_IsNull(cJSON_GetObjectItem(row, "value")));
    assert_null(cJSON_GetObjectItem(row, "deviation_percent"));
    char speed[64];
    vkft_bench_speed_text(row, speed, sizeof speed);
    assert_string_equal(speed, "FAIL");
    cJSON_Delete(row);
}

static void test_formats(void **state)
{
    (void)state;
    vkft_err err;
    char *table = report(VKFT_BENCH_TABLE), *markdown = report(VKFT_BENCH_MARKDOWN), *csv = report(VKFT_BENCH_CSV),
         *json = report(VKFT_BENCH_JSON), *jsonl = report(VKFT_BENCH_JSONL);
    EXPECT_PARTS(table, "Card \"X\" | 16, GB <b>\ndriver_1, Vulkan 1.3.0; Linux 6; vkft 0.1.0 0123456789ab\n\ntest ",
                 "\ntrain     llama-8b        nf4-dq bf16 r 16, 2 x 512 tokens", " 1235 tokens/s    0.5 %~",
                 " 6.000 GiB  pass\n", "512x1024x2048", "56.50 GFLOP/s", "FAIL", "fail: loss 1, expected 2\n");
    EXPECT_PARTS(markdown, "**Card \"X\" \\| 16, GB \\<b\\>**, driver\\_1; Linux 6; vkft 0.1.0 0123456789ab\n",
                 "| train | llama-8b | nf4-dq bf16 r 16, 2 x 512 tokens | 1235 tokens/s | 0.5 %\\~ |", "| 22.40 % |",
                 "| FAIL |", "```jsonl\n{\"schema\":", "\"}\n```\n");
    EXPECT_PARTS(csv, "schema,date,version,", ",hash\n", "\"Card \"\"X\"\" | 16, GB <b>\",driver_1,", ",fail,");
    assert_null(strstr(table, "99999"));
    assert_null(strstr(csv, "99999"));
    cJSON *parsed = vkft_json_parse(json, strlen(json), "json", &err);
    assert_string_equal(vkft_bench_string(parsed, "schema"), VKFT_BENCH_SCHEMA);
    assert_int_equal(cJSON_GetArraySize(cJSON_GetObjectItem(parsed, "rows")), 3);
    cJSON_Delete(parsed);
    for (const char *line = jsonl; *line; line = strchr(line, '\n') + 1) {
        cJSON *row = vkft_json_parse(line, (size_t)(strchr(line, '\n') - line), "jsonl", &err);
        assert_true(vkft_bench_row_is_whole(row));
        /* csv has a column for every key. */
        for (const cJSON *member = row->child; member; member = member->next) {
            char column[64];
            snprintf(column, sizeof column, "%s,", member->string);
            if (strcmp(member->string, "hash") != 0 && !strstr(csv, column))
                fail_msg("csv has no column %s", member->string);
        }
        cJSON_Delete(row);
    }
    free(table), free(markdown), free(csv), free(json), free(jsonl);
}

static void test_escapes(void **state)
{
    (void)state;
    vkft_err err;
    static const struct {
        bool (*append)(vkft_text *, const char *, vkft_err *);
        const char *text, *expected;
    } cases[] = {
        {vkft_markup_escape, "<a href='x'>&\"é", "&lt;a href=&#39;x&#39;&gt;&amp;&quot;é"},
        {vkft_bench_append_markdown, "a|b`c*d_e<f>[g](h)\\\ni#~$&",
         "a\\|b\\`c\\*d\\_e\\<f\\>\\[g\\](h)\\\\ i\\#\\~\\$\\&"},
        {vkft_bench_append_csv, "plain", "plain"},
        {vkft_bench_append_csv, "a,b", "\"a,b\""},
        {vkft_bench_append_csv, "say \"x\"\n", "\"say \"\"x\"\"\n\""},
    };
    for (uint32_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        vkft_text out = {0};
        expect_ok(cases[i].append(&out, cases[i].text, &err));
        assert_string_equal(out.data, cases[i].expected);
        vkft_text_free(&out);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_json),    cmocka_unit_test(test_hash),    cmocka_unit_test(test_wrong_row),
        cmocka_unit_test(test_formats), cmocka_unit_test(test_escapes),
    };
    return cmocka_run_group_tests_name("report", tests, NULL, NULL);
}
