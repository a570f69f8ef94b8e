/* The comparison as an SVG chart: a bar for each speed, as long as its share of the fastest of its group. See
 * compare.h.
 */
#include <math.h>
#include <stdio.h>

#include "host/bench/compare/compare.h"
#include "host/bench/report/report.h"
#include "host/plot/markup.h"

#define WIDTH 960
#define LEFT 20
#define BARS 560 /* pixels of a full bar */
#define LINE 22
#define HEAD 30

static const char style[] = "<style>\n"
                            "text { font: 13px system-ui, sans-serif; fill: #1a1a1a; }\n"
                            ".title { font-weight: 600; }\n"
                            ".note { fill: #595959; }\n"
                            ".ground { fill: #ffffff; }\n"
                            ".rail { fill: #ececec; }\n"
                            ".whisker { stroke: #1a1a1a; stroke-width: 1.5; }\n"
                            "@media (prefers-color-scheme: dark) {\n"
                            "text { fill: #f0f0f0; }\n"
                            ".note { fill: #b0b0b0; }\n"
                            ".ground { fill: #16181d; }\n"
                            ".rail { fill: #2a2e36; }\n"
                            ".whisker { stroke: #f0f0f0; }\n"
                            "}\n</style>\n";

static bool append_text(vkft_text *out, double x, double y, const char *class, const char *text, vkft_err *err)
{
    char head[120];
    snprintf(head, sizeof head, "<text x=\"%.1f\" y=\"%.1f\" class=\"%s\">", x, y, class);
    return vkft_markup_append(out, head, err) && vkft_markup_escape(out, text, err) &&
           vkft_markup_append(out, "</text>\n", err);
}

static bool append_bar(vkft_text *out, double y, const vkft_bench_standing *s, vkft_err *err)
{
    char bar[600];
    const double length = fmax(1, BARS * s->ratio), spread = BARS * s->ratio * s->noise_percent / 100;
    snprintf(bar, sizeof bar,
             "<rect x=\"%d\" y=\"%.1f\" width=\"%d\" height=\"14\" rx=\"2\" class=\"rail\"/>\n"
             "<rect x=\"%d\" y=\"%.1f\" width=\"%.1f\" height=\"14\" rx=\"2\" fill=\"%s\"/>\n"
             "<line x1=\"%.1f\" y1=\"%.1f\" x2=\"%.1f\" y2=\"%.1f\" class=\"whisker\"/>\n",
             LEFT, y, BARS, LEFT, y, length, vkft_markup_colour(s->entrant), LEFT + fmax(0, length - spread), y + 7,
             LEFT + fmin(BARS + 20, length + spread), y + 7);
    return vkft_markup_append(out, bar, err);
}

static bool append_group(const vkft_bench_group *group, double *y, vkft_text *out, vkft_err *err)
{
    char title[400], speed[64], ratio[200], both[300];
    vkft_bench_group_title(group, title, sizeof title);
    bool ok = append_text(out, LEFT, *y + 18, "title", title, err);
    *y += HEAD;
    for (uint32_t i = 0; ok && i < group->count; i++, *y += LINE) {
        const vkft_bench_standing *s = &group->standings[i];
        vkft_bench_speed_text(s->row, speed, sizeof speed);
        vkft_bench_standing_text(group, i, ratio, sizeof ratio);
        snprintf(both, sizeof both, "%s%s%.60s", speed, ratio[0] ? ", " : "", ratio);
        if (!s->failed)
            ok = append_bar(out, *y, s, err);
        else { /* no bar, and still whose it is */
            snprintf(title, sizeof title, "<rect x=\"%d\" y=\"%.1f\" width=\"4\" height=\"14\" fill=\"%s\"/>\n", LEFT,
                     *y, vkft_markup_colour(s->entrant));
            ok = vkft_markup_append(out, title, err);
        }
        ok = ok && append_text(out, s->failed ? LEFT + 12 : LEFT + BARS + 28, *y + 12, "value", both, err);
    }
    *y += 8;
    return ok;
}

static bool append_legend(const vkft_bench_comparison *c, double *y, vkft_text *out, vkft_err *err)
{
    char line[700], label[460];
    bool ok = true;
    for (uint32_t i = 0; ok && i < c->entrant_count; i++, *y += LINE) {
        snprintf(line, sizeof line, "<rect x=\"%d\" y=\"%.1f\" width=\"14\" height=\"14\" rx=\"2\" fill=\"%s\"/>\n",
                 LEFT, *y, vkft_markup_colour(i));
        snprintf(label, sizeof label, "%.110s", c->entrants[i].label);
        for (uint32_t o = 0; c->overall && o < c->entrant_count; o++)
            if (c->overall[o].entrant == i)
                snprintf(label, sizeof label, "%.110s: %.2fx over %u shared rows", c->entrants[i].label,
                         c->overall[o].ratio, c->shared);
        ok = vkft_markup_append(out, line, err) && append_text(out, LEFT + 22, *y + 12, "value", label, err);
    }
    *y += 10;
    return ok;
}

bool vkft_bench_compare_svg(const vkft_bench_comparison *c, vkft_text *out, vkft_err *err)
{
    char head[400];
    double height = 16 + LINE * c->entrant_count + 10 + 26, y = 16;
    for (uint32_t i = 0; i < c->group_count; i++)
        height += HEAD + LINE * c->groups[i].count + 8;
    snprintf(
        head, sizeof head,
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"%d\" height=\"%.0f\" viewBox=\"0 0 %d %.0f\" role=\"img\" "
        "aria-label=\"vkft bench\">\n",
        WIDTH, height, WIDTH, height);
    bool ok = vkft_markup_append(out, head, err) && vkft_markup_append(out, style, err) &&
              vkft_markup_append(out, "<rect width=\"100%\" height=\"100%\" class=\"ground\"/>\n", err) &&
              append_legend(c, &y, out, err);
    for (uint32_t i = 0; ok && i < c->group_count; i++)
        ok = append_group(&c->groups[i], &y, out, err);
    return ok &&
           append_text(out, LEFT, y + 12, "note",
                       "A full bar is the fastest of its group; lines are the noise of the ratio.", err) &&
           vkft_markup_append(out, "</svg>\n", err);
}
