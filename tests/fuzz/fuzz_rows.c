/* Data files from a stranger, up to the examples that they hold, without a tokenizer: the first byte chooses the ending
 * of the file's name and what the user says of its rows. */
#include <stdlib.h>
#include <string.h>

#include "formats/dataset/rows/rows.h"
#include "formats/dataset/rows/source.h"
#include "formats/dataset/shape.h"
#include "runtime/base/json.h"
#include "runtime/base/utf8.h"
#include "tests/fuzz/common/memory_files.h"

static void check_text(const char *text)
{
    char *plain = malloc(strlen(text) + 1);
    size_t length = vkft_json_decode_zeros(text, plain);
    if (!vkft_utf8_valid(plain, length))
        abort();
    free(plain);
}

static bool take_example(void *context, const vkft_example *example, vkft_err *err)
{
    const vkft_conversation *c = &example->conversation;
    const cJSON *message;
    (void)err;
    ++*(uint32_t *)context;
    if (example->text)
        check_text(example->text);
    if (example->prompt) {
        check_text(example->prompt);
        check_text(example->completion);
    }
    cJSON_ArrayForEach(message, c->messages)
    {
        if (!cJSON_IsString(vkft_json_member(message, "role")))
            abort();
    }
    for (int i = 0; c->untrained && i < cJSON_GetArraySize(c->messages); i++)
        if (c->untrained[i] > 1)
            abort();
    return true;
}

static bool take_rejected(void *context, vkft_bad_reason reason, const char *message, vkft_err *err)
{
    (void)err;
    ++*(uint32_t *)context;
    if (reason >= VKFT_BAD_REASONS || !*message || strpbrk(message, "\n\r\t") ||
        !vkft_utf8_valid(message, strlen(message)))
        abort();
    return true;
}

static void read_rows(const char *path, const vkft_data_source *source, const vkft_data_keys *keys, bool as_chat)
{
    vkft_err err = {0};
    vkft_row_reader reader;
    vkft_row_slice slice;
    uint32_t examples;
    vkft_data_format format = VKFT_DATA_CORPUS;
    char unused[100];
    const vkft_shape_sink sink = {
        .as_chat = as_chat, .example = take_example, .reject = take_rejected, .context = &examples};
    bool found = true, ok = vkft_row_reader_open(&reader, path, source->text, source->length, NULL, 0, &err);
    while (ok && vkft_row_reader_next(&reader, &slice, &found, &err) && found) {
        if (slice.text < source->text || slice.text + slice.length > source->text + source->length)
            abort();
        if (reader.kind == VKFT_ROWS_CORPUS) {
            ok = vkft_row_check_text(&reader, &slice, &err);
            continue;
        }
        cJSON *row = vkft_row_parse(&reader, &slice, &err);
        ok = row && (format != VKFT_DATA_CORPUS || vkft_shape_detect(keys, row, path, &format, &err)) &&
             vkft_shape_check(keys, row, format, path, &err);
        if (ok)
            vkft_shape_unused(keys, row, format, as_chat, unused, sizeof unused);
        examples = 0;
        ok = ok && vkft_shape_examples(keys, row, format, path, &sink, &err);
        if (ok && examples == 0 && format != VKFT_DATA_SQUAD)
            abort(); /* a row has vanished */
        cJSON_Delete(row);
    }
    vkft_row_reader_close(&reader);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char *const names[] = {"a.jsonl", "a.json", "a.csv", "a.tsv", "a.txt"};
    static const char *const renamed[] = {NULL, "completion=chosen", "messages=text", "answer=label,question=input"};
    vkft_err err;
    vkft_data_source source;
    vkft_data_keys keys;
    if (size < 1)
        return 0;
    const char *name = names[data[0] % 5];
    memory_file(name, data + 1, size - 1);
    if (!vkft_data_keys_new(&keys, renamed[data[0] / 5 % 4], data[0] & 0x80 ? "{question}\\n{input}{x}" : NULL, &err))
        abort();
    keys.preferences = (vkft_preferences)(data[0] / 20 % 3);
    if (vkft_data_source_open(name, &source, &err)) {
        read_rows(name, &source, &keys, data[0] & 0x40);
        vkft_data_source_close(&source);
    }
    vkft_data_keys_free(&keys);
    memory_files_clear();
    return 0;
}
