/* Reasons in words. See bad_rows.h. */
#include "formats/dataset/rows/bad_rows.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "runtime/base/utf8.h"

#define PLACES (sizeof((vkft_bad_rows *)0)->place[0] / sizeof((vkft_bad_rows *)0)->place[0][0])

static const struct {
    const char *name, *words;
    bool fault;
    vkft_advice advice;
} reasons[VKFT_BAD_REASONS] = {
    [VKFT_BAD_NULL] = {"null_value", "with a null or missing value", true, VKFT_ADVICE_NONE},
    [VKFT_BAD_VALUE] = {"wrong_value", "with a value that cannot be used", true, VKFT_ADVICE_NONE},
    [VKFT_BAD_EMPTY] = {"empty", "with nothing to train on", true, VKFT_ADVICE_NONE},
    [VKFT_BAD_LONG_PROMPT] = {"long_prompt", "whose prompt leaves no room for the answer", true,
                              VKFT_ADVICE_LONGER_SAMPLES},
    [VKFT_BAD_NO_ASSISTANT] = {"no_assistant", "without an assistant's message", true, VKFT_ADVICE_WHOLE_SAMPLES},
    [VKFT_BAD_MASKED] = {"masked", "masked as a whole by their own labels or weights", true, VKFT_ADVICE_NONE},
    [VKFT_BAD_CONVERSATION] = {"conversation", "that do not fit the chat template", true, VKFT_ADVICE_NONE},
    [VKFT_BAD_UNDESIRED] = {"undesired", "labelled as bad answers", true, VKFT_ADVICE_NONE},
    [VKFT_BAD_UNANSWERABLE] = {"unanswerable", "that the data marks as unanswerable", false, VKFT_ADVICE_NONE},
    [VKFT_BAD_TOO_LONG] = {"too_long", "longer than the maximum", false, VKFT_ADVICE_LONGER_SAMPLES},
};

bool vkft_bad_reason_is_fault(vkft_bad_reason reason)
{
    return reasons[reason].fault;
}

const char *vkft_bad_reason_name(vkft_bad_reason reason)
{
    return reasons[reason].name;
}

void vkft_clean_line(char *line, size_t size)
{
    size_t length = strlen(line), n = 0;
    for (size_t i = 0, step; i < length && n + 1 < size; i += step) {
        step = vkft_utf8_length(line + i, length - i);
        bool shown = step > 1 || (step == 1 && (unsigned char)line[i] >= ' ' && line[i] != 127);
        if (step > 1 && n + step + 1 > size)
            break;
        if (shown)
            memmove(line + n, line + i, step);
        else
            line[n] = '?';
        step = step ? step : 1;
        n += shown ? step : 1;
    }
    line[n] = 0;
}

static uint32_t place_count(const vkft_bad_rows *bad, vkft_bad_reason reason)
{
    uint32_t n = 0;
    while (n < PLACES && bad->place[reason][n])
        n++;
    return n;
}

void vkft_bad_rows_add(vkft_bad_rows *bad, vkft_bad_reason reason, const vkft_bad_place *place, const char *message)
{
    if (bad->count[reason]++ == 0) {
        snprintf(bad->first[reason], sizeof bad->first[reason], "%s", message);
        snprintf(bad->file[reason], sizeof bad->file[reason], "%s", place->file ? place->file : "");
        bad->file_number[reason] = place->file_number;
        bad->is_row[reason] = place->is_row;
    }
    uint32_t n = place_count(bad, reason);
    if (n < PLACES && place->file_number == bad->file_number[reason])
        bad->place[reason][n] = place->number;
}

uint64_t vkft_bad_rows_count(const vkft_bad_rows *bad)
{
    uint64_t sum = 0;
    for (int i = 0; i < VKFT_BAD_REASONS; i++)
        sum += bad->count[i];
    return sum;
}

uint64_t vkft_bad_rows_faults(const vkft_bad_rows *bad)
{
    uint64_t sum = 0;
    for (int i = 0; i < VKFT_BAD_REASONS; i++)
        sum += reasons[i].fault ? bad->count[i] : 0;
    return sum;
}

vkft_advice vkft_bad_rows_advice(const vkft_bad_rows *bad)
{
    int most = 0;
    for (int i = 1; i < VKFT_BAD_REASONS; i++)
        most = bad->count[i] > bad->count[most] ? i : most;
    return reasons[most].advice;
}

/* "a.jsonl, lines 3, 7, ...: what is wrong with the first" */
static void describe_places(const vkft_bad_rows *bad, vkft_bad_reason reason, char *text, size_t size)
{
    const uint32_t places = place_count(bad, reason);
    int n = snprintf(text, size, "%s%s%s%s ", bad->file[reason], bad->file[reason][0] ? ", " : "",
                     bad->is_row[reason] ? "row" : "line", places > 1 ? "s" : "");
    for (uint32_t p = 0; p < places; p++)
        n += snprintf(text + n, size - (size_t)n, "%s%" PRIu64, p ? ", " : "", bad->place[reason][p]);
    snprintf(text + n, size - (size_t)n, "%s: %s", bad->count[reason] > places ? ", ..." : "", bad->first[reason]);
}

void vkft_bad_rows_describe(const vkft_bad_rows *bad, char text[VKFT_BAD_ROWS_TEXT])
{
    size_t length = 0;
    text[0] = 0;
    for (int i = 0; i < VKFT_BAD_REASONS && length < VKFT_BAD_ROWS_TEXT; i++) {
        char places[400]; /* four numbers of 20 digits beside the texts of vkft_bad_rows */
        if (!bad->count[i])
            continue;
        describe_places(bad, (vkft_bad_reason)i, places, sizeof places);
        length += (size_t)snprintf(text + length, VKFT_BAD_ROWS_TEXT - length, "%s%" PRIu64 " %s (%s)",
                                   length ? ", " : "", bad->count[i], reasons[i].words, places);
    }
    if (length >= VKFT_BAD_ROWS_TEXT)
        memcpy(text + VKFT_BAD_ROWS_TEXT - 4, "...", 4);
    vkft_clean_line(text, VKFT_BAD_ROWS_TEXT); /* what does not fit may be cut inside a character */
}

bool vkft_bad_rows_valid(const vkft_bad_rows *bad)
{
    for (int i = 0; i < VKFT_BAD_REASONS; i++)
        if (!memchr(bad->first[i], 0, sizeof bad->first[i]) || !memchr(bad->file[i], 0, sizeof bad->file[i]))
            return false;
    return true;
}
