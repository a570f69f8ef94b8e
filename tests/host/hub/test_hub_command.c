/* The program with names of the hub in the place of paths, from a hub on the loopback address. */
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "runtime/base/directory.h"
#include "runtime/base/file.h"
#include "tests/support/expect.h"
#include "tests/support/hub/hub_server.h"
#include "tests/support/program.h"
#include "tests/support/system/system.h"

#define MODEL VKFT_PROJECT_DIR "/tools/bundled/model"
#define TRAIN                                                                                                          \
    "train --model o/m --data o/d --max-steps 1 --gradient-accumulation-steps 1 --max-seq-length 32 --eval-strategy "  \
    "no --quant fp32 --output-dir "
#define COMMIT_DIR "models--o--m/snapshots/" HUB_COMMIT

static const char *const variables[] = {
    "HF_ENDPOINT",        "HF_HOME",        "HF_HUB_CACHE",   "HUGGINGFACE_HUB_CACHE",
    "HF_TOKEN",           "HF_TOKEN_PATH",  "HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE",
    "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE"};
enum { VARIABLES = sizeof variables / sizeof *variables, BIG = 300000 };

typedef struct fixture {
    hub_server *server;
    char *dir, *before[VARIABLES];
} fixture;

static int set_up(void **state)
{
    static const char rows[] = "{\"text\": \"Once upon a time there was a cat.\"}\n{\"text\": \"The dog ran.\"}\n";
    fixture *f = calloc(1, sizeof *f);
    *state = f;
    for (int i = 0; i < VARIABLES; i++)
        f->before[i] = vkft_test_swap_environment(variables[i], NULL);
    f->dir = vkft_test_directory();
    f->server = hub_server_start();
    if (!f->server)
        return 0;
    hub_server_add_directory(f->server, "models", "o/m", MODEL);
    hub_server_add(f->server, "datasets", "o/d", "data/train.jsonl", rows, strlen(rows), true);
    vkft_test_environment("HF_ENDPOINT", hub_server_endpoint(f->server));
    vkft_test_environment("HF_HOME", f->dir);
    return 0;
}

