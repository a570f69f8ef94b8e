/* vkft bench: measures this device, or a tokenizer. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "host/bench/bench.h"
#include "host/bench/bench_tokenizer.h"
#include "host/bench/compare/compare.h"
#include "host/bench/report/report.h"
#include "host/cli/cli.h"
#include "host/cli/fetch.h"
#include "host/cli/interrupt.h"
#include "host/cli/progress.h"
#include "host/cli/spellings.h"
#include "runtime/base/file.h"

typedef struct bench_options {
    vkft_bench_options run;
    bool kernels, json;
    const char *preset;
    vkft_bench_format format;
    const char *output;
    const char *compare, *svg, *html;
    const char *tokenizer, *model;
    bool quant_given, r_given, alpha_given, context_given;
} bench_options;

#define AT(member) .offset = offsetof(bench_options, member)
#define GIVEN(member) .given = offsetof(bench_options, member)

static const flag_choice format_choices[] = {
    {.name = "table", .value = VKFT_BENCH_TABLE}, {.name = "markdown", .value = VKFT_BENCH_MARKDOWN},
    {.name = "csv", .value = VKFT_BENCH_CSV},     {.name = "json", .value = VKFT_BENCH_JSON},
    {.name = "jsonl", .value = VKFT_BENCH_JSONL}, {0},
};

static const flag_choice preset_choices[] = {{.name = "lora-512"}, {0}};

_Static_assert(sizeof(vkft_bench_format) == sizeof(int), "FLAG_CHOICE stores an int");

static const flag bench_flags[] = {
    {.kind = FLAG_HEADING, .name = "What is measured"},
    {.kind = FLAG_TEXT,
     .name = "device",
     .value = "NAME",
     .help = "index, part of a name, or UUID of 'vkft devices'; all: each of them, in one table",
     .default_text = "the best one",
     AT(run.device)},
    {.kind = FLAG_TEXT,
     .name = "shapes",
     .value = "NAME,...",
     .help = "models to train, evaluate and generate with, in full whatever the time: llama-110m, smollm2-135m, "
             "qwen3-0.6b, tinyllama-1.1b, llama-1b, qwen3-4b, llama-8b; their weights are random",
     .default_text = "as many as fit memory and time",
     AT(run.shapes)},
    {.kind = FLAG_TEXT,
     .name = "preset",
     .value = "NAME",
     .help = "a comparison that others publish. lora-512: LoRA with r 8 on all seven projections of bf16 weights, "
             "512 tokens, SmolLM2-135M and TinyLlama-1.1B",
     .choices = preset_choices,
     .default_text = "none",
     AT(preset)},
    {.kind = FLAG_SWITCH,
     .name = "kernels",
     .help = "measure the matrix products instead, as a share of what the device can do at best",
     AT(kernels)},
    {.kind = FLAG_TEXT,
     .name = "tokenizer",
     .value = "FILE",
     .help = "measure --model's tokenizer instead, on one thread; FILE has one JSON string per line",
     .default_text = "off",
     AT(tokenizer)},
    {.kind = FLAG_TEXT,
     .name = "model",
     .value = "PATH",
     .help = "of --tokenizer: Hugging Face checkpoint directory, GGUF or .vkft file",
     .default_text = "none",
     .hub = FLAG_HUB_MODEL,
     AT(model)},
    {.kind = FLAG_HEADING, .name = "How"},
    {.kind = FLAG_CHOICE,
     .name = "quant",
     .value = "TYPE",
     .help = "storage type of the weights; none: bf16",
     .choices = cli_quant_choices,
     AT(run.quant),
     GIVEN(quant_given)},
    {.kind = FLAG_SWITCH, .name = "double-quant", .help = "with nf4: also quantize the scales", AT(run.super_scales)},
    {.kind = FLAG_CHOICE,
     .name = "compute-dtype",
     .value = "TYPE",
     .help = "what matrix products round their inputs to; auto: fp16 on matrix cores, else fp32 (nothing); fp16 is "
             "also for devices with mixed dot products",
     .choices = cli_compute_choices,
     AT(run.compute_dtype)},
    {.kind = FLAG_U32,
     .name = "context",
     .letter = 'p',
     .value = "N",
     .help = "tokens of a sample",
     .range = BETWEEN(2, 1 << 20),
     AT(run.context),
     GIVEN(context_given)},
    {.kind = FLAG_U32,
     .name = "batch-size",
     .letter = 'b',
     .value = "N",
     .help = "samples of a training step",
     .range = BETWEEN(1, 4096),
     AT(run.batch_size)},
    {.kind = FLAG_U32,
     .name = "lora-r",
     .value = "N",
     .help = "rank of the adapters, which are on all linear layers",
     .range = AT_LEAST(1),
     AT(run.lora_r),
     GIVEN(r_given)},
    {.kind = FLAG_FLOAT,
     .name = "lora-alpha",
     .value = "X",
     .help = "their scale is alpha / r",
     .range = ABOVE(0),
     AT(run.lora_alpha),
     GIVEN(alpha_given)},
    {.kind = FLAG_U32,
     .name = "new-tokens",
     .letter = 'n',
     .value = "N",
     .help = "tokens to generate; 0: none",
     .range = BETWEEN(0, 1 << 16),
     AT(run.new_tokens)},
    {.kind = FLAG_U32,
     .name = "repetitions",
     .letter = 'r',
     .value = "N",
     .help = "measurements of each speed, of which the median is told; 0: only check the losses",
     .range = BETWEEN(0, 1000),
     AT(run.repetitions)},
    {.kind = FLAG_DOUBLE,
     .name = "time-limit",
     .value = "SECONDS",
     .help = "shapes that do not fit are shortened or left out, which is said; 0: none is",
     .range = AT_LEAST(0),
     AT(run.time_limit)},
    {.kind = FLAG_HEADING, .name = "What is written"},
    {.kind = FLAG_CHOICE,
     .name = "format",
     .letter = 'o',
     .value = "FORMAT",
     .help = "markdown is for pasting; csv, json and jsonl have every number (docs/benchmark.md)",
     .choices = format_choices,
     AT(format)},
    {.kind = FLAG_TEXT,
     .name = "output-file",
     .value = "FILE",
     .help = "write to this file",
     .default_text = "standard output",
     AT(output)},
    {.kind = FLAG_SWITCH, .name = "json", .help = "--format json", AT(json)},
    {.kind = FLAG_HEADING, .name = "Comparing"},
    {.kind = FLAG_TEXT,
     .name = "compare",
     .value = "FILE...",
     .help = "measure nothing; rank what earlier runs wrote as json, jsonl or markdown",
     .default_text = "off",
     AT(compare)},
    {.kind = FLAG_TEXT,
     .name = "svg",
     .value = "FILE",
     .help = "of --compare: also write a chart",
     .default_text = "none",
     AT(svg)},
    {.kind = FLAG_TEXT,
     .name = "html",
     .value = "FILE",
     .help = "of --compare: also write a page with the chart and all rows",
     .default_text = "none",
     AT(html)},
};

static bool is_tokenizer(const void *options)
{
    return ((const bench_options *)options)->tokenizer != NULL;
}

static bool is_no_tokenizer(const void *options)
{
    return !is_tokenizer(options);
}

static bool is_kernels(const void *options)
{
    return ((const bench_options *)options)->kernels;
}

static bool is_shapes(const void *options)
{
    return ((const bench_options *)options)->run.shapes != NULL;
}

static bool is_no_comparison(const void *options)
{
    return !((const bench_options *)options)->compare;
}

static const flag_idle bench_idle[] = {
    {"svg", is_no_comparison, "without --compare"},
    {"html", is_no_comparison, "without --compare"},
    {"model", is_no_tokenizer, "without --tokenizer: vkft bench makes its models itself; name them with --shapes"},
    {"device", is_tokenizer, "with --tokenizer, which uses the CPU"},
    {"shapes", is_kernels, "with --kernels"},
    {"preset", is_kernels, "with --kernels"},
    {"time-limit", is_shapes, "with --shapes, which are measured in full"},
    {0},
};

static const flag_table bench_table = {
    .command = "bench",
    .usage =
        "[--shapes NAME,...] [flags] | --kernels [flags] | --compare FILE... | --tokenizer FILE --model PATH [--json]",
    .about = "Measures a device: training, evaluation and generation at shapes of known models. docs/benchmark.md says "
             "how to read and share it.",
    .flags = bench_flags,
    .count = FLAG_COUNT(bench_flags),
    .spellings = cli_spellings,
    .idle = bench_idle,
};

/* What is measured, as it comes. */
typedef struct report {
    progress display; /* first, because the observer's context is both */
    const bench_options *options;
    vkft_bench_origin origin;
    cJSON *rows;
    bool head, failed, wrong; /* the table has its head; out of memory; a row says FAIL */
} report;

