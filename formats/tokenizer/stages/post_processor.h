/* Post-processors: the special tokens around one sequence and around a pair. */
#ifndef VKFT_TOKENIZER_POST_PROCESSOR_H
#define VKFT_TOKENIZER_POST_PROCESSOR_H

#include <cjson/cJSON.h>

#include "formats/tokenizer/ids.h"

/* What the post-processor makes of one sequence, A, or of a pair: special tokens and the sequences, in order. */
enum { VKFT_POST_A = -1, VKFT_POST_B = -2 };
typedef struct vkft_post_processor {
    vkft_ids single, pair; /* token ids, VKFT_POST_A, VKFT_POST_B */
} vkft_post_processor;
bool vkft_post_processor_new(vkft_post_processor *post, const cJSON *json, const char *file, vkft_err *err);
void vkft_post_processor_free(vkft_post_processor *post);

#endif
