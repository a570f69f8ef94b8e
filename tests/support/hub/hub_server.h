/* A server on the loopback address that behaves as the hub does: lists of files, redirects of large files to another
 * port, tags, ranges, refusals; and that breaks off, lies and fails where a test asks for it. It counts what it sends,
 * and writes down who got the token. */
#ifndef VKFT_TEST_HUB_SERVER_H
#define VKFT_TEST_HUB_SERVER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define HUB_COMMIT "0123456789abcdef0123456789abcdef01234567" /* of all repositories; main leads to it */
#define HUB_CERTIFICATE VKFT_TEST_DATA "/hub/certificate.pem"

typedef enum hub_fault_kind {
    HUB_BREAK,        /* the connection ends in mid-file, after `at` bytes */
    HUB_CLOSE,        /* the connection ends without an answer */
    HUB_STATUS,       /* the answer is `status`, with Retry-After: 0 where it is 429 */
    HUB_REFUSE,       /* the answer is `status` with X-Error-Code `code` */
    HUB_SHORT,        /* the file lacks its last byte, and its size says so */
    HUB_LONG,         /* the file has one byte more */
    HUB_WRONG_BYTE,   /* one byte of the file is another */
    HUB_WRONG_TAG,    /* the tag is that of another file */
    HUB_IGNORE_RANGE, /* all of the file is sent, with 200 */
    HUB_OTHER_RANGE,  /* the part begins one byte later */
    HUB_LOOP,         /* the redirect leads to itself */
    HUB_DETOUR,       /* the redirect leads to another path of the hub first, by a relative address */
    HUB_OTHER_NAME,   /* the redirect leads to the hub's port under another name of the host */
    HUB_SHORT_UNSAID, /* the file lacks its last half, its size is right, and the connection ends */
} hub_fault_kind;

typedef struct hub_fault {
    hub_fault_kind kind;
    const char *path; /* requests for this file; NULL: for any file */
    uint64_t at;
    unsigned status;
    const char *code;
    bool for_good; /* not for one request alone */
    bool of_list;  /* it is about the list of files */
} hub_fault;

typedef struct hub_server hub_server;

/* NULL: this build has no web server. */
hub_server *hub_server_start(void);
/* The same with TLS, for small files alone, by a certificate that no system trusts: HUB_CERTIFICATE. NULL: the web
 * server has no TLS. */
hub_server *hub_server_start_https(void);
void hub_server_stop(hub_server *s);
const char *hub_server_endpoint(const hub_server *s);

/* type: "models" or "datasets". large: in LFS, on the other port. The content is copied. */
void hub_server_add(hub_server *s, const char *type, const char *repository, const char *path, const void *data,
                    size_t size, bool large);
/* All files of a directory, but not of those below it. */
void hub_server_add_directory(hub_server *s, const char *type, const char *repository, const char *dir);
/* NULL: anybody may read. */
void hub_server_require_token(hub_server *s, const char *token);
/* Faults wait in sequence; a request takes the first that fits. */
void hub_server_fault(hub_server *s, hub_fault fault);
unsigned hub_server_faults_left(const hub_server *s);

typedef struct hub_counts {
    uint64_t bytes;         /* of files, sent */
    unsigned lists, files;  /* requests for lists, and answers with content of files */
    unsigned with_token;    /* requests of the hub's own address with the token */
    unsigned without_token; /* those without */
    unsigned leaked;        /* requests of the other port, or under another name, with a token */
} hub_counts;
hub_counts hub_server_counts(const hub_server *s);

#endif
