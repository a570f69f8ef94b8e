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

/* The first of these variables that is set; a NULL ends them. malloc'ed, or NULL. */
static char *first_set(const char *const *names)
{
    char *value = NULL;
    for (; *names && !value; names++)
        value = vkft_os_environment(*names);
    return value;
}

/* The user's cache directory as Python's programs see it: on Windows in another place than its own programs. */
static char *user_cache(void)
{
    if (!vkft_os_is_windows())
        return vkft_os_user_cache_directory();
    char *path = vkft_os_environment("XDG_CACHE_HOME"), *user = path ? NULL : vkft_os_environment("USERPROFILE");
    if (user)
        path = vkft_path_join(user, ".cache");
    free(user);
    return path;
}

/* $HF_HOME, else huggingface/ in the user's cache directory. */
static char *home(void)
{
    char *path = vkft_os_environment("HF_HOME"), *cache = path ? NULL : user_cache();
    if (cache)
        path = vkft_path_join(cache, "huggingface");
    free(cache);
    return path;
}

static char *cache_directory(const char *home_path)
{
    char *path = first_set((const char *const[]){"HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE", NULL});
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
    char *token = first_set((const char *const[]){"HF_TOKEN", "HUGGING_FACE_HUB_TOKEN", NULL});
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
    *settings = (vkft_hub_settings){
        .endpoint = vkft_os_environment("HF_ENDPOINT"),
        .token = read_token(home_path),
        .cache = cache_directory(home_path),
        .certificates = first_set((const char *const[]){"REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE", NULL}),
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
    free(settings->certificates);
    *settings = (vkft_hub_settings){0};
}
