/* See examine.h. */
#include "host/doctor/examine.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "host/doctor/blame.h"
#include "host/doctor/checks/kernels.h"
#include "host/doctor/golden.h"
#include "host/doctor/system/judge.h"
#include "host/engine/matmul/gemm.h"
#include "runtime/base/os/os.h"
#include "runtime/base/text.h"
#include "runtime/vulkan/loader.h"

#define VENDOR_AMD 0x1002u

bool vkft_doctor_list(const vkft_doctor_listener *to)
{
    vkft_err err;
    vkft_device_info *infos;
    uint32_t count;
    if (!vkft_device_list(&infos, &count, &err)) {
        vkft_doctor_tell(to, "problem", NULL, "%s", err.message);
        return false;
    }
    for (uint32_t i = 0; i < count; i++) {
        char index[16];
        snprintf(index, sizeof index, "%u", infos[i].index);
        vkft_doctor_tell(to, "device", infos[i].name, "%s", index);
    }
    free(infos);
    return true;
}

/* The one device that is meant. */
static bool choose(const char *selector, const vkft_doctor_listener *to)
{
    vkft_err err;
    vkft_device *dev = vkft_device_open(selector, &err);
    if (!dev) {
        vkft_doctor_tell(to, "problem", NULL, "%s", err.message);
        return false;
    }
    const vkft_device_info *info = vkft_device_get_info(dev);
    vkft_doctor_tell(to, "device", info->name, "%u", info->index);
    vkft_device_close(dev);
    return true;
}

bool vkft_doctor_probe(const char *selector, const vkft_doctor_listener *to)
{
    vkft_err err;
    vkft_loader_info loader;
    if (!vkft_loader_read(&loader, &err)) {
        vkft_doctor_tell(to, "problem", NULL, "%s", err.message);
        return false;
    }
    vkft_doctor_tell(to, "ok", NULL, "Vulkan loader %s", loader.version);
    vkft_text layers = {0};
    for (uint32_t i = 0; i < loader.layer_count; i++) {
        const char *comma = i ? ", " : "";
        if (!vkft_text_append(&layers, comma, strlen(comma), NULL) ||
            !vkft_text_append(&layers, loader.layers[i], strlen(loader.layers[i]), NULL))
            break;
    }
    vkft_doctor_tell(to, "ok", NULL, "layers: %s", layers.data ? layers.data : "none");
    vkft_text_free(&layers);
    return selector ? choose(selector, to) : vkft_doctor_list(to);
}

static void tell_bytes(const vkft_doctor_listener *to, const char *name, uint64_t bytes)
{
    char text[32];
    vkft_bytes_text(bytes, text, sizeof text);
    vkft_doctor_tell(to, "fact", text, "%s", name);
}

static void tell_number(const vkft_doctor_listener *to, const char *name, double value)
{
    char text[32];
    snprintf(text, sizeof text, "%g", value);
    vkft_doctor_tell(to, "fact", text, "%s", name);
}

static void tell_caps(const vkft_caps *c, const vkft_doctor_listener *to)
{
    char text[400];
    vkft_doctor_tell(to, "fact", vkft_caps_names(c->set, text, sizeof text), "features");
    tell_number(to, "subgroup size", c->subgroup_size);
    tell_number(to, "subgroup size at least", c->subgroup_min);
    tell_number(to, "subgroup size at most", c->subgroup_max);
    tell_bytes(to, "shared memory", c->shared_memory_bytes);
    tell_number(to, "invocations of a workgroup", c->workgroup_invocations);
    snprintf(text, sizeof text, "%u x %u x %u", c->workgroups[0], c->workgroups[1], c->workgroups[2]);
    vkft_doctor_tell(to, "fact", text, "workgroups of a launch");
    tell_number(to, "iterations of a loop at most", c->loop_limit);
    tell_number(to, "bits of timestamps", c->timestamp_bits);
    for (uint32_t i = 0; i < c->matrix_shape_count; i++) {
        const vkft_matrix_shape *m = &c->matrix_shapes[i];
        snprintf(text, sizeof text, "%ux%ux%u %s x %s + %s -> %s%s", m->M, m->N, m->K, vkft_component_name(m->a),
                 vkft_component_name(m->b), vkft_component_name(m->c), vkft_component_name(m->result),
                 m->saturating ? ", saturating" : "");
        vkft_doctor_tell(to, "fact", text, "matrices");
    }
}

