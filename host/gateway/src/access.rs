//! The decision about one request.

use crate::address::{Peers, counted};
use crate::key::KeyRing;
use crate::limit::{Class, Limiter, Limits};
use crate::origin::{Origins, is_local};
use crate::scope::{Scope, Scopes};
use crate::token::{TokenError, Tokens};
use std::net::IpAddr;

/// How the door is kept.
#[derive(Debug)]
pub struct GatewayConfig {
    /// What a client may do that shows no credentials.
    pub anonymous: Scopes,
    /// API keys.
    pub keys: KeyRing,
    /// Bearer tokens, if there is a secret for them.
    pub tokens: Option<Tokens>,
    /// Pages whose scripts may ask.
    pub origins: Origins,
    /// Proxies whose word about addresses counts.
    pub proxies: Peers,
    /// Requests in any minute for each client.
    pub limits: Limits,
}

/// Why a configuration is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum GatewayError {
    /// The API can be reached from other machines, and nothing would tell who asks.
    #[error(
        "the API would be open to other machines without an API key or a secret for bearer tokens: name a file of \
         keys or a secret, or listen on a loopback address"
    )]
    NoSecret,
}

impl GatewayError {
    /// The stable code.
    pub const fn code(self) -> &'static str {
        match self {
            GatewayError::NoSecret => "no_secret",
        }
    }
}

impl GatewayConfig {
    fn check(&self, listen: IpAddr) -> Result<(), GatewayError> {
        let known = !self.keys.is_empty() || self.tokens.is_some();
        if listen.is_loopback() || known { Ok(()) } else { Err(GatewayError::NoSecret) }
    }
}

/// What the shell reads off a request.
#[derive(Debug, Clone, Copy)]
pub struct Facts<'a> {
    /// The address at the other end of the connection.
    pub peer: IpAddr,
    /// All `X-Forwarded-For` headers, in order.
    pub forwarded_for: &'a [&'a str],
    /// Whether the request carries a header that only proxies set.
    pub relayed: bool,
    /// The `Origin` header.
    pub origin: Option<&'a str>,
    /// The `Host` header.
    pub host: Option<&'a str>,
    /// The `Authorization` header.
    pub authorization: Option<&'a str>,
    /// The `X-API-Key` header.
    pub api_key: Option<&'a str>,
    /// What the route needs; `None` for what everybody may see, such as health.
    pub needs: Option<Scope>,
    /// Which limit counts it.
    pub class: Class,
}

/// Who asks.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Client {
    /// Nobody in particular, from this address.
    Address(IpAddr),
    /// The holder of an API key of this name.
    Key(String),
    /// The subject of a bearer token.
    Subject(String),
}

impl std::fmt::Display for Client {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Client::Address(address) => write!(f, "address:{address}"),
            Client::Key(name) => write!(f, "key:{name}"),
            Client::Subject(subject) => write!(f, "subject:{subject}"),
        }
    }
}

/// A request that may be answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Admitted {
    /// What the client may do.
    pub scopes: Scopes,
    /// How many requests of this class the client may make in a minute; `None` if nobody counts.
    pub limit: Option<u32>,
    /// How many more of this class there is room for at this moment.
    pub remaining: u32,
}

/// Why a request is not answered.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// A page that is not on the list.
    #[error("pages of this origin may not ask")]
    Origin,
    /// Nobody knows who asks, and everybody may not.
    #[error("this needs an API key or a bearer token with the scope {0}")]
    NoCredentials(Scope),
    /// Credentials that count for nothing; they never fall back to what anonymous clients may do.
    #[error("the credentials do not count: {0}")]
    BadCredentials(&'static str),
    /// Known, and not permitted.
    #[error("this needs the scope {0}")]
    Forbidden(Scope),
    /// Too often.
    #[error("too many requests; there is room again in {retry_after_ms} ms")]
    TooMany {
        /// When there is room again, in ms.
        retry_after_ms: u64,
        /// How many requests of this class the client may make in a minute.
        limit: u32,
    },
}

impl Refused {
    /// The stable code.
    pub const fn code(&self) -> &'static str {
        match self {
            Refused::Origin => "origin_not_allowed",
            Refused::NoCredentials(_) => "no_credentials",
            Refused::BadCredentials(_) => "bad_credentials",
            Refused::Forbidden(_) => "scope_missing",
            Refused::TooMany { .. } => "rate_limited",
        }
    }

    /// The HTTP status.
    pub const fn status(&self) -> u16 {
        match self {
            Refused::Origin => 400,
            Refused::NoCredentials(_) | Refused::BadCredentials(_) => 401,
            Refused::Forbidden(_) => 403,
            Refused::TooMany { .. } => 429,
        }
    }
}

/// The door: its rules and the last minute.
#[derive(Debug)]
pub struct Gateway {
    config: GatewayConfig,
    /// Those that showed who they are: no crowd of addresses takes their places.
    known: Limiter<Client>,
    strangers: Limiter<IpAddr>,
}

impl Gateway {
    /// A door for an API that listens on `listen`.
    ///
    /// # Errors
    /// [`GatewayError::NoSecret`] if other machines reach it and nobody could show who they are.
    pub fn new(config: GatewayConfig, listen: IpAddr) -> Result<Gateway, GatewayError> {
        config.check(listen)?;
        Ok(Gateway { config, known: Limiter::default(), strangers: Limiter::default() })
    }

