/* chrF over a corpus. See score.h. */
#include "formats/score/score.h"

#include <stdlib.h>
#include <string.h>

#include "formats/score/points.h"

/* Code points without white space. */
static int32_t *dense(const char *text, size_t *count, vkft_err *err)
{
    size_t all, n = 0;
    int32_t *points = vkft_points_of(text, &all, err);
    for (size_t i = 0; points && i < all; i++)
        if (!vkft_points_is_space(points[i]))
            points[n++] = points[i];
    *count = n;
    return points;
}

/* An n-gram begins at each of these; the order that sorts them. */
typedef struct gram {
    const int32_t *at;
    size_t length;
} gram;

static int compare(const void *pa, const void *pb)
{
    const gram *a = pa, *b = pb;
    for (size_t i = 0; i < a->length; i++)
        if (a->at[i] != b->at[i])
            return a->at[i] < b->at[i] ? -1 : 1;
    return 0;
}

/* The sorted n-grams of a text; returns how many. */
static size_t list(const int32_t *points, size_t count, size_t n, gram *grams)
{
    size_t grams_count = count < n ? 0 : count - n + 1;
    for (size_t i = 0; i < grams_count; i++)
        grams[i] = (gram){points + i, n};
    if (grams_count)
        qsort(grams, grams_count, sizeof *grams, compare);
    return grams_count;
}

static uint64_t count_common(const gram *a, size_t a_count, const gram *b, size_t b_count)
{
    uint64_t common = 0;
    for (size_t i = 0, j = 0; i < a_count && j < b_count;) {
        int order = compare(&a[i], &b[j]);
        common += order == 0;
        i += order <= 0;
        j += order >= 0;
    }
    return common;
}

bool vkft_chrf_add(vkft_chrf *chrf, const char *answer, const char *reference, vkft_err *err)
{
    size_t a_count = 0, b_count = 0;
    int32_t *a = dense(answer, &a_count, err), *b = a ? dense(reference, &b_count, err) : NULL;
    gram *a_grams = malloc((a_count + 1) * sizeof *a_grams), *b_grams = malloc((b_count + 1) * sizeof *b_grams);
    bool ok = a && b && ((a_grams && b_grams) || vkft_fail_memory(err, "for scores"));
    for (size_t n = 1; ok && n <= VKFT_CHRF_ORDER; n++) {
        size_t in_a = list(a, a_count, n, a_grams), in_b = list(b, b_count, n, b_grams);
        chrf->answer[n - 1] += in_b ? in_a : 0; /* an order that the reference has not is left out */
        chrf->reference[n - 1] += in_b;
        chrf->common[n - 1] += count_common(a_grams, in_a, b_grams, in_b);
    }
    free(a_grams);
    free(b_grams);
    free(a);
    free(b);
    return ok;
}

double vkft_chrf_value(const vkft_chrf *chrf)
{
    const double factor = 4; /* beta 2, squared */
    double precision = 0, recall = 0, orders = 0;
    for (size_t n = 0; n < VKFT_CHRF_ORDER; n++)
        if (chrf->answer[n] && chrf->reference[n]) {
            precision += (double)chrf->common[n] / (double)chrf->answer[n];
            recall += (double)chrf->common[n] / (double)chrf->reference[n];
            orders++;
        }
    if (orders == 0 || precision + recall == 0)
        return 0;
    precision /= orders;
    recall /= orders;
    return 100 * (1 + factor) * precision * recall / (factor * precision + recall);
}
