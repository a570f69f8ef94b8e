/* Opening a data file: rows are found by one thread, encoded by all in batches, and stored in order. */
#include "formats/dataset/dataset.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

#include "formats/dataset/encode.h"
#include "formats/dataset/rows/source.h"
#include "formats/dataset/store.h"
#include "runtime/base/directory.h"
#include "runtime/base/os/os.h"
#include "runtime/base/parallel.h"
#include "runtime/base/size.h"

#define BATCH_ROWS 1024u
#define BATCH_BYTES (8u << 20)
#define CACHE_VERSION 7u

typedef struct batch {
    const vkft_row_encoder *encoder;
    vkft_row_slice slices[BATCH_ROWS];
    vkft_encoded_row rows[BATCH_ROWS];
    vkft_err errors[BATCH_ROWS];
    bool ok[BATCH_ROWS];
    uint32_t count;
} batch;

typedef struct opener {
    vkft_dataset *data;
    const vkft_dataset_options *options;
    vkft_data_source file, partner;
    vkft_row_reader reader;
    vkft_row_encoder encoder;
    vkft_token_store store;
    batch *batch;
    vkft_ids carry; /* of a corpus: tokens that no sample has yet */
    vkft_err *err;
} opener;

static bool is_interrupted(const vkft_dataset_options *o)
{
    return o->interrupted && o->interrupted(o->progress_context);
}

static void encode_task(void *context, uint64_t task, uint32_t worker)
{
    batch *b = context;
    (void)worker;
    b->ok[task] = !is_interrupted(b->encoder->options) &&
                  vkft_row_encode(b->encoder, &b->slices[task], &b->rows[task], &b->errors[task]);
}

/* What follows the text at hand, of a file that is unpacked part by part. */
static bool load_more(opener *o)
{
    if (!vkft_data_source_more(&o->file, o->reader.at, o->err))
        return false;
    vkft_row_reader_move(&o->reader, o->file.text, o->file.length, o->file.before);
    return true;
}

/* A row that reaches the end of the text at hand may go on in what follows. That is loaded when no row of the batch is
 * in the text any more. */
static bool next_row(opener *o, vkft_row_slice *slice, bool *found)
{
    while (o->file.more) {
        vkft_row_reader before = o->reader;
        if (vkft_row_reader_next(&o->reader, slice, found, NULL) && *found && o->reader.at < o->reader.length)
            return true;
        o->reader = before;
        *found = false;
        if (o->batch->count > 0)
            return true;
        if (!load_more(o))
            return false;
    }
    return vkft_row_reader_next(&o->reader, slice, found, o->err);
}

static bool fill_batch(opener *o)
{
    batch *b = o->batch;
    size_t bytes = 0;
    bool found = true;
    for (b->count = 0; b->count < BATCH_ROWS && bytes < BATCH_BYTES; b->count++) {
        if (!next_row(o, &b->slices[b->count], &found))
            return false;
        if (!found)
            break;
        bytes += b->slices[b->count].length;
    }
    return true;
}

static bool store_row(opener *o, const vkft_encoded_row *row)
{
    const int32_t *ids = row->ids.data, *labels = row->labels.data;
    for (uint32_t i = 0; i < row->count; i++) {
        const vkft_encoded_sample *s = &row->samples[i];
        const vkft_sample sample = {.ids = ids,
                                    .labels = labels,
                                    .length = s->length,
                                    .source_length = s->source_length,
                                    .trained = s->trained,
                                    .prompt_length = s->prompt_length,
                                    .answer = s->answer,
                                    .choice = s->choice};
        if (!vkft_token_store_add(&o->store, &sample, o->err))
            return false;
        o->data->truncated += s->dropped > 0;
        o->data->dropped_tokens += s->dropped;
        o->data->made_call_ids += s->made_call_ids;
        ids += s->length;
        labels += s->length;
    }
    return true;
}

/* Cuts the stream of a corpus into samples; the last tokens wait for more unless this is the end. */
static bool store_stream(opener *o, const vkft_ids *more, bool end)
{
    uint32_t max_length = o->options->max_seq_length, at = 0;
    for (uint32_t i = 0; more && i < more->count; i++)
        if (!vkft_ids_push(&o->carry, more->data[i], o->err))
            return false;
    while (o->carry.count - at >= max_length || (end && o->carry.count - at >= 2)) {
        uint32_t left = o->carry.count - at, length = min_u32(left, max_length);
        const int32_t *ids = o->carry.data + at;
        const vkft_sample sample = {.ids = ids, .labels = ids, .length = length, .trained = length - 1};
        if (!vkft_token_store_add(&o->store, &sample, o->err))
            return false;
        at += length;
    }
    if (at)
        memmove(o->carry.data, o->carry.data + at, (o->carry.count - at) * sizeof *o->carry.data);
    o->carry.count -= at;
    return true;
}

