#!/bin/bash
# A compiler that forgets where the project lies: Cargo hashes the absolute path of crates outside the workspace
# into `-C metadata`, and with it into symbol names and the order of functions. Used by build.sh as RUSTC_WRAPPER.
args=("$@")
for ((i = 0; i < ${#args[@]}; i++)); do
    [ "${args[i]}" = --crate-name ] && name=${args[i + 1]}
done
case "${CARGO_MANIFEST_DIR-}" in
    "$DSM_PROJECT"/*)
        for ((i = 0; i < ${#args[@]}; i++)); do
            case "${args[i]}" in metadata=*) args[i]=metadata=dsm-$name ;; esac
        done
        ;;
esac
exec "${args[@]}"
