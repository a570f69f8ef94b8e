/* See compare.h. */
#include "host/bench/compare/compare.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "host/bench/report/report.h"
#include "runtime/base/file.h"
#include "runtime/base/json.h"

#define MAX_FILE_BYTES (64u << 20)
/* Deviations of a few repetitions are themselves uncertain. */
#define MIN_NOISE_PERCENT 1.0
#define UNMEASURED_NOISE_PERCENT 3.0 /* of rows without a deviation: peaks and products */
#define UNSTEADY_NOISE_PERCENT 5.0   /* of rows whose warm-up ended at its limit */

static bool fail_schema(const char *file, const char *found, vkft_err *err)
{
    return vkft_fail(err, VKFT_ERR_INPUT,
                     "%s: the rows have the schema '%s', expected '" VKFT_BENCH_SCHEMA
                     "'; use the version of vkft that wrote them",
                     file, found);
}

static bool take_row(vkft_bench_comparison *c, const cJSON *row, const char *file, uint32_t number, vkft_err *err)
{
    cJSON *copy = cJSON_Duplicate(row, true), *of = copy ? cJSON_CreateNumber(number) : NULL;
    if (strcmp(vkft_bench_string(row, "schema"), VKFT_BENCH_SCHEMA) != 0) {
        cJSON_Delete(copy), cJSON_Delete(of);
        return fail_schema(file, vkft_bench_string(row, "schema"), err);
    }
    c->damaged += !vkft_bench_row_is_whole(row);
    if (!copy || !of || !cJSON_AddItemToObject(copy, "file", of)) {
        cJSON_Delete(copy), cJSON_Delete(of);
        return vkft_fail_memory(err, "while reading %s", file);
    }
    return cJSON_AddItemToArray(c->rows, copy);
}

/* A line is a row, or an object with all of them, or other text. */
static bool take_line(vkft_bench_comparison *c, const char *line, size_t length, const char *file, uint32_t number,
                      uint32_t *found, vkft_err *err)
{
    cJSON *json = length && line[0] == '{' ? vkft_json_parse(line, length, file, NULL) : NULL;
    const cJSON *rows = json ? vkft_json_member(json, "rows") : NULL, *row;
    bool ok = true;
    if (json && strncmp(vkft_bench_string(json, "schema"), "vkft-bench/", strlen("vkft-bench/")) == 0) {
        if (!cJSON_IsArray(rows)) {
            ok = take_row(c, json, file, number, err);
            ++*found;
        } else {
            cJSON_ArrayForEach(row, rows)
            {
                ok = ok && take_row(c, row, file, number, err);
                ++*found;
            }
        }
    }
    cJSON_Delete(json);
    return ok;
}

static bool read_file(vkft_bench_comparison *c, const char *file, uint32_t number, vkft_err *err)
{
    char *text = NULL;
    size_t size = 0;
    uint32_t found = 0;
    if (!vkft_file_read(file, MAX_FILE_BYTES, &text, &size, err))
        return false;
    bool ok = true;
    for (size_t at = 0; ok && at < size;) {
        const char *end = memchr(text + at, '\n', size - at);
        size_t length = (size_t)((end ? end : text + size) - (text + at));
        ok = take_line(c, text + at, length, file, number, &found, err);
        at += length + 1;
    }
    free(text);
    return ok && (found || vkft_fail(err, VKFT_ERR_INPUT,
                                     "%s: no rows of vkft bench in it; expected what --format json, jsonl or markdown "
                                     "writes",
                                     file));
}

static bool same(const cJSON *a, const cJSON *b, const char *key)
{
    return strcmp(vkft_bench_string(a, key), vkft_bench_string(b, key)) == 0 &&
           vkft_bench_number(a, key) == vkft_bench_number(b, key);
}

static bool same_in(const cJSON *a, const cJSON *b, const char *const *keys)
{
    for (; *keys; keys++)
        if (!same(a, b, *keys))
            return false;
    return true;
}

static bool is_entrant(const cJSON *a, const cJSON *b)
{
    static const char *const keys[] = {"file", "device", "driver", NULL};
    return same_in(a, b, keys);
}

static bool is_group(const cJSON *a, const cJSON *b)
{
    static const char *const keys[] = {"test",   "name", "quant", "compute", "tokens", "batch",
                                       "lora_r", "m",    "n",     "k",       "unit",   NULL};
    return same_in(a, b, keys);
}

