# `make install`: programs, static library, headers, pkg-config file, CMake package, recipes, man pages.
#
#   PREFIX/include/asd.h            all public headers at once
#   PREFIX/include/asd/ROOM/x.h     each of them; inside the tree they are "ROOM/x.h", installed "asd/ROOM/x.h",
#                                   so that a user's own base/ or data/ folder cannot be taken for ours
include(CMakePackageConfigHelpers)

if(PROGRAMS)
  install(TARGETS ${PROGRAMS} DESTINATION ${CMAKE_INSTALL_BINDIR})
endif()
install(TARGETS asd asd_flags EXPORT asdTargets ARCHIVE DESTINATION ${CMAKE_INSTALL_LIBDIR}
  INCLUDES DESTINATION ${CMAKE_INSTALL_INCLUDEDIR})

# --- headers: asd.h and what it includes, directly or not ---
set(ASD_HEADERS_DIR ${CMAKE_BINARY_DIR}/installed-headers)
install(CODE "
  set(source \"${PROJECT_SOURCE_DIR}\")
  set(out \"${ASD_HEADERS_DIR}\")
  include(\"${PROJECT_SOURCE_DIR}/cmake/headers.cmake\")")
install(DIRECTORY ${ASD_HEADERS_DIR}/ DESTINATION ${CMAKE_INSTALL_INCLUDEDIR})

# --- CMake package ---
set(PACKAGE_DIR ${CMAKE_INSTALL_LIBDIR}/cmake/asd)
configure_package_config_file(${PROJECT_SOURCE_DIR}/cmake/asdConfig.cmake.in asdConfig.cmake
  INSTALL_DESTINATION ${PACKAGE_DIR} PATH_VARS CMAKE_INSTALL_DATADIR)
write_basic_package_version_file(asdConfigVersion.cmake COMPATIBILITY SameMinorVersion)
install(FILES ${CMAKE_CURRENT_BINARY_DIR}/asdConfig.cmake ${CMAKE_CURRENT_BINARY_DIR}/asdConfigVersion.cmake
  cmake/dependencies.cmake cmake/FindDNNL.cmake DESTINATION ${PACKAGE_DIR})
install(EXPORT asdTargets NAMESPACE asd:: DESTINATION ${PACKAGE_DIR})

# --- pkg-config file ---
# asd is a static library only, so what it needs is listed where plain `pkg-config --libs asd` finds it.
list(JOIN ASD_PKG_MODULES ", " PC_REQUIRES)
string(REGEX REPLACE "(>=)" " \\1 " PC_REQUIRES "${PC_REQUIRES}")
set(PC_LIBS "-ldnnl")
foreach(name ${OpenMP_C_LIB_NAMES})
  if(name STREQUAL "gomp" OR name STREQUAL "pthread")
    string(APPEND PC_LIBS " -l${name}")
  else() # clang's runtime lies in a folder of its own
    string(APPEND PC_LIBS " ${OpenMP_${name}_LIBRARY}")
  endif()
endforeach()
string(APPEND PC_LIBS " -lm")
if(ASD_SANITIZE)
  string(APPEND PC_LIBS " -fsanitize=address,undefined")
endif()
if(ASD_CUDA_USED)
  string(APPEND PC_LIBS " -L${CUDAToolkit_LIBRARY_DIR} -lcudart_static -lrt -ldl -lstdc++")
endif()
# The prefix is known when installing, not before: cmake --install --prefix may differ from the configured one.
foreach(kind LIB INCLUDE DATA)
  if(IS_ABSOLUTE "${CMAKE_INSTALL_${kind}DIR}")
    set(PC_${kind}DIR "${CMAKE_INSTALL_${kind}DIR}")
  else()
    set(PC_${kind}DIR "\${prefix}/${CMAKE_INSTALL_${kind}DIR}")
  endif()
endforeach()
file(READ cmake/asd.pc.in template)
string(REPLACE "@CMAKE_INSTALL_PREFIX@" "__PREFIX__" template "${template}")
string(CONFIGURE "${template}" content @ONLY)
file(WRITE ${CMAKE_BINARY_DIR}/asd.pc.prefixless "${content}")
install(CODE "
  file(READ \"${CMAKE_BINARY_DIR}/asd.pc.prefixless\" content)
  string(REPLACE \" \" \"\\\\ \" prefix \"\${CMAKE_INSTALL_PREFIX}\")
  string(REPLACE \"__PREFIX__\" \"\${prefix}\" content \"\${content}\")
  file(WRITE \"${CMAKE_BINARY_DIR}/asd.pc\" \"\${content}\")")
install(FILES ${CMAKE_BINARY_DIR}/asd.pc DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig)

# --- recipes, man pages, the peer that asd-bench starts ---
if(EXISTS ${PROJECT_SOURCE_DIR}/recipes)
  install(DIRECTORY recipes DESTINATION ${CMAKE_INSTALL_DATADIR}/asd)
endif()
install(PROGRAMS bench/peers/kernels.py bench/peers/encoder.py DESTINATION ${CMAKE_INSTALL_DATADIR}/asd/peers)
