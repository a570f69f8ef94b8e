/* Compressed data, unpacked by the libraries of its formats. The program may be built without some of them; using one
 * that is missing is an error that says so.
 *
 * What unpacks never reserves memory for a size that the data only claims: it grows with what has been unpacked, or
 * the size is one that so much data can have.
 *
 * Test: test_compress */
#ifndef VKFT_COMPRESS_H
#define VKFT_COMPRESS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "runtime/base/error.h"

typedef enum vkft_compression {
    VKFT_COMPRESSION_NONE,
    VKFT_COMPRESSION_GZIP, /* zlib's frames are taken, too */
    VKFT_COMPRESSION_ZSTD,
    VKFT_COMPRESSION_SNAPPY,
    VKFT_COMPRESSION_LZ4_RAW,
    VKFT_COMPRESSION_LZ4, /* as Hadoop frames it, or not framed */
} vkft_compression;

/* Unpacks data that becomes `size` bytes (> 0) into *out, malloc'ed; NULL with an error: VKFT_ERR_INPUT for damaged
 * data, another size, or a library that is missing; else out of memory. */
bool vkft_unpack_block(vkft_compression codec, const uint8_t *data, uint64_t length, uint64_t size, uint8_t **out,
                       vkft_err *err);

/* gzip and zstd as a stream over data that is borrowed until the end; several members or frames in a row are one. */
typedef struct vkft_unpacker vkft_unpacker;
vkft_unpacker *vkft_unpacker_open(vkft_compression codec, const uint8_t *data, uint64_t length, vkft_err *err);
/* Fills at most `size` bytes; *count is less than that only at the end. Error: damaged or cut-off data. */
bool vkft_unpacker_read(vkft_unpacker *unpacker, uint8_t *out, size_t size, size_t *count, vkft_err *err);
uint64_t vkft_unpacker_position(const vkft_unpacker *unpacker); /* bytes of the data that have been read */
void vkft_unpacker_close(vkft_unpacker *unpacker);              /* NULL is fine */

/* Whether the data has this CRC-32 (that of gzip and zlib); true where the program was built without zlib. */
bool vkft_crc32_is(const uint8_t *data, uint64_t length, uint32_t expected);

#endif
