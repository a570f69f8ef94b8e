/* vkft devices: what Vulkan offers here, which device is used, and why another is not. */
#include <stdlib.h>

#include "host/cli/cli.h"
#include "runtime/base/text.h"
#include "runtime/device.h"
#include "host/cli/progress.h"

typedef struct devices_options {
    bool json;
} devices_options;

static const flag devices_flags[] = {
    {.kind = FLAG_SWITCH,
     .name = "json",
     .help = "print a JSON array of objects on standard output",
     .offset = offsetof(devices_options, json)},
};

static const flag_table devices_table = {
    .command = "devices",
    .usage = "[--json]",
    .about = "Lists the Vulkan devices. The one marked with * is used unless --device selects another.",
    .flags = devices_flags,
    .count = FLAG_COUNT(devices_flags),
};

static const char *type_name(vkft_device_type type)
{
    switch (type) {
    case VKFT_DEVICE_DISCRETE: return "discrete";
    case VKFT_DEVICE_INTEGRATED: return "integrated";
    case VKFT_DEVICE_VIRTUAL: return "virtual";
    case VKFT_DEVICE_CPU: return "software";
    case VKFT_DEVICE_OTHER: break;
    }
    return "other";
}

static void uuid_text(const uint8_t uuid[16], char text[33])
{
    for (int i = 0; i < 16; i++)
        snprintf(text + 2 * i, 3, "%02x", uuid[i]);
}

/* The index of the device that is used without --device, or UINT32_MAX. Opening it is the only way to know for sure. */
static uint32_t default_device(vkft_err *err)
{
    vkft_device *dev = vkft_device_open(NULL, err);
    uint32_t index = dev ? vkft_device_get_info(dev)->index : UINT32_MAX;
    vkft_device_close(dev);
    return index;
}

static cJSON *device_json(const vkft_device_info *d, bool used)
{
    char uuid[33], tier[4];
    uuid_text(d->uuid, uuid);
    snprintf(tier, sizeof tier, "T%d", (int)d->tier);
    cJSON *o = cJSON_CreateObject();
    cJSON_AddNumberToObject(o, "index", d->index);
    cJSON_AddStringToObject(o, "name", d->name);
    cJSON_AddStringToObject(o, "driver", d->driver);
    cJSON_AddStringToObject(o, "vulkan", d->api_version);
    cJSON_AddStringToObject(o, "uuid", uuid);
    cJSON_AddStringToObject(o, "type", type_name(d->type));
    cJSON_AddNumberToObject(o, "vendor_id", d->vendor_id);
    cJSON_AddNumberToObject(o, "memory_bytes", (double)d->memory_bytes);
    cJSON_AddNumberToObject(o, "memory_free_bytes", (double)d->memory_free_bytes);
    cJSON_AddNumberToObject(o, "max_allocation_bytes", (double)d->max_allocation_bytes);
    cJSON_AddNumberToObject(o, "subgroup_size", d->subgroup_size);
    cJSON_AddNumberToObject(o, "shared_memory_bytes", d->shared_memory_bytes);
    cJSON_AddBoolToObject(o, "unified_memory", d->unified_memory);
    cJSON_AddBoolToObject(o, "fp16", d->fp16);
    cJSON_AddBoolToObject(o, "bf16", d->bf16);
    cJSON_AddBoolToObject(o, "cooperative_matrix", d->cooperative_matrix);
    cJSON_AddBoolToObject(o, "cooperative_matrix2", d->cooperative_matrix2);
    cJSON_AddBoolToObject(o, "timestamps", d->timestamp_period_ns > 0);
    cJSON_AddStringToObject(o, "tier", tier);
    cJSON_AddBoolToObject(o, "usable", d->usable);
    cJSON_AddBoolToObject(o, "default", used);
    if (!d->usable)
        cJSON_AddStringToObject(o, "why_not", d->why_not);
    return o;
}

static void print_device(const vkft_device_info *d, bool used)
{
    char memory[32], available[32], uuid[33];
    vkft_bytes_text(d->memory_bytes, memory, sizeof memory);
    vkft_bytes_text(d->memory_free_bytes, available, sizeof available);
    uuid_text(d->uuid, uuid);
    printf("%c %u  %s\n", used ? '*' : ' ', d->index, d->name);
    printf("     type          %s, Vulkan %s\n", type_name(d->type), d->api_version);
    printf("     driver        %s\n", d->driver);
    printf("     memory        %s, %s free%s\n", memory, available, d->unified_memory ? ", shared with the host" : "");
    printf("     capabilities  subgroup %u, shared memory %u KiB%s%s%s%s%s\n", d->subgroup_size,
           d->shared_memory_bytes / 1024, d->fp16 ? ", fp16" : "", d->bf16 ? ", bf16" : "",
           d->cooperative_matrix ? ", cooperative matrix" : "", d->cooperative_matrix2 ? ", cooperative matrix 2" : "",
           d->timestamp_period_ns > 0 ? ", timestamps" : "");
    printf("     uuid          %s\n", uuid);
    if (d->usable)
        printf("     kernels       tier T%d\n", (int)d->tier);
    else
        printf("     not used      %s\n", d->why_not);
}

static int show(const vkft_device_info *infos, uint32_t count, uint32_t used, bool json)
{
    cJSON *list = json ? cJSON_CreateArray() : NULL;
    for (uint32_t i = 0; i < count; i++) {
        if (json)
            cJSON_AddItemToArray(list, device_json(&infos[i], infos[i].index == used));
        else
            print_device(&infos[i], infos[i].index == used);
    }
    return json ? cli_print_json(list) : EXIT_SUCCESS;
}

int cmd_devices(int argc, char **argv)
{
    devices_options options = {0};
    vkft_recipe recipe = {0};
    int code;
    if (!cli_flags(&devices_table, &options, argc, argv, &recipe, &code))
        return code;
    vkft_err err = {0};
    vkft_device_info *infos = NULL;
    uint32_t count = 0;
    uint32_t used = UINT32_MAX;
    if (vkft_device_list(&infos, &count, &err)) {
        if (count)
            used = default_device(&err);
        else
            vkft_fail(&err, VKFT_ERR_DEVICE,
                      "no Vulkan device found; install a driver (on Debian and Ubuntu mesa-vulkan-drivers)");
        code = show(infos, count, used, options.json);
    }
    if (used == UINT32_MAX)
        code = cli_fail(&err);
    free(infos);
    recipe_free(&recipe);
    return code;
}
