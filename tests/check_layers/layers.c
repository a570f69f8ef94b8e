/* The rules, in the order of the functions below:
 *
 *   include: written from the top of the tree; the arrow between the two rooms is in the table; NAME_private.h only
 * from its folder circle: no file includes itself through others; X.c and X_private.h count as part of X.h size: at
 * most 800 lines a file; at most 20 source files a folder, except where there is one file per architecture pointer:
 * "Test: NAME" names a test program, and a path that starts with tests/ exists word: none of those that a newcomer
 * stumbles over
 *
 * A real parser is not needed: an include is a line that starts with # include and a quote. */
#include "tests/check_layers/layers.h"

#include <dirent.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

enum { MAX_LINES = 800, MAX_FILES = 20, PATH = 512 };

static const char *const tops[] = {"runtime", "formats", "shaders", "host", "tests", "tools", "docs"};
static const char *const crowded[] = {"formats/config/arch"}; /* folders without a limit */
static const char *const generated[] = {"kernel_code.inc", "commit.h",
                                        "storage_type.glsl"}; /* included, but made by the build */
static const char *const sources[] = {".c", ".h", ".def", ".comp", ".glsl"};
static const char *const texts[] = {".md", ".py", ".cmake", ".txt"}; /* only their pointers are checked */

typedef struct include {
    size_t file, target; /* numbers of files */
    int line;
} include;

typedef struct tree {
    const char *root;
    const check_room *rooms;
    const check_exception *exceptions;
    bool excused[64];
    char **files;
    size_t file_count;
    include *includes;
    size_t include_count;
    char *report;
    size_t length;
} tree;

static void *grow(void *array, size_t count, size_t size)
{
    void *larger = (count & (count - 1)) ? array : realloc(array, (count ? 2 * count : 1) * size);
    if (!larger)
        abort();
    return larger;
}

static bool excused(tree *t, const char *from, const char *to)
{
    for (size_t i = 0; t->exceptions[i].from; i++) {
        const check_exception *e = &t->exceptions[i];
        if (strcmp(e->from, from) == 0 && (to ? e->to && strcmp(e->to, to) == 0 : !e->to))
            return t->excused[i] = true;
    }
    return false;
}

static void __attribute__((format(printf, 3, 4))) report(tree *t, const char *file, const char *format, ...)
{
    char line[2048];
    va_list list;
    va_start(list, format);
    int head = snprintf(line, sizeof line, "%s:", file);
    vsnprintf(line + head, sizeof line - (size_t)head - 1, format, list);
    va_end(list);
    strcat(line, "\n");
    t->report = realloc(t->report, t->length + strlen(line) + 1);
    if (!t->report)
        abort();
    strcpy(t->report + t->length, line);
    t->length += strlen(line);
}

static bool ends_with(const char *text, const char *end)
{
    size_t n = strlen(text), m = strlen(end);
    return n >= m && strcmp(text + n - m, end) == 0;
}

static bool has_extension(const char *path, const char *const *extensions, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (ends_with(path, extensions[i]))
            return true;
    return false;
}

static bool is_source(const char *path)
{
    return has_extension(path, sources, sizeof sources / sizeof *sources);
}

static bool is_code(const char *path) /* a table, .def, does not count among the files of a folder */
{
    return is_source(path) && !ends_with(path, ".def");
}

/* Whether path lies in the room or folder `place`, or is the module of that name. */
static bool inside(const char *path, const char *place, size_t length)
{
    return strncmp(path, place, length) == 0 && (path[length] == '/' || path[length] == '.' || path[length] == 0);
}

static size_t folder_length(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash ? (size_t)(slash - path) : 0;
}

static bool same_folder(const char *a, const char *b)
{
    return folder_length(a) == folder_length(b) && strncmp(a, b, folder_length(a)) == 0;
}

/* --- the files -------------------------------------------------------------------------------------------------------
 */

