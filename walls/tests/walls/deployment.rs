//! The deployment and the programs tell the same story: variables, images, metrics.

use crate::project::{files, files_with, read, root, sources_below};
use quote::ToTokens as _;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

/// Folders whose programs run in the containers.
const PROGRAMS: [&str; 3] = ["host/src", "storage-node/src", "bridge/src"];
/// What only the command line of a person reads, and what the entrypoint sets from secrets.
const ELSEWHERE: [&str; 18] = [
    "CARGO_HOME",
    "DSM_API_KEY_FILE",
    "DSM_BRIDGE",
    "DSM_BRIDGE_ADMIN_URL",
    "DSM_BRIDGE_EVM_KEY",
    "DSM_BRIDGE_GAS_KEY_FILE",
    "DSM_BRIDGE_ID",
    "DSM_BRIDGE_PASSPHRASE_FILE",
    "DSM_CA_CERT",
    "DSM_DURABILITY",
    "DSM_NODE",
    "DSM_PASSPHRASE_FILE",
    "DSM_WALLET",
    "HOME",
    "NO_COLOR",
    "PATH",
    "SSL_CERT_FILE",
    "XDG_CACHE_HOME",
];
/// Images that are built here.
const IMAGES: [&str; 3] = ["core", "storage", "bridge"];
/// Families that Prometheus makes itself.
const FOREIGN_METRICS: [&str; 2] = ["up", "ALERTS"];

fn text(path: &str) -> String {
    read(&root().join(path))
}

fn is_name(byte: char) -> bool {
    byte.is_ascii_uppercase() || byte.is_ascii_digit() || byte == '_'
}

/// The name at the beginning of a text, if it is one of a variable.
fn name(text: &str) -> Option<String> {
    let name: String = text.chars().take_while(|one| is_name(*one)).collect();
    (!name.is_empty()).then_some(name)
}

/// Variables that programs read: `env = "…"` of their options, and `var("…")`.
fn read_by_programs() -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for folder in PROGRAMS {
        for source in sources_below(folder).values() {
            let tokens = source.to_token_stream().to_string();
            for before in ["env = \"", "var (\"", "var_os (\""] {
                found.extend(tokens.split(before).skip(1).filter_map(name));
            }
        }
    }
    found
}

/// Variables that the compose files take from outside: `${NAME…}`, and names without a value.
fn read_by_compose(text: &str) -> BTreeSet<String> {
    let mut found: BTreeSet<String> = text.split("${").skip(1).filter_map(name).collect();
    let alone = text.lines().filter_map(|line| line.trim().strip_suffix(':'));
    found.extend(alone.filter(|one| !one.is_empty() && one.chars().all(is_name)).map(str::to_owned));
    found
}

#[test]
fn every_variable_is_listed_and_every_listed_one_is_read() {
    let compose = text("compose.yaml") + &text("compose.scale.yaml");
    let programs = read_by_programs();
    let mut wanted = read_by_compose(&compose);
    wanted.extend(programs.iter().cloned());
    wanted.extend(read_by_compose(&text("dockerfiles/entrypoint.sh")));
    let example = text(".env.example");
    let lines = example.lines().filter_map(|line| line.trim_start_matches('#').split_once('='));
    let listed: Vec<&str> = lines.map(|(name, _)| name).filter(|name| name.chars().all(is_name)).collect();
    let set: BTreeSet<String> = listed.iter().map(|name| (*name).to_owned()).collect();
    assert_eq!(set.len(), listed.len(), ".env.example names a variable twice");
    let missing: Vec<_> = wanted.difference(&set).collect();
    let unread: Vec<_> = set.difference(&wanted).collect();
    assert!(
        missing.is_empty() && unread.is_empty(),
        ".env.example lacks {missing:?}; nobody reads {unread:?}"
    );

    let keys = compose.lines().filter_map(|line| line.trim().split_once(':')).map(|(key, _)| key);
    let passed: BTreeSet<&str> = keys.collect();
    let reaches = |name: &&String| passed.contains(name.as_str()) || ELSEWHERE.contains(&name.as_str());
    let lost: Vec<_> = programs.iter().filter(|name| !reaches(name)).collect();
    assert!(lost.is_empty(), "compose.yaml gives {lost:?} to no container: .env could not set them");
}

