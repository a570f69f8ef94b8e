/* vkft tokenize: JSON strings to arrays of ids, line by line, and back. */
#include <stdlib.h>

#include "cli.h"
#include "file_io.h"
#include "json_file.h"
#include "line.h"
#include "model_file.h"
#include "tokenizer.h"

#define MAX_TOKENIZER_BYTES ((uint64_t)1 << 28)

typedef struct tokenize_options {
    const char *model;
    bool decode, special;
} tokenize_options;

static const flag tokenize_flags[] = {
    {.kind = FLAG_TEXT, .name = "model", .value = "PATH", .help = "Hugging Face checkpoint directory or .vkft file", .required = true,
     .offset = offsetof(tokenize_options, model)},
    {.kind = FLAG_SWITCH, .name = "decode", .help = "from ids to text", .offset = offsetof(tokenize_options, decode)},
    {.kind = FLAG_SWITCH, .name = "special", .help = "add special tokens; decoding, show them",
     .offset = offsetof(tokenize_options, special)},
};

static const flag_table tokenize_table = {
    .command = "tokenize",
    .usage = "--model PATH [--decode] [--no-special] < LINES",
    .about = "Reads one JSON string per line and prints one JSON array of token ids per line; with --decode the reverse.",
    .flags = tokenize_flags,
    .count = FLAG_COUNT(tokenize_flags),
};

static vkft_tokenizer *from_model_file(const char *path, vkft_err *err)
{
    vkft_model_file *file = vkft_model_file_open(path, err);
    if (!file)
        return NULL;
    size_t length = 0, config_length = 0;
    const char *json = vkft_model_file_blob(file, "tokenizer.json", &length);
    const char *config = vkft_model_file_blob(file, "tokenizer_config.json", &config_length);
    vkft_tokenizer *tok = NULL;
    if (json)
        tok = vkft_tokenizer_new(json, length, config, config_length, path, err);
    else
        vkft_fail(err, VKFT_ERR_INPUT, "%s: the model has no tokenizer.json", path);
    vkft_model_file_close(file);
    return tok;
}

/* Straight from the checkpoint's files: nothing needs to be converted to tokenize. */
static vkft_tokenizer *from_directory(const char *dir, vkft_err *err)
{
    char *path = vkft_path_join(dir, "tokenizer.json"), *config_path = vkft_path_join(dir, "tokenizer_config.json");
    char *json = NULL, *config = NULL;
    size_t length = 0, config_length = 0;
    vkft_tokenizer *tok = NULL;
    if (!path || !config_path)
        vkft_fail(err, VKFT_ERR_MEMORY, "%s: out of memory", dir);
    else if (vkft_file_read(path, MAX_TOKENIZER_BYTES, &json, &length, err) &&
             (!vkft_file_exists(config_path) || vkft_file_read(config_path, MAX_TOKENIZER_BYTES, &config, &config_length, err)))
        tok = vkft_tokenizer_new(json, length, config, config_length, path, err);
    free(json);
    free(config);
    free(path);
    free(config_path);
    return tok;
}

static bool encode(const vkft_tokenizer *tok, bool special, const vkft_text *line, vkft_text *out, vkft_err *err)
{
    vkft_text text = {0};
    vkft_ids ids = {0};
    const char *problem;
    bool ok = json_string_parse(line->data, line->length, &text, &problem);
    if (!ok)
        vkft_fail(err, VKFT_ERR_INPUT, "%s", problem);
    ok = ok && vkft_tokenizer_encode(tok, text.data ? text.data : "", text.length, special, &ids, err);
    bool stored = text_append(out, "[", 1);
    for (uint32_t i = 0; ok && stored && i < ids.count; i++) {
        char number[16];
        int n = snprintf(number, sizeof number, "%s%d", i ? ", " : "", (int)ids.data[i]);
        stored = text_append(out, number, (size_t)n);
    }
    stored = stored && text_append(out, "]", 1);
    if (ok && !stored)
        ok = vkft_fail(err, VKFT_ERR_MEMORY, "out of memory");
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
        ok = vkft_fail(err, VKFT_ERR_MEMORY, "out of memory");
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
            ok = text_append(&out, "\n", 1) || vkft_fail(err, VKFT_ERR_MEMORY, "out of memory");
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
    bool directory = vkft_directory_exists(options.model);
    vkft_tokenizer *tok = directory ? from_directory(options.model, &err) : from_model_file(options.model, &err);
    bool ok = tok && run(tok, &options, &err);
    code = ok ? EXIT_SUCCESS : cli_fail(&err);
    vkft_tokenizer_free(tok);
    recipe_free(&recipe);
    return code;
}
