/* What the files of a run's directory share. Internal to host/train/run. */
#ifndef VKFT_RUN_PRIVATE_H
#define VKFT_RUN_PRIVATE_H

#include "host/train/run/run_directory.h"

#define VKFT_LOG_NAME "trainer_log.jsonl"
#define VKFT_RUN_RECORD "vkft.json" /* of a finished run */
#define VKFT_RUN_LOCK ".vkft.lock"
#define VKFT_CHECKPOINT "checkpoint-"
#define VKFT_BEST "best-"
#define VKFT_STATE_LIMIT (1u << 30) /* of a JSON file in a checkpoint */
#define VKFT_RESULT_TEMPORARY "result.tmp"
#define VKFT_OLD_RUN "overwritten-run"
#define VKFT_OLD_RUN_MOVING "overwritten-run.moving"

/* OUT/name, malloc'ed. */
char *vkft_run_path(const vkft_run_directory *run, const char *name, vkft_err *err);
/* "checkpoint-120.tmp" */
void vkft_run_name(char name[64], const char *prefix, uint64_t number, const char *suffix);

/* --- entries.c: which entries of a directory are a run's --- */

typedef struct vkft_run_numbers {
    uint64_t *list; /* descending */
    size_t count;
} vkft_run_numbers;
/* Of all entries checkpoint-<digits> or best-<digits> that a run wrote, links to such directories included. */
bool vkft_run_list(const char *dir, const char *prefix, vkft_run_numbers *numbers, vkft_err *err);

/* Removes OUT/<prefix><number>: a link alone, or a directory that holds nothing but a run's files. What cannot be
 * removed is said, and is no error; quiet: not where it holds something else. */
void vkft_run_remove(const vkft_run_directory *run, const char *prefix, uint64_t number, bool quiet);
/* Removes what killed runs left: directories of temporary names. Call only while no other run writes here. */
bool vkft_run_sweep(const vkft_run_directory *run, vkft_err *err);
/* Gives an entry a name that no run takes, and says so and why. Missing: fine. */
#define VKFT_IN_THE_WAY "it was not of this run, which writes there"
bool vkft_run_set_aside(const vkft_run_directory *run, const char *name, const char *why, vkft_err *err);
/* Whether the entry is a directory, not a link, whose files all have names that a run gives. */
bool vkft_run_is_own_directory(const char *path, char foreign[128]);

/* --- checkpoint.c --- */

/* Removes each best but that of this step and those that a checkpoint names. What cannot be removed is said. */
void vkft_run_prune_best(const vkft_run_directory *run, uint64_t best_step);

/* --- overwrite.c: an old run, until the new one has something --- */

/* Puts what a run left to OUT/overwritten-run. */
bool vkft_run_put_away(vkft_run_directory *run, vkft_err *err);
/* The new run has something: removes OUT/overwritten-run. */
void vkft_run_drop_old(vkft_run_directory *run);
/* The new run has nothing: puts the old one back. */
void vkft_run_put_back(vkft_run_directory *run);
/* After a run that was killed: one of the two. */
bool vkft_run_recover_old(vkft_run_directory *run, vkft_err *err);

/* --- result.c: the files of a finished run --- */

/* Files of a finished run that resuming writes again and --overwrite replaces; the small ones beside them are only ever
 * replaced where vkft wrote them. NULL ends the list. */
extern const char *const vkft_run_result_files[];
/* *found: whether the directory holds the file, in the second case one of a result. */
bool vkft_run_find(const vkft_run_directory *run, const char *name, bool *found, vkft_err *err);
bool vkft_run_find_result(const vkft_run_directory *run, bool *found, vkft_err *err);

#endif
