# What makes a fault of memory harder to use for an attack, as far as compiler, linker and system have it. Nothing here changes a result.
# Test: test_hardening
include(CheckCCompilerFlag)
include(CheckLinkerFlag)
include(CheckCSourceCompiles)

# vkft_harden(compile|link NAME FLAG...)
function(vkft_harden kind name)
  set(CMAKE_REQUIRED_FLAGS -Werror) # an argument that is not used is no support
  list(JOIN ARGN " " flags)
  if(kind STREQUAL compile)
    check_c_compiler_flag("${flags}" ${name})
    if(${name})
      target_compile_options(vkft_flags INTERFACE ${ARGN})
    endif()
  else()
    check_linker_flag(C "${flags}" ${name})
    if(${name})
      target_link_options(vkft_flags INTERFACE ${ARGN})
    endif()
  endif()
endfunction()

vkft_harden(compile VKFT_HAVE_STACK_PROTECTOR -fstack-protector-strong)
if(MINGW)
  target_link_options(vkft_flags INTERFACE -fstack-protector-strong) # the library of its checks
  vkft_harden(link VKFT_HAVE_DYNAMIC_BASE -Wl,--dynamicbase,--high-entropy-va)
  vkft_harden(link VKFT_HAVE_NX -Wl,--nxcompat)
else()
  vkft_harden(compile VKFT_HAVE_STACK_CLASH -fstack-clash-protection)
  vkft_harden(compile VKFT_HAVE_CF_PROTECTION -fcf-protection=full)               # x86
  vkft_harden(compile VKFT_HAVE_BRANCH_PROTECTION -mbranch-protection=standard) # Arm
  vkft_harden(link VKFT_HAVE_RELRO -Wl,-z,relro,-z,now,-z,noexecstack)
  if(NOT APPLE) # whose programs all are
    vkft_harden(compile VKFT_HAVE_FPIE -fPIE)
    vkft_harden(link VKFT_HAVE_PIE -pie)
  endif()
endif()

# Checked copies of libc's functions. They need optimization, and stand in the way of the sanitizers, which check more.
if(NOT VKFT_SANITIZE AND NOT VKFT_FUZZ AND NOT VKFT_COVERAGE)
  foreach(level 3 2)
    set(CMAKE_REQUIRED_FLAGS "-O2 -Werror -U_FORTIFY_SOURCE -D_FORTIFY_SOURCE=${level}")
    check_c_source_compiles("#include <string.h>
#include <stdio.h>
int main(int argc, char **argv) { char a[8]; strcpy(a, argv[argc - 1]); return puts(a); }" VKFT_HAVE_FORTIFY_${level})
    if(VKFT_HAVE_FORTIFY_${level})
      target_compile_options(vkft_flags INTERFACE $<$<NOT:$<CONFIG:Debug>>:-U_FORTIFY_SOURCE> $<$<NOT:$<CONFIG:Debug>>:-D_FORTIFY_SOURCE=${level}>)
      break()
    endif()
  endforeach()
  unset(CMAKE_REQUIRED_FLAGS)
endif()
