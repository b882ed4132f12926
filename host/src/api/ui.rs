//! The node's own page at `/ui`: what an operator looks at, and an explorer of chains, tokens and policies. Its files
//! are part of the binary and it asks nothing but this API, so it works where no other network is.

use super::Api;
use super::problem::Failure;
use axum::Router;
use axum::extract::Path;
use axum::http::header;
use axum::response::{IntoResponse, Redirect, Response};
use axum::routing::get;

const SCRIPT: &str = "text/javascript; charset=utf-8";
/// Scripts and styles of this server alone; names and memos in the chains come from strangers.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src data:; \
                      form-action 'self'; base-uri 'none'; frame-ancestors 'none'";

/// Name, media type and content of each file.
const FILES: &[(&str, &str, &str)] = &[
    ("api.js", SCRIPT, include_str!("ui/api.js")),
    ("dom.js", SCRIPT, include_str!("ui/dom.js")),
    ("node.js", SCRIPT, include_str!("ui/node.js")),
    ("pages.js", SCRIPT, include_str!("ui/pages.js")),
    ("ui.css", "text/css; charset=utf-8", include_str!("ui/ui.css")),
    ("ui.js", SCRIPT, include_str!("ui/ui.js")),
];

/// The routes of the page.
pub(super) fn router() -> Router<Api> {
    Router::new()
        // What people type.
        .route("/", get(|| async { Redirect::to("/ui") }))
        .route("/ui/", get(|| async { Redirect::to("/ui") }))
        .route("/ui", get(|| async { file("text/html; charset=utf-8", include_str!("ui/index.html")) }))
        .route(
            "/ui/{file}",
            get(|Path(name): Path<String>| async move {
                match FILES.iter().find(|(found, ..)| *found == name) {
                    Some((_, kind, content)) => file(kind, content),
                    None => Failure::not_found("file of the page").into_response(),
                }
            }),
        )
}

fn file(kind: &'static str, content: &'static str) -> Response {
    let headers = [
        (header::CONTENT_TYPE, kind),
        (header::CONTENT_SECURITY_POLICY, POLICY),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::REFERRER_POLICY, "no-referrer"),
        // A new version of the node brings a new page.
        (header::CACHE_CONTROL, "no-cache"),
    ];
    (headers, content).into_response()
}
