/* The directory of a ZIP archive. Every number is compared with the file's size before it is used.
 * Source: PKWARE APPNOTE 6.3.10. Test: test_pytorch_file */
#include "formats/tensors/zip.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/base/size.h"

#define END_SIGNATURE 0x06054b50u
#define END64_SIGNATURE 0x06064b50u
#define LOCATOR_SIGNATURE 0x07064b50u
#define ENTRY_SIGNATURE 0x02014b50u
#define LOCAL_SIGNATURE 0x04034b50u

typedef struct source {
    const uint8_t *data;
    uint64_t size;
    const char *file;
    vkft_err *err;
} source;

/* Little-endian number of n bytes; the caller knows that they are there. */
static uint64_t number(const uint8_t *p, int n)
{
    uint64_t value = 0;
    while (n-- > 0)
        value = value << 8 | p[n];
    return value;
}

static bool inside(const source *s, uint64_t offset, uint64_t size)
{
    return offset <= s->size && size <= s->size - offset;
}

static bool damaged(const source *s, const char *what)
{
    vkft_fail(s->err, VKFT_ERR_INPUT, "%s: the archive is damaged: %s; download it again", s->file, what);
    return false;
}

typedef struct directory {
    uint64_t offset, size, count;
} directory;

/* The end record is the last thing in the file, but for a comment. */
static bool find_directory(const source *s, directory *d)
{
    if (s->size < 22)
        return damaged(s, "it is shorter than an empty archive");
    uint64_t end = s->size - 22, lowest = end > 65535 ? end - 65535 : 0;
    while (number(s->data + end, 4) != END_SIGNATURE)
        if (end-- == lowest)
            return damaged(s, "it has no directory");
    *d = (directory){number(s->data + end + 16, 4), number(s->data + end + 12, 4), number(s->data + end + 10, 2)};
    if (end < 20 || number(s->data + end - 20, 4) != LOCATOR_SIGNATURE)
        return true;
    uint64_t at = number(s->data + end - 20 + 8, 8);
    if (!inside(s, at, 56) || number(s->data + at, 4) != END64_SIGNATURE)
        return damaged(s, "its zip64 record is not where it should be");
    *d = (directory){number(s->data + at + 48, 8), number(s->data + at + 40, 8), number(s->data + at + 32, 8)};
    return true;
}

/* The 64-bit values of the extra field stand in for those that do not fit 32 bits, in this order. */
static bool read_extra(const source *s, const uint8_t *extra, uint64_t length, uint64_t *size, uint64_t *stored,
                       uint64_t *local)
{
    for (uint64_t at = 0; at + 4 <= length;) {
        uint64_t id = number(extra + at, 2), n = number(extra + at + 2, 2);
        at += 4;
        if (n > length - at)
            return damaged(s, "an extra field is longer than its place");
        uint64_t *const wanted[] = {size, stored, local};
        for (uint64_t i = 0, used = 0; id == 1 && i < 3; i++) {
            if (*wanted[i] != UINT32_MAX)
                continue;
            if (used + 8 > n)
                return damaged(s, "a zip64 field is too short");
            *wanted[i] = number(extra + at + used, 8);
            used += 8;
        }
        at += n;
    }
    return true;
}

static bool check_local(const source *s, uint64_t local, const char *name, uint64_t name_length, uint64_t size,
                        uint64_t *offset)
{
    if (!inside(s, local, 30) || number(s->data + local, 4) != LOCAL_SIGNATURE)
        return damaged(s, "a member is not where the directory says");
    uint64_t length = number(s->data + local + 26, 2), extra = number(s->data + local + 28, 2);
    *offset = local + 30 + length + extra;
    if (!inside(s, *offset, size))
        return damaged(s, "a member reaches beyond the end of the file");
    if (length != name_length || memcmp(s->data + local + 30, name, length) != 0 || number(s->data + local + 8, 2) != 0)
        return damaged(s, "a member's own header says otherwise than the directory");
    return true;
}

/* The entry at *at, which moves past it; `end` bounds the directory. */
static bool read_entry(const source *s, uint64_t *at, uint64_t end, vkft_zip_entry *entry)
{
    if (end - *at < 46 || number(s->data + *at, 4) != ENTRY_SIGNATURE)
        return damaged(s, "its directory is cut off");
    const uint8_t *p = s->data + *at;
    uint64_t flags = number(p + 8, 2), method = number(p + 10, 2), stored = number(p + 20, 4), size = number(p + 24, 4);
    uint64_t name = number(p + 28, 2), extra = number(p + 30, 2), comment = number(p + 32, 2),
             local = number(p + 42, 4);
    if (end - *at - 46 < name + extra + comment)
        return damaged(s, "its directory is cut off");
    entry->name = (const char *)p + 46;
    entry->name_length = (uint32_t)name;
    if (!read_extra(s, p + 46 + name, extra, &size, &stored, &local))
        return false;
    if (method != 0 || flags & 1)
        return vkft_fail(s->err, VKFT_ERR_INPUT,
                         "%s: member '%.*s' is compressed or encrypted; PyTorch stores its members as they are",
                         s->file, (int)min_u64(name, 100), entry->name);
    if (stored != size)
        return damaged(s, "a stored member has two sizes");
    entry->size = size;
    *at += 46 + name + extra + comment;
    return check_local(s, local, entry->name, name, size, &entry->offset);
}

static int compare(const char *a, size_t a_length, const char *b, size_t b_length)
{
    size_t n = min_u64(a_length, b_length);
    int order = memcmp(a, b, n);
    return order ? order : a_length < b_length ? -1 : a_length > b_length;
}

static int compare_entries(const void *a, const void *b)
{
    const vkft_zip_entry *x = a, *y = b;
    return compare(x->name, x->name_length, y->name, y->name_length);
}

bool vkft_zip_open(const uint8_t *data, uint64_t size, const char *file, vkft_zip *zip, vkft_err *err)
{
    source s = {data, size, file, err};
    directory d = {0};
    *zip = (vkft_zip){0};
    if (!find_directory(&s, &d))
        return false;
    if (!inside(&s, d.offset, d.size) || d.count > d.size / 46)
        return damaged(&s, "its directory reaches beyond the end of the file");
    zip->entries = calloc((size_t)d.count + 1, sizeof *zip->entries);
    bool ok = zip->entries || vkft_fail_memory(err, "while reading '%s'", file);
    for (uint64_t at = d.offset; ok && zip->count < d.count;)
        if ((ok = read_entry(&s, &at, d.offset + d.size, &zip->entries[zip->count])))
            zip->count++;
    if (ok)
        qsort(zip->entries, zip->count, sizeof *zip->entries, compare_entries);
    for (uint32_t i = 1; ok && i < zip->count; i++)
        ok = compare_entries(&zip->entries[i - 1], &zip->entries[i]) != 0 ||
             damaged(&s, "it has two members of one name");
    if (!ok)
        vkft_zip_close(zip);
    return ok;
}

void vkft_zip_close(vkft_zip *zip)
{
    free(zip->entries);
    *zip = (vkft_zip){0};
}

const vkft_zip_entry *vkft_zip_find(const vkft_zip *zip, const char *name, size_t length)
{
    uint32_t low = 0, high = zip->count;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        int order = compare(name, length, zip->entries[middle].name, zip->entries[middle].name_length);
        if (order == 0)
            return &zip->entries[middle];
        if (order < 0)
            high = middle;
        else
            low = middle + 1;
    }
    return NULL;
}
