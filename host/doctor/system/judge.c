/* See judge.h. A submission of vkft takes a quarter of a second, and an eighth of the system's time limit where that is
 * shorter (runtime/pacing/cut.h): a short limit costs speed, and leaves less room for estimates that are wrong. */
#include "host/doctor/system/judge.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "runtime/base/text.h"
#include "runtime/pacing/cut.h"

static void judge_node(const vkft_system_node *node, const vkft_doctor_listener *to)
{
    char mend[256];
    if (node->usable) {
        vkft_doctor_tell(to, "ok", NULL, "%s can be used", node->path);
        return;
    }
    if (node->after_login && !node->in_group)
        snprintf(mend, sizeof mend, "log out and in again: this session does not have your new group %s yet",
                 node->group);
    else if (node->group[0] && !node->in_group && strcmp(node->group, "root") != 0)
        snprintf(mend, sizeof mend, "sudo usermod -aG %s $USER, then log out and in again", node->group);
    else
        snprintf(mend, sizeof mend, "sudo chgrp render %s && sudo chmod 660 %s && sudo usermod -aG render $USER",
                 node->path, node->path);
    vkft_doctor_tell(to, "problem", mend, "%s may not be used by this user; its group is '%s'", node->path,
                     node->group);
}

static void judge_nodes(const vkft_system_facts *f, const vkft_doctor_listener *to)
{
    for (uint32_t i = 0; i < f->node_count; i++)
        judge_node(&f->nodes[i], to);
    if (f->card_count && !f->node_count)
        vkft_doctor_tell(to, "problem",
                         "in a container: start it with --device /dev/dri (podman also with --group-add keep-groups)",
                         "the system has graphics cards (%s), but there is no /dev/dri/renderD*", f->cards[0].driver);
}

/* A limit in milliseconds; 0: there is none, or the driver's own. */
static void judge_limit(const char *what, int64_t limit_ms, const char *line, const vkft_doctor_listener *to)
{
    double usual = vkft_cut_target_ms(0), pieces = vkft_cut_target_ms((uint32_t)limit_ms);
    if (limit_ms <= 0)
        vkft_doctor_tell(to, "ok", NULL, "%s: none, or the driver's own", what);
    else if (pieces >= usual)
        vkft_doctor_tell(to, "ok", NULL, "%s: %.1f s", what, (double)limit_ms / 1000);
    else
        vkft_doctor_tell(to, "warning", line, "%s: %.1f s; so the GPU gets work for %.0f ms at a time instead of %.0f",
                         what, (double)limit_ms / 1000, pieces, usual);
}

static void judge_watchdog(const vkft_system_facts *f, const vkft_doctor_listener *to)
{
    char line[320];
    for (uint32_t i = 0; i < f->card_count; i++) {
        const vkft_system_card *card = &f->cards[i];
        char what[96];
        if (strcmp(card->driver, "amdgpu") == 0) {
            snprintf(what, sizeof what, "time limit of %s (amdgpu.lockup_timeout)", card->name);
            judge_limit(what, f->lockup_ms,
                        "echo 'options amdgpu lockup_timeout=10000,10000,10000,10000' | sudo tee "
                        "/etc/modprobe.d/vkft.conf, then restart",
                        to);
        } else if (card->heartbeat_ms != VKFT_UNKNOWN) {
            snprintf(what, sizeof what, "time limit of %s (i915 heartbeat_interval_ms)", card->name);
            snprintf(line, sizeof line, "echo 10000 | sudo tee %s/heartbeat_interval_ms", card->engine);
            judge_limit(what, card->heartbeat_ms, line, to);
        } else if (card->job_ms > 0) {
            snprintf(what, sizeof what, "time limit of %s (xe job_timeout_ms)", card->name);
            snprintf(line, sizeof line, "echo 10000 | sudo tee %s/job_timeout_ms", card->engine);
            judge_limit(what, card->job_ms, line, to);
        }
    }
    if (f->tdr_delay_s != VKFT_UNKNOWN)
        judge_limit("time limit of Windows (TdrDelay)", f->tdr_delay_s ? 1000 * f->tdr_delay_s : 2000,
                    "reg add HKLM\\SYSTEM\\CurrentControlSet\\Control\\GraphicsDrivers /v TdrDelay /t REG_DWORD /d 10 "
                    "/f, as administrator, then restart",
                    to);
}

void vkft_system_judge(const vkft_system_facts *f, const vkft_doctor_listener *to)
{
    judge_nodes(f, to);
    judge_watchdog(f, to);
}

/* The card of amdgpu with the least memory of its own. */
static const vkft_system_card *integrated(const vkft_system_facts *f)
{
    const vkft_system_card *found = NULL;
    for (uint32_t i = 0; i < f->card_count; i++)
        if (f->cards[i].gtt_bytes > 0 && (!found || f->cards[i].vram_bytes < found->vram_bytes))
            found = &f->cards[i];
    return found;
}

void vkft_system_judge_gtt(const vkft_system_facts *f, const vkft_doctor_listener *to)
{
    const vkft_system_card *card = integrated(f);
    char gtt[32], all[32], line[320];
    if (!card || f->memory_bytes <= 0)
        return;
    vkft_bytes_text((uint64_t)card->gtt_bytes, gtt, sizeof gtt);
    vkft_bytes_text((uint64_t)f->memory_bytes, all, sizeof all);
    int64_t wanted = f->memory_bytes / 4 * 3;
    if (card->gtt_bytes >= f->memory_bytes / 10 * 7) {
        vkft_doctor_tell(to, "ok", NULL, "the GPU may use %s of %s of memory", gtt, all);
        return;
    }
    snprintf(line, sizeof line,
             "add ttm.pages_limit=%" PRId64 " ttm.page_pool_size=%" PRId64 " to the kernel's command line%s%" PRId64
             "%s",
             wanted / 4096, wanted / 4096,
             f->ttm_pages == VKFT_UNKNOWN ? " (here, an older kernel, amdgpu.gttsize="
                                          : " (before Linux 6.10 amdgpu.gttsize=",
             wanted >> 20, "), and restart");
    vkft_doctor_tell(to, "note", line, "the GPU may use %s of %s of memory; more makes room for larger models", gtt,
                     all);
}
