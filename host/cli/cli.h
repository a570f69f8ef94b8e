/* The commands of the program, and what they share. A command gets argv without program and command, and returns the
 * exit code. */
#ifndef VKFT_CLI_H
#define VKFT_CLI_H

#include <stdbool.h>
#include <stdio.h>

#include <cjson/cJSON.h>

#include "host/cli/flags/flags.h"
#include "host/session/options.h"
#include "runtime/base/observer.h"
#include "runtime/base/text.h"
#include "runtime/base/error.h"

#define EXIT_WORK_FAILED 1
#define EXIT_USAGE 2

int cmd_devices(int argc, char **argv);
int cmd_convert(int argc, char **argv);
int cmd_train(int argc, char **argv);
int cmd_eval(int argc, char **argv);
int cmd_generate(int argc, char **argv);
int cmd_chat(int argc, char **argv);
int cmd_tokenize(int argc, char **argv);
int cmd_template(int argc, char **argv);
int cmd_data(int argc, char **argv);
int cmd_merge(int argc, char **argv);
int cmd_export(int argc, char **argv);
int cmd_verify(int argc, char **argv);
int cmd_plot(int argc, char **argv);
int cmd_watch(int argc, char **argv);
int cmd_bench(int argc, char **argv);
int cmd_doctor(int argc, char **argv);
int cmd_download(int argc, char **argv);

/* Which program this is; main says so before it runs a command. */
typedef struct cli_build {
    const char *version, *commit;
} cli_build;
void cli_set_build(cli_build build);
cli_build cli_get_build(void);

/* Parses a command's flags. false: the command ends with *code, because help was printed or the flags are wrong, which
 * was said. */
bool cli_flags(const flag_table *table, void *options, int argc, char **argv, vkft_recipe *recipe, int *code);

/* All of the standard input, which may have at most `limit` bytes and no zero byte. */
bool cli_read_input(size_t limit, vkft_text *text, vkft_err *err);

/* --double-quant for a storage type without scales. */
bool cli_has_no_super_scales(const vkft_model_options *model);

/* Says what went wrong and which of the command's flags may help; returns the exit code that belongs to it. */
int cli_fail(const flag_table *table, const vkft_err *err);

/* Whether a command may write this file: there is none, or it may be replaced. */
bool cli_check_output(const char *path, bool replace, vkft_err *err);
/* The same of the Modelfile beside a file. */
bool cli_check_modelfile(const char *file, bool replace, vkft_err *err);
/* A Modelfile beside `file`, which is a GGUF file of the model or (is_adapter) of an adapter of it; says what to do
 * with it. */
bool cli_write_modelfile(const char *name, const char *model, const char *file, bool is_adapter,
                         const vkft_observer *observer, vkft_err *err);

/* Prints one JSON value and a newline on stdout, and frees it. NULL: out of memory, said as an error; the exit code. */
int cli_print_json(cJSON *value);

/* Values that several commands take. */
extern const flag_choice cli_quant_choices[]; /* how frozen weights are kept; none: as the checkpoint has them */
extern const flag_choice cli_long_rows_choices[];
extern const flag_choice cli_objective_choices[];
extern const flag_choice cli_bad_row_choices[];
extern const flag_choice cli_offload_choices[];
extern const flag_choice cli_x_choices[];       /* what charts of runs run over */
extern const flag_choice cli_compute_choices[]; /* what products with them are computed in */

/* --quant where it is not given (vkft_convert_options, keep_blocks). */
#define CLI_QUANT_DEFAULT "nf4; stored for a GGUF file with quantized weights"

/* Rows of a flag table for the vkft_model_options that a command's options hold; AT(model.path) must expand to the
 * offset of that member, GIVEN(model.quant_explicit) too. */
#define CLI_MODEL_FLAGS(AT, GIVEN)                                                                                     \
    CLI_MODEL_PATH_FLAG(AT),                                                                                           \
        {.kind = FLAG_CHOICE,                                                                                          \
         .name = "quant",                                                                                              \
         .value = "TYPE",                                                                                              \
         .help = "storage type of the model's weights; none: that of the checkpoint, stored: also of a GGUF file's "   \
                 "blocks",                                                                                             \
         .choices = cli_quant_choices,                                                                                 \
         .default_text = CLI_QUANT_DEFAULT,                                                                            \
         .same_run = true,                                                                                             \
         AT(model.quant),                                                                                              \
         GIVEN(model.quant_explicit)},                                                                                 \
        {.kind = FLAG_SWITCH,                                                                                          \
         .name = "double-quant",                                                                                       \
         .help = "with nf4: also quantize the scales",                                                                 \
         .same_run = true,                                                                                             \
         AT(model.super_scales),                                                                                       \
         GIVEN(model.quant_explicit)},                                                                                 \
        {.kind = FLAG_CHOICE,                                                                                          \
         .name = "compute-dtype",                                                                                      \
         .value = "TYPE",                                                                                              \
         .help = "what matrix products round their inputs to; auto: fp16 on matrix cores, else fp32 (nothing); fp16 "  \
                 "is also for devices with mixed dot products",                                                        \
         .choices = cli_compute_choices,                                                                               \
         .same_run = true,                                                                                             \
         AT(model.compute_dtype),                                                                                      \
         GIVEN(model.compute_explicit)},                                                                               \
        {.kind = FLAG_CHOICE,                                                                                          \
         .name = "offload",                                                                                            \
         .value = "WHAT",                                                                                              \
         .help = "what waits in host memory to save device memory; auto: as little as makes the run fit, "             \
                 "activations: the inputs of blocks, weights: also the weights of blocks, read from the file",         \
         .choices = cli_offload_choices,                                                                               \
         AT(model.offload)},                                                                                           \
        CLI_DEVICE_FLAG(AT)