    /// Keeps the door by other rules from now on; what was asked in the last minute still counts.
    ///
    /// # Errors
    /// As [`Gateway::new`]; the old rules stay.
    pub fn configure(&mut self, config: GatewayConfig, listen: IpAddr) -> Result<(), GatewayError> {
        config.check(listen)?;
        self.config = config;
        Ok(())
    }

    /// Whether this address is a proxy's whose word about addresses counts.
    pub fn is_proxy(&self, address: IpAddr) -> bool {
        self.config.proxies.trust(address)
    }

    /// Decides about a request at `now_ms` (of a clock that never runs backwards) and `now_s` (since the Unix epoch).
    ///
    /// The order matters: a page that may not ask learns nothing; whoever guesses credentials uses up the limit of
    /// its address; and what a client may not do counts as a request all the same.
    ///
    /// Who asks is said in either case: for credentials that do not count it is the address.
    pub fn decide(
        &mut self,
        facts: &Facts<'_>,
        now_ms: u64,
        now_s: u64,
    ) -> (Client, Result<Admitted, Refused>) {
        let address = Client::Address(self.config.proxies.client(facts.peer, facts.forwarded_for));
        let harmless = self.config.anonymous.and(Scopes::of(&[Scope::Submit, Scope::Admin])) == Scopes::NONE;
        if facts.origin.is_some_and(|origin| !self.config.origins.allows(origin, facts.host, harmless)) {
            return (address, Err(Refused::Origin));
        }
        let (client, scopes, times) = match self.authenticate(facts, now_s) {
            Ok(Some(known)) => known,
            Ok(None) if !harmless && self.is_brought(facts) => (address, Scopes::NONE, 1),
            Ok(None) => (address, self.config.anonymous, 1),
            Err(refused) => {
                let counted = self.count(&address, Class::Default, 1, now_ms);
                return (address, Err(counted.err().unwrap_or(refused)));
            }
        };
        let (limit, remaining) = match self.count(&client, facts.class, times, now_ms) {
            Ok(counted) => counted,
            Err(refused) => return (client, Err(refused)),
        };
        let outcome = match facts.needs {
            Some(scope) if !scopes.has(scope) => Err(match client {
                Client::Address(_) => Refused::NoCredentials(scope),
                Client::Key(_) | Client::Subject(_) => Refused::Forbidden(scope),
            }),
            Some(_) | None => Ok(Admitted { scopes, limit, remaining }),
        };
        (client, outcome)
    }

    /// Whether somebody else's request comes from this machine. A door without keys is open to whoever sits here; a proxy
    /// that nobody named, and a page on a name that was made to lead here (DNS rebinding), bring strangers.
    fn is_brought(&self, facts: &Facts<'_>) -> bool {
        let here = facts.peer.to_canonical().is_loopback();
        let named = facts.host.is_none_or(is_local);
        here && !self.config.proxies.trust(facts.peer) && (facts.relayed || !named)
    }

    /// The limit, if there is one, and what is left of it.
    fn count(
        &mut self,
        client: &Client,
        class: Class,
        times: u32,
        now_ms: u64,
    ) -> Result<(Option<u32>, u32), Refused> {
        let limits = self.config.limits.times(times);
        let limit = limits.of(class);
        if limit == Limits::NONE.of(class) {
            return Ok((None, limit));
        }
        let admitted = match client {
            Client::Address(address) => self.strangers.admit(&counted(*address), class, &limits, now_ms),
            Client::Key(_) | Client::Subject(_) => self.known.admit(client, class, &limits, now_ms),
        };
        admitted
            .map(|remaining| (Some(limit), remaining))
            .map_err(|retry_after_ms| Refused::TooMany { retry_after_ms, limit })
    }

    fn authenticate(&self, facts: &Facts<'_>, now_s: u64) -> Result<Option<(Client, Scopes, u32)>, Refused> {
        let key = |text: &str| {
            let unknown = Refused::BadCredentials("no such API key");
            let (key, scopes) = self.config.keys.find(text).ok_or(unknown)?;
            Ok(Some((Client::Key(key.name.clone()), scopes, key.limit_times.max(1))))
        };
        match (facts.api_key, facts.authorization) {
            (Some(_), Some(_)) => Err(Refused::BadCredentials("an API key and a bearer token at once")),
            (Some(text), None) => key(text),
            (None, Some(header)) => {
                let unknown = Refused::BadCredentials("not a bearer token");
                let (scheme, text) = header.split_once(' ').ok_or(unknown.clone())?;
                if !scheme.eq_ignore_ascii_case("bearer") {
                    return Err(unknown);
                }
                if text.starts_with("dsm_") {
                    return key(text);
                }
                let off = Refused::BadCredentials("bearer tokens are not accepted here");
                let tokens = self.config.tokens.as_ref().ok_or(off)?;
                let (subject, scopes) = tokens.verify(text, now_s).map_err(|error| {
                    Refused::BadCredentials(match error {
                        TokenError::Expired => "the bearer token has expired",
                        TokenError::NotYet => "the bearer token is not valid yet",
                        TokenError::Invalid | TokenError::ShortSecret => "the bearer token does not verify",
                    })
                })?;
                Ok(Some((Client::Subject(subject), scopes, 1)))
            }
            (None, None) => Ok(None),
        }
    }
}
