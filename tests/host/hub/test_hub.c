/* Downloads from a hub on the loopback address: what breaks off goes on, what is wrong is not taken, no byte is fetched
 * twice, and the token stays with the hub. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "host/hub/hub.h"
#include "runtime/base/directory.h"
#include "runtime/base/file.h"
#include "runtime/base/os/os.h"
#include "tests/support/expect.h"
#include "tests/support/hub/hub_server.h"
#include "tests/support/program.h"

enum { BIG = 300000, SMALL = 2000 };
#define TOKEN "hf_secret"
static char token[] = TOKEN, wrong_token[] = "wrong";

typedef struct fixture {
    hub_server *server;
    char *dir, endpoint[64]; /* it outlives the server */
    vkft_hub_settings settings;
    uint8_t big[BIG];
    uint64_t total; /* bytes of the model o/n */
    char said[2000];
} fixture;

static void add(fixture *f, const char *path, size_t size, bool large)
{
    hub_server_add(f->server, "models", "o/n", path, f->big, size, large);
    f->total += size;
}

static void name_server(fixture *f)
{
    snprintf(f->endpoint, sizeof f->endpoint, "%s", hub_server_endpoint(f->server));
    f->settings.endpoint = f->endpoint;
    hub_server_require_token(f->server, TOKEN);
}

static int set_up(void **state)
{
    fixture *f = calloc(1, sizeof *f);
    *state = f;
    f->server = hub_server_start();
    if (!f->server)
        return 0;
    f->dir = vkft_test_directory();
    f->settings = (vkft_hub_settings){.token = token, .cache = f->dir, .backoff = 0.002};
    name_server(f);
    uint32_t x = 1;
    for (int i = 0; i < BIG; i++)
        f->big[i] = (uint8_t)((x = x * 1664525 + 1013904223) >> 24);
    add(f, "config.json", SMALL, false);
    add(f, "tokenizer.json", SMALL + 1, false);
    add(f, "model.safetensors", BIG, true);
    return 0;
}

static int tear_down(void **state)
{
    fixture *f = *state;
    hub_server_stop(f->server);
    if (f->dir)
        vkft_test_remove_directory(f->dir);
    free(f);
    return 0;
}

static fixture *with_server(void **state)
{
    fixture *f = *state;
    if (!f->server)
        skip(); /* built without libmicrohttpd or libcurl */
    return f;
}

static void hear(void *context, const char *line)
{
    fixture *f = context;
    size_t length = strlen(f->said);
    snprintf(f->said + length, sizeof f->said - length, "%s\n", line);
}

static bool fetch_name(fixture *f, const char *text, vkft_hub_type type, char **path, vkft_err *err)
{
    vkft_hub_wish wish = {.text = text};
    const vkft_observer observer = {.context = f, .message = hear};
    assert_true(vkft_hub_name_parse(text, type, &wish.name));
    *err = (vkft_err){0};
    f->said[0] = 0;
    return vkft_hub_fetch(&wish, &f->settings, &observer, path, err);
}

static bool fetch(fixture *f, vkft_err *err)
{
    char *path;
    bool ok = fetch_name(f, "o/n", VKFT_HUB_MODEL, &path, err);
    free(path);
    return ok;
}

typedef struct blobs {
    const char *dir;
    unsigned whole, parts;
} blobs;

/* The name of a blob is the hash of what is in it. */
static bool check_blob(void *context, const char *name)
{
    blobs *b = context;
    vkft_err err;
    if (strstr(name, ".incomplete")) {
        b->parts++;
        return true;
    }
    char *path = vkft_path_join(b->dir, name), head[40], hash[VKFT_HUB_HASH_SIZE];
    size_t size;
    char *data = vkft_test_read(path, &size);
    vkft_hub_digest *d = vkft_hub_digest_new((unsigned)strlen(name), &err);
    int length = snprintf(head, sizeof head, "blob %zu", size) + 1;
    expect_ok(strlen(name) == VKFT_HUB_SHA256_DIGITS || vkft_hub_digest_add(d, head, (size_t)length, &err));
    expect_ok(vkft_hub_digest_add(d, data, size, &err) && vkft_hub_digest_end(d, hash, &err));
    assert_string_equal(hash, name);
    vkft_hub_digest_free(d);
    free(data);
    free(path);
    b->whole++;
    return true;
}

