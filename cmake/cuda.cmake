# The CUDA half: found by itself, never needed.
#
#   ASD_CUDA=AUTO  used when a toolkit is found; its absence is said in one line and nothing else changes
#   ASD_CUDA=ON    required: no toolkit is an error
#   ASD_CUDA=OFF   not looked for
#
# Adds kernels/*.cu and cuda/*.cu to the target `asd` and defines ASD_WITH_CUDA=1 for it and its users. The target
# kernel-resources lists registers, shared memory and spills of every kernel, and fails where one spills that
# spills.txt does not explain. Fast maths (--use_fast_math) is never switched on: results must be those of the CPU.
set(ASD_CUDA AUTO CACHE STRING "CUDA half of the library: AUTO, ON or OFF")
set_property(CACHE ASD_CUDA PROPERTY STRINGS AUTO ON OFF)
if(NOT ASD_CUDA MATCHES "^(AUTO|ON|OFF)$")
  message(FATAL_ERROR "ASD_CUDA is \"${ASD_CUDA}\"; valid: AUTO, ON, OFF")
endif()

# The oldest toolkit that compiles for an architecture.
set(ASD_CUDA_SINCE_80 11.0)
set(ASD_CUDA_SINCE_86 11.1)
set(ASD_CUDA_SINCE_89 11.8)
set(ASD_CUDA_SINCE_90a 12.0)
set(ASD_CUDA_SINCE_100 12.8)
set(ASD_CUDA_SINCE_120 12.8)

set(ASD_CUDA_USED OFF)
if(NOT ASD_CUDA STREQUAL OFF)
  file(GLOB CUDA_SOURCES CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/kernels/*.cu ${PROJECT_SOURCE_DIR}/cuda/*.cu)
  find_package(CUDAToolkit QUIET)
  if(NOT CUDAToolkit_FOUND AND ASD_CUDA STREQUAL ON)
    message(FATAL_ERROR "ASD_CUDA=ON, and no CUDA toolkit was found. Put nvcc on PATH or set CUDAToolkit_ROOT.")
  elseif(NOT CUDAToolkit_FOUND)
    message(STATUS "CUDA: no toolkit found, building for the CPU alone")
  elseif(NOT CUDA_SOURCES)
    message(STATUS "CUDA: toolkit ${CUDAToolkit_VERSION} found; there is no CUDA source in this tree, building for the CPU alone")
  else()
    if(NOT CMAKE_CUDA_COMPILER)
      set(CMAKE_CUDA_COMPILER ${CUDAToolkit_NVCC_EXECUTABLE})
    endif()
    if(NOT DEFINED CMAKE_CUDA_ARCHITECTURES)
      set(known)
      foreach(architecture 80 86 89 90a 100 120)
        if(NOT CUDAToolkit_VERSION VERSION_LESS ASD_CUDA_SINCE_${architecture})
          list(APPEND known ${architecture})
        else()
          message(STATUS "CUDA: sm_${architecture} left out, it needs toolkit ${ASD_CUDA_SINCE_${architecture}}")
        endif()
      endforeach()
      set(CMAKE_CUDA_ARCHITECTURES "${known}" CACHE STRING "CUDA architectures to compile for")
    endif()
    enable_language(CUDA)
    message(STATUS "CUDA: toolkit ${CUDAToolkit_VERSION}, architectures ${CMAKE_CUDA_ARCHITECTURES}")
    target_sources(asd PRIVATE ${CUDA_SOURCES})
    # The target is older than the language, so nothing of this comes by itself.
    set_target_properties(asd PROPERTIES CUDA_STANDARD 17 CUDA_STANDARD_REQUIRED ON
      CUDA_ARCHITECTURES "${CMAKE_CUDA_ARCHITECTURES}")
    target_compile_definitions(asd PUBLIC ASD_WITH_CUDA=1)
    set(CUDA_OPTIONS -lineinfo -Xptxas=-v "-Xcompiler=-Wall,-Wextra,-Wno-unused-function")
    if(ASD_WERROR)
      list(APPEND CUDA_OPTIONS -Werror=all-warnings -Xcompiler=-Werror)
    endif()
    target_compile_options(asd PRIVATE "$<$<COMPILE_LANGUAGE:CUDA>:${CUDA_OPTIONS}>")
    # A list of its own: an empty launcher (no ccache) must not become an empty argument.
    set(ASD_CUDA_LAUNCHER ${CMAKE_CURRENT_LIST_DIR}/ptxas_log.sh ${CMAKE_CUDA_COMPILER_LAUNCHER})
    set_target_properties(asd PROPERTIES CUDA_COMPILER_LAUNCHER "${ASD_CUDA_LAUNCHER}")
    add_custom_target(kernel-resources DEPENDS asd VERBATIM COMMAND_EXPAND_LISTS
      COMMAND ${CMAKE_CURRENT_LIST_DIR}/kernel_resources.sh ${CMAKE_CURRENT_LIST_DIR}/spills.txt
        "$<FILTER:$<TARGET_OBJECTS:asd>,INCLUDE,[.]cu[.]o$>")
    # Static runtime: a program built here starts on a machine that has the driver alone.
    target_link_libraries(asd PUBLIC CUDA::cudart_static)
    set(ASD_CUDA_USED ON)
  endif()
endif()
if(NOT ASD_CUDA_USED)
  target_sources(asd PRIVATE ${PROJECT_SOURCE_DIR}/cuda/none.c)
endif()
