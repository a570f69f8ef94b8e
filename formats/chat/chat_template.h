/* Conversations as a model sees them: rendered through the checkpoint's chat template, encoded, with the assistant's
 * parts marked. */
#ifndef VKFT_CHAT_TEMPLATE_H
#define VKFT_CHAT_TEMPLATE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <cjson/cJSON.h>

#include "formats/tokenizer/tokenizer.h"
#include "formats/jinja/jinja.h"

#define VKFT_TOOL_USE_TEMPLATE "additional_chat_templates/tool_use.jinja"

typedef struct vkft_chat_template vkft_chat_template; /* immutable; may be used from several threads */

/* Texts of a checkpoint's files; NULL where there is no such file. */
typedef struct vkft_chat_sources {
    const char *tokenizer_config; /* tokenizer_config.json: special tokens, and maybe "chat_template" */
    size_t tokenizer_config_length;
    const char *jinja; /* chat_template.jinja, or the file that the user named: goes before the others */
    size_t jinja_length;
    const char *jinja_name; /* names it in errors */
    const char *json;       /* chat_template.json */
    size_t json_length;
    const char *tool_use; /* additional_chat_templates/tool_use.jinja: for conversations with tools */
    size_t tool_use_length;
    const char *variables; /* of the user for the template: a JSON object, or NULL */
} vkft_chat_sources;

/* *out is NULL when none of the sources has a template, which is no error. A list of named templates: "tool_use" for
 * conversations with tools where there is one, else "default". */
bool vkft_chat_template_new(const vkft_chat_sources *sources, vkft_chat_template **out, vkft_err *err);
void vkft_chat_template_free(vkft_chat_template *chat);

/* What a template is given. */
typedef struct vkft_conversation {
    const cJSON *messages;  /* an array of {"role", "content", ...} */
    const cJSON *tools;     /* an array or NULL */
    const cJSON *variables; /* more variables for the template, such as {"enable_thinking": false}; an object or NULL */
    const uint8_t *untrained; /* one byte a message, 1: not trained although it is the assistant's; NULL: none */
} vkft_conversation;

/* As transformers' apply_chat_template(tokenize=False). */
bool vkft_chat_template_render(const vkft_chat_template *chat, const vkft_conversation *conversation,
                               bool add_generation_prompt, vkft_jinja_output *out, vkft_err *err);

/* Appends the tool calls and thoughts of these messages of which the template knows nothing to a list for people, cut
 * off at size. */
void vkft_chat_template_unused(const vkft_chat_template *chat, const vkft_conversation *conversation, char *text,
                               size_t size);

/* Gives tool calls that have no id one of nine letters and digits, and answers of tools the id of their call. given:
 * whether any was missing. */
bool vkft_chat_give_call_ids(cJSON *messages, bool *given, vkft_err *err);

/* Which of the assistant's turns are trained. */
typedef enum vkft_train_on { VKFT_TRAIN_ON_ASSISTANT, VKFT_TRAIN_ON_LAST, VKFT_TRAIN_ON_ALL } vkft_train_on;

/* Appends the ids of the rendered conversation and, into mask (malloc'ed, one byte an id, 1: the assistant's). The
 * parts come from {% generation %} blocks where the template has them; else a turn is what stands between the prompt
 * for it and the next message, without white space after its last special token. Error: a turn that cannot be found in
 * the rendered text. */
bool vkft_chat_template_encode(const vkft_chat_template *chat, const vkft_tokenizer *tok,
                               const vkft_conversation *conversation, vkft_train_on train_on, vkft_ids *ids,
                               uint8_t **mask, vkft_err *err);

#endif
