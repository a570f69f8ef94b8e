/* What a newcomer guesses, from PEFT, transformers, mlx-lm and llama.cpp: each command, flag, value and default works,
 * or is refused by its name with what to do instead. What a run leaves on disk has the names that those programs read.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "runtime/base/file.h"
#include "tests/support/expect.h"
#include "tests/support/program.h"
#include "tests/support/system/system.h"

#define BUNDLED VKFT_PROJECT_DIR "/tools/bundled/model"
#define COUNT(array) (sizeof(array) / sizeof *(array))

static char *dir;

static int make_directory(void **state)
{
    (void)state;
    dir = vkft_test_directory();
    return 0;
}

static int remove_directory(void **state)
{
    (void)state;
    vkft_test_remove_directory(dir);
    return 0;
}

static void test_commands(void **state)
{
    static const char *const names[] = {"devices",  "convert", "train", "eval",  "generate", "tokenize",
                                        "template", "data",    "chat",  "merge", "export",   "verify",
                                        "download", "plot",    "watch", "bench", "doctor"};
    (void)state;
    for (size_t i = 0; i < COUNT(names); i++) {
        char refusal[120];
        vkft_test_result r = vkft_test_program("%s --help", names[i]);
        snprintf(refusal, sizeof refusal, "vkft: error: the command '%s' is not in this version; '", names[i]);
        refusal[strlen(refusal) - 1] = 0;
        bool works = r.exit_code == 0 && strncmp(r.out, "usage: vkft ", 12) == 0,
             refused = r.exit_code == 1 && strncmp(r.err, refusal, strlen(refusal)) == 0;
        if (!works && !refused)
            fail_msg("vkft %s: neither works nor is refused with what to do: %s%s", names[i], r.out, r.err);
        vkft_test_result_free(&r);
    }
}

/* A flag of train: its name, its default as a recipe has it, another value, and how a recipe has that. */
typedef struct guess {
    const char *name, *by_default, *value, *stored;
} guess;

static const guess guesses[] = {
    {"model", "\"m\"", "x", "\"x\""},
    {"data", "\"d\"", "y", "\"y\""},
    {"output-dir", "\"adapters\"", "o", "\"o\""},
    {"quant", "nf4", "fp32", "fp32"},
    {"double-quant", "true", NULL, NULL},
    {"compute-dtype", "auto", "bf16", "bf16"},
    {"lora-r", "16", "4", "4"},
    {"lora-alpha", "32", "8", "8"},
    {"lora-dropout", "0", "0.1", "0.1"},
    {"lora-target-modules", "\"all-linear\"", "q_proj,v_proj", "\"q_proj,v_proj\""},
    {"init-adapter", "null", "a", "\"a\""},
    {"num-train-epochs", "3", "2", "2"},
    {"max-steps", "-1", NULL, NULL}, /* beside --num-train-epochs it would be idle */
    {"batch-size", "1", "3", "3"},
    {"gradient-accumulation-steps", "8", "2", "2"},
    {"learning-rate", "0.0002", "1e-5", "1e-05"},
    {"lr-scheduler-type", "linear", "cosine", "cosine"},
    {"warmup-steps", "0.03", "7", "7"},
    {"optim", "adamw", "paged_adamw_32bit", "paged_adamw_32bit"},
    {"weight-decay", "0.01", "0.1", "0.1"},
    {"adam-beta1", "0.9", "0.8", "0.8"},
    {"adam-beta2", "0.999", "0.99", "0.99"},
    {"adam-epsilon", "1e-08", "1e-6", "1e-06"},
    {"max-grad-norm", "1", "0.5", "0.5"},
    {"max-seq-length", "2048", "64", "64"},
    {"packing", "false", "true", "true"},
    {"mask-prompt", "true", "false", "false"},
    {"shuffle", "true", "false", "false"},
    {"seed", "42", "1", "1"},
    {"gradient-checkpointing", "true", "false", "false"},
    {"val-split", "0", "0.1", "0.1"},
    {"eval-steps", "100", "5", "5"},
    {"eval-batches", "0", "6", "6"},
    {"early-stopping-patience", "0", "2", "2"},
    {"load-best-model-at-end", "true", "false", "false"},
    {"save-steps", "100", "9", "9"},
    {"save-total-limit", "2", "3", "3"},
    {"resume-from-checkpoint", "null", "auto", "\"auto\""},
    {"logging-steps", "1", "10", "10"},
    {"logging-dir", "null", "l", "\"l\""},
    {"report-to", "null", "tensorboard", "tensorboard"},
    {"watch", "null", "8000", "8000"},
    {"device", "null", "0", "\"0\""},
    {"overwrite", "false", "true", "true"},
};

