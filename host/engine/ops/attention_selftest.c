/* Attention on matrix cores against the f32 kernels of the same device, forward and backward, before a run uses it: a
 * driver that lists matrix shapes may still compute them wrong.
 *
 * Elements are of order 1, so that the rounding of operands to f16 stays below 16 units of f16 (see
 * test_kernels_attention), and an error of a matrix's layout is far above it.
 */
#include <math.h>
#include <stdlib.h>

#include "host/engine/ops/attention_kernels.h"
#include "runtime/base/random.h"
#include "runtime/memory.h"
#include "shaders/attention/args.h"

#define TOKENS 77u /* no multiple of a tile */
#define HQ 2u
#define HK 1u
#define TOLERANCE (16 * 0x1p-11f)

/* Places in the buffer, in floats. Results come last: o, dq, dk, dv. */
typedef struct places {
    uint32_t rows, keys; /* elements of all queries, and of all keys */
    uint32_t ranges, q, k, v, dout, lse, delta, o, dq, dk, dv, end;
} places;

static places places_of(uint32_t head)
{
    places p = {.rows = TOKENS * HQ * head, .keys = TOKENS * HK * head};
    uint32_t at = 0;
    struct {
        uint32_t *place, count;
    } parts[] = {{&p.ranges, 4 * TOKENS}, {&p.q, p.rows},        {&p.k, p.keys},          {&p.v, p.keys},
                 {&p.dout, p.rows},       {&p.lse, TOKENS * HQ}, {&p.delta, TOKENS * HQ}, {&p.o, p.rows},
                 {&p.dq, p.rows},         {&p.dk, p.keys},       {&p.dv, p.keys}};
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) {
        *parts[i].place = at;
        at += (parts[i].count + 63) / 64 * 64;
    }
    p.end = at;
    return p;
}

/* Causal ranges of two packed sequences, and random elements; those of queries and keys differ in size, as tiles'
 * scales then do. */
static void fill(const places *p, float *x)
{
    uint32_t *range = (uint32_t *)(void *)(x + p->ranges);
    for (uint32_t t = 0; t < TOKENS; t++) {
        uint32_t begin = t < 30 ? 0 : 30, end = t < 30 ? 30 : TOKENS;
        range[2 * t] = begin, range[2 * t + 1] = t + 1;
        range[2 * (TOKENS + t)] = t, range[2 * (TOKENS + t) + 1] = end;
    }
    for (uint32_t i = p->q; i < p->end; i++)
        x[i] = (float)(4 * vkft_random_uniform(13, 1, i) - 2) * (i < p->k ? 0.25f : i < p->v ? 4 : 1);
}

static bool run(vkft_device *dev, vkft_commands *cmds, vkft_buffer *buffer, const places *p, uint32_t head, float *x,
                vkft_err *err)
{
    uint64_t a = buffer->address;
    const float scale = 1 / sqrtf((float)head);
    const struct attention_args forward = {.q = a + 4ull * p->q,
                                           .k = a + 4ull * p->k,
                                           .v = a + 4ull * p->v,
                                           .o = a + 4ull * p->o,
                                           .lse = a + 4ull * p->lse,
                                           .range = a + 4ull * p->ranges,
                                           .T = TOKENS,
                                           .Hq = HQ,
                                           .Hk = HK,
                                           .scale = scale};
    const struct attention_delta_args delta = {
        .dout = a + 4ull * p->dout, .o = forward.o, .delta = a + 4ull * p->delta, .T = TOKENS, .Hq = HQ};
    struct attention_backward_args backward = {.q = forward.q,
                                               .k = forward.k,
                                               .v = forward.v,
                                               .dout = delta.dout,
                                               .lse = forward.lse,
                                               .delta = delta.delta,
                                               .range = forward.range,
                                               .dq = a + 4ull * p->dq,
                                               .dk = a + 4ull * p->dk,
                                               .dv = a + 4ull * p->dv,
                                               .T = TOKENS,
                                               .S = TOKENS,
                                               .Hq = HQ,
                                               .Hk = HK,
                                               .scale = scale};
    const double flops = 4.0 * TOKENS * TOKENS * HQ * head;
    vkft_commands_reset(cmds);
    vkft_attention_launch(dev, cmds, VKFT_ATTENTION_FORWARD, head, &forward, sizeof forward, TOKENS, HQ, flops);
    vkft_attention_launch(dev, cmds, VKFT_ATTENTION_DELTA, head, &delta, sizeof delta, TOKENS * HQ, 1, flops);
    vkft_attention_launch(dev, cmds, VKFT_ATTENTION_DQ, head, &backward, sizeof backward, TOKENS, HQ, flops);
    backward.range += 8ull * TOKENS;
    vkft_attention_launch(dev, cmds, VKFT_ATTENTION_DKV, head, &backward, sizeof backward, TOKENS, HK, flops);
    fill(p, x);
    return vkft_buffer_write(dev, buffer, 0, x, 4ull * p->end, err) && vkft_commands_run(cmds, err) &&
           vkft_buffer_read(dev, buffer, 0, x, 4ull * p->end, err);
}

bool vkft_attention_compare(vkft_device *dev, uint32_t head, void (*choose)(vkft_device *, bool matrix, const void *),
                            const void *context, bool *same, vkft_err *err)
{
    const places p = places_of(head);
    vkft_buffer buffer = {0};
    vkft_commands *cmds = NULL;
    float *want = calloc(p.end, sizeof *want), *got = calloc(p.end, sizeof *got);
    bool ok = (want && got) || vkft_fail_memory(err, "for the kernels' self-test");
    ok = ok && vkft_buffer_new(dev, 4ull * p.end, VKFT_MEMORY_HOST, "kernels' self-test", &buffer, err) &&
         (cmds = vkft_commands_new(dev, err));
    if (ok)
        choose(dev, false, context);
    ok = ok && run(dev, cmds, &buffer, &p, head, want, err);
    if (ok)
        choose(dev, true, context);
    ok = ok && run(dev, cmds, &buffer, &p, head, got, err);
    *same = ok;
    for (uint32_t i = p.o; *same && i < p.end; i++)
        *same = fabsf(got[i] - want[i]) <= TOLERANCE * (1 + fabsf(want[i]));
    vkft_commands_free(cmds);
    vkft_buffer_free(dev, &buffer);
    free(want), free(got);
    return ok || vkft_fail_context(err, "in the self-test of attention on matrix cores");
}
