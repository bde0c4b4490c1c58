# asd_simt: the library as a CUDA build has it, with the kernels' real source compiled as C++ and run on the CPU by
# cuda/simt. For tests alone: nothing of it is installed, no program of ours links it.
#
# tests/test_NAME.c that prove something of CUDA are built a second time against it, as test_NAME_simt.
enable_language(CXX)
file(GLOB SIMT_SOURCES CONFIGURE_DEPENDS cuda/simt/*.cc)
file(GLOB SIMT_KERNELS CONFIGURE_DEPENDS kernels/*.cu)

# A source file has one language in a folder, and .cu is nvcc's: each gets a C++ file that includes it.
set(SIMT_WRAPPERS)
foreach(kernel ${SIMT_KERNELS})
  get_filename_component(name ${kernel} NAME_WE)
  set(wrapper ${CMAKE_BINARY_DIR}/simt/${name}.cc)
  file(CONFIGURE OUTPUT ${wrapper} CONTENT "#include \"kernels/${name}.cu\"\n")
  list(APPEND SIMT_WRAPPERS ${wrapper})
endforeach()

# -Wno-array-bounds: gcc folds templates with the same code and then warns of one with the other's array size; the
# sanitizer's bounds are exact.
set(SIMT_OPTIONS -Wall -Wextra -Wshadow -Wno-unknown-pragmas -Wno-unused-function -Wno-array-bounds -ffp-contract=off)
if(CMAKE_CXX_COMPILER_ID MATCHES Clang)
  list(APPEND SIMT_OPTIONS -Wno-pass-failed) # #pragma unroll is meant for nvcc
endif()
if(ASD_WERROR)
  list(APPEND SIMT_OPTIONS -Werror)
endif()
if(ASD_SANITIZE)
  list(APPEND SIMT_OPTIONS -fsanitize=address,undefined -fno-sanitize-recover=undefined -fno-omit-frame-pointer)
endif()

add_library(asd_simt STATIC EXCLUDE_FROM_ALL ${KERNEL_SOURCES} ${SIMT_SOURCES} ${SIMT_WRAPPERS}
  $<TARGET_OBJECTS:asd_host> ${PROJECT_BINARY_DIR}/generated/build_info.c)
add_dependencies(asd_simt asd_build_info)
target_include_directories(asd_simt SYSTEM PRIVATE ${RANDOM123_INCLUDE})
target_compile_definitions(asd_simt PUBLIC ASD_WITH_CUDA=1 ASD_SIMT=1)
target_compile_features(asd_simt PRIVATE cxx_std_17)
target_compile_options(asd_simt PRIVATE "$<$<COMPILE_LANGUAGE:CXX>:${SIMT_OPTIONS}>")
target_link_libraries(asd_simt PUBLIC asd_flags ${ASD_LIBRARIES})
# -Og is no choice here: the kernels are loops, and a block's threads run one after the other.
set_target_properties(asd_simt PROPERTIES LINKER_LANGUAGE CXX)

add_library(asd_simt_test_parts STATIC EXCLUDE_FROM_ALL ${TEST_PARTS})
target_link_libraries(asd_simt_test_parts PUBLIC asd_simt PkgConfig::CMOCKA)
target_include_directories(asd_simt_test_parts PUBLIC tests)
if(TOOL_PARTS)
  add_library(asd_simt_tools STATIC EXCLUDE_FROM_ALL ${TOOL_PARTS})
  target_link_libraries(asd_simt_tools PUBLIC asd_simt)
  target_include_directories(asd_simt_tools PUBLIC tests) # of the references
endif()

# Kernels made for these tests: tests/simt/*.cu, and what they must show; matmul.cu and spectrum.cu on a device too.
file(GLOB SIMT_TEST_KERNELS CONFIGURE_DEPENDS tests/simt/*.cu)
set(SIMT_TEST_WRAPPERS)
foreach(kernel ${SIMT_TEST_KERNELS})
  get_filename_component(name ${kernel} NAME_WE)
  set(wrapper ${CMAKE_BINARY_DIR}/simt/test_${name}.cc)
  file(CONFIGURE OUTPUT ${wrapper} CONTENT "#include \"tests/simt/${name}.cu\"\n")
  list(APPEND SIMT_TEST_WRAPPERS ${wrapper})
endforeach()
if(SIMT_TEST_WRAPPERS)
  target_sources(asd_simt_test_parts PRIVATE ${SIMT_TEST_WRAPPERS})
  target_compile_features(asd_simt_test_parts PRIVATE cxx_std_17)
  target_compile_options(asd_simt_test_parts PRIVATE "$<$<COMPILE_LANGUAGE:CXX>:${SIMT_OPTIONS}>")
endif()

# Uses of a stack after return are looked for in C alone: a second stack for every thread takes twice the time.
set(SIMT_ENVIRONMENT "${TEST_ENVIRONMENT}")
if(ASD_SANITIZE)
  list(APPEND SIMT_ENVIRONMENT "ASAN_OPTIONS=strict_string_checks=1")
endif()
function(add_simt_test name source)
  add_executable(${name} ${source})
  if(TOOL_PARTS)
    target_link_libraries(${name} PRIVATE asd_simt_tools)
  endif()
  target_link_libraries(${name} PRIVATE asd_simt_test_parts)
  set_target_properties(${name} PROPERTIES LINKER_LANGUAGE CXX)
  add_test(NAME ${name} COMMAND ${name})
  set_tests_properties(${name} PROPERTIES TIMEOUT 900 ENVIRONMENT "${SIMT_ENVIRONMENT}")
endfunction()

# The shim's own tests (whose faults leave threads in the middle), and the tests that run on every backend there is.
add_simt_test(test_simt tests/simt/test_simt.c)
add_simt_test(test_matmul_simt tests/simt/test_matmul.c)
add_simt_test(test_spectrum_simt tests/simt/test_spectrum.c)
add_simt_test(test_random_simt tests/simt/test_random.c)
# The same with the stacks switched as on machines other than x86-64.
add_simt_test(test_simt_ucontext tests/simt/test_simt.c)
target_sources(test_simt_ucontext PRIVATE cuda/simt/fiber.cc)
target_compile_definitions(test_simt_ucontext PRIVATE SIMT_UCONTEXT)
target_compile_features(test_simt_ucontext PRIVATE cxx_std_17)
target_compile_options(test_simt_ucontext PRIVATE "$<$<COMPILE_LANGUAGE:CXX>:${SIMT_OPTIONS}>")
set_tests_properties(test_simt test_simt_ucontext PROPERTIES ENVIRONMENT "${TEST_ENVIRONMENT}")
if(ASD_CUDA_USED)
  foreach(area matmul spectrum random)
    add_executable(test_${area} tests/simt/test_${area}.c tests/simt/${area}.cu)
    set_target_properties(test_${area} PROPERTIES CUDA_STANDARD 17 CUDA_STANDARD_REQUIRED ON
      CUDA_ARCHITECTURES "${CMAKE_CUDA_ARCHITECTURES}")
    target_link_libraries(test_${area} PRIVATE asd_test_parts)
    add_test(NAME test_${area} COMMAND test_${area})
    set_tests_properties(test_${area} PROPERTIES ENVIRONMENT "${TEST_ENVIRONMENT}")
  endforeach()
endif()
foreach(area ops ops_special attention encoder encoder_batch tokens mahalanobis knn detect_device score_embeddings gpu gemm plan plan_cuda adam logmel front train_cuda info_gpu)
  if(EXISTS ${PROJECT_SOURCE_DIR}/tests/test_${area}.c)
    add_simt_test(test_${area}_simt tests/test_${area}.c)
  endif()
endforeach()
# Blocks and threads last to first: no result may depend on the order. A kernel that does gives a wrong result the first
# time, so each runs once.
add_test(NAME test_ops_simt_reverse COMMAND test_ops_simt)
set_tests_properties(test_ops_simt_reverse PROPERTIES TIMEOUT 900
  ENVIRONMENT "${TEST_ENVIRONMENT};ASD_SIMT_ORDER=reverse;ASD_TEST_HASTE=once")

# asd-bench checks its results on every backend; nothing is timed here for its time.
add_simt_test(test_bench_simt tests/test_bench.c)

# Are these tests any good? tests/run_mutants.sh breaks the kernels one place at a time. Programs for it: the tests
# again, with the kernels in a shared object, before which LD_PRELOAD puts a broken one.
option(ASD_MUTANTS "Build and run the mutation test of the CUDA kernels" OFF)
if(ASD_MUTANTS)
  add_library(asd_simt_kernels SHARED ${SIMT_WRAPPERS} ${SIMT_TEST_WRAPPERS})
  target_compile_definitions(asd_simt_kernels PRIVATE ASD_WITH_CUDA=1 ASD_SIMT=1)
  target_compile_features(asd_simt_kernels PRIVATE cxx_std_17)
  target_compile_options(asd_simt_kernels PRIVATE ${SIMT_OPTIONS})
  target_include_directories(asd_simt_kernels SYSTEM PRIVATE ${RANDOM123_INCLUDE})
  target_link_libraries(asd_simt_kernels PRIVATE asd_flags)
  foreach(source tests/test_ops.c tests/test_adam.c tests/test_logmel.c tests/test_mahalanobis.c tests/test_knn.c
          tests/test_front.c tests/test_attention.c tests/simt/test_matmul.c)
    get_filename_component(name ${source} NAME_WE)
    add_executable(${name}_mutants ${source})
    # first the shared object, and needed, so that no archive behind it is asked for the kernels
    target_link_options(${name}_mutants PRIVATE -Wl,--no-as-needed)
    target_link_libraries(${name}_mutants PRIVATE asd_simt_kernels asd_simt_test_parts)
    set_target_properties(${name}_mutants PROPERTIES LINKER_LANGUAGE CXX ENABLE_EXPORTS ON)
  endforeach()
endif()
