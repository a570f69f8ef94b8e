/* Every call that can fail fails once, in the program as it is used: allocations, files, Vulkan (inject.c). Then the
 * program says what happened, or goes on to the same result; it never crashes, hangs or is silently wrong, never
 * touches its inputs, and the next run of the same command, resumed where there is something to resume, gives the same
 * bits.
 *
 *   VKFT_FAULTS=all      every site with every error, instead of a sample
 *   VKFT_FAULTS_PART=1/2 the first half of them, to run the halves beside each other
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <cmocka.h>

#include "runtime/base/file.h"
#include "tests/support/program.h"
#include "tests/support/tiny_model.h"

#define TRAIN                                                                                                          \
    "train --model model --data d --output-dir out --batch-size 2 --gradient-accumulation-steps 1 --max-seq-length "   \
    "16 --quant fp32 --lora-r 2 --save-steps 1 --eval-steps 1 --logging-dir runs --max-steps 2"
#define FULL TRAIN " --fine-tune-type full"
#define TEXT "--model text-model --max-seq-length 64"

typedef struct scenario {
    const char *name;
    const char *prepare; /* a command of the shell before it, or NULL */
    const char *command;
    const char *result; /* a file that it makes; NULL: standard output */
    const char *again;  /* what is run afterwards, and must give the same result; NULL: the command */
} scenario;

static const scenario scenarios[] = {
    {"train", NULL, TRAIN, "out/adapter_model.safetensors", TRAIN " --resume-from-checkpoint auto"},
    {"resume", TRAIN " && rm -r out/adapter_* out/checkpoint-2", TRAIN " --resume-from-checkpoint auto",
     "out/adapter_model.safetensors", NULL},
    {"full", NULL, FULL, "out/model.safetensors", FULL " --resume-from-checkpoint auto"},
    {"convert", NULL, "convert text-model -o model.vkft", NULL, /* the file has the inodes of its sources, too */
     "convert text-model -o model.vkft --overwrite"},
    {"data", NULL, "data rows.jsonl " TEXT, NULL, NULL},
    {"template", NULL, "template --model text-model --chat-template chat.jinja --json conversation.json", NULL, NULL},
    {"eval", NULL, "eval --json --per-token tokens.jsonl --data rows.jsonl " TEXT, "tokens.jsonl", NULL},
    {"generate", NULL, "generate --model text-model --prompt The --max-tokens 3 --temperature 0", NULL, NULL},
};

typedef struct site {
    char line[192]; /* "KIND KEY NAME ADDRESS..." */
} site;

typedef struct fixture {
    char *dir;
    char *expected; /* the scenario's result */
    size_t expected_size;
    site *sites; /* those that no earlier scenario had */
    uint32_t count, first;
    uint32_t faults, hit, wrong;
} fixture;

