/* See http.h. libcurl could follow redirects and repeat requests itself; both are done here, because what is sent to
 * which host, and what is fetched again, are what must not go wrong. */
#include "host/hub/http/http.h"

#ifdef VKFT_HAVE_HUB

#include <curl/curl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/base/file.h"
#include "runtime/base/os/os.h"
#include "runtime/base/text.h"

enum {
    MAX_PARALLEL = 8,
    MAX_HOPS = 10,
    CONNECT_SECONDS = 10,
    SILENT_SECONDS = 30, /* without a byte: the connection is broken */
    LONGEST_WAIT = 120,  /* seconds that a server may ask for */
    BUSY_WAIT_MS = 200,
    POLL_MS = 100,
};

typedef enum state { QUEUED, RUNNING, DONE } state;

typedef struct request {
    struct engine *engine;
    const vkft_hub_get *get;
    state state;
    CURL *easy;
    struct curl_slist *headers;
    char *url; /* where this hop goes; NULL: to the beginning */
    unsigned hops, failures;
    double not_before;
    uint64_t from, skip; /* bytes that were there; of these, those that the server sends again */
    uint64_t bytes;      /* of the content that this attempt brought */
    bool seen;           /* the head of the answer with the content */
    bool of_hub;         /* the address is the hub's own */
    vkft_hub_answer answer;
    char curl_says[CURL_ERROR_SIZE];
} request;

typedef struct engine {
    const vkft_hub_settings *settings;
    const vkft_observer *observer;
    CURLM *multi;
    request *requests;
    uint32_t count, running, done;
    unsigned max_failures;
    bool failed, unreachable;
    vkft_err *err;
} engine;

/* --- addresses ---------------------------------------------------------------------------------------------------- */

static char *part_of(CURLU *url, CURLUPart part)
{
    char *text = NULL;
    return curl_url_get(url, part, &text, CURLU_DEFAULT_PORT) == CURLUE_OK ? text : NULL;
}

static bool same_part(CURLU *a, CURLU *b, CURLUPart part)
{
    char *x = part_of(a, part), *y = part_of(b, part);
    bool same = x && y && curl_strequal(x, y);
    curl_free(x);
    curl_free(y);
    return same;
}

/* Whether both have the same protocol, host and port. */
static bool same_origin(const char *a, const char *b)
{
    CURLU *x = curl_url(), *y = curl_url();
    bool same = x && y && curl_url_set(x, CURLUPART_URL, a, 0) == CURLUE_OK &&
                curl_url_set(y, CURLUPART_URL, b, 0) == CURLUE_OK && same_part(x, y, CURLUPART_SCHEME) &&
                same_part(x, y, CURLUPART_HOST) && same_part(x, y, CURLUPART_PORT);
    curl_url_cleanup(x);
    curl_url_cleanup(y);
    return same;
}

/* "host:port" of an address, for messages. */
static void host_of(const char *address, char *text, size_t size)
{
    CURLU *url = curl_url();
    bool ok = url && curl_url_set(url, CURLUPART_URL, address, 0) == CURLUE_OK;
    char *host = ok ? part_of(url, CURLUPART_HOST) : NULL, *port = ok ? part_of(url, CURLUPART_PORT) : NULL;
    snprintf(text, size, "%s:%s", host ? host : "the server", port ? port : "?");
    curl_free(host);
    curl_free(port);
    curl_url_cleanup(url);
}

static bool is_https(const char *url)
{
    return curl_strnequal(url, "https://", 8);
}

/* --- what curl calls ---------------------------------------------------------------------------------------------- */

static bool has_content(const request *r)
{
    return r->answer.status == 200 || r->answer.status == 206;
}

/* Once, before the first byte of the content. */
static bool see_head(request *r)
{
    if (r->seen)
        return true;
    r->seen = true;
    if (!r->of_hub) /* it has tags of its own */
        r->answer.tag[0] = 0;
    r->skip = r->answer.status == 200 ? r->from : 0;
    if (r->answer.status == 206 && r->answer.first != r->from)
        return vkft_fail(r->engine->err, VKFT_ERR_IO, "%s: the server sends another part than the one asked for",
                         r->get->what);
    return !r->get->head || r->get->head(r->get->context, &r->answer, r->engine->err);
}