static void tell_quirks(const vkft_caps *c, const vkft_doctor_listener *to)
{
    char names[400];
    for (size_t i = 0; i < vkft_quirk_count; i++) {
        const vkft_quirk *q = &vkft_quirks[i];
        if (!vkft_quirk_applies(q, c))
            continue;
        if (q->lacks)
            vkft_doctor_tell(to, "note", NULL, "%s is not used with this driver: %s",
                             vkft_caps_names(q->lacks, names, sizeof names), q->source);
        if (q->skips)
            vkft_doctor_tell(to, "note", NULL, "products by '%s' are not used with this driver: %s", q->skips,
                             q->source);
        if (q->loop_limit)
            vkft_doctor_tell(to, "note", NULL, "loops end after %u iterations with this driver: %s", q->loop_limit,
                             q->source);
    }
}

static void tell_heaps(const vkft_device *dev, const vkft_doctor_listener *to)
{
    const vkft_device_info *info = vkft_device_get_info(dev);
    vkft_heap_info heaps[VKFT_MAX_HEAPS];
    uint32_t count = vkft_memory_get_heaps(dev, heaps), largest = 0;
    char size[32], available[32];
    for (uint32_t i = 0; i < count; i++) {
        char text[96];
        vkft_bytes_text(heaps[i].size_bytes, size, sizeof size);
        snprintf(text, sizeof text, "%s%s%s", size, heaps[i].device_local ? ", of the device" : "",
                 heaps[i].host_visible ? ", seen by the host" : "");
        vkft_doctor_tell(to, "fact", text, "heap %u", i);
        bool larger = heaps[i].size_bytes > heaps[largest].size_bytes;
        if (heaps[i].device_local && (!heaps[largest].device_local || larger))
            largest = i;
    }
    vkft_bytes_text(info->memory_bytes, size, sizeof size);
    vkft_bytes_text(info->memory_free_bytes, available, sizeof available);
    vkft_doctor_tell(to, "ok", NULL, "%s of memory, %s free", size, available);
    if (info->type == VKFT_DEVICE_DISCRETE && count && !heaps[largest].host_visible)
        vkft_doctor_tell(to, "note",
                         "turn on 'Above 4G decoding' and 'Resizable BAR' (also 'Smart Access Memory') in the firmware",
                         "the host does not see all of the card's memory, so models are loaded in smaller steps");
}

static void tell_device(const vkft_device *dev, const vkft_doctor_listener *to)
{
    const vkft_device_info *info = vkft_device_get_info(dev);
    static const char *const types[] = {"discrete", "integrated", "virtual", "software", "other"};
    vkft_doctor_tell(to, "ok", NULL, "opened; %s, Vulkan %s", info->driver, info->api_version);
    vkft_doctor_tell(to, "fact", info->name, "name");
    vkft_doctor_tell(to, "fact", info->driver, "driver");
    vkft_doctor_tell(to, "fact", info->api_version, "vulkan");
    vkft_doctor_tell(to, "fact", types[info->type], "type");
    tell_number(to, "vendor", info->vendor_id);
    tell_number(to, "driver version", info->caps.driver_version);
    tell_bytes(to, "largest allocation", info->max_allocation_bytes);
    vkft_doctor_tell(to, "fact", info->unified_memory ? "yes" : "no", "memory shared with the host");
    tell_caps(&info->caps, to);
    tell_heaps(dev, to);
    tell_quirks(&info->caps, to);
    if (info->type == VKFT_DEVICE_INTEGRATED && info->vendor_id == VENDOR_AMD) {
        vkft_system_facts facts;
        vkft_system_read("", &facts);
        vkft_system_judge_gtt(&facts, to);
    }
}

static void on_check(void *context, const char *name)
{
    vkft_doctor_tell(context, "stage", NULL, "%s", name);
}

