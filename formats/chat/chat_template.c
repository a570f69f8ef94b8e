/* Loading chat templates and rendering conversations with them. */
#include "formats/chat/chat_template_private.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "runtime/base/json.h"

static bool parse(const char *text, const char *name, vkft_jinja **out, vkft_err *err)
{
    *out = vkft_jinja_new(text, strlen(text), name, err);
    return *out != NULL;
}

/* A template as the JSON files have it: a string, or an array of {"name", "template"}. */
static bool take_templates(vkft_chat_template *chat, const cJSON *value, const char *file, vkft_err *err)
{
    if (cJSON_IsString(value))
        return parse(value->valuestring, file, &chat->main, err);
    const cJSON *item;
    cJSON_ArrayForEach(item, value)
    {
        const char *name, *text;
        if (!vkft_json_get_string(item, "name", true, &name, file, err) ||
            !vkft_json_get_string(item, "template", true, &text, file, err))
            return false;
        vkft_jinja **slot = strcmp(name, "default") == 0    ? &chat->main
                            : strcmp(name, "tool_use") == 0 ? &chat->tool_use
                                                            : NULL;
        if (slot && !*slot && !parse(text, file, slot, err))
            return false;
    }
    return !chat->tool_use || chat->main ||
           vkft_fail(err, VKFT_ERR_INPUT, "%s: the list of chat templates has no \"default\"", file);
}

static const char *token_text(const cJSON *value)
{
    return cJSON_IsObject(value) ? cJSON_GetStringValue(vkft_json_member(value, "content"))
                                 : cJSON_GetStringValue(value);
}

/* "bos_token", "image_token" and their like, and those that "extra_special_tokens" names. */
static bool take_special(vkft_chat_template *chat, const cJSON *config, vkft_err *err)
{
    const cJSON *extra = vkft_json_member(config, "extra_special_tokens"), *item;
    const cJSON *const objects[] = {config, cJSON_IsObject(extra) ? extra : NULL};
    for (int i = 0; i < 2; i++)
        cJSON_ArrayForEach(item, objects[i])
        {
            const char *text = i || vkft_string_ends_with(item->string, "_token") ? token_text(item) : NULL;
            if (!text)
                continue;
            cJSON_DeleteItemFromObjectCaseSensitive(chat->variables, item->string);
            if (!cJSON_AddStringToObject(chat->variables, item->string, text))
                return vkft_fail_memory(err, "for a conversation");
        }
    return true;
}

/* Variables go over those that are there. Error: one that every rendering sets itself. */
static bool add_variables(cJSON *variables, const cJSON *more, const char *where, vkft_err *err)
{
    const cJSON *item;
    char found[96];
    if (more && !cJSON_IsObject(more))
        return vkft_fail(err, VKFT_ERR_INPUT,
                         "%s: found %s, expected a JSON object such as {\"enable_thinking\": false}", where,
                         vkft_json_describe(more, found, sizeof found));
    cJSON_ArrayForEach(item, more)
    {
        if (strcmp(item->string, "messages") == 0 || strcmp(item->string, "tools") == 0 ||
            strcmp(item->string, "add_generation_prompt") == 0)
            return vkft_fail(err, VKFT_ERR_INPUT, "%s: '%s' is no variable that can be set here", where, item->string);
        cJSON_DeleteItemFromObjectCaseSensitive(variables, item->string);
        cJSON *copy = cJSON_Duplicate(item, true);
        if (!copy || !cJSON_AddItemToObject(variables, item->string, copy))
            return vkft_fail_memory(err, "for a conversation");
    }
    return true;
}

static bool take_variables(vkft_chat_template *chat, const char *text, vkft_err *err)
{
    static const char where[] = "--chat-template-kwargs";
    if (!text)
        return true;
    cJSON *given = vkft_json_parse_exact(text, strlen(text), where, 1, err);
    bool ok = given != NULL;
    if (ok && !cJSON_IsObject(given))
        ok = vkft_fail(err, VKFT_ERR_USAGE,
                       "%s: expected a JSON object such as {\"enable_thinking\": false}, found '%s'", where, text);
    ok = ok && add_variables(chat->variables, given, where, err);
    cJSON_Delete(given);
    return ok;
}

static bool take_config(vkft_chat_template *chat, const vkft_chat_sources *s, vkft_err *err)
{
    static const char file[] = "tokenizer_config.json";
    if (!s->tokenizer_config)
        return true;
    cJSON *config = vkft_json_parse_config(s->tokenizer_config, s->tokenizer_config_length, file, err);
    const cJSON *value = vkft_json_member(config, "chat_template");
    bool ok =
        config && take_special(chat, config, err) && (chat->main || !value || take_templates(chat, value, file, err));
    cJSON_Delete(config);
    return ok;
}

static bool take_json(vkft_chat_template *chat, const vkft_chat_sources *s, vkft_err *err)
{
    static const char file[] = "chat_template.json";
    if (!s->json || chat->main)
        return true;
    cJSON *root = vkft_json_parse_config(s->json, s->json_length, file, err);
    const cJSON *value = vkft_json_member(root, "chat_template");
    bool ok = root && (value ? take_templates(chat, value, file, err)
                             : vkft_fail(err, VKFT_ERR_INPUT, "%s: no \"chat_template\" in it", file));
    cJSON_Delete(root);
    return ok;
}

