/* Attention as an operation, so that whatever kernels it launches on this device are checked. */
#ifndef VKFT_CHECKS_ATTENTION_H
#define VKFT_CHECKS_ATTENTION_H

#include "host/doctor/checks/lab.h"

typedef struct vkft_attention_check {
    uint32_t T, Hq, Hk, D;
    uint32_t sequence; /* length of the packed sequences */
    uint32_t window;   /* 0: none */
    float softcap;     /* 0: none */
    uint32_t buckets;  /* of relative positions; 0: none */
    bool holes;        /* the first sequence sees nothing */
    bool f16;          /* on matrix cores, where the device computes heads of this size there */
} vkft_attention_check;

/* Forward and backward. Chooses the device's constants for this head size. */
void vkft_check_attention(vkft_lab *lab, const vkft_attention_check *check);

#endif
