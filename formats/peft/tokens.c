/* Token indices as adapter_config.json has them. */
#include "formats/peft/tokens.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/base/json.h"
#include "runtime/base/text.h"

static int by_number(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return (x > y) - (x < y);
}

/* The result is true if no number is there twice; otherwise *twice is one. */
static bool are_distinct(const uint32_t *tokens, uint32_t count, uint32_t *sorted, uint32_t *twice)
{
    memcpy(sorted, tokens, count * sizeof *sorted);
    qsort(sorted, count, sizeof *sorted, by_number);
    for (uint32_t i = 1; i < count; i++)
        if (sorted[i] == sorted[i - 1]) {
            *twice = sorted[i];
            return false;
        }
    return true;
}

/* Adds one module's; module may be NULL for the only one. */
static bool add(vkft_token_indices *indices, const char *module, const uint32_t *tokens, uint32_t count, vkft_err *err)
{
    vkft_module_tokens *items = realloc(indices->items, (indices->count + 1ull) * sizeof *items);
    if (!items)
        return vkft_fail_memory(err, "for token indices");
    indices->items = items;
    vkft_module_tokens *item = &items[indices->count++];
    *item = (vkft_module_tokens){.module = module ? vkft_string_copy(module) : NULL,
                                 .tokens = malloc((count + 1ull) * sizeof *item->tokens),
                                 .count = count};
    if (!item->tokens || (module && !item->module))
        return vkft_fail_memory(err, "for token indices");
    memcpy(item->tokens, tokens, count * sizeof *tokens);
    return true;
}

bool vkft_token_indices_copy(vkft_token_indices *copy, const vkft_token_indices *indices, vkft_err *err)
{
    bool ok = true;
    *copy = (vkft_token_indices){0};
    for (uint32_t i = 0; ok && i < indices->count; i++)
        ok = add(copy, indices->items[i].module, indices->items[i].tokens, indices->items[i].count, err);
    return ok;
}

static bool read_list(vkft_token_indices *indices, const char *module, const cJSON *list, const char *name,
                      vkft_err *err)
{
    uint32_t count = 0, size = cJSON_IsArray(list) ? (uint32_t)cJSON_GetArraySize(list) : 0, twice;
    uint32_t *tokens = malloc((2 * (size_t)size + 1) * sizeof *tokens);
    bool ok = tokens || vkft_fail_memory(err, "for token indices");
    if (ok && !size)
        ok = vkft_fail(err, VKFT_ERR_INPUT, "%s: expected numbers of tokens, or an object of lists of them, none empty",
                       name);
    for (const cJSON *item = ok ? list->child : NULL; ok && item; item = item->next) {
        double n = cJSON_IsNumber(item) ? item->valuedouble : -1;
        char found[96];
        if (n >= 0 && n < UINT32_MAX && n == floor(n))
            tokens[count++] = (uint32_t)n;
        else
            ok = vkft_fail(err, VKFT_ERR_INPUT, "%s: found %s, expected the number of a token", name,
                           vkft_json_describe(item, found, sizeof found));
    }
    if (ok && !are_distinct(tokens, count, tokens + size, &twice))
        ok = vkft_fail(err, VKFT_ERR_INPUT, "%s: token %u is named twice", name, twice);
    ok = ok && add(indices, module, tokens, count, err);
    free(tokens);
    return ok;
}

bool vkft_token_indices_read(vkft_token_indices *indices, const cJSON *value, const char *name, vkft_err *err)
{
    if (!value || cJSON_IsNull(value) || ((cJSON_IsArray(value) || cJSON_IsObject(value)) && !value->child))
        return true;
    if (!cJSON_IsObject(value))
        return read_list(indices, NULL, value, name, err);
    for (const cJSON *item = value->child; item; item = item->next)
        if (!read_list(indices, item->string, item, name, err))
            return false;
    return true;
}

static cJSON *list_json(const vkft_module_tokens *item)
{
    cJSON *list = cJSON_CreateArray();
    for (uint32_t i = 0; list && i < item->count; i++)
        if (!cJSON_AddItemToArray(list, cJSON_CreateNumber(item->tokens[i]))) {
            cJSON_Delete(list);
            return NULL;
        }
    return list;
}

cJSON *vkft_token_indices_json(const vkft_token_indices *indices)
{
    if (indices->count == 1 && !indices->items[0].module)
        return list_json(&indices->items[0]);
    cJSON *object = cJSON_CreateObject();
    for (uint32_t i = 0; object && i < indices->count; i++)
        if (!cJSON_AddItemToObject(object, indices->items[i].module, list_json(&indices->items[i]))) {
            cJSON_Delete(object);
            return NULL;
        }
    return object;
}

void vkft_token_indices_free(vkft_token_indices *indices)
{
    for (uint32_t i = 0; i < indices->count; i++) {
        free(indices->items[i].module);
        free(indices->items[i].tokens);
    }
    free(indices->items);
    *indices = (vkft_token_indices){0};
}
