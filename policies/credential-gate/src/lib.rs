//! A gate for holders: only accounts that a trusted issuer has vouched for may hold or move the token.
//!
//! Put it beside another policy in a token's list: it says *who* may take part and nothing about *what* is
//! allowed. An account shows a credential of the required schema once (`admit`); from then on it is in the
//! register until the credential expires, its issuer revokes it, or an administrator bars the account.
//! Receiving, sending, claiming and pledging need both ends in the register. Three things stay open so that
//! nobody is locked in: releasing a hold, destroying one's own units, and minting by the token's issuer, who
//! need not be a holder.
//!
//! Its place can be taken by itself with other issuers: the register names issuers by account, so nobody's standing
//! changes hands, and who was vouched for by an issuer that is trusted no more is not admitted.
#![no_std]
extern crate alloc;

use alloc::{string::String, vec::Vec};
use dsm_policy::{
    AccountId, BorshDeserialize, BorshSerialize, Burn, Claim, Context, Denials, Deny, Digest, Execute,
    Fields, Key, KeyId, Mint, NewHold, Outcome, Params, Release, State, Transfer, Upgrade, View, borsh,
    ensure, policy,
};

#[cfg(not(target_arch = "wasm32"))]
mod cases;
#[cfg(not(target_arch = "wasm32"))]
pub use cases::cases;

/// The terms of one token.
#[derive(Debug, Clone, Params)]
pub struct CredentialGate {
    /// The accounts whose credentials count, 1 to 32.
    pub issuers: Vec<AccountId>,
    /// The kind of credential that is required, such as `kyc/1`.
    pub schema: String,
    /// The keys that keep the register; any one of them may bar and unbar accounts.
    pub admins: Vec<KeyId>,
}

/// Why this policy refuses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Denials)]
pub enum Denied {
    /// An account is not in the register: it has to show a credential first.
    NotAdmitted = 100,
    /// An account's credential has expired.
    Expired = 101,
    /// An account's credential was revoked by its issuer.
    Revoked = 102,
    /// An account is barred by an administrator of the register.
    Barred = 103,
    /// No credential about the acting account, of the required schema and from a trusted issuer, came along.
    NoCredential = 104,
    /// Only a trusted issuer revokes, and only what it issued.
    NotIssuer = 105,
    /// No administrator of the register signed.
    NotAdmin = 106,
    /// The account is not barred.
    NotBarred = 107,
    /// The terms need 1 to 32 distinct issuers and a schema of 1 to 64 bytes.
    BadTerms = 108,
}

/// What the register says of an account.
#[derive(Debug, Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
#[borsh(crate = "borsh")]
pub enum Standing {
    /// It showed a credential.
    Admitted {
        /// The credential's issuer.
        issuer: AccountId,
        /// The credential's serial.
        serial: Digest,
        /// When the credential ends, in ms since the Unix epoch.
        expires_ms: u64,
    },
    /// An administrator barred it, whatever it shows.
    Barred,
}

/// A revocation's key is a prefix, so many bytes of the issuer's account and the serial: 64 bytes, as many as a key has.
/// 248 of an account's 256 bits still tell any two apart.
const ISSUER_BYTES: usize = 31;
const ISSUERS_MAX: usize = 32;
const SCHEMA_BYTES_MAX: usize = 64;

pub(crate) fn standing_key(account: AccountId) -> Key {
    Key::new(b'a').account(account)
}

pub(crate) fn revoked_key(issuer: AccountId, serial: Digest) -> Key {
    Key::new(b'r').bytes(&issuer.0[..ISSUER_BYTES]).digest(serial)
}

#[policy(
    name = "credential-gate",
    summary = "Admits accounts by issuer-signed credentials and refuses movements of everyone else.",
    denials = Denied,
    evidence = [Credential]
)]
impl CredentialGate {
    fn create(&self, _: &mut Context<'_>) -> Outcome {
        self.check_terms()
    }

    /// Takes over from any policy: what is not a standing of this form admits nobody.
    fn upgrade(&self, _: &mut Context<'_>, _: Upgrade) -> Outcome {
        self.check_terms()
    }

    fn mint(&self, context: &mut Context<'_>, mint: Mint) -> Outcome {
        self.holder_or_issuer(context, context.actor(), "actor")?;
        self.holder(context, mint.to, "to")
    }

    fn burn(&self, _: &mut Context<'_>, _: Burn) -> Outcome {
        Ok(())
    }

    fn transfer(&self, context: &mut Context<'_>, transfer: Transfer) -> Outcome {
        self.holder(context, context.actor(), "actor")?;
        self.holder(context, transfer.to, "to")
    }

    fn claim(&self, context: &mut Context<'_>, claim: Claim) -> Outcome {
        self.holder(context, context.actor(), "actor")?;
        self.holder_or_issuer(context, claim.from, "from")
    }

    fn hold(&self, context: &mut Context<'_>, hold: NewHold) -> Outcome {
        self.holder(context, context.actor(), "actor")?;
        self.holder(context, hold.beneficiary, "beneficiary")
    }

    fn release(&self, _: &mut Context<'_>, _: Release) -> Outcome {
        Ok(())
    }