/* Counts the row's examples that are no samples; the first is the end where that is wanted. */
static bool count_rejected(opener *o, const vkft_row_slice *slice, const vkft_encoded_row *row)
{
    for (uint32_t i = 0; i < row->rejected_count; i++) {
        const vkft_rejected *r = &row->rejected[i];
        if (o->options->error_on_bad_row && vkft_bad_reason_is_fault(r->reason)) {
            char place[700];
            vkft_row_encoder_place(&o->encoder, slice, place, sizeof place);
            vkft_fail(o->err, VKFT_ERR_INPUT, "%s: this row cannot be trained on: %s", place, r->message);
            return vkft_advise(o->err, VKFT_ADVICE_SKIP_ROWS);
        }
        vkft_bad_rows_add(&o->data->bad, r->reason, o->data->bad.numbered ? slice->number : slice->line, r->message);
    }
    return true;
}

static bool store_batch(opener *o)
{
    for (uint32_t i = 0; i < o->batch->count; i++) {
        if (!o->batch->ok[i]) {
            if (o->err)
                *o->err = o->batch->errors[i];
            return false;
        }
        const vkft_encoded_row *row = &o->batch->rows[i];
        if (!count_rejected(o, &o->batch->slices[i], row) ||
            !(o->reader.kind == VKFT_ROWS_CORPUS ? store_stream(o, &row->ids, false) : store_row(o, row)))
            return false;
    }
    return true;
}

/* The shape of the first row that has one; the error is about the first row of all. */
static bool detect_shape(opener *o)
{
    const batch *b = o->batch;
    char *unused = o->data->unused;
    size_t size = sizeof o->data->unused;
    bool found = vkft_row_encoder_detect(&o->encoder, &b->slices[0], unused, size, o->err);
    for (uint32_t i = 1; !found && i < b->count; i++)
        found = vkft_row_encoder_detect(&o->encoder, &b->slices[i], unused, size, NULL);
    return found;
}

static bool may_be_used(void *context, const char *name)
{
    const opener *o = context;
    return vkft_shape_may_use(&o->encoder.keys, o->encoder.format, name);
}

static bool encode_all(opener *o)
{
    uint32_t workers = vkft_worker_count(0);
    bool first = true;
    for (uint64_t done = 0; fill_batch(o); done = o->reader.at, first = false) {
        batch *b = o->batch;
        if (b->count == 0)
            return o->reader.kind != VKFT_ROWS_CORPUS || store_stream(o, NULL, true);
        if (first && !detect_shape(o))
            return false;
        if (first && o->file.table)
            vkft_parquet_choose(o->file.table, may_be_used, o);
        o->data->format = o->encoder.format;
        o->data->bad.numbered = vkft_rows_are_numbered(&o->reader);
        vkft_parallel(min_u32(workers, b->count), b->count, encode_task, b);
        if (is_interrupted(o->options))
            return vkft_fail(o->err, VKFT_ERR_INTERRUPTED, "interrupted while '%s' was tokenized", o->encoder.path);
        if (!store_batch(o))
            return false;
        vkft_data_source_drop(&o->file, done, o->reader.at);
        if (o->options->progress)
            o->options->progress(o->options->progress_context, vkft_data_source_position(&o->file, o->reader.at),
                                 vkft_data_source_size(&o->file));
    }
    return false;
}

static uint64_t hash_text(const void *data, size_t size, uint64_t seed)
{
    return XXH3_64bits_withSeed(data, size, seed);
}

