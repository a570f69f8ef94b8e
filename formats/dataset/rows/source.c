/* What a data file is by its first bytes, and its text. See source.h. */
#include "formats/dataset/rows/source.h"

#include <inttypes.h>
#include <string.h>

#include "runtime/base/utf8.h"

/* Files that are no text, by their first bytes. */
static const struct {
    const char *magic;
    size_t length;
    const char *name, *remedy;
} kinds[] = {
    {"\x1f\x8b", 2, "compressed with gzip", "unpack it with gunzip"},
    {"PK\x03\x04", 4, "a ZIP archive or a spreadsheet", "unpack it, or save the table as CSV"},
    {"PK\x05\x06", 4, "an empty ZIP archive", "give a data file"},
    {"\x28\xb5\x2f\xfd", 4, "compressed with zstd", "unpack it with unzstd"},
    {"\xfd"
     "7zXZ",
     5, "compressed with xz", "unpack it with unxz"},
    {"BZh", 3, "compressed with bzip2", "unpack it with bunzip2"},
    {"\x04\x22\x4d\x18", 4, "compressed with lz4", "unpack it with unlz4"},
    {"7z\xbc\xaf\x27\x1c", 6, "a 7z archive", "unpack it"},
    {"PAR1", 4, "a Parquet file",
     "write it as JSON lines, with pandas: read_parquet(FILE).to_json('train.jsonl', orient='records', lines=True)"},
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
    vkft_text *out = &source->converted;
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

bool vkft_data_source_open(const char *path, vkft_data_source *source, vkft_err *err)
{
    *source = (vkft_data_source){.text = ""};
    if (!vkft_mapping_open(path, &source->file, err))
        return false;
    if (source->file.data)
        source->text = (const char *)source->file.data;
    source->length = source->file.size;
    bool ok = check_kind(path, source->text, source->length, err), marked = source->length >= 2;
    if (ok && marked && memcmp(source->text, "\xff\xfe", 2) == 0)
        ok = convert_utf16(path, source, false, err);
    else if (ok && marked && memcmp(source->text, "\xfe\xff", 2) == 0)
        ok = convert_utf16(path, source, true, err);
    if (!ok)
        vkft_data_source_close(source);
    return ok;
}

void vkft_data_source_close(vkft_data_source *source)
{
    vkft_mapping_close(&source->file);
    vkft_text_free(&source->converted);
    *source = (vkft_data_source){0};
}

void vkft_data_source_drop(const vkft_data_source *source, uint64_t offset, uint64_t size)
{
    if (!source->converted.data)
        vkft_mapping_drop(&source->file, offset, size);
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
