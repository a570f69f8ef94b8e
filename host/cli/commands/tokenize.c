/* vkft tokenize: JSON strings to arrays of ids, line by line, and back. */
#include <stdlib.h>

#include "host/cli/cli.h"
#include "runtime/base/json.h"
#include "host/cli/json_lines.h"
#include "formats/chat/model_text.h"

typedef struct tokenize_options {
    const char *model;
    bool decode, special;
} tokenize_options;

static const flag tokenize_flags[] = {
    {.kind = FLAG_TEXT,
     .name = "model",
     .value = "PATH",
     .help = "Hugging Face checkpoint directory or .vkft file",
     .required = true,
     .offset = offsetof(tokenize_options, model)},
    {.kind = FLAG_SWITCH,
     .name = "decode",
     .help = "convert token ids back to text",
     .offset = offsetof(tokenize_options, decode)},
    {.kind = FLAG_SWITCH,
     .name = "special",
     .help = "add special tokens; with --decode, show them",
     .offset = offsetof(tokenize_options, special)},
};

static const flag_table tokenize_table = {
    .command = "tokenize",
    .usage = "--model PATH [--decode] [--no-special] < LINES",
    .about =
        "Reads one JSON string per line and prints one JSON array of token ids per line; --decode does the reverse.",
    .flags = tokenize_flags,
    .count = FLAG_COUNT(tokenize_flags),
};

static bool encode(const vkft_tokenizer *tok, bool special, const vkft_text *line, vkft_text *out, vkft_err *err)
{
    vkft_text text = {0};
    vkft_ids ids = {0};
    const char *problem;
    bool ok = json_string_parse(line->data, line->length, &text, &problem);
    if (!ok)
        vkft_fail(err, VKFT_ERR_INPUT, "%s", problem);
    ok = ok && vkft_tokenizer_encode(tok, text.data ? text.data : "", text.length, special, &ids, err);
    ok = ok && vkft_text_append(out, "[", 1, err);
    for (uint32_t i = 0; ok && i < ids.count; i++) {
        char number[16];
        int n = snprintf(number, sizeof number, "%s%d", i ? ", " : "", (int)ids.data[i]);
        ok = vkft_text_append(out, number, (size_t)n, err);
    }
    ok = ok && vkft_text_append(out, "]", 1, err);
    vkft_text_free(&text);
    vkft_ids_free(&ids);
    return ok;
}

static bool parse_ids(const vkft_text *line, vkft_ids *ids, vkft_err *err)
{
    cJSON *array = vkft_json_parse(line->data, line->length, "ids", err);
    bool ok = array && (cJSON_IsArray(array) || vkft_fail(err, VKFT_ERR_INPUT, "expected a JSON array of token ids"));
    const cJSON *item;
    if (ok) {
        cJSON_ArrayForEach(item, array)
        {
            uint64_t id = 0;
            if (!vkft_json_is_u64(item, &id) || id > INT32_MAX) {
                ok = vkft_fail(err, VKFT_ERR_INPUT, "expected a JSON array of token ids, whole numbers from 0");
                break;
            }
            if (!(ok = vkft_ids_push(ids, (int32_t)id, err)))
                break;
        }
    }
    cJSON_Delete(array);
    return ok;
}

static bool decode(const vkft_tokenizer *tok, bool special, const vkft_text *line, vkft_text *out, vkft_err *err)
{
    vkft_ids ids = {0};
    vkft_text text = {0};
    bool ok = parse_ids(line, &ids, err) && vkft_tokenizer_decode(tok, ids.data, ids.count, !special, &text, err);
    if (ok && !json_string_write(text.data ? text.data : "", text.length, out))
        ok = vkft_fail_memory(err, "for a line of output");
    vkft_text_free(&text);
    vkft_ids_free(&ids);
    return ok;
}

static bool run(const vkft_tokenizer *tok, const tokenize_options *o, vkft_err *err)
{
    vkft_text line = {0}, out = {0};
    bool failed = false, ok = true;
    for (unsigned long long number = 1; ok && line_read(stdin, &line, &failed); number++) {
        out.length = 0;
        ok = o->decode ? decode(tok, o->special, &line, &out, err) : encode(tok, o->special, &line, &out, err);
        if (!ok)
            vkft_fail_context(err, "standard input, line %llu", number);
        else
            ok = vkft_text_append(&out, "\n", 1, err);
        if (ok)
            fwrite(out.data, 1, out.length, stdout);
    }
    if (failed)
        ok = vkft_fail(err, VKFT_ERR_IO, "cannot read standard input");
    vkft_text_free(&line);
    vkft_text_free(&out);
    return ok;
}

int cmd_tokenize(int argc, char **argv)
{
    tokenize_options options = {.special = true};
    vkft_recipe recipe = {0};
    int code;
    if (!cli_flags(&tokenize_table, &options, argc, argv, &recipe, &code))
        return code;
    vkft_err err = {0};
    vkft_model_text text;
    bool ok = vkft_model_text_open(options.model, NULL, &text, &err);
    if (ok && !text.tokenizer)
        ok = vkft_fail(&err, VKFT_ERR_INPUT, "%s: the model has no tokenizer", options.model);
    ok = ok && run(text.tokenizer, &options, &err);
    code = ok ? EXIT_SUCCESS : cli_fail(&err);
    vkft_model_text_free(&text);
    recipe_free(&recipe);
    return code;
}