static blobs check_blobs(const fixture *f, const char *repository)
{
    char dir[600];
    snprintf(dir, sizeof dir, "%s/%s/blobs", f->dir, repository);
    blobs b = {.dir = dir};
    if (vkft_directory_exists(dir))
        assert_true(vkft_directory_list(dir, check_blob, &b, NULL));
    return b;
}

/* All of the model is there and right, and what is fetched for it. */
static void expect_model(fixture *f, uint64_t bytes)
{
    static const struct {
        const char *path;
        size_t size;
    } files[] = {{"config.json", SMALL}, {"tokenizer.json", SMALL + 1}, {"model.safetensors", BIG}};
    for (int i = 0; i < 3; i++) {
        char path[600];
        size_t size;
        snprintf(path, sizeof path, "%s/models--o--n/snapshots/" HUB_COMMIT "/%s", f->dir, files[i].path);
        char *data = vkft_test_read(path, &size);
        assert_int_equal(size, files[i].size);
        assert_memory_equal(data, f->big, size);
        free(data);
    }
    char reference[600];
    snprintf(reference, sizeof reference, "%s/models--o--n/refs/main", f->dir);
    char *commit = vkft_test_read(reference, NULL);
    assert_string_equal(commit, HUB_COMMIT);
    free(commit);
    blobs b = check_blobs(f, "models--o--n");
    assert_int_equal(b.whole, 3);
    assert_int_equal(b.parts, 0);
    hub_counts c = hub_server_counts(f->server);
    assert_int_equal(c.bytes, bytes);
    assert_int_equal(c.leaked, 0);
    assert_int_equal(c.without_token, 0);
}

static void test_whole(void **state)
{
    fixture *f = with_server(state);
    vkft_err err;
    char *path, expected[600];
    add(f, "onnx.bin", BIG, true); /* not needed */
    expect_ok(fetch_name(f, "o/n", VKFT_HUB_MODEL, &path, &err));
    snprintf(expected, sizeof expected, "%s/models--o--n/snapshots/" HUB_COMMIT, f->dir);
    assert_string_equal(path, expected);
    free(path);
    assert_non_null(strstr(f->said, "downloading o/n: 3 files, 296.9 KiB"));
    expect_model(f, f->total - BIG);
    expect_ok(fetch(f, &err)); /* all is there */
    expect_model(f, f->total - BIG);
    assert_int_equal(hub_server_counts(f->server).lists, 2);
    assert_string_equal(f->said, "");
}

/* 40 faults that cost no byte: breaks in mid-file, no answers, refusals for now, redirects. */
static void test_faults(void **state)
{
    fixture *f = with_server(state);
    vkft_err err;
    static const hub_fault between[] = {{.kind = HUB_CLOSE},
                                        {.kind = HUB_STATUS, .status = 429},
                                        {.kind = HUB_STATUS, .status = 503},
                                        {.kind = HUB_DETOUR},
                                        {.kind = HUB_STATUS, .status = 500},
                                        {.kind = HUB_OTHER_NAME},
                                        {.kind = HUB_STATUS, .status = 408}};
    for (unsigned i = 0; i < 40; i++) {
        hub_fault fault = i % 2 ? between[i / 2 % 7] : (hub_fault){.kind = HUB_BREAK, .at = 1 + i * 331};
        fault.path = "model.safetensors";
        hub_server_fault(f->server, fault);
    }
    expect_ok(fetch(f, &err));
    assert_int_equal(hub_server_faults_left(f->server), 0);
    expect_model(f, f->total);
}

