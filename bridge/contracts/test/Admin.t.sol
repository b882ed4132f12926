// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {DsmBridge} from "../src/DsmBridge.sol";
import {DsmWrapped} from "../src/DsmWrapped.sol";
import {EcdsaQuorum} from "../src/attest/EcdsaQuorum.sol";
import {IAttestationVerifier} from "../src/IAttestationVerifier.sol";
import {Outbox} from "../src/Outbox.sol";
import {Base} from "./Base.sol";
import {PlainToken} from "./Tokens.sol";

/// Believes everything. For tests of what happens around a verifier alone.
contract TestDoubleVerifier {
    uint8 public size;
    uint8 public threshold;

    constructor(uint8 size_, uint8 threshold_) {
        (size, threshold) = (size_, threshold_);
    }

    function quorum() external view returns (uint8, uint8) {
        return (size, threshold);
    }

    function verify(bytes32, uint64, bytes calldata) external pure returns (bool) {
        return true;
    }
}

/// Who may change what, when, and that no change moves funds.
contract AdminTest is Base {
    bytes32 private constant FRESH = keccak256("a fresh token");

    function registration() private returns (bytes memory) {
        return abi.encodeCall(bridge.registerAsset, (address(new PlainToken()), FRESH, someLimits()));
    }

    // --- birth ---

    function refuseBirth(DsmBridge.Config memory config, bytes4 refusal) private {
        vm.expectPartialRevert(refusal);
        new DsmBridge(config, new DsmBridge.NewAsset[](0), new DsmBridge.NewWrapped[](0));
    }

    function test_bridges_that_are_not_born() public {
        DsmBridge.Config memory c = someConfig(address(verifier));
        c.network = bytes32(0);
        refuseBirth(c, DsmBridge.ZeroNetwork.selector);
        c = someConfig(address(verifier));
        c.admin = address(0);
        refuseBirth(c, DsmBridge.ZeroAddress.selector);
        c = someConfig(address(verifier));
        c.guardian = address(0);
        refuseBirth(c, DsmBridge.ZeroAddress.selector);
        c = someConfig(address(verifier));
        c.guardian = c.admin;
        refuseBirth(c, DsmBridge.AdminIsGuardian.selector);
        c = someConfig(address(verifier));
        c.delay = 24 hours - 1;
        refuseBirth(c, DsmBridge.DelayOutOfRange.selector);
        c.delay = 30 days + 1;
        refuseBirth(c, DsmBridge.DelayOutOfRange.selector);
        c = someConfig(address(verifier));
        c.queueDelay = 1 hours - 1;
        refuseBirth(c, DsmBridge.DelayOutOfRange.selector);
        c.queueDelay = 7 days + 1;
        refuseBirth(c, DsmBridge.DelayOutOfRange.selector);
        refuseBirth(someConfig(address(0)), DsmBridge.BadVerifier.selector);
        refuseBirth(someConfig(ALICE), DsmBridge.BadVerifier.selector);
    }

    /// Ronin, Harmony; B12: a verifier that is content with two thirds or with nobody.
    function test_verifiers_with_unfit_thresholds() public {
        uint8[2][5] memory unfit = [[4, 0], [4, 2], [3, 2], [4, 5], [0, 0]];
        for (uint256 i = 0; i < unfit.length; ++i) {
            refuseBirth(
                someConfig(address(new TestDoubleVerifier(unfit[i][0], unfit[i][1]))), DsmBridge.BadVerifier.selector
            );
        }
        newBridge(address(new TestDoubleVerifier(4, 3)), address(coin));
    }

    /// A token has one asset, an asset one token, for good.
    function test_registrations_are_for_good() public {
        address fresh = address(new PlainToken());
        bytes[5] memory actions = [
            abi.encodeCall(bridge.registerAsset, (address(coin), FRESH, someLimits())),
            abi.encodeCall(bridge.registerAsset, (address(0), FRESH, someLimits())),
            abi.encodeCall(bridge.registerAsset, (fresh, COIN, someLimits())),
            abi.encodeCall(bridge.registerAsset, (fresh, ETHER, someLimits())),
            abi.encodeCall(bridge.registerAsset, (address(wrapped), FRESH, someLimits()))
        ];
        for (uint256 i = 0; i < actions.length; ++i) {
            announce(actions[i], 24 hours);
            actRefused(actions[i], DsmBridge.AlreadyRegistered.selector);
        }
        bytes memory action = abi.encodeCall(bridge.registerAsset, (fresh, bytes32(0), someLimits()));
        announce(action, 24 hours);
        actRefused(action, DsmBridge.ZeroToken.selector);
        action = abi.encodeCall(bridge.deployWrapped, (HOME, "", "Again", "AGAIN", 6, someLimits()));
        announce(action, 24 hours);
        actRefused(action, DsmBridge.AlreadyRegistered.selector);
        action = abi.encodeCall(bridge.registerAsset, (address(bridge), FRESH, someLimits()));
        announce(action, 24 hours);
        actRefused(action, DsmBridge.WrongKind.selector);
        action = abi.encodeCall(bridge.registerAsset, (address(verifier), FRESH, someLimits()));
        announce(action, 24 hours);
        actRefused(action, DsmBridge.WrongKind.selector);
    }

    function test_a_token_is_registered_and_wrapped_through_the_time_lock() public {
        bytes memory action = registration();
        announceAndAct(action);
        (address asset, uint8 kind) = bridge.assetOf(FRESH);
        eq(kind, ERC20);
        eq(bridge.assetInfo(asset).token, FRESH);
        eq(bridge.available(asset, DsmBridge.Direction.In), 2_000 ether);

        action = abi.encodeCall(
            bridge.deployWrapped, (keccak256("second home"), hex"0155", "Second", "SND", 2, someLimits())
        );
        announceAndAct(action);
        (asset, kind) = bridge.assetOf(keccak256("second home"));
        eq(kind, WRAPPED);
        DsmWrapped token = DsmWrapped(asset);
        eq(token.bridge(), address(bridge));
        eq(token.dsmToken(), keccak256("second home"));
        eq(keccak256(token.policyCid()), keccak256(hex"0155"));
        eq(keccak256(bytes(token.name())), keccak256("Second"));
        eq(keccak256(bytes(token.symbol())), keccak256("SND"));
        eq(token.decimals(), 2);

        (asset, kind) = bridge.assetOf(bytes32(0));
        eq(kind, 0);
        (asset, kind) = bridge.assetOf(keccak256("nobody's"));
        eq(kind, 0);
    }

    // --- the time lock ---

    function test_nothing_happens_unannounced_early_late_or_twice() public {
        bytes memory action = registration();
        actRefused(action, DsmBridge.NotProposed.selector);
        vm.prank(ADMIN);
        bytes32 id = bridge.propose(action);
        eq(id, keccak256(action));
        actRefused(action, DsmBridge.TooEarly.selector);
        vm.warp(block.timestamp + 24 hours - 1);
        actRefused(action, DsmBridge.TooEarly.selector);
        vm.prank(ADMIN);
        vm.expectPartialRevert(DsmBridge.AlreadyProposed.selector);
        bridge.propose(action);
        vm.warp(block.timestamp + 1 + 14 days + 1);
        actRefused(action, DsmBridge.ProposalExpired.selector);
        announceAndAct(action);
        actRefused(action, DsmBridge.NotProposed.selector);
    }

    /// What is called is what was announced, to the last byte.
    function test_another_call_than_the_announced_one() public {
        bytes memory action = registration();
        announce(action, 24 hours);
        bytes memory longer = abi.encodePacked(action, uint8(0));
        actRefused(longer, DsmBridge.NotProposed.selector);
        action[action.length - 1] ^= 0x01;
        actRefused(action, DsmBridge.NotProposed.selector);
    }

    function test_only_the_admin_announces_and_acts() public {
        bytes memory action = registration();
        address[3] memory others = [GUARDIAN, ALICE, address(bridge)];
        for (uint256 i = 0; i < others.length; ++i) {
            vm.prank(others[i]);
            vm.expectPartialRevert(DsmBridge.OnlyAdmin.selector);
            bridge.propose(action);
        }
        announce(action, 24 hours);
        for (uint256 i = 0; i < others.length; ++i) {
            vm.prank(others[i]);
            (bool ok, bytes memory answer) = address(bridge).call(action);
            require(!ok && bytes4(answer) == DsmBridge.OnlyAdmin.selector, "acted");
        }
    }

    /// Poly: the time lock is no way to have the bridge call something.
    function test_poly_only_the_functions_of_the_time_lock_are_announced() public {
        bytes[7] memory actions = [
            abi.encodeCall(bridge.pause, (DsmBridge.Direction.In)),
            abi.encodeCall(bridge.executeQueued, (1)),
            abi.encodeCall(bridge.propose, ("")),
            abi.encodeCall(PlainToken.transfer, (ADMIN, 1)),
            abi.encodeCall(DsmWrapped.mint, (ADMIN, 1)),
            bytes(""),
            bytes(hex"aabbcc")
        ];
        for (uint256 i = 0; i < actions.length; ++i) {
            vm.prank(ADMIN);
            vm.expectPartialRevert(DsmBridge.UnknownAction.selector);
            bridge.propose(actions[i]);
        }
    }

    function test_the_admin_withdraws_and_the_guardian_vetoes() public {
        bytes memory action = registration();
        address[2] memory who = [ADMIN, GUARDIAN];
        for (uint256 i = 0; i < who.length; ++i) {
            announce(action, 24 hours);
            vm.prank(ALICE);
            vm.expectPartialRevert(DsmBridge.OnlyAdmin.selector);
            bridge.cancelProposal(keccak256(action));
            vm.prank(who[i]);
            bridge.cancelProposal(keccak256(action));
            actRefused(action, DsmBridge.NotProposed.selector);
            vm.prank(who[i]);
            vm.expectPartialRevert(DsmBridge.NotProposed.selector);
            bridge.cancelProposal(keccak256(action));
        }
    }

    /// A stolen guardian's key stops things, for seven days.
    function test_the_guardian_is_replaced_against_its_will() public {
        bytes memory action = abi.encodeCall(bridge.setGuardian, (BOB));
        announce(action, 7 days - 1);
        vm.prank(GUARDIAN);
        vm.expectPartialRevert(DsmBridge.NotCancellable.selector);
        bridge.cancelProposal(keccak256(action));
        actRefused(action, DsmBridge.TooEarly.selector);
        vm.warp(block.timestamp + 1);
        (bool ok,) = act(action);
        require(ok && bridge.guardian() == BOB, "not replaced");
        vm.prank(GUARDIAN);
        vm.expectPartialRevert(DsmBridge.OnlyGuardian.selector);
        bridge.pause(DsmBridge.Direction.In);
    }

    function test_the_admin_hands_over() public {
        bytes memory action = abi.encodeCall(bridge.setAdmin, (GUARDIAN));
        announce(action, 24 hours);
        actRefused(action, DsmBridge.AdminIsGuardian.selector);
        announceAndAct(abi.encodeCall(bridge.setAdmin, (BOB)));
        vm.prank(ADMIN);
        vm.expectPartialRevert(DsmBridge.OnlyAdmin.selector);
        bridge.propose(action);
    }

    function test_only_the_guardian_stops() public {
        address[3] memory others = [ADMIN, ALICE, address(bridge)];
        for (uint256 i = 0; i < others.length; ++i) {
            vm.prank(others[i]);
            vm.expectPartialRevert(DsmBridge.OnlyGuardian.selector);
            bridge.pause(DsmBridge.Direction.In);
        }
        bytes memory action = abi.encodeCall(bridge.unpause, (DsmBridge.Direction.In));
        vm.prank(GUARDIAN);
        bridge.pause(DsmBridge.Direction.In);
        vm.prank(GUARDIAN);
        (bool ok,) = address(bridge).call(action);
        require(!ok, "the guardian starts nothing");
        announceAndAct(action);
        announce(action, 24 hours);
        actRefused(action, DsmBridge.NotPaused.selector);
    }

    function test_limits_that_could_never_pay_are_refused() public {
        DsmBridge.Limits memory limits = someLimits();
        limits.queueAbove = limits.outCapacity + 1;
        bytes memory action = abi.encodeCall(bridge.setLimits, (address(coin), limits));
        announce(action, 24 hours);
        actRefused(action, DsmBridge.BadLimits.selector);
        action = abi.encodeCall(bridge.setLimits, (ALICE, someLimits()));
        announce(action, 24 hours);
        actRefused(action, DsmBridge.UnknownAsset.selector);
    }

    /// New limits do not fill the bucket: otherwise each change would let a capacity through.
    function test_new_limits_take_the_bucket_as_it_is() public {
        lockCoin(1_000 ether);
        lockCoin(1_000 ether);
        DsmBridge.Limits memory limits = someLimits();
        limits.inCapacity = 4_000 ether;
        limits.inRefill = 0;
        announceAndAct(abi.encodeCall(bridge.setLimits, (address(coin), limits)));
        eq(bridge.available(address(coin), DsmBridge.Direction.In), 2_000 ether);
        vm.warp(block.timestamp + 1 days);
        eq(bridge.available(address(coin), DsmBridge.Direction.In), 2_000 ether);
        limits.inCapacity = 5;
        announceAndAct(abi.encodeCall(bridge.setLimits, (address(coin), limits)));
        eq(bridge.available(address(coin), DsmBridge.Direction.In), 5);
    }

    // --- another verifier ---

    function test_the_present_attestors_name_another_verifier() public {
        EcdsaQuorum next = new EcdsaQuorum(attestorKeys(2), THRESHOLD);
        bytes32 digest = bridge.successionDigest(address(next), 1);
        bytes memory forged = abi.encodeCall(bridge.setVerifier, (address(next), 1, attest(2, digest)));
        announce(forged, 24 hours);
        actRefused(forged, DsmBridge.NotAttested.selector);
        bytes memory other = abi.encodeCall(bridge.setVerifier, (address(new TestDoubleVerifier(1, 1)), 1, attest(1, digest)));
        announce(other, 24 hours);
        actRefused(other, DsmBridge.NotAttested.selector);
        // Wormhole: nothing that a caller says makes another contract the judge.
        announceAndAct(abi.encodeCall(bridge.setVerifier, (address(next), 1, attest(1, digest))));
        eq(address(bridge.verifier()), address(next));
        pushLeaf(COIN, keccak256("x"));
        DsmBridge.Checkpoint memory c = nextCheckpoint();
        vm.expectPartialRevert(DsmBridge.NotAttested.selector);
        bridge.submitCheckpoint(c, attest(1, digestOf(c)));
        bridge.submitCheckpoint(c, attest(2, digestOf(c)));
    }

    function test_dead_attestors_are_replaced_after_a_month() public {
        bytes memory action = abi.encodeCall(bridge.recoverVerifier, (address(new TestDoubleVerifier(1, 1))));
        announce(action, 24 hours);
        actRefused(action, DsmBridge.TooEarly.selector);
        vm.warp(BIRTH + 7 days);
        actRefused(action, DsmBridge.AttestorsAlive.selector);
        pushLeaf(COIN, keccak256("x"));
        checkpoint();
        vm.warp(BIRTH + 8 days + 28 days);
        announce(action, 1 days);
        actRefused(action, DsmBridge.TooEarly.selector);
        vm.warp(BIRTH + 37 days - 1);
        actRefused(action, DsmBridge.TooEarly.selector);
        vm.warp(BIRTH + 44 days);
        (bool ok,) = act(action);
        require(ok, "they have been dead for 37 days");
    }

    /// Who has stolen both roles cannot make living attestors look dead by revoking what they signed.
    function test_revoked_checkpoints_do_not_make_attestors_dead() public {
        pushLeaf(COIN, keccak256("x"));
        checkpoint();
        vm.warp(BIRTH + 100 days);
        pushLeaf(COIN, keccak256("y"));
        checkpoint();
        bytes memory action = abi.encodeCall(bridge.recoverVerifier, (address(new TestDoubleVerifier(1, 1))));
        vm.prank(GUARDIAN);
        bridge.pause(DsmBridge.Direction.Out);
        vm.prank(GUARDIAN);
        bridge.revokeLatest(2);
        vm.prank(GUARDIAN);
        bridge.revokeLatest(1);
        announce(action, 7 days);
        actRefused(action, DsmBridge.AttestorsAlive.selector);
        // Pausing again does not change when the pause began, neither way.
        vm.prank(GUARDIAN);
        bridge.pause(DsmBridge.Direction.Out);
        eq(bridge.pausedSince(DsmBridge.Direction.Out), BIRTH + 100 days);
        vm.warp(BIRTH + 122 days);
        announce(action, 8 days - 1);
        actRefused(action, DsmBridge.AttestorsAlive.selector);
        vm.warp(BIRTH + 130 days);
        (bool ok,) = act(action);
        require(ok, "a month of pause, in the open");
    }

    /// Stolen attestors' keys cannot hold the bridge for ever: what is revoked is no sign of life.
    function test_forged_checkpoints_that_are_revoked_keep_nobody_alive() public {
        bytes memory action = abi.encodeCall(bridge.recoverVerifier, (address(new TestDoubleVerifier(1, 1))));
        vm.prank(GUARDIAN);
        bridge.pause(DsmBridge.Direction.Out);
        for (uint256 i = 0; i < 5; ++i) {
            vm.warp(block.timestamp + 6 days);
            pushLeaf(COIN, keccak256(abi.encode("forged", i)));
            checkpoint();
            vm.prank(GUARDIAN);
            bridge.revokeLatest(epoch);
        }
        announce(action, 7 days);
        (bool ok,) = act(action);
        require(ok, "a month of pause without one checkpoint that stood");
    }

    /// One checkpoint, which anybody can hand in, and the attestors are alive.
    function test_living_attestors_are_not_replaced() public {
        bytes memory action = abi.encodeCall(bridge.recoverVerifier, (address(new TestDoubleVerifier(1, 1))));
        vm.warp(BIRTH + 60 days);
        announce(action, 7 days);
        pushLeaf(COIN, keccak256("x"));
        checkpoint();
        actRefused(action, DsmBridge.AttestorsAlive.selector);
    }

    // --- funds ---

    /// Multichain: every call that the admin and the guardian can make, and not one unit moves.
    function test_multichain_no_call_of_admin_or_guardian_moves_funds() public {
        lockEther(500 ether);
        lockCoin(500 ether);
        Outbox.Leaf memory large = releaseNow(COIN, coin_(BOB, 200 ether));
        vm.prank(GUARDIAN);
        bridge.cancelQueued(large.index);
        vm.warp(block.timestamp + 40 days);
        bytes[10] memory actions = [
            registration(),
            abi.encodeCall(bridge.deployWrapped, (keccak256("w"), "", "W", "W", 0, someLimits())),
            abi.encodeCall(bridge.setLimits, (address(coin), someLimits())),
            abi.encodeCall(bridge.unpause, (DsmBridge.Direction.In)),
            abi.encodeCall(bridge.restoreQueued, (large.index)),
            abi.encodeCall(bridge.setVerifier, (address(verifier), 1, "")),
            abi.encodeCall(bridge.recoverVerifier, (address(new TestDoubleVerifier(1, 1)))),
            abi.encodeCall(bridge.setAdmin, (BOB)),
            abi.encodeCall(bridge.setAdmin, (ADMIN)),
            abi.encodeCall(bridge.setGuardian, (GUARDIAN))
        ];
        vm.prank(GUARDIAN);
        bridge.pause(DsmBridge.Direction.In);
        vm.prank(GUARDIAN);
        bridge.pause(DsmBridge.Direction.Out);
        vm.prank(GUARDIAN);
        bridge.revokeLatest(epoch);
        for (uint256 i = 0; i < actions.length; ++i) {
            vm.prank(bridge.admin());
            bridge.propose(actions[i]);
            vm.warp(block.timestamp + 7 days);
            vm.prank(bridge.admin());
            (bool ok,) = address(bridge).call(actions[i]);
            if (i == 7) {
                // The new admin hands back.
                require(ok && bridge.admin() == BOB, "handed over");
            }
            eq(address(bridge).balance, 500 ether);
            eq(coin.balanceOf(address(bridge)), 500 ether);
            eq(wrapped.totalSupply(), 0);
        }
    }

    function test_only_the_bridge_mints_and_burns() public {
        address[3] memory others = [ADMIN, GUARDIAN, ALICE];
        for (uint256 i = 0; i < others.length; ++i) {
            vm.prank(others[i]);
            vm.expectPartialRevert(DsmWrapped.OnlyBridge.selector);
            wrapped.mint(others[i], 1);
            vm.prank(others[i]);
            vm.expectPartialRevert(DsmWrapped.OnlyBridge.selector);
            wrapped.burn(ALICE, 1);
        }
    }

    // --- the wrapped token as an ERC-20 ---

    function test_a_wrapped_token_moves_like_any_other() public {
        releaseNow(HOME, home_(ALICE, 10));
        vm.prank(ALICE);
        require(wrapped.transfer(BOB, 4), "transfer");
        vm.prank(BOB);
        require(wrapped.approve(COURIER, 3), "approve");
        vm.prank(COURIER);
        require(wrapped.transferFrom(BOB, ALICE, 2), "transferFrom");
        eq(wrapped.allowance(BOB, COURIER), 1);
        eq(wrapped.balanceOf(BOB), 2);
        eq(wrapped.balanceOf(ALICE), 8);
        vm.prank(COURIER);
        vm.expectPartialRevert(DsmWrapped.InsufficientAllowance.selector);
        wrapped.transferFrom(BOB, ALICE, 2);
        vm.prank(BOB);
        vm.expectPartialRevert(DsmWrapped.InsufficientBalance.selector);
        wrapped.transfer(ALICE, 3);
        address[2] memory nowhere = [address(0), address(wrapped)];
        for (uint256 i = 0; i < nowhere.length; ++i) {
            vm.prank(ALICE);
            vm.expectPartialRevert(DsmWrapped.BadRecipient.selector);
            wrapped.transfer(nowhere[i], 1);
        }
        vm.prank(ALICE);
        wrapped.approve(COURIER, type(uint256).max);
        vm.prank(COURIER);
        wrapped.transferFrom(ALICE, BOB, 1);
        eq(wrapped.allowance(ALICE, COURIER), type(uint256).max);
    }

    function test_texts_of_a_wrapped_token_are_bounded() public {
        string memory s65 = "01234567890123456789012345678901234567890123456789012345678901234";
        vm.expectPartialRevert(DsmWrapped.TextTooLong.selector);
        new DsmWrapped(HOME, "", s65, "S", 0);
        vm.expectPartialRevert(DsmWrapped.TextTooLong.selector);
        new DsmWrapped(HOME, bytes(s65), "N", "S", 0);
        vm.expectPartialRevert(DsmWrapped.TextTooLong.selector);
        new DsmWrapped(HOME, "", "N", "01234567890123456", 0);
    }
}
