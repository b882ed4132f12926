//! The audit log under requests, floods, crashes and somebody's pen.

use crate::server::{Server, bank, reader, root, rules};
use dsm_gateway::{AuditError, Auditor, Entry, Limits, verify};
use dsm_host::api::Audit;
use std::path::Path;

fn entries(path: &Path) -> Vec<Entry> {
    let text = std::fs::read_to_string(path).unwrap();
    verify(text.lines()).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn what_changes_or_is_refused_is_written_down_and_a_flood_is_summed_up() {
    let server = Server::new(rules(Limits::default()));
    let (reader, bank, root) = (reader().text, bank().text, root().text);
    server.get("/v1/status", &[("x-api-key", &reader)]);
    server.get("/v1/health", &[]);
    server.ask("POST", "/v1/checkpoints", &[("x-api-key", &root), ("x-request-id", "the-checkpoint")]);
    server.ask("POST", "/v1/checkpoints", &[("x-api-key", &bank)]);
    for _ in 0..200 {
        server.get("/v1/status", &[]);
    }
    let audit = server.access.audit().unwrap().clone();
    audit.close();
    let entries = entries(&server.log);
    let (first, second) = (&entries[0].told, &entries[1].told);
    assert_eq!(
        (first.client.as_str(), first.status, first.path.as_str()),
        ("key:root", 200, "/v1/checkpoints")
    );
    assert_eq!(first.request, "the-checkpoint");
    assert_eq!(
        (second.client.as_str(), second.status, second.code.as_deref()),
        ("key:bank", 403, Some("scope_missing"))
    );
    let flood: Vec<_> = entries[2..].iter().map(|entry| &entry.told).collect();
    assert!(flood.iter().all(|told| told.status == 401 && told.client == "address:127.0.0.1"), "{flood:?}");
    assert_eq!(flood.iter().map(|told| told.times).sum::<u64>(), 200, "every one is counted");
    assert!(flood.len() < 200, "and they are summed up");
    let view = audit.view();
    assert_eq!((view.entries, view.dropped), (entries.len() as u64, 0));
    assert_eq!(Some(&view.last), entries.last().map(|entry| &entry.hash));
    let line = std::fs::read_to_string(&server.log).unwrap();
    assert!(!line.contains(&bank) && !line.contains(&root), "no credential stands in the log");
}

#[test]
fn o1_a_line_torn_by_a_crash_is_cut_and_said() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("audit.log");
    let server = Server::new(rules(Limits::default()));
    server.ask("POST", "/v1/checkpoints", &[("x-api-key", &root().text)]);
    server.access.audit().unwrap().close();
    let whole = std::fs::read(&server.log).unwrap();
    for cut in [1, whole.len() / 2, whole.len() - 1] {
        let mut torn = whole.clone();
        torn.extend_from_slice(&whole[..cut]);
        std::fs::write(&path, &torn).unwrap();
        Audit::open(&path).unwrap().close();
        let entries = entries(&path);
        assert_eq!(entries.len(), 2, "cut at {cut}");
        assert_eq!(entries[1].told.code.as_deref(), Some("audit_torn_line_cut"));
        assert_eq!(entries[1].told.times, cut as u64);
    }
    std::fs::write(&path, &whole[..whole.len() - 1]).unwrap();
    Audit::open(&path).unwrap().close();
    assert_eq!(entries(&path).len(), 1, "the first line itself was torn");
}

#[test]
fn a_log_whose_end_somebody_wrote_is_not_continued() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("audit.log");
    for text in
        ["rubbish\n".to_owned(), "{}\n".to_owned(), format!("{}\n", "x".repeat(100_000)), "x".repeat(100_000)]
    {
        std::fs::write(&path, &text).unwrap();
        let error = Audit::open(&path).unwrap_err();
        assert_eq!(error.code(), "audit_damaged", "{error}");
        assert_eq!(std::fs::read_to_string(&path).unwrap(), text, "nothing of it is touched");
    }
    std::fs::write(&path, "").unwrap();
    let audit = Audit::open(&path).unwrap();
    assert_eq!(audit.view().last, Auditor::default().last());
    assert_eq!(
        verify(["{}"]).map_err(|error| matches!(error, AuditError::Malformed { line: 1, .. })),
        Err(true)
    );
}
