/* The prompts of --sample-prompts, as texts and as tokens. */
#ifndef VKFT_PROMPTS_H
#define VKFT_PROMPTS_H

#include "formats/chat/model_text.h"
#include "formats/tokenizer/ids.h"
#include "host/train/options.h"

typedef struct vkft_prompt {
    char *text; /* as the file has it; of messages, what the chat template makes of them */
    vkft_ids ids;
} vkft_prompt;

typedef struct vkft_prompts {
    vkft_prompt *list;
    uint32_t count;
} vkft_prompts;

/* A text file has a prompt a line; a .jsonl file an object a line, {"prompt": TEXT} or {"messages": [...]}. Empty lines
 * are passed over. Text is encoded as vkft generate does it; with --apply-chat-template it is a user's message.
 * Error: no prompt, another kind of object, messages without a chat template, no tokenizer. */
bool vkft_prompts_read(const char *path, const vkft_data_options *data, const vkft_model_text *text, bool has_encoder,
                       vkft_prompts *prompts, vkft_err *err);
void vkft_prompts_free(vkft_prompts *prompts);

#endif
