/* The matrix of a group, in the place of a kernel's only one: weight.glsl reads it, and its scales. Set `own` first. Include before weight.glsl. */
layout(buffer_reference, scalar, buffer_reference_align = 8) readonly buffer GroupWeight_ref { group_weight at[]; };

group_weight own;
#define WEIGHT own.data
#define SCALES own
#define DOUBLE_QUANT args.double_quant

group_weight weight_of(uint group)
{
    return GroupWeight_ref(uvec2(args.weights)).at[group];
}
