/* tokenizer.json stage by stage: what is wrong or not supported in it is named, and small models of kinds that no
 * golden tokenizer is, against the values of the `tokenizers` package 0.23. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "formats/tokenizer/tokenizer.h"

#define VOCAB                                                                                                          \
    "\"a\":0,\"b\":1,\"e\":2,\"\u0301\":3,\"é\":4,\"f\":5,\"i\":6,\"ﬁ\":7,\"<0xC3>\":8,\"<0xA9>\":9,\"<0xFF>\":10," \
    "\"▁a\":11,\"aa\":12,\"[\":13"
#define BPE "\"model\":{\"type\":\"BPE\",\"vocab\":{" VOCAB "},\"merges\":[]}"

static vkft_tokenizer *open_json(const char *json, vkft_err *err)
{
    return vkft_tokenizer_new(json, strlen(json), NULL, 0, "t.json", err);
}

static void refused(const char *json, const char *part)
{
    vkft_err err = {0};
    vkft_tokenizer *tok = open_json(json, &err);
    if (tok || !strstr(err.message, part) || strncmp(err.message, "t.json: ", 8) != 0)
        fail_msg("%s\n  expected \"%s\", found \"%s\"", json, part, tok ? "a tokenizer" : err.message);
    vkft_tokenizer_free(tok);
}

static void gives(const char *json, const char *text, const char *want)
{
    char words[256] = "";
    vkft_err err = {0};
    vkft_ids ids = {0};
    vkft_tokenizer *tok = open_json(json, &err);
    if (!tok)
        fail_msg("%s: %s", json, err.message);
    assert_true(vkft_tokenizer_encode(tok, text, strlen(text), true, &ids, &err));
    for (uint32_t i = 0; i < ids.count; i++)
        snprintf(words + strlen(words), sizeof words - strlen(words), i ? " %d" : "%d", ids.data[i]);
    if (strcmp(words, want) != 0)
        fail_msg("%s: '%s' gives %s, expected %s", json, text, words, want);
    vkft_ids_free(&ids);
    vkft_tokenizer_free(tok);
}

static void decodes(const char *decoder, const int32_t *ids, uint32_t count, const char *want)
{
    char json[1000];
    vkft_err err = {0};
    vkft_text text = {0};
    snprintf(json, sizeof json, "{\"decoder\":%s," BPE "}", decoder);
    vkft_tokenizer *tok = open_json(json, &err);
    if (!tok)
        fail_msg("%s: %s", json, err.message);
    assert_true(vkft_tokenizer_decode(tok, ids, count, false, &text, &err));
    if (strcmp(text.data, want) != 0)
        fail_msg("%s: '%s', expected '%s'", decoder, text.data, want);
    vkft_text_free(&text);
    vkft_tokenizer_free(tok);
}
#define DECODES(decoder, want, ...)                                                                                    \
    do {                                                                                                               \
        const int32_t ids_[] = {__VA_ARGS__};                                                                          \
        decodes(decoder, ids_, sizeof ids_ / sizeof *ids_, want);                                                      \
    } while (0)

static void test_models(void **state)
{
    (void)state;
    refused("{\"model\":{\"type\":\"WordPiece\",\"vocab\":{}}}", "model: type \"WordPiece\" is not supported");
    refused("{\"model\":{\"type\":5}}", "model: key 'type'");
    refused("{\"model\":[]}", "key 'model'");
    refused("{\"model\":{\"vocab\":{\"a\":1.5},\"merges\":[]}}", "vocab: the id of \"a\" is not a whole number from 0");
    refused("{\"model\":{\"vocab\":{\"a\":4294967296},\"merges\":[]}}", "vocab: the id of \"a\"");
    refused("{\"model\":{\"vocab\":{\"a\":0},\"merges\":[\"a\"]}}", "merges: entry 0 is not a pair of tokens");
    refused("{\"model\":{\"vocab\":{\"a\":0},\"merges\":[\"a a a\"]}}", "merges: entry 0 is not a pair of tokens");
    refused("{\"model\":{\"vocab\":{\"a\":0},\"merges\":[[\"a\"]]}}", "merges: entry 0 is not a pair of tokens");
    refused("{\"model\":{\"vocab\":{\"a\":0},\"merges\":[[\"a\",\"a\",\"a\"]]}}", "merges: entry 0 is not a pair");
    refused("{\"model\":{\"vocab\":{\"a\":0},\"merges\":[[\"a\",\"a\"]]}}", "entry 0 (a + a) has a token that is not");
    refused("{\"model\":{\"vocab\":{},\"merges\":[],\"continuing_subword_prefix\":\"##\"}}",
            "continuing_subword_prefix \"##\" is not supported");
    refused("{\"model\":{\"vocab\":{},\"merges\":[],\"dropout\":0.1}}", "dropout 0.1 is not supported");
    refused("{\"model\":{\"vocab\":{},\"merges\":[],\"fuse_unk\":2}}", "fuse_unk");
#define UNIGRAM(vocab) "{\"model\":{\"type\":\"Unigram\",\"vocab\":" vocab "}}"
    refused(UNIGRAM("[]"), "vocab has 0 entries");
    refused(UNIGRAM("[[\"a\"]]"), "vocab: entry 0 is not [\"token\", score]");
    refused(UNIGRAM("[[\"a\",0],[5,0]]"), "vocab: entry 1 is not [\"token\", score]");
    refused(UNIGRAM("[[\"a\",1e999]]"), "vocab: the score of \"a\" is not a number");
    refused(UNIGRAM("[[\"a\",0]],\"unk_id\":1"), "unk_id is 1 and the vocabulary has 1 entries");
    refused(UNIGRAM("[[\"a\",0]],\"unk_id\":\"a\""), "unk_id");
}

/* Bytes where a model has tokens for all of them, else the unknown token, of which a run is one. */
static void test_unigram_bytes(void **state)
{
    (void)state;
    static const char head[] = "{\"model\":{\"type\":\"Unigram\",\"unk_id\":0,\"vocab\":[[\"<unk>\",0],[\"a\",-1],"
                               "[\"b\",-1.5],[\"ab\",-2]";
    char json[6000];
    size_t n = (size_t)snprintf(json, sizeof json, "%s", head);
    for (int i = 0; i < 256; i++)
        n += (size_t)snprintf(json + n, sizeof json - n, ",[\"<0x%02X>\",-5]", i);
    snprintf(json + n, sizeof json - n, "],\"byte_fallback\":true}}");
    gives(json, "abé", "3 199 173");
    gives(json, "éa", "199 173 1");
    gives(json, "x", "124");
    snprintf(json + n, sizeof json - n, "]}}");
    gives(json, "abéx", "3 0");
    snprintf(json, sizeof json, "%s],\"byte_fallback\":true}}", head);
    gives(json, "abé", "3 0");
    gives(json, "éx", "0");
}

