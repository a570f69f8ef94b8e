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
    char *chat_error;          /* why the model's own template cannot be used; NULL: nothing is wrong */
    uint64_t hash;             /* of the texts that both come from */
} vkft_model_text;

/* What the user says of the chat template; zeros or NULL: nothing. Strings are borrowed. */
typedef struct vkft_chat_options {
    const char *file;      /* goes before the model's own template, or NULL */
    const char *variables; /* a JSON object of more variables for it, or NULL */
} vkft_chat_options;

bool vkft_model_text_of_file(const vkft_model_file *file, const vkft_chat_options *chat, vkft_model_text *text,
                             vkft_err *err);
/* path: a checkpoint directory, of which only the small files are read, a GGUF file, or a .vkft file. */
bool vkft_model_text_open(const char *path, const vkft_chat_options *chat, vkft_model_text *text, vkft_err *err);
void vkft_model_text_free(vkft_model_text *text);

#endif
