/* A library for LD_PRELOAD that lets one call of the program fail: an allocation, a call of the operating system, a
 * call of Vulkan. It works from the outside, so that the program under test is the one that people use.
 *
 *   VKFT_FAULT_LIST=FILE      appends each new site to the file, a line "KIND KEY NAME ADDRESS..." (see addr2line -e)
 *   VKFT_FAULT=KIND:KEY:ERROR lets the first call from this site fail with this error: a number for errno or a
 * VkResult, or "short" for a transfer of less than was asked VKFT_FAULT_HIT=FILE       is created when it has failed
 *
 * A site is a place in the program: the return addresses of the innermost calls that lie in the program itself, two for
 * an allocation, four for others.
 * Calls from drivers are never touched; those from the libraries that the program uses count as the program's.
 */
#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <execinfo.h>
#include <fcntl.h>
#include <link.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tests/faults/inject.h"

#define SITES 16384u
#define FRAMES 24

typedef struct range {
    uintptr_t first, end;
} range;

static range program, libraries[16];
static unsigned library_count;
static uintptr_t program_base;
static bool ready;
static _Thread_local bool inside; /* this library's own calls */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static uint64_t seen[SITES];
static int list_fd = -1;
static char wanted_kind;
static uint64_t wanted_key;
static char wanted_error[16];
static bool failed;

static int note_module(struct dl_phdr_info *info, size_t size, void *context)
{
    static const char *const known[] = {"libc.so",     "libcjson",  "libyaml", "libpcre2",
                                        "libutf8proc", "libxxhash", "libm.so"};
    (void)size;
    const bool main_program = *(int *)context == 0;
    *(int *)context = 1;
    bool wanted = main_program;
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        wanted |= strstr(info->dlpi_name, known[i]) != NULL;
    for (int i = 0; wanted && i < info->dlpi_phnum; i++) {
        const ElfW(Phdr) *p = &info->dlpi_phdr[i];
        if (p->p_type != PT_LOAD || !(p->p_flags & PF_X))
            continue;
        range found = {info->dlpi_addr + p->p_vaddr, info->dlpi_addr + p->p_vaddr + p->p_memsz};
        if (main_program) {
            program = found;
            program_base = info->dlpi_addr;
        } else if (library_count < sizeof libraries / sizeof *libraries) {
            libraries[library_count++] = found;
        }
    }
    return 0;
}

__attribute__((constructor)) static void start(void)
{
    inside = true;
    int first = 0;
    void *frames[2];
    backtrace(frames, 2); /* its first call allocates */
    dl_iterate_phdr(note_module, &first);
    const char *list = getenv("VKFT_FAULT_LIST"), *fault = getenv("VKFT_FAULT");
    if (list)
        list_fd = open(list, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    if (fault && sscanf(fault, "%c:%16" SCNx64 ":%15s", &wanted_kind, &wanted_key, wanted_error) != 3)
        abort();
    ready = list || fault;
    inside = false;
}

static bool in(const range *r, uintptr_t address)
{
    return address >= r->first && address < r->end;
}

static bool ours(uintptr_t address)
{
    for (unsigned i = 0; i < library_count; i++)
        if (in(&libraries[i], address))
            return true;
    return in(&program, address);
}

/* The site of a call with its addresses in the program; 0: not one of the program's. */
static uint64_t site_of(const void *caller, int depth, uintptr_t addresses[4])
{
    void *frames[FRAMES];
    int count = backtrace(frames, FRAMES), found = 0, i = 0;
    uint64_t key = 0;
    while (i < count && frames[i] != caller)
        i++;
    for (; i < count && found < depth; i++) {
        uintptr_t address = (uintptr_t)frames[i];
        if (in(&program, address)) {
            addresses[found++] = address - program_base;
            key = key * 0x9e3779b97f4a7c15u + (address - program_base);
        } else if (!found && !ours(address)) {
            return 0;
        }
    }
    return key;
}

static void write_line(char kind, uint64_t key, const char *name, const uintptr_t addresses[4])
{
    char line[192];
    int length = snprintf(line, sizeof line, "%c %016" PRIx64 " %s 0x%zx 0x%zx 0x%zx 0x%zx\n", kind, key, name,
                          addresses[0], addresses[1], addresses[2], addresses[3]);
    if (write(list_fd, line, (size_t)length) != length)
        abort();
}

bool vkft_fault_hits(char kind, const char *name, const void *caller)
{
    if (!ready || inside || !ours((uintptr_t)caller) || (list_fd < 0 && kind != wanted_kind))
        return false;
    inside = true;
    uintptr_t addresses[4] = {0};
    uint64_t key = site_of(caller, kind == FAULT_MEMORY ? 2 : 4, addresses); /* files are touched through two layers */
    bool hit = false;
    if (key) {
        key = (key & ~0xfull) | (uint64_t)kind % 16;
        pthread_mutex_lock(&lock);
        if (list_fd >= 0) {
            uint32_t at = (uint32_t)(key >> 8) % SITES;
            while (seen[at] && seen[at] != key)
                at = (at + 1) % SITES;
            if (!seen[at]) {
                seen[at] = key;
                write_line(kind, key, name, addresses);
            }
        }
        hit = !failed && kind == wanted_kind && key == wanted_key;
        failed |= hit;
        pthread_mutex_unlock(&lock);
    }
    if (hit && getenv("VKFT_FAULT_HIT"))
        close(open(getenv("VKFT_FAULT_HIT"), O_WRONLY | O_CREAT | O_CLOEXEC, 0600));
    inside = false;
    return hit;
}

bool vkft_fault_is_program(const void *address)
{
    return in(&program, (uintptr_t)address);
}

int vkft_fault_error(void)
{
    return atoi(wanted_error);
}

bool vkft_fault_is_short(void)
{
    return strcmp(wanted_error, "short") == 0;
}

void *vkft_fault_next(const char *name)
{
    static void *(*find)(void *, const char *); /* dlsym, in front of which this library stands too */
    static const char *const versions[] = {"GLIBC_2.34", "GLIBC_2.2.5", "GLIBC_2.17"};
    bool before = inside;
    inside = true;
    for (size_t i = 0; !find && i < sizeof versions / sizeof *versions; i++)
        *(void **)&find = dlvsym(RTLD_NEXT, "dlsym", versions[i]);
    void *function = find(RTLD_NEXT, name);
    inside = before;
    return function;
}