static void test_normalizers(void **state)
{
    (void)state;
    gives("{\"normalizer\":{\"type\":\"NFD\"}," BPE "}", "é", "2 3");
    gives("{\"normalizer\":{\"type\":\"NFKD\"}," BPE "}", "ﬁé", "5 6 2 3");
    gives("{\"normalizer\":{\"type\":\"NFKC\"}," BPE "}", "ﬁe\u0301", "5 6 4");
    gives("{\"normalizer\":{\"type\":\"NFC\"}," BPE "}", "ﬁe\u0301", "7 4");
    refused("{\"normalizer\":{\"type\":\"BertNormalizer\"}," BPE "}",
            "normalizer: \"BertNormalizer\" is not supported");
    refused("{\"normalizer\":{}," BPE "}", "normalizer: key 'type' is missing");
    refused("{\"normalizer\":{\"type\":\"Sequence\",\"normalizers\":5}," BPE "}", "key 'normalizers'");
    refused("{\"normalizer\":{\"type\":\"Replace\",\"pattern\":{},\"content\":\"\"}," BPE "}",
            "pattern has neither \"String\" nor \"Regex\"");
    refused("{\"normalizer\":{\"type\":\"Prepend\"}," BPE "}", "key 'prepend' is missing");
    refused("{\"normalizer\":{\"type\":\"Precompiled\",\"precompiled_charsmap\":\"AAAA\"}," BPE "}",
            "precompiled_charsmap is damaged: 3 bytes of base64, a trie of 0 bytes");
    refused("{\"normalizer\":{\"type\":\"Precompiled\",\"precompiled_charsmap\":\"CAAAAAAAAAA=\"}," BPE "}",
            "precompiled_charsmap is damaged: 8 bytes of base64, a trie of 8 bytes");
    refused("{\"normalizer\":{\"type\":\"Precompiled\",\"precompiled_charsmap\":\"BAAAAAAAAAD/\"}," BPE "}",
            "precompiled_charsmap is damaged: its texts are not valid UTF-8");
    refused("{\"normalizer\":{\"type\":\"Precompiled\",\"precompiled_charsmap\":\"!\"}," BPE "}",
            "precompiled_charsmap is damaged: -1 bytes");
    gives("{\"normalizer\":{\"type\":\"Precompiled\",\"precompiled_charsmap\":\"\"}," BPE "}", "ab", "0 1");
}

