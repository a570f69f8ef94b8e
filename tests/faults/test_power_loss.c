/* The power goes off between any two calls that change files. What a program that was killed, or a disk that lost what
 * was not synced, leaves then (disk.h) never lacks what a person had before, never looks like something that it is not,
 * and the next run goes on from it to the same bits.
 *
 *   VKFT_FAULTS=all      runs the program on every state, instead of a sample; what is in it is always looked at
 *   VKFT_FAULTS=NAME     the same for one scenario
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
#include <xxhash.h>

#include "runtime/base/file.h"
#include "tests/faults/disk.h"
#include "tests/support/program.h"
#include "tests/support/tiny_model.h"

#define PROGRAM "$PROGRAM"
#define TRAIN                                                                                                          \
    "train --model ../model --data ../d --output-dir out --batch-size 2 --gradient-accumulation-steps 1 "              \
    "--max-seq-length 16 --quant fp32 --lora-r 2 --save-steps 1 --eval-steps 1 --logging-dir runs --max-steps 3 "      \
    "--save-total-limit 2"
#define FULL TRAIN " --fine-tune-type full"
#define BESIDE                                                                                                         \
    "train --model text-model --data ../rows.jsonl --output-dir out --batch-size 1 --gradient-accumulation-steps 1 "   \
    "--max-seq-length 16 --lora-r 2 --save-steps 1 --max-steps 1 --warmup-steps 0"
#define AUTO " --resume-from-checkpoint auto"
/* The names of the files that the run remembers as its own. */
#define FILES "sed -n '/\"files\"/,/}/s/^[^\"]*\"\\([^\"]*\\)\".*/\\1/p' out/vkft.json | sort"
/* The end of a run, without the only value in it that depends on the clock. */
#define RESULT(last)                                                                                                   \
    "cat $(ls out/*.json | grep -v vkft.json) out/*.safetensors out/checkpoint-" last "/*.safetensors && "             \
    "sed 's/\"tokens_per_second\":[^,}]*//' out/trainer_log.jsonl && " FILES

typedef struct scenario {
    const char *name;
    const char *prepare; /* a command of the shell before it, or NULL */
    const char *command;
    const char *again;  /* what is run afterwards */
    const char *result; /* a command of the shell that prints what is compared */
    uint64_t resumed;   /* the checkpoint that there is before, which it goes on from */
    const char *old;    /* where it overwrites a run: what goes on with that one */
    bool is_long;       /* left out of the short form */
} scenario;

static const scenario scenarios[] = {
    {.name = "train", .command = TRAIN, .again = TRAIN AUTO, .result = RESULT("3")},
    {.name = "resume",
     .prepare = PROGRAM " " TRAIN " && rm -r out/adapter_* out/checkpoint-3",
     .command = TRAIN AUTO,
     .again = TRAIN AUTO,
     .result = RESULT("3"),
     .resumed = 2},
    {.name = "back",
     .prepare = PROGRAM " " TRAIN " && rm out/adapter_*",
     .command = TRAIN " --resume-from-checkpoint out/checkpoint-2",
     .again = TRAIN AUTO,
     .result = RESULT("3"),
     .resumed = 2},
    {.name = "overwrite",
     .prepare = PROGRAM " " TRAIN " --seed 1",
     .command = TRAIN " --seed 2 --overwrite",
     .again = TRAIN " --seed 2" AUTO,
     .result = RESULT("3"),
     .old = TRAIN " --seed 1" AUTO},
    {.name = "recover", /* the run that overwrites was killed before it had a checkpoint */
     .prepare = PROGRAM " " TRAIN " && mkdir out/overwritten-run && mv out/adapter_* out/best-* out/checkpoint-* "
                        "out/trainer_log.jsonl out/overwritten-run && touch out/trainer_log.jsonl",
     .command = TRAIN AUTO,
     .again = TRAIN AUTO,
     .result = RESULT("3"),
     .old = TRAIN AUTO},
    {.name = "beside",
     .prepare = "cp -r ../text-model . && rm -f text-model/*.vkft",
     .command = BESIDE,
     .again = BESIDE AUTO,
     .result = RESULT("1")},
    {.name = "convert",
     .prepare = "cp -r ../text-model . && " PROGRAM " convert text-model -o model.vkft --quant none",
     .command = "convert text-model -o model.vkft --overwrite",
     .again = "convert text-model -o model.vkft --overwrite", /* the file has the inodes of its sources, too */
     .result = PROGRAM " generate --model model.vkft --prompt The --max-tokens 3 --temperature 0"},
    {.name = "full", .command = FULL, .again = FULL AUTO, .result = RESULT("3"), .is_long = true},
};

