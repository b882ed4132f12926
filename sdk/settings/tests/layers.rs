//! One setting in four layers, and everything that a file may get wrong.
#![allow(clippy::unwrap_used)]

use clap::{Arg, ArgAction, Command, value_parser};
use dsm_settings::{
    AddressError, Answer, ConfigVerb, Origin, RestingError, Service, SettingsError, SettingsFile, Watched,
    addresses, in_force, read_words,
};
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
    let settings = in_force(&command, &[], &matches, Some(&file));
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

/// A service with the settings above.
#[derive(Debug)]
struct Mill;

impl Service for Mill {
    const RUN: &'static str = "mill run";
    const NOUN: &'static str = "mill";
    const FILE: &'static str = "mill.toml";
    const EXAMPLE: (&'static str, &'static str) = ("policy-ttl", "60");
    const LIVE: &'static [&'static str] = &["policy-ttl", "package", "peer"];

    fn command() -> Command {
        let path = value_parser!(PathBuf);
        command()
            .name("run")
            .arg(Arg::new("config").long("config").value_parser(path.clone()).help("A file"))
            .arg(Arg::new("data").long("data").default_value("mill").value_parser(path).help("A folder"))
    }
}

/// What a verb answers: as people read it, and as programs do.
fn answer(words: &[&str]) -> Result<(String, serde_json::Value), RestingError> {
    let command = <ConfigVerb<Mill> as clap::Subcommand>::augment_subcommands(Command::new("config"));
    let matches = command.try_get_matches_from([&["config"], words].concat())?;
    let verb = <ConfigVerb<Mill> as clap::FromArgMatches>::from_arg_matches(&matches)?;
    let answer: Answer = verb.run(|_| Ok::<(), RestingError>(()))?;
    Ok((answer.text(), serde_json::to_value(&answer).unwrap()))
}

#[test]
fn what_is_set_is_said_with_when_it_is_in_force_and_shown_with_where_it_came_from() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().to_str().unwrap();
    let file = format!("{data}/mill.toml");
    let rows = [
        ("--policy-ttl=60", "policy-ttl: nothing -> 60, in force at once"),
        ("--policy-ttl=61", "policy-ttl: 60 -> 61, in force at once"),
        ("--policy-cache-size=5", "policy-cache-size: 1000 -> 5, in force from the next start on"),
        ("--package=x", "package: dsm-settings -> x, not in force: CARGO_PKG_NAME stands over the file"),
        ("--quiet", "quiet: false -> true, in force from the next start on"),
        ("--peer=a,b", "peer: nothing -> a,b, in force at once"),
    ];
    for (flag, line) in rows {
        let (text, value) = answer(&["set", "--data", data, flag]).unwrap();
        assert_eq!(text, format!("{line}\nkept in {file}"));
        let live = value["changed"][0]["live"].as_bool().unwrap();
        assert_eq!(live, line.ends_with("at once"), "{value}");
    }
    let (text, value) = answer(&["show", "--data", data, "--origin"]).unwrap();
    let origin = |name: &str, value: &str, from: &str| format!("{name:17}  {value:12}  {from}");
    let lines = [
        origin("setting", "value", "from"),
        origin("policy-cache-size", "5", &file),
        origin("policy-ttl", "61", &file),
        origin("package", "dsm-settings", "CARGO_PKG_NAME"),
        origin("peer", "a,b", &file),
        origin("quiet", "true", &file),
        origin("config", "", "default"),
        origin("data", "mill", "default"),
    ];
    assert_eq!(text, lines.join("\n"));
    let one = serde_json::json!({ "name": "policy-ttl", "value": "61", "origin": "file", "environment": ABSENT, "live": true, "help": "How long" });
    assert_eq!((&value["file"], &value["settings"][1]), (&file.clone().into(), &one));
    let (text, _) = answer(&["show", "--config", &file]).unwrap();
    assert!(text.starts_with("setting            value\npolicy-cache-size  5\n"), "{text}");
    // Bytes in a file steer no terminal.
    std::fs::write(&file, "peer = \"\\u001b[2J\"\n").unwrap();
    assert!(answer(&["show", "--data", data]).unwrap().0.contains("\\u{1b}[2J"));
}

