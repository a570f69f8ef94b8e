/* Resuming what has changed since: another run is refused unless --allow-changes says to go on, a damaged checkpoint
 * makes place for the one before, and the best is looked for before the first step. */
#include "tests/support/run/run_test.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/base/directory.h"
#include "runtime/base/file.h"
#include "tests/support/expect.h"
#include "tests/support/program.h"
#include "tests/support/tiny_model.h"

#define RESUME "--max-steps 4 --save-steps 1 --resume-from-checkpoint auto "

/* A run of two steps that was stopped. */
static void stopped_run(const vkft_test_run_fixture *f, const char *out, const char *more)
{
    char name[100], flags[900];
    snprintf(flags, sizeof flags, "--max-steps 2 --save-steps 1 --eval-steps 1 %s", more);
    vkft_test_train_ok(f, out, flags);
    snprintf(name, sizeof name, "%s/adapter_model.safetensors", out);
    vkft_test_run_drop(f, name);
}

/* Refused with this, and done with --allow-changes, which says it, too. */
static void changed(const vkft_test_run_fixture *f, const char *out, const char *flags, const char *what,
                    const char *said)
{
    char more[600];
    snprintf(more, sizeof more, RESUME "%s", flags);
    vkft_test_run_says(vkft_test_train(f, out, 1, more), what);
    snprintf(more, sizeof more, RESUME "--allow-changes %s", flags);
    vkft_test_run_says(vkft_test_train(f, out, 0, more), said);
    snprintf(more, sizeof more, "%s/checkpoint-4", out);
    vkft_test_run_present(f, more);
}

static void other_settings(void **state)
{
    const vkft_test_run_fixture *f = *state;
    stopped_run(f, "alpha", "--lora-alpha 8");
    changed(f, "alpha", "--lora-alpha 64", "a run with --lora-alpha 8, this one has 64",
            "changed: --lora-alpha was 8, is 64");
    stopped_run(f, "rate", "");
    changed(f, "rate", "--learning-rate 1e-5", "a run with --learning-rate 0.0002, this one has 1e-05",
            "changed: --learning-rate was 0.0002, is 1e-05");
    /* what may differ is said */
    stopped_run(f, "free", "");
    vkft_test_run_says(vkft_test_train(f, "free", 0, RESUME "--save-total-limit 7"),
                       "note: --save-total-limit was 2, is 7");
    vkft_test_run_drop(f, "free/adapter_model.safetensors");
    vkft_test_run_says(vkft_test_train(f, "free", 0, RESUME "--save-total-limit 7 --max-steps 6"),
                       "note: --max-steps was 4, is 6");
}

/* As many rows and tokens as before. */
static void other_data(void **state)
{
    const vkft_test_run_fixture *f = *state;
    static const char tokens[] = "{\"input_ids\": [1, 2, 3, 4]}\n{\"input_ids\": [1, 5, 6]}\n"
                                 "{\"input_ids\": [1, 7, 8, 9, 2]}\n{\"input_ids\": [1, 3, 5, 8]}\n",
                      labels[] =
                          "{\"input_ids\": [1, 2, 3, 4], \"labels\": [-100, -100, 3, 4]}\n{\"input_ids\": [1, 5, 6]}\n"
                          "{\"input_ids\": [1, 7, 8, 9, 2]}\n{\"input_ids\": [1, 3, 5, 7]}\n",
                      other_order[] = "{\"input_ids\": [1, 5, 6]}\n{\"input_ids\": [1, 2, 3, 4]}\n"
                                      "{\"input_ids\": [1, 7, 8, 9, 2]}\n{\"input_ids\": [1, 3, 5, 7]}\n";
    static const char *const texts[] = {tokens, labels, other_order};
    char *was = vkft_test_read(vkft_test_run_at(f, "d/train.jsonl"), NULL), out[20];
    for (size_t i = 0; i < 3; i++) {
        snprintf(out, sizeof out, "data%zu", i);
        stopped_run(f, out, "");
        vkft_test_run_put(f, "d/train.jsonl", texts[i]);
        changed(f, out, "", "a run with training data with hash", "changed: training data with hash was");
        vkft_test_run_put(f, "d/train.jsonl", was);
    }
    free(was);
    was = vkft_test_read(vkft_test_run_at(f, "d/valid.jsonl"), NULL);
    stopped_run(f, "valid", "");
    vkft_test_run_put(f, "d/valid.jsonl", "{\"input_ids\": [1, 2, 4, 6]}\n{\"input_ids\": [1, 3, 8]}\n");
    changed(f, "valid", "", "a run with validation data with hash", "changed: validation data with hash was");
    vkft_test_run_put(f, "d/valid.jsonl", was);
    free(was);
}

