/* The command line from outside: exit codes, messages on stderr, help and JSON on stdout.
 *
 * All cases end before a model is opened, so none needs a Vulkan device except `devices`, which skips without one.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tests/support/program.h"

typedef struct usage_case {
    const char *arguments;
    int exit_code;
    const char *error; /* part of the one line on stderr */
} usage_case;

static void check_one_line(const char *arguments, const char *err)
{
    if (strncmp(err, "vkft: error: ", 13) != 0 || strchr(err, '\n') != err + strlen(err) - 1)
        fail_msg("vkft %s: expected one line 'vkft: error: ...', found '%s'", arguments, err);
}

static void check_cases(const usage_case *cases, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        vkft_test_result r = vkft_test_program("%s", cases[i].arguments);
        check_one_line(cases[i].arguments, r.err);
        if (r.exit_code != cases[i].exit_code || !strstr(r.err, cases[i].error))
            fail_msg("vkft %s: expected exit code %d and '%s', found %d and '%s'", cases[i].arguments,
                     cases[i].exit_code, cases[i].error, r.exit_code, r.err);
        if (r.out[0])
            fail_msg("vkft %s: an error must leave stdout empty, found '%s'", cases[i].arguments, r.out);
        vkft_test_result_free(&r);
    }
}

#define CHECK(cases) check_cases(cases, sizeof(cases) / sizeof((cases)[0]))

static void test_unknown_command(void **state)
{
    (void)state;
    static const usage_case cases[] = {
        {"trian", 2, "unknown command 'trian', did you mean 'train'?"},
        {"xyzzy", 2, "'vkft help' lists all"},
        {"help xyzzy", 2, "unknown command 'xyzzy'"},
        {"--verson", 2, "unknown command"},
    };
    CHECK(cases);
}

static void test_unknown_flag(void **state)
{
    (void)state;
    static const usage_case cases[] = {
        {"train --learnin-rate 1", 2, "--learnin-rate: unknown flag, did you mean --learning-rate?"},
        {"train --learnin_rate=1", 2, "--learnin_rate: unknown flag, did you mean --learning-rate?"},
        {"train --no-shufle", 2, "did you mean --no-shuffle?"},
        {"train --no-model", 2, "--no-model: unknown flag"},
        {"train --zzzzzzzzzzzz 1", 2, "'vkft train --help' lists all"},
        {"train -q nf4", 2, "-q: unknown flag"},
        {"train --model m --data d stray", 2, "unexpected argument 'stray'"},
        {"convert a b", 2, "unexpected argument 'b'"},
        {"devices --jsn", 2, "did you mean --json?"},
    };
    CHECK(cases);
}

static void test_missing(void **state)
{
    (void)state;
    static const usage_case cases[] = {
        {"train", 2, "--model is missing; usage: vkft train --model PATH"},
        {"train --model m", 2, "--data is missing"},
        {"eval --data d", 2, "--model is missing"},
        {"convert", 2, "HF_DIR is missing"},
        {"tokenize", 2, "--model is missing"},
        {"generate --model m", 2, "--prompt"},
        {"generate --model m --prompt a --prompt-ids 1", 2, "--prompt"},
        {"generate --model m --prompt-ids 1,x", 2, "--prompt-ids: expected token ids separated by commas, found '1,x'"},
        {"train --batch-size", 2, "--batch-size: a value is missing"},
        {"train --batch-size --seed 1", 2, "--batch-size: a value is missing"},
        {"train --model '' --data d", 2, "--model: expected PATH, found nothing"},
        {"train --model m --data d -c", 2, "--config: a value is missing"},
        {"bench --tokenizer t", 2, "--model PATH"},
        {"bench --shapes tiny,nope", 2, "there is no shape 'nope'; expected some of tiny, llama-110m, "},
    };
    CHECK(cases);
}

