/* See settings.h. */
#include "host/hub/settings.h"

#include <stdlib.h>
#include <string.h>

#include "runtime/base/file.h"
#include "runtime/base/os/machine.h"
#include "runtime/base/os/os.h"
#include "runtime/base/text.h"

enum { MAX_TOKEN_BYTES = 4096 };

static bool is_on(const char *name)
{
    static const char *const yes[] = {"1", "ON", "YES", "TRUE", "on", "yes", "true", "On", "Yes", "True"};
    char *value = vkft_os_environment(name);
    bool on = false;
    for (size_t i = 0; value && i < sizeof yes / sizeof *yes; i++)
        on |= strcmp(value, yes[i]) == 0;
    free(value);
    return on;
}

/* $HF_HOME, else huggingface/ in the user's cache directory, which Windows has at another place for Python's programs.
 */
static char *home(void)
{
    char *named = vkft_os_environment("HF_HOME");
    if (named)
        return named;
    char *user = vkft_os_is_windows() ? vkft_os_environment("USERPROFILE") : vkft_os_user_cache_directory(),
         *path = user ? vkft_path_join(user, vkft_os_is_windows() ? ".cache/huggingface" : "huggingface") : NULL;
    free(user);
    return path;
}

static char *cache_directory(const char *home_path)
{
    char *path = vkft_os_environment("HF_HUB_CACHE");
    if (!path)
        path = vkft_os_environment("HUGGINGFACE_HUB_CACHE");
    return path ? path : home_path ? vkft_path_join(home_path, "hub") : NULL;
}

static void trim(char *text)
{
    size_t length = strlen(text), start = 0;
    while (length && vkft_is_space(text[length - 1]))
        text[--length] = 0;
    while (vkft_is_space(text[start]))
        start++;
    memmove(text, text + start, length - start + 1);
}

static char *read_token(const char *home_path)
{
    char *token = vkft_os_environment("HF_TOKEN");
    if (!token)
        token = vkft_os_environment("HUGGING_FACE_HUB_TOKEN");
    if (!token) {
        char *path = vkft_os_environment("HF_TOKEN_PATH");
        if (!path && home_path)
            path = vkft_path_join(home_path, "token");
        size_t size;
        if (path && !vkft_file_read(path, MAX_TOKEN_BYTES, &token, &size, NULL))
            token = NULL;
        free(path);
    }
    if (token)
        trim(token);
    if (token && !*token) {
        free(token);
        token = NULL;
    }
    return token;
}

static bool is_header(const char *text)
{
    for (; *text; text++)
        if (*text <= ' ' || *text > '~')
            return false;
    return true;
}

bool vkft_hub_settings_read(vkft_hub_settings *settings, vkft_err *err)
{
    char *home_path = home();
    *settings = (vkft_hub_settings){.endpoint = vkft_os_environment("HF_ENDPOINT"),
                                    .token = read_token(home_path),
                                    .cache = cache_directory(home_path),
                                    .offline = is_on("HF_HUB_OFFLINE") || is_on("TRANSFORMERS_OFFLINE"),
                                    .backoff = 1};
    free(home_path);
    if (!settings->endpoint)
        settings->endpoint = vkft_string_copy("https://huggingface.co");
    bool ok = settings->endpoint || vkft_fail_memory(err, "while reading the environment");
    for (size_t n = ok ? strlen(settings->endpoint) : 0; n && settings->endpoint[n - 1] == '/'; n--)
        settings->endpoint[n - 1] = 0;
    if (ok && !settings->cache)
        ok = vkft_fail(err, VKFT_ERR_INPUT,
                       "no directory for what is downloaded from the hub is known; set HF_HOME to one");
    if (ok && settings->token && !is_header(settings->token))
        ok = vkft_fail(err, VKFT_ERR_INPUT,
                       "the token for the hub (HF_TOKEN, or the file token in HF_HOME) has characters that no token "
                       "has; set it anew with 'hf auth login'");
    if (!ok)
        vkft_hub_settings_free(settings);
    return ok;
}

void vkft_hub_settings_free(vkft_hub_settings *settings)
{
    free(settings->endpoint);
    free(settings->token);
    free(settings->cache);
    *settings = (vkft_hub_settings){0};
}
