/* Tokens of a dataset in memory or in a file. See store.h. */
#include "formats/dataset/store.h"

#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

#define FLUSH_VALUES (1u << 20)
#define MAGIC "VKFTTOK7"

typedef struct header {
    char magic[8];
    uint32_t format, count, max_length, truncated, made_call_ids, choice_count;
    uint64_t tokens, trained, dropped_tokens;
    uint64_t values;                  /* ids and labels of all samples and choices */
    uint64_t values_hash, index_hash; /* XXH3, 64 bits */
    vkft_bad_rows bad;
    char unused[sizeof((vkft_dataset *)0)->unused];
} header;

bool vkft_token_store_open(vkft_token_store *store, vkft_dataset *data, const char *path, vkft_err *err)
{
    *store = (vkft_token_store){.data = data};
    if (!path)
        return true;
    static const header empty = {.magic = ""};
    store->hash = XXH3_createState();
    store->writer = vkft_writer_open_mine(path, err);
    if (store->hash && store->writer && XXH3_64bits_reset(store->hash) == XXH_OK &&
        vkft_writer_append(store->writer, &empty, sizeof empty, err))
        return true;
    if (store->writer && !store->hash)
        vkft_fail_memory(err, "for the tokens of the data");
    store->file_failed = true;
    vkft_token_store_abandon(store);
    return false;
}

void vkft_token_store_abandon(vkft_token_store *store)
{
    vkft_writer_abandon(store->writer);
    XXH3_freeState(store->hash);
    free(store->buffer);
    free(store->index);
    *store = (vkft_token_store){.file_failed = store->file_failed};
}

static bool flush(vkft_token_store *store, vkft_err *err)
{
    size_t bytes = store->used * sizeof *store->buffer;
    if (!vkft_writer_append(store->writer, store->buffer, bytes, err)) {
        store->file_failed = true;
        return false;
    }
    XXH3_64bits_update(store->hash, store->buffer, bytes);
    store->written += store->used;
    store->used = 0;
    return true;
}

static bool reserve(vkft_token_store *store, size_t values, vkft_err *err)
{
    if (store->writer && store->used >= FLUSH_VALUES && !flush(store, err))
        return false;
    if (store->used + values > store->capacity) {
        size_t capacity = store->capacity ? store->capacity : 1u << 16;
        while (capacity < store->used + values)
            capacity *= 2;
        int32_t *buffer = realloc(store->buffer, capacity * sizeof *buffer);
        if (!buffer)
            return vkft_fail_memory(err, "for the tokens of the data");
        store->buffer = buffer;
        store->capacity = capacity;
    }
    if (store->data->count + store->data->choice_count == store->index_capacity) {
        uint32_t capacity = store->index_capacity ? 2 * store->index_capacity : 1024;
        vkft_token_index *index = realloc(store->index, sizeof *index * capacity);
        if (!index)
            return vkft_fail_memory(err, "for the tokens of the data");
        store->index = index;
        store->index_capacity = capacity;
    }
    return true;
}

bool vkft_token_store_add(vkft_token_store *store, const vkft_sample *sample, vkft_err *err)
{
    vkft_dataset *data = store->data;
    uint32_t length = sample->length;
    uint32_t at = data->count + data->choice_count;
    if (at == UINT32_MAX / 2)
        return vkft_fail(err, VKFT_ERR_INPUT, "the data has more than %u samples", at);
    if (!reserve(store, 2ull * length, err))
        return false;
    memcpy(store->buffer + store->used, sample->ids, length * sizeof *sample->ids);
    memcpy(store->buffer + store->used + length, sample->labels, length * sizeof *sample->labels);
    store->used += 2ull * length;
    store->index[at] = (vkft_token_index){.length = length,
                                          .source_length = sample->source_length,
                                          .trained = sample->trained,
                                          .prompt_length = sample->prompt_length,
                                          .answer = sample->answer,
                                          .choice = sample->choice};
    if (sample->answer == VKFT_ANSWER_CHOICE) {
        data->choice_count++;
        return true;
    }
    data->count++;
    data->tokens += length;
    data->trained += sample->trained;
    if (length > data->max_length)
        data->max_length = length;
    return true;
}

/* The samples, from their index and where their values begin. */
static bool make_samples(vkft_dataset *data, const vkft_token_index *index, const int32_t *values, vkft_err *err)
{
    data->samples = malloc((data->count + 1ull) * sizeof *data->samples);
    data->choices = malloc((data->choice_count + 1ull) * sizeof *data->choices);
    if (!data->samples || !data->choices) {
        free(data->samples);
        free(data->choices);
        data->samples = data->choices = NULL;
        return vkft_fail_memory(err, "for the tokens of the data");
    }
    for (uint32_t i = 0, samples = 0, choices = 0; i < data->count + data->choice_count; i++) {
        uint32_t length = index[i].length;
        const vkft_sample sample = {.ids = values,
                                    .labels = values + length,
                                    .length = length,
                                    .source_length = index[i].source_length,
                                    .trained = index[i].trained,
                                    .prompt_length = index[i].prompt_length,
                                    .answer = (vkft_answer)index[i].answer,
                                    .choices = index[i].choice.count ? data->choices + choices : NULL,
                                    .choice = index[i].choice};
        if (index[i].answer == VKFT_ANSWER_CHOICE)
            data->choices[choices++] = sample;
        else
            data->samples[samples++] = sample;
        values += 2ull * length;
    }
    return true;
}

