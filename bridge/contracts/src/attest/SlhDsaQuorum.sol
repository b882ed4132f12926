// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {Quorum} from "./Quorum.sol";
import {SlhDsaSha2128s} from "./SlhDsaSha2128s.sol";

/// Attestors' SLH-DSA-SHA2-128s keys, and the verifier of their signatures.
abstract contract SlhDsaKeys is Quorum {
    /// Made here and by nobody else, so that its code is what was compiled with this contract.
    SlhDsaSha2128s public immutable slhDsa = new SlhDsaSha2128s();

    bytes32[16][2] private slhDsaKeys;

    function storeSlhDsaKey(uint256 half, uint256 index, bytes memory keys, uint256 offset) internal {
        bytes32 key = wordAt(keys, offset);
        if (key == 0) revert KeyRefused(index);
        for (uint256 other = 0; other < index; other++) {
            if (slhDsaKeys[half][other] == key) revert KeyRefused(index);
        }
        slhDsaKeys[half][index] = key;
    }

    function loadSlhDsaKey(uint256 half, uint256 index) internal view returns (bytes memory) {
        return abi.encodePacked(slhDsaKeys[half][index]);
    }

    function slhDsaSignedBy(uint256 half, uint256 index, bytes32 digest, bytes calldata signature)
        internal
        view
        returns (bool)
    {
        return slhDsa.verify(slhDsaKeys[half][index], digest, signature);
    }
}

/// k of n SLH-DSA-SHA2-128s signatures, each by another attestor: hashes alone, against whoever has a quantum computer.
/// Keys: PK.seed ‖ PK.root, 32 bytes each. Records: index(1) ‖ signature(7856).
contract SlhDsaQuorum is SlhDsaKeys {
    constructor(bytes memory keys, uint8 threshold) Quorum(keys, threshold) {}

    function keyBytes() internal pure override returns (uint256) {
        return 32;
    }

    function recordBytes() internal pure override returns (uint256) {
        return 7857;
    }

    function store(uint256 half, uint256 index, bytes memory keys, uint256 offset) internal override {
        storeSlhDsaKey(half, index, keys, offset);
    }

    function load(uint256 half, uint256 index) internal view override returns (bytes memory) {
        return loadSlhDsaKey(half, index);
    }

    function signedBy(uint256 half, uint256 index, bytes32 digest, bytes calldata record)
        internal
        view
        override
        returns (bool)
    {
        return slhDsaSignedBy(half, index, digest, record[1:]);
    }
}