/* Some of them alone, and one that eval and generate share. */
#define CLI_MODEL_PATH_FLAG(AT)                                                                                        \
    {                                                                                                                  \
        .kind = FLAG_TEXT, .name = "model", .value = "PATH",                                                           \
        .help =                                                                                                        \
            "Hugging Face checkpoint directory, GGUF or .vkft file, or its name on the hub: OWNER/NAME[@REVISION]",    \
        .required = true, .hub = FLAG_HUB_MODEL, AT(model.path)                                                        \
    }

#define CLI_ADAPTER_FLAG(AT)                                                                                           \
    {                                                                                                                  \
        .kind = FLAG_TEXT, .name = "adapter", .value = "DIR",                                                          \
        .help = "PEFT adapter to apply: directory, or its name on the hub", .hub = FLAG_HUB_ADAPTER, AT(adapter)       \
    }

#define CLI_DEVICE_FLAG(AT)                                                                                            \
    {                                                                                                                  \
        .kind = FLAG_TEXT, .name = "device", .value = "NAME",                                                          \
        .help = "index, part of a name, or UUID of 'vkft devices'", .default_text = "the best one", AT(model.device)   \
    }

/* Rows for how a text is continued, of the vkft_generate_options that a command's options hold. */
#define CLI_SAMPLING_FLAGS(AT, GIVEN)                                                                                  \
    {.kind = FLAG_FLOAT,                                                                                               \
     .name = "temperature",                                                                                            \
     .value = "X",                                                                                                     \
     .help = "sampling temperature; 0 always picks the most likely token",                                             \
     .range = AT_LEAST(0),                                                                                             \
     AT(temperature),                                                                                                  \
     GIVEN(temperature_given)},                                                                                        \
        {.kind = FLAG_FLOAT,                                                                                           \
         .name = "top-p",                                                                                              \
         .value = "X",                                                                                                 \
         .help = "sample from the most likely tokens whose probabilities sum to at least X; 1 means all",              \
         .range = ABOVE_TO(0, 1),                                                                                      \
         AT(top_p),                                                                                                    \
         GIVEN(top_p_given)},                                                                                          \
        {.kind = FLAG_U32,                                                                                             \
         .name = "top-k",                                                                                              \
         .value = "N",                                                                                                 \
         .help = "sample from the N most likely tokens; 0 means all",                                                  \
         AT(top_k),                                                                                                    \
         GIVEN(top_k_given)},                                                                                          \
        {.kind = FLAG_FLOAT,                                                                                           \
         .name = "min-p",                                                                                              \
         .value = "X",                                                                                                 \
         .help = "sample from the tokens that are at least X times as likely as the likeliest; 0 means all",           \
         .range = BETWEEN(0, 1),                                                                                       \
         AT(min_p),                                                                                                    \
         GIVEN(min_p_given)},                                                                                          \
        {.kind = FLAG_FLOAT,                                                                                           \
         .name = "repetition-penalty",                                                                                 \
         .value = "X",                                                                                                 \
         .help = "make tokens that are there already less likely; 1 means off",                                        \
         .range = ABOVE(0),                                                                                            \
         AT(repetition_penalty),                                                                                       \
         GIVEN(repetition_penalty_given)},                                                                             \
        {.kind = FLAG_U32,                                                                                             \
         .name = "no-repeat-ngram-size",                                                                               \
         .value = "N",                                                                                                 \
         .help = "no N tokens in a row come twice; 0 means off",                                                       \
         AT(no_repeat_ngram_size),                                                                                     \
         GIVEN(no_repeat_ngram_size_given)},                                                                           \
        {.kind = FLAG_TEXTS,                                                                                           \
         .name = "stop",                                                                                               \
         .value = "TEXT",                                                                                              \
         .help = "end where the generated text has this in it",                                                        \
         .default_text = "what generation_config.json says",                                                           \
         AT(stop)},                                                                                                    \
    {                                                                                                                  \
        .kind = FLAG_U64, .name = "seed", .value = "N", .help = "random seed of the sampler", AT(seed)                 \
    }

