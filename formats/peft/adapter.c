/* PEFT's LoRA adapter directories.
 *
 * Written are the keys that every PEFT since 0.9 knows, sorted as PEFT sorts them: newer keys have defaults there, and
 * an older PEFT refuses keys it does not know. Read is whatever changes nothing; a setting that would make the same
 * tensors mean something else is an error, because applying it halfway would give wrong answers silently.
 */
#include "formats/peft/adapter.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/base/json.h"
#include "runtime/base/json/builder.h"
#include "formats/tensors/pytorch_file.h"
#include "formats/tensors/safetensors.h"
#include "runtime/base/text.h"
#include "runtime/base/transpose.h"

#define CONFIG_NAME "adapter_config.json"
#define WEIGHTS_NAME "adapter_model.safetensors"
#define PICKLE_NAME "adapter_model.bin"
#define MLX_NAME "adapters.safetensors"
#define MAX_RANK 100000
#define MAX_CONFIG_BYTES 4000000
#define MAX_MODULE_NAMES 1000

static void free_list(char **list)
{
    for (char **name = list; name && *name; name++)
        free(*name);
    free(list);
}

void vkft_adapter_free(vkft_adapter *adapter)
{
    for (uint32_t i = 0; i < adapter->count; i++) {
        free(adapter->tensors[i].key);
        free(adapter->tensors[i].data);
    }
    free(adapter->tensors);
    for (int i = 0; i < 2; i++) {
        free(adapter->projection[i].key);
        free(adapter->projection[i].data);
    }
    for (char **name = adapter->config.target_modules; name && *name; name++)
        free(*name);
    free(adapter->config.target_modules);
    free_list(adapter->config.modules_to_save);
    free(adapter->config.base_model_name_or_path);
    vkft_module_targets_free(&adapter->config.targets);
    vkft_token_indices_free(&adapter->config.tokens);
    vkft_module_patterns_free(&adapter->config.rank_pattern);
    vkft_module_patterns_free(&adapter->config.alpha_pattern);
    *adapter = (vkft_adapter){0};
}

static bool ends_with(const char *text, const char *end)
{
    size_t size = strlen(text), length = strlen(end);
    return size >= length && strcmp(text + size - length, end) == 0;
}

/* Last component of the module in a key "base_model.model.<...>.<name>.lora_A.weight", and the number of the suffix, or
 * NULL; false when the key is not of this form. */
static bool module_of_key(const vkft_adapter_format *format, const char *key, const char **name, size_t *length,
                          uint32_t *number)
{
    size_t size = strlen(key);
    if (strncmp(key, "base_model.model.", 17) != 0)
        return false;
    for (uint32_t i = 0; i < 2 * VKFT_ADAPTER_TENSORS; i++) {
        uint32_t j = i % VKFT_ADAPTER_TENSORS;
        const char *text = i < VKFT_ADAPTER_TENSORS ? format->suffixes[j] : format->embedding[j];
        size_t suffix = text ? strlen(text) : 0;
        if (!text || size <= 17 + suffix || strcmp(key + size - suffix, text) != 0)
            continue;
        const char *end = key + size - suffix, *start = end;
        while (start > key && start[-1] != '.')
            start--;
        *name = start;
        *length = (size_t)(end - start);
        if (number)
            *number = j;
        return *length > 0;
    }
    return false;
}

/* Which of the matrices that modules share; 2: none. */
static int projection_of_key(const vkft_adapter_format *format, const char *key)
{
    return !format->vera                           ? 2
           : strcmp(key, "base_model.vera_A") == 0 ? 0
           : strcmp(key, "base_model.vera_B") == 0 ? 1
                                                   : 2;
}

/* Whether a file has it as a vector. */
static bool is_vector(const vkft_adapter_format *format, const char *key)
{
    const char *name;
    size_t length;
    uint32_t number;
    return module_of_key(format, key, &name, &length, &number) ? format->vector[number] : ends_with(key, ".bias");
}

static bool list_has(char *const *list, const char *name, size_t length)
{
    for (; *list; list++)
        if (strlen(*list) == length && memcmp(*list, name, length) == 0)
            return true;
    return false;
}

