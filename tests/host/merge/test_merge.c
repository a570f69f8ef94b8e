/* Merged models and exported adapters. That W' computes what PEFT computes with W and the adapter: log-probabilities of
 * the golden cases, which are PEFT's. That llama.cpp's file of an adapter is the same adapter: base + scale * B A of
 * the GGUF files is, tensor by tensor, the merged GGUF file. That GGUF files are right: those of the golden models,
 * written by the Python package gguf (tests/data/gguf), have the same bytes.
 */
#include "tests/support/expect.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "formats/gguf/gguf.h"
#include "formats/tensors/safetensors.h"
#include "host/merge/lora_gguf.h"
#include "host/merge/merge.h"
#include "host/trainable/start/vera_matrices.h"
#include "runtime/base/directory.h"
#include "runtime/base/file.h"
#include "runtime/base/json.h"
#include "runtime/base/os/os.h"
#include "tests/support/program.h"
#include "tests/support/tiny_model.h"

#define GOLDEN VKFT_TEST_DATA "/golden/"

static void open_merge(const char *name, bool adapter, vkft_merge *merge)
{
    static char model[512], path[512];
    vkft_err err = {0};
    snprintf(model, sizeof model, GOLDEN "%s/model", name);
    snprintf(path, sizeof path, GOLDEN "%s/adapter_init", name);
    const vkft_merge_options options = {.model = model, .adapter = adapter ? path : NULL};
    expect_ok(vkft_merge_open(&options, merge, &err));
}

/* ---- pieces ---- */

typedef struct taken {
    float *values;
    uint64_t cols, next; /* the row that is due */
    uint32_t calls, fails_at;
} taken;

static bool take_piece(void *context, const float *values, uint64_t first, uint64_t rows, vkft_err *err)
{
    taken *t = context;
    assert_int_equal(first, t->next);
    memcpy(t->values + first * t->cols, values, (size_t)(rows * t->cols) * sizeof *values);
    t->next += rows;
    return ++t->calls != t->fails_at || vkft_fail(err, VKFT_ERR_IO, "the disk is full");
}

/* A weight of several pieces, each of which is taken while the next one is computed: all of it comes, in order; nothing
 * comes after an error. */
static void comes_in_pieces(void **state)
{
    (void)state;
    vkft_err err = {0};
    vkft_merge merge;
    vkft_weight_reader reader;
    vkft_tiny_model model = vkft_tiny_model_default();
    model.vocab_size = 200000;
    expect_ok(vkft_directory_create(vkft_test_in("large"), &err));
    vkft_tiny_model_write(&model, vkft_test_in("large"));
    const vkft_merge_options options = {.model = vkft_test_in("large"), .threads = 3};
    expect_ok(vkft_merge_open(&options, &merge, &err));
    const vkft_source_weight *w = merge.weights.list;
    while (w->rows != model.vocab_size)
        w++;
    const uint64_t count = w->rows * w->cols;
    float *expected = malloc((size_t)count * sizeof *expected);
    taken t = {.values = calloc((size_t)count, sizeof *t.values), .cols = w->cols};
    assert_true(expected && t.values);
    expect_ok(vkft_weight_reader_open(w, false, &reader, &err));
    vkft_weight_rows(&reader, 0, w->rows, expected);
    vkft_weight_reader_close(&reader);
    expect_ok(vkft_merge_weight(&merge, w, 1, take_piece, &t, &err));
    assert_true(t.calls > 2);
    assert_int_equal(t.next, w->rows);
    assert_memory_equal(t.values, expected, (size_t)count * sizeof *expected);
    const uint32_t calls = t.calls;
    for (uint32_t fails_at = 1; fails_at <= calls; fails_at++) {
        t = (taken){.values = t.values, .cols = w->cols, .fails_at = fails_at};
        expect_failure(vkft_merge_weight(&merge, w, 1, take_piece, &t, &err), "the disk is full");
        assert_int_equal(t.calls, fails_at);
    }
    free(expected);
    free(t.values);
    vkft_merge_close(&merge);
}

/* ---- beside PEFT ---- */

