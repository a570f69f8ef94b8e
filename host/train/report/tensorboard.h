/* A run's rows for TensorBoard: one event file in a directory that may hold those of other runs.
 *
 * The file lives as trainer_log.jsonl does: a run that starts or is resumed writes it anew, from the history of the
 * checkpoint it continues, and then adds row after row. So after any kill the file has each step once, whatever was
 * left of the one before, which is not read. It takes the place of earlier files of the same output directory and
 * leaves all others alone: its name ends with a hash of the way from its directory to the output directory. That way
 * stays the same when both are moved, and is another one for a copy of the output directory alone.
 *
 * A row's numbers get the tags that transformers gives them: "eval_loss" is eval/loss, "loss" is train/loss. The flags
 * are the text args/text_summary.
 */
#ifndef VKFT_TENSORBOARD_H
#define VKFT_TENSORBOARD_H

#include <stdbool.h>

#include <cjson/cJSON.h>

#include "host/train/settings.h"
#include "runtime/base/error.h"

typedef struct vkft_tensorboard vkft_tensorboard;

/* wall_times: when each row of history was logged, seconds since 1970; where it has none, now. keep_earlier: files of
 * the output directory that are there already stay until vkft_tensorboard_replace. */
vkft_tensorboard *vkft_tensorboard_open(const char *dir, const char *output_dir, const vkft_settings *settings,
                                        const cJSON *history, const cJSON *wall_times, bool keep_earlier,
                                        vkft_err *err);
bool vkft_tensorboard_add(vkft_tensorboard *board, const cJSON *row, double wall_time, vkft_err *err);
/* Removes the files that were kept: the run that they are of has been overwritten for good. NULL is fine. */
bool vkft_tensorboard_replace(vkft_tensorboard *board, vkft_err *err);
/* Where files are still kept, the new one is removed and they stand for the run that is there again. NULL is fine. */
void vkft_tensorboard_close(vkft_tensorboard *board);

#endif
