/* The pages of a column: found, checked, unpacked, and their levels.
 *
 * A level of definition says how many of the optional and repeated fields down to the value are there; one of
 * repetition, which list goes on. */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "formats/parquet/parquet_private.h"

enum { PAGE_DATA, PAGE_INDEX, PAGE_DICTIONARY, PAGE_DATA_V2 };
enum { ENCODING_RLE = 3 };

typedef struct page_header {
    int32_t type, unpacked, packed, crc;
    bool has_crc, has_data, has_dictionary;
    int32_t values, encoding, def_encoding, rep_encoding;
    int32_t def_bytes, rep_bytes; /* version 2 */
    bool is_packed;               /* the same */
} page_header;

bool parquet_column_fail(const parquet_column *c, vkft_err *err, const char *format, ...)
{
    const vkft_parquet *file = c->file;
    char what[400], name[200] = "";
    va_list args;
    va_start(args, format);
    vsnprintf(what, sizeof what, format, args);
    va_end(args);
    for (const parquet_field *f = file->fields + 1; f <= c->field; f++) /* those that it is inside of, and itself */
        if (f == c->field || file->fields + f->end > c->field) {
            size_t at = strlen(name);
            snprintf(name + at, sizeof name - at, "%s%s", at ? "." : "", f->name);
        }
    return vkft_fail(err, VKFT_ERR_INPUT, "%s: column '%s', row group %llu: %s", file->path, name,
                     (unsigned long long)file->group, what);
}

static bool fail_damaged(const parquet_column *c, vkft_err *err, const char *what)
{
    return parquet_column_fail(c, err, "%s; the file is damaged or cut off: get it again", what);
}

static void read_data_header(thrift *t, page_header *h)
{
    for (thrift_field f = {0}; thrift_next(t, &f);) {
        switch (f.id) {
        case 1: thrift_i32(t, &f, &h->values); break;
        case 2: thrift_i32(t, &f, &h->encoding); break;
        case 3: thrift_i32(t, &f, &h->def_encoding); break;
        case 4: thrift_i32(t, &f, &h->rep_encoding); break;
        default: thrift_skip(t, &f);
        }
    }
}

static void read_data_header_v2(thrift *t, page_header *h)
{
    for (thrift_field f = {0}; thrift_next(t, &f);) {
        switch (f.id) {
        case 1: thrift_i32(t, &f, &h->values); break;
        case 4: thrift_i32(t, &f, &h->encoding); break;
        case 5: thrift_i32(t, &f, &h->def_bytes); break;
        case 6: thrift_i32(t, &f, &h->rep_bytes); break;
        case 7: thrift_bool(t, &f, &h->is_packed); break;
        default: thrift_skip(t, &f);
        }
    }
}

static void read_header(thrift *t, page_header *h)
{
    *h = (page_header){.type = -1, .unpacked = -1, .packed = -1, .values = -1, .encoding = -1, .is_packed = true};
    for (thrift_field f = {0}; thrift_next(t, &f);) {
        if (f.id == 1) {
            thrift_i32(t, &f, &h->type);
        } else if (f.id == 2) {
            thrift_i32(t, &f, &h->unpacked);
        } else if (f.id == 3) {
            thrift_i32(t, &f, &h->packed);
        } else if (f.id == 4) {
            thrift_i32(t, &f, &h->crc);
            h->has_crc = true;
        } else if (f.id == 5 && h->type == PAGE_DATA && thrift_struct(t, &f)) {
            read_data_header(t, h);
        } else if (f.id == 7 && h->type == PAGE_DICTIONARY && thrift_struct(t, &f)) {
            read_data_header(t, h); /* its first two fields are the same */
        } else if (f.id == 8 && h->type == PAGE_DATA_V2 && thrift_struct(t, &f)) {
            read_data_header_v2(t, h);
        } else {
            thrift_skip(t, &f);
        }
    }
    t->failed = t->failed || h->unpacked < 0 || h->packed < 0 || h->def_bytes < 0 || h->rep_bytes < 0 ||
                (h->type != PAGE_INDEX && h->values < 0);
}

