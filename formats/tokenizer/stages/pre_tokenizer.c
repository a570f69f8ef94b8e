/* Pre-tokenizers: cutting a text into pieces that merges do not cross. */
#include "formats/tokenizer/stages/pre_tokenizer.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "formats/tokenizer/stages/vocab.h"
#include "runtime/base/json.h"
#include "runtime/base/utf8.h"

/* The expression of GPT-2's pre-tokenizer, which ByteLevel applies unless use_regex is false. */
#define GPT2_REGEX "'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+"

/* Which are in a word for Whitespace, whose expressions are those of Rust. */
#define JOINERS "\\x{200c}\\x{200d}"

bool vkft_pieces_push(vkft_piece_list *pieces, size_t begin, size_t end, vkft_err *err)
{
    if (begin >= end)
        return true;
    if (pieces->count == pieces->capacity) {
        uint32_t capacity = pieces->capacity ? 2 * pieces->capacity : 64;
        struct vkft_span *spans = realloc(pieces->spans, capacity * sizeof *spans);
        if (!spans)
            return vkft_fail_memory(err, "while tokenizing");
        pieces->spans = spans;
        pieces->capacity = capacity;
    }
    pieces->spans[pieces->count++] = (struct vkft_span){begin, end};
    return true;
}

void vkft_pieces_free(vkft_piece_list *pieces)
{
    free(pieces->spans);
    *pieces = (vkft_piece_list){0};
}

static bool read_behavior(const cJSON *json, vkft_behavior *behavior, const char *where, vkft_err *err)
{
    static const char *const names[] = {"Removed", "Isolated", "MergedWithPrevious", "MergedWithNext", "Contiguous"};
    const char *name = NULL;
    if (!vkft_json_get_string(json, "behavior", false, &name, where, err))
        return false;
    for (size_t i = 0; name && i < sizeof names / sizeof *names; i++)
        if (strcmp(name, names[i]) == 0) {
            *behavior = (vkft_behavior)i;
            return true;
        }
    return !name || vkft_fail(err, VKFT_ERR_INPUT, "%s: behavior \"%s\" is not known", where, name);
}

static bool read_metaspace(vkft_pre_step *step, const cJSON *json, const char *where, vkft_err *err)
{
    const char *replacement = "\xe2\x96\x81", *scheme = NULL;
    bool add_prefix_space = true;
    step->kind = VKFT_PRE_METASPACE;
    step->split = true;
    if (!vkft_json_get_string(json, "replacement", false, &replacement, where, err) ||
        !vkft_json_get_string(json, "prepend_scheme", false, &scheme, where, err) ||
        !vkft_json_get_bool(json, "add_prefix_space", false, &add_prefix_space, where, err) ||
        !vkft_json_get_bool(json, "split", false, &step->split, where, err))
        return false;
    if (!*replacement || vkft_utf8_length(replacement, strlen(replacement)) != strlen(replacement))
        return vkft_fail(err, VKFT_ERR_INPUT, "%s: replacement \"%.60s\" is not one character", where, replacement);
    step->scheme = scheme ? (strcmp(scheme, "never") == 0   ? VKFT_PREPEND_NEVER
                             : strcmp(scheme, "first") == 0 ? VKFT_PREPEND_FIRST
                                                            : VKFT_PREPEND_ALWAYS)
                          : (add_prefix_space ? VKFT_PREPEND_ALWAYS : VKFT_PREPEND_NEVER);
    step->replacement = strdup(replacement);
    step->pattern.literal = strdup(replacement);
    step->behavior = VKFT_MERGED_WITH_NEXT;
    return (step->replacement && step->pattern.literal) || vkft_fail_memory(err, "for the tokenizer");
}

