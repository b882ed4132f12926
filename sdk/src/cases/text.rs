//! A case file as it is written: the fields of the TOML, nothing resolved. `sdk/policy/CASES.md` explains them.

use serde::{Deserialize, Serialize};
use toml::{Spanned, Table, Value};

macro_rules! written {
    ($($(#[$doc:meta])* struct $name:ident { $($(#[$fdoc:meta])* $field:ident: $type:ty,)* })*) => {$(
        $(#[$doc])*
        #[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
        #[serde(deny_unknown_fields)]
        pub struct $name {
            $($(#[$fdoc])* #[serde(skip_serializing_if = "Option::is_none")] pub $field: Option<$type>,)*
        }
    )*};
}

/// A whole file.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Document {
    pub(super) format: u32,
    pub(super) policy: Option<String>,
    #[serde(default)]
    pub(super) names: Table,
    #[serde(default)]
    pub(super) start: CaseText,
    #[serde(default)]
    pub(super) case: Vec<Spanned<CaseText>>,
    pub(super) fuzz: Option<FuzzText>,
    #[serde(default)]
    pub(super) invariant: Vec<Spanned<InvariantText>>,
    #[serde(default)]
    pub(super) sequence: Vec<Spanned<SequenceText>>,
}

written! {
    /// A case, or what all cases start from.
    struct CaseText {
        /// One line for people.
        name: String,
        /// RFC 3339, ms since the Unix epoch, or an offset from the start's time.
        time: Value,
        /// The token's parameters: by name, or typed values in order.
        params: Value,
        /// The token.
        token: TokenText,
        /// The network.
        network: String,
        /// The position of the policy in the token's list.
        index: u8,
        /// Who signed.
        signers: Vec<SignerText>,
        /// The parties' positions.
        parties: Vec<PartyText>,
        /// The policy's state.
        state: Vec<EntryText>,
        /// For each foreign read its state.
        foreign: Vec<Vec<EntryText>>,
        /// Balances in the tokens of foreign reads.
        foreign_balances: Vec<BalanceText>,
        /// Verified evidence.
        evidence: Vec<EvidenceText>,
        /// The operations.
        legs: Vec<LegText>,
        /// Which leg is judged, the first if absent.
        judge: u8,
        /// A query instead of legs.
        query: String,
        /// Its arguments: by name, or typed values in order.
        args: Value,
        /// Expected: accepted with exactly these effects.
        accept: Vec<EffectText>,
        /// Expected: accepted with at least these effects.
        accept_with: Vec<EffectText>,
        /// Expected: refused with this code or word.
        refuse: Value,
        /// Expected besides: the field that the refusal names.
        field: String,
        /// Expected: answered with these values.
        answer: Table,
        /// Expected: a fault with this word.
        fault: String,
    }

    /// The token of a case.
    struct TokenText {
        /// Its id.
        id: String,
        /// The height of its chain.
        height: Value,
        /// The account that created it.
        issuer: String,
        /// Base units that exist.
        supply: Value,
        /// Base units that may exist.
        cap: Value,
        /// Decimal places.
        decimals: u8,
    }

    /// An account that signed.
    struct SignerText {
        /// The account.
        account: String,
        /// Its keys, each with `:ROLE` behind it if the role is not 0.
        keys: Vec<String>,
    }

    /// An account's position.
    struct PartyText {
        /// The account.
        account: String,
        /// Base units owned.
        balance: Value,
        /// Base units not held; the balance if absent.
        available: Value,
        /// Whether it is frozen.
        frozen: bool,
        /// Its live holds.
        holds: Vec<HoldText>,
    }

    /// A hold.
    struct HoldText {
        /// Its id.
        id: String,
        /// The token, the judged one if absent.
        token: String,
        /// Whose units.
        owner: String,
        /// Who may end it.
        beneficiary: String,
        /// Base units.
        amount: Value,
        /// pledge, lien, lock or escrow.
        kind: String,
        /// When it ends.
        expires: Value,
    }

    /// An entry of a state.
    struct EntryText {
        /// Bytes.
        key: Value,
        /// Bytes.
        value: Value,
    }

    /// A balance in another token.
    struct BalanceText {
        /// The foreign read.
        read: u8,
        /// The token.
        token: String,
        /// The account.
        account: String,
        /// Base units owned.
        balance: Value,
        /// Base units not held; the balance if absent.
        available: Value,
    }

    /// One operation.
    struct LegText {
        /// Who acts.
        by: String,
        /// What: create, mint, burn, transfer, claim, hold, release, execute, invoke, upgrade, other.
        #[serde(rename = "do")]
        act: String,
        /// The token, the judged one if absent.
        token: String,
        /// Who receives.
        to: String,
        /// Base units.
        amount: Value,
        /// Whether the recipient signed too.
        bilateral: bool,
        /// The credit that is claimed.
        credit: String,
        /// Who sent it; of an upgrade, the policy that is replaced.
        from: String,
        /// Who may end a hold.
        beneficiary: String,
        /// The kind of a hold.
        kind: String,
        /// When it ends.
        expires: Value,
        /// The hold that is released or executed.
        hold: HoldText,
        /// The method that is called.
        method: String,
        /// Its arguments.
        args: Value,
        /// The policy that is called or takes over, the judged one if absent.
        index: u8,
        /// In a sequence: which of the waiting credits or live holds.
        pick: u64,
        /// In a sequence: what an upgrade that is scheduled has in place of the start's parameters, by name.
        params: Value,
    }

    /// An effect.
    struct EffectText {
        /// Sets this key of the state.
        set: Value,
        /// To these bytes.
        value: Value,
        /// Deletes this key.
        delete: Value,
        /// Puts a hold on this amount.
        hold: Value,
        /// Of this account.
        owner: String,
        /// For this one.
        beneficiary: String,
        /// Of this kind.
        kind: String,
        /// Until then.
        expires: Value,
        /// Extends this hold.
        extend: String,
        /// Releases this hold.
        release: String,
        /// Executes this hold.
        execute: String,
        /// Tells this topic.
        event: String,
        /// With these bytes.
        payload: Value,
        /// Freezes this account.
        freeze: String,
        /// Unfreezes this account.
        unfreeze: String,
        /// Requests that this amount is minted.
        mint: Value,
        /// Requests that this amount is burned.
        burn: Value,
        /// Requests that this amount moves.
        transfer: Value,
        /// From this account.
        from: String,
        /// To this account.
        to: String,
        /// Appends to this lane of the outbox.
        emit: u32,
        /// Schedules an upgrade of the policy at this position.
        schedule_upgrade: u8,
        /// To this policy.
        policy: String,
        /// With these parameters: typed values in order.
        params: Value,
        /// Which may be put in force from then on.
        due: Value,
        /// Takes the upgrade back that waits for this position.
        cancel_upgrade: u8,
    }

    /// A piece of evidence: one of its fields.
    struct EvidenceText {
        /// Claims that an issuer signed.
        credential: CredentialText,
        /// The preimage of a digest.
        preimage: PreimageText,
        /// A statement that a key signed.
        attestation: AttestationText,
        /// A lock on an EVM chain.
        lock: LockText,
        /// A round of a feed.
        round: RoundText,
    }

    /// A credential.
    struct CredentialText {
        /// Who issued it.
        issuer: String,
        /// Whom it is about.
        subject: String,
        /// Its kind.
        schema: String,
        /// Its serial.
        serial: String,
        /// When it ends.
        expires: Value,
        /// Typed values by name.
        claims: Table,
    }

    /// A preimage.
    struct PreimageText {
        /// blake3, sha256, keccak256, or a number.
        algorithm: Value,
        /// The digest.
        digest: String,
        /// Bytes.
        preimage: Value,
    }

    /// An attestation.
    struct AttestationText {
        /// The account.
        account: String,
        /// The key.
        key: String,
        /// The key's role.
        role: u8,
        /// What it is about.
        topic: String,
        /// Bytes.
        payload: Value,
    }

    /// A lock in a bridge's contract.
    struct LockText {
        /// The bridge.
        bridge: String,
        /// The chain.
        chain_id: Value,
        /// The contract, 20 bytes.
        contract: Value,
        /// The lock's number.
        nonce: Value,
        /// 1 native coin, 2 ERC-20, 3 burn of wrapped units.
        kind: u8,
        /// 20 bytes.
        asset: Value,
        /// 20 bytes.
        sender: Value,
        /// The token, the judged one if absent.
        token: String,
        /// The account.
        recipient: String,
        /// Base units.
        amount: Value,
        /// From then on it is refunded.
        deadline: Value,
        /// What the contract stores.
        commitment: String,
        /// The block.
        height: Value,
        /// qbft, qbft-contract or attested.
        trust: String,
    }

    /// A round of a feed.
    struct RoundText {
        /// The feed.
        feed: String,
        /// The round.
        round: Value,
        /// Decimal places of the answers.
        decimals: u8,
        /// What was observed.
        observations: Vec<ObservationText>,
    }

    /// An observation.
    struct ObservationText {
        /// Who.
        account: String,
        /// The key.
        key: String,
        /// Its role.
        role: u8,
        /// What.
        answer: Value,
        /// When.
        observed: Value,
    }

    /// How random sequences of operations are made.
    struct FuzzText {
        /// Accounts with their keys.
        accounts: Table,
        /// Creates the token; the first account if absent.
        issuer: String,
        /// The token's cap.
        cap: Value,
        /// Amounts to try besides 0, 1 and the greatest.
        amounts: Vec<Value>,
        /// Numbers to try as arguments.
        numbers: Vec<Value>,
        /// Times to wait between operations.
        waits: Vec<String>,
        /// Texts to try as arguments.
        texts: Vec<String>,
        /// Bytes to try as arguments.
        bytes: Vec<Value>,
        /// Names of digests to try.
        digests: Vec<String>,
        /// Names of tokens to try.
        tokens: Vec<String>,
        /// Evidence to try as it stands.
        evidence: Vec<EvidenceText>,
        /// Steps that come first and must be accepted.
        setup: Vec<StepText>,
        /// How the policy may succeed itself; never if absent.
        upgrades: UpgradesText,
    }

    /// How the policy of a sequence's token may succeed itself.
    struct UpgradesText {
        /// `itself`: by its own methods; `ruler`, if absent: at anybody's word.
        by: String,
        /// The least delay that the token's terms name; an hour if absent.
        delay: String,
        /// Tables of parameters to try in place of the start's; one at random if absent.
        params: Vec<Value>,
    }

    /// Steps that an invariant broke at, or is to be tried at.
    struct SequenceText {
        /// One line for people.
        name: String,
        /// In order.
        steps: Vec<StepText>,
    }

    /// One transition of a sequence.
    struct StepText {
        /// How long after the step before.
        wait: String,
        /// Its operations; those of another token are only seen, not done.
        legs: Vec<LegText>,
        /// Who signs with which keys; the actors with all of theirs if absent.
        signers: Vec<SignerText>,
        /// Evidence.
        evidence: Vec<EvidenceText>,
    }

    /// What must hold after every accepted step.
    struct InvariantText {
        /// One line for people.
        name: String,
        /// `account`: for each account in turn.
        #[serde(rename = "for")]
        each: String,
        /// A condition.
        holds: String,
        /// A number that no accepted step makes smaller.
        never_falls: String,
        /// A number that no accepted step makes greater than `beyond`.
        never_rises: String,
        /// The number beyond which it never rises.
        beyond: String,
    }
}
