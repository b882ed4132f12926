//! From what is written to what is meant: names become ids, numbers become values of the described types.

use super::text::{
    BalanceText, CaseText, EffectText, EntryText, EvidenceText, HoldText, LegText, ObservationText,
    PartyText, SignerText, TokenText,
};
use super::{Case, Expectation, Wanted, time};
use crate::package::parse_policy;
use dsm_abi::{
    ABI_VERSION, AccountId, Action, BridgeId, Call, CreditId, Description, Digest, Effect, Evidence, Field,
    ForeignBalance, Hold, HoldId, HoldKind, Input, KeyId, Leg, NetworkId, Observation, Party, PolicyId,
    SignedKey, Signer, StateMap, TokenId, TokenView, Trust, Value, ValueType, ViewInput, encode,
    import::hash_alg,
};
use std::collections::BTreeMap;
use toml::Value as Toml;

/// The token of a case that says nothing else: 32 bytes of 0x70, as `dsm_policy::bench::TOKEN`.
pub(super) const TOKEN: [u8; 32] = [0x70; 32];
/// Its issuer, as `dsm_policy::bench::ISSUER`.
pub(super) const ISSUER: [u8; 32] = [0x15; 32];
/// Its network.
pub(super) const NETWORK: [u8; 32] = [0xD5; 32];
/// The time of a case that says nothing else: the start of 2030 in UTC.
pub(super) const START_MS: u64 = 1_893_456_000_000;
/// Base units of a token that says nothing else.
pub(super) const SUPPLY: u128 = 1_000_000;
/// Its decimal places.
pub(super) const DECIMALS: u8 = 2;

/// Names with fixed ids. Any other name has an id that follows from its kind and letters.
#[derive(Debug, Clone, Default)]
pub struct Names {
    bound: BTreeMap<String, [u8; 32]>,
    of_kind: BTreeMap<(&'static str, String), [u8; 32]>,
}

impl Names {
    /// Gives `name` this id, whatever kind is asked for.
    pub fn bind(&mut self, name: &str, id: [u8; 32]) {
        self.bound.insert(name.to_owned(), id);
    }

    /// Gives `name` this id where an account is meant.
    pub fn bind_account(&mut self, name: &str, id: AccountId) {
        self.of_kind.insert(("account", name.to_owned()), id.0);
    }

    /// Gives `name` this id where a key is meant.
    pub fn bind_key(&mut self, name: &str, id: KeyId) {
        self.of_kind.insert(("key", name.to_owned()), id.0);
    }

    /// Gives `name` this id where a token is meant.
    pub fn bind_token(&mut self, name: &str, id: TokenId) {
        self.of_kind.insert(("token", name.to_owned()), id.0);
    }

    /// Gives `name` this id where a policy is meant, and where a digest is: methods take policies as digests.
    pub fn bind_policy(&mut self, name: &str, id: PolicyId) {
        self.of_kind.insert(("policy", name.to_owned()), id.0);
        self.of_kind.insert(("digest", name.to_owned()), id.0);
    }

    fn id(&self, kind: &'static str, text: &str) -> Result<[u8; 32], String> {
        if let Some(id) = self.of_kind.get(&(kind, text.to_owned())).or_else(|| self.bound.get(text)) {
            return Ok(*id);
        }
        if let Some(id) = literal_id(text) {
            return Ok(id);
        }
        let letters = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '-' | '_' | '/');
        if text.starts_with(|c: char| c.is_ascii_lowercase()) && text.len() <= 64 && text.chars().all(letters)
        {
            return Ok(dsm_core::hash(dsm_core::tag::CASE_NAME, &[kind.as_bytes(), &[0], text.as_bytes()]).0);
        }
        Err(format!("{text:?} names no {kind}: write a name of a-z, 0-9, - and _, 64 hex digits, #7 or none"))
    }
}

/// `none`, `#7` or 64 hex digits.
pub(super) fn literal_id(text: &str) -> Option<[u8; 32]> {
    if text == "none" {
        return Some([0; 32]);
    }
    if let Some(number) = text.strip_prefix('#') {
        return number.parse::<u8>().ok().map(|byte| [byte; 32]);
    }
    text.parse::<Digest>().ok().map(|digest| digest.0)
}

/// Reads written fields for one policy.
#[derive(Debug, Clone, Copy)]
pub struct Resolver<'a> {
    about: &'a Description,
    names: &'a Names,
    start_ms: u64,
    token: TokenId,
}

/// What a field is if the case or else the start states it.
macro_rules! stated {
    ($own:expr, $start:expr, $field:ident) => {
        $own.$field.as_ref().or($start.$field.as_ref())
    };
}

