/* How near an answer is to the one that was wanted: numbers that other programs report under the same names. Texts are
 * UTF-8; what is not counts as U+FFFD.
 */
#ifndef VKFT_SCORE_H
#define VKFT_SCORE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "runtime/base/error.h"

/* SQuAD's, as Hugging Face evaluate's "squad" computes them for one reference, which there are times 100. Both texts
 * are lowered and lose ASCII punctuation, the words a, an and the, and the difference between one space and several.
 * exact: whether they are the same then. f1: harmonic mean of the shares of words that they have in common; 0 where
 * they have none. Source: Rajpurkar et al. 2016, section 6.1. Test: test_score */
typedef struct vkft_squad_score {
    bool exact;
    double f1;
} vkft_squad_score;
bool vkft_squad_compare(const char *answer, const char *reference, vkft_squad_score *score, vkft_err *err);

/* chrF2 over a corpus, 0 to 100, as sacrebleu computes it with its defaults: n-grams of 1 to 6 characters without white
 * space, recall counting twice as much as precision. Source: Popovic 2015. Test: test_score */
enum { VKFT_CHRF_ORDER = 6 };
typedef struct vkft_chrf {
    uint64_t answer[VKFT_CHRF_ORDER], reference[VKFT_CHRF_ORDER], common[VKFT_CHRF_ORDER];
} vkft_chrf;
bool vkft_chrf_add(vkft_chrf *chrf, const char *answer, const char *reference, vkft_err *err);
double vkft_chrf_value(const vkft_chrf *chrf);

#endif
