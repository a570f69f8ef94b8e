/* See telemetry.h. Which card of /sys/class/drm a Vulkan device is: the only one of its vendor; of several, the one at
 * the PCI address that RADV's UUID holds. Others are left out rather than confused. */
#include "host/bench/telemetry/telemetry.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "host/bench/telemetry/nvml.h"
#include "runtime/base/directory.h"
#include "runtime/base/file.h"

#define NVIDIA 0x10de
#define AMD 0x1002
#define PATH_SIZE 400

struct vkft_telemetry {
    vkft_nvml *nvml;
    char card[PATH_SIZE];  /* ".../sys/class/drm/card0" */
    char hwmon[PATH_SIZE]; /* ".../card0/device/hwmon/hwmon3", "" for none */
};

static bool read_text(const char *dir, const char *name, char *text, size_t size)
{
    char path[PATH_SIZE + 64];
    char *data = NULL;
    size_t length = 0;
    snprintf(path, sizeof path, "%s/%s", dir, name);
    if (!vkft_file_exists(path) || !vkft_file_read(path, 1 << 16, &data, &length, NULL))
        return false;
    snprintf(text, size, "%s", data);
    free(data);
    return true;
}

/* The first of the files that there is; fallback: none is. */
static double read_number(const char *dir, const char *const *names, double unit, double fallback)
{
    char text[64];
    for (; dir[0] && *names; names++)
        if (read_text(dir, *names, text, sizeof text))
            return strtod(text, NULL) * unit;
    return fallback;
}

typedef struct search {
    const vkft_device_info *info;
    char drm[PATH_SIZE / 2];
    char found[PATH_SIZE];
    uint32_t count; /* cards of the vendor */
    bool exact;
} search;

/* RADV's UUID: domain, bus, device and function, 32 bits each. */
static bool is_at_address(const vkft_device_info *info, const char *uevent)
{
    uint32_t address[4];
    char expected[64];
    memcpy(address, info->uuid, sizeof address);
    snprintf(expected, sizeof expected, "PCI_SLOT_NAME=%04x:%02x:%02x.%x\n", address[0], address[1], address[2],
             address[3]);
    return strstr(uevent, expected) != NULL;
}

static bool visit_card(void *context, const char *name)
{
    search *s = context;
    char dir[PATH_SIZE], text[2048];
    if (strncmp(name, "card", 4) != 0 || strspn(name + 4, "0123456789") != strlen(name + 4) || strlen(name) > 12)
        return true;
    snprintf(dir, sizeof dir, "%s/%.12s", s->drm, name);
    if (!read_text(dir, "device/vendor", text, sizeof text) || strtoul(text, NULL, 16) != s->info->vendor_id)
        return true;
    s->count++;
    bool exact =
        s->info->vendor_id == AMD && read_text(dir, "device/uevent", text, sizeof text) && is_at_address(s->info, text);
    if (exact || s->count == 1)
        snprintf(s->found, sizeof s->found, "%s", dir);
    s->exact |= exact;
    return !exact;
}

static bool visit_hwmon(void *context, const char *name)
{
    vkft_telemetry *t = context;
    snprintf(t->hwmon, sizeof t->hwmon, "%.300s/device/hwmon/%.60s", t->card, name);
    return false;
}

static bool find_card(vkft_telemetry *t, const vkft_device_info *info, const char *root)
{
    search s = {.info = info};
    char hwmon[PATH_SIZE + 16];
    snprintf(s.drm, sizeof s.drm, "%.150s/sys/class/drm", root);
    if (!vkft_directory_exists(s.drm))
        return false;
    vkft_directory_list(s.drm, visit_card, &s, NULL);
    if (!s.count || (s.count > 1 && !s.exact))
        return false;
    snprintf(t->card, sizeof t->card, "%s", s.found);
    snprintf(hwmon, sizeof hwmon, "%s/device/hwmon", t->card);
    if (vkft_directory_exists(hwmon))
        vkft_directory_list(hwmon, visit_hwmon, t, NULL);
    return true;
}

vkft_telemetry *vkft_telemetry_open(const vkft_device_info *info, const char *root, const char *const *nvml)
{
    vkft_telemetry *t = calloc(1, sizeof *t);
    if (!t)
        return NULL;
    if (info->vendor_id == NVIDIA)
        t->nvml = vkft_nvml_open(info->uuid, nvml);
    if (!info->caps.software && (t->nvml || find_card(t, info, root)))
        return t;
    vkft_telemetry_close(t);
    return NULL;
}

void vkft_telemetry_close(vkft_telemetry *t)
{
    if (!t)
        return;
    vkft_nvml_close(t->nvml);
    free(t);
}

vkft_telemetry_sample vkft_telemetry_read(const vkft_telemetry *t)
{
    static const char *const power[] = {"power1_average", "power1_input", NULL},
                             *const temperature[] = {"temp1_input", NULL}, *const clock[] = {"freq1_input", NULL},
                             *const intel_clock[] = {"gt_act_freq_mhz", "device/tile0/gt0/freq0/act_freq", NULL},
                             *const busy[] = {"device/gpu_busy_percent", NULL};
    vkft_telemetry_sample s = {.busy_percent = -1};
    if (!t)
        return s;
    if (t->nvml)
        return vkft_nvml_read(t->nvml);
    s.power_w = read_number(t->hwmon, power, 1e-6, 0);
    s.temperature_c = read_number(t->hwmon, temperature, 1e-3, 0);
    s.clock_mhz = read_number(t->hwmon, clock, 1e-6, 0);
    if (s.clock_mhz == 0)
        s.clock_mhz = read_number(t->card, intel_clock, 1, 0);
    s.busy_percent = read_number(t->card, busy, 1, -1);
    return s;
}
