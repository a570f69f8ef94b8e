/* Files of a split. See files.h. */
#include "formats/dataset/files/files.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "formats/dataset/files/card.h"
#include "formats/dataset/files/pattern.h"
#include "runtime/base/directory.h"
#include "runtime/base/file.h"
#include "runtime/base/text.h"

enum { MAX_FILES = 100000, MAX_DEPTH = 8 };

/* In the order in which they are preferred. */
static const char *const endings[] = {".jsonl", ".json", ".csv", ".tsv", ".txt", ".parquet"};
static const char *const compressed[] = {"", ".gz", ".zst"};
enum { ENDINGS = sizeof endings / sizeof *endings, COMPRESSED = sizeof compressed / sizeof *compressed };

/* The names of the usual splits, in names of files. */
static const char *const names[][6] = {
    {"train", "training"},
    {"valid", "validation", "val", "dev"},
    {"test", "testing", "eval", "evaluation"},
};
enum { SPLITS = sizeof names / sizeof *names };

typedef struct finder {
    const vkft_data_request *request;
    vkft_data_files all; /* in the directory, as paths in it, in the order of the alphabet */
    vkft_data_files *found;
    vkft_err *err;
} finder;

static bool add_path(vkft_data_files *list, const char *text, vkft_err *err)
{
    char *copy = vkft_string_copy(text);
    char **grown = copy ? realloc(list->paths, (list->count + 1ull) * sizeof *grown) : NULL;
    if (!grown) {
        free(copy);
        return vkft_fail_memory(err, "while looking for the data");
    }
    list->paths = grown;
    list->paths[list->count++] = copy;
    return true;
}

void vkft_data_files_free(vkft_data_files *files)
{
    for (uint32_t i = 0; i < files->count; i++)
        free(files->paths[i]);
    free(files->paths);
    *files = (vkft_data_files){0};
}

/* --- names -------------------------------------------------------------------------------------------------------- */

/* Which ending a data file has, and how long it is with that of its compression; ENDINGS: it is none. */
static int ending_of(const char *name, size_t *length)
{
    for (int e = 0; e < ENDINGS; e++)
        for (int c = 0; c < COMPRESSED; c++) {
            char whole[24];
            *length = (size_t)snprintf(whole, sizeof whole, "%s%s", endings[e], compressed[c]);
            if (vkft_string_ends_with(name, whole))
                return e;
        }
    *length = 0;
    return ENDINGS;
}

/* What other programs keep beside data. */
static bool is_about_data(const char *base)
{
    static const char *const known[] = {"dataset_infos.json", "dataset_info.json", "dataset_dict.json", "state.json",
                                        "metadata.json",      "config.json",       "requirements.txt",  "LICENSE.txt"};
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        if (strcmp(base, known[i]) == 0)
            return true;
    return false;
}

/* Which usual split has this name; SPLITS: none. */
static int usual_split(const char *name, size_t length)
{
    for (int s = 0; s < SPLITS; s++)
        for (int i = 0; i < 6 && names[s][i]; i++)
            if (strlen(names[s][i]) == length && strncmp(names[s][i], name, length) == 0)
                return s;
    return SPLITS;
}

/* Whether two names are of the same split. */
static bool is_split(const finder *f, const char *name, size_t length)
{
    const char *split = f->request->split;
    if (strlen(split) == length && strncmp(split, name, length) == 0)
        return true;
    int usual = usual_split(name, length);
    return !f->request->named && usual < SPLITS && usual == usual_split(split, strlen(split));
}

static bool are_digits(const char *text, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (!isdigit((unsigned char)text[i]))
            return false;
    return true;
}

/* "train_sft" of "train_sft-00000-of-00003": how long it is; 0: the name is no part of several. */
static size_t before_shard(const char *base, size_t length)
{
    static const size_t part = sizeof "-00000-of-00000" - 1;
    const char *tail = base + length - part;
    if (length <= part || tail[0] != '-' || strncmp(tail + 6, "-of-", 4) != 0)
        return 0;
    return are_digits(tail + 1, 5) && are_digits(tail + 10, 5) ? length - part : 0;
}

