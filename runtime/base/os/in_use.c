/* Two short tables, without locks: a slot is taken by a state that is exchanged, filled, and only then shown. */
#include "runtime/base/os/in_use.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "runtime/base/os/os.h"

enum { FREE, FILLING, SHOWN };

typedef struct slot {
    _Atomic int state;
    uintptr_t begin;
    uint64_t size;
    char name[500];
} slot;

/* These two are the state that a signal handler can reach; it is given no context. */
static slot mappings[128], temporaries[32];

static void take(slot *slots, size_t count, const void *begin, uint64_t size, const char *name)
{
    if (strlen(name) >= sizeof slots->name)
        return;
    for (slot *s = slots; s < slots + count; s++) {
        int expected = FREE;
        if (!atomic_compare_exchange_strong(&s->state, &expected, FILLING))
            continue;
        s->begin = (uintptr_t)begin;
        s->size = size;
        strcpy(s->name, name);
        atomic_store(&s->state, SHOWN);
        return;
    }
}

void vkft_in_use_map(const void *begin, uint64_t size, const char *name)
{
    take(mappings, sizeof mappings / sizeof *mappings, begin, size, name);
}

void vkft_in_use_write(const char *temporary)
{
    take(temporaries, sizeof temporaries / sizeof *temporaries, NULL, 0, temporary);
}

void vkft_in_use_unmap(const void *begin)
{
    for (slot *s = mappings; s < mappings + sizeof mappings / sizeof *mappings; s++)
        if (atomic_load(&s->state) == SHOWN && s->begin == (uintptr_t)begin) {
            atomic_store(&s->state, FREE);
            return;
        }
}

void vkft_in_use_written(const char *temporary)
{
    for (slot *s = temporaries; s < temporaries + sizeof temporaries / sizeof *temporaries; s++)
        if (atomic_load(&s->state) == SHOWN && strcmp(s->name, temporary) == 0) {
            atomic_store(&s->state, FREE);
            return;
        }
}

const char *vkft_in_use_at(const void *address)
{
    uintptr_t at = (uintptr_t)address;
    for (const slot *s = mappings; s < mappings + sizeof mappings / sizeof *mappings; s++)
        if (atomic_load(&s->state) == SHOWN && at >= s->begin && at - s->begin < s->size)
            return s->name;
    return NULL;
}

void vkft_in_use_remove_temporaries(void)
{
    for (slot *s = temporaries; s < temporaries + sizeof temporaries / sizeof *temporaries; s++)
        if (atomic_load(&s->state) == SHOWN)
            vkft_os_remove(s->name);
}
