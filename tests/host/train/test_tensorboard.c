/* Events for TensorBoard: the numbers of trainer_log.jsonl, each step once, whatever a killed run has left, and no
 * other file touched. The reader here is as strict as TensorBoard's own, which tests/golden/check_tensorboard.py asks.
 */
#include "tests/support/expect.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include <cjson/cJSON.h>

#include "formats/tensorboard/event_file.h"
#include "host/train/report/tensorboard.h"
#include "runtime/base/directory.h"
#include "runtime/base/file.h"
#include "runtime/base/random.h"
#include "tests/support/program.h"
#include "tests/support/tiny_model.h"

/* The name of the only event file in dir that contains part; NULL when there is none. */
typedef struct search {
    const char *part;
    char name[256];
    int count;
} search;

static bool look(void *context, const char *name)
{
    search *s = context;
    if (strstr(name, s->part)) {
        snprintf(s->name, sizeof s->name, "%s", name);
        s->count++;
    }
    return true;
}

static int count_files(const char *dir, const char *part, char *path, size_t size)
{
    search s = {.part = part};
    if (vkft_directory_exists(dir))
        assert_true(vkft_directory_list(dir, look, &s, NULL));
    snprintf(path, size, "%s/%s", dir, s.name);
    return s.count;
}

static char *read_own(const char *dir, size_t *size)
{
    char path[900];
    assert_int_equal(count_files(dir, ".vkft-", path, sizeof path), 1);
    return vkft_test_read(path, size);
}

typedef struct reader {
    const uint8_t *at, *end;
} reader;

static uint64_t take(reader *r, uint32_t bytes)
{
    uint64_t x = 0;
    assert_true(r->end - r->at >= bytes);
    for (uint32_t i = 0; i < bytes; i++)
        x |= (uint64_t)r->at[i] << 8 * i;
    r->at += bytes;
    return x;
}

static uint64_t varint(reader *r)
{
    uint64_t x = 0, byte = 0x80;
    for (uint32_t shift = 0; byte & 0x80; shift += 7)
        x |= ((byte = take(r, 1)) & 0x7f) << shift;
    return x;
}

/* The next field: its number; a message or text in *part, anything else in *value. 0 at the end. */
static uint64_t field(reader *r, reader *part, uint64_t *value)
{
    if (r->at == r->end)
        return 0;
    uint64_t key = varint(r), length;
    switch (key & 7) {
    case 0: *value = varint(r); break;
    case 1: *value = take(r, 8); break;
    case 5: *value = take(r, 4); break;
    default:
        assert_int_equal(key & 7, 2);
        length = varint(r);
        assert_true(length <= (uint64_t)(r->end - r->at));
        *part = (reader){r->at, r->at + length};
        r->at += length;
    }
    return key >> 3;
}

static uint32_t masked_crc(const uint8_t *data, size_t size)
{
    uint32_t crc = vkft_crc32c(data, size);
    return (crc >> 15 | crc << 17) + 0xa282ead8u;
}

/* Adds {"time", "step", "tag", "value"} for each scalar; counts texts. */
static void read_event(reader event, cJSON *scalars, int *texts)
{
    reader part, summary = {0}, value;
    uint64_t number, step = 0, id;
    double wall_time = 0;
    while ((id = field(&event, &part, &number))) {
        if (id == 1)
            memcpy(&wall_time, &number, sizeof wall_time);
        step = id == 2 ? number : step;
        summary = id == 5 ? part : summary;
    }
    while (field(&summary, &value, &number)) {
        char tag[100] = "";
        uint64_t bits = 0;
        bool text = false;
        while ((id = field(&value, &part, &number))) {
            if (id == 1)
                snprintf(tag, sizeof tag, "%.*s", (int)(part.end - part.at), (const char *)part.at);
            bits = id == 2 ? number : bits;
            text = text || id == 8;
        }
        *texts += text;
        if (text)
            continue;
        uint32_t low = (uint32_t)bits;
        float x;
        memcpy(&x, &low, sizeof x);
        cJSON *row = cJSON_CreateObject();
        cJSON_AddNumberToObject(row, "time", wall_time);
        cJSON_AddNumberToObject(row, "step", (double)step);
        cJSON_AddStringToObject(row, "tag", tag);
        cJSON_AddNumberToObject(row, "value", (double)x);
        cJSON_AddItemToArray(scalars, row);
    }
}

