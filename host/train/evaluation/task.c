/* See task.h. */
#include "host/train/evaluation/task.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "formats/score/score.h"

static const struct {
    const char *name, *title;
    int digits; /* for people */
} known[VKFT_TASK_METRICS] = {
    [VKFT_TASK_exact_match] = {"exact_match", "exact match", 2},
    [VKFT_TASK_f1] = {"f1", "F1", 2},
    [VKFT_TASK_chrf] = {"chrf", "chrF", 2},
    [VKFT_TASK_acc] = {"acc", "accuracy", 4},
    [VKFT_TASK_acc_norm] = {"acc_norm", "accuracy per character", 4},
    [VKFT_TASK_acc_bytes] = {"acc_bytes", "accuracy per byte", 4},
};
#define OF_CHOICES (1u << VKFT_TASK_acc | 1u << VKFT_TASK_acc_norm | 1u << VKFT_TASK_acc_bytes)

const char *vkft_task_metric_name(vkft_task_metric metric)
{
    return known[metric].name;
}

bool vkft_task_parse(const char *text, uint32_t *metrics, vkft_err *err)
{
    *metrics = 0;
    for (const char *at = text; at && *at;) {
        size_t length = strcspn(at, ",");
        int found = -1;
        for (int i = 0; i < VKFT_TASK_METRICS; i++)
            if (strlen(known[i].name) == length && strncmp(at, known[i].name, length) == 0)
                found = i;
        if (found < 0)
            return vkft_fail(
                err, VKFT_ERR_INPUT,
                "--metrics: %.*s is not known; there are exact_match, f1, chrf, acc, acc_norm and acc_bytes",
                (int)length, at);
        *metrics |= 1u << found;
        at += length + (at[length] == ',');
    }
    return true;
}

bool vkft_task_generates(uint32_t metrics)
{
    return (metrics & ~OF_CHOICES) != 0;
}

/* Where the last trained part begins, in a model without an encoder. */
static uint32_t answer_begin(const vkft_sample *s)
{
    uint32_t i = s->length;
    while (i > 0 && s->labels[i - 1] < 0)
        i--;
    while (i > 0 && s->labels[i - 1] >= 0)
        i--;
    return i;
}

/* How many tokens its prompt has; the encoder reads it, or they are the first ones. */
static uint32_t prompt_length(const vkft_sample *s)
{
    return s->source_length ? s->source_length : answer_begin(s);
}

/* Counts the prompts into the limits of answers. */
static bool expect_answers(vkft_task_run *task, vkft_err *err)
{
    if (!task->session->text.tokenizer)
        return vkft_fail(err, VKFT_ERR_INPUT, "--metrics compares texts, and the model has no tokenizer");
    for (uint32_t i = 0; i < task->count; i++) {
        const vkft_sample *s = task->split->samples[i];
        if (!prompt_length(s))
            return vkft_fail(
                err, VKFT_ERR_INPUT,
                "--metrics compares answers, and these samples are trained as a whole: they are no prompts "
                "with answers, or --no-mask-prompt is given");
        if (!vkft_answers_expect(task->answers, s->ids, prompt_length(s), err))
            return vkft_fail_context(err, "--metrics: sample %u", i + 1);
    }
    return true;
}

bool vkft_task_open(vkft_task_run *task, vkft_session *session, vkft_answers *answers, const vkft_sample_packs *split,
                    uint32_t metrics, uint32_t limit, uint32_t batch_size, const vkft_observer *observer, vkft_err *err)
{
    *task = (vkft_task_run){
        .session = session, .answers = answers, .observer = observer, .split = split, .metrics = metrics};
    task->count = limit && limit < split->count ? limit : split->count;
    return (!vkft_task_generates(metrics) || expect_answers(task, err)) &&
           (!(metrics & OF_CHOICES) || vkft_choices_open(&task->choices, session, split, task->count, batch_size, err));
}

