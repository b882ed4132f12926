#!/bin/bash
# The policies that are written in C, and the one that tries the C header: bytes that depend on sources, compiler and
# linker alone.
#
#   build.sh            builds them into policies/dist-c/ and writes policies/dist-c.lock
#   build.sh --check    builds them into a temporary directory and compares byte for byte
#
# Toolchain: clang and wasm-ld. It installs nothing; without them it says how to get them and exits with 2.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
policies=$(cd "$here/../.." && pwd)
project=$(dirname "$policies")

if ! command -v clang >/dev/null || ! command -v wasm-ld >/dev/null; then
    echo "clang and wasm-ld build policies in C; this gets them: apt-get install clang lld" >&2
    exit 2
fi
compiler=$(clang --version | head -1)
linker=$(wasm-ld --version)

# The features that the gate allows and no others, whatever this clang enables by itself; memory as policies/build.sh
# has it: stack first and small, at most 64 pages. No names, no producers: bytes alone.
flags=(--target=wasm32-unknown-unknown -mcpu=mvp -mbulk-memory -mmutable-globals -msign-ext -std=c11 -Os
    -ffreestanding -nostdlib -fvisibility=hidden -Wall -Wextra -Werror -Wno-unused-function
    -I "$project/sdk/policy/c" -Wl,--no-entry -Wl,--stack-first -Wl,-z,stack-size=32768
    -Wl,--max-memory=4194304 -Wl,--strip-all)

build_into() {
    local source
    mkdir -p "$1"
    for source in "$policies"/*/c/*.c "$project"/sdk/policy/c/*.c; do
        clang "${flags[@]}" -o "$1/$(basename "$source" .c).wasm" "$source"
    done
}

locked() {
    sed -n "s/^$1 = \"\(.*\)\"\$/\1/p" "$policies/dist-c.lock"
}

case "${1-}" in
    "")
        rm -rf "$policies/dist-c"
        build_into "$policies/dist-c"
        cargo run --quiet --manifest-path "$project/Cargo.toml" -p dsm-sdk --example policy_lock -- \
            --compiler "$compiler" --linker "$linker" "$policies/dist-c" "$policies/dist-c.lock"
        sed -i "1s|policies/build.sh|policies/spend-limit/c/build.sh|" "$policies/dist-c.lock"
        ls -l "$policies/dist-c" | awk 'NR > 1 { print $5, $9 }'
        ;;
    --check)
        fresh=$(mktemp -d)
        trap 'rm -rf "$fresh"' EXIT
        build_into "$fresh"
        if [ "$(locked compiler)" != "$compiler" ] || [ "$(locked linker)" != "$linker" ]; then
            echo "toolchain drift: rebuilt, bytes not compared"
            exit 0
        fi
        drift=0
        for name in "$fresh"/*.wasm "$policies"/dist-c/*.wasm; do
            cmp "$fresh/$(basename "$name")" "$policies/dist-c/$(basename "$name")" || drift=1
        done
        [ "$drift" = 0 ] || { echo "dist-c/ is not what the sources give: run ${BASH_SOURCE[0]}" >&2; exit 1; }
        echo "rebuilt: every module in C is byte for byte the one in dist-c/"
        ;;
    *)
        echo "usage: build.sh [--check]" >&2
        exit 2
        ;;
esac
