/* See watch.h. */
#include "host/watch/watch.h"

#include <stdlib.h>
#include <string.h>

#include "host/plot/page.h"
#include "host/train/run/request.h"
#include "runtime/base/file.h"
#include "runtime/base/text.h"

static bool has_log(const char *run)
{
    char *path = vkft_path_join(run, "trainer_log.jsonl");
    bool found = path && vkft_file_exists(path);
    free(path);
    return found;
}

/* Of a run that has not begun there is nothing but its name. */
static bool read_log(const vkft_watch *watch, vkft_plot_log *log, vkft_err *err)
{
    if (!watch->before_it_begins || has_log(watch->run))
        return vkft_plot_logs_read(&watch->run, 1, log, err);
    log->label = vkft_string_copy(vkft_path_base(watch->run));
    log->rows = cJSON_CreateArray();
    log->settings = cJSON_CreateObject();
    log->summary = cJSON_CreateObject();
    log->samples = cJSON_CreateArray();
    return (log->label && log->rows && log->settings && log->summary && log->samples) ||
           vkft_fail_memory(err, "for the page");
}

static bool make_page(void *context, const char *nonce, vkft_text *out, vkft_err *err)
{
    const vkft_watch *watch = context;
    const vkft_plot_live live = {vkft_run_is_going(watch->run),
                                 vkft_run_request_name(vkft_run_request_read(watch->run)), nonce};
    vkft_plot_log log = {0};
    vkft_plot plot = {.logs = &log, .count = 1, .x = watch->x, .live = &live};
    vkft_chart *charts = NULL;
    bool ok = read_log(watch, &log, err) && vkft_charts_of(&log, 1, &charts, &plot.chart_count, err);
    plot.charts = charts;
    plot.title = log.label;
    ok = ok && vkft_plot_page(&plot, out, err);
    free(charts);
    vkft_plot_logs_free(&log, 1);
    return ok;
}

static bool ask(void *context, const char *name, bool *known, vkft_err *err)
{
    const vkft_watch *watch = context;
    vkft_run_request request = VKFT_REQUEST_NONE;
    *known = strcmp(name, "resume") == 0 || vkft_run_request_of(name, &request);
    if (*known && !vkft_run_is_going(watch->run))
        return vkft_fail(err, VKFT_ERR_INPUT, "no run is going on in %s", watch->run);
    return !*known || vkft_run_request_write(watch->run, request, err);
}

vkft_watch_server *vkft_watch_start(const vkft_watch *watch, uint16_t port, vkft_err *err)
{
    if (!watch->before_it_begins && !vkft_directory_exists(watch->run)) {
        vkft_fail(err, VKFT_ERR_INPUT, "%s: there is no such directory; it is the --output-dir of a run", watch->run);
        return NULL;
    }
    const vkft_watch_handler handler = {make_page, ask, (void *)(uintptr_t)watch};
    return vkft_watch_server_start(port, &handler, err);
}