void vkft_task_close(vkft_task_run *task)
{
    vkft_choices_close(&task->choices);
}

/* Appends the text of the answer in the data. */
static bool append_reference(const vkft_tokenizer *tok, const vkft_sample *s, vkft_text *text, vkft_err *err)
{
    vkft_ids ids = {0};
    bool ok = true;
    for (uint32_t i = prompt_length(s); ok && i < s->length; i++)
        if (s->labels[i] >= 0)
            ok = vkft_ids_push(&ids, s->labels[i], err);
    ok = ok && vkft_tokenizer_decode(tok, ids.data, ids.count, true, text, err) && vkft_text_append(text, "", 0, err);
    vkft_ids_free(&ids);
    return ok;
}

/* The sample's prompt and reference, unless the row has them. */
static bool describe_sample(const vkft_tokenizer *tok, const vkft_sample *s, vkft_json_node row, vkft_err *err)
{
    vkft_text prompt = {0}, reference = {0};
    if (cJSON_GetObjectItem(row.value, "reference"))
        return true;
    bool ok = vkft_tokenizer_decode(tok, s->ids, prompt_length(s), false, &prompt, err) &&
              append_reference(tok, s, &reference, err);
    if (ok) {
        vkft_json_put_string(row, "prompt", prompt.data ? prompt.data : "");
        vkft_json_put_string(row, "reference", reference.data);
    }
    vkft_text_free(&prompt);
    vkft_text_free(&reference);
    return ok;
}

static bool add_row(const vkft_tokenizer *tok, const vkft_sample *s, const char *key, const char *answer, cJSON *row,
                    vkft_err *err)
{
    bool failed = false;
    vkft_json_node node = {row, &failed};
    if (!describe_sample(tok, s, node, err))
        return false;
    vkft_json_put_string(node, key, answer);
    return !failed || vkft_fail_memory(err, "for the answers");
}

typedef struct sums {
    double exact, f1;
    vkft_chrf chrf;
} sums;

/* Answers one sample and adds what the answer is worth. */
static bool measure_one(vkft_task_run *task, const vkft_sample *s, cJSON *row, const char *key, sums *sum,
                        vkft_err *err)
{
    const vkft_tokenizer *tok = task->answers->generator.session->text.tokenizer;
    vkft_text answer = {0}, reference = {0};
    vkft_squad_score score;
    bool ok = append_reference(tok, s, &reference, err) &&
              vkft_answers_give(task->answers, s->ids, prompt_length(s), &answer, err) &&
              vkft_squad_compare(answer.data, reference.data, &score, err) &&
              vkft_chrf_add(&sum->chrf, answer.data, reference.data, err) &&
              (!row || add_row(tok, s, key, answer.data, row, err));
    if (ok) {
        sum->exact += score.exact;
        sum->f1 += score.f1;
    }
    vkft_text_free(&answer);
    vkft_text_free(&reference);
    return ok;
}

static bool measure_answers(vkft_task_run *task, cJSON *rows, const char *key, vkft_err *err)
{
    sums sum = {0};
    cJSON *row = rows ? rows->child : NULL;
    for (uint32_t i = 0; i < task->count; i++) {
        if (!measure_one(task, task->split->samples[i], row, key, &sum, err))
            return false;
        row = row ? row->next : NULL;
        vkft_observer_work(task->observer, "answering", i + 1, task->count);
    }
    task->value[VKFT_TASK_exact_match] = 100 * sum.exact / task->count;
    task->value[VKFT_TASK_f1] = 100 * sum.f1 / task->count;
    task->value[VKFT_TASK_chrf] = vkft_chrf_value(&sum.chrf);
    return true;
}

