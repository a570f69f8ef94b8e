/* Messages as chat templates see them: what transformers does to them before it renders. */
#include <string.h>

#include "formats/chat/chat_template_private.h"
#include "runtime/base/json.h"

static const char *const reasoning_names[] = {"reasoning_content", "thinking", "reasoning"};

static const cJSON *reasoning_of(const cJSON *message)
{
    for (size_t i = 0; i < sizeof reasoning_names / sizeof *reasoning_names; i++) {
        const cJSON *value = vkft_json_member(message, reasoning_names[i]);
        if (value)
            return value;
    }
    return NULL;
}

static bool borrow(cJSON *object, const char *name, const cJSON *value)
{
    return cJSON_AddItemReferenceToObject(object, name, (cJSON *)(uintptr_t)value);
}

/* {"thinking": r, **message, "reasoning_content": r}, without nulls. */
static cJSON *normalize(const cJSON *message)
{
    const cJSON *reasoning = reasoning_of(message), *item;
    cJSON *out = cJSON_CreateObject();
    bool ok = out && (!reasoning || vkft_json_member(message, "thinking") || borrow(out, "thinking", reasoning));
    cJSON_ArrayForEach(item, message)
    {
        bool standard = reasoning && strcmp(item->string, "reasoning_content") == 0;
        if (ok && !cJSON_IsNull(item))
            ok = borrow(out, item->string, standard ? reasoning : item);
    }
    if (ok && reasoning && !vkft_json_member(message, "reasoning_content"))
        ok = borrow(out, "reasoning_content", reasoning);
    if (ok)
        return out;
    cJSON_Delete(out);
    return NULL;
}

cJSON *vkft_chat_messages(const cJSON *messages, vkft_err *err)
{
    cJSON *list = cJSON_CreateArray();
    const cJSON *message;
    uint32_t number = 0;
    bool ok = list || vkft_fail_memory(err, "for a conversation");
    cJSON_ArrayForEach(message, messages)
    {
        char found[96];
        if (ok && !cJSON_IsObject(message))
            ok = vkft_fail(err, VKFT_ERR_INPUT,
                           "messages[%u] is %s; expected {\"role\": \"user\", \"content\": \"...\"}", number,
                           vkft_json_describe(message, found, sizeof found));
        if (ok) {
            cJSON *normal = normalize(message);
            ok = (normal && cJSON_AddItemToArray(list, normal)) || vkft_fail_memory(err, "for a conversation");
        }
        number++;
    }
    if (ok)
        return list;
    cJSON_Delete(list);
    return NULL;
}

bool vkft_chat_is_assistant(const cJSON *message)
{
    const char *role = cJSON_GetStringValue(vkft_json_member(message, "role"));
    return role && (strcmp(role, "assistant") == 0 || strcmp(role, "model") == 0);
}
