/* A disk in memory: the calls that record.c wrote down are done again on it, one by one, and after each it says what
 * a power cut would leave of it. */
#ifndef VKFT_DISK_H
#define VKFT_DISK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

typedef enum vkft_loss {
    VKFT_LOSS_NOTHING, /* a killed process: what was done is there */
    VKFT_LOSS_NAMES,   /* only what was synced is there: the data of files, the names in directories */
    VKFT_LOSS_DATA,    /* names and sizes are as if nothing was lost; data that was not synced is missing ... */
    VKFT_LOSS_ZEROS,   /* ... or zero */
    VKFT_LOSSES
} vkft_loss;

typedef struct vkft_disk vkft_disk;

/* The disk with everything below the directory on it, synced. */
vkft_disk *vkft_disk_load(const char *dir);
void vkft_disk_free(vkft_disk *disk);

/* Does the next call of a record again; its description, for messages, good until the next. NULL: there is no more. */
const char *vkft_disk_step(vkft_disk *disk, FILE *record);

/* Nodes are files and directories, numbered as they came: the same in two disks that did the same. */
uint32_t vkft_disk_nodes(const vkft_disk *disk);
/* Of what is in a file now. */
uint64_t vkft_disk_hash(const vkft_disk *disk, uint32_t node);

/* A file or a directory of what is left. */
typedef struct vkft_disk_entry {
    char path[256];
    uint32_t node;
    bool is_directory;
    const uint8_t *data; /* and after it zeros */
    size_t size, zeros;
    uint64_t hash; /* of what is in the file */
} vkft_disk_entry;

typedef struct vkft_disk_view {
    vkft_disk_entry *entries; /* by path */
    size_t count;
} vkft_disk_view;

/* What is left if the power is cut now. */
vkft_disk_view vkft_disk_left(vkft_disk *disk, vkft_loss loss);
void vkft_disk_view_free(vkft_disk_view *view);
const vkft_disk_entry *vkft_disk_find(const vkft_disk_view *view, const char *path);
/* Into a directory that exists and is empty. */
void vkft_disk_write(const vkft_disk_view *view, const char *dir);

#endif