/* A sum of a few hundred f32 products, twice: as in the golden cases themselves. */
#define BOUND 2e-5

static void check_logprobs(const char *name, const char *written)
{
    vkft_test_program_ok("eval --model %s --data " GOLDEN
                         "%s/train.jsonl --per-token %s --quant none --compute-dtype fp32 "
                         "--max-seq-length 128",
                         written, name, vkft_test_in("tokens.jsonl"));
    char path[512];
    snprintf(path, sizeof path, GOLDEN "%s/expected.json", name);
    cJSON *rows = vkft_test_read_jsonl(vkft_test_in("tokens.jsonl")), *expected = vkft_test_read_json(path);
    const cJSON *a = vkft_json_member(cJSON_GetArrayItem(rows, 0), "logprobs"),
                *b = vkft_json_member(expected, "logprobs");
    assert_int_equal(cJSON_GetArraySize(a), cJSON_GetArraySize(b));
    for (int i = 1; i < cJSON_GetArraySize(b); i++) {
        double x = cJSON_GetArrayItem(a, i)->valuedouble, y = cJSON_GetArrayItem(b, i)->valuedouble;
        if (!(fabs(x - y) <= BOUND))
            fail_msg("%s: token %d has log-probability %.7f, PEFT's is %.7f", name, i, x, y);
    }
    cJSON_Delete(rows);
    cJSON_Delete(expected);
}

static void computes_what_peft_computes(void **state)
{
    (void)state;
    /* plain; ranks and alphas by module; rsLoRA; transposed weights and biases; a bias of B; head and embedding;
     * experts */
    static const char *const cases[] = {"lora_patterns", "rslora",      "bias_gpt2",      "dora_qwen2",
                                        "ia3_qwen2",     "saved_qwen2", "mixtral_experts"};
    vkft_err err = {0};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        vkft_merge merge;
        open_merge(cases[i], true, &merge);
        expect_ok(vkft_merge_write_checkpoint(&merge, vkft_test_in(cases[i]), VKFT_F32, false, &err));
        vkft_merge_close(&merge);
        check_logprobs(cases[i], vkft_test_in(cases[i]));
    }
}

static cJSON *logprobs_of(const char *arguments)
{
    vkft_test_program_ok("eval --model %s --data " GOLDEN
                         "qwen2/train.jsonl --per-token %s --quant none --compute-dtype fp32 "
                         "--max-seq-length 128",
                         arguments, vkft_test_in("tokens.jsonl"));
    return vkft_test_read_jsonl(vkft_test_in("tokens.jsonl"));
}

/* The log-probability of a token of the first row. */
static double value_at(const cJSON *rows, int token)
{
    const cJSON *list = vkft_json_member(cJSON_GetArrayItem(rows, 0), "logprobs");
    assert_in_range(token, 1, cJSON_GetArraySize(list) - 1);
    return cJSON_GetArrayItem(list, token)->valuedouble;
}

/* VeRA, whose matrices in the file are those that its key makes: the merged model is the model with the adapter. */
static void merges_vera(void **state)
{
    (void)state;
    vkft_err err = {0};
    vkft_merge merge;
    vkft_merge_options options = {.model = GOLDEN "qwen2/model", .adapter = GOLDEN "qwen2/adapter_vera"};
    expect_ok(vkft_merge_open(&options, &merge, &err));
    assert_null(merge.made[0]);
    expect_ok(vkft_merge_write_checkpoint(&merge, vkft_test_in("vera"), VKFT_F32, false, &err));
    expect_failure(vkft_write_lora_gguf(options.adapter, &merge.weights.source.config, vkft_test_in("no.gguf"), &err),
                   "no form for VeRA");
    vkft_adapter adapter;
    expect_ok(vkft_adapter_read(options.adapter, vkft_adapter_formats(), &adapter, &err));
    float *a, *b;
    const vkft_adapter_tensor *saved = adapter.projection;
    expect_ok(vkft_vera_matrices(adapter.config.projection_prng_key, adapter.config.r, saved[0].cols, saved[1].rows, &a,
                                 &b, &err));
    assert_memory_equal(a, saved[0].data, (size_t)saved[0].rows * saved[0].cols * sizeof *a);
    assert_memory_equal(b, saved[1].data, (size_t)saved[1].rows * saved[1].cols * sizeof *b);
    assert_int_equal(merge.stride, saved[0].cols);
    free(a);
    free(b);
    vkft_adapter_free(&adapter);
    vkft_merge_close(&merge);
    cJSON *rows[3] = {logprobs_of(vkft_test_in("vera")),
                      logprobs_of(GOLDEN "qwen2/model --adapter " GOLDEN "qwen2/adapter_vera"),
                      logprobs_of(GOLDEN "qwen2/model")};
    double worst[2] = {0};
    for (int i = 0; i < 2; i++)
        for (int k = 1; k < 8; k++)
            worst[i] = fmax(worst[i], fabs(value_at(rows[i], k) - value_at(rows[i + 1], k)));
    for (int i = 0; i < 3; i++)
        cJSON_Delete(rows[i]);
    if (!(worst[0] <= BOUND) || !(worst[1] > 100 * BOUND))
        fail_msg("%g from the adapter, which is %g from the model", worst[0], worst[1]);
}