static bool is_streamed(const report *r)
{
    return r->options->format == VKFT_BENCH_TABLE && !r->options->output;
}

static void on_begin(void *context, const vkft_device_info *info, double peak)
{
    report *r = context;
    char line[120];
    cli_build build = cli_get_build();
    r->origin = vkft_bench_origin_of(info, build.version, build.commit);
    r->head = false;
    if (peak > 0) {
        snprintf(line, sizeof line, "AVX2 FMA peak of this CPU: %.1f GFLOP per CPU-second", peak);
        progress_message(&r->display, line);
    }
}

static void on_row(void *context, const vkft_bench_row *row)
{
    report *r = context;
    vkft_text text = {0};
    cJSON *json = vkft_bench_row_json(&r->origin, row);
    r->wrong |= row->check == VKFT_BENCH_FAIL;
    if (!json || !cJSON_AddItemToArray(r->rows, json)) {
        r->failed = true;
        return;
    }
    if (!is_streamed(r))
        return;
    progress_close(&r->display);
    r->failed |= (!r->head && !vkft_bench_table_head(json, &text, NULL)) || !vkft_bench_table_row(json, &text, NULL);
    r->head = true;
    if (text.data)
        fputs(text.data, stdout);
    fflush(stdout);
    vkft_text_free(&text);
}

