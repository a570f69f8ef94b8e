# Compiles every row of kernels.def to SPIR-V and embeds it: GROUP/SOURCE.spv holds the words as text, kernel_code.inc the table.
# Rows with the same storage type and defines are a group. glslc compiles a group at once, because it needs ten times longer to start
# than to compile one kernel.
set(VKFT_SHADER_DIR ${CMAKE_CURRENT_LIST_DIR})
find_program(GLSLC glslc)
find_program(GLSLANG NAMES glslangValidator glslang)
find_program(SPIRV_OPT spirv-opt)
if(GLSLC)
  set(VKFT_COMPILE_SHADER ${GLSLC} --target-env=vulkan1.2 -fshader-stage=compute -O -mfmt=num)
elseif(GLSLANG)
  set(VKFT_COMPILE_SHADER ${CMAKE_COMMAND} -DGLSLANG=${GLSLANG} -DSPIRV_OPT=${SPIRV_OPT} -P ${VKFT_SHADER_DIR}/glslang.cmake --)
else()
  message(FATAL_ERROR "glslc is missing; install it (package glslc or shaderc, or the Vulkan SDK), or glslangValidator (glslang-tools)")
endif()

set(VKFT_SPIRV_DIR ${CMAKE_BINARY_DIR}/spirv)
file(MAKE_DIRECTORY ${VKFT_SPIRV_DIR})
file(GLOB_RECURSE VKFT_SHADER_HEADERS CONFIGURE_DEPENDS ${VKFT_SHADER_DIR}/*.glsl ${VKFT_SHADER_DIR}/*.h)
set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS ${VKFT_SHADER_DIR}/kernels.def ${PROJECT_SOURCE_DIR}/formats/tensors/storage.def)

# A kernel that needs capabilities may use extensions that an old glslc does not know; it is then left out, loudly. The others must compile.
function(vkft_can_compile source flags result)
  execute_process(COMMAND ${VKFT_COMPILE_SHADER} ${flags} -I ${PROJECT_SOURCE_DIR} ${source} -o ${VKFT_SPIRV_DIR}/probe.inc
    RESULT_VARIABLE code OUTPUT_QUIET ERROR_QUIET)
  if(code EQUAL 0)
    set(${result} TRUE PARENT_SCOPE)
  else()
    set(${result} FALSE PARENT_SCOPE)
  endif()
endfunction()

# Rows with ##type are of all storage types, type by type, as the X-macro around them has them.
file(STRINGS ${VKFT_SHADER_DIR}/kernels.def listed REGEX "^ *KERNEL\\(")
file(STRINGS ${PROJECT_SOURCE_DIR}/formats/tensors/storage.def types REGEX "^STORAGE\\(")
list(TRANSFORM types REPLACE "^STORAGE\\(([a-z0-9_]+),.*" "\\1")
set(rows ${listed})
set(of_all_types ${listed})
list(FILTER rows EXCLUDE REGEX "##type")
list(FILTER of_all_types INCLUDE REGEX "##type")
foreach(type IN LISTS types)
  set(of_type ${of_all_types})
  list(TRANSFORM of_type REPLACE "##type" "${type}")
  list(TRANSFORM of_type REPLACE ", *type," ", ${type},")
  list(TRANSFORM of_type REPLACE " *\\\\$" "")
  list(TRANSFORM of_type STRIP)
  list(APPEND typed_rows ${of_type})
endforeach()
set(rows ${typed_rows} ${rows})
set(table "")
set(groups "")
set(left_out "")
set(outputs "")
foreach(row IN LISTS rows)
  if(NOT row MATCHES
      "^KERNEL\\(([a-z0-9_]+), *([a-z0-9_/]+\\.comp), *([a-z0-9_]+), *([A-Z0-9_|]+), *[A-Z]+, *[a-z0-9_]+, *([a-z0-9_]+), *\"([^\"]*)\"\\)")
    message(FATAL_ERROR "shaders/kernels.def: not a row: ${row}")
  endif()
  set(name ${CMAKE_MATCH_1})
  set(source ${VKFT_SHADER_DIR}/${CMAKE_MATCH_2})
  set(needs ${CMAKE_MATCH_4})
  set(storage ${CMAKE_MATCH_5})
  set(defines "${CMAKE_MATCH_6}")
  separate_arguments(flags UNIX_COMMAND "${defines}")
  string(REGEX REPLACE "[ -]+D" "-" group "${storage} ${CMAKE_MATCH_6}")
  string(STRIP "${group}" group)
  if(NOT storage STREQUAL "none") # what weight.glsl includes
    file(CONFIGURE OUTPUT ${VKFT_SPIRV_DIR}/${storage}/storage_type.glsl
      CONTENT "#include \"shaders/matmul/storage/${storage}.glsl\"\n" @ONLY)
    list(APPEND flags -I ${VKFT_SPIRV_DIR}/${storage})
  endif()
  if(needs MATCHES "FLOAT_DOT") # its instruction is unknown to the optimizer; drivers optimize all the same
    list(APPEND flags -O0)
  endif()
  set(present TRUE)
  if(NOT needs STREQUAL "NEEDS_NONE") # once for all storage types
    string(MAKE_C_IDENTIFIER "can_compile ${source} ${defines}" known)
    if(NOT DEFINED ${known})
      vkft_can_compile(${source} "${flags}" ${known})
    endif()
    set(present ${${known}})
  endif()
  if(NOT EXISTS ${source})
    set(present FALSE)
  endif()
  if(NOT present)
    list(APPEND left_out ${name})
    string(APPEND table "{NULL, 0},\n")
    continue()
  endif()
  get_filename_component(file ${source} NAME)
  set(output ${group}/${file}.spv)
  if(NOT ${VKFT_SPIRV_DIR}/${output} IN_LIST outputs) # two rows may differ in their constants alone
    list(APPEND outputs ${VKFT_SPIRV_DIR}/${output})
    list(APPEND groups ${group})
    list(APPEND sources_${group} ${source})
    list(APPEND outputs_${group} ${VKFT_SPIRV_DIR}/${output})
    set(flags_${group} ${flags} -I ${PROJECT_SOURCE_DIR})
  endif()
  string(APPEND declarations "static const uint32_t code_${name}[] = {\n#include \"${output}\"\n};\n")
  string(APPEND table "{code_${name}, sizeof code_${name}},\n")
endforeach()

if(left_out)
  list(LENGTH left_out count)
  list(JOIN left_out " " left_out)
  message(WARNING "${count} kernels are left out, because this shader compiler is too old for them: devices with matrix cores "
    "will not use them. A glslc of 2024 or later (Debian 13, Ubuntu 25.04, the Vulkan SDK) compiles all; give its path as -DGLSLC=PATH. "
    "Left out: ${left_out}")
endif()

list(REMOVE_DUPLICATES groups)
foreach(group IN LISTS groups)
  file(MAKE_DIRECTORY ${VKFT_SPIRV_DIR}/${group})
  if(GLSLC)
    add_custom_command(OUTPUT ${outputs_${group}}
      COMMAND ${VKFT_COMPILE_SHADER} ${flags_${group}} -c ${sources_${group}}
      WORKING_DIRECTORY ${VKFT_SPIRV_DIR}/${group}
      DEPENDS ${sources_${group}} ${VKFT_SHADER_HEADERS} VERBATIM)
  else()
    foreach(source output IN ZIP_LISTS sources_${group} outputs_${group})
      add_custom_command(OUTPUT ${output}
        COMMAND ${VKFT_COMPILE_SHADER} ${flags_${group}} ${source} -o ${output}
        DEPENDS ${source} ${VKFT_SHADER_HEADERS} VERBATIM)
    endforeach()
  endif()
endforeach()
file(CONFIGURE OUTPUT ${VKFT_SPIRV_DIR}/kernel_code.inc
  CONTENT "${declarations}\nstatic const struct kernel_code {\n    const uint32_t *words;\n    size_t bytes;\n} kernel_code[] = {\n${table}};\n" @ONLY)

add_custom_target(vkft_spirv DEPENDS ${outputs})
add_dependencies(vkft_runtime vkft_spirv)
target_include_directories(vkft_runtime PRIVATE ${VKFT_SPIRV_DIR})
set_source_files_properties(${CMAKE_CURRENT_SOURCE_DIR}/kernels.c PROPERTIES OBJECT_DEPENDS "${outputs}")