static bool copy_values(void *context, const float *values, uint64_t first, uint64_t rows, vkft_err *err)
{
    float **to = context;
    (void)first, (void)err;
    memcpy(*to, values, (size_t)rows * 36 * sizeof *values);
    *to += rows * 36;
    return true;
}

/* All values of a weight [83,36], malloc'ed. */
static float *values_of(vkft_merge *merge, const char *name)
{
    vkft_err err = {0};
    float *values = malloc(83 * 36 * sizeof *values), *to = values;
    for (uint32_t i = 0; i < merge->weights.count; i++)
        if (strcmp(merge->weights.list[i].name, name) == 0)
            expect_ok(vkft_merge_weight(merge, &merge->weights.list[i], 1, copy_values, &to, &err));
    assert_ptr_equal(to, values + 83 * 36);
    return values;
}

static const vkft_file_tensor *find_key(const vkft_tensor_file *file, const char *key, const float **data)
{
    const vkft_file_tensor *t = vkft_tensor_file_find(file, key);
    assert_non_null(t);
    *data = (const void *)vkft_tensor_file_data(file, t);
    return t;
}

/* An embedding's A is [r,vocabulary] and its B [hidden,r]; trained tokens are rows. */
static void embeddings_and_tokens(void **state)
{
    (void)state;
    vkft_err err = {0};
    vkft_merge_options options = {.model = GOLDEN "qwen2/model"};
    vkft_merge plain, merged;
    vkft_tensor_file file;
    const float *A, *B, *rows;
    expect_ok(vkft_merge_open(&options, &plain, &err));
    float *W = values_of(&plain, "model.embed_tokens.weight"), *head = values_of(&plain, "lm_head.weight");

    options.adapter = GOLDEN "qwen2/adapter_embed";
    expect_ok(vkft_merge_open(&options, &merged, &err));
    float *M = values_of(&merged, "model.embed_tokens.weight");
    expect_ok(vkft_safetensors_open(GOLDEN "qwen2/adapter_embed/adapter_model.safetensors", &file, &err));
    const uint64_t r = find_key(&file, "base_model.model.model.embed_tokens.lora_embedding_A", &A)->shape[0];
    find_key(&file, "base_model.model.model.embed_tokens.lora_embedding_B", &B);
    const double scale = (double)merged.adapter.adapter.config.lora_alpha / (double)r;
    for (uint64_t v = 0; v < 83; v++)
        for (uint64_t c = 0; c < 36; c++) {
            double x = (double)W[v * 36 + c];
            for (uint64_t k = 0; k < r; k++)
                x += scale * (double)B[c * r + k] * (double)A[k * 83 + v];
            assert_true(fabs(x - (double)M[v * 36 + c]) < 1e-6);
        }
    free(M);
    vkft_merge_close(&merged);
    vkft_tensor_file_close(&file);

    options.adapter = GOLDEN "qwen2/adapter_tokens";
    expect_ok(vkft_merge_open(&options, &merged, &err));
    M = values_of(&merged, "lm_head.weight");
    expect_ok(vkft_safetensors_open(GOLDEN "qwen2/adapter_tokens/adapter_model.safetensors", &file, &err));
    find_key(&file, "base_model.model.lm_head.token_adapter.trainable_tokens_delta", &rows);
    memcpy(head + 5 * 36, rows, 36 * sizeof *rows); /* trainable_token_indices: "lm_head": [5, 3] */
    memcpy(head + 3 * 36, rows + 36, 36 * sizeof *rows);
    assert_memory_equal(M, head, 83 * 36 * sizeof *head);
    free(M);
    free(W);
    free(head);
    vkft_merge_close(&merged);
    vkft_merge_close(&plain);
    vkft_tensor_file_close(&file);
}

