//! The audit log under somebody's pen.
#![allow(clippy::unwrap_used)]

use dsm_gateway::{AuditError, Auditor, Told, verify};

fn lines() -> Vec<String> {
    let mut auditor = Auditor::default();
    (0..5u16)
        .map(|n| {
            let told = Told {
                time_ms: 1_800_000_000_000 + u64::from(n),
                request: format!("r{n}"),
                client: "key:bank".to_owned(),
                method: "POST".to_owned(),
                path: "/v1/transitions".to_owned(),
                status: 200 + n,
                code: (n == 3).then(|| "policy_denied".to_owned()),
                times: if n == 2 { 40 } else { 1 },
            };
            auditor.line(told).trim_end().to_owned()
        })
        .collect()
}

#[test]
fn each_kind_of_edit_is_named() {
    let edit = |line: usize, from: &str, to: &str| {
        let mut edited = lines();
        assert!(edited[line].contains(from));
        edited[line] = edited[line].replace(from, to);
        edited
    };
    let without =
        |line: usize| lines().into_iter().enumerate().filter(|(n, _)| *n != line).map(|(_, l)| l).collect();
    let swapped = {
        let mut lines = lines();
        lines.swap(1, 2);
        lines
    };
    let doubled = {
        let mut lines = lines();
        lines.insert(2, lines[1].clone());
        lines
    };
    let rows: Vec<(&str, Vec<String>, u64, &str)> = vec![
        ("a status", edit(2, "\"status\":202", "\"status\":200"), 3, "edited"),
        ("a client", edit(0, "key:bank", "key:mint"), 1, "edited"),
        ("a code taken out", edit(3, ",\"code\":\"policy_denied\"", ""), 4, "edited"),
        ("how many", edit(2, "\"times\":40", "\"times\":4"), 3, "edited"),
        ("a number", edit(4, "\"sequence\":5", "\"sequence\":6"), 5, "edited"),
        ("a space", edit(1, "\"told\":", "\"told\": "), 2, "broken"),
        ("a line removed", without(1), 2, "broken"),
        ("the first line removed", without(0), 1, "broken"),
        ("two lines swapped", swapped, 2, "broken"),
        ("a line twice", doubled, 3, "broken"),
        ("rubbish", edit(2, "{", "["), 3, "malformed"),
    ];
    for (name, lines, at, kind) in rows {
        let found = verify(lines.iter().map(String::as_str)).unwrap_err();
        let (line, word) = match &found {
            AuditError::Malformed { line, .. } => (*line, "malformed"),
            AuditError::Edited { line, .. } => (*line, "edited"),
            AuditError::Broken { line, .. } => (*line, "broken"),
        };
        assert_eq!((line, word), (at, kind), "{name}: {found}");
    }
}

#[test]
fn a_log_that_holds_is_continued() {
    let lines = lines();
    let mut continued = verify(lines.iter().map(String::as_str)).unwrap();
    assert_eq!(continued.sequence(), 5);
    assert_eq!(Auditor::after(lines.last().unwrap()).unwrap(), continued);
    assert!(Auditor::after(&lines[4].replace("bank", "mint")).is_err());
    let told = Told {
        time_ms: 0,
        request: String::new(),
        client: String::new(),
        method: String::new(),
        path: String::new(),
        status: 0,
        code: None,
        times: 1,
    };
    let next = continued.line(told);
    let all = lines.iter().map(String::as_str).chain([next.trim_end()]);
    assert_eq!(verify(all).unwrap(), continued);
}
