/* See name.h. */
#include "host/hub/name.h"

#include <stdio.h>
#include <string.h>

#include "runtime/base/text.h"

static const char letters[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.";

bool vkft_hub_is_path(const char *path)
{
    for (const char *c = path; *c; c++) /* what a terminal obeys is in no name, either */
        if (*c == '\\' || *c == ':' || (unsigned char)*c < ' ' || *c == 127)
            return false;
    for (const char *part = path;; part++) {
        size_t length = strcspn(part, "/");
        if (length == 0 || strncmp(part, "..", length) == 0)
            return false;
        part += length;
        if (!*part)
            return true;
    }
}

bool vkft_hub_is_hash(const char *text, unsigned digits)
{
    return strspn(text, "0123456789abcdef") == digits && !text[digits];
}

/* What the hub allows: no point or hyphen at either end, and neither twice in sequence, since "--" is '/' in a cache.
 */
static bool is_part(const char *text, size_t length)
{
    for (size_t i = 0; i + 1 < length; i++)
        if ((text[i] == '-' && text[i + 1] == '-') || (text[i] == '.' && text[i + 1] == '.'))
            return false;
    return length && length <= 96 && text[0] != '.' && text[0] != '-' && text[length - 1] != '.' &&
           text[length - 1] != '-';
}

static bool copy(char *to, size_t size, const char *from, size_t length)
{
    if (length == 0 || length >= size)
        return false;
    memcpy(to, from, length);
    to[length] = 0;
    return true;
}

bool vkft_hub_name_parse(const char *text, vkft_hub_type type, vkft_hub_name *name)
{
    *name = (vkft_hub_name){.type = type, .revision = "main"};
    size_t owner = strspn(text, letters), second = text[owner] == '/' ? strspn(text + owner + 1, letters) : 0;
    size_t length = owner + 1 + second;
    if (!second || !is_part(text, owner) || !is_part(text + owner + 1, second) ||
        !copy(name->repository, sizeof name->repository, text, length))
        return false;
    const char *rest = text + length;
    if (*rest == '@') {
        size_t revision = strcspn(rest + 1, ":");
        if (!copy(name->revision, sizeof name->revision, rest + 1, revision) || !vkft_hub_is_path(name->revision))
            return false;
        rest += 1 + revision;
    }
    if (*rest == ':' && type == VKFT_HUB_MODEL) {
        if (!copy(name->file, sizeof name->file, rest + 1, strlen(rest + 1)) || !vkft_hub_is_path(name->file))
            return false;
        rest += strlen(rest);
    }
    /* A file of vkft in a directory that is not there is no name. */
    return !*rest && (text[length] || !vkft_string_ends_with(text, ".vkft"));
}

const char *vkft_hub_type_name(vkft_hub_type type)
{
    return type == VKFT_HUB_MODEL ? "models" : "datasets";
}
