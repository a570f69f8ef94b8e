/* The inside of formats/chat: a template, and what its files share. */
#ifndef VKFT_CHAT_TEMPLATE_PRIVATE_H
#define VKFT_CHAT_TEMPLATE_PRIVATE_H

#include "formats/chat/chat_template.h"

struct vkft_chat_template {
    vkft_jinja *main, *tool_use; /* tool_use may be NULL */
    cJSON *variables;            /* bos_token, eos_token, ...: strings; and those of the user */
    int64_t now;
};

/* messages.c. Messages as templates see them, as in transformers: members that are null are left out, and reasoning
 * has the names "reasoning_content" and "thinking" whatever it is called. Free with cJSON_Delete; borrows from
 * messages. Error: a message that is no object. */
cJSON *vkft_chat_messages(const cJSON *messages, vkft_err *err);

const vkft_jinja *vkft_chat_template_for(const vkft_chat_template *chat, const cJSON *tools);

/* Renders messages that vkft_chat_messages made. */
bool vkft_chat_render(const vkft_chat_template *chat, const vkft_conversation *conversation, bool add_generation_prompt,
                      vkft_jinja_output *out, vkft_err *err);

/* What an assistant's message is in the rendered text. */
typedef struct vkft_turn {
    uint32_t message;  /* index */
    size_t begin, end; /* bytes, from after the prompt for it to the end of what the template wrote for it */
    size_t tail;       /* nothing of the message's own stands from here on */
    size_t limit;      /* where something else begins: the next message, or the end of the text */
    bool in_next;      /* what stands before the limit is written for the next message, but because of this one */
} vkft_turn;

bool vkft_chat_is_assistant(const cJSON *message);

/* turns.c. The turns of a conversation whose messages vkft_chat_messages made, from its tracked rendering. *turns is
 * malloc'ed. Error: where a turn lies cannot be told for certain. */
bool vkft_chat_turns(const vkft_chat_template *chat, const vkft_conversation *conversation, vkft_jinja_output *rendered,
                     vkft_turn **turns, uint32_t *count, vkft_err *err);

#endif