/* What tells entrants of one name apart: the driver, else version and commit, else the date, else the file. */
static void label(vkft_bench_comparison *c, const char *const *files)
{
    static const char *const keys[] = {"driver", "commit", "os", "date"};
    for (uint32_t i = 0; i < c->entrant_count; i++) {
        const cJSON *row = c->entrants[i].row;
        const char *more = NULL;
        bool alone = true;
        for (uint32_t j = 0; j < c->entrant_count; j++)
            alone &= i == j || !same(row, c->entrants[j].row, "device");
        for (uint32_t k = 0; !alone && !more && k < 4; k++) {
            bool tells = true;
            for (uint32_t j = 0; j < c->entrant_count; j++)
                tells &= i == j || !same(row, c->entrants[j].row, "device") || !same(row, c->entrants[j].row, keys[k]);
            more = tells ? vkft_bench_string(row, keys[k]) : NULL;
        }
        if (!alone && !more)
            more = vkft_path_base(files[c->entrants[i].file]);
        snprintf(c->entrants[i].label, sizeof c->entrants[i].label, "%.180s%s%.180s%s",
                 vkft_bench_string(row, "device"), more ? " [" : "", more ? more : "", more ? "]" : "");
    }
}

static uint32_t find_entrant(vkft_bench_comparison *c, const cJSON *row)
{
    for (uint32_t i = 0; i < c->entrant_count; i++)
        if (is_entrant(c->entrants[i].row, row))
            return i;
    c->entrants[c->entrant_count] = (vkft_bench_entrant){.row = row, .file = (uint32_t)vkft_bench_number(row, "file")};
    return c->entrant_count++;
}

static vkft_bench_group *find_group(vkft_bench_comparison *c, const cJSON *row)
{
    for (uint32_t i = 0; i < c->group_count; i++)
        if (is_group(c->groups[i].standings[0].row, row))
            return &c->groups[i];
    return &c->groups[c->group_count++];
}

/* Of an entrant that was measured twice the later row counts. */
static bool take_standing(vkft_bench_comparison *c, const cJSON *row, uint32_t rows, vkft_err *err)
{
    const vkft_bench_standing s = {.entrant = find_entrant(c, row),
                                   .row = row,
                                   .failed = strcmp(vkft_bench_string(row, "check"), "fail") == 0,
                                   .value = vkft_bench_number(row, "value")};
    if (!s.failed && s.value <= 0) /* only checked */
        return true;
    vkft_bench_group *group = find_group(c, row);
    if (!group->standings && !(group->standings = calloc(rows, sizeof *group->standings)))
        return vkft_fail_memory(err, "for the comparison");
    for (uint32_t i = 0; i < group->count; i++)
        if (group->standings[i].entrant == s.entrant) {
            group->standings[i] = s;
            return true;
        }
    group->standings[group->count++] = s;
    return true;
}

static bool is_less_better(const cJSON *row)
{
    return strcmp(vkft_bench_string(row, "unit"), "us") == 0;
}

static double speed_of(const vkft_bench_standing *s)
{
    return is_less_better(s->row) ? 1 / s->value : s->value;
}

static int fastest_first(const void *pa, const void *pb)
{
    const vkft_bench_standing *a = pa, *b = pb;
    if (a->failed || b->failed)
        return a->failed - b->failed;
    double x = speed_of(a), y = speed_of(b);
    return x > y ? -1 : x < y;
}

/* In percent, of one row. */
static double deviation_of(const cJSON *row)
{
    const cJSON *deviation = vkft_json_member(row, "deviation_percent");
    const bool measured = deviation && strcmp(vkft_bench_string(row, "unit"), "tokens/s") == 0;
    double percent = measured ? fmax(deviation->valuedouble, MIN_NOISE_PERCENT) : UNMEASURED_NOISE_PERCENT;
    if (measured && cJSON_IsFalse(vkft_json_member(row, "steady")))
        percent = fmax(percent, UNSTEADY_NOISE_PERCENT);
    return percent;
}

static void rank(vkft_bench_group *group)
{
    qsort(group->standings, group->count, sizeof *group->standings, fastest_first);
    vkft_bench_standing *first = &group->standings[0];
    for (uint32_t i = 0; i < group->count && !first->failed; i++) {
        vkft_bench_standing *s = &group->standings[i];
        if (s->failed)
            continue;
        s->ratio = speed_of(s) / speed_of(first);
        s->noise_percent = 2 * hypot(deviation_of(s->row), deviation_of(first->row));
        /* The ratio's logarithm, so that it does not matter which of the two is the first one. */
        s->differs = 100 * -log(s->ratio) > s->noise_percent;
    }
}