static void test_pre_tokenizers(void **state)
{
    (void)state;
    refused("{\"pre_tokenizer\":{\"type\":\"BertPreTokenizer\"}," BPE "}", "\"BertPreTokenizer\" is not supported");
    refused("{\"pre_tokenizer\":{\"type\":\"Sequence\"}," BPE "}", "key 'pretokenizers' is missing");
    refused("{\"pre_tokenizer\":{\"type\":\"Punctuation\",\"behavior\":\"Lost\"}," BPE "}",
            "behavior \"Lost\" is not known");
    refused("{\"pre_tokenizer\":{\"type\":\"Punctuation\",\"behavior\":5}," BPE "}", "behavior");
    refused("{\"pre_tokenizer\":{\"type\":\"Digits\",\"individual_digits\":5}," BPE "}", "individual_digits");
    refused("{\"pre_tokenizer\":{\"type\":\"Metaspace\",\"split\":5}," BPE "}", "split");
}

static void test_decoders(void **state)
{
    (void)state;
#define SEQUENCE(parts) "{\"type\":\"Sequence\",\"decoders\":[" parts "]}"
    /* Bytes that are no UTF-8 are one replacement character each. */
    DECODES(SEQUENCE("{\"type\":\"ByteFallback\"},{\"type\":\"Fuse\"}"), "éa\ufffda\ufffd\ufffd\ufffd\ufffd", 8, 9, 0,
            8, 0, 10, 10, 8, 9);
    DECODES("{\"type\":\"ByteFallback\"}", "éa\ufffda\ufffd", 8, 9, 0, 8, 0, 10);
    DECODES("{\"type\":\"Strip\",\"content\":\"a\",\"start\":1,\"stop\":1}", "b", 12, 1, 12);
    DECODES(SEQUENCE("{\"type\":\"Fuse\"},{\"type\":\"Strip\",\"content\":\"a\",\"start\":0,\"stop\":2}"), "aaaba", 12,
            0, 1, 12, 0);
    DECODES("{\"type\":\"Metaspace\",\"replacement\":\"▁\",\"prepend_scheme\":\"never\"}", " a a", 11, 11);
    DECODES("{\"type\":\"Metaspace\",\"replacement\":\"▁\",\"prepend_scheme\":\"always\"}", "a a", 11, 11);
    DECODES(SEQUENCE("{\"type\":\"Replace\",\"pattern\":{\"Regex\":\"a+|(?=b)\"},\"content\":\"_\"},{\"type\":"
                     "\"Fuse\"}"),
            "__b[_b", 12, 1, 13, 1);
    refused("{\"decoder\":{\"type\":\"WordPiece\"}," BPE "}", "decoder: \"WordPiece\" is not supported");
    refused("{\"decoder\":{\"type\":\"Sequence\",\"decoders\":{}}," BPE "}", "key 'decoders'");
    refused("{\"decoder\":{}," BPE "}", "decoder: key 'type' is missing");
    refused("{\"decoder\":{\"type\":\"Strip\"}," BPE "}", "key 'content' is missing");
    refused("{\"decoder\":{\"type\":\"Metaspace\",\"prepend_scheme\":5}," BPE "}", "prepend_scheme");
}

#define BEFORE_AND_AFTER(type)                                                                                         \
    "{\"post_processor\":{\"type\":\"" type "\",\"sep\":[\"b\",1],\"cls\":[\"a\",0]}," BPE "}"
#define TEMPLATE(single, specials)                                                                                     \
    "{\"post_processor\":{\"type\":\"TemplateProcessing\",\"single\":" single ",\"special_tokens\":" specials "}," BPE \
    "}"
#define SPECIAL(name) "{\"SpecialToken\":{\"id\":\"" name "\",\"type_id\":0}}"
#define TEXT "{\"Sequence\":{\"id\":\"A\",\"type_id\":0}}"

