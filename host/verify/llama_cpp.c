/* See llama_cpp.h. The file of log-probabilities: "_logits_", three int32: tokens of a context n, vocabulary V,
 * contexts; all their tokens, int32; then a row for each of the last n - 1 - n/2 tokens of a context: f32 step, f32
 * lowest log-probability, and a uint16 per token, in V + 4 uint16, V made even: log p = lowest + step q. What is 16
 * below the largest is cut off to q = 0. */
#include "host/verify/llama_cpp.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/base/file.h"
#include "runtime/base/os/child.h"
#include "runtime/base/size.h"
#include "runtime/base/text.h"

#define SILENCE_S 3600.0 /* a large model is loaded without a word */
#define MAX_OUTPUT (64u << 20)
#define MARK "_logits_"

/* ---- finding them ---- */

bool vkft_llama_cpp_find(const char *directory, vkft_llama_cpp *p, vkft_err *err)
{
    static const char tokenize[] = "llama-tokenize", perplexity[] = "llama-perplexity";
    p->tokenize = vkft_os_find_program(directory, tokenize);
    p->perplexity = vkft_os_find_program(directory, perplexity);
    if (p->tokenize && p->perplexity)
        return true;
    const char *missing = p->tokenize ? perplexity : tokenize;
    vkft_llama_cpp_free(p);
    return !directory || vkft_fail(err, VKFT_ERR_INPUT, "%s: there is no %s in this directory", directory, missing);
}

void vkft_llama_cpp_free(vkft_llama_cpp *p)
{
    free(p->tokenize);
    free(p->perplexity);
    *p = (vkft_llama_cpp){0};
}

/* ---- running them ---- */

/* The last line that is not empty. */
static const char *last_line(char *text)
{
    size_t n = strlen(text);
    while (n && (text[n - 1] == '\n' || text[n - 1] == '\r' || text[n - 1] == ' '))
        text[--n] = 0;
    char *at = strrchr(text, '\n');
    return at ? at + 1 : text;
}

/* Appends all that the program prints. */
static bool run(const char *program, const char *const *arguments, vkft_text *output, vkft_err *err)
{
    char part[4096];
    long long n = 0;
    bool ok = true;
    vkft_os_ending ending;
    vkft_os_child *child = vkft_os_program_start(program, arguments, NULL);
    if (!child)
        return vkft_fail_errno(err, "%s: cannot be started", program);
    while (ok && (n = vkft_os_child_read(child, part, sizeof part, SILENCE_S)) > 0)
        ok = output->length < MAX_OUTPUT && vkft_text_append(output, part, (size_t)n, err);
    vkft_os_child_end(child, n != 0, &ending);
    if (n == 0 && !ending.crashed && !ending.code)
        return true;
    const char *said = output->data ? last_line(output->data) : "";
    if (ending.crashed)
        return vkft_fail(err, VKFT_ERR_INPUT, "%s: ended by %s; it said last: %.300s", program, ending.how, said);
    return vkft_fail(err, VKFT_ERR_INPUT, "%s: exit code %d; it said last: %.300s", program, ending.code, said);
}

/* ---- tokens ---- */

/* The last line that begins as a list of numbers does; what the program says of itself comes before it. */
static const char *find_list(const char *text)
{
    const char *found = NULL;
    for (const char *at = text; at; at = strchr(at, '\n')) {
        at += *at == '\n';
        if (at[0] == '[' && (at[1] == ']' || (at[1] >= '0' && at[1] <= '9')))
            found = at;
    }
    return found;
}

static bool read_list(const char *at, vkft_ids *ids, vkft_err *err)
{
    for (at++; *at != ']';) {
        char *end;
        long id = strtol(at, &end, 10);
        if (end == at || id < 0 || id > INT32_MAX)
            return vkft_fail(err, VKFT_ERR_INPUT, "found '%.*s' in the list of tokens",
                             (int)min_u32((uint32_t)strcspn(at, "\r\n"), 20), at);
        if (!vkft_ids_push(ids, (int32_t)id, err))
            return false;
        at = end + strspn(end, ", ");
    }
    return true;
}

bool vkft_llama_cpp_tokens(const vkft_llama_cpp *p, const char *gguf, const char *text_path, vkft_ids *ids,
                           vkft_err *err)
{
    const char *const arguments[] = {"-m", gguf, "-f", text_path, "--ids", NULL};
    vkft_text output = {0};
    bool ok = run(p->tokenize, arguments, &output, err);
    const char *list = ok && output.data ? find_list(output.data) : NULL;
    if (ok && !list)
        ok = vkft_fail(err, VKFT_ERR_INPUT, "%s: printed no list of tokens", p->tokenize);
    if (ok && !read_list(list, ids, err))
        ok = vkft_fail_context(err, "%s", p->tokenize);
    vkft_text_free(&output);
    return ok;
}

