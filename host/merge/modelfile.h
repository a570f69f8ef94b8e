/* A Modelfile, from which `ollama create` makes a model: the file of weights, an adapter, the chat template, where an
 * answer stops, and how it is sampled.
 *
 * Ollama has templates of Go instead of Jinja. One is made of what the model's template puts around each message, and
 * written when it then gives the same text as the model's for conversations with and without a system prompt, of one
 * and of several turns. Test: test_modelfile
 */
#ifndef VKFT_MERGE_MODELFILE_H
#define VKFT_MERGE_MODELFILE_H

#include "formats/chat/model_text.h"
#include "runtime/base/observer.h"

typedef struct vkft_modelfile {
    const char *from;    /* of the weights: a path, relative to the Modelfile where it does not begin with '/' */
    const char *adapter; /* NULL: none; likewise */
    const char *model;   /* whose tokenizer, template and generation_config.json are meant */
} vkft_modelfile;

/* Says what cannot be expressed. Error: files of the model that are wrong; whatever writing reports. */
bool vkft_write_modelfile(const vkft_modelfile *modelfile, const char *path, const vkft_observer *observer,
                          vkft_err *err);

/* The Go template of a chat template, malloc'ed; NULL: there is none that gives the same. bos: what the tokenizer puts
 * in front of a text by itself, or NULL. has_system: whether the template takes a system prompt. */
char *vkft_go_template(const vkft_chat_template *chat, const char *bos, bool *has_system);

#endif
