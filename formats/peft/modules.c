/* Names of modules, as peft.tuners.tuners_utils matches them. */
#include "formats/peft/modules.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

#include "runtime/base/json.h"
#include "runtime/base/text.h"

/* Configurations are downloaded: expressions may cost this much. */
#define MAX_EXPRESSIONS 256
#define MAX_KEY 1000
#define MAX_STEPS 100000

/* `form` has one %s for the expression. */
static bool compile(const char *form, const char *expression, const char *path, const char *key, void **regex,
                    vkft_err *err)
{
    char text[MAX_KEY + 64];
    int code;
    PCRE2_SIZE offset;
    if (strlen(expression) > MAX_KEY)
        return vkft_fail(err, VKFT_ERR_INPUT, "%s: key '%s': '%.40s...' is longer than %d characters", path, key,
                         expression, MAX_KEY);
    snprintf(text, sizeof text, form, expression);
    *regex = pcre2_compile((PCRE2_SPTR)text, PCRE2_ZERO_TERMINATED,
                           PCRE2_UTF | PCRE2_ANCHORED | PCRE2_NEVER_BACKSLASH_C, &code, &offset, NULL);
    if (*regex)
        return true;
    PCRE2_UCHAR message[128];
    pcre2_get_error_message(code, message, sizeof message);
    return vkft_fail(err, VKFT_ERR_INPUT, "%s: key '%s': '%.100s' is no regular expression: %s", path, key, expression,
                     (const char *)message);
}

/* *end: where the first group ends, if it is asked for; 0: an expression may have none, or match without it. */
static bool matches(const void *regex, const char *module, bool *found, size_t *end, vkft_err *err)
{
    pcre2_match_data *data = pcre2_match_data_create_from_pattern(regex, NULL);
    pcre2_match_context *context = pcre2_match_context_create(NULL);
    int count = PCRE2_ERROR_NOMEMORY;
    if (data && context) {
        pcre2_set_match_limit(context, MAX_STEPS);
        count = pcre2_match(regex, (PCRE2_SPTR)module, strlen(module), 0, 0, data, context);
    }
    *found = count > 0;
    if (*found && end)
        *end = count > 1 && pcre2_get_ovector_pointer(data)[3] != PCRE2_UNSET ? pcre2_get_ovector_pointer(data)[3] : 0;
    pcre2_match_data_free(data);
    pcre2_match_context_free(context);
    if (count > 0 || count == PCRE2_ERROR_NOMATCH)
        return true;
    PCRE2_UCHAR message[128];
    pcre2_get_error_message(count, message, sizeof message);
    return vkft_fail(err, VKFT_ERR_INPUT, "an expression for the adapter's modules fails on %s: %s", module,
                     (const char *)message);
}

/* ---- values by name ---- */

