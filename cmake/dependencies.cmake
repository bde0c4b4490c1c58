# What libasd links to, found in the same way by the build and by an installed asdConfig.cmake.
# Keep in step with Requires in asd.pc.in, which is filled from ASD_PKG_MODULES, and with scripts/install-deps.sh.
set(ASD_PKG_MODULES "libfyaml>=0.7.12" "jansson>=2.13" "sndfile>=1.1" soxr "libzip>=1.7" openssl libxxhash libcurl
  openblas lapacke kissfft-float cairo pangocairo "hdf5-serial>=1.10.7")
find_package(PkgConfig REQUIRED)
pkg_check_modules(ASD_DEPS REQUIRED QUIET IMPORTED_TARGET GLOBAL ${ASD_PKG_MODULES})
find_package(OpenMP REQUIRED COMPONENTS C)
find_package(Threads REQUIRED)
find_package(DNNL 2.6...<3 REQUIRED)
