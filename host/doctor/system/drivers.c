/* See drivers.h. */
#include "host/doctor/system/drivers.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cjson/cJSON.h>

#include "runtime/base/directory.h"
#include "runtime/base/file.h"
#include "runtime/base/os/machine.h"
#include "runtime/base/os/os.h"
#include "runtime/base/text.h"

typedef struct listing {
    vkft_driver_manifest *manifests;
    uint32_t count;
    const char *directory;
} listing;

bool vkft_driver_manifest_parse(const char *text, size_t length, vkft_driver_manifest *manifest)
{
    cJSON *json = cJSON_ParseWithLength(text, length);
    const cJSON *icd = cJSON_GetObjectItem(json, "ICD");
    const char *library = cJSON_GetStringValue(cJSON_GetObjectItem(icd, "library_path")),
               *api = cJSON_GetStringValue(cJSON_GetObjectItem(icd, "api_version"));
    snprintf(manifest->library, sizeof manifest->library, "%s", library ? library : "");
    snprintf(manifest->api, sizeof manifest->api, "%s", api ? api : "");
    cJSON_Delete(json);
    return library != NULL;
}

static void add(listing *l, const char *path)
{
    char text[8192];
    for (uint32_t i = 0; i < l->count; i++)
        if (strcmp(vkft_path_base(l->manifests[i].path), vkft_path_base(path)) == 0)
            return; /* a file hides those of its name in later directories */
    if (l->count == VKFT_MAX_MANIFESTS)
        return;
    vkft_driver_manifest *m = &l->manifests[l->count++];
    *m = (vkft_driver_manifest){0};
    snprintf(m->path, sizeof m->path, "%s", path);
    vkft_os_read_text(path, text, sizeof text);
    vkft_driver_manifest_parse(text, strlen(text), m);
}

static bool add_entry(void *context, const char *name)
{
    listing *l = context;
    char path[512];
    if (!vkft_string_ends_with(name, ".json"))
        return true;
    snprintf(path, sizeof path, "%.380s/%.120s", l->directory, name);
    add(l, path);
    return true;
}

static void add_directory(listing *l, const char *root, const char *base, size_t length)
{
    char directory[400];
    snprintf(directory, sizeof directory, "%.100s%.*s/vulkan/icd.d", root, (int)(length < 200 ? length : 200), base);
    l->directory = directory;
    vkft_directory_list(directory, add_entry, l, NULL);
}

/* Each of a list of paths between colons: files or directories of manifests, or directories below which they lie. */
static void add_list(listing *l, const char *root, const char *paths, bool are_files)
{
    for (const char *at = paths; *at;) {
        size_t n = strcspn(at, ":");
        char path[512];
        snprintf(path, sizeof path, "%.*s", (int)(n < 500 ? n : 500), at);
        if (!are_files)
            add_directory(l, root, path, strlen(path));
        else if (n && vkft_directory_exists(path)) {
            l->directory = path;
            vkft_directory_list(path, add_entry, l, NULL);
        } else if (n) {
            add(l, path);
        }
        at += n + (at[n] == ':');
    }
}

/* A list from the environment, or the default of its standard; `below`: of the home directory. */
static void add_standard(listing *l, const char *root, const char *variable, const char *fallback, bool below_home)
{
    char *value = vkft_os_environment(variable), *home = below_home ? vkft_os_environment("HOME") : NULL;
    char path[512] = "";
    if (!value && below_home && home)
        snprintf(path, sizeof path, "%.400s/%s", home, fallback);
    else if (!value && !below_home)
        snprintf(path, sizeof path, "%s", fallback);
    add_list(l, root, value ? value : path, false);
    free(value), free(home);
}

uint32_t vkft_driver_manifests(const char *root, vkft_driver_manifest manifests[VKFT_MAX_MANIFESTS], const char **named)
{
    static const char *const variables[] = {"VK_DRIVER_FILES", "VK_ICD_FILENAMES"};
    listing l = {.manifests = manifests};
    *named = NULL;
    if (vkft_os_is_windows())
        return 0;
    for (int i = 0; i < 2; i++) {
        char *value = vkft_os_environment(variables[i]);
        if (value && !*named) {
            *named = variables[i];
            add_list(&l, root, value, true);
        }
        free(value);
    }
    if (*named)
        return l.count;
    add_standard(&l, root, "XDG_CONFIG_HOME", ".config", true);
    add_standard(&l, root, "XDG_CONFIG_DIRS", "/etc/xdg", false);
    add_list(&l, root, "/etc", false);
    add_standard(&l, root, "XDG_DATA_HOME", ".local/share", true);
    add_standard(&l, root, "XDG_DATA_DIRS", "/usr/local/share:/usr/share", false);
    return l.count;
}
