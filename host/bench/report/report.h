/* Rows of the bench as text: a table for the terminal, markdown, csv, json, jsonl. docs/benchmark.md has the schema. */
#ifndef VKFT_BENCH_REPORT_H
#define VKFT_BENCH_REPORT_H

#include <cjson/cJSON.h>

#include "host/bench/row.h"
#include "runtime/base/text.h"

#define VKFT_BENCH_SCHEMA "vkft-bench/1"

typedef enum vkft_bench_format {
    VKFT_BENCH_TABLE,
    VKFT_BENCH_MARKDOWN,
    VKFT_BENCH_CSV,
    VKFT_BENCH_JSON,  /* one object with all rows */
    VKFT_BENCH_JSONL, /* an object a line */
} vkft_bench_format;

/* What all rows of a device have in common. */
typedef struct vkft_bench_origin {
    char date[24]; /* "2026-11-26T03:24Z" */
    char version[32], commit[64];
    uint64_t kernels; /* vkft_kernels_hash */
    char device[256], driver[256], vulkan[16];
    const char *device_type; /* "discrete" */
    char os[128];
} vkft_bench_origin;

/* Of this program on this system; version and commit are copied. */
vkft_bench_origin vkft_bench_origin_of(const vkft_device_info *info, const char *version, const char *commit);

/* A row as an object. Its last member is "hash": FNV-1a, 64 bits, of the text before that member, as hex digits. It
 * tells a row that was changed or damaged on its way from one that was not; it is no signature. NULL: out of memory. */
cJSON *vkft_bench_row_json(const vkft_bench_origin *origin, const vkft_bench_row *row);
/* Whether the hash is that of the row. */
bool vkft_bench_row_is_whole(const cJSON *row);

/* Appends the rows, objects as above, in a format: all of it. */
bool vkft_bench_report(vkft_bench_format format, const cJSON *rows, vkft_text *out, vkft_err *err);

/* The table line by line, for people who wait. The head: of a device whose first row this is. */
bool vkft_bench_table_head(const cJSON *row, vkft_text *out, vkft_err *err);
bool vkft_bench_table_row(const cJSON *row, vkft_text *out, vkft_err *err);

/* Cells that several formats have: "nf4-dq fp32 r 16, 512 tokens"; "1234.5 tokens/s", or "FAIL". */
void vkft_bench_setting_text(const cJSON *row, char *text, size_t size);
void vkft_bench_speed_text(const cJSON *row, char *text, size_t size);

/* Text where markdown and HTML have none of their own characters. */
bool vkft_bench_append_markdown(vkft_text *out, const char *text, vkft_err *err);
bool vkft_bench_append_csv(vkft_text *out, const char *text, vkft_err *err);

/* Members of a row: 0 and "" where it has none. */
double vkft_bench_number(const cJSON *row, const char *key);
const char *vkft_bench_string(const cJSON *row, const char *key);

#endif