static size_t on_head(char *line, size_t size, size_t count, void *context)
{
    request *r = context;
    vkft_hub_head_line(&r->answer, line, size * count);
    return size * count;
}

static size_t on_body(char *data, size_t size, size_t count, void *context)
{
    request *r = context;
    size_t length = size * count, skipped = 0;
    if (!has_content(r))
        return length;
    bool ok = see_head(r);
    if (ok) {
        skipped = r->skip < length ? (size_t)r->skip : length;
        r->skip -= skipped;
        r->bytes += length - skipped;
        ok = length == skipped || r->get->take(r->get->context, data + skipped, length - skipped, r->engine->err);
    }
    r->engine->failed |= !ok;
    return ok ? length : 0;
}

/* --- an attempt --------------------------------------------------------------------------------------------------- */

static bool add_header(request *r, const char *text)
{
    struct curl_slist *longer = curl_slist_append(r->headers, text);
    if (longer)
        r->headers = longer;
    return longer != NULL;
}

static bool add_headers(request *r, const char *url)
{
    const vkft_hub_settings *s = r->engine->settings;
    r->of_hub = same_origin(url, s->endpoint);
    if (!s->token || !r->of_hub)
        return true;
    char text[4200];
    snprintf(text, sizeof text, "Authorization: Bearer %s", s->token);
    return add_header(r, text);
}

static void set_protocols(CURL *easy)
{
#if LIBCURL_VERSION_NUM >= 0x075500
    curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "http,https");
#else
    curl_easy_setopt(easy, CURLOPT_PROTOCOLS, (long)(CURLPROTO_HTTP | CURLPROTO_HTTPS));
#endif
}

/* Windows looks at lists of what was revoked; where none can be reached, this program goes on, as browsers do. */
static void set_certificates(CURL *easy, const char *path)
{
#if LIBCURL_VERSION_NUM >= 0x074600
    curl_easy_setopt(easy, CURLOPT_SSL_OPTIONS, (long)CURLSSLOPT_REVOKE_BEST_EFFORT);
#endif
    if (path)
        curl_easy_setopt(easy, vkft_directory_exists(path) ? CURLOPT_CAPATH : CURLOPT_CAINFO, path);
}

static bool send_request(request *r)
{
    engine *e = r->engine;
    const char *url = r->url ? r->url : r->get->url;
    CURL *easy = r->easy = curl_easy_init();
    if (!easy || !add_headers(r, url))
        return vkft_fail_memory(e->err, "for a request");
    r->answer = (vkft_hub_answer){.whole = UINT64_MAX, .retry_after = -1};
    r->seen = false;
    r->bytes = 0;
    r->curl_says[0] = 0;
    set_protocols(easy);
    set_certificates(easy, e->settings->certificates);
    curl_easy_setopt(easy, CURLOPT_URL, url);
    curl_easy_setopt(easy, CURLOPT_HTTPHEADER, r->headers);
    curl_easy_setopt(easy, CURLOPT_USERAGENT, "vkft");
    curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(easy, CURLOPT_CONNECTTIMEOUT, (long)CONNECT_SECONDS);
    curl_easy_setopt(easy, CURLOPT_LOW_SPEED_LIMIT, 1L);
    curl_easy_setopt(easy, CURLOPT_LOW_SPEED_TIME, (long)SILENT_SECONDS);
    curl_easy_setopt(easy, CURLOPT_BUFFERSIZE, 256L << 10);
    curl_easy_setopt(easy, CURLOPT_ERRORBUFFER, r->curl_says);
    curl_easy_setopt(easy, CURLOPT_HEADERFUNCTION, on_head);
    curl_easy_setopt(easy, CURLOPT_HEADERDATA, r);
    curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, on_body);
    curl_easy_setopt(easy, CURLOPT_WRITEDATA, r);
    curl_easy_setopt(easy, CURLOPT_PRIVATE, r);
    if (r->from) {
        char range[32];
        snprintf(range, sizeof range, "%llu-", (unsigned long long)r->from);
        curl_easy_setopt(easy, CURLOPT_RANGE, range);
    }
    if (curl_multi_add_handle(e->multi, easy) != CURLM_OK)
        return vkft_fail_memory(e->err, "for a request");
    r->state = RUNNING;
    e->running++;
    return true;
}