typedef struct fixture {
    char *dir;
    char *expected, *expected_old;
    uint32_t tried, wrong;
    uint32_t prefixes, states;
    uint32_t before;           /* nodes below this are of before */
    uint64_t *initial, *final; /* the hash of each node's data, before and at the end */
    uint64_t *seen;
    uint32_t seen_count;
} fixture;

static int shell(const fixture *f, const char *format, ...)
{
    char command[6000];
    int at = snprintf(command, sizeof command,
                      "cd %s/work && export PROGRAM=%s VKFT_CACHE_DIR=%s/cache && exec < /dev/null && ", f->dir,
                      VKFT_PROGRAM, f->dir);
    va_list args;
    va_start(args, format);
    vsnprintf(command + at, sizeof command - (size_t)at, format, args);
    va_end(args);
    int status = system(command);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

static int run(const fixture *f, const char *arguments, const char *environment)
{
    return shell(f, "timeout -s KILL 120 env %s " PROGRAM " %s > ../out 2> ../err", environment, arguments);
}

static void clear(const fixture *f)
{
    assert_int_equal(shell(f, "rm -rf ../work && mkdir ../work"), 0);
}

/* What the scenario's result command prints; NULL: it fails. */
static char *result_of(const fixture *f, const scenario *s)
{
    char path[600];
    if (shell(f, "{ %s; } > ../result 2> ../result-err", s->result) != 0)
        return NULL;
    snprintf(path, sizeof path, "%s/result", f->dir);
    size_t size;
    char *data = vkft_test_read(path, &size);
    for (size_t i = 0; i < size; i++) /* compared as a text */
        data[i] = data[i] ? data[i] : ' ';
    return data;
}

static bool gives(const fixture *f, const scenario *s, const char *expected)
{
    char *result = result_of(f, s);
    bool same = result && strcmp(result, expected) == 0;
    free(result);
    return same;
}

static char *said(const fixture *f)
{
    char path[600];
    snprintf(path, sizeof path, "%s/err", f->dir);
    return vkft_test_read(path, NULL);
}

/* --- what is in a state, without running the program --- */

/* Files that grow while they can be seen, or are nobody's. */
static bool may_be_partial(const char *path)
{
    static const char *const parts[] = {".tmp", "trainer_log.jsonl", ".vkft.lock", "events.out."};
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++)
        if (strstr(path, parts[i]))
            return true;
    return false;
}

/* Equal where a program that goes on reads the same: these files are removed or written anew, whatever is in them. */
static uint64_t hash_of(const vkft_disk_view *view)
{
    uint64_t hash = 0;
    for (size_t i = 0; i < view->count; i++) {
        const vkft_disk_entry *e = &view->entries[i];
        uint64_t data = may_be_partial(e->path) ? 0 : e->hash;
        hash = XXH3_64bits_withSeed(e->path, strlen(e->path) + 1, hash + data + e->is_directory);
    }
    return hash;
}

static bool starts(const char *path, const char *beginning)
{
    return strncmp(path, beginning, strlen(beginning)) == 0;
}