static int tear_down(void **state)
{
    fixture *f = *state;
    for (int i = 0; i < VARIABLES; i++) {
        vkft_test_environment(variables[i], f->before[i]);
        free(f->before[i]);
    }
    hub_server_stop(f->server);
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

static void expect_said(vkft_test_result r, int code, const char *part)
{
    if (r.exit_code != code || (!strstr(r.err, part) && !strstr(r.out, part)))
        fail_msg("exit code %d, expected '%s': %s%s", r.exit_code, part, r.out, r.err);
    vkft_test_result_free(&r);
}

/* Once from the hub, once from the cache with the hub gone; the model is known by its name afterwards. */
static void test_train(void **state)
{
    fixture *f = with_server(state);
    expect_said(vkft_test_program(TRAIN "'%s/out'", f->dir), 0, "downloading o/m: ");
    unsigned files = hub_server_counts(f->server).files;
    assert_true(files > 3);
    char path[600];
    snprintf(path, sizeof path, "%s/out/adapter_config.json", f->dir);
    char *config = vkft_test_read(path, NULL);
    assert_non_null(strstr(config, "\"base_model_name_or_path\":"));
    assert_non_null(strstr(config, "\"o/m\""));
    free(config);
    expect_said(vkft_test_program("generate --model o/m --adapter '%s/out' --prompt Once --max-new-tokens 2", f->dir),
                0, "new: ");
    /* The adapter names its model. */
    vkft_test_program_ok("merge --adapter '%s/out' --output '%s/merged'", f->dir, f->dir);
    assert_int_equal(hub_server_counts(f->server).files, files);
    /* And it may lie on the hub itself, of which nothing else is downloaded. */
    snprintf(path, sizeof path, "%s/out", f->dir);
    hub_server_add_directory(f->server, "models", "o/a", path);
    expect_said(vkft_test_program("generate --model o/m --adapter o/a --prompt Once --max-new-tokens 2"), 0, "new: ");
    assert_int_equal(hub_server_counts(f->server).files, files + 2);
    vkft_test_program_ok(TRAIN "'%s/further' --init-adapter o/a", f->dir);
    vkft_test_program_ok("merge --adapter o/a --output '%s/merged-too'", f->dir);
    vkft_test_same_file(f->dir, "merged", "merged-too", "model.safetensors");
    expect_said(vkft_test_program("export --adapter o/a --gguf"), 2, "--output is missing");
    vkft_test_program_ok("export --adapter o/a --gguf --output '%s/a.gguf'", f->dir);
    assert_int_equal(hub_server_counts(f->server).files, files + 2);
    expect_said(vkft_test_program("generate --model o/m --adapter o/m --prompt Once"), 1,
                "o/m has no adapter: expected ");
    expect_said(vkft_test_program("generate --model o/a --prompt Once"), 1, "o/a is an adapter, not a model");
    hub_server_stop(f->server);
    f->server = NULL;
    vkft_test_environment("HF_HUB_OFFLINE", "1");
    vkft_test_program_ok("generate --model o/m --adapter o/a --prompt Once --max-new-tokens 2");
    expect_said(vkft_test_program(TRAIN "'%s/again'", f->dir), 0, "vkft generate --model o/m --adapter ");
    vkft_test_same_file(f->dir, "out", "again", "adapter_model.safetensors");
    expect_said(vkft_test_program("train --model o/other --data o/d"), 1, "HF_HUB_OFFLINE is set");
}

/* A plan needs the configuration alone. */
static void test_plan(void **state)
{
    fixture *f = with_server(state);
    vkft_test_program_ok("train --model o/m --dry-run --output-dir '%s/out'", f->dir);
    assert_int_equal(hub_server_counts(f->server).files, 1);
}

static void test_download(void **state)
{
    fixture *f = with_server(state);
    char path[600];
    vkft_test_result r = vkft_test_program("download o/m");
    assert_int_equal(r.exit_code, 0);
    snprintf(path, sizeof path, "%s/hub/" COMMIT_DIR "\n", f->dir);
    assert_string_equal(r.out, path);
    vkft_test_result_free(&r);
    snprintf(path, sizeof path, "\"path\":\"%s/hub/datasets--o--d/snapshots/" HUB_COMMIT "\"", f->dir);
    expect_said(vkft_test_program("download o/d --repo-type dataset --include '*.jsonl' --json --revision main"), 0,
                path);
    expect_said(vkft_test_program("download o/d"), 1, "nothing of this name");
    expect_said(vkft_test_program("download o"), 2, "expected OWNER/NAME");
    expect_said(vkft_test_program("download o/m@main --revision main"), 2, "once");
    expect_said(vkft_test_program("download o/m --exclude '*'"), 1, "none of its");
    hub_server_fault(f->server, (hub_fault){HUB_REFUSE, .status = 403, .code = "GatedRepo", .of_list = true});
    expect_said(vkft_test_program("download o/m"), 1, "access to it has to be asked for");
}

/* The files in a directory of one's own: what is there already stays, whatever it is. */
static void test_local_dir(void **state)
{
    fixture *f = with_server(state);
    char path[600], printed[600];
    vkft_err err;
    snprintf(path, sizeof path, "%s/my models/m/config.json", f->dir);
    snprintf(printed, sizeof printed, "%s/my models/m\n", f->dir);
    expect_said(vkft_test_program("download o/m --local-dir '%s/my models/m'", f->dir), 0, printed);
    vkft_test_same_file(f->dir, "hub/" COMMIT_DIR, "my models/m", "config.json");
    vkft_test_same_file(f->dir, "hub/" COMMIT_DIR, "my models/m", "tokenizer.json");
    vkft_test_program_ok("generate --model '%s/my models/m' --prompt Once --max-new-tokens 2", f->dir);
    unsigned files = hub_server_counts(f->server).files;

    expect_ok(vkft_file_remove(path, &err));
    expect_said(vkft_test_program("download o/m --local-dir '%s/my models/m'", f->dir), 0, printed);
    vkft_test_same_file(f->dir, "hub/" COMMIT_DIR, "my models/m", "config.json");
    expect_ok(vkft_file_write(path, "mine", 4, &err));
    snprintf(path, sizeof path, "%s/my models/m/tokenizer.json", f->dir);
    expect_ok(vkft_file_remove(path, &err));
    expect_said(vkft_test_program("download o/m --local-dir '%s/my models/m'", f->dir), 1,
                "config.json' is there with another content");
    assert_false(vkft_file_exists(path)); /* nothing is written then */
    snprintf(path, sizeof path, "%s/my models/m/config.json", f->dir);
    size_t size;
    char *text = vkft_test_read(path, &size);
    assert_int_equal(size, 4);
    free(text);
    assert_int_equal(hub_server_counts(f->server).files, files);

    hub_server_add(f->server, "models", "o/g", "sub/a.gguf", "GGUF", 4, true);
    snprintf(printed, sizeof printed, "%s/g/sub/a.gguf\n", f->dir);
    expect_said(vkft_test_program("download o/g --local-dir '%s/g'", f->dir), 0, printed);
    vkft_test_environment("HF_HUB_OFFLINE", "1");
    expect_said(vkft_test_program("download o/g --local-dir '%s/h'", f->dir), 0, "/h/sub/a.gguf\n");
}

/* What a run had to leave, the next one goes on with; what is wrong is not taken. The name is none of ASCII. */
static void test_goes_on(void **state)
{
    fixture *f = with_server(state);
    char path[600], *data = calloc(1, BIG);
    size_t size;
    for (int i = 0; i < BIG; i++)
        data[i] = (char)((unsigned)i * (unsigned)i >> 7);
    hub_server_add(f->server, "models", "o/b", "모형.gguf", data, BIG, true);
    hub_server_fault(f->server, (hub_fault){.kind = HUB_BREAK, .at = 100000});
    hub_server_fault(f->server, (hub_fault){.kind = HUB_STATUS, .status = 404});
    expect_said(vkft_test_program("download o/b"), 1, "has no such");
    assert_int_equal(hub_server_counts(f->server).bytes, 100000);
    hub_server_fault(f->server, (hub_fault){.kind = HUB_WRONG_BYTE});
    hub_server_fault(f->server, (hub_fault){.kind = HUB_WRONG_BYTE}); /* the part may have been wrong: all of it once */
    expect_said(vkft_test_program("download o/b"), 1, "does not have the hash");
    assert_int_equal(hub_server_counts(f->server).bytes, 2 * BIG);
    hub_server_fault(f->server, (hub_fault){.kind = HUB_BREAK, .at = 200000});
    snprintf(path, sizeof path, "%s/hub/models--o--b/snapshots/" HUB_COMMIT "/모형.gguf", f->dir);
    expect_said(vkft_test_program("download o/b"), 0, path);
    assert_int_equal(hub_server_counts(f->server).bytes, 3 * BIG);
    char *got = vkft_test_read(path, &size);
    assert_int_equal(size, BIG);
    assert_memory_equal(got, data, BIG);
    free(got);
    free(data);
}

/* The program of Windows has the TLS of Windows, which looks for names of hosts alone in certificates. */
static void test_tls(void **state)
{
    fixture *f = with_server(state);
    char endpoint[100];
    expect_said(vkft_test_program("--version"), 0,
                vkft_test_program_is_foreign() ? ", Schannel" : "downloads libcurl ");
    hub_server_stop(f->server);
    f->server = hub_server_start_https();
    if (!f->server)
        skip(); /* libmicrohttpd is built without TLS */
    hub_server_add(f->server, "datasets", "o/d", "a.jsonl", "{}", 2, false);
    snprintf(endpoint, sizeof endpoint, "https://localhost%s", strrchr(hub_server_endpoint(f->server), ':'));
    vkft_test_environment("HF_ENDPOINT", endpoint);
    vkft_test_environment("SSL_CERT_FILE", VKFT_TEST_DATA "/hub/other.pem"); /* without it, Wine trusts everybody */
    expect_said(vkft_test_program("download o/d --repo-type dataset"), 1, "is not trusted (");
    vkft_test_environment("SSL_CERT_FILE", HUB_CERTIFICATE);
    expect_said(vkft_test_program("download o/d --repo-type dataset"), 0, "datasets--o--d");
    assert_int_equal(hub_server_counts(f->server).bytes, 2);
}

/* What is here comes first. */
static void test_paths_first(void **state)
{
    fixture *f = with_server(state);
    char here[600];
    vkft_err err;
    snprintf(here, sizeof here, "%s/o/m", f->dir);
    expect_ok(vkft_directory_create(here, &err));
    char *before = getcwd(NULL, 0);
    assert_int_equal(chdir(f->dir), 0);
    expect_said(vkft_test_program("tokenize --model o/m"), 1, "o/m");
    assert_int_equal(hub_server_counts(f->server).lists, 0);
    assert_int_equal(chdir(before), 0);
    free(before);
}

/* Two at once: each file comes once. */
static void test_two_at_once(void **state)
{
    fixture *f = with_server(state);
    size_t size = 3 << 20;
    char *data = calloc(1, size);
    hub_server_add(f->server, "models", "o/b", "big.gguf", data, size, true);
    free(data);
    for (int i = 0; i < 12; i++) /* one of them has to wait */
        hub_server_fault(f->server, (hub_fault){.kind = HUB_BREAK, .at = 100000});
    vkft_test_result r =
        vkft_test_program("download o/b & a=$!; '%s' download o/b & wait $a && wait $!", vkft_test_program_path());
    if (r.exit_code != 0)
        fail_msg("%s", r.err);
    assert_int_equal(hub_server_counts(f->server).bytes, size);
    vkft_test_result_free(&r);
}

int main(void)
{
#define test(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {test(test_train),       test(test_plan),       test(test_download),
                                       test(test_local_dir),   test(test_goes_on),    test(test_tls),
                                       test(test_paths_first), test(test_two_at_once)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