impl<'a> Resolver<'a> {
    /// Reads for the policy that `about` describes; offsets of time count from `start`.
    ///
    /// # Errors
    /// A sentence, if the start's time or token cannot be read.
    pub fn new(about: &'a Description, names: &'a Names, start: &CaseText) -> Result<Resolver<'a>, String> {
        let mut resolver = Resolver { about, names, start_ms: START_MS, token: TokenId(TOKEN) };
        if let Some(text) = &start.time {
            resolver.start_ms = resolver.time(text).map_err(|error| format!("time: {error}"))?;
        }
        if let Some(id) = start.token.as_ref().and_then(|token| token.id.as_ref()) {
            resolver.token = resolver.token(id)?;
        }
        Ok(resolver)
    }

    /// The same, for another token and with offsets that count from another time.
    #[must_use]
    pub fn at(self, token: TokenId, start_ms: u64) -> Resolver<'a> {
        Resolver { token, start_ms, ..self }
    }

    /// A case.
    ///
    /// # Errors
    /// A sentence that names the field.
    pub fn case(&self, start: &CaseText, own: &CaseText) -> Result<Case, String> {
        let resolver = match stated!(own, start, token).and_then(|token| token.id.as_ref()) {
            Some(id) => Resolver { token: self.token(id)?, ..*self },
            None => *self,
        };
        let state = resolver.entries(stated!(own, start, state).map_or(&[], Vec::as_slice))?;
        let foreign = stated!(own, start, foreign).map_or(&[] as &[_], Vec::as_slice);
        let mut foreign = foreign.iter().map(|one| resolver.entries(one)).collect::<Result<Vec<_>, _>>()?;
        if foreign.is_empty() {
            foreign = vec![StateMap::new(); self.about.foreign_reads.len()];
        }
        let call = resolver.call(start, own)?;
        let expected = resolver.expected(own, matches!(call, Call::View(_)))?;
        Ok(Case { name: own.name.clone().unwrap_or_default(), state, foreign, call, expected })
    }

    /// The call of a case, whatever is expected of it.
    ///
    /// # Errors
    /// A sentence that names the field.
    pub fn call(&self, start: &CaseText, own: &CaseText) -> Result<Call, String> {
        let in_field = |name: &'static str| move |error: String| format!("{name}: {error}");
        let time_ms = match stated!(own, start, time) {
            Some(text) => self.time(text).map_err(in_field("time"))?,
            None => START_MS,
        };
        let params = match stated!(own, start, params) {
            Some(text) => self.params(text).map_err(in_field("params"))?,
            None => self.params(&Toml::Table(toml::Table::new())).map_err(in_field("params"))?,
        };
        let network = match stated!(own, start, network) {
            Some(text) => self.names.id("network", text).map_err(in_field("network"))?,
            None => NETWORK,
        };
        let network = NetworkId(network);
        let policy_index = stated!(own, start, index).copied().unwrap_or_default();
        let token = self.token_view(stated!(own, start, token)).map_err(in_field("token"))?;
        let abi = ABI_VERSION;
        if let Some(query) = &own.query {
            if own.legs.is_some() {
                return Err("a case has legs or a query, not both".into());
            }
            let described = self.about.queries.iter().find(|one| one.name == *query);
            let types = described.map(|one| args_of(&one.args)).unwrap_or_default();
            let args = self.values(own.args.as_ref(), &types).map_err(in_field("args"))?;
            let query = query.clone();
            return Ok(Call::View(ViewInput {
                abi,
                policy_index,
                time_ms,
                network,
                token,
                params,
                query,
                args,
            }));
        }
        let legs = stated!(own, start, legs).map_or(&[] as &[_], Vec::as_slice);
        let legs = each(legs, |leg| self.leg(leg, policy_index)).map_err(in_field("legs"))?;
        let leg = own.judge.unwrap_or_default();
        if usize::from(leg) >= legs.len() {
            return Err("legs: the leg to judge is missing".into());
        }
        let signers = stated!(own, start, signers).map_or(&[] as &[_], Vec::as_slice);
        let parties = stated!(own, start, parties).map_or(&[] as &[_], Vec::as_slice);
        let balances = stated!(own, start, foreign_balances).map_or(&[] as &[_], Vec::as_slice);
        Ok(Call::Evaluate(Input {
            abi,
            policy_index,
            leg,
            time_ms,
            network,
            token,
            legs,
            signers: each(signers, |one| self.signer(one)).map_err(in_field("signers"))?,
            parties: each(parties, |one| self.party(one)).map_err(in_field("parties"))?,
            params,
            evidence: self.evidences(stated!(own, start, evidence)).map_err(in_field("evidence"))?,
            foreign: each(balances, |one| self.balance(one)).map_err(in_field("foreign_balances"))?,
        }))
    }

    fn expected(&self, own: &CaseText, is_query: bool) -> Result<Expectation, String> {
        let effects = |list: &Vec<EffectText>| each(list, |one| self.effect(one));
        let mut found = Vec::new();
        if let Some(list) = &own.accept {
            found.push(Expectation::Accept(effects(list).map_err(|error| format!("accept: {error}"))?));
        }
        if let Some(list) = &own.accept_with {
            found.push(Expectation::AcceptWith(
                effects(list).map_err(|error| format!("accept_with: {error}"))?,
            ));
        }
        if let Some(code) = &own.refuse {
            found.push(Expectation::Refuse { code: self.denial(code)?, field: own.field.clone() });
        }
        if let Some(table) = &own.answer {
            let wanted = table.iter().map(|(name, value)| Ok((name.clone(), self.wanted(value)?)));
            let wanted = wanted.collect::<Result<_, String>>();
            found.push(Expectation::Answer(wanted.map_err(|error| format!("answer: {error}"))?));
        }
        if let Some(word) = &own.fault {
            found.push(Expectation::Fault(word.clone()));
        }
        let [expected]: [Expectation; 1] = found.try_into().map_err(|_| {
            "exactly one of accept, accept_with, refuse, answer and fault says what must come of it"
                .to_owned()
        })?;
        let fits = match expected {
            Expectation::Accept(_) | Expectation::AcceptWith(_) => !is_query,
            Expectation::Answer(_) => is_query,
            Expectation::Refuse { .. } | Expectation::Fault(_) => true,
        };
        let wrong = if is_query { "a query is answered, not accepted" } else { "only a query is answered" };
        if fits { Ok(expected) } else { Err(wrong.into()) }
    }

    fn denial(&self, written: &Toml) -> Result<u16, String> {
        match written {
            Toml::Integer(code) => u16::try_from(*code).map_err(|_| format!("refuse: {code} is not a code")),
            Toml::String(word) => {
                let found = self.about.denials.iter().find(|denial| denial.name == *word);
                found.map(|denial| denial.code).ok_or_else(|| {
                    let known: Vec<&str> = self.about.denials.iter().map(|one| one.name.as_str()).collect();
                    format!("refuse: the policy has no denial {word:?}; it has {}", known.join(", "))
                })
            }
            _ => Err("refuse: write a code or its word".into()),
        }
    }

    fn wanted(&self, written: &Toml) -> Result<Wanted, String> {
        match written {
            Toml::Integer(_) => Ok(Wanted::Number(digits(written)?)),
            Toml::String(text) => Ok(Wanted::Value(Value::Text(text.clone()))),
            Toml::Boolean(value) => Ok(Wanted::Value(Value::Bool(*value))),
            _ => self.typed(written).map(Wanted::Value),
        }
    }

    fn token_view(&self, written: Option<&TokenText>) -> Result<TokenView, String> {
        let TokenText { id: _, height, issuer, supply, cap, decimals } = written.cloned().unwrap_or_default();
        Ok(TokenView {
            id: self.token,
            height: height.as_ref().map_or(Ok(1), count)?,
            issuer: issuer.map_or(Ok(AccountId(ISSUER)), |name| self.account(&name))?,
            supply: supply.map_or(Ok(SUPPLY), |amount| self.amount(&amount))?,
            cap: cap.map(|amount| self.amount(&amount)).transpose()?,
            decimals: decimals.unwrap_or(DECIMALS),
        })
    }

    /// Parameters of the token.
    ///
    /// # Errors
    /// A sentence.
    pub fn params(&self, written: &Toml) -> Result<Vec<Value>, String> {
        let types: Vec<_> = self.about.params.iter().map(|one| (one.name.as_str(), one.value_type)).collect();
        self.values(Some(written), &types)
    }

    /// Values by name, all of them, or in order.
    fn values(&self, written: Option<&Toml>, types: &[(&str, ValueType)]) -> Result<Vec<Value>, String> {
        match written {
            None => Ok(Vec::new()),
            Some(Toml::Array(list)) => {
                let typed = |(position, written): (usize, &Toml)| match types.get(position) {
                    Some((name, value_type)) => {
                        self.value(written, *value_type).map_err(|error| format!("{name}: {error}"))
                    }
                    None => self.typed(written),
                };
                list.iter().enumerate().map(typed).collect()
            }
            Some(Toml::Table(table)) => {
                if let Some(name) = table.keys().find(|name| !types.iter().any(|(known, _)| known == name)) {
                    let known: Vec<&str> = types.iter().map(|(name, _)| *name).collect();
                    return Err(format!("there is no {name:?}; there are {}", known.join(", ")));
                }
                let value = |(name, value_type): &(&str, ValueType)| {
                    let written = table.get(*name).ok_or_else(|| format!("{name} is missing"))?;
                    self.value(written, *value_type).map_err(|error| format!("{name}: {error}"))
                };
                types.iter().map(value).collect()
            }
            Some(_) => Err("write a table by name, or a list of typed values".into()),
        }
    }

    /// Arguments of a method.
    ///
    /// # Errors
    /// A sentence.
    pub fn method_args(&self, method: &str, written: Option<&Toml>) -> Result<Vec<Value>, String> {
        let described = self.about.methods.iter().find(|one| one.name == *method);
        self.values(written, &described.map(|one| args_of(&one.args)).unwrap_or_default())
    }

    /// Arguments of a query.
    ///
    /// # Errors
    /// A sentence.
    pub fn query_args(&self, query: &str, written: Option<&Toml>) -> Result<Vec<Value>, String> {
        let described = self.about.queries.iter().find(|one| one.name == *query);
        self.values(written, &described.map(|one| args_of(&one.args)).unwrap_or_default())
    }

    /// A value with its type's word: `{ u64 = 7 }`.
    fn typed(&self, written: &Toml) -> Result<Value, String> {
        let only = written.as_table().filter(|table| table.len() == 1).and_then(|table| table.iter().next());
        let (word, inner) = only.ok_or("a value with its type is missing, such as { u64 = 7 }")?;
        let known = ValueType::ALL.iter().find(|known| known.word() == word);
        let value_type = known.ok_or_else(|| format!("{word:?} is no type of value"))?;
        self.plain(inner, *value_type)
    }

    /// A value of a type that is known; with a type's word it may be of another.
    ///
    /// # Errors
    /// A sentence.
    pub fn value(&self, written: &Toml, value_type: ValueType) -> Result<Value, String> {
        if written.is_table() { self.typed(written) } else { self.plain(written, value_type) }
    }

    fn plain(&self, written: &Toml, value_type: ValueType) -> Result<Value, String> {
        let wrong = || format!("{written} is not of type {}", value_type.word());
        let text = || written.as_str().ok_or_else(wrong);
        let texts = || {
            let list = written.as_array().ok_or_else(wrong)?;
            list.iter().map(|one| one.as_str().ok_or_else(wrong)).collect::<Result<Vec<&str>, _>>()
        };
        Ok(match value_type {
            ValueType::Bool => Value::Bool(written.as_bool().ok_or_else(wrong)?),
            ValueType::U64 => Value::U64(match digits(written)?.parse() {
                Ok(number) => number,
                Err(_) => self.time(written).map_err(|_| wrong())?,
            }),
            ValueType::U128 => Value::U128(self.amount(written)?),
            ValueType::I128 => Value::I128(digits(written)?.parse().map_err(|_| wrong())?),
            ValueType::Text => Value::Text(text()?.to_owned()),
            ValueType::Bytes => Value::Bytes(self.bytes(written)?),
            ValueType::Digest => Value::Digest(self.digest(text()?)?),
            ValueType::Account => Value::Account(self.account(text()?)?),
            ValueType::Token => Value::Token(self.token(text()?)?),
            ValueType::Key => Value::Key(self.key(text()?)?),
            ValueType::Accounts => Value::Accounts(
                texts()?.into_iter().map(|name| self.account(name)).collect::<Result<_, _>>()?,
            ),
            ValueType::Keys => {
                Value::Keys(texts()?.into_iter().map(|name| self.key(name)).collect::<Result<_, _>>()?)
            }
            ValueType::Texts => Value::Texts(texts()?.into_iter().map(str::to_owned).collect()),
        })
    }

    /// An amount in base units: a number, its digits, or `max`.
    ///
    /// # Errors
    /// A sentence.
    pub fn amount(&self, written: &Toml) -> Result<u128, String> {
        if written.as_str() == Some("max") {
            return Ok(u128::MAX);
        }
        digits(written)?.parse().map_err(|_| format!("{written} is not an amount in base units"))
    }

    /// A time in ms since the Unix epoch.
    ///
    /// # Errors
    /// A sentence.
    pub fn time(&self, written: &Toml) -> Result<u64, String> {
        let wrong = || format!("{written} is not a time: RFC 3339 in UTC, ms since the Unix epoch, or +1d");
        match written {
            Toml::Integer(ms) => u64::try_from(*ms).map_err(|_| wrong()),
            Toml::Datetime(time) => time::rfc3339(&time.to_string()).ok_or_else(wrong),
            Toml::String(text) => {
                if let Some(later) = text.strip_prefix('+') {
                    return time::span(later).and_then(|ms| self.start_ms.checked_add(ms)).ok_or_else(wrong);
                }
                if let Some(earlier) = text.strip_prefix('-') {
                    return time::span(earlier)
                        .and_then(|ms| self.start_ms.checked_sub(ms))
                        .ok_or_else(wrong);
                }
                time::rfc3339(text).or_else(|| text.parse().ok()).ok_or_else(wrong)
            }
            _ => Err(wrong()),
        }
    }

    /// A span such as `1d`, in ms.
    ///
    /// # Errors
    /// A sentence.
    pub fn span(&self, written: &str) -> Result<u64, String> {
        let text = written.strip_prefix('+').unwrap_or(written);
        time::span(text).ok_or_else(|| format!("{written:?} is not a span such as 90s, 12h or 1d"))
    }

    fn expires(&self, written: Option<&Toml>) -> Result<Option<u64>, String> {
        written.map(|time| self.time(time)).transpose()
    }

    /// An account.
    ///
    /// # Errors
    /// A sentence.
    pub fn account(&self, text: &str) -> Result<AccountId, String> {
        self.names.id("account", text).map(AccountId)
    }

    /// A token.
    ///
    /// # Errors
    /// A sentence.
    pub fn token(&self, text: &str) -> Result<TokenId, String> {
        self.names.id("token", text).map(TokenId)
    }

    /// A key.
    ///
    /// # Errors
    /// A sentence.
    pub fn key(&self, text: &str) -> Result<KeyId, String> {
        self.names.id("key", text).map(KeyId)
    }

    fn digest(&self, text: &str) -> Result<Digest, String> {
        self.names.id("digest", text).map(Digest)
    }

    fn policy(&self, text: &str) -> Result<PolicyId, String> {
        parse_policy(text).map_or_else(|| self.names.id("policy", text).map(PolicyId), Ok)
    }

    fn hold_id(&self, text: &str) -> Result<HoldId, String> {
        self.names.id("hold", text).map(HoldId)
    }

    /// Bytes: hex, or pieces one after the other.
    ///
    /// # Errors
    /// A sentence.
    pub fn bytes(&self, written: &Toml) -> Result<Vec<u8>, String> {
        match written {
            Toml::String(text) => {
                let digits = text.strip_prefix("0x").unwrap_or(text);
                hex::decode(digits).map_err(|_| format!("{text:?} is not hex; text is {{ raw = {text:?} }}"))
            }
            Toml::Table(table) if table.len() == 1 => table
                .iter()
                .map(|(word, value)| self.piece(word, value))
                .collect::<Result<Vec<_>, _>>()
                .map(|all| all.concat()),
            Toml::Array(list) => {
                list.iter().map(|one| self.bytes(one)).collect::<Result<Vec<_>, _>>().map(|all| all.concat())
            }
            _ => Err(format!("{written} is not bytes: write hex or pieces such as {{ u64 = 7 }}")),
        }
    }

    fn piece(&self, word: &str, written: &Toml) -> Result<Vec<u8>, String> {
        let wrong = || format!("{written} does not fit the piece {word}");
        let text = || written.as_str().ok_or_else(wrong);
        macro_rules! number {
            ($type:ty) => {
                digits(written)?.parse::<$type>().map_err(|_| wrong())?
            };
        }
        Ok(match word {
            "raw" => text()?.as_bytes().to_vec(),
            "text" => encode(&text()?.to_owned()),
            "hex" => hex::decode(text()?).map_err(|_| wrong())?,
            "bytes" => encode(&self.bytes(written)?),
            "bool" => vec![u8::from(written.as_bool().ok_or_else(wrong)?)],
            "u8" => vec![number!(u8)],
            "u16" => number!(u16).to_le_bytes().to_vec(),
            "u32" => number!(u32).to_le_bytes().to_vec(),
            "u64" => match digits(written)?.parse::<u64>() {
                Ok(number) => number.to_le_bytes().to_vec(),
                Err(_) => self.time(written)?.to_le_bytes().to_vec(),
            },
            "u128" => self.amount(written)?.to_le_bytes().to_vec(),
            "i128" => number!(i128).to_le_bytes().to_vec(),
            "be64" => number!(u64).to_be_bytes().to_vec(),
            "be128" => number!(u128).to_be_bytes().to_vec(),
            "account" => self.account(text()?)?.0.to_vec(),
            "key" => self.key(text()?)?.0.to_vec(),
            "token" => self.token(text()?)?.0.to_vec(),
            "digest" => self.digest(text()?)?.0.to_vec(),
            "hold" => self.hold_id(text()?)?.0.to_vec(),
            "params" => encode(&self.params(written)?),
            _ => return Err(format!("{word:?} is no piece of bytes")),
        })
    }

    fn array<const N: usize>(&self, written: Option<&Toml>, name: &str) -> Result<[u8; N], String> {
        let Some(written) = written else { return Ok([0; N]) };
        self.bytes(written)?.try_into().map_err(|_| format!("{name} must have {N} bytes"))
    }

    fn entries(&self, written: &[EntryText]) -> Result<StateMap, String> {
        let entry = |one: &EntryText| {
            let key = self.bytes(one.key.as_ref().ok_or("a key is missing")?)?;
            Ok((key, self.bytes(one.value.as_ref().ok_or("a value is missing")?)?))
        };
        each(written, entry).map(|all| all.into_iter().collect()).map_err(|error| format!("state: {error}"))
    }

    /// Who signed.
    ///
    /// # Errors
    /// A sentence.
    pub fn signer(&self, written: &SignerText) -> Result<Signer, String> {
        let account = self.account(needed(written.account.as_ref(), "account")?)?;
        let key = |text: &String| {
            let (name, role) = match text.rsplit_once(':') {
                Some((name, role)) => (name, role.parse().map_err(|_| format!("{role:?} is not a role"))?),
                None => (text.as_str(), 0),
            };
            Ok(SignedKey { key: self.key(name)?, role })
        };
        let keys = written.keys.as_deref().unwrap_or_default();
        Ok(Signer { account, keys: each(keys, key)? })
    }

    fn party(&self, written: &PartyText) -> Result<Party, String> {
        let balance = written.balance.as_ref().map_or(Ok(0), |amount| self.amount(amount))?;
        Ok(Party {
            account: self.account(needed(written.account.as_ref(), "account")?)?,
            balance,
            available: written.available.as_ref().map_or(Ok(balance), |amount| self.amount(amount))?,
            frozen: written.frozen.unwrap_or_default(),
            holds: each(written.holds.as_deref().unwrap_or_default(), |one| self.hold(one))?,
        })
    }

    fn balance(&self, written: &BalanceText) -> Result<ForeignBalance, String> {
        let balance = written.balance.as_ref().map_or(Ok(0), |amount| self.amount(amount))?;
        Ok(ForeignBalance {
            read: written.read.unwrap_or_default(),
            token: self.token(needed(written.token.as_ref(), "token")?)?,
            account: self.account(needed(written.account.as_ref(), "account")?)?,
            balance,
            available: written.available.as_ref().map_or(Ok(balance), |amount| self.amount(amount))?,
        })
    }

    fn hold(&self, written: &HoldText) -> Result<Hold, String> {
        Ok(Hold {
            id: self.hold_id(needed(written.id.as_ref(), "id")?)?,
            token: written.token.as_ref().map_or(Ok(self.token), |name| self.token(name))?,
            owner: self.account(needed(written.owner.as_ref(), "owner")?)?,
            beneficiary: self.account(needed(written.beneficiary.as_ref(), "beneficiary")?)?,
            amount: self.amount(needed(written.amount.as_ref(), "amount")?)?,
            kind: hold_kind(needed(written.kind.as_ref(), "kind")?)?,
            expires_ms: self.expires(written.expires.as_ref())?,
        })
    }

    /// An operation.
    ///
    /// # Errors
    /// A sentence.
    pub fn leg(&self, written: &LegText, policy_index: u8) -> Result<Leg, String> {
        let act = needed(written.act.as_ref(), "do")?;
        let unused = Unused(written);
        let to = || self.account(needed(written.to.as_ref(), "to")?);
        let amount = || self.amount(needed(written.amount.as_ref(), "amount")?);
        let action = match act.as_str() {
            "create" => unused.but(&[]).map(|()| Action::Create),
            "other" => unused.but(&[]).map(|()| Action::Other),
            "mint" => {
                unused.but(&["to", "amount"]).and_then(|()| Ok(Action::Mint { to: to()?, amount: amount()? }))
            }
            "burn" => unused.but(&["amount"]).and_then(|()| Ok(Action::Burn { amount: amount()? })),
            "transfer" => {
                unused.but(&["to", "amount", "bilateral"])?;
                let bilateral = written.bilateral.unwrap_or_default();
                Ok(Action::Transfer { to: to()?, amount: amount()?, bilateral })
            }
            "claim" => {
                unused.but(&["credit", "from", "amount"])?;
                let credit = self.names.id("credit", needed(written.credit.as_ref(), "credit")?)?;
                let from = self.account(needed(written.from.as_ref(), "from")?)?;
                Ok(Action::Claim { credit: CreditId(credit), from, amount: amount()? })
            }
            "hold" => {
                unused.but(&["beneficiary", "amount", "kind", "expires"])?;
                Ok(Action::Hold {
                    beneficiary: self.account(needed(written.beneficiary.as_ref(), "beneficiary")?)?,
                    amount: amount()?,
                    kind: hold_kind(needed(written.kind.as_ref(), "kind")?)?,
                    expires_ms: self.expires(written.expires.as_ref())?,
                })
            }
            "release" => unused.but(&["hold"]).and_then(|()| {
                Ok(Action::Release { hold: self.hold(needed(written.hold.as_ref(), "hold")?)? })
            }),
            "execute" => unused.but(&["hold"]).and_then(|()| {
                Ok(Action::Execute { hold: self.hold(needed(written.hold.as_ref(), "hold")?)? })
            }),
            "invoke" => {
                unused.but(&["method", "args", "index"])?;
                let method = needed(written.method.as_ref(), "method")?.clone();
                let args = self.method_args(&method, written.args.as_ref());
                let args = args.map_err(|error| format!("args: {error}"))?;
                Ok(Action::Invoke { policy_index: written.index.unwrap_or(policy_index), method, args })
            }
            "upgrade" => {
                unused.but(&["from", "index"])?;
                let from = self.policy(needed(written.from.as_ref(), "from")?)?;
                Ok(Action::Upgrade { policy_index: written.index.unwrap_or(policy_index), from })
            }
            _ => Err(format!(
                "{act:?} is nothing that a leg does: create, mint, burn, transfer, claim, hold, release, execute, \
                 invoke, upgrade, other"
            )),
        }?;
        Ok(Leg {
            token: written.token.as_ref().map_or(Ok(self.token), |name| self.token(name))?,
            actor: self.account(needed(written.by.as_ref(), "by")?)?,
            action,
        })
    }

    fn effect(&self, written: &EffectText) -> Result<Effect, String> {
        let EffectText { from, to, expires, .. } = written;
        let account = |name: &Option<String>, field| self.account(needed(name.as_ref(), field)?);
        let mut found: Vec<Effect> = Vec::new();
        if let Some(key) = &written.set {
            let value = self.bytes(needed(written.value.as_ref(), "value")?)?;
            found.push(Effect::SetState { key: self.bytes(key)?, value });
        }
        if let Some(key) = &written.delete {
            found.push(Effect::DeleteState { key: self.bytes(key)? });
        }
        if let Some(amount) = &written.hold {
            found.push(Effect::CreateHold {
                owner: account(&written.owner, "owner")?,
                beneficiary: account(&written.beneficiary, "beneficiary")?,
                amount: self.amount(amount)?,
                kind: hold_kind(needed(written.kind.as_ref(), "kind")?)?,
                expires_ms: self.expires(expires.as_ref())?,
            });
        }
        if let Some(hold) = &written.extend {
            let expires_ms = self.expires(expires.as_ref())?;
            found.push(Effect::ExtendHold { hold: self.hold_id(hold)?, expires_ms });
        }
        if let Some(hold) = &written.release {
            found.push(Effect::ReleaseHold { hold: self.hold_id(hold)? });
        }
        if let Some(hold) = &written.execute {
            found.push(Effect::ExecuteHold { hold: self.hold_id(hold)? });
        }
        if let Some(topic) = &written.event {
            let payload = written.payload.as_ref().map_or(Ok(Vec::new()), |bytes| self.bytes(bytes))?;
            found.push(Effect::Event { topic: topic.clone(), payload });
        }
        if let Some(name) = &written.freeze {
            found.push(Effect::Freeze { account: self.account(name)? });
        }
        if let Some(name) = &written.unfreeze {
            found.push(Effect::Unfreeze { account: self.account(name)? });
        }
        if let Some(amount) = &written.mint {
            found.push(Effect::Mint { to: account(to, "to")?, amount: self.amount(amount)? });
        }
        if let Some(amount) = &written.burn {
            found.push(Effect::Burn { from: account(from, "from")?, amount: self.amount(amount)? });
        }
        if let Some(amount) = &written.transfer {
            let (from, to) = (account(from, "from")?, account(to, "to")?);
            found.push(Effect::Transfer { from, to, amount: self.amount(amount)? });
        }
        if let Some(lane) = written.emit {
            let payload = written.payload.as_ref().map_or(Ok(Vec::new()), |bytes| self.bytes(bytes))?;
            found.push(Effect::Emit { lane, payload });
        }
        if let Some(policy_index) = written.schedule_upgrade {
            // The description of the policy that comes is not at hand, so its parameters state their types.
            let params =
                self.values(written.params.as_ref(), &[]).map_err(|error| format!("params: {error}"))?;
            found.push(Effect::ScheduleUpgrade {
                policy_index,
                policy: self.policy(needed(written.policy.as_ref(), "policy")?)?,
                params,
                due_ms: self.time(needed(written.due.as_ref(), "due")?)?,
            });
        }
        if let Some(policy_index) = written.cancel_upgrade {
            found.push(Effect::CancelUpgrade { policy_index });
        }
        let [effect]: [Effect; 1] = found.try_into().map_err(|_| {
            "an effect is exactly one of set, delete, hold, extend, release, execute, event, freeze, unfreeze, \
             mint, burn, transfer, emit, schedule_upgrade, cancel_upgrade"
                .to_owned()
        })?;
        Ok(effect)
    }

    /// All evidence.
    ///
    /// # Errors
    /// A sentence.
    pub fn evidences(&self, written: Option<&Vec<EvidenceText>>) -> Result<Vec<Evidence>, String> {
        each(written.map_or(&[] as &[_], Vec::as_slice), |one| self.evidence(one))
    }

    fn evidence(&self, written: &EvidenceText) -> Result<Evidence, String> {
        let mut found: Vec<Evidence> = Vec::new();
        if let Some(one) = &written.credential {
            let claims = one.claims.clone().unwrap_or_default();
            let claim =
                |(name, value): (&String, &Toml)| Ok(Field { name: name.clone(), value: self.typed(value)? });
            found.push(Evidence::Credential {
                issuer: self.account(needed(one.issuer.as_ref(), "issuer")?)?,
                subject: self.account(needed(one.subject.as_ref(), "subject")?)?,
                schema: needed(one.schema.as_ref(), "schema")?.clone(),
                serial: self.digest(one.serial.as_deref().unwrap_or("none"))?,
                expires_ms: self.time(needed(one.expires.as_ref(), "expires")?)?,
                claims: claims.iter().map(claim).collect::<Result<_, String>>()?,
            });
        }
        if let Some(one) = &written.preimage {
            let algorithm = match one.algorithm.as_ref() {
                Some(Toml::String(word)) if word == "sha256" => hash_alg::SHA256,
                Some(Toml::String(word)) if word == "keccak256" => hash_alg::KECCAK256,
                Some(Toml::String(word)) if word == "blake3" => hash_alg::BLAKE3,
                None => hash_alg::BLAKE3,
                Some(other) => digits(other)?.parse().map_err(|_| format!("{other} is no algorithm"))?,
            };
            found.push(Evidence::HashPreimage {
                algorithm,
                digest: self.digest(needed(one.digest.as_ref(), "digest")?)?,
                preimage: self.bytes(needed(one.preimage.as_ref(), "preimage")?)?,
            });
        }
        if let Some(one) = &written.attestation {
            found.push(Evidence::Attestation {
                account: self.account(needed(one.account.as_ref(), "account")?)?,
                key: self.key(needed(one.key.as_ref(), "key")?)?,
                role: one.role.unwrap_or_default(),
                topic: needed(one.topic.as_ref(), "topic")?.clone(),
                payload: one.payload.as_ref().map_or(Ok(Vec::new()), |bytes| self.bytes(bytes))?,
            });
        }
        if let Some(one) = &written.lock {
            let trust = match one.trust.as_deref() {
                None | Some("qbft") => Trust::Qbft,
                Some("qbft-contract") => Trust::QbftContract,
                Some("attested") => Trust::Attested,
                Some(other) => return Err(format!("{other:?} is no trust: qbft, qbft-contract or attested")),
            };
            found.push(Evidence::BridgeProof {
                bridge: BridgeId(self.names.id("digest", needed(one.bridge.as_ref(), "bridge")?)?),
                chain_id: count(needed(one.chain_id.as_ref(), "chain_id")?)?,
                contract: self.array(one.contract.as_ref(), "contract")?,
                nonce: count(needed(one.nonce.as_ref(), "nonce")?)?,
                kind: one.kind.ok_or("kind is missing")?,
                asset: self.array(one.asset.as_ref(), "asset")?,
                sender: self.array(one.sender.as_ref(), "sender")?,
                token: one.token.as_ref().map_or(Ok(self.token), |name| self.token(name))?,
                recipient: self.account(needed(one.recipient.as_ref(), "recipient")?)?,
                amount: self.amount(needed(one.amount.as_ref(), "amount")?)?,
                deadline_ms: self.time(needed(one.deadline.as_ref(), "deadline")?)?,
                commitment: self.digest(one.commitment.as_deref().unwrap_or("none"))?,
                height: one.height.as_ref().map_or(Ok(0), count)?,
                trust,
            });
        }
        if let Some(one) = &written.round {
            let observation = |one: &ObservationText| {
                Ok(Observation {
                    account: self.account(needed(one.account.as_ref(), "account")?)?,
                    key: self.key(needed(one.key.as_ref(), "key")?)?,
                    role: one.role.unwrap_or_default(),
                    answer: digits(needed(one.answer.as_ref(), "answer")?)?
                        .parse()
                        .map_err(|_| "an answer is a number".to_owned())?,
                    observed_ms: self.time(needed(one.observed.as_ref(), "observed")?)?,
                })
            };
            let mut observations = each(one.observations.as_deref().unwrap_or_default(), observation)?;
            // The host demands the order of the accounts, which nobody knows by their names.
            observations.sort_by_key(|one| one.account);
            found.push(Evidence::OracleRound {
                feed: self.digest(needed(one.feed.as_ref(), "feed")?)?,
                round: count(needed(one.round.as_ref(), "round")?)?,
                decimals: one.decimals.unwrap_or_default(),
                observations,
            });
        }
        let [evidence]: [Evidence; 1] = found.try_into().map_err(|_| {
            "evidence is exactly one of credential, preimage, attestation, lock, round".to_owned()
        })?;
        Ok(evidence)
    }
}

