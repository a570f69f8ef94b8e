/* The prompts that rows become when the user gives no template. */
#ifndef VKFT_DATASET_PROMPT_H
#define VKFT_DATASET_PROMPT_H

/* The prompt that an instruction row becomes (the Alpaca template); input may be NULL or empty. Malloc'ed. */
char *vkft_instruction_prompt(const char *instruction, const char *input);
/* "### Context:\n...\n\n### Question:\n...\n\n### Answer:\n", without the first part where context is NULL or empty.
 * Malloc'ed. */
char *vkft_question_prompt(const char *question, const char *context);
/* "Question: ...\nAnswer:", after the context and a line's end where there is one: lm-evaluation-harness's for ARC.
 * Malloc'ed. */
char *vkft_choices_prompt(const char *question, const char *context);
/* Two texts with the separator between them, which goes away with an empty or absent one. Malloc'ed. */
char *vkft_joined_prompt(const char *first, const char *separator, const char *second);

#endif