static cJSON *read_events(const char *data, size_t size, int *texts)
{
    cJSON *scalars = cJSON_CreateArray();
    reader file = {(const uint8_t *)data, (const uint8_t *)data + size};
    *texts = 0;
    while (file.at < file.end) {
        const uint8_t *start = file.at;
        uint64_t length = take(&file, 8);
        assert_int_equal(take(&file, 4), masked_crc(start, 8));
        assert_true(length <= (uint64_t)(file.end - file.at));
        reader event = {file.at, file.at + length};
        file.at += length;
        assert_int_equal(take(&file, 4), masked_crc(event.at, length));
        read_event(event, scalars, texts);
    }
    return scalars;
}

static void expect_scalar(const cJSON *scalar, double step, const char *tag, double value)
{
    assert_string_equal(cJSON_GetObjectItem(scalar, "tag")->valuestring, tag);
    assert_true(cJSON_GetObjectItem(scalar, "step")->valuedouble == step);
    double found = cJSON_GetObjectItem(scalar, "value")->valuedouble;
    if (found != (double)(float)value && !(isnan(found) && isnan(value)))
        fail_msg("%s at step %g: %.9g, expected %.9g", tag, step, found, value);
}

/* The events hold each number of the log once, in its order. */
static void expect_log(const char *dir, const cJSON *log)
{
    size_t size;
    int texts;
    char *data = read_own(dir, &size);
    cJSON *scalars = read_events(data, size, &texts);
    const cJSON *scalar = scalars->child, *row, *item;
    assert_int_equal(texts, 1);
    cJSON_ArrayForEach(row, log)
    {
        bool evaluation = cJSON_GetObjectItem(row, "eval_loss") != NULL;
        cJSON_ArrayForEach(item, row)
        {
            char tag[100];
            bool of_evaluation = strncmp(item->string, "eval_", 5) == 0;
            if (strcmp(item->string, "step") == 0 || of_evaluation != evaluation)
                continue;
            snprintf(tag, sizeof tag, "%s/%s", evaluation ? "eval" : "train", item->string + (evaluation ? 5 : 0));
            assert_non_null(scalar);
            expect_scalar(scalar, cJSON_GetObjectItem(row, "step")->valuedouble, tag,
                          cJSON_IsNull(item) ? NAN : item->valuedouble);
            scalar = scalar->next;
        }
    }
    assert_null(scalar);
    cJSON_Delete(scalars);
    free(data);
}

/* When the run logged this tag at this step. */
static double time_of(const char *dir, double step, const char *tag)
{
    size_t size;
    int texts;
    double found = NAN;
    char *data = read_own(dir, &size);
    cJSON *scalars = read_events(data, size, &texts);
    const cJSON *scalar;
    cJSON_ArrayForEach(scalar, scalars)
    {
        if (cJSON_GetObjectItem(scalar, "step")->valuedouble == step &&
            strcmp(cJSON_GetObjectItem(scalar, "tag")->valuestring, tag) == 0)
            found = cJSON_GetObjectItem(scalar, "time")->valuedouble;
    }
    cJSON_Delete(scalars);
    free(data);
    return found;
}

/* A directory with an output directory and one for events. */
typedef struct fixture {
    char *dir;
    char out[512], logs[512];
    cJSON *history, *times;
} fixture;

static const char history[] = "[{\"step\": 1, \"loss\": 2.1, \"grad_norm\": null, \"epoch\": 0.5},"
                              " {\"step\": 1, \"eval_loss\": 3.3, \"epoch\": 0.5},"
                              " {\"step\": 300, \"loss\": 1.7, \"grad_norm\": 0.25, \"epoch\": 1}]";

static int set_up(void **state)
{
    fixture *f = calloc(1, sizeof *f);
    f->dir = vkft_test_directory();
    snprintf(f->out, sizeof f->out, "%s/out", f->dir);
    snprintf(f->logs, sizeof f->logs, "%s/logs", f->dir);
    assert_true(vkft_directory_create(f->out, NULL));
    f->history = cJSON_Parse(history);
    f->times = cJSON_Parse("[1700000000.25, 1700000001.25, 1700000002.25]");
    *state = f;
    return 0;
}

static int tear_down(void **state)
{
    fixture *f = *state;
    cJSON_Delete(f->history);
    cJSON_Delete(f->times);
    vkft_test_remove_directory(f->dir);
    free(f);
    return 0;
}

static vkft_tensorboard *open_board(const fixture *f, const char *logs, const char *out, bool keep_earlier)
{
    static vkft_setting list[] = {{"lora-r", (char *)"4", true}, {"data", (char *)"a\n| b", false}};
    const vkft_settings settings = {list, 2};
    vkft_err err = {0};
    vkft_tensorboard *board = vkft_tensorboard_open(logs, out, &settings, f->history, f->times, keep_earlier, &err);
    expect_ok(board);
    return board;
}

