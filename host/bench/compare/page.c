/* The comparison as an HTML page. See compare.h. */
#include <stdio.h>

#include "host/bench/compare/compare.h"
#include "host/bench/report/report.h"
#include "host/plot/markup.h"

static const char head[] =
    "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n"
    "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n"
    "<meta name=\"color-scheme\" content=\"light dark\">\n<title>vkft bench</title>\n<style>\n"
    "body { font: 15px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 62rem; padding: 0 1rem; "
    "background: #ffffff; color: #1a1a1a; }\n"
    "svg { max-width: 100%; min-width: 38rem; height: auto; }\n"
    ".scroll { overflow-x: auto; }\n"
    "table { border-collapse: collapse; margin: 1rem 0; width: 100%; }\n"
    "th, td { text-align: left; padding: .3rem .7rem; border-bottom: 1px solid #d9d9d9; }\n"
    "th { font-weight: 600; }\n"
    "td.n, th.n { text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap; }\n"
    "tr.first td { border-top: 2px solid #8c8c8c; }\n"
    ".fail { color: #b00020; font-weight: 600; }\n"
    "@media (prefers-color-scheme: dark) {\n"
    "body { background: #16181d; color: #f0f0f0; }\n"
    "th, td { border-color: #3a3f49; }\n"
    ".fail { color: #ff8a80; }\n"
    "}\n</style>\n</head>\n<body>\n<h1>vkft bench</h1>\n";

static bool append_cell(vkft_text *out, const char *open, const char *text, vkft_err *err)
{
    return vkft_markup_append(out, open, err) && vkft_markup_escape(out, text, err) &&
           vkft_markup_append(out, "</td>", err);
}

static bool append_devices(const vkft_bench_comparison *c, vkft_text *out, vkft_err *err)
{
    static const char *const keys[] = {"device", "driver", "os", "version", "commit", "date"};
    bool ok = vkft_markup_append(
        out,
        "<h2>Devices</h2>\n<div class=\"scroll\"><table>\n<tr><th>device</th><th>driver</th><th>system"
        "</th><th>vkft</th><th>commit</th><th>date</th></tr>\n",
        err);
    for (uint32_t i = 0; ok && i < c->entrant_count; i++) {
        ok = vkft_markup_append(out, "<tr>", err);
        for (uint32_t k = 0; ok && k < sizeof keys / sizeof *keys; k++)
            ok = append_cell(out, "<td>", vkft_bench_string(c->entrants[i].row, keys[k]), err);
        ok = ok && vkft_markup_append(out, "</tr>\n", err);
    }
    return ok && vkft_markup_append(out, "</table></div>\n", err);
}

static bool append_rows(const vkft_bench_comparison *c, vkft_text *out, vkft_err *err)
{
    char title[400], speed[64], ratio[200];
    bool ok = vkft_markup_append(out,
                                 "<h2>Rows</h2>\n<div class=\"scroll\"><table>\n<tr><th>test</th><th>device</th>"
                                 "<th class=\"n\">speed</th><th class=\"n\">to the first</th></tr>\n",
                                 err);
    for (uint32_t g = 0; ok && g < c->group_count; g++) {
        const vkft_bench_group *group = &c->groups[g];
        vkft_bench_group_title(group, title, sizeof title);
        for (uint32_t i = 0; ok && i < group->count; i++) {
            const vkft_bench_standing *s = &group->standings[i];
            vkft_bench_speed_text(s->row, speed, sizeof speed);
            vkft_bench_standing_text(group, i, ratio, sizeof ratio);
            ok = vkft_markup_append(out, i ? "<tr>" : "<tr class=\"first\">", err) &&
                 append_cell(out, "<td>", i ? "" : title, err) &&
                 append_cell(out, "<td>", c->entrants[s->entrant].label, err) &&
                 append_cell(out, s->failed ? "<td class=\"n fail\">" : "<td class=\"n\">", speed, err) &&
                 append_cell(out, "<td class=\"n\">", ratio, err) && vkft_markup_append(out, "</tr>\n", err);
        }
    }
    return ok && vkft_markup_append(out, "</table></div>\n", err);
}

bool vkft_bench_compare_html(const vkft_bench_comparison *c, vkft_text *out, vkft_err *err)
{
    return vkft_markup_append(out, head, err) && vkft_bench_compare_svg(c, out, err) && append_devices(c, out, err) &&
           append_rows(c, out, err) && vkft_markup_append(out, "</body>\n</html>\n", err);
}
