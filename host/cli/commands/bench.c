/* vkft bench: measures this device, or a tokenizer. */
#include <stdlib.h>

#include "host/bench/bench.h"
#include "host/bench/bench_tokenizer.h"
#include "host/cli/cli.h"

typedef struct bench_options {
    bool kernels, json;
    const char *device, *tokenizer, *model;
} bench_options;

static const flag bench_flags[] = {
    {.kind = FLAG_SWITCH,
     .name = "kernels",
     .help = "measure the speed of the matrix products and compare it with the peak of the CPU",
     .offset = offsetof(bench_options, kernels)},
    {.kind = FLAG_TEXT,
     .name = "tokenizer",
     .value = "FILE",
     .help = "measure --model's tokenizer on one thread; FILE has one JSON string per line",
     .default_text = "off",
     .offset = offsetof(bench_options, tokenizer)},
    {.kind = FLAG_TEXT,
     .name = "model",
     .value = "PATH",
     .help = "Hugging Face checkpoint directory or .vkft file",
     .default_text = "none",
     .offset = offsetof(bench_options, model)},
    {.kind = FLAG_TEXT,
     .name = "device",
     .value = "NAME",
     .help = "index, part of a name, or UUID of 'vkft devices'",
     .default_text = "the best one",
     .offset = offsetof(bench_options, device)},
    {.kind = FLAG_SWITCH,
     .name = "json",
     .help = "print the result as a JSON object on standard output",
     .offset = offsetof(bench_options, json)},
};

static const flag_table bench_table = {
    .command = "bench",
    .usage = "--kernels [--device NAME] [--json] | --tokenizer FILE --model PATH [--json]",
    .about = "Measures the speed of this device's kernels, or of a tokenizer.",
    .flags = bench_flags,
    .count = FLAG_COUNT(bench_flags),
};

int cmd_bench(int argc, char **argv)
{
    bench_options options = {0};
    vkft_recipe recipe = {0};
    int code;
    if (!cli_flags(&bench_table, &options, argc, argv, &recipe, &code))
        return code;
    vkft_err err = {0};
    bool ok = options.tokenizer && options.model
                  ? vkft_bench_tokenizer(options.model, options.tokenizer, options.json, &err)
              : options.kernels
                  ? vkft_bench_kernels(options.device, options.json, &err)
                  : vkft_fail(&err, VKFT_ERR_USAGE,
                              "say what to measure: vkft bench --kernels, or vkft bench --tokenizer FILE --model PATH");
    code = ok ? EXIT_SUCCESS : cli_fail(&err);
    recipe_free(&recipe);
    return code;
}
