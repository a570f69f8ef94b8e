/* A model that continues conversations, with its adapter or without. */
#ifndef VKFT_CHAT_SPEAKER_H
#define VKFT_CHAT_SPEAKER_H

#include <cjson/cJSON.h>

#include "host/generate/generator.h"

typedef struct vkft_speaker {
    vkft_base base;             /* the file, the device and the weights, which stay when the adapter comes or goes */
    vkft_model_options options; /* as they were settled when the model was first opened */
    const char *adapter;        /* NULL: there is none */
    bool open;                  /* a session is */
    bool adapted;               /* it has the adapter */
    uint32_t context;           /* how many tokens a conversation may have, answers included */
    vkft_session session;
    vkft_generator generator;
} vkft_speaker;

/* Opens the model as its adapter was trained, which may be NULL. context 0: what the model has, at most
 * VKFT_DEFAULT_CONTEXT. The speaker keeps its place until it is closed, also where this fails. Error: the model has no
 * chat template or no tokenizer, or has an encoder; context is more than it has; those of vkft_session_open and
 * vkft_session_start. */
#define VKFT_DEFAULT_CONTEXT 4096u
bool vkft_speaker_open(vkft_speaker *speaker, const vkft_model_options *model, const char *adapter, uint32_t context,
                       const vkft_observer *observer, vkft_err *err);
void vkft_speaker_close(vkft_speaker *speaker);

/* With the adapter from now on, or without it. The model's weights stay on the device; keys and values go. */
bool vkft_speaker_use_adapter(vkft_speaker *speaker, bool adapted, const vkft_observer *observer, vkft_err *err);

/* The tokens of a conversation, as the model's template writes it, up to where the answer begins. */
bool vkft_speaker_encode(const vkft_speaker *speaker, const cJSON *messages, vkft_ids *ids, vkft_err *err);

#endif
