/* A merged model as a GGUF file.
 *
 * Of a model that was a GGUF file already, its keys are copied, but for those of the type, and so are the tables of
 * rotary positions. The experts of a layer become one tensor, in the order of their numbers.
 */
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "formats/gguf/keys.h"
#include "formats/tensors/ggml/encode.h"
#include "formats/tokenizer/files/special_tokens.h"
#include "host/merge/gguf_types.h"
#include "host/merge/merge.h"
#include "runtime/base/json.h"
#include "runtime/base/os/os.h"
#include "runtime/base/parallel.h"
#include "runtime/base/size.h"
#include "runtime/base/text.h"

/* A tensor of the file, and the weights that it is made of. */
typedef struct tensor {
    vkft_gguf_place place;
    vkft_dtype dtype;
    const vkft_source_weight **parts; /* by expert */
    uint32_t count;
} tensor;

typedef struct output {
    vkft_merge *merge;
    const vkft_config *config;
    const vkft_gguf_arch *arch;
    uint32_t file_type;
    vkft_gguf source; /* of a model that is a GGUF file */
    tensor *tensors;
    uint32_t count;
    vkft_gguf_writer *writer;
    vkft_err *err;

    /* the weight at work */
    const tensor *tensor;
    const vkft_source_weight *weight;
    const float *values;
    uint64_t rows;
    float *rearranged;
    uint8_t *encoded;
    uint64_t room; /* values that both have room for */
} output;

/* ---- the plan ---- */

static tensor *find_tensor(output *o, const vkft_gguf_place *place)
{
    /* experts of a layer mostly follow each other */
    for (uint32_t i = o->count; place->is_expert && i-- > 0;)
        if (strcmp(o->tensors[i].place.name, place->name) == 0)
            return &o->tensors[i];
    tensor *t = &o->tensors[o->count++];
    t->place = *place;
    t->count = place->is_expert ? o->config->experts : 1;
    t->parts = calloc(t->count, sizeof *t->parts);
    return t;
}

static bool plan_tensors(output *o)
{
    const vkft_weights *weights = &o->merge->weights;
    uint32_t left_out = 0;
    o->tensors = calloc(weights->count + 1ull, sizeof *o->tensors);
    if (!o->tensors)
        return vkft_fail_memory(o->err, "while writing a GGUF file");
    for (uint32_t i = 0; i < weights->count; i++) {
        const vkft_source_weight *w = &weights->list[i];
        vkft_gguf_place place;
        if (!w->name[0]) {
            left_out++;
            continue;
        }
        if (!vkft_gguf_place_of(o->arch, o->config, w->name, &place))
            return vkft_fail(o->err, VKFT_ERR_INPUT, "%s: a GGUF file has no name for tensor '%s'",
                             weights->source.path, w->written);
        tensor *t = find_tensor(o, &place);
        if (!t->parts)
            return vkft_fail_memory(o->err, "while writing a GGUF file");
        if (place.expert >= t->count || t->parts[place.expert])
            return vkft_fail(o->err, VKFT_ERR_INPUT, "%s: tensor '%s' is there twice, or of no expert",
                             weights->source.path, w->written);
        t->parts[place.expert] = w;
    }
    if (left_out)
        vkft_observer_say(&o->merge->options.observer, "%u tensors that are no part of the language model are left out",
                          left_out);
    return true;
}

/* All experts must be there, of one shape. */
static bool check_tensor(const output *o, const tensor *t)
{
    for (uint32_t e = 0; e < t->count; e++) {
        const vkft_source_weight *w = t->parts[e], *first = t->parts[0];
        if (!w || !first || w->rows != first->rows || w->cols != first->cols)
            return vkft_fail(o->err, VKFT_ERR_INPUT, "'%s': of %s the matrix of expert %u is missing, or another shape",
                             o->merge->weights.source.path, t->place.name, e);
    }
    return true;
}

static bool announce_tensors(output *o)
{
    bool tied = true;
    for (uint32_t i = 0; i < o->count; i++)
        tied = tied && strcmp(o->tensors[i].place.name, "output.weight") != 0;
    for (uint32_t i = 0; i < o->count; i++) {
        tensor *t = &o->tensors[i];
        if (!check_tensor(o, t))
            return false;
        const vkft_source_weight *w = t->parts[0];
        const uint64_t shape[] = {t->count, w->rows, w->cols};
        const uint32_t dims = t->place.is_expert ? 3 : w->dims;
        t->dtype = vkft_gguf_dtype_of(o->file_type, o->config, tied, &t->place, dims, w->cols);
        vkft_gguf_add_tensor(o->writer, t->place.name, t->dtype, dims, shape + 3 - dims);
    }
    return true;
}

/* ---- keys ---- */

