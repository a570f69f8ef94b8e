/* Tokenizers made of other files than tokenizer.json: each way in which vocab.json with merges.txt, a SentencePiece
 * model, tiktoken's ranks and the files beside them can be wrong is told with the place; and rules that only some
 * models have. Right ones are in test_tokenizer and test_tokenizer_vectors. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "formats/tokenizer/files/source.h"
#include "formats/tokenizer/files/special_tokens.h"

#define FILE_OF(text)                                                                                                  \
    {                                                                                                                  \
        (text), sizeof(text) - 1                                                                                       \
    }
#define VOCAB "{\"a\":0,\"b\":1,\"ab\":2,\"c\":3}"
/* Fields of a SentencePiece model: two pieces, a trainer that makes it BPE, and rules of normalizing. */
#define PIECE_A                                                                                                        \
    "\x0a\x03\x0a\x01"                                                                                                 \
    "a"
#define PIECE_SPACE "\x0a\x05\x0a\x03\xe2\x96\x81"
#define BPE "\x12\x02\x18\x02"

static void refused(const vkft_small_file files[VKFT_TOKENIZER_FILES], const char *part)
{
    vkft_err err = {0};
    vkft_tokenizer *tok;
    bool ok = vkft_tokenizer_from_files(files, &tok, &err);
    if (ok || tok || !strstr(err.message, part))
        fail_msg("expected \"%s\", found \"%s\"", part, ok ? "a tokenizer" : err.message);
}

/* The ids of a text, as words. */
static void gives(const vkft_small_file files[VKFT_TOKENIZER_FILES], const char *text, const char *want)
{
    char words[256] = "";
    vkft_err err = {0};
    vkft_ids ids = {0};
    vkft_tokenizer *tok;
    if (!vkft_tokenizer_from_files(files, &tok, &err) || !tok)
        fail_msg("%s", err.message);
    assert_true(vkft_tokenizer_encode(tok, text, strlen(text), true, &ids, &err));
    for (uint32_t i = 0; i < ids.count; i++)
        snprintf(words + strlen(words), sizeof words - strlen(words), i ? " %d" : "%d", ids.data[i]);
    assert_string_equal(words, want);
    vkft_ids_free(&ids);
    vkft_tokenizer_free(tok);
}

static void test_no_tokenizer(void **state)
{
    (void)state;
    const vkft_small_file files[VKFT_TOKENIZER_FILES] = {[VKFT_FILE_VOCAB] = FILE_OF(VOCAB)}; /* no merges */
    vkft_err err = {0};
    vkft_tokenizer *tok;
    assert_true(vkft_tokenizer_from_files(files, &tok, &err));
    assert_null(tok);
}

static void merges_refused(const char *vocab, const char *merges, const char *config, const char *part)
{
    vkft_small_file files[VKFT_TOKENIZER_FILES] = {0};
    files[VKFT_FILE_VOCAB] = (vkft_small_file){vocab, strlen(vocab)};
    files[VKFT_FILE_MERGES] = (vkft_small_file){merges, strlen(merges)};
    if (config)
        files[VKFT_FILE_TOKENIZER_CONFIG] = (vkft_small_file){config, strlen(config)};
    refused(files, part);
}

static void test_merges(void **state)
{
    (void)state;
    const vkft_small_file good[VKFT_TOKENIZER_FILES] = {
        [VKFT_FILE_VOCAB] = FILE_OF(VOCAB), [VKFT_FILE_MERGES] = FILE_OF("#version: 0.2\r\n\r\na b\r\n")};
    gives(good, "abc", "2 3");
    merges_refused(VOCAB, "a b\nab\n", NULL, "merges.txt: line 2: \"ab\" is not two tokens with a space between");
    merges_refused(VOCAB, " b\n", NULL, "merges.txt: line 1");
    merges_refused(VOCAB, "a \n", NULL, "merges.txt: line 1");
    merges_refused(VOCAB, "a b c\n", NULL, "merges.txt: line 1: \"a b c\"");
    merges_refused(VOCAB, "a d\n", NULL, "(a + d) has a token that is not in the vocabulary");
    merges_refused("{\"a\":0,", "a b\n", NULL, "vocab.json: line 1");
    merges_refused("{\"a\":-1}", "", NULL, "the id of \"a\" is not a whole number");
    merges_refused("{\"a\":\"0\"}", "", NULL, "the id of \"a\" is not a whole number");
    merges_refused(VOCAB, "a b\n", "{\"tokenizer_class\": \"BloomTokenizer\"}",
                   "tokenizer_class \"BloomTokenizer\" is not supported without tokenizer.json");
    merges_refused(VOCAB, "a b\n", "{\"tokenizer_class\": \"LlamaTokenizer\"}", "\"LlamaTokenizer\" is not supported");
    merges_refused(VOCAB, "a b\n", "{\"added_tokens_decoder\": {\"x\": {\"content\": \"<x>\"}}}",
                   "added_tokens_decoder: \"x\" is not a token id");
    merges_refused(VOCAB, "a b\n", "{\"added_tokens_decoder\": {\"-1\": {\"content\": \"<x>\"}}}", "\"-1\"");
    merges_refused(VOCAB, "a b\n", "{\"added_tokens_decoder\": {\"5\": {\"special\": true}}}", "content");
    merges_refused(VOCAB, "a b\n", "{\"add_bos_token\": \"yes\"}", "add_bos_token");
    merges_refused(VOCAB, "a b\n", "[", "tokenizer_config.json: line 1");
}

