/* See shared_data.h. */
#include "host/train/setup/shared_data.h"

#include <string.h>

static bool same_text(const char *a, const char *b)
{
    return a == b || (a && b && strcmp(a, b) == 0);
}

/* Whether both make the same samples; packing is what comes after. */
static bool same_samples(const vkft_data_options *a, const vkft_data_options *b)
{
    return same_text(a->path, b->path) && same_text(a->dataset_config, b->dataset_config) &&
           same_text(a->split, b->split) && same_text(a->validation_split, b->validation_split) &&
           same_text(a->completions, b->completions) && same_text(a->keys, b->keys) &&
           same_text(a->prompt_template, b->prompt_template) && a->apply_chat_template == b->apply_chat_template &&
           a->max_seq_length == b->max_seq_length && a->mask_prompt == b->mask_prompt &&
           a->mask_history == b->mask_history && a->objective == b->objective && a->on_bad_row == b->on_bad_row &&
           a->long_rows == b->long_rows;
}

bool vkft_shared_data_take(vkft_shared_data *shared, vkft_shared_part part, const vkft_data_options *options,
                           uint64_t text_hash, vkft_dataset *data)
{
    if (!shared->part[part].there || shared->part[part].text_hash != text_hash ||
        !same_samples(&shared->part[part].options, options))
        return false;
    *data = shared->part[part].data;
    shared->part[part].data = (vkft_dataset){0};
    shared->part[part].there = false;
    shared->part[part].lent = true;
    return true;
}

void vkft_shared_data_opened(vkft_shared_data *shared, vkft_shared_part part, const vkft_data_options *options,
                             uint64_t text_hash)
{
    if (shared->part[part].there)
        vkft_dataset_free(&shared->part[part].data);
    shared->part[part].options = *options;
    shared->part[part].text_hash = text_hash;
    shared->part[part].there = false;
    shared->part[part].lent = true;
}

void vkft_shared_data_leave(vkft_shared_data *shared, vkft_shared_part part, vkft_dataset *data)
{
    if (!shared->part[part].lent)
        return;
    for (uint32_t i = 0; i < data->count; i++) {
        data->samples[i].reference = 0;
        data->samples[i].mismatched = NULL;
    }
    shared->part[part].data = *data;
    shared->part[part].there = true;
    shared->part[part].lent = false;
    *data = (vkft_dataset){0};
}

void vkft_shared_data_close(vkft_shared_data *shared)
{
    for (int part = 0; part < VKFT_SHARED_PARTS; part++)
        if (shared->part[part].there)
            vkft_dataset_free(&shared->part[part].data);
    *shared = (vkft_shared_data){0};
}
