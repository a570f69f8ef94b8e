/* Names on the hub, lists of files, which files are chosen, heads of answers. */
#include <stdio.h>
#include <stdlib.h>

#include "host/hub/choice.h"
#include "host/hub/http/answer.h"
#include "host/hub/settings.h"
#include "host/hub/transfer.h"
#include "runtime/base/file.h"
#include "runtime/base/os/machine.h"
#include "tests/support/expect.h"
#include "tests/support/program.h"

static void test_parse(void **state)
{
    static const struct {
        const char *text, *repository, *revision, *file; /* NULL: no name */
    } cases[] = {
        {"owner/name", "owner/name", "main", ""},
        {"Qwen/Qwen2.5-0.5B", "Qwen/Qwen2.5-0.5B", "main", ""},
        {"o/n@v1.0", "o/n", "v1.0", ""},
        {"o/n@refs/convert/parquet", "o/n", "refs/convert/parquet", ""},
        {"o/n:Q4_K_M", "o/n", "main", "Q4_K_M"},
        {"o/n@main:a/b.gguf", "o/n", "main", "a/b.gguf"},
        {"o/n/more", NULL, NULL, NULL},
        {"name", NULL, NULL, NULL},
        {"/owner/name", NULL, NULL, NULL},
        {"./name", NULL, NULL, NULL},
        {"../name", NULL, NULL, NULL},
        {"o/n.vkft", NULL, NULL, NULL},
        {"o/..", NULL, NULL, NULL},
        {"o--p/n", NULL, NULL, NULL},
        {"o/n@", NULL, NULL, NULL},
        {"o/n@../../etc", NULL, NULL, NULL},
        {"o/n:", NULL, NULL, NULL},
        {"o/n:../x.gguf", NULL, NULL, NULL},
        {"o\\n", NULL, NULL, NULL},
        {"data/*.parquet", NULL, NULL, NULL},
        {"", NULL, NULL, NULL},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        vkft_hub_name name;
        bool parsed = vkft_hub_name_parse(cases[i].text, VKFT_HUB_MODEL, &name);
        if (parsed != (cases[i].repository != NULL))
            fail_msg("'%s' %s a name", cases[i].text, parsed ? "is" : "is not");
        if (!parsed)
            continue;
        assert_string_equal(name.repository, cases[i].repository);
        assert_string_equal(name.revision, cases[i].revision);
        assert_string_equal(name.file, cases[i].file);
    }
    vkft_hub_name name;
    assert_false(vkft_hub_name_parse("o/n:x", VKFT_HUB_DATASET, &name));
}

static void test_paths(void **state)
{
    static const char *const good[] = {"a", "a/b.c", "a b/c", "..a/b", "a..b"};
    static const char *const bad[] = {"",       "/a",  "a/",  "a//b", "..",   "../a",
                                      "a/../b", "a/.", "C:a", "a\\b", "a\nb", "a\x1b[2Jb"};
    (void)state;
    for (size_t i = 0; i < sizeof good / sizeof *good; i++)
        assert_true(vkft_hub_is_path(good[i]));
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        if (vkft_hub_is_path(bad[i]))
            fail_msg("'%s'", bad[i]);
}

