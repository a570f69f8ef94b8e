/* What launches read and write, and which of them may run at the same time. */
#ifndef VKFT_TOUCH_H
#define VKFT_TOUCH_H

#include <stdbool.h>
#include <stdint.h>

typedef struct vkft_range {
    uint64_t address, bytes; /* bytes 0: nothing */
} vkft_range;

#define VKFT_TOUCH_READS 7
typedef struct vkft_touch {
    vkft_range reads[VKFT_TOUCH_READS], writes[2];
} vkft_touch;

/* Launches without a barrier between them. Starts as all zeros: none. */
#define VKFT_TOUCH_WINDOW 16u
typedef struct vkft_touch_window {
    vkft_touch touches[VKFT_TOUCH_WINDOW];
    uint32_t count;
    bool unknown; /* one of them touches what nobody said */
} vkft_touch_window;

/* Adds a launch, NULL: one of which nothing is known. True: it needs no barrier, because it writes nothing that the
 * others touch and reads nothing that they write; false: a barrier stands before it, and the window begins with it. */
bool vkft_touch_window_add(vkft_touch_window *window, const vkft_touch *touch);

#endif
