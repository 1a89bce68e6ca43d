#!/bin/sh
# Prints the functions that a command goes through, as hcs.functions has them. They are of what is built for release, with
# its symbols. Valgrind is needed, and a service if the command needs one:
#
#   cd tools/linking
#   { ./recorded.sh ../../target/release/hcs run web; ./recorded.sh ../../target/release/hcs list; } | awk '!seen[$0]++' > hcs.functions
calls="$(mktemp)" || exit
trap 'rm -f "$calls"' EXIT
valgrind --quiet --tool=callgrind --demangle=no --callgrind-out-file="$calls" "$@" > /dev/null || exit
sed -nE "s/^c?fn=\([0-9]+\) ([A-Za-z_][^']*).*/\1/p" "$calls" |
    sed -E 's/\.llvm\.[0-9]+$//; s/17h[0-9a-f]+E$/E/; s/Cs[0-9A-Za-z]+_/Cs_/g' |
    awk '!seen[$0]++'
