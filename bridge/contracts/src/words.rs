//! Refusals and events of the contracts as text for people.

use crate::DsmBridge::DsmBridgeEvents as Event;
use alloy_primitives::{Address, B256, U256, keccak256};
use alloy_sol_types::SolEventInterface as _;

/// A sentence for each error of the contracts, by its declaration. A test compares the table with the artifacts.
pub const REFUSALS: &[(&str, &str)] = &[
    // calls and roles
    ("Reentered()", "a call from inside of another call of the bridge"),
    ("OnlyAdmin()", "only the bridge's admin may do this"),
    ("OnlyGuardian()", "only the bridge's guardian may do this"),
    ("OnlyBridge()", "only the bridge mints and burns"),
    (
        "DirectionPaused(uint8 direction)",
        "the guardian has paused this direction (0: into DSM, 1: out of DSM)",
    ),
    ("NotPaused(uint8 direction)", "this direction is not paused (0: into DSM, 1: out of DSM)"),
    // birth and registration
    ("ZeroAddress()", "a role needs an address"),
    ("ZeroToken()", "the DSM token is zero"),
    ("ZeroNetwork()", "the DSM network is zero"),
    ("AdminIsGuardian()", "admin and guardian have to be two"),
    ("DelayOutOfRange(uint256 delay)", "a delay outside of its bounds, in seconds"),
    ("BadVerifier(address verifier)", "not a verifier whose threshold exceeds two thirds of its attestors"),
    ("UnknownAsset(address asset)", "this asset, or this token's asset, is not registered with the bridge"),
    (
        "WrongKind(address asset, uint8 kind)",
        "the asset is of another kind (1: ether, 2: ERC-20, 3: wrapped)",
    ),
    (
        "AlreadyRegistered(address asset, bytes32 token)",
        "the asset or the token is registered already, for good",
    ),
    ("AssetWithoutCode(address asset)", "there is no contract at the asset's address"),
    ("NoCode(address token)", "there is no contract at the token's address"),
    ("BadLimits()", "releases up to the queue's threshold could exceed the bucket"),
    ("TextTooLong()", "a name, a symbol or a policy's CID is too long"),
    // locks
    ("ZeroRecipient()", "the DSM account is zero"),
    ("AmountOutOfRange(uint256 amount)", "an amount of zero, or above 2^128 - 1"),
    ("DeadlineOutOfRange(uint64 deadline)", "a deadline less than an hour or more than 30 days away"),
    ("WrongAmountReceived(uint256 asked, uint256 received)", "the token moved more than was asked"),
    (
        "WrongAmountPaid(uint256 asked, uint256 paid)",
        "the token took another amount out of the bridge than was asked",
    ),
    ("TokenRefused(address token)", "the token refused: balance, allowance, or a rule of its own"),
    ("EtherRefused(address to)", "the recipient does not take ether, or the bridge has too little"),
    ("InsufficientBalance(address from, uint256 balance, uint256 amount)", "the balance is too small"),
    (
        "InsufficientAllowance(address spender, uint256 allowance, uint256 amount)",
        "the allowance is too small",
    ),
    // limits
    ("AboveTransferMax(uint256 amount, uint256 max)", "above the most that one transfer may move"),
    ("AboveOutstandingMax(uint256 outstanding, uint256 max)", "above the most that may be outstanding"),
    (
        "BucketEmpty(uint8 direction, uint256 amount, uint256 available)",
        "above what this direction's limit leaves at the moment; it refills by the second, try later",
    ),
    ("Underfunded(address asset)", "more would leave than ever came in"),
    // checkpoints
    ("WrongNetwork(bytes32 network)", "a checkpoint of another DSM network"),
    ("ZeroRoot()", "a checkpoint with a root of zero"),
    ("ZeroSize()", "a checkpoint of an empty outbox"),
    (
        "EpochNotRising(uint64 epoch, uint64 latest)",
        "the bridge has a checkpoint of this epoch or a later one",
    ),
    ("SizeShrinks(uint64 size, uint64 latest)", "the outbox would shrink"),
    ("RootChanged(bytes32 root)", "another root than before for an outbox of the same size"),
    ("RootRevoked(bytes32 root)", "the guardian has revoked this root"),
    ("NotAttested()", "the present attestors did not sign this, or not enough of them, or not in order"),
    ("NotLatest(uint64 epoch)", "only the newest checkpoint can be revoked"),
    // releases and refunds
    ("UnknownEpoch(uint64 epoch)", "the bridge has no checkpoint of this epoch"),
    ("BadProof()", "the proof does not lead from this leaf to the checkpoint's root"),
    ("LeafSpent(uint64 index)", "this leaf of the outbox has been used"),
    ("TokenMismatch(bytes32 token, address asset)", "the leaf's token is not the asset's token"),
    ("BadRecipient(address to)", "nothing is paid to zero, the bridge, its verifier, or an asset"),
    ("NotQueued(uint64 index)", "no release of this leaf is waiting"),
    ("TooEarly(uint256 executableAt)", "it has to wait until this second of the epoch"),
    ("UnknownLock(uint256 nonce)", "these are not the fields of a lock with this nonce"),
    ("AlreadyRefunded(uint256 nonce)", "this lock has been paid back"),
    ("BeforeDeadline(uint64 deadline)", "the lock's deadline has not come"),
    // time lock
    ("UnknownAction(bytes4 selector)", "no function of the time lock"),
    ("NotProposed(bytes32 id)", "exactly this call has not been announced"),
    ("AlreadyProposed(bytes32 id)", "this call is announced already"),
    ("ProposalExpired(bytes32 id)", "the announcement is forgotten: announce it again"),
    ("NotCancellable(bytes32 id)", "the guardian cannot veto its own replacement"),
    ("AttestorsAlive()", "the last checkpoint is not old enough to give up the attestors"),
    // verifiers
    ("KeysMalformed(uint256 length)", "none, too many, or broken keys of attestors"),
    ("KeyRefused(uint256 index)", "an attestor's key that is zero or stands twice"),
    ("ThresholdUnfit(uint256 threshold, uint256 size)", "a threshold that does not exceed two thirds"),
    ("NoRotation()", "no rotation of the attestors is waiting"),
    ("NoSha256()", "this chain has no SHA-256 precompile"),
    // Solidity's own
    ("Panic(uint256 code)", "an arithmetic error or a failed assertion"),
];

