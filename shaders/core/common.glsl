/* What every kernel includes: extensions, buffer references, the workgroup and the argument block.
 *
 *   #version 460
 *   #extension GL_GOOGLE_include_directive : require
 *   #include "shaders/core/common.glsl"
 *   ARGS(rmsnorm_args)          the push constants, named args
 *
 * WIDTH is the number of invocations of a workgroup. A kernel whose shape in kernels.def is ROW has workgroups of exactly one subgroup,
 * so that subgroupAdd is the row's sum.
 */
#extension GL_EXT_buffer_reference : require
#extension GL_EXT_buffer_reference_uvec2 : require
#extension GL_EXT_scalar_block_layout : require
#extension GL_EXT_control_flow_attributes : require
#extension GL_KHR_shader_subgroup_basic : require
#extension GL_KHR_shader_subgroup_arithmetic : require

#define VKFT_GLSL

layout(local_size_x_id = 0) in;
#define WIDTH gl_WorkGroupSize.x

/* llvmpipe silently stops an invocation after 65535 loop iterations in total. Host code knows it as
 * vkft_caps.loop_limit; kernels that loop over tokens or a vocabulary take several elements per iteration. */

/* Number of the workgroup, and of the invocation, along x. Devices need not count beyond 65535 there: a long launch goes on along z, which kernels do not use
 * for anything else. */
#define WORKGROUP (gl_WorkGroupID.x + gl_WorkGroupID.z * WORKGROUPS_PER_ROW)
#define INVOCATION (WORKGROUP * WIDTH + gl_LocalInvocationID.x)

layout(buffer_reference, scalar, buffer_reference_align = 4) buffer F32_ref { float v[]; };
layout(buffer_reference, scalar, buffer_reference_align = 4) buffer U32_ref { uint v[]; };
layout(buffer_reference, scalar, buffer_reference_align = 4) buffer F32x4_ref { vec4 v[]; };
layout(buffer_reference, scalar, buffer_reference_align = 4) buffer U32x4_ref { uvec4 v[]; };

#include "shaders/core/args.h"

#define ARGS(type) layout(push_constant, scalar) uniform Push { type args; };