/* Each wrong answer is refused, nothing wrong gets a name, and the next attempt fetches what is missing alone. */
static void test_wrong_content(void **state)
{
    static const struct {
        hub_fault_kind kind;
        const char *part, *file;
        bool costs_all; /* the file has to be fetched again */
    } cases[] = {
        {HUB_WRONG_BYTE, "does not have the hash", "model.safetensors", true},
        {HUB_WRONG_BYTE, "does not have the hash", "config.json", true},
        {HUB_SHORT, "the server has 299999 bytes of it, and the hub's list says 300000", "model.safetensors", false},
        {HUB_LONG, "the server has 300001 bytes", "model.safetensors", false},
        {HUB_LONG, "the server has 2001 bytes", "config.json", false},
        {HUB_WRONG_TAG, "another content", "model.safetensors", false},
        {HUB_LOOP, "more than 10 redirects", "model.safetensors", false},
    };
    fixture *f = with_server(state);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        vkft_err err;
        char path[600];
        hub_server_fault(f->server, (hub_fault){.kind = cases[i].kind, .path = cases[i].file, .for_good = true});
        expect_failure(fetch(f, &err), cases[i].part);
        assert_true(strstr(err.message, cases[i].file) != NULL);
        blobs b = check_blobs(f, "models--o--n");
        assert_true(b.whole < 3);
        snprintf(path, sizeof path, "%s/models--o--n/refs/main", f->dir);
        assert_false(vkft_file_exists(path));
        hub_server_stop(f->server); /* and another one without the fault */
        f->server = hub_server_start();
        name_server(f);
        f->total = 0;
        add(f, "config.json", SMALL, false);
        add(f, "tokenizer.json", SMALL + 1, false);
        add(f, "model.safetensors", BIG, true);
        expect_ok(fetch(f, &err));
        uint64_t bytes = hub_server_counts(f->server).bytes;
        assert_true(bytes <= f->total);
        if (cases[i].costs_all)
            assert_true(bytes >= (cases[i].file[0] == 'm' ? BIG : SMALL));
        expect_model(f, bytes);
        snprintf(path, sizeof path, "%s/models--o--n", f->dir);
        expect_ok(vkft_directory_remove(path, &err));
    }
}

static char *part_path(const fixture *f, const char *hash)
{
    char path[700];
    snprintf(path, sizeof path, "%s/models--o--n/blobs/%s.incomplete", f->dir, hash);
    return strdup(path);
}

static void hash_of(const void *data, size_t size, char hash[VKFT_HUB_HASH_SIZE])
{
    vkft_err err;
    vkft_hub_digest *d = vkft_hub_digest_new(VKFT_HUB_SHA256_DIGITS, &err);
    expect_ok(d && vkft_hub_digest_add(d, data, size, &err) && vkft_hub_digest_end(d, hash, &err));
    vkft_hub_digest_free(d);
}

static void put_part(const fixture *f, const uint8_t *data, size_t size)
{
    char hash[VKFT_HUB_HASH_SIZE];
    vkft_err err;
    hash_of(f->big, BIG, hash);
    char *path = part_path(f, hash), *parent = vkft_path_parent(path);
    expect_ok(vkft_directory_create(parent, &err) && vkft_file_write(path, data, size, &err));
    free(parent);
    free(path);
}

/* What an earlier run left is gone on with; what is damaged or too long is fetched anew, once. */
static void test_earlier_parts(void **state)
{
    fixture *f = with_server(state);
    vkft_err err;
    put_part(f, f->big, 200000);
    expect_ok(fetch(f, &err));
    expect_model(f, f->total - 200000);

    char path[600];
    snprintf(path, sizeof path, "%s/models--o--n", f->dir);
    expect_ok(vkft_directory_remove(path, &err));
    put_part(f, f->big, BIG); /* whole, but for its name */
    expect_ok(fetch(f, &err));
    expect_model(f, 2 * (f->total - BIG) + BIG - 200000);

    uint64_t before = hub_server_counts(f->server).bytes;
    expect_ok(vkft_directory_remove(path, &err));
    put_part(f, f->big + 1, 100000); /* other bytes */
    expect_ok(fetch(f, &err));
    expect_model(f, before + f->total - 100000 + BIG);

    before = hub_server_counts(f->server).bytes;
    expect_ok(vkft_directory_remove(path, &err));
    uint8_t *longer = calloc(1, BIG + 5);
    put_part(f, longer, BIG + 5);
    free(longer);
    expect_ok(fetch(f, &err));
    expect_model(f, before + f->total);
}

/* A server without ranges sends all of it: what is there stays. Another part than the one asked for is refused. */
static void test_ranges(void **state)
{
    fixture *f = with_server(state);
    vkft_err err;
    hub_server_fault(f->server, (hub_fault){.kind = HUB_BREAK, .path = "model.safetensors", .at = 100000});
    hub_server_fault(f->server, (hub_fault){.kind = HUB_IGNORE_RANGE, .path = "model.safetensors"});
    expect_ok(fetch(f, &err));
    expect_model(f, f->total + 100000);
    char path[600];
    snprintf(path, sizeof path, "%s/models--o--n", f->dir);
    expect_ok(vkft_directory_remove(path, &err));
    hub_server_fault(f->server, (hub_fault){.kind = HUB_BREAK, .path = "model.safetensors", .at = 100000});
    hub_server_fault(f->server, (hub_fault){.kind = HUB_OTHER_RANGE, .path = "model.safetensors"});
    expect_failure(fetch(f, &err), "another part than the one asked for");
    expect_ok(fetch(f, &err));
    check_blobs(f, "models--o--n");
}

