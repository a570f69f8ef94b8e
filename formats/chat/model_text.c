/* Tokenizer and chat template of a model. See model_text.h. */
#include "formats/chat/model_text.h"

#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

#include "formats/gguf/model.h"
#include "runtime/base/file.h"
#include "formats/tokenizer/files/source.h"
#include "formats/tokenizer/files/special_tokens.h"

#define MAX_TEXT_BYTES (256u << 20)

/* The small files that matter here: the tokenizer's, then the chat template's. */
enum { JINJA = VKFT_TOKENIZER_FILES, JSON, TOOL_USE, FILES };

typedef struct small_files {
    vkft_small_file file[FILES]; /* data NULL where the model has no such file */
    char *owned[FILES];          /* the same, when it was read for this */
} small_files;

static const char *name_of(int i)
{
    return i < VKFT_TOKENIZER_FILES ? vkft_tokenizer_file_names[i]
           : i == JINJA             ? "chat_template.jinja"
           : i == JSON              ? "chat_template.json"
                                    : VKFT_TOOL_USE_TEMPLATE;
}

static bool read_file(const char *path, small_files *files, int i, vkft_err *err)
{
    free(files->owned[i]);
    files->owned[i] = NULL;
    bool ok = vkft_file_read(path, MAX_TEXT_BYTES, &files->owned[i], &files->file[i].length, err);
    files->file[i].data = files->owned[i];
    return ok;
}

/* A model's own template that cannot be used is an error for those alone who need one. */
static bool make_template(const vkft_chat_sources *sources, const vkft_chat_options *chat, vkft_model_text *text,
                          vkft_err *err)
{
    vkft_err failure = {0};
    if (vkft_chat_template_new(sources, &text->chat, &failure))
        return true;
    bool own = failure.kind == VKFT_ERR_INPUT && !chat->file && !chat->variables;
    if (own && (text->chat_error = vkft_string_copy(failure.message)) != NULL)
        return true;
    if (err)
        *err = failure;
    return false;
}

static bool build(small_files *files, const vkft_chat_options *chat, vkft_model_text *text, vkft_err *err)
{
    static const vkft_chat_options nothing = {0};
    const vkft_small_file *f = files->file;
    chat = chat ? chat : &nothing;
    if (chat->file && !read_file(chat->file, files, JINJA, err))
        return false;
    for (int i = 0; i < FILES; i++)
        text->hash = f[i].data ? XXH3_64bits_withSeed(f[i].data, f[i].length, text->hash + (uint64_t)i) : text->hash;
    if (chat->variables)
        text->hash = XXH3_64bits_withSeed(chat->variables, strlen(chat->variables), text->hash);
    vkft_small_file *config = &files->file[VKFT_FILE_TOKENIZER_CONFIG];
    char *complete;
    if (!vkft_special_tokens_config(f, &complete, err))
        return false;
    free(files->owned[VKFT_FILE_TOKENIZER_CONFIG]);
    files->owned[VKFT_FILE_TOKENIZER_CONFIG] = complete;
    *config = (vkft_small_file){complete, complete ? strlen(complete) : 0};
    vkft_chat_sources sources = {.tokenizer_config = f[VKFT_FILE_TOKENIZER_CONFIG].data,
                                 .tokenizer_config_length = f[VKFT_FILE_TOKENIZER_CONFIG].length,
                                 .jinja = f[JINJA].data,
                                 .jinja_length = f[JINJA].length,
                                 .jinja_name = chat->file ? chat->file : name_of(JINJA),
                                 .json = f[JSON].data,
                                 .json_length = f[JSON].length,
                                 .tool_use = chat->file ? NULL : f[TOOL_USE].data,
                                 .tool_use_length = f[TOOL_USE].length,
                                 .variables = chat->variables};
    return make_template(&sources, chat, text, err) && vkft_tokenizer_from_files(f, &text->tokenizer, err);
}

static bool finish(small_files *files, bool ok, const char *where, const vkft_chat_options *chat, vkft_model_text *text,
                   vkft_err *err)
{
    if (ok && !build(files, chat, text, err))
        ok = vkft_fail_context(err, "%s", where);
    for (int i = 0; i < FILES; i++)
        free(files->owned[i]);
    if (!ok)
        vkft_model_text_free(text);
    return ok;
}

static bool of_file(const vkft_model_file *file, const char *where, const vkft_chat_options *chat,
                    vkft_model_text *text, vkft_err *err)
{
    small_files files = {0};
    memset(text, 0, sizeof *text);
    for (int i = 0; i < FILES; i++)
        files.file[i].data = vkft_model_file_blob(file, name_of(i), &files.file[i].length);
    return finish(&files, true, where, chat, text, err);
}

bool vkft_model_text_of_file(const vkft_model_file *file, const vkft_chat_options *chat, vkft_model_text *text,
                             vkft_err *err)
{
    return of_file(file, "the model's own files", chat, text, err);
}

/* Files made of a GGUF file's keys. */
static bool of_gguf(const char *path, const vkft_chat_options *chat, vkft_model_text *text, vkft_err *err)
{
    small_files files = {0};
    vkft_gguf gguf;
    vkft_gguf_files made = {0};
    if (!vkft_gguf_open(path, &gguf, err))
        return false;
    bool ok = vkft_gguf_files_make(&gguf, &made, err);
    const struct {
        int file;
        char **text;
    } all[] = {{VKFT_FILE_CONFIG, &made.config},
               {VKFT_FILE_TOKENIZER, &made.tokenizer},
               {VKFT_FILE_TOKENIZER_CONFIG, &made.tokenizer_config}};
    for (size_t i = 0; ok && i < sizeof all / sizeof *all; i++) {
        files.owned[all[i].file] = *all[i].text;
        files.file[all[i].file] = (vkft_small_file){*all[i].text, *all[i].text ? strlen(*all[i].text) : 0};
        *all[i].text = NULL;
    }
    vkft_gguf_files_free(&made);
    vkft_gguf_close(&gguf);
    return finish(&files, ok, path, chat, text, err);
}

static bool open_directory(const char *dir, const vkft_chat_options *chat, vkft_model_text *text, vkft_err *err)
{
    small_files files = {0};
    bool ok = true;
    for (int i = 0; ok && i < FILES; i++) {
        char *path = vkft_path_join(dir, name_of(i));
        if (!path)
            ok = vkft_fail_memory(err, "while reading %s", dir);
        bool found = false;
        ok = ok && vkft_file_find(path, &found, err) && (!found || read_file(path, &files, i, err));
        free(path);
    }
    return finish(&files, ok, dir, chat, text, err);
}

bool vkft_model_text_open(const char *path, const vkft_chat_options *chat, vkft_model_text *text, vkft_err *err)
{
    memset(text, 0, sizeof *text);
    bool directory;
    if (!vkft_directory_find(path, &directory, err))
        return false;
    if (directory)
        return open_directory(path, chat, text, err);
    bool found;
    if (!vkft_file_find(path, &found, err))
        return false;
    if (!found)
        return vkft_model_fail_missing(path, err);
    if (vkft_gguf_is(path))
        return of_gguf(path, chat, text, err);
    vkft_model_file *file = vkft_model_file_open(path, err);
    bool ok = file && of_file(file, path, chat, text, err);
    vkft_model_file_close(file);
    return ok;
}

void vkft_model_text_free(vkft_model_text *text)
{
    vkft_tokenizer_free(text->tokenizer);
    vkft_chat_template_free(text->chat);
    free(text->chat_error);
    memset(text, 0, sizeof *text);
}
