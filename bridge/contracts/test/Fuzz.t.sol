// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {DsmBridge} from "../src/DsmBridge.sol";
import {Outbox} from "../src/Outbox.sol";
import {Base} from "./Base.sol";

/// The library's walk, callable.
contract Walker {
    function includes(bytes32 root, uint64 size, uint64 index, bytes32 leaf, bytes32[] calldata proof)
        external
        pure
        returns (bool)
    {
        return Outbox.includes(root, size, index, leaf, proof);
    }
}

contract FuzzTest is Base {
    Walker private walker;

    function setUp() public override {
        super.setUp();
        walker = new Walker();
    }

    function grow(uint256 size, uint256 seed) private {
        for (uint256 i = leaves.length; i < size; ++i) leaves.push(keccak256(abi.encode(seed, i)));
    }

    /// Every leaf of every size from 1 to 40 is proven, at its own place and at no other.
    function test_all_places_of_all_sizes() public {
        grow(40, 0);
        for (uint64 size = 1; size <= 40; ++size) {
            bytes32 root = rootOf(0, size);
            for (uint64 index = 0; index < size; ++index) {
                bytes32[] memory proof = proofOf(index, size);
                require(walker.includes(root, size, index, leaves[index], proof), "a true proof is refused");
                require(!walker.includes(root, size, (index + 1) % size, leaves[index], proof) || size == 1, "moved");
                require(!walker.includes(root, size, index, leaves[(index + 1) % size], proof) || size == 1, "swapped");
                require(!walker.includes(root, size, index + size, leaves[index], proof), "outside");
            }
        }
    }

    function testFuzz_a_proof_fits_one_place(uint8 size_, uint256 index, uint256 other, uint256 seed) public {
        uint64 size = uint64(size_ % 48) + 1;
        index %= size;
        grow(size, seed);
        bytes32 root = rootOf(0, size);
        bytes32[] memory proof = proofOf(index, size);
        require(walker.includes(root, size, uint64(index), leaves[index], proof), "a true proof is refused");
        uint64 elsewhere = uint64(other);
        require(elsewhere == index || !walker.includes(root, size, elsewhere, leaves[index], proof), "another place");
        require(!walker.includes(bytes32(0), size, uint64(index), leaves[index], proof), "the zero root");
        if (proof.length > 0) {
            uint256 at = other % proof.length;
            proof[at] ^= bytes32(uint256(1) << (seed % 256));
            require(!walker.includes(root, size, uint64(index), leaves[index], proof), "a flipped bit");
        }
    }

    function testFuzz_nothing_made_up_is_proven(bytes32 root, uint64 size, uint64 index, bytes32 leaf, bytes32[] calldata proof)
        public
        view
    {
        vm.assume(!(size == 1 && leaf == root) && proof.length < 80);
        require(!walker.includes(root, size, index, leaf, proof), "proven");
    }

    function testFuzz_a_commitment_binds_every_field(DsmBridge.Lock calldata a, DsmBridge.Lock calldata b) public view {
        bool same = keccak256(abi.encode(a)) == keccak256(abi.encode(b));
        require(same == (bridge.commitmentOf(a) == bridge.commitmentOf(b)), "two locks of one commitment");
        eq(bridge.commitmentOf(a), lockCommitment(a));
    }

    /// Ether in, ether out, ether back: the books are those of the events.
    function testFuzz_in_out_and_back(uint96 locked, uint96 more, uint96 out) public {
        uint256 a = uint256(locked) % 1_000 ether + 1;
        uint256 b = uint256(more) % 1_000 ether + 1;
        uint256 c = uint256(out) % a + 1;
        if (c > 100 ether) c = 100 ether;
        if (c > a) c = a;
        lockEther(a);
        DsmBridge.Lock memory lock = lockEther(b);
        releaseNow(ETHER, ether_(BOB, c));
        Outbox.Leaf memory leaf = pushRefund(lock);
        vm.warp(lock.deadline);
        checkpoint();
        bridge.refund(leaf, lock, proofOf(leaf.index, leaves.length), epoch);
        eq(address(bridge).balance, a - c);
        eq(BOB.balance, c);
        DsmBridge.Asset memory asset = bridge.assetInfo(address(0));
        eq(asset.locked, a + b);
        eq(asset.released, c);
        eq(asset.refunded, b);
    }

    /// Whatever is drawn when, in any window no more passes than a full bucket and its refill.
    function testFuzz_a_bucket_lets_no_more_through(uint32[12] calldata waits, uint96[12] calldata amounts) public {
        uint256 passed = 0;
        uint256 began = block.timestamp;
        for (uint256 i = 0; i < waits.length; ++i) {
            vm.warp(block.timestamp + waits[i] % 1_000);
            uint256 amount = uint256(amounts[i]) % 1_000 ether + 1;
            vm.prank(ALICE);
            (bool ok,) = address(bridge).call{value: amount}(
                abi.encodeCall(bridge.lockNative, (ALICE_DSM, soon()))
            );
            if (ok) passed += amount;
            require(passed <= 2_000 ether + (block.timestamp - began) * 1 ether, "more than the bucket holds");
        }
    }

    /// A list of signatures with any one byte changed attests nothing.
    function testFuzz_a_changed_byte_attests_nothing(uint256 place, uint8 change) public {
        vm.assume(change != 0);
        leaves.push(keccak256("x"));
        DsmBridge.Checkpoint memory c = nextCheckpoint();
        bytes memory signed = attest(1, digestOf(c));
        place %= signed.length;
        signed[place] = bytes1(uint8(signed[place]) ^ change);
        vm.expectPartialRevert(DsmBridge.NotAttested.selector);
        bridge.submitCheckpoint(c, signed);
    }

    /// Rubbish of any length is refused, not misunderstood.
    function testFuzz_rubbish_attests_nothing(bytes calldata attestation) public {
        leaves.push(keccak256("x"));
        DsmBridge.Checkpoint memory c = nextCheckpoint();
        vm.expectPartialRevert(DsmBridge.NotAttested.selector);
        bridge.submitCheckpoint(c, attestation);
    }
}
