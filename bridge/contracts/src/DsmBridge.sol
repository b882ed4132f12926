// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {IAttestationVerifier} from "./IAttestationVerifier.sol";
import {DsmWrapped} from "./DsmWrapped.sol";
import {Erc20} from "./Erc20.sol";
import {Outbox} from "./Outbox.sol";

/// The EVM end of the DSM bridge: a vault that records what comes in and pays out what DSM's outbox says.
///
/// In: a lock is one word in `outbox`, which DSM reads by storage proof under a header that validators sealed. Events only
/// help to find it. Out: a release is a leaf of DSM's outbox tree under a root that the attestors signed. Nobody, the
/// admin and the guardian included, can name a recipient or an amount. No proxy, no delegatecall, no call that a caller
/// composes: this code calls `balanceOf`, `transfer` and `transferFrom` of registered assets, its own wrapped tokens, the
/// verifier, and sends ether.
///
/// Formats are those of ADR 0001; what each function does and how odd tokens fare stands in README.md.
contract DsmBridge {
    using Erc20 for address;

    // --- state; the outbox is first, its slot is part of every bridge's configuration on DSM ---

    /// The commitment of each lock. Never cleared: DSM proves it against the newest header.
    mapping(uint256 nonce => bytes32 commitment) public outbox;
    /// The number of locks so far, and the next nonce.
    uint256 public outboxSize;

    uint256 private _entered = 1;

    /// Whose signatures make a checkpoint.
    IAttestationVerifier public verifier;
    /// Proposes changes, all of which wait. Cannot move funds.
    address public admin;
    /// Stops at once what only time may start again: pauses, cancels, revokes. Cannot move funds.
    address public guardian;
    /// Since when a direction is paused; zero: it is not. Set by the guardian, cleared by the time lock.
    mapping(Direction direction => uint64) public pausedSince;

    Latest private _latest;
    mapping(uint64 epoch => Accepted) private _checkpoints;
    /// Roots that the guardian has revoked are never accepted again.
    mapping(bytes32 root => bool) public revoked;

    mapping(address asset => Asset) private _assets;
    /// The asset of a DSM token; one token never has two.
    mapping(bytes32 token => address asset) private _assetOf;
    mapping(address asset => Limits) private _limits;
    mapping(address asset => mapping(Direction direction => Bucket)) private _buckets;

    /// Leaves that have been used, by release or refund, queued or paid.
    mapping(uint64 index => bool) public spent;
    /// Locks that have been paid back.
    mapping(uint256 nonce => bool) public refunded;
    mapping(uint64 index => Queued) private _queue;

    /// Announced actions by the hash of their calldata.
    mapping(bytes32 id => Proposal) public proposals;

    // --- constants ---

    bytes32 private constant LOCK = keccak256("DSM/lock/1");
    bytes32 private constant RELEASE = keccak256("DSM/release/1");
    bytes32 private constant REFUND = keccak256("DSM/refund/1");
    bytes32 private constant DOMAIN =
        keccak256("EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)");
    bytes32 private constant CHECKPOINT =
        keccak256("Checkpoint(uint64 epoch,uint64 size,bytes32 root,uint64 setId,bytes32 network,uint64 position)");
    bytes32 private constant SUCCESSION = keccak256("Succession(address verifier,uint64 setId)");

    uint8 private constant NATIVE = 1;
    uint8 private constant ERC20 = 2;
    uint8 private constant WRAPPED = 3;

    /// DSM has to see the lock and credit it before its deadline: finality, a proof, a queue.
    uint64 private constant DEADLINE_MIN = 1 hours;
    /// A lock that nobody credits is not lost for longer than this.
    uint64 private constant DEADLINE_MAX = 30 days;
    /// DSM counts in 128 bits.
    uint256 private constant AMOUNT_MAX = type(uint128).max;
    /// Bounds of the time lock and of the delay of large releases.
    uint64 private constant DELAY_MIN = 24 hours;
    uint64 private constant DELAY_MAX = 30 days;
    uint64 private constant QUEUE_DELAY_MIN = 1 hours;
    uint64 private constant QUEUE_DELAY_MAX = 7 days;
    /// What would take power from the guardian, or stand in for dead attestors, waits at least so long.
    uint64 private constant LONG_DELAY = 7 days;
    /// An action that nobody executed is forgotten after so long.
    uint64 private constant GRACE = 14 days;
    /// The attestors count as dead when no checkpoint has come for so long.
    uint64 private constant DEAD_AFTER = 30 days;
    /// A proof leads through at most so many nodes: sizes are 64-bit.
    uint256 private constant PROOF_MAX = 64;

    /// The DSM network whose outbox counts here.
    bytes32 public immutable network;
    /// How long an action of the admin waits.
    uint64 public immutable delay;
    /// How long a large release waits.
    uint64 public immutable queueDelay;

    // --- types ---

    /// `In` is EVM to DSM (locks, burns), `Out` is DSM to EVM (releases, mints, refunds).
    enum Direction {
        In,
        Out
    }

    struct Config {
        bytes32 network;
        address verifier;
        address admin;
        address guardian;
        uint64 delay;
        uint64 queueDelay;
    }

    struct Limits {
        /// The most that one lock or release moves.
        uint128 transferMax;
        /// The most that may be outstanding: held for an original, minted for a wrapped token. Checked where it grows.
        uint128 outstandingMax;
        /// Token bucket of each direction: full at first, refilled by so many units a second.
        uint128 inCapacity;
        uint128 inRefill;
        uint128 outCapacity;
        uint128 outRefill;
        /// Releases above this wait in the queue instead of drawing on the bucket.
        uint128 queueAbove;
    }

    struct NewAsset {
        address asset;
        bytes32 token;
        Limits limits;
    }

    struct NewWrapped {
        bytes32 token;
        bytes policyCid;
        string name;
        string symbol;
        uint8 decimals;
        Limits limits;
    }

    /// For a wrapped token `locked` counts burns and `released` mints.
    struct Asset {
        bytes32 token;
        uint128 locked;
        uint128 released;
        uint128 refunded;
        uint8 kind;
    }

    struct Bucket {
        uint128 level;
        uint64 since;
    }

    struct Lock {
        uint256 nonce;
        uint8 kind;
        address asset;
        address sender;
        bytes32 token;
        bytes32 recipient;
        uint256 amount;
        uint64 deadline;
    }

    struct Checkpoint {
        uint64 epoch;
        uint64 size;
        bytes32 root;
        uint64 setId;
        bytes32 network;
        uint64 position;
    }

    /// What a release pays: kind 1 native and 3 wrapped have `asset` zero.
    struct Release {
        uint8 kind;
        address asset;
        address to;
        uint256 amount;
    }

    enum QueueState {
        None,
        Waiting,
        Cancelled,
        Paid
    }

    struct Queued {
        address asset;
        uint64 executableAt;
        QueueState state;
        address to;
        uint128 amount;
    }

    struct Accepted {
        bytes32 root;
        uint64 size;
        uint64 previous;
        uint64 acceptedAt;
    }

    struct Proposal {
        /// Zero: not announced.
        uint64 executableAt;
        bytes4 selector;
    }

    struct Latest {
        uint64 epoch;
        uint64 size;
        uint64 since;
    }

    // --- events ---

    event Locked(
        uint256 indexed nonce,
        bytes32 indexed token,
        bytes32 indexed recipient,
        uint8 kind,
        address asset,
        address sender,
        uint256 amount,
        uint64 deadline,
        bytes32 commitment
    );
    event CheckpointAccepted(uint64 indexed epoch, uint64 size, bytes32 root, uint64 setId, uint64 position);
    event CheckpointRevoked(uint64 indexed epoch, bytes32 root);
    event Released(uint64 indexed index, address indexed asset, address indexed to, uint256 amount, bytes32 token);
    event ReleaseQueued(
        uint64 indexed index,
        address indexed asset,
        address indexed to,
        uint256 amount,
        bytes32 token,
        uint256 executableAt
    );
    event ReleaseCancelled(uint64 indexed index);
    event ReleaseRestored(uint64 indexed index, uint256 executableAt);
    event Refunded(
        uint256 indexed nonce, address indexed asset, address indexed to, uint256 amount, uint64 index
    );
    event AssetRegistered(address indexed asset, bytes32 indexed token, uint8 kind);
    event LimitsSet(address indexed asset, Limits limits);
    event Paused(Direction direction);
    event Unpaused(Direction direction);
    event Proposed(bytes32 indexed id, bytes action, uint256 executableAt);
    event ProposalCancelled(bytes32 indexed id);
    event ProposalExecuted(bytes32 indexed id);
    event VerifierSet(address verifier);
    event AdminSet(address admin);
    event GuardianSet(address guardian);

    // --- refusals ---

    error Reentered();
    error OnlyAdmin();
    error OnlyGuardian();
    error DirectionPaused(Direction direction);
    error NotPaused(Direction direction);

    error ZeroAddress();
    error ZeroToken();
    error ZeroNetwork();
    error AdminIsGuardian();
    error DelayOutOfRange(uint256 delay);
    error BadVerifier(address verifier);

    error UnknownAsset(address asset);
    error WrongKind(address asset, uint8 kind);
    error AlreadyRegistered(address asset, bytes32 token);
    error AssetWithoutCode(address asset);
    error BadLimits();

    error ZeroRecipient();
    error AmountOutOfRange(uint256 amount);
    error DeadlineOutOfRange(uint64 deadline);
    error WrongAmountReceived(uint256 asked, uint256 received);
    error WrongAmountPaid(uint256 asked, uint256 paid);
    error EtherRefused(address to);

    error AboveTransferMax(uint256 amount, uint256 max);
    error AboveOutstandingMax(uint256 outstanding, uint256 max);
    error BucketEmpty(Direction direction, uint256 amount, uint256 available);
    error Underfunded(address asset);

    error WrongNetwork(bytes32 network);
    error ZeroRoot();
    error ZeroSize();
    error EpochNotRising(uint64 epoch, uint64 latest);
    error SizeShrinks(uint64 size, uint64 latest);
    error RootChanged(bytes32 root);
    error RootRevoked(bytes32 root);
    error NotAttested();
    error NotLatest(uint64 epoch);

    error UnknownEpoch(uint64 epoch);
    error BadProof();
    error LeafSpent(uint64 index);
    error TokenMismatch(bytes32 token, address asset);
    error BadRecipient(address to);
    error NotQueued(uint64 index);
    error TooEarly(uint256 executableAt);

    error UnknownLock(uint256 nonce);
    error AlreadyRefunded(uint256 nonce);
    error BeforeDeadline(uint64 deadline);

    error UnknownAction(bytes4 selector);
    error NotProposed(bytes32 id);
    error AlreadyProposed(bytes32 id);
    error ProposalExpired(bytes32 id);
    error NotCancellable(bytes32 id);
    error AttestorsAlive();

    // --- birth ---

    /// What is registered here needs no time lock: nobody has locked anything yet. There is no initialiser to run again.
    constructor(Config memory config, NewAsset[] memory assets, NewWrapped[] memory wrapped) {
        if (config.network == bytes32(0)) revert ZeroNetwork();
        if (config.delay < DELAY_MIN || config.delay > DELAY_MAX) revert DelayOutOfRange(config.delay);
        if (config.queueDelay < QUEUE_DELAY_MIN || config.queueDelay > QUEUE_DELAY_MAX) {
            revert DelayOutOfRange(config.queueDelay);
        }
        network = config.network;
        delay = config.delay;
        queueDelay = config.queueDelay;
        // Epoch 0 has no root and is never accepted; it remembers the birth.
        _checkpoints[0].acceptedAt = uint64(block.timestamp);
        _latest.since = uint64(block.timestamp);
        _setRoles(config.admin, config.guardian);
        emit AdminSet(config.admin);
        emit GuardianSet(config.guardian);
        _setVerifier(config.verifier);
        for (uint256 i = 0; i < assets.length; ++i) {
            _register(assets[i].asset, assets[i].token, assets[i].limits);
        }
        for (uint256 i = 0; i < wrapped.length; ++i) {
            NewWrapped memory w = wrapped[i];
            _deploy(w.token, w.policyCid, w.name, w.symbol, w.decimals, w.limits);
        }
    }

    modifier nonReentrant() {
        _enter();
        _;
        _entered = 1;
    }

    function _enter() private {
        if (_entered != 1) revert Reentered();
        _entered = 2;
    }

    // --- in: EVM to DSM ---

    /// Locks ether for the DSM account `recipient`. DSM credits before `deadline` (seconds) or never.
    function lockNative(bytes32 recipient, uint64 deadline) external payable nonReentrant returns (uint256 nonce) {
        return _lock(NATIVE, address(0), recipient, msg.value, deadline);
    }

    /// Locks an ERC-20. What counts is what arrived, so a token that takes a fee locks less than `amount`.
    function lockERC20(address asset, uint256 amount, bytes32 recipient, uint64 deadline)
        external
        nonReentrant
        returns (uint256 nonce)
    {
        if (asset == address(0)) revert WrongKind(asset, NATIVE);
        if (_assets[asset].kind != ERC20) _refuseKind(asset);
        if (amount == 0 || amount > AMOUNT_MAX) revert AmountOutOfRange(amount);
        uint256 before = asset.balanceOf(address(this));
        asset.transferFrom(msg.sender, address(this), amount);
        uint256 received = asset.balanceOf(address(this));
        received = received > before ? received - before : 0;
        if (received > amount) revert WrongAmountReceived(amount, received);
        return _lock(ERC20, asset, recipient, received, deadline);
    }

    /// Burns the wrapped form of the DSM token `token`, to be credited there.
    function burnWrapped(bytes32 token, uint256 amount, bytes32 recipient, uint64 deadline)
        external
        nonReentrant
        returns (uint256 nonce)
    {
        address asset = _wrappedOf(token);
        nonce = _lock(WRAPPED, asset, recipient, amount, deadline);
        DsmWrapped(asset).burn(msg.sender, amount);
    }

    function _lock(uint8 kind, address asset, bytes32 recipient, uint256 amount, uint64 deadline)
        private
        returns (uint256 nonce)
    {
        Asset storage a = _assets[asset];
        if (a.kind != kind) _refuseKind(asset);
        if (pausedSince[Direction.In] != 0) revert DirectionPaused(Direction.In);
        if (recipient == bytes32(0)) revert ZeroRecipient();
        if (amount == 0 || amount > AMOUNT_MAX) revert AmountOutOfRange(amount);
        if (deadline < block.timestamp + DEADLINE_MIN || deadline > block.timestamp + DEADLINE_MAX) {
            revert DeadlineOutOfRange(deadline);
        }
        Limits storage limit = _limits[asset];
        if (amount > limit.transferMax) revert AboveTransferMax(amount, limit.transferMax);
        _draw(asset, Direction.In, amount, limit.inCapacity, limit.inRefill);
        uint256 total = uint256(a.locked) + amount;
        if (total > AMOUNT_MAX) revert AmountOutOfRange(total);
        if (kind != WRAPPED) {
            uint256 outstanding = total - a.released - a.refunded;
            if (outstanding > limit.outstandingMax) revert AboveOutstandingMax(outstanding, limit.outstandingMax);
        }
        a.locked = uint128(total);

        nonce = outboxSize;
        outboxSize = nonce + 1;
        bytes32 token = a.token;
        bytes32 commitment =
            commitmentOf(Lock(nonce, kind, asset, msg.sender, token, recipient, amount, deadline));
        outbox[nonce] = commitment;
        emit Locked(nonce, token, recipient, kind, asset, msg.sender, amount, deadline, commitment);
    }

    /// The word that stands in `outbox` for a lock.
    function commitmentOf(Lock memory lock) public view returns (bytes32) {
        return keccak256(
            abi.encode(
                LOCK,
                block.chainid,
                address(this),
                lock.nonce,
                lock.kind,
                lock.asset,
                lock.sender,
                lock.token,
                lock.recipient,
                lock.amount,
                lock.deadline
            )
        );
    }

    // --- checkpoints ---

    /// Accepts a root of DSM's outbox that the present attestors signed. Anybody may hand it in.
    function submitCheckpoint(Checkpoint calldata checkpoint, bytes calldata attestation) external nonReentrant {
        if (checkpoint.network != network) revert WrongNetwork(checkpoint.network);
        if (checkpoint.root == bytes32(0)) revert ZeroRoot();
        if (checkpoint.size == 0) revert ZeroSize();
        Latest memory newest = _latest;
        if (checkpoint.epoch <= newest.epoch) revert EpochNotRising(checkpoint.epoch, newest.epoch);
        if (checkpoint.size < newest.size) revert SizeShrinks(checkpoint.size, newest.size);
        // The tree only grows: of one size it has one root.
        if (checkpoint.size == newest.size && checkpoint.root != _checkpoints[newest.epoch].root) {
            revert RootChanged(checkpoint.root);
        }
        if (revoked[checkpoint.root]) revert RootRevoked(checkpoint.root);
        if (!verifier.verify(checkpointDigest(checkpoint), checkpoint.setId, attestation)) revert NotAttested();
        _checkpoints[checkpoint.epoch] =
            Accepted(checkpoint.root, checkpoint.size, newest.epoch, uint64(block.timestamp));
        _latest = Latest(checkpoint.epoch, checkpoint.size, uint64(block.timestamp));
        emit CheckpointAccepted(
            checkpoint.epoch, checkpoint.size, checkpoint.root, checkpoint.setId, checkpoint.position
        );
    }

    /// What attestors sign (EIP-712).
    function checkpointDigest(Checkpoint calldata checkpoint) public view returns (bytes32) {
        return _digest(
            keccak256(
                abi.encode(
                    CHECKPOINT,
                    checkpoint.epoch,
                    checkpoint.size,
                    checkpoint.root,
                    checkpoint.setId,
                    checkpoint.network,
                    checkpoint.position
                )
            )
        );
    }

    // --- out: DSM to EVM ---

    /// Pays what a leaf of DSM's outbox says, once. Anybody may hand it in, and pays only the gas. A release above the
    /// asset's `queueAbove` waits in the queue.
    function release(
        Outbox.Leaf calldata leaf,
        Release calldata payment,
        bytes32[] calldata proof,
        uint64 epoch
    ) external nonReentrant {
        if (pausedSince[Direction.Out] != 0) revert DirectionPaused(Direction.Out);
        bytes32 payload = keccak256(
            abi.encode(
                RELEASE, block.chainid, address(this), payment.kind, payment.asset, payment.to, payment.amount
            )
        );
        _spend(leaf, payload, proof, epoch);

        address asset = payment.asset;
        uint256 amount = payment.amount;
        if (payment.kind == WRAPPED) {
            if (asset != address(0)) revert TokenMismatch(leaf.token, asset);
            asset = _wrappedOf(leaf.token);
        }
        Asset storage a = _assets[asset];
        if (a.kind == 0 || a.kind != payment.kind) _refuseKind(asset);
        if (a.token != leaf.token) revert TokenMismatch(leaf.token, asset);
        if (amount == 0 || amount > AMOUNT_MAX) revert AmountOutOfRange(amount);
        _checkRecipient(payment.to);
        Limits storage limit = _limits[asset];
        if (amount > limit.transferMax) revert AboveTransferMax(amount, limit.transferMax);
        if (amount > limit.queueAbove) {
            uint64 executableAt = uint64(block.timestamp) + queueDelay;
            _queue[leaf.index] = Queued(asset, executableAt, QueueState.Waiting, payment.to, uint128(amount));
            emit ReleaseQueued(leaf.index, asset, payment.to, amount, leaf.token, executableAt);
            return;
        }
        _draw(asset, Direction.Out, amount, limit.outCapacity, limit.outRefill);
        _release(leaf.index, asset, payment.to, amount);
    }

    /// Pays a queued release after its delay. Anybody may ask for it.
    function executeQueued(uint64 index) external nonReentrant {
        if (pausedSince[Direction.Out] != 0) revert DirectionPaused(Direction.Out);
        Queued storage queued_ = _queue[index];
        if (queued_.state != QueueState.Waiting) revert NotQueued(index);
        if (block.timestamp < queued_.executableAt) revert TooEarly(queued_.executableAt);
        queued_.state = QueueState.Paid;
        _checkRecipient(queued_.to);
        _release(index, queued_.asset, queued_.to, queued_.amount);
    }

    /// Pays a lock back to its sender, or mints the burnt wrapped units again, on a refund leaf of DSM: what was locked, to
    /// whom it came from, once. DSM emits such a leaf only for a lock that it can no longer credit. Neither limits nor the
    /// queue apply, because exactly this amount came in before and its sender must not wait for others; a pause does.
    function refund(Outbox.Leaf calldata leaf, Lock calldata lock, bytes32[] calldata proof, uint64 epoch)
        external
        nonReentrant
    {
        if (pausedSince[Direction.Out] != 0) revert DirectionPaused(Direction.Out);
        bytes32 commitment = commitmentOf(lock);
        if (outbox[lock.nonce] != commitment) revert UnknownLock(lock.nonce);
        if (refunded[lock.nonce]) revert AlreadyRefunded(lock.nonce);
        if (block.timestamp < lock.deadline) revert BeforeDeadline(lock.deadline);
        if (leaf.token != lock.token) revert TokenMismatch(leaf.token, lock.asset);
        bytes32 payload = keccak256(abi.encode(REFUND, block.chainid, address(this), lock.nonce, commitment));
        _spend(leaf, payload, proof, epoch);
        refunded[lock.nonce] = true;

        Asset storage a = _assets[lock.asset];
        uint256 total = uint256(a.refunded) + lock.amount;
        if (total > AMOUNT_MAX) revert AmountOutOfRange(total);
        a.refunded = uint128(total);
        _checkFunded(a, lock.asset);
        _pay(a.kind, lock.asset, lock.sender, lock.amount);
        emit Refunded(lock.nonce, lock.asset, lock.sender, lock.amount, leaf.index);
    }

    /// Shows that a leaf with this payload is under an accepted root, and uses it up.
    function _spend(Outbox.Leaf calldata leaf, bytes32 payload, bytes32[] calldata proof, uint64 epoch) private {
        // An account's own leaf has token zero; a zero token is also what unregistered assets have.
        if (leaf.token == bytes32(0)) revert ZeroToken();
        Accepted storage checkpoint = _checkpoints[epoch];
        bytes32 root = checkpoint.root;
        if (root == bytes32(0)) revert UnknownEpoch(epoch);
        if (spent[leaf.index]) revert LeafSpent(leaf.index);
        if (
            proof.length > PROOF_MAX
                || !Outbox.includes(root, checkpoint.size, leaf.index, Outbox.hash(network, leaf, payload), proof)
        ) revert BadProof();
        spent[leaf.index] = true;
    }

    function _release(uint64 index, address asset, address to, uint256 amount) private {
        Asset storage a = _assets[asset];
        uint256 total = uint256(a.released) + amount;
        if (total > AMOUNT_MAX) revert AmountOutOfRange(total);
        a.released = uint128(total);
        uint8 kind = a.kind;
        if (kind == WRAPPED) {
            uint256 outstanding = total + a.refunded - a.locked;
            uint256 max = _limits[asset].outstandingMax;
            if (outstanding > max) revert AboveOutstandingMax(outstanding, max);
        } else {
            _checkFunded(a, asset);
        }
        _pay(kind, asset, to, amount);
        emit Released(index, asset, to, amount, a.token);
    }

    /// What leaves never exceeds what came: the last line behind every proof.
    function _checkFunded(Asset storage a, address asset) private view {
        if (a.kind != WRAPPED && uint256(a.released) + a.refunded > a.locked) revert Underfunded(asset);
    }

    function _pay(uint8 kind, address asset, address to, uint256 amount) private {
        if (kind == WRAPPED) {
            DsmWrapped(asset).mint(to, amount);
        } else if (kind == ERC20) {
            uint256 before = asset.balanceOf(address(this));
            asset.transfer(to, amount);
            uint256 left = asset.balanceOf(address(this));
            // A token that charges its sender would take from what others have locked.
            if (left > before || before - left != amount) revert WrongAmountPaid(amount, left > before ? 0 : before - left);
        } else {
            bool ok;
            assembly ("memory-safe") {
                // The answer is not copied: nothing that the recipient returns costs the courier more gas.
                ok := call(gas(), to, amount, 0, 0, 0, 0)
            }
            if (!ok) revert EtherRefused(to);
        }
    }

    /// Poly: nothing is paid to this contract, to the verifier, or to any asset.
    function _checkRecipient(address to) private view {
        if (to == address(0) || to == address(this) || to == address(verifier) || _assets[to].kind != 0) {
            revert BadRecipient(to);
        }
    }

    // --- limits ---

    /// Takes `amount` from a bucket that refills by the second up to its capacity.
    function _draw(address asset, Direction direction, uint256 amount, uint128 capacity, uint128 refill) private {
        Bucket storage bucket = _buckets[asset][direction];
        uint256 level = _level(bucket, capacity, refill);
        if (amount > level) revert BucketEmpty(direction, amount, level);
        bucket.level = uint128(level - amount);
        bucket.since = uint64(block.timestamp);
    }

    function _level(Bucket storage bucket, uint128 capacity, uint128 refill) private view returns (uint256 level) {
        level = uint256(bucket.level) + (block.timestamp - bucket.since) * refill;
        if (level > capacity) level = capacity;
    }

    // --- the guardian: stops, at once ---

    function pause(Direction direction) external {
        _onlyGuardian();
        if (pausedSince[direction] == 0) pausedSince[direction] = uint64(block.timestamp);
        emit Paused(direction);
    }

    /// Vetoes a large release. The leaf stays used; only the time lock can restore the release.
    function cancelQueued(uint64 index) external {
        _onlyGuardian();
        if (_queue[index].state != QueueState.Waiting) revert NotQueued(index);
        _queue[index].state = QueueState.Cancelled;
        emit ReleaseCancelled(index);
    }

    /// Takes back the newest checkpoint, while releases are paused; its root is never accepted again. Because the tree
    /// only grows, any honest later checkpoint serves the same leaves. What has been paid stays paid.
    function revokeLatest(uint64 epoch) external {
        _onlyGuardian();
        uint64 since = pausedSince[Direction.Out];
        if (since == 0) revert NotPaused(Direction.Out);
        if (epoch == 0 || epoch != _latest.epoch) revert NotLatest(epoch);
        Accepted memory checkpoint = _checkpoints[epoch];
        revoked[checkpoint.root] = true;
        delete _checkpoints[epoch];
        _latest.epoch = checkpoint.previous;
        _latest.size = _checkpoints[checkpoint.previous].size;
        // Whoever takes checkpoints back cannot thereby make the attestors look dead: their month begins with the pause.
        uint64 acceptedAt = _checkpoints[checkpoint.previous].acceptedAt;
        _latest.since = acceptedAt > since ? acceptedAt : since;
        emit CheckpointRevoked(epoch, checkpoint.root);
    }

    // --- the time lock: every change waits, in the open ---

    /// The admin announces the exact call that it will make, selector and arguments. Only the functions of this section
    /// can be announced.
    function propose(bytes calldata action) external returns (bytes32 id) {
        _onlyAdmin();
        bytes4 selector = bytes4(action);
        uint64 wait = _wait(selector);
        id = keccak256(action);
        uint256 present = proposals[id].executableAt;
        if (present != 0 && block.timestamp <= present + GRACE) revert AlreadyProposed(id);
        uint64 executableAt = uint64(block.timestamp) + wait;
        proposals[id] = Proposal(executableAt, selector);
        emit Proposed(id, action, executableAt);
    }

    /// The admin withdraws, or the guardian vetoes. The guardian cannot veto its own replacement.
    function cancelProposal(bytes32 id) external {
        if (msg.sender == guardian) {
            if (proposals[id].selector == this.setGuardian.selector) revert NotCancellable(id);
        } else {
            _onlyAdmin();
        }
        if (proposals[id].executableAt == 0) revert NotProposed(id);
        delete proposals[id];
        emit ProposalCancelled(id);
    }

    function _wait(bytes4 selector) private view returns (uint64) {
        if (selector == this.setGuardian.selector || selector == this.recoverVerifier.selector) {
            return delay > LONG_DELAY ? delay : LONG_DELAY;
        }
        if (
            selector == this.registerAsset.selector || selector == this.deployWrapped.selector
                || selector == this.setLimits.selector || selector == this.unpause.selector
                || selector == this.restoreQueued.selector || selector == this.setVerifier.selector
                || selector == this.setAdmin.selector
        ) return delay;
        revert UnknownAction(selector);
    }

    /// The admin makes exactly the call that it announced, after its delay and before it is forgotten.
    modifier announced() {
        _take();
        _;
    }

    function _take() private {
        _onlyAdmin();
        bytes32 id = keccak256(msg.data);
        uint256 executableAt = proposals[id].executableAt;
        if (executableAt == 0) revert NotProposed(id);
        if (block.timestamp < executableAt) revert TooEarly(executableAt);
        if (block.timestamp > executableAt + GRACE) revert ProposalExpired(id);
        delete proposals[id];
        emit ProposalExecuted(id);
    }

    /// Says for good which DSM token an asset belongs to; `asset` zero is ether.
    function registerAsset(address asset, bytes32 token, Limits calldata limits_) external announced {
        _register(asset, token, limits_);
    }

    /// Makes the ERC-20 of a DSM token, for good.
    function deployWrapped(
        bytes32 token,
        bytes calldata policyCid,
        string calldata name,
        string calldata symbol,
        uint8 decimals,
        Limits calldata limits_
    ) external announced returns (address asset) {
        return _deploy(token, policyCid, name, symbol, decimals, limits_);
    }

    function setLimits(address asset, Limits calldata limits_) external announced {
        if (_assets[asset].kind == 0) revert UnknownAsset(asset);
        _setLimits(asset, limits_);
    }

    function unpause(Direction direction) external announced {
        if (pausedSince[direction] == 0) revert NotPaused(direction);
        pausedSince[direction] = 0;
        emit Unpaused(direction);
    }

    /// Puts a vetoed release back into the queue, with its whole delay before it.
    function restoreQueued(uint64 index) external announced {
        Queued storage queued_ = _queue[index];
        if (queued_.state != QueueState.Cancelled) revert NotQueued(index);
        queued_.state = QueueState.Waiting;
        queued_.executableAt = uint64(block.timestamp) + queueDelay;
        emit ReleaseRestored(index, queued_.executableAt);
    }

    /// Another verifier, which the present attestors demand with their signatures over `successionDigest`.
    function setVerifier(address verifier_, uint64 setId, bytes calldata attestation) external announced {
        if (!verifier.verify(successionDigest(verifier_, setId), setId, attestation)) revert NotAttested();
        _setVerifier(verifier_);
    }

    /// Another verifier without the present attestors, when they have shown no life for `DEAD_AFTER`.
    function recoverVerifier(address verifier_) external announced {
        if (block.timestamp < uint256(_latest.since) + DEAD_AFTER) revert AttestorsAlive();
        _setVerifier(verifier_);
    }

    function setAdmin(address admin_) external announced {
        _setRoles(admin_, guardian);
        emit AdminSet(admin_);
    }

    function setGuardian(address guardian_) external announced {
        _setRoles(admin, guardian_);
        emit GuardianSet(guardian_);
    }

    /// What the present attestors sign to name another verifier (EIP-712).
    function successionDigest(address verifier_, uint64 setId) public view returns (bytes32) {
        return _digest(keccak256(abi.encode(SUCCESSION, verifier_, setId)));
    }

    function _register(address asset, bytes32 token, Limits memory limits_) private {
        if (asset != address(0) && asset.code.length == 0) revert AssetWithoutCode(asset);
        if (asset == address(this) || asset == address(verifier)) revert WrongKind(asset, 0);
        _add(asset, token, asset == address(0) ? NATIVE : ERC20, limits_);
    }

    function _deploy(
        bytes32 token,
        bytes memory policyCid,
        string memory name,
        string memory symbol,
        uint8 decimals,
        Limits memory limits_
    ) private returns (address asset) {
        asset = address(new DsmWrapped(token, policyCid, name, symbol, decimals));
        _add(asset, token, WRAPPED, limits_);
    }

    function _add(address asset, bytes32 token, uint8 kind, Limits memory limits_) private {
        if (token == bytes32(0)) revert ZeroToken();
        // A token that nothing is registered for leads to asset zero, whose token is another, or none.
        if (_assets[asset].kind != 0 || _assets[_assetOf[token]].token == token) revert AlreadyRegistered(asset, token);
        _assetOf[token] = asset;
        _assets[asset] = Asset(token, 0, 0, 0, kind);
        emit AssetRegistered(asset, token, kind);
        _setLimits(asset, limits_);
        _buckets[asset][Direction.In].level = limits_.inCapacity;
        _buckets[asset][Direction.Out].level = limits_.outCapacity;
    }

    function _setLimits(address asset, Limits memory limits_) private {
        // A release at the threshold must be payable from a full bucket, or it could never be paid at all.
        if (limits_.queueAbove > limits_.outCapacity) revert BadLimits();
        // Refilled at the old rate up to now, at the new one from now on.
        Limits storage old = _limits[asset];
        _settle(asset, Direction.In, old.inCapacity, old.inRefill);
        _settle(asset, Direction.Out, old.outCapacity, old.outRefill);
        _limits[asset] = limits_;
        emit LimitsSet(asset, limits_);
    }

    function _settle(address asset, Direction direction, uint128 capacity, uint128 refill) private {
        Bucket storage bucket = _buckets[asset][direction];
        bucket.level = uint128(_level(bucket, capacity, refill));
        bucket.since = uint64(block.timestamp);
    }

    /// The verifier speaks for itself once: Ronin's and Harmony's thresholds do not get in.
    function _setVerifier(address verifier_) private {
        if (verifier_.code.length == 0 || _assets[verifier_].kind != 0) revert BadVerifier(verifier_);
        (uint8 size, uint8 threshold) = IAttestationVerifier(verifier_).quorum();
        if (threshold == 0 || threshold > size || 3 * uint256(threshold) <= 2 * uint256(size)) {
            revert BadVerifier(verifier_);
        }
        verifier = IAttestationVerifier(verifier_);
        emit VerifierSet(verifier_);
    }

    /// Whoever starts things and whoever stops them are two.
    function _setRoles(address admin_, address guardian_) private {
        if (admin_ == address(0) || guardian_ == address(0)) revert ZeroAddress();
        if (admin_ == guardian_) revert AdminIsGuardian();
        admin = admin_;
        guardian = guardian_;
    }

    function _onlyAdmin() private view {
        if (msg.sender != admin) revert OnlyAdmin();
    }

    function _onlyGuardian() private view {
        if (msg.sender != guardian) revert OnlyGuardian();
    }

    // --- shared ---

    function _digest(bytes32 structHash) private view returns (bytes32) {
        bytes32 domain = keccak256(
            abi.encode(DOMAIN, keccak256("DSM Bridge"), keccak256("1"), block.chainid, address(this))
        );
        return keccak256(abi.encodePacked(hex"1901", domain, structHash));
    }

    function _wrappedOf(bytes32 token) private view returns (address asset) {
        asset = _assetOf[token];
        if (asset == address(0)) revert UnknownAsset(asset);
        if (_assets[asset].kind != WRAPPED) _refuseKind(asset);
    }

    function _refuseKind(address asset) private view {
        uint8 kind = _assets[asset].kind;
        if (kind == 0) revert UnknownAsset(asset);
        revert WrongKind(asset, kind);
    }

    // --- reading ---

    /// An asset's DSM token, kind and sums; `kind` zero: not registered.
    function assetInfo(address asset) external view returns (Asset memory) {
        return _assets[asset];
    }

    /// The asset of a DSM token, and its kind; zero: not registered.
    function assetOf(bytes32 token) external view returns (address asset, uint8 kind) {
        asset = _assetOf[token];
        if (token != bytes32(0) && _assets[asset].token == token) kind = _assets[asset].kind;
    }

    function limits(address asset) external view returns (Limits memory) {
        return _limits[asset];
    }

    function paused(Direction direction) external view returns (bool) {
        return pausedSince[direction] != 0;
    }

    /// What the bucket of a direction holds at this moment.
    function available(address asset, Direction direction) external view returns (uint256) {
        Limits storage limit = _limits[asset];
        return direction == Direction.In
            ? _level(_buckets[asset][direction], limit.inCapacity, limit.inRefill)
            : _level(_buckets[asset][direction], limit.outCapacity, limit.outRefill);
    }

    /// The newest checkpoint; epoch zero: there is none yet.
    function latest() external view returns (uint64 epoch, uint64 size, bytes32 root) {
        return (_latest.epoch, _latest.size, _checkpoints[_latest.epoch].root);
    }

    /// An accepted checkpoint; root zero: there is none.
    function checkpoints(uint64 epoch) external view returns (Accepted memory) {
        return _checkpoints[epoch];
    }

    function queued(uint64 index) external view returns (Queued memory) {
        return _queue[index];
    }
}
