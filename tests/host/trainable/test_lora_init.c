/* First values of adapters: their distribution, that they follow from the seed.
 *
 * Bounds of means and deviations are 5 times their own deviations, of n = 40 * 4096 numbers: 5/sqrt(n) and 5/sqrt(2 n)
 * of the deviation.
 */
#include "tests/support/expect.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "host/trainable/adapters.h"

#define IN 4096u
#define R 40u

typedef struct fixture {
    vkft_config config;
    vkft_model model;
    vkft_adapter_set set;
    float *flat;
} fixture;

static void make(fixture *f, vkft_lora_init init, uint64_t seed)
{
    static const char config_text[] =
        "{\"model_type\":\"llama\",\"hidden_size\":4096,\"intermediate_size\":64,\"num_hidden_layers\":1,"
        "\"num_attention_heads\":32,\"num_key_value_heads\":1,\"vocab_size\":64}";
    vkft_err err = {0};
    const vkft_adapter_config config = {.r = R, .lora_alpha = 8, .init = init};
    const vkft_module_choice choice = {.target = "q_proj,k_proj"};
    expect_ok(vkft_config_parse(config_text, sizeof config_text - 1, "config.json", &f->config, &err));
    expect_ok(vkft_model_init(&f->model, &f->config, NULL, VKFT_STORAGE_f32, false, &err));
    expect_ok(vkft_adapter_set_choose(&f->set, &f->model, &vkft_method_lora, &choice, &config, &err));
    f->flat = malloc(vkft_parameter_space_length(&f->set.layout) * sizeof *f->flat);
    expect_ok(vkft_adapter_set_init(&f->set, seed, f->flat, &err));
}

static void discard(fixture *f)
{
    free(f->flat);
    vkft_adapter_set_free(&f->set);
    vkft_model_free(&f->model);
}

static void check_spread(const float *x, uint32_t n, double deviation)
{
    double sum = 0, squares = 0;
    for (uint32_t i = 0; i < n; i++) {
        sum += (double)x[i];
        squares += (double)x[i] * (double)x[i];
    }
    double found = sqrt(squares / n - sum / n * (sum / n));
    if (!(fabs(sum / n) <= 5 * deviation / sqrt(n) && fabs(found - deviation) <= 5 * deviation / sqrt(2.0 * n)))
        fail_msg("mean %g, deviation %g, expected %g", sum / n, found, deviation);
}

static void gaussian(void **state)
{
    (void)state;
    fixture f, again, other;
    make(&f, VKFT_LORA_INIT_GAUSSIAN, 1);
    make(&again, VKFT_LORA_INIT_GAUSSIAN, 1);
    make(&other, VKFT_LORA_INIT_GAUSSIAN, 2);
    const vkft_adapted_module *m = f.set.modules;
    check_spread(f.flat + m[0].offset[0], R * IN, 1.0 / R);
    uint32_t beyond = 0;
    for (uint32_t i = 0; i < R * IN; i++)
        beyond += fabsf(f.flat[m[0].offset[0] + i]) > 2.0f / R;
    assert_true(fabs(beyond / (double)(R * IN) - 0.0455) < 0.003); /* of a normal distribution, and of no uniform one */
    for (uint32_t i = 0; i < IN * R; i++)
        assert_true(f.flat[m[0].offset[1] + i] == 0);
    assert_memory_equal(f.flat, again.flat, vkft_parameter_space_length(&f.set.layout) * sizeof(float));
    assert_memory_not_equal(f.flat, other.flat, R * IN * sizeof(float));
    assert_memory_not_equal(f.flat + m[0].offset[0], f.flat + m[1].offset[0], R * IN * sizeof(float));
    discard(&f), discard(&again), discard(&other);
}

/* Neither A nor B is zero, and B A is: elements of A and B have a deviation of sqrt(1/2)/10, so those of B A are sums
 * of 40 products whose roundings are 40 * 0.005 * 2^-24 at most. A's numbers are sums with 20 shared rows, so their
 * spread is known less exactly than that of as many independent ones. */
static void orthogonal(void **state)
{
    (void)state;
    fixture f;
    make(&f, VKFT_LORA_INIT_ORTHOGONAL, 3);
    const vkft_adapted_module *m = &f.set.modules[1];
    const float *A = f.flat + m->offset[0], *B = f.flat + m->offset[1];
    double squares[2] = {0};
    for (uint32_t i = 0; i < R * IN; i++)
        squares[0] += (double)A[i] * (double)A[i] / (R * IN);
    for (uint32_t i = 0; i < 128 * R; i++)
        squares[1] += (double)B[i] * (double)B[i] / (128 * R);
    assert_true(fabs(squares[0] / 0.005 - 1) < 0.02 && fabs(squares[1] / 0.005 - 1) < 0.15);
    for (uint32_t o = 0; o < 128; o++)
        for (uint32_t c = 0; c < IN; c += 7) {
            double sum = 0;
            for (uint32_t k = 0; k < R; k++)
                sum += (double)B[o * R + k] * (double)A[k * IN + c];
            assert_true(fabs(sum) <= 40 * 0.005 * 0x1p-22);
        }
    discard(&f);
    vkft_err err = {0};
    make(&f, VKFT_LORA_INIT_ORTHOGONAL, 3);
    const vkft_module_choice odd = {.target = "q_proj,k_proj", .rank_pattern = "k_proj=3"};
    const vkft_adapter_config config = {.r = 4, .lora_alpha = 8, .init = VKFT_LORA_INIT_ORTHOGONAL};
    vkft_adapter_set set;
    expect_failure(vkft_adapter_set_choose(&set, &f.model, &vkft_method_lora, &odd, &config, &err),
                   "is for even ranks, and that of model.layers.0.self_attn.k_proj is 3");
    discard(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(gaussian), cmocka_unit_test(orthogonal)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