/* Where the codec's data is; *memory NULL: in the file. */
static bool unpack(const parquet_column *c, const uint8_t *data, uint64_t size, uint64_t expected, bool is_packed,
                   uint8_t **memory, const uint8_t **unpacked, vkft_err *err)
{
    static const vkft_compression codecs[] = {VKFT_COMPRESSION_NONE, VKFT_COMPRESSION_SNAPPY, VKFT_COMPRESSION_GZIP,
                                              VKFT_COMPRESSION_NONE, VKFT_COMPRESSION_NONE,   VKFT_COMPRESSION_LZ4,
                                              VKFT_COMPRESSION_ZSTD, VKFT_COMPRESSION_LZ4_RAW};
    vkft_compression codec = is_packed ? codecs[c->chunk->codec] : VKFT_COMPRESSION_NONE;
    vkft_err why = {0};
    *memory = NULL;
    *unpacked = data;
    if (codec == VKFT_COMPRESSION_NONE)
        return size == expected || fail_damaged(c, err, "a page is not as long as it says");
    if (expected == 0)
        return true;
    if (!vkft_unpack_block(codec, data, size, expected, memory, &why))
        return why.kind == VKFT_ERR_INPUT ? parquet_column_fail(c, err, "%s", why.message)
                                          : vkft_fail_memory(err, "while reading %s", c->file->path);
    *unpacked = *memory;
    return true;
}

static uint32_t bits_for(uint32_t max)
{
    uint32_t bits = 0;
    for (; max >> bits; bits++) {
    }
    return bits;
}

/* Levels of the first version stand before the values, after their length. */
static bool take_levels(const parquet_column *c, parquet_runs *runs, uint32_t max, int32_t encoding, const uint8_t **at,
                        const uint8_t *end, vkft_err *err)
{
    *runs = (parquet_runs){.width = bits_for(max)};
    if (max == 0)
        return true;
    if (encoding != ENCODING_RLE)
        return parquet_column_fail(c, err,
                                   "its levels are in encoding %d (BIT_PACKED is 4), which is not supported; write the "
                                   "file again with a newer program",
                                   encoding);
    uint64_t there = (uint64_t)(end - *at);
    const uint8_t *p = *at;
    uint64_t size = there < 4 ? 0 : p[0] | p[1] << 8 | p[2] << 16 | (uint64_t)p[3] << 24;
    if (there < 4 || size > there - 4)
        return fail_damaged(c, err, "the levels of a page are longer than it");
    runs->at = p + 4;
    runs->end = *at = p + 4 + size;
    return true;
}

static bool open_page(parquet_column *c, const page_header *h, const uint8_t *body, vkft_err *err)
{
    const uint8_t *at;
    uint64_t size = (uint64_t)h->unpacked;
    if ((uint64_t)h->values > c->left)
        return fail_damaged(c, err, "its pages have more values than it says");
    if (h->type == PAGE_DATA) {
        if (!unpack(c, body, (uint64_t)h->packed, size, true, &c->memory, &at, err))
            return false;
        const uint8_t *end = at + size;
        if (!take_levels(c, &c->rep, c->field->max_rep, h->rep_encoding, &at, end, err) ||
            !take_levels(c, &c->def, c->field->max_def, h->def_encoding, &at, end, err))
            return false;
        size = (uint64_t)(end - at);
    } else {
        uint64_t rep = (uint64_t)h->rep_bytes, def = (uint64_t)h->def_bytes, levels = rep + def;
        if (levels > size || levels > (uint64_t)h->packed)
            return fail_damaged(c, err, "the levels of a page are longer than it");
        c->rep = (parquet_runs){.width = bits_for(c->field->max_rep), .at = body, .end = body + rep};
        c->def = (parquet_runs){.width = bits_for(c->field->max_def), .at = body + rep, .end = body + levels};
        size -= levels;
        if (!unpack(c, body + levels, (uint64_t)h->packed - levels, size, h->is_packed, &c->memory, &at, err))
            return false;
    }
    c->page_left = (uint64_t)h->values;
    c->left -= c->page_left;
    c->encoding = h->encoding;
    return parquet_values_open(c, at, size, err);
}

