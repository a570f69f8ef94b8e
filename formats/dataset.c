/* Datasets: rows become samples of token ids and labels.
 *
 *   text         special tokens + text + EOS, all trained
 *   corpus       the whole file as one stream of tokens (special tokens once, at its beginning), cut into pieces of max_seq_length
 *   completion   special tokens + prompt | completion + EOS; the two sides are encoded apart, so the boundary is exact
 *   instruction  the same with the Alpaca template for prompt
 *   tokens       as given; labels are the ids where they are absent
 *
 * A sample longer than max_seq_length is cut at its end and counted.
 */
#include "dataset.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "dataset_rows.h"
#include "file_io.h"
#include "json_file.h"

const char *vkft_data_format_name(vkft_data_format format)
{
    static const char *const names[] = {"text", "plain text", "prompt/completion", "instruction/input/output", "input_ids/labels"};
    return names[format];
}

char *vkft_instruction_prompt(const char *instruction, const char *input)
{
    static const char with_input[] = "Below is an instruction that describes a task, paired with an input that provides further context. "
                                     "Write a response that appropriately completes the request.\n\n### Instruction:\n%s\n\n"
                                     "### Input:\n%s\n\n### Response:\n";
    static const char without[] = "Below is an instruction that describes a task. Write a response that appropriately completes the "
                                  "request.\n\n### Instruction:\n%s\n\n### Response:\n";
    bool has_input = input && *input;
    size_t size = sizeof with_input + strlen(instruction) + (has_input ? strlen(input) : 0);
    char *prompt = malloc(size);
    if (prompt && has_input)
        snprintf(prompt, size, with_input, instruction, input);
    else if (prompt)
        snprintf(prompt, size, without, instruction);
    return prompt;
}

typedef struct builder {
    const char *path;
    const vkft_tokenizer *tok;
    const vkft_dataset_options *options;
    vkft_dataset *data;
    uint32_t capacity;
    bool detected;
    vkft_err *err;
} builder;

static bool out_of_memory(const builder *b)
{
    return vkft_fail(b->err, VKFT_ERR_MEMORY, "%s: out of host memory while reading the data", b->path);
}

static bool check_ids(const builder *b, const vkft_ids *ids, const char *place)
{
    for (uint32_t i = 0; i < ids->count; i++)
        if (ids->data[i] < 0 || (uint32_t)ids->data[i] >= b->options->vocab_size)
            return vkft_fail(b->err, VKFT_ERR_INPUT, "%s: token id %d is outside the model's vocabulary of %u", place, ids->data[i],
                             b->options->vocab_size);
    return true;
}

/* Copies ids to a new sample; the first `masked` labels are ignored, the others are labels (NULL: the ids). */
static bool add_sample(builder *b, const vkft_ids *ids, const int32_t *labels, uint32_t masked, const char *place)
{
    uint32_t length = ids->count < b->options->max_seq_length ? ids->count : b->options->max_seq_length;
    if (b->data->count == b->capacity) {
        uint32_t capacity = b->capacity ? 2 * b->capacity : 256;
        vkft_sample *samples = realloc(b->data->samples, capacity * sizeof *samples);
        if (!samples)
            return out_of_memory(b);
        b->data->samples = samples;
        b->capacity = capacity;
    }
    vkft_sample *s = &b->data->samples[b->data->count];
    *s = (vkft_sample){.length = length};
    s->ids = malloc(2 * (length + 1ull) * sizeof *s->ids);
    if (!s->ids)
        return out_of_memory(b);
    s->labels = s->ids + length;
    b->data->count++;
    for (uint32_t i = 0; i < length; i++) {
        s->ids[i] = ids->data[i];
        s->labels[i] = i < masked ? VKFT_IGNORE_LABEL : labels ? labels[i] : ids->data[i];
        s->trained += i > 0 && s->labels[i] != VKFT_IGNORE_LABEL;
    }
    if (s->trained == 0)
        return vkft_fail(b->err, VKFT_ERR_INPUT, "%s: nothing is left to train on: %u tokens of which the first %u are the prompt, and "
                         "--max-seq-length is %u; raise it or shorten the prompt", place, ids->count, masked, b->options->max_seq_length);
    b->data->tokens += length;
    b->data->truncated += ids->count > length;
    if (length > b->data->max_length)
        b->data->max_length = length;
    return true;
}

static bool encode(const builder *b, const char *text, size_t length, bool special, vkft_ids *ids)
{
    return vkft_tokenizer_encode(b->tok, text, length, special, ids, b->err);
}

/* EOS, unless the tokenizer put it there already. */
static bool end_with_eos(const builder *b, vkft_ids *ids)
{
    int32_t eos = b->options->eos_id;
    return eos < 0 || (ids->count && ids->data[ids->count - 1] == eos) || vkft_ids_push(ids, eos, b->err);
}

static bool add_completion(builder *b, const char *prompt, const char *completion, const char *place)
{
    vkft_ids ids = {0};
    bool ok = encode(b, prompt, strlen(prompt), true, &ids);
    uint32_t masked = b->options->mask_prompt ? ids.count : 0;
    ok = ok && encode(b, completion, strlen(completion), false, &ids) && end_with_eos(b, &ids) && check_ids(b, &ids, place) &&
         add_sample(b, &ids, NULL, masked, place);
    vkft_ids_free(&ids);
    return ok;
}

