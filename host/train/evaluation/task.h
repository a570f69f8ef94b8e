/* What an answer is worth, beside the loss (--metrics): the model answers the prompts of samples, and each answer is
 * compared with the one in the data. A sample's prompt is all before its last trained part, which is the answer. Where
 * rows offer choices, the likeliest one can be its answer: acc by the sum of log-probabilities, acc_norm by that per
 * character, acc_bytes per byte, as lm-evaluation-harness computes them. */
#ifndef VKFT_TASK_H
#define VKFT_TASK_H

#include <cjson/cJSON.h>

#include "host/train/evaluation/answers.h"
#include "host/train/evaluation/choices.h"
#include "host/train/packs.h"
#include "runtime/base/json/builder.h"

typedef enum vkft_task_metric {
    VKFT_TASK_exact_match,
    VKFT_TASK_f1,
    VKFT_TASK_chrf,
    VKFT_TASK_acc,
    VKFT_TASK_acc_norm,
    VKFT_TASK_acc_bytes,
    VKFT_TASK_METRICS
} vkft_task_metric;

/* "f1" */
const char *vkft_task_metric_name(vkft_task_metric metric);

/* What is asked for, in a set of bits. Error: a name that is none of them. */
bool vkft_task_parse(const char *text, uint32_t *metrics, vkft_err *err);
/* Whether answers are generated for them. */
bool vkft_task_generates(uint32_t metrics);

/* The samples that are answered: the first of a split, at most `limit` (0: all), and what their answers are worth. */
typedef struct vkft_task_run {
    vkft_session *session;
    vkft_answers *answers;       /* those of generated text */
    vkft_choices choices;        /* of rows that have them */
    const vkft_portion *portion; /* of batches of these, set before measuring */
    const vkft_observer *observer;
    const vkft_sample_packs *split;
    uint32_t metrics, count;
    double value[VKFT_TASK_METRICS]; /* 0 to 100, of choices 0 to 1; of the last time */
} vkft_task_run;

/* Before the session's plan, which counts task->choices.all: counts the prompts into the limits of answers, which are
 * open where something is generated. Error: a sample that has no prompt, or no choices. */
bool vkft_task_open(vkft_task_run *task, vkft_session *session, vkft_answers *answers, const vkft_sample_packs *split,
                    uint32_t metrics, uint32_t limit, uint32_t batch_size, const vkft_observer *observer,
                    vkft_err *err);
/* The values stay. */
void vkft_task_close(vkft_task_run *task);
/* Answers and compares. rows: NULL, or an array with an object for each sample, which gets the answer under the name
 * `key`; the first time also its prompt and reference. Of choices also their texts, and the chosen one and the
 * log-probabilities under KEY_choice and KEY_logprobs. */
bool vkft_task_measure(vkft_task_run *task, cJSON *rows, const char *key, vkft_err *err);
/* Puts the values into a row of the log, under their names after the prefix. */
void vkft_task_put(const vkft_task_run *task, vkft_json_node row, const char *prefix);
/* "exact match 12.50, accuracy 0.7500", for people. */
void vkft_task_text(const vkft_task_run *task, char *text, size_t size);

#endif