static bool open_dictionary(parquet_column *c, const page_header *h, const uint8_t *body, vkft_err *err)
{
    uint8_t *memory;
    const uint8_t *data;
    uint64_t size = (uint64_t)h->unpacked;
    if (c->dictionary.present)
        return fail_damaged(c, err, "it has two dictionaries");
    return unpack(c, body, (uint64_t)h->packed, size, true, &memory, &data, err) &&
           parquet_dictionary_open(c, memory, data, size, (uint64_t)h->values, err);
}

static void close_page(parquet_column *c)
{
    free(c->memory);
    c->memory = NULL;
    c->page_left = 0;
}

static bool next_page(parquet_column *c, vkft_err *err)
{
    const vkft_parquet *file = c->file;
    page_header h;
    thrift t = {.data = file->data + c->at, .size = file->size - c->at};
    close_page(c);
    read_header(&t, &h);
    if (t.failed)
        return fail_damaged(c, err, "the header of a page cannot be read");
    c->at += t.at;
    const uint8_t *body = file->data + c->at;
    if ((uint64_t)h.packed > file->size - c->at)
        return fail_damaged(c, err, "a page is longer than the file");
    c->at += (uint64_t)h.packed;
    if (h.has_crc && !vkft_crc32_is(body, (uint64_t)h.packed, (uint32_t)h.crc))
        return fail_damaged(c, err, "the checksum of a page is wrong");
    switch (h.type) {
    case PAGE_DATA:
    case PAGE_DATA_V2: return open_page(c, &h, body, err);
    case PAGE_DICTIONARY: return open_dictionary(c, &h, body, err);
    default: return true; /* an index */
    }
}

static bool check_readable(const parquet_column *c, vkft_err *err)
{
    static const char *const names[] = {"no codec", "snappy", "gzip", "LZO", "brotli", "LZ4", "zstd", "LZ4_RAW"};
    const int32_t codec = c->chunk->codec;
    if (c->chunk->encrypted)
        return parquet_column_fail(c, err,
                                   "it is encrypted, which is not supported; write the file without encryption");
    if (c->chunk->elsewhere)
        return parquet_column_fail(c, err, "its data is in another file, which is not supported; write it as one file");
    if (c->field->kind == PARQUET_UNREADABLE)
        return parquet_column_fail(c, err, "it holds %s, which are not supported; leave this column out of the file",
                                   c->field->unreadable);
    if (codec < 0 || codec >= (int32_t)(sizeof names / sizeof *names) || codec == 3 || codec == 4)
        return parquet_column_fail(c, err,
                                   "it is compressed with %s (codec %d), which is not supported; write the file with "
                                   "snappy, gzip, zstd or lz4",
                                   codec == 3 || codec == 4 ? names[codec] : "something unknown", codec);
    return true;
}

bool parquet_column_start(parquet_column *c, const parquet_chunk *chunk, vkft_err *err)
{
    parquet_column_stop(c);
    c->chunk = chunk;
    if (!check_readable(c, err))
        return false;
    c->at = chunk->begin;
    c->left = chunk->values;
    if (c->left && c->at >= c->file->size)
        return fail_damaged(c, err, "it begins after the end of the file");
    return parquet_column_advance(c, err);
}

bool parquet_column_advance(parquet_column *c, vkft_err *err)
{
    while (c->page_left == 0) {
        c->has_entry = c->left > 0;
        if (!c->has_entry)
            return true;
        if (!next_page(c, err))
            return false;
    }
    c->page_left--;
    c->rep_level = 0;
    c->def_level = 0;
    if ((c->field->max_rep && !parquet_runs_next(&c->rep, &c->rep_level)) ||
        (c->field->max_def && !parquet_runs_next(&c->def, &c->def_level)))
        return fail_damaged(c, err, "a page has too few levels");
    if (c->rep_level > c->field->max_rep || c->def_level > c->field->max_def)
        return fail_damaged(c, err, "a level is larger than the schema allows");
    c->has_entry = true;
    return true;
}

void parquet_column_stop(parquet_column *c)
{
    close_page(c);
    parquet_dictionary_close(&c->dictionary);
    vkft_text_free(&c->scratch);
    c->has_entry = false;
    c->left = 0;
}
