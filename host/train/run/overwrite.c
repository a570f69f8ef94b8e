/* --overwrite: what the old run left lies in OUT/overwritten-run until the new one has a checkpoint or a result.
 * Whatever ends the process, one of the two runs is whole. */
#include "host/train/run/run_private.h"

#include <stdlib.h>
#include <string.h>

#include "runtime/base/directory.h"
#include "runtime/base/file.h"
#include "runtime/base/os/os.h"

static bool exists(const char *path)
{
    vkft_os_info info;
    return vkft_os_stat_entry(path, &info);
}

/* Where there is such an entry. */
static bool move(const char *from_dir, const char *to_dir, const char *name, vkft_err *err)
{
    char *from = vkft_path_join(from_dir, name), *to = vkft_path_join(to_dir, name);
    bool ok = (from && to) || vkft_fail_memory(err, "while moving %s", name);
    ok = ok && (!exists(from) || vkft_directory_rename(from, to, err));
    free(from);
    free(to);
    return ok;
}

/* All directories of one prefix. What a person put something into keeps its content, under another name. */
static bool put_away_numbered(const vkft_run_directory *run, const char *prefix, const char *old, vkft_err *err)
{
    vkft_run_numbers numbers;
    bool ok = vkft_run_list(run->path, prefix, &numbers, err);
    for (size_t i = 0; ok && i < numbers.count; i++) {
        char name[64], foreign[128];
        vkft_os_info info;
        vkft_run_name(name, prefix, numbers.list[i], "");
        char *path = vkft_run_path(run, name, err);
        bool link = path && vkft_os_stat_entry(path, &info) && info.is_link;
        if (!path)
            ok = false;
        else if (link || vkft_run_is_own_directory(path, foreign))
            ok = move(run->path, old, name, err);
        else
            ok = vkft_run_set_aside(run, name, "it holds files that no run wrote", err);
        free(path);
    }
    free(numbers.list);
    return ok;
}

bool vkft_run_put_away(vkft_run_directory *run, vkft_err *err)
{
    char *moving = vkft_run_path(run, VKFT_OLD_RUN_MOVING, err), *old = vkft_run_path(run, VKFT_OLD_RUN, err);
    bool ok = moving && old && vkft_run_set_aside(run, VKFT_OLD_RUN, VKFT_IN_THE_WAY, err) &&
              vkft_directory_create(moving, err);
    run->old_run = ok;
    ok = ok && put_away_numbered(run, VKFT_CHECKPOINT, moving, err) && put_away_numbered(run, VKFT_BEST, moving, err);
    for (size_t i = 0; ok && vkft_run_result_files[i]; i++)
        ok = move(run->path, moving, vkft_run_result_files[i], err);
    ok = ok && move(run->path, moving, VKFT_SAMPLES_NAME, err) && move(run->path, moving, VKFT_LOG_NAME, err) &&
         vkft_directory_rename(moving, old, err);
    free(moving);
    free(old);
    return ok;
}

/* Only what was put there. */
static bool drop_entry(void *context, const char *name)
{
    const char *old = context;
    char *path = vkft_path_join(old, name), foreign[128];
    vkft_os_info info;
    bool file = path && vkft_os_stat_entry(path, &info) && (info.is_link || info.is_regular);
    if (file || (path && vkft_run_is_own_directory(path, foreign)))
        vkft_directory_remove(path, NULL);
    free(path);
    return true;
}

void vkft_run_drop_old(vkft_run_directory *run)
{
    vkft_err err = {0};
    char *old = run->old_run ? vkft_run_path(run, VKFT_OLD_RUN, &err) : NULL;
    if (old) {
        bool ok = vkft_directory_list(old, drop_entry, old, &err) &&
                  (vkft_os_remove_directory(old) || vkft_fail_errno(&err, "cannot remove %s", old));
        if (!ok)
            vkft_observer_say(run->observer, "warning: the run that was overwritten stays: %s", err.message);
    }
    free(old);
    run->old_run = false;
}

typedef struct restoring {
    const vkft_run_directory *run;
    const char *old;
    vkft_err *err;
} restoring;

static bool put_back_entry(void *context, const char *name)
{
    const restoring *r = context;
    return move(r->old, r->run->path, name, r->err);
}

/* What the new run made before it had something: its log, and the best so far. */
static void remove_beginnings(const vkft_run_directory *run)
{
    vkft_run_numbers best;
    if (vkft_run_list(run->path, VKFT_BEST, &best, NULL))
        for (size_t i = 0; i < best.count; i++)
            vkft_run_remove(run, VKFT_BEST, best.list[i], true);
    free(best.list);
    static const char *const names[] = {VKFT_LOG_NAME, VKFT_SAMPLES_NAME};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        char *path = vkft_path_join(run->path, names[i]);
        if (path)
            vkft_file_remove(path, NULL);
        free(path);
    }
}

void vkft_run_put_back(vkft_run_directory *run)
{
    vkft_err err = {0};
    char *moving = vkft_run_path(run, VKFT_OLD_RUN_MOVING, &err), *old = vkft_run_path(run, VKFT_OLD_RUN, &err);
    restoring r = {run, moving, &err};
    bool ok = moving && old;
    if (ok && exists(old)) { /* else it was never all there, and neither is anything of the new run */
        remove_beginnings(run);
        ok = vkft_directory_rename(old, moving, &err);
    }
    ok = ok && vkft_directory_list(moving, put_back_entry, &r, &err) &&
         (vkft_os_remove_directory(moving) || vkft_fail_errno(&err, "cannot remove %s", moving));
    if (ok)
        vkft_observer_say(run->observer, "%s holds the run that was to be overwritten, as it was", run->path);
    else
        vkft_observer_say(run->observer, "warning: the run that was to be overwritten is in %s: %s",
                          moving ? moving : run->path, err.message);
    free(moving);
    free(old);
    run->old_run = false;
}

bool vkft_run_recover_old(vkft_run_directory *run, vkft_err *err)
{
    char *moving = vkft_run_path(run, VKFT_OLD_RUN_MOVING, err), *old = vkft_run_path(run, VKFT_OLD_RUN, err);
    vkft_run_numbers checkpoints = {0};
    bool ok = moving && old && vkft_run_list(run->path, VKFT_CHECKPOINT, &checkpoints, err);
    bool moved = false, half = false, result = false;
    ok = ok && vkft_directory_find(old, &moved, err) && vkft_directory_find(moving, &half, err) &&
         vkft_run_find_result(run, &result, err);
    if (ok && half) {
        vkft_run_put_back(run);
    } else if (ok && moved && (checkpoints.count || result)) {
        run->old_run = true;
        vkft_run_drop_old(run);
    } else if (ok && moved) {
        vkft_run_put_back(run);
    }
    free(checkpoints.list);
    free(moving);
    free(old);
    return ok;
}
