/* What the commands share. See cli.h. */
#include "host/cli/cli.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "formats/convert/convert.h"
#include "host/cli/advice.h"
#include "host/cli/flags/export.h"
#include "host/cli/interrupt.h"
#include "host/train/options.h"

_Static_assert(sizeof(vkft_storage) == sizeof(int) && sizeof(vkft_dtype) == sizeof(int), "FLAG_CHOICE stores an int");

#define CHOICE(type, label) {.name = (label), .value = VKFT_STORAGE_##type},
#define HIDDEN(type, label)
#define STORAGE(type, header, bits, block, label, flag, super, codec) flag(type, label)
const flag_choice cli_quant_choices[] = {
#include "formats/tensors/storage.def"
    {.name = "none", .value = VKFT_STORAGE_none},
    {.name = "stored", .value = VKFT_STORAGE_stored},
    {0},
};
#undef STORAGE

const flag_choice cli_compute_choices[] = {
    {.name = "auto", .value = VKFT_COMPUTE_AUTO},
    {.name = "fp32", .value = VKFT_F32},
    {.name = "bf16", .value = VKFT_BF16},
    {.name = "fp16", .value = VKFT_F16},
    {0},
};

_Static_assert(sizeof(vkft_offload) == sizeof(int), "FLAG_CHOICE stores an int");

const flag_choice cli_offload_choices[] = {
    {.name = "auto", .value = VKFT_OFFLOAD_AUTO},
    {.name = "none", .value = VKFT_OFFLOAD_NONE},
    {.name = "activations", .value = VKFT_OFFLOAD_ACTIVATIONS},
    {.name = "weights", .value = VKFT_OFFLOAD_WEIGHTS},
    {0},
};

_Static_assert(sizeof(vkft_long_rows) == sizeof(int) && sizeof(vkft_on_bad_row) == sizeof(int),
               "FLAG_CHOICE stores an int");

const flag_choice cli_objective_choices[] = {
#define OBJECTIVE(type) {.name = #type, .value = VKFT_OBJECTIVE_##type},
#include "host/train/objective/objectives.def"
#undef OBJECTIVE
    {0},
};
const flag_choice cli_long_rows_choices[] = {
    {.name = "truncate", .value = VKFT_LONG_ROWS_TRUNCATE},
    {.name = "drop", .value = VKFT_LONG_ROWS_DROP},
    {0},
};

const flag_choice cli_bad_row_choices[] = {
    {.name = "skip", .value = VKFT_BAD_ROW_SKIP},
    {.name = "error", .value = VKFT_BAD_ROW_ERROR},
    {0},
};

static cli_build this_build = {"unknown", "unknown"};

void cli_set_build(cli_build build)
{
    this_build = build;
}

cli_build cli_get_build(void)
{
    return this_build;
}

bool cli_flags(const flag_table *table, void *options, int argc, char **argv, vkft_recipe *recipe, int *code)
{
    vkft_err err = {0};
    switch (flags_parse(table, options, argc, argv, recipe, &err)) {
    case FLAGS_OK: return true;
    case FLAGS_HELP:
        if (argc != 1 || strncmp(argv[0], "--help=", 7) != 0 || !flags_export(argv[0] + 7, table, options, stdout))
            flags_print_help(table, options, stdout);
        *code = EXIT_SUCCESS;
        return false;
    case FLAGS_WRONG: break;
    }
    *code = cli_fail(table, &err);
    recipe_free(recipe);
    return false;
}

bool cli_read_input(size_t limit, vkft_text *text, vkft_err *err)
{
    char block[1 << 16];
    for (size_t n; (n = fread(block, 1, sizeof block, stdin)) > 0;) {
        if (text->length + n > limit)
            return vkft_fail(err, VKFT_ERR_INPUT, "standard input: more than %zu bytes", limit);
        if (!vkft_text_append(text, block, n, err))
            return false;
    }
    if (ferror(stdin))
        return vkft_fail_errno(err, "cannot read standard input");
    if (text->length && memchr(text->data, 0, text->length))
        return vkft_fail(err, VKFT_ERR_INPUT, "standard input: it contains a zero byte");
    return vkft_text_append(text, "", 0, err);
}

bool cli_has_no_super_scales(const vkft_model_options *model)
{
    return model->super_scales && vkft_storage_variant(model->quant, true) == model->quant;
}

int cli_fail(const flag_table *table, const vkft_err *err)
{
    char advice[256];
    if (err->kind == VKFT_ERR_INTERRUPTED) {
        if (!err->said)
            fprintf(stderr, "vkft: %s\n", err->message);
        return EXIT_INTERRUPTED;
    }
    advice_text(table, err->advice, advice, sizeof advice);
    if (!err->said)
        fprintf(stderr, "vkft: error: %s%s\n", *err->message ? err->message : "out of memory", advice);
    return err->kind == VKFT_ERR_USAGE ? EXIT_USAGE : EXIT_WORK_FAILED;
}

int cli_print_json(cJSON *value)
{
    char *text = value ? cJSON_PrintUnformatted(value) : NULL;
    cJSON_Delete(value);
    if (!text) {
        fprintf(stderr, "vkft: error: out of memory\n");
        return EXIT_WORK_FAILED;
    }
    printf("%s\n", text);
    cJSON_free(text);
    return EXIT_SUCCESS;
}
