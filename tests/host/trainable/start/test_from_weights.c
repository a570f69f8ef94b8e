/* First values from weights: the decompositions beside LAPACK's and their own properties, runs that resume, and what is
 * refused. That training agrees with PEFT is shown by the golden cases pissa_*, olora_* and loftq_*.
 */
#include "tests/support/expect.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "formats/tensors/safetensors.h"
#include "host/trainable/start/decompose.h"
#include "runtime/base/random.h"
#include "tests/support/program.h"

#define GOLDEN VKFT_TEST_DATA "/golden"

/* numpy.linalg.svd (LAPACK gesdd, f64) of w[i][j] = f32(1 / (i + 2 j + 1) + 0.1 if (7 i + 3 j) % 5 == 0), 12 by 7, and
 * the diagonal of numpy.linalg.qr's R. */
static const double lapack_values[] = {1.64766129636284,  0.43013777027176,  0.212661376614883, 0.152009697706163,
                                       0.141435878771163, 0.132523557263765, 0.0237909530684816};
static const double lapack_diagonal[] = {1.35885682, 0.30690784, 0.19197087, 0.16869683,
                                         0.1602665,  0.14356398, 0.03287667};

static void make_known(float *w, bool transposed)
{
    for (int i = 0; i < 12; i++)
        for (int j = 0; j < 7; j++)
            w[transposed ? j * 12 + i : i * 7 + j] =
                (float)(1.0 / (i + 2 * j + 1) + ((i * 7 + j * 3) % 5 == 0 ? 0.1 : 0));
}

static void check_orthonormal(const double *x, uint32_t count, uint32_t n, size_t along, size_t across)
{
    for (uint32_t a = 0; a < count; a++)
        for (uint32_t b = 0; b <= a; b++) {
            double sum = 0;
            for (uint32_t i = 0; i < n; i++)
                sum += x[a * across + i * along] * x[b * across + i * along];
            if (!(fabs(sum - (a == b)) < 1e-12))
                fail_msg("vectors %u and %u: product %g", a, b, sum);
        }
}

/* W v = s u and W^T u = s v: |W^T u - s v| is within what is promised. */
static void check_svd(const float *w, uint32_t m, uint32_t n, uint32_t r, const vkft_factors *f, double bound)
{
    check_orthonormal(f->left, r, m, r, 1);
    check_orthonormal(f->right, r, n, 1, n);
    for (uint32_t k = 0; k < r; k++) {
        double error = 0;
        assert_true(k == 0 || f->values[k] <= f->values[k - 1]);
        for (uint32_t i = 0; i < m; i++) {
            double sum = 0;
            for (uint32_t j = 0; j < n; j++)
                sum += (double)w[i * n + j] * f->right[k * n + j];
            error += pow(sum - f->values[k] * f->left[i * r + k], 2);
        }
        for (uint32_t j = 0; j < n; j++) {
            double sum = 0;
            for (uint32_t i = 0; i < m; i++)
                sum += (double)w[i * n + j] * f->left[i * r + k];
            error += pow(sum - f->values[k] * f->right[k * n + j], 2);
        }
        if (!(sqrt(error) <= bound * f->values[0]))
            fail_msg("vector %u of %u by %u: off by %g, value %g", k, m, n, sqrt(error), f->values[k]);
    }
}

static void as_lapack(void **state)
{
    (void)state;
    float w[84];
    for (int transposed = 0; transposed < 2; transposed++) {
        uint32_t m = transposed ? 7 : 12, n = transposed ? 12 : 7;
        make_known(w, transposed);
        for (uint32_t r = 1; r <= 7; r += 3) {
            vkft_factors f, rough, qr;
            assert_true(vkft_decompose_svd(w, m, n, r, 5, &f));
            check_svd(w, m, n, r, &f, 1e-9);
            assert_true(vkft_decompose_lowrank(w, m, n, r, 60, 6, &rough));
            for (uint32_t k = 0; k < r; k++) {
                assert_true(fabs(f.values[k] - lapack_values[k]) < 1e-13);
                assert_true(fabs(rough.values[k] - lapack_values[k]) < (r == 4 ? 1e-3 : 1e-12)); /* 0.14 and 0.13 */
            }
            assert_true(vkft_decompose_qr(w, m, n, r, &qr));
            check_orthonormal(qr.left, r, m, r, 1);
            for (uint32_t k = 0; k < r && !transposed; k++)
                assert_true(fabs(fabs(qr.right[k * n + k]) - lapack_diagonal[k]) < 1e-8);
            vkft_factors_free(&f), vkft_factors_free(&rough), vkft_factors_free(&qr);
        }
    }
}

/* Random values, whose singular values lie close together; fewer dimensions than are asked for; nothing at all. */
static void odd_matrices(void **state)
{
    (void)state;
    const uint32_t m = 333, n = 151;
    float *w = calloc(m * n, sizeof *w);
    vkft_factors f;
    assert_true(vkft_decompose_svd(w, m, n, 3, 1, &f) && f.values[0] == 0);
    vkft_factors_free(&f);
    for (uint32_t i = 0; i < m * n; i++)
        w[i] = (float)vkft_random_uniform(3, 1, i) - 0.5f;
    assert_true(vkft_decompose_svd(w, m, n, 16, 1, &f));
    check_svd(w, m, n, 16, &f, 1e-8);
    vkft_factors_free(&f);
    for (uint32_t i = 0; i < m * n; i++)
        w[i] = i / n % 7 == i % n % 5 ? 1.0f : 0.0f; /* of rank 5, two values twice */
    assert_true(vkft_decompose_svd(w, m, n, 5, 1, &f));
    check_svd(w, m, n, 5, &f, 1e-8);
    vkft_factors_free(&f);
    assert_true(vkft_decompose_svd(w, m, n, 8, 1, &f));
    assert_true(f.values[4] > 1 && f.values[5] < 1e-9 * f.values[0]);
    vkft_factors_free(&f);
    for (uint32_t i = 0; i < m * n; i++)
        w[i] = i / n == i % n ? 2.0f : 0.0f; /* one value, many times */
    assert_true(vkft_decompose_svd(w, m, n, 5, 1, &f));
    check_svd(w, m, n, 5, &f, 1e-8);
    vkft_factors_free(&f);
    free(w);
}