static void test_wrong_value(void **state)
{
    (void)state;
    static const usage_case cases[] = {
        {"train --batch-size 0", 2, "--batch-size: expected a whole number, at least 1 and at most 1000000, found '0'"},
        {"train --batch_size=-1", 2,
         "--batch_size: expected a whole number, at least 1 and at most 1000000, found '-1'"},
        {"train --batch-size 1.5", 2, "found '1.5'"},
        {"train --batch-size 4294967296", 2, "found '4294967296'"},
        {"train --batch-size ''", 2, "found ''"},
        {"train --gradient-accumulation-steps 4294967295", 2, "at most 1000000, found '4294967295'"},
        {"train --batch-size 4294967295", 2, "at most 1000000, found '4294967295'"},
        {"train --model " VKFT_PROJECT_DIR
         "/tools/bundled/model --dry-run --batch-size 1000000 --max-seq-length 1000000",
         1, "may have 4294967295 tokens; at most 16777216 are supported"},
        {"eval --batch-size 4294967295", 2, "at most 1000000, found '4294967295'"},
        {"train --seed 18446744073709551616", 2, "--seed: expected a whole number, found '18446744073709551616'"},
        {"train --seed -1", 2, "found '-1'"},
        {"train --max-steps -2", 2, "--max-steps: expected a whole number, at least -1, found '-2'"},
        {"train --iters abc", 2, "--iters: expected a whole number"},
        {"train --learning-rate 0", 2, "--learning-rate: expected a number, above 0, found '0'"},
        {"train --learning-rate nan", 2, "found 'nan'"},
        {"train --learning-rate inf", 2, "found 'inf'"},
        {"train --learning-rate 1e-4x", 2, "found '1e-4x'"},
        {"train --lora-dropout 1", 2, "--lora-dropout: expected a number, at least 0 and below 1, found '1'"},
        {"train --lora-r 0", 2, "--lora-r: expected a whole number"},
        {"train --lora-alpha 1e39", 2, "found '1e39'"},
        {"train --val-split 1", 2, "--val-split"},
        {"train --quant q4_0", 2, "--quant: expected nf4, bf16, fp16, fp32, none, stored, found 'q4_0'"},
        {"train --lr-scheduler-type step", 2, "inverse_sqrt, warmup_stable_decay, found 'step'"},
        {"train --lr-scheduler-type greedy", 2, "'greedy' is not in this version"},
        {"train --shuffle=maybe", 2, "--shuffle: expected true or false, found 'maybe'"},
        {"generate --model m --prompt p --top-p 1.1", 2,
         "--top-p: expected a number, above 0 and at most 1, found '1.1'"},
        {"generate --model m --prompt p --temperature -1", 2, "--temperature"},
    };
    CHECK(cases);
}

static void test_features_of_later_versions(void **state)
{
    (void)state;
    static const usage_case cases[] = {
        {"train --optim ademamix", 2, "--optim: 'ademamix' is not in this version"},
        {"train --optim adam", 2, "--optim: expected adamw"},
        {"train --report-to wandb", 2, "--report-to: 'wandb' is not in this version"},
        {"train --report-to mlflow", 2, "--report-to: 'mlflow' is not in this version"},
        {"train --report-to x", 2, "--report-to: expected none, tensorboard, all, found 'x'"},
        {"train --no-packing", 2, "--model is missing"}, /* turning it off is fine */
    };
    CHECK(cases);
}

/* A flag that parses lets the command go on to what is still missing. */
static void test_spellings(void **state)
{
    (void)state;
    static const char *const flags[] = {
        "--learning_rate 1e-3",
        "--learning-rate=1e-3",
        "--iters 10",
        "--max_steps -1",
        "--adapter-path x",
        "--no-shuffle",
        "--no_shuffle",
        "--shuffle=false",
        "--double-quant",
        "--no-double-quant",
        "--seed 18446744073709551615",
        "--resume-from-checkpoint",
        "--resume-from-checkpoint dir",
        "--optim adamw",
        "--report-to none",
        "--report-to tensorboard",
        "--report-to=all --logging_dir logs",
        "--lora-target-modules q_proj,v_proj",
        "--warmup-steps 0.1",
        "--compute-dtype fp32",
        "--compute-dtype bf16",
        "--lr-scheduler-type constant_with_warmup",
        "--device -",
        "--quant fp16 --quant nf4",
    };
    for (size_t i = 0; i < sizeof flags / sizeof flags[0]; i++) {
        vkft_test_result r = vkft_test_program("train %s", flags[i]);
        if (r.exit_code != 2 || !strstr(r.err, "--model is missing"))
            fail_msg("vkft train %s: expected it to be accepted, found '%s'", flags[i], r.err);
        vkft_test_result_free(&r);
    }
}