#[test]
fn o12_what_cannot_be_set_or_read_is_refused_with_a_way_out_and_changes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().to_str().unwrap();
    let file = folder.path().join("mill.toml");
    let rows = [
        ("", "", "usage", "name settings by their flags, such as --policy-ttl=60"),
        ("", "--policy-ttl=soon", "usage", ""),
        ("", "--policy-tll=3", "usage", ""),
        (
            "policy_tll = 3",
            "--policy-ttl=3",
            "unknown_setting",
            "`mill run --help` lists the settings; in the file they have _ for -",
        ),
        (
            "policy_ttl = 1.5",
            "--policy-ttl=3",
            "settings_no_value",
            "the file has lines such as policy_ttl = 60",
        ),
        (
            "policy_ttl = = 1",
            "--policy-ttl=3",
            "settings_malformed",
            "the file has lines such as policy_ttl = 60",
        ),
        ("policy_cache_size = \"many\"", "--policy-ttl=3", "usage", ""),
    ];
    for (text, flag, code, help) in rows {
        std::fs::write(&file, text).unwrap();
        let words = ["set", "--data", data, flag];
        let error = answer(&words[..if flag.is_empty() { 3 } else { 4 }]).unwrap_err();
        assert_eq!(
            (error.code(), error.help::<Mill>().unwrap_or_default().as_str()),
            (code, help),
            "{text} {flag}"
        );
        assert_eq!(std::fs::read_to_string(&file).unwrap(), text, "{flag}");
    }
    // Where the file is cannot stand in it.
    std::fs::write(&file, "data = \"elsewhere\"").unwrap();
    let words = ["mill", "run", "--data", data].map(std::ffi::OsString::from);
    let program = || Command::new("mill").subcommand(Mill::command());
    match read_words::<Mill>(program(), &words) {
        Err(dsm_settings::Misread::File(error)) => assert_eq!(error.code(), "settings_place"),
        other => panic!("{other:?}"),
    }
    std::fs::write(&file, "policy_ttl = 9").unwrap();
    let (_, layers) = read_words::<Mill>(program(), &words).unwrap();
    let layers = layers.unwrap();
    let ttl = layers.settings.iter().find(|one| one.name == "policy-ttl").unwrap();
    assert_eq!(
        (layers.file, ttl.value.as_deref(), ttl.origin, ttl.live),
        (file, Some("9"), Origin::File, true)
    );
}

#[test]
fn the_help_of_the_verbs_names_what_is_live_and_where_the_file_is() {
    let command = <ConfigVerb<Mill> as clap::Subcommand>::augment_subcommands(Command::new("config"));
    let mut command = command;
    let about = |command: &mut Command, name: &str| {
        command.find_subcommand_mut(name).unwrap().render_help().to_string()
    };
    let (show, set) = (about(&mut command, "show"), about(&mut command, "set"));
    assert!(
        show.starts_with("Show what a mill that starts now takes up, from its file and this environment\n"),
        "{show}"
    );
    let words = "Change settings in the file. A running mill takes up --policy-ttl, --package and --peer at once, the others when it starts again\n";
    assert!(set.starts_with(words), "{set}");
    for help in [show, set] {
        assert!(help.contains("The file of settings [default: mill.toml in the data directory]"), "{help}");
        assert!(help.contains("The data directory") && !help.contains("A folder"), "{help}");
    }
}

#[test]
fn o12_an_address_is_host_and_port_or_refused_in_words() {
    for good in ["127.0.0.1:0", "0.0.0.0:8766", "[::1]:1"] {
        assert_eq!(addresses(good).unwrap().iter().map(ToString::to_string).collect::<Vec<_>>(), [good]);
    }
    for wrong in [
        "",
        "nowhere",
        "127.0.0.1",
        ":",
        "127.0.0.1:",
        "127.0.0.1:99999",
        "127.0.0.1:-1",
        "127.0.0.1:http",
        "::1:x",
    ] {
        let said = addresses(wrong).unwrap_err().to_string();
        assert!(said.starts_with(&format!("{wrong:?} is not an address: ")), "{said}");
    }
    assert_eq!(AddressError::help("[::1]:1"), "give HOST:PORT, such as [::1]:1; port 0 picks a free one");
}
