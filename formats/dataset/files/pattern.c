/* See pattern.h. */
#include <string.h>

#include "formats/dataset/files/pattern.h"

bool vkft_path_is_pattern(const char *text)
{
    return strpbrk(text, "*?[") != NULL;
}

/* One of [...]; *end is what follows it, NULL where it does not end. */
static bool in_class(const char *p, char c, const char **end)
{
    bool inverse = *p == '!' || *p == '^', found = false;
    const char *first = p += inverse;
    for (; *p && (*p != ']' || p == first); p++) {
        if (p[1] == '-' && p[2] && p[2] != ']') {
            found = found || ((unsigned char)*p <= (unsigned char)c && (unsigned char)c <= (unsigned char)p[2]);
            p += 2;
        } else {
            found = found || *p == c;
        }
    }
    *end = *p ? p + 1 : NULL;
    return found != inverse;
}

/* Matches from `p` on. What a star stands for grows while the rest does not match; only the last star of a kind is
 * tried again, and a ** again where a * has ended, so the time is at most the product of three lengths. */
bool vkft_path_matches(const char *pattern, const char *path)
{
    const char *p = pattern, *s = path;
    const char *star = NULL, *star_at = NULL, *deep = NULL, *deep_at = NULL; /* after the star; what it stands for */
    while (strncmp(p, "./", 2) == 0)
        p += 2;
    while (*s || *p) {
        const char *end;
        if (p[0] == '*' && p[1] == '*') {
            p += p[2] == '/' ? 3 : 2;
            deep = p;
            deep_at = s;
            star = NULL;
        } else if (*p == '*') {
            star = ++p;
            star_at = s;
        } else if (*s && *p == '[' && *s != '/' && in_class(p + 1, *s, &end) && end) {
            p = end;
            s++;
        } else if (*s && ((*p == '?' && *s != '/') || (*p == *s && *p))) {
            p++;
            s++;
        } else if (!*p && *s == '/') {
            return true; /* inside a directory */
        } else if (star && *star_at && *star_at != '/') {
            p = star;
            s = ++star_at;
        } else if (deep && *deep_at) {
            p = deep;
            s = ++deep_at;
            star = NULL;
        } else {
            return false;
        }
    }
    return true;
}
