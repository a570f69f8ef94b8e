/* What the files of a Linux system say about its graphics devices; on other systems almost nothing is known. Reading is
 * here, judging in judge.h; the parsers are pure. Test: test_system */
#ifndef VKFT_DOCTOR_FACTS_H
#define VKFT_DOCTOR_FACTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define VKFT_MAX_NODES 16u
#define VKFT_MAX_CARDS 16u
#define VKFT_UNKNOWN (-2) /* a number that the system does not tell */

/* A device file of /dev/dri. */
typedef struct vkft_system_node {
    char path[64];
    bool usable;      /* by this user */
    char group[32];   /* that it belongs to; "": no name */
    bool in_group;    /* this process is */
    bool after_login; /* this user will be, after the next login */
} vkft_system_node;

/* A card of /sys/class/drm. */
typedef struct vkft_system_card {
    char name[16];   /* "card0" */
    char driver[32]; /* of the kernel: "amdgpu" */
    char pci[16];    /* "1002:744C" */
    int64_t vram_bytes, gtt_bytes;
    int64_t heartbeat_ms; /* i915, of the engine that computes */
    int64_t job_ms;       /* xe */
    char engine[128];     /* where the limit is written: "/sys/class/drm/card0/engine/rcs0" */
} vkft_system_card;

typedef struct vkft_system_facts {
    char distribution[96];
    int64_t memory_bytes;
    bool has_dri;
    uint32_t node_count, card_count;
    vkft_system_node nodes[VKFT_MAX_NODES];
    vkft_system_card cards[VKFT_MAX_CARDS];
    int64_t lockup_ms;   /* amdgpu.lockup_timeout of the queues that compute; 0: the driver's default */
    int64_t gttsize_mib; /* amdgpu.gttsize; -1: the driver's default */
    int64_t ttm_pages;   /* ttm.pages_limit, pages of 4 KiB */
    int64_t tdr_delay_s; /* Windows; 0: the default of 2 s */
} vkft_system_facts;

/* root: "" for this system, or a directory with a recorded one. */
void vkft_system_read(const char *root, vkft_system_facts *facts);

/* The value of a line `key` `separator` value in a text of such lines, without quotes; "": there is none. */
void vkft_system_value(const char *text, const char *key, char separator, char *value, size_t size);
/* A whole number, in decimal; VKFT_UNKNOWN: none. */
int64_t vkft_system_number(const char *text);

#endif
