/* What the runs answered to --sample-prompts, before training and after it, prompt by prompt, as HTML. */
#ifndef VKFT_PLOT_ANSWERS_H
#define VKFT_PLOT_ANSWERS_H

#include "host/plot/log.h"
#include "runtime/base/text.h"

/* Nothing where no run has answers. A run has the colour of its number, as in charts. */
bool vkft_plot_answers(const vkft_plot_log *logs, size_t count, vkft_text *out, vkft_err *err);
extern const char vkft_plot_answers_style[]; /* CSS */

#endif
