/* The conversations of rows in the form that chat templates know, however they are written: OpenAI's messages,
 * ShareGPT's turns, TRL's prompts and completions of messages, LLaMA-Factory's history. */
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "formats/dataset/shape_private.h"
#include "runtime/base/json.h"

static cJSON *message_new(const char *role, const char *content)
{
    cJSON *message = cJSON_CreateObject();
    if (message && cJSON_AddStringToObject(message, "role", role) &&
        (!content || cJSON_AddStringToObject(message, "content", content)))
        return message;
    cJSON_Delete(message);
    return NULL;
}

/* Appends to a list, or inserts at its beginning; takes the message over, also NULL. */
static bool put_message(cJSON *list, cJSON *message, bool first)
{
    if (message &&
        (first && list->child ? cJSON_InsertItemInArray(list, 0, message) : cJSON_AddItemToArray(list, message)))
        return true;
    cJSON_Delete(message);
    return false;
}

/* {"type": "function", "function": function}, which is taken over; NULL: out of memory. */
static cJSON *wrap_function(cJSON *function)
{
    cJSON *entry = cJSON_CreateObject();
    if (entry && cJSON_AddStringToObject(entry, "type", "function") &&
        cJSON_AddItemToObject(entry, "function", function))
        return entry;
    cJSON_Delete(entry);
    cJSON_Delete(function);
    return NULL;
}

/* JSON in a string; *value NULL: it is none. False: out of memory. */
static bool parse_string(visitor *v, const char *text, cJSON **value)
{
    vkft_err err = {0};
    *value = vkft_json_parse_exact(text, strlen(text), v->place, 1, &err);
    return *value || err.kind != VKFT_ERR_MEMORY || visitor_fail_memory(v);
}

/* ShareGPT's {"name", "arguments"} or a list of them, as text, becomes the message's tool_calls; any other text stays
 * content. */
static bool make_tool_calls(visitor *v, cJSON *message, const char *text)
{
    cJSON *call, *calls;
    if (!parse_string(v, text, &call))
        return false;
    bool list = cJSON_IsArray(call), ok = true;
    if (!vkft_json_member(list ? cJSON_GetArrayItem(call, 0) : call, "name")) {
        cJSON_Delete(call);
        return true;
    }
    calls = cJSON_AddArrayToObject(message, "tool_calls");
    for (cJSON *function; ok && (function = list ? cJSON_DetachItemFromArray(call, 0) : call);) {
        cJSON *entry = wrap_function(function);
        ok = entry && calls && cJSON_AddItemToArray(calls, entry);
        if (entry && !ok)
            cJSON_Delete(entry);
        if (!list)
            call = NULL;
    }
    cJSON_Delete(call);
    cJSON_DeleteItemFromObjectCaseSensitive(message, "content");
    return ok || visitor_fail_memory(v);
}

/* The usual name of a role that data spells otherwise; NULL: none is known, or it is the usual one. "call": an
 * assistant's message that is a call of a tool. */
static const char *role_of(const char *role)
{
    static const char *const roles[][2] = {
        {"human", "user"},         {"user", "user"},          {"gpt", "assistant"},  {"assistant", "assistant"},
        {"chatgpt", "assistant"},  {"model", "assistant"},    {"bot", "assistant"},  {"ai", "assistant"},
        {"system", "system"},      {"observation", "tool"},   {"tool", "tool"},      {"function_response", "tool"},
        {"tool_response", "tool"}, {"function_call", "call"}, {"tool_call", "call"},
    };
    char lower[24];
    size_t n = strlen(role);
    if (n >= sizeof lower)
        return NULL;
    for (size_t i = 0; i <= n; i++)
        lower[i] = (char)tolower((unsigned char)role[i]);
    for (size_t i = 0; i < sizeof roles / sizeof *roles; i++)
        if (strcmp(roles[i][0], lower) == 0)
            return roles[i][1];
    return NULL;
}

