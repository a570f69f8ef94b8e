/* Memory runs out while a run goes on: the step, or the evaluation, is computed again in smaller portions with the same
 * sums. inject_smaller.c makes calls of Vulkan fail by their number, and the device smaller. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <cmocka.h>

#include "runtime/base/file.h"
#include "tests/support/program.h"

#define GOLDEN VKFT_TEST_DATA "/golden/llama_gqa"
#define ON "--model " GOLDEN "/model --data " GOLDEN " --quant nf4 "
#define TRAIN "train " ON "--lora-r 4 --max-steps 3 --report-to none --eval-steps 1 --compute-dtype fp32 "
#define BATCHES "--batch-size 4 --gradient-accumulation-steps 2 "
#define SMALLER "at a time from here on"

typedef struct fixture {
    char *dir;      /* cache/; the outputs of runs, of an undisturbed one in clean/ */
    char *said;     /* by the last run */
    unsigned first; /* see first_submission; 0: not looked for yet */
} fixture;

static char *at(const fixture *f, const char *name)
{
    static char path[700];
    snprintf(path, sizeof path, "%s/%s", f->dir, name);
    return path;
}

/* Runs the program in the directory with a fault, "" for none; returns its exit code. */
static int run(fixture *f, const char *fault, const char *arguments)
{
    char command[3000];
    snprintf(command, sizeof command, "cd %s && env VKFT_CACHE_DIR=$PWD/cache %s %s %s %s > out 2> err < /dev/null",
             f->dir, *fault ? "LD_PRELOAD=" VKFT_INJECT : "", fault, VKFT_PROGRAM, arguments);
    int status = system(command);
    free(f->said);
    f->said = vkft_test_read(at(f, "err"), NULL);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

static void run_ok(fixture *f, const char *fault, const char *arguments)
{
    if (run(f, fault, arguments) != 0)
        fail_msg("%s %s: %s", fault, arguments, f->said);
}

static void says(const fixture *f, const char *part)
{
    if (!strstr(f->said, part))
        fail_msg("%s is not in:\n%s", part, f->said);
}

/* How often this was said. */
static uint32_t times(const fixture *f, const char *part)
{
    uint32_t n = 0;
    for (const char *s = f->said; (s = strstr(s, part)); s++)
        n++;
    return n;
}

static double number(const fixture *f, const char *name)
{
    char *text = vkft_test_read(at(f, "out"), NULL);
    cJSON *json = cJSON_Parse(text);
    const cJSON *value = cJSON_GetObjectItem(json, name);
    if (!cJSON_IsNumber(value))
        fail_msg("%s is missing in %s", name, text);
    double found = value->valuedouble;
    cJSON_Delete(json);
    free(text);
    return found;
}

/* Losses of steps and evaluations are those of the undisturbed run. Both are means of sums of some hundred f32 terms
 * that are added in another order; a lost or repeated portion would change a loss by percents. */
static void same_losses(const fixture *f, const char *dir)
{
    char path[100];
    snprintf(path, sizeof path, "%s/trainer_log.jsonl", dir);
    cJSON *expected = vkft_test_read_jsonl(at(f, "clean/trainer_log.jsonl")),
          *found = vkft_test_read_jsonl(at(f, path));
    static const char *const names[] = {"loss", "grad_norm", "eval_loss"};
    assert_int_equal(cJSON_GetArraySize(expected), 6);
    assert_int_equal(cJSON_GetArraySize(found), 6);
    for (int i = 0; i < 6; i++)
        for (int n = 0; n < 3; n++) {
            const cJSON *a = cJSON_GetObjectItem(cJSON_GetArrayItem(expected, i), names[n]),
                        *b = cJSON_GetObjectItem(cJSON_GetArrayItem(found, i), names[n]);
            assert_int_equal(a == NULL, b == NULL);
            if (a && !(fabs(a->valuedouble - b->valuedouble) <= 1e-5 * fabs(a->valuedouble)))
                fail_msg("row %d: %s is %.9g and was %.9g", i, names[n], b->valuedouble, a->valuedouble);
        }
    cJSON_Delete(expected), cJSON_Delete(found);
}

static int set_up(void **state)
{
    fixture *f = calloc(1, sizeof *f);
    f->dir = vkft_test_directory();
    char command[900];
    snprintf(command, sizeof command, "mkdir -m 700 %s/cache", f->dir);
    assert_int_equal(system(command), 0);
    for (int i = 0; i < 2; i++) /* the first one fills the cache */
        run_ok(f, "", TRAIN BATCHES "--output-dir clean --overwrite");
    *state = f;
    return 0;
}

static int tear_down(void **state)
{
    fixture *f = *state;
    vkft_test_remove_directory(f->dir);
    free(f->said);
    free(f);
    return 0;
}

static void skip_where_impossible(void)
{
#if defined(__SANITIZE_ADDRESS__)
    print_message("skipped: AddressSanitizer has to be loaded before the library that injects faults\n");
    skip();
#endif
}

/* The number of the first submission whose failure makes batches smaller, which is the first one of the first step. */
static unsigned first_submission(fixture *f)
{
    char fault[100];
    for (unsigned n = 1; n < 100 && !f->first; n++) {
        snprintf(fault, sizeof fault, "VKFT_FAULT_CALL=QueueSubmit:%u:1:-2", n);
        run(f, fault, TRAIN BATCHES "--max-steps 1 --output-dir first --overwrite");
        if (times(f, SMALLER))
            f->first = n;
    }
    if (!f->first)
        fail_msg("nothing made batches smaller: %s", f->said);
    return f->first;
}

/* Submissions fail twice at the begin: from there on each sample runs alone, and all bits are those of such a run. */
static void test_first_step(void **state)
{
    fixture *f = *state;
    skip_where_impossible();
    char fault[100];
    snprintf(fault, sizeof fault, "VKFT_FAULT_CALL=QueueSubmit:%u:2:-2", first_submission(f));
    run_ok(f, fault, TRAIN BATCHES "--output-dir halved");
    says(f, "memory ran out: batches are computed 2 samples at a time from here on, with the same sums");
    says(f, "memory ran out: batches are computed 1 sample at a time from here on, with the same sums");
    run_ok(f, "", TRAIN "--batch-size 1 --gradient-accumulation-steps 8 --output-dir alone");
    vkft_test_same_file(f->dir, "halved", "alone", "adapter_model.safetensors");
    vkft_test_same_file(f->dir, "halved", "alone", "checkpoint-3/optimizer.safetensors");
    same_losses(f, "halved");
}

/* Wherever it happens: in a micro batch that is not the step's first, in the update, in an evaluation, on the way to a
 * checkpoint; and whatever fails. It is said once. */
static void test_later(void **state)
{
    static const char *const faults[] = {"QueueSubmit:%u:1:-2", "QueueSubmit:%u:1:-1", "WaitForFences:%u:1:-2",
                                         "BeginCommandBuffer:%u:1:-2"};
    fixture *f = *state;
    skip_where_impossible();
    unsigned first = first_submission(f), smaller = 0, hit = 0;
    for (unsigned n = 1; n < 9; n++) {
        char fault[100] = "VKFT_FAULT_CALL=";
        snprintf(fault + strlen(fault), sizeof fault - strlen(fault), faults[n % 4], first + n); /* NOLINT */
        int code = run(f, fault, TRAIN BATCHES "--save-steps 1 --output-dir later --overwrite");
        smaller += times(f, SMALLER);
        hit++;
        if (code == 0) {
            assert_true(times(f, SMALLER) <= 1);
            same_losses(f, "later");
        } else { /* an update of which it is not known whether it was done */
            assert_int_equal(code, 1);
            assert_non_null(strstr(fault, "WaitForFences"));
        }
    }
    assert_true(smaller >= 5 && hit == 8);
}

/* With one sample at a time nothing can be smaller: the last step is saved, and a resumed run goes on. */
static void test_no_memory_at_all(void **state)
{
    fixture *f = *state;
    skip_where_impossible();
    char fault[100];
    bool saved = false;
    for (unsigned n = first_submission(f) + 1; n < 100 && !saved; n++) {
        snprintf(fault, sizeof fault, "VKFT_FAULT_CALL=QueueSubmit:%u:1000:-2", n);
        assert_int_equal(run(f, fault, TRAIN BATCHES "--output-dir ended --overwrite"), 1);
        says(f, "VK_ERROR_OUT_OF_DEVICE_MEMORY");
        saved = times(f, "step 1 is saved; continue with --resume-from-checkpoint auto") == 1;
    }
    assert_true(saved);
    says(f, "batches are computed 1 sample at a time");
    says(f, "lower --max-seq-length");
    assert_null(strstr(f->said, "lower --batch-size"));
    run_ok(f, "", TRAIN BATCHES "--output-dir ended --resume-from-checkpoint auto");
    vkft_test_same_file(f->dir, "ended", "clean", "adapter_model.safetensors");
    same_losses(f, "ended");
}

/* The device has less memory than it says, and the last buffers do not fit: the run starts with smaller batches, and
 * holds what the plan of these says. */
static void test_start(void **state)
{
    fixture *f = *state;
    skip_where_impossible();
    run_ok(f, "", TRAIN BATCHES "--dry-run --json");
    double whole = number(f, "device_bytes") + number(f, "host_bytes");
    run_ok(f, "", TRAIN "--batch-size 2 --dry-run --json");
    double half = number(f, "device_bytes"), held = half + number(f, "host_bytes");
    char fault[100];
    assert_true(held < whole);
    snprintf(fault, sizeof fault, "VKFT_FAULT_MEMORY=%.0f", (whole + held) / 2);
    run_ok(f, fault, TRAIN BATCHES "--json --offload none --output-dir less");
    assert_int_equal(times(f, SMALLER), 1);
    cJSON *log = vkft_test_read_jsonl(at(f, "less/trainer_log.jsonl"));
    assert_true(cJSON_GetObjectItem(cJSON_GetArrayItem(log, 0), "memory_bytes")->valuedouble == half);
    cJSON_Delete(log);
    same_losses(f, "less");
    assert_int_equal(run(f, "VKFT_FAULT_MEMORY=100000", TRAIN BATCHES "--offload none --output-dir none"), 1);
    says(f, "VK_ERROR_OUT_OF_DEVICE_MEMORY");
}

/* The device allows only small buffers: activations lie in several, with the same bits; planned and held are the same.
 * What cannot be divided is refused before anything is allocated. */
static void test_small_buffers(void **state)
{
    fixture *f = *state;
    skip_where_impossible();
    const char *const whole = "train --model " GOLDEN "/model --data long.jsonl --quant nf4 --lora-r 4 --max-steps 2 "
                              "--report-to none --batch-size 12 --gradient-accumulation-steps 1",
                      *small = "VKFT_FAULT_LARGEST=1000000";
    char arguments[1000];
    double bytes[2];
    FILE *file = fopen(at(f, "long.jsonl"), "w");
    assert_non_null(file);
    for (int i = 0; i < 24 * 60; i++)
        fprintf(file, "%s%d%s", i % 60 ? ", " : "{\"input_ids\": [", (i * i + 3 * i) % 97, i % 60 < 59 ? "" : "]}\n");
    assert_int_equal(fclose(file), 0);
    for (int i = 0; i < 2; i++) {
        snprintf(arguments, sizeof arguments, "%s --json --output-dir %s", whole, i ? "small" : "large");
        run_ok(f, i ? small : "", arguments);
        bytes[i] = number(f, "peak_memory_bytes");
        snprintf(arguments, sizeof arguments, "%s --json --dry-run --offload %s", whole, i ? "none" : "auto");
        run_ok(f, i ? small : "", arguments);
        assert_true(number(f, "device_bytes") == bytes[i]);
        assert_true(number(f, "activations") > 2e6);
    }
    assert_true(bytes[1] >= bytes[0] && bytes[1] < 1.2 * bytes[0]);
    vkft_test_same_file(f->dir, "small", "large", "adapter_model.safetensors");
    vkft_test_same_file(f->dir, "small", "large", "checkpoint-2/optimizer.safetensors");
    assert_int_equal(run(f, "VKFT_FAULT_LARGEST=12000", TRAIN BATCHES "--output-dir none"), 1);
    says(f, "in one buffer and");
    run_ok(f, "VKFT_FAULT_LARGEST=12000", TRAIN BATCHES "--dry-run");
    char *text = vkft_test_read(at(f, "out"), NULL);
    assert_non_null(strstr(text, "in one buffer and"));
    assert_non_null(strstr(text, "does not fit"));
    free(text);
}

/* A sweep one of whose runs does not fit: that is said, and none begins. */
static void test_sweep(void **state)
{
    fixture *f = *state;
    skip_where_impossible();
    assert_int_equal(run(f, "VKFT_FAULT_LARGEST=1000000", TRAIN BATCHES "--sweep lora_r=4,512,8 --output-dir unfit"),
                     1);
    says(f, "lora-r 512: trained parameters need 0.00 GiB in one buffer");
    says(f, "1 of 3 runs of the sweep do not fit the device's memory, and none was begun");
    assert_false(vkft_directory_exists(at(f, "unfit")));
    run_ok(f, "VKFT_FAULT_LARGEST=1000000", TRAIN BATCHES "--sweep lora_r=4,8 --output-dir fit");
}

/* The device does not take the model file: its weights are copied, which is said, with the same bits. */
static void test_not_in_place(void **state)
{
    fixture *f = *state;
    skip_where_impossible();
    run_ok(f, "VKFT_IN_PLACE=1", TRAIN BATCHES "--dry-run");
    char *plan = vkft_test_read(at(f, "out"), NULL), fault[100];
    bool in_place = strstr(plan, "weights in the file (host)") != NULL, copied = false;
    free(plan);
    if (!in_place) {
        print_message("skipped: the device does not read the model file in place\n");
        skip();
    }
    for (unsigned n = 1; n < 9 && !copied; n++) {
        snprintf(fault, sizeof fault, "VKFT_IN_PLACE=1 VKFT_FAULT_CALL=AllocateMemory:%u:1:-1000072003", n);
        int code = run(f, fault, TRAIN BATCHES "--output-dir copied --overwrite");
        copied = times(f, "weights are copied from the model file, which the device does not take") == 1;
        assert_int_equal(code, copied ? 0 : 1);
    }
    assert_true(copied);
    vkft_test_same_file(f->dir, "copied", "clean", "adapter_model.safetensors");
}

static void test_eval(void **state)
{
    fixture *f = *state;
    skip_where_impossible();
    run_ok(f, "", "eval " ON "--batch-size 4 --json");
    double loss = number(f, "loss");
    uint32_t smaller = 0;
    for (unsigned n = 1; n < 3; n++) {
        char fault[100];
        snprintf(fault, sizeof fault, "VKFT_FAULT_CALL=QueueSubmit:%u:1:-2", n);
        run_ok(f, fault, "eval " ON "--batch-size 4 --json");
        assert_true(fabs(number(f, "loss") - loss) <= 1e-6 * loss);
        smaller += times(f, SMALLER);
    }
    assert_true(smaller > 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_first_step),       cmocka_unit_test(test_later),
                                       cmocka_unit_test(test_no_memory_at_all), cmocka_unit_test(test_start),
                                       cmocka_unit_test(test_small_buffers),    cmocka_unit_test(test_sweep),
                                       cmocka_unit_test(test_not_in_place),     cmocka_unit_test(test_eval)};
    return cmocka_run_group_tests_name("out of memory", tests, set_up, tear_down);
}
