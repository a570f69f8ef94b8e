/* What llama.cpp's programs say, through scripts that stand in their place: found, read, and compared by vkft verify.
 * Log-probabilities come in steps of STEP, so that a true one may be half of that away. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <cmocka.h>

#include "formats/chat/model_text.h"
#include "host/verify/llama_cpp.h"
#include "runtime/base/file.h"
#include "runtime/base/os/child.h"
#include "tests/support/expect.h"
#include "tests/support/program.h"
#include "tests/support/system/system.h"
#include "tests/support/tiny_model.h"

#define VOCABULARY 404
#define LOWEST (-20.0F)
#define STEP (20.0F / 65535)

static void write_text(const char *name, const char *text)
{
    vkft_err err = {0};
    expect_ok(vkft_file_write(vkft_test_in(name), text, strlen(text), &err));
}

/* A script in the directory; DIR in it stands for the directory. */
static void write_script(const char *name, const char *format)
{
    char text[1024];
    snprintf(text, sizeof text, format, vkft_test_folder());
    write_text(name, text);
    assert_int_equal(chmod(vkft_test_in(name), 0755), 0);
}

/* Programs that say what lies in "tokens" and "logprobs". */
static void write_programs(void)
{
    write_script("llama-tokenize", "#!/bin/sh\necho 'load: [1] layers' >&2\ncat '%s/tokens'\n");
    write_script("llama-perplexity", "#!/bin/sh\nfor last; do :; done\ncp '%s/logprobs' \"$last\"\n");
}

static void write_tokens(const vkft_ids *ids)
{
    char text[4096] = "[";
    size_t n = 1;
    for (uint32_t i = 0; i < ids->count; i++)
        n += (size_t)snprintf(text + n, sizeof text - n, "%s%d", i ? ", " : "", ids->data[i]);
    snprintf(text + n, sizeof text - n, "]\n");
    write_text("tokens", text);
}

/* The file of a context of ids; values[i] is that of the token i. One below LOWEST is cut off. */
static void write_logprobs(const vkft_ids *ids, const double *values)
{
    vkft_err err = {0};
    const int32_t n = (int32_t)ids->count, head[3] = {n, VOCABULARY, 1};
    vkft_text file = {0};
    expect_ok(vkft_text_append(&file, "_logits_", 8, &err));
    expect_ok(vkft_text_append(&file, (const char *)head, sizeof head, &err));
    expect_ok(vkft_text_append(&file, (const char *)ids->data, ids->count * sizeof *ids->data, &err));
    for (int32_t i = n / 2 + 1; i < n; i++) {
        uint16_t row[4 + VOCABULARY] = {0};
        const float scale[2] = {STEP, LOWEST};
        memcpy(row, scale, sizeof scale);
        row[4 + ids->data[i]] = (uint16_t)lround(fmax(0, (values[i] - (double)LOWEST) / (double)STEP));
        expect_ok(vkft_text_append(&file, (const char *)row, sizeof row, &err));
    }
    expect_ok(vkft_file_write(vkft_test_in("logprobs"), file.data, file.length, &err));
    vkft_text_free(&file);
}

static void finds_programs(void **state)
{
    (void)state;
    vkft_err err = {0};
    vkft_llama_cpp programs;
    expect_failure(vkft_llama_cpp_find(vkft_test_folder(), &programs, &err),
                   "there is no llama-tokenize in this directory");
    write_script("llama-tokenize", "#!/bin/sh\n# %s\n");
    expect_failure(vkft_llama_cpp_find(vkft_test_folder(), &programs, &err),
                   "there is no llama-perplexity in this directory");
    char path[1024];
    snprintf(path, sizeof path, "/nowhere::%s", vkft_test_folder());
    char *before = vkft_test_swap_environment("PATH", path);
    expect_ok(vkft_llama_cpp_find(NULL, &programs, &err));
    assert_null(programs.tokenize);
    write_programs();
    expect_ok(vkft_llama_cpp_find(NULL, &programs, &err));
    free(vkft_test_swap_environment("PATH", before));
    free(before);
    assert_string_equal(programs.tokenize, vkft_test_in("llama-tokenize"));
    assert_string_equal(programs.perplexity, vkft_test_in("llama-perplexity"));
    vkft_llama_cpp_free(&programs);
}