static void expect_refusal(fixture *f, hub_fault fault, const char *part)
{
    vkft_err err;
    hub_server_fault(f->server, fault);
    expect_failure(fetch(f, &err), part);
    assert_int_equal(hub_server_faults_left(f->server), 0);
}

static void test_refusals(void **state)
{
    fixture *f = with_server(state);
    vkft_err err;
    char *path;
    expect_refusal(f, (hub_fault){HUB_REFUSE, .status = 401, .code = "RepoNotFound", .of_list = true},
                   "has nothing of this name, or it is private");
    expect_refusal(f, (hub_fault){HUB_REFUSE, .status = 403, .code = "GatedRepo", .of_list = true},
                   "access to it has to be asked for");
    expect_refusal(f, (hub_fault){HUB_REFUSE, .status = 403, .code = "GatedRepo", .path = "config.json"},
                   "config.json: access to it has to be asked for");
    expect_refusal(f, (hub_fault){HUB_REFUSE, .status = 403, .of_list = true}, "forbidden: because of a test");
    expect_refusal(f, (hub_fault){HUB_REFUSE, .status = 403, .code = "DisabledRepo", .of_list = true}, "disabled");
    expect_refusal(f, (hub_fault){HUB_REFUSE, .status = 404, .code = "EntryNotFound", .path = "config.json"},
                   "has no such file");
    expect_refusal(f, (hub_fault){HUB_REFUSE, .status = 400, .of_list = true}, "answers 400: because of a test");
    expect_failure(fetch_name(f, "o/other", VKFT_HUB_MODEL, &path, &err), "has nothing of this name");
    expect_failure(fetch_name(f, "o/n@v2", VKFT_HUB_MODEL, &path, &err), "no revision of this name");
    expect_failure(fetch_name(f, "o/n", VKFT_HUB_DATASET, &path, &err), "has nothing of this name");
    f->settings.token = NULL;
    expect_failure(fetch(f, &err), "no token is set");
    assert_null(strstr(err.message, TOKEN));
    f->settings.token = wrong_token;
    expect_failure(fetch(f, &err), "does not give access");
    f->settings.token = token;
    hub_server_fault(f->server, (hub_fault){HUB_STATUS, .status = 429, .of_list = true, .for_good = true});
    expect_failure(fetch(f, &err), "takes no more requests for now (429)");
}

/* A list that fails for now is asked for again. */
static void test_list_again(void **state)
{
    fixture *f = with_server(state);
    vkft_err err;
    hub_server_fault(f->server, (hub_fault){HUB_CLOSE, .of_list = true});
    hub_server_fault(f->server, (hub_fault){HUB_STATUS, .status = 502, .of_list = true});
    f->settings.token = token;
    hub_server_fault(f->server, (hub_fault){HUB_STATUS, .status = 429, .of_list = true});
    expect_ok(fetch(f, &err));
    expect_model(f, f->total);
}

/* Shards come in parallel, each of them breaking off again and again. */
static void test_shards(void **state)
{
    fixture *f = with_server(state);
    vkft_err err;
    char index[2000] = "{\"weight_map\":{", name[60], *path;
    uint64_t total = 0;
    for (int i = 0; i < 12; i++) {
        snprintf(name, sizeof name, "model-%05d-of-00012.safetensors", i + 1);
        hub_server_add(f->server, "models", "o/s", name, f->big + 100 * i, BIG / 4, true);
        snprintf(index + strlen(index), sizeof index - strlen(index), "%s\"w%d\":\"%s\"", i ? "," : "", i, name);
        total += BIG / 4;
    }
    strcat(index, "}}");
    hub_server_add(f->server, "models", "o/s", "config.json", "{}", 2, false);
    hub_server_add(f->server, "models", "o/s", "model.safetensors.index.json", index, strlen(index), false);
    hub_server_add(f->server, "models", "o/s", "again/config.json", "{}", 2, false);
    total += 2 + strlen(index);
    for (int i = 0; i < 40; i++)
        hub_server_fault(f->server, (hub_fault){.kind = HUB_BREAK, .at = 3000 + 517 * i});
    expect_ok(fetch_name(f, "o/s@refs/pr/1", VKFT_HUB_MODEL, &path, &err));
    free(path);
    hub_counts c = hub_server_counts(f->server);
    assert_true(c.bytes == total);
    assert_int_equal(c.leaked, 0);
    assert_int_equal(check_blobs(f, "models--o--s").whole, 14);
    char reference[600];
    snprintf(reference, sizeof reference, "%s/models--o--s/refs/refs/pr/1", f->dir);
    assert_true(vkft_file_exists(reference));

    /* An index that names what is not there. */
    hub_server_add(f->server, "models", "o/m", "config.json", "{}", 2, false);
    hub_server_add(f->server, "models", "o/m", "model.safetensors.index.json", index, strlen(index), false);
    expect_failure(fetch_name(f, "o/m", VKFT_HUB_MODEL, &path, &err), "which is not there");
}

