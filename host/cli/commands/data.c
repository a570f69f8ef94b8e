/* vkft data: what a model would be trained on, in numbers and as the first samples, masked and trained tokens apart. */
#include <stdlib.h>
#include <string.h>

#include "host/cli/cli.h"
#include "host/cli/fetch.h"
#include "host/cli/spellings.h"
#include "host/train/training_data.h"
#include "runtime/base/file.h"
#include "host/cli/interrupt.h"
#include "host/cli/progress.h"
#include "host/train/packs.h"
#include "host/cli/terminal.h"
#include "runtime/base/json/builder.h"

#define BINS 12

typedef struct data_command {
    vkft_data_options data;
    vkft_model_options model;
    uint32_t samples;
    bool json;
} data_command;

#define AT(member) .offset = offsetof(data_command, member)

static const flag data_flags[] = {
    {.kind = FLAG_TEXT,
     .name = "PATH",
     .positional = true,
     .help = "data file, or a directory with a train file, or a dataset's name on the hub",
     .required = true,
     .hub = FLAG_HUB_DATASET,
     AT(data.path)},
    CLI_MODEL_PATH_FLAG(AT),
    CLI_OBJECTIVE_FLAG(AT),
    CLI_DATA_FLAGS(AT),
    {.kind = FLAG_U32, .name = "samples", .value = "N", .help = "number of samples to show", AT(samples)},
    {.kind = FLAG_SWITCH, .name = "json", .help = "print the numbers as a JSON object on standard output", AT(json)},
};

static const flag_table data_table = {
    .command = "data",
    .usage = "PATH --model PATH [flags]",
    .about =
        "Shows what a model would be trained on: the number of samples and tokens, their lengths, what is truncated or "
        "masked,\nand the first samples.",
    .flags = data_flags,
    .count = FLAG_COUNT(data_flags),
    .spellings = cli_spellings,
};

typedef struct statistics {
    uint32_t *length; /* ascending */
    uint32_t count;
    uint32_t bin[BINS], bin_width;
    uint32_t packs; /* 0: no packing */
} statistics;

static int ascending(const void *pa, const void *pb)
{
    uint32_t a = *(const uint32_t *)pa, b = *(const uint32_t *)pb;
    return a < b ? -1 : a > b;
}

static bool measure(const data_command *o, const vkft_dataset *data, statistics *s, vkft_err *err)
{
    *s = (statistics){.length = malloc((data->count + 1ull) * sizeof *s->length), .count = data->count};
    if (!s->length)
        return vkft_fail_memory(err, "for the lengths of the samples");
    s->bin_width = (data->max_length + BINS) / BINS;
    for (uint32_t i = 0; i < data->count; i++) {
        s->length[i] = data->samples[i].length;
        s->bin[s->length[i] / s->bin_width]++;
    }
    qsort(s->length, s->count, sizeof *s->length, ascending);
    if (!o->data.packing)
        return true;
    vkft_sample_packs split;
    if (!vkft_sample_packs_new(&split, data, NULL, data->count, o->data.max_seq_length, err))
        return false;
    s->packs = split.packs;
    vkft_sample_packs_free(&split);
    return true;
}

static uint32_t percentile(const statistics *s, double p)
{
    return s->length[(uint32_t)(p * (s->count - 1) + 0.5)];
}

static int print_json(const data_command *o, const vkft_dataset *data, const statistics *s)
{
    bool failed = false;
    vkft_json_node root = vkft_json_make_object(&failed);
    vkft_json_put_string(root, "format", vkft_data_format_name(data->format));
    vkft_json_put_number(root, "samples", data->count);
    vkft_json_put_number(root, "tokens", (double)data->tokens);
    vkft_json_put_number(root, "trained_tokens", (double)data->trained);
    vkft_json_put_number(root, "truncated_samples", data->truncated);
    vkft_json_put_number(root, "truncated_tokens", (double)data->dropped_tokens);
    vkft_json_put_number(root, "made_call_ids", data->made_call_ids);
    vkft_json_node skipped = vkft_json_put_object(root, "skipped_rows");
    for (int i = 0; i < VKFT_BAD_REASONS; i++)
        if (data->bad.count[i])
            vkft_json_put_number(skipped, vkft_bad_reason_name((vkft_bad_reason)i), (double)data->bad.count[i]);
    vkft_json_put_string(root, "unused_keys", data->unused);
    vkft_json_put_number(root, "shortest", s->length[0]);
    vkft_json_put_number(root, "median", percentile(s, 0.5));
    vkft_json_put_number(root, "longest", data->max_length);
    vkft_json_put_number(root, "max_seq_length", o->data.max_seq_length);
    if (s->packs)
        vkft_json_put_number(root, "packs", s->packs);
    return cli_print_json(vkft_json_made(root));
}

