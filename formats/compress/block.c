/* Blocks whose unpacked size is known. See compress.h. */
#include <stdlib.h>

#ifdef VKFT_HAVE_LZ4
#include <lz4.h>
#endif
#ifdef VKFT_HAVE_SNAPPY
#include <snappy-c.h>
#endif

#include "formats/compress/compress.h"

static bool fail_damaged(vkft_err *err, const char *format)
{
    return vkft_fail(err, VKFT_ERR_INPUT, "the %s data is damaged: it does not become as much as it says", format);
}

/* Memory that grows with what is unpacked. */
static bool unpack_stream(vkft_compression codec, const uint8_t *data, uint64_t length, uint64_t size, uint8_t **out,
                          vkft_err *err)
{
    vkft_unpacker *u = vkft_unpacker_open(codec, data, length, err);
    uint8_t *memory = NULL, extra;
    size_t have = 0, count = 0;
    bool ok = u != NULL;
    while (ok && have < size) {
        size_t step = have ? have : 1u << 16;
        step = step < size - have ? step : (size_t)(size - have);
        uint8_t *grown = realloc(memory, have + step);
        ok = grown || vkft_fail_memory(err, "while unpacking");
        memory = grown ? grown : memory;
        ok = ok && vkft_unpacker_read(u, memory + have, step, &count, err) &&
             (count == step || fail_damaged(err, codec == VKFT_COMPRESSION_GZIP ? "gzip" : "zstd"));
        have += count;
    }
    if (ok && (!vkft_unpacker_read(u, &extra, 1, &count, NULL) || count))
        ok = fail_damaged(err, codec == VKFT_COMPRESSION_GZIP ? "gzip" : "zstd");
    vkft_unpacker_close(u);
    if (ok) {
        *out = memory;
        return true;
    }
    free(memory);
    return false;
}

/* Memory for what data of this length can become at best. */
static bool reserve(uint64_t length, uint64_t ratio, uint64_t size, uint8_t **out, const char *format, vkft_err *err)
{
    if (size > INT32_MAX || size / ratio > length)
        return fail_damaged(err, format);
    *out = malloc((size_t)size);
    return *out || vkft_fail_memory(err, "while unpacking");
}

static bool unpack_snappy(const uint8_t *data, uint64_t length, uint64_t size, uint8_t **out, vkft_err *err)
{
#ifdef VKFT_HAVE_SNAPPY
    size_t claimed = 0;
    if (snappy_uncompressed_length((const char *)data, (size_t)length, &claimed) != SNAPPY_OK || claimed != size)
        return fail_damaged(err, "snappy");
    if (!reserve(length, 64, size, out, "snappy", err)) /* 64 bytes are copied by at least 2 */
        return false;
    if (snappy_uncompress((const char *)data, (size_t)length, (char *)*out, &claimed) == SNAPPY_OK && claimed == size)
        return true;
    free(*out);
    *out = NULL;
    return fail_damaged(err, "snappy");
#else
    (void)data, (void)length, (void)size, (void)out, (void)reserve;
    return vkft_fail(err, VKFT_ERR_INPUT, "compressed with snappy, and this program was built without libsnappy");
#endif
}

#ifdef VKFT_HAVE_LZ4
static bool unpack_lz4_raw(const uint8_t *data, uint64_t length, uint8_t *out, uint64_t size)
{
    return length <= INT32_MAX && size <= INT32_MAX &&
           LZ4_decompress_safe((const char *)data, (char *)out, (int)length, (int)size) == (int)size;
}

static uint64_t read_u32_big(const uint8_t *p)
{
    return (uint64_t)p[0] << 24 | (uint64_t)p[1] << 16 | (uint64_t)p[2] << 8 | p[3];
}

/* Blocks, each after its two sizes. */
static bool unpack_hadoop(const uint8_t *data, uint64_t length, uint8_t *out, uint64_t size)
{
    uint64_t at = 0, have = 0;
    while (length - at >= 8) {
        uint64_t becomes = read_u32_big(data + at), is = read_u32_big(data + at + 4);
        at += 8;
        if (is > length - at || becomes > size - have || !unpack_lz4_raw(data + at, is, out + have, becomes))
            return false;
        at += is;
        have += becomes;
    }
    return at == length && have == size;
}
#endif

static bool unpack_lz4(bool framed, const uint8_t *data, uint64_t length, uint64_t size, uint8_t **out, vkft_err *err)
{
#ifdef VKFT_HAVE_LZ4
    if (!reserve(length, 256, size, out, "LZ4", err)) /* a byte lengthens a copy by at most 255 */
        return false;
    if ((framed && unpack_hadoop(data, length, *out, size)) || unpack_lz4_raw(data, length, *out, size))
        return true;
    free(*out);
    *out = NULL;
    return fail_damaged(err, "LZ4");
#else
    (void)framed, (void)data, (void)length, (void)size, (void)out;
    return vkft_fail(err, VKFT_ERR_INPUT, "compressed with LZ4, and this program was built without liblz4");
#endif
}

bool vkft_unpack_block(vkft_compression codec, const uint8_t *data, uint64_t length, uint64_t size, uint8_t **out,
                       vkft_err *err)
{
    *out = NULL;
    switch (codec) {
    case VKFT_COMPRESSION_SNAPPY: return unpack_snappy(data, length, size, out, err);
    case VKFT_COMPRESSION_LZ4:
    case VKFT_COMPRESSION_LZ4_RAW: return unpack_lz4(codec == VKFT_COMPRESSION_LZ4, data, length, size, out, err);
    default: return unpack_stream(codec, data, length, size, out, err);
    }
}
