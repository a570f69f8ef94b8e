/* What sessions share that run one after another on one model: the opened file, the device, and the weights on it,
 * which are converted, quantized and uploaded once. A session that is opened on a base (vkft_session_source.base) takes
 * all of it and gives it back when it is closed; the model's layout, adapters and passes are each session's own.
 */
#ifndef VKFT_BASE_H
#define VKFT_BASE_H

#include "host/model/model.h"

/* All zero: nothing was opened yet. All sessions of a base have the same vkft_model_options. */
typedef struct vkft_base {
    vkft_model_file *file;
    vkft_device *dev;
    vkft_in_place in_place;
    vkft_residency weights; /* none while a session runs, nor where weights are streamed */
} vkft_base;

/* When no session has it. */
void vkft_base_close(vkft_base *base);

#endif