static bool read_step(vkft_pre_step *step, const cJSON *json, const char *type, const char *where, vkft_err *err)
{
    if (strcmp(type, "Split") == 0) {
        step->kind = VKFT_PRE_SPLIT;
        return vkft_pattern_new(&step->pattern, vkft_json_member(json, "pattern"), where, err) &&
               read_behavior(json, &step->behavior, where, err) &&
               vkft_json_get_bool(json, "invert", false, &step->invert, where, err);
    }
    if (strcmp(type, "ByteLevel") == 0) {
        step->kind = VKFT_PRE_BYTE_LEVEL;
        step->split = step->add_prefix_space = true;
        step->behavior = VKFT_ISOLATED;
        return vkft_json_get_bool(json, "use_regex", false, &step->split, where, err) &&
               vkft_json_get_bool(json, "add_prefix_space", false, &step->add_prefix_space, where, err) &&
               vkft_pattern_regex(&step->pattern, GPT2_REGEX, where, err);
    }
    if (strcmp(type, "Digits") == 0) {
        bool individual = false;
        step->kind = VKFT_PRE_DIGITS;
        if (!vkft_json_get_bool(json, "individual_digits", false, &individual, where, err))
            return false;
        step->behavior = individual ? VKFT_ISOLATED : VKFT_CONTIGUOUS;
        return vkft_pattern_regex(&step->pattern, "\\p{N}", where, err);
    }
    if (strcmp(type, "Metaspace") == 0)
        return read_metaspace(step, json, where, err);
    if (strcmp(type, "Punctuation") == 0) {
        step->kind = VKFT_PRE_PUNCTUATION;
        step->behavior = VKFT_ISOLATED;
        return read_behavior(json, &step->behavior, where, err) &&
               vkft_pattern_regex(&step->pattern, "[\\p{P}$+<=>^`|~]", where, err);
    }
    if (strcmp(type, "Whitespace") == 0 || strcmp(type, "WhitespaceSplit") == 0) {
        bool words = strcmp(type, "Whitespace") == 0;
        step->kind = VKFT_PRE_WHITESPACE_SPLIT;
        step->behavior = VKFT_REMOVED;
        step->invert = words;
        return vkft_pattern_regex(&step->pattern, words ? "[\\w" JOINERS "]+|[^\\w\\s" JOINERS "]+" : "\\s", where,
                                  err);
    }
    return vkft_fail(err, VKFT_ERR_INPUT,
                     "%s: \"%s\" is not supported; supported are ByteLevel, Split, Digits, Metaspace, Punctuation, "
                     "Whitespace, WhitespaceSplit and Sequence",
                     where, type);
}

bool vkft_pre_tokenizer_new(vkft_pre_tokenizer *p, const cJSON *json, const char *file, vkft_err *err)
{
    char where[600];
    const char *type;
    if (!json || cJSON_IsNull(json))
        return true;
    snprintf(where, sizeof where, "%.500s: pre_tokenizer", file);
    if (!vkft_json_get_string(json, "type", true, &type, where, err))
        return false;
    if (strcmp(type, "Sequence") == 0) {
        const cJSON *part, *parts;
        if (!vkft_json_get_array(json, "pretokenizers", true, &parts, where, err))
            return false;
        cJSON_ArrayForEach(part, parts) if (!vkft_pre_tokenizer_new(p, part, file, err)) return false;
        return true;
    }
    if (p->count == VKFT_MAX_STEPS)
        return vkft_fail(err, VKFT_ERR_INPUT, "%s: more than %d steps", where, VKFT_MAX_STEPS);
    vkft_pre_step *steps = realloc(p->steps, (p->count + 1) * sizeof *steps);
    if (!steps)
        return vkft_fail_memory(err, "for the tokenizer");
    p->steps = steps;
    steps[p->count] = (vkft_pre_step){0};
    return read_step(&steps[p->count++], json, type, where, err);
}

void vkft_pre_tokenizer_free(vkft_pre_tokenizer *p)
{
    for (uint32_t i = 0; i < p->count; i++) {
        vkft_pattern_free(&p->steps[i].pattern);
        free(p->steps[i].replacement);
    }
    free(p->steps);
    *p = (vkft_pre_tokenizer){0};
}

/* A stretch of text between or in matches. */
typedef struct stretch {
    size_t begin, end;
    bool match;
} stretch;

typedef struct joiner {
    vkft_piece_list *pieces;
    vkft_behavior behavior;
    bool holding;
    stretch held; /* not yet pushed */
    vkft_err *err;
} joiner;

static bool flush(joiner *j)
{
    bool ok = !j->holding || vkft_pieces_push(j->pieces, j->held.begin, j->held.end, j->err);
    j->holding = false;
    return ok;
}

/* Takes the next stretch, joining it with the one before as the behavior says. An empty match separates, too. */
static bool take(joiner *j, stretch s)
{
    bool join = false;
    switch (j->behavior) {
    case VKFT_REMOVED: return s.match || vkft_pieces_push(j->pieces, s.begin, s.end, j->err);
    case VKFT_ISOLATED: return vkft_pieces_push(j->pieces, s.begin, s.end, j->err);
    case VKFT_CONTIGUOUS: join = j->holding && s.match == j->held.match; break;
    case VKFT_MERGED_WITH_PREVIOUS: join = j->holding && s.match && !j->held.match; break;
    case VKFT_MERGED_WITH_NEXT: join = j->holding && !s.match && j->held.match; break;
    }
    if (join) {
        j->held.end = s.end;
        j->held.match = s.match;
        return true;
    }
    if (!flush(j))
        return false;
    j->held = s;
    j->holding = true;
    return true;
}

