/* See nvml.h. The library's header is not needed: these few declarations are of its stable interface, in which 0 is
 * success. */
#include "host/bench/telemetry/nvml.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/base/os/library.h"

typedef void *card;
typedef struct utilization {
    unsigned gpu, memory;
} utilization;

enum { CLOCK_SM = 1, TEMPERATURE_GPU = 0 };

struct vkft_nvml {
    void *library;
    card card;
    int (*shutdown)(void);
    int (*power)(card, unsigned *milliwatts);
    int (*clock)(card, int type, unsigned *mhz);
    int (*temperature)(card, int sensor, unsigned *celsius);
    int (*utilization)(card, utilization *);
};

/* "GPU-01234567-89ab-..." without what is no hex digit. */
static bool is_uuid(const char *text, const uint8_t uuid[16])
{
    char digits[33] = "", expected[33];
    size_t n = 0;
    for (text += strncmp(text, "GPU-", 4) == 0 ? 4 : 0; *text && n < 32; text++)
        if (*text != '-')
            digits[n++] = (char)(*text >= 'A' && *text <= 'F' ? *text + 32 : *text);
    digits[n] = 0;
    for (int i = 0; i < 16; i++)
        snprintf(expected + 2 * i, 3, "%02x", uuid[i]);
    return strcmp(digits, expected) == 0;
}

static bool find_card(vkft_nvml *n, const uint8_t uuid[16])
{
    int (*count_cards)(unsigned *) = (int (*)(unsigned *))vkft_library_find(n->library, "nvmlDeviceGetCount_v2");
    int (*get_card)(unsigned, card *) =
        (int (*)(unsigned, card *))vkft_library_find(n->library, "nvmlDeviceGetHandleByIndex_v2");
    int (*get_uuid)(card, char *, unsigned) =
        (int (*)(card, char *, unsigned))vkft_library_find(n->library, "nvmlDeviceGetUUID");
    unsigned count = 0;
    char text[96] = "";
    if (!count_cards || !get_card || !get_uuid || count_cards(&count) != 0)
        return false;
    for (unsigned i = 0; i < count; i++)
        if (get_card(i, &n->card) == 0 && get_uuid(n->card, text, sizeof text) == 0 && is_uuid(text, uuid))
            return true;
    return false;
}

vkft_nvml *vkft_nvml_open(const uint8_t uuid[16], const char *const *names)
{
    static const char *const usual[] = {"libnvidia-ml.so.1", "libnvidia-ml.so", "nvml.dll", NULL};
    vkft_nvml *n = calloc(1, sizeof *n);
    if (!n || !(n->library = vkft_library_open(names ? names : usual))) {
        free(n);
        return NULL;
    }
    int (*init)(void) = (int (*)(void))vkft_library_find(n->library, "nvmlInit_v2");
    n->shutdown = (int (*)(void))vkft_library_find(n->library, "nvmlShutdown");
    n->power = (int (*)(card, unsigned *))vkft_library_find(n->library, "nvmlDeviceGetPowerUsage");
    n->clock = (int (*)(card, int, unsigned *))vkft_library_find(n->library, "nvmlDeviceGetClockInfo");
    n->temperature = (int (*)(card, int, unsigned *))vkft_library_find(n->library, "nvmlDeviceGetTemperature");
    n->utilization = (int (*)(card, utilization *))vkft_library_find(n->library, "nvmlDeviceGetUtilizationRates");
    if (!init || !n->shutdown || init() != 0) {
        vkft_library_close(n->library);
        free(n);
        return NULL;
    }
    if (find_card(n, uuid))
        return n;
    vkft_nvml_close(n);
    return NULL;
}

void vkft_nvml_close(vkft_nvml *n)
{
    if (!n)
        return;
    n->shutdown();
    vkft_library_close(n->library);
    free(n);
}

vkft_telemetry_sample vkft_nvml_read(const vkft_nvml *n)
{
    vkft_telemetry_sample s = {.busy_percent = -1};
    unsigned value;
    utilization u;
    if (n->power && n->power(n->card, &value) == 0)
        s.power_w = value / 1000.0;
    if (n->clock && n->clock(n->card, CLOCK_SM, &value) == 0)
        s.clock_mhz = value;
    if (n->temperature && n->temperature(n->card, TEMPERATURE_GPU, &value) == 0)
        s.temperature_c = value;
    if (n->utilization && n->utilization(n->card, &u) == 0)
        s.busy_percent = u.gpu;
    return s;
}