/* The distinct module names of all keys in the order of their appearance, NULL-terminated. Models have a dozen. */
static char **modules_of_tensors(const vkft_adapter *adapter, const char *path, vkft_err *err)
{
    char **list = calloc((size_t)adapter->count + 1, sizeof *list);
    uint32_t n = 0;
    for (uint32_t i = 0; list && i < adapter->count; i++) {
        const char *name;
        size_t length;
        if (!module_of_key(adapter->config.format, adapter->tensors[i].key, &name, &length, NULL) ||
            list_has(list, name, length))
            continue;
        list[n] = n < MAX_MODULE_NAMES ? malloc(length + 1) : NULL;
        if (!list[n]) {
            if (n == MAX_MODULE_NAMES)
                vkft_fail(err, VKFT_ERR_INPUT, "%s: the tensors name more than %d kinds of modules", path,
                          MAX_MODULE_NAMES);
            else
                vkft_fail_memory(err, "for adapter '%s'", path);
            free_list(list);
            return NULL;
        }
        memcpy(list[n], name, length);
        list[n++][length] = 0;
    }
    if (!list)
        vkft_fail_memory(err, "for adapter '%s'", path);
    return list;
}

/* ---- reading ---- */

/* null, false, an empty list or object, an empty string: a setting that is off. */
static bool is_off(const cJSON *value)
{
    return !value || cJSON_IsNull(value) || cJSON_IsFalse(value) ||
           ((cJSON_IsArray(value) || cJSON_IsObject(value)) && !value->child) ||
           (cJSON_IsString(value) && !*value->valuestring);
}

static bool fail_unsupported(const char *path, const char *key, const cJSON *value, const char *expected, vkft_err *err)
{
    char buffer[96];
    return vkft_fail(err, VKFT_ERR_INPUT, "%s: key '%s': found %s, which this version cannot apply; expected %s", path,
                     key, vkft_json_describe(value, buffer, sizeof buffer), expected);
}

/* What is to be done with an adapter that cannot be applied. */
#define MERGED "; or merge the adapter into its model by PEFT's merge_and_unload() and use the result as --model"

/* Initializations that change the base weights too; the saved tensors are only right together with that change. */
static bool check_initialization(const char *path, const cJSON *root, vkft_err *err)
{
    static const char *const changing[] = {"pissa", "olora", "corda", "loftq", "lora_ga"};
    const cJSON *value = vkft_json_member(root, "init_lora_weights");
    for (size_t i = 0; cJSON_IsString(value) && i < sizeof changing / sizeof *changing; i++)
        if (strncmp(value->valuestring, changing[i], strlen(changing[i])) == 0)
            return fail_unsupported(path, "init_lora_weights", value,
                                    "an adapter that was saved as plain LoRA (save_pretrained with "
                                    "path_initial_model_for_weight_conversion)" MERGED,
                                    err);
    return true;
}

static bool check_supported(const char *path, const cJSON *root, vkft_err *err)
{
    static const char *const off[] = {
        "use_qalora",   "use_bdlora",  "layer_replication", "target_parameters", "alora_invocation_tokens",
        "arrow_config", "kasa_config", "monteclora_config", "velora_config",     "ensure_weight_tying",
    };
    const cJSON *task = vkft_json_member(root, "task_type");
    if (task && (!cJSON_IsString(task) ||
                 (strcmp(task->valuestring, "CAUSAL_LM") != 0 && strcmp(task->valuestring, "SEQ_2_SEQ_LM") != 0)))
        return fail_unsupported(path, "task_type", task, "CAUSAL_LM or SEQ_2_SEQ_LM", err);
    for (size_t i = 0; i < sizeof off / sizeof *off; i++) {
        const cJSON *value = cJSON_GetObjectItemCaseSensitive(root, off[i]);
        if (!is_off(value))
            return fail_unsupported(path, off[i], value, "it to be off" MERGED, err);
    }
    return check_initialization(path, root, err);
}

static bool copy_list(const char *path, const char *key, const cJSON *list, char ***copy, vkft_err *err)
{
    size_t n = 0;
    *copy = calloc((size_t)cJSON_GetArraySize(list) + 1, sizeof **copy);
    if (!*copy)
        return vkft_fail_memory(err, "for adapter '%s'", path);
    for (const cJSON *item = list->child; item; item = item->next) {
        if (!cJSON_IsString(item))
            return fail_unsupported(path, key, item, "a list of names", err);
        if (!((*copy)[n++] = vkft_string_copy(item->valuestring)))
            return vkft_fail_memory(err, "for adapter '%s'", path);
    }
    return true;
}

