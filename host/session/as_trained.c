/* See as_trained.h. */
#include "host/session/as_trained.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "formats/native/model_file.h"
#include "runtime/base/file.h"
#include "runtime/base/json.h"

#define RECORD_LIMIT (1u << 28)

/* What a run remembers of itself. */
typedef struct record {
    bool found;
    bool whole;               /* all weights were trained */
    vkft_storage weights;     /* what the weights were converted to; none: as the checkpoint has them */
    vkft_dtype compute_dtype; /* that products were computed in */
} record;

static bool is_text(const cJSON *object, const char *key, const char *text)
{
    const cJSON *value = vkft_json_member(object, key);
    return cJSON_IsString(value) && strcmp(value->valuestring, text) == 0;
}

/* Earlier versions kept the flags alone. */
static bool read_weights(const cJSON *root, const cJSON *run, vkft_storage *weights)
{
    const cJSON *label = vkft_json_member(run, VKFT_RECORD_WEIGHTS), *quant = vkft_json_member(root, "quant");
    if (cJSON_IsString(label))
        return vkft_storage_named(label->valuestring, weights);
    if (!cJSON_IsString(quant) || !vkft_storage_named(quant->valuestring, weights))
        return false;
    *weights = vkft_storage_variant(*weights, cJSON_IsTrue(vkft_json_member(root, "double_quant")));
    return true;
}

/* A file that says nothing of a run is no record. */
static bool read_record(const char *dir, const char *name, record *r, vkft_err *err)
{
    *r = (record){0};
    bool found = false;
    char *path = vkft_path_join(dir, name);
    cJSON *root = NULL;
    bool ok = (path || vkft_fail_memory(err, "while reading %s", name)) && vkft_file_find(path, &found, err) &&
              (!found || (root = vkft_json_read_object(path, RECORD_LIMIT, err)));
    const cJSON *run = root ? vkft_json_member(root, "run") : NULL;
    if (cJSON_IsObject(run)) {
        r->found = read_weights(root, run, &r->weights);
        r->whole = is_text(run, "--fine-tune-type", "full");
        r->compute_dtype = is_text(run, "--compute-dtype", "bf16")   ? VKFT_BF16
                           : is_text(run, "--compute-dtype", "fp16") ? VKFT_F16
                                                                     : VKFT_F32;
    }
    cJSON_Delete(root);
    free(path);
    return ok;
}

/* Of a result or a checkpoint; "best-N" is beside the record of its run. */
static bool find_record(const char *dir, record *r, vkft_err *err)
{
    if (!read_record(dir, "vkft.json", r, err))
        return false;
    if (!r->found && !read_record(dir, "vkft_state.json", r, err))
        return false;
    if (r->found || strncmp(vkft_path_base(dir), "best-", 5) != 0)
        return true;
    char *parent = vkft_path_parent(dir);
    bool ok = parent ? read_record(parent, "vkft.json", r, err) : vkft_fail_memory(err, "while reading %s", dir);
    free(parent);
    return ok;
}

/* "--quant nf4 --no-double-quant": the flags that ask for a storage type. */
static void flags_text(vkft_storage storage, char *text, size_t size)
{
    vkft_storage plain = storage;
    for (int i = 0; i < VKFT_STORAGE_COUNT && !vkft_storage_keeps(storage); i++)
        if (vkft_storage_get((vkft_storage)i)->super == storage)
            plain = (vkft_storage)i;
    bool may_double = !vkft_storage_keeps(plain) && vkft_storage_get(plain)->super != VKFT_STORAGE_none;
    snprintf(text, size, "--quant %s%s", vkft_quant_label(plain),
             plain != storage ? " --double-quant"
             : may_double     ? " --no-double-quant"
                              : "");
}

static void say_weights(const record *r, vkft_storage used, const char *adapter, const vkft_model_options *asked,
                        const vkft_observer *observer)
{
    char now[64], then[64];
    flags_text(used, now, sizeof now);
    flags_text(r->weights, then, sizeof then);
    if (r->found && used == r->weights)
        vkft_observer_say(observer, "%s, as the adapter was trained", now);
    else if (r->found)
        vkft_observer_say(observer, "warning: the adapter was trained with %s, and the model is used with %s", then,
                          now);
    else if (!asked->quant_explicit)
        vkft_observer_say(
            observer,
            "%s does not say what the weights were when it was trained: %s is used; give --quant if it was another",
            adapter, now);
}

/* As the run computed them, unless the user says otherwise; fp32, which any device computes, goes without saying. */
static void choose_products(vkft_session *session, const record *r, const vkft_observer *observer)
{
    vkft_model_options *o = &session->options;
    if (!r->found || o->compute_dtype == r->compute_dtype)
        return;
    if (o->compute_explicit && o->compute_dtype != VKFT_COMPUTE_AUTO) {
        vkft_observer_say(observer,
                          "warning: the adapter was trained with --compute-dtype %s, and the model is used with "
                          "--compute-dtype %s",
                          vkft_compute_name(r->compute_dtype), vkft_compute_name(o->compute_dtype));
    } else if (r->compute_dtype != VKFT_BF16 || vkft_model_is_quantized(&session->model)) {
        o->compute_dtype = r->compute_dtype;
        if (r->compute_dtype != VKFT_F32)
            vkft_observer_say(observer, "--compute-dtype %s, as the adapter was trained",
                              vkft_compute_name(o->compute_dtype));
    }
}

bool vkft_session_open_as_trained(vkft_session *session, const vkft_model_options *model, const char *adapter,
                                  vkft_base *base, const vkft_observer *observer, vkft_err *err)
{
    vkft_session_source source = {.model = *model, .base = base};
    record r = {0}, of_model = {0}; /* random weights have none */
    if ((!model->random && !find_record(model->path, &of_model, err)) || (adapter && !find_record(adapter, &r, err)))
        return false;
    bool whole = of_model.whole;
    if (!model->quant_explicit && (r.found || whole)) {
        source.model.quant = r.found ? r.weights : VKFT_STORAGE_none;
        source.model.super_scales = false; /* the type says it */
        source.model.quant_settled = true;
    }
    if (!vkft_session_open(session, &source, observer, err))
        return false;
    vkft_storage used = VKFT_STORAGE_none;
    if (session->file)
        vkft_storage_named(vkft_model_file_quantization(session->file), &used);
    if (adapter)
        say_weights(&r, used, adapter, model, observer);
    else if (whole && used == VKFT_STORAGE_none)
        vkft_observer_say(observer, "--quant none: all of the model's weights were trained");
    choose_products(session, &r, observer);
    if (vkft_session_use_adapter(session, adapter, observer, err))
        return true;
    vkft_session_close(session);
    return false;
}
