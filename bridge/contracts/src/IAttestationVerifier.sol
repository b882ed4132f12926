// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

/// Who attests DSM checkpoints, and how their signatures are checked.
///
/// The sets of attestors live in the implementation's storage, never in calldata (Wormhole). `threshold` signatures of
/// `size` attestors are demanded with `3 * threshold > 2 * size` and `1 <= size <= 16`, checked in the constructor and
/// again for every rotation. An attestation is a list of records with strictly ascending attestor index, exactly
/// `threshold` of them; formats in ADR 0001.
interface IAttestationVerifier {
    /// A successor of the present set waits out its delay from here on.
    event RotationProposed(uint64 indexed setId, bytes32 setHash, uint8 threshold, uint256 executableAt);
    /// From here on `setId` is the present set, and nothing of the former one counts any more.
    event RotationExecuted(uint64 indexed setId, bytes32 setHash, uint8 threshold);

    /// Whether the present set attests `digest`. False, or a revert, for anything else: another set than the present one,
    /// an empty, short, long, duplicate or unsorted list, a high s, a recovered zero address. Never true for want of gas.
    function verify(bytes32 digest, uint64 setId, bytes calldata attestation) external view returns (bool);

    /// The number of the present set; the first is 1, zero never exists.
    function currentSetId() external view returns (uint64);

    /// Size and threshold of the present set.
    function quorum() external view returns (uint8 size, uint8 threshold);

    /// What the present set signs to name its successor: EIP-712, domain `{name "DSM Attestors", version "1", chainId,
    /// verifyingContract = this}`, struct `Rotation(uint64 setId,uint64 round,bytes32 setHash,uint8 threshold)`, where
    /// `setId` is the successor's number (the present one plus one), `round` counts the proposals so far, so that none is
    /// handed in twice, and `setHash` is keccak256 of `keys`.
    function rotationDigest(uint64 setId, bytes calldata keys, uint8 threshold) external view returns (bytes32);

    /// Anybody hands in a rotation that the present set attests. `keys` are the successor's keys, concatenated, as the
    /// implementation reads them. It replaces a rotation that waits; the delay, at least 24 hours, begins anew.
    function proposeRotation(bytes calldata keys, uint8 threshold, bytes calldata attestation) external;

    /// Anybody puts the proposed set in place, once its delay has passed.
    function executeRotation() external;
}
