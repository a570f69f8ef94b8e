/* What other programs call flags, in the program: each name and value comes to the same settings as the flag itself, on
 * the command line and in a recipe; or it is refused and says what to do.
 *
 * A run whose model does not exist says its settings before it ends. A test of the parser is in flags/test_flags.c.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "host/cli/spellings.h"
#include "runtime/base/file.h"
#include "tests/support/expect.h"
#include "tests/support/program.h"

/* name and value as the other program has them; the flags that they mean. */
typedef struct meaning {
    const char *name, *value, *flags;
} meaning;

static const meaning meanings[] = {
    {"per_device_train_batch_size", "3", "--batch-size 3"},
    {"per_device_eval_batch_size", "5", "--eval-batch-size 5"},
    {"evaluation_strategy", "no", "--eval-strategy no"},
    {"evaluation_strategy", "steps", "--eval-strategy steps"},
    {"evaluation_strategy", "epoch", "--eval-strategy epoch"},
    {"warmup_ratio", "0.1", "--warmup-steps 0.1"},
    {"optim", "adamw_torch", "--optim adamw"},
    {"optim", "adamw_torch_fused", "--optim adamw"},
    {"optim", "paged_adamw", "--optim paged_adamw_32bit"},
    {"optim", "adamw_bnb_8bit", "--optim adamw_8bit"},
    {"optim", "adamw_8bit", "--optim adamw_8bit"},
    {"optim", "paged_adamw_8bit", "--optim paged_adamw_8bit"},
    {"optim", "lion_32bit", "--optim lion"},
    {"optim", "paged_lion_32bit", "--optim paged_lion_32bit"},
    {"optim", "lion_8bit", "--optim lion_8bit"},
    {"optim", "adafactor", "--optim adafactor"},
    {"bf16", "true", "--compute-dtype bf16"},
    {"train_mode", "orpo", "--objective orpo"},
    {"stage", "dpo", "--objective dpo"},
    {"pref_beta", "0.2", "--beta 0.2"},
    {"pref_loss", "orpo", "--objective orpo"},
    {"pref_loss", "simpo", "--objective simpo"},
    {"pref_loss", "ipo", "--loss-type ipo"},
    {"z_loss", "0.0001", "--z-loss-multiplier 0.0001"},
    {"lse_square_scale", "0.0001", "--z-loss-multiplier 0.0001"},
    {"dpo_label_smoothing", "0.1", "--label-smoothing 0.1"},
    {"kto_chosen_weight", "1.3", "--desirable-weight 1.3"},
    {"kto_rejected_weight", "0.8", "--undesirable-weight 0.8"},
    {"gamma", "0.7", "--simpo-gamma 0.7"},
    {"precompute_ref_log_probs", "true", ""},
    {"disable_dropout", "true", ""},
    {"fp16", "true", "--compute-dtype fp16"},
    {"bf16", "false", ""},
    {"fp16", "false", ""},
    {"overwrite_output_dir", "true", "--overwrite"},
    {"resume_from_checkpoint", "true", "--resume-from-checkpoint auto"},
    {"resume_from_checkpoint", "false", ""},
    {"remove_unused_columns", "true", ""},
    {"use_muon", "true", "--optim muon"},
    {"use_muon", "false", ""},
    {"max_length", "512", "--max-seq-length 512"},
    {"dataset_text_field", "body", "--data-keys text=body"},
    {"dataset_config_name", "main", "--dataset-config main"},
    {"dataset_train_split", "train_sft", "--dataset-split train_sft"},
    {"dataset_test_split", "test_sft", "--dataset-validation-split test_sft"},
    {"load_in_4bit", "true", "--quant nf4"},
    {"load_in_4bit", "false", "--quant none"},
    {"load_in_8bit", "false", ""},
    {"bnb_4bit_quant_type", "nf4", "--quant nf4"},
    {"bnb_4bit_use_double_quant", "false", "--no-double-quant"},
    {"bnb_4bit_compute_dtype", "float32", "--compute-dtype fp32"},
    {"bnb_4bit_compute_dtype", "torch.float32", "--compute-dtype fp32"},
    {"bnb_4bit_compute_dtype", "bfloat16", "--compute-dtype bf16"},
    {"bnb_4bit_compute_dtype", "torch.bfloat16", "--compute-dtype bf16"},
    {"bnb_4bit_compute_dtype", "float16", "--compute-dtype fp16"},
    {"bnb_4bit_compute_dtype", "torch.float16", "--compute-dtype fp16"},
    {"device_map", "auto", ""},
    {"r", "4", "--lora-r 4"},
    {"target_modules", "q_proj,v_proj", "--lora-target-modules q_proj,v_proj"},
    {"modules_to_save", "None", ""},
    {"modules_to_save", "lm_head", "--modules-to-save lm_head"},
    {"init_lora_weights", "true", "--init-lora-weights true"},
    {"init_lora_weights", "gaussian", "--init-lora-weights gaussian"},
    {"init_lora_weights", "pissa_niter_16", "--init-lora-weights pissa_niter_16"},
    {"trainable_token_indices", "none", ""},
    {"trainable_token_indices", "5", "--trainable-token-indices 5"},
    {"ensure_weight_tying", "false", ""},
    {"layer_replication", "none", ""},
    {"target_parameters", "none", ""},
    {"use_qalora", "false", ""},
    {"use_bdlora", "none", ""},
    {"alora_invocation_tokens", "none", ""},
    {"arrow_config", "none", ""},
    {"kasa_config", "none", ""},
    {"monteclora_config", "none", ""},
    {"velora_config", "none", ""},
    {"loftq_config", "none", ""},
    {"eva_config", "none", ""},
    {"corda_config", "none", ""},
    {"lora_ga_config", "none", ""},
    {"peft_type", "LORA", "--peft-type lora"},
    {"peft_type", "ia3", "--peft-type ia3"},
    {"peft_type", "vera", "--peft-type vera"},
    {"vera_dropout", "0.1", "--lora-dropout 0.1"},
    {"bias", "vera_only", "--bias lora_only"},
    {"loraplus_weight_decay", "0.1", "--weight-decay 0.1"},
    {"peft_type", "lora", ""},
    {"inference_mode", "false", ""},
    {"iters", "7", "--max-steps 7"},
    {"adapter_path", "x", "--output-dir x"},
};

