/* The text of a data file, mapped; a file in UTF-16 is converted. Internal to formats. */
#ifndef VKFT_DATASET_SOURCE_H
#define VKFT_DATASET_SOURCE_H

#include "runtime/base/file.h"
#include "runtime/base/text.h"

typedef struct vkft_data_source {
    vkft_mapping file;
    vkft_text converted; /* of a file in UTF-16 */
    const char *text;    /* in the mapped file or converted; a UTF-8 byte order mark is part of it; "" when empty */
    uint64_t length;
} vkft_data_source;

/* Error: a kind of file that is no text (compressed, Parquet, Arrow, ...), with its name and what to do; broken UTF-16.
 * UTF-8 is checked with the rows. */
bool vkft_data_source_open(const char *path, vkft_data_source *source, vkft_err *err);
void vkft_data_source_close(vkft_data_source *source); /* zeroes it */
/* As vkft_mapping_drop. */
void vkft_data_source_drop(const vkft_data_source *source, uint64_t offset, uint64_t size);

/* The place of the first byte that is no UTF-8 or zero; length where there is none. */
size_t vkft_text_first_bad(const char *text, size_t length);

#endif
