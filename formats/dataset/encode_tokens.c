/* Rows that are tokens already, with the labels, masks and padding that other programs store beside them. */
#include <stdio.h>
#include <string.h>

#include "formats/dataset/encode_private.h"
#include "runtime/base/json.h"

bool builder_push_numbers(const cJSON *array, const char *key, vkft_ids *out, char bad[120], vkft_err *err)
{
    const cJSON *item;
    uint32_t i = 0;
    bad[0] = 0;
    if (!cJSON_IsArray(array))
        snprintf(bad, 120, "%s is %s", key, !array ? "missing" : cJSON_IsNull(array) ? "null" : "no list");
    cJSON_ArrayForEach(item, array)
    {
        double x = cJSON_IsNumber(item) ? item->valuedouble : cJSON_IsBool(item) ? (double)cJSON_IsTrue(item) : 0.5;
        if (x < INT32_MIN || x > INT32_MAX || x != (double)(int32_t)x) {
            snprintf(bad, 120, "%s[%u] is not a whole number", key, i);
            return true;
        }
        if (!vkft_ids_push(out, (int32_t)x, err))
            return false;
        i++;
    }
    return true;
}

static bool check_labels(const builder *b, uint32_t first, vkft_err *err)
{
    const vkft_ids *labels = &b->out->labels;
    for (uint32_t i = first; i < labels->count; i++) {
        int32_t value = labels->data[i];
        if (value != VKFT_IGNORE_LABEL && (value < 0 || (uint32_t)value >= b->encoder->options->vocab_size))
            return vkft_fail(err, VKFT_ERR_INPUT,
                             "%s: labels[%u] is %d; expected -100 or an id below the vocabulary's %u", b->place,
                             i - first, value, b->encoder->options->vocab_size);
    }
    return true;
}

/* The numbers of a list beside the ids, as many as those; absent or null: none are read. False: failed; *bad says why
 * the row is rejected. */
static bool read_beside(const cJSON *row, const char *key, uint32_t count, vkft_ids *out, char bad[120], vkft_err *err)
{
    const cJSON *array = vkft_json_member(row, key);
    out->count = 0;
    bad[0] = 0;
    if (!array)
        return true;
    if (!builder_push_numbers(array, key, out, bad, err))
        return false;
    if (!bad[0] && out->count != count)
        snprintf(bad, 120, "%s has %u values and input_ids %u; they must be as many", key, out->count, count);
    return true;
}

/* Takes the padding away, where attention_mask is 0: before or after the tokens, never between them. */
static void cut_padding(builder *b, uint32_t first, const vkft_ids *attention, char bad[120])
{
    vkft_ids *ids = &b->out->ids, *labels = &b->out->labels;
    uint32_t count = attention->count, begin = 0, end = count;
    bad[0] = 0;
    while (begin < count && !attention->data[begin])
        begin++;
    while (end > begin && !attention->data[end - 1])
        end--;
    for (uint32_t i = begin; i < end; i++)
        if (!attention->data[i])
            snprintf(bad, 120, "attention_mask[%u] is 0 between tokens; expected padding at an end only", i);
    if (bad[0] || !count)
        return;
    memmove(ids->data + first, ids->data + first + begin, (end - begin) * sizeof *ids->data);
    ids->count = first + end - begin;
    if (labels->count > first) {
        memmove(labels->data + first, labels->data + first + begin, (end - begin) * sizeof *labels->data);
        labels->count = ids->count;
    }
}

/* Masks what assistant_masks or completion_mask has 0 for (TRL). */
static bool apply_masks(builder *b, const cJSON *row, uint32_t first, vkft_ids *numbers, char bad[120], vkft_err *err)
{
    static const char *const masks[] = {"assistant_masks", "completion_mask"};
    vkft_ids *labels = &b->out->labels;
    for (size_t m = 0; m < 2 && b->encoder->options->mask_prompt; m++) {
        if (!read_beside(row, masks[m], labels->count - first, numbers, bad, err))
            return false;
        if (bad[0])
            return true;
        for (uint32_t i = 0; i < numbers->count; i++)
            if (!numbers->data[i])
                labels->data[first + i] = VKFT_IGNORE_LABEL;
    }
    return true;
}

