/* vkft template: conversations as the model sees them. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "formats/chat/chat_template.h"
#include "host/cli/cli.h"
#include "host/cli/fetch.h"
#include "host/session/options.h"
#include "runtime/base/file.h"
#include "runtime/base/json.h"
#include "formats/chat/model_text.h"
#include "runtime/base/utf8.h"
#include "runtime/base/json/builder.h"

#define MAX_CONVERSATION_BYTES (64u << 20)

typedef struct template_options {
    vkft_model_options model;
    const char *input;
    bool generation_prompt, json;
} template_options;

#define AT(member) .offset = offsetof(template_options, member)

static const flag template_flags[] = {
    {.kind = FLAG_TEXT,
     .name = "FILE",
     .positional = true,
     .help = "file with the conversation",
     .default_text = "standard input",
     AT(input)},
    CLI_MODEL_PATH_FLAG(AT),
    CLI_CHAT_TEMPLATE_FLAGS(AT),
    {.kind = FLAG_SWITCH,
     .name = "generation-prompt",
     .help = "append the start of an assistant message",
     AT(generation_prompt)},
    {.kind = FLAG_SWITCH,
     .name = "json",
     .help = "print a JSON object with the text, token ids and assistant mask",
     AT(json)},
};

static const flag_table template_table = {
    .command = "template",
    .usage = "--model PATH [FILE] [flags]",
    .about = "Renders a conversation, [{\"role\": \"user\", \"content\": \"...\"}, ...] or {\"messages\": [...], "
             "\"tools\": [...]}, with the\n"
             "model's chat template.",
    .flags = template_flags,
    .count = FLAG_COUNT(template_flags),
};

static cJSON *read_conversation(const char *path, vkft_err *err)
{
    vkft_text text = {0};
    cJSON *root = NULL;
    if (path ? vkft_file_read(path, MAX_CONVERSATION_BYTES, &text.data, &text.length, err)
             : cli_read_input(MAX_CONVERSATION_BYTES, &text, err))
        root = vkft_json_parse_exact(text.data ? text.data : "", text.length, path ? path : "standard input", 1, err);
    vkft_text_free(&text);
    return root;
}

/* {"text", "ids", "assistant_mask"}; with a generation prompt the mask is left out, since nothing is trained on. */
static bool print_json(const template_options *o, const vkft_model_text *text, const vkft_conversation *conversation,
                       const vkft_text *rendered, vkft_err *err)
{
    vkft_ids ids = {0};
    uint8_t *mask = NULL;
    bool failed = false;
    vkft_json_node root = vkft_json_make_object(&failed);
    vkft_json_put_string(root, "text", rendered->data ? rendered->data : "");
    bool ok = true;
    if (text->tokenizer && o->generation_prompt)
        ok = vkft_tokenizer_encode(text->tokenizer, rendered->data ? rendered->data : "", rendered->length, false, &ids,
                                   err);
    else if (text->tokenizer)
        ok = vkft_chat_template_encode(text->chat, text->tokenizer, conversation, VKFT_TRAIN_ON_ASSISTANT, &ids, &mask,
                                       err);
    if (ok && text->tokenizer)
        vkft_json_put_integers(root, "ids", ids.data, ids.count);
    if (ok && mask) {
        vkft_json_node list = vkft_json_put_array(root, "assistant_mask");
        for (uint32_t i = 0; i < ids.count; i++)
            vkft_json_put_number(list, NULL, mask[i]);
    }
    cJSON *made = vkft_json_made(root);
    if (ok)
        ok = cli_print_json(made) == EXIT_SUCCESS || vkft_fail_memory(err, "while printing");
    else
        cJSON_Delete(made);
    free(mask);
    vkft_ids_free(&ids);
    return ok;
}

static bool run(const template_options *o, const vkft_model_text *text, const cJSON *root, vkft_err *err)
{
    const vkft_conversation conversation = {
        .messages = cJSON_IsObject(root) ? vkft_json_member(root, "messages") : root,
        .tools = vkft_json_member(root, "tools"),
        .variables = vkft_json_member(root, "chat_template_kwargs"),
    };
    vkft_jinja_output out = {0};
    if (!cJSON_IsArray(conversation.messages))
        return vkft_fail(err, VKFT_ERR_INPUT, "%s: expected an array of messages, or an object with \"messages\"",
                         o->input ? o->input : "standard input");
    if (!text->chat)
        return vkft_fail(err, VKFT_ERR_INPUT, "%s: %s; give one with --chat-template FILE", o->model.path,
                         text->chat_error ? text->chat_error : "the model has no chat template");
    bool ok = vkft_chat_template_render(text->chat, &conversation, o->generation_prompt, &out, err);
    if (ok && o->json)
        ok = print_json(o, text, &conversation, &out.text, err);
    else if (ok && out.text.length)
        fwrite(out.text.data, 1, out.text.length, stdout);
    vkft_jinja_output_free(&out);
    return ok;
}

int cmd_template(int argc, char **argv)
{
    template_options options = {0};
    vkft_recipe recipe = {0};
    int code;
    if (!cli_flags(&template_table, &options, argc, argv, &recipe, &code))
        return code;
    vkft_err err = {0};
    vkft_model_text text = {0};
    cJSON *root = read_conversation(options.input, &err);
    bool ok = root && cli_fetch(&template_table, &options, false, &recipe, &err) &&
              vkft_model_text_open(options.model.path, &options.model.chat, &text, &err) &&
              run(&options, &text, root, &err);
    code = ok ? EXIT_SUCCESS : cli_fail(&template_table, &err);
    cJSON_Delete(root);
    vkft_model_text_free(&text);
    recipe_free(&recipe);
    return code;
}
