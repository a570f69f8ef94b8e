/* SQuAD's exact match and F1. See score.h. */
#include "formats/score/score.h"

#include <stdlib.h>
#include <string.h>

#include <utf8proc.h>

#include "formats/score/points.h"

#define CAPITAL_I_WITH_DOT 0x130
#define COMBINING_DOT 0x307

/* Code points, each word ended by a 0. */
typedef struct words {
    int32_t *points;
    size_t count;
    size_t *begin; /* of each word */
    size_t words;
} words;

/* What \w means to Python's regular expressions, but for the underscore, which is punctuation here. */
static bool is_word_character(int32_t point)
{
    switch (utf8proc_category(point)) {
    case UTF8PROC_CATEGORY_LU:
    case UTF8PROC_CATEGORY_LL:
    case UTF8PROC_CATEGORY_LT:
    case UTF8PROC_CATEGORY_LM:
    case UTF8PROC_CATEGORY_LO:
    case UTF8PROC_CATEGORY_ND:
    case UTF8PROC_CATEGORY_NL:
    case UTF8PROC_CATEGORY_NO: return true;
    default: return false;
    }
}

static bool is_punctuation(int32_t point)
{
    return point > 0x20 && point < 0x7f && !is_word_character(point);
}

/* In lower case and without punctuation; room for twice as many. */
static size_t lower(const int32_t *points, size_t count, int32_t *out)
{
    size_t n = 0;
    for (size_t i = 0; i < count; i++) {
        if (is_punctuation(points[i]))
            continue;
        out[n++] = points[i] == CAPITAL_I_WITH_DOT ? 'i' : utf8proc_tolower(points[i]);
        if (points[i] == CAPITAL_I_WITH_DOT)
            out[n++] = COMBINING_DOT;
    }
    return n;
}

/* The length of an article that stands at i as a whole word; 0: none. */
static size_t article_at(const int32_t *points, size_t count, size_t i)
{
    static const char *const articles[] = {"a", "an", "the"};
    if (i > 0 && is_word_character(points[i - 1]))
        return 0;
    for (size_t a = 0; a < sizeof articles / sizeof *articles; a++) {
        size_t n = strlen(articles[a]), same = 0;
        while (same < n && i + same < count && points[i + same] == articles[a][same])
            same++;
        if (same == n && (i + n == count || !is_word_character(points[i + n])))
            return n;
    }
    return 0;
}

/* The words of a text that is normalized; points has room for one more than count. */
static void split(words *w, const int32_t *points, size_t count)
{
    bool inside = false;
    for (size_t i = 0; i < count;) {
        size_t article = article_at(points, count, i);
        if (article || vkft_points_is_space(points[i])) {
            if (inside)
                w->points[w->count++] = 0;
            inside = false;
            i += article ? article : 1;
            continue;
        }
        if (!inside)
            w->begin[w->words++] = w->count;
        inside = true;
        w->points[w->count++] = points[i++];
    }
    if (inside)
        w->points[w->count++] = 0;
}

static bool normalize(const char *text, words *w, vkft_err *err)
{
    size_t count;
    int32_t *points = vkft_points_of(text, &count, err), *lowered = malloc((2 * count + 1) * sizeof *lowered);
    *w = (words){.points = malloc((4 * count + 2) * sizeof *w->points),
                 .begin = malloc((2 * count + 1) * sizeof *w->begin)};
    bool ok = points && ((lowered && w->points && w->begin) || vkft_fail_memory(err, "for scores"));
    if (ok)
        split(w, lowered, lower(points, count, lowered));
    free(lowered);
    free(points);
    return ok;
}

static bool same_word(const int32_t *a, const int32_t *b)
{
    for (; *a && *a == *b; a++, b++) {
    }
    return *a == *b;
}

/* Words that both have, each as often as it stands in both. Texts are short. */
static size_t common_words(const words *a, words *b)
{
    size_t common = 0;
    for (size_t i = 0; i < a->words; i++)
        for (size_t j = 0; j < b->words; j++)
            if (b->begin[j] != SIZE_MAX && same_word(a->points + a->begin[i], b->points + b->begin[j])) {
                b->begin[j] = SIZE_MAX;
                common++;
                break;
            }
    return common;
}

bool vkft_squad_compare(const char *answer, const char *reference, vkft_squad_score *score, vkft_err *err)
{
    words a = {0}, b = {0};
    bool ok = normalize(answer, &a, err) && normalize(reference, &b, err);
    if (ok) {
        score->exact = a.count == b.count && memcmp(a.points, b.points, a.count * sizeof *a.points) == 0;
        double common = (double)common_words(&a, &b), precision = common / (double)a.words,
               recall = common / (double)b.words;
        score->f1 = common > 0 ? 2 * precision * recall / (precision + recall) : 0;
    }
    free(a.points), free(a.begin), free(b.points), free(b.begin);
    return ok;
}
