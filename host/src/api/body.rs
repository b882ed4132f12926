//! Bodies in and out: bounded, of a stated type, never decompressed.

use super::problem::Failure;
use axum::body::{Body, Bytes, HttpBody, to_bytes};
use axum::extract::{FromRequestParts, Request};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use dsm_sdk::api::limit;
use futures_util::StreamExt;
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::time::Duration;

pub(super) const OCTETS: &str = "application/octet-stream";
pub(super) const JSON: &str = "application/json";

/// Bytes of a body that are read for nothing, so that a client which is answered before it has sent them sees the
/// answer and keeps its connection: the longest batch. Whoever sends more is cut off.
const UNREAD_BYTES_MAX: usize = limit::BATCH_BYTES_MAX;
/// How long they are waited for.
const UNREAD_TIME_MAX: Duration = Duration::from_secs(5);

/// The type of a request's body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Octets,
    Json,
}

/// What a path names; a path that is no text is refused with a problem document, as everything else is.
pub(super) struct Path<T>(pub(super) T);

impl<T: DeserializeOwned + Send, S: Send + Sync> FromRequestParts<S> for Path<T> {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Failure> {
        let named = axum::extract::Path::from_request_parts(parts, state).await;
        named
            .map(|axum::extract::Path(named)| Path(named))
            .map_err(|error| Failure::malformed(error.body_text()))
    }
}

/// Reads a body of at most `octets_max` or `json_max` bytes, by its type. A type with a limit of 0 is not taken.
pub(super) async fn read(
    request: Request,
    octets_max: usize,
    json_max: usize,
) -> Result<(Kind, Bytes), Failure> {
    let kind = kind_of(request.headers())?;
    let limit = match kind {
        Kind::Octets => octets_max,
        Kind::Json => json_max,
    };
    if limit == 0 {
        let detail = format!("send {}", if octets_max == 0 { JSON } else { OCTETS });
        return Err(Failure::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "content_type", detail));
    }
    let too_long = || {
        let detail = format!("the body is longer than {limit} bytes");
        Failure::new(StatusCode::PAYLOAD_TOO_LARGE, "too_long", detail)
    };
    let stated = request.headers().get(header::CONTENT_LENGTH).and_then(|length| length.to_str().ok());
    if stated.and_then(|length| length.parse::<u64>().ok()).is_some_and(|length| length > limit as u64) {
        return Err(too_long());
    }
    to_bytes(request.into_body(), limit).await.map(|bytes| (kind, bytes)).map_err(|_| too_long())
}

/// The answer to a request whose body nobody reads.
///
/// A client that waits to be told to go on (`Expect: 100-continue`, RFC 9110, 10.1.1) has not sent its body and need
/// not: the connection ends with the answer, because nothing tells a body that comes late from a further request. Any
/// other client sends the body, and what a server leaves unread when it closes can cost the client the answer (RFC
/// 9112, 9.6): it is answered at once, and its body is read and thrown away.
pub(super) fn unread(request: Request, mut answer: Response) -> Response {
    if request.headers().contains_key(header::EXPECT) {
        answer.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
        return answer;
    }
    let body = request.into_body();
    if !body.is_end_stream() {
        tokio::spawn(tokio::time::timeout(UNREAD_TIME_MAX, discard(body)));
    }
    answer
}

async fn discard(body: Body) {
    let mut chunks = body.into_data_stream();
    let mut left = UNREAD_BYTES_MAX;
    while let Some(Ok(chunk)) = chunks.next().await {
        let Some(less) = left.checked_sub(chunk.len()) else { return };
        left = less;
    }
}

fn kind_of(headers: &HeaderMap) -> Result<Kind, Failure> {
    if headers.contains_key(header::CONTENT_ENCODING) {
        let detail = "bodies are not decompressed; send them as they are";
        return Err(Failure::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "content_encoding", detail));
    }
    let stated = headers.get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    match stated.split(';').next().unwrap_or_default().trim() {
        OCTETS => Ok(Kind::Octets),
        JSON => Ok(Kind::Json),
        _ => {
            let detail = format!("send {OCTETS} or {JSON}");
            Err(Failure::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "content_type", detail))
        }
    }
}

/// Decodes JSON. Unknown and duplicate fields are refused by the types, nesting beyond 128 by the decoder.
pub(super) fn from_json<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Failure> {
    serde_json::from_slice(bytes).map_err(|error| Failure::malformed(format!("the JSON body: {error}")))
}

/// An answer in JSON.
pub(super) fn json<T: Serialize>(value: &T) -> Result<Response, Failure> {
    let bytes = serde_json::to_vec(value)
        .map_err(|error| Failure::new(StatusCode::INTERNAL_SERVER_ERROR, "encoding", error.to_string()))?;
    Ok(typed(JSON, bytes))
}

/// An answer in canonical bytes.
pub(super) fn octets(bytes: Vec<u8>) -> Response {
    typed(OCTETS, bytes)
}

pub(super) fn typed(kind: &'static str, bytes: Vec<u8>) -> Response {
    ([(header::CONTENT_TYPE, kind)], Body::from(bytes)).into_response()
}

/// Whether the client asks for canonical bytes.
pub(super) fn wants_octets(headers: &HeaderMap) -> bool {
    headers.get_all(header::ACCEPT).iter().filter_map(|accept| accept.to_str().ok()).any(|accept| {
        accept.split(',').any(|kind| kind.split(';').next().unwrap_or_default().trim() == OCTETS)
    })
}
