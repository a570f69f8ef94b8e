/* vkft convert: a Hugging Face checkpoint to the native format. */
#include <stdlib.h>
#include <string.h>

#include "host/cli/cli.h"
#include "host/cli/fetch.h"
#include "formats/convert/model_open.h"
#include "runtime/base/file.h"
#include "host/cli/interrupt.h"
#include "host/cli/progress.h"
#include "host/session/options.h"
#include "runtime/base/text.h"
#include "runtime/base/json/builder.h"

typedef struct convert_options {
    const char *hf_dir, *output;
    vkft_storage quant;
    bool quant_given;
    bool super_scales, overwrite, json;
    uint32_t threads;
} convert_options;

#define AT(member) .offset = offsetof(convert_options, member)

static const flag convert_flags[] = {
    {.kind = FLAG_TEXT,
     .name = "HF_DIR",
     .help =
         "directory of the checkpoint: config.json, *.safetensors, tokenizer files; a GGUF file; or a name on the hub",
     .positional = true,
     .required = true,
     .hub = FLAG_HUB_MODEL,
     AT(hf_dir)},
    {.kind = FLAG_TEXT,
     .name = "output",
     .letter = 'o',
     .value = "FILE.vkft",
     .help = "output file",
     .default_text = "in the checkpoint's directory, where --model finds it",
     AT(output)},
    {.kind = FLAG_CHOICE,
     .name = "quant",
     .value = "TYPE",
     .help = "storage type of the weights",
     .choices = cli_quant_choices,
     .default_text = CLI_QUANT_DEFAULT,
     AT(quant),
     .given = offsetof(convert_options, quant_given)},
    {.kind = FLAG_SWITCH,
     .name = "double-quant",
     .help = "with nf4: also quantize the scales",
     AT(super_scales),
     .given = offsetof(convert_options, quant_given)},
    {.kind = FLAG_U32,
     .name = "threads",
     .value = "N",
     .help = "number of threads",
     .default_text = "one per core",
     .range = AT_LEAST(1),
     AT(threads)},
    {.kind = FLAG_SWITCH, .name = "overwrite", .help = "replace an existing output file", AT(overwrite)},
    {.kind = FLAG_SWITCH, .name = "json", .help = "print the result as a JSON object on standard output", AT(json)},
};

static bool has_no_super_scales(const void *options)
{
    const convert_options *o = options;
    return cli_has_no_super_scales(&(vkft_model_options){.quant = o->quant, .super_scales = o->super_scales});
}

static bool has_no_output(const void *options)
{
    const convert_options *o = options;
    return o->overwrite && !o->output;
}

static const flag_idle convert_idle[] = {
    {"double-quant", has_no_super_scales, "without --quant nf4"},
    {"overwrite", has_no_output, "without --output: a conversion that is not up to date is made again anyway"},
    {0},
};

static const flag_table convert_table = {
    .command = "convert",
    .usage = "HF_DIR [-o FILE.vkft] [flags]",
    .about = "Converts a Hugging Face checkpoint or a GGUF file to a .vkft file: configuration, tokenizer and weights "
             "in one file.",
    .flags = convert_flags,
    .count = FLAG_COUNT(convert_flags),
    .idle = convert_idle,
};

/* Converts and opens the result, which checks it. */
static vkft_model_file *convert(const convert_options *o, progress *display, vkft_err *err)
{
    vkft_convert_options options = {.quant = vkft_storage_variant(o->quant, o->super_scales),
                                    .keep_blocks = !o->quant_given,
                                    .threads = o->threads,
                                    .progress = progress_convert,
                                    .progress_context = display};
    if (!o->output) {
        if (vkft_file_exists(o->hf_dir) && vkft_model_kind_of(o->hf_dir) != VKFT_MODEL_GGUF) {
            vkft_fail(err, VKFT_ERR_INPUT, "%s: is a file; expected the directory of a checkpoint, or a GGUF file",
                      o->hf_dir);
            return NULL;
        }
        return vkft_model_open(o->hf_dir, &options, true, err);
    }
    bool found = false;
    if (!o->overwrite && !vkft_file_find(o->output, &found, err))
        return NULL;
    if (found) {
        vkft_fail(err, VKFT_ERR_INPUT, "%s: exists; --overwrite replaces it", o->output);
        return NULL;
    }
    return vkft_convert(o->hf_dir, o->output, &options, err) ? vkft_model_file_open(o->output, err) : NULL;
}

static int report(const vkft_model_file *file, bool json)
{
    uint64_t bytes = 0;
    uint32_t count = vkft_model_file_tensor_count(file);
    for (uint32_t i = 0; i < count; i++) {
        const vkft_model_tensor *t = vkft_model_file_tensor(file, i);
        for (uint32_t part = 0; part < VKFT_PARTS; part++)
            bytes += t->bytes[part];
    }
    if (json) {
        bool failed = false;
        vkft_json_node o = vkft_json_make_object(&failed);
        vkft_json_put_string(o, "output", vkft_model_file_path(file));
        vkft_json_put_number(o, "tensors", count);
        vkft_json_put_number(o, "bytes", (double)bytes);
        return cli_print_json(vkft_json_made(o));
    }
    char size[32];
    vkft_bytes_text(bytes, size, sizeof size);
    printf("%s: %u tensors, %s\n", vkft_model_file_path(file), count, size);
    return EXIT_SUCCESS;
}

int cmd_convert(int argc, char **argv)
{
    vkft_model_options model = vkft_model_defaults(); /* so that training takes what conversion makes */
    convert_options options = {.quant = model.quant, .super_scales = model.super_scales};
    vkft_recipe recipe = {0};
    int code;
    if (!cli_flags(&convert_table, &options, argc, argv, &recipe, &code))
        return code;
    interrupt_install();
    vkft_err err = {0};
    progress display = progress_new(&convert_table);
    vkft_model_file *file =
        cli_fetch(&convert_table, &options, false, &recipe, &err) ? convert(&options, &display, &err) : NULL;
    if (file)
        vkft_model_notes(file, progress_message, &display);
    progress_close(&display);
    code = file ? report(file, options.json) : cli_fail(&convert_table, &err);
    vkft_model_file_close(file);
    recipe_free(&recipe);
    return code;
}