static void check_stdout(const char *arguments, const char *const *parts, size_t count)
{
    vkft_test_result r = vkft_test_program("%s", arguments);
    assert_int_equal(r.exit_code, 0);
    assert_string_equal(r.err, "");
    for (size_t i = 0; i < count; i++)
        if (!strstr(r.out, parts[i]))
            fail_msg("vkft %s: expected '%s' in '%s'", arguments, parts[i], r.out);
    vkft_test_result_free(&r);
}

static void test_help(void **state)
{
    (void)state;
    static const char *const commands[] = {"devices",  "convert", "train",    "eval", "generate",
                                           "tokenize", "bench",   "template", "data", "chat"};
    static const char *const absent[] = {"\n  chats", "\n  merges", "\n  exports"};
    static const char *const general[] = {"help", "--help", "-h"};
    for (size_t i = 0; i < 3; i++)
        check_stdout(general[i], commands, 10);
    vkft_test_result r = vkft_test_program("help");
    for (size_t i = 0; i < 3; i++)
        assert_null(strstr(r.out, absent[i]));
    vkft_test_result_free(&r);
    for (size_t i = 0; i < 10; i++) {
        char arguments[64], usage[64];
        const char *parts[] = {usage, "--config", "--help"};
        snprintf(usage, sizeof usage, "usage: vkft %s ", commands[i]);
        snprintf(arguments, sizeof arguments, "%s --help", commands[i]);
        check_stdout(arguments, parts, 3);
        snprintf(arguments, sizeof arguments, "help %s", commands[i]);
        check_stdout(arguments, parts, 3);
    }
}

/* The defaults that the documentation names. */
static void test_help_defaults(void **state)
{
    (void)state;
    static const char *const parts[] = {
        "(default adapters)",
        "(default nf4; stored for a GGUF file with quantized weights)",
        "--lora-r N",
        "(default 16;",
        "(default 32;",
        "(default 0.0002;",
        "(default linear)",
        "(default 0.03;",
        "(default adamw)",
        "(default 0.9;",
        "(default 0.999;",
        "(default 1e-08;",
        "(default 2048;",
        "(default 42)",
        "0 means all (default 0)",
        "--iters",
        "--adapter-path",
        "--[no-]packing",
        "--data-keys",
        "--chat-template",
        "--[no-]mask-prompt",
        "--[no-]gradient-checkpointing",
    };
    check_stdout("train --help", parts, sizeof parts / sizeof parts[0]);
    vkft_test_result r = vkft_test_program("train --help");
    assert_null(strstr(r.out, "wandb"));
    vkft_test_result_free(&r);
}

static void test_no_command(void **state)
{
    (void)state;
    vkft_test_result r = vkft_test_program(" ");
    assert_int_equal(r.exit_code, 2);
    assert_non_null(strstr(r.err, "usage: vkft"));
    assert_string_equal(r.out, "");
    vkft_test_result_free(&r);
}

static void test_version(void **state)
{
    (void)state;
    vkft_test_result r = vkft_test_program("--version");
    unsigned major, minor, patch;
    assert_int_equal(r.exit_code, 0);
    char commit[64];
    unsigned long long kernels = 0;
    assert_int_equal(sscanf(r.out, "vkft %u.%u.%u commit %63s kernels %llx", &major, &minor, &patch, commit, &kernels),
                     5);
    assert_true(strcmp(commit, "unknown") == 0 || strspn(commit, "0123456789abcdef") >= 7);
    assert_int_not_equal(kernels, 0);
    assert_non_null(strstr(r.out, "\ndownloads "));
    vkft_test_result_free(&r);
}

typedef struct recipe_case {
    const char *file, *text;
    int exit_code;
    const char *error;
} recipe_case;

static void write_file(const char *path, const char *text)
{
    FILE *f = fopen(path, "wb");
    assert_non_null(f);
    assert_int_equal(fwrite(text, 1, strlen(text), f), strlen(text));
    assert_int_equal(fclose(f), 0);
}