static char *recipe_of(const char *flags)
{
    vkft_test_result r = vkft_test_program("train %s --print-config", flags);
    if (r.exit_code != 0 || *r.err)
        fail_msg("vkft train %s --print-config: %s", flags, r.err);
    char *text = strdup(r.out);
    vkft_test_result_free(&r);
    return text;
}

/* The line of the flag, which may be a comment where it is the default. */
static void expect_line(const char *recipe, const char *name, const char *value, bool by_default)
{
    char line[200], comment[220];
    snprintf(line, sizeof line, "\n%s: %s", name, value);
    snprintf(comment, sizeof comment, "\n# %s", line + 1);
    const char *at = strstr(recipe, line);
    at = at ? at + strlen(line) : NULL;
    if (!at && by_default && (at = strstr(recipe, comment)))
        at += strlen(comment);
    if (!at || !strchr(" \n", *at))
        fail_msg("expected %s: %s, found %s", name, value, recipe);
}

static void test_defaults(void **state)
{
    (void)state;
    char *recipe = recipe_of("--model m --data d");
    for (size_t i = 0; i < COUNT(guesses); i++)
        expect_line(recipe, guesses[i].name, guesses[i].by_default, true);
    free(recipe);
}

static void append_flag(char *text, size_t size, const char *format, const guess *g, bool underscores)
{
    char name[64];
    size_t n = strlen(text);
    snprintf(name, sizeof name, "%s", g->name);
    for (char *c = name; underscores && *c; c++)
        *c = *c == '-' ? '_' : *c;
    snprintf(text + n, size - n, format, name, g->value);
}

/* Every flag at once: on the command line with - and with _, and in a recipe. */
static void test_values(void **state)
{
    (void)state;
    char flags[3][4000] = {"", "", ""}, path[600], text[4000] = "";
    for (size_t i = 0; i < COUNT(guesses); i++)
        if (guesses[i].value) {
            append_flag(flags[0], sizeof flags[0], "--%s=%s ", &guesses[i], false);
            append_flag(flags[1], sizeof flags[1], "--%s %s ", &guesses[i], true);
            append_flag(text, sizeof text, "%s: %s\n", &guesses[i], true);
        }
    vkft_err err;
    snprintf(path, sizeof path, "%s/all.yaml", dir);
    expect_ok(vkft_file_write(path, text, strlen(text), &err));
    snprintf(flags[2], sizeof flags[2], "-c %s", path);
    for (size_t form = 0; form < 3; form++) {
        char *recipe = recipe_of(flags[form]);
        for (size_t i = 0; i < COUNT(guesses); i++)
            if (guesses[i].value)
                expect_line(recipe, guesses[i].name, guesses[i].stored, false);
        free(recipe);
    }
}

/* A flag with its value: taken as it stands, or refused by its name. */
typedef struct choice {
    const char *command, *flag, *value;
} choice;

