//! `dsm token`: create tokens, issue and destroy units, hold and release them, call policies and replace them.

use super::failure::Failure;
use super::pay::{amount_words, decimals_of};
use super::session::{Outcome, Session, SignArgs};
use super::show::{Show, rows, safe, table};
use super::values::{parse_amount, parse_span, parse_value, time_words};
use super::wallet::{Named, OwnAccount, Wallet};
use dsm_abi::{
    Argument, Description, HoldId, HoldKind, Method, Parameter, PolicyId, TokenId, Value, ValueType, encode,
};
use dsm_core::OperationKind;
use dsm_sdk::api::{FieldView, PolicyCid, TokenInfo, TokenPolicyView, TokenSummary, ValueView, limit};
use dsm_sdk::cases::time::span_written;
use dsm_sdk::client::{Client, ClientError};
use dsm_sdk::draft::NewToken;
use serde::Serialize;

/// What to do with tokens.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum TokenVerb {
    /// Create a token bound to published policies: for good, unless --upgrades-by says who may replace them
    Create(Box<CreateArgs>),
    /// Create units; the token's policies say who may
    Mint {
        #[command(flatten)]
        what: AmountArgs,
        /// The account that issues, by its name in this wallet
        #[arg(long = "as", value_name = "ACCOUNT")]
        account: String,
        /// The account that receives a credit, by id or name
        #[arg(long, value_name = "ACCOUNT")]
        to: String,
        #[command(flatten)]
        sign: SignArgs,
    },
    /// Destroy units of an account
    Burn {
        #[command(flatten)]
        what: AmountArgs,
        /// The account, by its name in this wallet
        #[arg(long, value_name = "ACCOUNT")]
        from: String,
        #[command(flatten)]
        sign: SignArgs,
    },
    /// Show a token at its head
    Show {
        /// Its id, or its name in this wallet
        token: String,
    },
    /// List the node's tokens
    List {
        /// Start behind this token
        #[arg(long, value_name = "TOKEN")]
        after: Option<TokenId>,
    },
    /// Put a hold on units of an account
    Hold {
        #[command(flatten)]
        what: AmountArgs,
        /// The account whose units are held, by its name in this wallet
        #[arg(long, value_name = "ACCOUNT")]
        from: String,
        /// Who may release or execute it, by id or name
        #[arg(long, value_name = "ACCOUNT")]
        beneficiary: String,
        /// What the hold permits
        #[arg(long, value_enum)]
        kind: KindWord,
        /// When it ends by itself, in seconds from now
        #[arg(long, value_name = "SECONDS")]
        expires_in: Option<u64>,
        #[command(flatten)]
        sign: SignArgs,
    },
    /// End a hold in its owner's favour
    Release(EndArgs),
    /// End a hold by moving the units to its beneficiary
    Execute(EndArgs),
    /// Call a method of one of a token's policies
    Invoke {
        #[command(flatten)]
        call: CallArgs,
        /// The account that calls, by its name in this wallet
        #[arg(long = "as", value_name = "ACCOUNT")]
        account: String,
        #[command(flatten)]
        sign: SignArgs,
    },
    /// Ask one of a token's policies
    View {
        #[command(flatten)]
        call: CallArgs,
    },
    /// Have the policy that the token names schedule another one in a policy's place
    ScheduleUpgrade(Box<ScheduleArgs>),
    /// Put an upgrade in force that is due; anybody may
    Upgrade {
        #[command(flatten)]
        place: PlaceArgs,
        /// The account that asks for it, by its name in this wallet
        #[arg(long = "as", value_name = "ACCOUNT")]
        account: String,
        #[command(flatten)]
        sign: SignArgs,
    },
}

/// A policy's place in a token's list.
#[derive(Debug, clap::Args)]
pub(crate) struct PlaceArgs {
    /// The token: its id, or its name in this wallet
    token: String,
    /// The position of the policy that is replaced, from 0
    #[arg(value_name = "INDEX")]
    policy_index: u8,
}