/* The main chat template, malloc'ed; NULL: there is none. */
static char *chat_template(const vkft_weights *weights)
{
    static const char *const files[] = {"tokenizer_config.json", "chat_template.json"};
    size_t length;
    const char *text = vkft_weights_blob(weights, "chat_template.jinja", &length);
    char *found = text ? vkft_string_copy(text) : NULL;
    for (size_t i = 0; i < 2 && !found; i++) {
        text = vkft_weights_blob(weights, files[i], &length);
        cJSON *root = text ? vkft_json_parse_config(text, length, files[i], NULL) : NULL;
        const cJSON *value = vkft_json_member(root, "chat_template"), *list = cJSON_IsArray(value) ? value : NULL,
                    *item;
        if (cJSON_IsString(value))
            found = vkft_string_copy(value->valuestring);
        cJSON_ArrayForEach(item, list)
        {
            const char *name = cJSON_GetStringValue(vkft_json_member(item, "name")),
                       *body = cJSON_GetStringValue(vkft_json_member(item, "template"));
            if (name && body && !found && strcmp(name, "default") == 0)
                found = vkft_string_copy(body);
        }
        cJSON_Delete(root);
    }
    return found;
}

/* Keys that say how weights are stored, and in how many files. */
static bool is_of_storage(const char *key)
{
    return strcmp(key, "general.file_type") == 0 || strcmp(key, "general.quantization_version") == 0 ||
           strcmp(key, "general.alignment") == 0 || strncmp(key, "split.", 6) == 0 || strncmp(key, "quantize.", 9) == 0;
}

static bool is_table(const char *name)
{
    return strcmp(name, "rope_freqs.weight") == 0 || strncmp(name, "rope_factors_", 13) == 0;
}

static bool copy_keys(output *o)
{
    if (!vkft_gguf_open(o->merge->options.model, &o->source, o->err))
        return false;
    for (uint64_t i = 0; i < o->source.value_count; i++)
        if (!is_of_storage(o->source.values[i].key))
            vkft_gguf_put_copy(o->writer, &o->source.values[i]);
    for (uint32_t p = 0; p < o->source.part_count; p++)
        for (uint32_t i = 0; i < o->source.parts[p].count; i++) {
            const vkft_file_tensor *t = &o->source.parts[p].tensors[i];
            if (is_table(t->name))
                vkft_gguf_add_tensor(o->writer, t->name, t->dtype, t->dims, t->shape);
        }
    return true;
}

static bool copy_tables(output *o)
{
    for (uint32_t p = 0; p < o->source.part_count; p++)
        for (uint32_t i = 0; i < o->source.parts[p].count; i++) {
            const vkft_file_tensor *t = &o->source.parts[p].tensors[i];
            if (is_table(t->name) &&
                !vkft_gguf_append(o->writer, vkft_tensor_file_data(&o->source.parts[p], t), (size_t)t->bytes, o->err))
                return false;
        }
    return true;
}

static bool make_tokenizer(output *o)
{
    const vkft_weights *weights = &o->merge->weights;
    vkft_small_file files[VKFT_TOKENIZER_FILES] = {0};
    char *complete = NULL, *chat = chat_template(weights);
    for (uint32_t i = 0; i < VKFT_TOKENIZER_FILES; i++)
        files[i].data = vkft_weights_blob(weights, vkft_tokenizer_file_names[i], &files[i].length);
    bool ok = vkft_special_tokens_config(files, &complete, o->err);
    files[VKFT_FILE_TOKENIZER_CONFIG] = (vkft_small_file){complete, complete ? strlen(complete) : 0};
    ok = ok && vkft_gguf_put_tokenizer(o->writer, files, o->config, chat, &o->merge->options.observer, o->err);
    free(complete);
    free(chat);
    return ok || vkft_fail_context(o->err, "'%s'", weights->source.path);
}

static bool put_keys(output *o)
{
    const char *name = vkft_path_base(o->merge->weights.source.path);
    vkft_gguf_put_u32(o->writer, "general.file_type", o->file_type);
    vkft_gguf_put_u32(o->writer, "general.quantization_version", 2);
    if (o->merge->weights.is_gguf)
        return copy_keys(o);
    vkft_gguf_put_string(o->writer, "general.architecture", o->arch->name, strlen(o->arch->name));
    vkft_gguf_put_string(o->writer, "general.type", "model", 5);
    vkft_gguf_put_string(o->writer, "general.name", name, strlen(name));
    return vkft_gguf_put_config(o->writer, o->arch, o->config, &o->merge->options.observer, o->err) &&
           make_tokenizer(o);
}

/* ---- the data ---- */

