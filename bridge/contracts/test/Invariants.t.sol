// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {DsmBridge} from "../src/DsmBridge.sol";
import {DsmWrapped} from "../src/DsmWrapped.sol";
import {Outbox} from "../src/Outbox.sol";
import {Base} from "./Base.sol";
import {PlainToken} from "./Tokens.sol";

/// Users, couriers, a guardian, and attestors who sign whatever is put before them: forged releases and refunds of locks
/// that were credited. What holds against them holds.
contract World is Base {
    DsmBridge.Lock[] private locks;
    Outbox.Leaf[] private releaseLeaves;
    DsmBridge.Release[] private payments;

    /// What really moved, counted from outside.
    uint256 public paidEther;
    uint256 public paidCoins;
    mapping(uint64 => uint256) public uses;
    mapping(uint256 => uint256) public refunds;
    bool public usedTwice;
    uint256 public accepted;
    uint256 public refused;

    constructor() {
        setUp();
    }

    function the() external view returns (DsmBridge, PlainToken, DsmWrapped) {
        return (bridge, coin, wrapped);
    }

    function lockedEther(uint256 amount) external {
        amount = amount % 300 ether + 1;
        vm.prank(ALICE);
        (bool ok, bytes memory answer) =
            address(bridge).call{value: amount}(abi.encodeCall(bridge.lockNative, (ALICE_DSM, soon())));
        keep(ok, answer, DsmBridge.Lock(0, NATIVE, address(0), ALICE, ETHER, ALICE_DSM, amount, soon()));
    }

    function lockedCoins(uint256 amount) external {
        amount = amount % 300 ether + 1;
        vm.prank(ALICE);
        (bool ok, bytes memory answer) =
            address(bridge).call(abi.encodeCall(bridge.lockERC20, (address(coin), amount, ALICE_DSM, soon())));
        keep(ok, answer, DsmBridge.Lock(0, ERC20, address(coin), ALICE, COIN, ALICE_DSM, amount, soon()));
    }

    function burnt(uint256 amount) external {
        uint256 held = wrapped.balanceOf(ALICE);
        if (held == 0) return;
        amount = amount % held + 1;
        vm.prank(ALICE);
        (bool ok, bytes memory answer) =
            address(bridge).call(abi.encodeCall(bridge.burnWrapped, (HOME, amount, ALICE_DSM, soon())));
        keep(ok, answer, DsmBridge.Lock(0, WRAPPED, address(wrapped), ALICE, HOME, ALICE_DSM, amount, soon()));
    }

    function keep(bool ok, bytes memory answer, DsmBridge.Lock memory lock) private {
        if (!ok) {
            ++refused;
            return;
        }
        ++accepted;
        lock.nonce = abi.decode(answer, (uint256));
        locks.push(lock);
    }

    function donated(uint256 amount) external {
        coin.mint(address(bridge), amount % 10 ether);
    }

    function released(uint8 kind, uint256 amount) external {
        amount = amount % 150 ether + 1;
        (bytes32 token, DsmBridge.Release memory payment) = kind % 3 == 0
            ? (ETHER, ether_(BOB, amount))
            : kind % 3 == 1 ? (COIN, coin_(BOB, amount)) : (HOME, home_(ALICE, amount));
        releaseLeaves.push(pushRelease(token, payment));
        payments.push(payment);
        checkpoint();
        useRelease(releaseLeaves.length - 1);
    }

    /// Any earlier leaf, again or for the first time, under the newest root.
    function releasedAgain(uint256 which) external {
        if (releaseLeaves.length > 0) useRelease(which % releaseLeaves.length);
    }

    function useRelease(uint256 which) private {
        Outbox.Leaf memory leaf = releaseLeaves[which];
        count(abi.encodeCall(bridge.release, (leaf, payments[which], proofOf(leaf.index, lastSize()), epoch)), leaf.index);
    }

    function lastSize() private view returns (uint64 size) {
        (, size,) = bridge.latest();
    }

    function refundedLock(uint256 which) external {
        if (locks.length == 0) return;
        DsmBridge.Lock memory lock = locks[which % locks.length];
        Outbox.Leaf memory leaf = pushRefund(lock);
        if (block.timestamp < lock.deadline) vm.warp(lock.deadline);
        checkpoint();
        bool ok = count(
            abi.encodeCall(bridge.refund, (leaf, lock, proofOf(leaf.index, leaves.length), epoch)), leaf.index
        );
        if (ok && ++refunds[lock.nonce] > 1) usedTwice = true;
    }

    function executed(uint256 which) external {
        if (releaseLeaves.length == 0) return;
        vm.warp(block.timestamp + 1 hours);
        uint64 index = releaseLeaves[which % releaseLeaves.length].index;
        (uint256 wei_, uint256 coins) = outside();
        (bool ok,) = address(bridge).call(abi.encodeCall(bridge.executeQueued, (index)));
        (uint256 weiAfter, uint256 coinsAfter) = outside();
        paidEther += weiAfter - wei_;
        paidCoins += coinsAfter - coins;
        if (ok) ++accepted;
        else ++refused;
    }

    function cancelled(uint256 which) external {
        if (releaseLeaves.length == 0) return;
        uint64 index = releaseLeaves[which % releaseLeaves.length].index;
        vm.prank(GUARDIAN);
        (bool ok,) = address(bridge).call(abi.encodeCall(bridge.cancelQueued, (index)));
        if (ok) ++accepted;
    }

    function waited(uint256 seconds_) external {
        vm.warp(block.timestamp + seconds_ % 1 days);
    }

    function outside() private view returns (uint256, uint256) {
        return (ALICE.balance + BOB.balance, coin.balanceOf(ALICE) + coin.balanceOf(BOB));
    }

    function count(bytes memory call, uint64 index) private returns (bool ok) {
        (uint256 wei_, uint256 coins) = outside();
        vm.prank(COURIER);
        (ok,) = address(bridge).call(call);
        (uint256 weiAfter, uint256 coinsAfter) = outside();
        paidEther += weiAfter - wei_;
        paidCoins += coinsAfter - coins;
        if (ok) {
            ++accepted;
            if (++uses[index] > 1) usedTwice = true;
        } else {
            ++refused;
        }
    }
}

