// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {IAttestationVerifier} from "../src/IAttestationVerifier.sol";
import {EcdsaQuorum} from "../src/attest/EcdsaQuorum.sol";
import {HybridQuorum} from "../src/attest/HybridQuorum.sol";
import {Quorum} from "../src/attest/Quorum.sol";
import {SlhDsaQuorum} from "../src/attest/SlhDsaQuorum.sol";
import {SlhDsaSha2128s} from "../src/attest/SlhDsaSha2128s.sol";
import {AttestVector} from "./AttestVector.sol";
import {Base} from "./Base.sol";

/// Who attests: any attestation, set and rotation that forge can think of, against what the ADR says of them. The rows of
/// bad committees, with signatures of SLH-DSA, are in tests/attestation.rs.
contract AttestTest is Base {
    bytes32 internal constant DIGEST = keccak256("a checkpoint");

    /// An attestation counts if, and only if, it is `threshold` whole records by attestors, strictly ascending.
    function testFuzz_onlyExactlyTheThresholdInOrderCounts(uint8[8] memory indices, uint256 count, bool sorted) public view {
        count = count % 9;
        bytes memory attestation;
        bool counts = count == THRESHOLD;
        for (uint256 i = 0; i < count; ++i) {
            // Sorted: gaps of 1 or 2, so that about half of them fit into seven. Else: anything, within the set or just
            // above it.
            uint256 index = sorted ? (i == 0 ? indices[i] % 2 : indices[i - 1] + 1 + indices[i] % 2) : indices[i] % 9;
            indices[i] = uint8(index);
            counts = counts && index < ATTESTORS && (i == 0 || index > indices[i - 1]);
            attestation = abi.encodePacked(attestation, record(index, attestorKey(1, index), DIGEST));
        }
        require(verifier.verify(DIGEST, 1, attestation) == counts, "the contract counts otherwise");
    }

    /// One changed bit anywhere, and nothing is attested.
    function testFuzz_everyBitOfAnAttestationCounts(uint256 bit) public view {
        bytes memory attestation = attest(1, DIGEST);
        require(verifier.verify(DIGEST, 1, attestation), "the whole one");
        bit = bit % (attestation.length * 8);
        attestation[bit / 8] ^= bytes1(uint8(1 << (bit % 8)));
        require(!verifier.verify(DIGEST, 1, attestation), "a flipped bit");
    }

    /// Another digest, another set's number, or bytes of no form: refused, and never a panic.
    function testFuzz_rubbishIsRefused(bytes32 digest, uint64 set, bytes memory attestation) public view {
        require(!verifier.verify(digest, set, attestation), "rubbish");
        require(!verifier.verify(digest, 1, attestation), "rubbish under the present set");
        if (digest != DIGEST) require(!verifier.verify(digest, 1, attest(1, DIGEST)), "another digest");
        if (set != 1) require(!verifier.verify(DIGEST, set, attest(1, DIGEST)), "another set");
    }

    /// Sets are quorums of more than two thirds of 1 to 16.
    function testFuzz_onlyQuorumsAreMade(uint256 size, uint8 threshold) public {
        size = size % 20;
        bytes memory keys;
        for (uint256 i = 0; i < size; ++i) keys = abi.encodePacked(keys, address(uint160(i + 1)));
        bool fits = size >= 1 && size <= 16 && threshold <= size && uint256(threshold) * 3 > size * 2;
        try new EcdsaQuorum(keys, threshold) returns (EcdsaQuorum made) {
            require(fits, "made, and no quorum");
            (uint8 n, uint8 k) = made.quorum();
            require(n == size && k == threshold && made.currentSetId() == 1, "another set");
            require(keccak256(made.presentKeys()) == keccak256(keys), "other keys");
        } catch {
            require(!fits, "a quorum, and not made");
        }
    }

    /// Whatever time passes, a proposed set counts from its execution on, no sooner than a day after its proposal, and
    /// the one before counts until then.
    function testFuzz_aSetWaitsOutItsDay(uint256 waited) public {
        waited = waited % 3 days;
        bytes memory keys = attestorKeys(2);
        verifier.proposeRotation(keys, THRESHOLD, attest(1, verifier.rotationDigest(2, keys, THRESHOLD)));
        vm.warp(BIRTH + waited);
        try verifier.executeRotation() {
            require(waited >= 24 hours, "too early");
        } catch (bytes memory refusal) {
            require(waited < 24 hours && bytes4(refusal) == Quorum.TooEarly.selector, "refused in time");
        }
        bool moved = waited >= 24 hours;
        require(verifier.verify(DIGEST, 1, attest(1, DIGEST)) == !moved, "the former set");
        require(verifier.verify(DIGEST, 2, attest(2, DIGEST)) == moved, "the present set");
        require(!verifier.verify(DIGEST, 1, attest(2, DIGEST)), "the present set under the former number");
        require(!verifier.verify(DIGEST, 2, attest(1, DIGEST)), "the former set under the present number");
    }

    /// Whoever calls, only an attestation moves the set (Wormhole: who verifies is never in the calldata).
    function testFuzz_nobodyRotatesAlone(address caller, bytes memory keys, uint8 threshold, bytes memory attestation) public {
        vm.prank(caller);
        vm.expectRevert(abi.encodePacked(Quorum.NotAttested.selector));
        verifier.proposeRotation(keys, threshold, attestation);
        vm.warp(BIRTH + 365 days);
        vm.prank(caller);
        vm.expectRevert(abi.encodePacked(Quorum.NoRotation.selector));
        verifier.executeRotation();
    }

    /// A hundred successions: each set is followed by the one it named, and the halves of the storage never mix.
    function test_setsFollowEachOther() public {
        for (uint64 set = 1; set <= 100; ++set) {
            bytes memory keys = attestorKeys(set + 1);
            verifier.proposeRotation(keys, THRESHOLD, attest(set, verifier.rotationDigest(set + 1, keys, THRESHOLD)));
            require(keccak256(verifier.presentKeys()) == keccak256(attestorKeys(set)), "the present keys moved early");
            vm.warp(BIRTH + uint256(set) * 1 days);
            verifier.executeRotation();
            require(verifier.currentSetId() == set + 1, "another number");
            require(verifier.verify(DIGEST, set + 1, attest(set + 1, DIGEST)), "the present set");
            require(!verifier.verify(DIGEST, set, attest(set, DIGEST)), "the former set");
        }
        require(verifier.rotationRound() == 100, "one round each");
    }
}