/* Another model of the same shape, and another adapter to go on with. */
static void other_weights(void **state)
{
    const vkft_test_run_fixture *f = *state;
    char flags[700];
    vkft_err err;
    vkft_tiny_model tiny = vkft_tiny_model_default();
    tiny.seed = 2;
    expect_ok(vkft_directory_create(vkft_test_run_at(f, "model2"), &err));
    vkft_tiny_model_write(&tiny, vkft_test_run_at(f, "model2"));
    stopped_run(f, "weights", "");
    snprintf(flags, sizeof flags, "--model %s/model2", f->dir);
    changed(f, "weights", flags, "a run with weights with hash", "changed: weights with hash was");

    vkft_test_train_ok(f, "init", "--max-steps 1");
    snprintf(flags, sizeof flags, "--init-adapter %s/init", f->dir);
    stopped_run(f, "more", flags);
    cJSON *config = vkft_test_read_json(vkft_test_run_at(f, "init/adapter_config.json"));
    cJSON_ReplaceItemInObject(config, "lora_alpha", cJSON_CreateNumber(64));
    char *text = cJSON_Print(config);
    vkft_test_run_put(f, "init/adapter_config.json", text);
    changed(f, "more", flags, "a run with adapter r 2, alpha 32", "changed: adapter was r 2, alpha 32");
    free(text);
    cJSON_Delete(config);
}

/* Modules of the same shape cannot be taken for each other, whatever is allowed. */
static void other_modules(void **state)
{
    const vkft_test_run_fixture *f = *state;
    stopped_run(f, "modules", "--lora-target-modules q_proj");
    vkft_test_run_says(vkft_test_train(f, "modules", 1, RESUME "--lora-target-modules o_proj"),
                       "--lora-target-modules q_proj, this one has o_proj");
    vkft_test_run_says(vkft_test_train(f, "modules", 1, RESUME "--lora-target-modules o_proj --allow-changes"),
                       "has other modules, or another rank");
    vkft_test_run_says(
        vkft_test_train(f, "modules", 1, RESUME "--lora-r 4 --lora-target-modules q_proj --allow-changes"),
        "does not fit this run");
}

static void cut(const vkft_test_run_fixture *f, const char *name, size_t bytes)
{
    char *path = strdup(vkft_test_run_at(f, name)), *copy = strdup(vkft_test_run_at(f, "cut"));
    vkft_test_copy_part(path, copy, bytes);
    vkft_test_copy(copy, path);
    free(path);
    free(copy);
}

