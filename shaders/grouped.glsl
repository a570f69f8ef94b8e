/* Which rows a workgroup of a grouped product has, and which matrix: groups of rows that lie one behind the other, each with a matrix of its own.
 *
 * How many rows a group has is known on the device alone, so the launch has as many row tiles as there can be at most, and those behind the
 * last end at once. The rows of a group begin with a new tile of GROUP_TILE rows, or of the ROWS that divide it.
 *
 * Include after matmul.glsl. Include it before weight.glsl, which then reads the scales of this group's matrix.
 */
ARGS(grouped_args)

layout(buffer_reference, scalar, buffer_reference_align = 8) readonly buffer GroupWeight_ref { group_weight at[]; };

group_weight own;
#define WEIGHT own.data
#define SCALES own
#define DOUBLE_QUANT args.double_quant

uint row_tiles()
{
    return args.tiles;
}

/* The last group whose first tile is not behind this one: empty groups share the first tile of the next. */
uint group_of(uint tile)
{
    uint low = 0, high = args.groups;
    while (high - low > 1) {
        uint middle = (low + high) / 2;
        if (args.group.v[2 * middle + 1] <= tile)
            low = middle;
        else
            high = middle;
    }
    return low;
}

/* Rows `row` to `end` for row tile `tile`; false: none. Sets `own`. */
bool rows_of(uint tile, out uint row, out uint end)
{
    const uint parts = GROUP_TILE / ROWS;
    uint g = group_of(tile / parts);
    row = args.group.v[2 * g] + (tile / parts - args.group.v[2 * g + 1]) * GROUP_TILE + tile % parts * ROWS;
    end = args.group.v[2 * g + 2];
    own = GroupWeight_ref(uvec2(args.weights)).at[g];
    return row < end;
}
