/* Output directories: what a run removes and writes over is its own and nothing else; an overwritten run stays until
 * the new one has something; one run at a time; checkpoints of a future that was given up. */
#include "tests/support/run/run_test.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "runtime/base/directory.h"
#include "runtime/base/file.h"
#include "runtime/base/os/os.h"
#include "runtime/base/random.h"
#include "tests/support/expect.h"
#include "tests/support/program.h"
#include "tests/support/system/system.h"
#include "tests/support/tiny_model.h"

static void put_link(const vkft_test_run_fixture *f, const char *name, const char *target)
{
    assert_int_equal(symlink(target, vkft_test_run_at(f, name)), 0);
}

/* Names that look like a run's, and its names with what others wrote in them. */
static void keeps_what_is_not_its_own(void **state)
{
    const vkft_test_run_fixture *f = *state;
    static const char *const mine[] = {
        "best-practices/notes.txt", "checkpoint-notes/a",    "best-of.tmpl.d/x",
        "best-2024/photo.jpg",      "checkpoint-7/model.pt", "checkpoint-100.tmp/thesis.txt",
        "best-3.tmp.d/y",           "checkpoint-01/z",       "best-100.tmp/w"};
    char name[200];
    for (int i = 0; i < 2; i++) { /* a first run, and one that overwrites */
        for (size_t j = 0; j < sizeof mine / sizeof *mine; j++) {
            snprintf(name, sizeof name, "mine/%s", mine[j]);
            vkft_test_run_put(f, name, "mine");
        }
        vkft_test_train_ok(f, "mine", i ? "--max-steps 4 --save-steps 1 --overwrite" : "--max-steps 4 --save-steps 1");
        for (size_t j = 0; j < sizeof mine / sizeof *mine; j++) {
            snprintf(name, sizeof name, "mine/%s", mine[j]);
            vkft_test_run_holds(f, name, "mine");
        }
    }
    vkft_test_run_present(f, "mine/checkpoint-4/adapter_model.safetensors");
    vkft_test_run_absent(f, "mine/checkpoint-2");
    /* A run that comes to a number that someone else's directory has puts that one aside. */
    vkft_test_run_put(f, "mine/checkpoint-8.tmp/t", "mine");
    vkft_test_run_put(f, "mine/result.tmp/t", "mine");
    vkft_test_run_says(
        vkft_test_train(f, "mine", 0,
                        "--max-steps 8 --save-steps 1 --warmup-steps 1 --overwrite --no-load-best-model-at-end"),
        "checkpoint-7 is now checkpoint-7.aside");
    vkft_test_run_holds(f, "mine/checkpoint-7.aside/model.pt", "mine");
    vkft_test_run_holds(f, "mine/checkpoint-8.tmp.aside/t", "mine");
    vkft_test_run_holds(f, "mine/result.tmp.aside/t", "mine");
}

/* --overwrite, pruning and sweeping unlink links and leave what they lead to. */
static void never_enters_links(void **state)
{
    const vkft_test_run_fixture *f = *state;
    if (vkft_test_program_is_foreign())
        skip();
    vkft_test_run_put(f, "important/f", "x");
    vkft_test_run_put(f, "links/best-of/a", "a");
    put_link(f, "links/best-of/link", "../../important");
    vkft_test_train_ok(f, "links", "--max-steps 1 --overwrite");
    put_link(f, "links/checkpoint-1/link", "../../important");
    put_link(f, "links/checkpoint-9.tmp", "../important");
    put_link(f, "links/best-9", "../important");
    vkft_test_train_ok(f, "links", "--max-steps 1 --overwrite");
    vkft_test_run_holds(f, "important/f", "x");
    vkft_test_run_holds(f, "links/best-of/link/f", "x");

    /* A checkpoint that was moved to another disk and linked back, with a file of the person beside it. */
    vkft_err err;
    vkft_test_train_ok(f, "moved", "--max-steps 4 --save-steps 1 --save-total-limit 3");
    vkft_test_run_drop(f, "moved/checkpoint-4");
    vkft_test_run_drop(f, "moved/adapter_model.safetensors");
    expect_ok(vkft_directory_rename(vkft_test_run_at(f, "moved/checkpoint-3"), vkft_test_run_at(f, "disk"), &err));
    vkft_test_run_put(f, "disk/mine.txt", "mine");
    put_link(f, "moved/checkpoint-3", "../disk");
    vkft_test_run_says(
        vkft_test_train(f, "moved", 0,
                        "--max-steps 6 --save-steps 1 --save-total-limit 2 --resume-from-checkpoint auto"),
        "resumed from");
    vkft_test_run_absent(f, "moved/checkpoint-3");
    vkft_test_run_holds(f, "disk/mine.txt", "mine");
    vkft_test_run_present(f, "disk/adapter_model.safetensors");
}