/* A list of names, "all-linear", or a regular expression; for the last one the tensors themselves say which modules it
 * matched. */
static bool read_target_modules(const char *path, const cJSON *root, vkft_adapter *adapter, vkft_err *err)
{
    const cJSON *value = vkft_json_member(root, "target_modules");
    vkft_adapter_config *config = &adapter->config;
    if (cJSON_IsArray(value))
        return copy_list(path, "target_modules", value, &config->target_modules, err);
    config->target_all_linear = cJSON_IsString(value) && strcmp(value->valuestring, "all-linear") == 0;
    if (config->target_all_linear)
        return true;
    config->target_modules = modules_of_tensors(adapter, path, err);
    return config->target_modules != NULL;
}

static const char *bias_name(const vkft_adapter_config *config, vkft_adapter_bias bias)
{
    static const char *const names[] = {
        [VKFT_BIAS_NONE] = "none", [VKFT_BIAS_ALL] = "all", [VKFT_BIAS_LORA_ONLY] = "lora_only"};
    return config->format->vera && bias == VKFT_BIAS_LORA_ONLY ? "vera_only" : names[bias];
}

static bool read_bias(const char *path, const cJSON *root, vkft_adapter_config *config, vkft_err *err)
{
    const cJSON *value = vkft_json_member(root, "bias");
    for (int i = 0; value && i < 3; i++)
        if (cJSON_IsString(value) && strcmp(value->valuestring, bias_name(config, (vkft_adapter_bias)i)) == 0) {
            config->bias = (vkft_adapter_bias)i;
            return true;
        }
    return !value || fail_unsupported(
                         path, "bias", value,
                         config->format->vera ? "none, all or vera_only" MERGED : "none, all or lora_only" MERGED, err);
}

/* The known format that peft_type, use_dora and lora_bias name. */
static bool find_format(const char *path, const cJSON *root, const vkft_adapter_format *const *known,
                        vkft_adapter_config *config, vkft_err *err)
{
    const cJSON *value = vkft_json_member(root, "peft_type");
    bool use_dora = false, lora_bias = false;
    if (!vkft_json_get_bool(root, "use_dora", false, &use_dora, path, err) ||
        !vkft_json_get_bool(root, "lora_bias", false, &lora_bias, path, err))
        return false;
    if (use_dora && lora_bias)
        return fail_unsupported(path, "lora_bias", vkft_json_member(root, "lora_bias"), "it to be off with use_dora",
                                err);
    for (; *known; known++) {
        config->format = *known;
        if (cJSON_IsString(value) && strcmp(value->valuestring, config->format->peft_type) == 0 &&
            use_dora == config->format->use_dora && lora_bias == config->format->lora_bias)
            return true;
    }
    return fail_unsupported(path, "peft_type", value, "LORA, IA3 or VERA" MERGED, err);
}

static bool read_patterns(const char *path, const cJSON *root, vkft_adapter_config *config, vkft_err *err)
{
    if (!vkft_module_patterns_read(&config->rank_pattern, root, "rank_pattern", path, err) ||
        !vkft_module_patterns_read(&config->alpha_pattern, root, "alpha_pattern", path, err) ||
        !vkft_module_targets_read(&config->targets, root, path, err))
        return false;
    for (uint32_t i = 0; i < config->rank_pattern.count; i++) {
        const vkft_module_pattern *p = &config->rank_pattern.items[i];
        if (!(p->value >= 1 && p->value <= MAX_RANK && p->value == floor(p->value)))
            return vkft_fail(err, VKFT_ERR_INPUT, "%s: key 'rank_pattern': '%.100s' is %g, expected a whole number > 0",
                             path, p->key, p->value);
    }
    return true;
}

