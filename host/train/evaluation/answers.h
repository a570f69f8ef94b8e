/* Answers of the model as it is: the likeliest token again and again, as `vkft generate --temperature 0` gives them.
 */
#ifndef VKFT_ANSWERS_H
#define VKFT_ANSWERS_H

#include "host/generate/generator.h"

typedef struct vkft_answers {
    vkft_generator generator;
    vkft_generate_options options;
    const vkft_observer *observer; /* borrowed */
    vkft_batch_limits limits;      /* what the prompts seen so far need of the session */
    bool silent;                   /* what is to be said of the model's settings has been said */
} vkft_answers;

/* Before the session's plan. */
bool vkft_answers_open(vkft_answers *answers, vkft_session *session, uint32_t max_new_tokens,
                       const vkft_observer *observer, vkft_err *err);
void vkft_answers_close(vkft_answers *answers);

/* Before the session's plan: counts a prompt of so many tokens into the limits. */
bool vkft_answers_expect(vkft_answers *answers, const int32_t *ids, uint32_t count, vkft_err *err);
/* Appends the answer to text. Error: VKFT_ERR_INTERRUPTED, when the person wants to stop. */
bool vkft_answers_give(vkft_answers *answers, const int32_t *ids, uint32_t count, vkft_text *text, vkft_err *err);

#endif
