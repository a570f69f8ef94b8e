/* What commands that write files for other programs share. */
#include <stdlib.h>

#include "host/cli/cli.h"
#include "host/merge/modelfile.h"
#include "runtime/base/file.h"
#include "runtime/base/os/os.h"

bool cli_check_output(const char *path, bool replace, vkft_err *err)
{
    bool found = false;
    if (!replace && !vkft_file_find(path, &found, err))
        return false;
    return !found || vkft_fail(err, VKFT_ERR_INPUT, "%s: exists; --overwrite replaces it", path);
}

bool cli_check_modelfile(const char *file, bool replace, vkft_err *err)
{
    char *directory = vkft_path_parent(file), *path = directory ? vkft_path_join(directory, "Modelfile") : NULL;
    bool ok = path ? cli_check_output(path, replace, err) : vkft_fail_memory(err, "for a Modelfile");
    free(directory);
    free(path);
    return ok;
}

bool cli_write_modelfile(const char *name, const char *model, const char *file, bool is_adapter,
                         const vkft_observer *observer, vkft_err *err)
{
    char *directory = vkft_path_parent(file), *path = directory ? vkft_path_join(directory, "Modelfile") : NULL;
    char *beside = vkft_path_join(".", vkft_path_base(file)), *absolute = vkft_os_absolute_path(model);
    bool ok = (path && beside && absolute) || vkft_fail_memory(err, "for a Modelfile");
    if (ok) {
        const vkft_modelfile modelfile = {
            .from = is_adapter ? absolute : beside, .adapter = is_adapter ? beside : NULL, .model = model};
        ok = vkft_write_modelfile(&modelfile, path, observer, err);
    }
    if (ok)
        vkft_observer_say(observer, "ollama create %s -f %s", name, path);
    free(directory);
    free(path);
    free(beside);
    free(absolute);
    return ok;
}