static bool add_text(builder *b, const char *text, const char *place)
{
    vkft_ids ids = {0};
    bool ok = encode(b, text, strlen(text), true, &ids) && end_with_eos(b, &ids) && check_ids(b, &ids, place) &&
              add_sample(b, &ids, NULL, 0, place);
    vkft_ids_free(&ids);
    return ok;
}

static bool read_numbers(const builder *b, const cJSON *array, const char *key, const char *place, vkft_ids *ids)
{
    const cJSON *item;
    cJSON_ArrayForEach(item, array)
    {
        double x = cJSON_IsNumber(item) ? item->valuedouble : 0.5;
        if (x != (double)(int32_t)x)
            return vkft_fail(b->err, VKFT_ERR_INPUT, "%s: %s[%u] is not a whole number", place, key, ids->count);
        if (!vkft_ids_push(ids, (int32_t)x, b->err))
            return false;
    }
    return true;
}

static bool check_labels(const builder *b, const vkft_ids *ids, const vkft_ids *labels, const char *place)
{
    if (labels->count != ids->count)
        return vkft_fail(b->err, VKFT_ERR_INPUT, "%s: labels has %u values and input_ids %u; they must be as many", place, labels->count,
                         ids->count);
    for (uint32_t i = 0; i < labels->count; i++)
        if (labels->data[i] != VKFT_IGNORE_LABEL && (labels->data[i] < 0 || (uint32_t)labels->data[i] >= b->options->vocab_size))
            return vkft_fail(b->err, VKFT_ERR_INPUT, "%s: labels[%u] is %d; expected -100 or an id below the vocabulary's %u", place, i,
                             labels->data[i], b->options->vocab_size);
    return true;
}

static bool add_tokens(builder *b, const cJSON *row, const char *place)
{
    const cJSON *values, *label_values = NULL;
    vkft_ids ids = {0}, labels = {0};
    bool ok = vkft_json_get_array(row, "input_ids", true, &values, place, b->err) &&
              vkft_json_get_array(row, "labels", false, &label_values, place, b->err) &&
              read_numbers(b, values, "input_ids", place, &ids) && check_ids(b, &ids, place) &&
              (!label_values || (read_numbers(b, label_values, "labels", place, &labels) && check_labels(b, &ids, &labels, place))) &&
              add_sample(b, &ids, label_values ? labels.data : NULL, 0, place);
    vkft_ids_free(&ids);
    vkft_ids_free(&labels);
    return ok;
}

static bool add_instruction(builder *b, const cJSON *row, const char *place)
{
    const char *instruction, *input = NULL, *output;
    if (!vkft_json_get_string(row, "instruction", true, &instruction, place, b->err) ||
        !vkft_json_get_string(row, "input", false, &input, place, b->err) ||
        !vkft_json_get_string(row, "output", true, &output, place, b->err))
        return false;
    char *prompt = vkft_instruction_prompt(instruction, input);
    bool ok = prompt ? add_completion(b, prompt, output, place) : out_of_memory(b);
    free(prompt);
    return ok;
}

static void list_keys(const cJSON *row, char *keys, size_t size)
{
    const cJSON *member;
    keys[0] = 0;
    cJSON_ArrayForEach(member, row)
    {
        size_t at = strlen(keys);
        snprintf(keys + at, size - at, "%s%.40s", at ? ", " : "", member->string);
    }
}

static bool has(const cJSON *row, const char *key)
{
    return cJSON_GetObjectItemCaseSensitive(row, key) != NULL;
}

/* The shape of a row by its keys; false when it has none of the known ones. */
static bool detect(const cJSON *row, vkft_data_format *format)
{
    if (has(row, "input_ids"))
        *format = VKFT_DATA_TOKENS;
    else if (has(row, "instruction") && has(row, "output"))
        *format = VKFT_DATA_INSTRUCTION;
    else if (has(row, "prompt") && has(row, "completion"))
        *format = VKFT_DATA_COMPLETION;
    else if (has(row, "text"))
        *format = VKFT_DATA_TEXT;
    else
        return false;
    return true;
}

static bool check_shape(builder *b, const cJSON *row, const char *place)
{
    char keys[400];
    vkft_data_format format;
    if (!cJSON_IsObject(row)) {
        return vkft_fail(b->err, VKFT_ERR_INPUT, "%s: %s found; expected an object such as {\"text\": \"...\"}", place,
                         vkft_json_describe(row, keys, sizeof keys));
    }
    list_keys(row, keys, sizeof keys);
    if (!detect(row, &format)) {
        bool chat = has(row, "messages") || has(row, "conversations");
        return vkft_fail(b->err, VKFT_ERR_INPUT, "%s: keys found: %s; expected text, or prompt and completion, or instruction and output "
                         "(and input), or input_ids (and labels)%s", place, keys[0] ? keys : "none",
                         chat ? "; chat data is not in this version" : "");
    }
    if (b->detected && format != b->data->format)
        return vkft_fail(b->err, VKFT_ERR_INPUT, "%s: a row of %s (keys %s) among rows of %s; all rows must have one shape", place,
                         vkft_data_format_name(format), keys, vkft_data_format_name(b->data->format));
    if (format != VKFT_DATA_TOKENS && !b->tok)
        return vkft_fail(b->err, VKFT_ERR_INPUT, "%s: the model has no tokenizer.json, so text cannot be encoded; add it to the model's "
                         "directory, or give rows of input_ids", place);
    b->data->format = format;
    b->detected = true;
    return true;
}