/* Runs a command of the shell in DIR; returns its exit code. */
static int shell(const fixture *f, const char *format, ...)
{
    char command[4096];
    int at = snprintf(command, sizeof command, "cd %s && ", f->dir);
    va_list args;
    va_start(args, format);
    vsnprintf(command + at, sizeof command - (size_t)at, format, args);
    va_end(args);
    int status = system(command);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

/* Runs the program in a copy of the inputs with these additions to its environment. */
static int run(const fixture *f, const char *arguments, const char *environment)
{
    return shell(f,
                 "cd copy && timeout -s KILL 120 env VKFT_CACHE_DIR=$PWD/cache %s %s %s > ../out 2> ../err < /dev/null",
                 environment, VKFT_PROGRAM, arguments);
}

static void fresh(const fixture *f)
{
    assert_int_equal(shell(f, "rm -rf copy && cp -a base copy"), 0);
}

static char *read_result(const fixture *f, const scenario *s, size_t *size)
{
    char path[700], *data;
    vkft_err err;
    snprintf(path, sizeof path, s->result ? "%s/copy/%s" : "%s/out", f->dir, s->result);
    return vkft_file_read(path, 1u << 30, &data, size, &err) ? data : NULL;
}

static bool same_result(const fixture *f, const scenario *s)
{
    size_t size;
    char *data = read_result(f, s, &size);
    bool same = data && size == f->expected_size && memcmp(data, f->expected, size) == 0;
    free(data);
    return same;
}

static int set_up(void **state)
{
    static const char rows[] = "{\"prompt\": \"What is warm?\", \"completion\": \" The sun.\"}\n"
                               "{\"messages\": [{\"role\": \"user\", \"content\": \"hi\"}, {\"role\": \"assistant\", "
                               "\"content\": \"yo\"}]}\n";
    static const char tokens[] = "{\"input_ids\": [1, 2, 3, 4]}\n{\"input_ids\": [1, 5, 6]}\n"
                                 "{\"input_ids\": [1, 7, 8, 9, 2]}\n{\"input_ids\": [1, 3, 5, 7]}\n";
    static const char chat[] = "{% for m in messages %}<{{ m.role }}>{{ m.content }}{{ eos_token }}{% endfor %}";
    fixture *f = calloc(1, sizeof *f);
    char path[600];
    vkft_err err;
    f->dir = vkft_test_directory();
    assert_int_equal(
        shell(f, "mkdir -p base/model base/d && cp -r '%s/tools/bundled/model' base/text-model", VKFT_PROJECT_DIR), 0);
    snprintf(path, sizeof path, "%s/base/model", f->dir);
    vkft_tiny_model tiny = vkft_tiny_model_default();
    vkft_tiny_model_write(&tiny, path);
    const struct {
        const char *name, *text;
        size_t size;
    } files[] = {
        {"d/train.jsonl", tokens, strlen(tokens)},
        {"d/valid.jsonl", tokens, strcspn(tokens, "\n") + 1},
        {"rows.jsonl", rows, strcspn(rows, "\n") + 1},
        {"chat.jinja", chat, strlen(chat)},
        {"conversation.json", strchr(rows, '\n') + 1, strlen(strchr(rows, '\n') + 1)},
    };
    for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
        snprintf(path, sizeof path, "%s/base/%s", f->dir, files[i].name);
        if (!vkft_file_write(path, files[i].text, files[i].size, &err))
            fail_msg("%s", err.message);
    }
    f->sites = malloc(100000 * sizeof *f->sites);
    *state = f;
    return 0;
}

static int tear_down(void **state)
{
    fixture *f = *state;
    print_message("%u faults, %u of them reached, %u handled wrongly\n", f->faults, f->hit, f->wrong);
    vkft_test_remove_directory(f->dir);
    free(f->sites);
    free(f->expected);
    free(f);
    return 0;
}

static bool known(const fixture *f, const char *line)
{
    for (uint32_t i = 0; i < f->count; i++)
        if (strncmp(f->sites[i].line, line, 18) == 0)
            return true;
    return false;
}

/* Runs the scenario without a fault and adds the sites that are new. */
static void find_sites(fixture *f, const scenario *s)
{
    char environment[2000], line[192];
    snprintf(environment, sizeof environment, "LD_PRELOAD=%s VKFT_FAULT_LIST=%s/sites", VKFT_INJECT, f->dir);
    fresh(f);
    shell(f, "rm -f sites");
    if (run(f, s->command, environment) != 0) {
        shell(f, "cat err >&2");
        fail_msg("%s fails without a fault", s->name);
    }
    free(f->expected);
    f->expected = read_result(f, s, &f->expected_size);
    assert_non_null(f->expected);
    f->first = f->count;
    char path[600];
    snprintf(path, sizeof path, "%s/sites", f->dir);
    FILE *file = fopen(path, "r");
    assert_non_null(file);
    while (fgets(line, sizeof line, file) && f->count < 100000)
        if (!known(f, line))
            memcpy(f->sites[f->count++].line, line, sizeof line);
    fclose(file);
}