/* The first word in a text that names a usual split. */
static bool split_word(const char *text, size_t length, const char **word, size_t *word_length)
{
    for (size_t i = 0, n; i < length; i += n + 1) {
        for (n = 0; i + n < length && isalpha((unsigned char)text[i + n]);)
            n++;
        if (n && usual_split(text + i, n) < SPLITS) {
            *word = text + i;
            *word_length = n;
            return true;
        }
    }
    return false;
}

/* The split that a path names; false: none. */
static bool split_of(const char *path, const char **split, size_t *length)
{
    const char *base = vkft_path_base(path);
    size_t ending, all = strlen(base);
    ending_of(base, &ending);
    if ((*length = before_shard(base, all - ending)) > 0) {
        *split = base;
        return true;
    }
    return split_word(base, all - ending, split, length) || split_word(path, (size_t)(base - path), split, length);
}

/* --- the files of a directory ------------------------------------------------------------------------------------- */

/* Whether a part of the path is the name of a file or directory that is left out. */
static bool is_hidden(const char *path)
{
    for (const char *part = path; part; part = strchr(part, '/') ? strchr(part, '/') + 1 : NULL)
        if (part[0] == '.' || strncmp(part, "__", 2) == 0)
            return true;
    return false;
}

typedef struct walk {
    finder *f;
    const char *root, *below; /* what is listed: a directory in the root, "" for itself */
    uint32_t depth;
} walk;

static bool walk_into(const walk *w);

static bool take_entry(void *context, const char *name)
{
    const walk *w = context;
    finder *f = w->f;
    if (is_hidden(name))
        return true;
    char *path = *w->below ? vkft_path_join(w->below, name) : vkft_string_copy(name);
    char *whole = path ? vkft_path_join(w->root, path) : NULL;
    bool directory = false, ok = whole ? vkft_directory_find(whole, &directory, f->err)
                                       : vkft_fail_memory(f->err, "while looking for the data");
    if (ok && directory)
        ok = w->depth == MAX_DEPTH || walk_into(&(walk){f, w->root, path, w->depth + 1});
    else if (ok)
        ok = f->all.count < MAX_FILES
                 ? add_path(&f->all, path, f->err)
                 : vkft_fail(f->err, VKFT_ERR_INPUT, "%s: more than %d files in this directory", w->root, MAX_FILES);
    free(path);
    free(whole);
    return ok;
}

static bool walk_into(const walk *w)
{
    char *path = *w->below ? vkft_path_join(w->root, w->below) : vkft_string_copy(w->root);
    bool ok = path ? vkft_directory_list(path, take_entry, (void *)(uintptr_t)w, w->f->err)
                   : vkft_fail_memory(w->f->err, "while looking for the data");
    free(path);
    return ok;
}

static bool take_listed(finder *f)
{
    for (uint32_t i = 0; i < f->request->listed_count; i++)
        if (!is_hidden(f->request->listed[i]) && !add_path(&f->all, f->request->listed[i], f->err))
            return false;
    return true;
}

static bool list_files(finder *f, const char *root)
{
    if (!(f->request->listed_count ? take_listed(f) : walk_into(&(walk){f, root, "", 0})))
        return false;
    if (f->all.count)
        qsort(f->all.paths, f->all.count, sizeof *f->all.paths, vkft_string_compare);
    return true;
}

/* Adds a file of the directory, once. */
static bool take_file(const finder *f, const char *root, const char *path)
{
    char *whole = vkft_path_join(root, path);
    if (!whole)
        return vkft_fail_memory(f->err, "while looking for the data");
    bool known = false;
    for (uint32_t i = 0; !known && i < f->found->count; i++)
        known = strcmp(f->found->paths[i], whole) == 0;
    bool ok = known || add_path(f->found, whole, f->err);
    free(whole);
    return ok;
}

