/* The reference of a preference objective is the model as it is before training: the base with an adapter that does
 * nothing yet, the adapter that training goes on with, or all weights as they were. So no second copy is needed: the
 * log-probabilities of the answers are computed before the first step. A resumed run finds them in the cache, or
 * computes them again before it reads its checkpoint. */
#include "host/train/preference/preference.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

#include "host/session/as_trained.h"
#include "runtime/base/directory.h"
#include "runtime/base/file.h"
#include "runtime/base/size.h"

#define MAGIC "VKFTREF1"

typedef struct header {
    char magic[8];
    uint64_t count, hash; /* of the values, XXH3 */
} header;

static uint64_t hash_text(const char *text, uint64_t seed)
{
    return XXH3_64bits_withSeed(text, strlen(text), seed);
}

/* Of all that the log-probabilities depend on, down to their last bits. False: out of memory. */
static bool hash_run(const vkft_trainer *t, uint64_t *hash)
{
    const vkft_train_options *o = t->options;
    const vkft_device_info *info = vkft_device_get_info(t->session.dev);
    const double numbers[] = {o->batch_size, vkft_eval_batch_size(o), o->objective.ld_alpha,
                              t->objective->learns_prompt};
    cJSON *facts = cJSON_Duplicate(t->fingerprint, true);
    for (cJSON *item = facts ? facts->child : NULL, *next; item; item = next) { /* but no flags */
        next = item->next;
        if (strncmp(item->string, "--", 2) == 0)
            cJSON_Delete(cJSON_DetachItemViaPointer(facts, item));
    }
    char *text = facts ? cJSON_PrintUnformatted(facts) : NULL;
    if (text) {
        *hash = hash_text(text, 0);
        *hash = hash_text(vkft_compute_name(t->session.options.compute_dtype), *hash);
        *hash = hash_text(info->name, *hash);
        *hash = hash_text(info->driver, *hash);
        *hash = XXH3_64bits_withSeed(numbers, sizeof numbers, *hash);
        *hash = XXH3_64bits_withSeed(t->flat, vkft_trainables_floats(&t->session.trained) * sizeof *t->flat, *hash);
    }
    cJSON_free(text);
    cJSON_Delete(facts);
    return text != NULL;
}

/* All that have a reference, one after the other. */
static vkft_sample *sample_at(vkft_trainer *t, uint32_t i)
{
    vkft_sample *const lists[] = {t->data.samples, t->valid_data.samples, t->mismatched[0].samples,
                                  t->mismatched[1].samples};
    const uint32_t counts[] = {t->data.count, t->valid_data.count, t->mismatched[0].count, t->mismatched[1].count};
    int list = 0;
    while (i >= counts[list])
        i -= counts[list++];
    return &lists[list][i];
}

/* What cannot be used is computed again. */
static bool load(vkft_trainer *t, const char *path, uint32_t count)
{
    vkft_mapping file;
    header h;
    if (!vkft_mapping_open_mine(path, &file, NULL))
        return false;
    const uint8_t *values = file.data + sizeof h;
    bool ok = file.size == sizeof h + count * sizeof(double);
    if (ok) {
        memcpy(&h, file.data, sizeof h);
        ok = memcmp(h.magic, MAGIC, sizeof h.magic) == 0 && h.count == count &&
             h.hash == XXH3_64bits(values, count * sizeof(double));
    }
    for (uint32_t i = 0; ok && i < count; i++)
        memcpy(&sample_at(t, i)->reference, values + i * sizeof(double), sizeof(double));
    vkft_mapping_close(&file);
    return ok;
}

/* The cache only saves time: what cannot be written is not kept. */
static void save(vkft_trainer *t, const char *path, uint32_t count)
{
    double *values = malloc((count + 1ull) * sizeof *values);
    vkft_writer *writer = values ? vkft_writer_open_mine(path, NULL) : NULL;
    for (uint32_t i = 0; values && i < count; i++)
        values[i] = sample_at(t, i)->reference;
    if (writer) {
        header h = {.magic = MAGIC, .count = count, .hash = XXH3_64bits(values, count * sizeof *values)};
        if (vkft_writer_append(writer, &h, sizeof h, NULL) &&
            vkft_writer_append(writer, values, count * sizeof *values, NULL))
            vkft_writer_commit(writer, NULL);
        else
            vkft_writer_abandon(writer);
    }
    free(values);
}

/* In the order of the data, in the batches that it is trained or evaluated in. */
static bool compute_split(vkft_trainer *t, const vkft_sample_packs *split, vkft_sample *samples, uint32_t size,
                          uint32_t *done, uint32_t all, vkft_err *err)
{
    for (uint32_t first = 0; first < split->packs; first += size) {
        uint32_t count = vkft_sample_packs_batch(split, NULL, first, size, t->samples);
        if (vkft_observer_interrupted(t->observer))
            return vkft_fail(err, VKFT_ERR_INTERRUPTED, "interrupted while the reference was computed");
        if (!vkft_preference_score(t, t->samples, count, t->answers, err))
            return false;
        for (uint32_t i = 0; i < count; i++)
            samples[t->samples[i] - samples].reference = t->answers[i].logp;
        *done += count;
        vkft_observer_work(t->observer, "reference", *done, all);
    }
    return true;
}

bool vkft_reference_compute(vkft_trainer *t, vkft_err *err)
{
    uint32_t count = t->data.count + t->valid_data.count + t->mismatched[0].count + t->mismatched[1].count, done = 0;
    uint64_t hash;
    if (!t->objective->has_reference || t->options->objective.reference_free)
        return true;
    if (!hash_run(t, &hash))
        return vkft_fail_memory(err, "for the reference");
    char name[64];
    snprintf(name, sizeof name, "reference-%016" PRIx64 ".bin", hash);
    char *dir = vkft_cache_directory(NULL, NULL), *path = dir ? vkft_path_join(dir, name) : NULL;
    bool ok = path && load(t, path, count);
    if (ok) {
        vkft_observer_say(t->observer, "reference: log-probabilities of %u answers from the cache", count);
    } else {
        uint32_t size = t->options->batch_size, eval_size = vkft_eval_batch_size(t->options);
        vkft_sample *train = t->data.samples, *valid = t->valid_data.count ? t->valid_data.samples : train;
        ok = compute_split(t, &t->train, train, size, &done, count, err) &&
             compute_split(t, &t->valid, valid, eval_size, &done, count, err) &&
             compute_split(t, &t->mismatched[0].packs, t->mismatched[0].samples, size, &done, count, err) &&
             compute_split(t, &t->mismatched[1].packs, t->mismatched[1].samples, eval_size, &done, count, err);
        if (ok && path)
            save(t, path, count);
    }
    free(path);
    free(dir);
    return ok;
}