static void print_histogram(const statistics *s)
{
    uint32_t highest = 1;
    for (int i = 0; i < BINS; i++)
        highest = s->bin[i] > highest ? s->bin[i] : highest;
    printf("lengths\n");
    for (uint32_t i = 0; i < BINS; i++) {
        static const char bar[] = "########################################";
        int width = (int)((double)s->bin[i] * (double)(sizeof bar - 1) / highest + 0.5);
        printf("  %6u - %-6u %8u %.*s\n", i * s->bin_width, (i + 1) * s->bin_width - 1, s->bin[i],
               s->bin[i] && !width ? 1 : width, bar);
    }
}

static void print_skipped(const vkft_dataset *data)
{
    uint64_t bad = vkft_bad_rows_count(&data->bad);
    char reasons[VKFT_BAD_ROWS_TEXT];
    vkft_bad_rows_describe(&data->bad, reasons);
    if (bad)
        printf("skipped    %llu of %llu rows: %s\n", (unsigned long long)bad, (unsigned long long)(bad + data->count),
               reasons);
    if (data->unused[0])
        printf("not used   %s\n", data->unused);
}

static void print_numbers(const data_command *o, const vkft_dataset *data, const statistics *s)
{
    printf("samples    %u of %s\n", data->count, vkft_data_format_name(data->format));
    printf("tokens     %llu; %llu trained, %.1f %% masked\n", (unsigned long long)data->tokens,
           (unsigned long long)data->trained, 100.0 - 100.0 * (double)data->trained / (double)data->tokens);
    printf("length     shortest %u, median %u, 95th percentile %u, longest %u\n", s->length[0], percentile(s, 0.5),
           percentile(s, 0.95), data->max_length);
    printf("truncated  %u samples to %u tokens, %llu tokens lost\n", data->truncated, o->data.max_seq_length,
           (unsigned long long)data->dropped_tokens);
    print_skipped(data);
    if (data->made_call_ids)
        printf("call ids   made for %u conversations: the chat template needs them\n", data->made_call_ids);
    if (s->packs)
        printf("packs      %u of at most %u tokens, %.1f %% full\n", s->packs, o->data.max_seq_length,
               100.0 * (double)data->tokens / ((double)s->packs * o->data.max_seq_length));
    print_histogram(s);
}

/* Control characters but line ends and tabs would change the terminal; they are shown as in caret notation. */
static void print_plain(const vkft_text *text)
{
    for (size_t i = 0; i < text->length; i++) {
        unsigned char c = (unsigned char)text->data[i];
        if ((c < 32 && c != '\n' && c != '\t') || c == 127)
            printf("^%c", c ^ 64);
        else
            putchar(c);
    }
}

static bool print_coloured(void *context, bool trained, const vkft_text *text, vkft_err *err)
{
    (void)context, (void)err;
    printf(trained ? "\033[32m" : "\033[2m");
    print_plain(text);
    printf("\033[0m");
    return true;
}

static void print_line(void *context, const char *line)
{
    (void)context;
    printf("%s\n", line);
}

