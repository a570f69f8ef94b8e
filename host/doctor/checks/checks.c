/* The list of checks. See kernels.h. */
#include "host/doctor/checks/attention.h"
#include "host/doctor/checks/kernels.h"
#include "host/doctor/checks/products.h"

static void check_elements(vkft_lab *lab)
{
    static const uint32_t sizes[] = {1, 31, 333};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        uint32_t n = sizes[i];
        for (int a = VKFT_ACT_SILU; a <= VKFT_ACT_RELU; a++) {
            vkft_check_gated(lab, n, (vkft_activation)a);
            vkft_check_activation(lab, n, (vkft_activation)a);
        }
        vkft_check_softcap(lab, n);
        vkft_check_dropout(lab, n);
        vkft_check_round_bf16(lab, n + n % 2);
        vkft_check_stochastic_bf16(lab, n);
        vkft_check_fill_and_add(lab, n);
        vkft_check_adamw(lab, n);
        vkft_check_adamw_8bit(lab, n);
        vkft_check_lion(lab, n);
        vkft_check_lion_8bit(lab, n);
        vkft_check_sgd(lab, n);
        vkft_check_sums(lab, n);
        vkft_check_clip(lab, n, 1);
    }
    vkft_check_clip(lab, 5, 0);
    vkft_check_subgroup(lab);
}

static void check_rows(vkft_lab *lab)
{
    static const uint32_t shapes[][2] = {{1, 1}, {31, 7}, {333, 37}, {5, 333}};
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++) {
        uint32_t T = shapes[i][0], C = shapes[i][1];
        vkft_check_bias_rows(lab, T, C);
        vkft_check_column_sum(lab, T, C);
        vkft_check_dora_factors(lab, T, C);
        vkft_check_dora_rows(lab, T, C);
        vkft_check_dora_magnitude(lab, T, C);
        for (vkft_storage storage = 0; storage < VKFT_STORAGE_COUNT; storage++)
            vkft_check_embedding(lab, storage, T, C);
        vkft_check_embedding_backward(lab, T, C, (uint32_t)i % 3);
        vkft_check_embedding_lora(lab, T, C);
        vkft_check_token_rows(lab, T, C);
        vkft_check_token_columns(lab, T, C);
        for (int layernorm = 0; layernorm < 2; layernorm++) {
            vkft_check_norm(lab, T, C, layernorm, layernorm ? 0 : (float)(i % 2), i % 2);
            vkft_check_norm_gain(lab, T, C, layernorm);
        }
        vkft_check_norm_f16(lab, T, C, (float)(i % 2), i % 2, i % 2 == 0);
        vkft_check_rows_f16(lab, T, C);
        vkft_check_gated_f16(lab, T, C, (vkft_activation)(i % 4), i % 2);
        vkft_check_cross_entropy(lab, T, C, 1, (vkft_loss_form){.softcap = i % 2 ? 2.0f : 0.0f});
        vkft_check_noise(lab, T, C);
        for (int f16 = 0; f16 < 2; f16++)
            vkft_check_expert_gated(lab, T, C, VKFT_ACT_SILU, f16);
        vkft_check_sum_rows(lab, T, C, 2);
        vkft_check_adafactor(lab, T, C);
        vkft_check_lorafa(lab, T, C);
        vkft_check_muon(lab, T, C);
    }
    vkft_check_gated_f16_in_place(lab, 9, 352);
    vkft_check_rows_f16_in_place(lab, 9, 352);
    vkft_check_cross_entropy(lab, 3, 1001, 5, (vkft_loss_form){.smoothing = 0.1f, .z_loss = 0.01f});
    vkft_check_columns(lab, 31, 7, 1, 7, 13);
    vkft_check_columns(lab, 33, 5, 3, 15, 5);
    vkft_check_rope(lab, 31, 3, 10, 4);
    vkft_check_rope(lab, 7, 9, 64, 64);
    vkft_check_rows(lab, 31, 37, 9);
    vkft_check_rows(lab, 333, 1, 31);
    vkft_check_gather_f16(lab, 31, 37, 9);
    vkft_check_gather_f16(lab, 5, 333, 12);
    vkft_check_router(lab, 31, 8, 2, true);
    vkft_check_router(lab, 333, 60, 4, false);
    vkft_check_expert_order(lab, 31, 7, 3);
    vkft_check_expert_order(lab, 333, 60, 2);
}