/// Options of `dsm token schedule-upgrade`.
#[derive(Debug, clap::Args)]
pub(crate) struct ScheduleArgs {
    #[command(flatten)]
    place: PlaceArgs,
    /// The published policy that comes: its CID, its id or its name in this wallet
    #[arg(long)]
    policy: String,
    /// A parameter of the policy that comes [default: what the policy in force has under that name]
    #[arg(long = "param", value_name = "NAME=VALUE")]
    params: Vec<String>,
    /// Take no parameter over from the policy in force
    #[arg(long)]
    anew: bool,
    /// The account that calls, by its name in this wallet
    #[arg(long = "as", value_name = "ACCOUNT")]
    account: String,
    #[command(flatten)]
    sign: SignArgs,
}

/// An amount of a token.
#[derive(Debug, clap::Args)]
pub(crate) struct AmountArgs {
    /// 12 counts base units, 12.50 counts display units of the token
    amount: String,
    /// The token: its id, or its name in this wallet
    token: String,
}

impl AmountArgs {
    fn read(&self, client: &Client, wallet: &Wallet) -> Result<(TokenId, u128), Failure> {
        let token = wallet.token_id(&self.token)?;
        Ok((token, parse_amount(&self.amount, decimals_of(client, &token)?.decimals)?))
    }
}

/// A hold to end.
#[derive(Debug, clap::Args)]
pub(crate) struct EndArgs {
    /// The hold
    hold: HoldId,
    /// The account that ends it, by its name in this wallet
    #[arg(long = "as", value_name = "ACCOUNT")]
    account: String,
    #[command(flatten)]
    sign: SignArgs,
}

/// A call of a policy.
#[derive(Debug, clap::Args)]
pub(crate) struct CallArgs {
    /// The token: its id, or its name in this wallet
    token: String,
    /// The method or query
    name: String,
    /// Its arguments, in order, as `dsm policy inspect` lists them
    args: Vec<String>,
    /// Which of the token's policies [default: the one that has this method or query]
    #[arg(long, value_name = "INDEX")]
    policy_index: Option<u8>,
}

/// Options of `dsm token create`.
#[derive(Debug, clap::Args)]
pub(crate) struct CreateArgs {
    /// 1 to 12 of A-Z, 0-9
    symbol: String,
    /// The account that creates it, by its name in this wallet
    #[arg(long = "as", value_name = "ACCOUNT")]
    account: String,
    /// A policy: its CID, its id or its name in this wallet; may be repeated, all must accept
    #[arg(long = "policy", value_name = "POLICY", required = true)]
    policies: Vec<String>,
    /// A parameter of a policy; with the policy's position before it where two policies share a name
    #[arg(long = "param", value_name = "[INDEX.]NAME=VALUE")]
    params: Vec<String>,
    /// The display name [default: the symbol]
    #[arg(long)]
    name: Option<String>,
    /// Decimal places of the display unit
    #[arg(long, default_value_t = 0)]
    decimals: u8,
    /// Units that may ever exist at once: 12 counts base units, 12.50 display units
    #[arg(long)]
    cap: Option<String>,
    /// The position of the policy, from 0, that may replace the token's policies, this one too [default: none may ever]
    #[arg(long, value_name = "INDEX", requires = "upgrade_delay")]
    upgrades_by: Option<u8>,
    /// How long everybody can see an upgrade before it can be put in force, such as 12h or 7d
    #[arg(long, value_name = "TIME", value_parser = parse_span, requires = "upgrades_by")]
    upgrade_delay: Option<u64>,
    /// Its name in this wallet [default: the symbol in lower case]
    #[arg(long)]
    alias: Option<String>,
    #[command(flatten)]
    sign: SignArgs,
}

/// What a hold permits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum KindWord {
    /// Released and executed by the beneficiary
    Pledge,
    /// Released and executed by the beneficiary
    Lien,
    /// Released by the beneficiary, executed by nobody
    Lock,
    /// Released by the beneficiary, executed by the owner
    Escrow,
}

