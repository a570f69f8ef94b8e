/* What the matrix products share: register tiles, the order of workgroups, and the store.
 *
 * One invocation computes ROWS rows times COLUMNS columns of Y in registers; neighbouring invocations take neighbouring columns, so
 * an element of X is the same for a whole workgroup and an element of W serves ROWS rows. No shared memory and no barriers: on a
 * software device they cost more than the loads they save, and on a GPU the uniform X goes through the scalar or the first-level cache.
 *
 * Loops over K test at their end. A software device runs a loop's body once more behind a test at its head, with all invocations
 * masked off; but a load whose address is the same for all invocations is a scalar load there, which no mask holds back, and it
 * would read past the end of X.
 *
 * X is read in runs of 8 along a row, through a reference made once per row: the offsets within a run are then constants.
 */
layout(constant_id = 1) const uint ROWS = 8;
layout(constant_id = 2) const uint COLUMNS = 1;
layout(constant_id = 3) const uint GROUP = 1; /* column tiles that are walked together */

#include "shaders/core/address.glsl"

struct run8 { float v[8]; };
layout(buffer_reference, scalar, buffer_reference_align = 4) readonly buffer Run8_ref { run8 at[]; };

/* Tile of workgroup `id`: GROUP column tiles side by side, rows slowest within the group, so that a group's part of W and one
 * row tile of X stay in the cache. x: row tile, y: column tile. */
uvec2 tile_of(uint id, uint row_tiles, uint column_tiles)
{
    uint group = id / (GROUP * row_tiles);
    uint first = group * GROUP;
    uint size = min(column_tiles - first, GROUP);
    uint rest = id - first * row_tiles;
    return uvec2(rest / size, first + rest % size);
}
