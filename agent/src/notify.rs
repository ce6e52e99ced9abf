//! What the service manager is told (sd_notify); nothing where there is none.

use std::time::Duration;

use sd_notify::NotifyState;

/// Says that the agent measures and seals.
pub(crate) fn ready() {
    tell(&[NotifyState::Ready]);
}

/// Says that the agent ends.
pub(crate) fn stopping() {
    tell(&[NotifyState::Stopping]);
}

/// Says that the agent is alive.
pub(crate) fn watchdog() {
    tell(&[NotifyState::Watchdog]);
}

/// Says in a line how the agent stands.
pub(crate) fn status(text: &str) {
    let line: String = text
        .chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .collect();
    tell(&[NotifyState::Status(&line)]);
}

/// How often the service manager wants a sign of life, halved, so that one may come late.
pub(crate) fn watchdog_period() -> Option<Duration> {
    sd_notify::watchdog_enabled()
        .map(|period| period / 2)
        .filter(|period| !period.is_zero())
}

fn tell(state: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(state) {
        tracing::debug!(%error, "the service manager does not listen");
    }
}