static bool rename_key(visitor *v, cJSON *message, const char *from, const char *to)
{
    cJSON *item = cJSON_DetachItemFromObjectCaseSensitive(message, from);
    if (!item || cJSON_AddItemToObject(message, to, item))
        return true;
    cJSON_Delete(item);
    return visitor_fail_memory(v);
}

/* Role and content under their usual names. number: of the message, from 0. */
static bool normalize(visitor *v, cJSON *message, const char *key, int number)
{
    char found[100];
    if (!cJSON_IsObject(message))
        return visitor_reject(v, VKFT_BAD_VALUE, "%s[%d] is %s; expected {\"role\": \"user\", \"content\": \"...\"}",
                              key, number, vkft_json_describe(message, found, sizeof found));
    const cJSON *role = vkft_json_member(message, "role");
    bool sharegpt = !role && vkft_json_member(message, "from");
    if (sharegpt) {
        cJSON_DeleteItemFromObjectCaseSensitive(message, "role"); /* null */
        if (!rename_key(v, message, "from", "role"))
            return false;
    }
    role = vkft_json_member(message, "role");
    if (!cJSON_IsString(role))
        return visitor_reject(v, VKFT_BAD_VALUE,
                              "%s[%d] has no \"role\"; expected {\"role\": \"user\", \"content\": \"...\"}", key,
                              number);
    const cJSON *value = vkft_json_member(message, "value");
    bool no_content = !vkft_json_member(message, "content");
    if (no_content && sharegpt && !value)
        return visitor_reject(v, VKFT_BAD_NULL, "%s[%d] has no value", key, number);
    if (no_content && value) {
        if (!cJSON_IsString(value))
            return visitor_reject(v, VKFT_BAD_VALUE, "%s[%d] has as value %s; expected a string", key, number,
                                  vkft_json_describe(value, found, sizeof found));
        cJSON_DeleteItemFromObjectCaseSensitive(message, "content"); /* null */
        if (!rename_key(v, message, "value", "content"))
            return false;
    }
    const char *usual = role_of(role->valuestring), *content;
    if (!usual && sharegpt)
        return visitor_reject(v, VKFT_BAD_VALUE,
                              "%s[%d] is from '%.40s'; expected human, gpt, system, function_call or observation", key,
                              number, role->valuestring);
    bool call = usual && strcmp(usual, "call") == 0;
    usual = call ? "assistant" : usual;
    if (usual && strcmp(usual, role->valuestring) != 0 &&
        !cJSON_ReplaceItemInObjectCaseSensitive(message, "role", cJSON_CreateString(usual)))
        return visitor_fail_memory(v);
    content = cJSON_GetStringValue(vkft_json_member(message, "content"));
    return !call || !content || make_tool_calls(v, message, content);
}

static bool is_assistant(const cJSON *message)
{
    return strcmp(cJSON_GetStringValue(vkft_json_member(message, "role")), "assistant") == 0;
}

/* Whether a message says itself that it is not to be learned: "weight": 0 (OpenAI), "train" or "loss": false. */
static bool read_weight(visitor *v, const cJSON *message, const char *key, int number, uint8_t *untrained)
{
    static const char *const switches[] = {"weight", "train", "training", "loss"};
    char found[100];
    for (size_t i = 0; i < sizeof switches / sizeof *switches; i++) {
        const cJSON *value = vkft_json_member(message, switches[i]);
        if (!value || !is_assistant(message))
            continue;
        bool off = cJSON_IsFalse(value) || (cJSON_IsNumber(value) && value->valuedouble == 0);
        if (!off && !cJSON_IsTrue(value) && !(cJSON_IsNumber(value) && value->valuedouble == 1))
            return visitor_reject(v, VKFT_BAD_VALUE, "%s[%d].%s is %s; expected 0 or 1", key, number, switches[i],
                                  vkft_json_describe(value, found, sizeof found));
        *untrained |= off;
    }
    return true;
}

