/* Which rows a workgroup has that computes a tile of many: any TILE_M of all rows or, with EXPERTS, rows of one group, which has a matrix of its own.
 *
 * How many rows a group has is known on the device alone. Its tiles are numbered from first_row / TILE_M + its own number on. That leaves enough numbers
 * up to the next group's, whatever the sizes: a group of n rows has ceil(n / TILE_M) tiles, and both n / TILE_M and 1 lie in between. So the launch is for
 * M / TILE_M + groups row tiles, and workgroups whose number has no rows return at once.
 *
 * Include after ARGS. With EXPERTS, row_of(group) is where a group begins, row_of(args.groups) is args.M; define it before.
 */
#ifdef EXPERTS
#include "shaders/matmul/expert_weight.glsl"

uint expert; /* the workgroup's group */

uint row_tiles(uint tile_rows)
{
    return args.M / tile_rows + args.groups;
}

/* Rows `first` to `end` of a tile; sets expert. false: it has none. */
bool find_rows(uint tile, uint tile_rows, out uint first, out uint end)
{
    uint group = 0, high = args.groups; /* of those whose number is at most `tile`, the last one */
    while (high - group > 1) {
        uint middle = (group + high) / 2;
        if (row_of(middle) / tile_rows + middle <= tile)
            group = middle;
        else
            high = middle;
    }
    uint begin = row_of(group);
    first = begin + (tile - group - begin / tile_rows) * tile_rows;
    end = row_of(group + 1);
    expert = group;
    return first < end;
}
#else
#define WEIGHT args.W

uint row_tiles(uint tile_rows)
{
    return (args.M + tile_rows - 1) / tile_rows;
}
#endif