/* "<cache>/tokens-<hash of all that the tokens depend on>.bin", malloc'ed; NULL: this data is not cached. */
static char *cache_path(const opener *o)
{
    const vkft_dataset_options *p = o->options;
    uint64_t from = p->cache_from_bytes ? p->cache_from_bytes : VKFT_CACHE_FROM_BYTES;
    char *dir = vkft_data_source_size(&o->file) >= from ? vkft_cache_directory(NULL, NULL) : NULL, *path = NULL,
         name[64];
    if (dir) {
        uint64_t numbers[] = {CACHE_VERSION,
                              p->max_seq_length,
                              p->mask_prompt,
                              p->train_on,
                              p->vocab_size,
                              (uint64_t)(int64_t)p->eos_id,
                              p->apply_chat_template,
                              p->context_hash,
                              o->reader.kind,
                              p->encoder_decoder,
                              (uint64_t)(int64_t)p->decoder_start_id,
                              p->error_on_bad_row,
                              p->drop_long_rows,
                              p->preferences,
                              p->learn_chosen_prompt};
        uint64_t hash = hash_text(numbers, sizeof numbers, 0);
        hash = hash_text(o->file.file.data, (size_t)o->file.file.size, hash);
        hash = o->partner.text ? hash_text(o->partner.text, (size_t)o->partner.length, hash) : hash;
        hash = p->prompt_template ? hash_text(p->prompt_template, strlen(p->prompt_template), hash) : hash;
        hash = p->keys ? hash_text(p->keys, strlen(p->keys), hash) : hash;
        snprintf(name, sizeof name, "tokens-%016" PRIx64 ".bin", hash);
        path = vkft_path_join(dir, name);
    }
    free(dir);
    return path;
}

/* Whether enough is left: a file of which more than half cannot be used is not what its user believes. */
static bool check_rest(const opener *o)
{
    const vkft_dataset *data = o->data;
    uint64_t faults = vkft_bad_rows_faults(&data->bad), bad = vkft_bad_rows_count(&data->bad);
    if (data->count > 0 && faults <= data->count)
        return true;
    if (bad == 0)
        return vkft_fail(o->err, VKFT_ERR_INPUT, "%s: no sample in the file; expected at least one row",
                         o->encoder.path);
    char reasons[VKFT_BAD_ROWS_TEXT];
    vkft_bad_rows_describe(&data->bad, reasons);
    vkft_fail(o->err, VKFT_ERR_INPUT, "%s: %s%llu of %llu rows cannot be trained on: %s; mend or remove them",
              o->encoder.path,
              data->count ? "more than half of the file: " : "nothing is left to train on: ", (unsigned long long)bad,
              (unsigned long long)(bad + data->count), reasons);
    return vkft_advise(o->err, vkft_bad_rows_advice(&data->bad));
}

/* The reader of a Parquet file, with the columns that may be needed. */
static bool open_table(opener *o)
{
    if (o->partner.text)
        return vkft_fail(o->err, VKFT_ERR_INPUT,
                         "%s: a Parquet file has no lines that --completions could answer; give text files, or leave "
                         "--completions out",
                         o->file.table ? o->encoder.path : o->options->completions);
    o->encoder.format = VKFT_DATA_FORMATS; /* not known yet */
    vkft_parquet_choose(o->file.table, may_be_used, o);
    vkft_row_reader_open_table(&o->reader, o->encoder.path, o->file.text, o->file.length);
    return true;
}

/* Text that is unpacked part by part: what a .json file is may show only in what follows. */
static bool open_reader(opener *o)
{
    if (o->file.table || o->partner.table)
        return open_table(o);
    if (o->partner.text && !(vkft_data_source_whole(&o->file, o->err) && vkft_data_source_whole(&o->partner, o->err)))
        return false;
    for (bool ok = false;; vkft_row_reader_close(&o->reader)) {
        if (o->file.length > 0 || !o->file.more) {
            ok = vkft_row_reader_open(&o->reader, o->encoder.path, o->file.text, o->file.length, o->partner.text,
                                      o->partner.length, o->err);
            if (!o->file.more || (ok && !o->reader.undecided))
                return ok;
        }
        if (!vkft_data_source_more(&o->file, 0, o->err))
            return false;
    }
}

static bool open_file(opener *o)
{
    return vkft_data_source_open(o->encoder.path, &o->file, o->err) && open_reader(o);
}

/* Encodes all rows into the file `cache`, or into memory where that is NULL. */
static bool tokenize_into(opener *o, const char *cache)
{
    if (!vkft_token_store_open(&o->store, o->data, cache, o->err))
        return false;
    bool ok = encode_all(o);
    ok = ok && check_rest(o);
    if (ok)
        return vkft_token_store_finish(&o->store, cache, o->err);
    vkft_token_store_abandon(&o->store);
    return false;
}

