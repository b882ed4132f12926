# Sourced by build.sh and test.sh: sets DSM_NPM to a node_modules folder with solc and forge. Uses the one that DSM_NPM
# names already, or installs the pinned versions into a scratch folder. Exits with 2 where neither is possible.
if ! command -v node >/dev/null; then
    echo "no node here: the contracts' toolchain is not available" >&2
    exit 2
fi
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
if [ ! -f "${DSM_NPM:-}/solc/package.json" ] || [ ! -d "${DSM_NPM:-}/@foundry-rs" ]; then
    if ! npm install --prefix "$scratch/npm" --no-audit --no-fund --ignore-scripts \
        solc@0.8.37 @foundry-rs/forge@1.7.1 >"$scratch/npm.log" 2>&1; then
        tail -5 "$scratch/npm.log" >&2
        echo "npm cannot install solc and forge: the contracts' toolchain is not available" >&2
        exit 2
    fi
    DSM_NPM=$scratch/npm/node_modules
fi
export DSM_NPM
