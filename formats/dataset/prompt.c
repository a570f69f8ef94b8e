/* Prompts are joined from fixed parts and values of a row. */
#include "formats/dataset/prompt.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

static char *join_prompt(const char *const *parts, size_t count)
{
    size_t size = 1;
    for (size_t i = 0; i < count; i++)
        size += strlen(parts[i]);
    char *prompt = malloc(size), *end = prompt;
    for (size_t i = 0; prompt && i < count; i++) {
        size_t n = strlen(parts[i]);
        memcpy(end, parts[i], n);
        end += n;
    }
    if (prompt)
        *end = 0;
    return prompt;
}

char *vkft_instruction_prompt(const char *instruction, const char *input)
{
    static const char task[] = "Below is an instruction that describes a task";
    static const char answer[] = "Write a response that appropriately completes the request.\n\n### Instruction:\n";
    if (input && *input) {
        const char *const parts[] = {task,
                                     ", paired with an input that provides further context. ",
                                     answer,
                                     instruction,
                                     "\n\n### Input:\n",
                                     input,
                                     "\n\n### Response:\n"};
        return join_prompt(parts, 7);
    }
    const char *const parts[] = {task, ". ", answer, instruction, "\n\n### Response:\n"};
    return join_prompt(parts, 5);
}

char *vkft_question_prompt(const char *question, const char *context)
{
    bool with = context && *context;
    const char *const parts[] = {
        with ? "### Context:\n" : "", with ? context : "", with ? "\n\n" : "", "### Question:\n", question,
        "\n\n### Answer:\n"};
    return join_prompt(parts, 6);
}

char *vkft_choices_prompt(const char *question, const char *context)
{
    bool with = context && *context;
    const char *const parts[] = {with ? context : "", with ? "\n" : "", "Question: ", question, "\nAnswer:"};
    return join_prompt(parts, 5);
}

char *vkft_joined_prompt(const char *first, const char *separator, const char *second)
{
    bool both = first && *first && second && *second;
    const char *const parts[] = {first ? first : "", both ? separator : "", second ? second : ""};
    return join_prompt(parts, 3);
}
