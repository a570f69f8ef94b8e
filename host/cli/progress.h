/* What a person sees while work goes on: one line that is drawn over on a terminal, plain lines elsewhere. All on
 * stderr. */
#ifndef VKFT_PROGRESS_H
#define VKFT_PROGRESS_H

#include <stdbool.h>
#include <stdint.h>

#include "host/train/train.h"

struct flag_table; /* host/cli/flags/flags.h */

typedef struct progress {
    const struct flag_table *table; /* of the command, whose flags an error may name */
    bool terminal;
    bool line_open; /* a line that the next output must draw over or end */
    double started; /* of the first step event, with its step number: for the time left */
    uint64_t first_step;
    uint64_t shown_step;
    char work[64]; /* long work going on, "" for none */
    double work_started, work_drawn;
} progress;

progress progress_new(const struct flag_table *table);

/* An observer that draws on p, which must outlive it. */
vkft_observer progress_observer(progress *p);

/* A line of information above the drawn line. */
void progress_message(void *p, const char *line);
void progress_step(void *p, const vkft_train_event *event);
void progress_work(void *p, const char *what, uint64_t done, uint64_t total);

/* For vkft_convert_options.progress: shows the bytes and says whether to go on. */
bool progress_convert(void *p, uint64_t done_bytes, uint64_t total_bytes);

/* Ends the drawn line, before anything else is written to the terminal. */
void progress_close(progress *p);

#endif
