/* See hub_server.h. One thread of libmicrohttpd serves each of the two ports; a lock holds them apart. */
#include "tests/support/hub/hub_server.h"

#ifdef VKFT_TEST_HAVE_MICROHTTPD

#include <arpa/inet.h>
#include <microhttpd.h>
#include <netinet/in.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "host/hub/digest.h"
#include "runtime/base/directory.h"
#include "runtime/base/file.h"
#include "runtime/base/text.h"
#include "tests/support/program.h"

#define POINTER_HASH "2222222222222222222222222222222222222222" /* of the file in git that stands for a large one */

enum { MAX_FILES = 64, MAX_FAULTS = 128 };

typedef struct file {
    char *type, *repository, *path;
    uint8_t *data;
    size_t size;
    char hash[VKFT_HUB_HASH_SIZE];
    bool large;
} file;

typedef struct port {
    struct hub_server *server;
    struct MHD_Daemon *daemon;
    unsigned number;
    bool is_hub;
} port;

struct hub_server {
    port hub, content;
    char *certificate, *key; /* NULL: http alone */
    char endpoint[64];
    pthread_mutex_t lock;
    file files[MAX_FILES];
    unsigned count;
    hub_fault faults[MAX_FAULTS];
    unsigned fault_count;
    const char *token;
    hub_counts counts;
};

/* --- what there is ------------------------------------------------------------------------------------------------ */

static void hash_file(file *f)
{
    vkft_err err;
    char head[40];
    int length = snprintf(head, sizeof head, "blob %zu", f->size) + 1;
    vkft_hub_digest *d = vkft_hub_digest_new(f->large ? VKFT_HUB_SHA256_DIGITS : VKFT_HUB_SHA1_DIGITS, &err);
    if (!d || (!f->large && !vkft_hub_digest_add(d, head, (size_t)length, &err)) ||
        !vkft_hub_digest_add(d, f->data, f->size, &err) || !vkft_hub_digest_end(d, f->hash, &err))
        fail_msg("%s", err.message);
    vkft_hub_digest_free(d);
}

void hub_server_add(hub_server *s, const char *type, const char *repository, const char *path, const void *data,
                    size_t size, bool large)
{
    assert_true(s->count < MAX_FILES);
    file *f = &s->files[s->count];
    *f = (file){strdup(type), strdup(repository), strdup(path), malloc(size + 1), size, "", large};
    memcpy(f->data, data, size);
    hash_file(f);
    s->count++;
}

typedef struct adding {
    hub_server *server;
    const char *type, *repository, *dir;
} adding;

static bool add_entry(void *context, const char *name)
{
    const adding *a = context;
    char *path = vkft_path_join(a->dir, name);
    size_t size;
    if (vkft_file_exists(path)) {
        char *data = vkft_test_read(path, &size);
        bool large = vkft_string_ends_with(name, ".safetensors") || vkft_string_ends_with(name, ".gguf");
        hub_server_add(a->server, a->type, a->repository, name, data, size, large);
        free(data);
    }
    free(path);
    return true;
}

void hub_server_add_directory(hub_server *s, const char *type, const char *repository, const char *dir)
{
    vkft_err err;
    if (!vkft_directory_list(dir, add_entry, &(adding){s, type, repository, dir}, &err))
        fail_msg("%s", err.message);
}

void hub_server_require_token(hub_server *s, const char *token)
{
    s->token = token;
}

void hub_server_fault(hub_server *s, hub_fault fault)
{
    pthread_mutex_lock(&s->lock);
    assert_true(s->fault_count < MAX_FAULTS);
    s->faults[s->fault_count++] = fault;
    pthread_mutex_unlock(&s->lock);
}

unsigned hub_server_faults_left(const hub_server *s)
{
    return s->fault_count;
}

hub_counts hub_server_counts(const hub_server *s)
{
    return s->counts;
}

const char *hub_server_endpoint(const hub_server *s)
{
    return s->endpoint;
}

/* --- answers ------------------------------------------------------------------------------------------------------ */

/* Whether it is for the hub's own answers, before a redirect; else for those with the content. */
static bool is_of_hub(hub_fault_kind kind)
{
    return kind == HUB_LOOP || kind == HUB_DETOUR || kind == HUB_OTHER_NAME || kind == HUB_REFUSE ||
           kind == HUB_WRONG_TAG;
}

