/* Loss over a dataset: during training over the validation split, and as a separate command. */
#include "host/train/train.h"
#include "host/train/trainer.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "host/session/as_trained.h"
#include "host/train/training_data.h"
#include "runtime/base/file.h"
#include "runtime/base/size.h"
#include "runtime/base/json/builder.h"

/* The losses of one batch, added. */
typedef struct batch_sum {
    double loss;
    uint64_t tokens;
} batch_sum;

static bool evaluate_batch(vkft_session *session, vkft_pass *pass, const vkft_sample_packs *split, uint32_t first,
                           uint32_t packs, const vkft_portion *portion, const vkft_sample **samples, batch_sum *sum,
                           vkft_err *err)
{
    *sum = (batch_sum){0};
    for (uint32_t done = 0, part, count; done < packs; done += part) {
        double loss = 0;
        part = min_u32(portion->packs, packs - done);
        if ((count = vkft_sample_packs_batch(split, NULL, first + done, part, samples)) == 0)
            break; /* the split ends */
        vkft_session_fill(session, samples, count);
        if (!vkft_session_run(session, pass, &loss, err)) {
            if (!vkft_session_shrink(session, err))
                return false;
            part = 0; /* again */
            continue;
        }
        sum->loss += loss;
        for (uint32_t i = 0; i < count; i++)
            sum->tokens += samples[i]->trained;
    }
    return true;
}

bool vkft_evaluate(vkft_session *session, vkft_pass *pass, const vkft_world *world, const vkft_sample_packs *split,
                   uint32_t batch_size, uint32_t max_batches, const vkft_portion *portion,
                   const vkft_observer *observer, double *loss, uint64_t *tokens, vkft_err *err)
{
    uint32_t batches = ceil_div(split->packs, batch_size);
    if (max_batches && batches > max_batches)
        batches = max_batches;
    const vkft_sample **samples = malloc((split->count + 1ull) * sizeof *samples);
    bool ok = samples || vkft_fail_memory(err, "for the order of the samples");
    double sum[2] = {0, 0}; /* of losses, and their number */
    for (uint32_t round = 0; ok && round < batches; round += world->size) {
        uint32_t b = round + world->rank;
        batch_sum batch;
        if (world->any(vkft_observer_interrupted(observer)))
            ok = vkft_fail(err, VKFT_ERR_INTERRUPTED, "interrupted while evaluating");
        if (!ok || b >= batches)
            break;
        ok = evaluate_batch(session, pass, split, b * batch_size, batch_size, portion, samples, &batch, err);
        sum[0] += batch.loss;
        sum[1] += (double)batch.tokens;
        vkft_observer_work(observer, "evaluating", b + 1, batches);
    }
    free(samples);
    ok = ok && world->sum(sum, 2, err);
    *tokens = (uint64_t)sum[1];
    *loss = sum[0] / sum[1];
    return ok;
}

/* How many layers of the model have experts. */
static uint32_t mixtures(const vkft_config *config)
{
    uint32_t count = 0;
    for (uint32_t l = 0; l < config->num_layers; l++)
        count += (config->layers[l] & VKFT_LAYER_EXPERTS) != 0;
    return count;
}

/* [layers with experts][tokens][experts of a token]. */
static void put_routes(vkft_json_node routes, const vkft_session *session)
{
    const vkft_batch *batch = &session->batch;
    uint32_t k = session->config->experts_per_token, layers = mixtures(session->config);
    const uint32_t *at = batch->expert_choice_host;
    for (uint32_t l = 0; l < layers; l++) {
        vkft_json_node layer = vkft_json_put_array(routes, NULL);
        for (uint32_t t = 0; t < batch->tokens; t++, at += k) {
            vkft_json_node token = vkft_json_put_array(layer, NULL);
            for (uint32_t j = 0; j < k; j++)
                vkft_json_put_number(token, NULL, at[j]);
        }
    }
}

/* {"ids": [...], "logprobs": [null, -1.2, ...]}: logprobs[i] is that of ids[i] given those before it, null where it was
 * not asked for. Of a mixture also "experts": those of each layer and token. */
