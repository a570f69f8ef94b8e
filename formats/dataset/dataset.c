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
#define CACHE_VERSION 8u

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
    char *const *paths;
    uint32_t path_count, path;      /* the file at hand */
    uint64_t all_bytes, done_bytes; /* of all files; of those before this one */
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
    const bool is_row = vkft_rows_are_numbered(&o->reader);
    const vkft_bad_place place = {.file = o->path_count > 1 ? vkft_path_base(o->encoder.path) : NULL,
                                  .file_number = o->path,
                                  .number = is_row ? slice->number : slice->line,
                                  .is_row = is_row};
    for (uint32_t i = 0; i < row->rejected_count; i++) {
        const vkft_rejected *r = &row->rejected[i];
        if (o->options->error_on_bad_row && vkft_bad_reason_is_fault(r->reason)) {
            char where[700];
            vkft_row_encoder_place(&o->encoder, slice, where, sizeof where);
            vkft_fail(o->err, VKFT_ERR_INPUT, "%s: this row cannot be trained on: %s", where, r->message);
            return vkft_advise(o->err, VKFT_ADVICE_SKIP_ROWS);
        }
        vkft_bad_rows_add(&o->data->bad, r->reason, &place, r->message);
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

/* The reader of a Parquet file, with the columns that may be needed. */
static bool open_table(opener *o)
{
    if (o->partner.text)
        return vkft_fail(o->err, VKFT_ERR_INPUT,
                         "%s: a Parquet file has no lines that --completions could answer; give text files, or leave "
                         "--completions out",
                         o->file.table ? o->encoder.path : o->options->completions);
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
    vkft_row_reader_close(&o->reader);
    vkft_data_source_close(&o->file);
    o->encoder.path = o->paths[o->path];
    return vkft_data_source_open(o->encoder.path, &o->file, o->err) && open_reader(o);
}

static bool open_next(opener *o)
{
    const bool corpus = o->reader.kind == VKFT_ROWS_CORPUS;
    o->done_bytes += vkft_data_source_size(&o->file);
    o->path++;
    return open_file(o) &&
           (corpus == (o->reader.kind == VKFT_ROWS_CORPUS) ||
            vkft_fail(o->err, VKFT_ERR_INPUT,
                      "%s: plain text and files with rows cannot be trained on together; name one kind, "
                      "such as '*.jsonl'",
                      o->encoder.path));
}

static bool encode_all(opener *o)
{
    uint32_t workers = vkft_worker_count(0);
    bool first = true;
    for (uint64_t done = 0; fill_batch(o); done = o->reader.at) {
        batch *b = o->batch;
        if (b->count == 0 && o->path + 1 == o->path_count)
            return o->reader.kind != VKFT_ROWS_CORPUS || store_stream(o, NULL, true);
        if (b->count == 0) {
            if (!open_next(o))
                return false;
            continue;
        }
        if (first && !detect_shape(o))
            return false;
        if (first && o->file.table)
            vkft_parquet_choose(o->file.table, may_be_used, o);
        first = false;
        o->data->format = o->encoder.format;
        vkft_parallel(min_u32(workers, b->count), b->count, encode_task, b);
        if (is_interrupted(o->options))
            return vkft_fail(o->err, VKFT_ERR_INTERRUPTED, "interrupted while '%s' was tokenized", o->encoder.path);
        if (!store_batch(o))
            return false;
        vkft_data_source_drop(&o->file, done, o->reader.at);
        if (o->options->progress)
            o->options->progress(o->options->progress_context,
                                 o->done_bytes + vkft_data_source_position(&o->file, o->reader.at), o->all_bytes);
    }
    return false;
}

static uint64_t hash_text(const void *data, size_t size, uint64_t seed)
{
    return XXH3_64bits_withSeed(data, size, seed);
}

static uint64_t hash_name(const char *path, uint64_t hash)
{
    const char *base = vkft_path_base(path);
    return hash_text(base, strlen(base), hash);
}

/* The rest of several files, with their names, which say what they are. */
static uint64_t hash_file(const char *path, uint64_t hash)
{
    vkft_mapping file;
    if (vkft_mapping_open(path, &file, NULL)) {
        hash = hash_text(file.data, (size_t)file.size, hash_name(path, hash));
        vkft_mapping_close(&file);
    }
    return hash;
}

/* "<cache>/tokens-<hash of all that the tokens depend on>.bin", malloc'ed; NULL: this data is not cached. */
static char *cache_path(const opener *o)
{
    const vkft_dataset_options *p = o->options;
    uint64_t from = p->cache_from_bytes ? p->cache_from_bytes : VKFT_CACHE_FROM_BYTES;
    char *dir = o->all_bytes >= from ? vkft_cache_directory(NULL, NULL) : NULL, *path = NULL, name[64];
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
        if (o->path_count > 1)
            hash = hash_name(o->paths[0], hash);
        for (uint32_t i = 1; i < o->path_count; i++)
            hash = hash_file(o->paths[i], hash);
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
    char reasons[VKFT_BAD_ROWS_TEXT], name[700];
    if (data->count > 0 && faults <= data->count)
        return true;
    if (bad == 0)
        return vkft_fail(o->err, VKFT_ERR_INPUT, "%s: no sample in the file; expected at least one row",
                         o->encoder.path);
    if (o->path_count > 1)
        snprintf(name, sizeof name, "%.600s and %u more file%s", o->paths[0], o->path_count - 1,
                 o->path_count > 2 ? "s" : "");
    else
        snprintf(name, sizeof name, "%.600s", o->paths[0]);
    vkft_bad_rows_describe(&data->bad, reasons);
    vkft_fail(o->err, VKFT_ERR_INPUT, "%s: %s%llu of %llu rows cannot be trained on: %s; mend or remove them", name,
              data->count ? "more than half: " : "nothing is left to train on: ", (unsigned long long)bad,
              (unsigned long long)(bad + data->count), reasons);
    return vkft_advise(o->err, vkft_bad_rows_advice(&data->bad));
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
    o->carry.count = 0;
    o->path = 0;
    o->done_bytes = 0;
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

static bool measure(opener *o)
{
    for (uint32_t i = 0; i < o->path_count; i++) {
        vkft_mapping file;
        if (!vkft_mapping_open(o->paths[i], &file, o->err))
            return false;
        o->all_bytes += file.size;
        vkft_mapping_close(&file);
    }
    return true;
}

bool vkft_dataset_open_files(char *const *paths, uint32_t count, const vkft_tokenizer *tok,
                             const vkft_dataset_options *options, vkft_dataset *data, vkft_err *err)
{
    opener o = {.data = data, .options = options, .err = err, .paths = paths, .path_count = count};
    memset(data, 0, sizeof *data);
    o.encoder = (vkft_row_encoder){.path = paths[0], .tok = tok, .options = options, .reader = &o.reader};
    o.encoder.format = VKFT_DATA_FORMATS; /* not known yet */
    const char *second = options->completions;
    if (second && count > 1)
        return vkft_fail(err, VKFT_ERR_INPUT,
                         "%s: --completions has the answers to one file, and there are %u; name one", paths[0], count);
    bool ok = vkft_data_keys_new(&o.encoder.keys, options->keys, options->prompt_template, err) &&
              (!second || vkft_data_source_open(second, &o.partner, err)) && measure(&o) && open_file(&o);
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

bool vkft_dataset_open(const char *path, const vkft_tokenizer *tok, const vkft_dataset_options *options,
                       vkft_dataset *data, vkft_err *err)
{
    char *copy = (char *)(uintptr_t)path;
    return vkft_dataset_open_files(&copy, 1, tok, options, data, err);
}

void vkft_dataset_free(vkft_dataset *data)
{
    free(data->samples);
    free(data->choices);
    free(data->memory);
    vkft_mapping_close(&data->file);
    memset(data, 0, sizeof *data);
}