/* Names that are spelled as the flag. */
static const meaning same[] = {
    {"eval_strategy", "epoch", "--eval-strategy epoch"},
    {"save_strategy", "epoch", "--save-strategy epoch"},
    {"save_strategy", "no", "--save-strategy no"},
    {"logging_strategy", "epoch", "--logging-strategy epoch"},
    {"task_type", "SEQ_2_SEQ_LM", "--task-type SEQ_2_SEQ_LM"},
    {"load_best_model_at_end", "false", "--no-load-best-model-at-end"},
    {"num_train_epochs", "2", "--num-train-epochs 2"},
    {"gradient_accumulation_steps", "2", "--gradient-accumulation-steps 2"},
    {"learning_rate", "1e-3", "--learning-rate 1e-3"},
    {"lr_scheduler_type", "cosine", "--lr-scheduler-type cosine"},
    {"max_grad_norm", "0.3", "--max-grad-norm 0.3"},
    {"weight_decay", "0.1", "--weight-decay 0.1"},
    {"logging_steps", "10", "--logging-steps 10"},
    {"eval_steps", "10", "--eval-steps 10"},
    {"save_steps", "10", "--save-steps 10"},
    {"save_total_limit", "3", "--save-total-limit 3"},
    {"gradient_checkpointing", "false", "--no-gradient-checkpointing"},
    {"packing", "true", "--packing"},
    {"max_seq_length", "64", "--max-seq-length 64"},
    {"lora_alpha", "8", "--lora-alpha 8"},
    {"lora_dropout", "0.05", "--lora-dropout 0.05"},
    {"use_rslora", "true", "--use-rslora"},
    {"output_dir", "o", "--output-dir o"},
    {"seed", "1", "--seed 1"},
    {"max_steps", "9", "--max-steps 9"},
};

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

/* The settings that a run prints; the caller frees them. */
static char *settings(const char *flags)
{
    vkft_test_result r = vkft_test_program("train --model %s/none --data %s/none %s", dir, dir, flags);
    char *end = strstr(r.err, "vkft: error");
    if (r.exit_code != 1 || !end || !strstr(r.err, "model and data"))
        fail_msg("%s: expected settings, found '%s'", flags, r.err);
    *end = 0;
    char *text = strdup(r.err);
    vkft_test_result_free(&r);
    return text;
}

static void write_recipe(const char *format, const char *name, const char *value, char *flags, size_t size)
{
    char text[300], path[600];
    vkft_err err;
    snprintf(text, sizeof text, format, name, value);
    snprintf(path, sizeof path, "%s/recipe.yaml", dir);
    expect_ok(vkft_file_write(path, text, strlen(text), &err));
    snprintf(flags, size, "-c %s", path);
}

