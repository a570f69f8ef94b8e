/* Rows as text. See report.h. */
#include <stdio.h>
#include <string.h>

#include "host/bench/report/report.h"
#include "runtime/base/json.h"

static bool append(vkft_text *out, const char *text, vkft_err *err)
{
    return vkft_text_append(out, text, strlen(text), err);
}

bool vkft_bench_append_markdown(vkft_text *out, const char *text, vkft_err *err)
{
    bool ok = true;
    for (; ok && *text; text++) {
        if (*text == '\n' || *text == '\r') {
            ok = append(out, " ", err);
            continue;
        }
        ok = (!strchr("\\|`*_<>[]&#~$", *text) || append(out, "\\", err)) && vkft_text_append(out, text, 1, err);
    }
    return ok;
}

bool vkft_bench_append_csv(vkft_text *out, const char *text, vkft_err *err)
{
    if (!strpbrk(text, ",\"\r\n"))
        return append(out, text, err);
    bool ok = append(out, "\"", err);
    for (; ok && *text; text++)
        ok = (*text != '"' || append(out, "\"", err)) && vkft_text_append(out, text, 1, err);
    return ok && append(out, "\"", err);
}

void vkft_bench_setting_text(const cJSON *row, char *text, size_t size)
{
    const char *quant = vkft_bench_string(row, "quant"), *compute = vkft_bench_string(row, "compute");
    const double tokens = vkft_bench_number(row, "tokens"), batch = vkft_bench_number(row, "batch"),
                 r = vkft_bench_number(row, "lora_r");
    char adapter[24] = "", samples[24] = "";
    text[0] = 0;
    if (vkft_bench_number(row, "m") > 0)
        snprintf(text, size, "%.0fx%.0fx%.0f%s%s", vkft_bench_number(row, "m"), vkft_bench_number(row, "n"),
                 vkft_bench_number(row, "k"), compute[0] ? " " : "", compute);
    if (!quant[0])
        return;
    if (r > 0)
        snprintf(adapter, sizeof adapter, " r %.0f", r);
    if (batch > 1)
        snprintf(samples, sizeof samples, "%.0f x ", batch);
    snprintf(text, size, "%s %s%s, %s%.0f tokens", quant, compute, adapter, samples, tokens);
}

/* Four digits. */
static void number_text(double value, char *text, size_t size)
{
    snprintf(text, size, value >= 1000 ? "%.0f" : value >= 100 ? "%.1f" : value >= 10 ? "%.2f" : "%.3f", value);
}

void vkft_bench_speed_text(const cJSON *row, char *text, size_t size)
{
    char number[32];
    if (strcmp(vkft_bench_string(row, "check"), "fail") == 0) {
        snprintf(text, size, "FAIL");
        return;
    }
    text[0] = 0;
    if (vkft_bench_number(row, "value") == 0)
        return;
    number_text(vkft_bench_number(row, "value"), number, sizeof number);
    snprintf(text, size, "%s %s", number, vkft_bench_string(row, "unit"));
}

/* "+-0.5 %", with "~" where the speed had not settled. */
static void deviation_text(const cJSON *row, char *text, size_t size)
{
    const cJSON *deviation = vkft_json_member(row, "deviation_percent");
    text[0] = 0;
    if (deviation && strcmp(vkft_bench_string(row, "unit"), "tokens/s") == 0)
        snprintf(text, size, "%.1f %%%s", deviation->valuedouble,
                 cJSON_IsFalse(vkft_json_member(row, "steady")) ? "~" : "");
}

static void optional_text(const cJSON *row, const char *key, double unit, const char *suffix, char *text, size_t size)
{
    char number[32];
    const double value = vkft_bench_number(row, key) / unit;
    text[0] = 0;
    if (value > 0) {
        number_text(value, number, sizeof number);
        snprintf(text, size, "%s%s", number, suffix);
    }
}

/* Cells of a row, in the order of the columns of table and markdown. */
#define CELLS 9
static const char *const columns[CELLS] = {"test",       "name",    "setting", "speed", "deviation",
                                           "CPU-second", "of peak", "memory",  "check"};

