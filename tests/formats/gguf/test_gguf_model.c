/* GGUF files of the golden models become what their checkpoints become: the same configuration and, to the last bit,
 * the same weights; the tokenizers of GGUF files encode as those that they were made of. Files are made by
 * tests/golden/make_gguf_fixtures.py with the names and keys of the Python package gguf. */
#include "tests/support/expect.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "formats/chat/model_text.h"
#include "formats/config/arch.h"
#include "formats/convert/model_open.h"
#include "formats/gguf/model.h"
#include "runtime/base/file.h"
#include "tests/support/open_tokenizer.h"
#include "tests/support/program.h"

static const struct {
    const char *name;
    bool is_gemma;   /* gains differ in their last bit, since 1 was added */
    bool other_rope; /* only the divisors of the frequencies are kept */
} models[] = {
    {"llama3_rope", false, true},     {"qwen2", false, false}, {"qwen3", false, false},
    {"full_qwen3_moe", false, false}, {"gemma2", true, false}, {"gemma3", true, false},
    {"phi3_longrope", false, false},  {"gpt2", false, false},  {"granite", false, false},
    {"olmo2", false, false},
};

static vkft_model_file *converted(const char *from, const char *to)
{
    vkft_err err = {0};
    const vkft_convert_options options = {.quant = VKFT_STORAGE_none};
    expect_ok(vkft_convert(from, to, &options, &err));
    vkft_model_file *file = vkft_model_file_open(to, &err);
    assert_non_null(file);
    return file;
}

static void same_tensor(const vkft_model_tensor *a, const vkft_model_tensor *b, bool gain, const char *model)
{
    if (!b || a->storage != b->storage || a->dims != b->dims || memcmp(a->shape, b->shape, sizeof a->shape) != 0)
        fail_msg("%s: %s has another type or shape, or is missing", model, a->name);
    if (!gain) {
        if (memcmp(a->part[VKFT_PART_DATA], b->part[VKFT_PART_DATA], a->bytes[VKFT_PART_DATA]) != 0)
            fail_msg("%s: %s has other values", model, a->name);
        return;
    }
    float *x = malloc(a->elements * sizeof *x), *y = malloc(a->elements * sizeof *y);
    vkft_model_tensor_decode(a, x);
    vkft_model_tensor_decode(b, y);
    for (uint64_t i = 0; i < a->elements; i++) /* half of the last bit of numbers from 1 to 4 */
        assert_true(fabsf(x[i] - y[i]) <= 1.2e-7f);
    free(x);
    free(y);
}

static void same_rope(const vkft_rope *a, const vkft_rope *b)
{
    assert_int_equal(a->type, b->type);
    assert_int_equal(a->dim, b->dim);
    assert_int_equal(a->original_max_position, b->original_max_position);
    assert_true(a->theta == b->theta && a->factor == b->factor);
    assert_true(fabs(a->attention_factor - b->attention_factor) <= 1e-6);
    assert_memory_equal(a->short_factor, b->short_factor, sizeof a->short_factor);
    assert_memory_equal(a->long_factor, b->long_factor, sizeof a->long_factor);
}

