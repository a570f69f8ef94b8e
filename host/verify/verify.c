/* See verify.h. */
#include "host/verify/verify.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "formats/chat/model_text.h"
#include "formats/gguf/gguf.h"
#include "host/train/train.h"
#include "host/verify/llama_cpp.h"
#include "runtime/base/directory.h"
#include "runtime/base/file.h"
#include "runtime/base/json.h"
#include "runtime/base/json/builder.h"
#include "runtime/base/os/os.h"
#include "runtime/base/size.h"

#define MAX_TEXT_BYTES (1u << 20)

static const char sample[] =
    "The quick brown fox doesn't jump over 13 lazy dogs; it WALKS around them, at 3.14 km/h.\n\n"
    "def area(r):\n    return 3.14159 * r ** 2  # \"circle\"\n\n"
    "\xEC\x98\xA4\xEB\x8A\x98\xEC\x9D\x80 \xEB\x82\xA0\xEC\x94\xA8\xEA\xB0\x80 \xEC\xA2\x8B\xEB\x8B\xA4. "
    "\xE6\x97\xA5\xE6\x9C\xAC\xE8\xAA\x9E\xE3\x82\x82\xE3\x80\x82 Gr\xC3\xBC\xC3\x9F"
    "e aus K\xC3\xB6ln, na\xC3\xAFve caf\xC3\xA9s \xE2\x80\x94 \xF0\x9F\x99\x82\n"
    "It was the best of times, it was the worst of times, it was the age of wisdom, it was the age of foolishness. "
    "Prices rose by 12,5 % in 2024, and then fell again. {\"name\": \"value\", \"list\": [1, 2, 3]}\n";

/* general.file_type as what may differ. */
static bool find_type(const char *path, vkft_verify_result *r, vkft_err *err)
{
    vkft_gguf gguf;
    uint32_t number = UINT32_MAX;
    if (!vkft_gguf_open(path, &gguf, err))
        return false;
    bool ok = vkft_gguf_get_u32(&gguf, "general.file_type", false, &number, err);
    vkft_gguf_close(&gguf);
    r->allowed = number == 0 ? 1e-3 : number == 1 ? 1e-2 : number == 32 ? 1e-1 : NAN;
    r->llama_allowed = number == 0 ? 5e-3 : number == 1 ? 5e-2 : number == 32 ? 5e-1 : NAN;
    return ok;
}

static bool encode(const char *path, const char *text, size_t length, vkft_ids *ids, vkft_err *err)
{
    vkft_model_text model;
    if (!vkft_model_text_open(path, NULL, &model, err))
        return false;
    bool ok = model.tokenizer
                  ? vkft_tokenizer_encode(model.tokenizer, text, length, true, ids, err)
                  : vkft_fail(err, VKFT_ERR_INPUT, "%s: has no tokenizer, by which a text could be compared", path);
    vkft_model_text_free(&model);
    return ok;
}

/* The first place at which two lists differ; -1: they are the same. */
static int64_t first_other(const vkft_ids *a, const vkft_ids *b)
{
    for (uint32_t i = 0; i < a->count || i < b->count; i++)
        if (i >= a->count || i >= b->count || a->data[i] != b->data[i])
            return i;
    return -1;
}

/* The tokens of the model, and where those of the file differ. */
static bool compare_tokens(const vkft_verify_options *o, const vkft_text *text, vkft_verify_result *r, vkft_ids *ids,
                           vkft_ids *of_file, vkft_err *err)
{
    bool ok = encode(o->against, text->data, text->length, ids, err) &&
              encode(o->gguf, text->data, text->length, of_file, err);
    r->other_token = ok ? first_other(ids, of_file) : -1;
    r->tokens = ids->count;
    ids->count = ids->count > o->tokens ? o->tokens : ids->count;
    return ok && (ids->count >= 2 ||
                  vkft_fail(err, VKFT_ERR_INPUT, "the text has %u tokens; expected at least 2", ids->count));
}

static bool read_text(const vkft_verify_options *o, vkft_text *text, vkft_err *err)
{
    char *data = NULL;
    size_t length = sizeof sample - 1;
    bool ok = (!o->text || vkft_file_read(o->text, MAX_TEXT_BYTES, &data, &length, err)) &&
              vkft_text_append(text, data ? data : sample, length, err);
    free(data);
    return ok;
}

/* The paths of small files for one evaluation, and for llama.cpp. */
typedef struct place {
    char *directory, *data, *found, *text, *scratch;
} place;

static char *path_in(const place *p, const char *what)
{
    char name[64];
    snprintf(name, sizeof name, "verify-%ld%s", vkft_os_process_id(), what);
    return vkft_path_join(p->directory, name);
}

