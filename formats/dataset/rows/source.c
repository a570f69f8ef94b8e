/* What a data file is by its first bytes, and its text. See source.h. */
#include "formats/dataset/rows/source.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/base/utf8.h"

/* Files that are no text, by their first bytes. */
static const struct {
    const char *magic;
    size_t length;
    const char *name, *remedy;
} kinds[] = {
    {"PK\x03\x04", 4, "a ZIP archive or a spreadsheet", "unpack it, or save the table as CSV"},
    {"PK\x05\x06", 4, "an empty ZIP archive", "give a data file"},
    {"\xfd"
     "7zXZ",
     5, "compressed with xz", "unpack it with unxz"},
    {"BZh", 3, "compressed with bzip2", "unpack it with bunzip2"},
    {"\x04\x22\x4d\x18", 4, "compressed with lz4", "unpack it with unlz4"},
    {"7z\xbc\xaf\x27\x1c", 6, "a 7z archive", "unpack it"},
    {"ARROW1", 6, "an Arrow file",
     "write it as JSON lines, with datasets: Dataset.from_file(FILE).to_json('train.jsonl')"},
    {"\xff\xff\xff\xff", 4, "an Arrow stream",
     "write it as JSON lines, with datasets: Dataset.from_file(FILE).to_json('train.jsonl')"},
    {"FEA1", 4, "a Feather file",
     "write it as JSON lines, with pandas: read_feather(FILE).to_json('train.jsonl', orient='records', lines=True)"},
    {"SQLite format 3", 15, "an SQLite database", "export the table as CSV"},
    {"\x89HDF", 4, "an HDF5 file", "write it as JSON lines"},
    {"\x93NUMPY", 6, "a NumPy array", "write it as JSON lines"},
    {"%PDF-", 5, "a PDF document", "give its text as a .txt file"},
    {"\xff\xfe\x00\x00", 4, "text in UTF-32", "save it as UTF-8"},
    {"\x00\x00\xfe\xff", 4, "text in UTF-32", "save it as UTF-8"},
};

static bool begins_with(const vkft_mapping *file, const char *magic)
{
    size_t length = strlen(magic);
    return file->size >= length && memcmp(file->data, magic, length) == 0;
}

static bool check_kind(const char *path, const char *text, uint64_t length, vkft_err *err)
{
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
        if (length >= kinds[i].length && memcmp(text, kinds[i].magic, kinds[i].length) == 0)
            return vkft_fail(err, VKFT_ERR_INPUT, "%s: this is %s, not text; %s", path, kinds[i].name, kinds[i].remedy);
    return true;
}

static uint32_t unit_at(const uint8_t *data, uint64_t at, bool big)
{
    return big ? data[at] * 256u + data[at + 1] : data[at + 1] * 256u + data[at];
}

/* The text of a file in UTF-16 with its byte order mark. */
static bool convert_utf16(const char *path, vkft_data_source *source, bool big, vkft_err *err)
{
    const uint8_t *data = source->file.data;
    uint64_t size = source->file.size;
    vkft_text *out = &source->memory;
    char block[4096]; /* appended as a whole */
    size_t n = 0;
    for (uint64_t i = 2; i < size; i += 2) {
        uint32_t point = i + 1 < size ? unit_at(data, i, big) : 0xd800, low;
        if (point >= 0xd800 && point < 0xdc00 && i + 3 < size && (low = unit_at(data, i + 2, big)) >= 0xdc00 &&
            low < 0xe000) {
            point = 0x10000 + ((point - 0xd800) << 10) + (low - 0xdc00);
            i += 2;
        }
        if (point >= 0xd800 && point < 0xe000)
            return vkft_fail(err, VKFT_ERR_INPUT,
                             "%s: offset %" PRIu64
                             ": half a character; the file begins as UTF-16 and is damaged or cut "
                             "off",
                             path, i);
        n += vkft_utf8_encode(point, block + n);
        if (n + 4 > sizeof block || i + 2 >= size) {
            if (!vkft_text_append(out, block, n, err))
                return false;
            n = 0;
        }
    }
    source->text = out->data ? out->data : "";
    source->length = out->length;
    return true;
}

/* A file that is unpacked part by part, none of which is at hand yet. */
static bool open_parts(vkft_data_source *source, vkft_compression codec, vkft_err *err)
{
    const vkft_mapping *file = &source->file;
    source->text = "";
    source->length = 0;
    source->more = true;
    if (codec == VKFT_COMPRESSION_NONE)
        return (source->table = vkft_parquet_open(source->path, file->data, file->size, err)) != NULL;
    source->unpacker = vkft_unpacker_open(codec, file->data, file->size, err);
    return source->unpacker || vkft_fail_context(err, "%s", source->path);
}

