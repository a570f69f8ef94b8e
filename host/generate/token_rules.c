/* See token_rules.h. */
#include "host/generate/token_rules.h"

#include <math.h>
#include <string.h>

static void forbid(float *logits, uint32_t vocab_size, int32_t id)
{
    if (id >= 0 && (uint32_t)id < vocab_size)
        logits[id] = -INFINITY;
}

static void forbid_all(float *logits, uint32_t vocab_size, const vkft_token_list *list)
{
    for (uint32_t i = 0; i < list->count; i++)
        forbid(logits, vocab_size, list->ids[i]);
}

/* Once for each token, however often it is there. */
static void penalize(float penalty, const int32_t *ids, uint32_t count, float *logits, uint32_t vocab_size,
                     vkft_candidate *before)
{
    for (uint32_t i = 0; i < vocab_size; i++)
        before[i].logit = logits[i];
    for (uint32_t i = 0; i < count; i++) {
        if ((uint32_t)ids[i] >= vocab_size)
            continue;
        float logit = before[ids[i]].logit;
        logits[ids[i]] = logit < 0 ? logit * penalty : logit / penalty;
    }
}

/* The last n - 1 tokens stood somewhere before: what came next there is forbidden. */
static void forbid_repeated(uint32_t n, const int32_t *ids, uint32_t count, float *logits, uint32_t vocab_size)
{
    for (uint32_t i = 0; i + n <= count; i++)
        if (memcmp(ids + i, ids + count - (n - 1), (n - 1) * sizeof *ids) == 0)
            forbid(logits, vocab_size, ids[i + n - 1]);
}

static bool contains(const vkft_token_list *list, int32_t id)
{
    for (uint32_t i = 0; i < list->count; i++)
        if (list->ids[i] == id)
            return true;
    return false;
}

/* The last token of each sequence whose others are the last of the text. The end alone is no bad word. */
static void forbid_bad_words(const vkft_token_rules *rules, const int32_t *ids, uint32_t count, float *logits,
                             uint32_t vocab_size)
{
    const vkft_token_list *words = &rules->bad_words;
    for (uint32_t at = 0, end; at < words->count; at = end + 1) {
        for (end = at; words->ids[end] >= 0; end++) {
        }
        uint32_t before = end - at - 1;
        bool is_end = before == 0 && contains(&rules->eos, words->ids[at]);
        if (!is_end && before <= count && memcmp(ids + count - before, words->ids + at, before * sizeof *ids) == 0)
            forbid(logits, vocab_size, words->ids[end - 1]);
    }
}

bool vkft_token_rules_apply(const vkft_token_rules *rules, const int32_t *ids, uint32_t count, float *logits,
                            uint32_t vocab_size, vkft_candidate *scratch)
{
    if (rules->repetition_penalty != 1)
        penalize(rules->repetition_penalty, ids, count, logits, vocab_size, scratch);
    if (rules->no_repeat_ngram_size)
        forbid_repeated(rules->no_repeat_ngram_size, ids, count, logits, vocab_size);
    forbid_bad_words(rules, ids, count, logits, vocab_size);
    if (count < rules->min_length)
        forbid_all(logits, vocab_size, &rules->eos);
    forbid_all(logits, vocab_size, &rules->suppress);
    if (count == rules->begin)
        forbid_all(logits, vocab_size, &rules->begin_suppress);
    for (uint32_t i = 0; i < vocab_size; i++)
        if (logits[i] > -INFINITY)
            return true;
    return false;
}