static void write_board(const fixture *f, const char *logs, const char *out)
{
    vkft_tensorboard_close(open_board(f, logs, out, false));
}

static void test_rows(void **state)
{
    const fixture *f = *state;
    vkft_err err = {0};
    cJSON *row = cJSON_Parse("{\"step\": 301, \"loss\": 1.5}");
    vkft_tensorboard *board = open_board(f, f->logs, f->out, false);
    expect_ok(vkft_tensorboard_add(board, row, 1700000003.25, &err));
    vkft_tensorboard_close(board);
    cJSON *log = cJSON_Duplicate(f->history, true);
    assert_true(cJSON_AddItemToArray(log, row));
    expect_log(f->logs, log);
    cJSON_Delete(log);
    assert_true(time_of(f->logs, 1, "train/loss") == 1700000000.25);
    assert_true(time_of(f->logs, 1, "eval/loss") == 1700000001.25);
    assert_true(time_of(f->logs, 300, "train/epoch") == 1700000002.25);
    assert_true(time_of(f->logs, 301, "train/loss") == 1700000003.25);
}

/* What a killed run has left is not read, so it may be cut anywhere, or be anything. */
static void test_rewritten_after_a_cut(void **state)
{
    const fixture *f = *state;
    size_t size, again_size;
    char path[900];
    write_board(f, f->logs, f->out);
    char *whole = read_own(f->logs, &size);
    assert_true(size > 300);
    for (size_t cut = 0; cut < size; cut++) {
        assert_int_equal(count_files(f->logs, ".vkft-", path, sizeof path), 1);
        char *left = malloc(size);
        for (size_t i = 0; i < size; i++) /* every other time with damage before the cut */
            left[i] = (char)(whole[i] ^ (cut % 2 ? (int)vkft_random_bits(1, cut, i) : 0));
        FILE *file = fopen(path, "wb");
        assert_non_null(file);
        assert_int_equal(fwrite(left, 1, cut, file), cut);
        fclose(file);
        free(left);
        write_board(f, f->logs, f->out);
        char *again = read_own(f->logs, &again_size);
        assert_int_equal(again_size, size);
        assert_memory_equal(again, whole, size);
        free(again);
    }
    free(whole);
}

static long long seconds_in_name(const char *path)
{
    return strtoll(strstr(path, "tfevents.") + 9, NULL, 10);
}

/* A TensorBoard that runs goes from file to file in the order of their names. */
static void test_names_ascend(void **state)
{
    const fixture *f = *state;
    char path[900], last[900];
    write_board(f, f->logs, f->out);
    assert_int_equal(count_files(f->logs, "", last, sizeof last), 1);
    for (int i = 0; i < 3; i++) {
        write_board(f, f->logs, f->out);
        assert_int_equal(count_files(f->logs, "", path, sizeof path), 1);
        assert_true(seconds_in_name(path) > seconds_in_name(last));
        strcpy(last, path);
    }
}

static void test_files_of_others_stay(void **state)
{
    const fixture *f = *state;
    static const char *const names[] = {"events.out.tfevents.1700000000.host.12.0", "notes.vkft-0123456789abcdef",
                                        "events.out.tfevents.1700000000.vkft-0123456789abcdef",
                                        "events.out.tfevents.vkft"};
    char path[900], other[900];
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        snprintf(path, sizeof path, "%s/%s", f->logs, names[i]);
        assert_true(vkft_directory_create(f->logs, NULL) && vkft_file_write(path, names[i], strlen(names[i]), NULL));
    }
    snprintf(other, sizeof other, "%s/other", f->dir);
    assert_true(vkft_directory_create(other, NULL));
    for (int i = 0; i < 2; i++) {
        write_board(f, f->logs, f->out);
        write_board(f, f->logs, other);
    }
    assert_int_equal(count_files(f->logs, "", path, sizeof path), sizeof names / sizeof *names + 2);
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        size_t size;
        snprintf(path, sizeof path, "%s/%s", f->logs, names[i]);
        char *text = vkft_test_read(path, &size);
        assert_string_equal(text, names[i]);
        free(text);
    }
}