/* Ids and labels of a decoder's row. *bad: why it is rejected. */
static bool read_row(builder *b, const cJSON *row, uint32_t first, vkft_ids *numbers, char bad[120], vkft_err *err)
{
    vkft_ids *ids = &b->out->ids, *labels = &b->out->labels;
    if (!builder_push_numbers(cJSON_GetObjectItemCaseSensitive(row, "input_ids"), "input_ids", ids, bad, err))
        return false;
    if (bad[0])
        return true;
    uint32_t count = ids->count - first;
    if (!builder_check_ids(b, first, err) || !read_beside(row, "labels", count, numbers, bad, err))
        return false;
    if (bad[0])
        return true;
    for (uint32_t i = 0; i < numbers->count; i++)
        if (!vkft_ids_push(labels, numbers->data[i], err))
            return false;
    if (!builder_label(b, false, err) || !check_labels(b, first, err) || !apply_masks(b, row, first, numbers, bad, err))
        return false;
    if (!bad[0] && !read_beside(row, "attention_mask", count, numbers, bad, err))
        return false;
    if (!bad[0])
        cut_padding(b, first, numbers, bad);
    return true;
}

/* input_ids for the encoder and labels for the decoder, whose input they are too, one place later. */
static bool add_two_sides(builder *b, const cJSON *row, vkft_ids *numbers, vkft_err *err)
{
    char bad[120];
    vkft_encoded_row *out = b->out;
    uint32_t first = out->ids.count;
    if (!builder_push_numbers(cJSON_GetObjectItemCaseSensitive(row, "input_ids"), "input_ids", &out->ids, bad, err) ||
        (!bad[0] && !read_beside(row, "attention_mask", out->ids.count - first, numbers, bad, err)))
        return false;
    if (!bad[0])
        cut_padding(b, first, numbers, bad);
    uint32_t source_length = out->ids.count - first;
    if (!vkft_ids_push(&out->ids, b->encoder->options->decoder_start_id, err) || !builder_label(b, true, err))
        return false;
    uint32_t target = out->ids.count;
    if (!bad[0] &&
        !builder_push_numbers(cJSON_GetObjectItemCaseSensitive(row, "labels"), "labels", &out->ids, bad, err))
        return false;
    if (bad[0])
        return builder_reject(b, first, VKFT_BAD_VALUE, err, "%s", bad);
    for (uint32_t i = target; i < out->ids.count; i++) { /* a label that does not count is read as padding */
        bool ignored = out->ids.data[i] == VKFT_IGNORE_LABEL;
        if (!vkft_ids_push(&out->labels, ignored ? VKFT_IGNORE_LABEL : out->ids.data[i], err))
            return false;
        if (ignored)
            out->ids.data[i] = b->encoder->options->decoder_start_id;
    }
    return builder_end_two_sides(b, first, source_length, 0, VKFT_BAD_MASKED, err);
}

bool builder_add_tokens(builder *b, const cJSON *row, vkft_err *err)
{
    char bad[120];
    vkft_ids numbers = {0};
    uint32_t first = b->out->ids.count;
    bool ok;
    if (b->encoder->options->encoder_decoder) {
        ok = add_two_sides(b, row, &numbers, err);
    } else {
        ok = read_row(b, row, first, &numbers, bad, err);
        if (ok)
            ok = bad[0] ? builder_reject(b, first, VKFT_BAD_VALUE, err, "%s", bad)
                        : builder_end_sample(b, first, VKFT_BAD_MASKED, err);
    }
    vkft_ids_free(&numbers);
    return ok;
}
