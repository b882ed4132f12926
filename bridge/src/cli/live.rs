//! What a running service takes up from its file of settings at once: the rules of its door with the next request, the
//! log level within a second.
//!
//! The command line is read again as at the start, so flags and variables stand over the file as they did then. A file
//! that no service could start with changes nothing.

use super::failure::Failure;
use super::settings::Settings;
use super::{Misread, Verb, read};
use dsm_bridge::{DoorConfig, DoorSource};
use dsm_logs::Logs;
use dsm_settings::Watched;
use parking_lot::Mutex;
use std::path::PathBuf;
use std::time::Duration;
use tracing::Level;

/// Between two looks at the file when nobody asks.
const LOOK_INTERVAL: Duration = Duration::from_secs(1);

/// A running service's file of settings.
#[derive(Debug)]
pub(super) struct Live {
    logs: Logs,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    file: Watched,
    level: Level,
    door: DoorConfig,
    /// The door has not been told.
    untold: bool,
}

impl Live {
    /// Follows `file`; the service has started with `settings`.
    pub(super) fn new(file: PathBuf, settings: &Settings, logs: Logs) -> Result<Live, Failure> {
        let (level, door) = (settings.log_level, settings.door()?);
        Ok(Live { logs, state: Mutex::new(State { file: Watched::new(file), level, door, untold: false }) })
    }

    /// Looks at the file again and again.
    pub(super) async fn follow(&self) {
        loop {
            tokio::time::sleep(LOOK_INTERVAL).await;
            self.look(&mut self.state.lock());
        }
    }

    fn look(&self, state: &mut State) {
        if !state.file.is_other() {
            return;
        }
        let (level, door) = match asked() {
            Ok(asked) => asked,
            Err(failure) => {
                tracing::warn!(
                    code = failure.code,
                    reason = failure.message,
                    "the file of settings is not taken up"
                );
                return;
            }
        };
        if level != state.level {
            state.level = level;
            self.logs.set_level(level);
            tracing::info!(log_level = %level, "the file of settings asks for another level");
        }
        if door != state.door {
            tracing::info!(limit = door.limit, "the file of settings asks for another door");
            (state.door, state.untold) = (door, true);
        }
    }
}

impl DoorSource for Live {
    fn newer(&self) -> Option<DoorConfig> {
        let mut state = self.state.lock();
        self.look(&mut state);
        std::mem::take(&mut state.untold).then(|| state.door.clone())
    }
}

/// What a service would take up that starts now with this one's words.
fn asked() -> Result<(Level, DoorConfig), Failure> {
    let words: Vec<_> = std::env::args_os().collect();
    let arguments = read(&words).map(|(arguments, _)| arguments).map_err(|misread| match misread {
        Misread::Words(error) => Failure::usage(error.to_string().lines().next().unwrap_or_default()),
        Misread::File(error) => error.into(),
    })?;
    match arguments.verb {
        Verb::Run(args) => {
            args.check()?;
            Ok((args.settings().log_level, args.settings().door()?))
        }
        _ => Err(Failure::usage("these words run no service")),
    }
}