pub(crate) fn run(session: &Session, verb: &TokenVerb) -> Result<(), Failure> {
    match verb {
        TokenVerb::Create(args) => create(session, args),
        TokenVerb::Show { token } => {
            let token = session.wallet()?.token_id(token)?;
            session.show(&Shown { info: session.client()?.token(&token)? })
        }
        TokenVerb::List { after } => {
            let page = session.client()?.tokens(*after, limit::PAGE_ITEMS_MAX)?;
            session.show(&Listed { tokens: page.tokens, next: page.next })
        }
        TokenVerb::View { call } => view(session, call),
        TokenVerb::ScheduleUpgrade(args) => schedule_upgrade(session, args),
        TokenVerb::Upgrade { place, account, sign } => upgrade(session, place, account, sign),
        TokenVerb::Mint { .. }
        | TokenVerb::Burn { .. }
        | TokenVerb::Hold { .. }
        | TokenVerb::Release(_)
        | TokenVerb::Execute(_)
        | TokenVerb::Invoke { .. } => {
            let (own, kind, sign) = operation(session, verb)?;
            session.show(&session.sign(&own, sign, |draft| draft.operation(own.account, kind))?)
        }
    }
}

/// The one operation that a verb stands for, and who signs it.
fn operation<'a>(
    session: &Session,
    verb: &'a TokenVerb,
) -> Result<(OwnAccount, OperationKind, &'a SignArgs), Failure> {
    let (client, wallet) = (session.client()?, session.wallet()?);
    Ok(match verb {
        TokenVerb::Mint { what, account, to, sign } => {
            let (token, amount) = what.read(&client, &wallet)?;
            let to = wallet.account_id(to)?;
            (wallet.own_account(account)?, OperationKind::Mint { token, to, amount }, sign)
        }
        TokenVerb::Burn { what, from, sign } => {
            let (token, amount) = what.read(&client, &wallet)?;
            (wallet.own_account(from)?, OperationKind::Burn { token, amount }, sign)
        }
        TokenVerb::Hold { what, from, beneficiary, kind, expires_in, sign } => {
            let (token, amount) = what.read(&client, &wallet)?;
            let beneficiary = wallet.account_id(beneficiary)?;
            let kind = match kind {
                KindWord::Pledge => HoldKind::Pledge,
                KindWord::Lien => HoldKind::Lien,
                KindWord::Lock => HoldKind::Lock,
                KindWord::Escrow => HoldKind::Escrow,
            };
            let ends = |seconds: u64| seconds.checked_mul(1_000)?.checked_add(Session::now_ms());
            let expires_ms = match expires_in.map(ends) {
                Some(None) => return Err(Failure::usage("--expires-in is too far away")),
                Some(end) => end,
                None => None,
            };
            (
                wallet.own_account(from)?,
                OperationKind::Hold { token, amount, beneficiary, kind, expires_ms },
                sign,
            )
        }
        TokenVerb::Release(args) => {
            (wallet.own_account(&args.account)?, OperationKind::Release { hold: args.hold }, &args.sign)
        }
        TokenVerb::Execute(args) => {
            (wallet.own_account(&args.account)?, OperationKind::Execute { hold: args.hold }, &args.sign)
        }
        TokenVerb::Invoke { call, account, sign } => {
            let (token, policy_index, args) = resolve(&client, &wallet, call, |about| &about.methods)?;
            let method = call.name.clone();
            let kind = OperationKind::Invoke { token, policy_index, method, args };
            (wallet.own_account(account)?, kind, sign)
        }
        TokenVerb::Create(_)
        | TokenVerb::Show { .. }
        | TokenVerb::List { .. }
        | TokenVerb::View { .. }
        | TokenVerb::ScheduleUpgrade(_)
        | TokenVerb::Upgrade { .. } => return Err(Failure::usage("this verb has a way of its own")),
    })
}

