/* Growing texts, small questions about strings, and numbers in words. */
#include "runtime/base/text.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/base/size.h"

bool vkft_text_append(vkft_text *text, const char *data, size_t length, vkft_err *err)
{
    if (length >= SIZE_MAX / 4 - text->length)
        return vkft_fail_memory(err, "for a text of %zu bytes", length);
    if (text->length + length + 1 > text->capacity) {
        size_t capacity = 2 * (text->length + length) + 16;
        char *grown = realloc(text->data, capacity);
        if (!grown)
            return vkft_fail_memory(err, "for a text of %zu bytes", text->length + length);
        text->data = grown;
        text->capacity = capacity;
    }
    if (length)
        memcpy(text->data + text->length, data, length);
    text->length += length;
    text->data[text->length] = 0;
    return true;
}

bool vkft_text_append_within(vkft_text *text, size_t limit, const char *data, size_t length, vkft_err *err)
{
    if (text->length > limit || length > limit - text->length)
        return vkft_fail(err, VKFT_ERR_INPUT, "a text grows beyond %zu bytes", limit);
    return vkft_text_append(text, data, length, err);
}

bool vkft_text_read_line(FILE *in, vkft_text *text, bool *failed)
{
    text->length = 0;
    *failed = !vkft_text_append(text, "", 0, NULL);
    int c = EOF;
    while (!*failed && (c = getc(in)) != EOF && c != '\n') {
        char byte = (char)c;
        *failed = !vkft_text_append(text, &byte, 1, NULL);
    }
    *failed = *failed || ferror(in);
    if (*failed || (c == EOF && text->length == 0))
        return false;
    if (text->length && text->data[text->length - 1] == '\r')
        text->data[--text->length] = 0;
    return true;
}

void vkft_text_free(vkft_text *text)
{
    free(text->data);
    *text = (vkft_text){0};
}

/* Between '...'; a quote ends the quoted part, stands alone after a backslash, and another part begins. */
static bool append_for_posix(vkft_text *text, const char *argument, vkft_err *err)
{
    bool ok = vkft_text_append(text, "'", 1, err);
    for (; ok && *argument; argument++)
        ok = *argument == '\'' ? vkft_text_append(text, "'\\''", 4, err) : vkft_text_append(text, argument, 1, err);
    return ok && vkft_text_append(text, "'", 1, err);
}

/* Between "..."; backslashes before a quote are doubled, as the C runtime reads them back. */
static bool append_for_windows(vkft_text *text, const char *argument, vkft_err *err)
{
    bool ok = vkft_text_append(text, "\"", 1, err);
    for (size_t slashes = 0; ok; argument++) {
        bool ends = *argument == 0, quote = *argument == '"';
        for (; ok && (ends || quote) && slashes > 0; slashes--)
            ok = vkft_text_append(text, "\\", 1, err);
        if (ends)
            break;
        slashes = *argument == '\\' ? slashes + 1 : 0;
        ok = ok && (!quote || vkft_text_append(text, "\\", 1, err)) && vkft_text_append(text, argument, 1, err);
    }
    return ok && vkft_text_append(text, "\"", 1, err);
}

bool vkft_text_append_argument(vkft_text *text, bool on_windows, const char *argument, vkft_err *err)
{
    static const char plain[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-/:@+,";
    size_t length = strlen(argument), same = strspn(argument, plain);
    while (same < length && argument[same] == (on_windows ? '\\' : '%'))
        same += 1 + strspn(argument + same + 1, plain);
    if (length && same == length)
        return vkft_text_append(text, argument, length, err);
    return on_windows ? append_for_windows(text, argument, err) : append_for_posix(text, argument, err);
}

char *vkft_string_copy(const char *string)
{
    size_t size = strlen(string) + 1;
    char *copy = malloc(size);
    return copy ? memcpy(copy, string, size) : NULL;
}

bool vkft_string_ends_with(const char *string, const char *ending)
{
    size_t n = strlen(string), m = strlen(ending);
    return n > m && strcmp(string + n - m, ending) == 0;
}

int vkft_string_compare(const void *a, const void *b)
{
    const char *const *x = a, *const *y = b;
    return strcmp(*x, *y);
}

/* Levenshtein distance of two short words; longer ones are far apart. */
static uint32_t distance(const char *a, const char *b)
{
    enum { MAX_WORD = 48 };
    size_t n = strlen(a), m = strlen(b);
    if (n > MAX_WORD || m > MAX_WORD)
        return UINT32_MAX;
    uint32_t row[MAX_WORD + 1];
    for (uint32_t j = 0; j <= m; j++)
        row[j] = j;
    for (uint32_t i = 1; i <= n; i++) {
        uint32_t diagonal = row[0];
        row[0] = i;
        for (uint32_t j = 1; j <= m; j++) {
            uint32_t replace = diagonal + (a[i - 1] != b[j - 1]);
            uint32_t insert = min_u32(row[j], row[j - 1]) + 1;
            diagonal = row[j];
            row[j] = min_u32(replace, insert);
        }
    }
    return row[m];
}

const char *vkft_string_nearest(const char *word, const char *const *names, uint32_t count)
{
    const char *best = NULL;
    uint32_t best_distance = max_u32(2, (uint32_t)strlen(word) / 3) + 1;
    for (uint32_t i = 0; i < count; i++) {
        uint32_t d = distance(word, names[i]);
        if (d < best_distance && d < strlen(word)) {
            best = names[i];
            best_distance = d;
        }
    }
    return best;
}

void vkft_float_text(double number, char *text, size_t size)
{
    char digits[40];
    if (isnan(number) || isinf(number)) {
        snprintf(text, size, "%s", isnan(number) ? "nan" : number < 0 ? "-inf" : "inf");
        return;
    }
    int precision = 0;
    do
        snprintf(digits, sizeof digits, "%.*e", precision, number);
    while (strtod(digits, NULL) != number && ++precision < 17);
    int exponent = atoi(strchr(digits, 'e') + 1);
    if (exponent >= -4 && exponent < 16) {
        snprintf(text, size, "%.*f", precision > exponent ? precision - exponent : 1, number);
    } else {
        *strchr(digits, 'e') = 0;
        snprintf(text, size, "%se%c%02d", digits, exponent < 0 ? '-' : '+', abs(exponent));
    }
}

void vkft_bytes_text(uint64_t bytes, char *text, size_t size)
{
    double x = (double)bytes;
    if (bytes < 1024)
        snprintf(text, size, "%u B", (unsigned)bytes);
    else if (x < 0x1p20)
        snprintf(text, size, "%.1f KiB", x / 0x1p10);
    else if (x < 0x1p30)
        snprintf(text, size, "%.1f MiB", x / 0x1p20);
    else
        snprintf(text, size, "%.2f GiB", gib(bytes));
}

void vkft_time_text(double seconds, char *text, size_t size)
{
    uint64_t s = seconds > 0 ? (uint64_t)(seconds + 0.5) : 0;
    if (s >= 3600)
        snprintf(text, size, "%llu:%02u:%02u", (unsigned long long)(s / 3600), (unsigned)(s / 60 % 60),
                 (unsigned)(s % 60));
    else
        snprintf(text, size, "%u:%02u", (unsigned)(s / 60), (unsigned)(s % 60));
}
