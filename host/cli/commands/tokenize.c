/* vkft tokenize: JSON strings to arrays of ids, line by line, and back. */
#include <inttypes.h>
#include <stdlib.h>

#include "host/cli/cli.h"
#include "host/cli/fetch.h"
#include "host/session/options.h"
#include "runtime/base/json.h"
#include "formats/chat/model_text.h"
#include "runtime/base/text.h"

#define INPUT "standard input"

typedef struct tokenize_options {
    vkft_model_options model;
    bool decode, special;
} tokenize_options;

#define AT(member) .offset = offsetof(tokenize_options, member)

static const flag tokenize_flags[] = {
    CLI_MODEL_PATH_FLAG(AT),
    {.kind = FLAG_SWITCH, .name = "decode", .help = "convert token ids back to text", AT(decode)},
    {.kind = FLAG_SWITCH, .name = "special", .help = "add special tokens; with --decode, show them", AT(special)},
};

static const flag_table tokenize_table = {
    .command = "tokenize",
    .usage = "--model PATH [--decode] [--no-special] < LINES",
    .about =
        "Reads one JSON string per line and prints one JSON array of token ids per line; --decode does the reverse.",
    .flags = tokenize_flags,
    .count = FLAG_COUNT(tokenize_flags),
};

static bool encode(const vkft_tokenizer *tok, bool special, const vkft_text *line, uint64_t number, vkft_text *out,
                   vkft_err *err)
{
    vkft_text text = {0};
    vkft_ids ids = {0};
    bool ok = vkft_json_parse_string(line->data, line->length, INPUT, number, &text, err);
    if (ok && !vkft_tokenizer_encode(tok, text.data ? text.data : "", text.length, special, &ids, err))
        ok = vkft_fail_context(err, INPUT ": line %" PRIu64, number);
    ok = ok && vkft_text_append(out, "[", 1, err);
    for (uint32_t i = 0; ok && i < ids.count; i++) {
        char digits[16];
        int n = snprintf(digits, sizeof digits, "%s%d", i ? ", " : "", (int)ids.data[i]);
        ok = vkft_text_append(out, digits, (size_t)n, err);
    }
    ok = ok && vkft_text_append(out, "]", 1, err);
    vkft_text_free(&text);
    vkft_ids_free(&ids);
    return ok;
}

static bool parse_ids(const vkft_text *line, uint64_t number, vkft_ids *ids, vkft_err *err)
{
    cJSON *array = vkft_json_parse_line(line->data, line->length, INPUT, number, err);
    bool ok = array != NULL;
    if (ok && !cJSON_IsArray(array))
        ok = vkft_fail(err, VKFT_ERR_INPUT, INPUT ": line %" PRIu64 ": expected a JSON array of token ids", number);
    for (const cJSON *item = ok ? array->child : NULL; ok && item; item = item->next) {
        uint64_t id = 0;
        ok = (vkft_json_is_u64(item, &id) && id <= INT32_MAX) ||
             vkft_fail(err, VKFT_ERR_INPUT,
                       INPUT ": line %" PRIu64 ": expected a JSON array of token ids, whole numbers from 0", number);
        ok = ok && vkft_ids_push(ids, (int32_t)id, err);
    }
    cJSON_Delete(array);
    return ok;
}

static bool decode(const vkft_tokenizer *tok, bool special, const vkft_text *line, uint64_t number, vkft_text *out,
                   vkft_err *err)
{
    vkft_ids ids = {0};
    vkft_text text = {0};
    bool ok = parse_ids(line, number, &ids, err);
    if (ok && !vkft_tokenizer_decode(tok, ids.data, ids.count, !special, &text, err))
        ok = vkft_fail_context(err, INPUT ": line %" PRIu64, number);
    ok = ok && vkft_json_write_string(text.data ? text.data : "", text.length, out, err);
    vkft_text_free(&text);
    vkft_ids_free(&ids);
    return ok;
}

static bool run(const vkft_tokenizer *tok, const tokenize_options *o, vkft_err *err)
{
    vkft_text line = {0}, out = {0};
    bool failed = false, ok = true;
    for (uint64_t number = 1; ok && vkft_text_read_line(stdin, &line, &failed); number++) {
        out.length = 0;
        ok = o->decode ? decode(tok, o->special, &line, number, &out, err)
                       : encode(tok, o->special, &line, number, &out, err);
        ok = ok && vkft_text_append(&out, "\n", 1, err);
        if (ok)
            fwrite(out.data, 1, out.length, stdout);
    }
    if (failed)
        ok = vkft_fail(err, VKFT_ERR_IO, "cannot read " INPUT);
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
    vkft_model_text text = {0};
    bool ok = cli_fetch(&tokenize_table, &options, false, &recipe, &err) &&
              vkft_model_text_open(options.model.path, NULL, &text, &err);
    if (ok && !text.tokenizer)
        ok = vkft_fail(&err, VKFT_ERR_INPUT, "%s: the model has no tokenizer", options.model.path);
    ok = ok && run(text.tokenizer, &options, &err);
    code = ok ? EXIT_SUCCESS : cli_fail(&tokenize_table, &err);
    vkft_model_text_free(&text);
    recipe_free(&recipe);
    return code;
}