static const choice choices[] = {
    {"train", "quant", "nf4"},
    {"train", "quant", "bf16"},
    {"train", "quant", "fp16"},
    {"train", "quant", "fp32"},
    {"train", "quant", "none"},
    {"train", "compute-dtype", "auto"},
    {"train", "compute-dtype", "bf16"},
    {"train", "compute-dtype", "fp16"},
    {"train", "compute-dtype", "fp32"},
    {"train", "lr-scheduler-type", "constant"},
    {"train", "lr-scheduler-type", "constant_with_warmup"},
    {"train", "lr-scheduler-type", "linear"},
    {"train", "lr-scheduler-type", "cosine"},
    {"train", "optim", "adamw"},
    {"train", "optim", "adamw_8bit"},
    {"train", "optim", "paged_adamw_32bit"},
    {"train", "optim", "paged_adamw_8bit"},
    {"train", "optim", "adafactor"},
    {"train", "optim", "sgd"},
    {"train", "report-to", "none"},
    {"train", "report-to", "tensorboard"},
    {"train", "adapter-path", "o"},
    {"train", "iters", "5"},
    {"train", "mask-prompt", "true"},
    {"train", "resume-from-checkpoint", "auto"},
    {"train", "json", "true"},
    {"train", "dry-run", "true"},
    {"eval", "adapter", "a"},
    {"eval", "data", "d"},
    {"eval", "per-token", "f.jsonl"},
    {"eval", "json", "true"},
    {"generate", "adapter", "a"},
    {"generate", "prompt", "p"},
    {"generate", "temperature", "0"},
    {"tokenize", "decode", "true"},
    {"tokenize", "special", "false"},
    {"template", "generation-prompt", "true"},
    {"template", "json", "true"},
    {"data", "json", "true"},
    {"convert", "quant", "nf4"},
    {"convert", "quant", "none"},
    {"convert", "double-quant", "true"},
    {"convert", "output", "x.vkft"},
};

/* What is still missing then is said; a flag that is not known would be said before that. */
static void test_choices(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(choices); i++) {
        const choice *c = &choices[i];
        char refusal[160];
        vkft_test_result r = vkft_test_program("%s --%s=%s", c->command, c->flag, c->value);
        snprintf(refusal, sizeof refusal, "--%s: '%s' is not in this version; use ", c->flag, c->value);
        if (r.exit_code != 2 || !(strstr(r.err, " is missing; usage: ") || strstr(r.err, refusal)))
            fail_msg("vkft %s --%s=%s: neither taken nor refused by name: %s", c->command, c->flag, c->value, r.err);
        vkft_test_result_free(&r);
    }
}

/* Names of models on the hub, which tests do not ask. */
static void test_hub_names(void **state)
{
    static const char *const commands[] = {"train --data d", "eval --data d", "generate --prompt p", "tokenize",
                                           "data d"};
    (void)state;
    for (size_t i = 0; i < COUNT(commands); i++) {
        vkft_test_result r = vkft_test_program("%s --model facebook/opt-125m < /dev/null", commands[i]);
        if (r.exit_code != 1 ||
            !strstr(r.err, "'facebook/opt-125m' does not exist here; on the hub: facebook/opt-125m: "))
            fail_msg("%s: %s", commands[i], r.err);
        vkft_test_result_free(&r);
    }
}

typedef struct shape {
    const char *file, *text, *said;
} shape;

static const shape shapes[] = {
    {"a.txt", "One line.\nAnother line.\n", "text"},
    {"b.jsonl", "{\"text\": \"abc\"}\n", "text"},
    {"c.json", "[{\"prompt\": \"abc\", \"completion\": \"def\"}]", "prompt/completion"},
    {"d.jsonl", "{\"instruction\": \"abc\", \"input\": \"\", \"output\": \"def\"}\n", "instruction/input/output"},
    {"e.jsonl", "{\"question\": \"abc\", \"answer\": \"def\"}\n", "question/answer"},
    {"f.jsonl", "{\"question\": \"abc\", \"answer\": \"def\", \"context\": \"ghi\"}\n", "question/answer"},
    {"g.jsonl",
     "{\"messages\": [{\"role\": \"user\", \"content\": \"abc\"}, {\"role\": \"assistant\", \"content\": \"d\"}]}\n",
     "messages"},
    {"h.jsonl",
     "{\"conversations\": [{\"from\": \"human\", \"value\": \"abc\"}, {\"from\": \"gpt\", \"value\": \"d\"}]}\n",
     "conversations"},
    {"i.jsonl", "{\"input_ids\": [1, 2, 3], \"labels\": [-100, 2, 3]}\n", "input_ids/labels"},
    {"j.jsonl", "{\"input_ids\": [1, 2, 3]}\n", "input_ids"},
};