/* --- the ways to find a split ------------------------------------------------------------------------------------- */

/* A list of the splits for errors. */
static void add_name(char text[400], const char *name, size_t length)
{
    size_t at = strlen(text);
    char whole[100];
    length = length < 60 ? length : 60;
    snprintf(whole, sizeof whole, "%.*s", (int)length, name);
    for (const char *p = text; (p = strstr(p, whole)) != NULL; p++)
        if ((p == text || p[-1] == ' ') && (p[length] == 0 || p[length] == ','))
            return;
    if (at + length + 3 < 400)
        snprintf(text + at, 400 - at, "%s%s", at ? ", " : "", whole);
}

static bool fail_without_split(const finder *f, const char *splits)
{
    return vkft_fail(f->err, VKFT_ERR_INPUT,
                     "%s: no split '%.60s' in this directory; it has %s: name one with --dataset-split",
                     f->request->data, f->request->split, *splits ? splits : "none");
}

/* By the configuration that README.md has for it. */
static bool take_configured(const finder *f, const vkft_dataset_card *r)
{
    char splits[400] = "";
    bool any = false;
    for (uint32_t s = 0; s < r->count; s++) {
        const char *name = r->files[s].split;
        if (*name)
            add_name(splits, name, strlen(name));
        for (uint32_t i = 0; i < f->all.count; i++) {
            const char *path = f->all.paths[i], *own = name;
            size_t length = strlen(name);
            if (!vkft_path_matches(r->files[s].pattern, path) ||
                (!*name && (strcmp(path, "README.md") == 0 || !split_of(path, &own, &length))))
                continue;
            any = true;
            if (!*name)
                add_name(splits, own, length);
            if (is_split(f, own, length) && !take_file(f, f->request->data, path))
                return false;
        }
    }
    if (!any)
        return vkft_fail(f->err, VKFT_ERR_INPUT,
                         "%s: none of the files that its README.md names for %s is there; download the data files, too",
                         f->request->data, *splits ? splits : "this configuration");
    return f->found->count || !(f->request->named || strcmp(f->request->split, "train") == 0) ||
           fail_without_split(f, splits);
}

/* A file of the split's name in the directory itself; the first one in the order of names and endings. */
static bool take_named(const finder *f)
{
    const char *split = f->request->split;
    int usual = f->request->named ? SPLITS : usual_split(split, strlen(split));
    for (int n = 0; n < 6 && (n == 0 || (usual < SPLITS && names[usual][n])); n++)
        for (int e = 0; e < ENDINGS; e++)
            for (int c = 0; c < COMPRESSED; c++)
                for (uint32_t i = 0; i < f->all.count; i++) {
                    char name[120];
                    snprintf(name, sizeof name, "%.80s%s%s", usual < SPLITS ? names[usual][n] : split, endings[e],
                             compressed[c]);
                    if (strcmp(f->all.paths[i], name) == 0)
                        return take_file(f, f->request->data, name);
                }
    return true;
}

static bool fail_without_data(const finder *f)
{
    for (uint32_t i = 0; i < f->all.count; i++)
        if (vkft_string_ends_with(f->all.paths[i], ".arrow"))
            return vkft_fail(f->err, VKFT_ERR_INPUT,
                             "%s: %s is an Arrow file, which is not supported; write it as JSON lines, with datasets: "
                             "Dataset.from_file(FILE).to_json('train.jsonl')",
                             f->request->data, f->all.paths[i]);
    return vkft_fail(f->err, VKFT_ERR_INPUT,
                     "%s: no train.jsonl, .json, .csv, .tsv, .txt or .parquet in this directory, nor others of these",
                     f->request->data);
}