/* The data flag is missing in every recipe, so that one without a mistake ends there. */
static void test_recipes(void **state)
{
    (void)state;
    static const char good[] = "--data is missing";
    static const recipe_case cases[] = {
        {"a.yaml",
         "# comment\nmodel: m\nlearning_rate: 1e-3\nshuffle: no\nlora-target-modules: [q_proj, v_proj]\nseed:\n", 2,
         good},
        {"a.yaml", "{\"model\": \"m\", \"seed\": 7}", 2, good},
        {"a.json",
         "{\"model\": \"m\", \"batch-size\": 2, \"shuffle\": false, \"lora_target_modules\": [\"a\", \"b\"], \"seed\": "
         "null,\n"
         "\"learning-rate\": 1e-3}",
         2, good},
        {"a.yaml", "model: m\npacking: false\n", 2, good},
        {"a.yaml", "model: m\nno-shuffle: true\n", 2, good},
        {"a.yaml", "model: m\n\nbatch-sizee: 3\n", 2,
         "a.yaml:3: batch-sizee: unknown flag, did you mean --batch-size?"},
        {"a.json", "{\"model\": \"m\",\n\"seed\": 1,\n \"batchsize\" : 3}", 2,
         "a.json:3: batchsize: unknown flag, did you mean --batch-size?"},
        {"a.yaml", "model: m\nbatch-size: many\n", 2,
         "a.yaml:2: batch-size: expected a whole number, at least 1 and at most 1000000, found 'many'"},
        {"a.json", "{\"model\": \"m\",\n \"batch-size\": 1.5}", 2,
         "a.json:2: batch-size: expected a whole number, at least 1 and at most 1000000, found '1.5'"},
        {"a.yaml", "model: m\nmodel: n\n", 2, "a.yaml:2: model stands twice, first in line 1"},
        {"a.yaml", "model: {a: b}\n", 2, "a.yaml:1: model: a nested value"},
        {"a.yaml", "model: [[a]]\n", 2, "a.yaml:1: model: a nested value"},
        {"a.json", "{\"model\": {\"a\": 1}}", 2, "a.json:1: model: a nested value"},
        {"a.json", "{\"seed\": 18446744073709551615}", 2, "a.json:1: seed: a number too large"},
        {"a.yaml", "model: m\nseed: 'x\n", 2, "a.yaml:"},
        {"a.yaml", "a: b: c\n", 2, "a.yaml:1: not YAML"},
        {"a.yaml", "", 2, "the recipe is empty"},
        {"a.yaml", "- model\n", 2, "a.yaml:1: expected lines such as"},
        {"a.json", "[1]", 2, "expected an object"},
        {"a.json", "{\"model\": \"m\",\n\"data\" \"d\"}", 2, "line 2"},
        {"a.yaml", "model: m\nconfig: b.yaml\n", 2, "a.yaml:2: config: unknown flag"},
        {"a.yaml", "model: m\noptim: ademamix\n", 2, "a.yaml:2: optim: 'ademamix' is not in this version"},
    };
    char *dir = vkft_test_directory();
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char path[1024];
        snprintf(path, sizeof path, "%s/%s", dir, cases[i].file);
        write_file(path, cases[i].text);
        vkft_test_result r = vkft_test_program("train -c '%s'", path);
        check_one_line(cases[i].text, r.err);
        if (r.exit_code != cases[i].exit_code || !strstr(r.err, cases[i].error))
            fail_msg("recipe '%s': expected %d and '%s', found %d and '%s'", cases[i].text, cases[i].exit_code,
                     cases[i].error, r.exit_code, r.err);
        vkft_test_result_free(&r);
    }
    vkft_test_remove_directory(dir);
}

static void test_command_line_wins_over_recipe(void **state)
{
    (void)state;
    char *dir = vkft_test_directory(), path[1024];
    snprintf(path, sizeof path, "%s/r.yaml", dir);
    write_file(path, "model: from-recipe\ndata: d\nmax-steps: 3\n");
    /* Training a model that does not exist fails, after the settings were printed. */
    vkft_test_result r =
        vkft_test_program("train --iters 5 --config='%s' --model '%s/from-argv' --output-dir '%s/out'", path, dir, dir);
    assert_int_equal(r.exit_code, 1);
    assert_non_null(strstr(r.err, "from-argv"));
    assert_null(strstr(r.err, "from-recipe"));
    assert_non_null(strstr(r.err, "max-steps 5"));
    vkft_test_result_free(&r);
    vkft_test_remove_directory(dir);
}

static void test_missing_recipe(void **state)
{
    (void)state;
    static const usage_case cases[] = {
        {"train -c /nonexistent/recipe.yaml", 1, "/nonexistent/recipe.yaml"},
        {"train -c a.yaml -c b.yaml", 2, "--config stands twice"},
    };
    CHECK(cases);
}