static void cells_of(const cJSON *row, char cells[CELLS][200])
{
    snprintf(cells[0], 200, "%s", vkft_bench_string(row, "test"));
    snprintf(cells[1], 200, "%s", vkft_bench_string(row, "name"));
    vkft_bench_setting_text(row, cells[2], 200);
    vkft_bench_speed_text(row, cells[3], 200);
    deviation_text(row, cells[4], 200);
    optional_text(row, "per_cpu_second", 1, "", cells[5], 200);
    optional_text(row, "percent_of_peak", 1, " %", cells[6], 200);
    optional_text(row, "measured_bytes", 1 << 30, " GiB", cells[7], 200);
    const char *check = vkft_bench_string(row, "check"), *note = vkft_bench_string(row, "note");
    snprintf(cells[8], 200, "%s%s%s", strcmp(check, "none") == 0 ? "" : check,
             note[0] && strcmp(check, "none") != 0 ? ": " : "", note);
}

static bool append_table_line(char cells[CELLS][200], vkft_text *out, vkft_err *err)
{
    char line[2000];
    int n = snprintf(line, sizeof line, "%-9s %-15s %-28s %18s %9s %10s %8s %10s  %s", cells[0], cells[1], cells[2],
                     cells[3], cells[4], cells[5], cells[6], cells[7], cells[8]);
    while (n > 0 && line[n - 1] == ' ')
        line[--n] = 0;
    return append(out, line, err) && append(out, "\n", err);
}

bool vkft_bench_table_head(const cJSON *row, vkft_text *out, vkft_err *err)
{
    char line[1200], cells[CELLS][200];
    snprintf(line, sizeof line, "%s\n%s, Vulkan %s; %s; vkft %s %s\n\n", vkft_bench_string(row, "device"),
             vkft_bench_string(row, "driver"), vkft_bench_string(row, "vulkan"), vkft_bench_string(row, "os"),
             vkft_bench_string(row, "version"), vkft_bench_string(row, "commit"));
    for (uint32_t i = 0; i < CELLS; i++)
        snprintf(cells[i], sizeof cells[i], "%s", columns[i]);
    return append(out, line, err) && append_table_line(cells, out, err);
}

bool vkft_bench_table_row(const cJSON *row, vkft_text *out, vkft_err *err)
{
    char cells[CELLS][200];
    cells_of(row, cells);
    return append_table_line(cells, out, err);
}

static bool same_device(const cJSON *a, const cJSON *b)
{
    return a && b && strcmp(vkft_bench_string(a, "device"), vkft_bench_string(b, "device")) == 0 &&
           strcmp(vkft_bench_string(a, "driver"), vkft_bench_string(b, "driver")) == 0;
}

static bool append_table(const cJSON *rows, vkft_text *out, vkft_err *err)
{
    const cJSON *row, *before = NULL;
    cJSON_ArrayForEach(row, rows)
    {
        if (!same_device(before, row) && !((!before || append(out, "\n", err)) && vkft_bench_table_head(row, out, err)))
            return false;
        if (!vkft_bench_table_row(row, out, err))
            return false;
        before = row;
    }
    return true;
}

static bool append_jsonl(const cJSON *rows, vkft_text *out, vkft_err *err)
{
    const cJSON *row;
    cJSON_ArrayForEach(row, rows)
    {
        char *text = cJSON_PrintUnformatted(row);
        bool ok = text ? append(out, text, err) && append(out, "\n", err) : vkft_fail_memory(err, "for the report");
        cJSON_free(text);
        if (!ok)
            return false;
    }
    return true;
}

static bool append_markdown_head(const cJSON *row, vkft_text *out, vkft_err *err)
{
    static const char *const keys[] = {"device", "driver", "os", "version", "commit"};
    static const char *const before[] = {"**", "**, ", "; ", "; vkft ", " "};
    for (uint32_t i = 0; i < sizeof keys / sizeof *keys; i++)
        if (!append(out, before[i], err) || !vkft_bench_append_markdown(out, vkft_bench_string(row, keys[i]), err))
            return false;
    if (!append(out, "\n\n|", err))
        return false;
    for (uint32_t i = 0; i < CELLS; i++)
        if (!append(out, " ", err) || !append(out, columns[i], err) || !append(out, " |", err))
            return false;
    return append(out, "\n|---|---|---|--:|--:|--:|--:|--:|---|\n", err);
}

