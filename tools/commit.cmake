# Writes OUTPUT, a header that defines VKFT_COMMIT as the commit of the checkout SOURCE, "-dirty" with changes; "unknown" outside of git, as in an
# unpacked archive. The file keeps its time when nothing changed.
#
#   cmake -DSOURCE=DIR -DOUTPUT=FILE -P tools/commit.cmake
set(commit unknown)
find_package(Git QUIET)
if(GIT_FOUND AND EXISTS ${SOURCE}/.git)
  execute_process(COMMAND ${GIT_EXECUTABLE} -C ${SOURCE} describe --always --dirty --abbrev=12 --exclude=* OUTPUT_VARIABLE described
    OUTPUT_STRIP_TRAILING_WHITESPACE RESULT_VARIABLE code ERROR_QUIET)
  if(code EQUAL 0)
    set(commit ${described})
  endif()
endif()
file(CONFIGURE OUTPUT ${OUTPUT} CONTENT "/* Made by tools/commit.cmake. */\n#define VKFT_COMMIT \"${commit}\"\n" @ONLY)
