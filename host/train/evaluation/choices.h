/* How likely the model finds each answer that a row offers: the sum of the log-probabilities of its tokens after the
 * prompt, as lm-evaluation-harness's "multiple_choice" computes it. Test: test_choices */
#ifndef VKFT_CHOICES_H
#define VKFT_CHOICES_H

#include "host/session/session.h"
#include "host/train/packs.h"
#include "host/train/portion.h"

typedef struct vkft_choices {
    vkft_session *session;
    vkft_pass *pass;
    vkft_sample_packs all; /* the choices of some samples, one after the other */
    uint32_t batch_size;
    double *logp; /* [all.count], of the last time */
} vkft_choices;

/* Before the session's plan, which counts batches of choices->all: the choices of the first `count` samples. Error: a
 * sample without choices. */
bool vkft_choices_open(vkft_choices *choices, vkft_session *session, const vkft_sample_packs *split, uint32_t count,
                       uint32_t batch_size, vkft_err *err);
void vkft_choices_close(vkft_choices *choices);
/* Computes choices->logp, in portions, which are those of the session. */
bool vkft_choices_score(vkft_choices *choices, const vkft_portion *portion, const vkft_observer *observer,
                        vkft_err *err);

#endif
