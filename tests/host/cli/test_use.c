/* What was trained is used as it was trained: quantization and products come from the run's record unless flags say
 * otherwise, what differs is said, and the command that a run prints at its end works as it stands. */
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
#include "tests/support/program.h"
#include "tests/support/system/system.h"

/* Everything lies in a directory whose name has a space and quotes. */
#define PLACE "it's a \"place\""
#define PLACE_QUOTED "'it'\\''s a \"place\"'"

typedef struct fixture {
    char *dir;
    char place[512], quoted[512]; /* the directory PLACE, and as a shell reads it */
} fixture;

static void put(const fixture *f, const char *name, const char *text)
{
    char path[700];
    vkft_err err;
    snprintf(path, sizeof path, "%s/%s", f->place, name);
    expect_ok(vkft_file_write(path, text, strlen(text), &err));
}

/* A token for each of 97 characters. */
static void put_tokenizer(const fixture *f, const char *name)
{
    char text[4096] = "{\"added_tokens\":[],\"normalizer\":null,\"pre_tokenizer\":null,\"post_processor\":null,"
                      "\"decoder\":null,\"model\":{\"type\":\"BPE\",\"unk_token\":\"u\",\"merges\":[],\"vocab\":{";
    for (int i = 0; i < 97; i++)
        snprintf(text + strlen(text), sizeof text - strlen(text), "%s\"\\u%04x\":%d", i ? "," : "", '!' + i, i);
    snprintf(text + strlen(text), sizeof text - strlen(text), "}}}");
    put(f, name, text);
}

static int set_up(void **state)
{
    static const char *const files[] = {"config.json", "model.safetensors"};
    fixture *f = calloc(1, sizeof *f);
    vkft_err err;
    f->dir = vkft_test_directory();
    bool foreign = vkft_test_program_is_foreign(); /* Windows has no names with double quotes */
    snprintf(f->place, sizeof f->place, "%s/%s", f->dir, foreign ? "a place" : PLACE);
    snprintf(f->quoted, sizeof f->quoted, "%s/%s", f->dir, foreign ? "'a place'" : PLACE_QUOTED);
    for (int i = 0; i < 4; i++) { /* model and texts: one with a tokenizer, one without */
        char from[512], to[700], folder[600];
        snprintf(folder, sizeof folder, "%s/%s", f->place, i < 2 ? "model" : "texts");
        snprintf(from, sizeof from, VKFT_TEST_DATA "/golden/llama_gqa/model/%s", files[i % 2]);
        snprintf(to, sizeof to, "%s/%s", folder, files[i % 2]);
        expect_ok(vkft_directory_create(folder, &err));
        vkft_test_copy(from, to);
    }
    put_tokenizer(f, "texts/tokenizer.json");
    put(f, "rows.jsonl", "{\"input_ids\": [1, 2, 3, 4]}\n{\"input_ids\": [1, 5, 6]}\n");
    *state = f;
    return 0;
}

static int tear_down(void **state)
{
    fixture *f = *state;
    vkft_test_remove_directory(f->dir);
    free(f);
    return 0;
}

/* Trains into `out`; returns what was said, to free. */
static char *train(const fixture *f, const char *model, const char *out, const char *more)
{
    vkft_test_result r = vkft_test_program("train --model %s/%s --data %s/rows.jsonl --output-dir %s/%s --max-steps 2 "
                                           "--save-steps 1 --learning-rate 1e-2 --gradient-accumulation-steps 1 %s",
                                           f->quoted, model, f->quoted, f->quoted, out, more);
    if (r.exit_code != 0)
        fail_msg("%s", r.err);
    free(r.out);
    return r.err;
}

/* The result of an evaluation; *said, to free, is what went to the error stream. */
static double eval(const fixture *f, const char *flags, char **said)
{
    vkft_test_result r = vkft_test_program("eval --json --data %s/rows.jsonl %s", f->quoted, flags);
    if (r.exit_code != 0)
        fail_msg("%s", r.err);
    cJSON *json = cJSON_Parse(r.out);
    double loss = cJSON_GetNumberValue(cJSON_GetObjectItem(json, "loss"));
    cJSON_Delete(json);
    free(r.out);
    if (said)
        *said = r.err;
    else
        free(r.err);
    return loss;
}

static double eval_adapter(const fixture *f, const char *model, const char *adapter, const char *more, char **said)
{
    char flags[2048];
    snprintf(flags, sizeof flags, "--model %s/%s --adapter %s/%s %s", f->quoted, model, f->quoted, adapter, more);
    return eval(f, flags, said);
}

static void says(char *text, const char *part)
{
    if (!strstr(text, part))
        fail_msg("'%s', expected '%s'", text, part);
    free(text);
}

