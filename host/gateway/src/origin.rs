//! From which web pages a browser may ask.

/// The pages that may.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Origins {
    allowed: Vec<String>,
}

/// Text that is no origin.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no origin; one looks like https://example.org or http://localhost:3000")]
pub struct OriginError(pub String);

impl Origins {
    /// These, each `scheme://host[:port]`. There is no `*`: an API that submits is not for every page.
    ///
    /// # Errors
    /// [`OriginError`].
    pub fn parse<'a>(origins: impl IntoIterator<Item = &'a str>) -> Result<Origins, OriginError> {
        let allowed = origins.into_iter().map(|origin| {
            let wrong = || OriginError(origin.to_owned());
            let (scheme, host) = origin.split_once("://").ok_or_else(wrong)?;
            let plain = |c: char| c.is_ascii_alphanumeric() || ".-:[]".contains(c);
            let fits = matches!(scheme, "http" | "https") && !host.is_empty() && host.chars().all(plain);
            if fits { Ok(origin.to_ascii_lowercase()) } else { Err(wrong()) }
        });
        Ok(Origins { allowed: allowed.collect::<Result<_, _>>()? })
    }

    /// Whether a page of this origin may ask a server that it calls `host`.
    ///
    /// The server's own pages may. But whoever owns a name can make it lead here, with a page of theirs behind it (DNS
    /// rebinding): where such a page could do harm without credentials, only addresses and `localhost` are believed, and
    /// names from the list.
    pub fn allows(&self, origin: &str, host: Option<&str>, believe_names: bool) -> bool {
        self.allowed.iter().any(|allowed| allowed.eq_ignore_ascii_case(origin))
            || host.is_some_and(|host| is_own(origin, host, believe_names))
    }
}

fn is_own(origin: &str, host: &str, believe_names: bool) -> bool {
    let page = origin.strip_prefix("http://").or_else(|| origin.strip_prefix("https://"));
    (believe_names || is_nobodys(host)) && page == Some(host)
}

/// Whether nobody else can have this `Host`: an address or `localhost`, with a port or without.
fn is_nobodys(host: &str) -> bool {
    let address = |text: &str| text.parse::<std::net::IpAddr>().is_ok();
    if host.parse::<std::net::SocketAddr>().is_ok()
        || address(host.trim_start_matches('[').trim_end_matches(']'))
    {
        return true;
    }
    name_of(host) == "localhost" || address(name_of(host))
}

/// Whether a `Host` is this network's own: as [`is_nobodys`], or a name without a dot, which nobody on the Internet has.
pub(crate) fn is_local(host: &str) -> bool {
    is_nobodys(host) || !name_of(host).contains('.')
}

/// Without a port.
fn name_of(host: &str) -> &str {
    host.rsplit_once(':').map_or(host, |(name, _)| name)
}