/* ---- GGUF files ---- */

static void open_gguf(const char *path, vkft_gguf *gguf)
{
    vkft_err err = {0};
    expect_ok(vkft_gguf_open(path, gguf, &err));
}

static void write_gguf(const char *name, bool adapter, const char *to)
{
    vkft_err err = {0};
    vkft_merge merge;
    open_merge(name, adapter, &merge);
    expect_ok(vkft_merge_write_gguf(&merge, to, 0, &err));
    vkft_merge_close(&merge);
}

static double number(const vkft_gguf *g, const char *key)
{
    const vkft_gguf_value *v = vkft_gguf_find(g, key);
    return v && !v->is_array && v->type != VKFT_GGUF_STRING ? vkft_gguf_number(v, 0) : NAN;
}

/* Every tensor and every key of the other file is in this one, with the same bytes, and no more tensors. */
static void same_file(const char *name, const vkft_gguf *ours, const vkft_gguf *theirs, bool bf16)
{
    assert_int_equal(ours->parts[0].count, theirs->parts[0].count);
    for (uint32_t i = 0; i < theirs->parts[0].count; i++) {
        const vkft_file_tensor *b = &theirs->parts[0].tensors[i], *a = vkft_tensor_file_find(&ours->parts[0], b->name);
        if (!a || a->dims != b->dims || memcmp(a->shape, b->shape, sizeof a->shape) != 0)
            fail_msg("%s: tensor %s is missing or has another shape", name, b->name);
        const float *x = (const float *)(const void *)vkft_tensor_file_data(&ours->parts[0], a);
        float *y = malloc(b->elements * sizeof *y);
        vkft_to_f32(b->dtype, vkft_tensor_file_data(&theirs->parts[0], b), b->elements, y);
        assert_int_equal(a->dtype, VKFT_F32);
        for (uint64_t k = 0; k < a->elements; k++) /* the divisors of frequencies are computed in another order */
            if (bf16 || strncmp(a->name, "rope_", 5) == 0 ? fabsf(x[k] - y[k]) > fabsf(y[k]) / 256 : x[k] != y[k])
                fail_msg("%s: tensor %s: value %llu is %.9g, expected %.9g", name, a->name, (unsigned long long)k,
                         (double)x[k], (double)y[k]);
        free(y);
    }
    for (uint64_t i = 0; i < theirs->value_count; i++) {
        const vkft_gguf_value *b = &theirs->values[i];
        if (b->is_array || b->type == VKFT_GGUF_STRING)
            continue;
        double x = number(ours, b->key), y = number(theirs, b->key);
        if (!(fabs(x - y) <= 1e-6 * fabs(y)))
            fail_msg("%s: key %s is %.9g, expected %.9g", name, b->key, x, y);
    }
}

static void has_the_bytes_of_the_package_gguf(void **state)
{
    (void)state;
    static const char *const cases[] = {"llama3_rope", "qwen2",         "qwen3", "full_qwen3_moe", "gemma2",
                                        "gemma3",      "phi3_longrope", "gpt2",  "granite",        "olmo2"};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char path[512];
        vkft_gguf ours, theirs;
        snprintf(path, sizeof path, VKFT_TEST_DATA "/gguf/%s.gguf", cases[i]);
        /* Gemma's configurations here are no published model's, whose layers alone a file can say */
        if (strncmp(cases[i], "gemma", 5) == 0)
            continue;
        write_gguf(cases[i], false, vkft_test_in("model.gguf"));
        open_gguf(vkft_test_in("model.gguf"), &ours);
        open_gguf(path, &theirs);
        same_file(cases[i], &ours, &theirs, strcmp(cases[i], "llama3_rope") == 0);
        vkft_gguf_close(&ours);
        vkft_gguf_close(&theirs);
    }
}

