// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {IAttestationVerifier} from "../IAttestationVerifier.sol";

/// Sets of attestors, their succession, and the walk over an attestation's records; what a key and a signature are is
/// the heir's business.
///
/// There is one present set and at most one that waits. A set counts until its successor is put in place and not a
/// moment longer: whoever stole its keys later has nothing (Ronin, Harmony, Orbit). A checkpoint that the former set
/// signed and nobody submitted is signed again by the new one; the time lock leaves a day to submit it.
abstract contract Quorum is IAttestationVerifier {
    /// From a proposal to the moment when it can be put in place: time for everybody to see it, and to withdraw.
    uint256 public constant ROTATION_DELAY = 24 hours;
    /// Attestors of one set.
    uint256 public constant SIZE_MAX = 16;

    bytes32 private constant DOMAIN_TYPE =
        keccak256("EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)");
    bytes32 private constant ROTATION_TYPE =
        keccak256("Rotation(uint64 setId,uint64 round,bytes32 setHash,uint8 threshold)");

    /// The keys are none, too many, or not a whole number of keys.
    error KeysMalformed(uint256 length);
    /// A key of zeros, or one that stands twice.
    error KeyRefused(uint256 index);
    /// Not `3 * threshold > 2 * size`, or more than there are attestors.
    error ThresholdUnfit(uint256 threshold, uint256 size);
    /// The present set does not attest this rotation in this round.
    error NotAttested();
    /// No rotation waits.
    error NoRotation();
    /// A rotation waits, and has to wait on.
    error TooEarly(uint256 executableAt);

    struct Set {
        uint64 id;
        uint8 size;
        uint8 threshold;
    }

    struct Waiting {
        uint64 executableAt;
        uint8 size;
        uint8 threshold;
        bytes32 setHash;
    }

    Set private present;
    Waiting private waiting;
    /// How many rotations were proposed. The present set signs it, so that each of its attestations proposes once: else
    /// anybody could hand in an old one again, start the delay anew, and keep a set in place for ever.
    uint64 public rotationRound;

    constructor(bytes memory keys, uint8 threshold) {
        uint8 size = install(1, keys, threshold);
        present = Set(1, size, threshold);
        emit RotationExecuted(1, keccak256(keys), threshold);
    }

    /// Bytes of one key in a set's list.
    function keyBytes() internal pure virtual returns (uint256);

    /// Bytes of one record of an attestation, its index included.
    function recordBytes() internal pure virtual returns (uint256);

    /// Stores the key at `offset` of `keys` as attestor `index` of set `half`, and refuses one that is zero or stands
    /// there already.
    function store(uint256 half, uint256 index, bytes memory keys, uint256 offset) internal virtual;

    /// The stored key of attestor `index` of set `half`, as it stood in the list.
    function load(uint256 half, uint256 index) internal view virtual returns (bytes memory);

    /// Whether `record` is a signature of attestor `index` of set `half` over `digest`. The index byte stands in front.
    function signedBy(uint256 half, uint256 index, bytes32 digest, bytes calldata record)
        internal
        view
        virtual
        returns (bool);

    /// @inheritdoc IAttestationVerifier
    function verify(bytes32 digest, uint64 setId, bytes calldata attestation) public view returns (bool) {
        Set memory set = present;
        if (setId != set.id) return false;
        uint256 record = recordBytes();
        // Exactly `threshold` records, at least one: no loop below decides over none.
        if (attestation.length != set.threshold * record) return false;
        uint256 above = 0;
        for (uint256 start = 0; start < attestation.length; start += record) {
            uint256 index = uint8(attestation[start]);
            // Strictly ascending, so that nobody signs twice.
            if (index < above || index >= set.size) return false;
            above = index + 1;
            if (!signedBy(set.id & 1, index, digest, attestation[start:start + record])) return false;
        }
        return true;
    }

    /// @inheritdoc IAttestationVerifier
    function currentSetId() external view returns (uint64) {
        return present.id;
    }

    /// @inheritdoc IAttestationVerifier
    function quorum() external view returns (uint8 size, uint8 threshold) {
        return (present.size, present.threshold);
    }

    /// The keys of the present set, as they were handed in.
    function presentKeys() external view returns (bytes memory keys) {
        for (uint256 index = 0; index < present.size; index++) {
            keys = bytes.concat(keys, load(present.id & 1, index));
        }
    }

    /// The rotation that waits; all zero if none does.
    function proposedRotation() external view returns (uint64 executableAt, uint8 size, uint8 threshold, bytes32 setHash) {
        return (waiting.executableAt, waiting.size, waiting.threshold, waiting.setHash);
    }

    /// @inheritdoc IAttestationVerifier
    /// @dev For the present round; each accepted proposal begins another.
    function rotationDigest(uint64 setId, bytes calldata keys, uint8 threshold) public view returns (bytes32) {
        bytes32 domain =
            keccak256(abi.encode(DOMAIN_TYPE, keccak256("DSM Attestors"), keccak256("1"), block.chainid, address(this)));
        bytes32 rotation = keccak256(abi.encode(ROTATION_TYPE, setId, rotationRound, keccak256(keys), threshold));
        return keccak256(abi.encodePacked("\x19\x01", domain, rotation));
    }

    /// @inheritdoc IAttestationVerifier
    function proposeRotation(bytes calldata keys, uint8 threshold, bytes calldata attestation) external {
        uint64 id = present.id + 1;
        if (!verify(rotationDigest(id, keys, threshold), present.id, attestation)) revert NotAttested();
        rotationRound += 1;
        uint8 size = install(id, keys, threshold);
        uint256 executableAt = block.timestamp + ROTATION_DELAY;
        bytes32 setHash = keccak256(keys);
        waiting = Waiting(uint64(executableAt), size, threshold, setHash);
        emit RotationProposed(id, setHash, threshold, executableAt);
    }

    /// @inheritdoc IAttestationVerifier
    function executeRotation() external {
        Waiting memory next = waiting;
        if (next.executableAt == 0) revert NoRotation();
        if (block.timestamp < next.executableAt) revert TooEarly(next.executableAt);
        uint64 id = present.id + 1;
        present = Set(id, next.size, next.threshold);
        delete waiting;
        emit RotationExecuted(id, next.setHash, next.threshold);
    }

    /// The 32 bytes of `data` from `offset` on; a key's length says how many of them are the key.
    function wordAt(bytes memory data, uint256 offset) internal pure returns (bytes32 word) {
        assembly ("memory-safe") {
            word := mload(add(add(data, 32), offset))
        }
    }

    /// Checks a set and writes its keys into the half of the storage that the set before it does not use.
    function install(uint64 id, bytes memory keys, uint8 threshold) private returns (uint8) {
        uint256 size = keys.length / keyBytes();
        if (size == 0 || size > SIZE_MAX || keys.length != size * keyBytes()) revert KeysMalformed(keys.length);
        // Three times the threshold above twice the size implies a threshold above zero.
        if (threshold > size || 3 * uint256(threshold) <= 2 * size) revert ThresholdUnfit(threshold, size);
        for (uint256 index = 0; index < size; index++) {
            store(id & 1, index, keys, index * keyBytes());
        }
        return uint8(size);
    }
}
