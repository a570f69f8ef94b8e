/* The flags of a run as text, as the command line's table lists them. Those that decide what a run computes are kept
 * with its checkpoints, so that a resumed run can be compared with the one that it continues, flag by flag. */
#ifndef VKFT_SETTINGS_H
#define VKFT_SETTINGS_H

#include <stdbool.h>
#include <stdint.h>

typedef struct vkft_setting {
    const char *name; /* "lora-alpha", without dashes; borrowed */
    char *value;      /* as help prints it: "32", "on", "none" */
    bool same_run;    /* a resumed run must have the same value */
} vkft_setting;

typedef struct vkft_settings {
    vkft_setting *list;
    uint32_t count;
} vkft_settings;

#endif