/* Every kernel; refused[k]: it computes wrong results, and no other strategy stands in for it. */
static bool check_kernels(vkft_device *dev, bool refused[VKFT_KERNEL_COUNT], uint32_t *wrong_count,
                          const vkft_doctor_listener *to, vkft_err *err)
{
    const vkft_verdict *wrong[VKFT_KERNEL_COUNT];
    vkft_lab lab;
    double began = vkft_os_seconds();
    if (!vkft_lab_init(&lab, dev, VKFT_CHECKS_BYTES, err))
        return false;
    lab.on_check = on_check;
    lab.context = (void *)(uintptr_t)to;
    bool ok = vkft_checks(&lab, err);
    uint32_t launched = 0;
    *wrong_count = 0;
    vkft_blame(lab.verdicts, lab.count, wrong);
    for (uint32_t k = 0; k < VKFT_KERNEL_COUNT; k++) {
        bool was_launched = false;
        for (uint32_t i = 0; i < lab.count && !was_launched; i++)
            was_launched = vkft_kernel_set_has(&lab.verdicts[i].kernels, k);
        launched += was_launched;
        refused[k] = wrong[k] && !vkft_kernel_set_has(&lab.strategic, k);
        if (!wrong[k])
            continue;
        ++*wrong_count;
        vkft_doctor_tell(to, "kernel", wrong[k]->what, "%s", vkft_kernel_name((vkft_kernel)k));
    }
    tell_number(to, "seconds of the kernels' checks", vkft_os_seconds() - began);
    if (ok && !*wrong_count)
        vkft_doctor_tell(to, "ok", NULL, "%u kernels agree with the CPU, in %u checks", launched, lab.count);
    vkft_lab_free(&lab);
    return ok;
}

/* The storage types whose products nothing can compute. */
static void check_strategies(vkft_device *dev, const vkft_doctor_listener *to)
{
    vkft_err err;
    if (!vkft_gemm_setup(dev, VKFT_F32, &err)) {
        vkft_doctor_tell(to, "problem", NULL, "%s", err.message);
        return;
    }
    for (vkft_storage storage = 0; storage < VKFT_STORAGE_COUNT; storage++) {
        bool only[VKFT_STORAGE_COUNT] = {false};
        if (vkft_storage_get(storage)->codec->whole_blocks && vkft_device_get_caps(dev)->software)
            continue; /* slow to compile there, and checked when such a model is opened */
        only[storage] = true;
        if (!vkft_gemm_selftest(dev, only, true, &err))
            vkft_doctor_tell(to, "problem", NULL, "%s", err.message);
    }
    if (vkft_gemm_of(dev)->notice[0])
        vkft_doctor_tell(to, "warning", NULL, "%s", vkft_gemm_of(dev)->notice);
}

bool vkft_doctor_examine(const char *selector, bool quick, const vkft_doctor_listener *to)
{
    static const bool none[VKFT_KERNEL_COUNT];
    bool refused[VKFT_KERNEL_COUNT];
    uint32_t wrong = 0;
    vkft_err err;
    vkft_doctor_tell(to, "stage", NULL, "opening the device");
    vkft_device *dev = vkft_device_open(selector, &err);
    if (!dev) {
        vkft_doctor_tell(to, "unusable", NULL, "%s", err.message);
        return false;
    }
    tell_device(dev, to);
    vkft_kernels_refuse(dev, none); /* all are examined again */
    vkft_gemm_forget(dev);
    bool ok = check_kernels(dev, refused, &wrong, to, &err);
    if (ok) {
        vkft_kernels_refuse(dev, refused);
        check_strategies(dev, to);
    }
    bool f16 = vkft_gemm_has_f16(vkft_device_get_caps(dev));
    vkft_device_close(dev);
    /* A short training run decides whether a device with wrong kernels can be used all the same. */
    if (ok && (!quick || wrong))
        ok = vkft_doctor_train(selector, f16, to, &err);
    if (ok)
        vkft_doctor_tell(to, "ready", NULL, "%s", "");
    else
        vkft_doctor_tell(to, "unusable", NULL, "%s", err.message);
    return ok;
}
