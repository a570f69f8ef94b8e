/* vkft eval: loss, perplexity and token count over a dataset. */
#include <stdlib.h>

#include "host/cli/cli.h"
#include "host/cli/fetch.h"
#include "host/cli/spellings.h"
#include "host/cli/interrupt.h"
#include "host/cli/progress.h"
#include "host/train/train.h"
#include "runtime/base/json/builder.h"

typedef struct eval_options {
    vkft_eval_options run;
    bool json;
} eval_options;

#define AT(member) .offset = offsetof(eval_options, run.member)
#define GIVEN(member) .given = offsetof(eval_options, run.member)

static const flag eval_flags[] = {
    CLI_MODEL_FLAGS(AT, GIVEN),
    CLI_ADAPTER_FLAG(AT),
    {.kind = FLAG_TEXT,
     .name = "data",
     .value = "PATH",
     .help = "data file, or a directory with a test or valid file, or a dataset's name on the hub",
     .required = true,
     .hub = FLAG_HUB_DATASET,
     AT(data.path)},
    {.kind = FLAG_TEXT,
     .name = "per-token",
     .value = "FILE.jsonl",
     .help = "write the token ids and log-probabilities of every sample to this file",
     AT(per_token)},
    {.kind = FLAG_U32,
     .name = "batch-size",
     .value = "N",
     .help = "samples per batch",
     .range = BETWEEN(1, 1000000),
     AT(batch_size)},
    CLI_DATA_FLAGS(AT),
    {.kind = FLAG_TEXT,
     .name = "metrics",
     .value = "NAMES",
     .help = "beside the loss compare answers with those of the data: exact_match and f1 (SQuAD), chrf (sacrebleu), "
             "acc, acc_norm and acc_bytes (of choices, lm-evaluation-harness), comma separated; with --adapter also "
             "without it",
     AT(metrics)},
    {.kind = FLAG_U32,
     .name = "metric-samples",
     .value = "N",
     .help = "with --metrics: samples that are answered, the first ones; 0 means all",
     AT(metric_samples)},
    {.kind = FLAG_U32,
     .name = "max-new-tokens",
     .value = "N",
     .help = "with --metrics: tokens of an answer",
     .range = AT_LEAST(1),
     AT(max_new_tokens)},
    {.kind = FLAG_TEXT,
     .name = "answers",
     .value = "FILE.jsonl",
     .help = "with --metrics: write prompt, reference and both answers of every sample to this file",
     AT(answers)},
    {.kind = FLAG_SWITCH,
     .name = "json",
     .help = "print the result as a JSON object on standard output",
     .offset = offsetof(eval_options, json)},
};

static bool has_no_super_scales(const void *options)
{
    return cli_has_no_super_scales(&((const eval_options *)options)->run.model);
}

static bool is_per_token(const void *options)
{
    return ((const eval_options *)options)->run.per_token != NULL;
}

static bool has_no_metrics(const void *options)
{
    return ((const eval_options *)options)->run.metrics == NULL;
}

static const flag_idle eval_idle[] = {
    {"metric-samples", has_no_metrics, "without --metrics"},
    {"max-new-tokens", has_no_metrics, "without --metrics"},
    {"answers", has_no_metrics, "without --metrics"},
    {"double-quant", has_no_super_scales, "without --quant nf4"},
    {"batch-size", is_per_token, "with --per-token, which takes one sample at a time"},
    {"packing", is_per_token, "with --per-token, which takes one sample at a time"},
    {0},
};

static const flag_table eval_table = {
    .command = "eval",
    .usage = "--model PATH [--adapter DIR] --data PATH [flags]",
    .about = "Measures the mean loss per token and the perplexity over a dataset, and with --metrics what answers are "
             "worth.",
    .flags = eval_flags,
    .count = FLAG_COUNT(eval_flags),
    .spellings = cli_spellings,
    .idle = eval_idle,
};

static void print_task(const char *title, const vkft_task_run *task)
{
    char text[128];
    vkft_task_text(task, text, sizeof text);
    if (task->metrics)
        printf("%s%s of %u answers\n", title, text, task->count);
}

static int print_result(const vkft_eval_result *result, bool json)
{
    if (!json) {
        printf("loss %.6f, perplexity %.4f, %llu tokens\n", result->loss, result->perplexity,
               (unsigned long long)result->tokens);
        print_task("", &result->task);
        print_task("without the adapter: ", &result->base);
        return EXIT_SUCCESS;
    }
    bool failed = false;
    vkft_json_node o = vkft_json_make_object(&failed);
    vkft_json_put_number(o, "loss", result->loss);
    vkft_json_put_number(o, "perplexity", result->perplexity);
    vkft_json_put_number(o, "tokens", (double)result->tokens);
    vkft_task_put(&result->task, o, "");
    vkft_task_put(&result->base, o, "base_");
    return cli_print_json(vkft_json_made(o));
}

int cmd_eval(int argc, char **argv)
{
    vkft_train_options train = vkft_train_defaults(); /* a model is evaluated as it is trained */
    eval_options options = {.run = {.model = train.model,
                                    .batch_size = train.batch_size,
                                    .data = train.data,
                                    .metric_samples = train.metric_samples,
                                    .max_new_tokens = train.max_new_tokens}};
    vkft_recipe recipe = {0};
    int code;
    if (!cli_flags(&eval_table, &options, argc, argv, &recipe, &code))
        return code;
    interrupt_install();
    progress display = progress_new(&eval_table);
    vkft_observer observer = progress_observer(&display);
    vkft_eval_result result = {0};
    vkft_err err = {0};
    bool ok =
        cli_fetch(&eval_table, &options, false, &recipe, &err) && vkft_eval(&options.run, &observer, &result, &err);
    progress_close(&display);
    code = ok ? print_result(&result, options.json) : cli_fail(&eval_table, &err);
    recipe_free(&recipe);
    return code;
}