    fn execute(&self, context: &mut Context<'_>, execute: Execute) -> Outcome {
        self.holder(context, execute.hold.owner, "owner")?;
        self.holder(context, execute.hold.beneficiary, "beneficiary")
    }

    /// Enters the acting account into the register on the strength of a credential about it that comes along.
    #[method]
    fn admit(&self, context: &mut Context<'_>) -> Outcome {
        let account = context.actor();
        let state = context.state();
        ensure(standing_of(&state, account) != Some(Standing::Barred), Denied::Barred)?;
        let mut refusal = Denied::NoCredential;
        let mut found = None;
        for credential in context.credentials() {
            let trusted = self.issuers.contains(&credential.issuer);
            if !trusted || credential.subject != account || credential.schema != self.schema {
                continue;
            }
            let (issuer, serial, expires_ms) = (credential.issuer, credential.serial, credential.expires_ms);
            if expires_ms <= context.time_ms() {
                refusal = Denied::Expired;
            } else if state.has(revoked_key(issuer, serial)) {
                refusal = Denied::Revoked;
            } else {
                found = Some(Standing::Admitted { issuer, serial, expires_ms });
                break;
            }
        }
        let standing = found.ok_or_else(|| refusal.field("evidence"))?;
        context.set(standing_key(account), &standing);
        Ok(())
    }

    /// Revokes a credential by its serial, for good. Only the issuer that signed it can.
    #[method]
    fn revoke(&self, context: &mut Context<'_>, serial: Digest) -> Outcome {
        let actor = context.actor();
        ensure(self.issuers.contains(&actor), Denied::NotIssuer.field("actor"))?;
        let now = context.time_ms();
        context.set(revoked_key(actor, serial), &now);
        Ok(())
    }

    /// Bars an account from the token, whatever credentials it shows. Needs an administrator's key.
    #[method]
    fn bar(&self, context: &mut Context<'_>, account: AccountId) -> Outcome {
        self.administered(context)?;
        context.set(standing_key(account), &Standing::Barred);
        Ok(())
    }

    /// Ends a bar. The account then has to show a credential again. Needs an administrator's key.
    #[method]
    fn unbar(&self, context: &mut Context<'_>, account: AccountId) -> Outcome {
        self.administered(context)?;
        let standing = standing_of(&context.state(), account);
        ensure(standing == Some(Standing::Barred), Denied::NotBarred)?;
        context.delete(standing_key(account));
        Ok(())
    }

    /// Whether an account may take part now, and the end of its credential in ms since the Unix epoch (0 if none).
    #[query]
    fn standing(&self, view: &View<'_>, account: AccountId) -> Fields {
        let verdict = self.check(&view.state(), view.time_ms(), account);
        let expires_ms = match standing_of(&view.state(), account) {
            Some(Standing::Admitted { expires_ms, .. }) => expires_ms,
            Some(Standing::Barred) | None => 0,
        };
        let why = verdict.err().map_or("admitted", Denied::word);
        Fields::new()
            .with("admitted", verdict.is_ok())
            .with("standing", String::from(why))
            .with("expires_ms", expires_ms)
    }

    fn check_terms(&self) -> Outcome {
        let count = self.issuers.len();
        let distinct = (1..count).all(|i| !self.issuers[..i].contains(&self.issuers[i]));
        let schema = (1..=SCHEMA_BYTES_MAX).contains(&self.schema.len());
        ensure((1..=ISSUERS_MAX).contains(&count) && distinct && schema, Denied::BadTerms)
    }

    fn holder_or_issuer(&self, context: &Context<'_>, account: AccountId, field: &str) -> Outcome {
        if account == context.token().issuer { Ok(()) } else { self.holder(context, account, field) }
    }

    fn holder(&self, context: &Context<'_>, account: AccountId, field: &str) -> Outcome {
        self.check(&context.state(), context.time_ms(), account).map_err(|denied| {
            let hint = if denied == Denied::Barred {
                "an administrator ends a bar with `unbar`"
            } else {
                "the account calls `admit` with a credential of the required schema that is in force"
            };
            Deny::from(denied).field(field).hint(hint)
        })
    }

    fn check(&self, state: &State<'_>, time_ms: u64, account: AccountId) -> Result<(), Denied> {
        let (issuer, serial, expires_ms) = match standing_of(state, account).ok_or(Denied::NotAdmitted)? {
            Standing::Barred => return Err(Denied::Barred),
            Standing::Admitted { issuer, serial, expires_ms } => (issuer, serial, expires_ms),
        };
        if !self.issuers.contains(&issuer) {
            return Err(Denied::NotAdmitted);
        }
        if expires_ms <= time_ms {
            return Err(Denied::Expired);
        }
        if state.has(revoked_key(issuer, serial)) { Err(Denied::Revoked) } else { Ok(()) }
    }

    fn administered(&self, context: &Context<'_>) -> Outcome {
        let hint = "let one of the administrators' keys sign";
        ensure(context.signed_by_keys(&self.admins) > 0, Denied::NotAdmin.field("signers").hint(hint))
    }
}

/// Something else than a standing, which a policy before this one may have left here, admits nobody.
fn standing_of(state: &State<'_>, account: AccountId) -> Option<Standing> {
    Standing::try_from_slice(&state.bytes(standing_key(account))?).ok()
}