/* base + scale B A of every expert, as llama.cpp computes it, against the merged tensor. */
static void check_lora_tensor(const vkft_tensor_file *base, const vkft_tensor_file *merged,
                              const vkft_tensor_file *lora, float alpha, const vkft_file_tensor *t)
{
    char a_name[200], b_name[200];
    snprintf(a_name, sizeof a_name, "%s.lora_a", t->name);
    snprintf(b_name, sizeof b_name, "%s.lora_b", t->name);
    const vkft_file_tensor *a = vkft_tensor_file_find(lora, a_name), *b = vkft_tensor_file_find(lora, b_name),
                           *m = vkft_tensor_file_find(merged, t->name);
    assert_non_null(m);
    const float *W = (const void *)vkft_tensor_file_data(base, t), *M = (const void *)vkft_tensor_file_data(merged, m);
    const uint64_t experts = t->dims == 3 ? t->shape[0] : 1, rows = t->dims > 1 ? t->shape[t->dims - 2] : 1,
                   cols = t->shape[t->dims - 1], r = a ? a->shape[a->dims - 2] : 0;
    const float *A = a ? (const void *)vkft_tensor_file_data(lora, a) : NULL,
                *B = b ? (const void *)vkft_tensor_file_data(lora, b) : NULL;
    for (uint64_t e = 0; e < experts; e++)
        for (uint64_t i = 0; i < rows; i++)
            for (uint64_t j = 0; j < cols; j++) {
                const uint64_t at = (e * rows + i) * cols + j;
                double x = (double)W[at];
                for (uint64_t k = 0; k < r; k++)
                    x += (double)alpha / (double)r * (double)B[(e * rows + i) * r + k] *
                         (double)A[(e * r + k) * cols + j];
                if (!(fabs(x - (double)M[at]) <= 1e-6))
                    fail_msg("%s: value %llu is %.8f, merged %.8f", t->name, (unsigned long long)at, x, (double)M[at]);
            }
}

static void lora_file_is_the_adapter(void **state)
{
    (void)state;
    static const char *const cases[] = {"lora_patterns", "rslora", "gpt2", "mixtral_experts", "granite", "phi3"};
    vkft_err err = {0};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char adapter[512];
        vkft_merge merge;
        vkft_gguf base, merged, lora;
        snprintf(adapter, sizeof adapter, GOLDEN "%s/adapter_init", cases[i]);
        write_gguf(cases[i], false, vkft_test_in("base.gguf"));
        write_gguf(cases[i], true, vkft_test_in("merged.gguf"));
        open_merge(cases[i], false, &merge);
        expect_ok(vkft_write_lora_gguf(adapter, &merge.weights.source.config, vkft_test_in("lora.gguf"), &err));
        vkft_merge_close(&merge);
        open_gguf(vkft_test_in("base.gguf"), &base);
        open_gguf(vkft_test_in("merged.gguf"), &merged);
        open_gguf(vkft_test_in("lora.gguf"), &lora);
        assert_true(lora.parts[0].count >= 4);
        for (uint32_t t = 0; t < base.parts[0].count; t++)
            check_lora_tensor(&base.parts[0], &merged.parts[0], &lora.parts[0],
                              (float)number(&lora, "adapter.lora.alpha"), &base.parts[0].tensors[t]);
        vkft_gguf_close(&base);
        vkft_gguf_close(&merged);
        vkft_gguf_close(&lora);
    }
}