static bool write_sample(vkft_writer *writer, const vkft_sample *sample, const vkft_session *session, vkft_err *err)
{
    const float *losses = session->batch.loss_host;
    bool failed = false;
    vkft_json_node row = vkft_json_make_object(&failed);
    vkft_json_put_integers(row, "ids", sample->ids, sample->length);
    vkft_json_node logprobs = vkft_json_put_array(row, "logprobs");
    for (uint32_t i = 0, at = 0; i < sample->length; i++) {
        bool trained = i > 0 && sample->labels[i] >= 0;
        vkft_json_put_number(logprobs, NULL, trained ? -(double)losses[at++] : (double)NAN);
    }
    if (session->batch.expert_choice_host)
        put_routes(vkft_json_put_array(row, "experts"), session);
    cJSON *made = vkft_json_made(row);
    char *text = made ? cJSON_PrintUnformatted(made) : NULL;
    bool ok = (text || vkft_fail_memory(err, "while writing --per-token")) &&
              vkft_writer_append(writer, text, strlen(text), err) && vkft_writer_append(writer, "\n", 1, err);
    cJSON_free(text);
    cJSON_Delete(made);
    return ok;
}

static bool check_finite(double loss, uint64_t tokens, vkft_err *err)
{
    return isfinite(loss) ||
           vkft_fail(err, VKFT_ERR_INPUT,
                     "the loss over %llu tokens is not finite: weights or adapter are not, or are so large that their "
                     "products are not; take an earlier checkpoint",
                     (unsigned long long)tokens);
}

/* The same loss, one sample a batch, with each token's log-probability written to a file. */
static bool evaluate_per_token(vkft_session *session, vkft_pass *pass, const vkft_sample_packs *split, const char *path,
                               const vkft_observer *observer, double *loss, uint64_t *tokens, vkft_err *err)
{
    vkft_writer *writer = vkft_writer_open(path, err);
    if (!writer)
        return false;
    double sum = 0;
    *tokens = 0;
    for (uint32_t i = 0; i < split->count; i++) {
        double sample_sum;
        vkft_session_fill(session, &split->samples[i], 1);
        if (vkft_observer_interrupted(observer)) {
            vkft_writer_abandon(writer);
            return vkft_fail(err, VKFT_ERR_INTERRUPTED, "interrupted while evaluating");
        }
        if (!vkft_session_run(session, pass, &sample_sum, err) ||
            !write_sample(writer, split->samples[i], session, err)) {
            vkft_writer_abandon(writer);
            return false;
        }
        sum += sample_sum;
        *tokens += split->samples[i]->trained;
        vkft_observer_work(observer, "evaluating", i + 1, split->count);
    }
    *loss = sum / (double)*tokens;
    if (check_finite(*loss, *tokens, err))
        return vkft_writer_commit(writer, err);
    vkft_writer_abandon(writer);
    return false;
}

static bool load_data(const vkft_eval_options *o, const vkft_session *session, const vkft_observer *observer,
                      vkft_dataset *data, vkft_err *err)
{
    static const char *const splits[] = {"test", "valid", "train"};
    bool found = false;
    for (int i = o->data.split ? 2 : 0; i < 3 && !found; i++) /* the split that is named stands for "train" */
        if (!vkft_data_open(&o->data, splits[i], &session->text, session->config, observer, data, &found, err))
            return false;
    return true;
}

/* What --metrics needs, for the model with its adapter and then without. */
typedef struct answering {
    uint32_t metrics;
    cJSON *rows; /* an object for each answered sample; NULL: they are not wanted */
    vkft_answers answers;
    vkft_task_run task;
} answering;

/* Before the session's plan; the portion then counts what is measured. */
static bool open_task(answering *a, vkft_session *session, const vkft_eval_options *o, const vkft_sample_packs *split,
                      vkft_portion *portion, const vkft_observer *observer, vkft_err *err)
{
    if (vkft_task_generates(a->metrics) && !vkft_answers_open(&a->answers, session, o->max_new_tokens, observer, err))
        return false;
    bool opened = vkft_task_open(&a->task, session, &a->answers, split, a->metrics, o->metric_samples, o->batch_size,
                                 observer, err);
    a->task.portion = portion;
    portion->least = a->answers.limits;
    portion->use[2].split = a->task.choices.all.count ? &a->task.choices.all : NULL;
    portion->use[2].batch_size = o->batch_size;
    for (int i = cJSON_GetArraySize(a->rows); opened && a->rows && (uint32_t)i < a->task.count; i++)
        if (!cJSON_AddItemToArray(a->rows, cJSON_CreateObject()))
            return vkft_fail_memory(err, "for the answers");
    return opened;
}

static void close_task(answering *a, vkft_task_run *result)
{
    vkft_task_close(&a->task);
    *result = a->task;
    vkft_answers_close(&a->answers);
    a->answers = (vkft_answers){0};
}