/// Finds the policy and method of a call, and reads the arguments by their declared types.
fn resolve(
    client: &Client,
    wallet: &Wallet,
    call: &CallArgs,
    list: impl Fn(&Description) -> &Vec<Method>,
) -> Result<(TokenId, u8, Vec<Value>), Failure> {
    let token = wallet.token_id(&call.token)?;
    let info = client.token(&token)?;
    let mut found: Vec<(u8, Vec<Argument>)> = Vec::new();
    for (index, policy) in (0u8..).zip(&info.policies) {
        if call.policy_index.is_some_and(|wanted| wanted != index) {
            continue;
        }
        let about = client.policy(&policy.policy.0)?.description;
        let method = list(&about).iter().find(|method| method.name == call.name);
        found.extend(method.map(|method| (index, method.args.clone())));
    }
    let inspect = "`dsm token show` lists the token's policies, `dsm policy inspect` what each can be asked";
    let (index, args) = match found.as_slice() {
        [one] => one,
        [] => return Err(Failure::usage(format!("no policy of this token has {}", call.name)).help(inspect)),
        _ => {
            return Err(Failure::usage(format!("several policies of this token have {}", call.name))
                .help("choose one with --policy-index"));
        }
    };
    if args.len() != call.args.len() {
        let message = format!("{} takes {} arguments, not {}", call.name, args.len(), call.args.len());
        return Err(Failure::usage(message).help(inspect));
    }
    let values = args.iter().zip(&call.args).map(|(arg, text)| parse_value(text, arg.value_type, wallet));
    Ok((token, *index, values.collect::<Result<_, _>>()?))
}

/// The answer of `create`.
#[derive(Serialize)]
struct Created {
    token: TokenId,
    name: String,
    #[serde(flatten)]
    outcome: Outcome,
}

impl Show for Created {
    fn text(&self) -> String {
        let names = rows([("token", self.token.to_string()), ("name", self.name.clone())]);
        format!("{names}\n{}", self.outcome.text())
    }
}

fn create(session: &Session, args: &CreateArgs) -> Result<(), Failure> {
    let (client, wallet) = (session.client()?, session.wallet()?);
    let own = wallet.own_account(&args.account)?;
    let mut policies: Vec<(PolicyId, Description)> = Vec::new();
    for text in &args.policies {
        let policy = wallet.policy_id(text)?;
        policies.push((policy, client.policy(&policy)?.description));
    }
    let values = params(&args.params, &[], &policies, &wallet)?;
    let bound = policies.into_iter().map(|(policy, _)| policy).zip(values).collect();
    let name = args.name.as_deref().unwrap_or(&args.symbol);
    let cap = args.cap.as_deref().map(|text| parse_amount(text, args.decimals)).transpose()?;
    let mut new = NewToken::new(own.account, &args.symbol, name, bound)
        .decimals(args.decimals)
        .cap(cap)
        .salt(Session::random()?);
    if let (Some(by), Some(delay_ms)) = (args.upgrades_by, args.upgrade_delay) {
        if usize::from(by) >= args.policies.len() {
            return Err(Failure::usage(format!("the token has no policy {by}"))
                .help("--upgrades-by is the position of one of its --policy, from 0"));
        }
        new = new.upgrades(by, delay_ms);
    }
    let token = new.token();
    let alias = args.alias.clone().unwrap_or_else(|| args.symbol.to_ascii_lowercase());
    let outcome = session.sign(&own, &args.sign, |draft| draft.operation(own.account, new.operation()))?;
    wallet.name_id(Named::Token, &alias, &token.to_string())?;
    session.show(&Created { token, name: alias, outcome })
}

/// The parameters of each policy, in the order of its description: what is given, else what is in force.
fn params(
    given: &[String],
    in_force: &[FieldView],
    policies: &[(PolicyId, Description)],
    wallet: &Wallet,
) -> Result<Vec<Vec<Value>>, Failure> {
    let mut named: Vec<(Option<usize>, &str, &str)> = Vec::new();
    for text in given {
        let (name, value) = text.split_once('=').ok_or_else(|| {
            Failure::usage(format!("{text:?} is not of the form NAME=VALUE"))
                .help("such as --param threshold=2")
        })?;
        let indexed = name.split_once('.').and_then(|(index, name)| Some((index.parse().ok()?, name)));
        named.push(indexed.map_or((None, name, value), |(index, name)| (Some(index), name, value)));
    }
    let mut used = vec![false; named.len()];
    let mut all = Vec::new();
    for (index, (_, about)) in policies.iter().enumerate() {
        let mut values = Vec::new();
        for param in &about.params {
            let fits = |(at, name, _): &(Option<usize>, &str, &str)| {
                *name == param.name && at.is_none_or(|at| at == index)
            };
            if let Some(found) = named.iter().position(fits) {
                used[found] = true;
                values.push(parse_value(named[found].2, param.value_type, wallet)?);
                continue;
            }
            let kept = in_force.iter().find(|one| one.name == param.name);
            let kept = kept.map(|one| Value::from(one.value.clone()));
            let kept = kept.filter(|value| value.value_type() == param.value_type);
            values.push(kept.ok_or_else(|| {
                Failure::usage(format!("policy {index} ({}) needs the parameter {}", about.name, param.name))
                    .help(format!(
                        "--param {}=… ({}): {}",
                        param.name,
                        param.value_type.word(),
                        safe(&param.doc)
                    ))
            })?);
        }
        all.push(values);
    }
    let spare: Vec<&str> =
        named.iter().zip(used).filter(|(_, used)| !used).map(|((_, name, _), _)| *name).collect();
    if spare.is_empty() {
        return Ok(all);
    }
    Err(Failure::usage(format!("no policy has a parameter {}", spare.join(", ")))
        .help("`dsm policy inspect` lists what a token gives its policies"))
}

