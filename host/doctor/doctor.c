/* See doctor.h. */
#include "host/doctor/doctor.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "host/doctor/children.h"
#include "host/doctor/system/drivers.h"
#include "host/doctor/system/judge.h"
#include "runtime/base/file.h"
#include "runtime/base/os/os.h"
#include "runtime/base/text.h"

#define MAX_DEVICES 16u

typedef struct examined {
    char index[16], name[128];
    char wrong[1024]; /* names of kernels, ", " between them */
    char verdict[1600];
    bool ready;
} examined;

typedef struct doctor {
    const vkft_doctor_options *options;
    const vkft_doctor_listener *to;
    examined devices[MAX_DEVICES];
    uint32_t count;
    examined *current; /* whose child is running, or NULL: a listing is */
    char said[200];    /* what a driver said about itself, in a listing */
    uint32_t offered;  /* devices of one driver */
    char offered_names[200];
} doctor;

/* A line of a child: what the parent keeps of it. Most are passed on. */
static void on_line(void *context, const vkft_doctor_line *line)
{
    doctor *d = context;
    examined *e = d->current;
    if (strcmp(line->kind, "device") == 0 && !e && d->count < MAX_DEVICES) {
        examined *new = &d->devices[d->count++];
        *new = (examined){0};
        snprintf(new->index, sizeof new->index, "%s", line->a);
        snprintf(new->name, sizeof new->name, "%s", line->b);
        return;
    }
    if (e && strcmp(line->kind, "kernel") == 0) {
        size_t n = strlen(e->wrong);
        snprintf(e->wrong + n, sizeof e->wrong - n, "%s%s", n ? ", " : "", line->a);
    }
    if (e && strcmp(line->kind, "ready") == 0) {
        e->ready = true;
        snprintf(e->verdict, sizeof e->verdict, "%s%s", e->wrong[0] ? "ready with these kernels off: " : "ready",
                 e->wrong);
        return;
    }
    if (e && strcmp(line->kind, "unusable") == 0) {
        snprintf(e->verdict, sizeof e->verdict, "not usable: %.1500s", line->a);
        return;
    }
    d->to->line(d->to->context, line);
}

/* A line of a child that lists what one driver offers. */
static void on_driver_line(void *context, const vkft_doctor_line *line)
{
    doctor *d = context;
    if (strcmp(line->kind, "device") == 0) {
        size_t n = strlen(d->offered_names);
        snprintf(d->offered_names + n, sizeof d->offered_names - n, "%s%s", n ? ", " : "", line->b);
        d->offered++;
    } else if (strcmp(line->kind, "said") == 0 &&
               (strstr(line->a, "cannot open shared") || strstr(line->a, "undefined symbol"))) {
        snprintf(d->said, sizeof d->said, "%.190s", line->a);
    }
}

/* What a manifest's driver offers, by a child that sees no other driver. */
static void judge_driver(doctor *d, const vkft_driver_manifest *m)
{
    char files[600], names[600];
    const char *const arguments[] = {"list", NULL}, *const environment[] = {files, names, "VK_LOADER_DEBUG=error",
                                                                            NULL};
    const vkft_doctor_listener to = {on_driver_line, d};
    const char *base = vkft_path_base(m->path);
    char why[VKFT_CHILD_WHY];
    snprintf(files, sizeof files, "VK_DRIVER_FILES=%s", m->path);
    snprintf(names, sizeof names, "VK_ICD_FILENAMES=%s", m->path);
    d->said[0] = d->offered_names[0] = 0;
    d->offered = 0;
    bool ended = vkft_child_run(arguments, environment, d->options->timeout_s, &to, why);
    if (!m->library[0])
        vkft_doctor_tell(d->to, "warning", "reinstall the package of the driver", "driver %s: the file cannot be read",
                         base);
    else if (!ended)
        vkft_doctor_tell(d->to, "problem",
                         "update or remove the driver; until then name another one in VK_DRIVER_FILES",
                         "driver %s (%s): %s", base, m->library, why);
    else if (d->offered)
        vkft_doctor_tell(d->to, "ok", NULL, "driver %s (Vulkan %s): %s", base, m->api, d->offered_names);
    else if (d->said[0])
        vkft_doctor_tell(d->to, "warning", "reinstall the package of the driver", "driver %s does not load: %s", base,
                         d->said);
    else
        vkft_doctor_tell(d->to, "note", NULL, "driver %s (%s): no device of it here", base, m->library);
}