bool vkft_chat_template_new(const vkft_chat_sources *sources, vkft_chat_template **out, vkft_err *err)
{
    vkft_chat_template *chat = calloc(1, sizeof *chat);
    *out = NULL;
    if (!chat || !(chat->variables = cJSON_CreateObject())) {
        vkft_chat_template_free(chat);
        return vkft_fail_memory(err, "for a conversation");
    }
    chat->now = (int64_t)time(NULL);
    bool ok = true;
    if (sources->jinja) {
        chat->main = vkft_jinja_new(sources->jinja, sources->jinja_length, sources->jinja_name, err);
        ok = chat->main != NULL;
    }
    if (ok && sources->tool_use) {
        chat->tool_use = vkft_jinja_new(sources->tool_use, sources->tool_use_length, VKFT_TOOL_USE_TEMPLATE, err);
        ok = chat->tool_use != NULL;
    }
    ok = ok && take_json(chat, sources, err) && take_config(chat, sources, err) &&
         take_variables(chat, sources->variables, err);
    if (ok && chat->main)
        *out = chat;
    else
        vkft_chat_template_free(chat);
    return ok;
}

void vkft_chat_template_free(vkft_chat_template *chat)
{
    if (!chat)
        return;
    vkft_jinja_free(chat->main);
    vkft_jinja_free(chat->tool_use);
    cJSON_Delete(chat->variables);
    free(chat);
}

const vkft_jinja *vkft_chat_template_for(const vkft_chat_template *chat, const cJSON *tools)
{
    return tools && chat->tool_use ? chat->tool_use : chat->main;
}

static bool any_has(const cJSON *messages, const char *name)
{
    const cJSON *message;
    cJSON_ArrayForEach(message, messages) if (vkft_json_member(message, name)) return true;
    return false;
}

void vkft_chat_template_unused(const vkft_chat_template *chat, const vkft_conversation *conversation, char *text,
                               size_t size)
{
    static const char *const names[] = {"tool_calls", "reasoning_content", "thinking", "reasoning"};
    const vkft_jinja *t = vkft_chat_template_for(chat, conversation->tools);
    bool reasons = vkft_jinja_mentions(t, "reasoning_content") || vkft_jinja_mentions(t, "thinking");
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        size_t n = strlen(text);
        if (any_has(conversation->messages, names[i]) && !(i ? reasons : vkft_jinja_mentions(t, names[i])))
            snprintf(text + n, size - n, "%s%s of messages (the chat template does not know it)", n ? ", " : "",
                     names[i]);
    }
}

/* What the message was that could not be rendered: a template knows its own lines alone. */
static bool name_message(const vkft_conversation *c, uint32_t number, vkft_err *err)
{
    const cJSON *message = cJSON_GetArrayItem(c->messages, (int)number - 1), *item;
    char odd[200] = "";
    cJSON_ArrayForEach(item, message)
    {
        char found[96];
        if (!cJSON_IsString(item) && strcmp(item->string, "tool_calls") != 0)
            snprintf(odd + strlen(odd), sizeof odd - strlen(odd), ", whose \"%.40s\" is %.60s", item->string,
                     vkft_json_describe(item, found, sizeof found));
    }
    const char *role = cJSON_GetStringValue(vkft_json_member(message, "role"));
    return number ? vkft_fail_context(err, "messages[%u] (%.40s%s)", number - 1, role ? role : "without a role", odd)
                  : false;
}

bool vkft_chat_render(const vkft_chat_template *chat, const vkft_conversation *c, bool add_generation_prompt,
                      vkft_jinja_output *out, vkft_err *err)
{
    cJSON *variables = cJSON_Duplicate(chat->variables, true);
    bool ok = variables && cJSON_AddItemReferenceToObject(variables, "messages", (cJSON *)(uintptr_t)c->messages) &&
              (c->tools ? cJSON_AddItemReferenceToObject(variables, "tools", (cJSON *)(uintptr_t)c->tools)
                        : cJSON_AddNullToObject(variables, "tools") != NULL) &&
              (cJSON_HasObjectItem(variables, "documents") || cJSON_AddNullToObject(variables, "documents")) &&
              cJSON_AddBoolToObject(variables, "add_generation_prompt", add_generation_prompt);
    if (!ok)
        vkft_fail_memory(err, "for a conversation");
    ok = ok && add_variables(variables, c->variables, "chat_template_kwargs", err);
    if (ok && !vkft_jinja_render(vkft_chat_template_for(chat, c->tools), variables, "messages", chat->now, out, err))
        ok = name_message(c, out->failed_at, err);
    cJSON_Delete(variables);
    return ok;
}

bool vkft_chat_template_render(const vkft_chat_template *chat, const vkft_conversation *conversation,
                               bool add_generation_prompt, vkft_jinja_output *out, vkft_err *err)
{
    vkft_conversation c = *conversation;
    cJSON *messages = vkft_chat_messages(c.messages, err);
    c.messages = messages;
    bool ok = messages && vkft_chat_render(chat, &c, add_generation_prompt, out, err);
    cJSON_Delete(messages);
    return ok;
}
