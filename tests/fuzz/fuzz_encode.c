/* Text from a stranger: encoded and decoded with one tokenizer of every kind, which the first byte chooses. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "formats/tokenizer/text_stream.h"
#include "runtime/base/file.h"
#include "formats/tokenizer/files/source.h"

#define DATA VKFT_PROJECT_DIR "/tests/data/tokenizers/"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static vkft_tokenizer *open_one(int kind, const char *path)
{
    vkft_small_file files[VKFT_TOKENIZER_FILES] = {0};
    vkft_tokenizer *tok;
    vkft_err err;
    char *text;
    if (!vkft_file_read(path, 1 << 20, &text, &files[kind].length, &err))
        abort();
    files[kind].data = text;
    if (!vkft_tokenizer_from_files(files, &tok, &err) || !tok)
        abort();
    free(text);
    return tok;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static vkft_tokenizer *toks[5];
    if (!toks[0]) {
        toks[0] = open_one(VKFT_FILE_TOKENIZER, DATA "byte_level.json");
        toks[1] = open_one(VKFT_FILE_MODEL, DATA "bpe.model");
        toks[2] = open_one(VKFT_FILE_SPIECE, DATA "unigram.model");
        toks[3] = open_one(VKFT_FILE_MODEL, DATA "ranks.model");
        toks[4] = open_one(VKFT_FILE_TOKENIZER, DATA "bert.json");
    }
    if (size < 2)
        return 0;
    const vkft_tokenizer *tok = toks[data[0] % 5];
    vkft_err err = {0};
    vkft_ids ids = {0};
    vkft_text whole = {0}, streamed = {0};
    char *copy = malloc(size);
    memcpy(copy, data + 1, size - 1);
    if (vkft_tokenizer_encode(tok, copy, size - 1, data[0] & 0x80, &ids, &err)) {
        bool ok = vkft_tokenizer_decode(tok, ids.data, ids.count, false, &whole, &err);
        bool stream_too = ids.count <= 24 && data[0] & 0x40; /* streaming takes ten times as long */
        vkft_text_stream *stream = stream_too ? vkft_text_stream_new(tok, false, &err) : NULL;
        for (uint32_t i = 0; ok && stream && i < ids.count; i++)
            ok = vkft_text_stream_push(stream, ids.data[i], &streamed, &err);
        ok = ok && (!stream || vkft_text_stream_finish(stream, &streamed, &err));
        if (!ok)
            abort();
        if (stream &&
            (streamed.length != whole.length || (whole.length && memcmp(whole.data, streamed.data, whole.length) != 0)))
            abort();
        vkft_text_stream_free(stream);
    }
    free(copy);
    vkft_ids_free(&ids);
    vkft_text_free(&whole);
    vkft_text_free(&streamed);
    return 0;
}
