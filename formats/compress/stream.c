/* gzip and zstd as streams. See compress.h. */
#include <stdlib.h>

#ifdef VKFT_HAVE_ZLIB
#include <zlib.h>
#endif
#ifdef VKFT_HAVE_ZSTD
#include <zstd.h>
#endif

#include "formats/compress/compress.h"

struct vkft_unpacker {
    vkft_compression codec;
    const uint8_t *data;
    uint64_t length, at;
    bool inside; /* a member or frame that has not ended */
#ifdef VKFT_HAVE_ZLIB
    z_stream gzip;
    bool opened;
#endif
#ifdef VKFT_HAVE_ZSTD
    ZSTD_DStream *zstd;
#endif
};

#if defined(VKFT_HAVE_ZLIB) || defined(VKFT_HAVE_ZSTD)
static bool fail_damaged(vkft_err *err, const char *format)
{
    return vkft_fail(err, VKFT_ERR_INPUT, "the %s data is damaged or cut off", format);
}
#endif

#ifdef VKFT_HAVE_ZLIB
enum { GZIP_OR_ZLIB = 15 + 32 }; /* windowBits of inflateInit2 */

static bool open_gzip(vkft_unpacker *u)
{
    u->opened = inflateInit2(&u->gzip, GZIP_OR_ZLIB) == Z_OK;
    return u->opened;
}

static void close_gzip(vkft_unpacker *u)
{
    if (u->opened)
        inflateEnd(&u->gzip);
}

/* What zlib is handed at once: it counts in unsigned int. */
static uInt part(uint64_t size)
{
    return size < 1u << 30 ? (uInt)size : 1u << 30;
}

static bool read_gzip(vkft_unpacker *u, uint8_t *out, size_t size, size_t *count, vkft_err *err)
{
    z_stream *z = &u->gzip;
    while (*count < size && (u->inside || u->at < u->length)) {
        if (!u->inside && inflateReset(z) != Z_OK)
            return fail_damaged(err, "gzip");
        u->inside = true;
        uInt in = part(u->length - u->at), room = part(size - *count);
        z->next_in = (Bytef *)(uintptr_t)(u->data + u->at);
        z->avail_in = in;
        z->next_out = out + *count;
        z->avail_out = room;
        int result = inflate(z, Z_NO_FLUSH);
        u->at += in - z->avail_in;
        *count += room - z->avail_out;
        if (result == Z_MEM_ERROR)
            return vkft_fail_memory(err, "while unpacking gzip");
        if (result == Z_STREAM_END)
            u->inside = false;
        else if (result != Z_OK || (in == z->avail_in && room == z->avail_out))
            return fail_damaged(err, "gzip"); /* also without progress: it is cut off */
    }
    return true;
}

bool vkft_crc32_is(const uint8_t *data, uint64_t length, uint32_t expected)
{
    uLong crc = crc32(0, NULL, 0);
    for (uint64_t at = 0; at < length; at += part(length - at))
        crc = crc32(crc, data + at, part(length - at));
    return (uint32_t)crc == expected;
}
#else
bool vkft_crc32_is(const uint8_t *data, uint64_t length, uint32_t expected)
{
    (void)data, (void)length, (void)expected;
    return true;
}
#endif

#ifdef VKFT_HAVE_ZSTD
static bool read_zstd(vkft_unpacker *u, uint8_t *out, size_t size, size_t *count, vkft_err *err)
{
    while (*count < size && (u->inside || u->at < u->length)) {
        ZSTD_inBuffer in = {.src = u->data, .size = (size_t)u->length, .pos = (size_t)u->at};
        ZSTD_outBuffer room = {.dst = out, .size = size, .pos = *count};
        size_t result = ZSTD_decompressStream(u->zstd, &room, &in);
        bool moved = in.pos > u->at || room.pos > *count;
        u->at = in.pos;
        *count = room.pos;
        if (ZSTD_isError(result) || (result && !moved))
            return fail_damaged(err, "zstd");
        u->inside = result != 0;
    }
    return true;
}
#endif

vkft_unpacker *vkft_unpacker_open(vkft_compression codec, const uint8_t *data, uint64_t length, vkft_err *err)
{
    vkft_unpacker *u = calloc(1, sizeof *u);
    bool known = false, ok = u != NULL;
    if (u) {
        u->codec = codec;
        u->data = data;
        u->length = length;
    }
#ifdef VKFT_HAVE_ZLIB
    if (codec == VKFT_COMPRESSION_GZIP) {
        known = true;
        ok = ok && open_gzip(u);
    }
#endif
#ifdef VKFT_HAVE_ZSTD
    if (codec == VKFT_COMPRESSION_ZSTD) {
        known = true;
        ok = ok && (u->zstd = ZSTD_createDStream()) != NULL;
    }
#endif
    if (known && ok)
        return u;
    if (known || !u)
        vkft_fail_memory(err, "for unpacking");
    else
        vkft_fail(err, VKFT_ERR_INPUT, "compressed with %s, and this program was built without %s",
                  codec == VKFT_COMPRESSION_GZIP ? "gzip" : "zstd",
                  codec == VKFT_COMPRESSION_GZIP ? "zlib" : "libzstd");
    vkft_unpacker_close(u);
    return NULL;
}

bool vkft_unpacker_read(vkft_unpacker *unpacker, uint8_t *out, size_t size, size_t *count, vkft_err *err)
{
    (void)unpacker, (void)out, (void)size, (void)err;
    *count = 0;
#ifdef VKFT_HAVE_ZLIB
    if (unpacker->codec == VKFT_COMPRESSION_GZIP)
        return read_gzip(unpacker, out, size, count, err);
#endif
#ifdef VKFT_HAVE_ZSTD
    if (unpacker->codec == VKFT_COMPRESSION_ZSTD)
        return read_zstd(unpacker, out, size, count, err);
#endif
    return true;
}

uint64_t vkft_unpacker_position(const vkft_unpacker *unpacker)
{
    return unpacker->at;
}

void vkft_unpacker_close(vkft_unpacker *unpacker)
{
    if (!unpacker)
        return;
#ifdef VKFT_HAVE_ZLIB
    close_gzip(unpacker);
#endif
#ifdef VKFT_HAVE_ZSTD
    ZSTD_freeDStream(unpacker->zstd);
#endif
    free(unpacker);
}
