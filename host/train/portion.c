/* See portion.h. */
#include "host/train/portion.h"

#include "runtime/base/size.h"

#define USES (int)(sizeof((vkft_portion *)0)->use / sizeof *((vkft_portion *)0)->use)

vkft_portion vkft_portion_whole(const vkft_sample_packs *train, uint32_t train_batch, const vkft_sample_packs *eval,
                                uint32_t eval_batch, const vkft_observer *observer)
{
    vkft_portion portion = {.use = {{train, train_batch}, {eval, eval_batch}}, .packs = 1, .observer = observer};
    for (int i = 0; i < USES; i++)
        if (portion.use[i].split)
            portion.packs = max_u32(portion.packs, min_u32(portion.use[i].batch_size, portion.use[i].split->packs));
    return portion;
}

bool vkft_portion_limits(const vkft_portion *portion, vkft_batch_limits *limits, vkft_err *err)
{
    *limits = portion->least;
    for (int i = 0; i < USES; i++) {
        vkft_batch_limits of_use;
        if (!portion->use[i].split)
            continue;
        if (!vkft_sample_packs_limits(portion->use[i].split, min_u32(portion->use[i].batch_size, portion->packs),
                                      &of_use, err))
            return false;
        vkft_batch_limits_join(limits, &of_use);
    }
    return true;
}

bool vkft_portion_halve(void *context, vkft_limits *limits)
{
    vkft_portion *portion = context;
    vkft_batch_limits batch;
    if (portion->packs == 1)
        return false;
    portion->packs = ceil_div(portion->packs, 2);
    if (!vkft_portion_limits(portion, &batch, NULL))
        return false;
    batch.expert_choice = limits->batch.expert_choice;
    limits->batch = batch;
    vkft_observer_say(portion->observer,
                      "memory ran out: batches are computed %u sample%s at a time from here on, with the same sums%s",
                      portion->packs, portion->packs == 1 ? "" : "s",
                      portion->dropout ? " but other random numbers of dropout and noise" : "");
    return true;
}