static void end_request(request *r)
{
    if (r->state == RUNNING) {
        curl_multi_remove_handle(r->engine->multi, r->easy);
        r->engine->running--;
        r->state = QUEUED;
    }
    curl_easy_cleanup(r->easy);
    curl_slist_free_all(r->headers);
    r->easy = NULL;
    r->headers = NULL;
}

static void set_done(request *r)
{
    r->state = DONE;
    r->engine->done++;
}

static bool start(request *r, double now)
{
    engine *e = r->engine;
    vkft_hub_start how = VKFT_HUB_SEND;
    if (!r->url) { /* no further hop of the same attempt */
        r->hops = 0;
        r->from = 0;
        if (r->get->start)
            how = r->get->start(r->get->context, &r->from, e->err);
    }
    switch (how) {
    case VKFT_HUB_SEND: return send_request(r);
    case VKFT_HUB_THERE: set_done(r); return true;
    case VKFT_HUB_BUSY: r->not_before = now + BUSY_WAIT_MS / 1000.0; return true;
    case VKFT_HUB_FAILED: break;
    }
    return false;
}

/* --- what came of it ---------------------------------------------------------------------------------------------- */

/* Queues it again, or fails with `why`. Breaks with content between them cost no waiting. */
static bool repeat(request *r, const char *why, bool answered)
{
    engine *e = r->engine;
    r->failures = r->bytes ? 1 : r->failures + 1;
    free(r->url);
    r->url = NULL;
    double wait = 0;
    if (r->answer.retry_after >= 0 && answered)
        wait = (double)r->answer.retry_after;
    else if (r->failures > 1)
        wait = e->settings->backoff * (double)(1u << (r->failures < 7 ? r->failures - 2 : 5));
    if (r->failures > e->max_failures || wait > LONGEST_WAIT) {
        e->unreachable = true;
        return answered ? vkft_hub_fail_answer(e->settings, r->get->what, &r->answer, e->err)
                        : vkft_fail(e->err, VKFT_ERR_IO, "%s: %s", r->get->what, why);
    }
    if (wait >= 2)
        vkft_observer_say(e->observer, "%s: %s; trying again in %.0f s", r->get->what, why, wait);
    r->not_before = vkft_os_seconds() + wait;
    return true;
}

static bool is_final(CURLcode code)
{
    return code == CURLE_SSL_CERTPROBLEM || code == CURLE_URL_MALFORMAT || code == CURLE_UNSUPPORTED_PROTOCOL ||
           code == CURLE_OUT_OF_MEMORY;
}

static bool fail_trust(const request *r, CURLcode code, const char *host, const char *why)
{
    const char *what = r->get->what, *file = r->engine->settings->certificates;
    if (code == CURLE_SSL_CACERT_BADFILE && file)
        return vkft_fail(r->engine->err, VKFT_ERR_INPUT,
                         "%s: '%s', which REQUESTS_CA_BUNDLE, CURL_CA_BUNDLE or SSL_CERT_FILE names, cannot be read as "
                         "a file of certificates",
                         what, file);
    return vkft_fail(r->engine->err, VKFT_ERR_IO,
                     "%s: the certificate of %s is not trusted (%s); check this machine's clock and its trusted "
                     "certificates (on Linux the package ca-certificates); for a proxy or a mirror with a certificate "
                     "of its own, let REQUESTS_CA_BUNDLE name a file with it",
                     what, host, why);
}

