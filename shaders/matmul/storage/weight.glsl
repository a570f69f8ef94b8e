/* Weights in their storage type as f32. The file of the type, one of those beside this one, is the only place that knows its bits; it comes with the
 * column `storage` of the kernel's row. Storage is read in 32-bit words, so no 16-bit or 8-bit device feature is needed.
 *
 * Each type's file has
 *   float weight(weight_ref W, uint row, uint column)
 *   void weight8(weight_ref W, uint row, uint column, uint count, bool aligned, out float w[8])
 *   struct raw8; raw8 fetch8(weight_ref W, uint row, uint column); void decode8(weight_ref W, raw8 raw, out float w[8])
 * weight8 reads count (1 to 8) elements of a row from column on. It never reads past them; the unused entries of w are finite whenever the read ones
 * are, so they may be multiplied by 0. aligned (the same for a whole workgroup) promises that count is 8 and that column and W.cols are multiples of 8.
 * fetch8 and decode8 do the same in two steps, so that a kernel can have loads in flight while it computes: for aligned runs where, moreover, W.data is
 * 16-byte aligned.
 *
 * With SHARED_TABLES a type may keep tables in shared memory: all invocations call load_tables(their number), and barrier(), before the first decode8.
 */
layout(buffer_reference, scalar, buffer_reference_align = 4) readonly buffer Words_ref { uint v[]; };
layout(buffer_reference, scalar, buffer_reference_align = 4) readonly buffer Floats_ref { float v[]; };
layout(buffer_reference, scalar, buffer_reference_align = 16) readonly buffer Words4_ref { uvec4 at[]; };
layout(buffer_reference, scalar, buffer_reference_align = 8) readonly buffer Words2_ref { uvec2 at[]; };

#include "storage_type.glsl"

#if defined(SHARED_TABLES) && !defined(HAS_TABLES)
void load_tables(uint id) {}
#endif
