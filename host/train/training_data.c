/* Opening the data of a run. See training_data.h. */
#include "host/train/training_data.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "formats/dataset/files/files.h"
#include "host/train/trainer.h"
#include "runtime/base/json.h"
#include "runtime/base/utf8.h"

static void on_progress(void *context, uint64_t done, uint64_t all)
{
    const vkft_observer *observer = context;
    vkft_observer_work(observer, "tokenizing", done, all);
}

static bool is_interrupted(void *context)
{
    const vkft_observer *observer = context;
    return vkft_observer_interrupted(observer);
}

static void say_found(const vkft_data_options *o, const vkft_data_files *files, const vkft_dataset *data,
                      const vkft_observer *observer)
{
    const char *path = files->paths[0];
    char more[40] = "";
    if (files->count > 1)
        snprintf(more, sizeof more, " and %u more file%s", files->count - 1, files->count > 2 ? "s" : "");
    bool pairs = data->format == VKFT_DATA_PAIRS || data->format == VKFT_DATA_PAIR_TOKENS;
    vkft_observer_say(observer, "data: %s%s: %u %s of %s, %llu tokens, longest %u%s", path, more,
                      pairs ? data->count / 2 : data->count, pairs ? "pairs" : "samples",
                      vkft_data_format_name(data->format), (unsigned long long)data->tokens, data->max_length,
                      data->from_cache ? " (tokens from the cache)" : "");
    if (data->truncated)
        vkft_observer_say(observer, "data: %u samples were truncated to --max-seq-length %u and lost %llu tokens",
                          data->truncated, o->max_seq_length, (unsigned long long)data->dropped_tokens);
    if (data->unused[0])
        vkft_observer_say(observer, "data: not used: %s", data->unused);
    if (data->made_call_ids)
        vkft_observer_say(observer,
                          "data: %u conversations have tool calls without ids, which the chat template needs; they "
                          "were given ids, made of their texts",
                          data->made_call_ids);
    uint64_t bad = vkft_bad_rows_count(&data->bad);
    char reasons[VKFT_BAD_ROWS_TEXT];
    vkft_bad_rows_describe(&data->bad, reasons);
    if (bad)
        vkft_observer_say(observer, "data: skipped %llu of %llu rows: %s", (unsigned long long)bad,
                          (unsigned long long)(bad + data->count), reasons);
}

static bool is_eos(const vkft_tokenizer *tok, const vkft_config *config, int32_t id)
{
    for (uint32_t i = 0; i < config->eos_count; i++)
        if (config->eos_token_ids[i] == id)
            return true;
    return vkft_tokenizer_eos_id(tok) == id;
}

/* Whether a sample's trained tokens have an end; *last: the last one. */
static bool has_end(const vkft_tokenizer *tok, const vkft_config *config, const vkft_sample *sample, int32_t *last)
{
    bool found = false;
    for (uint32_t i = 0; i < sample->length; i++)
        if (sample->labels[i] >= 0) {
            *last = sample->labels[i];
            found = found || is_eos(tok, config, *last);
        }
    return found;
}

static void warn_of_ends(const vkft_tokenizer *tok, const vkft_config *config, const vkft_dataset *data,
                         const vkft_observer *observer)
{
    int32_t last = -1;
    vkft_text text = {0};
    for (uint32_t i = data->count; i > 0; i--) /* the first one is shown */
        if (has_end(tok, config, &data->samples[i - 1], &last))
            return;
    cJSON *string = last >= 0 && vkft_tokenizer_decode(tok, &last, 1, false, &text, NULL)
                        ? cJSON_CreateString(text.data ? text.data : "")
                        : NULL;
    char *shown = string ? cJSON_PrintUnformatted(string) : NULL;
    vkft_observer_say(observer,
                      "data: no answer has an end-of-sequence token of the model in it, they end in %.100s: generation "
                      "stops there only if generation_config.json's eos_token_id names it",
                      shown ? shown : "another");
    cJSON_free(shown);
    cJSON_Delete(string);
    vkft_text_free(&text);
}

/* Scaled positions reach farther than max_position_embeddings, which some files leave at what it was before, and
 * dynamic ones grow with the sample. */
static void warn_of_length(const vkft_config *config, const vkft_dataset *data, const vkft_observer *observer)
{
    double reach = fmax(config->max_position, config->rope.original_max_position * config->rope.factor);
    if (config->rope.type != VKFT_ROPE_DYNAMIC && data->max_length > reach)
        vkft_observer_say(observer,
                          "warning: the longest sample has %u tokens, and the model was made for %.0f "
                          "(max_position_embeddings); lower --max-seq-length",
                          data->max_length, reach);
}

void vkft_data_warn(const vkft_model_text *text, const vkft_config *config, const vkft_dataset *data,
                    const vkft_observer *observer)
{
    bool conversations = data->format == VKFT_DATA_MESSAGES || data->format == VKFT_DATA_CONVERSATIONS ||
                         data->format == VKFT_DATA_DIALOGUE;
    int32_t bos = text->tokenizer ? vkft_tokenizer_bos_id(text->tokenizer) : -1;
    uint32_t doubled = 0;
    for (uint32_t i = 0; bos >= 0 && i < data->count; i++) {
        const vkft_sample *s = &data->samples[i];
        doubled += s->length > 1 && s->ids[0] == bos && s->ids[1] == bos;
    }
    if (doubled)
        vkft_observer_say(observer,
                          "data: %u of %u samples begin with the beginning-of-sequence token twice: it stands in their "
                          "text, and the tokenizer adds it; take it out of the text",
                          doubled, data->count);
    warn_of_length(config, data, observer);
    if (conversations && text->tokenizer)
        warn_of_ends(text->tokenizer, config, data, observer);
}