/* The errors with which a call of this kind and name is tried; the last is NULL. */
static const char *const *errors_of(char kind, const char *name)
{
    static const char *const memory[] = {"12", NULL}, *const files[] = {"5", "13", "28", NULL},
                             *const transfers[] = {"5", "28", "4", "short", NULL}, *const reads[] = {"5", "13", NULL},
                             *const read_transfers[] = {"5", "4", "short", NULL},
                             *const vulkan[] = {"-1", "-2", "-4", NULL},
                             *const creations[] = {"-1", "-2", "-3", "-4", NULL},
                             *const waits[] = {"2", "-2", "-4", NULL};
    bool transfer = strstr(name, "read64") == name + 1 || strcmp(name, "read") == 0 || strstr(name, "write");
    switch (kind) {
    case 'm': return memory;
    case 'w': return transfer ? transfers : files;
    case 'r': return transfer ? read_transfers : reads;
    default: return strncmp(name, "Create", 6) == 0 ? creations : strncmp(name, "Wait", 4) == 0 ? waits : vulkan;
    }
}

/* Where memory ran out and batches became smaller, sums are rounded in another order. */
static bool became_smaller(const fixture *f)
{
    return shell(f, "grep -q 'at a time from here on' said") == 0;
}

/* What is wrong with how the run ended, or NULL. */
static const char *judge(const fixture *f, const scenario *s, int code)
{
    if (code == 137 || code == 124)
        return "hangs";
    if (code > 2 && code != 130)
        return "crashes";
    bool smaller = code == 0 && became_smaller(f);
    if (code == 0 && !smaller && !same_result(f, s))
        return "exit code 0 with another result";
    if (code != 0 && shell(f, "grep -qE 'vkft: error: .{10}' err") != 0)
        return "no message";
    if (shell(f, "cd base && for x in model d text-model rows.jsonl chat.jinja conversation.json; do diff -r -x "
                 "'*.vkft' $x ../copy/$x || exit 1; "
                 "done > /dev/null") != 0)
        return "its inputs have changed";
    if (run(f, s->again ? s->again : s->command, "") != 0)
        return "the next run fails";
    if (!smaller && !same_result(f, s))
        return "the next run has another result";
    return NULL;
}

static void try_fault(fixture *f, const scenario *s, const char *line, const char *error)
{
    char environment[2000], what[1200] = "";
    fresh(f);
    shell(f, "rm -f hit");
    snprintf(environment, sizeof environment, "LD_PRELOAD=%s VKFT_FAULT=%.1s:%.16s:%s VKFT_FAULT_HIT=%s/hit",
             VKFT_INJECT, line, line + 2, error, f->dir);
    int code = run(f, s->command, environment);
    f->faults++;
    if (shell(f, "test -e hit") != 0)
        return;
    f->hit++;
    shell(f, "cp err said");
    const char *wrong = judge(f, s, code);
    if (!wrong)
        return;
    f->wrong++;
    char path[600];
    snprintf(path, sizeof path, "%s/said", f->dir);
    char *said = vkft_test_read(path, NULL), *error_line = strstr(said, "error:");
    snprintf(what, sizeof what, "%.1000s", error_line ? error_line : said);
    what[strcspn(what, "\n")] = 0;
    free(said);
    print_message("%s: %s; error %s, exit code %d at %.*s: %s\n", s->name, wrong, error, code, (int)strcspn(line, "\n"),
                  line, what);
}

