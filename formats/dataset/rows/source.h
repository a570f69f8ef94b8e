/* The text of a data file. A file of text is mapped; one in UTF-16 is converted; what gzip and zstd unpack to, and the
 * rows of a Parquet file as JSON lines, come part by part. Internal to formats. */
#ifndef VKFT_DATASET_SOURCE_H
#define VKFT_DATASET_SOURCE_H

#include "formats/compress/compress.h"
#include "formats/parquet/parquet.h"
#include "runtime/base/file.h"
#include "runtime/base/text.h"

typedef struct vkft_data_source {
    vkft_mapping file;
    const char *path; /* borrowed */
    vkft_text memory; /* of a file that is not text as it is */
    const char
        *text; /* at hand: in the mapped file or in memory; a UTF-8 byte order mark is part of it; "" when empty */
    uint64_t length;
    uint64_t before; /* bytes of the text before it */
    bool more;       /* something may follow it */
    vkft_unpacker *unpacker;
    vkft_parquet *table; /* NULL, or the text is its rows */
} vkft_data_source;

/* A file that is mapped has its text at hand at once, others after vkft_data_source_more. Error: a kind of file that is
 * no text (a ZIP archive, Arrow, ...), with its name and what to do; broken UTF-16. UTF-8 is checked with the rows. */
bool vkft_data_source_open(const char *path, vkft_data_source *source, vkft_err *err);
/* With source->more: gives up the first `done` bytes of the text at hand, whose rest moves, and adds what follows it.
 * Error: damaged data; a text without an end of a row for too long. */
bool vkft_data_source_more(vkft_data_source *source, uint64_t done, vkft_err *err);
bool vkft_data_source_whole(vkft_data_source *source, vkft_err *err); /* all of it at hand */
void vkft_data_source_close(vkft_data_source *source);                /* zeroes it */
/* Says that the bytes of the text at hand from `from` up to `to` are not needed any more, nor what is before. */
void vkft_data_source_drop(const vkft_data_source *source, uint64_t from, uint64_t to);
/* For progress: how much has been read at this place of the text at hand, and of how much. */
uint64_t vkft_data_source_position(const vkft_data_source *source, uint64_t at);
uint64_t vkft_data_source_size(const vkft_data_source *source);

/* The place of the first byte that is no UTF-8 or zero; length where there is none. */
size_t vkft_text_first_bad(const char *text, size_t length);

#endif
