/* What all files of tensors share: look-up by name, and telling a download that went wrong. */
#include "formats/tensors/tensor_file.h"

#include <stdlib.h>
#include <string.h>

static bool starts_with(const uint8_t *data, uint64_t size, const char *prefix)
{
    size_t n = strlen(prefix);
    return size >= n && memcmp(data, prefix, n) == 0;
}

bool vkft_check_download(const char *path, const uint8_t *data, uint64_t size, vkft_err *err)
{
    if (starts_with(data, size, "version https://git-lfs"))
        return vkft_fail(err, VKFT_ERR_INPUT,
                         "'%s' is a Git-LFS pointer, not the file itself; run 'git lfs pull' in its repository or "
                         "download the file",
                         path);
    if (starts_with(data, size, "<!DOCTYPE") || starts_with(data, size, "<!doctype") ||
        starts_with(data, size, "<html"))
        return vkft_fail(err, VKFT_ERR_INPUT, "'%s' is a web page, not the file itself; download it again", path);
    return true;
}

bool vkft_check_disguise(const char *path, const uint8_t *data, uint64_t size, vkft_err *err)
{
    if (starts_with(data, size, "PK\x03\x04") || starts_with(data, size, "\x80\x02"))
        return vkft_fail(err, VKFT_ERR_INPUT,
                         "'%s' is a PyTorch pickle under another name; expected it to be called "
                         "pytorch_model.bin",
                         path);
    return vkft_check_download(path, data, size, err);
}

static int compare_names(const void *a, const void *b)
{
    const vkft_file_tensor *const *x = a, *const *y = b;
    return strcmp((*x)->name, (*y)->name);
}

bool vkft_tensor_file_index(vkft_tensor_file *file, vkft_err *err)
{
    for (uint32_t i = 0; i < file->count; i++)
        file->by_name[i] = &file->tensors[i];
    qsort(file->by_name, file->count, sizeof *file->by_name, compare_names);
    for (uint32_t i = 1; i < file->count; i++)
        if (strcmp(file->by_name[i - 1]->name, file->by_name[i]->name) == 0)
            return vkft_fail(err, VKFT_ERR_INPUT, "%s: tensor '%s' is listed twice", file->path,
                             file->by_name[i]->name);
    return true;
}

void vkft_tensor_file_close(vkft_tensor_file *file)
{
    for (uint32_t i = 0; i < file->count; i++)
        free(file->tensors[i].name);
    free(file->tensors);
    free(file->by_name);
    free(file->path);
    vkft_mapping_close(&file->mapping);
    *file = (vkft_tensor_file){0};
}

const vkft_file_tensor *vkft_tensor_file_find(const vkft_tensor_file *file, const char *name)
{
    uint32_t low = 0, high = file->count;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        int order = strcmp(name, file->by_name[middle]->name);
        if (order == 0)
            return file->by_name[middle];
        if (order < 0)
            high = middle;
        else
            low = middle + 1;
    }
    return NULL;
}

const uint8_t *vkft_tensor_file_data(const vkft_tensor_file *file, const vkft_file_tensor *tensor)
{
    return file->mapping.data + tensor->offset;
}

/* The first half of a head's rows are its even rows in the file. */
uint64_t vkft_file_tensor_row(const vkft_file_tensor *tensor, uint64_t rows, uint64_t r)
{
    if (!tensor->interleaved_heads)
        return r;
    const uint64_t head = rows / tensor->interleaved_heads, in = r % head, half = in / (head / 2),
                   pair = in % (head / 2);
    return r - in + 2 * pair + half;
}
