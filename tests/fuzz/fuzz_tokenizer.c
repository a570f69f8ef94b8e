/* Tokenizer files from a stranger: the first byte chooses the kind of file, the rest is its content (two files: a zero
 * byte between). */
#include <stdlib.h>
#include <string.h>

#include "formats/tokenizer/files/source.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char text[] = " Hello  wor\xed\x95\x9c\xea\xb8\x80ld's 12\n\xf0\x9f\x98\x80<s>\xcc\x81 a\xff</s> ";

static void use(const vkft_tokenizer *tok)
{
    vkft_err err = {0};
    vkft_ids ids = {0};
    vkft_text out = {0};
    if (vkft_tokenizer_encode(tok, text, sizeof text - 1, true, &ids, &err)) {
        for (uint32_t i = 0; i < ids.count; i++)
            if (ids.data[i] < 0 || (uint32_t)ids.data[i] >= 1u << 24)
                abort();
        (void)vkft_tokenizer_decode(tok, ids.data, ids.count, false, &out, &err);
    }
    vkft_ids_free(&ids);
    vkft_text_free(&out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const int kinds[][2] = {{VKFT_FILE_TOKENIZER, VKFT_FILE_TOKENIZER_CONFIG},
                                   {VKFT_FILE_VOCAB, VKFT_FILE_MERGES},
                                   {VKFT_FILE_MODEL, VKFT_FILE_TOKENIZER_CONFIG},
                                   {VKFT_FILE_SPIECE, VKFT_FILE_TOKENIZER_CONFIG}};
    if (size < 2)
        return 0;
    char *copy = malloc(size); /* exactly as long as the content, so that reading past its end is seen */
    memcpy(copy, data + 1, size - 1);
    const int *kind = kinds[data[0] % 4];
    bool binary = data[0] % 4 >= 2; /* has zero bytes of its own */
    char *cut = binary ? NULL : memchr(copy, 0, size - 1);
    size_t length = cut ? (size_t)(cut - copy) : size - 1;
    vkft_small_file files[VKFT_TOKENIZER_FILES] = {0};
    vkft_err err = {0};
    vkft_tokenizer *tok;
    files[kind[0]] = (vkft_small_file){copy, length};
    if (cut)
        files[kind[1]] = (vkft_small_file){cut + 1, size - 2 - length};
    if (binary)
        files[kind[1]] = kind[0] == VKFT_FILE_SPIECE
                             ? (vkft_small_file){"{\"tokenizer_class\":\"T5Tokenizer\",\"extra_ids\":2}", 46}
                             : (vkft_small_file){0};
    if (vkft_tokenizer_from_files(files, &tok, &err) && tok)
        use(tok);
    vkft_tokenizer_free(tok);
    free(copy);
    return 0;
}
