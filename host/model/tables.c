/* Tables by position that the host computes: rotary cosines and sines, and the buckets into which distances fall. One
 * buffer holds them all: the model's rotary table, the local one, the encoder's buckets, the decoder's buckets. */
#include <math.h>

#include "host/model/model.h"
#include "host/model/rope.h"
#include "runtime/base/size.h"

static uint64_t rope_words(const vkft_rotary *rotary, uint32_t positions)
{
    return (uint64_t)rotary->dim * positions;
}

static uint64_t bucket_words(const vkft_model *model, uint32_t positions)
{
    return model->config->relative_buckets ? 2ull * positions - 1 : 0;
}

uint64_t vkft_model_table_bytes(const vkft_model *model, uint32_t positions)
{
    uint64_t stacks = model->encoder.count ? 2 : 1;
    return sizeof(float) * (rope_words(&model->rotary[0], positions) + rope_words(&model->rotary[1], positions) +
                            stacks * bucket_words(model, positions));
}

void vkft_model_set_tables(vkft_model *model, uint64_t address, uint32_t positions)
{
    for (int i = 0; i < 2; i++) {
        model->rotary[i].table = address;
        address += sizeof(float) * rope_words(&model->rotary[i], positions);
    }
    vkft_stack *const stacks[] = {&model->encoder, &model->decoder};
    for (int i = 0; i < 2 && model->config->relative_buckets; i++) {
        if (!stacks[i]->count)
            continue;
        stacks[i]->layers[0].relative.bucket = address;
        address += sizeof(uint32_t) * bucket_words(model, positions);
    }
}

/* The bucket of a distance key - query: half of the buckets for single distances, the others for ranges that grow, up
 * to max_distance. In both directions each sign has half of them; in one direction keys ahead share bucket 0. Source:
 * Raffel et al. 2019, and transformers' modeling_t5, whose rounding of the logarithm to f32 is followed. */
static uint32_t bucket_of(int64_t distance, bool both, uint32_t buckets, uint32_t max_distance)
{
    uint32_t base = 0;
    if (both) {
        buckets /= 2;
        base = distance > 0 ? buckets : 0;
        distance = distance < 0 ? -distance : distance;
    } else {
        distance = distance < 0 ? -distance : 0;
    }
    uint32_t exact = buckets / 2;
    if (distance < exact)
        return base + (uint32_t)distance;
    float ratio =
        logf((float)distance / (float)exact) / (float)log((double)max_distance / exact) * (float)(buckets - exact);
    uint32_t far = exact + (uint32_t)ratio;
    return base + min_u32(far, buckets - 1);
}

void vkft_model_fill_tables(const vkft_model *model, uint32_t length, uint32_t positions, void *tables)
{
    const vkft_config *c = model->config;
    float *rope = tables;
    vkft_rope_table(&c->rope, length, positions, rope);
    rope += rope_words(&model->rotary[0], positions);
    vkft_rope_table(&c->local_rope, length, positions, rope);
    uint32_t *bucket = (uint32_t *)(void *)(rope + rope_words(&model->rotary[1], positions));
    const vkft_stack *const stacks[] = {&model->encoder, &model->decoder};
    for (int i = 0; i < 2 && c->relative_buckets; i++)
        for (int64_t d = 1 - (int64_t)positions; stacks[i]->count && d < (int64_t)positions; d++)
            *bucket++ = bucket_of(d, i == 0, c->relative_buckets, c->relative_max_distance);
}