/* The first fault that fits, which is gone then. */
static bool take_fault(hub_server *s, const char *path, bool of_hub, hub_fault *fault)
{
    for (unsigned i = 0; i < s->fault_count; i++) {
        const hub_fault *f = &s->faults[i];
        bool fits =
            path ? !f->of_list && is_of_hub(f->kind) == of_hub && (!f->path || strcmp(f->path, path) == 0) : f->of_list;
        if (!fits)
            continue;
        *fault = *f;
        if (!f->for_good)
            memmove(&s->faults[i], &s->faults[i + 1], (--s->fault_count - i) * sizeof *f);
        return true;
    }
    return false;
}

static enum MHD_Result send_response(struct MHD_Connection *connection, unsigned status, struct MHD_Response *response)
{
    enum MHD_Result result = MHD_queue_response(connection, status, response);
    MHD_destroy_response(response);
    return result;
}

static struct MHD_Response *text_response(const char *text)
{
    return MHD_create_response_from_buffer(strlen(text), (void *)(uintptr_t)text, MHD_RESPMEM_MUST_COPY);
}

static enum MHD_Result refuse(struct MHD_Connection *connection, unsigned status, const char *code)
{
    struct MHD_Response *response = text_response("{\"error\":\"refused\"}");
    if (code)
        MHD_add_response_header(response, "X-Error-Code", code);
    MHD_add_response_header(response, "X-Error-Message", "because of a test");
    if (status == 429)
        MHD_add_response_header(response, "Retry-After", "0");
    return send_response(connection, status, response);
}

static enum MHD_Result redirect(struct MHD_Connection *connection, const file *f, const char *to, bool wrong_tag)
{
    struct MHD_Response *response = text_response("elsewhere");
    char text[120];
    MHD_add_response_header(response, "Location", to);
    MHD_add_response_header(response, "X-Repo-Commit", HUB_COMMIT);
    if (f) {
        MHD_add_response_header(response, "ETag", "\"" POINTER_HASH "\"");
        snprintf(text, sizeof text, "\"%s\"", f->hash);
        if (wrong_tag)
            text[1] = text[1] == '0' ? '1' : '0';
        MHD_add_response_header(response, "X-Linked-Etag", text);
        snprintf(text, sizeof text, "%zu", f->size);
        MHD_add_response_header(response, "X-Linked-Size", text);
    }
    return send_response(connection, MHD_HTTP_FOUND, response);
}

/* A part of a file on its way. */
typedef struct sending {
    hub_server *server;
    const file *file;
    uint64_t first, size, stop; /* bytes of the file, and after how many the connection ends */
    uint64_t wrong;             /* which byte is another; UINT64_MAX: none */
} sending;

static ssize_t send_part(void *context, uint64_t at, char *data, size_t max)
{
    sending *p = context;
    if (at >= p->stop)
        return MHD_CONTENT_READER_END_WITH_ERROR;
    size_t size = max < p->stop - at ? max : (size_t)(p->stop - at);
    for (size_t i = 0; i < size; i++) {
        uint64_t byte = p->first + at + i;
        data[i] = byte < p->file->size ? (char)p->file->data[byte] : '+';
        if (byte == p->wrong)
            data[i] ^= 1;
    }
    pthread_mutex_lock(&p->server->lock);
    p->server->counts.bytes += size;
    pthread_mutex_unlock(&p->server->lock);
    return (ssize_t)size;
}

/* "bytes=100-": where the part begins that is asked for; 0 without. */
static uint64_t asked_range(struct MHD_Connection *connection)
{
    const char *range = MHD_lookup_connection_value(connection, MHD_HEADER_KIND, "Range");
    return range && strncmp(range, "bytes=", 6) == 0 ? strtoull(range + 6, NULL, 10) : 0;
}

