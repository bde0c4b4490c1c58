# -DASD_FUZZ=ON, with clang: tests/fuzz/fuzz_NAME.c, one libFuzzer program for each parser of files that others made, and the
# generator of their first inputs. Only the rooms that parse are built, with AddressSanitizer and UndefinedBehaviorSanitizer.
# tests/run_fuzz.sh configures, builds and runs them.
if(NOT CMAKE_C_COMPILER_ID STREQUAL Clang)
  message(FATAL_ERROR "ASD_FUZZ needs clang's libFuzzer: -DCMAKE_C_COMPILER=clang")
endif()
set(FUZZ_CHECKS -fsanitize=address,undefined -fno-sanitize-recover=undefined -fno-omit-frame-pointer)
set(CMAKE_C_FLAGS_RELWITHDEBINFO "-O1 -g") # asserts stay

file(GLOB FUZZED CONFIGURE_DEPENDS host/base/*.c host/audio/*.c host/nn/weights*.c host/nn/pt_*.c host/nn/st_header.c
     host/data/names.c host/score/csv.c cuda/*.c)
add_library(asd_fuzzed STATIC ${FUZZED})
target_include_directories(asd_fuzzed SYSTEM PRIVATE ${RANDOM123_INCLUDE})
target_compile_options(asd_fuzzed PRIVATE -fsanitize=fuzzer-no-link ${FUZZ_CHECKS})
target_link_libraries(asd_fuzzed PUBLIC asd_flags ${ASD_LIBRARIES})

file(GLOB FUZZ_MAINS CONFIGURE_DEPENDS tests/fuzz/fuzz_*.c)
foreach(main ${FUZZ_MAINS})
  get_filename_component(name ${main} NAME_WE)
  add_executable(${name} ${main})
  target_compile_options(${name} PRIVATE -fsanitize=fuzzer ${FUZZ_CHECKS})
  target_link_options(${name} PRIVATE -fsanitize=fuzzer,address,undefined)
  target_include_directories(${name} PRIVATE tests/fuzz)
  target_link_libraries(${name} PRIVATE asd_fuzzed)
endforeach()
add_executable(make_seeds tests/fuzz/make_seeds.c)
target_include_directories(make_seeds PRIVATE tests)
target_link_options(make_seeds PRIVATE -fsanitize=address,undefined)
target_link_libraries(make_seeds PRIVATE asd_fuzzed)