static bool add_row(void *context, const cJSON *row, const char *place)
{
    builder *b = context;
    const char *first, *second;
    if (!check_shape(b, row, place))
        return false;
    switch (b->data->format) {
    case VKFT_DATA_TOKENS: return add_tokens(b, row, place);
    case VKFT_DATA_INSTRUCTION: return add_instruction(b, row, place);
    case VKFT_DATA_COMPLETION:
        return vkft_json_get_string(row, "prompt", true, &first, place, b->err) &&
               vkft_json_get_string(row, "completion", true, &second, place, b->err) && add_completion(b, first, second, place);
    default: return vkft_json_get_string(row, "text", true, &first, place, b->err) && add_text(b, first, place);
    }
}

static bool add_corpus(builder *b, const char *text, uint64_t length)
{
    vkft_ids ids = {0};
    if (!b->tok)
        return vkft_fail(b->err, VKFT_ERR_INPUT, "%s: the model has no tokenizer.json, so text cannot be encoded; add it to the model's "
                         "directory, or give rows of input_ids", b->path);
    b->data->format = VKFT_DATA_CORPUS;
    bool ok = encode(b, text, (size_t)length, true, &ids) && check_ids(b, &ids, b->path);
    for (uint32_t at = 0; ok && ids.count - at >= 2;) {
        uint32_t left = ids.count - at, most = b->options->max_seq_length;
        vkft_ids piece = {.data = ids.data + at, .count = left < most ? left : most};
        ok = add_sample(b, &piece, NULL, 0, b->path);
        at += piece.count;
    }
    vkft_ids_free(&ids);
    return ok;
}

static bool ends_with(const char *path, const char *ending)
{
    size_t n = strlen(path), m = strlen(ending);
    return n > m && strcmp(path + n - m, ending) == 0;
}

bool vkft_dataset_open(const char *path, const vkft_tokenizer *tok, const vkft_dataset_options *options, vkft_dataset *data, vkft_err *err)
{
    memset(data, 0, sizeof *data);
    builder b = {.path = path, .tok = tok, .options = options, .data = data, .err = err};
    vkft_mapping file;
    if (!vkft_mapping_open(path, &file, err))
        return false;
    const char *text = (const char *)file.data;
    bool ok;
    if (ends_with(path, ".txt"))
        ok = add_corpus(&b, text, file.size);
    else if (ends_with(path, ".json"))
        ok = vkft_rows_of_array(path, text, file.size, add_row, &b, err);
    else if (ends_with(path, ".jsonl"))
        ok = vkft_rows_of_lines(path, text, file.size, add_row, &b, err);
    else
        ok = vkft_fail(err, VKFT_ERR_INPUT, "%s: this kind of file is not supported; expected .jsonl, .json or .txt", path);
    vkft_mapping_close(&file);
    if (ok && data->count == 0)
        ok = vkft_fail(err, VKFT_ERR_INPUT, "%s: no sample in the file; expected at least one row", path);
    if (!ok)
        vkft_dataset_free(data);
    return ok;
}

void vkft_dataset_free(vkft_dataset *data)
{
    for (uint32_t i = 0; i < data->count; i++)
        free(data->samples[i].ids); /* labels lie behind the ids */
    free(data->samples);
    memset(data, 0, sizeof *data);
}

bool vkft_dataset_find(const char *data, const char *split, char **path, vkft_err *err)
{
    static const char *const endings[] = {".jsonl", ".json", ".txt"};
    static const char *const valid_names[] = {"valid", "validation", "val"};
    bool train = strcmp(split, "train") == 0, valid = strcmp(split, "valid") == 0;
    *path = NULL;
    if (!vkft_directory_exists(data)) {
        *path = train ? strdup(data) : NULL;
        return *path || !train || vkft_fail(err, VKFT_ERR_MEMORY, "out of host memory");
    }
    for (size_t n = 0; n < (valid ? 3 : 1); n++)
        for (size_t e = 0; e < sizeof endings / sizeof *endings; e++) {
            char name[32];
            snprintf(name, sizeof name, "%.20s%s", valid ? valid_names[n] : split, endings[e]);
            char *candidate = vkft_path_join(data, name);
            if (!candidate)
                return vkft_fail(err, VKFT_ERR_MEMORY, "out of host memory");
            if (vkft_file_exists(candidate)) {
                *path = candidate;
                return true;
            }
            free(candidate);
        }
    return !train || vkft_fail(err, VKFT_ERR_INPUT, "%s: no train.jsonl, train.json or train.txt in this directory", data);
}
