//! `dsm config`: the settings of a running node, shown and changed; and how `dsm node` comes to its settings.
//!
//! The flags of `dsm node` are the list of settings. Defaults stand under the file, the file under the environment, the
//! environment under the flags. What `config set` changes stands in the file from then on, and in force at once where
//! the node can do that.

use super::door::{LIVE, rules};
use super::failure::{Exit, Failure};
use super::node::RunArgs;
use super::session::Session;
use super::show::{Show, table};
use clap::{ArgMatches, Args as _, Command, FromArgMatches as _};
use dsm_gateway::ApiKey;
use dsm_host::api::{Access, Settings, SettingsRefused};
use dsm_host::node::Node;
use dsm_logs::Logs;
use dsm_sdk::api::{ChangedSetting, ChangedSettings, ConfigRequest, ConfigView, SettingOrigin, SettingView};
use dsm_settings::{Changes, Origin, Service, Setting, SettingsError, SettingsFile, bare, in_force};
use parking_lot::Mutex;
use serde::Serialize;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// What is done with settings.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum ConfigVerb {
    /// Show the settings in force
    Show {
        /// Tell where each value came from
        #[arg(long)]
        origin: bool,
        #[command(flatten)]
        place: Place,
    },
    /// Change settings for good, and at once where the node can do that
    Set {
        #[command(flatten)]
        changes: Changes<Flags>,
        #[command(flatten)]
        place: Place,
    },
    /// Have the node read its API keys and its secret again
    Reload,
}

/// Where the file of a node is that is not running.
#[derive(Debug, clap::Args)]
pub(crate) struct Place {
    /// Of a node that is not running: its file, and what the environment says over it
    #[arg(long)]
    offline: bool,
    /// The data directory
    #[arg(long, value_name = "DIR", env = "DSM_DATA", default_value = "data")]
    data: PathBuf,
    /// The file of settings [default: node.toml in the data directory]
    #[arg(long, value_name = "FILE", env = "DSM_CONFIG")]
    config: Option<PathBuf>,
}

impl Place {
    fn file(&self) -> PathBuf {
        file_of(&self.data, self.config.as_deref())
    }
}

/// The node's flags are its settings.
#[derive(Debug)]
pub(crate) struct Flags;

impl Service for Flags {
    const PLACES: &'static [&'static str] = &["data", "config"];

    fn command() -> Command {
        RunArgs::augment_args(Command::new("node"))
    }
}

/// The verb whose flags are the settings.
pub(crate) fn verb() -> dsm_settings::Verb<'static> {
    let file = |run: &ArgMatches| {
        let data: &PathBuf = run.get_one("data").expect("it has a default");
        file_of(data, run.get_one::<PathBuf>("config").map(PathBuf::as_path))
    };
    dsm_settings::Verb { name: "node", settings: Flags::command(), places: Flags::PLACES, file }
}

fn file_of(data: &Path, config: Option<&Path>) -> PathBuf {
    config.map_or_else(|| data.join("node.toml"), Path::to_path_buf)
}

impl From<SettingsError> for Failure {
    fn from(error: SettingsError) -> Failure {
        let help = match &error {
            SettingsError::Place(_) => "give it as a flag or in the environment",
            SettingsError::Unknown { .. } => {
                "`dsm node --help` lists the settings; in the file they have _ for -"
            }
            _ => "the file has lines such as policy_cache_size = 2000",
        };
        Failure::new(Exit::Usage, error.code(), &error).help(help)
    }
}

/// The settings of the node that this process runs.
pub(crate) struct Running {
    pub(crate) node: Node,
    pub(crate) access: Access,
    pub(crate) logs: Logs,
    pub(crate) file: PathBuf,
    /// The key that this start made for the commands of its own machine.
    pub(crate) own_key: ApiKey,
    pub(crate) loopback: bool,
    pub(crate) state: Mutex<State>,
}

/// What is in force.
pub(crate) struct State {
    pub(crate) run: RunArgs,
    pub(crate) settings: Vec<Setting>,
    /// In the file, and in force from the next start on.
    pub(crate) waiting: BTreeMap<String, String>,
}

impl From<Failure> for SettingsRefused {
    fn from(failure: Failure) -> SettingsRefused {
        SettingsRefused { code: failure.code, detail: failure.message }
    }
}

