#!/bin/sh
# The linker of hcs, where it is optimised: the functions in hcs.functions are put beside each other. What a command goes
# through would lie scattered in megabytes, and the first touch of each place costs microseconds, at its end once more.
#
# A name there has no digits of a build, so it fits the next compiler and the next release of a library as well, and all
# instances of a generic function. One that nothing has any more does no harm.
case " $* " in
*" -fuse-ld=lld "*) ;;
# No other knows such an order.
*) exec cc "$@" ;;
esac
functions="$(dirname "$0")/hcs.functions"
order="$(mktemp)" || exit
trap 'rm -f "$order"' EXIT
for argument; do
    case "$argument" in
    *.o) printf '%s\0' "$argument" ;;
    esac
done | xargs -0 nm --defined-only --format=posix | awk '
    NR == FNR { if (!/^#/) wanted[++count] = $1; next }
    $2 ~ /^[tTwW]$/ {
        name = $1
        sub(/\.llvm\.[0-9]+$/, "", name)
        sub(/17h[0-9a-f]+E$/, "E", name)
        gsub(/Cs[0-9A-Za-z]+_/, "Cs_", name)
        symbols[name] = symbols[name] $1 "\n"
    }
    END {
        for (i = 1; i <= count; i++) {
            # The C library has no object here, and its names are the same in every build.
            if (wanted[i] in symbols) printf "%s", symbols[wanted[i]]
            else print wanted[i]
        }
    }' "$functions" - > "$order"
cc "$@" "-Wl,--symbol-ordering-file=$order" -Wl,--no-warn-symbol-ordering