#[test]
fn images_share_one_build_and_can_be_pinned() {
    let toolchain: toml::Table = text("rust-toolchain.toml").parse().expect("it is TOML");
    let channel = toolchain["toolchain"]["channel"].as_str().expect("it names a channel");
    let series = channel.rsplit_once('.').map_or(channel, |(series, _)| series);
    let rust = format!("RUST_IMAGE=rust:{series}-bookworm");
    assert!(text(".env.example").contains(&rust), ".env.example names another toolchain than {channel}");
    let mut builds = BTreeMap::new();
    for image in IMAGES {
        let file = format!("dockerfiles/{image}.Dockerfile");
        let text = text(&file);
        assert!(
            text.contains(&format!("ARG {rust}\n")),
            "{file} is built with another toolchain than {channel}"
        );
        let (build, own) = text.split_once("\nFROM base\n").expect("each ends in a stage from `base`");
        let build = build.split_once('\n').map(|(_, build)| build.to_owned()).unwrap_or_default();
        builds.insert(build, file.clone());
        let stages: BTreeSet<&str> =
            text.lines().filter_map(|line| line.rsplit_once(" AS ")).map(|it| it.1).collect();
        for from in text.lines().filter_map(|line| line.strip_prefix("FROM ")) {
            let from = from.split(' ').next().unwrap_or_default();
            assert!(from.starts_with("${") || stages.contains(from), "{file}: {from} cannot be pinned");
        }
        assert!(own.contains("HEALTHCHECK ") && own.contains("CMD ["), "{file} has no health check");
        let user = text.lines().rfind(|line| line.starts_with("USER ")).expect("a user is named");
        assert_eq!(user, "USER 10000:10000", "{file} ends as another user");
    }
    assert_eq!(builds.len(), 1, "these Dockerfiles do not build alike: {:?}", builds.values());
}

#[test]
fn the_builder_of_policies_has_the_toolchain_that_their_lock_names() {
    let builder = text("dockerfiles/policy-builder.Dockerfile");
    let lock: toml::Table = text("policies/dist.lock").parse().expect("it is TOML");
    // The package's version begins with the program's: `1.96.0+dfsg1…`, and behind an epoch `1:14.0.6-12`.
    for (argument, tool) in [("RUST_VERSION", "compiler"), ("LLD_VERSION", "linker")] {
        let line = builder.lines().find_map(|line| line.strip_prefix(&format!("ARG {argument}=")));
        let package = line.unwrap_or_else(|| panic!("no ARG {argument} pins the {tool}"));
        let version =
            package.rsplit(':').next().unwrap_or_default().split(['+', '-']).next().unwrap_or_default();
        let named = lock[tool].as_str().expect("a lock names its tools");
        assert!(
            named.split(' ').any(|word| word == version),
            "{argument}={package}, but the lock has {named}"
        );
        assert!(builder.contains(&format!("={{{argument}}}").replace("={", "=${")), "{argument} is not used");
    }
    for from in builder.lines().filter_map(|line| line.strip_prefix("FROM ")) {
        let from = from.split(' ').next().unwrap_or_default();
        let stage = builder.contains(&format!(" AS {from}\n"));
        assert!(from.starts_with("${") || stage || from == "scratch", "{from} cannot be pinned");
    }
}