/* The shape is found and said; a row of none names file, line, the keys found and those expected. */
static void test_shapes(void **state)
{
    (void)state;
    char path[600], template[600];
    vkft_err err;
    static const char chat[] = "{% for m in messages %}{{ m.content }}{% endfor %}";
    snprintf(template, sizeof template, "%s/t.jinja", dir);
    expect_ok(vkft_file_write(template, chat, strlen(chat), &err));
    for (size_t i = 0; i < COUNT(shapes); i++) {
        snprintf(path, sizeof path, "%s/%s", dir, shapes[i].file);
        expect_ok(vkft_file_write(path, shapes[i].text, strlen(shapes[i].text), &err));
        vkft_test_result r =
            vkft_test_program("data %s --model " BUNDLED " --chat-template %s --no-mask-prompt", path, template);
        if (r.exit_code != 0 || !(strstr(r.out, shapes[i].said) || strstr(r.err, shapes[i].said)))
            fail_msg("%s: expected '%s', found %s%s", shapes[i].text, shapes[i].said, r.out, r.err);
        vkft_test_result_free(&r);
    }
    snprintf(path, sizeof path, "%s/k.jsonl", dir);
    static const char wrong[] = "{\"txet\": \"abc\", \"n\": 1}\n";
    expect_ok(vkft_file_write(path, wrong, strlen(wrong), &err));
    vkft_test_result r = vkft_test_program("data %s --model " BUNDLED " --on-bad-row error", path);
    if (r.exit_code != 1 || !strstr(r.err, "k.jsonl: line 1: keys found: txet, n; expected text, or"))
        fail_msg("%s%s", r.out, r.err);
    vkft_test_result_free(&r);
}

static void expect_files(const char *base, const char *const *names, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        char path[900];
        snprintf(path, sizeof path, "%s/%s", base, names[i]);
        if (!vkft_file_exists(path))
            fail_msg("%s is missing", path);
    }
}

static void expect_keys(const cJSON *object, const char *const *names, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (!cJSON_HasObjectItem(object, names[i]))
            fail_msg("%s is missing in %s", names[i], cJSON_Print(object));
}

