/* What is trained on embeddings: LoRA, and rows of some tokens. Ids repeat, so that gradients have several parts, and
 * most of the vocabulary has none. Values are copied, products of two numbers, or sums of up to T of them.
 */
#include "host/doctor/checks/kernels.h"
#include "shaders/embedding/args.h"

#define SUM_TOLERANCE 1e-5 /* a random walk of roundings over hundreds of terms of order 1 */
enum { V = 71, OWN = 9 };

static vkft_lab_array make_ids(vkft_lab *lab, uint32_t T)
{
    vkft_lab_array ids = vkft_lab_output(lab, T);
    for (uint32_t t = 0; t < T; t++)
        ids.u[t] = (t * t + 3 * t / 5) % V;
    return ids;
}

void vkft_check_embedding_lora(vkft_lab *lab, uint32_t T, uint32_t r)
{
    vkft_lab_begin(lab, "embedding_lora [%u,%u]", T, r);
    vkft_lab_array a = vkft_lab_random(lab, 6, r * V), ids = make_ids(lab, T), z = vkft_lab_output(lab, T * r);
    double *want = vkft_lab_doubles(lab, (size_t)T * r);
    for (uint32_t i = 0; i < T * r; i++)
        want[i] = (double)a.f[i % r * V + ids.u[i / r]];
    struct embedding_lora_args args = {.a = a.address, .ids = ids.address, .z = z.address, .T = T, .V = V, .r = r};
    vkft_lab_run(lab, VKFT_KERNEL_embedding_lora, &args, sizeof args, (uint64_t)T * r, 1);
    vkft_lab_expect(lab, "z", z, want, 0);
    vkft_lab_end(lab);

    vkft_lab_begin(lab, "embedding_lora_backward [%u,%u]", T, r);
    a = vkft_lab_random(lab, 6, r * V);
    ids = make_ids(lab, T);
    z = vkft_lab_random(lab, 7, T * r);
    want = vkft_lab_wide(lab, a);
    for (uint32_t i = 0; i < T * r; i++)
        want[i % r * V + ids.u[i / r]] += (double)z.f[i];
    args.a = a.address, args.ids = ids.address, args.z = z.address;
    vkft_lab_run(lab, VKFT_KERNEL_embedding_lora_backward, &args, sizeof args, (uint64_t)r * EMBEDDING_LORA_PARTS, 1);
    vkft_lab_expect(lab, "da", a, want, SUM_TOLERANCE);
    vkft_lab_end(lab);
}

/* Every third token has a row of its own, in falling order; those past them have none. */
static vkft_lab_array make_slots(vkft_lab *lab)
{
    vkft_lab_array slots = vkft_lab_output(lab, V);
    for (uint32_t v = 0; v < V; v++)
        slots.u[v] = v % 3 == 0 && v / 3 < OWN ? OWN - v / 3 : 0;
    return slots;
}

void vkft_check_token_rows(vkft_lab *lab, uint32_t T, uint32_t C)
{
    vkft_lab_begin(lab, "token_rows [%u,%u]", T, C);
    vkft_lab_array rows = vkft_lab_random(lab, 8, OWN * C), slots = make_slots(lab), ids = make_ids(lab, T),
                   y = vkft_lab_random(lab, 9, T * C);
    double *want = vkft_lab_wide(lab, y);
    for (uint32_t i = 0; i < T * C; i++) {
        uint32_t slot = slots.u[ids.u[i / C]];
        if (slot)
            want[i] = 1.5 * (double)rows.f[(slot - 1) * C + i % C];
    }
    struct token_rows_args args = {.rows = rows.address,
                                   .slots = slots.address,
                                   .ids = ids.address,
                                   .y = y.address,
                                   .T = T,
                                   .C = C,
                                   .scale = 1.5f};
    vkft_lab_run(lab, VKFT_KERNEL_token_rows, &args, sizeof args, T, 1);
    vkft_lab_expect(lab, "y", y, want, 1e-7);
    vkft_lab_end(lab);

    vkft_lab_begin(lab, "token_rows_backward [%u,%u]", T, C);
    rows = vkft_lab_random(lab, 8, OWN * C);
    slots = make_slots(lab);
    ids = make_ids(lab, T);
    y = vkft_lab_random(lab, 9, T * C);
    want = vkft_lab_wide(lab, rows);
    for (uint32_t i = 0; i < T * C; i++) {
        uint32_t slot = slots.u[ids.u[i / C]];
        if (slot)
            want[(slot - 1) * C + i % C] += 1.5 * (double)y.f[i];
    }
    args.rows = rows.address, args.slots = slots.address, args.ids = ids.address, args.y = y.address;
    vkft_lab_run(lab, VKFT_KERNEL_token_rows_backward, &args, sizeof args, C, 1);
    vkft_lab_expect(lab, "drows", rows, want, SUM_TOLERANCE);
    vkft_lab_end(lab);
}

void vkft_check_token_columns(vkft_lab *lab, uint32_t T, uint32_t n)
{
    uint32_t vocabulary = 3 * n + 2;
    vkft_lab_begin(lab, "token_columns [%u,%u]", T, n);
    vkft_lab_array x = vkft_lab_random(lab, 4, T * vocabulary), own = vkft_lab_random(lab, 5, T * n),
                   tokens = vkft_lab_output(lab, n);
    for (uint32_t j = 0; j < n; j++)
        tokens.u[j] = 3 * (n - j) - 1;
    double *want = vkft_lab_wide(lab, x), *taken = vkft_lab_wide(lab, own);
    for (uint32_t i = 0; i < T * n; i++)
        want[i / n * vocabulary + tokens.u[i % n]] = taken[i];
    struct token_columns_args args = {
        .x = x.address, .tokens = tokens.address, .own = own.address, .T = T, .V = vocabulary, .n = n};
    vkft_lab_run(lab, VKFT_KERNEL_token_columns, &args, sizeof args, (uint64_t)T * n, 1);
    vkft_lab_expect(lab, "x", x, want, 0);
    vkft_lab_array empty = vkft_lab_output(lab, T * n);
    args.own = empty.address;
    args.take = 1;
    for (uint32_t i = 0; i < T * n; i++)
        want[i / n * vocabulary + tokens.u[i % n]] = 0;
    vkft_lab_run(lab, VKFT_KERNEL_token_columns, &args, sizeof args, (uint64_t)T * n, 1);
    vkft_lab_expect(lab, "x without them", x, want, 0);
    vkft_lab_expect(lab, "own", empty, taken, 0);
    vkft_lab_end(lab);
}
