// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {DsmBridge} from "../src/DsmBridge.sol";
import {EcdsaQuorum} from "../src/attest/EcdsaQuorum.sol";
import {Quorum} from "../src/attest/Quorum.sol";
import {Base} from "./Base.sol";

/// Whose word about DSM's outbox is taken.
contract CheckpointsTest is Base {
    uint256 private constant ORDER = 0xfffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364141;

    function setUp() public override {
        super.setUp();
        for (uint256 i = 0; i < 5; ++i) pushLeaf(COIN, keccak256(abi.encode(i)));
    }

    function refuse(DsmBridge.Checkpoint memory c, bytes memory attestation, bytes4 refusal) private {
        vm.expectPartialRevert(refusal);
        bridge.submitCheckpoint(c, attestation);
    }

    function refuse(DsmBridge.Checkpoint memory c, bytes4 refusal) private {
        refuse(c, attest(1, digestOf(c)), refusal);
    }

    function test_five_of_seven_are_believed() public {
        DsmBridge.Checkpoint memory c = nextCheckpoint();
        eq(bridge.checkpointDigest(c), digestOf(c));
        checkpoint();
        (uint64 e, uint64 size, bytes32 root) = bridge.latest();
        eq(e, 1);
        eq(size, 5);
        eq(root, c.root);
        eq(bridge.checkpoints(1).root, c.root);
        eq(bridge.checkpoints(1).acceptedAt, BIRTH);
        eq(bridge.checkpoints(0).root, bytes32(0));
    }

    /// Nomad: nothing that is zero is ever trusted, however well it is signed.
    function test_nomad_zero_root_size_and_epoch_are_refused() public {
        DsmBridge.Checkpoint memory c = nextCheckpoint();
        c.root = bytes32(0);
        refuse(c, DsmBridge.ZeroRoot.selector);
        c = nextCheckpoint();
        c.size = 0;
        refuse(c, DsmBridge.ZeroSize.selector);
        c = nextCheckpoint();
        c.epoch = 0;
        refuse(c, DsmBridge.EpochNotRising.selector);
        c = nextCheckpoint();
        c.setId = 0;
        refuse(c, DsmBridge.NotAttested.selector);
    }

    function test_epochs_rise_and_sizes_never_fall() public {
        checkpoint();
        DsmBridge.Checkpoint memory c = nextCheckpoint();
        c.epoch = epoch;
        refuse(c, DsmBridge.EpochNotRising.selector);
        c = nextCheckpoint();
        c.size -= 1;
        refuse(c, DsmBridge.SizeShrinks.selector);
        c = nextCheckpoint();
        c.root = keccak256("history rewritten");
        refuse(c, DsmBridge.RootChanged.selector);
        // The same tree again, and gaps between epochs, are fine.
        checkpoint();
        epoch += 40;
        pushLeaf(COIN, keccak256("more"));
        checkpoint();
    }

    function test_two_checkpoints_of_one_epoch() public {
        DsmBridge.Checkpoint memory c = nextCheckpoint();
        bytes memory signed = attest(1, digestOf(c));
        bridge.submitCheckpoint(c, signed);
        refuse(c, signed, DsmBridge.EpochNotRising.selector);
        c.root = keccak256("another");
        refuse(c, DsmBridge.EpochNotRising.selector);
    }

    function test_another_networks_checkpoint_is_refused() public {
        DsmBridge.Checkpoint memory c = nextCheckpoint();
        c.network = keccak256("another network");
        refuse(c, DsmBridge.WrongNetwork.selector);
    }

    /// Every field is signed: changed after signing, none is believed.
    function test_each_field_is_signed() public {
        DsmBridge.Checkpoint memory c = nextCheckpoint();
        bytes memory signed = attest(1, digestOf(c));
        c.epoch += 1;
        refuse(c, signed, DsmBridge.NotAttested.selector);
        c = nextCheckpoint();
        c.size += 1;
        refuse(c, signed, DsmBridge.NotAttested.selector);
        c = nextCheckpoint();
        c.root = keccak256("x");
        refuse(c, signed, DsmBridge.NotAttested.selector);
        c = nextCheckpoint();
        c.position += 1;
        refuse(c, signed, DsmBridge.NotAttested.selector);
        bridge.submitCheckpoint(nextCheckpoint(), signed);
    }

    function test_replay_on_another_chain_and_another_bridge() public {
        DsmBridge.Checkpoint memory c = nextCheckpoint();
        bytes memory signed = attest(1, digestOf(c));
        vm.chainId(1);
        refuse(c, signed, DsmBridge.NotAttested.selector);
        vm.chainId(31_337);
        DsmBridge first = bridge;
        bridge = newBridge(address(verifier), address(coin));
        refuse(c, signed, DsmBridge.NotAttested.selector);
        bridge = first;
        bridge.submitCheckpoint(c, signed);
    }

    /// Ronin, Harmony, Orbit, and B12: every list that is not exactly five different attestors in order.
    function test_ronin_lists_of_signatures_that_are_refused() public {
        DsmBridge.Checkpoint memory c = nextCheckpoint();
        bytes32 digest = digestOf(c);
        bytes[7] memory r;
        for (uint256 i = 0; i < ATTESTORS; ++i) r[i] = record(i, attestorKey(1, i), digest);

        bytes[12] memory bad;
        bad[0] = "";
        bad[1] = abi.encodePacked(r[0], r[1], r[2], r[3]);
        bad[2] = abi.encodePacked(r[0], r[1], r[2], r[3], r[4], r[5]);
        bad[3] = abi.encodePacked(r[0], r[1], r[2], r[3], r[3]);
        bad[4] = abi.encodePacked(r[0], r[1], r[2], r[4], r[3]);
        bad[5] = abi.encodePacked(r[4], r[3], r[2], r[1], r[0]);
        bad[6] = abi.encodePacked(r[0], r[1], r[2], r[3], record(7, attestorKey(1, 7), digest));
        bad[7] = abi.encodePacked(r[0], r[1], r[2], r[3], record(4, attestorKey(1, 5), digest));
        bad[8] = abi.encodePacked(r[0], r[1], r[2], r[3], record(4, attestorKey(2, 4), digest));
        bad[9] = abi.encodePacked(r[0], r[1], r[2], r[3], record(4, attestorKey(1, 4), keccak256("else")));
        bad[10] = abi.encodePacked(r[0], r[1], r[2], r[3], r[4], uint8(0));
        bad[11] = abi.encodePacked(r[0], r[1], r[2], r[3], record(255, attestorKey(1, 4), digest));
        for (uint256 i = 0; i < bad.length; ++i) refuse(c, bad[i], DsmBridge.NotAttested.selector);
        (uint64 latest,,) = bridge.latest();
        eq(latest, 0);

        // Any five in order will do.
        bridge.submitCheckpoint(c, abi.encodePacked(r[0], r[2], r[3], r[5], r[6]));
    }

    /// The same signature in its other form (high s, or v of 0 and 1), and signatures that recover to nobody.
    function test_malleable_signatures_and_recovered_zero_are_refused() public {
        DsmBridge.Checkpoint memory c = nextCheckpoint();
        bytes32 digest = digestOf(c);
        bytes memory four;
        for (uint256 i = 0; i < 4; ++i) four = abi.encodePacked(four, record(i, attestorKey(1, i), digest));
        (uint8 v, bytes32 r, bytes32 s) = vm.sign(attestorKey(1, 4), digest);
        bytes32 high = bytes32(ORDER - uint256(s));
        bytes[8] memory last = [
            abi.encodePacked(uint8(4), r, high, v == 27 ? uint8(28) : uint8(27)),
            abi.encodePacked(uint8(4), r, s, v - 27),
            abi.encodePacked(uint8(4), r, s, v == 27 ? uint8(28) : uint8(27)),
            abi.encodePacked(uint8(4), r, s, uint8(29)),
            abi.encodePacked(uint8(4), bytes32(0), s, v),
            abi.encodePacked(uint8(4), r, bytes32(0), v),
            abi.encodePacked(uint8(4), bytes32(0), bytes32(0), uint8(0)),
            abi.encodePacked(uint8(4), bytes32(ORDER), s, v)
        ];
        for (uint256 i = 0; i < last.length; ++i) {
            refuse(c, abi.encodePacked(four, last[i]), DsmBridge.NotAttested.selector);
        }
        bridge.submitCheckpoint(c, abi.encodePacked(four, uint8(4), r, s, v));
    }

    /// A set counts until its successor is in place, and not a moment longer.
    function test_rotation_revokes_the_former_set() public {
        bytes memory keys = attestorKeys(2);
        bytes32 digest = verifier.rotationDigest(2, keys, THRESHOLD);
        vm.expectPartialRevert(Quorum.NotAttested.selector);
        verifier.proposeRotation(keys, THRESHOLD, attest(2, digest));
        verifier.proposeRotation(keys, THRESHOLD, attest(1, digest));
        vm.warp(block.timestamp + 24 hours - 1);
        vm.expectPartialRevert(Quorum.TooEarly.selector);
        verifier.executeRotation();
        checkpoint();
        vm.warp(block.timestamp + 1);
        verifier.executeRotation();

        DsmBridge.Checkpoint memory c = nextCheckpoint();
        refuse(c, DsmBridge.NotAttested.selector);
        c.setId = 2;
        refuse(c, attest(1, digestOf(c)), DsmBridge.NotAttested.selector);
        bridge.submitCheckpoint(c, attest(2, digestOf(c)));
    }

    function test_thresholds_that_two_thirds_do_not_exceed_are_refused() public {
        bytes memory keys;
        for (uint256 n = 1; n <= 10; ++n) {
            keys = abi.encodePacked(keys, vm.addr(attestorKey(3, n)));
            for (uint8 k = 0; k <= n + 1; ++k) {
                bool fits = k <= n && 3 * uint256(k) > 2 * n;
                try new EcdsaQuorum(keys, k) {
                    require(fits, "an unfit threshold is accepted");
                } catch {
                    require(!fits, "a fit threshold is refused");
                }
            }
        }
    }

    // --- revoking ---

    function test_the_guardian_takes_back_a_forged_checkpoint() public {
        checkpoint();
        DsmBridge.Checkpoint memory forged = nextCheckpoint();
        forged.epoch = type(uint64).max;
        forged.size = type(uint64).max;
        forged.root = keccak256("forged by stolen keys");
        bytes memory signed = attest(1, digestOf(forged));
        bridge.submitCheckpoint(forged, signed);

        vm.expectPartialRevert(DsmBridge.OnlyGuardian.selector);
        bridge.revokeLatest(forged.epoch);
        vm.expectPartialRevert(DsmBridge.NotPaused.selector);
        vm.prank(GUARDIAN);
        bridge.revokeLatest(forged.epoch);
        vm.prank(GUARDIAN);
        bridge.pause(DsmBridge.Direction.Out);
        vm.expectPartialRevert(DsmBridge.NotLatest.selector);
        vm.prank(GUARDIAN);
        bridge.revokeLatest(1);
        vm.prank(GUARDIAN);
        bridge.revokeLatest(forged.epoch);

        refuse(forged, signed, DsmBridge.RootRevoked.selector);
        eq(bridge.checkpoints(forged.epoch).root, bytes32(0));
        (uint64 e, uint64 size,) = bridge.latest();
        eq(e, 1);
        eq(size, 5);
        // The honest history goes on where it was.
        pushLeaf(COIN, keccak256("more"));
        checkpoint();

        // Down to nothing, and no further.
        vm.prank(GUARDIAN);
        bridge.revokeLatest(2);
        vm.prank(GUARDIAN);
        bridge.revokeLatest(1);
        vm.expectPartialRevert(DsmBridge.NotLatest.selector);
        vm.prank(GUARDIAN);
        bridge.revokeLatest(0);
    }
}
