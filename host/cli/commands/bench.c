/* vkft bench: measures this device, or a tokenizer. */
#include <inttypes.h>
#include <stdlib.h>

#include "host/bench/bench.h"
#include "host/bench/bench_tokenizer.h"
#include "host/cli/cli.h"
#include "host/session/options.h"
#include "runtime/base/json/builder.h"

typedef struct bench_options {
    bool kernels, json;
    const char *tokenizer;
    vkft_model_options model;
} bench_options;

#define AT(member) .offset = offsetof(bench_options, member)

static const flag bench_flags[] = {
    {.kind = FLAG_SWITCH,
     .name = "kernels",
     .help = "measure the speed of the matrix products and compare it with the peak of the CPU",
     AT(kernels)},
    {.kind = FLAG_TEXT,
     .name = "tokenizer",
     .value = "FILE",
     .help = "measure --model's tokenizer on one thread; FILE has one JSON string per line",
     .default_text = "off",
     AT(tokenizer)},
    {.kind = FLAG_TEXT,
     .name = "model",
     .value = "PATH",
     .help = "Hugging Face checkpoint directory or .vkft file",
     .default_text = "none",
     AT(model.path)},
    CLI_DEVICE_FLAG(AT),
    {.kind = FLAG_SWITCH, .name = "json", .help = "print the result as a JSON object on standard output", AT(json)},
};

static const flag_table bench_table = {
    .command = "bench",
    .usage = "--kernels [--device NAME] [--json] | --tokenizer FILE --model PATH [--json]",
    .about = "Measures the speed of this device's kernels, or of a tokenizer.",
    .flags = bench_flags,
    .count = FLAG_COUNT(bench_flags),
};

/* The table, or the object with --json, as it grows. */
typedef struct report {
    bool json, failed;
    vkft_json_node root, rows; /* of --json */
    double peak;
    bool software;
} report;

static void print_head(void *context, const vkft_device_info *info, double peak)
{
    report *r = context;
    r->peak = peak;
    r->software = info->caps.software;
    if (r->json) {
        vkft_json_put_string(r->root, "device", info->name);
        vkft_json_put_string(r->root, "driver", info->driver);
        if (peak > 0)
            vkft_json_put_number(r->root, "avx2_fma_peak_gflop_per_cpu_second", peak);
        r->rows = vkft_json_put_array(r->root, "products");
        return;
    }
    printf("%s, %s\n", info->name, info->driver);
    if (r->software && peak > 0)
        printf("AVX2 FMA peak of this CPU: %.1f GFLOP per CPU-second\n", peak);
    else if (r->software)
        printf("AVX2 FMA peak of this CPU: n/a\n");
    printf(r->software ? "%-22s %-16s %10s %12s %10s\n" : "%-22s %-16s %10s %10s\n", "product", "MxNxK", "GFLOP/s",
           r->software ? "per CPU-s" : "on device", "of peak");
}

static void add_json_row(const report *r, const vkft_bench_row *row)
{
    vkft_json_node json = vkft_json_put_object(r->rows, NULL);
    vkft_json_put_string(json, "kernel", row->name);
    vkft_json_put_number(json, "M", row->M);
    vkft_json_put_number(json, "N", row->N);
    vkft_json_put_number(json, "K", row->K);
    vkft_json_put_number(json, "gflops_wall", row->gflops_wall);
    if (row->gflops_cpu > 0)
        vkft_json_put_number(json, "gflop_per_cpu_second", row->gflops_cpu);
    if (row->gflops_cpu > 0 && r->peak > 0)
        vkft_json_put_number(json, "percent_of_peak", 100 * row->gflops_cpu / r->peak);
    if (row->gflops_device > 0)
        vkft_json_put_number(json, "gflops_device", row->gflops_device);
}

static void print_row(void *context, const vkft_bench_row *row)
{
    const report *r = context;
    char shape[40], percent[16] = "n/a";
    if (r->json) {
        add_json_row(r, row);
        return;
    }
    snprintf(shape, sizeof shape, "%ux%ux%u", row->M, row->N, row->K);
    if (r->peak > 0)
        snprintf(percent, sizeof percent, "%.1f %%", 100 * row->gflops_cpu / r->peak);
    if (r->software)
        printf("%-22s %-16s %10.1f %12.1f %10s\n", row->name, shape, row->gflops_wall, row->gflops_cpu, percent);
    else
        printf("%-22s %-16s %10.1f %10.1f\n", row->name, shape, row->gflops_wall, row->gflops_device);
    fflush(stdout);
}

static int bench_kernels(const bench_options *o, vkft_err *err)
{
    report r = {.json = o->json};
    r.root = vkft_json_make_object(&r.failed);
    const vkft_bench_observer observer = {.context = &r, .begin = print_head, .row = print_row};
    bool ok = vkft_bench_kernels(o->model.device, &observer, err);
    cJSON *made = vkft_json_made(r.root);
    if (ok && o->json)
        return cli_print_json(made);
    cJSON_Delete(made);
    return ok ? EXIT_SUCCESS : cli_fail(&bench_table, err);
}

static int bench_tokenizer(const bench_options *o, vkft_err *err)
{
    vkft_bench_tokens t;
    if (!vkft_bench_tokenizer(o->model.path, o->tokenizer, &t, err))
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
    bench_options options = {0};
    vkft_recipe recipe = {0};
    int code;
    if (!cli_flags(&bench_table, &options, argc, argv, &recipe, &code))
        return code;
    vkft_err err = {0};
    if (options.tokenizer && options.model.path) {
        code = bench_tokenizer(&options, &err);
    } else if (options.kernels) {
        code = bench_kernels(&options, &err);
    } else {
        vkft_fail(&err, VKFT_ERR_USAGE,
                  "say what to measure: vkft bench --kernels, or vkft bench --tokenizer FILE --model PATH");
        code = cli_fail(&bench_table, &err);
    }
    recipe_free(&recipe);
    return code;
}
