//! What operators ask: settings with where they came from, and how the audit log stands.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Where a value came from; later ones stand over earlier ones.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SettingOrigin {
    /// The program.
    Default,
    /// The file.
    File,
    /// The environment.
    Environment,
    /// The command line.
    Flag,
}

impl std::fmt::Display for SettingOrigin {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            SettingOrigin::Default => "default",
            SettingOrigin::File => "file",
            SettingOrigin::Environment => "environment",
            SettingOrigin::Flag => "flag",
        })
    }
}

/// One setting as it is in force.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SettingView {
    /// The flag's name without the dashes before it.
    pub name: String,
    /// Its value; several are separated by commas. `None` if it has none.
    pub value: Option<String>,
    /// Where the value came from.
    pub origin: SettingOrigin,
    /// The environment variable that sets it.
    pub environment: Option<String>,
    /// Whether it can be changed while the node runs.
    pub live: bool,
    /// What the file says and the node will take up when it starts again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after_restart: Option<String>,
    /// What it is for.
    pub help: String,
}

/// All settings.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConfigView {
    /// The file of settings, which need not exist.
    pub file: String,
    /// In the order of the command line's help.
    pub settings: Vec<SettingView>,
}

/// Changes settings; with none, secrets and keys are read again and nothing else happens.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ConfigRequest {
    /// For each name what its flag would be given.
    #[serde(default)]
    pub set: BTreeMap<String, Vec<String>>,
}

/// What became of a change.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChangedSettings {
    /// The file in which the changes stand now.
    pub file: String,
    /// Each change.
    pub changed: Vec<ChangedSetting>,
    /// API keys that count now.
    pub keys: u64,
}

/// One setting that was changed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChangedSetting {
    /// Its name.
    pub name: String,
    /// Its value before.
    pub before: Option<String>,
    /// Its value in the file now.
    pub after: Option<String>,
    /// Whether it is in force already; otherwise from the next start on.
    pub live: bool,
    /// A flag or a variable stands over the file: the next start takes that one's value.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub overridden_by: Option<String>,
}

/// How the audit log stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuditView {
    /// Lines written in all.
    pub entries: u64,
    /// The hash of the last one: kept elsewhere, it shows that nobody wrote the log anew.
    pub last: String,
    /// What was not written down since the node started, because the disk or the queue was full.
    pub dropped: u64,
}
