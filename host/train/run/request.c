/* See request.h. */
#include "host/train/run/request.h"

#include <stdlib.h>
#include <string.h>

#include "host/train/run/run_private.h"
#include "runtime/base/file.h"
#include "runtime/base/os/os.h"

static const char *const names[] = {NULL, "pause", "save", "stop"};
#define NAMES (sizeof names / sizeof *names)

const char *vkft_run_request_name(vkft_run_request request)
{
    return names[request];
}

bool vkft_run_request_of(const char *name, vkft_run_request *request)
{
    for (size_t i = 1; i < NAMES; i++)
        if (strcmp(name, names[i]) == 0) {
            *request = (vkft_run_request)i;
            return true;
        }
    return false;
}

vkft_run_request vkft_run_request_read(const char *dir)
{
    vkft_run_request request = VKFT_REQUEST_NONE;
    char *path = vkft_path_join(dir, VKFT_RUN_REQUEST_FILE), *text = NULL;
    size_t size;
    if (path && vkft_file_exists(path) && vkft_file_read(path, 64, &text, &size, NULL)) {
        text[strcspn(text, "\r\n")] = 0;
        vkft_run_request_of(text, &request);
        free(text);
    }
    free(path);
    return request;
}

bool vkft_run_request_write(const char *dir, vkft_run_request request, vkft_err *err)
{
    char *path = vkft_path_join(dir, VKFT_RUN_REQUEST_FILE);
    const char *name = names[request];
    bool ok = path && (name ? vkft_file_write(path, name, strlen(name), err) : vkft_file_remove(path, err));
    if (!path)
        vkft_fail_memory(err, "for a request to a run");
    free(path);
    return ok;
}

bool vkft_run_is_going(const char *dir)
{
    char *path = vkft_path_join(dir, VKFT_RUN_LOCK);
    bool going = path && vkft_os_is_locked(path);
    free(path);
    return going;
}