/* By the names of files and of the directories that they are in. */
static bool take_by_names(const finder *f)
{
    char splits[400] = "";
    const bool train = strcmp(f->request->split, "train") == 0;
    const char *split;
    size_t length, ending;
    int kinds[ENDINGS + 1] = {0}, different = 0;
    for (uint32_t i = 0; i < f->all.count; i++) {
        const char *path = f->all.paths[i];
        int kind = is_about_data(vkft_path_base(path)) ? ENDINGS : ending_of(path, &ending);
        different += kind < ENDINGS && kinds[kind]++ == 0;
        if (kind == ENDINGS || !split_of(path, &split, &length))
            continue;
        add_name(splits, split, length);
        if (is_split(f, split, length) && !take_file(f, f->request->data, path))
            return false;
    }
    if (f->found->count || (!train && !f->request->named))
        return true;
    if (*splits || f->request->named)
        return fail_without_split(f, splits);
    if (different == 0)
        return fail_without_data(f);
    if (different > 1)
        return vkft_fail(f->err, VKFT_ERR_INPUT,
                         "%s: files of several kinds, and no name says which are for training; name them: "
                         "--data '%s/*.jsonl'",
                         f->request->data, f->request->data);
    for (uint32_t i = 0; i < f->all.count; i++) /* nothing says a split: all are for training */
        if (!is_about_data(vkft_path_base(f->all.paths[i])) && ending_of(f->all.paths[i], &ending) < ENDINGS &&
            !take_file(f, f->request->data, f->all.paths[i]))
            return false;
    return true;
}

static bool find_in_directory(finder *f)
{
    vkft_dataset_card r;
    if (!vkft_dataset_card_read(f->request->data, f->request->config, &r, f->err))
        return false;
    bool ok = list_files(f, f->request->data);
    if (ok && r.has_configs)
        ok = take_configured(f, &r);
    else if (ok)
        ok = take_named(f) && (f->found->count || take_by_names(f));
    vkft_dataset_card_free(&r);
    return ok;
}

/* All files that match; the directory before the first part with a pattern is listed. */
static bool find_by_pattern(finder *f)
{
    const char *data = f->request->data;
    size_t root = 0;
    for (size_t i = 0; data[i] && !strchr("*?[", data[i]); i++)
        if (data[i] == '/')
            root = i + 1;
    char *directory = root ? vkft_string_copy(data) : vkft_string_copy(".");
    if (!directory)
        return vkft_fail_memory(f->err, "while looking for the data");
    if (root)
        directory[root] = 0;
    bool ok = list_files(f, directory);
    for (uint32_t i = 0; ok && i < f->all.count; i++)
        if (vkft_path_matches(data + root, f->all.paths[i]))
            ok = take_file(f, directory, f->all.paths[i]);
    if (ok && f->found->count == 0)
        ok = vkft_fail(f->err, VKFT_ERR_INPUT, "%s: no file matches this", data);
    free(directory);
    return ok;
}

bool vkft_data_files_find(const vkft_data_request *request, vkft_data_files *files, vkft_err *err)
{
    finder f = {.request = request, .found = files, .err = err};
    bool directory = false, file = false, train = strcmp(request->split, "train") == 0;
    *files = (vkft_data_files){0};
    if (!vkft_directory_find(request->data, &directory, err) ||
        (!directory && !vkft_file_find(request->data, &file, err)))
        return false;
    bool ok;
    if (directory)
        ok = find_in_directory(&f);
    else if (request->config || request->named)
        ok = vkft_fail(err, VKFT_ERR_INPUT,
                       "%s: no directory; configurations and splits are those of a dataset's directory", request->data);
    else if (!train)
        ok = true;
    else if (!file && vkft_path_is_pattern(request->data))
        ok = find_by_pattern(&f);
    else
        ok = add_path(files, request->data, err);
    vkft_data_files_free(&f.all);
    if (!ok)
        vkft_data_files_free(files);
    return ok;
}
