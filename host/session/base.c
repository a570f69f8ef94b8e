/* See base.h. */
#include "host/session/base.h"

void vkft_base_close(vkft_base *base)
{
    vkft_residency_free(&base->weights, base->dev);
    vkft_in_place_close(&base->in_place, base->dev);
    vkft_model_file_close(base->file);
    vkft_device_close(base->dev);
    *base = (vkft_base){0};
}
