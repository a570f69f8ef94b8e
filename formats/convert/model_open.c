/* Telling models by what they are; conversion and cache of a checkpoint directory. */
#include "formats/convert/model_open.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <xxhash.h>

#include "formats/convert/gguf_checkpoint.h"
#include "formats/convert/source.h"
#include "formats/gguf/gguf.h"
#include "runtime/base/directory.h"
#include "runtime/base/file.h"
#include "formats/native/model_layout.h"
#include "runtime/base/os/os.h"
#include "runtime/base/text.h"

static vkft_model_file *open_file(const char *path, const vkft_convert_options *options, bool quant_explicit,
                                  vkft_err *err)
{
    vkft_model_file *file = vkft_model_file_open(path, err);
    const char *wanted = vkft_quant_label(options->quant);
    if (file && quant_explicit && strcmp(vkft_model_file_quantization(file), wanted) != 0) {
        vkft_fail(err, VKFT_ERR_INPUT,
                  "'%s' was converted with quantization '%s', but '%s' was asked for; convert the checkpoint "
                  "again or leave the flag out",
                  path, vkft_model_file_quantization(file), wanted);
        vkft_model_file_close(file);
        return NULL;
    }
    return file;
}

/* An earlier conversion of the directory as it is now, or NULL. *foreign: another user's is in its place; it is not
 * used, because there may be anything in it, and it is left alone. */
static vkft_model_file *open_cached(const char *path, const char *dir, const char *label, bool *foreign)
{
    vkft_model_file *file = vkft_model_file_open(path, NULL);
    *foreign = file && !vkft_model_file_is_mine(file);
    if (file && (*foreign || strcmp(vkft_model_file_quantization(file), label) != 0 ||
                 !vkft_source_unchanged(dir, vkft_model_file_info(file)))) {
        vkft_model_file_close(file);
        file = NULL;
    }
    return file;
}

/* Whether a new file can be made in the directory. One that is marked read-only is left alone even by root, who could.
 */
static bool can_write(const char *dir, const char *path)
{
    vkft_os_info info;
    if (!vkft_os_stat(dir, &info) || info.is_read_only)
        return false;
    vkft_writer *probe = vkft_writer_open(path, NULL);
    vkft_writer_abandon(probe);
    return probe != NULL;
}

/* "<cache>/<directory's name>-<hash of its absolute path>", malloc'ed, created. */
static char *cache_directory(const char *dir, vkft_err *err)
{
    char *absolute = vkft_os_absolute_path(dir), *result = NULL;
    size_t size = absolute ? strlen(absolute) + 32 : 0;
    char *name = absolute ? malloc(size) : NULL;
    if (name) {
        snprintf(name, size, "%s-%016" PRIx64, vkft_path_base(absolute),
                 (uint64_t)XXH3_64bits(absolute, strlen(absolute)));
        result = vkft_cache_directory(name, err);
    } else {
        vkft_fail_memory(err, "while opening '%s'", dir);
    }
    if (!result)
        vkft_fail_context(err,
                          "'%s' cannot be written, and neither can the cache directory ('vkft convert' with -o writes "
                          "where it is told)",
                          dir);
    free(name);
    free(absolute);
    return result;
}

static vkft_model_file *convert_to(const char *dir, const char *path, const vkft_convert_options *options,
                                   vkft_err *err)
{
    if (!vkft_convert(dir, path, options, err))
        return NULL;
    return vkft_model_file_open(path, err);
}

/* Opens the conversion of `source` in dir under a name of its own, or in the cache directory. */
static vkft_model_file *open_converted(const char *source, const char *dir, const char *name,
                                       const vkft_convert_options *options, vkft_err *err)
{
    const char *label = vkft_quant_label(options->quant);
    char *cache = NULL, *path = vkft_path_join(dir, name);
    vkft_model_file *file = NULL;
    if (!path) {
        vkft_fail_memory(err, "while opening '%s'", source);
        return NULL;
    }
    bool foreign;
    file = open_cached(path, source, label, &foreign);
    if (!file && !foreign && can_write(dir, path)) {
        file = convert_to(source, path, options, err);
    } else if (!file && (cache = cache_directory(dir, err))) {
        free(path);
        path = vkft_path_join(cache, name);
        if (!path)
            vkft_fail_memory(err, "while opening '%s'", source);
        else if (!(file = open_cached(path, source, label, &foreign)))
            file = convert_to(source, path, options, err);
    }
    free(cache);
    free(path);
    return file;
}

static vkft_model_file *open_directory(const char *dir, const vkft_convert_options *options, vkft_err *err)
{
    char name[40];
    snprintf(name, sizeof name, "vkft-%s.vkft", vkft_quant_label(options->quant));
    return open_converted(dir, dir, name, options, err);
}

/* NAME.gguf is converted to NAME-vkft-<label>.vkft beside it. */
static vkft_model_file *open_gguf(const char *path, const vkft_convert_options *asked, vkft_err *err)
{
    vkft_convert_options settled, *options = &settled;
    if (!vkft_convert_settle(path, asked, &settled, err))
        return NULL;
    const char *base = vkft_path_base(path);
    size_t size = strlen(base) + 40, length = strlen(base) - (vkft_string_ends_with(base, ".gguf") ? 5 : 0);
    char *name = malloc(size), *dir = vkft_path_parent(path);
    vkft_model_file *file = NULL;
    if (name && dir) {
        snprintf(name, size, "%.*s-vkft-%s.vkft", (int)length, base, vkft_quant_label(options->quant));
        file = open_converted(path, dir, name, options, err);
    } else {
        vkft_fail_memory(err, "while opening '%s'", path);
    }
    free(name);
    free(dir);
    return file;
}

/* Whether the first character that is no white space opens a JSON object. */
static bool begins_object(const char *path)
{
    vkft_mapping file;
    if (!vkft_mapping_open(path, &file, NULL))
        return false;
    uint64_t at = 0;
    while (at < file.size && vkft_is_space((char)file.data[at]))
        at++;
    bool object = at < file.size && file.data[at] == '{';
    vkft_mapping_close(&file);
    return object;
}

vkft_model_kind vkft_model_kind_of(const char *path)
{
    if (vkft_directory_exists(path))
        return VKFT_MODEL_CHECKPOINT;
    if (!vkft_file_exists(path))
        return VKFT_MODEL_MISSING;
    return vkft_gguf_is(path) ? VKFT_MODEL_GGUF : begins_object(path) ? VKFT_MODEL_CONFIG : VKFT_MODEL_NATIVE;
}

vkft_model_file *vkft_model_open(const char *path, const vkft_convert_options *options, bool quant_explicit,
                                 vkft_err *err)
{
    vkft_model_kind kind = vkft_model_kind_of(path);
    if (kind != VKFT_MODEL_MISSING)
        return kind == VKFT_MODEL_CHECKPOINT ? open_directory(path, options, err)
               : kind == VKFT_MODEL_GGUF     ? open_gguf(path, options, err)
                                             : open_file(path, options, quant_explicit, err);
    bool found;
    if (!vkft_file_find(path, &found, err))
        return NULL;
    vkft_model_fail_missing(path, err);
    return NULL;
}

void vkft_model_notes(const vkft_model_file *file, void (*say)(void *context, const char *line), void *context)
{
    vkft_source_notes(vkft_model_file_info(file), say, context);
}