/* The cache only saves time: where its file cannot be written (a full disk), all is done again in memory. */
static bool tokenize(opener *o, const char *cache)
{
    o->batch = calloc(1, sizeof *o->batch);
    if (!o->batch)
        return vkft_fail_memory(o->err, "while reading the data");
    o->batch->encoder = &o->encoder;
    if (tokenize_into(o, cache))
        return true;
    if (!o->store.file_failed)
        return false;
    vkft_dataset_free(o->data);
    vkft_row_reader_close(&o->reader);
    vkft_data_source_close(&o->file);
    o->carry.count = 0;
    return open_file(o) && tokenize_into(o, NULL);
}

static void close_opener(opener *o)
{
    for (uint32_t i = 0; o->batch && i < BATCH_ROWS; i++)
        vkft_encoded_row_free(&o->batch->rows[i]);
    free(o->batch);
    vkft_ids_free(&o->carry);
    vkft_data_keys_free(&o->encoder.keys);
    vkft_row_reader_close(&o->reader);
    vkft_data_source_close(&o->file);
    vkft_data_source_close(&o->partner);
}

bool vkft_dataset_open(const char *path, const vkft_tokenizer *tok, const vkft_dataset_options *options,
                       vkft_dataset *data, vkft_err *err)
{
    opener o = {.data = data, .options = options, .err = err};
    memset(data, 0, sizeof *data);
    o.encoder = (vkft_row_encoder){.path = path, .tok = tok, .options = options, .reader = &o.reader};
    const char *second = options->completions;
    bool ok = vkft_data_keys_new(&o.encoder.keys, options->keys, options->prompt_template, err) &&
              (!second || vkft_data_source_open(second, &o.partner, err)) && open_file(&o);
    o.encoder.keys.preferences = options->preferences;
    char *cache = ok ? cache_path(&o) : NULL;
    if (ok && cache && vkft_token_store_load(cache, data))
        data->from_cache = true;
    else if (ok)
        ok = tokenize(&o, cache);
    free(cache);
    close_opener(&o);
    if (!ok)
        vkft_dataset_free(data);
    return ok;
}

void vkft_dataset_free(vkft_dataset *data)
{
    free(data->samples);
    free(data->choices);
    free(data->memory);
    vkft_mapping_close(&data->file);
    memset(data, 0, sizeof *data);
}

/* Keeps the first name in the order of the alphabet that may be meant as data. */
static bool keep_likely(void *context, const char *name)
{
    static const char *const endings[] = {".arrow"};
    char *kept = context;
    bool likely = strncmp(name, "train", 5) == 0;
    for (size_t i = 0; !likely && i < sizeof endings / sizeof *endings; i++)
        likely = vkft_string_ends_with(name, endings[i]);
    if (likely && (!*kept || strcmp(name, kept) < 0))
        snprintf(kept, 300, "%s", name);
    return true;
}

/* A directory without a train file; says what is wrong with one that may be meant. */
static bool fail_without_train(const char *data, vkft_err *err)
{
    char name[300] = "";
    vkft_data_source source;
    char *path = vkft_directory_list(data, keep_likely, name, NULL) && *name ? vkft_path_join(data, name) : NULL;
    bool there = path && vkft_file_exists(path), text = there && vkft_data_source_open(path, &source, err);
    if (text)
        vkft_data_source_close(&source);
    free(path);
    if (!there || text)
        vkft_fail(err, VKFT_ERR_INPUT, "%s: no train.jsonl, .json, .csv, .tsv or .txt in this directory", data);
    return false;
}

bool vkft_dataset_find(const char *data, const char *split, char **path, vkft_err *err)
{
    static const char *const endings[] = {".jsonl", ".json", ".csv", ".tsv", ".txt"};
    static const char *const valid_names[] = {"valid", "validation", "val"};
    bool train = strcmp(split, "train") == 0, valid = strcmp(split, "valid") == 0;
    *path = NULL;
    bool found;
    if (!vkft_directory_find(data, &found, err))
        return false;
    if (!found) {
        *path = train ? strdup(data) : NULL;
        return *path || !train || vkft_fail_memory(err, "while looking for the data");
    }
    for (size_t n = 0; n < (valid ? 3 : 1); n++)
        for (size_t e = 0; e < sizeof endings / sizeof *endings; e++) {
            char name[32];
            snprintf(name, sizeof name, "%.20s%s", valid ? valid_names[n] : split, endings[e]);
            char *candidate = vkft_path_join(data, name);
            if (!candidate)
                return vkft_fail_memory(err, "while looking for the data");
            bool ok = vkft_file_find(candidate, &found, err);
            if (ok && found) {
                *path = candidate;
                return true;
            }
            free(candidate);
            if (!ok)
                return false;
        }
    return !train || fail_without_train(data, err);
}
