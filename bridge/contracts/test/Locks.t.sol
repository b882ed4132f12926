// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {DsmBridge} from "../src/DsmBridge.sol";
import {Erc20} from "../src/Erc20.sol";
import {DsmWrapped} from "../src/DsmWrapped.sol";
import {Outbox} from "../src/Outbox.sol";
import {Base} from "./Base.sol";
import "./Tokens.sol";

/// EVM to DSM: what becomes a commitment, and what never does.
contract LocksTest is Base {
    uint256 private constant LOCKED = 7 ether;

    /// DSM reads this storage slot by proof: it is part of the format.
    function commitmentInStorage(uint256 nonce) private view returns (bytes32) {
        return vm.load(address(bridge), keccak256(abi.encode(nonce, uint256(0))));
    }

    function test_a_lock_of_ether_stands_in_storage() public {
        DsmBridge.Lock memory lock = lockEther(LOCKED);
        eq(lock.nonce, 0);
        eq(bridge.outboxSize(), 1);
        eq(commitmentInStorage(0), lockCommitment(lock));
        eq(bridge.outbox(0), lockCommitment(lock));
        eq(bridge.commitmentOf(lock), lockCommitment(lock));
        eq(address(bridge).balance, LOCKED);
        eq(bridge.assetInfo(address(0)).locked, LOCKED);
        balanced(address(0));
    }

    function test_a_lock_of_a_token_stands_in_storage() public {
        lockEther(1);
        DsmBridge.Lock memory lock = lockCoin(LOCKED);
        eq(lock.nonce, 1);
        eq(commitmentInStorage(1), lockCommitment(lock));
        eq(coin.balanceOf(address(bridge)), LOCKED);
        balanced(address(coin));
    }

    function test_a_burn_stands_in_storage() public {
        releaseNow(HOME, home_(ALICE, LOCKED));
        vm.prank(ALICE);
        uint256 nonce = bridge.burnWrapped(HOME, 2 ether, ALICE_DSM, soon());
        DsmBridge.Lock memory lock =
            DsmBridge.Lock(nonce, WRAPPED, address(wrapped), ALICE, HOME, ALICE_DSM, 2 ether, soon());
        eq(commitmentInStorage(nonce), lockCommitment(lock));
        eq(wrapped.totalSupply(), LOCKED - 2 ether);
        eq(wrapped.balanceOf(ALICE), LOCKED - 2 ether);
        balanced(address(wrapped));
    }

    function test_two_equal_locks_are_two_commitments() public {
        require(lockCommitment(lockEther(1)) != lockCommitment(lockEther(1)), "a nonce is part of it");
    }

    function test_nobody_burns_what_he_does_not_have() public {
        releaseNow(HOME, home_(ALICE, LOCKED));
        vm.expectPartialRevert(DsmWrapped.InsufficientBalance.selector);
        vm.prank(BOB);
        bridge.burnWrapped(HOME, 1, ALICE_DSM, soon());
    }

    function refuseEther(uint256 amount, bytes32 recipient, uint64 deadline, bytes4 refusal) private {
        vm.expectPartialRevert(refusal);
        vm.prank(ALICE);
        bridge.lockNative{value: amount}(recipient, deadline);
    }

    function test_refused_locks_of_ether() public {
        uint64 now_ = uint64(block.timestamp);
        refuseEther(0, ALICE_DSM, soon(), DsmBridge.AmountOutOfRange.selector);
        refuseEther(1, bytes32(0), soon(), DsmBridge.ZeroRecipient.selector);
        refuseEther(1, ALICE_DSM, 0, DsmBridge.DeadlineOutOfRange.selector);
        refuseEther(1, ALICE_DSM, now_, DsmBridge.DeadlineOutOfRange.selector);
        refuseEther(1, ALICE_DSM, now_ + 1 hours - 1, DsmBridge.DeadlineOutOfRange.selector);
        refuseEther(1, ALICE_DSM, now_ + 30 days + 1, DsmBridge.DeadlineOutOfRange.selector);
        refuseEther(1, ALICE_DSM, type(uint64).max, DsmBridge.DeadlineOutOfRange.selector);
        refuseEther(1_000 ether + 1, ALICE_DSM, soon(), DsmBridge.AboveTransferMax.selector);
        eq(bridge.outboxSize(), 0);
    }

    function test_deadlines_at_their_bounds_are_accepted() public {
        vm.prank(ALICE);
        bridge.lockNative{value: 1}(ALICE_DSM, uint64(block.timestamp) + 1 hours);
        vm.prank(ALICE);
        bridge.lockNative{value: 1}(ALICE_DSM, uint64(block.timestamp) + 30 days);
        eq(bridge.outboxSize(), 2);
    }

    /// Plain ether without words belongs to nobody and is refused.
    function test_ether_without_a_lock_is_refused() public {
        vm.prank(ALICE);
        (bool ok,) = address(bridge).call{value: 1 ether}("");
        require(!ok, "taken");
        vm.prank(ALICE);
        (ok,) = address(bridge).call{value: 1 ether}(
            abi.encodeCall(bridge.lockERC20, (address(coin), 1 ether, ALICE_DSM, soon()))
        );
        require(!ok, "ether beside a lock of a token");
    }

    function refuseToken(address asset, uint256 amount, bytes4 refusal) private {
        vm.expectPartialRevert(refusal);
        vm.prank(ALICE);
        bridge.lockERC20(asset, amount, ALICE_DSM, soon());
    }

    /// Qubit: ether named as a token and the reverse, a token without code, a token that nobody registered.
    function test_qubit_ether_is_no_token_and_nothing_without_code_is() public {
        refuseToken(address(0), 1, DsmBridge.WrongKind.selector);
        refuseToken(address(0xDEAD), 1, DsmBridge.UnknownAsset.selector);
        refuseToken(address(bridge), 1, DsmBridge.UnknownAsset.selector);
        refuseToken(address(wrapped), 1, DsmBridge.WrongKind.selector);
        refuseToken(address(new PlainToken()), 1, DsmBridge.UnknownAsset.selector);
        bytes memory action =
            abi.encodeCall(bridge.registerAsset, (address(0xDEAD), keccak256("another"), someLimits()));
        announce(action, 24 hours);
        actRefused(action, DsmBridge.AssetWithoutCode.selector);
    }

    function test_burning_of_what_is_not_wrapped_is_refused() public {
        bytes32[3] memory tokens = [ETHER, COIN, keccak256("unknown")];
        for (uint256 i = 0; i < tokens.length; ++i) {
            vm.prank(ALICE);
            (bool ok,) =
                address(bridge).call(abi.encodeCall(bridge.burnWrapped, (tokens[i], 1, ALICE_DSM, soon())));
            require(!ok, "burnt");
        }
    }

    function test_amounts_outside_of_128_bits_are_refused() public {
        refuseToken(address(coin), 0, DsmBridge.AmountOutOfRange.selector);
        refuseToken(address(coin), uint256(type(uint128).max) + 1, DsmBridge.AmountOutOfRange.selector);
        refuseToken(address(coin), type(uint256).max, DsmBridge.AmountOutOfRange.selector);
        refuseToken(address(coin), type(uint128).max, Erc20.TokenRefused.selector);
    }

    /// An asset that nobody has registered cannot be locked: there is no DSM token for it.
    function test_before_registration_nothing_is_locked() public {
        DsmBridge bare = new DsmBridge(
            someConfig(address(verifier)), new DsmBridge.NewAsset[](0), new DsmBridge.NewWrapped[](0)
        );
        vm.expectPartialRevert(DsmBridge.UnknownAsset.selector);
        vm.prank(ALICE);
        bare.lockNative{value: 1}(ALICE_DSM, soon());
    }

    // --- tokens that are not like the others ---

    function withToken(PlainToken token) private returns (PlainToken) {
        coin = token;
        bridge = newBridge(address(verifier), address(token));
        token.mint(ALICE, 10_000 ether);
        vm.prank(ALICE);
        token.approve(address(bridge), type(uint256).max);
        return token;
    }

    function test_a_token_without_answers_is_accepted_both_ways() public {
        withToken(new NoReturnToken());
        lockCoin(LOCKED);
        releaseNow(COIN, coin_(BOB, LOCKED));
        eq(coin.balanceOf(BOB), LOCKED);
    }

    function test_a_token_that_says_false_is_refused() public {
        withToken(new FalseToken());
        refuseToken(address(coin), LOCKED, Erc20.TokenRefused.selector);
    }

    function test_a_token_that_babbles_is_refused() public {
        BabblingToken token = BabblingToken(address(withToken(new BabblingToken())));
        lockCoin(LOCKED);
        token.babble(2, 32);
        refuseToken(address(coin), LOCKED, Erc20.TokenRefused.selector);
        token.babble(1 << 248, 1);
        refuseToken(address(coin), LOCKED, Erc20.TokenRefused.selector);
        token.babble(type(uint256).max, 32);
        refuseToken(address(coin), LOCKED, Erc20.TokenRefused.selector);
        // Only the first word is read, however much follows.
        token.babble(1, 100_000);
        lockCoin(LOCKED);
    }

    /// What arrived is what counts.
    function test_a_fee_on_transfer_is_not_credited() public {
        withToken(new FeeToken());
        vm.prank(ALICE);
        uint256 nonce = bridge.lockERC20(address(coin), 100 ether, ALICE_DSM, soon());
        DsmBridge.Lock memory lock =
            DsmBridge.Lock(nonce, ERC20, address(coin), ALICE, COIN, ALICE_DSM, 99 ether, soon());
        eq(bridge.outbox(nonce), lockCommitment(lock));
        eq(bridge.assetInfo(address(coin)).locked, 99 ether);
        balanced(address(coin));
        // On the way out the token's fee is the recipient's.
        releaseNow(COIN, coin_(BOB, 99 ether));
        eq(coin.balanceOf(BOB), 99 ether - 0.99 ether);
        balanced(address(coin));
    }

    /// Nobody pays a token's fee out of what others have locked.
    function test_a_token_that_charges_the_vault_is_not_paid_out() public {
        withToken(new SenderFeeToken());
        lockCoin(100 ether);
        DsmBridge.Release memory payment = coin_(BOB, 50 ether);
        Outbox.Leaf memory leaf = pushRelease(COIN, payment);
        checkpoint();
        handInRefused(leaf, payment, DsmBridge.WrongAmountPaid.selector);
        balanced(address(coin));
    }

    function test_a_token_that_gives_more_is_refused() public {
        withToken(new GenerousToken());
        refuseToken(address(coin), LOCKED, DsmBridge.WrongAmountReceived.selector);
    }

    function test_a_token_that_only_says_so_locks_nothing() public {
        withToken(new LazyToken());
        refuseToken(address(coin), LOCKED, DsmBridge.AmountOutOfRange.selector);
    }

    /// A shrinking supply leaves less than is owed: the first who come are paid, the books stay right.
    function test_a_rebasing_token_harms_only_its_own_holders() public {
        RebasingToken token = RebasingToken(address(withToken(new RebasingToken())));
        lockEther(LOCKED);
        lockCoin(100 ether);
        token.rebase(address(bridge), 60 ether);
        releaseNow(COIN, coin_(BOB, 60 ether));
        Outbox.Leaf memory leaf = pushRelease(COIN, coin_(BOB, 40 ether));
        checkpoint();
        handInRefused(leaf, coin_(BOB, 40 ether), Erc20.TokenRefused.selector);
        balanced(address(0));
        // Not lost: it is paid when the supply is back.
        token.rebase(address(bridge), 40 ether);
        handIn(leaf, coin_(BOB, 40 ether));
    }
}
