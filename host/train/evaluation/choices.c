/* See choices.h. */
#include "host/train/evaluation/choices.h"

#include <stdlib.h>

#include "host/train/learner.h"
#include "runtime/base/size.h"

bool vkft_choices_open(vkft_choices *choices, vkft_session *session, const vkft_sample_packs *split, uint32_t count,
                       uint32_t batch_size, vkft_err *err)
{
    uint64_t all = 0;
    *choices = (vkft_choices){.session = session, .batch_size = batch_size};
    for (uint32_t i = 0; i < count; i++) {
        if (!split->samples[i]->choices)
            return vkft_fail(err, VKFT_ERR_INPUT,
                             "--metrics acc compares choices, and these rows have none; expected rows such as "
                             "{\"question\": \"...\", \"choices\": [\"...\", \"...\"], \"answer\": 0}");
        all += split->samples[i]->choice.count;
    }
    vkft_sample_packs *packs = &choices->all;
    choices->logp = malloc((all + 1) * sizeof *choices->logp);
    packs->samples = malloc((all + 1) * sizeof *packs->samples);
    packs->pack = malloc((all + 1) * sizeof *packs->pack);
    if (!choices->logp || !packs->samples || !packs->pack)
        return vkft_fail_memory(err, "for the choices");
    for (uint32_t i = 0; i < count; i++)
        for (uint32_t k = 0; k < split->samples[i]->choice.count; k++) {
            packs->pack[packs->count] = packs->count;
            packs->samples[packs->count++] = &split->samples[i]->choices[k];
        }
    packs->pack[packs->count] = packs->packs = packs->count;
    choices->pass = vkft_add_evaluation(session, err);
    return choices->pass != NULL;
}

void vkft_choices_close(vkft_choices *choices)
{
    vkft_sample_packs_free(&choices->all);
    free(choices->logp);
    *choices = (vkft_choices){0};
}

bool vkft_choices_score(vkft_choices *choices, const vkft_portion *portion, const vkft_observer *observer,
                        vkft_err *err)
{
    vkft_session *session = choices->session;
    for (uint32_t done = 0, part; done < choices->all.count; done += part) {
        const vkft_sample *const *samples = choices->all.samples + done;
        double sum;
        part = min_u32(min_u32(portion->packs, choices->batch_size), choices->all.count - done);
        if (vkft_observer_interrupted(observer))
            return vkft_fail(err, VKFT_ERR_INTERRUPTED, "interrupted while choices were compared");
        vkft_session_fill(session, samples, part);
        if (!vkft_session_run(session, choices->pass, &sum, err)) {
            if (!vkft_session_shrink(session, err))
                return false;
            part = 0; /* again */
            continue;
        }
        const float *loss = session->batch.loss_host;
        for (uint32_t i = 0; i < part; i++) {
            double *logp = &choices->logp[done + i];
            *logp = 0;
            for (uint32_t k = 0; k < samples[i]->trained; k++)
                *logp -= (double)*loss++;
        }
        vkft_observer_work(observer, "comparing choices", done + part, choices->all.count);
    }
    return true;
}