/* Where a run's checkpoint has a person's file, pruning leaves it. */
static void keeps_notes_in_checkpoints(void **state)
{
    const vkft_test_run_fixture *f = *state;
    vkft_test_train_ok(f, "notes", "--max-steps 2 --save-steps 1");
    vkft_test_run_drop(f, "notes/adapter_model.safetensors");
    vkft_test_run_put(f, "notes/checkpoint-1/notes.txt", "mine");
    vkft_test_run_says(vkft_test_train(f, "notes", 0, "--max-steps 5 --save-steps 1 --resume-from-checkpoint auto"),
                       "checkpoint-1 is kept: it holds notes.txt");
    vkft_test_run_holds(f, "notes/checkpoint-1/notes.txt", "mine");
    /* What cannot be removed is a warning: here its place for going is taken. */
    vkft_test_run_drop(f, "notes/adapter_model.safetensors");
    vkft_test_run_put(f, "notes/checkpoint-4.tmp/mine", "mine");
    vkft_test_run_says(
        vkft_test_train(f, "notes", 0,
                        "--max-steps 7 --save-steps 1 --save-total-limit 1 --resume-from-checkpoint auto"),
        "warning: an old checkpoint-4 stays");
    vkft_test_run_holds(f, "notes/checkpoint-4.tmp/mine", "mine");
    vkft_test_run_present(f, "notes/checkpoint-7");
    vkft_test_train_ok(f, "notes", "--max-steps 1 --overwrite");
    vkft_test_run_holds(f, "notes/checkpoint-1.aside/notes.txt", "mine");
}

/* README.md and the tokenizer's files are written where there are none, and again where vkft wrote them. */
static void keeps_small_files(void **state)
{
    const vkft_test_run_fixture *f = *state;
    vkft_test_run_put(f, "small/README.md", "mine");
    vkft_test_run_put(f, "small/vkft.json", "{\"program\": \"another\"}");
    vkft_test_run_says(vkft_test_train(f, "small", 0, "--max-steps 1"), "README.md is kept");
    vkft_test_run_holds(f, "small/README.md", "mine");
    vkft_test_run_holds(f, "small/vkft.json", "{\"program\": \"another\"}");

    vkft_test_train_ok(f, "again", "--max-steps 1 --lora-alpha 8");
    char *first = vkft_test_read(vkft_test_run_at(f, "again/README.md"), NULL);
    assert_non_null(strstr(first, "alpha 8"));
    vkft_test_train_ok(f, "again", "--max-steps 1 --lora-alpha 4 --overwrite");
    char *second = vkft_test_read(vkft_test_run_at(f, "again/README.md"), NULL);
    assert_non_null(strstr(second, "alpha 4"));
    vkft_test_run_put(f, "again/README.md", "edited");
    vkft_test_train_ok(f, "again", "--max-steps 1 --overwrite");
    vkft_test_run_holds(f, "again/README.md", "edited");
    free(first);
    free(second);

    vkft_test_run_put(f, "foreign/adapter_model.safetensors", "an adapter from elsewhere");
    vkft_test_run_says(vkft_test_train(f, "foreign", 1, "--max-steps 1 --overwrite"),
                       "holds an adapter that no run made here");
    vkft_test_run_holds(f, "foreign/adapter_model.safetensors", "an adapter from elsewhere");
    vkft_test_run_put(f, "target", "not a log");
    vkft_test_run_put(f, "log/keep", "");
    put_link(f, "log/trainer_log.jsonl", "../target");
    vkft_test_train_ok(f, "log", "--max-steps 1");
    vkft_test_run_holds(f, "target", "not a log");
    vkft_test_run_present(f, "log/trainer_log.jsonl");
}

/* All weights, of a model with a folder of templates: it is part of checkpoints, which go as a whole, and of the
 * result, where a person's file stays. */