static bool split_piece(const vkft_pre_step *step, const char *text, struct vkft_span span, vkft_piece_list *out,
                        vkft_err *err)
{
    joiner j = {.pieces = out, .behavior = step->behavior, .err = err};
    const char *piece = text + span.begin;
    size_t length = span.end - span.begin, at = 0;
    vkft_match m = {0};
    do {
        if (!vkft_pattern_next(&step->pattern, piece, length, &m, err) ||
            (at < m.begin && !take(&j, (stretch){span.begin + at, span.begin + m.begin, step->invert})) ||
            (m.found && !take(&j, (stretch){span.begin + m.begin, span.begin + m.end, !step->invert})))
            return false;
        at = m.end;
    } while (m.found);
    return flush(&j);
}

static bool split_all(const vkft_pre_step *step, const char *text, vkft_piece_list *pieces, vkft_err *err)
{
    vkft_piece_list out = {0};
    bool ok = true;
    for (uint32_t i = 0; ok && i < pieces->count; i++)
        ok = split_piece(step, text, pieces->spans[i], &out, err);
    vkft_pieces_free(pieces);
    *pieces = out;
    return ok;
}

/* Rewrites each piece into a new text; the spans follow. */
static bool rewrite_all(const vkft_pre_step *step, vkft_text *text, vkft_piece_list *pieces, bool at_start,
                        bool (*rewrite)(const vkft_pre_step *, const char *, size_t, bool, vkft_text *, vkft_err *),
                        vkft_err *err)
{
    vkft_text out = {0};
    for (uint32_t i = 0; i < pieces->count; i++) {
        struct vkft_span *span = &pieces->spans[i];
        size_t begin = out.length;
        if (!rewrite(step, text->data + span->begin, span->end - span->begin, at_start && span->begin == 0, &out,
                     err)) {
            vkft_text_free(&out);
            return false;
        }
        *span = (struct vkft_span){begin, out.length};
    }
    vkft_text_free(text);
    *text = out;
    return vkft_text_append(text, "", 0, err);
}

static bool add_prefix_space(const vkft_pre_step *step, const char *piece, size_t length, bool first, vkft_text *out,
                             vkft_err *err)
{
    (void)step, (void)first;
    return (length == 0 || piece[0] == ' ' || vkft_text_append(out, " ", 1, err)) &&
           vkft_text_append(out, piece, length, err);
}

static bool to_byte_alphabet(const vkft_pre_step *step, const char *piece, size_t length, bool first, vkft_text *out,
                             vkft_err *err)
{
    (void)step, (void)first;
    for (size_t i = 0; i < length; i++) {
        char bytes[4];
        size_t n = vkft_utf8_encode(vkft_byte_to_point((unsigned char)piece[i]), bytes);
        if (!vkft_text_append(out, bytes, n, err))
            return false;
    }
    return true;
}

static bool to_metaspace(const vkft_pre_step *step, const char *piece, size_t length, bool first, vkft_text *out,
                         vkft_err *err)
{
    size_t n = strlen(step->replacement);
    bool marked = length && (piece[0] == ' ' || (length >= n && memcmp(piece, step->replacement, n) == 0));
    bool prepend = step->scheme == VKFT_PREPEND_ALWAYS || (step->scheme == VKFT_PREPEND_FIRST && first);
    if (prepend && !marked && !vkft_text_append(out, step->replacement, n, err))
        return false;
    for (size_t i = 0; i < length; i++)
        if (!(piece[i] == ' ' ? vkft_text_append(out, step->replacement, n, err)
                              : vkft_text_append(out, piece + i, 1, err)))
            return false;
    return true;
}

static bool apply(const vkft_pre_step *step, vkft_text *text, bool at_start, vkft_piece_list *pieces, vkft_err *err)
{
    switch (step->kind) {
    case VKFT_PRE_BYTE_LEVEL:
        return (!step->add_prefix_space || rewrite_all(step, text, pieces, at_start, add_prefix_space, err)) &&
               (!step->split || split_all(step, text->data, pieces, err)) &&
               rewrite_all(step, text, pieces, at_start, to_byte_alphabet, err);
    case VKFT_PRE_METASPACE:
        return rewrite_all(step, text, pieces, at_start, to_metaspace, err) &&
               (!step->split || split_all(step, text->data, pieces, err));
    default: return split_all(step, text->data, pieces, err);
    }
}

bool vkft_pre_tokenizer_apply(const vkft_pre_tokenizer *p, vkft_text *text, bool at_start, vkft_piece_list *pieces,
                              vkft_err *err)
{
    size_t limit = vkft_longest_text(text->length);
    pieces->count = 0;
    if (!vkft_pieces_push(pieces, 0, text->length, err))
        return false;
    for (uint32_t i = 0; i < p->count; i++) {
        if (!apply(&p->steps[i], text, at_start, pieces, err))
            return false;
        if (text->length > limit) /* one step writes at most four bytes for one */
            return vkft_fail(err, VKFT_ERR_INPUT, "pre_tokenizer: a text grows beyond %zu bytes", limit);
    }
    return true;
}