/* ---- log-probabilities ---- */

static int32_t read_i32(const uint8_t *at)
{
    int32_t value;
    memcpy(&value, at, sizeof value);
    return value;
}

static float read_f32(const uint8_t *at)
{
    float value;
    memcpy(&value, at, sizeof value);
    return value;
}

/* One row per known token. */
static void read_rows(const uint8_t *rows, uint64_t row_bytes, vkft_llama_cpp_logprobs *l)
{
    for (uint32_t i = l->first; i < l->ids.count; i++, rows += row_bytes) {
        uint16_t q;
        const double step = (double)read_f32(rows), lowest = (double)read_f32(rows + 4);
        memcpy(&q, rows + 8 + 2 * (uint64_t)l->ids.data[i], sizeof q);
        l->values[i - l->first] = lowest + step * q;
        l->floors[i - l->first] = q ? NAN : lowest;
        l->step = fmax(l->step, step);
    }
}

static bool read_logprobs(const char *path, uint32_t context, vkft_llama_cpp_logprobs *l, vkft_err *err)
{
    vkft_mapping file;
    if (!vkft_mapping_open(path, &file, err))
        return false;
    const uint64_t head = 8 + 3 * 4;
    bool ok = file.size >= head && memcmp(file.data, MARK, 8) == 0;
    const int32_t n = ok ? read_i32(file.data + 8) : 0, vocabulary = ok ? read_i32(file.data + 12) : 0,
                  contexts = ok ? read_i32(file.data + 16) : 0;
    l->first = context / 2 + 1;
    const uint64_t row_bytes = 2 * (((uint64_t)(vocabulary > 0 ? vocabulary : 0) + 1) / 2 * 2 + 4);
    ok = ok && n == (int32_t)context && vocabulary > 0 && contexts == 1 &&
         file.size >= head + 4ull * context + (context - l->first) * row_bytes;
    if (!ok)
        vkft_fail(err, VKFT_ERR_INPUT, "%s: is not what a known version of llama-perplexity writes", path);
    for (uint32_t i = 0; ok && i < context; i++) {
        const int32_t id = read_i32(file.data + head + 4ull * i);
        ok = (id >= 0 && id < vocabulary) || vkft_fail(err, VKFT_ERR_INPUT, "%s: token %d of %d", path, id, vocabulary);
        ok = ok && vkft_ids_push(&l->ids, id, err);
    }
    if (ok) {
        l->values = calloc(context, sizeof *l->values);
        l->floors = calloc(context, sizeof *l->floors);
        ok = (l->values && l->floors) || vkft_fail_memory(err, "for log-probabilities");
    }
    if (ok)
        read_rows(file.data + head + 4ull * context, row_bytes, l);
    vkft_mapping_close(&file);
    return ok;
}

bool vkft_llama_cpp_logprobs_of(const vkft_llama_cpp *p, const char *gguf, const char *text_path, const char *scratch,
                                uint32_t context, vkft_llama_cpp_logprobs *found, vkft_err *err)
{
    char number[16];
    snprintf(number, sizeof number, "%u", context);
    const char *const arguments[] = {"-m",    gguf,       "-f",   text_path,     "--no-escape",
                                     "-c",    number,     "-b",   number,        "-ub",
                                     number,  "--chunks", "1",    "-ctk",        "f32",
                                     "-ctv",  "f32",      "-fa",  "off",         "-ngl",
                                     "0",     "-dev",     "none", "--no-warmup", "--kl-divergence-base",
                                     scratch, NULL};
    vkft_text output = {0};
    *found = (vkft_llama_cpp_logprobs){0};
    bool ok = run(p->perplexity, arguments, &output, err) && read_logprobs(scratch, context, found, err);
    vkft_file_remove(scratch, NULL);
    vkft_text_free(&output);
    if (!ok)
        vkft_llama_cpp_logprobs_free(found);
    return ok;
}

void vkft_llama_cpp_logprobs_free(vkft_llama_cpp_logprobs *l)
{
    vkft_ids_free(&l->ids);
    free(l->values);
    free(l->floors);
    *l = (vkft_llama_cpp_logprobs){0};
}