static void faults(void **state)
{
    fixture *f = *state;
#if defined(__SANITIZE_ADDRESS__)
    print_message("skipped: AddressSanitizer has allocations of its own\n");
    skip();
#endif
    const char *all = getenv("VKFT_FAULTS"), *part = getenv("VKFT_FAULTS_PART");
    uint32_t mine = 1, parts = 1, number = 0;
    if (part)
        sscanf(part, "%u/%u", &mine, &parts);
    for (size_t i = 0; i < sizeof scenarios / sizeof *scenarios; i++) {
        const scenario *s = &scenarios[i];
        if (all && strcmp(all, "all") != 0 && strcmp(all, s->name) != 0)
            continue;
        shell(f, "rm -rf base/out base/cache base/runs");
        if (s->prepare) {
            fresh(f);
            assert_int_equal(run(f, s->prepare, ""), 0);
            assert_int_equal(shell(f, "cp -a copy/out base/"), 0);
        }
        find_sites(f, s);
        uint32_t step = all ? 1 : 1 + (f->count - f->first) / 3; /* a sample of three a scenario */
        for (uint32_t k = f->first + step / 2; k < f->count; k += step) {
            char name[64] = "";
            sscanf(f->sites[k].line + 19, "%63s", name);
            const char *const *errors = errors_of(f->sites[k].line[0], name);
            for (; *errors; errors++)
                if (number++ % parts == mine - 1)
                    try_fault(f, s, f->sites[k].line, *errors);
        }
        print_message("%s: %u sites\n", s->name, f->count - f->first);
    }
    assert_true(f->hit > 0 || parts > 1);
    assert_int_equal(f->wrong, 0);
}

/* The first site of a call of Vulkan with this name. */
static const site *site_named(const fixture *f, const char *name)
{
    size_t n = strlen(name);
    for (uint32_t i = f->first; i < f->count; i++)
        if (f->sites[i].line[0] == 'v' && strncmp(f->sites[i].line + 19, name, n) == 0 &&
            f->sites[i].line[19 + n] == ' ')
            return &f->sites[i];
    fail_msg("%s is not called", name);
    return NULL;
}

/* A result is told as what it is: only a lack of memory has the advice for it, and only an open device can be reset. */
static void messages(void **state)
{
    fixture *f = *state;
#if defined(__SANITIZE_ADDRESS__)
    print_message("skipped: AddressSanitizer has allocations of its own\n");
    skip();
#endif
    static const struct {
        const char *call, *error, *said, *not_said;
    } cases[] = {
        {"AllocateMemory", "-4", "VK_ERROR_DEVICE_LOST: the driver reset the device", "lower --batch-size"},
        {"AllocateMemory", "-2", "lower --batch-size", "the driver reset the device"},
        {"CreateBuffer", "-4", "VK_ERROR_DEVICE_LOST: the driver reset the device", "lower --batch-size"},
        {"CreateBuffer", "-1", "lower --batch-size", "the driver reset the device"},
        {"CreateInstance", "-4", "a Vulkan driver does not work; reinstall it", "the driver reset the device"},
        {"CreateInstance", "-9", "no Vulkan driver found; install the GPU's driver", "does not work"},
        {"CreateInstance", "-1", "creating the Vulkan instance: VK_ERROR_OUT_OF_HOST_MEMORY", "reinstall"},
        {"CreateDevice", "-8", "opening the device", "lower --batch-size"},
    };
    find_sites(f, &scenarios[0]);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char environment[2000], path[600];
        const site *at = site_named(f, cases[i].call);
        fresh(f);
        snprintf(environment, sizeof environment, "LD_PRELOAD=%s VKFT_FAULT=%.1s:%.16s:%s", VKFT_INJECT, at->line,
                 at->line + 2, cases[i].error);
        int code = run(f, scenarios[0].command, environment);
        snprintf(path, sizeof path, "%s/err", f->dir);
        char *said = vkft_test_read(path, NULL);
        if (code != 1 || !strstr(said, cases[i].said) || strstr(said, cases[i].not_said))
            fail_msg("%s %s: exit code %d, expected \"%s\" without \"%s\":\n%s", cases[i].call, cases[i].error, code,
                     cases[i].said, cases[i].not_said, said);
        free(said);
    }
}

int main(void)
{
    setvbuf(stdout, NULL, _IOLBF, 0); /* a long run is watched */
    const struct CMUnitTest tests[] = {cmocka_unit_test_setup_teardown(faults, set_up, tear_down),
                                       cmocka_unit_test_setup_teardown(messages, set_up, tear_down)};
    return cmocka_run_group_tests_name("faults", tests, NULL, NULL);
}
