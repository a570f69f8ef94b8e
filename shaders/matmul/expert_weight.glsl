/* The matrix of a group of rows, in the place of a kernel's only one. Set expert_weight first. */
layout(buffer_reference, scalar, buffer_reference_align = 8) readonly buffer WeightRef_ref { weight_ref at[]; };

weight_ref expert_weight;
#define WEIGHT expert_weight

weight_ref weight_of(uint group)
{
    return WeightRef_ref(uvec2(args.weights)).at[group];
}