/// The Yul verifier on one signature of another implementation.
contract AttestSlhDsaTest is Base {
    SlhDsaSha2128s internal slhDsa;

    function setUp() public override {
        slhDsa = new SlhDsaSha2128s();
    }

    function test_aSignatureOfAnotherImplementationIsAccepted() public view {
        require(slhDsa.verify(AttestVector.KEY, AttestVector.MESSAGE, AttestVector.SIGNATURE), "the shared vector");
    }

    function testFuzz_everyBitOfASignatureCounts(uint256 bit) public view {
        bytes memory signature = AttestVector.SIGNATURE;
        bit = bit % (signature.length * 8);
        signature[bit / 8] ^= bytes1(uint8(1 << (bit % 8)));
        require(!slhDsa.verify(AttestVector.KEY, AttestVector.MESSAGE, signature), "a flipped bit");
    }

    function testFuzz_anotherKeyOrMessageIsRefused(bytes32 key, bytes32 message) public view {
        if (key != AttestVector.KEY) {
            require(!slhDsa.verify(key, AttestVector.MESSAGE, AttestVector.SIGNATURE), "another key");
        }
        if (message != AttestVector.MESSAGE) {
            require(!slhDsa.verify(AttestVector.KEY, message, AttestVector.SIGNATURE), "another message");
        }
    }

    function testFuzz_anotherLengthIsRefused(bytes memory signature) public view {
        if (signature.length != 7856) {
            require(!slhDsa.verify(AttestVector.KEY, AttestVector.MESSAGE, signature), "another length");
        }
    }

    /// With less gas than it needs the verifier reverts; it does not answer from what it has hashed so far.
    function testFuzz_starvedItReverts(uint256 gas_) public view {
        gas_ = 1_000 + gas_ % 560_000;
        try slhDsa.verify{gas: gas_}(AttestVector.KEY, AttestVector.MESSAGE, AttestVector.SIGNATURE) {
            revert("an answer without the gas for one");
        } catch {}
    }

    /// Each quorum makes its own verifier, and its code is the same.
    function test_quorumsMakeTheirVerifier() public {
        bytes32 key = AttestVector.KEY;
        SlhDsaQuorum one = new SlhDsaQuorum(abi.encodePacked(key), 1);
        HybridQuorum other = new HybridQuorum(abi.encodePacked(address(1), key), 1);
        require(address(one.slhDsa()).codehash == address(slhDsa).codehash, "SlhDsaQuorum");
        require(address(other.slhDsa()).codehash == address(slhDsa).codehash, "HybridQuorum");
        bytes memory attestation = abi.encodePacked(uint8(0), AttestVector.SIGNATURE);
        require(IAttestationVerifier(one).verify(AttestVector.MESSAGE, 1, attestation), "one of one");
    }
}
