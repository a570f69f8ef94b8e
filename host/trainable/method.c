/* The table of adapter methods. */
#include "host/trainable/method.h"

#include <stddef.h>

static const vkft_adapter_method *const methods[] = {
#define METHOD(name) &vkft_method_##name,
#include "host/trainable/methods.def"
#undef METHOD
};

static const vkft_adapter_format *const formats[] = {
#define METHOD(name) &vkft_method_##name.format,
#include "host/trainable/methods.def"
#undef METHOD
    NULL,
};

const vkft_adapter_format *const *vkft_adapter_formats(void)
{
    return formats;
}

const vkft_adapter_method *vkft_adapter_method_of(const vkft_adapter_format *format)
{
    size_t i = 0;
    while (&methods[i]->format != format)
        i++;
    return methods[i];
}