/// The names of metrics in a query: words that are followed by neither a bracket of a call nor by what makes them a
/// label.
fn metrics(query: &str) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    let mut outside = String::new();
    // Without the matchers in braces and without strings only names, functions and label lists are left.
    let (mut braces, mut quoted) = (0, false);
    for one in query.chars() {
        match one {
            '"' => quoted = !quoted,
            '{' if !quoted => braces += 1,
            '}' if !quoted => braces -= 1,
            _ if !quoted && braces == 0 => outside.push(one),
            _ => {}
        }
    }
    let is_part = |one: char| one.is_ascii_alphanumeric() || one == '_' || one == ':';
    for word in outside.split(|one: char| !is_part(one)) {
        if word.starts_with("dsm") || word.starts_with("process_") || FOREIGN_METRICS.contains(&word) {
            found.insert(word.to_owned());
        }
    }
    found
}

/// Queries of dashboards and rules, with the file that each stands in.
fn queries() -> Vec<(String, String)> {
    let monitoring = Path::new("dockerfiles/monitoring");
    let mut found = Vec::new();
    for path in files().iter().filter(|path| path.starts_with(monitoring)) {
        let (file, text) = (path.display().to_string(), read(&root().join(path)));
        if file.ends_with(".json") {
            let lines = text.lines().filter_map(|line| line.trim().strip_prefix("\"expr\": \""));
            let plain = |line: &str| line.trim_end_matches(',').trim_end_matches('"').replace("\\\"", "\"");
            found.extend(lines.map(|line| (file.clone(), plain(line))));
        } else if file.contains("/rules/") {
            // An expression goes on in lines that are indented deeper than their key.
            let mut depth = None;
            for line in text.lines().filter(|line| !line.trim_start().starts_with('#')) {
                let indent = line.len() - line.trim_start().len();
                if let Some(query) = line.trim_start().strip_prefix("expr:") {
                    depth = Some(indent);
                    found.push((file.clone(), query.to_owned()));
                } else if depth.is_some_and(|depth| indent > depth) {
                    let (_, query) = found.last_mut().expect("an expression has begun");
                    query.push(' ');
                    query.push_str(line.trim());
                } else {
                    depth = None;
                }
            }
        }
    }
    assert!(found.len() > 50, "the queries are not where this test looks: {}", found.len());
    found
}

#[test]
fn every_metric_of_a_dashboard_or_rule_is_shown_by_a_program() {
    let folders = PROGRAMS.into_iter().chain(["sdk/src"]);
    let sources: String = folders
        .flat_map(|folder| {
            sources_below(folder).into_values().map(|source| source.to_token_stream().to_string())
        })
        .collect();
    let records = text("dockerfiles/monitoring/prometheus/rules/levels.yml");
    let recorded: BTreeSet<&str> =
        records.lines().filter_map(|line| line.trim().strip_prefix("- record: ")).collect();
    let shown = |metric: &str| {
        let family = ["_total", "_bucket", "_count", "_sum"];
        let family = family.iter().find_map(|suffix| metric.strip_suffix(suffix)).unwrap_or(metric);
        sources.contains(&format!("\"{family}\""))
            || FOREIGN_METRICS.contains(&metric)
            || recorded.contains(metric)
    };
    for (file, query) in queries() {
        let metrics = metrics(&query);
        assert!(!metrics.is_empty(), "{file}: no metric in {query}");
        for metric in metrics {
            assert!(shown(&metric), "{file}: no program shows {metric} ({query})");
        }
    }
}

#[test]
fn every_alert_and_every_level_has_a_test() {
    let folder = "dockerfiles/monitoring/prometheus";
    let tested = text(&format!("{folder}/tests/alerts.yml"));
    let alerts = text(&format!("{folder}/rules/alerts.yml"));
    let names: Vec<&str> = alerts.lines().filter_map(|line| line.trim().strip_prefix("- alert: ")).collect();
    assert!(names.len() > 10, "the alerts are not where this test looks");
    for name in names {
        assert!(
            tested.contains(&format!("alertname=\"{name}\",alertstate=\"firing\",")),
            "no test lets {name} fire"
        );
        assert!(
            tested.contains(&format!("{name} is silent otherwise")),
            "no test shows where {name} is silent"
        );
    }
    let used = alerts + &text(&format!("{folder}/tests/levels.yml"));
    let levels = text(&format!("{folder}/rules/levels.yml"));
    for name in levels.lines().filter_map(|line| line.trim().strip_prefix("- record: ")) {
        assert!(used.contains(name), "no test and no alert says what {name} is");
    }
}

