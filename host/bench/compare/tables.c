/* The comparison as text and markdown. See compare.h. */
#include <stdio.h>
#include <string.h>

#include "host/bench/compare/compare.h"
#include "host/bench/report/report.h"

static bool append(vkft_text *out, const char *text, vkft_err *err)
{
    return vkft_text_append(out, text, strlen(text), err);
}

static int widest_label(const vkft_bench_comparison *c)
{
    size_t widest = 0;
    for (uint32_t i = 0; i < c->entrant_count; i++)
        widest = strlen(c->entrants[i].label) > widest ? strlen(c->entrants[i].label) : widest;
    return (int)widest;
}

static bool append_group(const vkft_bench_comparison *c, const vkft_bench_group *group, int width, vkft_text *out,
                         vkft_err *err)
{
    char line[1200], title[400], speed[64], ratio[200];
    vkft_bench_group_title(group, title, sizeof title);
    bool ok = append(out, title, err) && append(out, "\n", err);
    for (uint32_t i = 0; ok && i < group->count; i++) {
        const vkft_bench_standing *s = &group->standings[i];
        vkft_bench_speed_text(s->row, speed, sizeof speed);
        vkft_bench_standing_text(group, i, ratio, sizeof ratio);
        snprintf(line, sizeof line, "  %-*s %18s%s%s\n", width, c->entrants[s->entrant].label, speed,
                 ratio[0] ? "  " : "", ratio);
        ok = append(out, line, err);
    }
    return ok && append(out, "\n", err);
}

bool vkft_bench_compare_table(const vkft_bench_comparison *c, vkft_text *out, vkft_err *err)
{
    char line[600];
    const int width = widest_label(c);
    bool ok = true;
    for (uint32_t i = 0; ok && i < c->group_count; i++)
        ok = append_group(c, &c->groups[i], width, out, err);
    if (!c->overall)
        return ok;
    snprintf(line, sizeof line, "all %u rows of models that they share (geometric mean)\n", c->shared);
    ok = ok && append(out, line, err);
    for (uint32_t i = 0; ok && i < c->entrant_count; i++) {
        snprintf(line, sizeof line, "  %-*s %17.2fx\n", width, c->entrants[c->overall[i].entrant].label,
                 c->overall[i].ratio);
        ok = append(out, line, err);
    }
    return ok;
}

/* A cell with its own bar after it. */
static bool append_cell(vkft_text *out, const char *text, vkft_err *err)
{
    return append(out, " ", err) && vkft_bench_append_markdown(out, text, err) && append(out, " |", err);
}

bool vkft_bench_compare_markdown(const vkft_bench_comparison *c, vkft_text *out, vkft_err *err)
{
    char title[400], speed[64], ratio[200];
    bool ok = append(out, "| test | device | speed | to the first |\n|---|---|--:|--:|\n", err);
    for (uint32_t g = 0; ok && g < c->group_count; g++) {
        const vkft_bench_group *group = &c->groups[g];
        vkft_bench_group_title(group, title, sizeof title);
        for (uint32_t i = 0; ok && i < group->count; i++) {
            const vkft_bench_standing *s = &group->standings[i];
            vkft_bench_speed_text(s->row, speed, sizeof speed);
            vkft_bench_standing_text(group, i, ratio, sizeof ratio);
            ok = append(out, "|", err) && append_cell(out, i ? "" : title, err) &&
                 append_cell(out, c->entrants[s->entrant].label, err) && append_cell(out, speed, err) &&
                 append_cell(out, ratio, err) && append(out, "\n", err);
        }
    }
    for (uint32_t i = 0; ok && c->overall && i < c->entrant_count; i++) {
        snprintf(title, sizeof title, "all %u shared rows of models", c->shared);
        snprintf(ratio, sizeof ratio, "%.2fx", c->overall[i].ratio);
        ok = append(out, "|", err) && append_cell(out, i ? "" : title, err) &&
             append_cell(out, c->entrants[c->overall[i].entrant].label, err) && append_cell(out, "", err) &&
             append_cell(out, ratio, err) && append(out, "\n", err);
    }
    return ok;
}
