/* vkft export: an adapter in the form that another program takes. */
#include <stdlib.h>
#include <string.h>

#include "formats/weights/weights.h"
#include "host/cli/cli.h"
#include "host/cli/fetch.h"
#include "host/cli/interrupt.h"
#include "host/cli/progress.h"
#include "host/merge/adapter.h"
#include "host/merge/lora_gguf.h"
#include "host/merge/modelfile.h"
#include "runtime/base/file.h"

typedef struct export_options {
    const char *adapter, *model, *output, *ollama;
    bool gguf, overwrite;
} export_options;

#define AT(member) .offset = offsetof(export_options, member)

static const flag export_flags[] = {
    {.kind = FLAG_TEXT,
     .name = "adapter",
     .value = "DIR",
     .help = "the LoRA adapter: directory, or its name on the hub",
     .required = true,
     .hub = FLAG_HUB_ADAPTER,
     AT(adapter)},
    {.kind = FLAG_TEXT,
     .name = "model",
     .value = "PATH",
     .help = "the model that it was trained on: a checkpoint directory, a GGUF or a .vkft file",
     .default_text = "the one that the adapter names",
     .hub = FLAG_HUB_MODEL,
     AT(model)},
    {.kind = FLAG_SWITCH, .name = "gguf", .help = "write the LoRA file that llama.cpp's --lora takes", AT(gguf)},
    {.kind = FLAG_TEXT,
     .name = "output",
     .letter = 'o',
     .value = "FILE",
     .help = "output file",
     .default_text = "adapter.gguf in the adapter's directory",
     AT(output)},
    {.kind = FLAG_TEXT,
     .name = "ollama",
     .value = "NAME",
     .help = "also write a Modelfile beside the file, from which 'ollama create NAME' makes a model",
     .default_text = "none",
     AT(ollama)},
    {.kind = FLAG_SWITCH, .name = "overwrite", .help = "replace an existing output file", AT(overwrite)},
};

static const flag_table export_table = {
    .command = "export",
    .usage = "--adapter DIR --gguf [-o FILE] [flags]",
    .about = "Writes an adapter in the form that another program takes: for llama.cpp, and what is built on it.",
    .flags = export_flags,
    .count = FLAG_COUNT(export_flags),
};

static bool run(const export_options *o, const char *output, const vkft_observer *observer, vkft_err *err)
{
    if (!o->gguf && !o->ollama)
        return vkft_fail(err, VKFT_ERR_USAGE,
                         "give --gguf for llama.cpp's LoRA file, or --ollama NAME for it and a Modelfile");
    if (!cli_check_output(output, o->overwrite, err) || (o->ollama && !cli_check_modelfile(output, o->overwrite, err)))
        return false;
    char *base = o->model ? NULL : vkft_merge_base_model(o->adapter, err);
    vkft_weights weights = {0};
    bool ok = (o->model || (base && cli_fetch_model(&export_table, &base, err))) &&
              vkft_weights_open(o->model ? o->model : base, NULL, &weights, err) &&
              vkft_write_lora_gguf(o->adapter, &weights.source.config, output, err) &&
              (!o->ollama || cli_write_modelfile(o->ollama, o->model ? o->model : base, output, true, observer, err));
    vkft_weights_close(&weights);
    free(base);
    return ok;
}

int cmd_export(int argc, char **argv)
{
    export_options options = {0};
    vkft_recipe recipe = {0};
    int code;
    if (!cli_flags(&export_table, &options, argc, argv, &recipe, &code))
        return code;
    interrupt_install();
    vkft_err err = {0};
    const char *named = options.adapter, *output = options.output;
    char *made = NULL;
    progress display = progress_new(&export_table);
    const vkft_observer observer = progress_observer(&display);
    bool ok = cli_fetch(&export_table, &options, false, &recipe, &err);
    if (ok && !output && options.adapter != named)
        ok = vkft_fail(&err, VKFT_ERR_USAGE,
                       "--output is missing: the adapter lies in the cache, where nothing else is written");
    if (ok && !output && !(output = made = vkft_path_join(options.adapter, "adapter.gguf")))
        ok = vkft_fail_memory(&err, "for the output's name");
    ok = ok && run(&options, output, &observer, &err);
    progress_close(&display);
    if (ok)
        printf("%s\n", output);
    code = ok ? EXIT_SUCCESS : cli_fail(&export_table, &err);
    free(made);
    recipe_free(&recipe);
    return code;
}