static bool read_config(const char *path, const cJSON *root, vkft_adapter *adapter, vkft_err *err)
{
    vkft_adapter_config *config = &adapter->config;
    const char *base = NULL;
    double alpha = 0, dropout = 0, d_initial = 0.1;
    bool ranked = !config->format->ia3, vera = config->format->vera;
    const char *dropout_key = vera ? "vera_dropout" : "lora_dropout";
    config->save_projection = vera;
    bool ok = read_patterns(path, root, config, err) && vkft_json_get_u32(root, "r", ranked, &config->r, path, err) &&
              vkft_json_get_double(root, "lora_alpha", ranked && !vera, &alpha, path, err) &&
              vkft_json_get_double(root, dropout_key, false, &dropout, path, err) &&
              vkft_json_get_u32(root, "projection_prng_key", false, &config->projection_prng_key, path, err) &&
              vkft_json_get_bool(root, "save_projection", false, &config->save_projection, path, err) &&
              vkft_json_get_double(root, "d_initial", false, &d_initial, path, err) &&
              vkft_json_get_bool(root, "fan_in_fan_out", false, &config->fan_in_fan_out, path, err) &&
              vkft_json_get_bool(root, "use_rslora", false, &config->use_rslora, path, err) &&
              vkft_json_get_string(root, "base_model_name_or_path", false, &base, path, err) &&
              read_target_modules(path, root, adapter, err);
    if (ok && ((ranked && !config->r) || !(dropout >= 0 && dropout < 1)))
        ok = vkft_fail(err, VKFT_ERR_INPUT, "%s: r %" PRIu32 " and %s %g; expected r > 0 and 0 <= %s < 1", path,
                       config->r, dropout_key, dropout, dropout_key);
    if (ok && base && !(config->base_model_name_or_path = vkft_string_copy(base)))
        ok = vkft_fail_memory(err, "for adapter '%s'", path);
    if (ok && !isfinite((float)alpha))
        ok = vkft_fail(err, VKFT_ERR_INPUT, "%s: lora_alpha %g is too large for a 32-bit number", path, alpha);
    config->lora_alpha = (float)alpha;
    config->lora_dropout = (float)dropout;
    config->d_initial = (float)d_initial;
    return ok;
}

static bool read_modules_to_save(const char *path, const cJSON *root, vkft_adapter_config *config, vkft_err *err)
{
    const cJSON *value = vkft_json_member(root, "modules_to_save");
    if (is_off(value))
        return true;
    if (!cJSON_IsArray(value))
        return fail_unsupported(path, "modules_to_save", value, "a list of names", err);
    return copy_list(path, "modules_to_save", value, &config->modules_to_save, err);
}

static bool read_tokens(const char *path, const cJSON *root, vkft_adapter_config *config, vkft_err *err)
{
    return vkft_token_indices_read(&config->tokens, vkft_json_member(root, "trainable_token_indices"),
                                   "key 'trainable_token_indices'", err) ||
           vkft_fail_context(err, "%s", path);
}

/* Whether the key is that of a module in modules_to_save, "base_model.model.lm_head.weight", of one of the model's
 * biases, of trained tokens, or of a copy. */
static bool is_saved_whole(const vkft_adapter_config *config, const char *key)
{
    size_t size = strlen(key);
    if (strncmp(key, "base_model.model.", 17) == 0 &&
        ((config->bias && ends_with(key, ".bias")) || (config->tokens.count && ends_with(key, VKFT_ADAPTER_TOKENS)) ||
         (config->format->embedding[0] && ends_with(key, VKFT_ADAPTER_COPY))))
        return true;
    if (strncmp(key, "base_model.model.", 17) != 0 || size <= 17 + 7 || strcmp(key + size - 7, ".weight") != 0)
        return false;
    for (char **name = config->modules_to_save; name && *name; name++) {
        size_t n = strlen(*name);
        const char *at = key + size - 7 - n;
        if (n <= size - 17 - 7 && memcmp(at, *name, n) == 0 && at[-1] == '.')
            return true;
    }
    return false;
}

static bool fail_key(const char *path, const char *key, const vkft_adapter_format *format, vkft_err *err)
{
    char expected[256] = "";
    for (const char *const *suffix = format->suffixes; *suffix; suffix++) {
        size_t n = strlen(expected);
        snprintf(expected + n, sizeof expected - n, "%s%s", n ? " or " : "", *suffix);
    }
    return vkft_fail(err, VKFT_ERR_INPUT, "%s: tensor '%s' cannot be applied; expected base_model.model.<module>%s",
                     path, key, expected);
}

/* The matrix row by row, which PyTorch's files may have column by column. */
static bool decode(const vkft_tensor_file *file, const vkft_file_tensor *from, float *values)
{
    float *columns = from->column_major ? malloc((size_t)from->elements * sizeof *columns) : NULL;
    if (from->column_major && !columns)
        return false;
    vkft_to_f32(from->dtype, vkft_tensor_file_data(file, from), from->elements, columns ? columns : values);
    if (columns)
        vkft_transpose(columns, from->shape[1], from->shape[0], sizeof *values, values);
    free(columns);
    return true;
}