/* More flags, without which it has no effect. */
static const char *with_of(const meaning *m)
{
    static const char *const needs[][2] = {{"--beta", "--objective dpo"},
                                           {"--desirable-weight", "--objective kto"},
                                           {"--undesirable-weight", "--objective kto"},
                                           {"--loss-type", "--objective dpo"},
                                           {"--label-smoothing", "--objective dpo"},
                                           {"--simpo-gamma", "--objective simpo"}};
    for (size_t i = 0; i < sizeof needs / sizeof *needs; i++)
        if (strncmp(m->flags, needs[i][0], strlen(needs[i][0])) == 0)
            return needs[i][1];
    return "";
}

static void check(const meaning *m)
{
    const char *with = with_of(m);
    char all[800], given[700];
    snprintf(all, sizeof all, "%s %s", m->flags, with);
    char *wanted = settings(all);
    for (int i = 0; i < 3; i++) {
        if (i == 0)
            snprintf(given, sizeof given, "--%s=%s", m->name, m->value);
        else if (i == 1)
            snprintf(given, sizeof given, "--%s %s", m->name, m->value);
        else
            write_recipe("%s: %s\n", m->name, m->value, given, sizeof given);
        snprintf(all, sizeof all, "%s %s", given, with);
        char *found = settings(all);
        if (strcmp(found, wanted) != 0)
            fail_msg("%s %s: expected '%s', found '%s'", given, m->value, wanted, found);
        free(found);
    }
    free(wanted);
}

static void test_meanings(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof meanings / sizeof *meanings; i++)
        check(&meanings[i]);
    for (size_t i = 0; i < sizeof same / sizeof *same; i++)
        check(&same[i]);
}

/* Each with what its message says. */
static const meaning refusals[] = {
    {"stage", "pt", "stage pt: continued training on plain text is --objective sft with a .txt file"},
    {"stage", "rm", "stage rm: reward models are not trained"},
    {"stage", "ppo", "stage ppo: is not supported; use dpo, orpo, simpo or kto"},
    {"max_prompt_length", "512", "max_prompt_length 512: --max-seq-length is for prompt and answer together"},
    {"optim", "adamw_hf", "optim adamw_hf: transformers has removed it; its epsilon was another"},
    {"optim", "adamw_torch_8bit", "optim adamw_torch_8bit: that is torchao's"},
    {"optim", "ademamix", "'ademamix' is not in this version"},
    {"save_strategy", "best", "save_strategy best: --load-best-model-at-end keeps the best"},
    {"task_type", "SEQ_CLS", "task_type: expected any, CAUSAL_LM, SEQ_2_SEQ_LM, found 'SEQ_CLS'"},
    {"warmup_ratio", "1", "warmup_ratio: expected a number, at least 0 and below 1, found '1'"},
    {"remove_unused_columns", "false",
     "remove_unused_columns false: of a row only the known keys are read; leave it out"},
    {"load_in_4bit", "perhaps", "load_in_4bit: expected true, false, found 'perhaps'"},
    {"load_in_8bit", "true", "load_in_8bit true: weights in 8 bits are not supported; use load_in_4bit"},
    {"bnb_4bit_quant_type", "fp4", "bnb_4bit_quant_type fp4: checkpoints in fp4 are read, but none are made; use nf4"},
    {"device_map", "cpu", "device_map cpu: the whole model is on one device; choose it with --device"},
    {"ensure_weight_tying", "true", "ensure_weight_tying true: adapters of embedding and head are two"},
    {"layer_replication", "4", "layer_replication 4: the model keeps its layers; leave it out"},
    {"target_parameters", "x", "target_parameters x: adapters are on linear layers, and those"},
    {"use_qalora", "true", "use_qalora true: QALoRA is not supported; use LoRA on 4-b"},
    {"use_bdlora", "true", "use_bdlora true: block-diagonal LoRA is not supported; us"},
    {"alora_invocation_tokens", "5", "alora_invocation_tokens 5: an adapter acts on every token; leave it"},
    {"arrow_config", "x", "arrow_config x: routing between adapters is not supporte"},
    {"kasa_config", "x", "kasa_config x: KaSA is not supported; use LoRA, or use_"},
    {"monteclora_config", "x", "monteclora_config x: MonteCLoRA is not supported; use LoRA, o"},
    {"velora_config", "x", "velora_config x: VeLoRA is not supported; use LoRA, or us"},
    {"loftq_config", "x", "loftq_config x: with init_lora_weights loftq it is"},
    {"loftq_iter", "5", "loftq_iter 5: loftq is one iteration"},
    {"eva_config", "x", "eva_config x: this initialization is not supported; us"},
    {"corda_config", "x", "corda_config x: this initialization is not supported; us"},
    {"lora_ga_config", "x", "lora_ga_config x: this initialization is not supported; us"},
    {"init_lora_weights", "corda", "init_lora_weights corda: it needs activations of the"},
    {"init_lora_weights", "lora_ga", "init_lora_weights lora_ga: it needs gradients of the"},
    {"init_lora_weights", "eva", "init_lora_weights eva: it needs activations of the tr"},
    {"init_lora_weights", "mica", "init_lora_weights mica: B would be frozen; use true, g"},
    {"init_lora_weights", "false", "init_lora_weights false: A and B would both be random a"},
    {"peft_type", "LOHA", "peft_type LOHA: of PEFT's methods there are LoRA, DoRA"},
    {"load_in_4bits", "true", "unknown flag, did you mean"},
};

