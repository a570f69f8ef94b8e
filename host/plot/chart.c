/* See chart.h. */
#include "host/plot/chart.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "host/plot/axis.h"
#include "host/plot/markup.h"

/* Small, so that a chart fills a phone's screen with text that can be read. */
#define WIDTH 420
#define HEIGHT 260
#define LEFT 62
#define RIGHT 14
#define TOP 40
#define BOTTOM 34
#define BUCKETS 350        /* of a curve; about two for a pixel of the chart as drawn */
#define TOUCHED_POINTS 160 /* a curve of more has no text for each of them */

const char vkft_chart_style[] = ".vkft-chart text { font: 12px system-ui, sans-serif; fill: #1a1a1a; }\n"
                                ".vkft-chart .title { font-weight: 600; font-size: 14px; }\n"
                                ".vkft-chart .mark { fill: #595959; }\n"
                                ".vkft-chart .ground { fill: #ffffff; }\n"
                                ".vkft-chart .grid { stroke: #e3e3e3; }\n"
                                ".vkft-chart path { fill: none; stroke-width: 2; stroke-linejoin: round; }\n"
                                ".vkft-chart .raw { stroke-width: 1; stroke-opacity: .35; }\n"
                                ".vkft-chart .evaluation { stroke-dasharray: 6 3; }\n"
                                ".vkft-chart .touch { fill-opacity: 0; }\n"
                                "@media (prefers-color-scheme: dark) {\n"
                                ".vkft-chart text { fill: #f0f0f0; }\n"
                                ".vkft-chart .mark { fill: #b0b0b0; }\n"
                                ".vkft-chart .ground { fill: #16181d; }\n"
                                ".vkft-chart .grid { stroke: #2f343d; }\n"
                                "}\n";

typedef struct drawing {
    const vkft_chart *chart;
    vkft_axis x, y;
    vkft_text *out;
    vkft_err *err;
} drawing;

static double place_x(const drawing *d, double x)
{
    return LEFT + (WIDTH - LEFT - RIGHT) * vkft_axis_place(&d->x, x);
}

static double place_y(const drawing *d, double y)
{
    return HEIGHT - BOTTOM - (HEIGHT - TOP - BOTTOM) * vkft_axis_place(&d->y, y);
}

/* What is not finite, so large that a range may not be, or not above 0 on a logarithmic axis, is a gap. */
static bool is_drawn(const vkft_chart *chart, double y)
{
    return fabs(y) < 1e300 && (!chart->logarithmic || y > 0);
}

static bool draw_marks(drawing *d, const char *x_name)
{
    double marks[VKFT_AXIS_MARKS];
    char text[64];
    bool ok = true;
    size_t count = vkft_axis_marks(&d->y, marks);
    for (size_t i = 0; ok && i < count; i++) {
        double y = place_y(d, marks[i]);
        vkft_axis_text(&d->y, marks[i], text, sizeof text);
        ok = vkft_markup_format(d->out, d->err,
                                "<line class=\"grid\" x1=\"%d\" x2=\"%d\" y1=\"%.1f\" y2=\"%.1f\"/>"
                                "<text class=\"mark\" x=\"%d\" y=\"%.1f\" text-anchor=\"end\">%s</text>\n",
                                LEFT, WIDTH - RIGHT, y, y, LEFT - 6, y + 4, text);
    }
    count = vkft_axis_marks(&d->x, marks);
    for (size_t i = 0; ok && i < count; i++) {
        vkft_axis_text(&d->x, marks[i], text, sizeof text);
        ok = vkft_markup_format(d->out, d->err,
                                "<text class=\"mark\" x=\"%.1f\" y=\"%d\" text-anchor=\"middle\">%s</text>\n",
                                place_x(d, marks[i]), HEIGHT - BOTTOM + 15, text);
    }
    return ok &&
           vkft_markup_format(d->out, d->err, "<text class=\"mark\" x=\"%d\" y=\"%d\" text-anchor=\"end\">%s</text>\n",
                              WIDTH - RIGHT, HEIGHT - 4, x_name);
}

static bool draw_line(drawing *d, const vkft_curve *curve, const char *class, const char *colour)
{
    bool ok = vkft_markup_format(d->out, d->err, "<path class=\"%s\" stroke=\"%s\" d=\"", class, colour), gap = true;
    for (size_t i = 0; ok && i < curve->count; i++) {
        bool drawn = is_drawn(d->chart, curve->y[i]);
        if (drawn)
            ok = vkft_markup_format(d->out, d->err, "%c%.1f %.1f", gap ? 'M' : 'L', place_x(d, curve->x[i]),
                                    place_y(d, curve->y[i]));
        gap = !drawn;
    }
    return ok && vkft_markup_append(d->out, "\"/>\n", d->err);
}

/* Each point as a dot that says its number; class "touch": a dot that is not seen. */
static bool draw_dots(drawing *d, const vkft_curve *curve, const char *class, const char *colour, const char *who)
{
    char x[64], y[64];
    bool ok = true;
    for (size_t i = 0; ok && i < curve->count; i++) {
        if (!is_drawn(d->chart, curve->y[i]))
            continue;
        vkft_axis_text(&d->x, curve->x[i], x, sizeof x);
        vkft_axis_text(&d->y, curve->y[i], y, sizeof y);
        ok = vkft_markup_format(d->out, d->err,
                                "<circle class=\"%s\" cx=\"%.1f\" cy=\"%.1f\" r=\"3\" fill=\"%s\"><title>", class,
                                place_x(d, curve->x[i]), place_y(d, curve->y[i]), colour) &&
             vkft_markup_escape(d->out, who, d->err) &&
             vkft_markup_format(d->out, d->err, " at %s: %s</title></circle>\n", x, y);
    }
    return ok;
}