static void test_missing_files(void **state)
{
    (void)state;
    static const usage_case cases[] = {
        {"convert /nonexistent/model", 1, "/nonexistent/model"},
        {"convert /nonexistent/model -o /nonexistent/out.vkft", 1, "/nonexistent/"},
        {"tokenize --model /nonexistent/model.vkft", 1, "/nonexistent/model.vkft"},
    };
    CHECK(cases);
}

/* Bytes to ids and back through a tokenizer that has a token for each byte of "aé\0". */
static const char tokenizer_json[] =
    "{\"version\":\"1.0\",\"added_tokens\":[{\"id\":0,\"content\":\"<s>\",\"special\":true,\"single_word\":false,"
    "\"lstrip\":false,"
    "\"rstrip\":false,\"normalized\":false}],\"normalizer\":null,"
    "\"pre_tokenizer\":{\"type\":\"ByteLevel\",\"add_prefix_space\":false,\"trim_offsets\":true,\"use_regex\":false},"
    "\"post_processor\":{\"type\":\"TemplateProcessing\",\"single\":[{\"SpecialToken\":{\"id\":\"<s>\",\"type_id\":0}},"
    "{\"Sequence\":{\"id\":\"A\",\"type_id\":0}}],\"pair\":[],"
    "\"special_tokens\":{\"<s>\":{\"id\":\"<s>\",\"ids\":[0],\"tokens\":[\"<s>\"]}}},"
    "\"decoder\":{\"type\":\"ByteLevel\",\"add_prefix_space\":true,\"trim_offsets\":true,\"use_regex\":true},"
    "\"model\":{\"type\":\"BPE\",\"dropout\":null,\"unk_token\":null,\"continuing_subword_prefix\":null,\"end_of_word_"
    "suffix\":null,"
    "\"fuse_unk\":false,\"byte_fallback\":false,\"vocab\":{\"<s>\":0,\"a\":1,\"\\u00c3\":2,\"\\u00a9\":3,\"\\u0100\":4}"
    ",\"merges\":[]}}";

static void check_tokenize(const char *dir, const char *flags, const char *input, int exit_code, const char *expected)
{
    char path[1024];
    snprintf(path, sizeof path, "%s/input", dir);
    write_file(path, input);
    vkft_test_result r = vkft_test_program("tokenize --model '%s' %s < '%s'", dir, flags, path);
    const char *found = exit_code ? r.err : r.out;
    if (r.exit_code != exit_code || !strstr(found, expected) || (!exit_code && strcmp(found, expected) != 0))
        fail_msg("tokenize %s of '%s': expected %d and '%s', found %d and '%s'", flags, input, exit_code, expected,
                 r.exit_code, found);
    vkft_test_result_free(&r);
}

static void test_tokenize(void **state)
{
    (void)state;
    char *dir = vkft_test_directory(), path[1024];
    snprintf(path, sizeof path, "%s/tokenizer.json", dir);
    write_file(path, tokenizer_json);
    check_tokenize(dir, "", "\"a\\u00e9\\u0000\"\n \"\" \n\"a\xc3\xa9\"", 0, "[0, 1, 2, 3, 4]\n[0]\n[0, 1, 2, 3]\n");
    check_tokenize(dir, "--no-special", "\"a\"\r\n", 0, "[1]\n");
    check_tokenize(dir, "--decode", "[0,1, 2,3,4]\n[]\n", 0, "\"<s>a\xc3\xa9\\u0000\"\n\"\"\n");
    check_tokenize(dir, "--decode --no-special", "[0, 1]\n", 0, "\"a\"\n");
    check_tokenize(dir, "", "\"a\"\n\"a\n", 1, "line 2: the JSON string does not end");
    check_tokenize(dir, "", "\"\\x\"\n", 1, "line 1, column 2: not valid JSON at");
    check_tokenize(dir, "", "\"a\" b\n", 1, "line 1, column 5: not valid JSON at 'b'");
    check_tokenize(dir, "", "5\n", 1, "line 1: found the number 5, expected a JSON string");
    check_tokenize(dir, "", "\"a\tb\"\n", 1, "line 1: control character in the JSON string; write it as \\u0009");
    check_tokenize(dir, "--decode", "[1]\n[-1]\n", 1, "line 2: expected a JSON array of token ids");
    check_tokenize(dir, "--decode", "[5]\n", 1, "line 1");
    check_tokenize(dir, "--decode", "[1\n", 1, "line 1");
    vkft_test_remove_directory(dir);
}

