/* The page of a run is given to this machine's browsers that know its address, and to nobody else; what is pressed
 * there happens to the run. press_buttons.py does the same in a browser. */
#include "tests/support/run/run_test.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "host/train/run/request.h"
#include "host/train/run/run_directory.h"
#include "host/watch/watch.h"
#include "runtime/base/os/os.h"
#include "tests/support/expect.h"
#include "tests/support/program.h"
#include "tests/support/system/system.h"

#define LONG "--max-steps 1000000 --gradient-accumulation-steps 1 --save-steps 0 --eval-strategy no "

typedef struct site {
    vkft_watch watch;
    vkft_watch_server *server;
    unsigned port;
    char token[64];
} site;

/* false: this build has no server. */
static bool open_site(site *s, const char *run)
{
    vkft_err err = {0};
    *s = (site){.watch = {.run = run}};
    s->server = vkft_watch_start(&s->watch, 0, &err);
    if (!s->server && strstr(err.message, "libmicrohttpd"))
        return false;
    if (!s->server)
        fail_msg("%s", err.message);
    const char *address = vkft_watch_server_address(s->server);
    assert_int_equal(sscanf(address, "http://127.0.0.1:%u/%32[0-9a-f]/", &s->port, s->token), 2);
    return true;
}

/* Sends a request as it stands; the whole answer, malloc'ed. NULL: nobody listens there. */
static char *send_text(const char *address, unsigned port, const char *text)
{
    struct sockaddr_in place = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    inet_pton(AF_INET, address, &place.sin_addr);
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    if (connect(fd, (struct sockaddr *)&place, sizeof place) != 0) {
        close(fd);
        return NULL;
    }
    assert_int_equal(send(fd, text, strlen(text), MSG_NOSIGNAL), strlen(text));
    char *answer = calloc(1, 1 << 20);
    size_t length = 0;
    for (ssize_t n = 1; n > 0 && length<(1 << 20) - 1; length += n> 0 ? (size_t)n : 0)
        n = recv(fd, answer + length, (1 << 20) - 1 - length, 0);
    close(fd);
    return answer;
}

/* host: NULL for the right one; more: further lines of the head. */
static char *request(const site *s, const char *method, const char *path, const char *host, const char *more)
{
    char text[1024], right[32];
    snprintf(right, sizeof right, "127.0.0.1:%u", s->port);
    snprintf(text, sizeof text, "%s %s HTTP/1.1\r\nHost: %s\r\nConnection: close\r\nContent-Length: 0\r\n%s\r\n",
             method, path, host ? host : right, more);
    char *answer = send_text("127.0.0.1", s->port, text);
    assert_non_null(answer);
    return answer;
}

static void expect_status(char *answer, const char *status)
{
    if (strncmp(answer, "HTTP/1.1 ", 9) != 0 || strncmp(answer + 9, status, 3) != 0)
        fail_msg("expected %s, found: %.200s", status, answer);
    free(answer);
}

static char *page_of(const site *s)
{
    char path[80];
    snprintf(path, sizeof path, "/%s/", s->token);
    char *answer = request(s, "GET", path, NULL, "");
    if (strncmp(answer, "HTTP/1.1 200", 12) != 0)
        fail_msg("%.300s", answer);
    return answer;
}

static void press(const site *s, const char *name, const char *status)
{
    char path[96];
    snprintf(path, sizeof path, "/%s/%s", s->token, name);
    expect_status(request(s, "POST", path, NULL, ""), status);
}

static void test_who_gets_the_page(void **state)
{
    const vkft_test_run_fixture *f = *state;
    vkft_test_run_put(f, "old/trainer_log.jsonl", "{\"step\":1,\"loss\":2}\n{\"step\":2,\"loss\":1}\n");
    char run[512], path[96], wrong[96], host[64];
    snprintf(run, sizeof run, "%s", vkft_test_run_at(f, "old"));
    site s;
    if (!open_site(&s, run))
        skip();
    snprintf(path, sizeof path, "/%s/", s.token);
    snprintf(wrong, sizeof wrong, "/%s/", s.token);
    wrong[5] = wrong[5] == '0' ? '1' : '0';
    expect_status(request(&s, "GET", "/", NULL, ""), "404");
    expect_status(request(&s, "GET", wrong, NULL, ""), "404");
    wrong[20] = 0; /* a part of it */
    expect_status(request(&s, "GET", wrong, NULL, ""), "404");
    expect_status(request(&s, "PUT", path, NULL, ""), "404");
    snprintf(host, sizeof host, "evil.example:%u", s.port);
    expect_status(request(&s, "GET", path, host, ""), "404");
    expect_status(request(&s, "GET", path, NULL, "Origin: http://evil.example\r\n"), "404");
    snprintf(host, sizeof host, "localhost:%u", s.port);
    expect_status(request(&s, "GET", path, host, ""), "200");
    assert_null(send_text("127.0.0.2", s.port, "GET / HTTP/1.1\r\n\r\n")); /* on one address alone */

    char *page = page_of(&s), *nonce = strstr(page, "'nonce-");
    assert_non_null(strstr(page, "default-src 'none'"));
    assert_non_null(nonce);
    char script[96];
    snprintf(script, sizeof script, "<script nonce=\"%.32s\">", nonce + strlen("'nonce-"));
    assert_non_null(strstr(page, script));
    assert_non_null(strstr(page, "not running"));
    assert_null(strstr(page, "<button"));
    assert_non_null(strstr(page, "<svg"));
    free(page);
    press(&s, "pause", "500"); /* nobody would obey */
    press(&s, "explode", "404");
    vkft_watch_server_stop(s.server);
}

