/* The form in which record.c writes down what the program does to files, and disk.c reads it. */
#ifndef VKFT_RECORD_H
#define VKFT_RECORD_H

#include <stdint.h>

/* One call, followed by `size` bytes: a path, the data of a write, or two paths with a zero byte between them. */
typedef struct vkft_record {
    char call;
    int32_t fd;
    uint64_t at; /* where a write begins; the size of a file after it was truncated */
    uint64_t size;
} vkft_record;

#define VKFT_RECORD_OPEN 'o' /* creates the file where there is none */
#define VKFT_RECORD_WRITE 'w'
#define VKFT_RECORD_TRUNCATE 't'
#define VKFT_RECORD_SYNC 's'
#define VKFT_RECORD_RENAME 'r'
#define VKFT_RECORD_UNLINK 'u'
#define VKFT_RECORD_MKDIR 'm'
#define VKFT_RECORD_RMDIR 'd'

#endif