static bool write_text(const char *file, const vkft_text *text, vkft_err *err)
{
    if (file)
        return vkft_file_write(file, text->data, text->length, err);
    fwrite(text->data, 1, text->length, stdout);
    return true;
}

static bool write_report(const report *r, vkft_err *err)
{
    vkft_text text = {0};
    bool ok = !r->failed || vkft_fail_memory(err, "for the report");
    if (ok && !is_streamed(r)) {
        ok = vkft_bench_report(r->options->format, r->rows, &text, err);
        ok = ok && write_text(r->options->output, &text, err);
    }
    vkft_text_free(&text);
    return ok;
}

static void apply_preset(bench_options *o)
{
    if (!o->preset)
        return;
    if (!o->run.shapes)
        o->run.shapes = "smollm2-135m,tinyllama-1.1b";
    if (!o->quant_given)
        o->run.quant = VKFT_STORAGE_none;
    if (!o->r_given)
        o->run.lora_r = 8;
    if (!o->alpha_given)
        o->run.lora_alpha = 16;
    if (!o->context_given)
        o->run.context = 512;
}

static int bench_device(bench_options *o, vkft_err *err)
{
    apply_preset(o);
    o->run.steps = !(o->run.kernels = o->kernels);
    o->run.peaks = o->kernels || (!o->run.shapes && o->run.repetitions);
    report r = {.options = o, .display = progress_new(&bench_table), .rows = cJSON_CreateArray()};
    vkft_bench_observer observer = {.general = progress_observer(&r.display), .begin = on_begin, .row = on_row};
    observer.general.context = &r;
    interrupt_install();
    bool ok = r.rows ? vkft_bench_run(&o->run, &observer, err) : vkft_fail_memory(err, "for the report");
    progress_close(&r.display);
    /* What was measured before an error is told, too. */
    ok = (cJSON_GetArraySize(r.rows) == 0 || write_report(&r, ok ? err : NULL)) && ok;
    cJSON_Delete(r.rows);
    if (!ok)
        return cli_fail(&bench_table, err);
    if (r.wrong)
        fprintf(stderr, "vkft: error: rows that say FAIL: the device computes something else than it should\n");
    return r.wrong ? EXIT_WORK_FAILED : EXIT_SUCCESS;
}

/* To a file, by one of the functions of compare.h. */
static bool write_comparison(const vkft_bench_comparison *c,
                             bool (*append)(const vkft_bench_comparison *, vkft_text *, vkft_err *), const char *file,
                             vkft_err *err)
{
    vkft_text text = {0};
    bool ok = append(c, &text, err) && write_text(file, &text, err);
    vkft_text_free(&text);
    return ok;
}