impl Settings for Running {
    fn view(&self) -> Result<ConfigView, SettingsRefused> {
        let state = self.state.lock();
        let settings = state.settings.iter().map(|one| view(one, state.waiting.get(&one.name))).collect();
        Ok(ConfigView { file: self.file.display().to_string(), settings })
    }

    fn change(&self, request: &ConfigRequest) -> Result<ChangedSettings, SettingsRefused> {
        let mut state = self.state.lock();
        let mut run = state.run.clone();
        read_changes(&mut run, &request.set)?;
        let mut file = SettingsFile::read(&self.file).map_err(Failure::from)?;
        for (name, values) in &request.set {
            file.set(&Flags::command(), name, values).map_err(Failure::from)?;
        }
        let (rules, keys) = rules(&run, self.loopback, &self.own_key)?;
        self.access.configure(rules).map_err(|error| Failure::refused(error.code(), &error))?;
        if !request.set.is_empty() {
            file.write().map_err(Failure::from)?;
        }
        self.logs.set_level(run.log_level);
        self.node.shelf().configure_cache(run.policy_cache_size, Duration::from_secs(run.policy_ttl));
        self.node.set_durability(run.durability, Duration::from_millis(run.durability_wait));
        state.run = run;
        let changed: Vec<ChangedSetting> =
            request.set.iter().map(|(name, values)| state.note(name, &values.join(","))).collect();
        Ok(ChangedSettings { file: self.file.display().to_string(), changed, keys: keys as u64 })
    }
}

impl State {
    /// Notes a change that stands in the file.
    fn note(&mut self, name: &str, after: &str) -> ChangedSetting {
        let live = LIVE.contains(&name);
        let setting = self.settings.iter_mut().find(|one| one.name == name);
        let mut changed = ChangedSetting {
            name: name.to_owned(),
            before: None,
            after: Some(after.to_owned()),
            live,
            overridden_by: None,
        };
        let Some(setting) = setting else { return changed };
        changed.before.clone_from(&setting.value);
        changed.overridden_by = match (setting.origin, &setting.environment) {
            (Origin::Flag, _) => Some(format!("--{name}")),
            (Origin::Environment, Some(variable)) => Some(variable.clone()),
            (Origin::Environment | Origin::File | Origin::Default, _) => None,
        };
        if live {
            setting.value = Some(after.to_owned());
            if changed.overridden_by.is_none() {
                setting.origin = Origin::File;
            }
        } else {
            self.waiting.insert(name.to_owned(), after.to_owned());
        }
        changed
    }
}

/// Reads changes as the flags' own parsers do.
fn read_changes(run: &mut RunArgs, set: &BTreeMap<String, Vec<String>>) -> Result<(), Failure> {
    if let Some(place) = set.keys().find(|name| Flags::PLACES.contains(&name.as_str())) {
        return Err(SettingsError::Place(place.clone()).into());
    }
    let words = set.iter().flat_map(|(name, values)| values.iter().map(move |one| format!("--{name}={one}")));
    if set.values().any(Vec::is_empty) {
        return Err(Failure::usage("a setting without a value cannot be set"));
    }
    let words = std::iter::once("node".to_owned()).chain(words);
    let bad = |error: clap::Error| {
        let text = error.to_string();
        let first = text.lines().next().unwrap_or_default();
        Failure::new(Exit::Usage, "bad_setting", first.trim_start_matches("error: "))
    };
    let matches = bare(Flags::command()).try_get_matches_from(words).map_err(bad)?;
    run.update_from_arg_matches(&matches).map_err(bad)
}

fn view(setting: &Setting, waiting: Option<&String>) -> SettingView {
    SettingView {
        name: setting.name.clone(),
        value: setting.value.clone(),
        origin: match setting.origin {
            Origin::Default => SettingOrigin::Default,
            Origin::File => SettingOrigin::File,
            Origin::Environment => SettingOrigin::Environment,
            Origin::Flag => SettingOrigin::Flag,
        },
        environment: setting.environment.clone(),
        live: LIVE.contains(&setting.name.as_str()),
        after_restart: waiting.cloned(),
        help: setting.help.clone(),
    }
}

/// The answer of `config show`.
#[derive(Serialize)]
struct Shown {
    #[serde(flatten)]
    view: ConfigView,
    #[serde(skip)]
    origin: bool,
}

