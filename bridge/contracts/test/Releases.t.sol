// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {DsmBridge} from "../src/DsmBridge.sol";
import {Outbox} from "../src/Outbox.sol";
import {Base} from "./Base.sol";
import "./Tokens.sol";

/// DSM to EVM: what a leaf pays, once, and everything that pays nothing.
contract ReleasesTest is Base {
    function setUp() public override {
        super.setUp();
        lockEther(1_000 ether);
        lockCoin(1_000 ether);
    }

    function test_a_leaf_pays_once_in_each_kind() public {
        Outbox.Leaf memory first = releaseNow(ETHER, ether_(BOB, 3 ether));
        Outbox.Leaf memory second = releaseNow(COIN, coin_(BOB, 4 ether));
        Outbox.Leaf memory third = releaseNow(HOME, home_(BOB, 5 ether));
        eq(BOB.balance, 3 ether);
        eq(coin.balanceOf(BOB), 4 ether);
        eq(wrapped.balanceOf(BOB), 5 ether);
        handInRefused(first, ether_(BOB, 3 ether), DsmBridge.LeafSpent.selector);
        handInRefused(second, coin_(BOB, 4 ether), DsmBridge.LeafSpent.selector);
        handInRefused(third, home_(BOB, 5 ether), DsmBridge.LeafSpent.selector);
        balanced(address(0));
        balanced(address(coin));
        balanced(address(wrapped));
    }

    /// A later checkpoint serves earlier leaves, and no leaf twice.
    function test_double_release_under_two_roots() public {
        Outbox.Leaf memory leaf = pushRelease(COIN, coin_(BOB, 1));
        checkpoint();
        uint64 before = epoch;
        pushLeaf(COIN, keccak256("more"));
        checkpoint();
        handIn(leaf, coin_(BOB, 1));
        bytes32[] memory old = proofOf(leaf.index, 1);
        vm.expectPartialRevert(DsmBridge.LeafSpent.selector);
        bridge.release(leaf, coin_(BOB, 1), old, before);
    }

    function test_nomad_unset_epochs_are_refused() public {
        Outbox.Leaf memory leaf = pushRelease(COIN, coin_(BOB, 1));
        checkpoint();
        bytes32[] memory proof = proofOf(0, 1);
        uint64[3] memory epochs = [0, epoch + 1, type(uint64).max];
        for (uint256 i = 0; i < epochs.length; ++i) {
            vm.expectPartialRevert(DsmBridge.UnknownEpoch.selector);
            bridge.release(leaf, coin_(BOB, 1), proof, epochs[i]);
        }
    }

    /// A proof without hashes is one of a tree of one leaf, and of no other.
    function test_nomad_a_proof_of_length_zero() public {
        Outbox.Leaf memory leaf = pushRelease(COIN, coin_(BOB, 1));
        checkpoint();
        Outbox.Leaf memory second = pushRelease(COIN, coin_(BOB, 2));
        checkpoint();
        vm.expectPartialRevert(DsmBridge.BadProof.selector);
        bridge.release(second, coin_(BOB, 2), new bytes32[](0), epoch);
        bridge.release(leaf, coin_(BOB, 1), new bytes32[](0), epoch - 1);
    }

    function badProof(Outbox.Leaf memory leaf, DsmBridge.Release memory payment, bytes32[] memory proof) private {
        vm.expectPartialRevert(DsmBridge.BadProof.selector);
        bridge.release(leaf, payment, proof, epoch);
    }

    function test_each_field_is_proven() public {
        for (uint256 i = 0; i < 6; ++i) pushLeaf(COIN, keccak256(abi.encode(i)));
        DsmBridge.Release memory payment = coin_(BOB, 9);
        Outbox.Leaf memory leaf = pushRelease(COIN, payment);
        for (uint256 i = 0; i < 6; ++i) pushLeaf(COIN, keccak256(abi.encode(i)));
        checkpoint();
        bytes32[] memory proof = proofOf(leaf.index, leaves.length);

        Outbox.Leaf memory other = Outbox.Leaf(leaf.index + 1, leaf.token, leaf.actor, leaf.transition);
        badProof(other, payment, proof);
        other = Outbox.Leaf(leaf.index, ETHER, leaf.actor, leaf.transition);
        badProof(other, payment, proof);
        other = Outbox.Leaf(leaf.index, leaf.token, keccak256("x"), leaf.transition);
        badProof(other, payment, proof);
        other = Outbox.Leaf(leaf.index, leaf.token, leaf.actor, keccak256("x"));
        badProof(other, payment, proof);
        other = Outbox.Leaf(uint64(leaves.length), leaf.token, leaf.actor, leaf.transition);
        badProof(other, payment, proof);
        other = Outbox.Leaf(type(uint64).max, leaf.token, leaf.actor, leaf.transition);
        badProof(other, payment, proof);
        badProof(leaf, coin_(BOB, 10), proof);
        badProof(leaf, coin_(ALICE, 9), proof);
        badProof(leaf, ether_(BOB, 9), proof);
        badProof(leaf, DsmBridge.Release(WRAPPED, address(coin), BOB, 9), proof);

        bytes32[] memory longer = new bytes32[](proof.length + 1);
        bytes32[] memory shorter = new bytes32[](proof.length - 1);
        for (uint256 i = 0; i < proof.length; ++i) {
            longer[i] = proof[i];
            if (i > 0) shorter[i - 1] = proof[i];
        }
        badProof(leaf, payment, longer);
        badProof(leaf, payment, shorter);
        badProof(leaf, payment, new bytes32[](65));
        for (uint256 i = 0; i < proof.length; ++i) {
            for (uint256 bit = 0; bit < 256; bit += 37) {
                proof[i] ^= bytes32(uint256(1) << bit);
                badProof(leaf, payment, proof);
                proof[i] ^= bytes32(uint256(1) << bit);
            }
        }
        bridge.release(leaf, payment, proof, epoch);
    }

    /// An inner node is not a leaf, and the root is no leaf's hash.
    function test_bnb_inner_nodes_prove_nothing() public {
        Outbox.Leaf memory leaf = pushRelease(COIN, coin_(BOB, 1));
        pushLeaf(COIN, keccak256("second"));
        checkpoint();
        bytes32[] memory none = new bytes32[](0);
        badProof(leaf, coin_(BOB, 1), none);
        // The sibling alone, on the wrong side.
        leaf.index = 1;
        bytes32[] memory one = new bytes32[](1);
        one[0] = leaves[1];
        badProof(leaf, coin_(BOB, 1), one);
    }

    function test_leaves_of_other_lanes_pay_nothing() public {
        DsmBridge.Release memory payment = coin_(BOB, 1);
        uint256[3] memory lanes = [uint256(0), 2, type(uint256).max];
        for (uint256 i = 0; i < lanes.length; ++i) {
            Outbox.Leaf memory leaf = Outbox.Leaf(uint64(leaves.length), COIN, ALICE_DSM, bytes32(lanes[i]));
            leaves.push(leafHash(leaf, lanes[i], releasePayload(address(bridge), payment)));
            checkpoint();
            handInRefused(leaf, payment, DsmBridge.BadProof.selector);
        }
    }

    /// A leaf names its bridge and its chain.
    function test_replay_on_another_bridge_and_another_chain() public {
        DsmBridge.Release memory payment = coin_(BOB, 1);
        Outbox.Leaf memory leaf = pushLeaf(COIN, releasePayload(address(0xB1), payment));
        vm.chainId(1);
        Outbox.Leaf memory second = pushRelease(COIN, payment);
        vm.chainId(31_337);
        checkpoint();
        handInRefused(leaf, payment, DsmBridge.BadProof.selector);
        handInRefused(second, payment, DsmBridge.BadProof.selector);
    }

    /// A leaf of one token never pays another token's asset: anybody can make a token and a policy on DSM.
    function test_a_token_pays_its_own_asset_alone() public {
        bytes32[5] memory tokens = [ETHER, HOME, keccak256("mallory's token"), bytes32(uint256(1)), COIN];
        DsmBridge.Release[5] memory payments = [
            coin_(BOB, 1),
            coin_(BOB, 1),
            coin_(BOB, 1),
            ether_(BOB, 1),
            DsmBridge.Release(WRAPPED, address(0), BOB, 1)
        ];
        bytes4[5] memory refusals = [
            DsmBridge.TokenMismatch.selector,
            DsmBridge.TokenMismatch.selector,
            DsmBridge.TokenMismatch.selector,
            DsmBridge.TokenMismatch.selector,
            DsmBridge.WrongKind.selector
        ];
        for (uint256 i = 0; i < tokens.length; ++i) {
            Outbox.Leaf memory leaf = pushRelease(tokens[i], payments[i]);
            checkpoint();
            handInRefused(leaf, payments[i], refusals[i]);
        }
    }

    /// An account's own leaf carries the token zero, which is also what an unknown asset has.
    function test_an_accounts_own_leaf_pays_nothing() public {
        address stranger = address(new PlainToken());
        DsmBridge.Release memory payment = DsmBridge.Release(ERC20, stranger, BOB, 1);
        Outbox.Leaf memory leaf = pushRelease(bytes32(0), payment);
        checkpoint();
        handInRefused(leaf, payment, DsmBridge.ZeroToken.selector);
        leaf = pushRelease(COIN, payment);
        checkpoint();
        handInRefused(leaf, payment, DsmBridge.UnknownAsset.selector);
    }

    function test_kinds_and_assets_that_do_not_fit() public {
        DsmBridge.Release[6] memory payments = [
            DsmBridge.Release(0, address(coin), BOB, 1),
            DsmBridge.Release(NATIVE, address(coin), BOB, 1),
            DsmBridge.Release(ERC20, address(0), BOB, 1),
            DsmBridge.Release(WRAPPED, address(wrapped), BOB, 1),
            DsmBridge.Release(4, address(coin), BOB, 1),
            DsmBridge.Release(ERC20, address(wrapped), BOB, 1)
        ];
        bytes32[6] memory tokens = [COIN, COIN, ETHER, HOME, COIN, HOME];
        for (uint256 i = 0; i < payments.length; ++i) {
            Outbox.Leaf memory leaf = pushRelease(tokens[i], payments[i]);
            checkpoint();
            handInRefused(
                leaf, payments[i], i == 3 ? DsmBridge.TokenMismatch.selector : DsmBridge.WrongKind.selector
            );
        }
    }

    /// Poly: nothing is paid to the bridge's own organs.
    function test_poly_recipients_that_are_refused() public {
        address[5] memory to = [address(0), address(bridge), address(verifier), address(coin), address(wrapped)];
        for (uint256 i = 0; i < to.length; ++i) {
            Outbox.Leaf memory leaf = pushRelease(ETHER, ether_(to[i], 1));
            checkpoint();
            handInRefused(leaf, ether_(to[i], 1), DsmBridge.BadRecipient.selector);
            leaf = pushRelease(COIN, coin_(to[i], 1));
            checkpoint();
            handInRefused(leaf, coin_(to[i], 1), DsmBridge.BadRecipient.selector);
        }
    }

    function test_amounts_that_are_refused() public {
        uint256[3] memory amounts = [uint256(0), uint256(type(uint128).max) + 1, type(uint256).max];
        for (uint256 i = 0; i < amounts.length; ++i) {
            Outbox.Leaf memory leaf = pushRelease(COIN, coin_(BOB, amounts[i]));
            checkpoint();
            handInRefused(leaf, coin_(BOB, amounts[i]), DsmBridge.AmountOutOfRange.selector);
        }
    }

    /// The last line: even attestors who lie cannot pay out more than came in.
    function test_more_than_was_locked_is_never_paid() public {
        announceAndAct(
            abi.encodeCall(
                bridge.setLimits,
                (
                    address(coin),
                    DsmBridge.Limits(10_000 ether, 10_000 ether, 10_000 ether, 1 ether, 10_000 ether, 1 ether, 10_000 ether)
                )
            )
        );
        vm.warp(block.timestamp + 1 days);
        coin.mint(address(bridge), 5_000 ether);
        Outbox.Leaf memory leaf = pushRelease(COIN, coin_(BOB, 1_000 ether + 1));
        checkpoint();
        handInRefused(leaf, coin_(BOB, 1_000 ether + 1), DsmBridge.Underfunded.selector);
        releaseNow(COIN, coin_(BOB, 1_000 ether));
        leaf = pushRelease(COIN, coin_(BOB, 1));
        checkpoint();
        handInRefused(leaf, coin_(BOB, 1), DsmBridge.Underfunded.selector);
    }

    function test_recipients_that_do_not_take_ether() public {
        address[2] memory to = [address(new Closed()), address(new Bomb())];
        for (uint256 i = 0; i < to.length; ++i) {
            Outbox.Leaf memory leaf = pushRelease(ETHER, ether_(to[i], 1));
            checkpoint();
            handInRefused(leaf, ether_(to[i], 1), DsmBridge.EtherRefused.selector);
            require(!bridge.spent(leaf.index), "a refused release uses nothing up");
        }
    }

    // --- re-entry ---

    function test_a_recipient_of_ether_cannot_come_back_in() public {
        Reenterer thief = new Reenterer();
        DsmBridge.Release memory payment = ether_(address(thief), 1 ether);
        Outbox.Leaf memory leaf = pushRelease(ETHER, payment);
        Outbox.Leaf memory second = pushRelease(ETHER, payment);
        checkpoint();
        bytes32[] memory proof = proofOf(1, 2);
        DsmBridge.Lock memory lock;
        bytes[6] memory attempts = [
            abi.encodeCall(bridge.release, (second, payment, proof, epoch)),
            abi.encodeCall(bridge.executeQueued, (0)),
            abi.encodeCall(bridge.refund, (second, lock, proof, epoch)),
            abi.encodeCall(bridge.lockNative, (ALICE_DSM, soon())),
            abi.encodeCall(bridge.burnWrapped, (HOME, 1, ALICE_DSM, soon())),
            abi.encodeCall(bridge.submitCheckpoint, (nextCheckpoint(), ""))
        ];
        handIn(leaf, payment);
        eq(address(thief).balance, 1 ether);
        for (uint256 i = 0; i < attempts.length; ++i) {
            thief.prepare(address(bridge), attempts[i]);
            releaseNow(ETHER, payment);
            eq(thief.attempts(), i + 1);
            require(!thief.succeeded() && thief.refusal() == DsmBridge.Reentered.selector, "came back in");
        }
        balanced(address(0));
    }

    /// ERC-777: the token calls while it moves. A lock inside of a lock would count the same units twice.
    function test_a_hooked_token_cannot_lock_twice() public {
        HookedToken token = new HookedToken();
        Reenterer thief = new Reenterer();
        coin = token;
        bridge = newBridge(address(verifier), address(token));
        token.mint(ALICE, 100 ether);
        token.mint(address(thief), 100 ether);
        vm.prank(ALICE);
        token.approve(address(bridge), 100 ether);
        thief.prepare(address(token), abi.encodeCall(token.approve, (address(bridge), 100 ether)));
        thief.tokensMoved();
        thief.prepare(
            address(bridge), abi.encodeCall(bridge.lockERC20, (address(token), 50 ether, ALICE_DSM, soon()))
        );
        token.setHook(address(thief));
        DsmBridge.Lock memory lock = lockCoin(60 ether);
        require(thief.refusal() == DsmBridge.Reentered.selector, "came back in");
        eq(bridge.outbox(lock.nonce), lockCommitment(lock));
        eq(bridge.outboxSize(), 1);
        eq(bridge.assetInfo(address(token)).locked, 60 ether);
        balanced(address(token));
    }

    // --- limits, queue, pause ---

    function test_above_the_cap_waits_for_a_higher_cap() public {
        Outbox.Leaf memory leaf = pushRelease(COIN, coin_(BOB, 1_000 ether + 1));
        checkpoint();
        handInRefused(leaf, coin_(BOB, 1_000 ether + 1), DsmBridge.AboveTransferMax.selector);
        require(!bridge.spent(leaf.index), "used up");
    }

    function test_the_bucket_empties_and_refills() public {
        for (uint256 i = 0; i < 5; ++i) releaseNow(COIN, coin_(BOB, 100 ether));
        Outbox.Leaf memory leaf = pushRelease(COIN, coin_(BOB, 10 ether));
        checkpoint();
        handInRefused(leaf, coin_(BOB, 10 ether), DsmBridge.BucketEmpty.selector);
        // A tenth of an ether a second; across midnight, or any other line, no faster.
        vm.warp(block.timestamp + 99);
        handInRefused(leaf, coin_(BOB, 10 ether), DsmBridge.BucketEmpty.selector);
        vm.warp(block.timestamp + 1);
        eq(bridge.available(address(coin), DsmBridge.Direction.Out), 10 ether);
        handIn(leaf, coin_(BOB, 10 ether));
        eq(bridge.available(address(coin), DsmBridge.Direction.Out), 0);
        vm.warp(block.timestamp + 365 days);
        eq(bridge.available(address(coin), DsmBridge.Direction.Out), 500 ether);
        // One asset's bucket is not another's.
        eq(bridge.available(address(0), DsmBridge.Direction.Out), 500 ether);
    }

    function test_the_bucket_of_locks_is_another() public {
        lockCoin(1_000 ether);
        vm.expectPartialRevert(DsmBridge.BucketEmpty.selector);
        vm.prank(ALICE);
        bridge.lockERC20(address(coin), 1, ALICE_DSM, soon());
        vm.warp(block.timestamp + 1);
        lockCoin(1 ether);
        releaseNow(COIN, coin_(BOB, 100 ether));
    }

    function test_no_more_than_the_outstanding_maximum_is_held() public {
        for (uint256 i = 0; i < 4; ++i) {
            vm.warp(block.timestamp + 1 hours);
            lockCoin(1_000 ether);
        }
        vm.warp(block.timestamp + 1 hours);
        vm.expectPartialRevert(DsmBridge.AboveOutstandingMax.selector);
        vm.prank(ALICE);
        bridge.lockERC20(address(coin), 1, ALICE_DSM, soon());
        releaseNow(COIN, coin_(BOB, 1));
        lockCoin(1);
        // Of a wrapped token, what is minted.
        for (uint256 i = 0; i < 50; ++i) {
            vm.warp(block.timestamp + 1 hours);
            releaseNow(HOME, home_(BOB, 100 ether));
        }
        vm.warp(block.timestamp + 1 hours);
        Outbox.Leaf memory leaf = pushRelease(HOME, home_(BOB, 1));
        checkpoint();
        handInRefused(leaf, home_(BOB, 1), DsmBridge.AboveOutstandingMax.selector);
    }

    function test_a_large_release_waits_and_is_paid() public {
        Outbox.Leaf memory leaf = releaseNow(COIN, coin_(BOB, 100 ether + 1));
        eq(coin.balanceOf(BOB), 0);
        eq(uint256(uint8(bridge.queued(leaf.index).state)), 1);
        eq(bridge.queued(leaf.index).executableAt, block.timestamp + 6 hours);
        handInRefused(leaf, coin_(BOB, 100 ether + 1), DsmBridge.LeafSpent.selector);
        vm.warp(block.timestamp + 6 hours - 1);
        vm.expectPartialRevert(DsmBridge.TooEarly.selector);
        bridge.executeQueued(leaf.index);
        vm.warp(block.timestamp + 1);
        vm.prank(COURIER);
        bridge.executeQueued(leaf.index);
        eq(coin.balanceOf(BOB), 100 ether + 1);
        // The bucket is for what does not wait.
        eq(bridge.available(address(coin), DsmBridge.Direction.Out), 500 ether);
        vm.expectPartialRevert(DsmBridge.NotQueued.selector);
        bridge.executeQueued(leaf.index);
        vm.expectPartialRevert(DsmBridge.NotQueued.selector);
        vm.prank(GUARDIAN);
        bridge.cancelQueued(leaf.index);
        balanced(address(coin));
    }

    function test_the_guardian_vetoes_and_only_time_restores() public {
        Outbox.Leaf memory leaf = releaseNow(ETHER, ether_(BOB, 200 ether));
        vm.expectPartialRevert(DsmBridge.OnlyGuardian.selector);
        vm.prank(ADMIN);
        bridge.cancelQueued(leaf.index);
        vm.prank(GUARDIAN);
        bridge.cancelQueued(leaf.index);
        vm.warp(block.timestamp + 7 hours);
        vm.expectPartialRevert(DsmBridge.NotQueued.selector);
        bridge.executeQueued(leaf.index);
        handInRefused(leaf, ether_(BOB, 200 ether), DsmBridge.LeafSpent.selector);

        bytes memory action = abi.encodeCall(bridge.restoreQueued, (leaf.index));
        announceAndAct(action);
        vm.expectPartialRevert(DsmBridge.TooEarly.selector);
        bridge.executeQueued(leaf.index);
        vm.warp(block.timestamp + 6 hours);
        bridge.executeQueued(leaf.index);
        eq(BOB.balance, 200 ether);
        // What was paid is not restored.
        announce(action, 24 hours);
        actRefused(action, DsmBridge.NotQueued.selector);
    }

    function test_nothing_unqueued_is_executed() public {
        vm.expectPartialRevert(DsmBridge.NotQueued.selector);
        bridge.executeQueued(0);
        Outbox.Leaf memory leaf = releaseNow(COIN, coin_(BOB, 1));
        vm.expectPartialRevert(DsmBridge.NotQueued.selector);
        bridge.executeQueued(leaf.index);
    }

    function test_a_pause_stops_its_direction_alone() public {
        Outbox.Leaf memory large = releaseNow(COIN, coin_(BOB, 200 ether));
        DsmBridge.Lock memory lock = lockCoin(1);
        vm.warp(block.timestamp + 2 days);
        Outbox.Leaf memory leaf = pushRelease(COIN, coin_(BOB, 1));
        Outbox.Leaf memory back = pushRefund(lock);
        checkpoint();
        vm.prank(GUARDIAN);
        bridge.pause(DsmBridge.Direction.Out);
        handInRefused(leaf, coin_(BOB, 1), DsmBridge.DirectionPaused.selector);
        vm.expectPartialRevert(DsmBridge.DirectionPaused.selector);
        bridge.executeQueued(large.index);
        bytes32[] memory proof = proofOf(back.index, leaves.length);
        vm.expectPartialRevert(DsmBridge.DirectionPaused.selector);
        bridge.refund(back, lock, proof, epoch);
        lockEther(1);
        checkpoint();

        vm.prank(GUARDIAN);
        bridge.pause(DsmBridge.Direction.In);
        vm.expectPartialRevert(DsmBridge.DirectionPaused.selector);
        vm.prank(ALICE);
        bridge.lockNative{value: 1}(ALICE_DSM, soon());
        vm.expectPartialRevert(DsmBridge.DirectionPaused.selector);
        vm.prank(ALICE);
        bridge.lockERC20(address(coin), 1, ALICE_DSM, soon());

        announceAndAct(abi.encodeCall(bridge.unpause, (DsmBridge.Direction.Out)));
        handIn(leaf, coin_(BOB, 1));
        bridge.executeQueued(large.index);
        require(bridge.paused(DsmBridge.Direction.In), "the other direction stays");
    }
}
