/* Rows as JSON objects. See report.h. */
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "host/bench/report/report.h"
#include "runtime/base/json.h"
#include "runtime/base/json/builder.h"
#include "runtime/base/os/os.h"
#include "runtime/kernels.h"

static const char *type_name(vkft_device_type type)
{
    static const char *const names[] = {[VKFT_DEVICE_DISCRETE] = "discrete",
                                        [VKFT_DEVICE_INTEGRATED] = "integrated",
                                        [VKFT_DEVICE_VIRTUAL] = "virtual",
                                        [VKFT_DEVICE_CPU] = "software",
                                        [VKFT_DEVICE_OTHER] = "other"};
    return names[type];
}

vkft_bench_origin vkft_bench_origin_of(const vkft_device_info *info, const char *version, const char *commit)
{
    vkft_bench_origin o = {.kernels = vkft_kernels_hash(), .device_type = type_name(info->type)};
    struct tm now;
    if (vkft_os_utc((int64_t)vkft_os_wall_seconds(), &now))
        strftime(o.date, sizeof o.date, "%Y-%m-%dT%H:%MZ", &now);
    snprintf(o.version, sizeof o.version, "%s", version);
    snprintf(o.commit, sizeof o.commit, "%s", commit);
    snprintf(o.device, sizeof o.device, "%s", info->name);
    snprintf(o.driver, sizeof o.driver, "%s", info->driver);
    snprintf(o.vulkan, sizeof o.vulkan, "%s", info->api_version);
    vkft_os_name(o.os, sizeof o.os);
    return o;
}

/* Digits that mean something. */
static double rounded(double value, int digits)
{
    char text[40];
    snprintf(text, sizeof text, "%.*g", digits, value);
    return strtod(text, NULL);
}

static void put(vkft_json_node to, const char *name, double value, int digits)
{
    if (value != 0)
        vkft_json_put_number(to, name, rounded(value, digits));
}

static void put_origin(vkft_json_node o, const vkft_bench_origin *origin)
{
    char kernels[17];
    snprintf(kernels, sizeof kernels, "%016" PRIx64, origin->kernels);
    vkft_json_put_string(o, "schema", VKFT_BENCH_SCHEMA);
    vkft_json_put_string(o, "date", origin->date);
    vkft_json_put_string(o, "version", origin->version);
    vkft_json_put_string(o, "commit", origin->commit);
    vkft_json_put_string(o, "kernels", kernels);
    vkft_json_put_string(o, "device", origin->device);
    vkft_json_put_string(o, "driver", origin->driver);
    vkft_json_put_string(o, "vulkan", origin->vulkan);
    vkft_json_put_string(o, "device_type", origin->device_type);
    vkft_json_put_string(o, "os", origin->os);
}

static void put_setting(vkft_json_node o, const vkft_bench_row *row)
{
    vkft_json_put_string(o, "test", row->test);
    vkft_json_put_string(o, "name", row->name);
    if (row->quant)
        vkft_json_put_string(o, "quant", row->quant);
    if (row->compute)
        vkft_json_put_string(o, "compute", row->compute);
    put(o, "tokens", row->tokens, 10);
    put(o, "batch", row->batch, 10);
    put(o, "lora_r", row->lora_r, 10);
    put(o, "m", row->M, 10);
    put(o, "n", row->N, 10);
    put(o, "k", row->K, 10);
}

static void put_result(vkft_json_node o, const vkft_bench_row *row)
{
    static const char *const checks[] = {
        [VKFT_BENCH_UNCHECKED] = "none", [VKFT_BENCH_PASS] = "pass", [VKFT_BENCH_FAIL] = "fail"};
    vkft_json_put_string(o, "unit", row->unit);
    if (row->check == VKFT_BENCH_FAIL || row->value == 0) {
        vkft_json_put_null(o, "value");
    } else {
        vkft_json_put_number(o, "value", rounded(row->value, 6));
        vkft_json_put_number(o, "deviation_percent", rounded(row->deviation_percent, 3));
        vkft_json_put_number(o, "repetitions", row->repetitions);
        put(o, "warm_up_runs", row->warm_up_runs, 10);
        vkft_json_put_bool(o, "steady", row->steady);
    }
    put(o, "wall_ms", row->wall_ms, 6);
    put(o, "device_ms", row->device_ms, 6);
    put(o, "cpu_ms", row->cpu_ms, 6);
    put(o, "per_cpu_second", row->per_cpu_second, 6);
    put(o, "percent_of_peak", row->percent_of_peak, 4);
    put(o, "planned_bytes", (double)row->planned_bytes, 15);
    put(o, "measured_bytes", (double)row->measured_bytes, 15);
    put(o, "power_w", row->power_w, 4);
    put(o, "clock_mhz", row->clock_mhz, 4);
    put(o, "temperature_c", row->temperature_c, 3);
    vkft_json_put_string(o, "check", checks[row->check]);
    put(o, "loss", row->loss, 9);
    put(o, "grad_norm", row->grad_norm, 9);
    put(o, "last_loss", row->last_loss, 9);
    if (row->note[0])
        vkft_json_put_string(o, "note", row->note);
}

/* Of the object's text without its closing brace. */
static bool hash_of(const cJSON *object, char hash[17])
{
    char *text = cJSON_PrintUnformatted(object);
    uint64_t h = 0xcbf29ce484222325;
    if (!text)
        return false;
    for (const char *c = text; c[1]; c++)
        h = (h ^ (uint8_t)*c) * 0x100000001b3;
    snprintf(hash, 17, "%016" PRIx64, h);
    cJSON_free(text);
    return true;
}

cJSON *vkft_bench_row_json(const vkft_bench_origin *origin, const vkft_bench_row *row)
{
    bool failed = false;
    char hash[17];
    vkft_json_node o = vkft_json_make_object(&failed);
    put_origin(o, origin);
    put_setting(o, row);
    put_result(o, row);
    failed |= !o.value || !hash_of(o.value, hash);
    if (!failed)
        vkft_json_put_string(o, "hash", hash);
    return vkft_json_made(o);
}

bool vkft_bench_row_is_whole(const cJSON *row)
{
    char hash[17];
    cJSON *copy = cJSON_Duplicate(row, true), *last = copy ? copy->child : NULL;
    while (last && last->next)
        last = last->next;
    bool whole = last && last->string && strcmp(last->string, "hash") == 0 && cJSON_IsString(last);
    if (whole) {
        cJSON *stored = cJSON_DetachItemViaPointer(copy, last);
        whole = hash_of(copy, hash) && strcmp(stored->valuestring, hash) == 0;
        cJSON_Delete(stored);
    }
    cJSON_Delete(copy);
    return whole;
}

double vkft_bench_number(const cJSON *row, const char *key)
{
    const cJSON *value = vkft_json_member(row, key);
    return cJSON_IsNumber(value) ? value->valuedouble : 0;
}

const char *vkft_bench_string(const cJSON *row, const char *key)
{
    const cJSON *value = vkft_json_member(row, key);
    return cJSON_IsString(value) ? value->valuestring : "";
}