/// Refuses fields that an action does not have.
struct Unused<'a>(&'a LegText);

impl Unused<'_> {
    fn but(&self, used: &[&str]) -> Result<(), String> {
        let leg = self.0;
        let rows = [
            ("to", leg.to.is_some()),
            ("amount", leg.amount.is_some()),
            ("bilateral", leg.bilateral.is_some()),
            ("credit", leg.credit.is_some()),
            ("from", leg.from.is_some()),
            ("beneficiary", leg.beneficiary.is_some()),
            ("kind", leg.kind.is_some()),
            ("expires", leg.expires.is_some()),
            ("hold", leg.hold.is_some()),
            ("method", leg.method.is_some()),
            ("args", leg.args.is_some()),
            ("index", leg.index.is_some()),
            ("pick", leg.pick.is_some()),
            ("params", leg.params.is_some()),
        ];
        match rows.iter().find(|(name, stated)| *stated && !used.contains(name)) {
            Some((name, _)) => Err(format!("{} has no {name}", leg.act.as_deref().unwrap_or_default())),
            None => Ok(()),
        }
    }
}

fn args_of(args: &[dsm_abi::Argument]) -> Vec<(&str, ValueType)> {
    args.iter().map(|arg| (arg.name.as_str(), arg.value_type)).collect()
}

