/* See gguf_choice.h. */
#include "host/hub/gguf_choice.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>

#include "runtime/base/file.h"
#include "runtime/base/text.h"

/* What vision models have beside the language model. */
static bool is_model(const char *path)
{
    return vkft_string_ends_with(path, ".gguf") && strncmp(vkft_path_base(path), "mmproj", 6) != 0;
}

/* The length of a path without "-00001-of-00003.gguf" or ".gguf"; files of one model agree up to there. */
static size_t stem(const char *path)
{
    size_t length = strlen(path) - 5;
    static const size_t part = sizeof "-00001-of-00003" - 1;
    const char *tail = length > part ? path + length - part : NULL;
    return tail && tail[0] == '-' && strspn(tail + 1, "0123456789") == 5 && strncmp(tail + 6, "-of-", 4) == 0
               ? length - part
               : length;
}

static bool same_model(const char *a, const char *b)
{
    return stem(a) == stem(b) && strncmp(a, b, stem(a)) == 0;
}

static char upper(char c)
{
    return (char)toupper((unsigned char)c);
}

/* Whether the part stands in the name as a word: "Q4_K" is not in "Q4_K_M". */
static bool names(const char *path, const char *part)
{
    const char *base = vkft_path_base(path);
    size_t length = strlen(part), all = strlen(path) - (size_t)(base - path);
    for (size_t i = 0; i + length <= all; i++) {
        size_t n = 0;
        while (n < length && upper(base[i + n]) == upper(part[n]))
            n++;
        bool starts = i == 0 || !(isalnum((unsigned char)base[i - 1]) || base[i - 1] == '_');
        char after = base[i + length];
        if (n == length && starts && !(isalnum((unsigned char)after) || after == '_'))
            return true;
    }
    return false;
}

static bool fits(const char *path, const char *asked)
{
    return !*asked || strcmp(path, asked) == 0 || (!vkft_string_ends_with(asked, ".gguf") && names(path, asked));
}

/* The first file that fits; *count: how many models do. */
static const vkft_hub_file *find(const vkft_hub_listing *listing, const char *asked, uint32_t *count)
{
    const vkft_hub_file *first = NULL, *last = NULL;
    *count = 0;
    for (uint32_t i = 0; i < listing->count; i++) {
        const vkft_hub_file *f = &listing->files[i];
        if (!is_model(f->path) || !fits(f->path, asked))
            continue;
        *count += !last || !same_model(last->path, f->path);
        first = first ? first : f;
        last = f;
    }
    return first;
}

static void list_names(const vkft_hub_listing *listing, char *text, size_t size)
{
    const vkft_hub_file *last = NULL;
    size_t length = 0;
    text[0] = 0;
    for (uint32_t i = 0; i < listing->count && length + 1 < size; i++) {
        const vkft_hub_file *f = &listing->files[i];
        if (!is_model(f->path) || (last && same_model(last->path, f->path)))
            continue;
        int n = snprintf(text + length, size - length, "%s%s", last ? ", " : "", f->path);
        length += (size_t)n;
        last = f;
    }
    if (length >= size)
        memcpy(text + size - 4, "...", 4);
}

bool vkft_hub_choose_gguf(const char *text, const char *asked, vkft_hub_listing *listing, bool *any, vkft_err *err)
{
    uint32_t count, fitting;
    char list[900];
    const vkft_hub_file *chosen = find(listing, "", &count);
    *any = chosen != NULL;
    if (!*any && !*asked)
        return true;
    if (*asked || count > 1)
        chosen = find(listing, *asked ? asked : "Q4_K_M", &fitting);
    else
        fitting = count;
    list_names(listing, list, sizeof list);
    if (fitting != 1)
        return vkft_fail(err, VKFT_ERR_INPUT,
                         "%s: %s of its GGUF files %s; it has %s: add ':' and a part of one's name, "
                         "as in OWNER/NAME:Q4_K_M",
                         text, fitting ? "several" : "none", *asked ? "fits" : "is named Q4_K_M",
                         *list ? list : "none");
    for (uint32_t i = 0; i < listing->count; i++)
        if (is_model(listing->files[i].path) && same_model(listing->files[i].path, chosen->path))
            listing->files[i].wanted = true;
    return true;
}
