/* Rows in JSON as Python's json reads them: of a key that stands twice in an object the last value counts, and NaN,
 * Infinity and -Infinity are numbers. */
#include <stdlib.h>
#include <string.h>

#include "formats/dataset/rows/rows.h"
#include "runtime/base/json.h"

/* Objects with more keys are sorted to find those that stand twice. */
#define FEW_KEYS 24

typedef struct placed_key {
    cJSON *item;
    size_t place;
} placed_key;

static int by_key(const void *pa, const void *pb)
{
    const placed_key *a = pa, *b = pb;
    int order = strcmp(a->item->string, b->item->string);
    return order ? order : a->place < b->place ? -1 : a->place > b->place;
}

/* The value of `later` takes the place of `earlier`, which has the same key. */
static bool replace_earlier(cJSON *object, cJSON *earlier, cJSON *later)
{
    return cJSON_ReplaceItemViaPointer(object, earlier, cJSON_DetachItemViaPointer(object, later));
}

static bool keep_last_of_many(cJSON *object, size_t count)
{
    placed_key *keys = malloc(count * sizeof *keys);
    size_t n = 0;
    bool ok = keys != NULL;
    for (cJSON *item = object->child; ok && item; item = item->next, n++)
        keys[n] = (placed_key){item, n};
    if (ok)
        qsort(keys, n, sizeof *keys, by_key);
    for (size_t i = 0; ok && i + 1 < n; i++)
        if (strcmp(keys[i].item->string, keys[i + 1].item->string) == 0)
            ok = replace_earlier(object, keys[i].item, keys[i + 1].item);
    free(keys);
    return ok;
}

static bool keep_last_of_few(cJSON *object)
{
    for (cJSON *item = object->child; item;) {
        cJSON *later = item->next;
        while (later && strcmp(item->string, later->string) != 0)
            later = later->next;
        if (later && !replace_earlier(object, item, later))
            return false;
        item = later ? later : item->next; /* later is in the place of item now, and may stand a third time */
    }
    return true;
}

static bool keep_last(cJSON *value)
{
    size_t count = 0;
    bool ok = true;
    for (cJSON *item = value->child; ok && item; item = item->next, count++)
        if (item->child)
            ok = keep_last(item);
    if (!ok || !cJSON_IsObject(value) || count < 2)
        return ok;
    return count <= FEW_KEYS ? keep_last_of_few(value) : keep_last_of_many(value, count);
}

/* The text with null for NaN and numbers out of range for infinities; NULL: it has none, or out of memory. */
static char *rewrite_numbers(const char *text, size_t length, size_t *rewritten)
{
    static const struct {
        const char *from, *to;
    } numbers[] = {{"NaN", "null"}, {"-Infinity", "-1e999"}, {"Infinity", "1e999"}};
    char *out = malloc(length + length / 3 + 1);
    size_t n = 0;
    bool quoted = false, any = false;
    for (size_t i = 0; out && i < length; i++) {
        char c = text[i];
        size_t k = 0;
        while (
            !quoted && k < 3 &&
            !(length - i >= strlen(numbers[k].from) && memcmp(text + i, numbers[k].from, strlen(numbers[k].from)) == 0))
            k++;
        if (!quoted && k < 3) {
            memcpy(out + n, numbers[k].to, strlen(numbers[k].to));
            n += strlen(numbers[k].to);
            i += strlen(numbers[k].from) - 1;
            any = true;
            continue;
        }
        out[n++] = c;
        if (quoted && c == '\\' && i + 1 < length)
            out[n++] = text[++i];
        else if (c == '"')
            quoted = !quoted;
    }
    *rewritten = n;
    if (any)
        return out;
    free(out);
    return NULL;
}

cJSON *vkft_json_row_parse(const char *text, size_t length, const char *path, uint64_t line, vkft_err *err)
{
    cJSON *row = vkft_json_parse_exact(text, length, path, line, err);
    if (!row) {
        size_t size;
        char *numbers = rewrite_numbers(text, length, &size);
        row = numbers ? vkft_json_parse_exact(numbers, size, path, line, NULL) : NULL;
        free(numbers);
    }
    if (row && !keep_last(row)) {
        cJSON_Delete(row);
        vkft_fail_memory(err, "while reading %s", path);
        return NULL;
    }
    return row;
}
