/* The normalizers of tokenizer.json, one after the other. */
#include "formats/tokenizer/stages/normalizer.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <utf8proc.h>

#include "formats/tokenizer/stages/vocab.h"
#include "runtime/base/json.h"
#include "runtime/base/utf8.h"

static bool copy_string(char **copy, const char *text, vkft_err *err)
{
    *copy = strdup(text);
    return *copy || vkft_fail_memory(err, "for the tokenizer");
}

static bool read_step(vkft_normalizer *step, const cJSON *json, const char *type, const char *where, vkft_err *err)
{
    static const struct {
        const char *name;
        vkft_normalizer_kind kind;
    } plain[] = {{"NFC", VKFT_NORMALIZE_NFC},
                 {"NFD", VKFT_NORMALIZE_NFD},
                 {"NFKC", VKFT_NORMALIZE_NFKC},
                 {"NFKD", VKFT_NORMALIZE_NFKD},
                 {"Lowercase", VKFT_NORMALIZE_LOWERCASE}};
    const char *text;
    for (size_t i = 0; i < sizeof plain / sizeof *plain; i++)
        if (strcmp(type, plain[i].name) == 0) {
            step->kind = plain[i].kind;
            return true;
        }
    if (strcmp(type, "Prepend") == 0) {
        step->kind = VKFT_NORMALIZE_PREPEND;
        return vkft_json_get_string(json, "prepend", true, &text, where, err) && copy_string(&step->content, text, err);
    }
    if (strcmp(type, "Replace") == 0) {
        step->kind = VKFT_NORMALIZE_REPLACE;
        return vkft_json_get_string(json, "content", true, &text, where, err) &&
               copy_string(&step->content, text, err) &&
               vkft_pattern_new(&step->pattern, vkft_json_member(json, "pattern"), where, err);
    }
    if (strcmp(type, "Strip") == 0) {
        step->kind = VKFT_NORMALIZE_STRIP;
        step->left = step->right = true;
        return vkft_json_get_bool(json, "strip_left", false, &step->left, where, err) &&
               vkft_json_get_bool(json, "strip_right", false, &step->right, where, err);
    }
    if (strcmp(type, "Precompiled") == 0) {
        step->kind = VKFT_NORMALIZE_PRECOMPILED;
        return vkft_json_get_string(json, "precompiled_charsmap", true, &text, where, err) &&
               vkft_charsmap_new(&step->charsmap, text, where, err);
    }
    return vkft_fail(err, VKFT_ERR_INPUT,
                     "%s: \"%s\" is not supported; supported are NFC, NFD, NFKC, NFKD, Lowercase, "
                     "Prepend, Replace, Strip, Precompiled and Sequence",
                     where, type);
}

bool vkft_normalizers_new(vkft_normalizers *n, const cJSON *json, const char *file, vkft_err *err)
{
    char where[600];
    const char *type;
    if (!json || cJSON_IsNull(json))
        return true;
    snprintf(where, sizeof where, "%.500s: normalizer", file);
    if (!vkft_json_get_string(json, "type", true, &type, where, err))
        return false;
    if (strcmp(type, "Sequence") == 0) {
        const cJSON *part, *parts;
        if (!vkft_json_get_array(json, "normalizers", true, &parts, where, err))
            return false;
        cJSON_ArrayForEach(part, parts) if (!vkft_normalizers_new(n, part, file, err)) return false;
        return true;
    }
    if (n->count == VKFT_MAX_STEPS)
        return vkft_fail(err, VKFT_ERR_INPUT, "%s: more than %d steps", where, VKFT_MAX_STEPS);
    vkft_normalizer *steps = realloc(n->steps, (n->count + 1) * sizeof *steps);
    if (!steps)
        return vkft_fail_memory(err, "for the tokenizer");
    n->steps = steps;
    steps[n->count] = (vkft_normalizer){0};
    return read_step(&steps[n->count++], json, type, where, err);
}

void vkft_normalizers_free(vkft_normalizers *n)
{
    for (uint32_t i = 0; i < n->count; i++) {
        vkft_pattern_free(&n->steps[i].pattern);
        free(n->steps[i].content);
        vkft_charsmap_free(&n->steps[i].charsmap);
    }
    free(n->steps);
    *n = (vkft_normalizers){0};
}