static void whole_models(void **state)
{
    const vkft_test_run_fixture *f = *state;
    static const char template[] = "{{ messages }}";
    vkft_err err;
    vkft_tiny_model tiny = vkft_tiny_model_default();
    char flags[700];
    expect_ok(vkft_directory_create(vkft_test_run_at(f, "templates"), &err));
    vkft_tiny_model_write(&tiny, vkft_test_run_at(f, "templates"));
    vkft_test_run_put(f, "templates/chat_template.jinja", template);
    vkft_test_run_put(f, "templates/additional_chat_templates/tool_use.jinja", template);
    vkft_test_run_put(f, "full/chat_template.jinja", "mine");
    snprintf(
        flags, sizeof flags,
        "--model %s/templates --fine-tune-type full --max-steps 3 --save-steps 1 --save-total-limit 1 --eval-steps 1",
        f->dir);
    for (int i = 0; i < 2; i++) {
        vkft_test_train_ok(f, "full", flags);
        vkft_test_run_holds(f, "full/additional_chat_templates/tool_use.jinja", template);
        vkft_test_run_holds(f, "full/chat_template.jinja", "mine");
        vkft_test_run_present(f, "full/model.safetensors");
        vkft_test_run_present(f, "full/config.json");
        vkft_test_run_present(f, "full/checkpoint-3/additional_chat_templates/tool_use.jinja");
        vkft_test_run_absent(f, "full/checkpoint-2");
        vkft_test_run_absent(f, "full/result.tmp");
        vkft_test_run_absent(f, "full/overwritten-run");
        strcat(flags, " --overwrite");
    }
    /* another one's configuration is not written over, and a model without it would be of no use */
    vkft_test_run_put(f, "alone/config.json", "{}");
    vkft_test_run_says(vkft_test_train(f, "alone", 1, flags), "holds a config.json that no run wrote");
    vkft_test_run_holds(f, "alone/config.json", "{}");
}

/* A run that fails before it has something leaves the one that it was to overwrite. */
static void overwrites_late(void **state)
{
    const vkft_test_run_fixture *f = *state;
    vkft_test_train_ok(f, "old", "--max-steps 3 --save-steps 1");
    char *was = vkft_test_read(vkft_test_run_at(f, "old/adapter_model.safetensors"), NULL),
         *log = vkft_test_read(vkft_test_run_at(f, "old/trainer_log.jsonl"), NULL);
    free(vkft_test_train(f, "old", 1, "--overwrite --device nosuch"));
    static const char *const failing[] = {
        "--overwrite --learning-rate 1e38 --warmup-steps 0 --max-steps 4 --save-steps 9 --eval-steps 1",
        "--overwrite --device nosuch",
    };
    for (size_t i = 0; i < 2; i++) {
        free(vkft_test_train(f, "old", 1, failing[i]));
        vkft_test_run_holds(f, "old/adapter_model.safetensors", was);
        vkft_test_run_holds(f, "old/trainer_log.jsonl", log);
        vkft_test_run_present(f, "old/checkpoint-3/vkft_state.json");
        vkft_test_run_present(f, "old/best-3/adapter_model.safetensors");
        vkft_test_run_absent(f, "old/overwritten-run");
    }
    free(was);
    free(log);
    vkft_test_train_ok(f, "old", "--overwrite --max-steps 1 --no-load-best-model-at-end");
    vkft_test_run_absent(f, "old/checkpoint-3");
    vkft_test_run_absent(f, "old/best-3");
    vkft_test_run_absent(f, "old/overwritten-run");
}

static void move_entry(const vkft_test_run_fixture *f, const char *from, const char *to)
{
    if (rename(vkft_test_run_at(f, from), vkft_test_run_at(f, to)) != 0)
        fail_msg("cannot rename %s to %s", from, to);
}

/* A run that overwrites was killed: while it put the old one away, or after that and before it had something, the old
 * one comes back; afterwards it goes. */
