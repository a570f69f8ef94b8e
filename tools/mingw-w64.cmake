# Cross compilation for 64-bit Windows with MinGW-w64:
#
#   tools/windows-libraries SOURCES DIR
#   cmake -G Ninja -S . -B build-windows -DCMAKE_TOOLCHAIN_FILE=tools/mingw-w64.cmake -DVKFT_WINDOWS_PREFIX=DIR -DVKFT_TESTS=OFF
#
# The program is static but for Windows' own libraries, and opens the Vulkan loader when it starts.
set(CMAKE_SYSTEM_NAME Windows)
set(CMAKE_SYSTEM_PROCESSOR x86_64)
set(CMAKE_C_COMPILER x86_64-w64-mingw32-gcc)
set(CMAKE_RC_COMPILER x86_64-w64-mingw32-windres)
set(CMAKE_EXE_LINKER_FLAGS_INIT -static)

set(VKFT_WINDOWS_PREFIX "" CACHE PATH "Libraries built for Windows")
list(APPEND CMAKE_TRY_COMPILE_PLATFORM_VARIABLES VKFT_WINDOWS_PREFIX)
list(APPEND CMAKE_PREFIX_PATH ${VKFT_WINDOWS_PREFIX})
set(CMAKE_FIND_ROOT_PATH ${VKFT_WINDOWS_PREFIX} /usr/x86_64-w64-mingw32)
set(CMAKE_FIND_ROOT_PATH_MODE_PROGRAM NEVER)
set(CMAKE_FIND_ROOT_PATH_MODE_LIBRARY ONLY)
set(CMAKE_FIND_ROOT_PATH_MODE_INCLUDE ONLY)
set(ENV{PKG_CONFIG_LIBDIR} "${VKFT_WINDOWS_PREFIX}/lib/pkgconfig")