/* Whether the file is as it was before, or as it was at the end of the undisturbed run. */
static bool is_whole(const fixture *f, const vkft_disk_entry *e)
{
    return e->is_directory || (e->node < f->before && e->hash == f->initial[e->node]) || e->hash == f->final[e->node];
}

static bool holds(const vkft_disk_view *view, const char *dir, const char *name)
{
    char path[600];
    snprintf(path, sizeof path, "%s/%s", dir, name);
    return vkft_disk_find(view, path) != NULL;
}

/* The number of "out/checkpoint-N"; 0: another path. */
static uint64_t checkpoint_number(const char *path)
{
    static const char prefix[] = "out/checkpoint-";
    char *end = NULL;
    uint64_t number = starts(path, prefix) ? strtoull(path + strlen(prefix), &end, 10) : 0;
    return end && !*end ? number : 0;
}

/* Where a run may lie: in its place, and where --overwrite puts it. */
static const char *const places[] = {"out/overwritten-run.moving/", "out/overwritten-run/", "out/"};

/* The part of a path below such a place; "": it is elsewhere. */
static const char *name_in_run(const char *path)
{
    for (size_t i = 0; i < sizeof places / sizeof *places; i++)
        if (starts(path, places[i]))
            return path + strlen(places[i]);
    return "";
}

static bool is_kept(const vkft_disk_view *view, const vkft_disk_entry *old)
{
    for (size_t i = 0; i < sizeof places / sizeof *places; i++) {
        char path[600];
        snprintf(path, sizeof path, "%s%s", places[i], name_in_run(old->path));
        const vkft_disk_entry *e = vkft_disk_find(view, path);
        if (e && (e->node == old->node || (!e->is_directory && e->hash == old->hash)))
            return true;
    }
    return false;
}

static bool is_of_old_run(const char *path)
{
    const char *name = name_in_run(path);
    return starts(name, "checkpoint-") || starts(name, "best-") || starts(name, "adapter_");
}

typedef struct judgement {
    uint64_t newest;     /* whole checkpoint of a run that is not overwritten */
    char complaint[900]; /* "": none */
} judgement;

static void complain(judgement *j, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    vsnprintf(j->complaint, sizeof j->complaint, format, args);
    va_end(args);
}

/* promised: the checkpoint that the program has synced. end: what it has ended with; NULL: it has not ended. */
static judgement look_at(const fixture *f, const scenario *s, const vkft_disk_view *view,
                         const vkft_disk_view *original, uint64_t promised, const vkft_disk_view *end)
{
    judgement j = {0};
    for (size_t i = 0; i < view->count; i++) {
        const vkft_disk_entry *e = &view->entries[i];
        uint64_t number = e->is_directory ? checkpoint_number(e->path) : 0;
        if (!may_be_partial(e->path) && !is_whole(f, e))
            complain(&j, "%s has neither what was in it nor what was to be in it", e->path);
        if (!number)
            continue;
        bool trained =
            (holds(view, e->path, "adapter_model.safetensors") && holds(view, e->path, "adapter_config.json")) ||
            (holds(view, e->path, "model.safetensors") && holds(view, e->path, "config.json"));
        if (!trained || !holds(view, e->path, "optimizer.safetensors") || !holds(view, e->path, "trainer_state.json") ||
            !holds(view, e->path, "vkft_state.json"))
            complain(&j, "%s is not whole", e->path);
        if ((!s->old || e->node >= f->before) && number > j.newest)
            j.newest = number;
    }
    if (j.newest < promised)
        complain(&j, "checkpoint-%llu is lost", (unsigned long long)promised);
    if (holds(view, "out", "adapter_model.safetensors") && !holds(view, "out", "adapter_config.json") &&
        !holds(view, "out", "overwritten-run.moving"))
        complain(&j, "a result without its configuration");
    for (size_t i = 0; end && i < end->count; i++) {
        const vkft_disk_entry *e = &end->entries[i], *there = vkft_disk_find(view, e->path);
        if (!there || there->hash != e->hash)
            complain(&j, "%s is lost, though the program has ended", e->path);
    }
    for (size_t i = 0; i < original->count; i++) {
        const vkft_disk_entry *old = &original->entries[i];
        if (s->old && !j.newest && is_of_old_run(old->path) && !is_kept(view, old))
            complain(&j, "%s of the run before is lost", old->path);
        if (!starts(old->path, "out") && !starts(old->path, "runs") && !vkft_disk_find(view, old->path))
            complain(&j, "%s is lost", old->path);
    }
    return j;
}