/* The run goes on in a directory that was moved; a copy of its output directory is another run. */
static void test_moved_and_copied(void **state)
{
    const fixture *f = *state;
    char inside[600], moved[600], copy[600], project[600], path[900];
    snprintf(project, sizeof project, "%s/project", f->dir);
    snprintf(inside, sizeof inside, "%s/project/out/runs", f->dir);
    snprintf(path, sizeof path, "%s/project/out", f->dir);
    write_board(f, inside, path);
    snprintf(moved, sizeof moved, "%s/project/renamed/runs", f->dir);
    snprintf(copy, sizeof copy, "%s/project/renamed", f->dir);
    assert_true(vkft_directory_rename(path, copy, NULL));
    write_board(f, moved, copy); /* with the output directory, in which it is */
    assert_int_equal(count_files(moved, "", path, sizeof path), 1);
    snprintf(moved, sizeof moved, "%s/project/logs", f->dir);
    write_board(f, moved, copy);
    snprintf(path, sizeof path, "%s/elsewhere", f->dir);
    assert_true(vkft_directory_rename(project, path, NULL));
    snprintf(moved, sizeof moved, "%s/elsewhere/logs", f->dir);
    snprintf(copy, sizeof copy, "%s/elsewhere/renamed", f->dir);
    write_board(f, moved, copy); /* both in one move */
    assert_int_equal(count_files(moved, "", path, sizeof path), 1);
    snprintf(copy, sizeof copy, "%s/elsewhere/copy", f->dir);
    assert_true(vkft_directory_create(copy, NULL));
    write_board(f, moved, copy);
    assert_int_equal(count_files(moved, "", path, sizeof path), 2);
}

/* --overwrite: the old run's file stays until the new run has something, and for good where it never has. */
static void test_overwritten(void **state)
{
    const fixture *f = *state;
    char old[900], path[900];
    size_t size, left_size;
    vkft_err err = {0};
    write_board(f, f->logs, f->out);
    assert_int_equal(count_files(f->logs, "", old, sizeof old), 1);
    char *whole = read_own(f->logs, &size);
    vkft_tensorboard *board = open_board(f, f->logs, f->out, true);
    assert_int_equal(count_files(f->logs, "", path, sizeof path), 2);
    vkft_tensorboard_close(board);
    char *left = read_own(f->logs, &left_size);
    assert_int_equal(count_files(f->logs, "", path, sizeof path), 1);
    assert_string_equal(path, old);
    assert_int_equal(left_size, size);
    assert_memory_equal(left, whole, size);
    board = open_board(f, f->logs, f->out, true);
    expect_ok(vkft_tensorboard_replace(board, &err));
    expect_ok(vkft_tensorboard_replace(board, &err));
    vkft_tensorboard_close(board);
    assert_int_equal(count_files(f->logs, "", path, sizeof path), 1);
    assert_string_not_equal(path, old);
    free(whole);
    free(left);
}

/* Whatever a checkpoint holds as history. */
static void test_damaged_history(void **state)
{
    fixture *f = *state;
    static const char *const histories[] = {
        "[1, \"a\", null, [1, 2], [[]], {}, {\"step\": \"one\", \"loss\": 1}, {\"step\": -1, \"loss\": 1e300}]",
        "[{\"step\": 1e300, \"loss\": {\"a\": 1}, \"loss\": [1]}, {\"eval_loss\": \"x\", \"\": 1}]",
    };
    for (size_t i = 0; i < sizeof histories / sizeof *histories; i++) {
        size_t size;
        int texts;
        cJSON_Delete(f->history);
        cJSON_Delete(f->times);
        f->history = cJSON_Parse(histories[i]);
        f->times = cJSON_Parse("[\"x\", null, 5, [], {}]");
        write_board(f, f->logs, f->out);
        char *data = read_own(f->logs, &size);
        cJSON_Delete(read_events(data, size, &texts));
        free(data);
    }
    cJSON *wide = cJSON_CreateObject();
    for (int i = 0; i < 100; i++) {
        char name[200];
        snprintf(name, sizeof name, "%0150d", i);
        cJSON_AddNumberToObject(wide, name, i);
    }
    cJSON_Delete(f->history);
    f->history = cJSON_CreateArray();
    cJSON_AddItemToArray(f->history, wide);
    write_board(f, f->logs, f->out);
}

static void test_directory_that_cannot_be_written(void **state)
{
    const fixture *f = *state;
    const vkft_settings settings = {0};
    vkft_err err = {0};
    expect_ok(vkft_file_write(f->logs, "a file", 6, &err));
    expect_failure(vkft_tensorboard_open(f->logs, f->out, &settings, f->history, f->times, false, &err),
                   "--logging-dir: cannot create directory");
}

/* The program */

typedef struct tiny {
    char model[600], data[600];
} tiny;