fn each<T, R>(list: &[T], read: impl Fn(&T) -> Result<R, String>) -> Result<Vec<R>, String> {
    let numbered = list.iter().enumerate();
    numbered.map(|(at, one)| read(one).map_err(|error| format!("{}: {error}", at + 1))).collect()
}

fn needed<'t, T: ?Sized>(found: Option<&'t T>, name: &str) -> Result<&'t T, String> {
    found.ok_or_else(|| format!("{name} is missing"))
}

/// The digits of a number, written as one or, beyond 64 bits, as text; `_` may part them.
fn digits(written: &Toml) -> Result<String, String> {
    match written {
        Toml::Integer(number) => Ok(number.to_string()),
        Toml::String(text) => Ok(text.replace('_', "")),
        _ => Err(format!("{written} is not a number")),
    }
}

fn count(written: &Toml) -> Result<u64, String> {
    digits(written)?.parse().map_err(|_| format!("{written} is not a count of 64 bits"))
}

fn hold_kind(word: &String) -> Result<HoldKind, String> {
    Ok(match word.as_str() {
        "pledge" => HoldKind::Pledge,
        "lien" => HoldKind::Lien,
        "lock" => HoldKind::Lock,
        "escrow" => HoldKind::Escrow,
        _ => return Err(format!("{word:?} is no kind of hold: pledge, lien, lock or escrow")),
    })
}