static void same_config(const vkft_config *a, const vkft_config *b, bool is_gemma, bool other_rope)
{
    assert_ptr_equal(a->arch, b->arch);
    assert_string_equal(a->architecture, b->architecture);
#define SAME(member) assert_true(a->member == b->member)
    SAME(vocab_size);
    SAME(hidden_size);
    SAME(intermediate_size);
    SAME(num_layers);
    SAME(num_heads);
    SAME(num_kv_heads);
    SAME(head_dim);
    SAME(max_position);
    SAME(tie_word_embeddings);
    SAME(activation);
    SAME(layernorm);
    SAME(qkv_bias);
    SAME(o_bias);
    SAME(mlp_bias);
    SAME(qk_norm_whole);
    SAME(norm_eps);
    SAME(norm_gain_offset);
    SAME(embedding_scale);
    SAME(residual_scale);
    SAME(logit_scale);
    SAME(attention_softcap);
    SAME(logit_softcap);
    SAME(sliding_window);
    SAME(experts);
    SAME(experts_per_token);
    SAME(expert_size);
    SAME(expert_weights_normalized);
    SAME(bos_token_id);
    SAME(eos_count);
    SAME(eos_token_ids[0]);
    SAME(dtype);
    if (is_gemma) { /* not in the file: real models have these */
        assert_true(fabsf(b->attention_scale - 1 / sqrtf((float)b->head_dim)) < 1e-6f);
    } else {
        SAME(attention_scale);
        assert_memory_equal(a->layers, b->layers, a->num_layers);
    }
    if (!other_rope)
        same_rope(&a->rope, &b->rope);
    SAME(local_rope.theta);
#undef SAME
}

static void become_what_their_checkpoints_become(void **state)
{
    (void)state;
    char *dir = vkft_test_directory(), *one = vkft_path_join(dir, "one.vkft"), *two = vkft_path_join(dir, "two.vkft");
    for (size_t i = 0; i < sizeof models / sizeof *models; i++) {
        char checkpoint[512], gguf[512];
        snprintf(checkpoint, sizeof checkpoint, VKFT_TEST_DATA "/golden/%s/model", models[i].name);
        snprintf(gguf, sizeof gguf, VKFT_TEST_DATA "/gguf/%s.gguf", models[i].name);
        vkft_model_file *a = converted(checkpoint, one), *b = converted(gguf, two);
        same_config(vkft_model_file_config(a), vkft_model_file_config(b), models[i].is_gemma, models[i].other_rope);
        assert_int_equal(vkft_model_file_tensor_count(a), vkft_model_file_tensor_count(b));
        for (uint32_t t = 0; t < vkft_model_file_tensor_count(a); t++) {
            const vkft_model_tensor *x = vkft_model_file_tensor(a, t), *y = vkft_model_file_find(b, x->name);
            bool gain = models[i].is_gemma && x->dims == 1;
            if (models[i].other_rope && x->dims == 1)
                continue; /* vectors are f32 there */
            same_tensor(x, y, gain, models[i].name);
        }
        vkft_model_file_close(a);
        vkft_model_file_close(b);
    }
    vkft_test_remove_directory(dir);
    free(one);
    free(two);
}

/* Beside the file under its own name; made again when the file has changed. */
static void are_converted_once(void **state)
{
    (void)state;
    vkft_err err = {0};
    char *dir = vkft_test_directory(), *path = vkft_path_join(dir, "tiny.gguf"),
         *kept = vkft_path_join(dir, "tiny-vkft-none.vkft"), *data;
    size_t size;
    expect_ok(vkft_file_read(VKFT_TEST_DATA "/gguf/qwen2.gguf", 1 << 20, &data, &size, &err));
    expect_ok(vkft_file_write(path, data, size, &err));
    const vkft_convert_options options = {.quant = VKFT_STORAGE_none};
    assert_int_equal(vkft_model_kind_of(path), VKFT_MODEL_GGUF);
    for (int i = 0; i < 2; i++) {
        vkft_model_file *file = vkft_model_open(path, &options, false, &err);
        assert_non_null(file);
        assert_string_equal(vkft_model_file_path(file), kept);
        vkft_model_file_close(file);
    }
    expect_ok(vkft_file_write(path, data, size - 100, &err));
    assert_null(vkft_model_open(path, &options, false, &err));
    free(data);
    vkft_test_remove_directory(dir);
    free(path);
    free(kept);
}

static const char *const texts[] = {
    "Hello, world! It's 12345 o'clock.",
    "  two  spaces\n\n\tand a tab\r\n",
    "\ud55c\uad6d\uc5b4 \u6f22\u5b57 \xf0\x9f\x98\x80",
    "<|begin|>special<|begin|> ones",
    "don't  1 22 333 4444 ",
    "",
};