/* Of commands with conversations. */
#define CLI_CHAT_TEMPLATE_FLAGS(AT)                                                                                    \
    {.kind = FLAG_TEXT,                                                                                                \
     .name = "chat-template",                                                                                          \
     .value = "FILE",                                                                                                  \
     .help = "Jinja template to use instead of the model's own",                                                       \
     .default_text = "the model's",                                                                                    \
     .same_run = true,                                                                                                 \
     AT(model.chat.file)},                                                                                             \
    {                                                                                                                  \
        .kind = FLAG_TEXT, .name = "chat-template-kwargs", .value = "JSON",                                            \
        .help = "variables for the chat template, such as '{\"enable_thinking\": false}'", .default_text = "none",     \
        .same_run = true, AT(model.chat.variables)                                                                     \
    }

#define CLI_OBJECTIVE_FLAG(AT)                                                                                         \
    {                                                                                                                  \
        .kind = FLAG_CHOICE, .name = "objective", .value = "NAME",                                                     \
        .help = "what rows are for: answers to learn (sft); prompt, chosen and rejected; or prompt, completion and "   \
                "label (kto)",                                                                                         \
        .choices = cli_objective_choices, .same_run = true, AT(data.objective)                                         \
    }

/* Rows of a flag table for the vkft_data_options that a command's options hold, likewise, and for the chat template of
 * the vkft_model_options beside them. */
#define CLI_DATA_FLAGS(AT)                                                                                             \
    {.kind = FLAG_TEXT,                                                                                                \
     .name = "dataset-config",                                                                                         \
     .value = "NAME",                                                                                                  \
     .help = "configuration of --data, a directory whose README.md has several",                                       \
     .default_text = "",                                                                                               \
     .same_run = true,                                                                                                 \
     AT(data.dataset_config)},                                                                                         \
        {.kind = FLAG_TEXT,                                                                                            \
         .name = "dataset-split",                                                                                      \
         .value = "NAME",                                                                                              \
         .help = "split of --data, a directory: train_sft",                                                            \
         .default_text = "",                                                                                           \
         .same_run = true,                                                                                             \
         AT(data.split)},                                                                                              \
        {.kind = FLAG_U32,                                                                                             \
         .name = "max-seq-length",                                                                                     \
         .value = "N",                                                                                                 \
         .help = "maximum sample length in tokens",                                                                    \
         .range = AT_LEAST(2),                                                                                         \
         .same_run = true,                                                                                             \
         AT(data.max_seq_length)},                                                                                     \
        {.kind = FLAG_CHOICE,                                                                                          \
         .name = "long-rows",                                                                                          \
         .value = "WHAT",                                                                                              \
         .help = "what is done with longer samples, which are counted",                                                \
         .choices = cli_long_rows_choices,                                                                             \
         .same_run = true,                                                                                             \
         AT(data.long_rows)},                                                                                          \
        {.kind = FLAG_CHOICE,                                                                                          \
         .name = "on-bad-row",                                                                                         \
         .value = "WHAT",                                                                                              \
         .help = "what is done with a row that cannot be trained on: skip and count it, or stop",                      \
         .choices = cli_bad_row_choices,                                                                               \
         AT(data.on_bad_row)},                                                                                         \
        {.kind = FLAG_SWITCH,                                                                                          \
         .name = "packing",                                                                                            \
         .help = "pack short samples into sequences of up to --max-seq-length tokens",                                 \
         .same_run = true,                                                                                             \
         AT(data.packing)},                                                                                            \
        {.kind = FLAG_SWITCH,                                                                                          \
         .name = "mask-prompt",                                                                                        \
         .help = "compute the loss on answers only; no effect on plain text",                                          \
         .same_run = true,                                                                                             \
         AT(data.mask_prompt)},                                                                                        \
        {.kind = FLAG_SWITCH,                                                                                          \
         .name = "mask-history",                                                                                       \
         .help = "compute the loss on the last assistant message only",                                                \
         .same_run = true,                                                                                             \
         AT(data.mask_history)},                                                                                       \
        {.kind = FLAG_TEXT,                                                                                            \
         .name = "prompt-template",                                                                                    \
         .value = "TEXT",                                                                                              \
         .help = "template that builds each row's prompt: 'Q: {question}\\nA:'",                                       \
         .default_text = "",                                                                                           \
         .same_run = true,                                                                                             \
         AT(data.prompt_template)},                                                                                    \
        {.kind = FLAG_TEXT,                                                                                            \
         .name = "data-keys",                                                                                          \
         .value = "NAME=KEY,...",                                                                                      \
         .help = "names that the rows use for known keys: question=Q,answer=A",                                        \
         .default_text = "",                                                                                           \
         .same_run = true,                                                                                             \
         AT(data.keys)},                                                                                               \
        {.kind = FLAG_TEXT,                                                                                            \
         .name = "completions",                                                                                        \
         .value = "FILE",                                                                                              \
         .help = "text file whose lines are the answers to the lines of --data",                                       \
         .default_text = "",                                                                                           \
         .same_run = true,                                                                                             \
         AT(data.completions)},                                                                                        \
        CLI_CHAT_TEMPLATE_FLAGS(AT),                                                                                   \
    {                                                                                                                  \
        .kind = FLAG_SWITCH, .name = "apply-chat-template",                                                            \
        .help = "apply the chat template to prompts and answers too", .same_run = true, AT(data.apply_chat_template)   \
    }

#endif
