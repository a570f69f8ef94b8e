/* See points.h. */
#include "formats/score/points.h"

#include <stdlib.h>
#include <string.h>

#include "runtime/base/utf8.h"

int32_t *vkft_points_of(const char *text, size_t *count, vkft_err *err)
{
    size_t length = strlen(text);
    int32_t *points = malloc((length + 1) * sizeof *points);
    *count = 0;
    if (!points) {
        vkft_fail_memory(err, "for scores");
        return NULL;
    }
    for (size_t i = 0, n; i < length; i += n) {
        size_t valid = vkft_utf8_length(text + i, length - i);
        n = valid ? valid : 1;
        points[(*count)++] = valid ? (int32_t)vkft_utf8_decode(text + i, valid) : 0xfffd;
    }
    return points;
}

bool vkft_points_is_space(int32_t point)
{
    return vkft_utf8_is_space((uint32_t)point) || (point >= 0x1c && point <= 0x1f);
}
