/* Which rows of X and Y a workgroup of a product has: W multiplies all M rows or, with EXPERTS, each group of contiguous rows has a separate
 * matrix.
 *
 * How many rows a group has is known on the device alone, so the launch covers the largest possible number of row tiles; workgroups past the
 * last tile return immediately. A group begins with a new tile of GROUP_TILE rows, that is, with one or more tiles of ROWS rows.
 *
 * Include after matmul.glsl and ARGS.
 */
#ifdef EXPERTS
uint expert; /* the group of the workgroup's rows; set by rows_of */

uint row_tiles()
{
    return args.tiles;
}

/* The last group whose first tile is at most this one: empty groups share the first tile of the next. */
uint group_of(uint tile)
{
    uint low = args.first, high = args.first + args.groups;
    while (high - low > 1) {
        uint middle = (low + high) / 2;
        if (args.group.v[2 * middle + 1] <= tile)
            low = middle;
        else
            high = middle;
    }
    return low;
}

/* Rows `row` to `end` for row tile `id`; false: none. */
bool rows_of(uint id, out uint row, out uint end)
{
    const uint parts = GROUP_TILE / ROWS;
    uint tile = args.group.v[2 * args.first + 1] + id / parts;
    expert = group_of(tile);
    row = args.group.v[2 * expert] + (tile - args.group.v[2 * expert + 1]) * GROUP_TILE + id % parts * ROWS;
    end = args.group.v[2 * expert + 2];
    return row < end;
}
#else
uint row_tiles()
{
    return (args.M + ROWS - 1) / ROWS;
}

bool rows_of(uint id, out uint row, out uint end)
{
    row = id * ROWS;
    end = args.M;
    return true;
}
#endif