static void reads_what_they_say(void **state)
{
    (void)state;
    vkft_err err = {0};
    vkft_llama_cpp programs;
    vkft_llama_cpp_logprobs found;
    int32_t data[] = {400, 7, 403, 0, 9, 11, 7, 3};
    const vkft_ids ids = {.data = data, .count = 8};
    const double values[] = {0, 0, 0, 0, 0, -1.25, -19.5, -30};
    vkft_ids tokens = {0};
    write_programs();
    write_tokens(&ids);
    write_logprobs(&ids, values);
    expect_ok(vkft_llama_cpp_find(vkft_test_folder(), &programs, &err));
    expect_ok(vkft_llama_cpp_tokens(&programs, "m", "t", &tokens, &err));
    assert_int_equal(tokens.count, 8);
    assert_memory_equal(tokens.data, data, sizeof data);
    expect_ok(vkft_llama_cpp_logprobs_of(&programs, "m", "t", vkft_test_in("scratch"), 8, &found, &err));
    assert_false(vkft_file_exists(vkft_test_in("scratch")));
    assert_int_equal(found.first, 5);
    assert_memory_equal(found.ids.data, data, sizeof data);
    assert_true(fabs(found.values[0] + 1.25) <= (double)STEP / 2 && isnan(found.floors[0]));
    assert_true(fabs(found.values[1] + 19.5) <= (double)STEP / 2 && isnan(found.floors[1]));
    assert_true(found.floors[2] == (double)LOWEST);
    vkft_llama_cpp_logprobs_free(&found);
    /* another context than was asked for, too short, tokens that are none, another file */
    expect_failure(vkft_llama_cpp_logprobs_of(&programs, "m", "t", vkft_test_in("scratch"), 10, &found, &err),
                   "is not what");
    vkft_test_copy_part(vkft_test_in("logprobs"), vkft_test_in("part"), 900);
    vkft_test_copy(vkft_test_in("part"), vkft_test_in("logprobs"));
    expect_failure(vkft_llama_cpp_logprobs_of(&programs, "m", "t", vkft_test_in("scratch"), 8, &found, &err),
                   "is not what");
    data[2] = VOCABULARY;
    write_logprobs(&(vkft_ids){.data = data, .count = 4}, values);
    expect_failure(vkft_llama_cpp_logprobs_of(&programs, "m", "t", vkft_test_in("scratch"), 4, &found, &err),
                   "token 404 of 404");
    write_text("logprobs", "_logits_");
    expect_failure(vkft_llama_cpp_logprobs_of(&programs, "m", "t", vkft_test_in("scratch"), 8, &found, &err),
                   "is not what");
    write_text("tokens", "[1, two]\n");
    expect_failure(vkft_llama_cpp_tokens(&programs, "m", "t", &tokens, &err), "found 'two]");
    write_text("tokens", "no list\n");
    expect_failure(vkft_llama_cpp_tokens(&programs, "m", "t", &tokens, &err), "printed no list");
    write_script("llama-tokenize", "#!/bin/sh\n# %s\necho one\necho the reason >&2\nexit 3\n");
    expect_failure(vkft_llama_cpp_tokens(&programs, "m", "t", &tokens, &err), "exit code 3; it said last: the reason");
    vkft_ids_free(&tokens);
    vkft_llama_cpp_free(&programs);
}

/* ---- vkft verify ---- */

static const char text[] = "The quick brown fox jumps over the lazy dog, and then it sleeps.";

static void encode(vkft_ids *ids)
{
    vkft_err err = {0};
    vkft_model_text model;
    expect_ok(vkft_model_text_open(vkft_test_in("model.gguf"), NULL, &model, &err));
    expect_ok(vkft_tokenizer_encode(model.tokenizer, text, strlen(text), true, ids, &err));
    vkft_model_text_free(&model);
    ids->count = ids->count / 2 * 2;
}

