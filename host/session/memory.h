/* What a session holds in memory: a list that owners add to, and the plan that follows from it. */
#ifndef VKFT_SESSION_MEMORY_H
#define VKFT_SESSION_MEMORY_H

#include "host/model/batch.h"
#include "host/model/decoder.h"
#include "runtime/memory.h"

/* How large a run may become. */
typedef struct vkft_limits {
    vkft_batch_limits batch;
    vkft_checkpointing checkpointing;
    bool stream_weights;   /* blocks are copied from the file as they are computed; needs checkpointing to train */
    uint64_t logits_bytes; /* that exist at a time; 0: vkft_session_plan chooses */
    uint64_t buffer_bytes; /* activations lie in buffers of at most so many bytes; 0: in one, unless vkft_session_plan
                              knows the device */
    bool f16_rows;   /* are made with tensors (ops/f16_rows.h): products are to be in f16; set by vkft_session_plan */
    bool f16_inputs; /* what checkpointing keeps is in f16; set by vkft_session_plan, for products in f16 */
} vkft_limits;

struct vkft_session;

/* Memory beside weights and activations, held from the session's start on: an adapter, a KV cache, an optimizer. */
typedef struct vkft_holding {
    const char *name; /* "KV cache" */
    vkft_memory_kind place;
    uint64_t (*bytes)(const void *owner, const vkft_limits *limits);
    /* Allocates it, when the weights are in memory and before anything is recorded. NULL: something else does. The
     * owner frees it before the session is closed. */
    bool (*allocate)(void *owner, struct vkft_session *session, vkft_err *err);
    void *owner;
} vkft_holding;

typedef struct vkft_plan_item {
    const char *name;
    vkft_memory_kind place;
    uint64_t bytes;
} vkft_plan_item;

#define VKFT_PLAN_ITEMS 16

typedef struct vkft_memory_plan {
    vkft_limits limits;
    vkft_plan_item items[VKFT_PLAN_ITEMS];
    uint32_t count;
    uint64_t arena_bytes;              /* of activations; one of the items */
    uint64_t arena[VKFT_PLAN_PARTS];   /* the buffers in which they lie */
    uint64_t kept_bytes;               /* of activations in host memory; another item */
    vkft_plan_item largest;            /* buffer that cannot be divided */
    uint64_t device_bytes, host_bytes; /* sums */
    uint64_t bus_bytes;                /* that offloading moves over the bus for each micro batch */
} vkft_memory_plan;

/* What the plan takes of the memory that the device has free: on one that shares it with the host, everything. */
uint64_t vkft_memory_plan_needs(const vkft_memory_plan *plan, const vkft_device_info *info);
/* Error: the device has less free, or allows only smaller buffers. */
bool vkft_memory_plan_check(const vkft_memory_plan *plan, const vkft_device_info *info, vkft_err *err);

#endif