/* The command after "try it", as a person would paste it. */
static void run_printed(const char *said, const char *also_there)
{
    char line[1024];
    const char *start = strstr(said, "  vkft generate ");
    assert_non_null(start);
    start += strlen("  vkft ");
    snprintf(line, sizeof line, "%.*s", (int)strcspn(start, "\r\n"), start);
    for (char *c = line; vkft_test_program_is_foreign() && *c; c++)
        *c = *c == '"' ? '\'' : *c; /* Windows' quotes */
    if (!strstr(line, also_there))
        fail_msg("'%s', expected '%s'", line, also_there);
    vkft_test_result r = vkft_test_program("%s", line);
    if (r.exit_code != 0 || strlen(r.out) < 2)
        fail_msg("%s\n%s%s", line, r.out, r.err);
    vkft_test_result_free(&r);
}

static void test_printed_command(void **state)
{
    const fixture *f = *state;
    char *said = train(f, "texts", "printed", "--quant fp32");
    run_printed(said, "--prompt '...'");
    free(said);
    said = train(f, "model", "printed-ids", "");
    run_printed(said, "--prompt-ids ");
    free(said);
    said = train(f, "texts", "printed-full", "--fine-tune-type full");
    run_printed(said, "printed-full' --prompt '...'");
    free(said);
}

static void test_quantization(void **state)
{
    const fixture *f = *state;
    char *said;
    free(train(f, "model", "fp32", "--quant fp32"));
    double plain = eval_adapter(f, "model", "fp32", "--quant fp32", NULL),
           quantized = eval_adapter(f, "model", "fp32", "--quant nf4", &said);
    says(said,
         "warning: the adapter was trained with --quant fp32, and the model is used with --quant nf4 --double-quant");
    assert_true(plain != quantized);
    assert_true(eval_adapter(f, "model", "fp32", "", &said) == plain);
    says(said, "--quant fp32, as the adapter was trained");

    free(train(f, "model", "nf4", "--no-double-quant"));
    double single = eval_adapter(f, "model", "nf4", "--no-double-quant", NULL);
    assert_true(single != eval_adapter(f, "model", "nf4", "--double-quant", NULL));
    assert_true(eval_adapter(f, "model", "nf4", "", &said) == single);
    says(said, "--quant nf4 --no-double-quant, as the adapter was trained");

    /* Of checkpoints, which have no result's record, and of the best beside the result. */
    double checkpoint = eval_adapter(f, "model", "fp32/checkpoint-1", "--quant fp32", NULL);
    assert_true(checkpoint != plain);
    assert_true(eval_adapter(f, "model", "fp32/checkpoint-1", "", &said) == checkpoint);
    says(said, "--quant fp32, as the adapter was trained");
    static const char *const files[] = {"adapter_config.json", "adapter_model.safetensors"};
    for (int i = 0; i < 2; i++) {
        char from[700], to[700];
        snprintf(from, sizeof from, "%s/fp32/%s", f->place, files[i]);
        snprintf(to, sizeof to, "%s/fp32/best-1/%s", f->place, files[i]);
        vkft_test_copy(from, to);
    }
    assert_true(eval_adapter(f, "model", "fp32/best-1", "", &said) == plain);
    says(said, "--quant fp32, as the adapter was trained");
}

static void test_no_record(void **state)
{
    const fixture *f = *state;
    char *said;
    static const char *const files[] = {"adapter_config.json", "adapter_model.safetensors"};
    for (int i = 0; i < 2; i++) {
        char from[512], to[700];
        snprintf(from, sizeof from, VKFT_TEST_DATA "/golden/llama_gqa/adapter_init/%s", files[i]);
        snprintf(to, sizeof to, "%s/peft/%s", f->place, files[i]);
        vkft_test_copy(from, to);
    }
    double now = eval_adapter(f, "model", "peft", "", &said);
    says(said, "peft does not say what the weights were when it was trained: --quant nf4 --double-quant is used; give "
               "--quant if it was another");
    assert_true(now == eval_adapter(f, "model", "peft", "--quant nf4 --double-quant", &said));
    assert_null(strstr(said, "does not say"));
    free(said);

    put(f, "peft/vkft.json", "{\"program\": \"vkft\", \"quant\": \"nf4\", \"double_quant\": false, \"run\": {}}");
    eval_adapter(f, "model", "peft", "", &said); /* as earlier versions wrote it */
    says(said, "--quant nf4 --no-double-quant, as the adapter was trained");
    put(f, "peft/vkft.json", "{\"run\": {\"weights stored as\": \"q3_k\"}, \"quant\": 7}");
    eval_adapter(f, "model", "peft", "", &said);
    says(said, "does not say");
    put(f, "peft/vkft.json", "not JSON");
    vkft_test_result r = vkft_test_program("eval --data %s/rows.jsonl --model %s/model --adapter %s/peft", f->quoted,
                                           f->quoted, f->quoted);
    assert_int_equal(r.exit_code, 1);
    assert_non_null(strstr(r.err, "peft/vkft.json: line 1"));
    vkft_test_result_free(&r);
}