static enum MHD_Result send_file(port *p, struct MHD_Connection *connection, const file *f, const hub_fault *fault)
{
    uint64_t whole = f->size, first = asked_range(connection);
    if (fault && fault->kind == HUB_SHORT)
        whole--;
    if (fault && fault->kind == HUB_LONG)
        whole++;
    bool part = first > 0 && !(fault && fault->kind == HUB_IGNORE_RANGE);
    if (!part)
        first = 0;
    if (part && fault && fault->kind == HUB_OTHER_RANGE)
        first++;
    if (part && first >= whole)
        return refuse(connection, 416, NULL);
    sending *s = malloc(sizeof *s);
    *s = (sending){p->server, f, first, whole - first, whole - first, UINT64_MAX};
    if (fault && fault->kind == HUB_WRONG_BYTE)
        s->wrong = f->size - 1;
    if (fault && fault->kind == HUB_BREAK && fault->at < s->stop)
        s->stop = fault->at;
    if (fault && fault->kind == HUB_SHORT_UNSAID)
        s->stop /= 2;
    struct MHD_Response *response = MHD_create_response_from_callback(s->size, 1000, send_part, s, free);
    char text[120];
    if (p->is_hub) {
        snprintf(text, sizeof text, "\"%s\"", f->hash);
        MHD_add_response_header(response, "ETag", text);
        MHD_add_response_header(response, "X-Repo-Commit", HUB_COMMIT);
    } else {
        MHD_add_response_header(response, "ETag",
                                "\"3333333333333333333333333333333333333333333333333333333333333333\"");
    }
    if (part) {
        snprintf(text, sizeof text, "bytes %llu-%llu/%llu", (unsigned long long)first, (unsigned long long)whole - 1,
                 (unsigned long long)whole);
        MHD_add_response_header(response, "Content-Range", text);
    }
    p->server->counts.files++;
    return send_response(connection, part ? MHD_HTTP_PARTIAL_CONTENT : MHD_HTTP_OK, response);
}

/* The content of a file, or what stands in its place. */
static enum MHD_Result answer_content(port *p, struct MHD_Connection *connection, const file *f)
{
    hub_fault fault;
    bool faulty = take_fault(p->server, f->path, false, &fault);
    if (faulty && fault.kind == HUB_CLOSE)
        return MHD_NO;
    if (faulty && fault.kind == HUB_STATUS)
        return refuse(connection, fault.status, NULL);
    return send_file(p, connection, f, faulty ? &fault : NULL);
}

static enum MHD_Result answer_file(port *p, struct MHD_Connection *connection, const file *f, const char *url,
                                   bool detoured)
{
    hub_server *s = p->server;
    char to[600];
    hub_fault fault;
    bool faulty = !detoured && take_fault(s, f->path, true, &fault);
    if (faulty && fault.kind == HUB_REFUSE)
        return refuse(connection, fault.status, fault.code);
    if (faulty && fault.kind == HUB_LOOP)
        return redirect(connection, f, url, false);
    if (faulty && (fault.kind == HUB_DETOUR || fault.kind == HUB_OTHER_NAME)) {
        const char *start = fault.kind == HUB_DETOUR ? "" : "http://localhost";
        snprintf(to, sizeof to, "%s%s/detour%.400s", start, *start ? strrchr(s->endpoint, ':') : "", url);
        return redirect(connection, f, to, false);
    }
    if (!f->large)
        return answer_content(p, connection, f);
    snprintf(to, sizeof to, "http://127.0.0.1:%u/content/%s?signature=abc%%20d", s->content.number, f->hash);
    return redirect(connection, f, to, faulty && fault.kind == HUB_WRONG_TAG);
}

/* TYPE/OWNER/NAME/tree/COMMIT, which later versions of huggingface_hub ask for. */
static enum MHD_Result answer_tree(port *p, struct MHD_Connection *connection, const char *rest)
{
    char *list = NULL, whole[300];
    size_t length = 0;
    unsigned count = 0;
    FILE *out = open_memstream(&list, &length);
    fprintf(out, "[");
    for (unsigned i = 0; i < p->server->count; i++) {
        const file *f = &p->server->files[i];
        snprintf(whole, sizeof whole, "%s/%s/tree/" HUB_COMMIT, f->type, f->repository);
        if (strcmp(rest, whole) != 0)
            continue;
        fprintf(out, "%s{\"type\":\"file\",\"path\":\"%s\",\"size\":%zu,\"oid\":\"%.40s\"", count++ ? "," : "", f->path,
                f->size, f->large ? POINTER_HASH : f->hash);
        if (f->large)
            fprintf(out, ",\"lfs\":{\"oid\":\"%s\",\"size\":%zu,\"pointerSize\":134}", f->hash, f->size);
        fprintf(out, "}");
    }
    fprintf(out, "]");
    fclose(out);
    enum MHD_Result result = send_response(connection, MHD_HTTP_OK, text_response(list));
    free(list);
    return result;
}

