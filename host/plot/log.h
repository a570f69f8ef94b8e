/* What a training run logged, read from its output directory while it is going on or after it. */
#ifndef VKFT_PLOT_LOG_H
#define VKFT_PLOT_LOG_H

#include <cjson/cJSON.h>

#include "runtime/base/error.h"

typedef struct vkft_plot_log {
    char *label;     /* the last part of its path; the whole of it where another run has the same */
    cJSON *rows;     /* array of objects as trainer_log.jsonl has them; null stands for a number that is not finite */
    cJSON *settings; /* object: a flag's name without "--" and its value as text; empty where they are not known */
    cJSON *summary;  /* the same of a finished run: what vkft train said at its end, name by name */
    cJSON *samples;  /* array: answers to --sample-prompts, as samples.jsonl has them */
    bool finished;   /* it has a result */
} vkft_plot_log;

/* Reads runs: an output directory of vkft train; that of transformers' Trainer (trainer_state.json, its own or that of
 * its newest checkpoint); or one of these files itself. Of a run that is going on, a last line that is not whole yet is
 * left out. Error: there is no log; a line is not a JSON object. */
bool vkft_plot_logs_read(const char *const *paths, size_t count, vkft_plot_log *logs, vkft_err *err);
void vkft_plot_logs_free(vkft_plot_log *logs, size_t count);

#endif
