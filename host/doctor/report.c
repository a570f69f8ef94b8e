/* See report.h. */
#include "host/doctor/report.h"

#include <ctype.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/base/file.h"
#include "runtime/base/json/builder.h"
#include "runtime/base/os/machine.h"
#include "runtime/base/os/os.h"
#include "runtime/base/text.h"
#include "runtime/kernels.h"

#define SCHEMA "vkft-doctor-1"
#define SHORT_NAME 3 /* shorter ones are parts of other words */

struct vkft_doctor_report {
    vkft_private_names names;
    bool failed; /* out of memory */
    vkft_json_node root, sections, verdicts;
    vkft_json_node facts, findings, kernels, said; /* of the present section */
};

vkft_doctor_report *vkft_doctor_report_new(const char *version, const char *commit)
{
    vkft_doctor_report *r = calloc(1, sizeof *r);
    char hash[20];
    if (!r)
        return NULL;
    char *home = vkft_os_environment(vkft_os_is_windows() ? "USERPROFILE" : "HOME");
    snprintf(r->names.home, sizeof r->names.home, "%s", home ? home : "");
    free(home);
    vkft_os_private_names(r->names.host, r->names.user, sizeof r->names.user);
    snprintf(hash, sizeof hash, "%016" PRIx64, vkft_kernels_hash());
    r->root = vkft_json_make_object(&r->failed);
    vkft_json_put_string(r->root, "schema", SCHEMA);
    vkft_json_put_string(r->root, "version", version);
    vkft_json_put_string(r->root, "commit", commit);
    vkft_json_put_string(r->root, "kernels", hash);
    r->verdicts = vkft_json_put_array(r->root, "verdicts");
    r->sections = vkft_json_put_array(r->root, "sections");
    return r;
}

void vkft_doctor_report_free(vkft_doctor_report *r)
{
    if (r)
        cJSON_Delete(vkft_json_made(r->root));
    free(r);
}

/* Whether a name stands at `at` as a word of its own. */
static bool is_word(const char *text, const char *at, size_t length)
{
    bool before = at == text || !isalnum((unsigned char)at[-1]), after = !isalnum((unsigned char)at[length]);
    return before && after;
}

char *vkft_report_scrub(const char *text, const vkft_private_names *names)
{
    const struct {
        const char *name, *instead;
        bool leave; /* everybody's */
    } all[] = {{names->home, "~", strcmp(names->home, "/root") == 0},
               {names->user, "<user>", strcmp(names->user, "root") == 0},
               {names->host, "<host>", strcmp(names->host, "localhost") == 0}};
    vkft_text out = {0};
    bool ok = vkft_text_append(&out, "", 0, NULL);
    for (const char *at = text; ok && *at;) {
        size_t skipped = 1;
        const char *instead = NULL;
        for (size_t i = 0; i < 3 && !instead; i++) {
            size_t n = strlen(all[i].name);
            if (n < SHORT_NAME || all[i].leave || strncmp(at, all[i].name, n) != 0 || !is_word(text, at, n))
                continue;
            instead = all[i].instead;
            skipped = n;
        }
        ok = vkft_text_append(&out, instead ? instead : at, instead ? strlen(instead) : 1, NULL);
        at += skipped;
    }
    if (ok)
        return out.data;
    vkft_text_free(&out);
    return NULL;
}

static void put(vkft_doctor_report *r, vkft_json_node to, const char *name, const char *text)
{
    char *clean = vkft_report_scrub(text, &r->names);
    if (clean)
        vkft_json_put_string(to, name, clean);
    else
        r->failed = true;
    free(clean);
}

static void put_pair(vkft_doctor_report *r, vkft_json_node list, const char *first, const char *a, const char *second,
                     const char *b)
{
    vkft_json_node pair = vkft_json_put_object(list, NULL);
    put(r, pair, first, a);
    put(r, pair, second, b);
}

void vkft_doctor_report_add(vkft_doctor_report *r, const vkft_doctor_line *line)
{
    const char *kind = line->kind;
    if (strcmp(kind, "section") == 0) {
        vkft_json_node section = vkft_json_put_object(r->sections, NULL);
        put(r, section, "name", line->a);
        r->findings = vkft_json_put_array(section, "findings");
        r->kernels = vkft_json_put_array(section, "wrong_kernels");
        r->facts = vkft_json_put_array(section, "facts");
        r->said = vkft_json_put_array(section, "said");
    } else if (strcmp(kind, "fact") == 0) {
        put_pair(r, r->facts, "name", line->a, "value", line->b);
    } else if (strcmp(kind, "kernel") == 0) {
        put_pair(r, r->kernels, "name", line->a, "what", line->b);
    } else if (strcmp(kind, "said") == 0) {
        put(r, r->said, NULL, line->a);
    } else if (strcmp(kind, "verdict") == 0) {
        put_pair(r, r->verdicts, "device", line->a, "verdict", line->b);
    } else if (strcmp(kind, "stage") != 0) {
        vkft_json_node finding = vkft_json_put_object(r->findings, NULL);
        vkft_json_put_string(finding, "level", kind);
        put(r, finding, "text", line->a);
        if (line->b[0])
            put(r, finding, "mend", line->b);
    }
}

bool vkft_doctor_report_write(vkft_doctor_report *r, const char *path, vkft_err *err)
{
    cJSON *json = vkft_json_made(r->root);
    char *text = json ? cJSON_Print(json) : NULL;
    r->root = (vkft_json_node){NULL, &r->failed};
    cJSON_Delete(json);
    bool ok = text ? vkft_file_write(path, text, strlen(text), err) : vkft_fail_memory(err, "for the report");
    cJSON_free(text);
    return ok;
}