static void same_encodings(const vkft_tokenizer *a, const vkft_tokenizer *b)
{
    vkft_err err = {0};
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        vkft_ids x = {0}, y = {0};
        expect_ok(vkft_tokenizer_encode(a, texts[i], strlen(texts[i]), true, &x, &err));
        expect_ok(vkft_tokenizer_encode(b, texts[i], strlen(texts[i]), true, &y, &err));
        if (x.count != y.count || (x.count && memcmp(x.data, y.data, x.count * sizeof *x.data) != 0))
            fail_msg("\"%s\" has other tokens", texts[i]);
        vkft_ids_free(&x);
        vkft_ids_free(&y);
    }
}

static void bring_their_tokenizers(void **state)
{
    static const struct {
        const char *gguf, *names, *config;
    } cases[] = {
        {"byte_level", "{\"tokenizer.json\":\"byte_level.json\"}", NULL},
        {"sentencepiece", "{\"tokenizer.model\":\"bpe.model\"}", "{\"tokenizer_class\":\"LlamaTokenizer\"}"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char path[512];
        vkft_err err = {0};
        vkft_model_text text;
        snprintf(path, sizeof path, VKFT_TEST_DATA "/gguf/%s.gguf", cases[i].gguf);
        cJSON *names = cJSON_Parse(cases[i].names);
        vkft_tokenizer *original = vkft_test_open_tokenizer(VKFT_TEST_DATA "/tokenizers", names, cases[i].config);
        expect_ok(vkft_model_text_open(path, NULL, &text, &err));
        assert_non_null(text.tokenizer);
        same_encodings(original, text.tokenizer);
        assert_true((text.chat != NULL) == (i == 0));
        vkft_model_text_free(&text);
        vkft_tokenizer_free(original);
        cJSON_Delete(names);
    }
}

/* Of Phi-3; its other special tokens, and those of other models, leave the white space. */
static void special_tokens_take_white_space(void **state)
{
    static const int32_t stripped[] = {6, 5}, kept[] = {7, 3, 3, 5};
    vkft_err err = {0};
    vkft_model_text text;
    vkft_ids ids = {0};
    (void)state;
    expect_ok(vkft_model_text_open(VKFT_TEST_DATA "/gguf/phi3_tokens.gguf", NULL, &text, &err));
    expect_ok(vkft_tokenizer_encode(text.tokenizer, "<|end|>  a", 10, true, &ids, &err));
    assert_int_equal(ids.count, 2);
    assert_memory_equal(ids.data, stripped, sizeof stripped);
    ids.count = 0;
    expect_ok(vkft_tokenizer_encode(text.tokenizer, "<|endoftext|>  a", 16, true, &ids, &err));
    assert_int_equal(ids.count, 4);
    assert_memory_equal(ids.data, kept, sizeof kept);
    vkft_ids_free(&ids);
    vkft_model_text_free(&text);
}

static uint8_t *find_bytes(uint8_t *data, size_t size, const char *text)
{
    const size_t length = strlen(text);
    for (size_t i = 0; i + length <= size; i++)
        if (memcmp(data + i, text, length) == 0)
            return data + i;
    fail_msg("no '%s' in the file", text);
    return NULL;
}

/* The first token of a text by byte_level.gguf under another name of its rules, which is 3 letters shorter at most; the
 * template has as many more, so that all else stays in its place. */
static int32_t first_token(const char *pre, const char *path)
{
    static const char old[] = "llama-bpe", begin[] = "{% for m in messages %}<|begin|>";
    const size_t shorter = strlen(old) - strlen(pre);
    char *read;
    size_t size;
    vkft_err err = {0};
    vkft_model_text text;
    vkft_ids ids = {0};
    expect_ok(vkft_file_read(VKFT_TEST_DATA "/gguf/byte_level.gguf", 1 << 20, &read, &size, &err));
    uint8_t *data = (uint8_t *)read, *name = find_bytes(data, size, old), *chat = find_bytes(data, size, begin);
    name[-8] = (uint8_t)strlen(pre);
    chat[-8] = (uint8_t)(chat[-8] + shorter);
    memcpy(name, pre, strlen(pre));
    memmove(name + strlen(pre), name + strlen(old), (size_t)(chat - name) - strlen(old));
    memset(chat - shorter, ' ', shorter);
    expect_ok(vkft_file_write(path, data, size, &err));
    free(read);
    expect_ok(vkft_model_text_open(path, NULL, &text, &err));
    expect_ok(vkft_tokenizer_encode(text.tokenizer, "a", 1, true, &ids, &err));
    const int32_t first = ids.data[0];
    vkft_ids_free(&ids);
    vkft_model_text_free(&text);
    return first;
}

/* Where tokenizer.ggml.add_bos_token is missing the rules decide. */
static void begin_with_bos_by_their_rules(void **state)
{
    (void)state;
    char *dir = vkft_test_directory(), *path = vkft_path_join(dir, "model.gguf");
    assert_int_equal(first_token("llama-bpe", path), 400);
    assert_int_equal(first_token("tekken", path), 400);
    assert_int_not_equal(first_token("smaug-bpe", path), 400);
    vkft_test_remove_directory(dir);
    free(path);
}

typedef struct change {
    const char *gguf, *from, *to, *message; /* texts of the same length */
} change;

static void refuse_what_they_do_not_know(void **state)
{
    static const change changes[] = {
        {"qwen2", "qwen2", "qwenX", "architecture 'qwenX' is not supported as a GGUF file; supported are llama"},
        {"qwen2", "qwen2.block_count", "qwen2.block_counX", "key 'qwen2.block_count' is missing"},
        {"byte_level", "llama-bpe", "llama-xyz", "tokenizer.ggml.pre is 'llama-xyz', which is not supported"},
        {"byte_level", "gpt2", "gptX", "tokenizer.ggml.model is 'gptX', which is not supported"},
        {"gemma3", "linear", "lineaX", "rope.scaling.type 'lineaX' is not supported"},
        {"qwen2", "token_embd.weight", "token_xxxx.weight", "the matrix token_embd.weight is missing"},
        {"sentencepiece", "tokenizer.ggml.scores", "tokenizer.ggml.scoreX", "key 'tokenizer.ggml.scores' is missing"},
    };
    (void)state;
    char *dir = vkft_test_directory(), *path = vkft_path_join(dir, "model.gguf");
    for (size_t i = 0; i < sizeof changes / sizeof *changes; i++) {
        char from[512], *data;
        size_t size, length = strlen(changes[i].from);
        vkft_err err = {0};
        vkft_gguf g;
        vkft_gguf_files files;
        snprintf(from, sizeof from, VKFT_TEST_DATA "/gguf/%s.gguf", changes[i].gguf);
        expect_ok(vkft_file_read(from, 1 << 20, &data, &size, &err));
        size_t at = 0;
        while (at + length < size && memcmp(data + at, changes[i].from, length) != 0)
            at++;
        assert_true(at + length < size);
        memcpy(data + at, changes[i].to, length);
        expect_ok(vkft_file_write(path, data, size, &err));
        expect_ok(vkft_gguf_open(path, &g, &err));
        expect_failure(vkft_gguf_files_make(&g, &files, &err), changes[i].message);
        vkft_gguf_close(&g);
        free(data);
    }
    vkft_test_remove_directory(dir);
    free(path);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(become_what_their_checkpoints_become),
        cmocka_unit_test(are_converted_once),
        cmocka_unit_test(bring_their_tokenizers),
        cmocka_unit_test(special_tokens_take_white_space),
        cmocka_unit_test(begin_with_bos_by_their_rules),
        cmocka_unit_test(refuse_what_they_do_not_know),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
