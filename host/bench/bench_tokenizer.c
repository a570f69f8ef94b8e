/* See bench_tokenizer.h. */
#include "host/bench/bench_tokenizer.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/base/os/os.h"
#include "runtime/base/file.h"
#include "runtime/base/json.h"
#include "formats/chat/model_text.h"

static bool encode_line(const vkft_tokenizer *tok, const cJSON *text, vkft_bench_tokens *t, vkft_ids *ids,
                        vkft_err *err)
{
    char *bytes = malloc(strlen(text->valuestring) + 1);
    if (!bytes)
        return vkft_fail_memory(err, "for a line of text");
    size_t length = vkft_json_decode_zeros(text->valuestring, bytes);
    ids->count = 0;
    double start = vkft_os_cpu_seconds();
    bool ok = vkft_tokenizer_encode(tok, bytes, length, false, ids, err);
    t->seconds += vkft_os_cpu_seconds() - start;
    for (uint32_t i = 0; i < ids->count; i++)
        t->checksum += (uint64_t)(uint32_t)ids->data[i] * (1 + (t->tokens + i) % 1000);
    t->documents++;
    t->bytes += length;
    t->tokens += ids->count;
    free(bytes);
    return ok;
}

static bool encode_all(const vkft_tokenizer *tok, const char *path, const char *text, size_t size, vkft_bench_tokens *t,
                       vkft_err *err)
{
    vkft_ids ids = {0};
    bool ok = true;
    uint64_t number = 1;
    for (size_t at = 0; ok && at < size; number++) {
        const char *end = memchr(text + at, '\n', size - at);
        size_t length = (size_t)((end ? end : text + size) - (text + at));
        cJSON *json = length ? vkft_json_parse_line(text + at, length, path, number, err) : NULL;
        if (json && !cJSON_IsString(json))
            ok = vkft_fail(err, VKFT_ERR_INPUT, "%s: line %" PRIu64 ": expected a JSON string", path, number);
        else
            ok = length == 0 || (json && encode_line(tok, json, t, &ids, err));
        cJSON_Delete(json);
        at += length + 1;
    }
    vkft_ids_free(&ids);
    return ok;
}

bool vkft_bench_tokenizer(const char *model, const char *documents, vkft_bench_tokens *result, vkft_err *err)
{
    vkft_model_text text = {0};
    char *data = NULL;
    size_t size = 0;
    bool ok = vkft_model_text_open(model, NULL, &text, err) && vkft_file_read(documents, UINT32_MAX, &data, &size, err);
    if (ok && !text.tokenizer)
        ok = vkft_fail(err, VKFT_ERR_INPUT, "%s: the model has no tokenizer", model);
    *result = (vkft_bench_tokens){0};
    ok = ok && encode_all(text.tokenizer, documents, data, size, result, err);
    free(data);
    vkft_model_text_free(&text);
    return ok;
}
