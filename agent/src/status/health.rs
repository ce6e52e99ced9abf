//! Whether a host wants a person's attention.

use affiant_proto::v1::Reason;

use super::{Agent, Status};
use crate::{link::Link, wording};

/// Time without a connection that calls for attention: a verifier's restart takes less.
const DISCONNECTED_MS: u64 = 10 * 60_000;

/// Life of a certificate that calls for attention where its renewal is due, milliseconds.
const CERTIFICATE_MS: u64 = 3 * 86_400_000;

/// Time without a tick: three of the longest sampling period.
const STALE_MS: u64 = 3 * 60_000;

/// Percent of the spool's budget that call for attention.
const SPOOL_PERCENT: u64 = 80;

/// The verdict on a host, for people and monitors.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Health {
    /// Nothing is known of the agent: none runs, or it gives no answer.
    pub unknown: bool,
    /// What somebody should look at, in words.
    pub attention: Vec<String>,
}

impl Health {
    /// Judges a status.
    pub fn of(status: &Status) -> Self {
        let mut attention = Vec::new();
        if status.chain.is_none() {
            attention.push("this host is not enrolled; run `affiant-agent enroll`".into());
        }
        if let Some(halt) = &status.halted {
            attention.push(format!("NOTHING IS SENT ANY MORE: {halt}"));
        }
        if let Some(distrust) = &status.distrust {
            attention.push(format!("THE LOG IS NOT BELIEVED: {distrust}"));
        }
        match &status.agent {
            Agent::Running(_) => {}
            Agent::Stopped => attention.push("no agent runs; nothing is recorded".into()),
            Agent::Silent(text) => attention.push(text.clone()),
        }
        connection(status, &mut attention);
        certificate(status, &mut attention);
        devices(status, &mut attention);
        let used = percent(status);
        if used > SPOOL_PERCENT {
            attention.push(format!("the spool has {used} % of its budget"));
        }
        Self {
            unknown: !matches!(status.agent, Agent::Running(_)),
            attention,
        }
    }

    /// The exit code for monitors: 0 well, 1 attention, 3 unknown.
    pub fn code(&self) -> u8 {
        match (self.unknown, self.attention.is_empty()) {
            (true, _) => 3,
            (false, false) => 1,
            (false, true) => 0,
        }
    }

    /// The verdict in a word.
    pub fn name(&self) -> &'static str {
        match self.code() {
            0 => "well",
            1 => "attention",
            _ => "unknown",
        }
    }
}

/// Share of the spool's budget that is used.
pub(super) fn percent(status: &Status) -> u64 {
    let used = u128::from(status.spool.bytes) * 100;
    u64::try_from(used / u128::from(status.spool_limit.max(1))).unwrap_or(u64::MAX)
}

fn connection(status: &Status, attention: &mut Vec<String>) {
    let Agent::Running(live) = &status.agent else {
        return;
    };
    let (since, error) = match &live.link {
        Link::Connecting { since_unix_ms } => (*since_unix_ms, "no answer yet"),
        Link::Lost {
            since_unix_ms,
            error,
            ..
        } => (*since_unix_ms, error.as_str()),
        // Why nothing is sent stands in its file.
        Link::Connected { .. } | Link::Halted { .. } => return,
    };
    let gone = status.now_ms.saturating_sub(since);
    if gone > DISCONNECTED_MS {
        let gone = wording::span(gone);
        attention.push(format!("not connected for {gone}: {error}"));
    }
}

fn certificate(status: &Status, attention: &mut Vec<String>) {
    match status.certificate {
        None if status.chain.is_some() => attention.push(
            "no certificate yet: an operator must approve this host (`affiant-verifier host approve`)"
                .into(),
        ),
        Some((_, over)) if status.now_ms >= over => {
            attention.push("the certificate is over; it is renewed at the next connection".into());
        }
        // A short-lived certificate has always less; its renewal is what must not be late.
        Some((due, over)) if status.now_ms >= due && over - status.now_ms < CERTIFICATE_MS => {
            let left = wording::span(over - status.now_ms);
            attention.push(format!(
                "the certificate is over in {left} and was not renewed"
            ));
        }
        _ => {}
    }
}

fn devices(status: &Status, attention: &mut Vec<String>) {
    let Agent::Running(live) = &status.agent else {
        return;
    };
    let sampled = live.sampled_unix_ms.unwrap_or(live.started_unix_ms);
    let stale = status.now_ms.saturating_sub(sampled);
    if stale > STALE_MS {
        let stale = wording::span(stale);
        attention.push(format!(
            "the devices were not asked for {stale}: the spool's disk, or the agent, hangs"
        ));
    }
    if live.devices.is_empty() && live.pause.is_none() {
        let why = live.fault.as_deref().unwrap_or("the driver names none");
        attention.push(format!("no device is known: {why}"));
    }
    for (number, device) in live.devices.iter().enumerate() {
        if let Some(reason) = &device.not_observed
            && !is_planned(reason)
        {
            let why = reason_in_words(reason);
            attention.push(format!("GPU {number} is not observed: {why}"));
        }
    }
}

fn is_planned(reason: &str) -> bool {
    let planned = [
        Reason::DriverUpgrade,
        Reason::Mig,
        Reason::Rma,
        Reason::Maintenance,
    ];
    planned.iter().any(|known| known.as_str_name() == reason)
}

/// The protocol's name of a reason as people read it.
pub(super) fn reason_in_words(name: &str) -> String {
    if name == Reason::Unspecified.as_str_name() {
        return "not asked yet".into();
    }
    let bare = name.strip_prefix("REASON_").unwrap_or(name);
    bare.to_lowercase().replace('_', " ")
}
