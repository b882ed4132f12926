// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {DsmBridge} from "../src/DsmBridge.sol";
import {Outbox} from "../src/Outbox.sol";
import {Base} from "./Base.sol";

/// A lock that DSM did not credit goes back: to its sender, exactly, once.
contract RefundsTest is Base {
    function refuse(Outbox.Leaf memory leaf, DsmBridge.Lock memory lock, bytes4 refusal) private {
        bytes32[] memory proof = proofOf(leaf.index, leaves.length);
        vm.expectPartialRevert(refusal);
        bridge.refund(leaf, lock, proof, epoch);
    }

    function accept(Outbox.Leaf memory leaf, DsmBridge.Lock memory lock) private {
        bytes32[] memory proof = proofOf(leaf.index, leaves.length);
        vm.prank(COURIER);
        bridge.refund(leaf, lock, proof, epoch);
    }

    function test_each_kind_goes_back_to_its_sender() public {
        releaseNow(HOME, home_(ALICE, 9 ether));
        uint256 before = ALICE.balance;
        DsmBridge.Lock memory native = lockEther(3 ether);
        DsmBridge.Lock memory token = lockCoin(4 ether);
        vm.prank(ALICE);
        uint256 nonce = bridge.burnWrapped(HOME, 5 ether, ALICE_DSM, soon());
        DsmBridge.Lock memory burn =
            DsmBridge.Lock(nonce, WRAPPED, address(wrapped), ALICE, HOME, ALICE_DSM, 5 ether, soon());
        Outbox.Leaf memory first = pushRefund(native);
        Outbox.Leaf memory second = pushRefund(token);
        Outbox.Leaf memory third = pushRefund(burn);
        vm.warp(native.deadline);
        checkpoint();
        accept(first, native);
        accept(second, token);
        accept(third, burn);
        eq(ALICE.balance, before);
        eq(coin.balanceOf(ALICE), 1_000_000 ether);
        eq(wrapped.balanceOf(ALICE), 9 ether);
        balanced(address(0));
        balanced(address(coin));
        balanced(address(wrapped));
        require(bridge.refunded(native.nonce) && bridge.spent(first.index), "remembered");
        refuse(first, native, DsmBridge.AlreadyRefunded.selector);
    }

    /// Two leaves for one lock, which an honest DSM never has, pay once.
    function test_once_for_each_lock() public {
        lockCoin(10 ether);
        DsmBridge.Lock memory lock = lockCoin(4 ether);
        Outbox.Leaf memory first = pushRefund(lock);
        Outbox.Leaf memory second = pushRefund(lock);
        vm.warp(lock.deadline);
        checkpoint();
        accept(first, lock);
        refuse(second, lock, DsmBridge.AlreadyRefunded.selector);
    }

    function test_not_before_the_deadline() public {
        DsmBridge.Lock memory lock = lockCoin(4 ether);
        Outbox.Leaf memory leaf = pushRefund(lock);
        checkpoint();
        vm.warp(lock.deadline - 1);
        refuse(leaf, lock, DsmBridge.BeforeDeadline.selector);
        vm.warp(lock.deadline);
        accept(leaf, lock);
    }

    function test_each_field_of_the_lock_is_checked() public {
        lockCoin(50 ether);
        DsmBridge.Lock memory lock = lockCoin(4 ether);
        Outbox.Leaf memory leaf = pushRefund(lock);
        vm.warp(lock.deadline);
        checkpoint();
        lock.amount += 1;
        refuse(leaf, lock, DsmBridge.UnknownLock.selector);
        lock.amount -= 1;
        lock.sender = BOB;
        refuse(leaf, lock, DsmBridge.UnknownLock.selector);
        lock.sender = ALICE;
        lock.asset = address(0);
        refuse(leaf, lock, DsmBridge.UnknownLock.selector);
        lock.asset = address(coin);
        lock.kind = NATIVE;
        refuse(leaf, lock, DsmBridge.UnknownLock.selector);
        lock.kind = ERC20;
        lock.token = ETHER;
        refuse(leaf, lock, DsmBridge.UnknownLock.selector);
        lock.token = COIN;
        lock.recipient = keccak256("x");
        refuse(leaf, lock, DsmBridge.UnknownLock.selector);
        lock.recipient = ALICE_DSM;
        lock.deadline -= 1;
        refuse(leaf, lock, DsmBridge.UnknownLock.selector);
        lock.deadline += 1;
        lock.nonce += 1;
        refuse(leaf, lock, DsmBridge.UnknownLock.selector);
        lock.nonce = 0;
        refuse(leaf, lock, DsmBridge.UnknownLock.selector);
        lock.nonce = 1;
        accept(leaf, lock);
    }

    /// Locks that never were have no commitment, and zero is no commitment.
    function test_nomad_a_lock_that_never_was() public {
        DsmBridge.Lock memory lock = DsmBridge.Lock(5, ERC20, address(coin), BOB, COIN, ALICE_DSM, 1, uint64(BIRTH));
        Outbox.Leaf memory leaf = pushRefund(lock);
        checkpoint();
        refuse(leaf, lock, DsmBridge.UnknownLock.selector);
    }

    /// A refund leaf is one of the lock's own token: another token's policy cannot emit it.
    function test_another_tokens_leaf_refunds_nothing() public {
        DsmBridge.Lock memory lock = lockCoin(4 ether);
        bytes32 payload = keccak256(
            abi.encode(keccak256("DSM/refund/1"), block.chainid, address(bridge), lock.nonce, lockCommitment(lock))
        );
        vm.warp(lock.deadline);
        bytes32[3] memory tokens = [ETHER, keccak256("mallory's token"), bytes32(0)];
        for (uint256 i = 0; i < tokens.length; ++i) {
            Outbox.Leaf memory leaf = pushLeaf(tokens[i], payload);
            checkpoint();
            refuse(leaf, lock, DsmBridge.TokenMismatch.selector);
            leaf.token = COIN;
            refuse(leaf, lock, DsmBridge.BadProof.selector);
        }
    }

    /// A release leaf is no refund and a refund leaf is no release.
    function test_leaves_of_the_other_sort() public {
        DsmBridge.Lock memory lock = lockCoin(4 ether);
        vm.warp(lock.deadline);
        Outbox.Leaf memory release = pushRelease(COIN, coin_(ALICE, 4 ether));
        Outbox.Leaf memory back = pushRefund(lock);
        checkpoint();
        refuse(release, lock, DsmBridge.BadProof.selector);
        handInRefused(back, coin_(ALICE, 4 ether), DsmBridge.BadProof.selector);
    }

    /// Credited on DSM, withdrawn, released: nothing is left, and a refund on top of it finds nothing.
    function test_released_and_refunded_is_more_than_locked() public {
        DsmBridge.Lock memory lock = lockCoin(4 ether);
        releaseNow(COIN, coin_(BOB, 4 ether));
        Outbox.Leaf memory leaf = pushRefund(lock);
        vm.warp(lock.deadline);
        checkpoint();
        refuse(leaf, lock, DsmBridge.Underfunded.selector);
    }

    /// Neither the bucket nor the queue delays one's own money.
    function test_limits_do_not_delay_a_refund() public {
        DsmBridge.Lock memory lock = lockCoin(900 ether);
        lockCoin(600 ether);
        for (uint256 i = 0; i < 5; ++i) releaseNow(COIN, coin_(BOB, 100 ether));
        Outbox.Leaf memory leaf = pushRefund(lock);
        vm.warp(lock.deadline);
        checkpoint();
        uint256 before = bridge.available(address(coin), DsmBridge.Direction.Out);
        accept(leaf, lock);
        eq(bridge.available(address(coin), DsmBridge.Direction.Out), before);
        balanced(address(coin));
    }
}
