/* Conversion of llama2.c's tokenizer.bin. */
#include "tests/support/llama2c_tokenizer.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "runtime/base/file.h"
#include "tests/support/program.h"

#define MARK "\xe2\x96\x81" /* U+2581, what SentencePiece writes for a space */

typedef struct piece {
    float score;
    char *text;
    int id;
} piece;

static char *with_marks(const char *bytes, uint32_t length)
{
    char *text = calloc(3ull * length + 1, 1);
    for (uint32_t i = 0; i < length; i++)
        if (bytes[i] == ' ')
            strcat(text, MARK);
        else
            strncat(text, bytes + i, 1);
    return text;
}

static int better_first(const void *pa, const void *pb)
{
    const piece *a = pa, *b = pb;
    return a->score != b->score ? (a->score < b->score ? 1 : -1) : a->id - b->id;
}

static void add_merges(cJSON *merges, const cJSON *vocab, const char *text)
{
    for (size_t cut = 1; cut < strlen(text); cut++) {
        if (((unsigned char)text[cut] & 0xc0) == 0x80)
            continue;
        char left[256];
        snprintf(left, sizeof left, "%.*s", (int)cut, text);
        if (!cJSON_HasObjectItem(vocab, left) || !cJSON_GetObjectItemCaseSensitive(vocab, left) ||
            !cJSON_GetObjectItemCaseSensitive(vocab, text + cut))
            continue;
        cJSON *pair = cJSON_CreateArray();
        cJSON_AddItemToArray(pair, cJSON_CreateString(left));
        cJSON_AddItemToArray(pair, cJSON_CreateString(text + cut));
        cJSON_AddItemToArray(merges, pair);
    }
}

void vkft_llama2c_tokenizer(const char *bin_path, const char *json_path)
{
    static const char head[] =
        "{\"version\":\"1.0\",\"added_tokens\":[{\"id\":0,\"content\":\"<unk>\",\"special\":true,\"normalized\":false},"
        "{\"id\":1,\"content\":\"<s>\",\"special\":true,\"normalized\":false},{\"id\":2,\"content\":\"</"
        "s>\",\"special\":true,\"normalized\":false}],"
        "\"normalizer\":{\"type\":\"Sequence\",\"normalizers\":[{\"type\":\"Prepend\",\"prepend\":\"" MARK "\"},"
        "{\"type\":\"Replace\",\"pattern\":{\"String\":\" \"},\"content\":\"" MARK "\"}]},\"pre_tokenizer\":null,"
        "\"post_processor\":{\"type\":\"TemplateProcessing\",\"single\":[{\"SpecialToken\":{\"id\":\"<s>\",\"type_id\":"
        "0}},"
        "{\"Sequence\":{\"id\":\"A\",\"type_id\":0}}],\"special_tokens\":{\"<s>\":{\"id\":\"<s>\",\"ids\":[1],"
        "\"tokens\":[\"<s>\"]}}},"
        "\"decoder\":{\"type\":\"Sequence\",\"decoders\":[{\"type\":\"Replace\",\"pattern\":{\"String\":\"" MARK
        "\"},\"content\":\" \"},"
        "{\"type\":\"ByteFallback\"},{\"type\":\"Fuse\"},{\"type\":\"Strip\",\"content\":\" "
        "\",\"start\":1,\"stop\":0}]}}";
    size_t size, at = 4;
    char *data = vkft_test_read(bin_path, &size);
    cJSON *root = cJSON_Parse(head), *model = cJSON_AddObjectToObject(root, "model");
    cJSON_AddStringToObject(model, "type", "BPE");
    cJSON_AddStringToObject(model, "unk_token", "<unk>");
    cJSON_AddBoolToObject(model, "byte_fallback", true);
    cJSON_AddBoolToObject(model, "fuse_unk", true);
    cJSON *vocab = cJSON_AddObjectToObject(model, "vocab"), *merges = cJSON_AddArrayToObject(model, "merges");
    piece *pieces = calloc(size, sizeof *pieces);
    int count = 0;
    for (; at + 8 <= size; count++) {
        uint32_t length;
        memcpy(&pieces[count].score, data + at, 4);
        memcpy(&length, data + at + 4, 4);
        assert_true(length <= size - at - 8);
        pieces[count].text = count > 2 ? with_marks(data + at + 8, length)
                                       : strdup(count == 0   ? "<unk>"
                                                : count == 1 ? "<s>"
                                                             : "</s>");
        pieces[count].id = count;
        cJSON_AddNumberToObject(vocab, pieces[count].text, count);
        at += 8ull + length;
    }
    qsort(pieces, (size_t)count, sizeof *pieces, better_first);
    for (int i = 0; i < count; i++)
        if (pieces[i].id > 258)
            add_merges(merges, vocab, pieces[i].text);
    char *text = cJSON_PrintUnformatted(root);
    vkft_err err;
    if (!vkft_file_write(json_path, text, strlen(text), &err))
        fail_msg("%s", err.message);
    cJSON_free(text);
    cJSON_Delete(root);
    for (int i = 0; i < count; i++)
        free(pieces[i].text);
    free(pieces);
    free(data);
}
