/* vkft devices: what Vulkan offers here, which device is used, and why another is not. */
#include <stdlib.h>
#include <string.h>

#include "host/cli/cli.h"
#include "host/engine/matmul/gemm.h"
#include "host/engine/matmul/tune.h"
#include "host/model/in_place.h"
#include "runtime/base/text.h"
#include "runtime/device.h"
#include "host/cli/progress.h"
#include "runtime/base/json/builder.h"

typedef struct devices_options {
    bool json, verbose;
} devices_options;

static const flag devices_flags[] = {
    {.kind = FLAG_SWITCH,
     .name = "json",
     .help = "print a JSON array of objects on standard output",
     .offset = offsetof(devices_options, json)},
    {.kind = FLAG_SWITCH,
     .name = "verbose",
     .letter = 'v',
     .help = "also what kernels can use on each device",
     .offset = offsetof(devices_options, verbose)},
};

static const flag_table devices_table = {
    .command = "devices",
    .usage = "[-v] [--json]",
    .about = "Lists the Vulkan devices. The one marked with * is used unless --device selects another.",
    .flags = devices_flags,
    .count = FLAG_COUNT(devices_flags),
};

static const char *const type_names[] = {[VKFT_DEVICE_DISCRETE] = "discrete",
                                         [VKFT_DEVICE_INTEGRATED] = "integrated",
                                         [VKFT_DEVICE_VIRTUAL] = "virtual",
                                         [VKFT_DEVICE_CPU] = "software",
                                         [VKFT_DEVICE_OTHER] = "other"};

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

static void put_caps(vkft_json_node o, const vkft_caps *c)
{
#define X(id, name) vkft_json_put_bool(o, name, vkft_caps_have(c, VKFT_CAP_##id));
    VKFT_CAPS(X)
#undef X
    vkft_json_put_string(o, "generation", vkft_generation_name(vkft_caps_generation(c)));
    vkft_json_put_number(o, "subgroup_size", c->subgroup_size);
    vkft_json_put_number(o, "subgroup_size_min", c->subgroup_min);
    vkft_json_put_number(o, "subgroup_size_max", c->subgroup_max);
    vkft_json_put_number(o, "shared_memory_bytes", c->shared_memory_bytes);
    vkft_json_put_number(o, "workgroup_invocations", c->workgroup_invocations);
    vkft_json_node workgroups = vkft_json_put_array(o, "workgroups");
    for (int i = 0; i < 3; i++)
        vkft_json_put_number(workgroups, NULL, c->workgroups[i]);
    vkft_json_put_number(o, "loop_limit", c->loop_limit);
    vkft_json_put_number(o, "timestamp_bits", c->timestamp_bits);
    vkft_json_node shapes = vkft_json_put_array(o, "matrix_shapes");
    for (uint32_t i = 0; i < c->matrix_shape_count; i++) {
        const vkft_matrix_shape *m = &c->matrix_shapes[i];
        vkft_json_node shape = vkft_json_put_object(shapes, NULL);
        vkft_json_put_number(shape, "m", m->M);
        vkft_json_put_number(shape, "n", m->N);
        vkft_json_put_number(shape, "k", m->K);
        vkft_json_put_string(shape, "a", vkft_component_name(m->a));
        vkft_json_put_string(shape, "b", vkft_component_name(m->b));
        vkft_json_put_string(shape, "c", vkft_component_name(m->c));
        vkft_json_put_string(shape, "result", vkft_component_name(m->result));
        vkft_json_put_bool(shape, "saturating", m->saturating);
    }
}

static void put_device(vkft_json_node list, const vkft_device_info *d, bool used)
{
    char uuid[33];
    uuid_text(d->uuid, uuid);
    vkft_json_node o = vkft_json_put_object(list, NULL);
    vkft_json_put_number(o, "index", d->index);
    vkft_json_put_string(o, "name", d->name);
    vkft_json_put_string(o, "driver", d->driver);
    vkft_json_put_string(o, "vulkan", d->api_version);
    vkft_json_put_string(o, "uuid", uuid);
    vkft_json_put_string(o, "type", type_names[d->type]);
    vkft_json_put_number(o, "vendor_id", d->vendor_id);
    vkft_json_put_number(o, "memory_bytes", (double)d->memory_bytes);
    vkft_json_put_number(o, "memory_free_bytes", (double)d->memory_free_bytes);
    vkft_json_put_number(o, "max_allocation_bytes", (double)d->max_allocation_bytes);
    vkft_json_put_bool(o, "unified_memory", d->unified_memory);
    put_caps(vkft_json_put_object(o, "capabilities"), &d->caps);
    vkft_json_put_bool(o, "usable", d->usable);
    vkft_json_put_bool(o, "default", used);
    if (!d->usable)
        vkft_json_put_string(o, "why_not", d->why_not);
}

