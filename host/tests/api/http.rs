//! HTTP/1.1 by hand, so that a test can send what no client library would.

use dsm_sdk::api::{PROBLEM_TYPE_PREFIX, Problem};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

pub(crate) const OCTETS: &str = "application/octet-stream";
pub(crate) const JSON: &str = "application/json";

/// An answer, read to its end.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) kind: String,
    pub(crate) body: Vec<u8>,
}

impl Answer {
    pub(crate) fn json<T: serde::de::DeserializeOwned>(&self) -> T {
        let shown = String::from_utf8_lossy(&self.body);
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {shown}"))
    }

    /// The problem document, after checking what all of them have in common.
    pub(crate) fn problem(&self, what: &str) -> Problem {
        let shown = String::from_utf8_lossy(&self.body);
        assert!(self.status >= 400, "{what}: {} {shown}", self.status);
        assert_eq!(self.kind, "application/problem+json", "{what}: {} {shown}", self.status);
        let problem: Problem = self.json();
        assert_eq!(problem.status, self.status, "{what}");
        assert_eq!(problem.problem_type, format!("{PROBLEM_TYPE_PREFIX}{}", problem.code), "{what}");
        assert!(!problem.title.is_empty() && !problem.detail.is_empty(), "{what}: {problem:?}");
        problem
    }

    pub(crate) fn refused(&self, what: &str, status: u16, code: &str) -> Problem {
        let problem = self.problem(what);
        assert_eq!((problem.status, problem.code.as_str()), (status, code), "{what}: {problem:?}");
        problem
    }
}

pub(crate) fn connect(address: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(address).unwrap();
    // Against hanging only.
    stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
    stream.set_write_timeout(Some(Duration::from_secs(60))).unwrap();
    stream
}

/// The first lines of a request whose connection ends with the answer.
pub(crate) fn head(method: &str, path: &str, headers: &[(&str, &str)]) -> String {
    let mut head = format!("{method} {path} HTTP/1.1\r\nhost: dsm\r\nconnection: close\r\n");
    for (name, value) in headers {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    head + "\r\n"
}

/// One request on a connection of its own.
pub(crate) fn ask(
    address: SocketAddr,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: &[u8],
) -> Answer {
    let length = body.len().to_string();
    let mut headers = headers.to_vec();
    if method == "POST" {
        headers.push(("content-length", &length));
    }
    let mut request = head(method, path, &headers).into_bytes();
    request.extend_from_slice(body);
    send(address, &request)
}

/// Sends these bytes and reads the answer to its end.
pub(crate) fn send(address: SocketAddr, request: &[u8]) -> Answer {
    let mut stream = connect(address);
    stream.write_all(request).unwrap();
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes).unwrap();
    let end = bytes.windows(4).position(|end| end == b"\r\n\r\n").expect("the head of an answer") + 4;
    let head = String::from_utf8(bytes[..end].to_vec()).unwrap().to_lowercase();
    let field = |name: &str| {
        let value = head.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "));
        value.map(str::to_owned)
    };
    let body = bytes.split_off(end);
    let length = field("content-length").expect("answers state their length");
    assert_eq!(body.len(), length.parse::<usize>().unwrap());
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    Answer { status, kind: field("content-type").unwrap_or_default(), body }
}
