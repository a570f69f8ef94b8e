/* vkft merge: a model with an adapter in its weights, for programs that take whole models. */
#include <stdlib.h>
#include <string.h>

#include "host/cli/cli.h"
#include "host/cli/fetch.h"
#include "host/cli/interrupt.h"
#include "host/cli/progress.h"
#include "host/merge/gguf_types.h"
#include "host/merge/merge.h"
#include "runtime/base/file.h"

#define AS_STORED VKFT_DTYPE_COUNT

typedef struct merge_options {
    vkft_model_options model;
    const char *adapter, *output, *gguf, *ollama;
    vkft_dtype dtype;
    int file_type;
    vkft_merge_from from;
    bool overwrite;
    uint32_t threads;
} merge_options;

#define AT(member) .offset = offsetof(merge_options, member)

static const flag_choice dtypes[] = {{.name = "auto", .value = AS_STORED},
                                     {.name = "bf16", .value = VKFT_BF16},
                                     {.name = "f16", .value = VKFT_F16},
                                     {.name = "fp16", .value = VKFT_F16},
                                     {.name = "f32", .value = VKFT_F32},
                                     {.name = "fp32", .value = VKFT_F32},
                                     {0}};
#define FILE_TYPE(label, number, dtype) {.name = (label), .value = (number)},
static const flag_choice file_types[] = {VKFT_GGUF_FILE_TYPES(FILE_TYPE){0}};
#undef FILE_TYPE
static const flag_choice froms[] = {
    {.name = "original", .value = VKFT_MERGE_ORIGINAL}, {.name = "quantized", .value = VKFT_MERGE_QUANTIZED}, {0}};

static const flag merge_flags[] = {
    {.kind = FLAG_TEXT,
     .name = "model",
     .value = "PATH",
     .help = "the model that the adapter was trained on: a checkpoint directory, a GGUF or a .vkft file",
     .default_text = "the one that the adapter names",
     .hub = FLAG_HUB_MODEL,
     AT(model.path)},
    {.kind = FLAG_TEXT,
     .name = "adapter",
     .value = "DIR",
     .help = "the adapter: directory, or its name on the hub",
     .default_text = "none: the model as it is",
     .hub = FLAG_HUB_ADAPTER,
     AT(adapter)},
    {.kind = FLAG_TEXT,
     .name = "output",
     .letter = 'o',
     .value = "DIR",
     .help = "directory to write: a checkpoint of transformers",
     .default_text = "none",
     AT(output)},
    {.kind = FLAG_CHOICE,
     .name = "dtype",
     .value = "TYPE",
     .help = "type of the written weights; auto: that of config.json",
     .choices = dtypes,
     AT(dtype)},
    {.kind = FLAG_TEXT,
     .name = "gguf",
     .value = "FILE",
     .help = "GGUF file to write: for llama.cpp, and what is built on it",
     .default_text = "none",
     AT(gguf)},
    {.kind = FLAG_CHOICE,
     .name = "type",
     .value = "TYPE",
     .help = "with --gguf: how weights are stored, as llama-quantize names it",
     .choices = file_types,
     AT(file_type)},
    {.kind = FLAG_TEXT,
     .name = "ollama",
     .value = "NAME",
     .help = "also write a Modelfile beside the GGUF file, from which 'ollama create NAME' makes a model",
     .default_text = "none",
     AT(ollama)},
    {.kind = FLAG_CHOICE,
     .name = "from",
     .value = "WHICH",
     .help = "weights that the adapter is added to: the original ones, or those it was trained on, which --quant made",
     .choices = froms,
     AT(from)},
    {.kind = FLAG_CHOICE,
     .name = "quant",
     .value = "TYPE",
     .help = "what training had as --quant; given with --from original, the difference is measured and said",
     .choices = cli_quant_choices,
     .default_text = CLI_QUANT_DEFAULT,
     AT(model.quant),
     .given = offsetof(merge_options, model.quant_explicit)},
    {.kind = FLAG_SWITCH,
     .name = "double-quant",
     .help = "with nf4: the scales were quantized too",
     AT(model.super_scales)},
    {.kind = FLAG_U32,
     .name = "threads",
     .value = "N",
     .help = "number of threads",
     .default_text = "one per core",
     .range = AT_LEAST(1),
     AT(threads)},
    {.kind = FLAG_SWITCH, .name = "overwrite", .help = "replace what an earlier merge wrote there", AT(overwrite)},
};

