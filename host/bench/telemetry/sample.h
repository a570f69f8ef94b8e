/* What a card does at a moment. */
#ifndef VKFT_BENCH_SAMPLE_H
#define VKFT_BENCH_SAMPLE_H

/* 0: not told. */
typedef struct vkft_telemetry_sample {
    double power_w, clock_mhz, temperature_c;
    double busy_percent; /* -1: not told */
} vkft_telemetry_sample;

#endif