static bool open_place(place *p, vkft_err *err)
{
    p->directory = vkft_cache_directory(NULL, err);
    if (!p->directory)
        return false;
    p->data = path_in(p, ".jsonl");
    p->found = path_in(p, "-found.jsonl");
    p->text = path_in(p, ".txt");
    p->scratch = path_in(p, ".logprobs");
    return (p->data && p->found && p->text && p->scratch) || vkft_fail_memory(err, "for the text's tokens");
}

static void close_place(place *p)
{
    char *const files[] = {p->data, p->found, p->text, p->scratch};
    for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
        if (files[i])
            vkft_file_remove(files[i], NULL);
        free(files[i]);
    }
    free(p->directory);
}

static bool write_ids(const place *p, const vkft_ids *ids, vkft_err *err)
{
    bool failed = false;
    vkft_json_node row = vkft_json_make_object(&failed);
    vkft_json_put_integers(row, "input_ids", ids->data, ids->count);
    cJSON *made = vkft_json_made(row);
    char *text = made ? cJSON_PrintUnformatted(made) : NULL;
    bool ok = text ? vkft_file_write(p->data, text, strlen(text), err) : vkft_fail_memory(err, "for the text's tokens");
    cJSON_Delete(made);
    cJSON_free(text);
    return ok;
}

/* With the weights as they were before a run quantized them, as vkft merge takes them; where there are no such, those
 * that there are. */
static bool evaluate_original(vkft_eval_options *run, const vkft_observer *observer, vkft_eval_result *found,
                              vkft_err *err)
{
    run->model.quant = VKFT_STORAGE_none;
    run->model.quant_explicit = run->adapter != NULL;
    if (vkft_eval(run, observer, found, err))
        return true;
    if (err->advice != VKFT_ADVICE_KEEP_QUANTIZATION)
        return false;
    *err = (vkft_err){0};
    run->model.quant_explicit = false;
    return vkft_eval(run, observer, found, err);
}

/* Log-probabilities of the tokens from the second on, at `values`. */
static bool evaluate(const vkft_verify_options *o, const char *model, const char *adapter, const place *p,
                     uint32_t count, double *values, const vkft_observer *observer, double *loss, vkft_err *err)
{
    vkft_train_options train = vkft_train_defaults();
    vkft_eval_options run = {.model = train.model, .batch_size = 1, .data = train.data};
    vkft_eval_result found = {0};
    char *text = NULL;
    size_t size;
    run.model.path = model;
    run.model.device = o->device;
    run.model.compute_dtype = VKFT_F32;
    run.model.compute_explicit = true;
    run.adapter = adapter;
    run.data.path = p->data;
    run.data.max_seq_length = count; /* one row, whole */
    run.per_token = p->found;
    if (!evaluate_original(&run, observer, &found, err) || !vkft_file_read(p->found, MAX_TEXT_BYTES, &text, &size, err))
        return false;
    cJSON *row = vkft_json_parse(text, strcspn(text, "\n"), p->found, err);
    const cJSON *list = vkft_json_member(row, "logprobs");
    bool ok =
        cJSON_GetArraySize(list) == (int)count ||
        vkft_fail(err, VKFT_ERR_INPUT, "%s: %d log-probabilities of %u tokens", model, cJSON_GetArraySize(list), count);
    const cJSON *item = ok ? list->child->next : NULL;
    for (uint32_t i = 0; item; item = item->next)
        values[i++] = cJSON_IsNumber(item) ? item->valuedouble : NAN;
    *loss = found.loss;
    cJSON_Delete(row);
    free(text);
    return ok;
}

static bool compare_logprobs(const vkft_verify_options *o, const vkft_ids *ids, const place *p,
                             const vkft_observer *observer, vkft_verify_result *r, vkft_err *err)
{
    const uint32_t count = ids->count - 1;
    r->compared = count;
    double *values = calloc(2ull * ids->count, sizeof *values);
    bool ok = (values || vkft_fail_memory(err, "for log-probabilities")) && write_ids(p, ids, err) &&
              evaluate(o, o->against, o->adapter, p, ids->count, values, observer, &r->loss[0], err) &&
              evaluate(o, o->gguf, NULL, p, ids->count, values + count, observer, &r->loss[1], err);
    for (uint32_t i = 0; ok && i < count; i++) {
        double difference = fabs(values[i] - values[count + i]);
        r->worst = difference > r->worst || isnan(difference) ? difference : r->worst;
        r->mean += difference / count;
    }
    free(values);
    return ok;
}