static tiny make_tiny(const fixture *f)
{
    tiny t;
    vkft_tiny_model model = vkft_tiny_model_default();
    snprintf(t.model, sizeof t.model, "%s/model", f->dir);
    snprintf(t.data, sizeof t.data, "%s/data.jsonl", f->dir);
    assert_true(vkft_directory_create(t.model, NULL));
    vkft_tiny_model_write(&model, t.model);
    FILE *file = fopen(t.data, "wb");
    assert_non_null(file);
    for (unsigned row = 0; row < 20; row++)
        fprintf(file, "{\"input_ids\": [%u, %u, 3, 4, %u]}\n", row, row + 7, row + 20);
    fclose(file);
    return t;
}

#define FLAGS "--batch-size 2 --gradient-accumulation-steps 1 --lora-r 2 --quant fp32 --val-split 0.2 --eval-steps 2"

static vkft_test_result train(const fixture *f, const tiny *t, const char *more)
{
    return vkft_test_program("train --model %s --data %s --output-dir %s " FLAGS " %s", t->model, t->data, f->out,
                             more);
}

static void train_ok(const fixture *f, const tiny *t, const char *more)
{
    vkft_test_result r = train(f, t, more);
    if (r.exit_code)
        fail_msg("%s", r.err);
    vkft_test_result_free(&r);
}

static void expect_own_log(const fixture *f, const char *dir, int rows)
{
    char path[600];
    snprintf(path, sizeof path, "%s/trainer_log.jsonl", f->out);
    cJSON *log = vkft_test_read_jsonl(path);
    assert_int_equal(cJSON_GetArraySize(log), rows);
    expect_log(dir, log);
    cJSON_Delete(log);
}

/* 6 steps, 2 of them after the checkpoint that is resumed. A checkpoint keeps times to a microsecond. */
static void test_resumed(void **state)
{
    const fixture *f = *state;
    const tiny t = make_tiny(f);
    char flags[700], path[700];
    snprintf(flags, sizeof flags, "--max-steps 6 --save-steps 2 --logging-dir %s", f->logs);
    train_ok(f, &t, flags);
    expect_own_log(f, f->logs, 6 + 3);
    double kept = time_of(f->logs, 4, "train/loss"), done_again = time_of(f->logs, 5, "train/loss");
    snprintf(path, sizeof path, "%s/checkpoint-6", f->out);
    assert_true(vkft_directory_remove(path, NULL));
    snprintf(flags, sizeof flags, "--max-steps 8 --save-steps 2 --logging-dir %s --resume-from-checkpoint auto",
             f->logs);
    train_ok(f, &t, flags);
    expect_own_log(f, f->logs, 8 + 4);
    assert_true(fabs(time_of(f->logs, 4, "train/loss") - kept) < 1e-6);
    assert_true(time_of(f->logs, 5, "train/loss") > done_again + 1e-6);
    snprintf(flags, sizeof flags, "--max-steps 3 --overwrite --logging-dir %s", f->logs);
    train_ok(f, &t, flags);
    expect_own_log(f, f->logs, 3 + 2);
    train_ok(f, &t, "--max-steps 2 --overwrite --report-to tensorboard");
    snprintf(path, sizeof path, "%s/runs", f->out);
    expect_own_log(f, path, 2 + 1);
}

static void test_who_asks(void **state)
{
    const fixture *f = *state;
    const tiny t = make_tiny(f);
    char flags[700], path[900], runs[600];
    snprintf(runs, sizeof runs, "%s/runs", f->out);
    snprintf(flags, sizeof flags, "--max-steps 1 --overwrite --report-to none --logging-dir %s", f->logs);
    train_ok(f, &t, flags);
    train_ok(f, &t, "--max-steps 1 --overwrite");
    assert_int_equal(count_files(f->logs, "", path, sizeof path), 0);
    assert_int_equal(count_files(runs, "", path, sizeof path), 0);
    snprintf(flags, sizeof flags, "--max-steps 1 --overwrite --report-to all --logging-dir %s", f->logs);
    train_ok(f, &t, flags);
    assert_int_equal(count_files(f->logs, "tfevents", path, sizeof path), 1);
    assert_int_equal(count_files(runs, "", path, sizeof path), 0);
    snprintf(flags, sizeof flags, "--max-steps 1 --overwrite --logging-dir %s", t.data);
    vkft_test_result r = train(f, &t, flags);
    assert_int_equal(r.exit_code, 1);
    assert_non_null(strstr(r.err, "--logging-dir: cannot create directory"));
    assert_null(strstr(r.err, "step 1"));
    vkft_test_result_free(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_rows, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_rewritten_after_a_cut, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_names_ascend, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_files_of_others_stay, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_moved_and_copied, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_overwritten, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_damaged_history, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_directory_that_cannot_be_written, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_resumed, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_who_asks, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
