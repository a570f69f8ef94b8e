/* What the matrix products share: register tiles and the order of workgroups. The store is in store.glsl.
 *
 * One invocation computes ROWS rows times COLUMNS columns of Y in registers; neighbouring invocations take neighbouring columns, so
 * an element of X is the same for a whole workgroup and an element of W serves ROWS rows. No shared memory and no barriers: on a
 * software device they cost more than the loads they save, and on a GPU the uniform X goes through the scalar or the first-level cache.
 *
 * Loops over K test at the end (do ... while). llvmpipe runs the body of a while loop once more with every lane masked off. Masks do
 * not stop a *scalar* load (one whose address is the same in all lanes), so that extra iteration would read past X.
 *
 * X is read in runs of 8 along a row, from an address made once per row: the offsets within a run are then constants. Several addresses are kept as
 * uvec2, and become references where they are used: SwiftShader crashes on arrays of references whose addresses differ between invocations.
 */
layout(constant_id = 1) const uint ROWS = 8;
layout(constant_id = 2) const uint COLUMNS = 1;
layout(constant_id = 3) const uint COLUMN_BAND = 1; /* column tiles that are computed before the next row tile */

#include "shaders/core/address.glsl"

/* What is read only may be read early, by scalar loads and through caches for constants. */
layout(buffer_reference, scalar, buffer_reference_align = 4) readonly buffer Input_ref { float v[]; };

struct run8 { float v[8]; };
layout(buffer_reference, scalar, buffer_reference_align = 4) readonly buffer Run8_ref { run8 at[]; };

/* Tile of workgroup `id`: bands of COLUMN_BAND column tiles, rows slowest within a band, so that a band's part of W and one row
 * tile of X stay in the cache. x: row tile, y: column tile. */
uvec2 tile_of(uint id, uint row_tiles, uint column_tiles)
{
    uint first = id / (COLUMN_BAND * row_tiles) * COLUMN_BAND;
    uint size = min(column_tiles - first, COLUMN_BAND);
    uint rest = id - first * row_tiles;
    return uvec2(rest / size, first + rest % size);
}
