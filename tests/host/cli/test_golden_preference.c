/* Preference training with the program against TRL's trainers: loss, gradient norm and what the log says under TRL's
 * names, of each of 20 steps and of the validation data after them. The cases are made by
 * golden/make_preference_golden.py; their models and adapters are those of test_golden.
 *
 * Losses and log-probabilities are within 1e-5 of TRL's, relative, with weights in f32, and within 1e-4 in 4 bits,
 * where a code that rounds the other way changes a weight. Rewards are differences of log-probabilities, beta (l - l'),
 * and margins differences of these, so they are within that of beta l, not of themselves; accuracies, which count, are
 * equal, unless a margin is 0 up to its error. TRL sums a log-probability in f32, so the first reward, 0, is off by a
 * rounding of l there. Gradient norms follow the weights, which drift apart over the steps: within 1e-4 and 1e-3.
 *
 * Products are computed in f32 whatever the device; test_golden has those in f16.
 *
 * Arguments: the names of the cases to run.
 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "runtime/base/directory.h"
#include "runtime/base/file.h"
#include "runtime/base/text.h"
#include "tests/support/program.h"

#define GOLDEN VKFT_TEST_DATA "/golden"
#define CASES VKFT_TEST_DATA "/golden_preference"

static double number(const cJSON *object, const char *prefix, const char *name)
{
    char key[80];
    snprintf(key, sizeof key, "%s%s", prefix, name);
    return cJSON_GetNumberValue(cJSON_GetObjectItemCaseSensitive(object, key)); /* NaN: there is none */
}

/* What a number of this name is measured against. */
static double size_of(const cJSON *want, const char *name, double beta)
{
    double value = fabs(number(want, "", name));
    double logp = fmax(fabs(number(want, "", "logps/chosen")), fabs(number(want, "", "logps/rejected")));
    if (strncmp(name, "rewards/", 8) == 0)
        return fmax(value, beta * logp);
    if (strcmp(name, "log_odds_chosen") == 0 || strcmp(name, "log_odds_ratio") == 0 || strcmp(name, "kl") == 0)
        return fmax(value, logp);
    return fmax(value, 1e-12);
}

/* The largest error of a row, relative. */
static void compare(const char *name, int step, const cJSON *want, const cJSON *got, const char *prefix, double beta,
                    double bound, double worst[2])
{
    const cJSON *item;
    cJSON_ArrayForEach(item, want)
    {
        bool norm = strcmp(item->string, "grad_norm") == 0;
        double value = number(got, prefix, item->string), margin = fabs(number(want, "", "rewards/margins"));
        double error = fabs(value - item->valuedouble) / size_of(want, item->string, beta),
               limit = norm ? 10 * bound : bound;
        if (strcmp(item->string, "rewards/accuracies") == 0) {
            if (step > 1 && margin > bound && !(value == item->valuedouble))
                fail_msg("%s: step %d: %s is %.9g, expected %.9g", name, step, item->string, value, item->valuedouble);
            continue;
        }
        worst[norm] = fmax(worst[norm], error);
        if (!(error <= limit))
            fail_msg("%s: step %d: %s%s is %.9g, expected %.9g: off by %.3e, more than %.3e", name, step, prefix,
                     item->string, value, item->valuedouble, error, limit);
    }
}

static void run_case(void **state)
{
    const char *name = *state;
    char path[600], flags[1000] = "";
    snprintf(path, sizeof path, CASES "/%s.json", name);
    cJSON *expected = vkft_test_read_json(path);
    const cJSON *flag, *row, *steps = cJSON_GetObjectItem(expected, "steps");
    const char *model = cJSON_GetStringValue(cJSON_GetObjectItem(expected, "model")),
               *data = cJSON_GetStringValue(cJSON_GetObjectItem(expected, "data"));
    double beta = 0.1, worst[2] = {0, 0};
    cJSON_ArrayForEach(flag, cJSON_GetObjectItem(expected, "flags"))
    {
        snprintf(flags + strlen(flags), sizeof flags - strlen(flags), " %s", flag->valuestring);
        if (strcmp(flag->valuestring, "--beta") == 0)
            beta = strtod(flag->next->valuestring, NULL);
    }
    bool nf4 = strncmp(model, "nf4", 3) == 0;
    char *dir = vkft_test_directory();
    snprintf(path, sizeof path, "%s/data", dir);
    assert_true(vkft_directory_create(path, NULL));
    static const char *const files[][2] = {{"", "train"}, {"_valid", "valid"}};
    for (int i = 0; i < 2; i++) {
        char from[600];
        snprintf(from, sizeof from, CASES "/%s%s.jsonl", data, files[i][0]);
        snprintf(path, sizeof path, "%s/data/%s.jsonl", dir, files[i][1]);
        vkft_test_copy(from, path);
    }
    vkft_test_program_ok("convert " GOLDEN "/%s/model -o %s/model.vkft --quant %s --no-double-quant", model, dir,
                         nf4 ? "nf4" : "none");
    vkft_test_program_ok("train --model %s/model.vkft --data %s/data --init-adapter " GOLDEN
                         "/%s/adapter_init --output-dir %s/out --no-shuffle --save-steps 0 --no-load-best-model-at-end "
                         "--compute-dtype fp32%s",
                         dir, dir, model, dir, flags);
    snprintf(path, sizeof path, "%s/out/trainer_log.jsonl", dir);
    cJSON *log = vkft_test_read_jsonl(path);
    int step = 0;
    cJSON_ArrayForEach(row, log)
    {
        bool evaluation = cJSON_HasObjectItem(row, "eval_loss");
        compare(name, step + 1, evaluation ? cJSON_GetObjectItem(expected, "eval") : cJSON_GetArrayItem(steps, step),
                row, evaluation ? "eval_" : "", beta, nf4 ? 1e-4 : 1e-5, worst);
        step += !evaluation;
    }
    assert_int_equal(step, 20);
    assert_int_equal(cJSON_GetArraySize(log), 21);
    print_message("measured %s: %.3e, gradient norms %.3e\n", name, worst[0], worst[1]);
    cJSON_Delete(log);
    cJSON_Delete(expected);
    vkft_test_remove_directory(dir);
}

typedef struct cases {
    struct CMUnitTest *list;
    size_t count;
    char **wanted;
    int wanted_count;
} cases;

static bool add_case(void *context, const char *file)
{
    cases *all = context;
    if (!vkft_string_ends_with(file, ".json") || strcmp(file, "rows.json") == 0)
        return true;
    char *name = vkft_string_copy(file);
    name[strlen(name) - strlen(".json")] = 0;
    bool wanted = all->wanted_count == 0;
    for (int i = 0; i < all->wanted_count; i++)
        wanted = wanted || strcmp(all->wanted[i], name) == 0;
    if (!wanted) {
        free(name);
        return true;
    }
    all->list = realloc(all->list, (all->count + 1) * sizeof *all->list);
    all->list[all->count++] = (struct CMUnitTest){.name = name, .test_func = run_case, .initial_state = name};
    return true;
}

int main(int argc, char **argv)
{
    cases all = {.wanted = argv + 1, .wanted_count = argc - 1};
    if (!vkft_directory_list(CASES, add_case, &all, NULL) || !all.count)
        return 1;
    int failed = _cmocka_run_group_tests("golden_preference", all.list, all.count, NULL, NULL);
    for (size_t i = 0; i < all.count; i++)
        free(all.list[i].initial_state);
    free(all.list);
    return failed;
}