static int by_ratio(const void *pa, const void *pb)
{
    const vkft_bench_overall *a = pa, *b = pb;
    return a->ratio > b->ratio ? -1 : a->ratio < b->ratio;
}

static bool is_shared(const vkft_bench_comparison *c, const vkft_bench_group *group)
{
    uint32_t sound = 0;
    for (uint32_t i = 0; i < group->count; i++)
        sound += !group->standings[i].failed;
    return sound == c->entrant_count && strcmp(vkft_bench_string(group->standings[0].row, "unit"), "tokens/s") == 0;
}

static bool rank_overall(vkft_bench_comparison *c, vkft_err *err)
{
    vkft_bench_overall *overall = calloc(c->entrant_count, sizeof *overall);
    if (!overall)
        return vkft_fail_memory(err, "for the comparison");
    for (uint32_t i = 0; i < c->entrant_count; i++)
        overall[i].entrant = i;
    for (uint32_t g = 0; g < c->group_count; g++) {
        if (!is_shared(c, &c->groups[g]))
            continue;
        c->shared++;
        for (uint32_t i = 0; i < c->groups[g].count; i++)
            overall[c->groups[g].standings[i].entrant].ratio += log(c->groups[g].standings[i].ratio);
    }
    if (!c->shared || c->entrant_count < 2) {
        free(overall);
        return true;
    }
    for (uint32_t i = 0; i < c->entrant_count; i++)
        overall[i].ratio = exp(overall[i].ratio / c->shared);
    qsort(overall, c->entrant_count, sizeof *overall, by_ratio);
    for (uint32_t i = c->entrant_count; i-- > 0;)
        overall[i].ratio /= overall[0].ratio;
    c->overall = overall;
    return true;
}

bool vkft_bench_compare(const char *const *files, uint32_t count, vkft_bench_comparison *c, vkft_err *err)
{
    *c = (vkft_bench_comparison){.rows = cJSON_CreateArray()};
    bool ok = c->rows || vkft_fail_memory(err, "for the comparison");
    for (uint32_t i = 0; ok && i < count; i++)
        ok = read_file(c, files[i], i, err);
    const uint32_t rows = ok ? (uint32_t)cJSON_GetArraySize(c->rows) : 0;
    if (ok) {
        c->entrants = calloc(rows, sizeof *c->entrants);
        c->groups = calloc(rows, sizeof *c->groups);
        ok = (c->entrants && c->groups) || vkft_fail_memory(err, "for the comparison");
    }
    const cJSON *row;
    cJSON_ArrayForEach(row, c->rows)
    {
        ok = ok && take_standing(c, row, rows, err);
    }
    if (ok)
        label(c, files);
    for (uint32_t i = 0; ok && i < c->group_count; i++)
        rank(&c->groups[i]);
    ok = ok && rank_overall(c, err);
    if (!ok)
        vkft_bench_comparison_free(c);
    return ok;
}

void vkft_bench_comparison_free(vkft_bench_comparison *c)
{
    for (uint32_t i = 0; i < c->group_count; i++)
        free(c->groups[i].standings);
    free(c->groups);
    free(c->entrants);
    free(c->overall);
    cJSON_Delete(c->rows);
    *c = (vkft_bench_comparison){0};
}

void vkft_bench_group_title(const vkft_bench_group *group, char *text, size_t size)
{
    char setting[200];
    const cJSON *row = group->standings[0].row;
    vkft_bench_setting_text(row, setting, sizeof setting);
    snprintf(text, size, "%s %s%s%s", vkft_bench_string(row, "test"), vkft_bench_string(row, "name"),
             setting[0] ? ": " : "", setting);
}

void vkft_bench_standing_text(const vkft_bench_group *group, uint32_t index, char *text, size_t size)
{
    const vkft_bench_standing *s = &group->standings[index];
    text[0] = 0;
    if (s->failed)
        snprintf(text, size, "%s", vkft_bench_string(s->row, "note"));
    else if (index)
        snprintf(text, size, "%.2fx%s", s->ratio, s->differs ? "" : " (within noise)");
}