static void copy_model(const char *dir, const char *name)
{
    static const char *const files[] = {"config.json", "model.safetensors"};
    for (size_t i = 0; i < 2; i++) {
        char from[600], to[600];
        snprintf(from, sizeof from, GOLDEN "/%s/model/%s", name, files[i]);
        snprintf(to, sizeof to, "%s/model/%s", dir, files[i]);
        vkft_test_copy(from, to);
    }
}

static void train(const char *dir, const char *flags)
{
    vkft_test_program_ok("train --model %s/model --data " GOLDEN
                         "/pissa_qwen2/train.jsonl --quant fp32 --warmup-steps 0 "
                         "--batch-size 2 --gradient-accumulation-steps 1 --lora-r 4 --rank-pattern v_proj=3 "
                         "--lora-target-modules q_proj,v_proj --output-dir %s/%s",
                         dir, dir, flags);
}

static void open_adapter(const char *dir, const char *name, vkft_tensor_file *file)
{
    char path[600];
    vkft_err err = {0};
    snprintf(path, sizeof path, "%s/%s/adapter_model.safetensors", dir, name);
    expect_ok(vkft_safetensors_open(path, file, &err));
}

/* A checkpoint holds the first values as well, with twice the rank and alpha; going on from it changes no bit. */
static void resumed(void **state)
{
    (void)state;
    char *dir = vkft_test_directory(), flags[400], path[600];
    vkft_tensor_file x, y;
    copy_model(dir, "pissa_qwen2");
    train(dir, "whole --max-steps 4 --save-steps 2 --init-lora-weights pissa --lora-dropout 0.1 --use-rslora");
    snprintf(flags, sizeof flags,
             "again --max-steps 4 --save-steps 0 --init-lora-weights pissa --lora-dropout 0.1 --use-rslora "
             "--resume-from-checkpoint %s/whole/checkpoint-2",
             dir);
    train(dir, flags);
    open_adapter(dir, "whole", &x);
    open_adapter(dir, "again", &y);
    for (uint32_t i = 0; i < x.count; i++) {
        const vkft_file_tensor *t = vkft_tensor_file_find(&y, x.tensors[i].name);
        assert_true(t && t->bytes == x.tensors[i].bytes);
        assert_memory_equal(vkft_tensor_file_data(&x, &x.tensors[i]), vkft_tensor_file_data(&y, t), t->bytes);
    }
    vkft_tensor_file_close(&x);
    vkft_tensor_file_close(&y);
    snprintf(path, sizeof path, "%s/again/adapter_config.json", dir);
    cJSON *config = vkft_test_read_json(path);
    assert_int_equal(cJSON_GetObjectItem(config, "r")->valueint, 8);
    assert_true(fabs(cJSON_GetObjectItem(config, "lora_alpha")->valuedouble - 32 * sqrt(2)) < 1e-5);
    assert_int_equal(
        cJSON_GetObjectItem(cJSON_GetObjectItem(config, "rank_pattern"), "model.layers.1.self_attn.v_proj")->valueint,
        6);
    cJSON_Delete(config);
    vkft_test_remove_directory(dir);
}

static void expect_refused(const char *dir, const char *name, const char *flags, const char *message)
{
    vkft_test_result r = vkft_test_program("train --model %s/model --data " GOLDEN "/%s/train.jsonl --output-dir %s/no "
                                           "--max-steps 1 %s",
                                           dir, name, dir, flags);
    assert_int_equal(r.exit_code, 1);
    if (!strstr(r.err, message))
        fail_msg("%s: '%s', expected '%s'", flags, r.err, message);
    vkft_test_result_free(&r);
}

static void refused(void **state)
{
    (void)state;
    char *dir = vkft_test_directory();
    copy_model(dir, "mixtral_experts");
    expect_refused(dir, "mixtral_experts", "--quant fp32 --init-lora-weights olora --lora-r 4 --lora-target-modules w1",
                   "is an expert, and experts cannot have first values from their weights");
    expect_refused(dir, "mixtral_experts",
                   "--quant fp32 --init-lora-weights pissa --lora-r 4 --use-dora --lora-target-modules q_proj",
                   "are for plain LoRA; leave --use-dora out");
    expect_refused(dir, "mixtral_experts",
                   "--quant fp32 --init-lora-weights pissa --lora-r 37 --lora-target-modules q_proj",
                   "expected a rank of at most its smaller side");
    expect_refused(dir, "mixtral_experts",
                   "--quant fp32 --init-lora-weights loftq --lora-r 4 --lora-target-modules q_proj",
                   "q_proj is not quantized; give --quant nf4");
    expect_refused(dir, "mixtral_experts", "--quant fp32 --optim lorafa --lora-target-modules q_proj --use-dora",
                   "--optim lorafa is for plain LoRA, and this is a DoRA adapter");
    expect_refused(dir, "mixtral_experts", "--quant fp32 --optim lorafa --fine-tune-type full",
                   "--optim lorafa is for LoRA adapters");
    vkft_test_remove_directory(dir);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(as_lapack), cmocka_unit_test(odd_matrices),
                                       cmocka_unit_test(resumed), cmocka_unit_test(refused)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
