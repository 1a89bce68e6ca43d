#!/bin/sh
# Cargo runs this in front of rustc for the crates of this workspace. It changes how four of them are linked, which
# Cargo has no stable way to say for a single crate:
#
# - hcs-worker is linked statically (ordinary GNU target), because it is exec'd for every compute system and
#   static exec+exit costs half of the dynamic one.
# - hcs is, because its start is a part of what people wait for: a third less. Where it is optimised, what it goes through most
#   lies together; see ordered.sh.
# - hcs-guest is, because it runs in guests of which nothing is known.
# - libcomputecore.so gets its versioned symbol list in place of the nameless one that rustc makes.
case "${CARGO_BIN_NAME:-}:${CARGO_CRATE_NAME:-}:$*" in
hcs:*opt-level=3*)
    exec "$@" -C target-feature=+crt-static -C relocation-model=static -C linker="$(dirname "$0")/ordered.sh"
    ;;
hcs-worker:* | hcs-guest:* | hcs:*)
    exec "$@" -C target-feature=+crt-static -C relocation-model=static
    ;;
:computecore:*)
    exec "$@" -C linker="$(dirname "$0")/versioned.sh"
    ;;
esac
exec "$@"