static bool replace_all(const vkft_normalizer *step, const vkft_text *text, size_t limit, vkft_text *out, vkft_err *err)
{
    vkft_match match = {0};
    size_t at = 0;
    do {
        if (!vkft_pattern_next(&step->pattern, text->data, text->length, &match, err) ||
            !vkft_text_append(out, text->data + at, match.begin - at, err) ||
            (match.found && !vkft_text_append_within(out, limit, step->content, strlen(step->content), err)))
            return false;
        at = match.end;
    } while (match.found);
    return true;
}

static bool map_unicode(const vkft_text *text, utf8proc_option_t options, vkft_text *out, vkft_err *err)
{
    utf8proc_uint8_t *mapped = NULL;
    utf8proc_ssize_t n =
        utf8proc_map((const utf8proc_uint8_t *)text->data, (utf8proc_ssize_t)text->length, &mapped, options);
    bool ok = n >= 0 ? vkft_text_append(out, (const char *)mapped, (size_t)n, err)
                     : vkft_fail(err, VKFT_ERR_MEMORY, "normalizing a text failed: %s", utf8proc_errmsg(n));
    free(mapped);
    return ok;
}

/* Lowercase of each character by itself, as Rust's to_lowercase: only U+0130 becomes two. */
static bool lowercase(const vkft_text *text, vkft_text *out, vkft_err *err)
{
    for (size_t i = 0; i < text->length;) {
        size_t n = vkft_utf8_step(text->data + i, text->length - i);
        uint32_t point = vkft_utf8_decode(text->data + i, n);
        char bytes[4];
        size_t m = vkft_utf8_encode((uint32_t)utf8proc_tolower((utf8proc_int32_t)point), bytes);
        if (!(point == 0x130 ? vkft_text_append(out, "i\xcc\x87", 3, err) : vkft_text_append(out, bytes, m, err)))
            return false;
        i += n;
    }
    return true;
}

static bool strip(const vkft_normalizer *step, const vkft_text *text, vkft_text *out, vkft_err *err)
{
    size_t begin = 0, end = 0, i = 0;
    bool seen = false;
    while (i < text->length) {
        size_t n = vkft_utf8_step(text->data + i, text->length - i);
        if (!vkft_utf8_is_space(vkft_utf8_decode(text->data + i, n))) {
            begin = seen ? begin : i;
            seen = true;
            end = i + n;
        }
        i += n;
    }
    begin = !step->left ? 0 : seen ? begin : text->length;
    end = !step->right ? text->length : seen ? end : begin;
    return vkft_text_append(out, text->data + begin, end > begin ? end - begin : 0, err);
}

/* out is empty, and may grow to limit bytes where a step's own text decides how far. */
static bool apply(const vkft_normalizer *step, const vkft_text *text, size_t limit, vkft_text *out, vkft_err *err)
{
    const utf8proc_option_t compose = UTF8PROC_STABLE | UTF8PROC_COMPOSE,
                            decompose = UTF8PROC_STABLE | UTF8PROC_DECOMPOSE;
    switch (step->kind) {
    case VKFT_NORMALIZE_NFC: return map_unicode(text, compose, out, err);
    case VKFT_NORMALIZE_NFD: return map_unicode(text, decompose, out, err);
    case VKFT_NORMALIZE_NFKC: return map_unicode(text, compose | UTF8PROC_COMPAT, out, err);
    case VKFT_NORMALIZE_NFKD: return map_unicode(text, decompose | UTF8PROC_COMPAT, out, err);
    case VKFT_NORMALIZE_LOWERCASE: return lowercase(text, out, err);
    case VKFT_NORMALIZE_REPLACE: return replace_all(step, text, limit, out, err);
    case VKFT_NORMALIZE_PRECOMPILED:
        return vkft_charsmap_apply(&step->charsmap, text->data, text->length, limit, out, err);
    case VKFT_NORMALIZE_STRIP: return strip(step, text, out, err);
    case VKFT_NORMALIZE_PREPEND:
        return (text->length == 0 || vkft_text_append_within(out, limit, step->content, strlen(step->content), err)) &&
               vkft_text_append(out, text->data, text->length, err);
    }
    return true;
}

bool vkft_normalizers_apply(const vkft_normalizers *n, vkft_text *text, vkft_err *err)
{
    size_t limit = vkft_longest_text(text->length);
    for (uint32_t i = 0; i < n->count; i++) {
        vkft_text out = {0};
        if (!vkft_text_append(text, "", 0, err) || !apply(&n->steps[i], text, limit, &out, err) ||
            !vkft_text_append_within(&out, limit, "", 0, err)) {
            vkft_text_free(&out);
            return false;
        }
        vkft_text_free(text);
        *text = out;
    }
    return true;
}
