/* Which entries of an output directory are a run's, and how they go. An entry is the run's when both its name and what
 * it holds say so: people keep directories such as best-practices/ or checkpoint-2/ of another program beside results.
 */
#include "host/train/run/run_private.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "formats/convert/source.h"
#include "runtime/base/directory.h"
#include "runtime/base/file.h"
#include "runtime/base/os/os.h"

static const char digits[] = "0123456789";

char *vkft_run_path(const vkft_run_directory *run, const char *name, vkft_err *err)
{
    char *path = vkft_path_join(run->path, name);
    if (!path)
        vkft_fail_memory(err, "while writing %s", name);
    return path;
}

void vkft_run_name(char name[64], const char *prefix, uint64_t number, const char *suffix)
{
    snprintf(name, 64, "%s%llu%s", prefix, (unsigned long long)number, suffix);
}

/* "checkpoint-120.tmp" has the number 120 and the rest ".tmp"; NULL: another name. */
static const char *parse_name(const char *name, const char *prefix, uint64_t *number)
{
    size_t length = strlen(prefix), count = 0;
    if (strncmp(name, prefix, length) == 0)
        count = strspn(name + length, digits);
    if (count == 0 || count > 19 || (name[length] == '0' && count > 1)) /* as vkft_run_name writes it */
        return NULL;
    *number = strtoull(name + length, NULL, 10);
    return name + length + count;
}

/* The name of a file that a run writes, or of the temporary file that one begins as. */
static bool is_own_file(const char *name)
{
    static const char *const names[] = {"adapter_config.json",   "adapter_model.safetensors", "model.safetensors",
                                        "optimizer.safetensors", "trainer_state.json",        "vkft_state.json"};
    char whole[128];
    size_t length = strlen(name);
    if (length >= sizeof whole)
        return false;
    memcpy(whole, name, length + 1);
    char *tail = length > 4 && strcmp(name + length - 4, ".tmp") == 0 ? strrchr(whole, '-') : NULL;
    if (tail) {
        *tail = 0;
        char *dot = strrchr(whole, '.');
        if (dot)
            *dot = 0;
    }
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (strcmp(whole, names[i]) == 0)
            return true;
    return vkft_source_is_small_file(whole);
}

typedef struct search {
    const char *dir, *prefix; /* prefix: "", or "folder/" below the directory of a checkpoint */
    char *foreign;            /* [128], "": nothing yet */
} search;

static bool look_at_file(void *context, const char *name)
{
    search *s = context;
    char *path = vkft_path_join(s->dir, name), whole[256];
    vkft_os_info info;
    snprintf(whole, sizeof whole, "%.120s%.120s", s->prefix, name);
    bool there = path && vkft_os_stat_entry(path, &info), own = there && info.is_regular && is_own_file(whole);
    if (there && info.is_directory && !info.is_link && !s->prefix[0]) { /* a model's small files may lie in one */
        char prefix[256];
        snprintf(prefix, sizeof prefix, "%.120s/", name);
        search below = {path, prefix, s->foreign};
        own = vkft_directory_list(path, look_at_file, &below, NULL);
    } else if (!own) {
        snprintf(s->foreign, 128, "%.127s", whole);
    }
    free(path);
    return own;
}

bool vkft_run_is_own_directory(const char *path, char foreign[128])
{
    vkft_os_info info;
    search s = {path, "", foreign};
    foreign[0] = 0;
    return vkft_os_stat_entry(path, &info) && info.is_directory && !info.is_link &&
           vkft_directory_list(path, look_at_file, &s, NULL);
}

static bool holds(const char *dir, const char *name, bool *found, vkft_err *err)
{
    char *path = vkft_path_join(dir, name);
    bool ok = path ? vkft_file_find(path, found, err) : vkft_fail_memory(err, "while reading %s", dir);
    free(path);
    return ok;
}

/* A checkpoint has its state. A damaged one and the best have some of the other files, and nothing that is no run's. */
static bool is_run_directory(const char *path, const char *prefix, bool *ours, vkft_err *err)
{
    static const char *const some[] = {"adapter_model.safetensors", "model.safetensors", "optimizer.safetensors",
                                       "trainer_state.json"};
    char foreign[128];
    *ours = false;
    if (strcmp(prefix, VKFT_CHECKPOINT) == 0 && !holds(path, "vkft_state.json", ours, err))
        return false;
    if (*ours)
        return true;
    bool any = false;
    for (size_t i = 0; !any && i < sizeof some / sizeof *some; i++)
        if (!holds(path, some[i], &any, err))
            return false;
    *ours = any && vkft_run_is_own_directory(path, foreign);
    return true;
}

typedef struct listing {
    vkft_run_numbers *numbers;
    size_t capacity;
    const char *dir, *prefix;
    vkft_err *err;
} listing;