static enum MHD_Result answer_list(port *p, struct MHD_Connection *connection, const char *type, const char *rest)
{
    hub_server *s = p->server;
    hub_fault fault;
    bool faulty = take_fault(s, NULL, false, &fault);
    const char *revision = strstr(rest, "/revision/");
    s->counts.lists++;
    if (faulty && fault.kind == HUB_CLOSE)
        return MHD_NO;
    if (faulty)
        return refuse(connection, fault.status, fault.code);
    char *list = NULL;
    size_t length = 0, repository = revision ? (size_t)(revision - rest) : 0;
    FILE *out = open_memstream(&list, &length);
    unsigned count = 0;
    fprintf(out, "{\"id\":\"%.*s\",\"sha\":\"" HUB_COMMIT "\",\"siblings\":[", (int)repository, rest);
    for (unsigned i = 0; i < s->count; i++) {
        const file *f = &s->files[i];
        if (strcmp(f->type, type) != 0 || strlen(f->repository) != repository ||
            strncmp(f->repository, rest, repository) != 0)
            continue;
        fprintf(out, "%s{\"rfilename\":\"%s\",\"size\":%zu,\"blobId\":\"%.40s\"", count++ ? "," : "", f->path, f->size,
                f->large ? POINTER_HASH : f->hash);
        if (f->large)
            fprintf(out, ",\"lfs\":{\"sha256\":\"%s\",\"size\":%zu,\"pointerSize\":134}", f->hash, f->size);
        fprintf(out, "}");
    }
    fprintf(out, "]}");
    fclose(out);
    enum MHD_Result result;
    if (!count)
        result = refuse(connection, 401, "RepoNotFound");
    else if (strcmp(revision, "/revision/main") != 0 && strcmp(revision, "/revision/" HUB_COMMIT) != 0 &&
             strcmp(revision, "/revision/refs/pr/1") != 0)
        result = refuse(connection, 404, "RevisionNotFound");
    else
        result = send_response(connection, MHD_HTTP_OK, text_response(list));
    free(list);
    return result;
}

/* /OWNER/NAME/resolve/COMMIT/PATH, of datasets after /datasets */
static const file *find_file(const hub_server *s, const char *url)
{
    for (unsigned i = 0; i < s->count; i++) {
        const file *f = &s->files[i];
        char expected[600];
        snprintf(expected, sizeof expected, "/%s%s/resolve/" HUB_COMMIT "/%s",
                 strcmp(f->type, "models") == 0 ? "" : "datasets/", f->repository, f->path);
        if (strcmp(url, expected) == 0)
            return f;
        snprintf(expected, sizeof expected, "/%s%s/resolve/main/%s", strcmp(f->type, "models") == 0 ? "" : "datasets/",
                 f->repository, f->path);
        if (strcmp(url, expected) == 0)
            return f;
    }
    return NULL;
}

static enum MHD_Result answer_hub(port *p, struct MHD_Connection *connection, const char *url, bool trusted)
{
    hub_server *s = p->server;
    bool detoured = strncmp(url, "/detour/", 8) == 0;
    if (detoured)
        url += 7;
    if (s->token && !trusted && !detoured)
        return refuse(connection, 401, "GatedRepo");
    if (strncmp(url, "/api/", 5) == 0 && strstr(url, "/tree/"))
        return answer_tree(p, connection, url + 5);
    if (strncmp(url, "/api/models/", 12) == 0)
        return answer_list(p, connection, "models", url + 12);
    if (strncmp(url, "/api/datasets/", 14) == 0)
        return answer_list(p, connection, "datasets", url + 14);
    const file *f = find_file(s, url);
    return f ? answer_file(p, connection, f, url, detoured) : refuse(connection, 404, "EntryNotFound");
}

static enum MHD_Result answer_other(port *p, struct MHD_Connection *connection, const char *url)
{
    for (unsigned i = 0; i < p->server->count; i++)
        if (strncmp(url, "/content/", 9) == 0 && strcmp(url + 9, p->server->files[i].hash) == 0)
            return answer_content(p, connection, &p->server->files[i]);
    return refuse(connection, 404, NULL);
}

