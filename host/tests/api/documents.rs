//! The documents that the API gives about itself: OpenAPI and the metrics.

use crate::http::ask;
use crate::server::Server;
use crate::world::sign;
use dsm_sdk::api::Problem;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};

const NOBODY: &str = "7777777777777777777777777777777777777777777777777777777777777777";

fn keys<T: serde::Serialize>(sample: &T) -> BTreeSet<String> {
    let Value::Object(sample) = serde_json::to_value(sample).unwrap() else { panic!("an object") };
    sample.keys().cloned().collect()
}

fn required(document: &Value, name: &str) -> BTreeSet<String> {
    let required = document["components"]["schemas"][name]["required"].as_array().expect(name);
    required.iter().map(|field| field.as_str().unwrap().to_owned()).collect()
}

#[test]
fn every_path_and_method_of_the_openapi_document_is_served() {
    let server = Server::new();
    let document: Value = serde_json::from_str(&server.client().openapi().unwrap()).unwrap();
    assert!(document["openapi"].as_str().unwrap().starts_with("3.1."));
    let paths = document["paths"].as_object().unwrap();
    assert!(paths.len() > 20);
    for (path, methods) in paths {
        let concrete = path
            .replace("{id}", NOBODY)
            .replace("{token}", NOBODY)
            .replace("{index}", "0")
            .replace("{nonce}", "0");
        assert!(!concrete.contains('{'), "{path}");
        for (method, described) in methods.as_object().unwrap() {
            assert!(described["operationId"].is_string() && described["responses"]["200"].is_object());
            if path == "/v1/events" {
                // The stream has no end; a refusal of it has.
                let answer = server.get("/v1/events?from=x");
                answer.refused(path, 400, "malformed_request");
                continue;
            }
            if path == "/v1/backup" {
                // A stream, too, whose length nobody knows before its end.
                let backup = dsm_host::node::backup::verify(server.client().backup().unwrap()).unwrap();
                assert_eq!((backup.first, backup.head), (1, server.client().status().unwrap().position));
                continue;
            }
            let answer = ask(server.address, &method.to_uppercase(), &concrete, &[], b"");
            if answer.status >= 400 {
                let problem = answer.problem(path);
                assert!(!["unknown_route", "method_not_allowed"].contains(&problem.code.as_str()), "{path}");
                assert!(answer.status < 500, "{path}: {problem}");
            }
        }
    }
}

#[test]
fn schemas_require_what_the_faces_always_have() {
    let server = Server::new();
    let document: Value = serde_json::from_str(&server.client().openapi().unwrap()).unwrap();
    let receipt = server.client().submit(&sign(server.world.transfer(10), &[&server.world.alice])).unwrap();
    assert_eq!(required(&document, "Receipt"), keys(&receipt));
    let token = server.client().token(&server.world.token).unwrap();
    assert_eq!(required(&document, "TokenInfo"), keys(&token));
    assert_eq!(required(&document, "Problem"), keys(&Problem::new(404, "Not Found", "not_found", "none")));
    // Every reference leads somewhere.
    let text = document.to_string();
    let schemas = document["components"]["schemas"].as_object().unwrap();
    let referenced: BTreeSet<_> =
        text.split("#/components/schemas/").skip(1).map(|rest| rest.split('"').next().unwrap()).collect();
    assert!(referenced.len() > 20);
    assert!(referenced.iter().all(|name| schemas.contains_key(*name)), "{referenced:?}");
}

/// The samples of an OpenMetrics page by name and labels, after checking its form.
fn samples(page: &str) -> BTreeMap<String, f64> {
    let page = page.strip_suffix("# EOF\n").expect("the page ends with its end");
    let (mut family, mut kind, mut seen) = (String::new(), String::new(), BTreeSet::new());
    let mut samples = BTreeMap::new();
    for line in page.lines() {
        if let Some(rest) = line.strip_prefix("# TYPE ") {
            let (name, stated) = rest.split_once(' ').unwrap();
            assert!(seen.insert(name.to_owned()), "{name} is one family");
            (family, kind) = (name.to_owned(), stated.to_owned());
            continue;
        }
        if let Some(rest) = line.strip_prefix("# HELP ") {
            assert!(rest.starts_with(&format!("{family} ")), "{line}");
            continue;
        }
        let (sample, value) = line.rsplit_once(' ').expect(line);
        let (name, labels) = sample
            .split_once('{')
            .map_or((sample, None), |(name, rest)| (name, Some(rest.strip_suffix('}').expect(line))));
        assert!(name.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_'), "{line}");
        for label in labels.into_iter().flat_map(|labels| labels.split(',')) {
            let (key, value) = label.split_once('=').expect(line);
            assert!(
                !key.is_empty() && value.len() > 2 && value.starts_with('"') && value.ends_with('"'),
                "{line}"
            );
        }
        let suffix = name.strip_prefix(&family).expect(line);
        let allowed: &[&str] = match kind.as_str() {
            "counter" => &["_total"],
            "gauge" => &[""],
            "histogram" => &["_bucket", "_count", "_sum"],
            other => panic!("{other}"),
        };
        assert!(allowed.contains(&suffix), "{line}");
        let value: f64 = value.parse().expect(line);
        assert!(value >= 0.0 && value.is_finite(), "{line}");
        assert!(samples.insert(sample.to_owned(), value).is_none(), "{line} stands twice");
    }
    samples
}

#[test]
fn metrics_are_openmetrics_and_count_what_happens() {
    let server = Server::new();
    let client = server.client();
    let before = samples(&client.metrics().unwrap());
    client.submit(&sign(server.world.transfer(10), &[&server.world.alice])).unwrap();
    client.submit_bytes(b"no transition").unwrap_err();
    let after = samples(&client.metrics().unwrap());
    assert!(before.keys().eq(after.keys()));
    let grown = |name: &str| after[name] - before[name];
    for (name, by) in [
        ("dsm_transitions_total{outcome=\"submitted\"}", 2.0),
        ("dsm_transitions_total{outcome=\"accepted\"}", 1.0),
        ("dsm_transitions_total{outcome=\"not_admitted\"}", 1.0),
        ("dsm_operations_total{kind=\"transfer\"}", 1.0),
        ("dsm_operations_total{kind=\"mint\"}", 0.0),
        ("dsm_policy_verdicts_total{outcome=\"accept\"}", 1.0),
        ("dsm_policy_verdicts_total{outcome=\"reject\"}", 0.0),
        ("dsm_policy_verdicts_by_policy_total{policy=\"other\",outcome=\"accept\"}", 0.0),
        ("dsm_log_position", 1.0),
        ("dsm_receipt_seconds_count", 1.0),
        ("dsm_http_requests_total{status=\"2xx\"}", 2.0),
        ("dsm_http_requests_total{status=\"4xx\"}", 1.0),
        ("dsm_http_request_seconds_bucket{le=\"+Inf\"}", 3.0),
    ] {
        assert_eq!(grown(name), by, "{name}");
    }
    for name in ["dsm_policy_evaluations_total", "dsm_policy_fuel_total", "dsm_log_bytes_total"] {
        assert!(grown(name) > 0.0, "{name}");
    }
    assert_eq!(after["dsm_ready"], 1.0);
    // A histogram's buckets only rise, and the last holds everything.
    for family in ["dsm_verify_seconds", "dsm_fsync_seconds", "dsm_http_request_seconds"] {
        assert_eq!(after[&format!("{family}_bucket{{le=\"+Inf\"}}")], after[&format!("{family}_count")]);
    }
}
