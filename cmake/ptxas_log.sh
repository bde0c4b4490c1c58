#!/bin/sh
# ptxas_log.sh - runs a compiler, keeps what ptxas tells of each kernel in OBJECT.ptxas, and shows the rest.
#
# CMake puts it before the CUDA compiler (cmake/cuda.cmake); the compiler is called with -Xptxas -v, and the target
# kernel-resources reads the files.
object=
previous=
for argument in "$@"; do
    [ "$previous" != -o ] || object=$argument
    previous=$argument
done
if [ -z "$object" ]; then
    exec "$@"
fi
"$@" 2>"$object.ptxas"
status=$?
grep -vE '^ptxas info |^ +[0-9]+ bytes stack frame,' "$object.ptxas" >&2
exit $status
