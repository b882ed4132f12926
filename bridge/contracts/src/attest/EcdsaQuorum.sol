// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {Quorum} from "./Quorum.sol";

/// Attestors' addresses, and the strict reading of their secp256k1 signatures.
abstract contract EcdsaKeys is Quorum {
    /// Half the order of secp256k1: a higher s is the twin of a lower one (EIP-2).
    uint256 private constant S_MAX = 0x7fffffffffffffffffffffffffffffff5d576e7357a4501ddfe92f46681b20a0;

    address[16][2] private signers;

    function storeSigner(uint256 half, uint256 index, bytes memory keys, uint256 offset) internal {
        address signer = address(bytes20(wordAt(keys, offset)));
        if (signer == address(0)) revert KeyRefused(index);
        for (uint256 other = 0; other < index; other++) {
            if (signers[half][other] == signer) revert KeyRefused(index);
        }
        signers[half][index] = signer;
    }

    /// r ‖ s ‖ v, 65 bytes at the beginning of `signature`; v is 27 or 28.
    function ecdsaSignedBy(uint256 half, uint256 index, bytes32 digest, bytes calldata signature)
        internal
        view
        returns (bool)
    {
        bytes32 s = bytes32(signature[32:64]);
        uint8 v = uint8(signature[64]);
        if (uint256(s) > S_MAX || (v != 27 && v != 28)) return false;
        // The precompile refuses r and s of zero or not below n, by answering nothing, which is read as zero here.
        // Without the gas for it solc's call reverts.
        address signer = ecrecover(digest, v, bytes32(signature[0:32]), s);
        return signer != address(0) && signer == signers[half][index];
    }

    function loadSigner(uint256 half, uint256 index) internal view returns (bytes memory) {
        return abi.encodePacked(signers[half][index]);
    }
}

/// k of n secp256k1 signatures, each by another attestor. Cheap, and classical.
/// Keys: addresses, 20 bytes each. Records: index(1) ‖ r(32) ‖ s(32) ‖ v(1).
contract EcdsaQuorum is EcdsaKeys {
    constructor(bytes memory keys, uint8 threshold) Quorum(keys, threshold) {}

    function keyBytes() internal pure override returns (uint256) {
        return 20;
    }

    function recordBytes() internal pure override returns (uint256) {
        return 66;
    }

    function store(uint256 half, uint256 index, bytes memory keys, uint256 offset) internal override {
        storeSigner(half, index, keys, offset);
    }

    function load(uint256 half, uint256 index) internal view override returns (bytes memory) {
        return loadSigner(half, index);
    }

    function signedBy(uint256 half, uint256 index, bytes32 digest, bytes calldata record)
        internal
        view
        override
        returns (bool)
    {
        return ecdsaSignedBy(half, index, digest, record[1:]);
    }
}
