#!/bin/bash
# Builds the artifacts that are committed in artifacts/: ABI, bytecode, the outbox's slot, the compiler's settings, the
# SHA-256 of every source.
#
#   ./build.sh            builds and replaces artifacts/
#   ./build.sh --check    builds and compares with artifacts/, byte for byte; 1 if they differ
#
# Exit code 2: the toolchain (node, and npm's solc) is not available here.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"
. tools/toolchain.sh

mkdir "$scratch/artifacts"
node tools/solc.js --artifacts "$scratch/artifacts"
if [ "${1:-}" = --check ]; then
    diff -rq "$scratch/artifacts" artifacts && echo "artifacts/ is what the sources say"
else
    mkdir -p artifacts
    rm -f artifacts/*.json
    cp "$scratch"/artifacts/*.json artifacts/
fi
