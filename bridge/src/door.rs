//! The door of the HTTP API: which routes are served, and how often a client may ask.
//!
//! Nobody is asked who they are: what the bridge does, it does for a proof. Left out on purpose: credentials, which the
//! core node's door has.

use crate::http::Failure;
use axum::extract::connect_info::ConnectInfo;
use axum::extract::{Request, State};
use axum::http::{HeaderValue, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use dsm_gateway::{Class, Limiter, Limits, Peers, counted};
use parking_lot::Mutex;
use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::str::FromStr;
use std::sync::Arc;
use std::time::Instant;

/// A group of routes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Name {
    /// `/v1/status`
    Status,
    /// `/v1/locks`
    Locks,
    /// `/v1/outbox`
    Outbox,
    /// `/v1/checkpoints`
    Checkpoints,
    /// `/v1/transfers`
    Transfers,
    /// `/v1/limits`
    Limits,
    /// `/v1/alarms`
    Alarms,
    /// `/v1/proofs`
    Proofs,
    /// `/v1/withdrawals`
    Withdrawals,
    /// `/v1/attestations`
    Attestations,
}

const NAMES: [(&str, Name); 10] = [
    ("status", Name::Status),
    ("locks", Name::Locks),
    ("outbox", Name::Outbox),
    ("checkpoints", Name::Checkpoints),
    ("transfers", Name::Transfers),
    ("limits", Name::Limits),
    ("alarms", Name::Alarms),
    ("proofs", Name::Proofs),
    ("withdrawals", Name::Withdrawals),
    ("attestations", Name::Attestations),
];

/// No group of routes has this name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("no route is called {0:?}")]
pub struct UnknownName(String);

impl FromStr for Name {
    type Err = UnknownName;

    fn from_str(text: &str) -> Result<Name, UnknownName> {
        let found = NAMES.iter().find(|(word, _)| word.eq_ignore_ascii_case(text));
        found.map(|(_, name)| *name).ok_or_else(|| UnknownName(text.to_owned()))
    }
}

/// How the door is kept.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DoorConfig {
    /// Requests of one client in any minute, half as many that verify or sign; `None` if nobody counts.
    pub limit: Option<u32>,
    /// Proxies whose word about addresses counts.
    pub proxies: Peers,
    /// The routes that are served besides health, readiness and metrics; all of them without a list.
    pub names: Option<BTreeSet<Name>>,
}

/// Where the door may be told to be kept otherwise while the service runs.
pub trait DoorSource: std::fmt::Debug + Send + Sync {
    /// How the door is kept from now on, if that has changed since this was asked last. Every request asks.
    fn newer(&self) -> Option<DoorConfig>;
}

/// The door, and the last minute.
pub(crate) struct Door {
    config: Mutex<Arc<DoorConfig>>,
    source: Option<Arc<dyn DoorSource>>,
    limiter: Mutex<Limiter<IpAddr>>,
    started: Instant,
}

impl Door {
    pub(crate) fn new(config: DoorConfig, source: Option<Arc<dyn DoorSource>>) -> Door {
        let config = Mutex::new(Arc::new(config));
        Door { config, source, limiter: Mutex::default(), started: Instant::now() }
    }

    /// How the door is kept now. What changes leaves the last minute as it was: who has asked ten times has asked ten
    /// times, whatever was allowed then.
    fn config(&self) -> Arc<DoorConfig> {
        let mut config = self.config.lock();
        if let Some(newer) = self.source.as_ref().and_then(|source| source.newer()) {
            *config = Arc::new(newer);
        }
        Arc::clone(&config)
    }

    /// Whether a request may go in, at a time of a clock that never runs backwards.
    fn check(
        &self,
        peer: IpAddr,
        forwarded: &[&str],
        method: &Method,
        path: &str,
        now_ms: u64,
    ) -> Result<(), Shut> {
        if ["/v1/health", "/v1/ready", "/metrics"].contains(&path) {
            return Ok(());
        }
        let config = self.config();
        let class = if method == Method::POST { Class::Simulation } else { Class::Default };
        if let Some(limit) = config.limit {
            let limits = Limits { default: limit, simulation: limit.div_ceil(2), ..Limits::NONE };
            let client = counted(config.proxies.client(peer, forwarded));
            self.limiter.lock().admit(&client, class, &limits, now_ms).map_err(Shut::TooMany)?;
        }
        let group = path.strip_prefix("/v1/").and_then(|rest| rest.split('/').next()).unwrap_or_default();
        // What is no route at all is said to be none.
        match (&config.names, group.parse::<Name>()) {
            (Some(names), Ok(name)) if !names.contains(&name) => Err(Shut::NotServed),
            _ => Ok(()),
        }
    }
}

/// Why the door is shut.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Shut {
    /// There is room again in so many ms.
    TooMany(u64),
    /// The route is not on the list.
    NotServed,
}

