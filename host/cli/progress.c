/* Progress display. See progress.h.
 *
 * On a terminal each update starts with a carriage return and ends with "erase to the end of the line", so that nothing
 * is left of a longer line before it; the text is cut to the width, since a wrapped line could not be drawn over.
 */
#include "host/cli/progress.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "host/cli/cli.h"
#include "host/cli/interrupt.h"
#include "host/cli/terminal.h"
#include "runtime/base/os/os.h"
#include "runtime/base/text.h"

#define ERASE_REST "\x1b[K"
#define DRAW_INTERVAL_S 0.1
#define LINE_INTERVAL_S 30.0 /* where lines cannot be drawn over */

progress progress_new(const flag_table *table)
{
    return (progress){.table = table, .terminal = terminal_stderr_is_terminal()};
}

static void say_error(void *context, vkft_err *err)
{
    progress *p = context;
    progress_close(p);
    cli_fail(p->table, err);
    fflush(stderr);
    err->said = true;
}

vkft_observer progress_observer(progress *p)
{
    return (vkft_observer){.context = p,
                           .message = progress_message,
                           .work = progress_work,
                           .interrupted = interrupt_requested,
                           .failing = say_error};
}

/* Draws text as the line that the next one draws over. ASCII only: bytes are columns. */
static void draw(progress *p, const char *text)
{
    uint32_t width = terminal_width();
    fprintf(stderr, "\r%.*s" ERASE_REST, (int)(width > 1 ? width - 1 : 1), text);
    fflush(stderr);
    p->line_open = true;
}

void progress_close(progress *p)
{
    if (p->line_open)
        fputc('\n', stderr);
    p->line_open = false;
    p->work[0] = 0;
}

void progress_message(void *context, const char *line)
{
    progress *p = context;
    fprintf(stderr, "%s%s\n", p->line_open ? "\r" ERASE_REST : "", line);
    p->line_open = false;
}

/* "[=====>    ]" before text, as wide as the line has room for. */
static void draw_bar(progress *p, uint64_t done, uint64_t total, const char *text)
{
    enum { MIN_CELLS = 4, MAX_CELLS = 30 };
    char cells[MAX_CELLS + 1], line[320];
    int room = (int)terminal_width() - (int)strlen(text) - 4;
    int width = room < MIN_CELLS ? MIN_CELLS : room > MAX_CELLS ? MAX_CELLS : room;
    double part = total ? (double)done / (double)total : 0;
    int filled = part >= 1 ? width : (int)(part * width);
    for (int i = 0; i < width; i++)
        cells[i] = i < filled ? '=' : i == filled ? '>' : ' ';
    cells[width] = 0;
    snprintf(line, sizeof line, "[%s] %s", cells, text);
    draw(p, line);
}

/* Seconds until the last step, from the mean time of the steps seen; negative when not known yet. */
static double time_left(const progress *p, const vkft_train_event *e)
{
    uint64_t seen = e->step - p->first_step;
    if (seen == 0 || e->total_steps < e->step)
        return -1;
    return (vkft_os_seconds() - p->started) / (double)seen * (double)(e->total_steps - e->step);
}

