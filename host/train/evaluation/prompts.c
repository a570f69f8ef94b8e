/* See prompts.h. */
#include "host/train/evaluation/prompts.h"

#include <stdlib.h>
#include <string.h>

#include "runtime/base/file.h"
#include "runtime/base/json.h"
#include "runtime/base/json/builder.h"
#include "runtime/base/text.h"

#define FILE_LIMIT (64u << 20)

typedef struct reading {
    const char *path;
    const vkft_data_options *data;
    const vkft_model_text *text;
    bool has_encoder;
    uint64_t line;
    vkft_prompts *prompts;
} reading;

static bool add(const reading *r, const char *text, size_t length, bool rendered, vkft_err *err)
{
    vkft_prompts *p = r->prompts;
    vkft_prompt *list = realloc(p->list, (p->count + 1ull) * sizeof *list);
    if (!list)
        return vkft_fail_memory(err, "for the prompts of %s", r->path);
    p->list = list;
    vkft_prompt *prompt = &list[p->count++];
    *prompt = (vkft_prompt){.text = vkft_string_copy(text)};
    if (!prompt->text)
        return vkft_fail_memory(err, "for the prompts of %s", r->path);
    const vkft_tokenizer *tok = r->text->tokenizer;
    return rendered || r->has_encoder
               ? vkft_tokenizer_encode(tok, text, length, r->has_encoder && !rendered, &prompt->ids, err)
               : vkft_tokenizer_encode_prompt(tok, text, length, &prompt->ids, err);
}

static bool add_conversation(const reading *r, const vkft_conversation *conversation, vkft_err *err)
{
    vkft_jinja_output out = {0};
    if (!r->text->chat)
        return vkft_fail(err, VKFT_ERR_INPUT, "%s: line %llu is a conversation, and %s; give one with --chat-template",
                         r->path, (unsigned long long)r->line,
                         r->text->chat_error ? r->text->chat_error : "the model has no chat template");
    bool ok = vkft_chat_template_render(r->text->chat, conversation, true, &out, err) &&
              add(r, out.text.data ? out.text.data : "", out.text.length, true, err);
    vkft_jinja_output_free(&out);
    return ok;
}

static bool add_text(const reading *r, const char *text, vkft_err *err)
{
    if (!r->data->apply_chat_template)
        return add(r, text, strlen(text), false, err);
    bool failed = false;
    vkft_json_node list = vkft_json_make_array(&failed), message = vkft_json_put_object(list, NULL);
    vkft_json_put_string(message, "role", "user");
    vkft_json_put_string(message, "content", text);
    cJSON *messages = vkft_json_made(list);
    bool ok = messages ? add_conversation(r, &(vkft_conversation){.messages = messages}, err)
                       : vkft_fail_memory(err, "for the prompts of %s", r->path);
    cJSON_Delete(messages);
    return ok;
}

static bool add_row(const reading *r, const char *line, vkft_err *err)
{
    cJSON *row = vkft_json_parse_line(line, strlen(line), r->path, r->line, err);
    if (!row)
        return false;
    const cJSON *prompt = vkft_json_member(row, "prompt"), *messages = vkft_json_member(row, "messages");
    const vkft_conversation conversation = {.messages = messages,
                                            .tools = vkft_json_member(row, "tools"),
                                            .variables = vkft_json_member(row, "chat_template_kwargs")};
    bool ok =
        cJSON_IsArray(messages) ? add_conversation(r, &conversation, err)
        : cJSON_IsString(prompt)
            ? add_text(r, prompt->valuestring, err)
            : vkft_fail(err, VKFT_ERR_INPUT, "%s: line %llu: expected {\"prompt\": TEXT} or {\"messages\": [...]}",
                        r->path, (unsigned long long)r->line);
    cJSON_Delete(row);
    return ok;
}

bool vkft_prompts_read(const char *path, const vkft_data_options *data, const vkft_model_text *text, bool has_encoder,
                       vkft_prompts *prompts, vkft_err *err)
{
    char *content = NULL;
    size_t size;
    reading r = {path, data, text, has_encoder, 0, prompts};
    *prompts = (vkft_prompts){0};
    if (!text->tokenizer)
        return vkft_fail(err, VKFT_ERR_INPUT, "--sample-prompts %s: the model has no tokenizer", path);
    if (!vkft_file_read(path, FILE_LIMIT, &content, &size, err))
        return vkft_fail_context(err, "--sample-prompts");
    bool ok = true, rows = vkft_string_ends_with(path, ".jsonl") || vkft_string_ends_with(path, ".json");
    for (char *line = content, *next; ok && line && *line; line = next) {
        r.line++;
        next = strchr(line, '\n');
        if (next)
            *next++ = 0;
        size_t length = strlen(line);
        if (length && line[length - 1] == '\r')
            line[length - 1] = 0;
        if (line[strspn(line, " \t")])
            ok = rows ? add_row(&r, line, err) : add_text(&r, line, err);
    }
    free(content);
    return ok && (prompts->count || vkft_fail(err, VKFT_ERR_INPUT, "--sample-prompts %s: no prompt in it", path));
}

void vkft_prompts_free(vkft_prompts *prompts)
{
    for (uint32_t i = 0; i < prompts->count; i++) {
        free(prompts->list[i].text);
        vkft_ids_free(&prompts->list[i].ids);
    }
    free(prompts->list);
    *prompts = (vkft_prompts){0};
}
