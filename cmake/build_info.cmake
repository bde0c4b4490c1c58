# host/base/build.h: the facts of the configuration are filled in here, the commit at every build, by this same file
# run as a script (`cmake -P`). The source is rewritten, and the programs linked again, only when something changed.
if(CMAKE_SCRIPT_MODE_FILE)
  cmake_policy(VERSION 3.25)
  set(ASD_COMMIT unknown)
  # A source archive unpacked inside somebody's own repository must not show that repository's commit.
  execute_process(COMMAND git --no-optional-locks -C ${SOURCE} rev-parse --show-toplevel OUTPUT_VARIABLE top ERROR_QUIET
    OUTPUT_STRIP_TRAILING_WHITESPACE RESULT_VARIABLE no_git)
  if(NOT no_git)
    file(REAL_PATH "${SOURCE}" source)
    file(REAL_PATH "${top}" top)
  endif()
  if(NOT no_git AND top STREQUAL source)
    execute_process(COMMAND git --no-optional-locks -C ${SOURCE} describe --always --dirty --abbrev=12 --exclude=* OUTPUT_VARIABLE commit
      ERROR_QUIET OUTPUT_STRIP_TRAILING_WHITESPACE RESULT_VARIABLE no_commit)
    if(NOT no_commit)
      set(ASD_COMMIT ${commit})
    endif()
  endif()
  configure_file(${TEMPLATE} ${OUT} @ONLY)
  return()
endif()

string(TOUPPER "${CMAKE_BUILD_TYPE}" type)
list(JOIN C_OPTIONS " " options)
set(ASD_BUILD_FLAGS "${CMAKE_C_FLAGS} ${CMAKE_C_FLAGS_${type}} ${options}")
string(REPLACE "${PROJECT_SOURCE_DIR}" "." ASD_BUILD_FLAGS "${ASD_BUILD_FLAGS}")
string(REGEX REPLACE "[\\\"]" "\\\\\\0" ASD_BUILD_FLAGS "${ASD_BUILD_FLAGS}")
string(STRIP "${ASD_BUILD_FLAGS}" ASD_BUILD_FLAGS)
set(ASD_BUILD_CUDA "")
if(ASD_CUDA_USED)
  set(ASD_BUILD_CUDA "${CUDAToolkit_VERSION}")
endif()
set(ASD_BUILD_KISSFFT "${ASD_DEPS_kissfft-float_VERSION}")
set(generated ${PROJECT_BINARY_DIR}/generated)
set(ASD_COMMIT "@ASD_COMMIT@") # stays for the script
configure_file(${PROJECT_SOURCE_DIR}/cmake/build_info.c.in ${generated}/build_info.c.in @ONLY)
add_custom_target(asd_build_info BYPRODUCTS ${generated}/build_info.c
  COMMAND ${CMAKE_COMMAND} -DSOURCE=${PROJECT_SOURCE_DIR} -DTEMPLATE=${generated}/build_info.c.in
          -DOUT=${generated}/build_info.c -P ${CMAKE_CURRENT_LIST_FILE}
  COMMENT "Writing the commit of this build" VERBATIM)
target_sources(asd PRIVATE ${generated}/build_info.c)
add_dependencies(asd asd_build_info)