static void test_post_processors(void **state)
{
    (void)state;
    gives(BEFORE_AND_AFTER("BertProcessing"), "e", "0 2 1");
    gives(BEFORE_AND_AFTER("RobertaProcessing"), "e", "0 2 1");
    gives(TEMPLATE("[" SPECIAL("x") "," TEXT "]", "{\"x\":{\"ids\":[5,6]}}"), "e", "5 6 2");
    refused(TEMPLATE("[" SPECIAL("x") "]", "{}"), "post_processor: special token \"x\" has no ids");
    refused(TEMPLATE("[" SPECIAL("x") "]", "{\"x\":{\"ids\":[-5]}}"), "\"x\" has an id out of range");
    refused(TEMPLATE("[" SPECIAL("x") "]", "{\"x\":{\"ids\":[4294967295]}}"), "\"x\" has an id out of range");
    refused(TEMPLATE("[{\"SpecialToken\":{}}]", "{}"), "key 'id' is missing");
    refused(TEMPLATE("[{\"Sequence\":{\"id\":\"C\"}}]", "{}"), "the sequence \"C\" is neither \"A\" nor \"B\"");
    refused(TEMPLATE("[{\"Sequence\":{}}]", "{}"), "key 'id' is missing");
    refused(TEMPLATE("[5]", "{}"), "post_processor");
    refused(TEMPLATE("5", "{}"), "key 'single'");
    refused("{\"post_processor\":{\"type\":\"BertProcessing\",\"sep\":[\"b\",1],\"cls\":[\"a\"]}," BPE "}",
            "cls is not [\"token\", id]");
    refused("{\"post_processor\":{\"type\":\"BertProcessing\",\"cls\":[\"b\",1]}," BPE "}",
            "sep is not [\"token\", id]");
    refused("{\"post_processor\":{\"type\":\"Other\"}," BPE "}", "\"Other\" is not supported");
    refused("{\"post_processor\":{}," BPE "}", "post_processor: key 'type' is missing");
    refused("{\"post_processor\":{\"type\":\"Sequence\",\"processors\":{}}," BPE "}", "key 'processors'");
    refused("{\"post_processor\":{\"type\":\"Sequence\",\"processors\":[{\"type\":\"ByteLevel\"},{\"type\":"
            "\"BertProcessing\",\"sep\":[\"b\",1],\"cls\":[\"a\",0]},{\"type\":\"BertProcessing\",\"sep\":[\"b\",1],"
            "\"cls\":[\"a\",0]}]}," BPE "}",
            "two parts of the sequence add special tokens; expected one");
}

#define ADDED(list) "{\"added_tokens\":[" list "]," BPE "}"

static void test_added_tokens(void **state)
{
    (void)state;
    gives(ADDED("{\"id\":14,\"content\":\"<s>\",\"special\":true,\"rstrip\":true,\"normalized\":false},"
                "{\"id\":4,\"content\":\"é\",\"lstrip\":true,\"normalized\":false,\"single_word\":true}"),
          "a<s>  \u3000b aéb é é", "0 14 1 0 4 1 4 4");
    gives(ADDED("{\"id\":14,\"content\":\"ba\",\"single_word\":true}"), "²ba ₂ba ba² ⓐba baⓐ 🄰ba \u200cba \u200dba ⅷba",
          "14 14 14 1 0 1 0 1 0 1 0 1 0 1 0");
    refused(ADDED("{\"content\":\"x\"}"), "added_tokens: key 'id' is missing");
    refused(ADDED("{\"id\":5}"), "added_tokens: key 'content' is missing");
    refused(ADDED("{\"id\":-1,\"content\":\"x\"}"), "added_tokens: the id -1 of \"x\" is out of range");
    refused(ADDED("{\"id\":2147483647,\"content\":\"x\"}"), "the id 2147483647 of \"x\" is out of range");
    refused(ADDED("{\"id\":5,\"content\":\"x\",\"lstrip\":5}"), "lstrip");
    refused("{\"added_tokens\":[{\"id\":5,\"content\":\"a\\u0000b\"}]," BPE "}",
            "in content is not valid UTF-8, or holds a zero character");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_models),       cmocka_unit_test(test_unigram_bytes),
        cmocka_unit_test(test_normalizers),  cmocka_unit_test(test_pre_tokenizers),
        cmocka_unit_test(test_decoders),     cmocka_unit_test(test_post_processors),
        cmocka_unit_test(test_added_tokens),
    };
    return cmocka_run_group_tests_name("tokenizer_json", tests, NULL, NULL);
}