static bool draw_training(drawing *d, vkft_curve *curve, const char *colour, const char *who)
{
    size_t window = d->chart->exact ? 0 : vkft_curve_window(curve);
    vkft_curve smooth = {0};
    if (!vkft_curve_smooth(curve, window, &smooth, d->err))
        return false;
    vkft_curve_thin(&smooth, BUCKETS);
    vkft_curve_thin(curve, BUCKETS);
    bool ok = (!window || draw_line(d, curve, "raw", colour)) && draw_line(d, &smooth, "line", colour) &&
              (smooth.count > TOUCHED_POINTS || draw_dots(d, &smooth, "touch", colour, who));
    vkft_curve_free(&smooth);
    return ok;
}

/* The range of all curves; false: nothing can be drawn. */
static bool measure(drawing *d, const vkft_curve *curves, size_t count)
{
    double low = INFINITY, high = -INFINITY, left = INFINITY, right = -INFINITY;
    for (size_t c = 0; c < count; c++)
        for (size_t i = 0; i < curves[c].count; i++)
            if (is_drawn(d->chart, curves[c].y[i])) {
                low = fmin(low, curves[c].y[i]);
                high = fmax(high, curves[c].y[i]);
                left = fmin(left, curves[c].x[i]);
                right = fmax(right, curves[c].x[i]);
            }
    if (!(low <= high))
        return false;
    d->y = vkft_axis_around(low, high, d->chart->logarithmic, d->chart->bytes);
    d->x = vkft_axis_between(left, right);
    return true;
}

static bool draw_head(drawing *d, bool alone, bool both, bool single)
{
    bool ok = vkft_markup_format(d->out, d->err,
                                 "<svg class=\"vkft-chart\" xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 %d %d\" "
                                 "role=\"img\" aria-label=\"",
                                 WIDTH, HEIGHT) &&
              vkft_markup_escape(d->out, d->chart->title, d->err) && vkft_markup_append(d->out, "\">\n", d->err) &&
              (!alone || (vkft_markup_append(d->out, "<style>\n", d->err) &&
                          vkft_markup_append(d->out, vkft_chart_style, d->err) &&
                          vkft_markup_append(d->out, "</style>\n", d->err))) &&
              vkft_markup_append(d->out, "<rect class=\"ground\" width=\"100%\" height=\"100%\"/>\n", d->err) &&
              vkft_markup_append(d->out, "<text class=\"title\" x=\"12\" y=\"20\">", d->err) &&
              vkft_markup_escape(d->out, d->chart->title, d->err) &&
              vkft_markup_append(d->out, d->chart->logarithmic ? " (logarithmic)</text>\n" : "</text>\n", d->err);
    if (ok && both && single)
        ok = vkft_markup_format(d->out, d->err,
                                "<text x=\"%d\" y=\"20\" text-anchor=\"end\"><tspan style=\"fill:%s\">training</tspan> "
                                "<tspan style=\"fill:%s\">- - validation</tspan></text>\n",
                                WIDTH - RIGHT, vkft_markup_colour(0), vkft_markup_colour(5));
    if (ok && both && !single)
        ok = vkft_markup_format(d->out, d->err,
                                "<text class=\"mark\" x=\"%d\" y=\"20\" text-anchor=\"end\">- - validation</text>\n",
                                WIDTH - RIGHT);
    return ok;
}

/* curves: [count] of training, then [count] of evaluations. */
static bool draw(drawing *d, const vkft_plot_log *logs, vkft_curve *curves, size_t count, const char *x_name,
                 bool alone)
{
    bool evaluated = false, trained = false;
    for (size_t i = 0; i < count; i++) {
        trained |= curves[i].count > 0;
        evaluated |= curves[count + i].count > 0;
    }
    if (!draw_head(d, alone, trained && evaluated, count == 1))
        return false;
    bool ok = !measure(d, curves, 2 * count) || draw_marks(d, x_name);
    for (size_t i = 0; ok && i < count; i++) {
        const char *colour = vkft_markup_colour(i), *second = vkft_markup_colour(count == 1 ? 5 : i);
        vkft_curve *evaluation = &curves[count + i];
        ok = draw_training(d, &curves[i], colour, logs[i].label) && draw_line(d, evaluation, "evaluation", second) &&
             draw_dots(d, evaluation, "dot", second, logs[i].label);
    }
    return ok && vkft_markup_append(d->out, "</svg>\n", d->err);
}

bool vkft_chart_svg(const vkft_chart *chart, const vkft_plot_log *logs, size_t count, vkft_plot_x x, bool alone,
                    vkft_text *out, vkft_err *err)
{
    static const char *const names[] = {"step", "epoch", "tokens"};
    drawing d = {.chart = chart, .out = out, .err = err};
    char evaluation[sizeof chart->key + 8];
    snprintf(evaluation, sizeof evaluation, "eval_%s", chart->key);
    vkft_curve *curves = calloc(2 * count + 1, sizeof *curves);
    bool ok = curves || vkft_fail_memory(err, "for a chart");
    for (size_t i = 0; ok && i < count; i++)
        ok = vkft_curve_read(&logs[i], chart->key, x, &curves[i], err) &&
             vkft_curve_read(&logs[i], evaluation, x, &curves[count + i], err);
    ok = ok && draw(&d, logs, curves, count, names[x], alone);
    for (size_t i = 0; curves && i < 2 * count; i++)
        vkft_curve_free(&curves[i]);
    free(curves);
    return ok;
}