/* --- what the program makes of a state --- */

static void again(const fixture *f, const scenario *s, const char *command, const char *expected, judgement *j)
{
    int code = run(f, command, "");
    char *text = said(f);
    const char *from = strstr(text, "resumed from out/checkpoint-");
    if (code != 0)
        complain(j, "exit code %d of %s: %.400s", code, command,
                 strstr(text, "vkft: error") ? strstr(text, "vkft: error") : text);
    else if (strstr(text, "warning: "))
        complain(j, "%.400s", strstr(text, "warning: "));
    else if (expected == f->expected && j->newest &&
             (!from || strtoull(from + strlen("resumed from out/checkpoint-"), NULL, 10) < j->newest))
        complain(j, "it does not go on from checkpoint-%llu", (unsigned long long)j->newest);
    else if (!gives(f, s, expected))
        complain(j, "%s has another result", command);
    free(text);
}

static void put_state(const fixture *f, const vkft_disk_view *view)
{
    char path[600];
    clear(f);
    snprintf(path, sizeof path, "%s/work", f->dir);
    vkft_disk_write(view, path);
}

static void try_state(fixture *f, const scenario *s, const vkft_disk_view *view, judgement *j)
{
    f->tried++;
    put_state(f, view);
    if (!s->old || j->newest) {
        again(f, s, s->again, f->expected, j);
        return;
    }
    again(f, s, s->old, f->expected_old, j);
    put_state(f, view);
    if (!*j->complaint)
        again(f, s, s->command, f->expected, j);
}

/* --- the scenarios --- */

static void write_inputs(const fixture *f)
{
    static const char rows[] = "{\"prompt\": \"What is warm?\", \"completion\": \" The sun.\"}\n";
    static const char tokens[] = "{\"input_ids\": [1, 2, 3, 4]}\n{\"input_ids\": [1, 5, 6]}\n"
                                 "{\"input_ids\": [1, 7, 8, 9, 2]}\n{\"input_ids\": [1, 3, 5, 7]}\n";
    const struct {
        const char *name, *text;
        size_t size;
    } files[] = {
        {"d/train.jsonl", tokens, strlen(tokens)},
        {"d/valid.jsonl", tokens, strcspn(tokens, "\n") + 1},
        {"rows.jsonl", rows, strlen(rows)},
    };
    vkft_err err;
    char path[600];
    for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
        snprintf(path, sizeof path, "%s/%s", f->dir, files[i].name);
        if (!vkft_file_write(path, files[i].text, files[i].size, &err))
            fail_msg("%s", err.message);
    }
}

static int set_up(void **state)
{
    fixture *f = calloc(1, sizeof *f);
    char path[600];
    vkft_err err;
    f->dir = vkft_test_directory();
    static const char *const dirs[] = {"work", "model", "d"};
    for (size_t i = 0; i < sizeof dirs / sizeof *dirs; i++) {
        snprintf(path, sizeof path, "%s/%s", f->dir, dirs[i]);
        if (!vkft_directory_create(path, &err))
            fail_msg("%s", err.message);
    }
    snprintf(path, sizeof path, "%s/model", f->dir);
    vkft_tiny_model tiny = vkft_tiny_model_default();
    vkft_tiny_model_write(&tiny, path);
    assert_int_equal(shell(f, "cp -r '%s/tools/bundled/model' ../text-model", VKFT_PROJECT_DIR), 0);
    write_inputs(f);
    *state = f;
    return 0;
}

