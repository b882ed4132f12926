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

    /// Whether a page of this origin may ask.
    pub fn allows(&self, origin: &str) -> bool {
        self.allowed.iter().any(|allowed| allowed.eq_ignore_ascii_case(origin))
    }
}