static void test_devices(void **state)
{
    (void)state;
    vkft_test_result r = vkft_test_program("devices --json");
    if (r.exit_code != 0) {
        check_one_line("devices --json", r.err);
        print_message("skipped: no Vulkan device here: %s", r.err);
        vkft_test_result_free(&r);
        skip();
    }
    static const char *const texts[] = {"name", "driver", "vulkan", "uuid", "type"};
    static const char *const numbers[] = {"index", "memory_bytes", "memory_free_bytes"};
    static const char *const switches[] = {"usable", "default"};
    static const char *const capability_numbers[] = {"subgroup_size", "shared_memory_bytes", "workgroup_invocations",
                                                     "loop_limit"};
    static const char *const capabilities[] = {"fp16", "bf16", "cooperative_matrix", "uniform_loads"};
    cJSON *list = cJSON_Parse(r.out);
    assert_true(cJSON_IsArray(list));
    int defaults = 0;
    const cJSON *device;
    cJSON_ArrayForEach(device, list)
    {
        for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++)
            assert_true(cJSON_IsString(cJSON_GetObjectItemCaseSensitive(device, texts[i])));
        for (size_t i = 0; i < sizeof numbers / sizeof numbers[0]; i++)
            assert_true(cJSON_IsNumber(cJSON_GetObjectItemCaseSensitive(device, numbers[i])));
        for (size_t i = 0; i < sizeof switches / sizeof switches[0]; i++)
            assert_true(cJSON_IsBool(cJSON_GetObjectItemCaseSensitive(device, switches[i])));
        const cJSON *caps = cJSON_GetObjectItemCaseSensitive(device, "capabilities");
        for (size_t i = 0; i < sizeof capability_numbers / sizeof capability_numbers[0]; i++)
            assert_true(cJSON_IsNumber(cJSON_GetObjectItemCaseSensitive(caps, capability_numbers[i])));
        for (size_t i = 0; i < sizeof capabilities / sizeof capabilities[0]; i++)
            assert_true(cJSON_IsBool(cJSON_GetObjectItemCaseSensitive(caps, capabilities[i])));
        assert_true(cJSON_IsArray(cJSON_GetObjectItemCaseSensitive(caps, "matrix_shapes")));
        defaults += cJSON_IsTrue(cJSON_GetObjectItemCaseSensitive(device, "default"));
    }
    assert_int_equal(defaults, 1);
    vkft_test_result text = vkft_test_program("devices -v");
    assert_int_equal(text.exit_code, 0);
    assert_non_null(
        strstr(text.out, cJSON_GetObjectItemCaseSensitive(cJSON_GetArrayItem(list, 0), "name")->valuestring));
    assert_non_null(strstr(text.out, "* "));
    assert_non_null(strstr(text.out, "features"));
    vkft_test_result_free(&text);
    cJSON_Delete(list);
    vkft_test_result_free(&r);
}

#ifdef __linux__
/* Output that cannot be written is a failure, not a success. */
static void test_full_output(void **state)
{
    (void)state;
    vkft_test_result r = vkft_test_program("help > /dev/full");
    assert_int_equal(r.exit_code, 1);
    check_one_line("help > /dev/full", r.err);
    vkft_test_result_free(&r);
}
#endif

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_unknown_command),
        cmocka_unit_test(test_unknown_flag),
        cmocka_unit_test(test_missing),
        cmocka_unit_test(test_wrong_value),
        cmocka_unit_test(test_features_of_later_versions),
        cmocka_unit_test(test_spellings),
        cmocka_unit_test(test_help),
        cmocka_unit_test(test_help_defaults),
        cmocka_unit_test(test_no_command),
        cmocka_unit_test(test_version),
        cmocka_unit_test(test_recipes),
        cmocka_unit_test(test_command_line_wins_over_recipe),
        cmocka_unit_test(test_missing_recipe),
        cmocka_unit_test(test_missing_files),
        cmocka_unit_test(test_tokenize),
        cmocka_unit_test(test_devices),
#ifdef __linux__
        cmocka_unit_test(test_full_output),
#endif
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