contract InvariantsTest {
    World private world;
    DsmBridge private bridge;
    PlainToken private coin;
    DsmWrapped private wrapped;

    function setUp() public {
        world = new World();
        (bridge, coin, wrapped) = world.the();
    }

    function targetContracts() public view returns (address[] memory targets) {
        targets = new address[](1);
        targets[0] = address(world);
    }

    struct FuzzSelector {
        address addr;
        bytes4[] selectors;
    }

    function targetSelectors() public view returns (FuzzSelector[] memory targets) {
        bytes4[] memory selectors = new bytes4[](10);
        selectors[0] = world.lockedEther.selector;
        selectors[1] = world.lockedCoins.selector;
        selectors[2] = world.burnt.selector;
        selectors[3] = world.donated.selector;
        selectors[4] = world.released.selector;
        selectors[5] = world.releasedAgain.selector;
        selectors[6] = world.refundedLock.selector;
        selectors[7] = world.executed.selector;
        selectors[8] = world.cancelled.selector;
        selectors[9] = world.waited.selector;
        targets = new FuzzSelector[](1);
        targets[0] = FuzzSelector(address(world), selectors);
    }

    /// Whatever attestors sign, no more leaves than came.
    function invariant_released_and_refunded_never_exceed_locked() public view {
        address[2] memory assets = [address(0), address(coin)];
        for (uint256 i = 0; i < assets.length; ++i) {
            DsmBridge.Asset memory a = bridge.assetInfo(assets[i]);
            require(uint256(a.released) + a.refunded <= a.locked, "more left than came");
        }
    }

    function invariant_the_vault_holds_what_it_owes() public view {
        DsmBridge.Asset memory a = bridge.assetInfo(address(0));
        require(address(bridge).balance == uint256(a.locked) - a.released - a.refunded, "ether");
        a = bridge.assetInfo(address(coin));
        require(coin.balanceOf(address(bridge)) >= uint256(a.locked) - a.released - a.refunded, "coins");
    }

    function invariant_what_was_paid_is_what_the_books_say() public view {
        DsmBridge.Asset memory a = bridge.assetInfo(address(0));
        require(world.paidEther() == uint256(a.released) + a.refunded, "ether");
        a = bridge.assetInfo(address(coin));
        require(world.paidCoins() == uint256(a.released) + a.refunded, "coins");
    }

    function invariant_wrapped_supply_is_minted_less_burned() public view {
        DsmBridge.Asset memory a = bridge.assetInfo(address(wrapped));
        require(wrapped.totalSupply() == uint256(a.released) + a.refunded - a.locked, "supply");
        require(wrapped.totalSupply() <= bridge.limits(address(wrapped)).outstandingMax + a.refunded, "above the maximum");
    }

    function invariant_each_leaf_and_each_lock_at_most_once() public view {
        require(!world.usedTwice(), "used twice");
    }

    /// These runs do something: a world in which every call is refused would prove nothing.
    function afterInvariant() public view {
        require(world.accepted() > 0, "nothing was ever accepted");
    }
}