static void evaluate(const vkft_ids *ids, double *values)
{
    char row[2048] = "{\"input_ids\":[";
    size_t n = strlen(row);
    for (uint32_t i = 0; i < ids->count; i++)
        n += (size_t)snprintf(row + n, sizeof row - n, "%s%d", i ? "," : "", ids->data[i]);
    snprintf(row + n, sizeof row - n, "]}\n");
    write_text("ids.jsonl", row);
    vkft_test_program_ok("eval --model %s --data %s --per-token %s --quant none", vkft_test_in("model.gguf"),
                         vkft_test_in("ids.jsonl"), vkft_test_in("found.jsonl"));
    cJSON *rows = vkft_test_read_jsonl(vkft_test_in("found.jsonl"));
    const cJSON *list = cJSON_GetObjectItem(cJSON_GetArrayItem(rows, 0), "logprobs");
    for (uint32_t i = 1; i < ids->count; i++)
        values[i] = cJSON_GetArrayItem(list, (int)i)->valuedouble;
    cJSON_Delete(rows);
}

static void expect_verdict(const char *more, int code, const char *out, const char *error)
{
    vkft_test_result r =
        vkft_test_program("verify %s --against %s --text %s --llama-cpp %s %s", vkft_test_in("model.gguf"),
                          vkft_test_in("model"), vkft_test_in("text"), vkft_test_folder(), more);
    if (r.exit_code != code || !strstr(r.out, out) || !strstr(r.err, error))
        fail_msg("%d '%s' '%s'", r.exit_code, r.out, r.err);
    vkft_test_result_free(&r);
}

static void verify_asks_them(void **state)
{
    (void)state;
    if (vkft_test_program_is_foreign()) {
        print_message("skipped: the program cannot start scripts of this system\n");
        skip();
    }
    vkft_err err = {0};
    vkft_tiny_model tiny = vkft_tiny_model_default();
    tiny.vocab_size = VOCABULARY;
    expect_ok(vkft_directory_create(vkft_test_in("model"), &err));
    vkft_tiny_model_write(&tiny, vkft_test_in("model"));
    vkft_test_copy(VKFT_TEST_DATA "/tokenizers/byte_level.json", vkft_test_in("model/tokenizer.json"));
    vkft_test_program_ok("merge --model %s --gguf %s --type f32", vkft_test_in("model"), vkft_test_in("model.gguf"));
    write_text("text", text);
    vkft_ids ids = {0}, all = {0};
    double values[256];
    encode(&all);
    encode(&ids);
    assert_in_range(ids.count, 16, 256);
    evaluate(&ids, values);
    write_programs();
    write_tokens(&all);
    write_logprobs(&ids, values);
    expect_verdict("", 0, "tokens are the same; log-probabilities of", "");
    expect_verdict("--json", 0, "\"llama_cpp\":{\"tokens\":", "");
    values[ids.count - 2] += 0.25;
    write_logprobs(&ids, values);
    expect_verdict("", 1, "differ by at most 0.25", "llama.cpp's log-probabilities differ by 0.25; expected at most");
    expect_verdict("--max-difference 0.3", 0, "differ by at most 0.25", "");
    all.data[3]++;
    write_tokens(&all);
    expect_verdict("", 1, "llama.cpp: tokens differ from number 4 on", "error: llama.cpp's tokens differ");
    vkft_ids_free(&ids);
    vkft_ids_free(&all);
    char *before = vkft_test_swap_environment("PATH", "/usr/bin/nowhere:/bin");
    vkft_test_result r = vkft_test_program("verify %s --against %s --text %s", vkft_test_in("model.gguf"),
                                           vkft_test_in("model"), vkft_test_in("text"));
    free(vkft_test_swap_environment("PATH", before));
    free(before);
    if (r.exit_code != 0 || !strstr(r.out, "llama.cpp: not asked, since no directory of PATH"))
        fail_msg("%d '%s' '%s'", r.exit_code, r.out, r.err);
    vkft_test_result_free(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(finds_programs),
        cmocka_unit_test(reads_what_they_say),
        cmocka_unit_test(verify_asks_them),
    };
    return cmocka_run_group_tests(tests, vkft_test_folder_set_up, vkft_test_folder_tear_down);
}