/* What curl says is wrong, in one line, with the host. */
static void say_why(const request *r, CURLcode code, const char *host, char *why, size_t size)
{
    const char *says = r->curl_says[0] ? r->curl_says : curl_easy_strerror(code);
    char name[300];
    snprintf(name, sizeof name, "%.*s", (int)(strrchr(host, ':') - host), host);
    bool named = code == CURLE_PEER_FAILED_VERIFICATION || strstr(says, name);
    snprintf(why, size, named ? "%s" : "%s (%s)", says, host);
    for (char *c = why; *c; c++)
        if ((unsigned char)*c < ' ')
            *c = ' ';
}

static bool follow(request *r, const char *to)
{
    engine *e = r->engine;
    const char *from = r->url ? r->url : r->get->url;
    if (r->of_hub && r->get->head && !r->get->head(r->get->context, &r->answer, e->err))
        return false;
    if (!to)
        return vkft_fail(e->err, VKFT_ERR_IO, "%s: the server leads elsewhere (%ld) and does not say where",
                         r->get->what, r->answer.status);
    if (++r->hops > MAX_HOPS)
        return vkft_fail(e->err, VKFT_ERR_IO, "%s: more than %d redirects, one leading to another", r->get->what,
                         MAX_HOPS);
    if (is_https(from) && !is_https(to))
        return vkft_fail(e->err, VKFT_ERR_IO, "%s: the server leads from https to an address without it", r->get->what);
    char *copy = vkft_string_copy(to);
    if (!copy)
        return vkft_fail_memory(e->err, "for a request");
    free(r->url);
    r->url = copy;
    return true;
}

static bool finish_content(request *r)
{
    engine *e = r->engine;
    bool whole = false;
    if (!see_head(r) || !r->get->end(r->get->context, &whole, e->err))
        return false;
    if (!whole)
        return repeat(r, "the connection ended early", false);
    set_done(r);
    return true;
}

static bool finish(request *r, CURLcode code)
{
    engine *e = r->engine;
    long status = r->answer.status;
    char *to = NULL, host[300], why[CURL_ERROR_SIZE + sizeof host];
    if (e->failed) /* in a callback, which said why */
        return false;
    host_of(r->url ? r->url : r->get->url, host, sizeof host);
    say_why(r, code, host, why, sizeof why);
    curl_easy_getinfo(r->easy, CURLINFO_REDIRECT_URL, &to);
    char *next = to ? vkft_string_copy(to) : NULL;
    end_request(r);
    bool ok;
    if (code == CURLE_PEER_FAILED_VERIFICATION || code == CURLE_SSL_CACERT_BADFILE)
        ok = fail_trust(r, code, host, why);
    else if (code != CURLE_OK && is_final(code))
        ok = vkft_fail(e->err, VKFT_ERR_IO, "%s: %s", r->get->what, why);
    else if (code != CURLE_OK)
        ok = repeat(r, why, false);
    else if (has_content(r))
        ok = finish_content(r);
    else if (status == 301 || status == 302 || status == 303 || status == 307 || status == 308)
        ok = follow(r, next);
    else if (status == 408 || status == 429 || status >= 500) {
        snprintf(why, sizeof why, "the server answers %ld", status);
        ok = repeat(r, why, true);
    } else
        ok = vkft_hub_fail_answer(e->settings, r->get->what, &r->answer, e->err);
    free(next);
    return ok;
}

/* --- all of them -------------------------------------------------------------------------------------------------- */

static bool start_waiting(engine *e)
{
    double now = vkft_os_seconds();
    for (uint32_t i = 0; i < e->count && e->running < MAX_PARALLEL; i++) {
        request *r = &e->requests[i];
        if (r->state == QUEUED && r->not_before <= now && !start(r, now))
            return false;
    }
    return true;
}

