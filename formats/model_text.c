/* Tokenizer and chat template of a model. See model_text.h. */
#include "model_text.h"

#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

#include "file_io.h"

#define MAX_TEXT_BYTES (256u << 20)

/* The small files that matter here; data NULL where the model has no such file. */
typedef struct small_file {
    const char *data;
    size_t length;
    char *owned; /* the same, when it was read for this */
} small_file;

enum { TOKENIZER, CONFIG, JINJA, JSON, FILES };
static const char *const names[FILES] = {"tokenizer.json", "tokenizer_config.json", "chat_template.jinja", "chat_template.json"};

static bool read_file(const char *path, small_file *file, vkft_err *err)
{
    if (!vkft_file_read(path, MAX_TEXT_BYTES, &file->owned, &file->length, err))
        return false;
    file->data = file->owned;
    return true;
}

static bool build(small_file *files, const char *path, const char *chat_template, vkft_model_text *text, vkft_err *err)
{
    const char *jinja_name = names[JINJA];
    if (chat_template) {
        free(files[JINJA].owned);
        files[JINJA] = (small_file){0};
        jinja_name = chat_template;
        if (!read_file(chat_template, &files[JINJA], err))
            return false;
    }
    for (int i = 0; i < FILES; i++)
        text->hash = files[i].data ? XXH3_64bits_withSeed(files[i].data, files[i].length, text->hash + (uint64_t)i) : text->hash;
    vkft_chat_sources sources = {.tokenizer_config = files[CONFIG].data, .tokenizer_config_length = files[CONFIG].length,
                                 .jinja = files[JINJA].data, .jinja_length = files[JINJA].length, .jinja_name = jinja_name,
                                 .json = files[JSON].data, .json_length = files[JSON].length};
    if (!vkft_chat_template_new(&sources, &text->chat, err))
        return false;
    if (!files[TOKENIZER].data)
        return true;
    text->tokenizer = vkft_tokenizer_new(files[TOKENIZER].data, files[TOKENIZER].length, files[CONFIG].data, files[CONFIG].length, path, err);
    return text->tokenizer != NULL;
}

static bool finish(small_file *files, bool ok, const char *path, const char *chat_template, vkft_model_text *text, vkft_err *err)
{
    ok = ok && build(files, path, chat_template, text, err);
    for (int i = 0; i < FILES; i++)
        free(files[i].owned);
    if (!ok)
        vkft_model_text_free(text);
    return ok;
}

bool vkft_model_text_of_file(const vkft_model_file *file, const char *chat_template, vkft_model_text *text, vkft_err *err)
{
    small_file files[FILES] = {0};
    memset(text, 0, sizeof *text);
    for (int i = 0; i < FILES; i++)
        files[i].data = vkft_model_file_blob(file, names[i], &files[i].length);
    return finish(files, true, names[TOKENIZER], chat_template, text, err);
}

static bool open_directory(const char *dir, const char *chat_template, vkft_model_text *text, vkft_err *err)
{
    small_file files[FILES] = {0};
    bool ok = true;
    for (int i = 0; ok && i < FILES; i++) {
        char *path = vkft_path_join(dir, names[i]);
        if (!path)
            ok = vkft_fail(err, VKFT_ERR_MEMORY, "%s: out of host memory", dir);
        else if (vkft_file_exists(path))
            ok = read_file(path, &files[i], err);
        free(path);
    }
    return finish(files, ok, dir, chat_template, text, err);
}

bool vkft_model_text_open(const char *path, const char *chat_template, vkft_model_text *text, vkft_err *err)
{
    memset(text, 0, sizeof *text);
    if (vkft_directory_exists(path))
        return open_directory(path, chat_template, text, err);
    vkft_model_file *file = vkft_model_file_open(path, err);
    bool ok = file && vkft_model_text_of_file(file, chat_template, text, err);
    vkft_model_file_close(file);
    return ok;
}

void vkft_model_text_free(vkft_model_text *text)
{
    vkft_tokenizer_free(text->tokenizer);
    vkft_chat_template_free(text->chat);
    memset(text, 0, sizeof *text);
}