static bool print_samples(const data_command *o, const vkft_model_text *text, const vkft_dataset *data, vkft_err *err)
{
    const char *no_color = getenv("NO_COLOR");
    bool colour = terminal_stdout_is_terminal() && !(no_color && *no_color);
    vkft_observer lines = {.message = print_line};
    if (colour && o->samples)
        printf("\nsamples: \033[2mmasked\033[0m \033[32mtrained\033[0m\n");
    for (uint32_t i = 0; i < o->samples && i < data->count; i++) {
        char title[40];
        const vkft_sample *sample = &data->samples[i];
        snprintf(title, sizeof title, "sample %u", i + 1);
        printf("\n");
        if (!colour) {
            if (!vkft_data_show_sample(text->tokenizer, sample, title, &lines, err))
                return false;
            continue;
        }
        printf("%s: %u tokens, %u trained\n", title, sample->length, sample->trained);
        if (!vkft_data_visit_parts(text->tokenizer, sample, print_coloured, NULL, err))
            return false;
        printf("\n");
    }
    return true;
}

static bool config_of_directory(const char *dir, vkft_config *config, vkft_err *err)
{
    char *path = vkft_path_join(dir, "config.json"), *json = NULL;
    size_t size = 0;
    bool found = false, ok = path ? vkft_file_find(path, &found, err) : vkft_fail_memory(err, "while reading %s", dir);
    if (ok && !found)
        ok = vkft_fail(err, VKFT_ERR_INPUT, "%s: no config.json and no tokenizer in it", dir);
    ok = ok && vkft_file_read(path, 16u << 20, &json, &size, err) && vkft_config_parse(json, size, path, config, err);
    free(json);
    free(path);
    return ok;
}

static bool config_of_file(const char *path, vkft_config *config, vkft_err *err)
{
    vkft_model_file *file = vkft_model_file_open(path, err);
    if (file)
        *config = *vkft_model_file_config(file);
    vkft_model_file_close(file);
    return file != NULL;
}

/* The model's vocabulary: that of its configuration, or of its tokenizer where there is none, or one that is not
 * supported. */
static bool read_config(const char *model, const vkft_model_text *text, vkft_config *config, vkft_err *err)
{
    vkft_err why = {0};
    memset(config, 0, sizeof *config);
    if (vkft_directory_exists(model) ? config_of_directory(model, config, &why) : config_of_file(model, config, &why))
        return true;
    if (!text->tokenizer || why.kind != VKFT_ERR_INPUT) {
        *err = why;
        return false;
    }
    memset(config, 0, sizeof *config);
    config->vocab_size = vkft_tokenizer_vocab_size(text->tokenizer);
    return true;
}

static bool run(const data_command *o, const vkft_observer *observer, int *code, vkft_err *err)
{
    vkft_model_text text;
    vkft_config config;
    vkft_dataset data = {0};
    statistics s = {0};
    bool found;
    if (!vkft_model_text_open(o->model.path, &o->model.chat, &text, err))
        return false;
    bool ok = read_config(o->model.path, &text, &config, err) &&
              vkft_data_open(&o->data, "train", &text, &config, observer, &data, &found, err) &&
              measure(o, &data, &s, err);
    if (ok && o->json)
        *code = print_json(o, &data, &s);
    if (ok && !o->json) {
        print_numbers(o, &data, &s);
        vkft_data_warn(&text, &config, &data, &(vkft_observer){.message = print_line});
        ok = print_samples(o, &text, &data, err);
    }
    free(s.length);
    vkft_dataset_free(&data);
    vkft_model_text_free(&text);
    return ok;
}

int cmd_data(int argc, char **argv)
{
    data_command options = {.data = vkft_train_defaults().data, .samples = 3};
    vkft_recipe recipe = {0};
    int code;
    if (!cli_flags(&data_table, &options, argc, argv, &recipe, &code))
        return code;
    interrupt_install();
    progress display = progress_new(&data_table);
    vkft_observer observer = progress_observer(&display);
    observer.message = NULL;
    vkft_err err = {0};
    code = EXIT_SUCCESS;
    bool ok = cli_fetch(&data_table, &options, false, &recipe, &err) && run(&options, &observer, &code, &err);
    progress_close(&display);
    if (!ok)
        code = cli_fail(&data_table, &err);
    recipe_free(&recipe);
    return code;
}
