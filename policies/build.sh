#!/bin/bash
# The canonical build of the standard policies: bytes that depend on sources, compiler and linker alone.
#
#   ./build.sh           builds every policy into dist/ and writes dist.lock
#   ./build.sh --check   builds into a temporary directory, runs the behaviour tests, compares with dist/
#   ./build.sh --into D  builds every policy into the directory D and does nothing else
#   ./build.sh --named D the same, with the names of functions in it, for `dsm policy profile` and `mutate`
#
# Toolchain: rustup's target wasm32v1-none where it is installed, else Debian's rustc-web, cargo-web,
# rust-web-src and lld, with `core` and `alloc` built once into .sysroot/.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
project=$(dirname "$here")
target=wasm32v1-none
cd "$here"

# Stack first and small: stack, data and heap of one evaluation fit into one or two pages, so resetting a fresh
# instance needs no system call. At most 64 pages, as the gate demands.
link_flags=(-Clink-arg=-zstack-size=32768 -Clink-arg=--max-memory=4194304)

find_toolchain() {
    if command -v rustup >/dev/null && sysroot=$(rustc --print sysroot 2>/dev/null) &&
        [ -d "$sysroot/lib/rustlib/$target/lib" ]; then
        cargo=(cargo) rustc=(rustc) source_flags=()
        linker_name=$("$sysroot"/lib/rustlib/*/bin/rust-lld -flavor wasm --version)
        rust_source=$sysroot/lib/rustlib/src/rust
    elif [ -x /usr/bin/rustc ] && [ -x /usr/bin/cargo ] && command -v wasm-ld >/dev/null &&
        rust_source=$(/usr/bin/rustc --print sysroot)/lib/rustlib/src/rust && [ -d "$rust_source/library/core" ]; then
        cargo=(env "PATH=/usr/bin:/bin" RUSTC=/usr/bin/rustc /usr/bin/cargo) rustc=(/usr/bin/rustc)
        linker_name=$(wasm-ld --version)
        export CARGO_TARGET_WASM32V1_NONE_LINKER=wasm-ld
        overlay=$here/.sysroot/$(/usr/bin/rustc --version | tr -c 'a-zA-Z0-9.\n' '-')
        [ -d "$overlay/lib/rustlib/$target/lib" ] || build_overlay
        source_flags=("--sysroot=$overlay")
    else
        echo "no WASM toolchain here; one of these gets it:" >&2
        echo "  rustup target add $target" >&2
        echo "  apt-get install rustc-web cargo-web rust-web-src lld" >&2
        exit 2
    fi
    compiler_name=$("${rustc[@]}" --version)
}

# `core`, `alloc` and `panic_abort` of Debian's compiler for the target, beside it and without root.
build_overlay() {
    echo "building core and alloc for $target once, into ${overlay#"$project"/}" >&2
    local work out
    work=$(mktemp -d) out=$overlay/lib/rustlib/$target
    mkdir -p "$work/src" "$out"
    printf '[package]\nname = "seed"\nversion = "0.0.0"\nedition = "2024"\n[profile.release]\npanic = "abort"\nopt-level = 3\n' >"$work/Cargo.toml"
    echo '#![no_std]' >"$work/src/lib.rs"
    local flags="-Cembed-bitcode=yes"$'\x1f'"--remap-path-prefix=$rust_source=/rust"
    flags+=$'\x1f'"--remap-path-prefix=$(readlink -f "$rust_source")=/rust"$'\x1f'"--remap-path-prefix=$work=/seed"
    (cd "$work" && RUSTC_BOOTSTRAP=1 CARGO_ENCODED_RUSTFLAGS=$flags "${cargo[@]}" build --quiet --release \
        --target "$target" --target-dir "$work/target" -Zbuild-std=core,alloc,panic_abort)
    mkdir "$out/lib.partial"
    cp "$work/target/$target/release/deps/"*.rlib "$out/lib.partial/"
    rm -f "$out/lib.partial/"libseed-*.rlib
    mv "$out/lib.partial" "$out/lib"
    rm -rf "$work"
}

# build_into DIR: the modules, named after their crate's library.
build_into() {
    local target_dir=$1/.target flags name
    flags=("${source_flags[@]}" "${link_flags[@]}"
        "--remap-path-prefix=$rust_source=/rust"
        "--remap-path-prefix=$(readlink -f "$rust_source" || echo "$rust_source")=/rust"
        "--remap-path-prefix=${CARGO_HOME:-$HOME/.cargo}/registry/src=/registry"
        "--remap-path-prefix=$project=/dsm")
    DSM_PROJECT=$project RUSTC_WRAPPER=$here/stable-rustc.sh CARGO_ENCODED_RUSTFLAGS=$(IFS=$'\x1f'; echo "${flags[*]}") "${cargo[@]}" build --quiet --locked --release --lib \
        --target "$target" --target-dir "$target_dir"
    for name in "$target_dir/$target/release/"*.wasm; do
        cp "$name" "$1/$(basename "$name" | tr _ -)"
    done
    rm -rf "$target_dir"
}

lock() {
    cargo run --quiet --manifest-path "$project/Cargo.toml" -p dsm-sdk --example policy_lock -- \
        --compiler "$compiler_name" --linker "$linker_name" "$here/dist" "$here/dist.lock"
}

# The value of a top-level key of dist.lock.
locked() {
    sed -n "s/^$1 = \"\(.*\)\"\$/\1/p" "$here/dist.lock"
}

check() {
    local fresh=$1 name drift=0
    cargo test --quiet --locked
    if [ "$(locked compiler)" != "$compiler_name" ] || [ "$(locked linker)" != "$linker_name" ]; then
        echo "toolchain drift: rebuilt, behaviour tests passed, bytes not compared"
        return
    fi
    for name in "$fresh"/*.wasm "$here"/dist/*.wasm; do
        cmp "$fresh/$(basename "$name")" "$here/dist/$(basename "$name")" || drift=1
    done
    [ "$drift" = 0 ] || { echo "dist/ is not what the sources give: run policies/build.sh" >&2; exit 1; }
    echo "rebuilt: every module is byte for byte the one in dist/"
}

find_toolchain
case "${1-}" in
    "")
        fresh=$(mktemp -d)
        trap 'rm -rf "$fresh"' EXIT
        build_into "$fresh"
        mkdir -p dist
        rm -f dist/*.wasm
        cp "$fresh"/*.wasm dist/
        lock
        ls -l dist | awk 'NR > 1 { print $5, $9 }'
        ;;
    --check)
        fresh=$(mktemp -d)
        trap 'rm -rf "$fresh"' EXIT
        build_into "$fresh"
        check "$fresh"
        ;;
    --into | --named)
        mkdir -p "${2:?"usage: build.sh $1 DIR"}"
        [ "$1" = --into ] || export CARGO_PROFILE_RELEASE_STRIP=false
        build_into "$(cd "$2" && pwd)"
        ;;
    *)
        echo "usage: build.sh [--check | --into DIR | --named DIR]" >&2
        exit 2
        ;;
esac
