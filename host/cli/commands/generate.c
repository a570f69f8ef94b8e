/* vkft generate: continues a prompt; the text appears as it is made. */
#include <stdlib.h>
#include <string.h>

#include "host/cli/cli.h"
#include "host/cli/fetch.h"
#include "host/cli/spellings.h"
#include "host/generate/generate.h"
#include "host/cli/interrupt.h"
#include "formats/tokenizer/tokenizer.h"
#include "runtime/base/text.h"
#include "runtime/base/json/builder.h"

#define MAX_PROMPT_BYTES (64u << 20)

typedef struct generate_options {
    vkft_generate_options run;
    const char *prompt_ids;
    bool json;
} generate_options;

#define AT(member) .offset = offsetof(generate_options, run.member)
#define GIVEN(member) .given = offsetof(generate_options, run.member)

static const flag generate_flags[] = {
    CLI_MODEL_FLAGS(AT, GIVEN),
    CLI_ADAPTER_FLAG(AT),
    {.kind = FLAG_TEXT,
     .name = "prompt",
     .value = "TEXT",
     .help = "text to continue; - reads it from standard input",
     .may_be_empty = true,
     AT(prompt)},
    {.kind = FLAG_TEXT,
     .name = "prompt-ids",
     .value = "1,2,3",
     .help = "the prompt as token ids, for models without a tokenizer",
     .offset = offsetof(generate_options, prompt_ids)},
    {.kind = FLAG_SWITCH,
     .name = "instruction",
     .help = "wrap the prompt in the template used for instruction data",
     AT(instruction)},
    {.kind = FLAG_U32,
     .name = "max-new-tokens",
     .value = "N",
     .help = "maximum number of tokens to generate",
     .range = AT_LEAST(1),
     AT(max_new_tokens),
     GIVEN(max_new_tokens_given)},
    CLI_SAMPLING_FLAGS(AT, GIVEN),
    {.kind = FLAG_SWITCH,
     .name = "special",
     .help = "start with the special tokens that the tokenizer adds",
     AT(add_special_tokens)},
    {.kind = FLAG_SWITCH, .name = "ignore-eos", .help = "continue after the end-of-text token", AT(ignore_eos)},
    {.kind = FLAG_SWITCH,
     .name = "json",
     .help = "print text, token ids and times as a JSON object on standard output when done",
     .offset = offsetof(generate_options, json)},
};

_Static_assert(VKFT_MAX_STOPS == FLAG_TEXTS_MAX, "as many as a flag can take");

static bool has_no_super_scales(const void *options)
{
    return cli_has_no_super_scales(&((const generate_options *)options)->run.model);
}

static bool has_ids(const void *options)
{
    return ((const generate_options *)options)->prompt_ids != NULL;
}

static const flag_idle generate_idle[] = {
    {"double-quant", has_no_super_scales, "without --quant nf4"},
    {"instruction", has_ids, "with --prompt-ids"},
    {"special", has_ids, "with --prompt-ids"},
    {0},
};

static const flag_table generate_table = {
    .command = "generate",
    .usage = "--model PATH [--adapter DIR] --prompt TEXT [flags]",
    .about =
        "Continues a prompt and streams the text to standard output. What the model's generation_config.json says\n"
        "takes precedence over the defaults below.",
    .flags = generate_flags,
    .count = FLAG_COUNT(generate_flags),
    .spellings = cli_spellings,
    .idle = generate_idle,
};

/* What came out so far. */
typedef struct output {
    bool json, failed;
    vkft_text text;
    vkft_ids ids;
} output;

static void on_text(void *context, const char *text, size_t length)
{
    output *out = context;
    if (!vkft_text_append(&out->text, text, length, NULL))
        out->failed = true;
    if (!out->json) {
        fwrite(text, 1, length, stdout);
        fflush(stdout);
    }
}

static void on_message(void *context, const char *line)
{
    (void)context;
    fprintf(stderr, "%s\n", line);
}

static void on_token(void *context, int32_t id)
{
    output *out = context;
    if (!vkft_ids_push(&out->ids, id, NULL))
        out->failed = true;
}

