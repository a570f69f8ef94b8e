/* Opening a model to use what was trained: with the storage type and the products that it was trained with, unless the
 * user says otherwise. A run leaves a record of both in its result and in its checkpoints. */
#ifndef VKFT_SESSION_AS_TRAINED_H
#define VKFT_SESSION_AS_TRAINED_H

#include "host/session/session.h"

/* Under this name a run remembers the label of the storage type, in the object "run" of its record. */
#define VKFT_RECORD_WEIGHTS "weights stored as"

/* The model with the adapter of this directory, which may be NULL. A model that was trained whole is used as it is
 * stored. base: as in vkft_session_source. Says what was chosen, and what differs from the training. Error: those of
 * vkft_session_open and of vkft_session_use_adapter. */
bool vkft_session_open_as_trained(vkft_session *session, const vkft_model_options *model, const char *adapter,
                                  vkft_base *base, const vkft_observer *observer, vkft_err *err);

#endif