static void examine_system(doctor *d)
{
    static const char *const variables[] = {"VK_INSTANCE_LAYERS",        "VK_LOADER_DRIVERS_SELECT",
                                            "VK_LOADER_DRIVERS_DISABLE", "VK_LAYER_PATH",
                                            "MESA_VK_DEVICE_SELECT",     "ENABLE_GAMESCOPE_WSI"};
    vkft_system_facts facts;
    vkft_driver_manifest manifests[VKFT_MAX_MANIFESTS];
    const char *named;
    char os[128], memory[32] = "unknown";
    vkft_os_name(os, sizeof os);
    vkft_system_read("", &facts);
    vkft_doctor_tell(d->to, "section", NULL, "System");
    if (facts.memory_bytes > 0)
        vkft_bytes_text((uint64_t)facts.memory_bytes, memory, sizeof memory);
    vkft_doctor_tell(d->to, "ok", NULL, "%s%s%s, %u cores, %s of memory", os, facts.distribution[0] ? ", " : "",
                     facts.distribution, vkft_os_core_count(), memory);
    vkft_system_judge(&facts, d->to);
    uint32_t count = vkft_driver_manifests("", manifests, &named);
    if (named)
        vkft_doctor_tell(d->to, "note", NULL, "%s is set: no other drivers are seen", named);
    for (size_t i = 0; i < sizeof variables / sizeof *variables; i++) {
        char *value = vkft_os_environment(variables[i]);
        if (value)
            vkft_doctor_tell(d->to, "note", NULL, "%s is set: %.300s", variables[i], value);
        free(value);
    }
    for (uint32_t i = 0; i < count; i++)
        judge_driver(d, &manifests[i]);
}

/* The devices to examine. */
static bool find_devices(doctor *d)
{
    const vkft_doctor_listener to = {on_line, d};
    const char *const arguments[] = {"probe", d->options->device, NULL};
    char why[VKFT_CHILD_WHY];
    if (!vkft_child_run(arguments, NULL, d->options->timeout_s, &to, why)) {
        vkft_doctor_tell(d->to, "problem", "see which driver it is above, and name another one in VK_DRIVER_FILES",
                         "listing the devices: %s", why);
        return false;
    }
    if (!d->count && !d->options->device)
        vkft_doctor_tell(d->to, "problem",
                         "install the GPU's driver (Debian and Ubuntu: mesa-vulkan-drivers, which also has a software "
                         "device)",
                         "there is no Vulkan device");
    return d->count > 0;
}

static void examine_device(doctor *d, examined *e)
{
    const vkft_doctor_listener to = {on_line, d};
    const char *const arguments[] = {"examine", e->index, d->options->quick ? "quick" : NULL, NULL};
    char why[VKFT_CHILD_WHY];
    vkft_doctor_tell(d->to, "section", NULL, "%s: %s", e->index, e->name);
    d->current = e;
    bool ended = vkft_child_run(arguments, NULL, d->options->timeout_s, &to, why);
    d->current = NULL;
    if (!ended || !e->verdict[0]) {
        e->ready = false;
        snprintf(e->verdict, sizeof e->verdict, "not usable: %s", ended ? "it ended without a verdict" : why);
    }
}

bool vkft_doctor_run(const vkft_doctor_options *options, const vkft_doctor_listener *to)
{
    doctor *d = calloc(1, sizeof *d);
    bool ready = false;
    if (!d) {
        vkft_doctor_tell(to, "problem", NULL, "out of memory");
        return false;
    }
    d->options = options;
    d->to = to;
    examine_system(d);
    if (find_devices(d))
        for (uint32_t i = 0; i < d->count; i++)
            examine_device(d, &d->devices[i]);
    for (uint32_t i = 0; i < d->count; i++) {
        const examined *e = &d->devices[i];
        vkft_doctor_tell(to, "verdict", e->verdict, "%s: %s", e->index, e->name);
        ready |= e->ready;
    }
    free(d);
    return ready;
}