/* What kernels can use, for -v. */
static void print_caps(const vkft_caps *c)
{
    char names[400], loops[32] = "no limit";
    if (c->loop_limit)
        snprintf(loops, sizeof loops, "at most %u iterations", c->loop_limit);
    printf("     generation    %s\n", vkft_generation_name(vkft_caps_generation(c)));
    printf("     subgroups     %u invocations, %u to %u%s\n", c->subgroup_size, c->subgroup_min, c->subgroup_max,
           c->subgroup_size_choice ? ", can be chosen" : "");
    printf("     workgroups    %u invocations, %u x %u x %u in a launch, %u KiB of shared memory\n",
           c->workgroup_invocations, c->workgroups[0], c->workgroups[1], c->workgroups[2],
           c->shared_memory_bytes / 1024);
    printf("     loops         %s\n", loops);
    printf("     timestamps    %u bits, %g ns\n", c->timestamp_bits, (double)c->timestamp_period_ns);
    printf("     features      %s\n", vkft_caps_names(c->set, names, sizeof names));
    for (uint32_t i = 0; i < c->matrix_shape_count; i++) {
        const vkft_matrix_shape *m = &c->matrix_shapes[i];
        printf("     %-13s %ux%ux%u %s x %s + %s -> %s%s\n", i ? "" : "matrices", m->M, m->N, m->K,
               vkft_component_name(m->a), vkft_component_name(m->b), vkft_component_name(m->c),
               vkft_component_name(m->result), m->saturating ? ", saturating" : "");
    }
}

/* What the tuner chose for products, if it has run on this device. */
static void print_tuned(const vkft_device_info *d)
{
    char index[16];
    vkft_err err;
    snprintf(index, sizeof index, "%u", d->index);
    vkft_device *dev = vkft_device_open(index, &err);
    char *lines = dev ? vkft_tune_results(dev) : NULL;
    for (char *line = lines, *end; line && (end = strchr(line, '\n')); line = end + 1)
        printf("     %-13s %.*s\n", line == lines ? "products" : "", (int)(end - line), line);
    free(lines);
    vkft_device_close(dev);
}

static void print_device(const vkft_device_info *d, bool used, bool verbose)
{
    char memory[32], available[32], uuid[33];
    vkft_bytes_text(d->memory_bytes, memory, sizeof memory);
    vkft_bytes_text(d->memory_free_bytes, available, sizeof available);
    uuid_text(d->uuid, uuid);
    printf("%c %u  %s\n", used ? '*' : ' ', d->index, d->name);
    printf("     type          %s, Vulkan %s\n", type_names[d->type], d->api_version);
    printf("     driver        %s\n", d->driver);
    printf("     memory        %s, %s free%s\n", memory, available, d->unified_memory ? ", shared with the host" : "");
    printf("     uuid          %s\n", uuid);
    if (verbose) {
        print_caps(&d->caps);
        printf("     compute       %s\n",
               vkft_gemm_has_matrix_cores(&d->caps) ? "fp16 on matrix cores, or fp32 (--compute-dtype fp32)"
               : vkft_gemm_has_f16(&d->caps)        ? "fp32, or fp16 by mixed dot products (--compute-dtype fp16)"
                                                    : "fp32");
    }
    if (verbose)
        printf("     model files   %s\n", vkft_in_place_wanted(d) ? "read in place"
                                          : vkft_in_place_can(d)  ? "copied; VKFT_IN_PLACE=1 reads them in place"
                                                                  : "copied");
    if (verbose && d->usable)
        print_tuned(d);
    if (!d->usable)
        printf("     not used      %s\n", d->why_not);
}

static int show(const vkft_device_info *infos, uint32_t count, uint32_t used, const devices_options *options)
{
    bool failed = false;
    vkft_json_node list = vkft_json_make_array(&failed);
    for (uint32_t i = 0; i < count; i++) {
        if (options->json)
            put_device(list, &infos[i], infos[i].index == used);
        else
            print_device(&infos[i], infos[i].index == used, options->verbose);
    }
    cJSON *made = vkft_json_made(list);
    if (options->json)
        return cli_print_json(made);
    cJSON_Delete(made);
    return EXIT_SUCCESS;
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
        code = show(infos, count, used, &options);
    }
    if (used == UINT32_MAX)
        code = cli_fail(&devices_table, &err);
    free(infos);
    recipe_free(&recipe);
    return code;
}