static bool read_tensor(const vkft_tensor_file *file, const vkft_file_tensor *from, const vkft_adapter_config *config,
                        vkft_adapter_tensor *to, vkft_err *err)
{
    const vkft_adapter_format *format = config->format;
    const char *name;
    size_t length;
    if (!module_of_key(format, from->name, &name, &length, NULL) && !is_saved_whole(config, from->name) &&
        projection_of_key(format, from->name) == 2)
        return fail_key(file->path, from->name, format, err);
    if (from->dtype != VKFT_F32 && from->dtype != VKFT_F16 && from->dtype != VKFT_BF16)
        return vkft_fail(err, VKFT_ERR_INPUT, "%s: tensor '%s' has dtype %s; supported are F32, F16 and BF16",
                         file->path, from->name, vkft_dtype_name(from->dtype));
    bool vector = is_vector(format, from->name);
    uint64_t rows = from->shape[0], cols = vector ? 1 : from->shape[1];
    if (from->dims != (vector ? 1 : 2) || !from->elements || rows > UINT32_MAX || cols > UINT32_MAX)
        return vkft_fail(err, VKFT_ERR_INPUT,
                         "%s: tensor '%s' has %" PRIu32 " dimensions or an unusable size; expected a %s", file->path,
                         from->name, from->dims, vector ? "vector" : "matrix");
    to->rows = (uint32_t)rows;
    to->cols = (uint32_t)cols;
    to->key = vkft_string_copy(from->name);
    to->data = malloc((size_t)from->elements * sizeof *to->data);
    if (!to->key || !to->data)
        return vkft_fail_memory(err, "for adapter '%s'", file->path);
    if (!decode(file, from, to->data))
        return vkft_fail_memory(err, "for adapter '%s'", file->path);
    for (uint64_t i = 0; i < from->elements; i++)
        if (to->data[i] - to->data[i] != 0)
            return vkft_fail(err, VKFT_ERR_INPUT, "%s: tensor '%s': element %" PRIu64 " is %g, expected finite weights",
                             file->path, from->name, i, (double)to->data[i]);
    return true;
}

static bool read_tensors(const vkft_tensor_file *file, vkft_adapter *adapter, vkft_err *err)
{
    adapter->tensors = calloc((size_t)file->count + 1, sizeof *adapter->tensors);
    bool ok = adapter->tensors || vkft_fail_memory(err, "for adapter '%s'", file->path);
    if (ok && !file->count)
        ok = vkft_fail(err, VKFT_ERR_INPUT, "%s: no tensors", file->path);
    for (uint32_t i = 0; ok && i < file->count; i++) {
        int shared = projection_of_key(adapter->config.format, file->tensors[i].name);
        vkft_adapter_tensor *to = shared < 2 ? &adapter->projection[shared] : &adapter->tensors[adapter->count++];
        ok = read_tensor(file, &file->tensors[i], &adapter->config, to, err);
    }
    return ok;
}

/* safetensors go before PyTorch's pickle, as in PEFT. */
static bool open_weights(const char *dir, vkft_tensor_file *file, vkft_err *err)
{
    char *weights = vkft_path_join(dir, WEIGHTS_NAME), *pickle = vkft_path_join(dir, PICKLE_NAME);
    bool ok = (weights && pickle) || vkft_fail_memory(err, "for adapter '%s'", dir);
    if (ok && !vkft_file_exists(weights) && vkft_file_exists(pickle))
        ok = vkft_pytorch_open(pickle, file, err);
    else
        ok = ok && vkft_safetensors_open(weights, file, err);
    free(weights);
    free(pickle);
    return ok;
}

/* What cannot be applied is told before the tensors are read, some of which may then be strange. A pattern in the
 * configuration is read with the tensors at hand. */
static bool read_files(const char *dir, const char *config, const vkft_adapter_format *const *known,
                       vkft_adapter *adapter, vkft_err *err)
{
    vkft_tensor_file file = {0};
    cJSON *root = vkft_json_read_object(config, MAX_CONFIG_BYTES, err);
    bool ok = root && (vkft_json_keep_last(root) || vkft_fail_memory(err, "for adapter '%s'", config)) &&
              find_format(config, root, known, &adapter->config, err) && check_supported(config, root, err) &&
              read_bias(config, root, &adapter->config, err) &&
              read_modules_to_save(config, root, &adapter->config, err) &&
              read_tokens(config, root, &adapter->config, err) && open_weights(dir, &file, err);
    if (ok)
        ok = read_tensors(&file, adapter, err) && read_config(config, root, adapter, err);
    cJSON_Delete(root);
    vkft_tensor_file_close(&file);
    return ok;
}