/// Lets in what may go in.
pub(crate) async fn guard(State(door): State<Arc<Door>>, request: Request, next: Next) -> Response {
    let peer = request.extensions().get::<ConnectInfo<SocketAddr>>();
    // Nobody serves without saying where from; an address that is never trusted is the safe answer.
    let peer = peer.map_or(Ipv4Addr::UNSPECIFIED.into(), |ConnectInfo(address)| address.ip());
    let forwarded = request.headers().get_all("x-forwarded-for").iter();
    // A header that is no text names nobody.
    let forwarded: Vec<&str> = forwarded.map(|value| value.to_str().unwrap_or("?")).collect();
    let now_ms = u64::try_from(door.started.elapsed().as_millis()).unwrap_or(u64::MAX);
    match door.check(peer, &forwarded, request.method(), request.uri().path(), now_ms) {
        Ok(()) => next.run(request).await,
        Err(Shut::NotServed) => {
            let detail = "this service does not serve this route";
            Failure::new(StatusCode::FORBIDDEN, "not_served", detail).into_response()
        }
        Err(Shut::TooMany(ms)) => {
            let detail = format!("too many requests; there is room again in {ms} ms");
            let mut answer =
                Failure::new(StatusCode::TOO_MANY_REQUESTS, "rate_limited", detail).into_response();
            answer.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(ms.div_ceil(1000)));
            answer
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HERE: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 0, 0, 7));
    const PROXY: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 0, 0, 9));

    fn config(limit: u32, names: &[Name]) -> DoorConfig {
        DoorConfig {
            limit: Some(limit),
            proxies: Peers::trusting(vec!["10.0.0.9/32".parse().unwrap()]),
            names: (!names.is_empty()).then(|| names.iter().copied().collect()),
        }
    }

    fn door(limit: u32, names: &[Name]) -> Door {
        Door::new(config(limit, names), None)
    }

    #[test]
    fn exactly_so_many_in_any_minute_and_half_as_many_that_cost_more() {
        let door = door(5, &[]);
        let get = |peer, forwarded: &[&str], ms| door.check(peer, forwarded, &Method::GET, "/v1/status", ms);
        let post = |ms| door.check(HERE, &[], &Method::POST, "/v1/proofs/evm", ms);
        for ms in 0..5 {
            assert_eq!(get(HERE, &[], ms), Ok(()));
        }
        assert_eq!(get(HERE, &[], 100), Err(Shut::TooMany(59_900)));
        // A client's own word about its address counts for nothing, a trusted proxy's does.
        assert!(get(HERE, &["192.0.2.1"], 100).is_err());
        assert_eq!(get(PROXY, &["192.0.2.1"], 100), Ok(()));
        assert!(get(PROXY, &["10.0.0.7"], 100).is_err());
        assert_eq!((post(100), post(100), post(100)), (Ok(()), Ok(()), Ok(())));
        assert!(post(100).is_err());
        // Whoever has one IPv6 address has the whole network.
        let six = |n: u16| IpAddr::from([0x2001, 0xdb8, 0, 1, 0, 0, 0, n]);
        assert_eq!((0..9).filter(|n| get(six(*n), &[], 100).is_ok()).count(), 5);
        assert_eq!(get(HERE, &[], 60_000), Ok(()));
        assert!(get(HERE, &[], 60_000).is_err());
        for path in ["/v1/health", "/v1/ready", "/metrics"] {
            assert_eq!(door.check(HERE, &[], &Method::GET, path, 60_000), Ok(()));
        }
    }

    #[test]
    fn the_next_request_is_judged_by_what_was_changed_before_it() {
        #[derive(Debug, Default)]
        struct Told(Mutex<Option<DoorConfig>>);
        impl DoorSource for Told {
            fn newer(&self) -> Option<DoorConfig> {
                self.0.lock().take()
            }
        }
        let told = Arc::new(Told::default());
        let door = Door::new(config(3, &[]), Some(Arc::clone(&told) as Arc<dyn DoorSource>));
        let get = || door.check(HERE, &[], &Method::GET, "/v1/status", 0);
        let tell = |config| *told.0.lock() = Some(config);
        assert_eq!((get(), get()), (Ok(()), Ok(())));
        tell(config(2, &[]));
        assert_eq!(get(), Err(Shut::TooMany(60_000)), "what was asked before the change counts");
        tell(config(4, &[]));
        assert_eq!((get(), get()), (Ok(()), Ok(())));
        assert!(get().is_err());
        tell(config(9, &[Name::Locks]));
        assert_eq!(get(), Err(Shut::NotServed));
        tell(DoorConfig::default());
        assert_eq!((0..100).filter(|_| get().is_ok()).count(), 100);
    }

    #[test]
    fn only_what_is_on_the_list_is_served() {
        let door = door(100, &[Name::Locks, Name::Attestations]);
        for (path, expected) in [
            ("/v1/locks", Ok(())),
            ("/v1/locks/7", Ok(())),
            ("/v1/attestations/blocks", Ok(())),
            ("/v1/status", Err(Shut::NotServed)),
            ("/v1/withdrawals", Err(Shut::NotServed)),
            ("/v1/health", Ok(())),
            ("/v1/nothing", Ok(())),
        ] {
            assert_eq!(door.check(HERE, &[], &Method::GET, path, 0), expected, "{path}");
        }
        assert!("lock".parse::<Name>().is_err());
    }
}
