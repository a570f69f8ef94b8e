/* Codes of 8 bits in blocks of 256: the nearest entry of a map. The table holds MAPS maps of 256 floats, then the 255 midpoints of each, 256 floats
 * apart. */
#define BLOCK 256u

shared float midpoints[256 * MAPS];

/* By all invocations of the workgroup. */
void load_midpoints(F32_ref table)
{
    for (uint i = gl_LocalInvocationID.x; i < 256 * MAPS; i += WIDTH)
        midpoints[i] = table.v[256 * MAPS + i];
    barrier();
}

/* Number of midpoints below x: the nearest entry, ties to the lower one. */
uint nearest(uint map, float x)
{
    uint low = 0;
    [[unroll]] for (uint step = 128; step > 0; step /= 2)
        low += x > midpoints[map + low + step - 1] ? step : 0;
    return low;
}
