/* Rows of several devices beside each other: who is fastest, by how much, and whether that is more than noise. */
#ifndef VKFT_BENCH_COMPARE_H
#define VKFT_BENCH_COMPARE_H

#include <cjson/cJSON.h>

#include "runtime/base/error.h"
#include "runtime/base/text.h"

/* One device of one file. */
typedef struct vkft_bench_entrant {
    char label[400];  /* the device; with what tells it from others of the same name */
    const cJSON *row; /* any row of it, for what it is */
    uint32_t file;
} vkft_bench_entrant;

/* A speed in a group. */
typedef struct vkft_bench_standing {
    uint32_t entrant;
    const cJSON *row;
    bool failed; /* its check did: it has no speed */
    double value;
    double ratio;         /* of its speed to that of the group's first one: 1 or less */
    double noise_percent; /* of the ratio: twice the deviation of both */
    bool differs;         /* from the first one by more than noise */
} vkft_bench_standing;

/* Rows about the same test of the same setting, the fastest first, failed ones last. */
typedef struct vkft_bench_group {
    vkft_bench_standing *standings;
    uint32_t count;
} vkft_bench_group;

/* How fast an entrant is over all rows of models that every entrant has. */
typedef struct vkft_bench_overall {
    uint32_t entrant;
    double ratio; /* geometric mean of its speeds, to that of the first one */
} vkft_bench_overall;

typedef struct vkft_bench_comparison {
    cJSON *rows; /* of all files */
    vkft_bench_entrant *entrants;
    uint32_t entrant_count;
    vkft_bench_group *groups;
    uint32_t group_count;
    vkft_bench_overall *overall; /* [entrant_count], the fastest first; NULL: they share no rows */
    uint32_t shared;             /* how many they share */
    uint32_t damaged;            /* rows whose hash is not theirs */
} vkft_bench_comparison;

/* Reads json, jsonl and markdown as `vkft bench` writes them; in other text, lines that are rows. Error: a file without
 * rows; another schema. */
bool vkft_bench_compare(const char *const *files, uint32_t count, vkft_bench_comparison *comparison, vkft_err *err);
void vkft_bench_comparison_free(vkft_bench_comparison *comparison);

/* Appends it as text for the terminal, as markdown, as a chart, and as a page with chart and tables. The last two need
 * no other file, and are light or dark as the reader's system is. */
bool vkft_bench_compare_table(const vkft_bench_comparison *c, vkft_text *out, vkft_err *err);
bool vkft_bench_compare_markdown(const vkft_bench_comparison *c, vkft_text *out, vkft_err *err);
bool vkft_bench_compare_svg(const vkft_bench_comparison *c, vkft_text *out, vkft_err *err);
bool vkft_bench_compare_html(const vkft_bench_comparison *c, vkft_text *out, vkft_err *err);

/* "train llama-110m: nf4-dq fp32 r 16, 512 tokens" */
void vkft_bench_group_title(const vkft_bench_group *group, char *text, size_t size);
/* "0.72x", "1.01x (within noise)", "" of the first one. */
void vkft_bench_standing_text(const vkft_bench_group *group, uint32_t index, char *text, size_t size);

#endif