/* Without the hub, what is there is used if it is whole. */
static void test_offline(void **state)
{
    fixture *f = with_server(state);
    vkft_err err;
    char *path;
    f->settings.offline = true;
    expect_failure(fetch(f, &err), "HF_HUB_OFFLINE is set, and the cache has nothing of it");
    f->settings.offline = false;
    expect_ok(fetch(f, &err));
    expect_ok(fetch_name(f, "o/n@" HUB_COMMIT, VKFT_HUB_MODEL, &path, &err)); /* a commit needs no list */
    free(path);
    assert_int_equal(hub_server_counts(f->server).lists, 1);
    hub_server_fault(f->server, (hub_fault){HUB_STATUS, .status = 503, .of_list = true, .for_good = true});
    expect_ok(fetch(f, &err));
    assert_non_null(strstr(f->said, "cannot be reached; using what is in the cache"));
    hub_server_stop(f->server);
    f->server = NULL;
    expect_ok(fetch(f, &err));
    f->settings.offline = true;
    expect_ok(fetch(f, &err));
    char weights[600];
    snprintf(weights, sizeof weights, "%s/models--o--n/snapshots/" HUB_COMMIT "/model.safetensors", f->dir);
    expect_ok(vkft_file_remove(weights, &err));
    expect_failure(fetch(f, &err), "the cache has a part of it");
    f->settings.offline = false;
    expect_failure(fetch(f, &err), "the cache has a part of it");
}

static bool stop_at_once(void *context)
{
    (void)context;
    return true;
}

/* What was there stays for the next time; a blob of another size is not taken for the file. */
static void test_interrupted_and_damaged(void **state)
{
    fixture *f = with_server(state);
    vkft_err err = {0};
    vkft_hub_wish wish = {.text = "o/n"};
    char *path, blob[700], hash[VKFT_HUB_HASH_SIZE];
    assert_true(vkft_hub_name_parse("o/n", VKFT_HUB_MODEL, &wish.name));
    assert_false(vkft_hub_fetch(&wish, &f->settings, &(vkft_observer){.interrupted = stop_at_once}, &path, &err));
    assert_int_equal(err.kind, VKFT_ERR_INTERRUPTED);
    expect_ok(fetch(f, &err));
    expect_model(f, f->total);
    hash_of(f->big, BIG, hash);
    snprintf(blob, sizeof blob, "%s/models--o--n/blobs/%s", f->dir, hash);
    expect_ok(vkft_file_write(blob, "short", 5, &err));
    expect_ok(fetch(f, &err));
    expect_model(f, f->total + BIG);
}

/* Of a dataset the files of its configuration and splits. */
static void test_datasets(void **state)
{
    static const char card[] = "---\nconfigs:\n- config_name: a\n  default: true\n  data_files:\n  - split: train\n"
                               "    path: a/train-*\n- config_name: b\n  data_files: b.jsonl\n---\n";
    fixture *f = with_server(state);
    vkft_err err;
    char *path, file[700];
    hub_server_add(f->server, "datasets", "o/d", "README.md", card, strlen(card), false);
    hub_server_add(f->server, "datasets", "o/d", "a/train-00000-of-00001.parquet", f->big, 100, true);
    hub_server_add(f->server, "datasets", "o/d", "b.jsonl", f->big, 200, false);
    hub_server_add(f->server, "datasets", "o/p", "data/train-00000-of-00001.parquet", f->big, 300, true);
    hub_server_add(f->server, "datasets", "o/p", "data/test-00000-of-00001.parquet", f->big, 400, true);
    hub_server_add(f->server, "datasets", "o/p", "old/data.arrow", f->big, 500, true);
    hub_server_add(f->server, "datasets", "o/q", "script.py", f->big, 500, false);
    expect_ok(fetch_name(f, "o/d", VKFT_HUB_DATASET, &path, &err));
    snprintf(file, sizeof file, "%s/a/train-00000-of-00001.parquet", path);
    assert_true(vkft_file_exists(file));
    assert_int_equal(hub_server_counts(f->server).bytes, strlen(card) + 100);
    free(path);
    expect_ok(fetch_name(f, "o/p", VKFT_HUB_DATASET, &path, &err));
    free(path);
    assert_int_equal(hub_server_counts(f->server).bytes, strlen(card) + 100 + 300 + 400);
    assert_int_equal(check_blobs(f, "datasets--o--p").whole, 2);
    expect_failure(fetch_name(f, "o/q", VKFT_HUB_DATASET, &path, &err), "'o/q@refs/convert/parquet'");
}