static void sentencepiece_refused(const char *data, size_t size, const char *part)
{
    vkft_small_file files[VKFT_TOKENIZER_FILES] = {0};
    files[VKFT_FILE_SPIECE] = (vkft_small_file){data, size};
    refused(files, part);
}
#define SP_REFUSED(data, part) sentencepiece_refused(data, sizeof(data) - 1, part)

static void test_sentencepiece(void **state)
{
    (void)state;
    SP_REFUSED("", "spiece.model: byte 0: no pieces found; expected a SentencePiece model");
    SP_REFUSED("\x0a", "byte 1: the data ends inside a number");
    SP_REFUSED("\x80", "byte 1: the data ends inside a number");
    SP_REFUSED("\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", "byte 10: a number is longer than 64 bits");
    SP_REFUSED("\x0f", "byte 1: a field of unknown type");
    SP_REFUSED("\x0a\x05"
               "ab",
               "byte 2: a field goes beyond the end");
    SP_REFUSED("\x0d\x01\x02", "byte 1: a field goes beyond the end");
    SP_REFUSED("\x09\x01\x02\x03\x04\x05\x06\x07\x08", "byte 9: no pieces found");
    SP_REFUSED(PIECE_A "\x0a\x00", "byte 7: a piece without text");
    SP_REFUSED(PIECE_A "\x0a\x02\x0a\x05", "byte 9: a field goes beyond the end");
    SP_REFUSED("\x12\x01\x18", "byte 3: the data ends inside a number");
    SP_REFUSED("\x1a\x02\x10\x80", "byte 4: the data ends inside a number");
    SP_REFUSED(PIECE_A "\x12\x02\x18\x03", "a SentencePiece model of type 3 is not supported; supported are Unigram");
    /* A text that stands twice is that of the last field, as everywhere in protobuf. */
    const vkft_small_file twice[VKFT_TOKENIZER_FILES] = {[VKFT_FILE_MODEL] = FILE_OF("\x0a\x06\x0a\x01x\x0a\x01"
                                                                                     "a" PIECE_SPACE BPE),
                                                         [VKFT_FILE_TOKENIZER_CONFIG] =
                                                             FILE_OF("{\"add_bos_token\": false}")};
    gives(twice, "aa", "1 0 0");
    /* A model that puts no space before a text. */
    const vkft_small_file no_prefix[VKFT_TOKENIZER_FILES] = {
        [VKFT_FILE_MODEL] = FILE_OF(PIECE_A PIECE_SPACE BPE "\x1a\x02\x18\x00"),
        [VKFT_FILE_TOKENIZER_CONFIG] = FILE_OF("{\"add_bos_token\": false}")};
    gives(no_prefix, "aa a", "0 0 1 0");
    const vkft_small_file many[VKFT_TOKENIZER_FILES] = {
        [VKFT_FILE_SPIECE] = FILE_OF(PIECE_A), [VKFT_FILE_TOKENIZER_CONFIG] = FILE_OF("{\"extra_ids\": 10001}")};
    refused(many, "the tokenizer has 1 pieces and 10001 extra ids; at most ");
    const vkft_small_file wrong[VKFT_TOKENIZER_FILES] = {
        [VKFT_FILE_SPIECE] = FILE_OF(PIECE_A), [VKFT_FILE_TOKENIZER_CONFIG] = FILE_OF("{\"extra_ids\": -1}")};
    refused(wrong, "extra_ids");
    const vkft_small_file other[VKFT_TOKENIZER_FILES] = {[VKFT_FILE_SPIECE] = FILE_OF(PIECE_A),
                                                         [VKFT_FILE_TOKENIZER_CONFIG] =
                                                             FILE_OF("{\"tokenizer_class\": \"GPT2Tokenizer\"}")};
    refused(other, "tokenizer_class \"GPT2Tokenizer\" is not supported");
    const vkft_small_file no_json[VKFT_TOKENIZER_FILES] = {
        [VKFT_FILE_SPIECE] = FILE_OF(PIECE_A), [VKFT_FILE_CONFIG] = FILE_OF("{")};
    refused(no_json, "config.json: line 1");
}

