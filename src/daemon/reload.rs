//! SIGHUP: the whole new configuration is validated first. What can be applied is, and the log says what is different and
//! what of it needs a restart.

use crate::config::{Alert, Change, Hook, Loaded};
use crate::service::logging;
use log::LevelFilter;

/// Of a reading, what the hub applies.
pub(super) struct Reloaded {
    pub(super) rules: Option<Vec<Alert>>,
    pub(super) hooks: Option<Vec<Hook>>,
}

/// What reads again, from the configuration that holds now.
pub(super) fn reloading(
    mut current: Loaded,
    mut load: Box<dyn FnMut() -> Result<Loaded, String>>,
) -> impl FnMut() -> Option<Reloaded> {
    // What was told to need a restart is told again with each reading: it still does.
    let begun_with = current.origins.clone();
    move || match load() {
        Err(problems) => {
            log::error!("the configuration was not read again: {problems}");
            None
        }
        Ok(new) => {
            let is_now = current.origins.changes(&new.origins);
            let of = |section: &str| is_now.iter().any(|change| change.section == section);
            let reloaded = Reloaded {
                rules: of("alert").then(|| new.config.alerts.clone()),
                hooks: of("hook").then(|| new.config.hooks.clone()),
            };
            let applied: Vec<&Change> = is_now.iter().filter(|change| is_applied(change)).collect();
            let since_the_start = begun_with.changes(&new.origins);
            let waiting: Vec<&Change> = since_the_start.iter().filter(|change| !is_applied(change)).collect();
            log::info!("the configuration was read again");
            applied.iter().for_each(|change| apply(change, &new));
            waiting.iter().for_each(|change| log::warn!("{change}: this needs a restart"));
            current = new;
            Some(reloaded)
        }
    }
}

fn is_applied(change: &Change) -> bool {
    matches!((change.section, change.setting), ("alert" | "hook", _) | ("daemon", Some("log_level")))
}

/// Rules and hooks are applied by the hub.
fn apply(change: &Change, new: &Loaded) {
    let level = new.config.daemon.log_level.unwrap_or(LevelFilter::Info);
    if change.section == "daemon" && !logging::set_level(level) {
        log::warn!("{change}, but the environment or a flag has fixed the log level");
    } else {
        log::info!("{change}");
    }
}