static void test_refusals(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof refusals / sizeof *refusals; i++) {
        const meaning *m = &refusals[i];
        char given[700], message[300];
        write_recipe("%s: %s\n", m->name, m->value, given, sizeof given);
        vkft_test_result r = vkft_test_program("train %s", given);
        snprintf(message, sizeof message, "%s", m->flags);
        if (r.exit_code != 2 || !strstr(r.err, "recipe.yaml:1: ") || !strstr(r.err, message))
            fail_msg("%s: expected '%s', found '%s'", m->name, message, r.err);
        vkft_test_result_free(&r);
        r = vkft_test_program("train --%s=%s", m->name, m->value);
        snprintf(given, sizeof given, "vkft: error: --%s", m->name);
        if (r.exit_code != 2 || !strstr(r.err, given) || !strstr(r.err, message))
            fail_msg("--%s: expected '%s', found '%s'", m->name, message, r.err);
        vkft_test_result_free(&r);
    }
}

/* Other names of --data, which is in all commands of the cases above. */
static void test_data(void **state)
{
    static const char *const names[] = {"dataset_name", "train_file"};
    (void)state;
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        vkft_test_result r = vkft_test_program("train --model %s/none --%s rows.jsonl --print-config", dir, names[i]);
        if (r.exit_code || !strstr(r.out, "data: \"rows.jsonl\""))
            fail_msg("--%s: found '%s' '%s'", names[i], r.out, r.err);
        vkft_test_result_free(&r);
    }
}

/* No row of the table is without a case here. */
static void test_every_row_has_a_case(void **state)
{
    (void)state;
    for (const flag_spelling *row = cli_spellings; row->name; row++) {
        bool refused = row->verdict == SPELLING_REFUSED,
             found = !row->flag || !strcmp(row->flag, "data") || !strcmp(row->flag, "adapter") ||
                     !strcmp(row->flag, "max-new-tokens") || !strcmp(row->flag, "temperature") ||
                     !strcmp(row->flag, "stop") || !strcmp(row->flag, "repetition-penalty") || /* of generate */
                     !strcmp(row->flag, "system") ||                                           /* of chat */
                     !strcmp(row->flag, "context") || !strcmp(row->flag, "device") ||
                     !strcmp(row->flag, "new-tokens") || !strcmp(row->flag, "format"); /* of bench */
        const meaning *cases = refused ? refusals : meanings;
        size_t count = refused ? sizeof refusals / sizeof *refusals : sizeof meanings / sizeof *meanings;
        for (size_t i = 0; i < count && !found; i++)
            found = strcmp(cases[i].name, row->name) == 0 &&
                    (!row->value || strcmp(cases[i].value, row->value) == 0 || strcmp(row->value, "none") == 0);
        if (!found)
            fail_msg("%s %s has no case", row->name, row->value ? row->value : "");
    }
}

