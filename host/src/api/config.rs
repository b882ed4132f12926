//! Settings over HTTP: what is in force, and changes of it. What settings there are and what they do, the binary knows.

use super::Api;
use super::body::{from_json, json, read};
use super::problem::Failure;
use super::submit::blocking;
use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::response::Response;
use dsm_sdk::api::{ChangedSetting, ChangedSettings, ConfigRequest, ConfigView, limit};

/// Why a change is refused; nothing was changed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{detail}")]
pub struct SettingsRefused {
    /// The stable code.
    pub code: String,
    /// What is wrong.
    pub detail: String,
}

/// The settings of a running node.
pub trait Settings: Send + Sync {
    /// All of them, as they are in force.
    ///
    /// # Errors
    /// [`SettingsRefused`] if their file cannot be read.
    fn view(&self) -> Result<ConfigView, SettingsRefused>;

    /// Checks all changes, writes them to the file, and puts in force what can be changed while the node runs. Reads
    /// secrets and keys again.
    ///
    /// # Errors
    /// [`SettingsRefused`]: nothing was changed.
    fn change(&self, request: &ConfigRequest) -> Result<ChangedSettings, SettingsRefused>;
}

impl From<SettingsRefused> for Failure {
    fn from(refused: SettingsRefused) -> Failure {
        Failure::new(StatusCode::UNPROCESSABLE_ENTITY, &refused.code, refused.detail)
    }
}

fn none() -> Failure {
    Failure::new(
        StatusCode::CONFLICT,
        "no_settings",
        "this node was started without settings that can be asked for",
    )
}

pub(super) async fn show(State(api): State<Api>) -> Result<Response, Failure> {
    let settings = api.settings.ok_or_else(none)?;
    json(&blocking(move || settings.view()).await??)
}

pub(super) async fn change(State(api): State<Api>, request: Request) -> Result<Response, Failure> {
    let settings = api.settings.ok_or_else(none)?;
    let (_, bytes) = read(request, 0, limit::JSON_BYTES_MAX).await?;
    let request: ConfigRequest = from_json(&bytes)?;
    let changed = blocking(move || settings.change(&request)).await??;
    for ChangedSetting { name, before, after, live, .. } in &changed.changed {
        tracing::info!(name, before, after, live, "a setting was changed");
    }
    json(&changed)
}
