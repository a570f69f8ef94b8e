/* A recipe, YAML or (when it begins with '{') JSON, read into options by a table with a flag of each kind. */
#include <stdlib.h>
#include <string.h>

#include "host/cli/flags/flags.h"
#include "tests/fuzz/common/memory_files.h"

typedef struct options {
    bool shuffle;
    uint32_t batch;
    uint64_t seed;
    int64_t steps;
    float alpha;
    double rate;
    const char *model;
    int schedule;
} options;

static const flag_choice schedules[] = {{"linear", 0, false}, {"cosine", 1, false}, {NULL, 0, false}};

static const flag flags[] = {
    {.kind = FLAG_SWITCH, .name = "shuffle", .help = "a", .offset = offsetof(options, shuffle)},
    {.kind = FLAG_U32,
     .name = "batch-size",
     .help = "b",
     .value = "N",
     .offset = offsetof(options, batch),
     .range = AT_LEAST(1)},
    {.kind = FLAG_U64, .name = "seed", .help = "c", .value = "N", .offset = offsetof(options, seed)},
    {.kind = FLAG_I64, .name = "max-steps", .help = "d", .value = "N", .offset = offsetof(options, steps)},
    {.kind = FLAG_FLOAT,
     .name = "lora-alpha",
     .help = "e",
     .value = "X",
     .offset = offsetof(options, alpha),
     .range = ABOVE(0)},
    {.kind = FLAG_DOUBLE, .name = "learning-rate", .help = "f", .value = "X", .offset = offsetof(options, rate)},
    {.kind = FLAG_TEXT, .name = "model", .help = "g", .value = "M", .offset = offsetof(options, model)},
    {.kind = FLAG_CHOICE,
     .name = "schedule",
     .help = "h",
     .value = "S",
     .offset = offsetof(options, schedule),
     .choices = schedules},
};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static char word_c[] = "-c", word_file[] = "fuzz.recipe";
    static const flag_spelling spellings[] = {
        {.name = "base_model", .flag = "model"},
        {.name = "reversed", .value = "true", .flag = "schedule", .means = "cosine"},
        {.name = "reversed", .value = "false", .flag = "schedule", .verdict = SPELLING_REFUSED, .note = "no"},
        {.name = "model_number", .flag = "model", .prefix = "m"},
        {.name = "alpha_percent", .flag = "lora-alpha", .range = AT_LEAST(1)},
        {.name = "steady", .value = "true", .flag = "shuffle", .verdict = SPELLING_NOTHING, .note = "it is"},
        {0},
    };
    static const flag_table table = {.command = "train",
                                     .usage = "[flags]",
                                     .about = "About.",
                                     .flags = flags,
                                     .count = FLAG_COUNT(flags),
                                     .spellings = spellings};
    char *argv[] = {word_c, word_file, NULL};
    options values = {.batch = 1, .alpha = 1, .model = "m"};
    vkft_recipe recipe = {0};
    vkft_err err = {0};
    memory_files_clear();
    memory_file(word_file, data, size);
    flags_outcome outcome = flags_parse(&table, &values, 2, argv, &recipe, &err);
    if (outcome == FLAGS_WRONG && !err.message[0])
        abort();
    if (outcome == FLAGS_OK && (values.batch < 1 || !(values.alpha > 0) || !values.model[0] || values.schedule > 1))
        abort(); /* a value outside its flag's range was let in */
    vkft_settings settings = {0};
    if (outcome == FLAGS_OK && (!flags_settings(&table, &values, &settings, &err) || settings.count != table.count))
        abort();
    flags_settings_free(&settings);
    recipe_free(&recipe);
    return 0;
}
