/* Tokenizer files from a stranger, and a text that is encoded and decoded with what they make. The first byte chooses
 * the kinds of files, the rest is a SentencePiece model, or parts with a zero byte between: two files, a text (without
 * one a fixed text), special_tokens_map.json, added_tokens.json, config.json. With the first byte's highest bit the
 * text is repeated. */
#include <stdlib.h>
#include <string.h>

#include "formats/tokenizer/files/source.h"
#include "formats/tokenizer/stages/vocab.h"
#include "tests/fuzz/common/parts.h"

#define PARTS 6
#define REPEATED 30

static const char fixed_text[] = " Hello  wor\xed\x95\x9c\xea\xb8\x80ld's 12\n\xf0\x9f\x98\x80<s>\xcc\x81 a\xff</s> ";

/* A post-processor may name ids above the vocabulary: those who use ids compare them with their model's. */
static void check_ids(const vkft_ids *ids)
{
    for (uint32_t i = 0; i < ids->count; i++)
        if (ids->data[i] < 0 || (uint32_t)ids->data[i] >= VKFT_MAX_VOCABULARY)
            abort();
}

static void use(const vkft_tokenizer *tok, const char *text, size_t length)
{
    vkft_err err = {0};
    vkft_ids ids = {0}, more = {0};
    vkft_text out = {0};
    if (vkft_tokenizer_encode(tok, text, length, true, &ids, &err)) {
        check_ids(&ids);
        (void)vkft_tokenizer_decode(tok, ids.data, ids.count, false, &out, &err);
        (void)vkft_tokenizer_decode(tok, ids.data, ids.count, true, &out, &err);
        if (vkft_tokenizer_encode_pair(tok, text, length / 2, text + length / 2, length - length / 2, true, &more,
                                       &err) &&
            vkft_tokenizer_encode_prompt(tok, text, length, &more, &err))
            check_ids(&more);
    } else if (!err.message[0]) {
        abort();
    }
    vkft_ids_free(&ids);
    vkft_ids_free(&more);
    vkft_text_free(&out);
}

static void use_text(const vkft_tokenizer *tok, const char *text, size_t length, bool repeated)
{
    uint32_t times = repeated ? REPEATED : 1;
    char *whole = malloc(length * times + 1);
    for (uint32_t i = 0; i < times; i++)
        memcpy(whole + i * length, text, length);
    use(tok, whole, length * times);
    free(whole);
}

/* A copy that is exactly as long, so that reading past its end is seen. */
static vkft_small_file copy_part(const uint8_t *data, size_t length)
{
    char *copy = malloc(length ? length : 1);
    if (length)
        memcpy(copy, data, length);
    return (vkft_small_file){copy, length};
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const int kinds[][2] = {{VKFT_FILE_TOKENIZER, VKFT_FILE_TOKENIZER_CONFIG},
                                   {VKFT_FILE_VOCAB, VKFT_FILE_MERGES},
                                   {VKFT_FILE_MODEL, VKFT_FILE_TOKENIZER_CONFIG},
                                   {VKFT_FILE_SPIECE, VKFT_FILE_TOKENIZER_CONFIG}};
    if (size < 2)
        return 0;
    const int *kind = kinds[data[0] % 4];
    bool binary = data[0] % 4 >= 2, repeated = data[0] & 0x80; /* binary: has zero bytes of its own */
    vkft_small_file parts[PARTS] = {0}, files[VKFT_TOKENIZER_FILES] = {0};
    uint32_t count = 0;
    for (size_t at = 1; at <= size && count < PARTS;) {
        size_t length = binary ? size - at : text_length(data + at, size - at);
        parts[count++] = copy_part(data + at, length);
        at += length + 1;
    }
    files[kind[0]] = parts[0];
    files[kind[1]] = parts[1];
    files[VKFT_FILE_SPECIAL_TOKENS] = parts[3];
    files[VKFT_FILE_ADDED_TOKENS] = parts[4];
    files[VKFT_FILE_CONFIG] = parts[5];
    if (kind[0] == VKFT_FILE_SPIECE)
        files[kind[1]] = (vkft_small_file){"{\"tokenizer_class\":\"T5Tokenizer\",\"extra_ids\":2}", 46};
    vkft_err err = {0};
    vkft_tokenizer *tok;
    if (!vkft_tokenizer_from_files(files, &tok, &err) && !err.message[0])
        abort();
    if (tok && parts[2].length)
        use_text(tok, parts[2].data, parts[2].length, repeated);
    else if (tok)
        use_text(tok, fixed_text, sizeof fixed_text - 1, repeated);
    vkft_tokenizer_free(tok);
    for (uint32_t i = 0; i < count; i++)
        free((void *)(uintptr_t)parts[i].data);
    return 0;
}
