/* Making JSON values. See builder.h. */
#include "runtime/base/json/builder.h"

#include <math.h>
#include <string.h>

#include "runtime/base/text.h"
#include "runtime/base/utf8.h"

static vkft_json_node make(cJSON *value, bool *failed)
{
    *failed = *failed || !value;
    return (vkft_json_node){value, failed};
}

vkft_json_node vkft_json_make_object(bool *failed)
{
    return make(cJSON_CreateObject(), failed);
}

vkft_json_node vkft_json_make_array(bool *failed)
{
    return make(cJSON_CreateArray(), failed);
}

cJSON *vkft_json_made(vkft_json_node root)
{
    if (!*root.failed)
        return root.value;
    cJSON_Delete(root.value);
    return NULL;
}

void vkft_json_put_item(vkft_json_node to, const char *name, cJSON *item)
{
    bool ok =
        to.value && item && (name ? cJSON_AddItemToObject(to.value, name, item) : cJSON_AddItemToArray(to.value, item));
    if (!ok) {
        cJSON_Delete(item);
        *to.failed = true;
    }
}

static vkft_json_node put(vkft_json_node to, const char *name, cJSON *item)
{
    bool failed = false;
    vkft_json_put_item((vkft_json_node){to.value, &failed}, name, item);
    *to.failed = *to.failed || failed;
    return (vkft_json_node){failed ? NULL : item, to.failed};
}

vkft_json_node vkft_json_put_object(vkft_json_node to, const char *name)
{
    return put(to, name, cJSON_CreateObject());
}

vkft_json_node vkft_json_put_array(vkft_json_node to, const char *name)
{
    return put(to, name, cJSON_CreateArray());
}

void vkft_json_put_number(vkft_json_node to, const char *name, double value)
{
    vkft_json_put_item(to, name, isfinite(value) ? cJSON_CreateNumber(value) : cJSON_CreateNull());
}

void vkft_json_put_string(vkft_json_node to, const char *name, const char *text)
{
    vkft_text valid = {0};
    bool ok = vkft_text_append_valid(&valid, text, strlen(text), NULL);
    vkft_json_put_item(to, name, ok ? cJSON_CreateString(valid.data) : NULL);
    vkft_text_free(&valid);
}

void vkft_json_put_bool(vkft_json_node to, const char *name, bool value)
{
    vkft_json_put_item(to, name, cJSON_CreateBool(value));
}

void vkft_json_put_null(vkft_json_node to, const char *name)
{
    vkft_json_put_item(to, name, cJSON_CreateNull());
}

void vkft_json_put_integers(vkft_json_node to, const char *name, const int32_t *values, uint32_t count)
{
    const int32_t none = 0; /* cJSON makes nothing of NULL */
    vkft_json_put_item(to, name, count <= INT32_MAX ? cJSON_CreateIntArray(count ? values : &none, (int)count) : NULL);
}

void vkft_json_put_copy(vkft_json_node to, const char *name, const cJSON *value)
{
    vkft_json_put_item(to, name, cJSON_Duplicate(value, true));
}