static void recovers_an_overwritten_run(void **state)
{
    const vkft_test_run_fixture *f = *state;
    vkft_err err;
    static const char *const names[] = {
        "checkpoint-2",     "checkpoint-3", "best-3", "adapter_config.json", "adapter_model.safetensors",
        "trainer_log.jsonl"};
    enum { NAMES = sizeof names / sizeof *names };
    vkft_test_train_ok(f, "killed", "--max-steps 3 --save-steps 1");
    char *was = vkft_test_read(vkft_test_run_at(f, "killed/adapter_model.safetensors"), NULL),
         *log = vkft_test_read(vkft_test_run_at(f, "killed/trainer_log.jsonl"), NULL);
    for (size_t moved = 0; moved <= NAMES + 1; moved++) {
        bool whole = moved > NAMES; /* and the new one has a log and its best */
        const char *old = whole ? "killed/overwritten-run" : "killed/overwritten-run.moving";
        expect_ok(vkft_directory_create(vkft_test_run_at(f, old), &err));
        for (size_t i = 0; i < moved && i < NAMES; i++) {
            char from[100], to[100];
            snprintf(from, sizeof from, "killed/%s", names[i]);
            snprintf(to, sizeof to, "%s/%s", old, names[i]);
            move_entry(f, from, to);
        }
        if (whole) {
            vkft_test_run_put(f, "killed/trainer_log.jsonl", "{}\n");
            vkft_test_run_put(f, "killed/best-2/adapter_model.safetensors", "new");
        }
        vkft_test_run_says(vkft_test_train(f, "killed", 1, "--max-steps 1"), "holds a finished run");
        vkft_test_run_holds(f, "killed/adapter_model.safetensors", was);
        vkft_test_run_holds(f, "killed/trainer_log.jsonl", log);
        vkft_test_run_present(f, "killed/checkpoint-2/vkft_state.json");
        vkft_test_run_present(f, "killed/checkpoint-3/vkft_state.json");
        vkft_test_run_present(f, "killed/best-3/adapter_model.safetensors");
        vkft_test_run_absent(f, "killed/best-2");
        vkft_test_run_absent(f, old);
    }
    vkft_test_run_put(f, "killed/overwritten-run/adapter_model.safetensors", "older");
    vkft_test_run_says(vkft_test_train(f, "killed", 1, "--max-steps 1"), "holds a finished run");
    vkft_test_run_holds(f, "killed/adapter_model.safetensors", was);
    vkft_test_run_absent(f, "killed/overwritten-run");
    free(was);
    free(log);
}

/* Killed at any moment, a run that overwrites leaves the old one or its own checkpoint, and nothing in between. */
static void killed_while_overwriting(void **state)
{
    const vkft_test_run_fixture *f = *state;
    uint32_t old = 0, new = 0;
    double whole = vkft_os_seconds();
    vkft_test_train_ok(f, "any", "--max-steps 2 --save-steps 1 --seed 1");
    whole = vkft_os_seconds() - whole;
    char *was = vkft_test_read(vkft_test_run_at(f, "any/adapter_model.safetensors"), NULL);
    for (uint64_t i = 0; i < 12; i++) {
        pid_t pid = vkft_test_run_start(f, "any", "--overwrite --max-steps 1000000 --save-steps 10 --lora-r 2");
        double wait = whole * (0.3 + 1.2 * vkft_random_uniform(5, 1, i));
        struct timespec pause = {.tv_sec = (time_t)wait, .tv_nsec = (long)(1e9 * (wait - (double)(time_t)wait))};
        nanosleep(&pause, NULL);
        vkft_test_run_end(f, pid, SIGKILL, "");
        char *said = vkft_test_train(f, "any", 1, "--max-steps 1");
        if (strstr(said, "holds a finished run")) {
            old++;
            vkft_test_run_holds(f, "any/adapter_model.safetensors", was);
            vkft_test_run_present(f, "any/checkpoint-2/vkft_state.json");
            vkft_test_run_present(f, "any/best-2/adapter_model.safetensors");
        } else if (strstr(said, "holds checkpoints of a run")) {
            new ++;
            vkft_test_train_ok(f, "any", "--overwrite --max-steps 2 --save-steps 1 --seed 1");
        } else {
            fail_msg("'%s'", said);
        }
        vkft_test_run_absent(f, "any/overwritten-run");
        vkft_test_run_absent(f, "any/overwritten-run.moving");
        free(said);
    }
    print_message("the old one %u times, the new one %u times\n", old, new);
    free(was);
}

/* What killed runs left goes when the next one begins. */
static void sweeps_leftovers(void **state)
{
    const vkft_test_run_fixture *f = *state;
    static const char *const left[] = {"checkpoint-9.tmp/adapter_model.safetensors.99-0.tmp",
                                       "checkpoint-9.tmp/adapter_config.json",
                                       "best-8.tmp/model.safetensors.1-12.tmp",
                                       "result.tmp/adapter_model.safetensors.99-0.tmp",
                                       "README.md.99-0.tmp",
                                       "trainer_log.jsonl.99-0.tmp",
                                       "vkft.json.99-3.tmp"};
    char name[100];
    for (size_t i = 0; i < sizeof left / sizeof *left; i++) {
        snprintf(name, sizeof name, "left/%s", left[i]);
        vkft_test_run_put(f, name, "half");
        if (!vkft_test_set_modified(vkft_test_run_at(f, name), 0)) /* Windows waits for an hour */
            skip();
    }
    vkft_test_train_ok(f, "left", "--max-steps 1");
    for (size_t i = 0; i < sizeof left / sizeof *left; i++) {
        snprintf(name, sizeof name, "left/%.*s", (int)strcspn(left[i], "/"), left[i]);
        vkft_test_run_absent(f, name);
    }
}

