#!/bin/sh
# The linker of libcomputecore.so: rustc's list of exported symbols is replaced by the one that is kept by hand, so
# that symbols have versions and nothing is exported by accident. Programs (tests) come through unchanged.
map="$(dirname "$0")/../../apps/capi/computecore.map"
for argument; do
    shift
    case "$argument" in
    -Wl,--version-script=*) argument="-Wl,--version-script=$map" ;;
    esac
    set -- "$@" "$argument"
done
exec cc "$@"