/// The answer of `view`.
#[derive(Serialize)]
struct Answered {
    token: TokenId,
    policy_index: u8,
    query: String,
    fields: Vec<FieldView>,
}

impl Show for Answered {
    fn text(&self) -> String {
        let lines = self.fields.iter().map(|field| (field.name.as_str(), value_words(&field.value)));
        rows(lines.collect::<Vec<_>>())
    }
}

fn view(session: &Session, call: &CallArgs) -> Result<(), Failure> {
    let (client, wallet) = (session.client()?, session.wallet()?);
    let (token, policy_index, args) = resolve(&client, &wallet, call, |about| &about.queries)?;
    let fields = client.view(&token, policy_index, &call.name, args)?;
    session.show(&Answered { token, policy_index, query: call.name.clone(), fields })
}

/// The method by which a policy that may replace others is asked to.
const SCHEDULE: &str = "schedule_upgrade";

/// The answer of `schedule-upgrade`.
#[derive(Serialize)]
struct Scheduled {
    token: TokenId,
    policy_index: u8,
    /// The policy that comes, with all its parameters.
    to: TokenPolicyView,
    /// From when on it can be put in force; absent for what was only signed.
    #[serde(skip_serializing_if = "Option::is_none")]
    due_ms: Option<u64>,
    /// What the policy in force has: for people, who compare.
    #[serde(skip)]
    in_force: Vec<FieldView>,
    #[serde(flatten)]
    outcome: Outcome,
}

impl Show for Scheduled {
    fn text(&self) -> String {
        let to = &self.to;
        let was = |param: &FieldView| match self.in_force.iter().find(|one| one.name == param.name) {
            Some(one) if one.value == param.value => "as it is".to_owned(),
            Some(one) => format!("it is {}", value_words(&one.value)),
            None => "new".to_owned(),
        };
        let params = to.params.iter().map(|param| format!("{} ({})", param_words(param), was(param)));
        let params: Vec<String> = params.collect();
        let mut lines =
            vec![("comes", format!("{} {}", safe(&to.name), to.policy)), ("with", params.join("\n"))];
        if let Some(due_ms) = self.due_ms {
            let place = format!("{} {}", self.token, self.policy_index);
            let due = time_words(due_ms);
            lines.push(("due", format!("{due}: from then on anybody may `dsm token upgrade {place}`")));
        }
        format!("{}\n{}", rows(lines), self.outcome.text())
    }
}

/// The answer of `upgrade`.
#[derive(Serialize)]
struct Upgraded {
    token: TokenId,
    policy_index: u8,
    #[serde(flatten)]
    outcome: Outcome,
}

impl Show for Upgraded {
    fn text(&self) -> String {
        self.outcome.text()
    }
}