/* What was a GGUF file before has the same keys and the same bytes after. */
static void gguf_stays_what_it_was(void **state)
{
    (void)state;
    static const char *const cases[] = {"llama3_rope", "gemma3", "gpt2", "byte_level", "sentencepiece"};
    vkft_err err = {0};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char path[512];
        vkft_merge merge;
        vkft_gguf ours, theirs;
        snprintf(path, sizeof path, VKFT_TEST_DATA "/gguf/%s.gguf", cases[i]);
        const vkft_merge_options options = {.model = path};
        expect_ok(vkft_merge_open(&options, &merge, &err));
        expect_ok(vkft_merge_write_gguf(&merge, vkft_test_in("again.gguf"), 0, &err));
        expect_failure(vkft_merge_write_gguf(&merge, path, 0, &err), "is the model that is merged");
        vkft_merge_close(&merge);
        open_gguf(vkft_test_in("again.gguf"), &ours);
        open_gguf(path, &theirs);
        same_file(cases[i], &ours, &theirs, false);
        for (uint64_t k = 0; k < theirs.value_count; k++) {
            const vkft_gguf_value *b = &theirs.values[k], *a = vkft_gguf_find(&ours, b->key);
            if (!a || a->type != b->type || a->count != b->count)
                fail_msg("%s: key %s is missing or another", cases[i], b->key);
        }
        vkft_gguf_close(&ours);
        vkft_gguf_close(&theirs);
    }
}

/* A model with a tokenizer through the programs: the file is the model, and not another one. */
static void verify_tells_models_apart(void **state)
{
    (void)state;
    vkft_err err = {0};
    vkft_tiny_model tiny = vkft_tiny_model_default();
    tiny.vocab_size = 404;
    tiny.max_position = 512;
    for (int i = 0; i < 2; i++) {
        const char *model = vkft_test_in(i ? "other" : "one");
        expect_ok(vkft_directory_create(model, &err));
        tiny.seed = (uint64_t)i + 1;
        vkft_tiny_model_write(&tiny, model);
        vkft_test_copy(VKFT_TEST_DATA "/tokenizers/byte_level.json",
                       vkft_test_in(i ? "other/tokenizer.json" : "one/tokenizer.json"));
    }
    vkft_test_program_ok("merge --model %s --gguf %s --type f32 --ollama tiny", vkft_test_in("one"),
                         vkft_test_in("one.gguf"));
    assert_true(vkft_file_exists(vkft_test_in("Modelfile")));
    vkft_test_result r =
        vkft_test_program("verify %s --against %s --tokens 40", vkft_test_in("one.gguf"), vkft_test_in("one"));
    if (r.exit_code != 0 || !strstr(r.out, "are the same\nlog-probabilities of 39 tokens: differ by at most"))
        fail_msg("verify: %d '%s' '%s'", r.exit_code, r.out, r.err);
    vkft_test_result_free(&r);
    r = vkft_test_program("verify %s --against %s --tokens 40", vkft_test_in("one.gguf"), vkft_test_in("other"));
    if (r.exit_code != 1 || !strstr(r.err, "expected at most 0.001 (--max-difference)"))
        fail_msg("verify: %d '%s' '%s'", r.exit_code, r.out, r.err);
    vkft_test_result_free(&r);
}

/* ---- refusals ---- */

static void says_what_cannot_be_done(void **state)
{
    (void)state;
    static const struct {
        const char *name, *part;
    } cases[] = {{"dora_gpt2", "no form for DoRA"},
                 {"ia3_qwen2", "no form for IA3"},
                 {"lora_bias_qwen2", "no form for lora_bias"},
                 {"saved_qwen2", "no form for modules_to_save"},
                 {"bias_gpt2", "no form for trained biases"}};
    vkft_err err = {0};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char adapter[512];
        vkft_merge merge;
        snprintf(adapter, sizeof adapter, GOLDEN "%s/adapter_init", cases[i].name);
        open_merge(cases[i].name, false, &merge);
        expect_failure(vkft_write_lora_gguf(adapter, &merge.weights.source.config, vkft_test_in("no.gguf"), &err),
                       cases[i].part);
        assert_false(vkft_file_exists(vkft_test_in("no.gguf")));
        vkft_merge_close(&merge);
    }
    const vkft_merge_options other = {.model = GOLDEN "olmo2/model", .adapter = GOLDEN "qwen2/adapter_init"};
    const vkft_merge_options bias = {.model = GOLDEN "lora_bias_qwen2/model",
                                     .adapter = GOLDEN "lora_bias_qwen2/adapter_init"};
    vkft_merge merge;
    expect_failure(vkft_merge_open(&other, &merge, &err), "does not fit the model: the shapes differ");
    expect_failure(vkft_merge_open(&bias, &merge, &err), "has a bias (lora_bias), and the model has none there");
    open_merge("t5", false, &merge);
    expect_failure(vkft_merge_write_gguf(&merge, vkft_test_in("no.gguf"), 0, &err), "of type 't5' cannot be written");
    vkft_merge_close(&merge);
}

