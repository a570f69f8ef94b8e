/* Writes TensorBoard's event files.
 *
 * A file is a sequence of records, numbers little-endian:
 *
 *   u64 length, u32 masked CRC-32C of those 8 bytes, data [length], u32 masked CRC-32C of data
 *   masked(c) = (c rotated right by 15 bits) + 0xa282ead8
 *
 * and the data is a protocol buffer, tensorflow.Event: wall_time = 1 (double), step = 2 (int64), and one of
 * file_version = 3 or summary = 5. The fields of the messages inside stand beside the code that writes
 * them. The messages need a dozen fields and no reader, so they are encoded here; a library for protocol buffers was
 * not worth it.
 *
 * A record is written by one call. A file that ends inside a record, as after a kill, is read up to there.
 *
 * Source: tensorflow/core/lib/io/record_writer.h; event.proto, summary.proto and tensor.proto of tensorboard/compat.
 */
#ifndef VKFT_EVENT_FILE_H
#define VKFT_EVENT_FILE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "runtime/base/error.h"

/* The part of a file's name by which TensorBoard knows it; it reads a directory's files in the order of their names. */
#define VKFT_EVENT_FILE_PREFIX "events.out.tfevents."

typedef struct vkft_event_file vkft_event_file;

/* Where an event stands: seconds since 1970, and the training step. */
typedef struct vkft_event_time {
    double wall_time;
    uint64_t step;
} vkft_event_time;

typedef struct vkft_event_scalar {
    const char *tag; /* "train/loss" */
    float value;
} vkft_event_scalar;

/* A new file with its version, the record that every file begins with. No start of a session follows (session_log): at
 * one, readers drop what other files of the directory hold. Error: the file exists or cannot be written. */
vkft_event_file *vkft_event_file_create(const char *path, double wall_time, vkft_err *err);
/* One record with all of them. */
bool vkft_event_file_scalars(vkft_event_file *file, vkft_event_time time, const vkft_event_scalar *scalars,
                             size_t count, vkft_err *err);
/* One record with a text, which TensorBoard shows as Markdown. */
bool vkft_event_file_text(vkft_event_file *file, vkft_event_time time, const char *tag, const char *text,
                          vkft_err *err);
void vkft_event_file_close(vkft_event_file *file); /* NULL is fine */

/* CRC-32C (Castagnoli): reflected polynomial 0x82f63b78, start and final complement. Source: RFC 3720, appendix B.4. */
uint32_t vkft_crc32c(const void *data, size_t size);

#endif
