/* Ids of tool calls for conversations that have none, as those of ShareGPT. Mistral's templates ask for nine letters
 * and digits; in real ones they are random, and here they come from the call, so that a row gives the same tokens
 * every time. */
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

#include "formats/chat/chat_template.h"
#include "runtime/base/json.h"

#define ID_LENGTH 9

static bool make_id(const cJSON *call, uint32_t number, char id[ID_LENGTH + 1])
{
    static const char letters[] = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
    char *text = cJSON_PrintUnformatted(call);
    if (!text)
        return false;
    uint64_t hash = XXH3_64bits_withSeed(text, strlen(text), number);
    for (int i = 0; i < ID_LENGTH; i++, hash /= 62)
        id[i] = letters[hash % 62];
    id[ID_LENGTH] = 0;
    cJSON_free(text);
    return true;
}

/* In place of an old value, which is null. */
static bool put_id(cJSON *object, const char *key, const char *id, bool *given)
{
    cJSON_DeleteItemFromObjectCaseSensitive(object, key);
    *given = true;
    return cJSON_AddStringToObject(object, key, id) != NULL;
}

/* The calls of a message; those without an id get one. number: of the first one in the conversation. */
static bool name_calls(const cJSON *calls, uint32_t number, bool *given)
{
    cJSON *call;
    cJSON_ArrayForEach(call, calls)
    {
        char id[ID_LENGTH + 1];
        if (!cJSON_IsObject(call) || vkft_json_member(call, "id"))
            continue;
        if (!make_id(call, number++, id) || !put_id(call, "id", id, given))
            return false;
    }
    return true;
}

bool vkft_chat_give_call_ids(cJSON *messages, bool *given, vkft_err *err)
{
    const cJSON *next = NULL; /* the call that the next answer of a tool is about: they come in the calls' order */
    uint32_t number = 0;
    cJSON *message;
    bool ok = true;
    *given = false;
    cJSON_ArrayForEach(message, messages)
    {
        const cJSON *calls = vkft_json_member(message, "tool_calls");
        const char *role = cJSON_GetStringValue(vkft_json_member(message, "role"));
        if (ok && cJSON_IsArray(calls)) {
            ok = name_calls(calls, number, given);
            number += (uint32_t)cJSON_GetArraySize(calls);
            next = calls->child;
        } else if (ok && next && role && strcmp(role, "tool") == 0) {
            const char *id = cJSON_GetStringValue(vkft_json_member(next, "id"));
            if (id && !vkft_json_member(message, "tool_call_id"))
                ok = put_id(message, "tool_call_id", id, given);
            next = next->next;
        }
    }
    return ok || vkft_fail_memory(err, "for a conversation");
}