/* The rows of each head in llama.cpp's order: its two halves alternate. step values are a row. */
static void interleave(output *o, uint64_t head, uint64_t step)
{
    const uint64_t rows = o->rows * o->weight->cols / step;
    for (uint64_t r = 0; r < rows; r++) {
        const float *from = o->values + vkft_gguf_interleaved_row(r, head) * step;
        memcpy(o->rearranged + r * step, from, (size_t)step * sizeof *from);
    }
    o->values = o->rearranged;
}

static void encode_row(void *context, uint64_t row, uint32_t worker)
{
    output *o = context;
    (void)worker;
    const uint64_t cols = o->weight->cols;
    vkft_ggml_from_f32(o->tensor->dtype, o->values + row * cols, cols,
                       o->encoded + row * vkft_dtype_bytes(o->tensor->dtype, cols));
}

static bool make_room(output *o, uint64_t values)
{
    if (values <= o->room)
        return true;
    free(o->rearranged);
    free(o->encoded);
    o->rearranged = malloc((size_t)values * sizeof *o->rearranged);
    o->encoded = malloc((size_t)values * sizeof(float));
    o->room = o->rearranged && o->encoded ? values : 0;
    return o->room || vkft_fail_memory(o->err, "while writing a GGUF file");
}

static bool take_rows(void *context, const float *values, uint64_t first, uint64_t rows, vkft_err *err)
{
    output *o = context;
    const vkft_gguf_place *place = &o->tensor->place;
    const uint64_t cols = o->weight->cols;
    (void)first;
    if (!make_room(o, rows * cols))
        return false;
    o->values = values;
    o->rows = rows;
    if (place->interleaved_heads && o->weight->dims == 2)
        interleave(o, o->weight->rows / place->interleaved_heads, cols);
    else if (place->interleaved_heads)
        interleave(o, cols / place->interleaved_heads, 1);
    if (place->gain_plus_one) {
        for (uint64_t i = 0; i < rows * cols; i++)
            o->rearranged[i] = values[i] + 1;
        o->values = o->rearranged;
    }
    const float limit = o->tensor->dtype == VKFT_F16 ? 65520.0f : INFINITY;
    for (uint64_t i = 0; i < rows * cols; i++)
        if (!(o->values[i] < limit && o->values[i] > -limit))
            return vkft_fail(err, VKFT_ERR_INPUT, "tensor '%s': a value is %g, which does not fit type %s",
                             o->weight->written, (double)o->values[i], vkft_dtype_name(o->tensor->dtype));
    vkft_parallel(vkft_worker_count(o->merge->options.threads), rows, encode_row, o);
    return vkft_gguf_append(o->writer, o->encoded, (size_t)(rows * vkft_dtype_bytes(o->tensor->dtype, cols)), err);
}

static bool write_tensor(output *o, const tensor *t)
{
    for (uint32_t e = 0; e < t->count; e++) {
        const uint64_t heads = t->place.interleaved_heads;
        o->tensor = t;
        o->weight = t->parts[e];
        const bool by_heads = heads && o->weight->dims == 2;
        if (heads && (by_heads ? o->weight->rows : o->weight->cols) % (2 * heads))
            return vkft_fail(o->err, VKFT_ERR_INPUT,
                             "tensor '%s': its rows are no multiple of twice its %" PRIu64 " heads", o->weight->written,
                             heads);
        if (!vkft_merge_weight(o->merge, o->weight, by_heads ? o->weight->rows / heads : 1, take_rows, o, o->err))
            return false;
    }
    return true;
}

static bool write_file(output *o, const char *path)
{
    if (!plan_tensors(o) || !put_keys(o) || !announce_tensors(o) || !vkft_gguf_begin(o->writer, path, o->err))
        return false;
    if (o->merge->weights.is_gguf ? !copy_tables(o) : !vkft_gguf_append_tables(o->writer, o->config, o->err))
        return false;
    for (uint32_t i = 0; i < o->count; i++)
        if (!write_tensor(o, &o->tensors[i]))
            return false;
    return true;
}

bool vkft_merge_write_gguf(vkft_merge *merge, const char *path, uint32_t file_type, vkft_err *err)
{
    output o = {.merge = merge, .config = &merge->weights.source.config, .file_type = file_type, .err = err};
    if (vkft_os_is_same(path, merge->options.model))
        return vkft_fail(err, VKFT_ERR_INPUT, "%s: is the model that is merged; expected another file to write", path);
    o.arch = vkft_gguf_arch_for(o.config, err);
    o.writer = o.arch ? vkft_gguf_writer_new(err) : NULL;
    bool ok = o.writer && write_file(&o, path);
    if (ok)
        ok = vkft_gguf_commit(o.writer, err);
    else
        vkft_gguf_writer_abandon(o.writer);
    for (uint32_t i = 0; o.tensors && i < o.count; i++)
        free(o.tensors[i].parts);
    free(o.tensors);
    free(o.rearranged);
    free(o.encoded);
    vkft_gguf_close(&o.source);
    return ok;
}
