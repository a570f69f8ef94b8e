/* See rate.h. */
#include "runtime/pacing/rate.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void vkft_rate_key(const char *kernel, const uint32_t *constants, uint32_t count, uint32_t subgroup_size,
                   char key[VKFT_RATE_KEY])
{
    int at = snprintf(key, VKFT_RATE_KEY, "%s", kernel);
    for (uint32_t i = 0; i < count && at < VKFT_RATE_KEY; i++)
        at += snprintf(key + at, (size_t)(VKFT_RATE_KEY - at), "%c%" PRIu32, i ? ',' : '/', constants[i]);
    if (at < VKFT_RATE_KEY)
        snprintf(key + at, (size_t)(VKFT_RATE_KEY - at), "/%" PRIu32, subgroup_size);
}

bool vkft_rates_start(vkft_text *text, const char *stored, uint64_t kernels_hash, vkft_err *err)
{
    char head[40];
    size_t length = (size_t)snprintf(head, sizeof head, "kernels %016" PRIx64 "\n", kernels_hash);
    bool same = stored && strncmp(stored, head, length) == 0;
    return vkft_text_append(text, same ? stored : head, same ? strlen(stored) : length, err);
}

double vkft_rates_find(const vkft_text *text, const char *key)
{
    char line[VKFT_RATE_KEY + 4];
    snprintf(line, sizeof line, "\n%s ", key);
    const char *found = text->data ? strstr(text->data, line) : NULL;
    double rate = found ? strtod(found + strlen(line), NULL) : 0;
    return isfinite(rate) && rate > 0 ? rate : 0;
}

bool vkft_rates_add(vkft_text *text, const char *key, double ns_per_flop, vkft_err *err)
{
    char line[VKFT_RATE_KEY + 40];
    int length = snprintf(line, sizeof line, "%s %.6g\n", key, ns_per_flop);
    return vkft_text_append(text, line, (size_t)length, err);
}