fn schedule_upgrade(session: &Session, args: &ScheduleArgs) -> Result<(), Failure> {
    let (client, wallet) = (session.client()?, session.wallet()?);
    let (token, policy_index) = (wallet.token_id(&args.place.token)?, args.place.policy_index);
    let info = client.token(&token)?;
    let Some(terms) = info.upgrades else {
        return Err(Failure::usage("the policies of this token are for good")
            .help("only a token created with --upgrades-by ever gets others"));
    };
    let Some(replaced) = info.policies.get(usize::from(policy_index)) else {
        return Err(Failure::usage(format!("the token has no policy {policy_index}"))
            .help("`dsm token show` lists them by their positions, from 0"));
    };
    let by = info
        .policies
        .get(usize::from(terms.by))
        .ok_or_else(|| ClientError::Protocol("the token names a policy that it does not have".to_owned()))?;
    let types = [ValueType::U64, ValueType::Digest, ValueType::Bytes];
    let fits =
        |method: &Method| method.name == SCHEDULE && method.args.iter().map(|arg| arg.value_type).eq(types);
    if !client.policy(&by.policy.0)?.description.methods.iter().any(fits) {
        let message =
            format!("{} has no {SCHEDULE} of a position, a policy and its parameters", safe(&by.name));
        return Err(Failure::usage(message)
            .help("`dsm policy inspect` lists how it is asked, `dsm token invoke` asks it"));
    }
    let policy = wallet.policy_id(&args.policy)?;
    let incoming = [(policy, client.policy(&policy)?.description)];
    let about = &incoming[0].1;
    let in_force: &[FieldView] = if args.anew { &[] } else { replaced.params.as_slice() };
    check_taken_over(in_force, &replaced.name, about)?;
    let values = params(&args.params, in_force, &incoming, &wallet)?.concat();
    let field = |(param, value): (&Parameter, &Value)| FieldView {
        name: param.name.clone(),
        value: value.clone().into(),
    };
    let to = TokenPolicyView {
        policy: PolicyCid(policy),
        name: about.name.clone(),
        params: about.params.iter().zip(&values).map(field).collect(),
    };
    let call = vec![
        Value::U64(policy_index.into()),
        Value::Digest(dsm_abi::Digest(policy.0)),
        Value::Bytes(encode(&values)),
    ];
    let own = wallet.own_account(&args.account)?;
    let outcome =
        session.sign(&own, &args.sign, |draft| draft.invoke(own.account, token, terms.by, SCHEDULE, call))?;
    let due_ms = match outcome {
        Outcome::Accepted { .. } => due(&client, &token, policy_index),
        Outcome::Signed { .. } => None,
    };
    let in_force = replaced.params.clone();
    session.show(&Scheduled { token, policy_index, to, due_ms, in_force, outcome })
}

/// Refuses to drop what is in force without a word: a limit that the policy that comes does not know is gone with it.
fn check_taken_over(in_force: &[FieldView], name: &str, about: &Description) -> Result<(), Failure> {
    let known = |one: &&FieldView| about.params.iter().any(|param| param.name == one.name);
    let dropped: Vec<String> = in_force.iter().filter(|one| !known(one)).map(|one| safe(&one.name)).collect();
    if dropped.is_empty() {
        return Ok(());
    }
    let (name, comes, dropped) = (safe(name), safe(&about.name), dropped.join(", "));
    Err(Failure::usage(format!("{comes} does not know what {name} has in force: {dropped}")).help(
        "--anew takes nothing over: then every parameter of the policy that comes is given with --param",
    ))
}

fn upgrade(session: &Session, place: &PlaceArgs, account: &str, sign: &SignArgs) -> Result<(), Failure> {
    let (client, wallet) = (session.client()?, session.wallet()?);
    let (token, policy_index) = (wallet.token_id(&place.token)?, place.policy_index);
    let own = wallet.own_account(account)?;
    let kind = OperationKind::Upgrade { token, policy_index };
    let outcome = session.sign(&own, sign, |draft| draft.operation(own.account, kind));
    let outcome = outcome.map_err(|failure| match due(&client, &token, policy_index) {
        Some(due_ms) if failure.code == "upgrade_not_due" => {
            failure.help(format!("it can be put in force from {} on", time_words(due_ms)))
        }
        Some(_) | None => failure,
    })?;
    session.show(&Upgraded { token, policy_index, outcome })
}

/// When the upgrade that waits for this position can be put in force.
fn due(client: &Client, token: &TokenId, policy_index: u8) -> Option<u64> {
    let info = client.token(token).ok()?;
    info.waiting.iter().find(|one| one.policy_index == policy_index).map(|one| one.due_ms)
}

