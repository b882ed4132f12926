//! One setting in four layers, and everything that a file may get wrong.
#![allow(clippy::unwrap_used)]

use clap::{Arg, ArgAction, Command, value_parser};
use dsm_settings::{Origin, SettingsError, SettingsFile, Watched, in_force};
use std::path::PathBuf;

/// Only this process's tests know the variable, and it is never set while they run.
const ABSENT: &str = "DSM_SETTINGS_TEST_ABSENT";

fn command() -> Command {
    let number = value_parser!(u32);
    Command::new("node")
        .arg(Arg::new("size").long("policy-cache-size").default_value("1000").value_parser(number))
        .arg(Arg::new("ttl").long("policy-ttl").env(ABSENT).value_parser(number).help("How long"))
        // Cargo sets this one for every test.
        .arg(Arg::new("package").long("package").env("CARGO_PKG_NAME").default_value("none"))
        .arg(Arg::new("peer").long("peer").action(ArgAction::Append).value_delimiter(','))
        .arg(Arg::new("quiet").long("quiet").action(ArgAction::SetTrue))
}

fn file(text: &str) -> (tempfile::TempDir, SettingsFile) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("node.toml");
    std::fs::write(&path, text).unwrap();
    let file = SettingsFile::read(&path).unwrap();
    (folder, file)
}

/// The value and origin of each setting, with this file and these flags.
fn resolved(text: &str, flags: &[&str]) -> Vec<(String, Option<String>, Origin)> {
    let (_folder, file) = file(text);
    let command = file.under(command()).unwrap();
    let matches = command.clone().get_matches_from([&["node"], flags].concat());
    let settings = in_force(&command, &matches, Some(&file));
    settings.into_iter().map(|setting| (setting.name, setting.value, setting.origin)).collect()
}

#[test]
fn flags_stand_over_the_environment_over_the_file_over_the_defaults() {
    use Origin::{Default, Environment, File, Flag};
    type Row<'a> = (&'a str, &'a [&'a str], &'a str, Option<&'a str>, Origin);
    let rows: &[Row<'_>] = &[
        ("", &[], "policy-cache-size", Some("1000"), Default),
        ("", &[], "policy-ttl", None, Default),
        ("policy_cache_size = 2000", &[], "policy-cache-size", Some("2000"), File),
        ("policy_cache_size = \"2000\"", &[], "policy-cache-size", Some("2000"), File),
        ("policy-cache-size = 2000", &[], "policy-cache-size", Some("2000"), File),
        ("policy_ttl = 7200", &[], "policy-ttl", Some("7200"), File),
        ("policy_ttl = 7200", &["--policy-ttl", "1"], "policy-ttl", Some("1"), Flag),
        ("", &[], "package", Some("dsm-settings"), Environment),
        ("package = \"file\"", &[], "package", Some("dsm-settings"), Environment),
        ("package = \"file\"", &["--package=flag"], "package", Some("flag"), Flag),
        ("peer = [\"a\", \"b\"]", &[], "peer", Some("a,b"), File),
        ("peer = [\"a\", \"b\"]", &["--peer=c"], "peer", Some("c"), Flag),
        ("quiet = true", &[], "quiet", Some("true"), File),
        ("", &["--quiet"], "quiet", Some("true"), Flag),
    ];
    for (text, flags, name, value, origin) in rows {
        let found = resolved(text, flags).into_iter().find(|(found, ..)| found == name).unwrap();
        assert_eq!(found, ((*name).to_owned(), value.map(str::to_owned), *origin), "{text:?} {flags:?}");
    }
}

#[test]
fn o12_a_file_that_says_something_wrong_is_refused_by_name() {
    let rows = [
        (
            "policy_cash_size = 1",
            "unknown_setting",
            "policy-cash-size is no setting; there is policy-cache-size",
        ),
        ("policy_cache_sizes = 1", "unknown_setting", "there is policy-cache-size"),
        ("policy_ttl = 1.5", "settings_no_value", "policy_ttl must be"),
        ("policy_ttl = 1979-05-27", "settings_no_value", "policy_ttl must be"),
        ("[policy_ttl]\nseconds = 1", "settings_no_value", "policy_ttl must be"),
        ("peer = [[\"a\"]]", "settings_no_value", "peer must be"),
        ("policy_ttl = [1, 2]", "settings_no_value", "policy-ttl must be"),
    ];
    for (text, code, words) in rows {
        let error = file(text).1.under(command()).unwrap_err();
        assert_eq!(error.code(), code, "{text}");
        assert!(error.to_string().contains(words), "{text}: {error}");
    }
    let (_folder, of_a_wrong_type) = file("policy_ttl = \"soon\"");
    let refused = of_a_wrong_type.under(command()).unwrap().try_get_matches_from(["node"]).unwrap_err();
    assert!(refused.to_string().contains("soon"), "the flag's own words: {refused}");
    let folder = tempfile::tempdir().unwrap();
    for (name, text, code) in [
        ("malformed", "a = = b".to_owned(), "settings_malformed"),
        ("long", "#".repeat(70_000), "settings_too_long"),
    ] {
        let path = folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        assert_eq!(SettingsFile::read(&path).unwrap_err().code(), code);
    }
    assert!(
        matches!(SettingsFile::read(folder.path()), Err(SettingsError::Io { .. })),
        "a folder is no file"
    );
}

#[test]
fn what_is_set_is_kept_with_the_comments_around_it() {
    let folder = tempfile::tempdir().unwrap();
    let path: PathBuf = folder.path().join("new/node.toml");
    let mut file = SettingsFile::read(&path).unwrap();
    file.set(&command(), "policy-cache-size", &["2000".into()]).unwrap();
    file.write().unwrap();
    let before = std::fs::read_to_string(&path).unwrap();
    std::fs::write(&path, format!("# why\n{before}# end\n")).unwrap();
    let mut file = SettingsFile::read(&path).unwrap();
    file.set(&command(), "policy_cache_size", &["3000".into()]).unwrap();
    file.set(&command(), "peer", &["a".into(), "b".into()]).unwrap();
    file.write().unwrap();
    let after = std::fs::read_to_string(&path).unwrap();
    assert!(after.starts_with("# why\npolicy_cache_size = \"3000\"\n") && after.contains("# end"), "{after}");
    let command_with_file = SettingsFile::read(&path).unwrap().under(command()).unwrap();
    let matches = command_with_file.get_matches_from(["node"]);
    assert_eq!(matches.get_one::<u32>("size"), Some(&3000));
    assert_eq!(matches.get_many::<String>("peer").unwrap().count(), 2);
    assert!(file.set(&command(), "nonsense", &["1".into()]).is_err());
}

#[test]
fn a_file_is_another_one_after_every_change_and_only_then() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("node.toml");
    let mut watched = Watched::new(path.clone());
    assert!(watched.is_other(), "nobody has looked yet");
    assert!(!watched.is_other(), "it does not exist, as before");
    // Each as long as the one before it, and written as fast as the disk takes them.
    for size in 1000..1050 {
        let mut file = SettingsFile::read(&path).unwrap();
        file.set(&command(), "policy-cache-size", &[size.to_string()]).unwrap();
        file.write().unwrap();
        assert!(watched.is_other(), "{size}");
        assert!(!watched.is_other(), "{size}");
    }
    std::fs::remove_file(&path).unwrap();
    assert!(watched.is_other());
}
