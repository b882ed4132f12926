// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {EcdsaKeys} from "./EcdsaQuorum.sol";
import {Quorum} from "./Quorum.sol";
import {SlhDsaKeys} from "./SlhDsaQuorum.sol";

/// k of n attestors, each of whom signs with secp256k1 **and** with SLH-DSA-SHA2-128s over one digest: whoever breaks one
/// scheme, or steals one of an attestor's two keys, has nothing.
/// Keys: address(20) ‖ PK.seed ‖ PK.root (32). Records: index(1) ‖ r(32) ‖ s(32) ‖ v(1) ‖ signature(7856).
contract HybridQuorum is EcdsaKeys, SlhDsaKeys {
    constructor(bytes memory keys, uint8 threshold) Quorum(keys, threshold) {}

    function keyBytes() internal pure override returns (uint256) {
        return 52;
    }

    function recordBytes() internal pure override returns (uint256) {
        return 7922;
    }

    function store(uint256 half, uint256 index, bytes memory keys, uint256 offset) internal override {
        storeSigner(half, index, keys, offset);
        storeSlhDsaKey(half, index, keys, offset + 20);
    }

    function load(uint256 half, uint256 index) internal view override returns (bytes memory) {
        return bytes.concat(loadSigner(half, index), loadSlhDsaKey(half, index));
    }

    function signedBy(uint256 half, uint256 index, bytes32 digest, bytes calldata record)
        internal
        view
        override
        returns (bool)
    {
        // The cheap one first.
        return ecdsaSignedBy(half, index, digest, record[1:66]) && slhDsaSignedBy(half, index, digest, record[66:]);
    }
}