static void test_matches(void **state)
{
    static const struct {
        const char *pattern, *text;
        bool matches;
    } cases[] = {
        {"*.json", "a.json", true},
        {"*.json", "a/b.json", true},
        {"*.json", "a.jsonl", false},
        {"*", "a/b", true},
        {"a?c", "abc", true},
        {"a?c", "ac", false},
        {"*a*b*", "xxaxxbxx", true},
        {"*a*b", "ab", true},
        {"*a*b", "aba", false},
        {"", "", true},
        {"", "a", false},
        {"a", "", false},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        if (vkft_hub_matches(cases[i].pattern, cases[i].text) != cases[i].matches)
            fail_msg("'%s' and '%s'", cases[i].pattern, cases[i].text);
}

#define SHA1 "da39a3ee5e6b4b0d3255bfef95601890afd80709"
#define SHA256 "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"

static bool parse(const char *siblings, vkft_hub_listing *listing, vkft_err *err)
{
    char text[2000];
    vkft_hub_name name;
    assert_true(vkft_hub_name_parse("o/n", VKFT_HUB_MODEL, &name));
    snprintf(text, sizeof text, "{\"sha\":\"" SHA1 "\",\"siblings\":[%s]}", siblings);
    return vkft_hub_listing_parse(text, strlen(text), &name, listing, err);
}

static void test_listing(void **state)
{
    (void)state;
    vkft_err err = {0};
    vkft_hub_listing l;
    expect_ok(parse("{\"rfilename\":\"b\",\"size\":134,\"blobId\":\"" SHA1 "\",\"lfs\":{\"sha256\":\"" SHA256
                    "\",\"size\":5000000000,\"pointerSize\":134}},"
                    "{\"rfilename\":\"a/c\",\"size\":7,\"blobId\":\"" SHA1 "\"}",
                    &l, &err));
    assert_int_equal(l.count, 2);
    assert_string_equal(l.commit, SHA1);
    assert_string_equal(l.files[0].path, "a/c");
    assert_string_equal(l.files[0].hash, SHA1);
    assert_true(l.files[1].size == 5000000000ull);
    assert_string_equal(vkft_hub_listing_find(&l, "b")->hash, SHA256);
    assert_null(vkft_hub_listing_find(&l, "c"));
    vkft_hub_listing_free(&l);
    expect_failure(parse("{\"rfilename\":\"../a\",\"size\":7,\"blobId\":\"" SHA1 "\"}", &l, &err), "leads out");
    expect_failure(parse("{\"rfilename\":\"a\",\"size\":7,\"blobId\":\"../../x\"}", &l, &err), "as its hash is none");
    expect_failure(parse("{\"rfilename\":\"a\",\"size\":7}", &l, &err), "blobId");
    expect_failure(parse("{\"rfilename\":\"a\",\"size\":-7,\"blobId\":\"" SHA1 "\"}", &l, &err), "size");
    expect_failure(parse("7", &l, &err), "list of files");
}

/* The wanted files, separated by spaces. */
static char *chosen(const char *text, const char *const *paths, bool *ok, vkft_err *err)
{
    static char list[1000];
    char siblings[2000] = "";
    vkft_hub_wish wish = {.text = text};
    vkft_hub_listing l;
    assert_true(vkft_hub_name_parse(text, VKFT_HUB_MODEL, &wish.name));
    for (; *paths; paths++)
        snprintf(siblings + strlen(siblings), sizeof siblings - strlen(siblings),
                 "%s{\"rfilename\":\"%s\",\"size\":1,\"blobId\":\"" SHA1 "\"}", *siblings ? "," : "", *paths);
    if (!parse(siblings, &l, err))
        fail_msg("%s", err->message);
    *ok = vkft_hub_choose_first(&wish, &l, err);
    list[0] = 0;
    for (uint32_t i = 0; i < l.count; i++)
        if (l.files[i].wanted)
            snprintf(list + strlen(list), sizeof list - strlen(list), "%s%s", *list ? " " : "", l.files[i].path);
    vkft_hub_listing_free(&l);
    return list;
}

static void expect_chosen(const char *text, const char *const *paths, const char *expected)
{
    vkft_err err = {0};
    bool ok;
    const char *list = chosen(text, paths, &ok, &err);
    if (!ok)
        fail_msg("%s: %s", text, err.message);
    assert_string_equal(list, expected);
}

static void expect_none(const char *text, const char *const *paths, const char *part)
{
    vkft_err err = {0};
    bool ok;
    chosen(text, paths, &ok, &err);
    if (ok || !strstr(err.message, part))
        fail_msg("%s: '%s', expected '%s'", text, err.message, part);
}

static void test_models(void **state)
{
    static const char *const both[] = {"config.json",    "model.safetensors", "pytorch_model.bin",
                                       "tokenizer.json", "onnx/model.onnx",   "model.fp16.safetensors",
                                       "original/x.pth", ".gitattributes",    NULL};
    static const char *const sharded[] = {"config.json", "model.safetensors.index.json",
                                          "model-00001-of-00002.safetensors", "pytorch_model.bin.index.json", NULL};
    static const char *const ggufs[] = {"m-IQ2_XXS.gguf",
                                        "m-Q4_K_M.gguf",
                                        "m-Q4_K_S.gguf",
                                        "m-Q8_0-00001-of-00002.gguf",
                                        "m-Q8_0-00002-of-00002.gguf",
                                        "config.json",
                                        "mmproj-m-f16.gguf",
                                        NULL};
    static const char *const one[] = {"m-F16.gguf", "README.md", NULL};
    static const char *const others[] = {"m-Q8_0.gguf", "m-F16.gguf", NULL};
    static const char *const adapter[] = {"adapter_config.json", "adapter_model.safetensors", NULL};
    static const char *const nothing[] = {"README.md", NULL};
    (void)state;
    expect_chosen("o/n", both, "config.json model.safetensors tokenizer.json");
    expect_chosen("o/n", sharded, "config.json model.safetensors.index.json");
    expect_chosen("o/n", ggufs, "m-Q4_K_M.gguf");
    expect_chosen("o/n:q4_k_s", ggufs, "m-Q4_K_S.gguf");
    expect_chosen("o/n:Q8_0", ggufs, "m-Q8_0-00001-of-00002.gguf m-Q8_0-00002-of-00002.gguf");
    expect_chosen("o/n:m-IQ2_XXS.gguf", ggufs, "m-IQ2_XXS.gguf");
    expect_chosen("o/n", one, "m-F16.gguf");
    expect_none("o/n:Q4_K", ggufs, "none of its GGUF files fits; it has m-IQ2_XXS.gguf, m-Q4_K_M.gguf");
    expect_none("o/n:m", ggufs, "several");
    expect_none("o/n", others, "none of its GGUF files is named Q4_K_M; it has m-F16.gguf, m-Q8_0.gguf");
    expect_none("o/n:Q4_0", both, "it has none");
    expect_none("o/n", adapter, "is an adapter");
    expect_none("o/n", nothing, "no model that can be read");
}

static void test_patterns(void **state)
{
    (void)state;
    static const char *const include[] = {"*.json", "sub/", NULL}, *const exclude[] = {"b*", NULL};
    vkft_err err = {0};
    vkft_hub_listing l;
    vkft_hub_wish wish = {.text = "o/n", .include = include, .exclude = exclude};
    expect_ok(parse("{\"rfilename\":\"a.json\",\"size\":1,\"blobId\":\"" SHA1 "\"},"
                    "{\"rfilename\":\"b.json\",\"size\":1,\"blobId\":\"" SHA1 "\"},"
                    "{\"rfilename\":\"c.bin\",\"size\":1,\"blobId\":\"" SHA1 "\"},"
                    "{\"rfilename\":\"sub/d.bin\",\"size\":1,\"blobId\":\"" SHA1 "\"}",
                    &l, &err));
    expect_ok(vkft_hub_choose_first(&wish, &l, &err));
    assert_true(l.files[0].wanted && !l.files[1].wanted && !l.files[2].wanted && l.files[3].wanted);
    static const char *const other[] = {"*.txt", NULL};
    wish.include = other;
    expect_failure(vkft_hub_choose_first(&wish, &l, &err), "none of its 4 files");
    vkft_hub_listing_free(&l);
}

static void test_head(void **state)
{
    static const char *const lines[] = {
        "HTTP/1.1 302 Found\r\n",      "ETag: \"first\"\r\n", "X-Linked-ETag: \"second\"\r\n",
        "X-Error-Code: GatedRepo\r\n", "Retry-After: 17\r\n", "etag: W/\"third\"\r\n",
        "Content-Length: 5\r\n",       "no colon\r\n",        "\r\n"};
    (void)state;
    vkft_hub_answer a = {0};
    for (size_t i = 0; i < sizeof lines / sizeof *lines; i++)
        vkft_hub_head_line(&a, lines[i], strlen(lines[i]));
    assert_int_equal(a.status, 302);
    assert_string_equal(a.tag, "second");
    assert_string_equal(a.code, "GatedRepo");
    assert_int_equal(a.retry_after, 17);
    assert_true(a.whole == UINT64_MAX); /* of a redirect, it is not that of the file */
    vkft_hub_head_line(&a, "HTTP/2 206\r\n", 12);
    vkft_hub_head_line(&a, "content-range: bytes 100-199/200\r\n", 34);
    vkft_hub_head_line(&a, "etag: W/\"third\"\r\n", 17);
    assert_int_equal(a.status, 206);
    assert_int_equal(a.first, 100);
    assert_true(a.whole == 200);
    assert_string_equal(a.tag, "third");
    assert_string_equal(a.code, "");
}

static void test_urls(void **state)
{
    (void)state;
    vkft_err err = {0};
    vkft_hub_name name;
    const vkft_hub_settings settings = {.endpoint = (char[]){"https://hub"}};
    assert_true(vkft_hub_name_parse("o/n@refs/pr/1", VKFT_HUB_DATASET, &name));
    char *list = vkft_hub_listing_url(&settings, &name, &err),
         *file = vkft_hub_file_url(&settings, &name, "abc", "a b/c#d.txt", &err);
    assert_string_equal(list, "https://hub/api/datasets/o/n/revision/refs%2Fpr%2F1?blobs=true");
    assert_string_equal(file, "https://hub/datasets/o/n/resolve/abc/a%20b/c%23d.txt");
    free(list);
    free(file);
}

/* Sets a variable and keeps what it was, for the end of the test. */
static char *variables[] = {"HF_HUB_CACHE",         "HUGGINGFACE_HUB_CACHE", "HF_HOME",        "HF_TOKEN",
                            "HF_TOKEN_PATH",        "HF_ENDPOINT",           "HF_HUB_OFFLINE", "HUGGING_FACE_HUB_TOKEN",
                            "TRANSFORMERS_OFFLINE", "XDG_CACHE_HOME",        "HOME",           "USERPROFILE",
                            "REQUESTS_CA_BUNDLE",   "CURL_CA_BUNDLE",        "SSL_CERT_FILE"};
enum { VARIABLES = sizeof variables / sizeof *variables };

static void test_settings(void **state)
{
    (void)state;
    vkft_err err = {0};
    char *before[VARIABLES], *dir = vkft_test_directory(), *token = vkft_path_join(dir, "token"),
                             *hub = vkft_path_join(dir, "hub");
    for (int i = 0; i < VARIABLES; i++)
        before[i] = vkft_test_swap_environment(variables[i], NULL);
    vkft_hub_settings s;
    free(vkft_test_swap_environment(vkft_os_is_windows() ? "USERPROFILE" : "HOME", "/home/x"));
    free(vkft_test_swap_environment("SSL_CERT_FILE", "/certificates"));
    expect_ok(vkft_hub_settings_read(&s, &err));
    assert_string_equal(s.cache, "/home/x/.cache/huggingface/hub");
    assert_string_equal(s.certificates, "/certificates");
    vkft_hub_settings_free(&s);
    free(vkft_test_swap_environment("XDG_CACHE_HOME", "/caches"));
    free(vkft_test_swap_environment("CURL_CA_BUNDLE", "/others"));
    expect_ok(vkft_hub_settings_read(&s, &err));
    assert_string_equal(s.cache, "/caches/huggingface/hub");
    assert_string_equal(s.certificates, "/others");
    vkft_hub_settings_free(&s);

    free(vkft_test_swap_environment("HF_HOME", dir));
    expect_ok(vkft_hub_settings_read(&s, &err));
    assert_string_equal(s.endpoint, "https://huggingface.co");
    assert_string_equal(s.cache, hub);
    assert_null(s.token);
    assert_false(s.offline);
    vkft_hub_settings_free(&s);

    expect_ok(vkft_file_write(token, "hf_abc\n", 7, &err));
    free(vkft_test_swap_environment("HF_ENDPOINT", "http://mirror/"));
    free(vkft_test_swap_environment("HF_HUB_CACHE", "/cache"));
    free(vkft_test_swap_environment("HF_HUB_OFFLINE", "1"));
    expect_ok(vkft_hub_settings_read(&s, &err));
    assert_string_equal(s.endpoint, "http://mirror");
    assert_string_equal(s.cache, "/cache");
    assert_string_equal(s.token, "hf_abc");
    assert_true(s.offline);
    vkft_hub_settings_free(&s);

    free(vkft_test_swap_environment("HF_TOKEN", "hf_x\r\nHost: evil"));
    expect_failure(vkft_hub_settings_read(&s, &err), "characters that no token has");
    for (int i = 0; i < VARIABLES; i++) {
        free(vkft_test_swap_environment(variables[i], before[i]));
        free(before[i]);
    }
    free(token);
    free(hub);
    vkft_test_remove_directory(dir);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_parse),   cmocka_unit_test(test_paths),  cmocka_unit_test(test_matches),
        cmocka_unit_test(test_listing), cmocka_unit_test(test_models), cmocka_unit_test(test_patterns),
        cmocka_unit_test(test_head),    cmocka_unit_test(test_urls),   cmocka_unit_test(test_settings),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
