/* The recipes in recipes/ and their example data: every recipe plans and trains on small models of its architecture,
 * and every data file is read. A recipe that is not trained here fails the test.
 *
 * The models in tests/data/recipes have the files that the hub has, with vocabularies of a few hundred tokens.
 */
#include <dirent.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "tests/support/program.h"

#define RECIPES VKFT_PROJECT_DIR "/recipes"
#define MODELS VKFT_TEST_DATA "/recipes"
#define STEPS 2
#define CHAT "--chat-template " RECIPES "/data/chat.jinja"

typedef struct recipe_run {
    const char *recipe, *model, *data; /* without .yaml; in MODELS; in RECIPES/data */
    const char *more;                  /* flags */
    uint32_t epoch_steps;              /* rows of the data by the recipe's batch size, rounded up; 0: a corpus */
} recipe_run;

static const recipe_run runs[] = {
    {"opt-125m-lora", "opt", "corpus-en.txt", "", 0},
    {"opt-125m-lora", "opt", "questions-en.csv", "", 8},
    {"opt-125m-lora", "opt", "style-en.jsonl", "", 6},
    {"opt-125m-qlora", "opt", "corpus-ko.txt", "", 0},
    {"opt-125m-qlora", "opt", "questions-ko.csv", "", 4},
    {"opt-125m-qlora", "opt", "instructions-ko.jsonl", "", 3},
    {"opt-125m-qlora", "opt", "style-ko.jsonl", "", 3},
    {"opt-125m-dpo", "opt", "preferences-en.jsonl", "", 6},
    {"opt-125m-dpo", "opt", "preferences-ko.jsonl", "--beta 0.2", 6},
    {"chat", "opt", "chat-en.jsonl", CHAT, 3},
    {"chat", "opt", "chat-ko.jsonl", CHAT, 3},
    {"questions", "opt", "questions-en.csv", "", 7},
    {"questions", "opt", "questions-ko.csv", "", 7},
    {"style", "opt", "style-en.jsonl", "", 5},
    {"style", "opt", "style-ko.jsonl", "", 5},
    {"corpus", "opt", "corpus-en.txt", "", 0},
    {"corpus", "opt", "corpus-ko.txt", "", 0},
    {"flan-t5-small-instructions", "flan_t5", "instructions-en.jsonl", "", 5},
    {"flan-t5-small-instructions", "flan_t5", "instructions-en.jsonl", "--fine-tune-type lora", 5},
};
enum { RUNS = sizeof runs / sizeof runs[0] };

#define ALL_LINEAR "[\"fc1\",\"fc2\",\"k_proj\",\"out_proj\",\"q_proj\",\"v_proj\"]"

/* What the recipes say; that of T5 leaves an adapter's numbers to the model and the defaults. */
typedef struct numbers {
    const char *recipe;
    double rate, r, alpha, dropout;
    const char *targets;
    bool evaluates; /* after the last step */
} numbers;

static const numbers known[] = {
    {"opt-125m-lora", 2e-4, 8, 16, 0.1, "[\"q_proj\",\"v_proj\"]", false},
    {"opt-125m-qlora", 2e-4, 8, 16, 0.1, "[\"q_proj\",\"v_proj\"]", false},
    {"opt-125m-dpo", 5e-5, 8, 16, 0, "[\"q_proj\",\"v_proj\"]", false},
    {"chat", 2e-4, 16, 32, 0.05, ALL_LINEAR, true},
    {"questions", 2e-4, 16, 32, 0.05, ALL_LINEAR, true},
    {"style", 2e-4, 8, 16, 0.1, "[\"q_proj\",\"v_proj\"]", true},
    {"corpus", 1e-4, 32, 32, 0, ALL_LINEAR, true},
    {"flan-t5-small-instructions", 2e-4, 8, 16, 0, "[\"q\",\"v\"]", false},
};

static const numbers *numbers_of(const recipe_run *run)
{
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        if (strcmp(known[i].recipe, run->recipe) == 0)
            return &known[i];
    fail_msg("%s has no numbers here", run->recipe);
    return NULL;
}

static void check_number(const cJSON *object, const char *key, double want)
{
    double found = cJSON_GetNumberValue(cJSON_GetObjectItem(object, key));
    if (!(fabs(found - want) <= 1e-6 * want))
        fail_msg("%s: expected %g, found %g", key, want, found);
}