static void take_line(void *context, const char *line)
{
    snprintf(context, 256, "%s", line);
}

static void says_that_there_is_no_tokenizer(void **state)
{
    (void)state;
    char line[256] = "";
    vkft_err err = {0};
    vkft_merge merge;
    open_merge("llama_gqa", false, &merge);
    merge.options.observer = (vkft_observer){.context = line, .message = take_line};
    expect_ok(vkft_merge_write_gguf(&merge, vkft_test_in("mute.gguf"), 0, &err));
    vkft_merge_close(&merge);
    assert_non_null(strstr(line, "the model has no tokenizer, so the file has none"));
}

static void replaces_nothing_unasked(void **state)
{
    (void)state;
    vkft_err err = {0};
    vkft_merge merge;
    open_merge("qwen2", true, &merge);
    expect_ok(vkft_merge_write_checkpoint(&merge, vkft_test_in("twice"), VKFT_BF16, false, &err));
    expect_failure(vkft_merge_write_checkpoint(&merge, vkft_test_in("twice"), VKFT_BF16, false, &err),
                   "--overwrite replaces it");
    expect_ok(vkft_merge_write_checkpoint(&merge, vkft_test_in("twice"), VKFT_F16, true, &err));
    expect_ok(vkft_file_write(vkft_test_in("twice/letter.txt"), "x", 1, &err));
    expect_failure(vkft_merge_write_checkpoint(&merge, vkft_test_in("twice"), VKFT_F16, true, &err), "'letter.txt'");
    expect_ok(vkft_directory_create(vkft_test_in("other.tmp"), &err)); /* where a merge into "other" would work */
    expect_ok(vkft_file_write(vkft_test_in("other.tmp/letter.txt"), "x", 1, &err));
    expect_failure(vkft_merge_write_checkpoint(&merge, vkft_test_in("other"), VKFT_F16, true, &err), "'letter.txt'");
    assert_true(vkft_file_exists(vkft_test_in("other.tmp/letter.txt")));
    char itself[700];
    snprintf(itself, sizeof itself, "%s/", merge.options.model);
    expect_failure(vkft_merge_write_checkpoint(&merge, itself, VKFT_F16, true, &err), "is the model that is merged");
    if (vkft_os_make_link(merge.options.model, vkft_test_in("link")))
        expect_failure(vkft_merge_write_checkpoint(&merge, vkft_test_in("link"), VKFT_F16, true, &err),
                       "is the model that is merged");
    vkft_merge_close(&merge);
    vkft_tensor_file file;
    expect_ok(vkft_safetensors_open(vkft_test_in("twice/model.safetensors"), &file, &err));
    assert_int_equal(file.tensors[0].dtype, VKFT_F16);
    vkft_tensor_file_close(&file);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(has_the_bytes_of_the_package_gguf),
        cmocka_unit_test(lora_file_is_the_adapter),
        cmocka_unit_test(gguf_stays_what_it_was),
        cmocka_unit_test(says_what_cannot_be_done),
        cmocka_unit_test(says_that_there_is_no_tokenizer),
        cmocka_unit_test(replaces_nothing_unasked),
        cmocka_unit_test(embeddings_and_tokens),
        cmocka_unit_test(verify_tells_models_apart),
        cmocka_unit_test(comes_in_pieces),
        cmocka_unit_test(computes_what_peft_computes),
        cmocka_unit_test(merges_vera),
    };
    return cmocka_run_group_tests(tests, vkft_test_folder_set_up, vkft_test_folder_tear_down);
}