/* A certificate that nobody has signed is trusted where the settings name it, and nowhere else. */
static void test_certificates(void **state)
{
    fixture *f = with_server(state);
    vkft_err err;
    char *path, host[80];
    hub_server_stop(f->server);
    f->server = hub_server_start_https();
    if (!f->server)
        skip(); /* libmicrohttpd is built without TLS */
    name_server(f);
    hub_server_add(f->server, "datasets", "o/d", "a.jsonl", f->big, 700, false);
    expect_failure(fetch_name(f, "o/d", VKFT_HUB_DATASET, &path, &err), "let REQUESTS_CA_BUNDLE name a file with it");
    snprintf(host, sizeof host, "o/d: the certificate of %s is not trusted (", f->endpoint + strlen("https://"));
    assert_int_equal(strncmp(err.message, host, strlen(host)), 0);
    assert_null(strchr(err.message, '\n'));
    f->settings.certificates = (char[]){HUB_CERTIFICATE};
    expect_ok(fetch_name(f, "o/d", VKFT_HUB_DATASET, &path, &err));
    free(path);
    assert_int_equal(hub_server_counts(f->server).bytes, 700);
    f->settings.certificates = (char[]){HUB_CERTIFICATE ".not"};
    expect_failure(fetch_name(f, "o/d", VKFT_HUB_DATASET, &path, &err), "cannot be read as a file of certificates");
    assert_int_equal(hub_server_counts(f->server).lists, 1);
}

/* On a file system without links the files themselves are in the snapshot; content that comes twice comes once. */
static bool no_links;

bool __real_vkft_os_make_link(const char *target, const char *path);
bool __wrap_vkft_os_make_link(const char *target, const char *path);
bool __wrap_vkft_os_make_link(const char *target, const char *path)
{
    errno = ENOTSUP;
    return !no_links && __real_vkft_os_make_link(target, path);
}

static void test_no_links(void **state)
{
    static const char *const names[] = {"a.jsonl", "b.jsonl", "c/a.jsonl"};
    fixture *f = with_server(state);
    vkft_err err;
    char *path, file[700];
    for (int i = 0; i < 3; i++)
        hub_server_add(f->server, "datasets", "o/d", names[i], f->big, i == 1 ? 10 : 5000, true);
    no_links = true;
    bool ok = fetch_name(f, "o/d", VKFT_HUB_DATASET, &path, &err);
    no_links = false;
    expect_ok(ok);
    for (int i = 0; i < 3; i++) {
        vkft_os_info info;
        snprintf(file, sizeof file, "%s/%s", path, names[i]);
        assert_true(vkft_os_stat_entry(file, &info) && info.is_regular && info.size == (i == 1 ? 10 : 5000));
    }
    free(path);
    assert_int_equal(hub_server_counts(f->server).bytes, 5010);
    assert_int_equal(check_blobs(f, "datasets--o--d").whole, 0);
    expect_ok(fetch_name(f, "o/d", VKFT_HUB_DATASET, &path, &err)); /* all is there */
    free(path);
    assert_int_equal(hub_server_counts(f->server).bytes, 5010);
}

int main(void)
{
#define test(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        test(test_whole),         test(test_faults),
        test(test_wrong_content), test(test_earlier_parts),
        test(test_ranges),        test(test_refusals),
        test(test_list_again),    test(test_shards),
        test(test_offline),       test(test_interrupted_and_damaged),
        test(test_datasets),      test(test_certificates),
        test(test_no_links),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
