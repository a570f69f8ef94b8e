/* See facts.h. */
#include "host/doctor/system/facts.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/base/directory.h"
#include "runtime/base/os/machine.h"
#include "runtime/base/os/watchdog.h"

void vkft_system_value(const char *text, const char *key, char separator, char *value, size_t size)
{
    size_t length = strlen(key);
    value[0] = 0;
    for (const char *line = text; *line; line += strcspn(line, "\n") + (line[strcspn(line, "\n")] == '\n')) {
        if (strncmp(line, key, length) != 0 || line[length] != separator)
            continue;
        const char *begin = line + length + 1;
        begin += strspn(begin, " \t\"");
        size_t n = strcspn(begin, "\"\n");
        snprintf(value, size, "%.*s", (int)n, begin);
        return;
    }
}

int64_t vkft_system_number(const char *text)
{
    char *end;
    long long number = strtoll(text, &end, 10);
    return end == text ? VKFT_UNKNOWN : number;
}

/* A file of the system, "" where it cannot be read. */
static const char *read_file(const char *root, char *text, size_t size, const char *directory, const char *name)
{
    char path[512];
    snprintf(path, sizeof path, "%s%s%s%s", root, directory, *name ? "/" : "", name);
    vkft_os_read_text(path, text, size);
    return text;
}

static int64_t read_number(const char *root, const char *directory, const char *name)
{
    char text[128];
    return vkft_system_number(read_file(root, text, sizeof text, directory, name));
}

typedef struct listing {
    const char *root;
    vkft_system_facts *facts;
    vkft_system_card *card;
} listing;

static bool starts_with(const char *name, const char *start)
{
    return strncmp(name, start, strlen(start)) == 0;
}

static bool add_node(void *context, const char *name)
{
    listing *l = context;
    char path[512];
    l->facts->has_dri = true;
    if (!starts_with(name, "renderD") || l->facts->node_count == VKFT_MAX_NODES)
        return true;
    vkft_system_node *node = &l->facts->nodes[l->facts->node_count++];
    snprintf(path, sizeof path, "%s/dev/dri/%.32s", l->root, name);
    snprintf(node->path, sizeof node->path, "/dev/dri/%.32s", name);
    node->usable = vkft_os_may_use(path);
    if (vkft_os_file_group(path, node->group, sizeof node->group))
        node->in_group = vkft_os_has_group(node->group, &node->after_login);
    return true;
}

/* The directory of an engine that computes: i915's rcs0, or ccs0 where there is one. */
static bool add_engine(void *context, const char *name)
{
    listing *l = context;
    vkft_system_card *card = l->card;
    if (!starts_with(name, "ccs") && (!starts_with(name, "rcs") || card->engine[0]))
        return true;
    snprintf(card->engine, sizeof card->engine, "/sys/class/drm/%s/engine/%.16s", card->name, name);
    card->heartbeat_ms = read_number(l->root, card->engine, "heartbeat_interval_ms");
    return true;
}

static bool add_card(void *context, const char *name)
{
    listing *l = context;
    char directory[64], text[2048], path[512];
    if (!starts_with(name, "card") || name[4 + strspn(name + 4, "0123456789")] || strlen(name) > 8 ||
        l->facts->card_count == VKFT_MAX_CARDS)
        return true; /* "card0-HDMI-A-1" is an output */
    snprintf(directory, sizeof directory, "/sys/class/drm/%.8s/device", name);
    if (!*read_file(l->root, text, sizeof text, directory, "uevent"))
        return true;
    vkft_system_card *card = &l->facts->cards[l->facts->card_count++];
    *card = (vkft_system_card){.heartbeat_ms = VKFT_UNKNOWN};
    snprintf(card->name, sizeof card->name, "%.8s", name);
    vkft_system_value(text, "DRIVER", '=', card->driver, sizeof card->driver);
    vkft_system_value(text, "PCI_ID", '=', card->pci, sizeof card->pci);
    card->vram_bytes = read_number(l->root, directory, "mem_info_vram_total");
    card->gtt_bytes = read_number(l->root, directory, "mem_info_gtt_total");
    card->job_ms = read_number(l->root, directory, "tile0/gt0/engines/ccs/job_timeout_ms");
    if (card->job_ms > 0)
        snprintf(card->engine, sizeof card->engine, "%.70s/tile0/gt0/engines/ccs", directory);
    snprintf(path, sizeof path, "%s/sys/class/drm/%s/engine", l->root, card->name);
    l->card = card;
    vkft_directory_list(path, add_engine, l, NULL);
    return true;
}

void vkft_system_read(const char *root, vkft_system_facts *facts)
{
    char text[8192], path[512], value[64];
    uint32_t delay = 0;
    listing l = {.root = root, .facts = facts};
    *facts = (vkft_system_facts){.memory_bytes = VKFT_UNKNOWN};
    read_file(root, text, sizeof text, "/etc/os-release", "");
    vkft_system_value(text, "PRETTY_NAME", '=', facts->distribution, sizeof facts->distribution);
    read_file(root, text, sizeof text, "/proc/meminfo", "");
    vkft_system_value(text, "MemTotal", ':', value, sizeof value);
    if (vkft_system_number(value) > 0)
        facts->memory_bytes = vkft_system_number(value) * 1024;
    snprintf(path, sizeof path, "%s/dev/dri", root);
    vkft_directory_list(path, add_node, &l, NULL);
    snprintf(path, sizeof path, "%s/sys/class/drm", root);
    vkft_directory_list(path, add_card, &l, NULL);
    read_file(root, text, sizeof text, "/sys/module/amdgpu/parameters", "lockup_timeout");
    facts->lockup_ms = vkft_watchdog_amdgpu(text);
    facts->gttsize_mib = read_number(root, "/sys/module/amdgpu/parameters", "gttsize");
    facts->ttm_pages = read_number(root, "/sys/module/ttm/parameters", "pages_limit");
    facts->tdr_delay_s = vkft_os_is_windows() ? 0 : VKFT_UNKNOWN;
    if (vkft_os_registry_number("SYSTEM\\CurrentControlSet\\Control\\GraphicsDrivers", "TdrDelay", &delay))
        facts->tdr_delay_s = delay;
}
