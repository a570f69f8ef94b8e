/* What another process asks of a run that is going on, by a file in its directory (OUT/.vkft.request, one word). Who
 * may write into the directory may ask. */
#ifndef VKFT_RUN_REQUEST_H
#define VKFT_RUN_REQUEST_H

#include <stdbool.h>

#include "runtime/base/error.h"

#define VKFT_RUN_REQUEST_FILE ".vkft.request"

typedef enum vkft_run_request {
    VKFT_REQUEST_NONE,
    VKFT_REQUEST_PAUSE, /* wait after the step until this request is gone or another one is there */
    VKFT_REQUEST_SAVE,  /* a checkpoint after this step; the run removes the request */
    VKFT_REQUEST_STOP,  /* save and end, as Ctrl-C does; the run removes the request */
} vkft_run_request;

/* "pause", "save", "stop"; NULL: none. */
const char *vkft_run_request_name(vkft_run_request request);
/* false: no request has this name. */
bool vkft_run_request_of(const char *name, vkft_run_request *request);

/* What is asked of the run in this directory; NONE where the file is missing, unreadable or says something else. */
vkft_run_request vkft_run_request_read(const char *dir);
/* Instead of what was asked before; NONE takes it back. */
bool vkft_run_request_write(const char *dir, vkft_run_request request, vkft_err *err);
/* Whether a run is going on in the directory. */
bool vkft_run_is_going(const char *dir);

#endif