static void ranks_refused(const char *text, const char *part)
{
    vkft_small_file files[VKFT_TOKENIZER_FILES] = {0};
    files[VKFT_FILE_MODEL] = (vkft_small_file){text, strlen(text)};
    refused(files, part);
}

static void test_ranks(void **state)
{
    (void)state;
    static const char text[] = "YQ== 0\nYg== 1\nYWI= 2\n";
    const vkft_small_file good[VKFT_TOKENIZER_FILES] = {
        [VKFT_FILE_MODEL] = FILE_OF(text), [VKFT_FILE_TOKENIZER_CONFIG] = FILE_OF("{\"add_bos_token\": false}")};
    gives(good, "ab", "2");
    ranks_refused("YQ== 0\nYg== 2\n", "tokenizer.model: line 2: \"Yg== 2\" is not a token in base64 and its rank, 1");
    ranks_refused("YQ== 0\nYg==\n", "line 2: \"Yg==\"");
    ranks_refused("YQ== 0\nYg== \n", "line 2: \"Yg== \"");
    ranks_refused("YQ== 0\nY 1\n", "line 2: \"Y 1\"");
    ranks_refused("YQ== 0\nYg== 1x\n", "line 2: \"Yg== 1x\"");
    ranks_refused("YQ== 0\nYg== 99999999999999999999\n", "line 2");
}

/* What added_tokens.json, special_tokens_map.json and config.json say is put into tokenizer_config.json. */
static void completed(const char *config, const char *map, const char *added, const char *want)
{
    vkft_small_file files[VKFT_TOKENIZER_FILES] = {0};
    vkft_err err = {0};
    char *text;
    files[VKFT_FILE_TOKENIZER_CONFIG] = (vkft_small_file){config, strlen(config)};
    files[VKFT_FILE_SPECIAL_TOKENS] = (vkft_small_file){map, map ? strlen(map) : 0};
    files[VKFT_FILE_ADDED_TOKENS] = (vkft_small_file){added, added ? strlen(added) : 0};
    bool ok = vkft_special_tokens_config(files, &text, &err);
    if (*want == '!') {
        if (ok || !strstr(err.message, want + 1))
            fail_msg("expected \"%s\", found \"%s\"", want + 1, ok ? text : err.message);
    } else {
        assert_true(ok);
        assert_string_equal(text, want);
    }
    free(text);
}

static void test_special_tokens(void **state)
{
    (void)state;
    completed("{\"a\":1}", NULL, NULL, "{\"a\":1}");
    completed("{\"eos_token\":\"</s>\"}", "{\"eos_token\":{\"content\":\"<e>\"}}", NULL,
              "{\"eos_token\":{\"content\":\"<e>\"}}");
    completed("{\"additional_special_tokens\":[\"<a>\"]}", "{\"additional_special_tokens\":[\"<b>\"]}", NULL,
              "{\"additional_special_tokens\":[\"<b>\",\"<a>\"]}");
    completed("{\"additional_special_tokens\":[{\"content\":\"<a>\"}],\"pad_token\":\"<p>\"}", NULL,
              "{\"<a>\":7,\"<p>\":8,\"x\":9}",
              "{\"additional_special_tokens\":[{\"content\":\"<a>\"}],\"pad_token\":\"<p>\",\"added_tokens_decoder\":{"
              "\"7\":{\"content\":\"<a>\",\"special\":true,\"normalized\":false,\"legacy\":true},"
              "\"8\":{\"content\":\"<p>\",\"special\":true,\"normalized\":false,\"legacy\":true},"
              "\"9\":{\"content\":\"x\",\"special\":false,\"normalized\":true,\"legacy\":true}}}");
    completed("{\"added_tokens_decoder\":{}}", "{\"eos_token\":\"<e>\"}", "{\"x\":1}", "{\"added_tokens_decoder\":{}}");
    completed("{}", NULL, "{\"x\":-1}", "!added_tokens.json: the id of \"x\" is not a whole number below ");
    completed("{}", NULL, "{\"x\":\"1\"}", "!added_tokens.json: the id of \"x\"");
    completed("{}", NULL, "{\"x\":4294967296}", "!added_tokens.json: the id of \"x\"");
    completed("{}", "{", NULL, "!special_tokens_map.json: line 1");
    completed("{\"tokenizer_class\":\"GemmaTokenizerFast\",\"bos_token\":\"<s>\"}", NULL, NULL,
              "{\"tokenizer_class\":\"GemmaTokenizerFast\",\"bos_token\":\"<s>\",\"eos_token\":\"<eos>\","
              "\"unk_token\":\"<unk>\",\"pad_token\":\"<pad>\"}");
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_no_tokenizer), cmocka_unit_test(test_merges),
                                       cmocka_unit_test(test_sentencepiece), cmocka_unit_test(test_ranks),
                                       cmocka_unit_test(test_special_tokens)};
    return cmocka_run_group_tests_name("tokenizer_files", tests, NULL, NULL);
}
