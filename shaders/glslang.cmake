# Compiles one shader where glslc is absent (Ubuntu 22.04): glslangValidator, then spirv-opt where there is one, then the words as text.
#
#   cmake -DGLSLANG=PROGRAM -DSPIRV_OPT=PROGRAM -P glslang.cmake -- FLAGS... -I DIR SOURCE -o OUTPUT
#
# It takes the arguments that compile.cmake gives to glslc -O -mfmt=num, -O0 among them, and writes the same format.
set(arguments "")
set(seen FALSE)
foreach(i RANGE ${CMAKE_ARGC})
  if(seen)
    list(APPEND arguments "${CMAKE_ARGV${i}}")
  elseif(CMAKE_ARGV${i} STREQUAL "--")
    set(seen TRUE)
  endif()
endforeach()
if(arguments MATCHES ";-O0;")
  string(REPLACE ";-O0;" ";" arguments "${arguments}")
  set(SPIRV_OPT "")
endif()
string(REPLACE "-I;" "-I" arguments "${arguments}")
string(REGEX MATCH ";-o;([^;]+)" ignored "${arguments}")
set(output ${CMAKE_MATCH_1})
string(REGEX REPLACE ";-o;[^;]+" "" arguments "${arguments}")

execute_process(COMMAND ${GLSLANG} -V --target-env vulkan1.2 -S comp ${arguments} -o ${output}.spv
  RESULT_VARIABLE code OUTPUT_VARIABLE messages ERROR_VARIABLE messages)
if(NOT code EQUAL 0)
  message(FATAL_ERROR "${messages}")
endif()
if(SPIRV_OPT)
  execute_process(COMMAND ${SPIRV_OPT} -O --target-env=vulkan1.2 ${output}.spv -o ${output}.spv RESULT_VARIABLE code)
  if(NOT code EQUAL 0)
    message(FATAL_ERROR "${SPIRV_OPT} failed on ${output}.spv")
  endif()
endif()
file(READ ${output}.spv words HEX)
string(REGEX REPLACE "(..)(..)(..)(..)" "0x\\4\\3\\2\\1,\n" words "${words}")
file(WRITE ${output} "${words}")
