// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {DsmBridge} from "../src/DsmBridge.sol";
import {DsmWrapped} from "../src/DsmWrapped.sol";
import {Outbox} from "../src/Outbox.sol";
import {EcdsaQuorum} from "../src/attest/EcdsaQuorum.sol";
import {PlainToken} from "./Tokens.sol";

/// What these tests use of forge.
interface Vm {
    function addr(uint256 key) external pure returns (address);
    function assume(bool condition) external pure;
    function chainId(uint256 id) external;
    function deal(address who, uint256 wei_) external;
    function expectPartialRevert(bytes4 selector) external;
    function expectRevert(bytes calldata data) external;
    function load(address who, bytes32 slot) external view returns (bytes32);
    function prank(address who) external;
    function sign(uint256 key, bytes32 digest) external pure returns (uint8 v, bytes32 r, bytes32 s);
    function warp(uint256 time) external;
}

/// A bridge with ether, an ERC-20 and a wrapped token, seven attestors of whom five sign, and a DSM outbox made here,
/// written a second time from the ADR and not from the contract.
abstract contract Base {
    Vm internal constant vm = Vm(address(uint160(uint256(keccak256("hevm cheat code")))));

    uint256 internal constant BIRTH = 1_780_000_000;
    bytes32 internal constant NETWORK = keccak256("a network");
    bytes32 internal constant ETHER = keccak256("token of ether");
    bytes32 internal constant COIN = keccak256("token of the coin");
    bytes32 internal constant HOME = keccak256("a token at home on DSM");
    bytes32 internal constant ALICE_DSM = keccak256("alice's account");

    address internal constant ADMIN = address(0xAD);
    address internal constant GUARDIAN = address(0x6A);
    address internal constant ALICE = address(0xA11CE);
    address internal constant BOB = address(0xB0B);
    address internal constant COURIER = address(0xC0);

    uint8 internal constant NATIVE = 1;
    uint8 internal constant ERC20 = 2;
    uint8 internal constant WRAPPED = 3;

    uint256 internal constant ATTESTORS = 7;
    uint8 internal constant THRESHOLD = 5;

    DsmBridge internal bridge;
    EcdsaQuorum internal verifier;
    PlainToken internal coin;
    DsmWrapped internal wrapped;

    /// DSM's side: the leaves of its outbox and the epoch of its last checkpoint.
    bytes32[] internal leaves;
    uint64 internal epoch;

    function setUp() public virtual {
        vm.warp(BIRTH);
        verifier = new EcdsaQuorum(attestorKeys(1), THRESHOLD);
        coin = new PlainToken();
        bridge = newBridge(address(verifier), address(coin));
        (address asset,) = bridge.assetOf(HOME);
        wrapped = DsmWrapped(asset);
        coin.mint(ALICE, 1_000_000 ether);
        vm.deal(ALICE, 1_000_000 ether);
        vm.prank(ALICE);
        coin.approve(address(bridge), type(uint256).max);
    }

    function newBridge(address verifier_, address erc20) internal returns (DsmBridge) {
        DsmBridge.NewAsset[] memory assets = new DsmBridge.NewAsset[](2);
        assets[0] = DsmBridge.NewAsset(address(0), ETHER, someLimits());
        assets[1] = DsmBridge.NewAsset(erc20, COIN, someLimits());
        DsmBridge.NewWrapped[] memory tokens = new DsmBridge.NewWrapped[](1);
        tokens[0] = DsmBridge.NewWrapped(HOME, hex"01551e20", "Home", "HOME", 6, someLimits());
        return new DsmBridge(someConfig(verifier_), assets, tokens);
    }

    function someConfig(address verifier_) internal pure returns (DsmBridge.Config memory) {
        return DsmBridge.Config(NETWORK, verifier_, ADMIN, GUARDIAN, 24 hours, 6 hours);
    }

    function someLimits() internal pure returns (DsmBridge.Limits memory) {
        return DsmBridge.Limits({
            transferMax: 1_000 ether,
            outstandingMax: 5_000 ether,
            inCapacity: 2_000 ether,
            inRefill: 1 ether,
            outCapacity: 500 ether,
            outRefill: 0.1 ether,
            queueAbove: 100 ether
        });
    }

    // --- attestors ---

    function attestorKey(uint256 set, uint256 index) internal pure returns (uint256) {
        return 0xA77E5700 + set * 0x10000 + index;
    }

    function attestorKeys(uint256 set) internal pure returns (bytes memory keys) {
        for (uint256 i = 0; i < ATTESTORS; ++i) keys = abi.encodePacked(keys, vm.addr(attestorKey(set, i)));
    }

    function record(uint256 index, uint256 key, bytes32 digest) internal pure returns (bytes memory) {
        (uint8 v, bytes32 r, bytes32 s) = vm.sign(key, digest);
        return abi.encodePacked(uint8(index), r, s, v);
    }

    /// The first five of a set sign.
    function attest(uint256 set, bytes32 digest) internal pure returns (bytes memory attestation) {
        for (uint256 i = 0; i < THRESHOLD; ++i) {
            attestation = abi.encodePacked(attestation, record(i, attestorKey(set, i), digest));
        }
    }

    // --- DSM's outbox ---

    function node(bytes32 left, bytes32 right) internal pure returns (bytes32) {
        return keccak256(abi.encodePacked(uint8(1), left, right));
    }

    function rootOf(uint256 from, uint256 to) internal view returns (bytes32) {
        if (to - from == 1) return leaves[from];
        uint256 middle = from + split(to - from);
        return node(rootOf(from, middle), rootOf(middle, to));
    }

    /// The largest power of two below `size`.
    function split(uint256 size) internal pure returns (uint256 power) {
        power = 1;
        while (power * 2 < size) power *= 2;
    }

    function proofOf(uint256 index, uint256 size) internal view returns (bytes32[] memory proof) {
        bytes32[] memory reversed = new bytes32[](64);
        uint256 count = 0;
        uint256 from = 0;
        uint256 to = size;
        while (to - from > 1) {
            uint256 middle = from + split(to - from);
            if (index < middle) {
                reversed[count++] = rootOf(middle, to);
                to = middle;
            } else {
                reversed[count++] = rootOf(from, middle);
                from = middle;
            }
        }
        proof = new bytes32[](count);
        for (uint256 i = 0; i < count; ++i) proof[i] = reversed[count - 1 - i];
    }

    function leafHash(Outbox.Leaf memory leaf, uint256 lane, bytes32 payload) internal pure returns (bytes32) {
        return keccak256(
            abi.encodePacked(
                uint8(0),
                keccak256("DSM/outbox/1"),
                NETWORK,
                uint256(leaf.index),
                lane,
                leaf.token,
                leaf.actor,
                leaf.transition,
                payload
            )
        );
    }

    function pushLeaf(bytes32 token, bytes32 payload) internal returns (Outbox.Leaf memory leaf) {
        leaf = Outbox.Leaf(uint64(leaves.length), token, ALICE_DSM, keccak256(abi.encode("transition", leaves.length)));
        leaves.push(leafHash(leaf, 1, payload));
    }

    function releasePayload(address of_, DsmBridge.Release memory payment) internal view returns (bytes32) {
        return keccak256(
            abi.encode(
                keccak256("DSM/release/1"),
                block.chainid,
                of_,
                uint256(payment.kind),
                payment.asset,
                payment.to,
                payment.amount
            )
        );
    }

    function pushRelease(bytes32 token, DsmBridge.Release memory payment) internal returns (Outbox.Leaf memory) {
        return pushLeaf(token, releasePayload(address(bridge), payment));
    }

    function lockCommitment(DsmBridge.Lock memory lock) internal view returns (bytes32) {
        return keccak256(
            abi.encode(
                keccak256("DSM/lock/1"),
                block.chainid,
                address(bridge),
                lock.nonce,
                uint256(lock.kind),
                lock.asset,
                lock.sender,
                lock.token,
                lock.recipient,
                lock.amount,
                uint256(lock.deadline)
            )
        );
    }

    function pushRefund(DsmBridge.Lock memory lock) internal returns (Outbox.Leaf memory) {
        bytes32 payload = keccak256(
            abi.encode(keccak256("DSM/refund/1"), block.chainid, address(bridge), lock.nonce, lockCommitment(lock))
        );
        return pushLeaf(lock.token, payload);
    }

    // --- checkpoints ---

    function nextCheckpoint() internal view returns (DsmBridge.Checkpoint memory) {
        return DsmBridge.Checkpoint({
            epoch: epoch + 1,
            size: uint64(leaves.length),
            root: leaves.length == 0 ? bytes32(0) : rootOf(0, leaves.length),
            setId: 1,
            network: NETWORK,
            position: 1_000 * (epoch + 1)
        });
    }

    /// The EIP-712 digest, from the ADR.
    function digestOf(DsmBridge.Checkpoint memory c) internal view returns (bytes32) {
        bytes32 domain = keccak256(
            abi.encode(
                keccak256("EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)"),
                keccak256("DSM Bridge"),
                keccak256("1"),
                block.chainid,
                address(bridge)
            )
        );
        bytes32 struct_ = keccak256(
            abi.encode(
                keccak256(
                    "Checkpoint(uint64 epoch,uint64 size,bytes32 root,uint64 setId,bytes32 network,uint64 position)"
                ),
                c.epoch,
                c.size,
                c.root,
                c.setId,
                c.network,
                c.position
            )
        );
        return keccak256(abi.encodePacked("\x19\x01", domain, struct_));
    }

    /// A checkpoint of all leaves so far, attested and submitted.
    function checkpoint() internal returns (uint64) {
        DsmBridge.Checkpoint memory c = nextCheckpoint();
        vm.prank(COURIER);
        bridge.submitCheckpoint(c, attest(1, digestOf(c)));
        epoch = c.epoch;
        return epoch;
    }

    /// Emits, checkpoints and hands in a release.
    function releaseNow(bytes32 token, DsmBridge.Release memory payment) internal returns (Outbox.Leaf memory leaf) {
        leaf = pushRelease(token, payment);
        checkpoint();
        handIn(leaf, payment);
    }

    function handIn(Outbox.Leaf memory leaf, DsmBridge.Release memory payment) internal {
        bytes32[] memory proof = proofOf(leaf.index, leaves.length);
        vm.prank(COURIER);
        bridge.release(leaf, payment, proof, epoch);
    }

    /// As `handIn`, expecting a refusal.
    function handInRefused(Outbox.Leaf memory leaf, DsmBridge.Release memory payment, bytes4 refusal) internal {
        bytes32[] memory proof = proofOf(leaf.index, leaves.length);
        vm.expectPartialRevert(refusal);
        vm.prank(COURIER);
        bridge.release(leaf, payment, proof, epoch);
    }

    // --- locks ---

    function soon() internal view returns (uint64) {
        return uint64(block.timestamp) + 1 days;
    }

    function lockEther(uint256 amount) internal returns (DsmBridge.Lock memory) {
        vm.prank(ALICE);
        uint256 nonce = bridge.lockNative{value: amount}(ALICE_DSM, soon());
        return DsmBridge.Lock(nonce, NATIVE, address(0), ALICE, ETHER, ALICE_DSM, amount, soon());
    }

    function lockCoin(uint256 amount) internal returns (DsmBridge.Lock memory) {
        vm.prank(ALICE);
        uint256 nonce = bridge.lockERC20(address(coin), amount, ALICE_DSM, soon());
        return DsmBridge.Lock(nonce, ERC20, address(coin), ALICE, COIN, ALICE_DSM, amount, soon());
    }

    function ether_(address to, uint256 amount) internal pure returns (DsmBridge.Release memory) {
        return DsmBridge.Release(NATIVE, address(0), to, amount);
    }

    function coin_(address to, uint256 amount) internal view returns (DsmBridge.Release memory) {
        return DsmBridge.Release(ERC20, address(coin), to, amount);
    }

    function home_(address to, uint256 amount) internal pure returns (DsmBridge.Release memory) {
        return DsmBridge.Release(WRAPPED, address(0), to, amount);
    }

    // --- the time lock ---

    /// Proposes an action, waits, and makes the call.
    function announce(bytes memory action, uint256 wait) internal {
        vm.prank(ADMIN);
        bridge.propose(action);
        vm.warp(block.timestamp + wait);
    }

    function act(bytes memory action) internal returns (bool ok, bytes memory answer) {
        vm.prank(ADMIN);
        (ok, answer) = address(bridge).call(action);
    }

    function actRefused(bytes memory action, bytes4 refusal) internal {
        (bool ok, bytes memory answer) = act(action);
        require(!ok && bytes4(answer) == refusal, "not refused as expected");
    }

    function announceAndAct(bytes memory action) internal {
        announce(action, 24 hours);
        (bool ok,) = act(action);
        require(ok, "an announced action is refused");
    }

    // --- claims ---

    function eq(uint256 found, uint256 expected) internal pure {
        require(found == expected, "numbers differ");
    }

    function eq(bytes32 found, bytes32 expected) internal pure {
        require(found == expected, "words differ");
    }

    function eq(address found, address expected) internal pure {
        require(found == expected, "addresses differ");
    }

    /// The bridge holds what its books say.
    function balanced(address asset) internal view {
        DsmBridge.Asset memory a = bridge.assetInfo(asset);
        if (a.kind == WRAPPED) {
            require(DsmWrapped(asset).totalSupply() == uint256(a.released) + a.refunded - a.locked, "minted - burned");
            return;
        }
        uint256 owed = uint256(a.locked) - a.released - a.refunded;
        uint256 held = asset == address(0) ? address(bridge).balance : PlainToken(asset).balanceOf(address(bridge));
        require(held >= owed, "the bridge holds less than it owes");
    }
}
