/* Lines of an answer's head. */
#ifndef VKFT_HUB_HEAD_H
#define VKFT_HUB_HEAD_H

#include "host/hub/http.h"

/* Takes a line "Name: value" into the answer; a line "HTTP/..." begins a new one. */
void vkft_hub_head_line(vkft_hub_answer *answer, const char *line, size_t length);

#endif