static bool evaluate_file(vkft_session *session, const vkft_eval_options *o, const vkft_sample_packs *split,
                          answering *a, const vkft_observer *observer, vkft_eval_result *result, vkft_err *err)
{
    vkft_limits limits = {0};
    vkft_memory_plan plan;
    vkft_pass *pass = vkft_add_evaluation(session, err);
    vkft_portion portion = vkft_portion_whole(NULL, 0, split, o->per_token ? 1 : o->batch_size, observer);
    bool ok = pass && (!a->metrics || open_task(a, session, o, split, &portion, observer, err));
    session->smaller = vkft_portion_halve;
    session->smaller_context = &portion;
    ok = ok && vkft_portion_limits(&portion, &limits.batch, err);
    if (ok && o->per_token)
        limits.batch.expert_choice = mixtures(session->config) * session->config->experts_per_token;
    ok = ok && vkft_session_plan_offload(session, &limits, &plan, observer, err) &&
         vkft_session_start(session, &plan, observer, err) &&
         (o->per_token
              ? evaluate_per_token(session, pass, split, o->per_token, observer, &result->loss, &result->tokens, err)
              : vkft_evaluate(session, pass, &vkft_world_alone, split, o->batch_size, 0, &portion, observer,
                              &result->loss, &result->tokens, err));
    ok = ok && check_finite(result->loss, result->tokens, err) &&
         (!a->metrics || vkft_task_measure(&a->task, a->rows, o->adapter ? "adapter" : "base", err));
    if (ok)
        result->perplexity = exp(result->loss);
    close_task(a, &result->task);
    return ok;
}

/* The same answers without the adapter, by the same weights. */
static bool answer_without(const vkft_model_options *model, const vkft_eval_options *o, const vkft_sample_packs *split,
                           answering *a, const vkft_observer *observer, vkft_eval_result *result, vkft_err *err)
{
    vkft_session session;
    vkft_memory_plan plan;
    if (!vkft_session_open(&session, &(vkft_session_source){.model = *model}, observer, err))
        return false;
    vkft_limits limits = {0};
    vkft_portion portion = vkft_portion_whole(NULL, 0, split, o->batch_size, observer);
    portion.use[1].split = NULL; /* its loss is not asked for */
    bool ok = open_task(a, &session, o, split, &portion, observer, err);
    session.smaller = vkft_portion_halve;
    session.smaller_context = &portion;
    ok = ok && vkft_portion_limits(&portion, &limits.batch, err) &&
         vkft_session_plan_offload(&session, &limits, &plan, observer, err) &&
         vkft_session_start(&session, &plan, observer, err) && vkft_task_measure(&a->task, a->rows, "base", err);
    close_task(a, &result->base);
    vkft_session_close(&session);
    return ok;
}

static bool write_answers(const char *path, const cJSON *rows, vkft_err *err)
{
    vkft_writer *writer = vkft_writer_open(path, err);
    bool ok = writer != NULL;
    const cJSON *row;
    cJSON_ArrayForEach(row, rows)
    {
        char *text = ok ? cJSON_PrintUnformatted(row) : NULL;
        ok = ok && (text || vkft_fail_memory(err, "while writing --answers")) &&
             vkft_writer_append(writer, text, strlen(text), err) && vkft_writer_append(writer, "\n", 1, err);
        cJSON_free(text);
    }
    if (ok)
        return vkft_writer_commit(writer, err);
    vkft_writer_abandon(writer);
    return false;
}

bool vkft_eval(const vkft_eval_options *options, const vkft_observer *observer, vkft_eval_result *result, vkft_err *err)
{
    vkft_session session;
    vkft_dataset data = {0};
    vkft_sample_packs split = {0};
    answering a = {.rows = options->answers ? cJSON_CreateArray() : NULL};
    uint32_t pack_tokens = options->data.packing && !options->per_token ? options->data.max_seq_length : 0;
    if (!vkft_task_parse(options->metrics, &a.metrics, err) ||
        !vkft_session_open_as_trained(&session, &options->model, options->adapter, NULL, observer, err)) {
        cJSON_Delete(a.rows);
        return false;
    }
    bool ok = load_data(options, &session, observer, &data, err) &&
              vkft_sample_packs_new(&split, &data, NULL, data.count, pack_tokens, err) &&
              evaluate_file(&session, options, &split, &a, observer, result, err);
    if (!ok)
        vkft_observer_failing(observer, err);
    const vkft_model_options model = session.options;
    vkft_session_close(&session);
    if (ok && a.metrics && options->adapter &&
        !(ok = answer_without(&model, options, &split, &a, observer, result, err)))
        vkft_observer_failing(observer, err);
    ok = ok && (!options->answers || write_answers(options->answers, a.rows, err));
    cJSON_Delete(a.rows);
    vkft_sample_packs_free(&split);
    vkft_dataset_free(&data);
    return ok;
}
