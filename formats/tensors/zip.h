/* ZIP archives whose members are stored, not compressed: what torch.save writes. Internal to formats. */
#ifndef VKFT_ZIP_H
#define VKFT_ZIP_H

#include <stdbool.h>
#include <stdint.h>

#include "runtime/base/error.h"

typedef struct vkft_zip_entry {
    const char *name; /* in the archive; not zero-terminated */
    uint32_t name_length;
    uint64_t offset, size; /* of the data */
} vkft_zip_entry;

typedef struct vkft_zip {
    vkft_zip_entry *entries; /* sorted by name */
    uint32_t count;
} vkft_zip;

/* Reads the directory of an archive in memory, with zip64's sizes. Entries borrow from data. Error: no archive,
 * something that lies outside the file, a local header that says otherwise than the directory, a compressed or
 * encrypted member, a name that comes twice. */
bool vkft_zip_open(const uint8_t *data, uint64_t size, const char *file, vkft_zip *zip, vkft_err *err);
void vkft_zip_close(vkft_zip *zip);                                                        /* zeroes it */
const vkft_zip_entry *vkft_zip_find(const vkft_zip *zip, const char *name, size_t length); /* NULL when absent */

#endif
