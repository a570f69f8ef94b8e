/* Lines about an adapter on a model. */
#include "host/trainable/adapter_notes.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>

#define NAMED 3 /* modules that are told by name */

/* The last part of a path or of a name on the hub, whose cache calls org/name "models--org--name". */
static const char *short_name(const char *path, size_t *length)
{
    const char *hub = NULL;
    size_t end = strlen(path);
    while (end && (path[end - 1] == '/' || path[end - 1] == '\\'))
        end--;
    for (const char *p = path; (p = strstr(p, "models--")); p++)
        hub = p;
    if (hub)
        end = (size_t)(hub - path) + strcspn(hub, "/\\");
    size_t start = end;
    while (start && path[start - 1] != '/' && path[start - 1] != '\\' &&
           !(hub && start >= 2 && path[start - 1] == '-' && path[start - 2] == '-'))
        start--;
    *length = end - start;
    return path + start;
}

static bool same_base(const char *a, const char *b)
{
    size_t n, m;
    const char *x = short_name(a, &n), *y = short_name(b, &m);
    bool same = n == m;
    for (size_t i = 0; same && i < n; i++)
        same = tolower((unsigned char)x[i]) == tolower((unsigned char)y[i]);
    return same;
}

static bool say_missing(const vkft_adapter_set *set, const vkft_adapter *adapter, const vkft_observer *observer,
                        vkft_err *err)
{
    char names[NAMED * 136] = "", rest[40] = "";
    uint32_t missing = 0, next = 0;
    for (uint32_t i = 0; i < set->model->module_count; i++) {
        const vkft_module *module = &set->model->modules[i];
        bool named = adapter->config.target_all_linear && !module->explicit_only;
        if (next < set->count && strcmp(set->modules[next].name, module->name) == 0) { /* both in the model's order */
            next++;
            continue;
        }
        if (!named && !vkft_module_targets_find(&adapter->config.targets, module->name, &named, err))
            return false;
        if (named && missing++ < NAMED) {
            size_t n = strlen(names);
            snprintf(names + n, sizeof names - n, "%s%s", n ? ", " : "", module->name);
        }
    }
    if (missing > NAMED)
        snprintf(rest, sizeof rest, " and %u more", missing - NAMED);
    if (missing)
        vkft_observer_say(observer,
                          "warning: the adapter's configuration names %u module%s that it has no weights for; they "
                          "stay as they are: %s%s",
                          missing, missing == 1 ? "" : "s", names, rest);
    return true;
}

bool vkft_adapter_say_notes(const vkft_adapter_set *set, const vkft_adapter *adapter, const char *base,
                            const vkft_observer *observer, vkft_err *err)
{
    const char *trained_on = adapter->config.base_model_name_or_path;
    if (trained_on && *trained_on && base && !same_base(trained_on, base))
        vkft_observer_say(observer,
                          "warning: the adapter says that it was trained on '%.200s', and the model is '%.200s'",
                          trained_on, base);
    return say_missing(set, adapter, observer, err);
}