static void test_products(void **state)
{
    const fixture *f = *state;
    char *said;
    free(train(f, "model", "bf16", "--compute-dtype bf16"));
    double rounded = eval_adapter(f, "model", "bf16", "--compute-dtype bf16", NULL);
    double exact = eval_adapter(f, "model", "bf16", "--compute-dtype fp32", &said);
    says(said, "trained with --compute-dtype bf16, and the model is used with --compute-dtype fp32");
    assert_true(rounded != exact);
    assert_true(eval_adapter(f, "model", "bf16", "", &said) == rounded);
    says(said, "--compute-dtype bf16, as the adapter was trained");
    eval_adapter(f, "model", "bf16", "--quant fp32", &said); /* where there are no such products */
    says(said, "trained with --quant nf4 --double-quant");
}

/* A .vkft file is what it is. */
static void test_converted(void **state)
{
    const fixture *f = *state;
    char *said;
    vkft_test_program_ok("convert %s/model -o %s/b.vkft --quant bf16", f->quoted, f->quoted);
    free(train(f, "b.vkft", "on-b", ""));
    eval_adapter(f, "b.vkft", "on-b", "", &said);
    says(said, "--quant bf16, as the adapter was trained");
    free(train(f, "model", "on-model", "--quant fp32"));
    eval_adapter(f, "b.vkft", "on-model", "", &said);
    says(said, "warning: the adapter was trained with --quant fp32, and the model is used with --quant bf16");
    double other = eval_adapter(f, "model", "on-b", "--quant bf16", NULL);
    assert_true(eval_adapter(f, "model", "on-b", "", NULL) == other);
}

static void test_all_weights(void **state)
{
    const fixture *f = *state;
    char flags[1024], *said;
    free(train(f, "model", "whole", "--fine-tune-type full"));
    snprintf(flags, sizeof flags, "--model %s/whole --quant none", f->quoted);
    double stored = eval(f, flags, NULL);
    snprintf(flags, sizeof flags, "--model %s/whole --quant nf4", f->quoted);
    assert_true(eval(f, flags, NULL) != stored);
    snprintf(flags, sizeof flags, "--model %s/whole", f->quoted);
    assert_true(eval(f, flags, &said) == stored);
    says(said, "--quant none: all of the model's weights were trained");
    snprintf(flags, sizeof flags, "--model %s/whole/checkpoint-2", f->quoted);
    assert_true(eval(f, flags, NULL) == stored);
}

/* A list whose first item never comes. */
static void write_recipe(const fixture *f, const char *stop)
{
    cJSON *root = cJSON_CreateObject(), *list = cJSON_AddArrayToObject(root, "stop_strings");
    cJSON_AddItemToArray(list, cJSON_CreateString("nowhere"));
    cJSON_AddItemToArray(list, cJSON_CreateString(stop));
    char *text = cJSON_PrintUnformatted(root);
    put(f, "stop.json", text);
    cJSON_free(text);
    cJSON_Delete(root);
}

static void test_stop(void **state)
{
    const fixture *f = *state;
    vkft_test_result r = vkft_test_program("generate --model %s/texts --quant fp32 --prompt ab --temperature 0 "
                                           "--max-new-tokens 60 --json",
                                           f->quoted);
    cJSON *json = cJSON_Parse(r.out);
    char *text = cJSON_GetStringValue(cJSON_GetObjectItem(json, "text")), stop[3] = {0};
    if (strlen(text) < 6)
        fail_msg("%s%s", r.out, r.err);
    memcpy(stop, text + strlen(text) - 2, 2);
    size_t end = (size_t)(strstr(text, stop) - text) + 2;
    vkft_test_result_free(&r);
    r = vkft_test_program(
        "generate --model %s/texts --quant fp32 --prompt ab --temperature 0 --stop 'nowhere,%s' --stop '%s'", f->quoted,
        stop, stop);
    text[end] = 0;
    if (strncmp(r.out, text, end) != 0 || r.out[end] != '\n' || r.out[end + 1])
        fail_msg("'%s', expected '%s'", r.out, text);
    vkft_test_result_free(&r);
    write_recipe(f, stop);
    r = vkft_test_program("generate -c %s/stop.json --model %s/texts --quant fp32 --prompt ab --temperature 0",
                          f->quoted, f->quoted);
    assert_memory_equal(r.out, text, end);
    assert_string_equal(r.out + end, "\n");
    vkft_test_result_free(&r);
    cJSON_Delete(json);
    r = vkft_test_program("generate --model %s/model --prompt-ids 1 --stop x", f->quoted);
    assert_int_equal(r.exit_code, 1);
    assert_non_null(strstr(r.err, "has no tokenizer, so --stop cannot be found"));
    vkft_test_result_free(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_printed_command),
        cmocka_unit_test(test_quantization),
        cmocka_unit_test(test_no_record),
        cmocka_unit_test(test_products),
        cmocka_unit_test(test_converted),
        cmocka_unit_test(test_all_weights),
        cmocka_unit_test(test_stop),
    };
    return cmocka_run_group_tests_name("use", tests, set_up, tear_down);
}
