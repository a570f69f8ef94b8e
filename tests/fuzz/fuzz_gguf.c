/* A GGUF file: its bytes; or, when they begin with 'S', a model in two parts: the length of the first one in two bytes,
 * then both. Every key is read, every byte that a tensor claims is there, also of those that it is cut into under the
 * names of transformers, and what the small files are made to is read by their readers. */
#include <stdlib.h>
#include <string.h>

#include "formats/gguf/model.h"
#include "formats/tensors/ggml/ggml.h"
#include "formats/tokenizer/files/source.h"
#include "tests/fuzz/common/memory_files.h"

static volatile double sum;

static void use_values(const vkft_gguf *g)
{
    for (uint64_t i = 0; i < g->value_count; i++) {
        const vkft_gguf_value *v = &g->values[i];
        uint64_t at = 0, length;
        if (vkft_gguf_find(g, v->key) != v)
            abort();
        for (uint64_t k = 0; k < v->count; k++) {
            if (v->type != VKFT_GGUF_STRING) {
                sum += vkft_gguf_number(v, k);
                continue;
            }
            const char *text = vkft_gguf_string(v, &at, &length);
            if (length)
                sum += text[0] + text[length - 1];
        }
    }
}

static void use_tensors(const vkft_gguf *g)
{
    static float values[256];
    for (uint32_t p = 0; p < g->part_count; p++)
        for (uint32_t i = 0; i < g->parts[p].count; i++) {
            const vkft_tensor_file *part = &g->parts[p];
            const vkft_file_tensor *t = &part->tensors[i];
            const uint32_t block = vkft_dtype_block(t->dtype);
            const uint8_t *data = vkft_tensor_file_data(part, t);
            if (!t->bytes || t->bytes != vkft_dtype_bytes(t->dtype, t->elements) || t->offset > part->mapping.size ||
                t->bytes > part->mapping.size - t->offset ||
                (t->interleaved_heads && t->shape[0] % (2 * t->interleaved_heads)) ||
                !vkft_tensor_file_find(part, t->name))
                abort();
            sum += data[0] + data[t->bytes - 1];
            if (block > 1)
                vkft_ggml_to_f32(t->dtype, data + t->bytes - vkft_dtype_bytes(t->dtype, block), block, values);
        }
}

static void use_files(vkft_gguf *g)
{
    vkft_err err = {0};
    vkft_gguf_files files;
    static vkft_config config;
    if (!vkft_gguf_files_make(g, &files, &err)) {
        if (!err.message[0])
            abort();
        return;
    }
    if (vkft_config_parse(files.config, strlen(files.config), "config.json", &config, &err) &&
        vkft_gguf_rename(g, &config, &err))
        use_tensors(g);
    if (files.tokenizer) {
        vkft_tokenizer *tok = vkft_tokenizer_new(files.tokenizer, strlen(files.tokenizer), files.tokenizer_config,
                                                 strlen(files.tokenizer_config), "tokenizer.json", &err);
        vkft_tokenizer_free(tok);
    }
    vkft_gguf_files_free(&files);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const char *name = "fuzz.gguf";
    memory_files_clear();
    if (size > 3 && data[0] == 'S') {
        size_t first = (size_t)(data[1] | data[2] << 8), rest = size - 3;
        first = first < rest ? first : rest;
        name = "fuzz-00001-of-00002.gguf";
        memory_file(name, data + 3, first);
        memory_file("fuzz-00002-of-00002.gguf", data + 3 + first, rest - first);
    } else {
        memory_file(name, data, size);
    }
    vkft_err err = {0};
    vkft_gguf g;
    if (vkft_gguf_open(name, &g, &err)) {
        use_values(&g);
        use_tensors(&g);
        use_files(&g);
        vkft_gguf_close(&g);
    } else if (!err.message[0]) {
        abort();
    }
    return 0;
}