static bool is_name(const char *key)
{
    return *key && key[strspn(key, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-")] == 0;
}

/* As the expression "(.*\.)?(key)$" matches. */
static bool is_end(const char *key, const char *module)
{
    size_t n = strlen(module), k = strlen(key);
    if (k > n || (k < n && module[n - k - 1] != '.'))
        return false;
    for (size_t i = 0; i < k; i++)
        if (key[i] != '.' && key[i] != module[n - k + i])
            return false;
    return true;
}

bool vkft_module_patterns_add(vkft_module_patterns *patterns, const char *name, double value, vkft_err *err)
{
    if (patterns->count == patterns->capacity) {
        uint32_t capacity = patterns->capacity ? 2 * patterns->capacity : 16;
        vkft_module_pattern *items = realloc(patterns->items, capacity * sizeof *items);
        if (!items)
            return vkft_fail_memory(err, "for an adapter's modules");
        patterns->items = items;
        patterns->capacity = capacity;
    }
    patterns->items[patterns->count] = (vkft_module_pattern){.key = vkft_string_copy(name), .value = value};
    return patterns->items[patterns->count++].key || vkft_fail_memory(err, "for an adapter's modules");
}

bool vkft_module_patterns_read(vkft_module_patterns *patterns, const cJSON *root, const char *key, const char *path,
                               vkft_err *err)
{
    const cJSON *object = NULL;
    uint32_t expressions = 0;
    if (!vkft_json_get_object(root, key, false, &object, path, err))
        return false;
    for (const cJSON *item = object ? object->child : NULL; item; item = item->next) {
        if (!cJSON_IsNumber(item) || !isfinite((float)item->valuedouble))
            return vkft_fail(err, VKFT_ERR_INPUT, "%s: key '%s': '%.100s' has no number as its value", path, key,
                             item->string);
        if (!vkft_module_patterns_add(patterns, item->string, item->valuedouble, err))
            return false;
        if (is_name(item->string))
            continue;
        if (++expressions > MAX_EXPRESSIONS)
            return vkft_fail(err, VKFT_ERR_INPUT, "%s: key '%s' has more than %d regular expressions", path, key,
                             MAX_EXPRESSIONS);
        if (!compile("(.*\\.)?(%s)$", item->string, path, key, &patterns->items[patterns->count - 1].regex, err))
            return false;
    }
    return true;
}

bool vkft_module_patterns_find(const vkft_module_patterns *patterns, const char *module, double *value, vkft_err *err)
{
    for (uint32_t i = 0; i < patterns->count; i++) {
        const vkft_module_pattern *p = &patterns->items[i];
        bool found;
        if (!p->regex)
            found = is_end(p->key, module);
        else if (!matches(p->regex, module, &found, NULL, err))
            return false;
        if (found) {
            *value = p->value;
            return true;
        }
    }
    return true;
}

void vkft_module_patterns_free(vkft_module_patterns *patterns)
{
    for (uint32_t i = 0; i < patterns->count; i++) {
        free(patterns->items[i].key);
        pcre2_code_free(patterns->items[i].regex);
    }
    free(patterns->items);
    *patterns = (vkft_module_patterns){0};
}

/* ---- targets ---- */

static const cJSON *member(const vkft_module_targets *targets, const char *key)
{
    return vkft_json_member(targets->config, key);
}

/* One expression; nothing for a list. */
static bool compile_member(const vkft_module_targets *targets, const char *form, const char *key, const char *path,
                           void **regex, vkft_err *err)
{
    const cJSON *value = member(targets, key);
    return !cJSON_IsString(value) || !*value->valuestring || strcmp(value->valuestring, "all-linear") == 0 ||
           compile(form, value->valuestring, path, key, regex, err);
}

/* The expression by which the number of a module's layer is found; layers_pattern: a name or a list of them. */
static bool compile_layer(vkft_module_targets *targets, const char *path, vkft_err *err)
{
    const cJSON *pattern = member(targets, "layers_pattern");
    char names[MAX_KEY + 1] = "";
    if (!member(targets, "layers_to_transform"))
        return true;
    for (const cJSON *item = cJSON_IsArray(pattern) ? pattern->child : pattern; item; item = item->next) {
        size_t length = strlen(names), room = sizeof names - length;
        if (cJSON_IsString(item) && *item->valuestring &&
            (size_t)snprintf(names + length, room, "%s%s", length ? "|" : "", item->valuestring) >= room)
            return vkft_fail(err, VKFT_ERR_INPUT, "%s: key 'layers_pattern' is longer than %d characters", path,
                             MAX_KEY);
        if (!cJSON_IsArray(pattern))
            break;
    }
    const char *form = names[0] ? "(?:.*?\\.)?(?:%s)\\.(\\d+)\\." : ".*?\\.%s\\.(\\d+)\\.";
    return compile(form, names[0] ? names : "[^.]*", path, "layers_pattern", &targets->layer, err);
}

bool vkft_module_targets_read(vkft_module_targets *targets, const cJSON *root, const char *path, vkft_err *err)
{
    static const char *const keys[] = {"target_modules", "exclude_modules", "layers_to_transform", "layers_pattern"};
    bool ok = (targets->config = cJSON_CreateObject()) != NULL;
    for (size_t i = 0; ok && i < sizeof keys / sizeof *keys; i++) {
        const cJSON *value = vkft_json_member(root, keys[i]);
        ok = !value || cJSON_AddItemToObject(targets->config, keys[i], cJSON_Duplicate(value, true));
    }
    if (!ok)
        return vkft_fail_memory(err, "for an adapter's modules");
    return compile_member(targets, "(?:%s)\\z", "target_modules", path, &targets->target, err) &&
           compile_member(targets, "(?:%s)\\z", "exclude_modules", path, &targets->exclude, err) &&
           compile_layer(targets, path, err);
}

bool vkft_module_targets_copy(vkft_module_targets *copy, const vkft_module_targets *targets, vkft_err *err)
{
    return !targets->config || vkft_module_targets_read(copy, targets->config, "adapter", err);
}

bool vkft_module_targets_list(vkft_module_targets *targets, char *const *names, vkft_err *err)
{
    cJSON *list = cJSON_CreateArray();
    bool ok = list && (targets->config || (targets->config = cJSON_CreateObject()));
    for (; ok && *names; names++)
        ok = cJSON_AddItemToArray(list, cJSON_CreateString(*names));
    if (!ok) {
        cJSON_Delete(list);
        return vkft_fail_memory(err, "for an adapter's modules");
    }
    cJSON_DeleteItemFromObjectCaseSensitive(targets->config, "target_modules");
    pcre2_code_free(targets->target);
    targets->target = NULL;
    return cJSON_AddItemToObject(targets->config, "target_modules", list) ||
           vkft_fail_memory(err, "for an adapter's modules");
}

/* The whole name is in the list, or its end after a dot. *whole: which of the two; may be NULL. */
static bool listed(const cJSON *list, const char *module, bool *whole)
{
    bool found = false;
    size_t n = strlen(module);
    for (const cJSON *item = cJSON_IsArray(list) ? list->child : NULL; item; item = item->next) {
        size_t k = cJSON_IsString(item) ? strlen(item->valuestring) : 0;
        if (!k || k > n || strcmp(module + n - k, item->valuestring) != 0 || (k < n && module[n - k - 1] != '.'))
            continue;
        found = true;
        if (whole)
            *whole = *whole || k == n;
    }
    return found;
}

/* Whether the module lies in one of the layers. */
static bool in_layers(const vkft_module_targets *targets, const char *module, bool *in, vkft_err *err)
{
    const cJSON *layers = member(targets, "layers_to_transform");
    size_t end = 0;
    *in = true;
    if (!targets->layer || (cJSON_IsArray(layers) && !layers->child))
        return true;
    if (!matches(targets->layer, module, in, &end, err))
        return false;
    if (!*in)
        return true;
    size_t begin = end;
    while (begin && module[begin - 1] >= '0' && module[begin - 1] <= '9')
        begin--;
    if (begin == end)
        return vkft_fail(err, VKFT_ERR_INPUT, "key 'layers_pattern': no layer's number follows its match in %s",
                         module);
    double number = strtod(module + begin, NULL);
    *in = cJSON_IsNumber(layers) && layers->valuedouble == number;
    for (const cJSON *item = cJSON_IsArray(layers) ? layers->child : NULL; item; item = item->next)
        *in = *in || (cJSON_IsNumber(item) && item->valuedouble == number);
    return true;
}

bool vkft_module_targets_find(const vkft_module_targets *targets, const char *module, bool *named, vkft_err *err)
{
    bool excluded = listed(member(targets, "exclude_modules"), module, NULL), whole = false;
    *named = false;
    if (targets->exclude && !matches(targets->exclude, module, &excluded, NULL, err))
        return false;
    if (excluded)
        return true;
    if (targets->target)
        return matches(targets->target, module, named, NULL, err);
    *named = listed(member(targets, "target_modules"), module, &whole);
    return !*named || whole || in_layers(targets, module, named, err);
}

void vkft_module_targets_free(vkft_module_targets *targets)
{
    cJSON_Delete(targets->config);
    pcre2_code_free(targets->target);
    pcre2_code_free(targets->exclude);
    pcre2_code_free(targets->layer);
    *targets = (vkft_module_targets){0};
}
