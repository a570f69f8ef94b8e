/* See touch.h. */
#include "runtime/touch.h"

static bool overlap(vkft_range a, vkft_range b)
{
    return a.bytes && b.bytes && a.address < b.address + b.bytes && b.address < a.address + a.bytes;
}

static bool any_overlaps(vkft_range range, const vkft_range *others, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++)
        if (overlap(range, others[i]))
            return true;
    return false;
}

/* Whether the order of the two matters. */
static bool conflict(const vkft_touch *a, const vkft_touch *b)
{
    for (uint32_t i = 0; i < 2; i++)
        if (any_overlaps(a->writes[i], b->writes, 2) || any_overlaps(a->writes[i], b->reads, VKFT_TOUCH_READS) ||
            any_overlaps(b->writes[i], a->reads, VKFT_TOUCH_READS))
            return true;
    return false;
}

bool vkft_touch_window_add(vkft_touch_window *window, const vkft_touch *touch)
{
    bool independent = touch && !window->unknown && window->count > 0 && window->count < VKFT_TOUCH_WINDOW;
    for (uint32_t i = 0; independent && i < window->count; i++)
        independent = !conflict(touch, &window->touches[i]);
    if (!independent)
        *window = (vkft_touch_window){.unknown = !touch};
    if (touch)
        window->touches[window->count++] = *touch;
    return independent;
}