/* [{"type": "function", "function": {...}}] */
bool conversation_read_tools(visitor *v, const cJSON *row, cJSON **tools)
{
    const char *key;
    const cJSON *value = vkft_data_member(v->keys, row, "tools", &key);
    *tools = NULL;
    if (!value || (cJSON_IsString(value) && !value->valuestring[0]))
        return true;
    cJSON *list;
    if (cJSON_IsString(value) ? !parse_string(v, value->valuestring, &list)
                              : !(list = cJSON_Duplicate(value, true)) && !visitor_fail_memory(v))
        return false;
    if (!cJSON_IsArray(list)) {
        cJSON_Delete(list);
        return visitor_reject(v, VKFT_BAD_VALUE, "%s is no list of tools", key);
    }
    bool ok = true;
    for (cJSON *tool = list->child, *next; ok && tool; tool = next) {
        next = tool->next;
        if (!vkft_json_member(tool, "name") || vkft_json_member(tool, "function"))
            continue;
        cJSON *copy = cJSON_Duplicate(tool, true), *wrapped = copy ? wrap_function(copy) : NULL;
        ok = wrapped && cJSON_ReplaceItemViaPointer(list, tool, wrapped);
    }
    if (ok && list->child)
        *tools = list;
    else
        cJSON_Delete(list);
    return ok || visitor_fail_memory(v);
}

/* The member as a list of messages, which JSON in a string may be, too. *owned: to be freed where it is such a copy. */
static bool read_list(visitor *v, cJSON *row, const char *name, const char **key, cJSON **list, cJSON **owned)
{
    char found[100];
    cJSON *value = (cJSON *)(uintptr_t)vkft_data_member(v->keys, row, name, key);
    *owned = NULL;
    if (!value)
        return visitor_reject(v, VKFT_BAD_NULL, "%s is %s", *key,
                              cJSON_GetObjectItemCaseSensitive(row, *key) ? "null" : "missing");
    if (cJSON_IsString(value)) {
        if (!parse_string(v, value->valuestring, owned))
            return false;
        value = cJSON_IsArray(*owned) ? *owned : value;
    }
    *list = value;
    return cJSON_IsArray(value) || visitor_reject(v, VKFT_BAD_VALUE, "%s is %s; expected a list of messages", *key,
                                                  vkft_json_describe(value, found, sizeof found));
}

bool conversation_put_system(visitor *v, cJSON *row, cJSON *messages)
{
    const char *system, *role = cJSON_GetStringValue(vkft_json_member(messages->child, "role"));
    if (!visitor_text(v, row, "system", false, &system))
        return false;
    if (!system || !*system || (role && strcmp(role, "system") == 0))
        return true;
    return put_message(messages, message_new("system", system), true) || visitor_fail_memory(v);
}

bool conversation_read_variables(visitor *v, const cJSON *row, const cJSON **variables)
{
    *variables = vkft_json_member(row, "chat_template_kwargs");
    return !*variables || cJSON_IsObject(*variables) ||
           visitor_reject(v, VKFT_BAD_VALUE, "chat_template_kwargs is no object");
}

bool conversation_normalize(visitor *v, cJSON *messages, const char *key)
{
    int number = 0;
    cJSON *message;
    cJSON_ArrayForEach(message, messages)
    {
        if (!normalize(v, message, key, number++))
            return false;
    }
    return true;
}

/* Messages of which the first `context` ones are not learned. */
static void visit_list(visitor *v, cJSON *row, cJSON *messages, const char *key, int context)
{
    int count = cJSON_GetArraySize(messages), number = 0;
    cJSON *message, *tools = NULL;
    if (count == 0) {
        visitor_reject(v, VKFT_BAD_EMPTY, "%s is an empty list", key);
        return;
    }
    uint8_t *untrained = calloc((size_t)count + 1, 1); /* one more for a system message */
    bool ok = untrained || visitor_fail_memory(v), any = false;
    cJSON_ArrayForEach(message, messages)
    {
        ok = ok && normalize(v, message, key, number) && read_weight(v, message, key, number, &untrained[number]);
        if (!ok)
            break;
        untrained[number] |= number < context;
        number++;
    }
    const cJSON *variables = NULL;
    ok = ok && conversation_read_variables(v, row, &variables) && conversation_put_system(v, row, messages) &&
         conversation_read_tools(v, row, &tools);
    if (ok && cJSON_GetArraySize(messages) > count) {
        memmove(untrained + 1, untrained, (size_t)count);
        untrained[0] = 0;
    }
    for (int i = 0; ok && i <= count; i++)
        any = any || untrained[i];
    if (ok)
        visitor_example(v, &(vkft_example){.conversation = {.messages = messages,
                                                            .tools = tools,
                                                            .variables = variables,
                                                            .untrained = any ? untrained : NULL}});
    free(untrained);
    cJSON_Delete(tools);
}

