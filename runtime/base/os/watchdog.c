/* See watchdog.h. */
#include "runtime/base/os/watchdog.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/base/os/os.h"

#define AMD 0x1002u
#define INTEL 0x8086u

static uint32_t shorter(uint32_t a, uint32_t b)
{
    return a && (!b || a < b) ? a : b;
}

static uint32_t number_at(const char *text)
{
    long long value = strtoll(text, NULL, 10);
    return value > 0 && value < UINT32_MAX ? (uint32_t)value : 0;
}

uint32_t vkft_watchdog_amdgpu(const char *text)
{
    const char *comma = strchr(text, ',');
    return shorter(number_at(text), comma ? number_at(comma + 1) : 0); /* vkft's queue is one of the first two */
}

#ifdef _WIN32
#include <windows.h>

static uint32_t registry(const char *name, uint32_t otherwise)
{
    DWORD value = 0, size = sizeof value;
    LSTATUS status = RegGetValueA(HKEY_LOCAL_MACHINE, "SYSTEM\\CurrentControlSet\\Control\\GraphicsDrivers", name,
                                  RRF_RT_REG_DWORD, NULL, &value, &size);
    return status == ERROR_SUCCESS ? (uint32_t)value : otherwise;
}

uint32_t vkft_watchdog_ms(uint32_t vendor_id, const char *root)
{
    (void)vendor_id, (void)root;
    uint32_t seconds = registry("TdrLevel", 3) ? registry("TdrDelay", 2) : 0; /* level 0: off */
    return seconds < UINT32_MAX / 1000 ? 1000 * seconds : 0;
}
#else

/* The first line of a small file of the system; "": there is none. */
static const char *read_line(const char *path, char *text, int size)
{
    FILE *file = fopen(path, "r");
    if (!file || !fgets(text, size, file))
        text[0] = 0;
    if (file)
        fclose(file);
    return text;
}

typedef struct cards {
    const char *directory;
    uint32_t shortest;
} cards;

static bool read_card(void *context, const char *name)
{
    /* i915 asks an engine for a sign of life at this interval; xe gives a job this time. */
    static const char *const settings[] = {
        "engine/rcs0/heartbeat_interval_ms",
        "engine/ccs0/heartbeat_interval_ms",
        "device/tile0/gt0/engines/rcs/job_timeout_ms",
        "device/tile0/gt0/engines/ccs/job_timeout_ms",
    };
    cards *c = context;
    for (size_t i = 0; strncmp(name, "card", 4) == 0 && i < sizeof settings / sizeof *settings; i++) {
        char path[600], text[100];
        snprintf(path, sizeof path, "%s/%s/%s", c->directory, name, settings[i]);
        c->shortest = shorter(c->shortest, number_at(read_line(path, text, sizeof text)));
    }
    return true;
}

uint32_t vkft_watchdog_ms(uint32_t vendor_id, const char *root)
{
    char path[300], text[100];
    root = root ? root : "";
    if (vendor_id == AMD) {
        snprintf(path, sizeof path, "%s/sys/module/amdgpu/parameters/lockup_timeout", root);
        return vkft_watchdog_amdgpu(read_line(path, text, sizeof text));
    }
    if (vendor_id != INTEL)
        return 0;
    snprintf(path, sizeof path, "%s/sys/class/drm", root);
    cards c = {.directory = path};
    bool complete;
    vkft_os_list(path, read_card, &c, &complete);
    return c.shortest;
}
#endif