static bool commit(vkft_token_store *store, vkft_err *err)
{
    const vkft_dataset *data = store->data;
    size_t index_bytes = sizeof *store->index * ((size_t)data->count + data->choice_count);
    if (!flush(store, err) || !vkft_writer_append(store->writer, store->index, index_bytes, err))
        return false;
    header h = {.magic = MAGIC,
                .format = data->format,
                .count = data->count,
                .max_length = data->max_length,
                .truncated = data->truncated,
                .made_call_ids = data->made_call_ids,
                .choice_count = data->choice_count,
                .tokens = data->tokens,
                .trained = data->trained,
                .dropped_tokens = data->dropped_tokens,
                .values = store->written,
                .values_hash = XXH3_64bits_digest(store->hash),
                .index_hash = XXH3_64bits(store->index, index_bytes),
                .bad = data->bad};
    memcpy(h.unused, data->unused, sizeof h.unused);
    vkft_writer *writer = store->writer;
    if (!vkft_writer_write_at(writer, 0, &h, sizeof h, err))
        return false;
    store->writer = NULL;
    return vkft_writer_commit(writer, err);
}

bool vkft_token_store_finish(vkft_token_store *store, const char *path, vkft_err *err)
{
    vkft_dataset *data = store->data;
    bool ok;
    if (store->writer) {
        ok =
            commit(store, err) && (vkft_token_store_load(path, data) ||
                                   vkft_fail(err, VKFT_ERR_IO, "%s: what was just written cannot be read again", path));
        store->file_failed = !ok;
    } else {
        ok = make_samples(data, store->index, store->buffer, err);
        data->memory = store->buffer;
        store->buffer = NULL;
    }
    vkft_token_store_abandon(store);
    return ok;
}

/* Whether the file is whole: sizes first, then what was hashed, then the index against the sums. */
static bool is_whole(const vkft_mapping *file, const header *h)
{
    if (memcmp(h->magic, MAGIC, 8) != 0 || h->unused[sizeof h->unused - 1] || !vkft_bad_rows_valid(&h->bad) ||
        h->format >= VKFT_DATA_FORMATS || h->values > file->size)
        return false;
    const uint64_t entries = (uint64_t)h->count + h->choice_count;
    uint64_t value_bytes = sizeof(int32_t) * h->values, index_bytes = sizeof(vkft_token_index) * entries;
    if (file->size - sizeof *h < value_bytes || file->size - sizeof *h - value_bytes != index_bytes)
        return false;
    const uint8_t *values = file->data + sizeof *h, *index = values + value_bytes;
    if (XXH3_64bits(index, (size_t)index_bytes) != h->index_hash ||
        XXH3_64bits(values, (size_t)value_bytes) != h->values_hash)
        return false;
    uint64_t tokens = 0, held = 0, choices = 0, due = 0; /* due: of the last sample, still to come */
    for (uint64_t i = 0; i < entries; i++) {
        const vkft_token_index *entry = (const vkft_token_index *)(const void *)index + i;
        if (entry->source_length > entry->length || entry->prompt_length > entry->length ||
            entry->answer > VKFT_ANSWER_CHOICE || (entry->answer == VKFT_ANSWER_CHOICE) != (due > 0))
            return false;
        choices += due > 0;
        tokens += due ? 0 : entry->length;
        held += 2ull * entry->length;
        due = due ? due - 1 : entry->choice.count;
    }
    return tokens == h->tokens && held == h->values && choices == h->choice_count && due == 0;
}

bool vkft_token_store_load(const char *path, vkft_dataset *data)
{
    vkft_mapping file;
    header h;
    if (!vkft_mapping_open_mine(path, &file, NULL))
        return false;
    if (file.size >= sizeof h)
        memcpy(&h, file.data, sizeof h);
    if (file.size >= sizeof h && is_whole(&file, &h)) {
        const int32_t *values = (const int32_t *)(const void *)(file.data + sizeof h);
        *data = (vkft_dataset){.count = h.count,
                               .tokens = h.tokens,
                               .trained = h.trained,
                               .max_length = h.max_length,
                               .truncated = h.truncated,
                               .made_call_ids = h.made_call_ids,
                               .choice_count = h.choice_count,
                               .dropped_tokens = h.dropped_tokens,
                               .format = (vkft_data_format)h.format,
                               .bad = h.bad,
                               .file = file};
        memcpy(data->unused, h.unused, sizeof h.unused);
        if (make_samples(data, (const vkft_token_index *)(const void *)(values + h.values), values, NULL))
            return true;
    }
    vkft_mapping_close(&file);
    *data = (vkft_dataset){0};
    return false;
}