static void list(tree *t, const char *path)
{
    char full[2 * PATH];
    snprintf(full, sizeof full, "%s/%s", t->root, path);
    struct stat status;
    if (stat(full, &status) != 0)
        return;
    if (S_ISREG(status.st_mode)) {
        bool wanted = is_source(path) || has_extension(path, texts, sizeof texts / sizeof *texts) ||
                      (strncmp(path, "tools/", 6) == 0 && !strchr(path + 6, '/') && !strchr(path, '.'));
        if (!wanted || strncmp(path, "tests/data/", 11) == 0 || strncmp(path, "tests/fuzz/corpus/", 18) == 0)
            return;
        t->files = grow(t->files, t->file_count, sizeof *t->files);
        t->files[t->file_count++] = strdup(path);
        return;
    }
    struct dirent *entry;
    DIR *dir = opendir(full);
    while (dir && (entry = readdir(dir))) {
        char below[PATH];
        if (entry->d_name[0] != '.' && snprintf(below, sizeof below, "%s/%s", path, entry->d_name) < PATH)
            list(t, below);
    }
    if (dir)
        closedir(dir);
}

static int by_name(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static bool exists(const tree *t, const char *path)
{
    char full[2 * PATH];
    struct stat status;
    snprintf(full, sizeof full, "%s/%s", t->root, path);
    return stat(full, &status) == 0;
}

static size_t find(const tree *t, const char *path)
{
    char **found = bsearch(&path, t->files, t->file_count, sizeof *t->files, by_name);
    return found ? (size_t)(found - t->files) : t->file_count;
}

/* --- includes --------------------------------------------------------------------------------------------------------
 */

static const check_room *room_of(const tree *t, const char *path)
{
    const check_room *best = NULL;
    for (const check_room *room = t->rooms; room->path; room++)
        if (inside(path, room->path, strlen(room->path)) && (!best || strlen(room->path) > strlen(best->path)))
            best = room;
    return best;
}

static bool allowed(const tree *t, const char *from, const char *to)
{
    const check_room *room = room_of(t, from);
    if (room == room_of(t, to))
        return true;
    for (const char *place = room->may_include; *place;) {
        size_t length = strcspn(place, " ");
        if (inside(to, place, length))
            return true;
        place += length + strspn(place + length, " ");
    }
    return false;
}

static void check_include(tree *t, size_t file, int line, const char *target)
{
    const char *from = t->files[file];
    size_t to = find(t, target);
    if (to == t->file_count) {
        bool made = false;
        for (size_t i = 0; i < sizeof generated / sizeof *generated; i++)
            made |= strcmp(target, generated[i]) == 0;
        if (!made && !excused(t, from, target))
            report(t, from, "%d: \"%s\" is not written from the top of the tree", line, target);
        return;
    }
    if (!room_of(t, from) || !room_of(t, target))
        return; /* reported by check_size */
    if (!allowed(t, from, target) && !excused(t, from, target))
        report(t, from, "%d: %s may not include %s", line, room_of(t, from)->path, target);
    if (strstr(target, "_private.h") && !same_folder(from, target) && !excused(t, from, target))
        report(t, from, "%d: %s is private to its folder", line, target);
    t->includes = grow(t->includes, t->include_count, sizeof *t->includes);
    t->includes[t->include_count++] = (include){file, to, line};
}

/* --- circles ---------------------------------------------------------------------------------------------------------
 */

/* The length of a path without what says which part of its module it is: X.c, X.h and X_private.h are one. */
static size_t stem_length(const char *path)
{
    size_t length = folder_length(path) + strcspn(path + folder_length(path), ".");
    static const char end[] = "_private";
    size_t cut = strlen(end);
    return length > cut && strncmp(path + length - cut, end, cut) == 0 ? length - cut : length;
}

static size_t module_of(const tree *t, size_t file)
{
    size_t length = stem_length(t->files[file]);
    for (size_t i = 0; i < file; i++)
        if (stem_length(t->files[i]) == length && strncmp(t->files[i], t->files[file], length) == 0)
            return i;
    return file;
}

static bool is_known(const tree *t, const include *edge)
{
    for (const check_exception *e = t->exceptions; e->from; e++)
        if (e->to && strcmp(e->from, t->files[edge->file]) == 0 && strcmp(e->to, t->files[edge->target]) == 0)
            return true;
    return false;
}

/* Depth first from a module. The stack holds the include that led to each module; with `goal` all includes are
 * followed, and the result says whether it was met; without, the known ones are not, and circles are reported. */
static bool walk(tree *t, const size_t *module, char *state, size_t node, const include **stack, size_t depth,
                 const size_t *goal)
{
    if (goal && node == *goal)
        return true;
    state[node] = 1;
    for (size_t i = 0; i < t->include_count; i++) {
        const include *edge = &t->includes[i];
        size_t next = module[edge->target];
        if (module[edge->file] != node || next == node || state[next] == 2 || (!goal && is_known(t, edge)))
            continue;
        stack[depth] = edge;
        if (state[next] == 0) {
            if (walk(t, module, state, next, stack, depth + 1, goal))
                return true;
            continue;
        }
        if (goal)
            continue;
        char circle[1024] = "";
        size_t start = depth;
        while (start > 0 && module[stack[start]->file] != next)
            start--;
        for (size_t s = start; s <= depth; s++)
            snprintf(circle + strlen(circle), sizeof circle - strlen(circle), " -> %s", t->files[stack[s]->target]);
        report(t, t->files[edge->file], "%d: closes a circle: %s%s", edge->line, t->files[stack[start]->file], circle);
    }
    state[node] = 2;
    return false;
}

static void check_circles(tree *t)
{
    size_t *module = calloc(t->file_count + 1, sizeof *module);
    char *state = calloc(t->file_count + 1, 1);
    const include **stack = calloc(t->file_count + 1, sizeof *stack);
    for (size_t i = 0; i < t->file_count; i++)
        module[i] = module_of(t, i);
    for (size_t i = 0; i < t->file_count; i++)
        if (module[i] == i && state[i] == 0)
            walk(t, module, state, i, stack, 0, NULL);
    for (size_t i = 0; i < t->include_count; i++) { /* a known include is still one when it closes a circle */
        const include *edge = &t->includes[i];
        memset(state, 0, t->file_count);
        if (is_known(t, edge) && walk(t, module, state, module[edge->target], stack, 0, &module[edge->file]))
            excused(t, t->files[edge->file], t->files[edge->target]);
    }
    free(module);
    free(state);
    free(stack);
}

/* --- sizes and pointers ----------------------------------------------------------------------------------------------
 */

static void check_folders(tree *t)
{
    for (size_t i = 0; i < t->file_count; i++) {
        const char *path = t->files[i];
        if (!is_code(path))
            continue;
        size_t length = folder_length(path), count = 0;
        bool first = true;
        for (size_t k = 0; k < t->file_count; k++)
            if (is_code(t->files[k]) && same_folder(t->files[k], path)) {
                count++;
                first = first && k >= i;
            }
        if (!first)
            continue;
        char folder[PATH];
        snprintf(folder, sizeof folder, "%.*s", (int)length, path);
        if (!room_of(t, path))
            report(t, folder, "1: the table of rooms has no row for this folder");
        bool free_of_limit = false;
        for (size_t k = 0; k < sizeof crowded / sizeof *crowded; k++)
            free_of_limit |= strcmp(folder, crowded[k]) == 0;
        if (count > MAX_FILES && !free_of_limit && !excused(t, folder, NULL))
            report(t, folder, "1: %zu source files, more than %d", count, MAX_FILES);
    }
}

static bool test_exists(const tree *t, const char *name, size_t length)
{
    char file[PATH];
    snprintf(file, sizeof file, "/%.*s.c", (int)length, name);
    for (size_t i = 0; i < t->file_count; i++)
        if (strncmp(t->files[i], "tests/", 6) == 0 && ends_with(t->files[i], file))
            return true;
    return false;
}

static bool is_path(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || (c != 0 && strchr("_-./", c));
}

static void check_pointers(tree *t, const char *file, int line, const char *text)
{
    static const char label[] = "Test: ";
    const char *at = strstr(text, label);
    for (at = at ? at + strlen(label) : NULL; at && strncmp(at, "test_", 5) == 0;) {
        size_t length = strspn(at, "abcdefghijklmnopqrstuvwxyz0123456789_");
        if (!test_exists(t, at, length))
            report(t, file, "%d: there is no test %.*s", line, (int)length, at);
        at = strncmp(at + length, ", ", 2) == 0 ? at + length + 2 : NULL;
    }
    for (at = text; (at = strstr(at, "tests/"));) {
        const char *start = at;
        char path[PATH];
        while (is_path(*at))
            at++;
        snprintf(path, sizeof path, "%.*s", (int)(at - start), start);
        while (strlen(path) > 6 && strchr("./-", path[strlen(path) - 1]))
            path[strlen(path) - 1] = 0;
        bool whole = (start == text || (!is_path(start[-1]) && start[-1] != '}')) && (*at == 0 || !strchr("$*{<", *at));
        if (whole && !exists(t, path))
            report(t, file, "%d: %s does not exist", line, path);
    }
}

/* Calls such as fopen(: on Windows they take paths in the code page of the user, in which a UTF-8 path names another
 * file. */
static void check_system(tree *t, const char *file, int line, const char *text)
{
    static const char *const calls[] = {"fopen(",  "opendir(", "remove(", "rename(",
                                        "unlink(", "mkdir(",   "mmap(",   "system("};
    if (strncmp(file, "runtime/base/os/", 16) == 0 || strncmp(file, "tests/", 6) == 0 ||
        strncmp(file, "tools/", 6) == 0)
        return;
    for (size_t i = 0; i < sizeof calls / sizeof *calls; i++)
        for (const char *at = text; (at = strstr(at, calls[i])); at++)
            if (at == text || strchr(" (!&|=,;\t", at[-1]))
                report(t, file, "%d: %.*s is called outside runtime/base/os", line, (int)strlen(calls[i]) - 1, at);
}

/* A word of the list as a whole word, in small letters. */
static const char *unclear_word(const char *text)
{
    static const char *const words[] = {"behind", "at the most", "at the least", "otherwise when"};
    for (size_t i = 0; i < sizeof words / sizeof *words; i++)
        for (const char *at = text; (at = strstr(at, words[i])); at++) {
            char after = at[strlen(words[i])];
            if ((at == text || !is_path(at[-1])) && !((after >= 'a' && after <= 'z') || after == '_'))
                return words[i];
        }
    return NULL;
}

static void check_file(tree *t, size_t file)
{
    char full[2 * PATH], line[4096], target[PATH];
    const char *path = t->files[file];
    snprintf(full, sizeof full, "%s/%s", t->root, path);
    FILE *in = fopen(full, "r");
    if (!in) {
        report(t, path, "1: cannot be read");
        return;
    }
    int number = 0;
    while (fgets(line, sizeof line, in)) {
        number++;
        if (ends_with(path, ".c") || ends_with(path, ".h"))
            check_system(t, path, number, line);
        if (is_source(path) && sscanf(line, " # include \"%500[^\"]\"", target) == 1)
            check_include(t, file, number, target);
        else if (strncmp(path, "tests/check_layers/", 19) != 0) { /* its trees are made up */
            check_pointers(t, path, number, line);
            if (strcmp(path, "docs/style.md") != 0 && unclear_word(line)) /* which lists them */
                report(t, path, "%d: \"%s\": docs/style.md says what is plainer", number, unclear_word(line));
        }
    }
    fclose(in);
    if (number > MAX_LINES && is_source(path) && !excused(t, path, NULL))
        report(t, path, "%d: %d lines, more than %d", number, number, MAX_LINES);
}

char *check_layers(const char *root, const check_room *rooms, const check_exception *exceptions)
{
    tree t = {.root = root, .rooms = rooms, .exceptions = exceptions};
    t.report = calloc(1, 1);
    for (size_t i = 0; i < sizeof tops / sizeof *tops; i++)
        list(&t, tops[i]);
    list(&t, "README.md");
    list(&t, "CONTRIBUTING.md");
    list(&t, "CMakeLists.txt");
    if (t.file_count)
        qsort(t.files, t.file_count, sizeof *t.files, by_name);
    for (size_t i = 0; i < t.file_count; i++)
        check_file(&t, i);
    check_circles(&t);
    check_folders(&t);
    for (size_t i = 0; exceptions[i].from; i++)
        if (!t.excused[i])
            report(&t, exceptions[i].from, "1: the exception%s%s is not needed any more",
                   exceptions[i].to ? " for " : "", exceptions[i].to ? exceptions[i].to : "");
    for (size_t i = 0; i < t.file_count; i++)
        free(t.files[i]);
    free(t.files);
    free(t.includes);
    return t.report;
}