/* Two runs in one directory: the second one says who is there. A killed one leaves nothing that stands in the way. */
static void one_run_at_a_time(void **state)
{
    const vkft_test_run_fixture *f = *state;
    pid_t pid = vkft_test_run_start(f, "two", "--max-steps 1000000 --save-steps 0");
    char who[64];
    vkft_test_run_wait_for(f, "two/trainer_log.jsonl");
    snprintf(who, sizeof who, "another vkft (pid %ld) writes to", (long)pid);
    if (vkft_test_program_is_foreign()) /* which has another number there */
        who[strcspn(who, "0123456789")] = 0;
    vkft_test_run_says(vkft_test_train(f, "two", 1, "--max-steps 1"), who);
    vkft_test_run_says(vkft_test_train(f, "two", 1, "--max-steps 1 --overwrite"), who);
    vkft_test_run_end(f, pid, SIGKILL, "");
    vkft_test_train_ok(f, "two", "--max-steps 1");
    vkft_test_run_absent(f, "two/.vkft.lock");
}

static uint64_t last_step(const vkft_test_run_fixture *f, const char *log)
{
    cJSON *rows = vkft_test_read_jsonl(vkft_test_run_at(f, log));
    const cJSON *last = cJSON_GetArrayItem(rows, cJSON_GetArraySize(rows) - 1);
    uint64_t step = (uint64_t)cJSON_GetNumberValue(cJSON_GetObjectItem(last, "step"));
    cJSON_Delete(rows);
    return step;
}

/* Resumed from an older checkpoint, later ones are of a future that is given up: they are put aside with the best that
 * they name, and what is written now stays and is what "auto" takes. */
static void gives_up_a_future(void **state)
{
    const vkft_test_run_fixture *f = *state;
    char more[900], resume[700];
    snprintf(resume, sizeof resume, "--resume-from-checkpoint %s/future/checkpoint-2/", f->dir);
    vkft_test_train_ok(f, "future", "--max-steps 6 --save-steps 1 --save-total-limit 6 --eval-steps 1");
    vkft_test_run_present(f, "future/best-6");
    snprintf(more, sizeof more, "--max-steps 4 --save-steps 1 --save-total-limit 1 --eval-steps 9 %s", resume);
    vkft_test_run_says(vkft_test_train(f, "future", 0, more), "checkpoint-6 is now checkpoint-6.aside");
    vkft_test_run_present(f, "future/checkpoint-3.aside/vkft_state.json");
    vkft_test_run_present(f, "future/checkpoint-6.aside/vkft_state.json");
    vkft_test_run_present(f, "future/best-6.aside");
    vkft_test_run_present(f, "future/checkpoint-4/vkft_state.json");
    vkft_test_run_absent(f, "future/checkpoint-2");
    vkft_test_run_absent(f, "future/checkpoint-6");
    assert_int_equal(last_step(f, "future/trainer_log.jsonl"), 4);
    vkft_test_run_says(vkft_test_train(f, "future", 0, "--max-steps 5 --save-steps 1 --resume-from-checkpoint auto"),
                       "checkpoint-4 at step 4");
    /* A checkpoint of another directory continues there only where nothing else is. */
    vkft_test_train_ok(f, "other", "--max-steps 2 --save-steps 1");
    snprintf(more, sizeof more, "--max-steps 7 --resume-from-checkpoint %s/future/checkpoint-5", f->dir);
    vkft_test_run_says(vkft_test_train(f, "other", 1, more), "holds a finished run");
    strcat(more, " --overwrite");
    vkft_test_train_ok(f, "other", more);
    vkft_test_run_absent(f, "other/checkpoint-2");
    vkft_test_run_present(f, "other/checkpoint-7");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(keeps_what_is_not_its_own),
        cmocka_unit_test(never_enters_links),
        cmocka_unit_test(keeps_notes_in_checkpoints),
        cmocka_unit_test(keeps_small_files),
        cmocka_unit_test(whole_models),
        cmocka_unit_test(overwrites_late),
        cmocka_unit_test(recovers_an_overwritten_run),
        cmocka_unit_test(killed_while_overwriting),
        cmocka_unit_test(sweeps_leftovers),
        cmocka_unit_test(one_run_at_a_time),
        cmocka_unit_test(gives_up_a_future),
    };
    return cmocka_run_group_tests_name("run directory", tests, vkft_test_run_set_up, vkft_test_run_tear_down);
}
