/* Which GGUF file of a repository that has several, one for each quantization. */
#ifndef VKFT_HUB_GGUF_CHOICE_H
#define VKFT_HUB_GGUF_CHOICE_H

#include "host/hub/listing.h"

/* Marks the file with this path, or with this part in its name ("Q4_K_M", any case); of a split model all files. "" as
 * asked: the only one, else Q4_K_M. *any: whether there are GGUF files. Error: none or several fit; they are listed. */
bool vkft_hub_choose_gguf(const char *text, const char *asked, vkft_hub_listing *listing, bool *any, vkft_err *err);

#endif