/* A command knows the names of the flags that it has; in the message is whether the right flag got the value. */
static void test_other_commands(void **state)
{
    static const char *const cases[][2] = {
        {"eval --per_device_eval_batch_size 0", "--per_device_eval_batch_size: expected a whole number, at least 1"},
        {"eval --load_in_8bit true", "--load_in_8bit true: weights in 8 bits"},
        {"eval --r 8", "--r: unknown flag"},
        {"eval --adapter_path a --load_in_4bit", "--model is missing"},
        {"generate --temp=-1", "--temp: expected a number, at least 0"},
        {"generate --max_tokens x", "--max_tokens: expected a whole number"},
        {"generate --repeat-penalty 0", "--repeat-penalty: expected a number, above 0"},
        {"chat --n-predict 0", "--n-predict: expected a whole number, at least 1"},
        {"chat --ctx-size 1", "--ctx-size: expected a whole number, at least 2"},
        {"chat --sys a", "--model is missing"},
        {"chat --system_prompt a", "--model is missing"},
        {"bench --n_prompt 1", "--n_prompt: expected a whole number, at least 2"},
        {"bench --n_gen=-1", "--n_gen: expected a whole number, at least 0"},
        {"bench --output sql", "--output: expected table, markdown, csv, json, jsonl, found 'sql'"},
        {"bench --output md --shapes nope", "there is no shape 'nope'"},
        {"bench -o md --shapes nope", "there is no shape 'nope'"},
        {"bench --devices all --shapes nope", "there is no shape 'nope'"},
        {"generate --adapter_path a", "--model is missing"},
        {"generate --stop_strings=", "--stop_strings: expected TEXT"},
        {"data --max_length 1", "--max_length: expected a whole number, at least 2"},
        {"convert --load_in_4bit", "--load_in_4bit: unknown flag"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        vkft_test_result r = vkft_test_program("%s", cases[i][0]);
        if (r.exit_code != 2 || !strstr(r.err, cases[i][1]))
            fail_msg("%s: expected '%s', found '%s'", cases[i][0], cases[i][1], r.err);
        vkft_test_result_free(&r);
    }
}

/* "--name" alone, "--no-name", and the value as the next word. */
static void test_switches(void **state)
{
    static const char *const alike[][2] = {
        {"--load-in-4bit", "--quant nf4"},
        {"--no-load-in-4bit", "--quant none"},
        {"--load_in_4bit True --seed 3", "--quant nf4 --seed 3"},
        {"--load_in_4bit --seed 3", "--quant nf4 --seed 3"},
        {"--no_bnb_4bit_use_double_quant", "--no-double-quant"},
        {"--bnb_4bit_use_double_quant False", "--no-double-quant"},
        {"--load-in-4bit=1", "--quant nf4"},
        {"--packing True --bf16 True", "--packing --compute-dtype bf16"},
        {"--no-load-in-4bit=false", "--quant nf4"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof alike / sizeof *alike; i++) {
        char *a = settings(alike[i][0]), *b = settings(alike[i][1]);
        if (strcmp(a, b) != 0)
            fail_msg("%s: '%s', expected '%s'", alike[i][0], a, b);
        free(a);
        free(b);
    }
}

static void expect_usage_error(const char *recipe, const char *flags, const char *message)
{
    char config[700];
    write_recipe("%s%s", recipe, "", config, sizeof config);
    vkft_test_result r = vkft_test_program("train %s %s", config, flags);
    if (r.exit_code != 2 || !strstr(r.err, message))
        fail_msg("%s %s: expected '%s', found '%s'", recipe, flags, message, r.err);
    vkft_test_result_free(&r);
}

static void test_two_names_must_agree(void **state)
{
    (void)state;
    expect_usage_error("load_in_4bit: true\nquant: bf16\n", "", "recipe.yaml:2: quant means --quant bf16, but ");
    expect_usage_error("load_in_4bit: true\nquant: bf16\n", "",
                       "recipe.yaml:1: load_in_4bit (--quant) means --quant nf4");
    expect_usage_error("batch_size: 1\nbatch-size: 2\n", "", "recipe.yaml:2: batch-size means --batch-size 2, but ");
    expect_usage_error("seed: 1\n", "--r 8 --lora-r 16",
                       "--lora-r means --lora-r 16, but --r means --lora-r 8; give one of them");
    expect_usage_error("seed: 1\n", "--bf16 --compute-dtype fp32", "--compute-dtype means --compute-dtype fp32, but");
    char config[700];
    write_recipe("%s%s", "load_in_4bit: true\nbnb_4bit_quant_type: nf4\nr: 8\nlora_r: 8\n", "", config, sizeof config);
    free(settings(config)); /* they agree */
    strcat(config, " --quant bf16 --lora-r 4 --lora-r 6");
    char *found = settings(config), *wanted = settings("--quant bf16 --r 6"); /* the command line decides */
    assert_string_equal(found, wanted);
    free(found);
    free(wanted);
}

/* A directory may be called so. */
static void test_texts_are_no_switches(void **state)
{
    (void)state;
    char *found = settings("--resume_from_checkpoint 1");
    assert_non_null(strstr(found, "resume-from-checkpoint 1"));
    free(found);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_meanings),       cmocka_unit_test(test_refusals),
        cmocka_unit_test(test_data),           cmocka_unit_test(test_every_row_has_a_case),
        cmocka_unit_test(test_other_commands), cmocka_unit_test(test_texts_are_no_switches),
        cmocka_unit_test(test_switches),       cmocka_unit_test(test_two_names_must_agree),
    };
    return cmocka_run_group_tests_name("spellings", tests, make_directory, remove_directory);
}