static bool has_file(const char *dir, const char *name)
{
    char *path = vkft_path_join(dir, name);
    bool found = path && vkft_file_exists(path);
    free(path);
    return found;
}

/* Directories that are no adapters, or no PEFT's. */
static bool check_directory(const char *dir, vkft_err *err)
{
    if (!vkft_directory_exists(dir))
        return vkft_fail(err, VKFT_ERR_IO, "'%s' is not a directory; expected an adapter directory with " CONFIG_NAME,
                         dir);
    if (has_file(dir, MLX_NAME) && !has_file(dir, WEIGHTS_NAME))
        return vkft_fail(err, VKFT_ERR_INPUT,
                         "'%s' holds an adapter of MLX (" MLX_NAME "), which is not supported; expected one of PEFT "
                         "(" WEIGHTS_NAME ")",
                         dir);
    if (!has_file(dir, CONFIG_NAME) && has_file(dir, "config.json"))
        return vkft_fail(err, VKFT_ERR_INPUT, "'%s' is a model (config.json), not an adapter, which has " CONFIG_NAME,
                         dir);
    return true;
}

bool vkft_adapter_read(const char *dir, const vkft_adapter_format *const *known, vkft_adapter *adapter, vkft_err *err)
{
    *adapter = (vkft_adapter){0};
    if (!check_directory(dir, err))
        return false;
    char *config = vkft_path_join(dir, CONFIG_NAME);
    bool ok =
        (config || vkft_fail_memory(err, "for adapter '%s'", dir)) && read_files(dir, config, known, adapter, err);
    free(config);
    if (!ok)
        vkft_adapter_free(adapter);
    return ok;
}

/* ---- writing ---- */

/* The shortest decimal that reads back as the same float: 0.05, not 0.0500000007. */
static bool add_float(cJSON *object, const char *key, float value)
{
    char text[32];
    for (int digits = 6; digits <= 9; digits++) {
        snprintf(text, sizeof text, "%.*g", digits, (double)value);
        if (strtof(text, NULL) == value)
            break;
    }
    return cJSON_AddRawToObject(object, key, text);
}

/* With all-linear the names are written out: every reader understands a list, and it stays right if the base model
 * gains a module. */
static bool add_target_modules(cJSON *object, const vkft_adapter *adapter)
{
    char **names = adapter->config.target_all_linear || !adapter->config.target_modules
                       ? modules_of_tensors(adapter, "adapter", NULL)
                       : NULL;
    char *const *list = names ? names : adapter->config.target_modules;
    size_t count = 0;
    while (list && list[count])
        count++;
    const char **sorted = malloc((count + 1) * sizeof *sorted);
    bool ok = list && sorted;
    for (size_t i = 0; ok && i < count; i++)
        sorted[i] = list[i];
    if (ok)
        qsort(sorted, count, sizeof *sorted, vkft_string_compare);
    cJSON *array = ok ? cJSON_AddArrayToObject(object, "target_modules") : NULL;
    for (size_t i = 0; i < count && array; i++)
        ok = ok && cJSON_AddItemToArray(array, cJSON_CreateString(sorted[i]));
    free(sorted);
    free_list(names);
    return ok && array;
}

static bool add_base_model(cJSON *object, const char *base)
{
    bool failed = false;
    vkft_json_node o = {object, &failed};
    if (base)
        vkft_json_put_string(o, "base_model_name_or_path", base); /* a path, of any bytes */
    else
        vkft_json_put_null(o, "base_model_name_or_path");
    return !failed;
}

static bool add_patterns(cJSON *o, const char *key, const vkft_module_patterns *patterns)
{
    cJSON *object = cJSON_AddObjectToObject(o, key);
    bool ok = object != NULL;
    for (uint32_t i = 0; ok && i < patterns->count; i++)
        ok = add_float(object, patterns->items[i].key, (float)patterns->items[i].value);
    return ok;
}