/// A value in words.
pub(crate) fn value_words(value: &ValueView) -> String {
    let list = |items: Vec<String>| if items.is_empty() { "none".to_owned() } else { items.join(", ") };
    match value {
        ValueView::Bool(value) => value.to_string(),
        ValueView::U64(value) => value.to_string(),
        ValueView::U128(value) => value.to_string(),
        ValueView::I128(value) => value.to_string(),
        ValueView::Text(value) => safe(value),
        ValueView::Bytes(value) => value.to_string(),
        ValueView::Digest(value) => value.to_string(),
        ValueView::Account(value) => value.to_string(),
        ValueView::Token(value) => value.to_string(),
        ValueView::Key(value) => value.to_string(),
        ValueView::Accounts(values) => list(values.iter().map(ToString::to_string).collect()),
        ValueView::Keys(values) => list(values.iter().map(ToString::to_string).collect()),
        ValueView::Texts(values) => list(values.iter().map(|text| safe(text)).collect()),
    }
}

/// The answer of `show`.
#[derive(Serialize)]
#[serde(transparent)]
struct Shown {
    info: TokenInfo,
}

impl Show for Shown {
    fn text(&self) -> String {
        let info = &self.info;
        let unit = super::pay::Unit { symbol: info.symbol.clone(), decimals: info.decimals };
        let mut lines = vec![
            ("token", info.token.to_string()),
            ("name", format!("{} ({}), {} decimals", safe(&info.name), info.symbol, info.decimals)),
            ("issuer", info.issuer.to_string()),
            ("supply", amount_words(info.state.supply, &unit)),
            ("cap", info.cap.map_or_else(|| "none".to_owned(), |cap| amount_words(cap, &unit))),
            ("head", format!("{} at height {}", info.head, info.state.height)),
        ];
        for (index, one) in info.policies.iter().enumerate() {
            lines.push(("policy", format!("{index} {} {}", safe(&one.name), one.policy)));
            lines.extend(param_lines(one));
        }
        lines.push(("upgrades", upgrades_words(info)));
        for one in &info.waiting {
            let due = time_words(one.due_ms);
            let from = if info.time_ms < one.due_ms { "from" } else { "since" };
            let words = format!(
                "policy {} can become {} {}\n{from} {due} on, whoever asks for it",
                one.policy_index,
                safe(&one.to.name),
                one.to.policy
            );
            lines.push(("waiting", words));
            lines.extend(param_lines(&one.to));
        }
        rows(lines)
    }
}

fn param_lines(policy: &TokenPolicyView) -> impl Iterator<Item = (&'static str, String)> {
    policy.params.iter().map(|param| ("", format!("  {}", param_words(param))))
}

/// A parameter, or anything else that has a name and a value, in words.
pub(crate) fn param_words(param: &FieldView) -> String {
    format!("{} = {}", safe(&param.name), value_words(&param.value))
}

/// Who may replace the token's policies.
fn upgrades_words(info: &TokenInfo) -> String {
    let Some(terms) = info.upgrades else { return "never: these policies are for good".to_owned() };
    let by = info.policies.get(usize::from(terms.by)).map(|policy| safe(&policy.name)).unwrap_or_default();
    let delay = span_written(terms.delay_ms);
    format!(
        "policy {} ({by}) may replace policies, each at least {delay} after everybody can see it",
        terms.by
    )
}

/// The answer of `list`.
#[derive(Serialize)]
struct Listed {
    tokens: Vec<TokenSummary>,
    next: Option<TokenId>,
}

impl Show for Listed {
    fn text(&self) -> String {
        let line = |one: &TokenSummary| {
            let unit = super::pay::Unit { symbol: one.symbol.clone(), decimals: one.decimals };
            vec![one.symbol.clone(), safe(&one.name), amount_words(one.supply, &unit), one.token.to_string()]
        };
        let lines: Vec<_> = self.tokens.iter().map(line).collect();
        let text = table(&["SYMBOL", "NAME", "SUPPLY", "TOKEN"], &lines, "no tokens");
        self.next.map_or(text.clone(), |next| format!("{text}\nmore: --after {next}"))
    }
}