/// A folder that is removed at the end.
struct Scratch(std::path::PathBuf);

impl Scratch {
    fn new(name: &str) -> Scratch {
        let folder = std::env::temp_dir().join(format!("dsm-walls-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&folder).expect("a temporary directory");
        Scratch(folder)
    }

    fn write(&self, name: &str, text: &str) -> std::path::PathBuf {
        let path = self.0.join(name);
        std::fs::write(&path, text).expect("it was made");
        path
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        std::fs::remove_dir_all(&self.0).expect("it was made");
    }
}

/// What a program says, or `None` with a word about it where it is not installed.
fn said(program: &str, arguments: &[String]) -> Option<(bool, String)> {
    match std::process::Command::new(program).args(arguments).output() {
        Ok(output) => {
            let text = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
            Some((output.status.success(), text.into_owned()))
        }
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            println!("skipped: {program} is not here");
            None
        }
        Err(error) => panic!("{program}: {error}"),
    }
}

#[test]
fn systemd_understands_every_line_of_the_units() {
    let folder = Scratch::new("systemd");
    let units: Vec<_> = files_with("service").collect();
    assert!(units.len() >= 3, "{units:?}");
    let paths: Vec<_> = units
        .iter()
        .map(|unit| {
            // The programs are not installed here; everything else is as it stands.
            let programs =
                ["/usr/local/bin/dsm-storage-node", "/usr/local/bin/dsm-bridge", "/usr/local/bin/dsm"];
            let text = programs
                .iter()
                .fold(read(&root().join(unit)), |text, program| text.replace(program, "/bin/true"));
            // A template is verified as one of its instances.
            let name = unit.file_name().unwrap().to_str().unwrap().replace("@.", "@primary.");
            folder.write(&name, &text).display().to_string()
        })
        .collect();
    let arguments = [vec!["verify".to_owned(), "--man=no".to_owned()], paths].concat();
    if let Some((fine, text)) = said("systemd-analyze", &arguments) {
        let ours: Vec<_> = text.lines().filter(|line| line.contains("dsm")).collect();
        assert!(fine && ours.is_empty(), "{text}");
    }
}

#[test]
fn nginx_takes_the_example_as_it_stands() {
    let folder = Scratch::new("nginx");
    let at = |name: &str| folder.0.join(name).display().to_string();
    let (certificate, key) = (at("dsm.crt"), at("dsm.key"));
    let request = format!(
        "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 1 -subj /CN=test -out {certificate} \
         -keyout {key}"
    );
    let arguments: Vec<String> = request.split_whitespace().map(str::to_owned).collect();
    let Some((made, output)) = said("openssl", &arguments) else { return };
    assert!(made, "{output}");
    let example = text("dockerfiles/nginx.conf").replace("/etc/nginx/dsm.crt", &certificate);
    let example = example.replace("/etc/nginx/dsm.key", &key);
    let example = folder.write("dsm.conf", &example);
    let main = format!(
        "pid {};\nerror_log stderr;\nevents {{}}\nhttp {{ access_log off; include {}; }}\n",
        at("pid"),
        example.display()
    );
    let main = folder.write("nginx.conf", &main);
    for program in ["nginx", "/usr/sbin/nginx"] {
        let arguments = ["-t", "-p", &at(""), "-c", &main.display().to_string()].map(str::to_owned);
        if let Some((fine, text)) = said(program, &arguments) {
            assert!(fine && !text.contains("[warn]"), "{text}");
            return;
        }
    }
}