void vkft_checks_attention(vkft_lab *lab)
{
    static const vkft_attention_check shapes[] = {
        {.T = 1, .Hq = 1, .Hk = 1, .D = 32, .sequence = 1},
        {.T = 31, .Hq = 4, .Hk = 2, .D = 64, .sequence = 13},
        {.T = 33, .Hq = 3, .Hk = 1, .D = 128, .sequence = 33, .window = 9, .softcap = 1.5f},
        {.T = 17, .Hq = 6, .Hk = 2, .D = 64, .sequence = 6, .buckets = 5, .holes = true},
        {.T = 9, .Hq = 2, .Hk = 2, .D = 80, .sequence = 9},
        {.T = 33, .Hq = 2, .Hk = 1, .D = 256, .sequence = 33},
    };
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes && !lab->lost; i++)
        vkft_check_attention(lab, &shapes[i]);
}

static void check_attention_f16(vkft_lab *lab)
{
    static const vkft_attention_check shapes[] = {
        {.T = 9, .Hq = 2, .Hk = 1, .D = 32, .sequence = 9, .f16 = true},
        {.T = 77, .Hq = 4, .Hk = 2, .D = 64, .sequence = 40, .holes = true, .f16 = true},
        {.T = 33, .Hq = 3, .Hk = 1, .D = 128, .sequence = 33, .window = 9, .softcap = 1.5f, .f16 = true},
        {.T = 33, .Hq = 2, .Hk = 1, .D = 256, .sequence = 33, .f16 = true},
    };
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes && !lab->lost; i++)
        vkft_check_attention(lab, &shapes[i]);
}

/* Types of GGUF files share all but their decoder. On a software device, where a pipeline takes a third of a second to
 * compile, each kind of product is checked with one of the ten. */
static bool is_checked(const vkft_lab *lab, const vkft_strategy *strategy, vkft_gemm_class class)
{
    static const vkft_strategy *const all[] = {
#define X(name) &vkft_gemm_##name,
        VKFT_STRATEGIES(X)
#undef X
    };
    uint32_t index = 0;
    while (all[index] != strategy)
        index++;
    return !vkft_storage_get(class.storage)->codec->whole_blocks || !vkft_device_get_caps(lab->dev)->software ||
           ((uint32_t) class.storage + 4 * index + 2 * class.transposed + class.grouped) % 10 == 0;
}

static void check_products(vkft_lab *lab, vkft_dtype operands)
{
    static const vkft_product_check shapes[] = {
        {.M = 1, .out = 31, .in = 333, .scale = 1},
        {.M = 5, .out = 9, .in = 129, .pad_x = 3, .pad_y = 2, .add = true, .scale = -2, .r = 5},
        {.M = 70, .out = 65, .in = 129, .add = true, .scale = 0.25f, .r = 40},
        {.M = 33, .out = 333, .in = 65, .scale = 1},
    };
    if (lab->lost || !vkft_gemm_setup(lab->dev, operands, &lab->err)) {
        lab->lost = true;
        return;
    }
    const vkft_gemm *gemm = vkft_gemm_of(lab->dev);
    for (int i = 0; i < VKFT_STORAGE_COUNT * 4; i++) {
        vkft_gemm_class class = {(vkft_storage)(i / 4), i / 2 % 2, i % 2};
        if (operands == VKFT_BF16 && !vkft_storage_is_quantized(class.storage))
            continue; /* computed in f32 all the same */
        for (const vkft_strategy *const *s = gemm->usable[class.storage][class.transposed][class.grouped]; *s; s++) {
            if ((operands == VKFT_F16 && !(*s)->rounds) || !is_checked(lab, *s, class))
                continue;
            for (size_t k = 0; k < sizeof shapes / sizeof *shapes && !lab->lost; k++) {
                vkft_check_product(lab, *s, class, &shapes[k]);
                if (!lab->lost && !lab->verdicts[lab->count - 1].right)
                    vkft_gemm_distrust(lab->dev, *s, class);
            }
        }
    }
}

static void check_gradients(vkft_lab *lab)
{
    static const uint32_t shapes[][3] = {{1, 1, 1}, {4, 333, 31}, {333, 4, 31}, {31, 37, 333}};
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes && !lab->lost; i++)
        for (int form = 0; form < 4; form++) /* plain, in groups, with X or Z in f16 */
            vkft_check_outer(lab, shapes[i][0], shapes[i][1], shapes[i][2], form == 1, form > 1 ? form - 1 : 0);
}

void vkft_checks_products(vkft_lab *lab)
{
    check_products(lab, VKFT_F32);
    if (!lab->lost)
        check_gradients(lab);
    check_products(lab, VKFT_BF16);
    check_products(lab, VKFT_F16);
}

bool vkft_checks(vkft_lab *lab, vkft_err *err)
{
    check_elements(lab);
    check_rows(lab);
    vkft_checks_products(lab);
    vkft_checks_attention(lab);
    if (vkft_gemm_has_matrix_cores(vkft_device_get_caps(lab->dev)))
        check_attention_f16(lab);
    if (lab->lost)
        *err = lab->err;
    return !lab->lost;
}