static bool open_text(vkft_data_source *source, vkft_err *err)
{
    if (begins_with(&source->file, "\x1f\x8b"))
        return open_parts(source, VKFT_COMPRESSION_GZIP, err);
    if (begins_with(&source->file, "\x28\xb5\x2f\xfd"))
        return open_parts(source, VKFT_COMPRESSION_ZSTD, err);
    if (begins_with(&source->file, "PAR1") || begins_with(&source->file, "PARE"))
        return open_parts(source, VKFT_COMPRESSION_NONE, err);
    if (!check_kind(source->path, source->text, source->length, err))
        return false;
    if (begins_with(&source->file, "\xff\xfe"))
        return convert_utf16(source->path, source, false, err);
    return !begins_with(&source->file, "\xfe\xff") || convert_utf16(source->path, source, true, err);
}

bool vkft_data_source_open(const char *path, vkft_data_source *source, vkft_err *err)
{
    *source = (vkft_data_source){.path = path, .text = ""};
    if (!vkft_mapping_open(path, &source->file, err))
        return false;
    if (source->file.data)
        source->text = (const char *)source->file.data;
    source->length = source->file.size;
    bool ok = open_text(source, err);
    if (!ok)
        vkft_data_source_close(source);
    return ok;
}

/* Adds up to `step` bytes of unpacked text. */
static bool add_unpacked(vkft_data_source *source, size_t step, vkft_err *err)
{
    static const size_t at_once = 1u << 20;
    char *block = malloc(at_once);
    size_t count = at_once;
    bool ok = block || vkft_fail_memory(err, "while reading %s", source->path);
    for (size_t done = 0; ok && done < step && count == at_once; done += count)
        ok = (vkft_unpacker_read(source->unpacker, (uint8_t *)block, at_once, &count, err) ||
              vkft_fail_context(err, "%s", source->path)) &&
             vkft_text_append(&source->memory, block, count, err);
    source->more = count == at_once;
    free(block);
    return ok;
}

/* Adds rows of about `step` bytes. */
static bool add_rows(vkft_data_source *source, size_t step, vkft_err *err)
{
    size_t end = source->memory.length + step;
    while (source->more && source->memory.length < end)
        if (!vkft_parquet_next(source->table, &source->memory, &source->more, err) ||
            (source->more && !vkft_text_append(&source->memory, "\n", 1, err)))
            return false;
    return true;
}

bool vkft_data_source_more(vkft_data_source *source, uint64_t done, vkft_err *err)
{
    static const size_t part = 8u << 20, limit = 1u << 30;
    vkft_text *memory = &source->memory;
    size_t kept = memory->length - (size_t)done;
    bool first = source->before + memory->length == 0;
    if (kept >= limit)
        return vkft_fail(err, VKFT_ERR_INPUT,
                         "%s: more than a GiB of unpacked text from offset %" PRIu64
                         " on without the end of a row; expected rows: unpack the file to see what it is",
                         source->path, source->before + done);
    if (kept)
        memmove(memory->data, memory->data + done, kept);
    memory->length = kept;
    source->before += done;
    size_t step = kept > part ? kept : part;
    if (!(source->table ? add_rows(source, step, err) : add_unpacked(source, step, err)))
        return false;
    source->text = memory->data ? memory->data : "";
    source->length = memory->length;
    if (first && !source->table && source->length >= 2 &&
        (memcmp(source->text, "\xff\xfe", 2) == 0 || memcmp(source->text, "\xfe\xff", 2) == 0))
        return vkft_fail(err, VKFT_ERR_INPUT, "%s: compressed text in UTF-16; unpack it, or save it as UTF-8",
                         source->path);
    return !first || source->table || check_kind(source->path, source->text, source->length, err);
}

bool vkft_data_source_whole(vkft_data_source *source, vkft_err *err)
{
    while (source->more)
        if (!vkft_data_source_more(source, 0, err))
            return false;
    return true;
}

void vkft_data_source_close(vkft_data_source *source)
{
    vkft_unpacker_close(source->unpacker);
    vkft_parquet_close(source->table);
    vkft_mapping_close(&source->file);
    vkft_text_free(&source->memory);
    *source = (vkft_data_source){0};
}

void vkft_data_source_drop(const vkft_data_source *source, uint64_t from, uint64_t to)
{
    if (source->unpacker)
        vkft_mapping_drop(&source->file, 0, vkft_unpacker_position(source->unpacker));
    else if (!source->memory.data)
        vkft_mapping_drop(&source->file, from, to - from);
}

uint64_t vkft_data_source_position(const vkft_data_source *source, uint64_t at)
{
    return source->unpacker ? vkft_unpacker_position(source->unpacker)
           : source->table  ? vkft_parquet_position(source->table)
                            : at;
}

uint64_t vkft_data_source_size(const vkft_data_source *source)
{
    return source->unpacker || source->table ? source->file.size : source->length;
}

size_t vkft_text_first_bad(const char *text, size_t length)
{
    const char *zero = memchr(text, 0, length);
    size_t end = zero ? (size_t)(zero - text) : length;
    for (size_t i = 0, n; i < end; i += n) {
        uint64_t eight;
        n = 8;
        if (end - i >= 8 && (memcpy(&eight, text + i, 8), (eight & 0x8080808080808080u) == 0))
            continue; /* ASCII */
        n = vkft_utf8_length(text + i, end - i);
        if (n == 0)
            return i;
    }
    return end;
}
