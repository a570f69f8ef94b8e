/* Which charts a set of runs gives. See chart.h. */
#include <stdlib.h>
#include <string.h>

#include "host/plot/chart.h"

#define MAX_CHARTS 200 /* more numbers than a person looks at */

static const vkft_chart known[] = {
#define CHART(key, title, logarithmic, bytes, exact) {key, title, logarithmic, bytes, exact},
#include "host/plot/charts.def"
#undef CHART
};
#define KNOWN (sizeof known / sizeof *known)

/* Where a point lies, and not what was measured there. */
static bool is_place(const char *key)
{
    static const char *const places[] = {"step", "epoch", "tokens", "eval_step", "total_flos"};
    for (size_t i = 0; i < sizeof places / sizeof *places; i++)
        if (strcmp(key, places[i]) == 0)
            return true;
    return false;
}

typedef struct candidate {
    vkft_chart chart;
    size_t points; /* in the run that has most of them */
} candidate;

/* The chart that a key of a row belongs to, a new one where there is none; NULL: there are too many, or the key is too
 * long. */
static candidate *find(candidate *all, size_t *count, const char *key)
{
    const char *base = strncmp(key, "eval_", 5) == 0 ? key + 5 : key;
    for (size_t i = 0; i < *count; i++)
        if (strcmp(all[i].chart.key, base) == 0)
            return &all[i];
    if (*count == MAX_CHARTS || strlen(base) >= sizeof all->chart.key)
        return NULL;
    candidate *c = &all[(*count)++];
    strcpy(c->chart.key, base);
    strcpy(c->chart.title, base);
    return c;
}

static void count_points(candidate *all, size_t *count, const vkft_plot_log *log)
{
    size_t points[MAX_CHARTS] = {0};
    const cJSON *row, *item;
    cJSON_ArrayForEach(row, log->rows) cJSON_ArrayForEach(item, row)
    {
        candidate *c = cJSON_IsNumber(item) && !is_place(item->string) ? find(all, count, item->string) : NULL;
        if (c)
            points[c - all]++;
    }
    for (size_t i = 0; i < *count; i++)
        if (points[i] > all[i].points)
            all[i].points = points[i];
}

bool vkft_charts_of(const vkft_plot_log *logs, size_t count, vkft_chart **charts, size_t *chart_count, vkft_err *err)
{
    candidate *all = calloc(MAX_CHARTS, sizeof *all);
    *charts = calloc(MAX_CHARTS, sizeof **charts);
    *chart_count = 0;
    if (!all || !*charts) {
        free(all);
        return vkft_fail_memory(err, "for the charts");
    }
    size_t found = KNOWN;
    for (size_t i = 0; i < KNOWN; i++)
        all[i].chart = known[i];
    for (size_t i = 0; i < count; i++)
        count_points(all, &found, &logs[i]);
    for (size_t i = 0; i < found; i++)
        if (all[i].points > 1)
            (*charts)[(*chart_count)++] = all[i].chart;
    free(all);
    return true;
}