/* "1,2,3"; spaces are fine. */
static bool parse_ids(const char *text, vkft_ids *ids, vkft_err *err)
{
    for (const char *p = text; *p;) {
        char *end;
        long id = strtol(p, &end, 10);
        bool separated = *end == ',' || *end == 0;
        if (end == p || !separated || id < 0 || id > INT32_MAX)
            return vkft_fail(err, VKFT_ERR_USAGE, "--prompt-ids: expected token ids separated by commas, found '%s'",
                             text);
        if (!vkft_ids_push(ids, (int32_t)id, err))
            return false;
        p = end + (*end == ',');
    }
    return true;
}

/* Exactly one of --prompt and --prompt-ids, in the form that generation takes. */
static bool prepare_prompt(generate_options *o, vkft_text *text, vkft_ids *ids, vkft_err *err)
{
    if (!o->run.prompt == !o->prompt_ids)
        return vkft_fail(err, VKFT_ERR_USAGE, "give either --prompt or --prompt-ids");
    if (o->run.prompt) {
        if (strcmp(o->run.prompt, "-") != 0)
            return true;
        if (!cli_read_input(MAX_PROMPT_BYTES, text, err))
            return false;
        o->run.prompt = text->data;
        return true;
    }
    if (!parse_ids(o->prompt_ids, ids, err))
        return false;
    o->run.ids = ids->data;
    o->run.id_count = ids->count;
    return true;
}

static int print_json(const output *out, const vkft_generate_result *r)
{
    bool failed = false;
    vkft_json_node o = vkft_json_make_object(&failed);
    vkft_json_put_string(o, "text", out->text.data ? out->text.data : "");
    vkft_json_put_integers(o, "ids", out->ids.data, out->ids.count);
    vkft_json_put_number(o, "prompt_tokens", r->prompt_tokens);
    vkft_json_put_number(o, "new_tokens", r->new_tokens);
    vkft_json_put_number(o, "prompt_seconds", r->prompt_seconds);
    vkft_json_put_number(o, "new_seconds", r->new_seconds);
    return cli_print_json(vkft_json_made(o));
}

static double rate(uint32_t tokens, double seconds)
{
    return seconds > 0 ? tokens / seconds : 0;
}

static int report(const output *out, const vkft_generate_result *r)
{
    if (out->json)
        return print_json(out, r);
    if (out->text.length == 0) /* a model without a tokenizer */
        for (uint32_t i = 0; i < out->ids.count; i++)
            printf("%s%d", i ? "," : "", (int)out->ids.data[i]);
    printf("\n");
    fflush(stdout);
    fprintf(stderr, "prompt: %u tokens, %.1f tokens/s; new: %u tokens, %.1f tokens/s\n", r->prompt_tokens,
            rate(r->prompt_tokens, r->prompt_seconds), r->new_tokens, rate(r->new_tokens, r->new_seconds));
    return EXIT_SUCCESS;
}

static void say_error(void *context, vkft_err *err)
{
    const output *out = context;
    if (!out->json && out->text.length)
        printf("\n");
    fflush(stdout);
    cli_fail(&generate_table, err);
    fflush(stderr);
    err->said = true;
}

int cmd_generate(int argc, char **argv)
{
    generate_options options = {.run = vkft_generate_defaults()};
    vkft_recipe recipe = {0};
    int code;
    if (!cli_flags(&generate_table, &options, argc, argv, &recipe, &code))
        return code;
    vkft_text prompt = {0};
    vkft_ids ids = {0};
    output out = {.json = options.json};
    vkft_generate_observer observer = {
        .general = {.context = &out, .message = on_message, .interrupted = interrupt_requested, .failing = say_error},
        .text = on_text,
        .token = on_token};
    vkft_generate_result result = {0};
    vkft_err err = {0};
    bool ok = prepare_prompt(&options, &prompt, &ids, &err);
    if (ok) {
        interrupt_install();
        ok = cli_fetch(&generate_table, &options, false, &recipe, &err) &&
             vkft_generate(&options.run, &observer, &result, &err);
    }
    if (ok && out.failed)
        ok = vkft_fail_memory(&err, "for the generated text");
    code = ok ? report(&out, &result) : cli_fail(&generate_table, &err);
    if (code == EXIT_SUCCESS && interrupt_requested(NULL))
        code = EXIT_INTERRUPTED;
    vkft_text_free(&out.text);
    vkft_ids_free(&out.ids);
    vkft_text_free(&prompt);
    vkft_ids_free(&ids);
    recipe_free(&recipe);
    return code;
}