static int tear_down(void **state)
{
    fixture *f = *state;
    print_message("%u prefixes, %u states, the program ran on %u of them, %u wrong\n", f->prefixes, f->states, f->tried,
                  f->wrong);
    vkft_test_remove_directory(f->dir);
    free(f);
    return 0;
}

static FILE *open_record(const fixture *f)
{
    char path[600];
    snprintf(path, sizeof path, "%s/record", f->dir);
    FILE *file = fopen(path, "rb");
    assert_non_null(file);
    return file;
}

static vkft_disk *load(const fixture *f)
{
    char path[600];
    snprintf(path, sizeof path, "%s/before", f->dir);
    return vkft_disk_load(path);
}

static bool is_new(fixture *f, uint64_t hash)
{
    for (uint32_t i = 0; i < f->seen_count; i++)
        if (f->seen[i] == hash)
            return false;
    f->seen = realloc(f->seen, (f->seen_count + 1) * sizeof *f->seen);
    assert_non_null(f->seen);
    f->seen[f->seen_count++] = hash;
    return true;
}

static uint64_t *hashes(const vkft_disk *disk, uint32_t *count)
{
    *count = vkft_disk_nodes(disk);
    uint64_t *list = malloc(*count * sizeof *list);
    assert_non_null(list);
    for (uint32_t i = 0; i < *count; i++)
        list[i] = vkft_disk_hash(disk, i);
    return list;
}

/* Runs the scenario, and notes what it does and how it ends. */
static void record(fixture *f, const scenario *s)
{
    char environment[2000];
    clear(f);
    if (s->prepare)
        assert_int_equal(shell(f, "{ %s; } > ../out 2> ../err", s->prepare), 0);
    assert_int_equal(shell(f, "rm -rf ../before && cp -a . ../before"), 0);
    if (s->old) {
        assert_int_equal(run(f, s->old, ""), 0);
        f->expected_old = result_of(f, s);
        assert_non_null(f->expected_old);
        assert_int_equal(shell(f, "rm -rf ../work && cp -a ../before ../work"), 0);
    }
    snprintf(environment, sizeof environment, "LD_PRELOAD=%s VKFT_RECORD=%s/record", VKFT_RECORDER, f->dir);
    if (run(f, s->command, environment) != 0) {
        shell(f, "cat ../err >&2");
        fail_msg("%s fails without a fault", s->name);
    }
    f->expected = result_of(f, s);
    assert_non_null(f->expected);
    vkft_disk *disk = load(f);
    uint32_t nodes;
    f->initial = hashes(disk, &f->before);
    FILE *file = open_record(f);
    while (vkft_disk_step(disk, file)) {
    }
    fclose(file);
    f->final = hashes(disk, &nodes);
    vkft_disk_free(disk);
}

static void forget(fixture *f)
{
    void *const all[] = {f->expected, f->expected_old, f->initial, f->final, f->seen};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        free(all[i]);
    f->expected = f->expected_old = NULL;
    f->initial = f->final = f->seen = NULL;
    f->seen_count = 0;
}

/* Follows which checkpoint the program takes for durable: it has renamed it, and goes on after its syncs. */
typedef struct promise {
    uint64_t renamed, made;
} promise;

static void follow(promise *p, const char *call)
{
    const char *to = starts(call, "rename ") ? strchr(call + 7, ' ') + 1 : "";
    if (p->renamed > p->made && (!call[0] || (!starts(call, "open ") && !starts(call, "sync"))))
        p->made = p->renamed;
    if (starts(call, "rename out/checkpoint-") && checkpoint_number(to) > p->renamed)
        p->renamed = checkpoint_number(to);
}