void visit_messages(visitor *v, cJSON *row, bool sharegpt)
{
    const char *key;
    cJSON *list, *owned;
    if (read_list(v, row, sharegpt ? "conversations" : "messages", &key, &list, &owned))
        visit_list(v, row, list, key, 0);
    cJSON_Delete(owned);
}

bool conversation_add_text(visitor *v, const char *role, const char *content, cJSON *all)
{
    return put_message(all, message_new(role, content), false) || visitor_fail_memory(v);
}

bool conversation_add_side(visitor *v, cJSON *row, const char *name, const char *role, cJSON *all)
{
    const char *key;
    cJSON *list, *owned, *value = (cJSON *)(uintptr_t)vkft_data_member(v->keys, row, name, &key);
    if (cJSON_IsString(value) && value->valuestring[0] != '[')
        return conversation_add_text(v, role, value->valuestring, all);
    bool ok = read_list(v, row, name, &key, &list, &owned);
    while (ok && list->child) {
        cJSON *message = cJSON_DetachItemViaPointer(list, list->child);
        ok = put_message(all, message, false) || visitor_fail_memory(v);
    }
    cJSON_Delete(owned);
    return ok;
}

void visit_dialogue(visitor *v, cJSON *row)
{
    cJSON *all = cJSON_CreateArray();
    if (!all) {
        visitor_fail_memory(v);
        return;
    }
    if (conversation_add_side(v, row, "prompt", "user", all)) {
        int context = cJSON_GetArraySize(all);
        if (conversation_add_side(v, row, "completion", "assistant", all))
            visit_list(v, row, all, "prompt and completion", v->sink->learn_prompts ? 0 : context);
    }
    cJSON_Delete(all);
}

/* [[question, answer], ...]: earlier turns. */
static bool put_history(visitor *v, cJSON *row, cJSON *messages)
{
    const char *key;
    const cJSON *history = vkft_data_member(v->keys, row, "history", &key), *turn;
    if (history && !cJSON_IsArray(history))
        return visitor_reject(v, VKFT_BAD_VALUE, "%s is no list of [question, answer]", key);
    cJSON_ArrayForEach(turn, history)
    {
        const char *question = cJSON_GetStringValue(cJSON_GetArrayItem(turn, 0)),
                   *answer = cJSON_GetStringValue(cJSON_GetArrayItem(turn, 1));
        if (!question || !answer || cJSON_GetArraySize(turn) != 2)
            return visitor_reject(v, VKFT_BAD_VALUE, "%s is no list of [question, answer]", key);
        if (!put_message(messages, message_new("user", question), false) ||
            !put_message(messages, message_new("assistant", answer), false))
            return visitor_fail_memory(v);
    }
    return true;
}

bool visit_pair_as_chat(visitor *v, cJSON *row, const char *prompt, const char *completion)
{
    cJSON *messages = cJSON_CreateArray();
    bool ok = messages || visitor_fail_memory(v);
    ok = ok && conversation_put_system(v, row, messages) && put_history(v, row, messages);
    if (ok && (!put_message(messages, message_new("user", prompt), false) ||
               !put_message(messages, message_new("assistant", completion), false)))
        ok = visitor_fail_memory(v);
    ok = ok && visitor_example(v, &(vkft_example){.conversation = {.messages = messages}});
    cJSON_Delete(messages);
    return ok;
}