static void show_step(progress *p, const vkft_train_event *e)
{
    char memory[32], left[32] = "", margin[40] = "", skipped[32] = "", line[256];
    vkft_bytes_text(e->memory_bytes, memory, sizeof memory);
    double seconds = time_left(p, e);
    if (seconds >= 0)
        vkft_time_text(seconds, left, sizeof left);
    if (!isnan(e->metrics[VKFT_METRIC_rewards_margins]))
        snprintf(margin, sizeof margin, "  margin %.3f", e->metrics[VKFT_METRIC_rewards_margins]);
    if (e->skipped_steps)
        snprintf(skipped, sizeof skipped, "  skipped %llu", (unsigned long long)e->skipped_steps);
    const char *gap = left[0] ? "  " : "", *word = left[0] ? " left" : "";
    unsigned long long step = e->step, total = e->total_steps;
    if (p->terminal) {
        snprintf(line, sizeof line, "%llu/%llu  loss %.3f%s  norm %.3f%s  %.0f tokens/s  %s%s%s%s", step, total,
                 e->loss, margin, e->grad_norm, skipped, e->tokens_per_second, memory, gap, left, word);
        draw_bar(p, e->step, e->total_steps, line);
    } else {
        fprintf(stderr, "step %llu/%llu  loss %.4f%s  grad norm %.3f  lr %.3g%s  %.0f tokens/s  %s%s%s%s\n", step,
                total, e->loss, margin, e->grad_norm, e->learning_rate, skipped, e->tokens_per_second, memory, gap,
                left, word);
    }
}

/* An event tells of a step, of an evaluation, or of both at once. */
void progress_step(void *context, const vkft_train_event *event)
{
    progress *p = context;
    p->work[0] = 0;
    if (p->started == 0) {
        p->started = vkft_os_seconds();
        p->first_step = event->step;
    }
    if (!isnan(event->loss) && event->step != p->shown_step) {
        show_step(p, event);
        p->shown_step = event->step;
    }
    if (event->evaluation) {
        char line[128];
        unsigned long long step = event->step;
        double margin = event->metrics[VKFT_METRIC_rewards_margins],
               accuracy = event->metrics[VKFT_METRIC_rewards_accuracies];
        if (isfinite(event->eval_loss) && !isnan(margin))
            snprintf(line, sizeof line, "step %llu: validation loss %.4f, reward margin %.4f, accuracy %.2f", step,
                     event->eval_loss, margin, accuracy);
        else if (isfinite(event->eval_loss))
            snprintf(line, sizeof line, "step %llu: validation loss %.4f, perplexity %.2f", step, event->eval_loss,
                     exp(event->eval_loss));
        else
            snprintf(line, sizeof line, "step %llu: validation loss not finite: training has diverged", step);
        progress_message(p, line);
    }
}

static void show_work(progress *p, double part, double taken)
{
    char left[32] = "", line[160];
    if (part > 0)
        vkft_time_text(taken / part - taken, left, sizeof left);
    snprintf(line, sizeof line, "%3.0f %%  %s%s%s%s", 100 * part, p->work, left[0] ? "  " : "", left,
             left[0] ? " left" : "");
    if (p->terminal)
        draw_bar(p, (uint64_t)(part * 1000), 1000, line);
    else
        progress_message(p, line);
}

/* Short work leaves no trace, long work a line with its time. */
static void end_work(progress *p, double taken)
{
    char line[128];
    snprintf(line, sizeof line, "%s: %.1f s", p->work, taken);
    if (taken >= 1)
        progress_message(p, line);
    else if (p->line_open)
        fprintf(stderr, "\r" ERASE_REST);
    p->line_open = false;
    p->work[0] = 0;
}

void progress_work(void *context, const char *what, uint64_t done, uint64_t total)
{
    progress *p = context;
    double now = vkft_os_seconds();
    bool first = strncmp(p->work, what, sizeof p->work - 1) != 0, last = done >= total;
    if (first) {
        snprintf(p->work, sizeof p->work, "%s", what);
        p->work_started = now;
        p->work_drawn = p->terminal ? -INFINITY : now;
    }
    double part = total ? (double)done / (double)total : 1;
    if (!last && now - p->work_drawn >= (p->terminal ? DRAW_INTERVAL_S : LINE_INTERVAL_S)) {
        show_work(p, part, now - p->work_started);
        p->work_drawn = now;
    }
    if (last)
        end_work(p, now - p->work_started);
}

bool progress_convert(void *context, uint64_t done_bytes, uint64_t total_bytes)
{
    progress_work(context, "converting", done_bytes, total_bytes);
    return !interrupt_requested(NULL);
}