static bool finish_ended(engine *e)
{
    int left;
    for (CURLMsg *m; (m = curl_multi_info_read(e->multi, &left)) != NULL;) {
        request *r = NULL;
        if (m->msg != CURLMSG_DONE)
            continue;
        CURLcode code = m->data.result;
        curl_easy_getinfo(m->easy_handle, CURLINFO_PRIVATE, &r);
        if (!finish(r, code))
            return false;
    }
    return true;
}

/* How long there is nothing to start, at most POLL_MS. */
static int idle_ms(const engine *e)
{
    double now = vkft_os_seconds(), wait = POLL_MS / 1000.0;
    for (uint32_t i = 0; i < e->count && e->running < MAX_PARALLEL; i++)
        if (e->requests[i].state == QUEUED && e->requests[i].not_before - now < wait)
            wait = e->requests[i].not_before - now;
    return wait > 0 ? (int)(wait * 1000) + 1 : 0;
}

static bool run(engine *e)
{
    while (e->done < e->count) {
        int active;
        if (vkft_observer_interrupted(e->observer))
            return vkft_fail(e->err, VKFT_ERR_INTERRUPTED,
                             "interrupted while downloading; what is there is kept, and the next time goes on with it");
        if (!start_waiting(e) || curl_multi_perform(e->multi, &active) != CURLM_OK || !finish_ended(e))
            return false;
        if (e->done < e->count)
            curl_multi_poll(e->multi, NULL, 0, idle_ms(e), NULL);
    }
    return true;
}

bool vkft_hub_run(const vkft_hub_settings *settings, const vkft_hub_get *gets, uint32_t count, unsigned max_failures,
                  const vkft_observer *observer, bool *unreachable, vkft_err *err)
{
    vkft_err unused;
    engine e = {.settings = settings,
                .observer = observer,
                .requests = calloc(count ? count : 1, sizeof *e.requests),
                .count = count,
                .max_failures = max_failures,
                .err = err ? err : &unused};
    *e.err = (vkft_err){0};
    bool ready = e.requests && curl_global_init(CURL_GLOBAL_DEFAULT) == CURLE_OK;
    e.multi = ready ? curl_multi_init() : NULL;
    bool ok = e.multi ? true : vkft_fail_memory(e.err, "for downloads");
    if (ok) { /* one connection for each file, and not one for all, which would have the speed of one */
        curl_multi_setopt(e.multi, CURLMOPT_PIPELINING, (long)CURLPIPE_NOTHING);
        for (uint32_t i = 0; i < count; i++)
            e.requests[i] = (request){.engine = &e, .get = &gets[i]};
        ok = run(&e);
        if (!ok && e.err->kind == VKFT_ERR_NONE)
            vkft_fail(e.err, VKFT_ERR_IO, "libcurl cannot go on");
    }
    for (uint32_t i = 0; e.requests && i < count; i++) {
        if (e.requests[i].engine)
            end_request(&e.requests[i]);
        free(e.requests[i].url);
    }
    if (e.multi)
        curl_multi_cleanup(e.multi);
    if (ready)
        curl_global_cleanup();
    free(e.requests);
    if (unreachable)
        *unreachable = !ok && e.unreachable;
    return ok;
}

void vkft_hub_http_name(char *text, size_t size)
{
    const curl_version_info_data *v = curl_version_info(CURLVERSION_NOW);
    snprintf(text, size, "libcurl %s, %s", v->version, v->ssl_version ? v->ssl_version : "no TLS");
}

#else

#include <stdio.h>

bool vkft_hub_run(const vkft_hub_settings *settings, const vkft_hub_get *gets, uint32_t count, unsigned max_failures,
                  const vkft_observer *observer, bool *unreachable, vkft_err *err)
{
    (void)settings, (void)gets, (void)count, (void)max_failures, (void)observer;
    if (unreachable)
        *unreachable = true;
    return vkft_fail(err, VKFT_ERR_INPUT,
                     "this vkft was built without libcurl and downloads nothing; what 'hf download OWNER/NAME' has "
                     "brought into the cache is found by its name, too");
}

void vkft_hub_http_name(char *text, size_t size)
{
    snprintf(text, size, "no libcurl");
}

#endif