/// What a failed call answered: the error's name, a sentence, its arguments.
pub fn refusal(answer: &[u8]) -> String {
    let Some((selector, arguments)) = answer.split_at_checked(4) else {
        return if answer.is_empty() {
            "refused without a reason: out of gas, or no such contract".to_owned()
        } else {
            format!("refused with {} bytes that are no error", answer.len())
        };
    };
    if let Ok(error) = <alloy_sol_types::Revert as alloy_sol_types::SolError>::abi_decode(answer) {
        // A foreign contract's words, cut and cleaned for a terminal.
        let reason: String =
            error.reason.chars().filter(|character| !character.is_control()).take(200).collect();
        return format!("refused: {reason}");
    }
    for (declaration, sentence) in REFUSALS {
        let declaration = Declaration::of(declaration);
        if keccak256(declaration.signature.as_bytes())[..4] == *selector {
            return format!("{}: {sentence}{}", declaration.name, declaration.values(arguments));
        }
    }
    format!("refused with an unknown error 0x{}", alloy_primitives::hex::encode(&answer[..4]))
}

/// An error's declaration, taken apart. All arguments of the contracts' errors are of one word.
struct Declaration<'a> {
    name: &'a str,
    signature: String,
    parameters: Vec<(&'a str, &'a str)>,
}

impl<'a> Declaration<'a> {
    fn of(text: &'a str) -> Declaration<'a> {
        let (name, rest) = text.split_once('(').unwrap_or((text, ")"));
        let inner = rest.trim_end_matches(')');
        let parameters: Vec<_> =
            inner.split(", ").filter_map(|parameter| parameter.split_once(' ')).collect();
        let types: Vec<&str> = parameters.iter().map(|(kind, _)| *kind).collect();
        Declaration { name, signature: format!("{name}({})", types.join(",")), parameters }
    }

    fn values(&self, arguments: &[u8]) -> String {
        if self.parameters.is_empty() || arguments.len() < 32 * self.parameters.len() {
            return String::new();
        }
        let words = arguments.chunks_exact(32);
        let values = self.parameters.iter().zip(words).map(|((kind, name), word)| {
            let value = match *kind {
                "address" => Address::from_slice(&word[12..]).to_string(),
                "bytes4" => format!("0x{}", alloy_primitives::hex::encode(&word[..4])),
                "bytes32" => B256::from_slice(word).to_string(),
                _ => U256::from_be_slice(word).to_string(),
            };
            format!("{name} {value}")
        });
        format!(" ({})", values.collect::<Vec<_>>().join(", "))
    }
}

/// An event of the bridge, from a log's topics and data; `None` for other contracts' events and malformed ones.
pub fn event(topics: &[B256], data: &[u8]) -> Option<Event> {
    Event::decode_raw_log(topics, data).ok()
}

/// An event in words.
pub fn event_text(event: &Event) -> String {
    match event {
        Event::Locked(e) => format!(
            "lock {}: {} of {} from {} for {} in token {}, to be credited before {}",
            e.nonce, e.amount, e.asset, e.sender, e.recipient, e.token, e.deadline
        ),
        Event::CheckpointAccepted(e) => {
            format!(
                "checkpoint {}: outbox of {} leaves, root {}, attested by set {}",
                e.epoch, e.size, e.root, e.setId
            )
        }
        Event::CheckpointRevoked(e) => format!("checkpoint {} revoked, root {}", e.epoch, e.root),
        Event::Released(e) => format!("leaf {}: {} of {} released to {}", e.index, e.amount, e.asset, e.to),
        Event::ReleaseQueued(e) => format!(
            "leaf {}: {} of {} to {} queued until {}",
            e.index, e.amount, e.asset, e.to, e.executableAt
        ),
        Event::ReleaseCancelled(e) => format!("leaf {}: release vetoed", e.index),
        Event::ReleaseRestored(e) => {
            format!("leaf {}: release restored, queued until {}", e.index, e.executableAt)
        }
        Event::Refunded(e) => {
            format!("lock {}: {} of {} paid back to {} on leaf {}", e.nonce, e.amount, e.asset, e.to, e.index)
        }
        Event::AssetRegistered(e) => {
            format!("asset {} of kind {} registered for token {}", e.asset, e.kind, e.token)
        }
        Event::LimitsSet(e) => format!("limits of {} set", e.asset),
        Event::Paused(e) => format!("paused: {}", direction(e.direction)),
        Event::Unpaused(e) => format!("unpaused: {}", direction(e.direction)),
        Event::Proposed(e) => format!("proposal {} can be executed from {}", e.id, e.executableAt),
        Event::ProposalCancelled(e) => format!("proposal {} cancelled", e.id),
        Event::ProposalExecuted(e) => format!("proposal {} executed", e.id),
        Event::VerifierSet(e) => format!("verifier is {}", e.verifier),
        Event::AdminSet(e) => format!("admin is {}", e.admin),
        Event::GuardianSet(e) => format!("guardian is {}", e.guardian),
    }
}

fn direction(direction: u8) -> &'static str {
    if direction == crate::DIRECTION_IN { "into DSM" } else { "out of DSM" }
}
