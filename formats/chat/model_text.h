/* What a model brings for text: its tokenizer and its chat template, from a .vkft file or straight from a checkpoint
 * directory. */
#ifndef VKFT_MODEL_TEXT_H
#define VKFT_MODEL_TEXT_H

#include "formats/chat/chat_template.h"
#include "formats/native/model_file.h"
#include "formats/tokenizer/tokenizer.h"

typedef struct vkft_model_text {
    vkft_tokenizer *tokenizer; /* NULL: the model has none */
    vkft_chat_template *chat;  /* the same */
    uint64_t hash;             /* of the texts that both come from */
} vkft_model_text;

/* chat_template: a file that goes before the model's own template, or NULL. */
bool vkft_model_text_of_file(const vkft_model_file *file, const char *chat_template, vkft_model_text *text,
                             vkft_err *err);
/* path: a checkpoint directory, of which only the small files are read, or a .vkft file. */
bool vkft_model_text_open(const char *path, const char *chat_template, vkft_model_text *text, vkft_err *err);
void vkft_model_text_free(vkft_model_text *text);

#endif
