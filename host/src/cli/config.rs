//! `dsm config`: the settings of a running node, shown and changed; and how `dsm node` comes to its settings.
//!
//! The flags of `dsm node` are the list of settings. Defaults stand under the file, the file under the environment, the
//! environment under the flags. What `config set` changes stands in the file from then on, and in force at once where
//! the node can do that.

use super::door::{LIVE, rules};
use super::failure::{Exit, Failure};
use super::node::RunArgs;
use super::session::Session;
use super::show::Show;
use clap::{Args as _, Command, FromArgMatches as _};
use dsm_gateway::ApiKey;
use dsm_host::api::{Access, Settings, SettingsRefused};
use dsm_host::node::Node;
use dsm_logs::Logs;
use dsm_sdk::api::{ChangedSetting, ChangedSettings, ConfigRequest, ConfigView, SettingOrigin, SettingView};
use dsm_settings::{
    Change, Changed, Changes, Origin, PLACES, Place, RestingError, Service, Setting, SettingsError,
    SettingsFile, Shown, bare,
};
use parking_lot::Mutex;
use serde::Serialize;
use std::collections::BTreeMap;
use std::path::PathBuf;
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
        rest: Rest,
    },
    /// Change settings for good, and at once where the node can do that
    Set {
        #[command(flatten)]
        changes: Changes<Flags>,
        #[command(flatten)]
        rest: Rest,
    },
    /// Have the node read its API keys and its secret again
    Reload,
}

/// Whether the node runs, and where its file is if it does not.
#[derive(Debug, clap::Args)]
pub(crate) struct Rest {
    /// Of a node that is not running: its file, and what the environment says over it
    #[arg(long)]
    offline: bool,
    #[command(flatten)]
    place: Place<Flags>,
}

/// The node's flags are its settings.
#[derive(Debug)]
pub(crate) struct Flags;

impl Service for Flags {
    const RUN: &'static str = "dsm node";
    const NOUN: &'static str = "node";
    const FILE: &'static str = "node.toml";
    const EXAMPLE: (&'static str, &'static str) = ("policy-cache-size", "2000");
    const LIVE: &'static [&'static str] = &LIVE;

    fn command() -> Command {
        RunArgs::augment_args(Command::new("node"))
    }
}

impl From<SettingsError> for Failure {
    fn from(error: SettingsError) -> Failure {
        RestingError::from(error).into()
    }
}

impl From<RestingError> for Failure {
    fn from(error: RestingError) -> Failure {
        let help = error.help::<Flags>();
        Failure { help, ..Failure::new(Exit::Usage, error.code(), error) }
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
}

impl From<Failure> for SettingsRefused {
    fn from(failure: Failure) -> SettingsRefused {
        SettingsRefused { code: failure.code, detail: failure.message }
    }
}

impl Settings for Running {
    fn view(&self) -> Result<ConfigView, SettingsRefused> {
        let state = self.state.lock();
        let settings = state.settings.iter().map(view).collect();
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
        let setting = self.settings.iter_mut().find(|one| one.name == name);
        let mut changed = ChangedSetting {
            name: name.to_owned(),
            before: None,
            after: Some(after.to_owned()),
            live: false,
            overridden_by: None,
        };
        let Some(setting) = setting else { return changed };
        changed.live = setting.live;
        changed.before.clone_from(&setting.value);
        changed.overridden_by = match (setting.origin, &setting.environment) {
            (Origin::Flag, _) => Some(format!("--{name}")),
            (Origin::Environment, Some(variable)) => Some(variable.clone()),
            (Origin::Environment | Origin::File | Origin::Default, _) => None,
        };
        if setting.live {
            setting.value = Some(after.to_owned());
            if changed.overridden_by.is_none() {
                setting.origin = Origin::File;
            }
        } else {
            setting.after_restart = Some(after.to_owned());
        }
        changed
    }
}

/// Reads changes as the flags' own parsers do.
fn read_changes(run: &mut RunArgs, set: &BTreeMap<String, Vec<String>>) -> Result<(), Failure> {
    if let Some(place) = set.keys().find(|name| PLACES.contains(&name.as_str())) {
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
    run.update_from_arg_matches(&matches).map_err(bad)?;
    // What nobody changes has been good enough for the start; names may lead elsewhere by now.
    if set.keys().any(|name| ["listen", "p2p"].contains(&name.as_str())) { run.check() } else { Ok(()) }
}

fn view(setting: &Setting) -> SettingView {
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
        live: setting.live,
        after_restart: setting.after_restart.clone(),
        help: setting.help.clone(),
    }
}

/// What a node says of a setting, as its own command line has it.
fn setting(view: &SettingView) -> Setting {
    Setting {
        name: view.name.clone(),
        value: view.value.clone(),
        origin: match view.origin {
            SettingOrigin::Default => Origin::Default,
            SettingOrigin::File => Origin::File,
            SettingOrigin::Environment => Origin::Environment,
            SettingOrigin::Flag => Origin::Flag,
        },
        environment: view.environment.clone(),
        live: view.live,
        after_restart: view.after_restart.clone(),
        help: view.help.clone(),
    }
}

impl Show for Shown {
    fn text(&self) -> String {
        Shown::text(self)
    }
}

/// The answer of `config set` and `config reload`.
#[derive(Serialize)]
#[serde(transparent)]
struct Told {
    changed: ChangedSettings,
}

impl Show for Told {
    fn text(&self) -> String {
        if self.changed.changed.is_empty() {
            return format!("{} API keys count", self.changed.keys);
        }
        let changed = self.changed.changed.iter().map(|one| Change {
            name: one.name.clone(),
            before: one.before.clone(),
            after: one.after.clone().unwrap_or_default(),
            live: one.live,
            overridden_by: one.overridden_by.clone(),
        });
        Changed { file: PathBuf::from(&self.changed.file), changed: changed.collect() }.text()
    }
}

pub(crate) fn run(session: &Session, verb: &ConfigVerb) -> Result<(), Failure> {
    match verb {
        ConfigVerb::Show { origin, rest } => {
            let shown = if rest.offline {
                Shown::read::<Flags>(&rest.place.file)?
            } else {
                let ConfigView { file, settings } = session.client()?.config()?;
                let settings = settings.iter().map(setting).collect();
                Shown { file: file.into(), settings, origin: false }
            };
            session.show(&Shown { origin: *origin, ..shown })
        }
        ConfigVerb::Set { changes, rest } => {
            let set = changes.named()?;
            let changed = if rest.offline {
                write(rest, changes)?
            } else {
                session.client()?.set_config(&ConfigRequest { set: set.clone() })?
            };
            session.show(&Told { changed })
        }
        ConfigVerb::Reload => {
            let changed = session.client()?.set_config(&ConfigRequest::default())?;
            session.show(&Told { changed })
        }
    }
}

/// Changes the file of a node that does not run: nothing is in force before it starts.
fn write(rest: &Rest, changes: &Changes<Flags>) -> Result<ChangedSettings, Failure> {
    let changed = Changed::write(&rest.place.file, changes, |matches| -> Result<(), Failure> {
        RunArgs::from_arg_matches(matches).map_err(RestingError::from)?.check()
    })?;
    let one = |one: Change| ChangedSetting {
        name: one.name,
        before: one.before,
        after: Some(one.after),
        live: false,
        overridden_by: one.overridden_by,
    };
    let file = changed.file.display().to_string();
    Ok(ChangedSettings { file, changed: changed.changed.into_iter().map(one).collect(), keys: 0 })
}
