#!/bin/bash
# Runs the contracts' tests with forge and compares the gas of five calls with .gas-snapshot.
#
#   ./test.sh             the last line counts the tests as cargo does
#   ./test.sh --gas       writes .gas-snapshot anew
#
# Exit code 2: the toolchain (node, npm's solc and forge) is not available here.
set -uo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"
. tools/toolchain.sh

forge=$(find "$DSM_NPM/@foundry-rs" -path '*/bin/forge' -type f -perm -u+x | head -1)
if ! "$forge" --version; then
    echo "no forge for this machine" >&2
    exit 2
fi
options=(--offline --use "$PWD/tools/solc" --out "$scratch/out" --cache-path "$scratch/cache" --color never)

if [ "${1:-}" = --gas ]; then
    "$forge" snapshot "${options[@]}" --match-contract GasTest --snap .gas-snapshot
    exit
fi

"$forge" test "${options[@]}" 2>&1 | tee "$scratch/output"
code=${PIPESTATUS[0]}
# Of the last line: "Ran 8 test suites in ...: 105 tests passed, 0 failed, 0 skipped (105 total tests)".
counts=$(sed -nE 's/^Ran [0-9]+ test suites? in .*: ([0-9]+) tests passed, ([0-9]+) failed, .*/\1 \2/p' "$scratch/output")
read -r passed failed <<<"${counts:-0 1}"
if ! "$forge" snapshot "${options[@]}" --match-contract GasTest --check .gas-snapshot --tolerance 1; then
    echo "the gas is not that of .gas-snapshot (within one percent): if it is meant, ./test.sh --gas"
    failed=$((failed + 1))
fi
[ "$code" = 0 ] && [ "$failed" = 0 ] && verdict=ok || verdict=FAILED
echo "test result: $verdict. $passed passed; $failed failed"
[ "$verdict" = ok ]
