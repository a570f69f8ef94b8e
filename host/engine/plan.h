/* Memory plan of one step: which buffers are alive when, and where each one lies in an arena.
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
/* The same in parts, for devices that limit how large a piece of memory may be: no buffer lies in two of them. All
 * parts but the last begin part_bytes after the one before. In one part where a buffer is larger, or where there would
 * be more than VKFT_PLAN_PARTS. */
#define VKFT_PLAN_PARTS 64u
bool vkft_plan_solve_in_parts(vkft_plan *plan, uint64_t part_bytes);
uint64_t vkft_plan_total(const vkft_plan *plan); /* size of the arena in bytes, whose parts are next to each other */
/* What is used of each part. */
void vkft_plan_parts(const vkft_plan *plan, uint64_t bytes[VKFT_PLAN_PARTS]);
/* Where a buffer is: a part, and the offset there. */
uint32_t vkft_plan_part(const vkft_plan *plan, uint32_t buffer);
uint32_t vkft_plan_count(const vkft_plan *plan);
uint64_t vkft_plan_offset(const vkft_plan *plan, uint32_t buffer);
uint64_t vkft_plan_size(const vkft_plan *plan, uint32_t buffer);
/* True when two buffers that live at the same time share no byte, for all pairs (for tests). */
bool vkft_plan_check(const vkft_plan *plan);

#endif
