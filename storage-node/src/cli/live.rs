//! What a running node takes up from its file of settings, within a second: its upkeep and its log level.
//!
//! The command line is read again as at the start, so flags and variables stand over the file as they did then. A file
//! that no node could start with changes nothing.

use super::failure::Failure;
use super::{Misread, Verb, read};
use dsm_logs::Logs;
use dsm_settings::Watched;
use dsm_storage_node::{StorageNode, Upkeep};
use std::convert::Infallible;
use std::path::PathBuf;
use std::time::Duration;
use tracing::Level;

/// Between two looks at the file.
const LOOK_INTERVAL: Duration = Duration::from_secs(1);

/// A running node's file of settings.
#[derive(Debug)]
pub(super) struct Live {
    logs: Logs,
    file: Watched,
    level: Level,
    upkeep: Upkeep,
}

impl Live {
    /// Follows `file`; the node has started with this level and this upkeep.
    pub(super) fn new(file: PathBuf, level: Level, upkeep: Upkeep, logs: Logs) -> Live {
        Live { logs, file: Watched::new(file), level, upkeep }
    }

    /// Looks at the file again and again, and tells the node.
    pub(super) async fn follow(&mut self, node: &StorageNode) -> Infallible {
        loop {
            tokio::time::sleep(LOOK_INTERVAL).await;
            if self.file.is_other() {
                self.take_up(node);
            }
        }
    }

    fn take_up(&mut self, node: &StorageNode) {
        let (level, upkeep) = match asked() {
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
        if level != self.level {
            self.level = level;
            self.logs.set_level(level);
            tracing::info!(log_level = %level, "the file of settings asks for another level");
        }
        if upkeep != self.upkeep {
            self.upkeep = upkeep;
            node.set_upkeep(upkeep);
            tracing::info!(
                retention = %upkeep.retention,
                scrub_interval_s = upkeep.scrub_interval.as_secs(),
                anti_entropy_interval_s = upkeep.anti_entropy_interval.as_secs(),
                "the file of settings asks for another upkeep"
            );
        }
    }
}

/// What a node would take up that starts now with this one's words.
fn asked() -> Result<(Level, Upkeep), Failure> {
    let words: Vec<_> = std::env::args_os().collect();
    let arguments = read(&words).map(|(arguments, _)| arguments).map_err(|misread| match misread {
        Misread::Words(error) => Failure::usage(error.to_string().lines().next().unwrap_or_default()),
        Misread::File(error) => error.into(),
    })?;
    match arguments.verb {
        Verb::Run(args) => {
            let config = args.settings.resolve(&arguments.data.data)?;
            Ok((args.settings.log_level, config.upkeep))
        }
        _ => Err(Failure::usage("these words run no node")),
    }
}
