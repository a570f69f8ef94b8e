/* Data files from a stranger: the first byte chooses the kind of file, the rest is its content. */
#include <stdlib.h>
#include <string.h>

#include "formats/dataset/encode.h"
#include "formats/chat/model_text.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char template[] = "{% for m in messages %}[{{ m.role }}]{% if m.role == 'assistant' %}{% generation %}{{ "
                               "m.content }}{% endgeneration %}"
                               "{% else %}{{ m.content }}{% endif %}{% endfor %}";

/* Reads every row, as opening a data file does. */
static void read_rows(const char *name, const char *text, size_t length, const char *partner, size_t partner_length,
                      const vkft_tokenizer *tok, const vkft_chat_template *chat)
{
    vkft_err err = {0};
    vkft_row_reader reader;
    vkft_dataset_options options = {.max_seq_length = 64,
                                    .mask_prompt = length % 2,
                                    .vocab_size = vkft_tokenizer_vocab_size(tok),
                                    .eos_id = 1,
                                    .chat = chat};
    vkft_row_encoder encoder = {.path = name, .tok = tok, .options = &options, .reader = &reader};
    vkft_row_slice slice;
    vkft_encoded_row row = {0};
    char unused[100];
    bool found = true, ok = vkft_row_reader_open(&reader, name, text, length, partner, partner_length, &err);
    for (bool first = true; ok && vkft_row_reader_next(&reader, &slice, &found, &err) && found; first = false) {
        if (slice.text < text || slice.length > length || slice.text + slice.length > text + length)
            abort();
        ok = (!first || vkft_row_encoder_detect(&encoder, &slice, unused, sizeof unused, &err)) &&
             vkft_row_encode(&encoder, &slice, &row, &err);
    }
    vkft_encoded_row_free(&row);
    vkft_row_reader_close(&reader);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char *const names[] = {"a.jsonl", "a.json", "a.csv", "a.tsv", "a.txt"};
    static vkft_model_text text;
    static vkft_chat_template *chat;
    vkft_err err;
    if (!chat) {
        vkft_chat_sources sources = {.jinja = template, .jinja_length = sizeof template - 1, .jinja_name = "template"};
        if (!vkft_model_text_open(VKFT_PROJECT_DIR "/tools/bundled/model", NULL, &text, &err) ||
            !vkft_chat_template_new(&sources, &chat, &err))
            abort();
    }
    if (size < 2)
        return 0;
    char *copy = malloc(size); /* exactly as long as the content, so that reading past its end is seen */
    memcpy(copy, data + 1, size - 1);
    size_t length = size - 1, half = length / 2;
    if (data[0] % 6 < 5)
        read_rows(names[data[0] % 6], copy, length, NULL, 0, text.tokenizer, chat);
    else
        read_rows("a.txt", copy, half, copy + half, length - half, text.tokenizer, chat);
    free(copy);
    return 0;
}