static bool note_entry(void *context, const char *name)
{
    listing *l = context;
    uint64_t number;
    const char *rest = parse_name(name, l->prefix, &number);
    if (!rest || *rest)
        return true;
    char *path = vkft_path_join(l->dir, name);
    bool ours = false, ok = path ? is_run_directory(path, l->prefix, &ours, l->err)
                                 : vkft_fail_memory(l->err, "while looking for checkpoints in %s", l->dir);
    free(path);
    if (!ok || !ours)
        return ok;
    vkft_run_numbers *n = l->numbers;
    if (n->count == l->capacity) {
        size_t capacity = l->capacity ? 2 * l->capacity : 16;
        uint64_t *list = realloc(n->list, capacity * sizeof *list);
        if (!list)
            return vkft_fail_memory(l->err, "while looking for checkpoints in %s", l->dir);
        n->list = list;
        l->capacity = capacity;
    }
    n->list[n->count++] = number;
    return true;
}

static int descending(const void *pa, const void *pb)
{
    uint64_t a = *(const uint64_t *)pa, b = *(const uint64_t *)pb;
    return a < b ? 1 : a > b ? -1 : 0;
}

bool vkft_run_list(const char *dir, const char *prefix, vkft_run_numbers *numbers, vkft_err *err)
{
    *numbers = (vkft_run_numbers){0};
    listing l = {.numbers = numbers, .dir = dir, .prefix = prefix, .err = err};
    if (!vkft_directory_list(dir, note_entry, &l, err)) {
        free(numbers->list);
        *numbers = (vkft_run_numbers){0};
        return false;
    }
    if (numbers->count)
        qsort(numbers->list, numbers->count, sizeof *numbers->list, descending);
    return true;
}

/* Under another name first: what is half removed must not be taken for a whole one. */
static bool remove_own(const char *path, const char *away, vkft_err *err)
{
    char foreign[128];
    if (vkft_run_is_own_directory(away, foreign) && !vkft_directory_remove(away, err))
        return false;
    return vkft_directory_rename(path, away, err) && vkft_directory_remove(away, err);
}

void vkft_run_remove(const vkft_run_directory *run, const char *prefix, uint64_t number, bool quiet)
{
    char name[64], temporary[64], foreign[128];
    vkft_err err = {0};
    vkft_os_info info;
    vkft_run_name(name, prefix, number, "");
    vkft_run_name(temporary, prefix, number, ".tmp");
    char *path = vkft_run_path(run, name, &err), *away = vkft_run_path(run, temporary, &err);
    bool ok = path && away;
    if (ok && vkft_os_stat_entry(path, &info) && info.is_link)
        ok = vkft_file_remove(path, &err);
    else if (ok && vkft_run_is_own_directory(path, foreign))
        ok = remove_own(path, away, &err);
    else if (ok && !quiet)
        vkft_observer_say(run->observer, "%s is kept: it holds %s, which no run wrote", path, foreign);
    if (!ok)
        vkft_observer_say(run->observer, "warning: an old %s%llu stays: %s", prefix, (unsigned long long)number,
                          err.message);
    free(path);
    free(away);
}

static bool sweep_entry(void *context, const char *name)
{
    const vkft_run_directory *run = context;
    uint64_t number;
    char foreign[128];
    vkft_err err = {0};
    const char *rest = parse_name(name, VKFT_CHECKPOINT, &number);
    rest = rest ? rest : parse_name(name, VKFT_BEST, &number);
    if (!(rest && strcmp(rest, ".tmp") == 0) && strcmp(name, VKFT_RESULT_TEMPORARY) != 0)
        return true;
    char *path = vkft_path_join(run->path, name);
    if (path && vkft_run_is_own_directory(path, foreign) && !vkft_directory_remove(path, &err))
        vkft_observer_say(run->observer, "warning: what a run left stays: %s", err.message);
    free(path);
    return true;
}

bool vkft_run_sweep(const vkft_run_directory *run, vkft_err *err)
{
    return vkft_directory_list(run->path, sweep_entry, (void *)(uintptr_t)run, err);
}

bool vkft_run_set_aside(const vkft_run_directory *run, const char *name, const char *why, vkft_err *err)
{
    char aside[96];
    vkft_os_info info;
    char *from = vkft_run_path(run, name, err), *to = NULL;
    bool ok = from != NULL;
    if (ok && vkft_os_stat_entry(from, &info)) {
        for (unsigned i = 1;; i++) {
            snprintf(aside, sizeof aside, i == 1 ? "%.64s.aside" : "%.64s.aside-%u", name, i);
            to = vkft_run_path(run, aside, err);
            if (!to || !vkft_os_stat_entry(to, &info))
                break;
            free(to);
        }
        ok = to && vkft_directory_rename(from, to, err);
        if (ok)
            vkft_observer_say(run->observer, "%s/%s is now %s: %s", run->path, name, aside, why);
    }
    free(from);
    free(to);
    return ok;
}