static bool append_markdown_row(const cJSON *row, vkft_text *out, vkft_err *err)
{
    char cells[CELLS][200];
    cells_of(row, cells);
    if (!append(out, "|", err))
        return false;
    for (uint32_t i = 0; i < CELLS; i++)
        if (!append(out, " ", err) || !vkft_bench_append_markdown(out, cells[i], err) || !append(out, " |", err))
            return false;
    return append(out, "\n", err);
}

/* Tables to look at, and the same rows whole for programs. */
static bool append_markdown(const cJSON *rows, vkft_text *out, vkft_err *err)
{
    const cJSON *row, *before = NULL;
    cJSON_ArrayForEach(row, rows)
    {
        if (!same_device(before, row) && !((!before || append(out, "\n", err)) && append_markdown_head(row, out, err)))
            return false;
        if (!append_markdown_row(row, out, err))
            return false;
        before = row;
    }
    return append(out, "\n<details><summary>all numbers</summary>\n\n```jsonl\n", err) &&
           append_jsonl(rows, out, err) && append(out, "```\n\n</details>\n", err);
}

/* Every key that a row may have, in its order. */
static const char *const csv_keys[] = {"schema",
                                       "date",
                                       "version",
                                       "commit",
                                       "kernels",
                                       "device",
                                       "driver",
                                       "vulkan",
                                       "device_type",
                                       "os",
                                       "test",
                                       "name",
                                       "quant",
                                       "compute",
                                       "tokens",
                                       "batch",
                                       "lora_r",
                                       "m",
                                       "n",
                                       "k",
                                       "unit",
                                       "value",
                                       "deviation_percent",
                                       "repetitions",
                                       "warm_up_runs",
                                       "steady",
                                       "wall_ms",
                                       "device_ms",
                                       "cpu_ms",
                                       "per_cpu_second",
                                       "percent_of_peak",
                                       "planned_bytes",
                                       "measured_bytes",
                                       "power_w",
                                       "clock_mhz",
                                       "temperature_c",
                                       "check",
                                       "loss",
                                       "grad_norm",
                                       "last_loss",
                                       "note",
                                       "hash"};

static bool append_csv_value(const cJSON *value, vkft_text *out, vkft_err *err)
{
    if (!value || cJSON_IsNull(value))
        return true;
    if (cJSON_IsString(value))
        return vkft_bench_append_csv(out, value->valuestring, err);
    char *text = cJSON_PrintUnformatted(value);
    bool ok = text ? append(out, text, err) : vkft_fail_memory(err, "for the report");
    cJSON_free(text);
    return ok;
}

static bool append_csv(const cJSON *rows, vkft_text *out, vkft_err *err)
{
    const uint32_t count = sizeof csv_keys / sizeof *csv_keys;
    const cJSON *row;
    for (uint32_t i = 0; i < count; i++)
        if (!append(out, csv_keys[i], err) || !append(out, i + 1 < count ? "," : "\n", err))
            return false;
    cJSON_ArrayForEach(row, rows)
    {
        for (uint32_t i = 0; i < count; i++)
            if (!append_csv_value(vkft_json_member(row, csv_keys[i]), out, err) ||
                !append(out, i + 1 < count ? "," : "\n", err))
                return false;
    }
    return true;
}

static bool append_json(const cJSON *rows, vkft_text *out, vkft_err *err)
{
    char *text = cJSON_PrintUnformatted(rows);
    bool ok = text ? append(out, "{\"schema\":\"" VKFT_BENCH_SCHEMA "\",\"rows\":", err) && append(out, text, err) &&
                         append(out, "}\n", err)
                   : vkft_fail_memory(err, "for the report");
    cJSON_free(text);
    return ok;
}

bool vkft_bench_report(vkft_bench_format format, const cJSON *rows, vkft_text *out, vkft_err *err)
{
    switch (format) {
    case VKFT_BENCH_TABLE: return append_table(rows, out, err);
    case VKFT_BENCH_MARKDOWN: return append_markdown(rows, out, err);
    case VKFT_BENCH_CSV: return append_csv(rows, out, err);
    case VKFT_BENCH_JSON: return append_json(rows, out, err);
    case VKFT_BENCH_JSONL: break;
    }
    return append_jsonl(rows, out, err);
}