static void pause_ms(int ms)
{
    vkft_os_sleep(ms / 1000.0);
}

static size_t log_size(const vkft_test_run_fixture *f)
{
    size_t size;
    free(vkft_test_read(vkft_test_run_at(f, "out/trainer_log.jsonl"), &size));
    return size;
}

/* Until the page says so; at most a minute. */
static void wait_for_page(const site *s, const char *part)
{
    for (int i = 0; i < 600; i++) {
        char *page = page_of(s);
        bool there = strstr(page, part) != NULL;
        free(page);
        if (there)
            return;
        pause_ms(100);
    }
    fail_msg("the page never says '%s'", part);
}

static void wait_for_growth(const vkft_test_run_fixture *f, size_t size)
{
    for (int i = 0; i < 600 && log_size(f) <= size; i++)
        pause_ms(100);
    assert_true(log_size(f) > size);
}

static void test_buttons(void **state)
{
    const vkft_test_run_fixture *f = *state;
    if (vkft_test_program_is_foreign())
        skip();
    char run[512];
    snprintf(run, sizeof run, "%s", vkft_test_run_at(f, "out"));
    vkft_test_run_put(f, "out/.vkft.request", "stop"); /* of an earlier run: nothing to this one */
    pid_t pid = vkft_test_run_start(f, "out", LONG);
    vkft_test_run_wait_for(f, "out/trainer_log.jsonl");
    wait_for_growth(f, 0);
    site s;
    if (!open_site(&s, run)) {
        vkft_err err;
        expect_ok(vkft_run_request_write(run, VKFT_REQUEST_STOP, &err));
        vkft_test_run_end(f, pid, 0, "saved");
        skip();
    }
    wait_for_page(&s, "<strong>running</strong>");
    press(&s, "pause", "200");
    wait_for_page(&s, "<strong>paused</strong>");
    vkft_test_run_wait_for(f, "messages");
    for (int i = 0; i < 600; i++) { /* the step that it was in ends */
        char *said = vkft_test_read(vkft_test_run_at(f, "messages"), NULL);
        bool paused = strstr(said, "paused after step") != NULL;
        free(said);
        if (paused)
            break;
        pause_ms(100);
    }
    size_t size = log_size(f);
    pause_ms(400);
    assert_int_equal(log_size(f), size);
    press(&s, "resume", "200");
    wait_for_growth(f, size);
    press(&s, "save", "200");
    char *newest = NULL;
    for (int i = 0; i < 600 && !newest; i++, pause_ms(100)) {
        vkft_err err = {0};
        expect_ok(vkft_run_directory_newest(run, &newest, &err));
    }
    assert_non_null(newest);
    free(newest);
    press(&s, "stop", "200");
    assert_int_equal(vkft_test_run_end(f, pid, 0, "saved; continue with"), 130);
    wait_for_page(&s, "<strong>not running</strong>");
    vkft_test_run_absent(f, "out/.vkft.request");
    vkft_watch_server_stop(s.server);
}

/* vkft train --watch has the page from its start to its end. */
static void test_training_serves(void **state)
{
    const vkft_test_run_fixture *f = *state;
    if (vkft_test_program_is_foreign())
        skip();
    pid_t pid = vkft_test_run_start(f, "served", LONG "--watch=0 ");
    site s = {0};
    for (int i = 0; i < 600 && !s.port; i++) {
        pause_ms(100);
        vkft_test_run_wait_for(f, "messages");
        char *said = vkft_test_read(vkft_test_run_at(f, "messages"), NULL), *at = strstr(said, "watch this run: ");
        if (strstr(said, "libmicrohttpd")) {
            vkft_test_run_end(f, pid, 0, "libmicrohttpd");
            skip();
        }
        if (at && strchr(at, '\n'))
            assert_int_equal(sscanf(at, "watch this run: http://127.0.0.1:%u/%32[0-9a-f]/", &s.port, s.token), 2);
        free(said);
    }
    wait_for_page(&s, "<strong>running</strong>");
    vkft_test_run_wait_for(f, "served/trainer_log.jsonl");
    wait_for_page(&s, "<svg");
    press(&s, "pause", "200");
    wait_for_page(&s, "<strong>paused</strong>");
    press(&s, "stop", "200");
    assert_int_equal(vkft_test_run_end(f, pid, 0, "saved; continue with"), 130);
    assert_null(send_text("127.0.0.1", s.port, "GET / HTTP/1.1\r\n\r\n"));
}

static void test_command(void **state)
{
    const vkft_test_run_fixture *f = *state;
    vkft_test_result r = vkft_test_program("watch '%s/none'", f->dir);
    assert_int_equal(r.exit_code, 1);
    assert_non_null(strstr(r.err, "no such directory"));
    vkft_test_result_free(&r);
    r = vkft_test_program("watch");
    assert_int_equal(r.exit_code, 2);
    vkft_test_result_free(&r);
    r = vkft_test_program("watch '%s' --port 70000", f->dir);
    assert_int_equal(r.exit_code, 2);
    vkft_test_result_free(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_who_gets_the_page),
        cmocka_unit_test(test_buttons),
        cmocka_unit_test(test_training_serves),
        cmocka_unit_test(test_command),
    };
    return cmocka_run_group_tests(tests, vkft_test_run_set_up, vkft_test_run_tear_down);
}
