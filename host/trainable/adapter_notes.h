/* What a person should know of an adapter that is put on a model. */
#ifndef VKFT_ADAPTER_NOTES_H
#define VKFT_ADAPTER_NOTES_H

#include "host/trainable/adapters.h"
#include "runtime/base/observer.h"

/* Says that the adapter was trained on another model than `base` (a path or a name on the hub), going by the last part
 * of the names, and which of the modules that its configuration names it has no weights for. set: chosen from it.
 * Error: an expression in the configuration cannot be matched. */
bool vkft_adapter_say_notes(const vkft_adapter_set *set, const vkft_adapter *adapter, const char *base,
                            const vkft_observer *observer, vkft_err *err);

#endif