/* A setting that leaves modules out; null or absent where there is none. */
static bool add_setting(cJSON *object, const vkft_adapter_config *config, const char *key, bool always)
{
    const cJSON *value = vkft_json_member(config->targets.config, key);
    if (!value)
        return !always || cJSON_AddNullToObject(object, key);
    return cJSON_AddItemToObject(object, key, cJSON_Duplicate(value, true));
}

static bool add_modules_to_save(cJSON *object, char *const *names)
{
    if (!names)
        return cJSON_AddNullToObject(object, "modules_to_save");
    cJSON *list = cJSON_AddArrayToObject(object, "modules_to_save");
    bool ok = list != NULL;
    for (; ok && *names; names++)
        ok = cJSON_AddItemToArray(list, cJSON_CreateString(*names));
    return ok;
}

/* PEFT knows it since 0.15. */
static bool add_tokens(cJSON *object, const vkft_adapter_config *config)
{
    return !config->tokens.count ||
           cJSON_AddItemToObject(object, "trainable_token_indices", vkft_token_indices_json(&config->tokens));
}

/* Of the target modules those whose input is multiplied, which the shapes of their tensors tell: PEFT wants names of
 * target_modules. */
static bool add_feedforward(cJSON *object, const vkft_adapter *adapter)
{
    cJSON *list = cJSON_AddArrayToObject(object, "feedforward_modules");
    bool ok = list != NULL;
    for (char **name = adapter->config.target_modules; ok && name && *name; name++) {
        bool input = false;
        for (uint32_t i = 0; i < adapter->count && !input; i++) {
            const vkft_adapter_tensor *t = &adapter->tensors[i];
            size_t size = strlen(t->key), end = strlen(".ia3_l"), length = strlen(*name);
            input = t->rows == 1 && ends_with(t->key, ".ia3_l") && size > end + length &&
                    memcmp(t->key + size - end - length, *name, length) == 0 && t->key[size - end - length - 1] == '.';
        }
        ok = !input || cJSON_AddItemToArray(list, cJSON_CreateString(*name));
    }
    return ok;
}

static bool fill_ia3_config(cJSON *o, const vkft_adapter *adapter)
{
    const vkft_adapter_config *config = &adapter->config;
    return cJSON_AddNullToObject(o, "auto_mapping") && add_base_model(o, config->base_model_name_or_path) &&
           add_setting(o, config, "exclude_modules", false) &&
           cJSON_AddBoolToObject(o, "fan_in_fan_out", config->fan_in_fan_out) && add_feedforward(o, adapter) &&
           cJSON_AddTrueToObject(o, "inference_mode") && cJSON_AddTrueToObject(o, "init_ia3_weights") &&
           add_modules_to_save(o, config->modules_to_save) &&
           cJSON_AddStringToObject(o, "peft_type", config->format->peft_type) && cJSON_AddNullToObject(o, "revision") &&
           add_target_modules(o, adapter) &&
           cJSON_AddStringToObject(o, "task_type", config->seq2seq ? "SEQ_2_SEQ_LM" : "CAUSAL_LM");
}

static bool fill_vera_config(cJSON *o, const vkft_adapter *adapter)
{
    const vkft_adapter_config *config = &adapter->config;
    return cJSON_AddNullToObject(o, "auto_mapping") && add_base_model(o, config->base_model_name_or_path) &&
           cJSON_AddStringToObject(o, "bias", bias_name(config, config->bias)) &&
           add_float(o, "d_initial", config->d_initial) &&
           cJSON_AddBoolToObject(o, "fan_in_fan_out", config->fan_in_fan_out) &&
           cJSON_AddTrueToObject(o, "inference_mode") && cJSON_AddTrueToObject(o, "init_weights") &&
           add_setting(o, config, "layers_pattern", true) && add_setting(o, config, "layers_to_transform", true) &&
           add_modules_to_save(o, config->modules_to_save) &&
           cJSON_AddStringToObject(o, "peft_type", config->format->peft_type) &&
           cJSON_AddNumberToObject(o, "projection_prng_key", config->projection_prng_key) &&
           cJSON_AddNumberToObject(o, "r", config->r) && cJSON_AddNullToObject(o, "revision") &&
           cJSON_AddBoolToObject(o, "save_projection", config->save_projection) && add_target_modules(o, adapter) &&
           cJSON_AddStringToObject(o, "task_type", config->seq2seq ? "SEQ_2_SEQ_LM" : "CAUSAL_LM") &&
           add_float(o, "vera_dropout", config->lora_dropout);
}