/* Which choice is the likeliest, by the log-probability divided by what the metric says; of equal ones the first. */
static uint32_t likeliest(const vkft_sample *s, const double *logp, vkft_task_metric metric)
{
    uint32_t best = 0;
    double best_value = -INFINITY;
    for (uint32_t i = 0; i < s->choice.count; i++) {
        const vkft_choice_facts *of = &s->choices[i].choice;
        double value = logp[i] / (metric == VKFT_TASK_acc_norm    ? of->characters
                                  : metric == VKFT_TASK_acc_bytes ? of->bytes
                                                                  : 1);
        if (value > best_value) {
            best_value = value;
            best = i;
        }
    }
    return best;
}

/* The texts of the choices once, and what was found of them. */
static bool add_choices(const vkft_tokenizer *tok, const vkft_sample *s, const double *logp, const char *key,
                        cJSON *row, vkft_err *err)
{
    bool failed = false, known_texts = cJSON_GetObjectItem(row, "choices") != NULL;
    char name[64];
    vkft_json_node node = {row, &failed};
    if (!describe_sample(tok, s, node, err))
        return false;
    vkft_json_node texts = known_texts ? node : vkft_json_put_array(node, "choices");
    uint32_t chosen = likeliest(s, logp, VKFT_TASK_acc);
    for (uint32_t i = 0; i < s->choice.count; i++) {
        vkft_text text = {0};
        if (!append_reference(tok, &s->choices[i], &text, err)) {
            vkft_text_free(&text);
            return false;
        }
        if (!known_texts)
            vkft_json_put_string(texts, NULL, text.data);
        if (i == chosen) {
            snprintf(name, sizeof name, "%s_choice", key);
            vkft_json_put_string(node, name, text.data);
        }
        vkft_text_free(&text);
    }
    snprintf(name, sizeof name, "%s_logprobs", key);
    vkft_json_node values = vkft_json_put_array(node, name);
    for (uint32_t i = 0; i < s->choice.count; i++)
        vkft_json_put_number(values, NULL, logp[i]);
    return !failed || vkft_fail_memory(err, "for the answers");
}

static bool measure_choices(vkft_task_run *task, cJSON *rows, const char *key, vkft_err *err)
{
    static const vkft_task_metric metrics[] = {VKFT_TASK_acc, VKFT_TASK_acc_norm, VKFT_TASK_acc_bytes};
    uint32_t right[3] = {0};
    cJSON *row = rows ? rows->child : NULL;
    if (!vkft_choices_score(&task->choices, task->portion, task->observer, err))
        return false;
    const double *logp = task->choices.logp;
    for (uint32_t i = 0; i < task->count; i++) {
        const vkft_sample *s = task->split->samples[i];
        for (int m = 0; m < 3; m++)
            right[m] += likeliest(s, logp, metrics[m]) == s->choice.right;
        if (row && !add_choices(task->session->text.tokenizer, s, logp, key, row, err))
            return false;
        row = row ? row->next : NULL;
        logp += s->choice.count;
    }
    for (int m = 0; m < 3; m++)
        task->value[metrics[m]] = (double)right[m] / task->count;
    return true;
}

bool vkft_task_measure(vkft_task_run *task, cJSON *rows, const char *key, vkft_err *err)
{
    return (!vkft_task_generates(task->metrics) || measure_answers(task, rows, key, err)) &&
           (!(task->metrics & OF_CHOICES) || measure_choices(task, rows, key, err));
}

void vkft_task_put(const vkft_task_run *task, vkft_json_node row, const char *prefix)
{
    for (int i = 0; i < VKFT_TASK_METRICS; i++) {
        char name[64];
        snprintf(name, sizeof name, "%s%s", prefix, known[i].name);
        if (task->metrics & (1u << i))
            vkft_json_put_number(row, name, task->value[i]);
    }
}

void vkft_task_text(const vkft_task_run *task, char *text, size_t size)
{
    size_t n = 0;
    text[0] = 0;
    for (int i = 0; i < VKFT_TASK_METRICS && n < size; i++)
        if (task->metrics & (1u << i))
            n += (size_t)snprintf(text + n, size - n, "%s%s %.*f", n ? ", " : "", known[i].title, known[i].digits,
                                  task->value[i]);
}
