/* The Vulkan drivers that are installed: manifests, JSON files that name a library. Linux and other systems with
 * directories of them; on Windows the registry has them, and they are not listed. Test: test_system */
#ifndef VKFT_DOCTOR_DRIVERS_H
#define VKFT_DOCTOR_DRIVERS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define VKFT_MAX_MANIFESTS 32u

typedef struct vkft_driver_manifest {
    char path[512];
    char library[256]; /* "": the file is no manifest */
    char api[16];      /* "1.3.230" */
} vkft_driver_manifest;

/* As the loader looks for them: those that VK_DRIVER_FILES or VK_ICD_FILENAMES names, else all in its directories.
 * *named: the variable that names them, or NULL. Returns how many. */
uint32_t vkft_driver_manifests(const char *root, vkft_driver_manifest manifests[VKFT_MAX_MANIFESTS],
                               const char **named);

/* The text of a manifest; false: it is none. */
bool vkft_driver_manifest_parse(const char *text, size_t length, vkft_driver_manifest *manifest);

#endif