static bool has_no_quantized(const void *options)
{
    const merge_options *o = options;
    return o->from != VKFT_MERGE_QUANTIZED && !o->model.quant_explicit;
}

static bool has_no_gguf(const void *options)
{
    return !((const merge_options *)options)->gguf;
}

static bool has_no_directory(const void *options)
{
    return !((const merge_options *)options)->output;
}

static const flag_idle merge_idle[] = {
    {"type", has_no_gguf, "without --gguf"},
    {"ollama", has_no_gguf, "without --gguf"},
    {"dtype", has_no_directory, "without --output: a GGUF file has --type"},
    {"double-quant", has_no_quantized, "without --from quantized or --quant"},
    {0},
};

static const flag_table merge_table = {
    .command = "merge",
    .usage = "[--model PATH] [--adapter DIR] -o DIR | --gguf FILE [flags]",
    .about = "Writes a model with an adapter in its weights, which any program loads without the adapter; without\n"
             "--adapter the model as it is.",
    .flags = merge_flags,
    .count = FLAG_COUNT(merge_flags),
    .idle = merge_idle,
};

static bool write_gguf(const merge_options *o, vkft_merge *merge, vkft_err *err)
{
    return cli_check_output(o->gguf, o->overwrite, err) &&
           (!o->ollama || cli_check_modelfile(o->gguf, o->overwrite, err)) &&
           vkft_merge_write_gguf(merge, o->gguf, (uint32_t)o->file_type, err) &&
           (!o->ollama ||
            cli_write_modelfile(o->ollama, merge->options.model, o->gguf, false, &merge->options.observer, err));
}

static bool run(const merge_options *o, const char *model, progress *display, vkft_err *err)
{
    vkft_merge merge;
    vkft_storage quant = vkft_storage_variant(o->model.quant, o->model.super_scales);
    const vkft_merge_options options = {
        .model = model,
        .adapter = o->adapter,
        .from = o->from,
        .trained = {.quant = quant,
                    .keep_blocks = !o->model.quant_explicit,
                    .progress = progress_convert,
                    .progress_context = display},
        .compare = o->model.quant_explicit,
        .threads = o->threads,
        .observer = progress_observer(display),
    };
    if (!o->output == !o->gguf)
        return vkft_fail(err, VKFT_ERR_USAGE,
                         "give -o DIR for a checkpoint of transformers or --gguf FILE for llama.cpp");
    if (!vkft_merge_open(&options, &merge, err))
        return false;
    vkft_dtype stored = merge.weights.source.config.dtype, dtype = o->dtype == AS_STORED ? stored : o->dtype;
    bool ok =
        o->gguf ? write_gguf(o, &merge, err) : vkft_merge_write_checkpoint(&merge, o->output, dtype, o->overwrite, err);
    if (ok)
        vkft_merge_report(&merge);
    vkft_merge_close(&merge);
    return ok;
}

int cmd_merge(int argc, char **argv)
{
    merge_options options = {.model = vkft_model_defaults(), .dtype = AS_STORED, .file_type = 1};
    vkft_recipe recipe = {0};
    int code;
    if (!cli_flags(&merge_table, &options, argc, argv, &recipe, &code))
        return code;
    interrupt_install();
    vkft_err err = {0};
    progress display = progress_new(&merge_table);
    char *base = NULL;
    bool ok = options.model.path || options.adapter ||
              vkft_fail(&err, VKFT_ERR_USAGE, "give --model PATH, --adapter DIR or both");
    ok = ok && cli_fetch(&merge_table, &options, false, &recipe, &err);
    if (ok && !options.model.path)
        ok = (base = vkft_merge_base_model(options.adapter, &err)) && cli_fetch_model(&merge_table, &base, &err);
    ok = ok && run(&options, base ? base : options.model.path, &display, &err);
    progress_close(&display);
    if (ok)
        printf("%s\n", options.gguf ? options.gguf : options.output);
    code = ok ? EXIT_SUCCESS : cli_fail(&merge_table, &err);
    free(base);
    recipe_free(&recipe);
    return code;
}