typedef struct walk {
    const scenario *s;
    vkft_disk *disk;
    vkft_disk_view original;
    promise promise;
    uint32_t step, mine, parts; /* every step-th new state is tried, 0: none; and of those this part */
    uint32_t prefixes, states;
    char said[900]; /* the last complaint */
} walk;

static void look_at_all(fixture *f, walk *w, const char *call, const vkft_disk_view *end)
{
    static const char *const names[] = {"killed", "unsynced names lost", "unsynced data lost", "unsynced data zero"};
    for (uint32_t i = 0; i < VKFT_LOSSES; i++) {
        vkft_loss loss = (vkft_loss)((w->prefixes + i) % VKFT_LOSSES); /* each is the first to show what is new */
        vkft_disk_view view = vkft_disk_left(w->disk, loss);
        judgement j = look_at(f, w->s, &view, &w->original, w->promise.made, end);
        bool new = is_new(f, hash_of(&view));
        uint32_t number = w->states;
        w->states += new;
        if (new && w->step && number % w->step == w->step / 2 && number / w->step % w->parts == w->mine - 1 &&
            !*j.complaint)
            try_state(f, w->s, &view, &j);
        if (w->step && *j.complaint) {
            f->wrong++;
            if (strcmp(w->said, j.complaint) != 0)
                print_message("%s, call %u, %s, %s: %s\n", w->s->name, w->prefixes, call, names[loss], j.complaint);
            memcpy(w->said, j.complaint, sizeof w->said);
        }
        vkft_disk_view_free(&view);
    }
    w->prefixes++;
}

/* Returns the number of different states. */
static uint32_t go_through(fixture *f, const scenario *s, uint32_t step, uint32_t mine, uint32_t parts)
{
    walk w = {.s = s, .disk = load(f), .promise = {s->resumed, s->resumed}, .step = step, .mine = mine, .parts = parts};
    w.original = vkft_disk_left(w.disk, VKFT_LOSS_NOTHING);
    FILE *file = open_record(f);
    const char *call = "the beginning";
    do {
        follow(&w.promise, call);
        look_at_all(f, &w, call, NULL);
    } while ((call = vkft_disk_step(w.disk, file)));
    w.promise.made = w.promise.renamed;
    vkft_disk_view end = vkft_disk_left(w.disk, VKFT_LOSS_NOTHING);
    look_at_all(f, &w, "the end", &end);
    vkft_disk_view_free(&end);
    fclose(file);
    vkft_disk_view_free(&w.original);
    vkft_disk_free(w.disk);
    f->seen_count = 0;
    if (step) {
        f->prefixes += w.prefixes;
        f->states += w.states;
        print_message("%s: %u prefixes, %u states\n", s->name, w.prefixes, w.states);
    }
    return w.states;
}

static void test_power_loss(void **state)
{
    fixture *f = *state;
#if defined(__SANITIZE_ADDRESS__)
    print_message("skipped: AddressSanitizer wants to be the first library\n");
    skip();
#endif
    const char *all = getenv("VKFT_FAULTS"), *part = getenv("VKFT_FAULTS_PART");
    uint32_t mine = 1, parts = 1;
    if (part)
        sscanf(part, "%u/%u", &mine, &parts);
    for (size_t i = 0; i < sizeof scenarios / sizeof *scenarios; i++) {
        const scenario *s = &scenarios[i];
        if (all ? strcmp(all, "all") != 0 && strcmp(all, s->name) != 0 : s->is_long)
            continue;
        record(f, s);
        uint32_t states = go_through(f, s, 0, 1, 1);
        go_through(f, s, all ? 1 : (states + 3) / 4, mine, parts);
        forget(f);
    }
    assert_true(f->tried > 0 || parts > 1);
    assert_int_equal(f->wrong, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test_setup_teardown(test_power_loss, set_up, tear_down)};
    return cmocka_run_group_tests_name("power loss", tests, NULL, NULL);
}