static enum MHD_Result on_request(void *context, struct MHD_Connection *connection, const char *url, const char *method,
                                  const char *version, const char *body, size_t *body_size, void **state)
{
    static char seen;
    port *p = context;
    hub_server *s = p->server;
    (void)method, (void)version, (void)body, (void)body_size;
    if (!*state) {
        *state = &seen;
        return MHD_YES;
    }
    const char *said = MHD_lookup_connection_value(connection, MHD_HEADER_KIND, "Authorization"),
               *host = MHD_lookup_connection_value(connection, MHD_HEADER_KIND, "Host");
    bool own = p->is_hub && host && strncmp(host, "127.0.0.1", 9) == 0;
    bool trusted = own && said && s->token && strncmp(said, "Bearer ", 7) == 0 && strcmp(said + 7, s->token) == 0;
    pthread_mutex_lock(&s->lock);
    s->counts.leaked += said && !own;
    s->counts.with_token += own && said;
    s->counts.without_token += own && !said;
    enum MHD_Result result = p->is_hub ? answer_hub(p, connection, url, trusted) : answer_other(p, connection, url);
    pthread_mutex_unlock(&s->lock);
    return result;
}

/* --- start and stop ----------------------------------------------------------------------------------------------- */

static void open_port(hub_server *s, port *p, bool is_hub)
{
    const struct sockaddr_in place = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    p->server = s;
    p->is_hub = is_hub;
    struct MHD_OptionItem tls[] = {{MHD_OPTION_HTTPS_MEM_CERT, 0, s->certificate},
                                   {MHD_OPTION_HTTPS_MEM_KEY, 0, s->key},
                                   {MHD_OPTION_END, 0, NULL}};
    p->daemon = MHD_start_daemon(MHD_USE_INTERNAL_POLLING_THREAD | (s->key ? MHD_USE_TLS : 0), 0, NULL, NULL,
                                 on_request, p, MHD_OPTION_SOCK_ADDR, (const struct sockaddr *)&place, MHD_OPTION_ARRAY,
                                 s->key ? tls : &tls[2], MHD_OPTION_END);
    assert_non_null(p->daemon);
    p->number = MHD_get_daemon_info(p->daemon, MHD_DAEMON_INFO_BIND_PORT)->port;
}

static hub_server *start(hub_server *s)
{
    pthread_mutex_init(&s->lock, NULL);
    open_port(s, &s->hub, true);
    open_port(s, &s->content, false);
    snprintf(s->endpoint, sizeof s->endpoint, "%s://127.0.0.1:%u", s->key ? "https" : "http", s->hub.number);
    return s;
}

hub_server *hub_server_start(void)
{
    return start(calloc(1, sizeof(hub_server)));
}

hub_server *hub_server_start_https(void)
{
    if (MHD_is_feature_supported(MHD_FEATURE_TLS) != MHD_YES)
        return NULL;
    hub_server *s = calloc(1, sizeof *s);
    s->certificate = vkft_test_read(HUB_CERTIFICATE, NULL);
    s->key = vkft_test_read(VKFT_TEST_DATA "/hub/key.pem", NULL);
    return start(s);
}

void hub_server_stop(hub_server *s)
{
    if (!s)
        return;
    MHD_stop_daemon(s->hub.daemon);
    MHD_stop_daemon(s->content.daemon);
    for (unsigned i = 0; i < s->count; i++) {
        free(s->files[i].type);
        free(s->files[i].repository);
        free(s->files[i].path);
        free(s->files[i].data);
    }
    pthread_mutex_destroy(&s->lock);
    free(s->certificate);
    free(s->key);
    free(s);
}

#else

hub_server *hub_server_start(void)
{
    return NULL;
}

hub_server *hub_server_start_https(void)
{
    return NULL;
}

void hub_server_stop(hub_server *s)
{
    (void)s;
}

const char *hub_server_endpoint(const hub_server *s)
{
    (void)s;
    return "";
}

void hub_server_add(hub_server *s, const char *type, const char *repository, const char *path, const void *data,
                    size_t size, bool large)
{
    (void)s, (void)type, (void)repository, (void)path, (void)data, (void)size, (void)large;
}

void hub_server_add_directory(hub_server *s, const char *type, const char *repository, const char *dir)
{
    (void)s, (void)type, (void)repository, (void)dir;
}

void hub_server_require_token(hub_server *s, const char *token)
{
    (void)s, (void)token;
}

void hub_server_fault(hub_server *s, hub_fault fault)
{
    (void)s, (void)fault;
}

unsigned hub_server_faults_left(const hub_server *s)
{
    (void)s;
    return 0;
}

hub_counts hub_server_counts(const hub_server *s)
{
    (void)s;
    return (hub_counts){0};
}

#endif
