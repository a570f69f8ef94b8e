/* See history.h. */
#include "host/chat/history.h"

#include <string.h>

#include "runtime/base/json.h"

static bool fail_memory(vkft_err *err)
{
    return vkft_fail_memory(err, "for a conversation");
}

static const char *member(const cJSON *message, const char *key)
{
    return cJSON_GetStringValue(vkft_json_member(message, key));
}

static bool has_role(const cJSON *message, const char *role)
{
    const char *found = message ? member(message, "role") : NULL;
    return found && strcmp(found, role) == 0;
}

static cJSON *new_message(const char *role, const char *text)
{
    cJSON *message = cJSON_CreateObject();
    if (message && cJSON_AddStringToObject(message, "role", role) && cJSON_AddStringToObject(message, "content", text))
        return message;
    cJSON_Delete(message);
    return NULL;
}

static int count(const vkft_history *history)
{
    return cJSON_GetArraySize(history->messages);
}

static bool has_system(const vkft_history *history)
{
    return has_role(cJSON_GetArrayItem(history->messages, 0), "system");
}

bool vkft_history_new(vkft_history *history, vkft_err *err)
{
    *history = (vkft_history){.messages = cJSON_CreateArray()};
    return history->messages || fail_memory(err);
}

void vkft_history_free(vkft_history *history)
{
    cJSON_Delete(history->messages);
    *history = (vkft_history){0};
}

bool vkft_history_set_system(vkft_history *history, const char *text, vkft_err *err)
{
    cJSON *message = text ? new_message("system", text) : NULL;
    if (text && !message)
        return fail_memory(err);
    if (has_system(history))
        cJSON_DeleteItemFromArray(history->messages, 0);
    if (!message || (count(history) ? cJSON_InsertItemInArray(history->messages, 0, message)
                                    : cJSON_AddItemToArray(history->messages, message)))
        return true;
    cJSON_Delete(message);
    return fail_memory(err);
}

const char *vkft_history_system(const vkft_history *history)
{
    return has_system(history) ? member(cJSON_GetArrayItem(history->messages, 0), "content") : NULL;
}

bool vkft_history_add(vkft_history *history, const char *role, const char *text, vkft_err *err)
{
    cJSON *message = new_message(role, text);
    if (message && cJSON_AddItemToArray(history->messages, message))
        return true;
    cJSON_Delete(message);
    return fail_memory(err);
}

bool vkft_history_ends_with(const vkft_history *history, const char *role)
{
    return has_role(cJSON_GetArrayItem(history->messages, count(history) - 1), role);
}

void vkft_history_remove_last(vkft_history *history)
{
    if (count(history))
        cJSON_DeleteItemFromArray(history->messages, count(history) - 1);
}

void vkft_history_clear(vkft_history *history)
{
    const int kept = has_system(history) ? 1 : 0;
    while (count(history) > kept)
        vkft_history_remove_last(history);
    history->forgotten = 0;
}

static bool check(const cJSON *messages, vkft_err *err)
{
    const cJSON *message;
    int i = 0;
    cJSON_ArrayForEach(message, messages)
    {
        if (!member(message, "role") || !member(message, "content"))
            return vkft_fail(err, VKFT_ERR_INPUT, "messages[%d]: expected {\"role\": \"...\", \"content\": \"...\"}",
                             i);
        i++;
    }
    return has_role(cJSON_GetArrayItem(messages, i - 1), "user") ||
           vkft_fail(err, VKFT_ERR_INPUT, "messages: expected a list that ends with a message of the role \"user\"");
}

bool vkft_history_replace(vkft_history *history, const cJSON *messages, vkft_err *err)
{
    if (!check(messages, err))
        return false;
    cJSON *copy = cJSON_Duplicate(messages, true);
    if (!copy)
        return fail_memory(err);
    vkft_history_free(history);
    history->messages = copy;
    return true;
}

/* The first message that the model sees after the system prompt. */
static int first_seen(const vkft_history *history)
{
    return (has_system(history) ? 1 : 0) + (int)history->forgotten;
}

bool vkft_history_forget(vkft_history *history)
{
    for (int i = first_seen(history) + 1; i < count(history); i++)
        if (has_role(cJSON_GetArrayItem(history->messages, i), "user")) {
            history->forgotten += (uint32_t)(i - first_seen(history));
            return true;
        }
    return false;
}

cJSON *vkft_history_seen(const vkft_history *history, vkft_err *err)
{
    cJSON *seen = cJSON_CreateArray(), *message;
    const int first = first_seen(history);
    int i = 0;
    bool ok = seen != NULL;
    cJSON_ArrayForEach(message, history->messages)
    {
        bool is_seen = i >= first || (i == 0 && has_system(history));
        ok = ok && (!is_seen || cJSON_AddItemReferenceToArray(seen, message));
        i++;
    }
    if (ok)
        return seen;
    cJSON_Delete(seen);
    fail_memory(err);
    return NULL;
}
