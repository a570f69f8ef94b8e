/* Addresses on the hub. */
#include "host/hub/transfer.h"

#include <stdio.h>
#include <string.h>

#include "runtime/base/text.h"

/* Everything but letters, digits and "-_.~" as %XX; keeps '/' unless it is part of one name. */
static bool append_escaped(vkft_text *url, const char *text, bool keep_slash, vkft_err *err)
{
    static const char plain[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.~";
    bool ok = true;
    for (; ok && *text; text++) {
        char code[4];
        if (strchr(plain, *text) || (keep_slash && *text == '/'))
            ok = vkft_text_append(url, text, 1, err);
        else
            ok =
                snprintf(code, sizeof code, "%%%02X", (unsigned char)*text) == 3 && vkft_text_append(url, code, 3, err);
    }
    return ok;
}

static bool append(vkft_text *url, const char *text, vkft_err *err)
{
    return vkft_text_append(url, text, strlen(text), err);
}

static char *finish(vkft_text *url, bool ok)
{
    if (!ok)
        vkft_text_free(url);
    return url->data;
}

char *vkft_hub_listing_url(const vkft_hub_settings *settings, const vkft_hub_name *name, vkft_err *err)
{
    vkft_text url = {0};
    bool ok = append(&url, settings->endpoint, err) && append(&url, "/api/", err) &&
              append(&url, vkft_hub_type_name(name->type), err) && append(&url, "/", err) &&
              append_escaped(&url, name->repository, true, err) && append(&url, "/revision/", err) &&
              append_escaped(&url, name->revision, false, err) && append(&url, "?blobs=true", err);
    return finish(&url, ok);
}

char *vkft_hub_file_url(const vkft_hub_settings *settings, const vkft_hub_name *name, const char *commit,
                        const char *path, vkft_err *err)
{
    vkft_text url = {0};
    bool ok = append(&url, settings->endpoint, err) &&
              append(&url, name->type == VKFT_HUB_DATASET ? "/datasets/" : "/", err) &&
              append_escaped(&url, name->repository, true, err) && append(&url, "/resolve/", err) &&
              append(&url, commit, err) && append(&url, "/", err) && append_escaped(&url, path, true, err);
    return finish(&url, ok);
}