/* A run as a newcomer starts it, and what it leaves. */
static void test_output_directory(void **state)
{
    static const char *const files[] = {"adapter_model.safetensors",
                                        "adapter_config.json",
                                        "vkft.json",
                                        "tokenizer.json",
                                        "README.md",
                                        "trainer_log.jsonl",
                                        "checkpoint-2/adapter_model.safetensors",
                                        "checkpoint-2/optimizer.safetensors",
                                        "checkpoint-2/trainer_state.json"};
    static const char *const config[] = {"peft_type",
                                         "task_type",
                                         "base_model_name_or_path",
                                         "r",
                                         "lora_alpha",
                                         "target_modules",
                                         "lora_dropout",
                                         "bias",
                                         "modules_to_save",
                                         "use_dora",
                                         "use_rslora",
                                         "fan_in_fan_out",
                                         "inference_mode",
                                         "init_lora_weights"};
    static const char *const row[] = {"step",  "loss",   "grad_norm",         "learning_rate",
                                      "epoch", "tokens", "tokens_per_second", "memory_bytes"};
    (void)state;
    char out[512], path[900];
    snprintf(out, sizeof out, "%s/out", dir);
    vkft_test_result r = vkft_test_program("train --model " BUNDLED " --data %s/d.jsonl --adapter_path %s --iters 2 "
                                           "--save_steps 1 --val_split 0 --gradient_accumulation_steps 1 --json",
                                           dir, out);
    if (r.exit_code != 0 || r.out[0] != '{' || !strstr(r.err, "  masked ") || !strstr(r.err, "  trained "))
        fail_msg("%s%s", r.out, r.err);
    vkft_test_result_free(&r);
    expect_files(out, files, COUNT(files));
    snprintf(path, sizeof path, "%s/adapter_config.json", out);
    cJSON *json = vkft_test_read_json(path);
    expect_keys(json, config, COUNT(config));
    cJSON_Delete(json);
    snprintf(path, sizeof path, "%s/trainer_log.jsonl", out);
    json = vkft_test_read_jsonl(path);
    assert_int_equal(cJSON_GetArraySize(json), 2);
    expect_keys(json->child, row, COUNT(row));
    cJSON_Delete(json);
    snprintf(path, sizeof path, "%s/adapter_model.safetensors", out);
    size_t size;
    char *tensors = vkft_test_read(path, &size);
    assert_non_null(strstr(tensors + 8, "\"__metadata__\":{\"format\":\"pt\"}"));
    assert_non_null(strstr(tensors + 8, "\"base_model.model.model.layers.0.self_attn.q_proj.lora_A.weight\""));
    free(tensors);
    r = vkft_test_program("train --model " BUNDLED " --data %s/d.jsonl --output-dir %s --iters 2", dir, out);
    if (r.exit_code != 1 || !strstr(r.err, "--overwrite"))
        fail_msg("a finished run is not refused: %s", r.err);
    vkft_test_result_free(&r);
    r = vkft_test_program("eval --model " BUNDLED " --adapter %s --data %s/d.jsonl --json", out, dir);
    json = cJSON_Parse(r.out);
    static const char *const result[] = {"loss", "perplexity", "tokens"};
    if (r.exit_code != 0 || !json)
        fail_msg("%s%s", r.out, r.err);
    expect_keys(json, result, COUNT(result));
    cJSON_Delete(json);
    vkft_test_result_free(&r);
}

/* The recipe of a run gives that run again, and so its own recipe; nothing is trained for it. */
static void test_print_config(void **state)
{
    static const char *const runs[] = {
        "--model m --data d",
        ("--model 'a \"b\"' --data \"$(printf 'x\\ty#: 한\\\\\\177')\" --prompt-template 'Q: {question}\nA:' "
         "--no-shuffle"),
        "--model m --data d --max-steps 3 --fine-tune-type full --quant nf4 --learning-rate 1.23456789e-5",
        "--model m --data d --objective dpo --beta 0.25 --init-adapter a --lora-r 4 --resume-from-checkpoint",
        "--model m --data d --logging-dir l --eval-strategy no --save-strategy epoch --seed 18446744073709551615",
        "--model m --data null --device '~' --output-dir none",
    };
    char path[600], config[640];
    vkft_err err;
    (void)state;
    snprintf(path, sizeof path, "%s/printed.yaml", dir);
    snprintf(config, sizeof config, "-c %s", path);
    for (size_t i = 0; i < COUNT(runs); i++) {
        char *first = recipe_of(runs[i]);
        expect_ok(vkft_file_write(path, first, strlen(first), &err));
        char *second = recipe_of(config); /* and nothing is said */
        assert_string_equal(second, first);
        free(first);
        free(second);
    }
    vkft_test_result r = vkft_test_program("train --model m --print-config");
    assert_int_equal(r.exit_code, 2);
    assert_non_null(strstr(r.err, "--data is missing"));
    vkft_test_result_free(&r);
    if (vkft_test_program_is_foreign())
        return; /* Windows has no arguments that are not characters */
    r = vkft_test_program("train --model m --data \"$(printf 'x\\377')\" --print-config");
    assert_int_equal(r.exit_code, 1);
    assert_non_null(strstr(r.err, "--data: 'x\377' is not UTF-8"));
    vkft_test_result_free(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_commands),         cmocka_unit_test(test_defaults),     cmocka_unit_test(test_values),
        cmocka_unit_test(test_choices),          cmocka_unit_test(test_hub_names),    cmocka_unit_test(test_shapes),
        cmocka_unit_test(test_output_directory), cmocka_unit_test(test_print_config),
    };
    return cmocka_run_group_tests_name("guessed", tests, make_directory, remove_directory);
}