impl Show for Shown {
    fn text(&self) -> String {
        let lines = self.view.settings.iter().map(|one| {
            let mut value = one.value.clone().unwrap_or_default();
            if let Some(later) = &one.after_restart {
                value += &format!(" ({later} from the next start on)");
            }
            let mut cells = vec![one.name.clone(), value];
            if self.origin {
                let variable = one.environment.clone().unwrap_or_default();
                cells.push(match one.origin {
                    SettingOrigin::Environment => variable,
                    SettingOrigin::File => self.view.file.clone(),
                    SettingOrigin::Flag => format!("--{}", one.name),
                    SettingOrigin::Default => "default".to_owned(),
                });
            }
            cells
        });
        let head: &[&str] = if self.origin { &["setting", "value", "from"] } else { &["setting", "value"] };
        table(head, &lines.collect::<Vec<_>>(), "no settings")
    }
}

/// The answer of `config set` and `config reload`.
#[derive(Serialize)]
#[serde(transparent)]
struct Changed {
    changed: ChangedSettings,
}

impl Show for Changed {
    fn text(&self) -> String {
        let lines = self.changed.changed.iter().map(|one| {
            let before = one.before.as_deref().unwrap_or("nothing");
            let after = one.after.as_deref().unwrap_or("nothing");
            let mut line = format!("{}: {before} -> {after}", one.name);
            line += if one.live { ", in force" } else { ", in force when the node starts again" };
            if let Some(over) = &one.overridden_by {
                line += &format!("; the next start takes it from {over} instead, which stands over the file");
            }
            line
        });
        let mut lines: Vec<String> = lines.collect();
        if lines.is_empty() {
            lines.push(format!("{} API keys count", self.changed.keys));
        } else {
            lines.push(format!("kept in {}", self.changed.file));
        }
        lines.join("\n")
    }
}

pub(crate) fn run(session: &Session, verb: &ConfigVerb) -> Result<(), Failure> {
    match verb {
        ConfigVerb::Show { origin, place } => {
            let view = if place.offline { resting(place)? } else { session.client()?.config()? };
            session.show(&Shown { view, origin: *origin })
        }
        ConfigVerb::Set { changes: Changes { set, .. }, place } => {
            if set.is_empty() {
                return Err(Failure::usage("no setting was named")
                    .help("name settings by their flags, such as --policy-cache-size=2000"));
            }
            let request = ConfigRequest { set: set.clone() };
            let changed = if place.offline {
                write(place, &request)?
            } else {
                session.client()?.set_config(&request)?
            };
            session.show(&Changed { changed })
        }
        ConfigVerb::Reload => {
            let changed = session.client()?.set_config(&ConfigRequest::default())?;
            session.show(&Changed { changed })
        }
    }
}

/// What a node would take up if it started now without flags.
fn resting(place: &Place) -> Result<ConfigView, Failure> {
    let path = place.file();
    let file = SettingsFile::read(&path)?;
    let command = file.under(Flags::command())?;
    let matches = command
        .try_get_matches_from(["node"])
        .map_err(|error| Failure::usage(error.to_string().lines().next().unwrap_or_default()))?;
    let settings = in_force(&Flags::command(), &matches, Some(&file));
    let settings = settings.iter().map(|one| view(one, None)).collect();
    Ok(ConfigView { file: path.display().to_string(), settings })
}

fn write(place: &Place, request: &ConfigRequest) -> Result<ChangedSettings, Failure> {
    let before = resting(place)?;
    let path = place.file();
    let mut file = SettingsFile::read(&path)?;
    for (name, values) in &request.set {
        file.set(&Flags::command(), name, values)?;
    }
    file.write()?;
    let changed = request.set.iter().map(|(name, values)| {
        let found = before.settings.iter().find(|one| one.name == *name);
        let over = found.filter(|one| one.origin == SettingOrigin::Environment);
        ChangedSetting {
            name: name.clone(),
            before: found.and_then(|one| one.value.clone()),
            after: Some(values.join(",")),
            live: false,
            overridden_by: over.and_then(|one| one.environment.clone()),
        }
    });
    Ok(ChangedSettings { file: path.display().to_string(), changed: changed.collect(), keys: 0 })
}
