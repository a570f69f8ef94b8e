/* What a person should know of a converted model: kept in its file, and said whenever it is opened. Internal to
 * formats. */
#ifndef VKFT_CONVERT_NOTES_H
#define VKFT_CONVERT_NOTES_H

#include <cjson/cJSON.h>

#include "formats/config/config.h"
#include "formats/convert/hf_checkpoint.h"

/* Adds a line to the JSON array. */
bool vkft_note(cJSON *notes, const char *format, ...) VKFT_PRINTF(2, 3);

/* One line for each other part of a multimodal model, and one for tensors that no part of the model takes. Buffers that
 * programs store and compute again, and what belongs to quantized weights, are left out. false: out of memory. */
bool vkft_note_unused(cJSON *notes, const vkft_config *config, const vkft_hf_checkpoint *checkpoint);

#endif
