#!/bin/sh
# Cargo runs this in front of rustc for the crates of this workspace. It adds one flag to one program:
# hcs-worker is linked statically (ordinary GNU target), because it is exec'd for every compute system and
# static exec+exit costs half of the dynamic one. Cargo has no stable way to say so for a single program.
if [ "${CARGO_BIN_NAME:-}" = hcs-worker ]; then
    exec "$@" -C target-feature=+crt-static -C relocation-model=static
fi
exec "$@"