static bool find_files(const vkft_data_options *o, const char *split, vkft_data_files *files, vkft_err *err)
{
    const char *named = strcmp(split, "train") == 0   ? o->split
                        : strcmp(split, "valid") == 0 ? o->validation_split
                                                      : NULL;
    const vkft_data_request request = {
        .data = o->path, .config = o->dataset_config, .split = named ? named : split, .named = named != NULL};
    return vkft_data_files_find(&request, files, err);
}

bool vkft_data_say(const vkft_data_options *options, const char *split, const vkft_model_text *text,
                   const vkft_config *config, const vkft_observer *observer, const vkft_dataset *data, vkft_err *err)
{
    vkft_data_files files;
    if (!find_files(options, split, &files, err))
        return false;
    if (files.count) {
        say_found(options, &files, data, observer);
        vkft_data_warn(text, config, data, observer);
    }
    vkft_data_files_free(&files);
    return true;
}

bool vkft_data_open(const vkft_data_options *options, const char *split, const vkft_model_text *text,
                    const vkft_config *config, const vkft_observer *observer, vkft_dataset *data, bool *found,
                    vkft_err *err)
{
    vkft_data_files files;
    if (!find_files(options, split, &files, err))
        return false;
    *found = files.count > 0;
    if (!*found)
        return true;
    int32_t eos = text->tokenizer ? vkft_tokenizer_eos_id(text->tokenizer) : -1;
    const vkft_objective *objective = vkft_objective_of(options->objective);
    if (objective->preferences != VKFT_PREFERENCES_NONE && config->encoder_layers) {
        vkft_data_files_free(&files);
        return vkft_fail(err, VKFT_ERR_INPUT,
                         "--objective %s: the model has an encoder and a decoder, which is not supported; use "
                         "--objective sft, or a model with a decoder alone",
                         objective->name);
    }
    vkft_dataset_options o = {
        .max_seq_length = options->max_seq_length,
        .mask_prompt = options->mask_prompt,
        .train_on = options->mask_history ? VKFT_TRAIN_ON_LAST : VKFT_TRAIN_ON_ASSISTANT,
        .vocab_size = config->vocab_size,
        .eos_id = eos >= 0            ? eos
                  : config->eos_count ? config->eos_token_ids[0]
                                      : -1,
        .keys = options->keys,
        .prompt_template = options->prompt_template,
        .encoder_decoder = config->encoder_layers != 0,
        .decoder_start_id = config->decoder_start_token_id,
        .completions = options->completions,
        .chat = text->chat,
        .chat_error = text->chat_error,
        .preferences = objective->preferences,
        .learn_chosen_prompt = objective->learns_prompt,
        .apply_chat_template = options->apply_chat_template,
        .error_on_bad_row = options->on_bad_row == VKFT_BAD_ROW_ERROR,
        .drop_long_rows = options->long_rows == VKFT_LONG_ROWS_DROP,
        .context_hash = text->hash,
        .progress = on_progress,
        .progress_context = (void *)(uintptr_t)observer,
        .interrupted = is_interrupted,
    };
    bool ok = vkft_dataset_open_files(files.paths, files.count, text->tokenizer, &o, data, err);
    if (ok) {
        say_found(options, &files, data, observer);
        vkft_data_warn(text, config, data, observer);
    }
    vkft_data_files_free(&files);
    return ok;
}

/* The tokens' text; their numbers where there is no tokenizer, or one that does not know them all. */
static bool describe(const vkft_tokenizer *tok, const int32_t *ids, uint32_t count, vkft_text *text, vkft_err *err)
{
    vkft_err why = {0};
    if (tok && vkft_tokenizer_decode(tok, ids, count, false, text, &why))
        return true;
    if (why.kind == VKFT_ERR_MEMORY)
        return vkft_fail_memory(err, "while showing a sample");
    text->length = 0;
    for (uint32_t i = 0; i < count; i++) {
        char number[16];
        int n = snprintf(number, sizeof number, "%s%d", i ? " " : "", ids[i]);
        if (!vkft_text_append(text, number, (size_t)n, err))
            return false;
    }
    return true;
}

bool vkft_data_visit_parts(const vkft_tokenizer *tok, const vkft_sample *sample,
                           bool (*visit)(void *context, bool trained, const vkft_text *text, vkft_err *err),
                           void *context, vkft_err *err)
{
    bool ok = true;
    for (uint32_t begin = 0, end; ok && begin < sample->length; begin = end) {
        bool masked = sample->labels[begin] < 0;
        for (end = begin + 1; end < sample->length && (sample->labels[end] < 0) == masked;)
            end++;
        vkft_text text = {0};
        ok = describe(tok, sample->ids + begin, end - begin, &text, err) && visit(context, !masked, &text, err);
        vkft_text_free(&text);
    }
    return ok;
}

static bool say_part(void *context, bool trained, const vkft_text *text, vkft_err *err)
{
    vkft_text quoted = {0};
    bool ok = vkft_json_write_string(text->data ? text->data : "", text->length, &quoted, err);
    if (ok)
        vkft_observer_say(context, "  %s %.900s", trained ? "trained" : "masked ", quoted.data);
    vkft_text_free(&quoted);
    return ok;
}

bool vkft_data_show_sample(const vkft_tokenizer *tok, const vkft_sample *sample, const char *title,
                           const vkft_observer *observer, vkft_err *err)
{
    vkft_observer_say(observer, "%s: %u tokens, %u trained", title, sample->length, sample->trained);
    return vkft_data_visit_parts(tok, sample, say_part, (void *)(uintptr_t)observer, err);
}