/* The first step has the full learning rate, which falls to 0; the batch size makes the epoch. */
static void check_log(const recipe_run *run, const char *dir)
{
    char path[600];
    snprintf(path, sizeof path, "%s/trainer_log.jsonl", dir);
    cJSON *rows = vkft_test_read_jsonl(path);
    const numbers *n = numbers_of(run);
    bool dpo = strcmp(run->recipe, "opt-125m-dpo") == 0;
    assert_true(dpo == cJSON_HasObjectItem(rows->child, "rewards/margins"));
    const int before = cJSON_HasObjectItem(rows->child, "eval_loss"); /* a row of before training */
    for (int i = 0; i < STEPS; i++) {
        check_number(cJSON_GetArrayItem(rows, before + i), "learning_rate", n->rate * (STEPS - i) / STEPS);
        if (run->epoch_steps)
            check_number(cJSON_GetArrayItem(rows, before + i), "epoch", (i + 1.0) / run->epoch_steps);
    }
    assert_int_equal(cJSON_GetArraySize(rows), before + STEPS + n->evaluates);
    assert_true(n->evaluates == cJSON_HasObjectItem(cJSON_GetArrayItem(rows, before + STEPS), "eval_loss"));
    cJSON_Delete(rows);
}

/* The recipe's numbers arrive in the adapter. */
static void check_adapter(const recipe_run *run, const char *dir)
{
    const numbers *n = numbers_of(run);
    char path[600];
    snprintf(path, sizeof path, "%s/adapter_config.json", dir);
    cJSON *config = vkft_test_read_json(path);
    check_number(config, "r", n->r);
    check_number(config, "lora_alpha", n->alpha);
    check_number(config, "lora_dropout", n->dropout);
    char *targets = cJSON_PrintUnformatted(cJSON_GetObjectItem(config, "target_modules"));
    assert_string_equal(targets, n->targets);
    cJSON_free(targets);
    cJSON_Delete(config);
}

static void test_recipes_train(void **state)
{
    (void)state;
    char *dir = vkft_test_directory();
    for (size_t i = 0; i < RUNS; i++) {
        const recipe_run *run = &runs[i];
        char out[512];
        snprintf(out, sizeof out, "%s/%zu", dir, i);
        print_message("%s %s %s\n", run->recipe, run->data, run->more);
        vkft_test_program_ok("train -c " RECIPES "/%s.yaml --model " MODELS "/%s --data " RECIPES
                             "/data/%s --output-dir %s --max-steps %d %s",
                             run->recipe, run->model, run->data, out, STEPS, run->more);
        check_log(run, out);
        if (strcmp(run->model, "opt") == 0 || run->more[0])
            check_adapter(run, out);
    }
    vkft_test_remove_directory(dir);
}

/* From the configuration alone, as a person does before the download. */
static void test_recipes_plan(void **state)
{
    (void)state;
    for (size_t i = 0; i < RUNS; i++)
        vkft_test_program_ok("train -c " RECIPES "/%s.yaml --model " MODELS "/%s/config.json --dry-run %s",
                             runs[i].recipe, runs[i].model, runs[i].more);
}

/* Calls visit with each name in the folder that ends so; at least once. */
static void each_file(const char *folder, const char *ending, void (*visit)(const char *name))
{
    DIR *dir = opendir(folder);
    uint32_t count = 0;
    assert_non_null(dir);
    for (struct dirent *entry; (entry = readdir(dir));) {
        const char *end = strrchr(entry->d_name, '.');
        if (!end || strcmp(end, ending) != 0)
            continue;
        visit(entry->d_name);
        count++;
    }
    closedir(dir);
    assert_true(count > 0);
}

static void read_data(const char *name)
{
    vkft_test_program_ok("data " RECIPES "/data/%s --model " MODELS "/opt%s", name,
                         strncmp(name, "preferences", 11) == 0 ? " --objective dpo"
                         : strncmp(name, "chat", 4) == 0       ? " " CHAT
                                                               : "");
}

static void test_data_is_read(void **state)
{
    (void)state;
    each_file(RECIPES "/data", ".txt", read_data);
    each_file(RECIPES "/data", ".csv", read_data);
    each_file(RECIPES "/data", ".jsonl", read_data);
}

static void find_run(const char *name)
{
    size_t length = strlen(name) - strlen(".yaml");
    for (size_t i = 0; i < RUNS; i++)
        if (strlen(runs[i].recipe) == length && strncmp(name, runs[i].recipe, length) == 0)
            return;
    fail_msg("%s is not trained by this test", name);
}

static void test_no_recipe_is_left_out(void **state)
{
    (void)state;
    each_file(RECIPES, ".yaml", find_run);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_recipes_train),
        cmocka_unit_test(test_recipes_plan),
        cmocka_unit_test(test_data_is_read),
        cmocka_unit_test(test_no_recipe_is_left_out),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
