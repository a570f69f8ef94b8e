/* A library with the few functions of NVML that vkft asks for, and two cards. */
#include <stdio.h>

int nvmlInit_v2(void);
int nvmlShutdown(void);
int nvmlDeviceGetCount_v2(unsigned *count);
int nvmlDeviceGetHandleByIndex_v2(unsigned index, void **card);
int nvmlDeviceGetUUID(void *card, char *text, unsigned size);
int nvmlDeviceGetPowerUsage(void *card, unsigned *milliwatts);
int nvmlDeviceGetClockInfo(void *card, int type, unsigned *mhz);
int nvmlDeviceGetTemperature(void *card, int sensor, unsigned *celsius);
int nvmlDeviceGetUtilizationRates(void *card, unsigned rates[2]);

static int cards[2];

int nvmlInit_v2(void)
{
    return 0;
}

int nvmlShutdown(void)
{
    return 0;
}

int nvmlDeviceGetCount_v2(unsigned *count)
{
    *count = 2;
    return 0;
}

int nvmlDeviceGetHandleByIndex_v2(unsigned index, void **card)
{
    *card = &cards[index];
    return 0;
}

int nvmlDeviceGetUUID(void *card, char *text, unsigned size)
{
    snprintf(text, size, "%s",
             card == &cards[1] ? "GPU-a0a1a2a3-a4a5-a6a7-a8a9-aaabacadaeaf"
                               : "GPU-00000000-0000-0000-0000-000000000000");
    return 0;
}

int nvmlDeviceGetPowerUsage(void *card, unsigned *milliwatts)
{
    *milliwatts = card == &cards[1] ? 123500 : 1;
    return 0;
}

int nvmlDeviceGetClockInfo(void *card, int type, unsigned *mhz)
{
    *mhz = card == &cards[1] && type == 1 ? 1980 : 1;
    return 0;
}

int nvmlDeviceGetTemperature(void *card, int sensor, unsigned *celsius)
{
    *celsius = card == &cards[1] && sensor == 0 ? 55 : 1;
    return 0;
}

int nvmlDeviceGetUtilizationRates(void *card, unsigned rates[2])
{
    rates[0] = card == &cards[1] ? 12 : 1;
    rates[1] = 99;
    return 0;
}
