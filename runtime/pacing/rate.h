/* How fast kernels are on a device, as measured, and as it is kept on disk. Internal to runtime. */
#ifndef VKFT_RATE_H
#define VKFT_RATE_H

#include <stdbool.h>
#include <stdint.h>

#include "runtime/base/text.h"

/* Starts as all zeros: nothing is known. */
typedef struct vkft_rate {
    double ns_per_flop; /* 0: never used */
    bool is_known;      /* measured, not guessed */
    bool is_stored;
} vkft_rate;

/* A kernel with its constants, as one word: "matmul_panel/64,8,4,4,0/64". */
#define VKFT_RATE_KEY 300
void vkft_rate_key(const char *kernel, const uint32_t *constants, uint32_t count, uint32_t subgroup_size,
                   char key[VKFT_RATE_KEY]);

/* The stored rates are lines of text, "key ns_per_flop", below a line that says which build's they are. `find` returns
 * 0 where there is none. */
bool vkft_rates_start(vkft_text *text, const char *stored, uint64_t kernels_hash, vkft_err *err);
double vkft_rates_find(const vkft_text *text, const char *key);
bool vkft_rates_add(vkft_text *text, const char *key, double ns_per_flop, vkft_err *err);

#endif