/* ---- llama.cpp ---- */

/* The text twice: the program wants two contexts' worth of tokens. */
static bool write_twice(const place *p, const vkft_text *text, vkft_err *err)
{
    vkft_text twice = {0};
    bool ok = vkft_text_append(&twice, text->data, text->length, err) && vkft_text_append(&twice, "\n", 1, err) &&
              vkft_text_append(&twice, text->data, text->length, err) && vkft_text_append(&twice, "\n", 1, err) &&
              vkft_file_write(p->text, twice.data, twice.length, err);
    vkft_text_free(&twice);
    return ok;
}

/* Its log-probabilities of its own tokens, beside those that are computed here of the same ones. */
static bool compare_its_logprobs(const vkft_verify_options *o, const vkft_llama_cpp *programs, uint32_t context,
                                 const place *p, const vkft_observer *observer, vkft_verify_result *r, vkft_err *err)
{
    vkft_llama_cpp_logprobs its;
    double loss, *values = calloc(context, sizeof *values);
    bool ok = (values || vkft_fail_memory(err, "for log-probabilities")) &&
              vkft_llama_cpp_logprobs_of(programs, o->gguf, p->text, p->scratch, context, &its, err);
    if (!ok) {
        free(values);
        return false;
    }
    ok = write_ids(p, &its.ids, err) && evaluate(o, o->gguf, NULL, p, context, values, observer, &loss, err);
    r->llama_compared = context - its.first;
    r->llama_allowed += its.step / 2; /* its numbers are steps of 16 bits */
    for (uint32_t i = its.first; ok && i < context; i++) {
        const uint32_t at = i - its.first;
        double difference = fabs(values[i - 1] - its.values[at]);
        if (!isnan(its.floors[at])) /* at most that */
            difference = fmax(0, values[i - 1] - its.floors[at]);
        r->llama_worst = difference > r->llama_worst || isnan(difference) ? difference : r->llama_worst;
        r->llama_mean += difference / r->llama_compared;
    }
    vkft_llama_cpp_logprobs_free(&its);
    free(values);
    return ok;
}

#define MIN_CONTEXT 8u

static bool compare_with_llama_cpp(const vkft_verify_options *o, const vkft_text *text, const vkft_ids *of_file,
                                   const place *p, const vkft_observer *observer, vkft_verify_result *r, vkft_err *err)
{
    vkft_llama_cpp programs;
    vkft_ids its = {0};
    if (!vkft_llama_cpp_find(o->llama_cpp, &programs, err))
        return false;
    if (!programs.tokenize)
        return true;
    bool ok = vkft_file_write(p->text, text->data, text->length, err) &&
              vkft_llama_cpp_tokens(&programs, o->gguf, p->text, &its, err) && write_twice(p, text, err);
    const uint32_t context = min_u32(its.count, 2 * o->tokens) / 2 * 2;
    r->llama = ok;
    r->llama_tokens = its.count;
    r->llama_other_token = ok ? first_other(of_file, &its) : -1;
    if (ok && context >= MIN_CONTEXT)
        ok = compare_its_logprobs(o, &programs, context, p, observer, r, err);
    vkft_ids_free(&its);
    vkft_llama_cpp_free(&programs);
    return ok;
}

bool vkft_verify_passes(const vkft_verify_result *r)
{
    return r->other_token < 0 && !isnan(r->worst) && (isnan(r->allowed) || r->worst <= r->allowed);
}

bool vkft_verify_llama_cpp_agrees(const vkft_verify_result *r)
{
    return !r->llama || (r->llama_other_token < 0 && !isnan(r->llama_worst) &&
                         (isnan(r->llama_allowed) || r->llama_worst <= r->llama_allowed));
}

bool vkft_verify(const vkft_verify_options *o, const vkft_observer *observer, vkft_verify_result *r, vkft_err *err)
{
    vkft_text text = {0};
    vkft_ids ids = {0}, of_file = {0};
    place p = {0};
    *r = (vkft_verify_result){0};
    bool ok = find_type(o->gguf, r, err) && read_text(o, &text, err) &&
              compare_tokens(o, &text, r, &ids, &of_file, err) && open_place(&p, err);
    if (!isnan(o->max_difference))
        r->allowed = r->llama_allowed = o->max_difference;
    ok = ok && compare_logprobs(o, &ids, &p, observer, r, err) &&
         compare_with_llama_cpp(o, &text, &of_file, &p, observer, r, err);
    close_place(&p);
    vkft_ids_free(&ids);
    vkft_ids_free(&of_file);
    vkft_text_free(&text);
    return ok;
}
