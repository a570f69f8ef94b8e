/* Memory plan of one step: which buffers are alive when, and where each one lies in a single arena.
 *
 * The step's own code is run once without a device; every buffer it asks for becomes an interval from its allocation to
 * its last use. Intervals that never meet share memory. The same code then records the real launches and, since it asks
 * in the same order, finds each buffer at its planned place. A plan made for the largest batch serves every smaller
 * one: the intervals are the same and no buffer is larger.
 */
#ifndef VKFT_PLAN_H
#define VKFT_PLAN_H

#include <stdbool.h>
#include <stdint.h>

typedef struct vkft_plan vkft_plan;

vkft_plan *vkft_plan_new(void); /* NULL: out of memory */
void vkft_plan_free(vkft_plan *plan);
void vkft_plan_reset(vkft_plan *plan); /* forgets all buffers */

/* Next buffer of the step; returns its number, 0, 1, ... Its life begins now. UINT32_MAX: out of memory. */
uint32_t vkft_plan_alloc(vkft_plan *plan, uint64_t size_bytes);
/* The buffer is used now; its life ends no earlier. */
void vkft_plan_use(vkft_plan *plan, uint32_t buffer);
/* The buffer is written now, for those who use it from here on. If nobody does, it takes no memory. */
void vkft_plan_write(vkft_plan *plan, uint32_t buffer);
/* Whether a buffer takes none. */
bool vkft_plan_is_unread(const vkft_plan *plan, uint32_t buffer);

/* Places all buffers: the largest first, each at the lowest offset where no living neighbour is. Offsets are multiples
 * of 256. */
bool vkft_plan_solve(vkft_plan *plan);
uint64_t vkft_plan_total(const vkft_plan *plan); /* size of the arena in bytes */
uint32_t vkft_plan_count(const vkft_plan *plan);
uint64_t vkft_plan_offset(const vkft_plan *plan, uint32_t buffer);
uint64_t vkft_plan_size(const vkft_plan *plan, uint32_t buffer);
/* True when two buffers that live at the same time share no byte, for all pairs (for tests). */
bool vkft_plan_check(const vkft_plan *plan);

#endif