static bool fill_config(cJSON *o, const vkft_adapter *adapter)
{
    const vkft_adapter_config *config = &adapter->config;
    if (config->format->ia3)
        return fill_ia3_config(o, adapter);
    if (config->format->vera)
        return fill_vera_config(o, adapter);
    return add_patterns(o, "alpha_pattern", &config->alpha_pattern) && cJSON_AddNullToObject(o, "auto_mapping") &&
           add_base_model(o, config->base_model_name_or_path) &&
           cJSON_AddStringToObject(o, "bias", bias_name(config, config->bias)) &&
           add_setting(o, config, "exclude_modules", false) && /* PEFT knows it since 0.14 */
           cJSON_AddBoolToObject(o, "fan_in_fan_out", config->fan_in_fan_out) &&
           cJSON_AddTrueToObject(o, "inference_mode") && cJSON_AddTrueToObject(o, "init_lora_weights") &&
           add_setting(o, config, "layers_pattern", true) && add_setting(o, config, "layers_to_transform", true) &&
           add_float(o, "lora_alpha", config->lora_alpha) &&
           (!config->format->lora_bias || cJSON_AddTrueToObject(o, "lora_bias")) && /* since 0.14 */
           add_float(o, "lora_dropout", config->lora_dropout) && add_modules_to_save(o, config->modules_to_save) &&
           cJSON_AddStringToObject(o, "peft_type", config->format->peft_type) &&
           cJSON_AddNumberToObject(o, "r", config->r) && add_patterns(o, "rank_pattern", &config->rank_pattern) &&
           cJSON_AddNullToObject(o, "revision") && add_target_modules(o, adapter) &&
           cJSON_AddStringToObject(o, "task_type", config->seq2seq ? "SEQ_2_SEQ_LM" : "CAUSAL_LM") &&
           add_tokens(o, config) && cJSON_AddBoolToObject(o, "use_dora", config->format->use_dora) &&
           cJSON_AddBoolToObject(o, "use_rslora", config->use_rslora);
}

static bool write_config(const char *path, const vkft_adapter *adapter, vkft_err *err)
{
    cJSON *object = cJSON_CreateObject();
    char *text = object && fill_config(object, adapter) ? cJSON_Print(object) : NULL;
    cJSON_Delete(object);
    bool ok = text ? vkft_file_write(path, text, strlen(text), err) : vkft_fail_memory(err, "for adapter '%s'", path);
    cJSON_free(text);
    return ok;
}

static bool write_weights(const char *path, const vkft_adapter *adapter, vkft_err *err)
{
    uint32_t shared = adapter->projection[0].data ? 2 : 0, count = shared + adapter->count;
    vkft_safetensors_spec *specs = calloc((size_t)count + 1, sizeof *specs);
    if (!specs)
        return vkft_fail_memory(err, "for adapter '%s'", path);
    for (uint32_t i = 0; i < count; i++) {
        const vkft_adapter_tensor *t = i < shared ? &adapter->projection[i] : &adapter->tensors[i - shared];
        specs[i] = (vkft_safetensors_spec){.name = t->key,
                                           .dtype = VKFT_F32,
                                           .dims = is_vector(adapter->config.format, t->key) ? 1 : 2,
                                           .shape = {t->rows, t->cols}};
    }
    vkft_safetensors_writer *writer = vkft_safetensors_create(path, specs, count, err);
    free(specs);
    bool ok = writer != NULL;
    for (uint32_t i = 0; ok && i < count; i++) {
        const vkft_adapter_tensor *t = i < shared ? &adapter->projection[i] : &adapter->tensors[i - shared];
        ok = vkft_safetensors_append(writer, t->data, (size_t)t->rows * t->cols * sizeof *t->data, err);
    }
    if (ok)
        return vkft_safetensors_commit(writer, err);
    vkft_safetensors_abandon(writer);
    return false;
}

bool vkft_adapter_write(const char *dir, const vkft_adapter *adapter, vkft_err *err)
{
    char *config = vkft_path_join(dir, CONFIG_NAME), *weights = vkft_path_join(dir, WEIGHTS_NAME);
    bool ok = (config && weights) || vkft_fail_memory(err, "for adapter '%s'", dir);
    ok = ok && write_weights(weights, adapter, err) && write_config(config, adapter, err);
    free(config);
    free(weights);
    return ok;
}