/* "auto" takes the newest one that is whole; the end is that of a run without damage. */
static void damaged_checkpoints(void **state)
{
    const vkft_test_run_fixture *f = *state;
    static const char *const files[] = {"adapter_model.safetensors", "optimizer.safetensors", "vkft_state.json",
                                        "trainer_state.json"};
    vkft_test_train_ok(f, "undamaged", "--max-steps 4 --save-steps 1");
    size_t size, got_size;
    char *want = vkft_test_read(vkft_test_run_at(f, "undamaged/checkpoint-4/adapter_model.safetensors"), &size);
    for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
        char out[30], name[100];
        snprintf(out, sizeof out, "damaged%zu", i);
        vkft_test_train_ok(f, out, "--max-steps 4 --save-steps 1");
        snprintf(name, sizeof name, "%s/adapter_model.safetensors", out);
        vkft_test_run_drop(f, name);
        snprintf(name, sizeof name, "%s/checkpoint-4/%s", out, files[i]);
        if (i % 2)
            cut(f, name, 40);
        else
            vkft_test_run_drop(f, name);
        char *said = vkft_test_train(f, out, 0, RESUME);
        if (!strstr(said, "checkpoint-4 is damaged, taking the one before") || !strstr(said, "checkpoint-3 at step 3"))
            fail_msg("%s: '%s'", files[i], said);
        free(said);
        snprintf(name, sizeof name, "%s/checkpoint-4.aside", out);
        vkft_test_run_present(f, name);
        snprintf(name, sizeof name, "%s/checkpoint-4/adapter_model.safetensors", out);
        char *got = vkft_test_read(vkft_test_run_at(f, name), &got_size);
        assert_int_equal(got_size, size);
        assert_memory_equal(got, want, size);
        free(got);
    }
    free(want);
    vkft_test_run_drop(f, "undamaged/adapter_model.safetensors");
    cut(f, "undamaged/checkpoint-3/vkft_state.json", 10);
    cut(f, "undamaged/checkpoint-4/optimizer.safetensors", 1000);
    char named[700];
    snprintf(named, sizeof named, "--max-steps 4 --resume-from-checkpoint %s/undamaged/checkpoint-4", f->dir);
    vkft_test_run_says(vkft_test_train(f, "undamaged", 1, named), "checkpoint-4 is damaged");
    vkft_test_run_says(vkft_test_train(f, "undamaged", 1, RESUME), "is whole; begin again with --overwrite");
    vkft_test_run_present(f, "undamaged/checkpoint-3");
    vkft_test_run_present(f, "undamaged/checkpoint-4");
}

/* The best of a run that goes on in another directory comes along; one that is gone is said before the first step. */
static void best_elsewhere(void **state)
{
    const vkft_test_run_fixture *f = *state;
    char flags[700], best[40], name[100], message[100];
    vkft_test_train_ok(f, "first", "--max-steps 2 --eval-steps 1 --save-steps 1");
    cJSON *summary = vkft_test_read_json(vkft_test_run_at(f, "first/vkft.json"));
    snprintf(best, sizeof best, "best-%d", (int)cJSON_GetNumberValue(cJSON_GetObjectItem(summary, "best_step")));
    cJSON_Delete(summary);
    snprintf(flags, sizeof flags,
             "--max-steps 3 --eval-strategy no --save-steps 1 --resume-from-checkpoint %s/first/checkpoint-2", f->dir);
    snprintf(message, sizeof message, "step %s has the lowest validation loss", best + 5);
    vkft_test_run_says(vkft_test_train(f, "second", 0, flags), message);
    snprintf(name, sizeof name, "second/%s/adapter_model.safetensors", best);
    vkft_test_run_present(f, name);
    snprintf(name, sizeof name, "first/%s", best);
    vkft_test_run_drop(f, name);
    char *said = vkft_test_train(f, "third", 0, flags);
    snprintf(message, sizeof message, "the best so far, of step %s, is lost", best + 5);
    const char *lost = strstr(said, message), *step = strstr(said, "step 3/3");
    if (!lost || !step || lost > step)
        fail_msg("'%s'", said);
    free(said);
    vkft_test_run_present(f, "third/adapter_model.safetensors");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(other_settings), cmocka_unit_test(other_data),          cmocka_unit_test(other_weights),
        cmocka_unit_test(other_modules),  cmocka_unit_test(damaged_checkpoints), cmocka_unit_test(best_elsewhere),
    };
    return cmocka_run_group_tests_name("resume changes", tests, vkft_test_run_set_up, vkft_test_run_tear_down);
}
