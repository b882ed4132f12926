#!/bin/sh
# What a container does before its node runs: it shows the node's public key to the others in /keys, waits for theirs,
# makes what secrets are missing, and becomes the node. /keys is sticky and each service has a user of its own: none
# can change what another has shown.
set -eu

say() { echo "entrypoint: $*" >&2; }

# show FILE: the key on stdin becomes /keys/FILE. A key that is there already and is another one ends the start.
show() {
    temporary=$(mktemp -p /keys)
    cat >"$temporary"
    chmod 0644 "$temporary"
    ln "$temporary" "/keys/$1" 2>/dev/null || true
    if ! cmp -s "$temporary" "/keys/$1"; then
        rm -f "$temporary"
        say "/keys/$1 holds another key than this node's: if the node's data was meant to be lost, remove that file"
        exit 4
    fi
    rm -f "$temporary"
}

# await FILE: until it is there.
await() {
    waited=0
    until [ -s "$1" ]; do
        [ "$waited" -gt 0 ] || say "waiting for $1"
        [ "$waited" -lt 120 ] || { say "$1 did not appear: is the service that writes it running?"; exit 3; }
        waited=$((waited + 1))
        sleep 1
    done
}

# access NAME SCOPES: an API key for a neighbour, in the volume that is shared with that one alone.
access() {
    [ -d "/access/$1" ] || return 0
    # The file may outlive what the node knows of it, when its data was restored.
    if [ -s "/access/$1/key" ] && dsm access key list | grep -qw "$1"; then return 0; fi
    rm -f "/access/$1/key.new"
    dsm access key revoke "$1" >/dev/null 2>&1 || true
    dsm access key new "$1" --scopes "$2" --to "/access/$1/key.new" >/dev/null
    chmod 0640 "/access/$1/key.new"
    mv "/access/$1/key.new" "/access/$1/key"
}

case $1 in
core)
    key=$(mktemp)
    dsm node key public --to "$key" >/dev/null
    show "$(hostname).pub" <"$key"
    rm -f "$key"
    for peer in $(echo "${DSM_CONNECT_PEERS:-}" | tr , ' '); do
        case $peer in
        *=*) ;; # the operator gives this key
        *) await "/keys/${peer%:*}.pub" ;;
        esac
    done
    # A secret that the operator gives as a file stands before the one made here.
    if [ -s /run/secrets/dsm-jwt-secret ]; then
        export DSM_JWT_SECRET_FILE=/run/secrets/dsm-jwt-secret
    elif ! [ -s "$DSM_JWT_SECRET_FILE" ]; then
        dsm access secret "$DSM_JWT_SECRET_FILE" >/dev/null
    fi
    access prometheus read
    access bridge 'read submit'
    exec dsm node
    ;;
storage)
    key=$(mktemp)
    dsm-storage-node key --to "$key" >/dev/null
    show "$(hostname).pub" <"$key"
    rm -f "$key"
    case ${DSM_STORAGE_CORE_KEY:-} in
    /*) await "$DSM_STORAGE_CORE_KEY" ;;
    esac
    exec dsm-storage-node run
    ;;
bridge)
    # Secrets that the operator gives as files; the admin's token is made here otherwise.
    secrets=/run/secrets/dsm-bridge
    if [ -s "$secrets-passphrase" ]; then export DSM_BRIDGE_PASSPHRASE_FILE="$secrets-passphrase"; fi
    if [ -s "$secrets-gas-key" ]; then export DSM_BRIDGE_GAS_KEY_FILE="$secrets-gas-key"; fi
    if [ -s "$secrets-admin-token" ]; then
        export DSM_BRIDGE_ADMIN_TOKEN_FILE="$secrets-admin-token"
    elif ! [ -s "$DSM_BRIDGE_ADMIN_TOKEN_FILE" ]; then
        (umask 077 && od -An -N32 -tx1 /dev/urandom | tr -d ' \n' >"$DSM_BRIDGE_ADMIN_TOKEN_FILE")
    fi
    exec dsm-bridge run
    ;;
*)
    exec "$@"
    ;;
esac
