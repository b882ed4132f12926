// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

/// Verifies SLH-DSA-SHA2-128s (FIPS 205): pure, empty context, messages of 32 bytes. Stateless, and nobody's.
///
/// A signature is about 2,100 calls of the SHA-256 precompile and costs about 0.6 M gas, so it is written in Yul, over
/// memory at fixed addresses that no other code uses. Parameters (section 11, table 2): n = 16, h = 63, d = 7, h' = 9,
/// a = 12, k = 14, w = 16, m = 30; WOTS+ has len = 35 chains (32 for the message, 3 for its checksum).
///
/// Left out: the context string, the pre-hash variant, other parameter sets. A 32-byte digest is all that is attested.
contract SlhDsaSha2128s {
    /// The SHA-256 precompile is missing or is not SHA-256.
    error NoSha256();

    /// A call to an address without a precompile succeeds and writes nothing; hash chains would then be of no length.
    constructor() {
        if (sha256("abc") != 0xba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad) revert NoSha256();
    }

    /// slh_verify (algorithm 24): whether `signature` is `publicKey`'s (PK.seed ‖ PK.root) over `message`. False for a
    /// signature of any length but 7,856. Reverts if the gas does not suffice; it never answers from partial hashing.
    function verify(bytes32 publicKey, bytes32 message, bytes calldata signature) external view returns (bool) {
        // Memory, from 0x80 on (the whole call belongs to the block below, which does not come back):
        //   0x08a  a block for F and H (section 11.2.1): PK.seed(16) ‖ 0(48) ‖ ADRSc(22) ‖ 0xe0: first or left value(16)
        //          ‖ 0xf0: right value(16). Writing the word at 0xc0 writes ADRSc, and zeros before it.
        //   0x18a  the same for T_k and T_len: … ‖ ADRSc in the word at 0x1c0 ‖ 0x1e0: up to 35 values of 16 bytes
        // A truncated digest is a call that returns 16 bytes, straight to where the next call reads them.
        //
        // ADRSc (section 11.2), as a number: layer << 168 | tree << 104 | type << 96 | keypair << 64
        //   | chain or height << 32 | hash or index; types: 0 WOTS+ hash, 1 WOTS+ public key, 2 tree, 3 FORS tree,
        //   4 FORS roots.
        assembly ("memory-safe") {
            if sub(signature.length, 7856) {
                mstore(0, 0)
                return(0, 32)
            }
            // The part of the signature that is read next.
            let next := signature.offset
            // Successes are counted and not tested one by one: a call that fails (it cannot pay for its hash) leaves the
            // sum short for good, and the end reverts.
            let done := 0

            // H_msg (section 11.2.1) of M' = 0 ‖ 0 ‖ M (algorithm 24, line 9):
            // MGF1-SHA-256(R ‖ PK.seed ‖ SHA-256(R ‖ PK.seed ‖ PK.root ‖ M'), 30), one block of MGF1.
            calldatacopy(0x80, next, 16)
            mstore(0x90, publicKey)
            mstore(0xb0, 0)
            mstore(0xb2, message)
            done := staticcall(gas(), 2, 0x80, 82, 0xa0, 32)
            mstore(0xc0, 0)
            done := add(done, staticcall(gas(), 2, 0x80, 68, 0, 32))
            next := add(next, 16)

            // Algorithm 20, lines 7 to 11: md (21 bytes) ‖ idx_tree (54 bits of 7 bytes) ‖ idx_leaf (9 bits of 2 bytes).
            let md := mload(0)
            let tree := and(shr(32, md), 0x3fffffffffffff)
            let leaf := and(shr(16, md), 0x1ff)

            // PK.seed and the zeros after it, for all that follows.
            {
                let seed := shl(128, shr(128, publicKey))
                mstore(0x8a, seed)
                mstore(0xaa, 0)
                mstore(0x18a, seed)
                mstore(0x1aa, 0)
            }

            // fors_pkFromSig (algorithm 17): 14 trees of height 12.
            {
                let base := or(or(shl(104, tree), shl(96, 3)), shl(64, leaf))
                for { let i := 0 } lt(i, 14) { i := add(i, 1) } {
                    // base_2b (algorithm 4): 12 bits of md, from the top; with i before them, the leaf's index.
                    let index := or(shl(12, i), shr(244, md))
                    md := shl(12, md)
                    // Where the running value goes: left (0) if its index is even, right (16) if it is odd.
                    let side := shl(4, and(index, 1))
                    mstore(0xc0, or(base, index))
                    calldatacopy(0xe0, next, 16)
                    done := add(done, staticcall(gas(), 2, 0x8a, 102, or(0xe0, side), 16))
                    let parent := add(base, shl(32, 1))
                    for { let end := add(next, 192) } lt(next, end) { parent := add(parent, shl(32, 1)) } {
                        next := add(next, 16)
                        calldatacopy(xor(0xf0, side), next, 16)
                        index := shr(1, index)
                        side := shl(4, and(index, 1))
                        mstore(0xc0, or(parent, index))
                        done := add(done, staticcall(gas(), 2, 0x8a, 118, or(0xe0, side), 16))
                    }
                    next := add(next, 16)
                    mstore(add(0x1e0, shl(4, i)), mload(or(0xe0, side)))
                }
                // T_k over the 14 roots.
                mstore(0x1c0, add(base, shl(96, 1)))
                done := add(done, staticcall(gas(), 2, 0x18a, 310, 0xe0, 16))
            }

            // ht_verify (algorithm 13): 7 layers of XMSS trees of height 9. The node to be signed lies in 0xe0.
            for { let layer := 0 } lt(layer, 7) { layer := add(layer, 1) } {
                let base := or(shl(168, layer), shl(104, tree))

                // wots_pkFromSig (algorithm 8).
                {
                    let digits := shr(128, mload(0xe0))
                    {
                        // The checksum is the sum of 15 - digit over 32 digits. Digits are summed in pairs, pairs in
                        // 16-bit lanes, and a number modulo 2^16 - 1 is the sum of its lanes, here at most 480.
                        let sum := add(
                            and(digits, 0x0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f),
                            and(shr(4, digits), 0x0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f)
                        )
                        sum := add(
                            and(sum, 0x00ff00ff00ff00ff00ff00ff00ff00ff),
                            and(shr(8, sum), 0x00ff00ff00ff00ff00ff00ff00ff00ff)
                        )
                        // 35 digits of 4 bits, from the top: the message's, then the checksum's 12 bits.
                        digits := shl(116, or(shl(12, digits), sub(480, mod(sum, 0xffff))))
                    }
                    let adrs := or(base, shl(64, leaf))
                    for { let end := 0x1e0 } lt(end, 0x410) { end := add(end, 16) } {
                        // chain (algorithm 5), from the digit to 15. Each step is F under the hash address `hash`.
                        mstore(0xc0, adrs)
                        calldatacopy(0xe0, next, 16)
                        let hash := shr(252, digits)
                        let steps := xor(hash, 15)
                        if and(steps, 8) {
                            mstore8(0xdf, hash)
                            hash := add(staticcall(gas(), 2, 0x8a, 102, 0xe0, 16), hash)
                            mstore8(0xdf, hash)
                            hash := add(staticcall(gas(), 2, 0x8a, 102, 0xe0, 16), hash)
                            mstore8(0xdf, hash)
                            hash := add(staticcall(gas(), 2, 0x8a, 102, 0xe0, 16), hash)
                            mstore8(0xdf, hash)
                            hash := add(staticcall(gas(), 2, 0x8a, 102, 0xe0, 16), hash)
                            mstore8(0xdf, hash)
                            hash := add(staticcall(gas(), 2, 0x8a, 102, 0xe0, 16), hash)
                            mstore8(0xdf, hash)
                            hash := add(staticcall(gas(), 2, 0x8a, 102, 0xe0, 16), hash)
                            mstore8(0xdf, hash)
                            hash := add(staticcall(gas(), 2, 0x8a, 102, 0xe0, 16), hash)
                            mstore8(0xdf, hash)
                            hash := add(staticcall(gas(), 2, 0x8a, 102, 0xe0, 16), hash)
                        }
                        if and(steps, 4) {
                            mstore8(0xdf, hash)
                            hash := add(staticcall(gas(), 2, 0x8a, 102, 0xe0, 16), hash)
                            mstore8(0xdf, hash)
                            hash := add(staticcall(gas(), 2, 0x8a, 102, 0xe0, 16), hash)
                            mstore8(0xdf, hash)
                            hash := add(staticcall(gas(), 2, 0x8a, 102, 0xe0, 16), hash)
                            mstore8(0xdf, hash)
                            hash := add(staticcall(gas(), 2, 0x8a, 102, 0xe0, 16), hash)
                        }
                        if and(steps, 2) {
                            mstore8(0xdf, hash)
                            hash := add(staticcall(gas(), 2, 0x8a, 102, 0xe0, 16), hash)
                            mstore8(0xdf, hash)
                            hash := add(staticcall(gas(), 2, 0x8a, 102, 0xe0, 16), hash)
                        }
                        if and(steps, 1) {
                            mstore8(0xdf, hash)
                            hash := add(staticcall(gas(), 2, 0x8a, 102, 0xe0, 16), hash)
                        }
                        // 15 if, and only if, every step succeeded.
                        done := add(done, hash)
                        mstore(end, mload(0xe0))
                        digits := shl(4, digits)
                        adrs := add(adrs, shl(32, 1))
                        next := add(next, 16)
                    }
                    // T_len over the 35 ends, to the side of the tree's leaf.
                    mstore(0x1c0, or(or(base, shl(96, 1)), shl(64, leaf)))
                    done := add(done, staticcall(gas(), 2, 0x18a, 646, or(0xe0, shl(4, and(leaf, 1))), 16))
                }

                // xmss_pkFromSig (algorithm 11): 9 levels up. The root goes left, where the next layer reads it.
                base := add(base, shl(96, 2))
                for { let end := add(next, 144) } lt(next, end) { next := add(next, 16) } {
                    base := add(base, shl(32, 1))
                    calldatacopy(xor(0xf0, shl(4, and(leaf, 1))), next, 16)
                    leaf := shr(1, leaf)
                    mstore(0xc0, or(base, leaf))
                    done := add(done, staticcall(gas(), 2, 0x8a, 118, or(0xe0, shl(4, and(leaf, 1))), 16))
                }
                leaf := and(tree, 0x1ff)
                tree := shr(9, tree)
            }

            // H_msg 2; FORS 14 * (1 + 12) + 1; layers 7 * (35 chains * 15 + 1 + 9).
            if sub(done, 3930) { revert(0, 0) }
            mstore(0, eq(shr(128, mload(0xe0)), and(publicKey, 0xffffffffffffffffffffffffffffffff)))
            return(0, 32)
        }
    }
}