static int bench_compare(const bench_options *o, const char *const *files, uint32_t count, vkft_err *err)
{
    vkft_bench_comparison c = {0};
    bool markdown = o->format == VKFT_BENCH_MARKDOWN;
    bool ok = markdown || o->format == VKFT_BENCH_TABLE ||
              vkft_fail(err, VKFT_ERR_USAGE,
                        "--compare writes --format table or markdown; the rows themselves are in the "
                        "files");
    ok = ok && vkft_bench_compare(files, count, &c, err);
    if (ok && c.damaged)
        fprintf(stderr, "warning: %u rows are not as vkft bench wrote them: their hash is another\n", c.damaged);
    ok = ok &&
         write_comparison(&c, markdown ? vkft_bench_compare_markdown : vkft_bench_compare_table, o->output, err) &&
         (!o->svg || write_comparison(&c, vkft_bench_compare_svg, o->svg, err)) &&
         (!o->html || write_comparison(&c, vkft_bench_compare_html, o->html, err));
    vkft_bench_comparison_free(&c);
    return ok ? EXIT_SUCCESS : cli_fail(&bench_table, err);
}

/* --compare takes all words up to the next flag. Those after the first are taken out of argv, whose length is returned.
 */
static int take_files(int argc, char **argv, const char **files, uint32_t *count)
{
    int at = 0;
    while (at < argc && strcmp(argv[at], "--compare") != 0)
        at++;
    int first = at + 1, end = first;
    while (end < argc && argv[end][0] != '-')
        files[(*count)++] = argv[end++];
    if (end - first < 2)
        return argc;
    memmove(argv + first + 1, argv + end, (size_t)(argc - end) * sizeof *argv);
    return argc - (end - first - 1);
}

static int bench_tokenizer(const bench_options *o, vkft_err *err)
{
    vkft_bench_tokens t;
    if (!vkft_bench_tokenizer(o->model, o->tokenizer, &t, err))
        return cli_fail(&bench_table, err);
    double speed = t.seconds > 0 ? (double)t.bytes / 1e6 / t.seconds : 0;
    if (o->json)
        printf("{\"documents\":%" PRIu64 ",\"bytes\":%" PRIu64 ",\"tokens\":%" PRIu64 ",\"checksum\":%" PRIu64
               ",\"cpu_seconds\":%.6f,\"mb_per_second\":%.3f}\n",
               t.documents, t.bytes, t.tokens, t.checksum, t.seconds, speed);
    else
        printf("%" PRIu64 " documents, %.2f MB, %" PRIu64 " tokens in %.2f CPU seconds: %.2f MB/s\n", t.documents,
               (double)t.bytes / 1e6, t.tokens, t.seconds, speed);
    return EXIT_SUCCESS;
}

int cmd_bench(int argc, char **argv)
{
    bench_options options = {.run = vkft_bench_defaults()};
    vkft_recipe recipe = {0};
    vkft_err err = {0};
    uint32_t count = 0;
    int code;
    const char **files = calloc((size_t)argc + 1, sizeof *files);
    if (!files) {
        vkft_fail_memory(&err, "for the command line");
        return cli_fail(&bench_table, &err);
    }
    argc = take_files(argc, argv, files, &count);
    if (!cli_flags(&bench_table, &options, argc, argv, &recipe, &code)) {
        free(files);
        return code;
    }
    if (options.compare && count < 2) { /* a single one, with '=' or from a recipe */
        files[0] = options.compare;
        count = 1;
    }
    if (options.json)
        options.format = VKFT_BENCH_JSON;
    options.json = options.format == VKFT_BENCH_JSON;
    if (options.tokenizer && !options.model) {
        vkft_fail(&err, VKFT_ERR_USAGE, "--tokenizer needs the model whose tokenizer it is: --model PATH");
        code = cli_fail(&bench_table, &err);
    } else if (options.compare) {
        code = bench_compare(&options, files, count, &err);
    } else if (options.tokenizer && !cli_fetch(&bench_table, &options, false, &recipe, &err)) {
        code = cli_fail(&bench_table, &err);
    } else if (options.tokenizer) {
        code = bench_tokenizer(&options, &err);
    } else {
        code = bench_device(&options, &err);
    }
    recipe_free(&recipe);
    free(files);
    return code;
}
