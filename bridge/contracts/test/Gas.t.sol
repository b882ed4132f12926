// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {DsmBridge} from "../src/DsmBridge.sol";
import {Outbox} from "../src/Outbox.sol";
import {Base} from "./Base.sol";

/// What `.gas-snapshot` watches: one call each; everything around it is made in `setUp`.
contract GasTest is Base {
    DsmBridge.Checkpoint private next;
    bytes private attestation;
    Outbox.Leaf private leaf;
    DsmBridge.Release private payment;
    bytes32[] private proof;
    Outbox.Leaf private back;
    DsmBridge.Lock private lock;
    bytes32[] private backProof;

    function setUp() public override {
        super.setUp();
        lockEther(10 ether);
        lockCoin(10 ether);
        lock = lockCoin(10 ether);
        vm.warp(lock.deadline);
        for (uint256 i = 0; i < 30; ++i) pushLeaf(COIN, keccak256(abi.encode(i)));
        payment = coin_(BOB, 1 ether);
        leaf = pushRelease(COIN, payment);
        back = pushRefund(lock);
        checkpoint();
        proof = proofOf(leaf.index, leaves.length);
        backProof = proofOf(back.index, leaves.length);
        pushLeaf(COIN, keccak256("more"));
        next = nextCheckpoint();
        attestation = attest(1, digestOf(next));
    }

    function test_gas_lockNative() public {
        vm.prank(ALICE);
        bridge.lockNative{value: 1 ether}(ALICE_DSM, uint64(BIRTH + 5 days));
    }

    function test_gas_lockERC20() public {
        vm.prank(ALICE);
        bridge.lockERC20(address(coin), 1 ether, ALICE_DSM, uint64(BIRTH + 5 days));
    }

    function test_gas_submitCheckpoint_ecdsa_5_of_7() public {
        bridge.submitCheckpoint(next, attestation);
    }

    function test_gas_release_depth_5() public {
        bridge.release(leaf, payment, proof, epoch);
    }

    function test_gas_refund_depth_5() public {
        bridge.refund(back, lock, backProof, epoch);
    }
}
