//! Bearer tokens: JSON Web Tokens (RFC 7519) under one secret and one algorithm, HS256.

use crate::scope::Scopes;
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation};
use serde::{Deserialize, Serialize};

/// Bytes of a secret: as many as the hash has (RFC 7518 section 3.2).
pub const SECRET_BYTES_MIN: usize = 32;
/// Who the tokens are for.
const AUDIENCE: &str = "dsm";
/// Characters of a token.
const TOKEN_CHARS_MAX: usize = 4096;

/// Verifies and makes tokens.
pub struct Tokens {
    decoding: DecodingKey,
    encoding: EncodingKey,
}

impl std::fmt::Debug for Tokens {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Tokens")
    }
}

/// What a token says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Claims {
    sub: String,
    aud: String,
    exp: u64,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    nbf: Option<u64>,
    scope: String,
}

/// Why a token counts for nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    /// The secret is shorter than [`SECRET_BYTES_MIN`].
    #[error("the secret of bearer tokens is shorter than {SECRET_BYTES_MIN} bytes")]
    ShortSecret,
    /// Malformed, of another algorithm, for somebody else, or signed with another secret.
    #[error("the bearer token does not verify")]
    Invalid,
    /// Its time is over.
    #[error("the bearer token has expired")]
    Expired,
    /// Its time has not begun.
    #[error("the bearer token is not valid yet")]
    NotYet,
}

impl Tokens {
    /// Tokens under `secret`.
    ///
    /// # Errors
    /// [`TokenError::ShortSecret`].
    pub fn new(secret: &[u8]) -> Result<Tokens, TokenError> {
        if secret.len() < SECRET_BYTES_MIN {
            return Err(TokenError::ShortSecret);
        }
        Ok(Tokens { decoding: DecodingKey::from_secret(secret), encoding: EncodingKey::from_secret(secret) })
    }

    /// Whose token it is and what it permits, at `now_s` (seconds since the Unix epoch).
    ///
    /// # Errors
    /// [`TokenError`].
    pub fn verify(&self, token: &str, now_s: u64) -> Result<(String, Scopes), TokenError> {
        if token.len() > TOKEN_CHARS_MAX {
            return Err(TokenError::Invalid);
        }
        let mut rules = Validation::new(Algorithm::HS256);
        rules.set_audience(&[AUDIENCE]);
        rules.set_required_spec_claims(&["exp", "aud", "sub"]);
        // Compared below, with the time that was passed in.
        (rules.validate_exp, rules.validate_nbf) = (false, false);
        let claims = jsonwebtoken::decode::<Claims>(token, &self.decoding, &rules)
            .map_err(|_| TokenError::Invalid)?
            .claims;
        if claims.exp <= now_s {
            return Err(TokenError::Expired);
        }
        if claims.nbf.is_some_and(|begin| begin > now_s) {
            return Err(TokenError::NotYet);
        }
        let scopes = Scopes::parse(&claims.scope).map_err(|_| TokenError::Invalid)?;
        if !is_name(&claims.sub) {
            return Err(TokenError::Invalid);
        }
        Ok((claims.sub, scopes))
    }

    /// A token for `subject` until `until_s`.
    ///
    /// # Errors
    /// [`TokenError::Invalid`] for a subject of no or more than 64 bytes, or with control characters.
    pub fn make(&self, subject: &str, scopes: Scopes, until_s: u64) -> Result<String, TokenError> {
        if !is_name(subject) {
            return Err(TokenError::Invalid);
        }
        let claims = Claims {
            sub: subject.to_owned(),
            aud: AUDIENCE.to_owned(),
            exp: until_s,
            nbf: None,
            scope: scopes.to_string(),
        };
        jsonwebtoken::encode(&Header::new(Algorithm::HS256), &claims, &self.encoding)
            .map_err(|_| TokenError::Invalid)
    }
}

/// Whether a subject can stand in a line of a log.
fn is_name(subject: &str) -> bool {
    !subject.is_empty() && subject.len() <= 64 && !subject.chars().any(char::is_control)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECRET: &[u8] = b"thirty-two bytes of a secret, at least";

    /// Another issuer under the same secret lets people choose their names: one with a line end wrote lines of its own
    /// into the log.
    #[test]
    fn a_subject_is_a_name_and_nothing_else() {
        let tokens = Tokens::new(SECRET).unwrap();
        let long = "x".repeat(65);
        for (subject, fits) in [
            ("desk", true),
            ("Zoë", true),
            ("", false),
            (long.as_str(), false),
            ("a\nb", false),
            ("a\u{1b}[2J", false),
        ] {
            let claims = Claims {
                sub: subject.to_owned(),
                aud: AUDIENCE.to_owned(),
                exp: 10,
                nbf: None,
                scope: "read".to_owned(),
            };
            let token =
                jsonwebtoken::encode(&Header::new(Algorithm::HS256), &claims, &tokens.encoding).unwrap();
            assert_eq!(tokens.verify(&token, 5).is_ok(), fits, "{subject:?}");
            assert_eq!(tokens.make(subject, Scopes::ALL, 10).is_ok(), fits, "{subject:?}");
        }
    }

    #[test]
    fn only_one_algorithm_counts_whatever_the_header_says() {
        let tokens = Tokens::new(SECRET).unwrap();
        let claims = Claims {
            sub: "desk".to_owned(),
            aud: AUDIENCE.to_owned(),
            exp: 10,
            nbf: None,
            scope: "read".to_owned(),
        };
        for (algorithm, fits) in
            [(Algorithm::HS256, true), (Algorithm::HS384, false), (Algorithm::HS512, false)]
        {
            let token = jsonwebtoken::encode(&Header::new(algorithm), &claims, &tokens.encoding).unwrap();
            assert_eq!(tokens.verify(&token, 5).is_ok(), fits, "{algorithm:?}");
        }
        let elsewhere = Claims { aud: "other".to_owned(), ..claims.clone() };
        let late = Claims { nbf: Some(6), ..claims };
        let token = |claims: &Claims| {
            jsonwebtoken::encode(&Header::new(Algorithm::HS256), claims, &tokens.encoding).unwrap()
        };
        assert_eq!(tokens.verify(&token(&elsewhere), 5), Err(TokenError::Invalid));
        assert_eq!(tokens.verify(&token(&late), 5), Err(TokenError::NotYet));
        assert_eq!(tokens.verify(&token(&late), 6).map(|(name, _)| name), Ok("desk".to_owned()));
        assert_eq!(tokens.verify(&token(&late), 10), Err(TokenError::Expired));
    }
}
