//! The status on one screen.

use std::fmt;

use super::{
    Agent, Health, Status,
    health::{percent, reason_in_words},
};
use crate::{inspect::aligned, link::Link, wording};

/// Stands where nothing is known.
const MISSING: &str = "–";

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let health = Health::of(self);
        let mut rows = vec![
            ("host", self.host_line()),
            ("agent", self.agent_line()),
            ("verifier", self.verifier.clone()),
            ("connection", self.connection()),
            ("certificate", self.certificate_line()),
            ("pause", self.pause_line()),
            ("sealed", self.sealed()),
            ("included", self.included()),
            ("waiting", self.waiting()),
            ("spool", self.spool_line()),
            ("checkpoint", self.checkpoint_line()),
        ];
        if let Some(chain) = &self.chain {
            rows.insert(1, ("chain", chain.clone()));
        }
        writeln!(f, "{}", health.name().to_uppercase())?;
        for line in &health.attention {
            writeln!(f, "  ! {}", line.replace('\n', "\n    "))?;
        }
        writeln!(f)?;
        for (name, text) in rows {
            writeln!(f, "{name:<12}  {text}")?;
        }
        if !self.devices.is_empty() {
            write!(f, "\n{}", self.device_table())?;
        }
        Ok(())
    }
}

impl Status {
    fn since(&self, unix_ms: u64) -> String {
        wording::span(self.now_ms.saturating_sub(unix_ms))
    }

    fn until(&self, unix_ms: u64) -> String {
        wording::span(unix_ms.saturating_sub(self.now_ms))
    }

    fn host_line(&self) -> String {
        match self.site.as_str() {
            "" => self.host.clone(),
            site => format!("{}, site {site}", self.host),
        }
    }

    fn agent_line(&self) -> String {
        match &self.agent {
            Agent::Running(live) => format!(
                "version {}, process {}, for {}",
                live.version,
                live.pid,
                self.since(live.started_unix_ms)
            ),
            Agent::Stopped => "does not run; all below is from its files".into(),
            Agent::Silent(_) => "does not answer; all below is from its files".into(),
        }
    }

    fn connection(&self) -> String {
        let Agent::Running(live) = &self.agent else {
            return MISSING.into();
        };
        match &live.link {
            Link::Connecting { since_unix_ms } => {
                format!("being made for {}", self.since(*since_unix_ms))
            }
            Link::Connected { since_unix_ms } => format!("up for {}", self.since(*since_unix_ms)),
            Link::Lost {
                since_unix_ms,
                error,
                retry_unix_ms,
            } => format!(
                "down for {}, next attempt in {}: {error}",
                self.since(*since_unix_ms),
                self.until(*retry_unix_ms)
            ),
            Link::Halted { since_unix_ms } => {
                format!("none is made any more, for {}", self.since(*since_unix_ms))
            }
        }
    }

    fn certificate_line(&self) -> String {
        match self.certificate {
            None => MISSING.into(),
            Some((_, over)) if over <= self.now_ms => {
                format!("over since {}", wording::moment(over))
            }
            Some((_, over)) => {
                format!("{} left, until {}", self.until(over), wording::moment(over))
            }
        }
    }

    fn pause_line(&self) -> String {
        match (self.pause(), &self.agent) {
            (Some(pause), _) => format!(
                "{}, {} left, until {}",
                pause.reason,
                self.until(pause.until_unix_ms),
                wording::moment(pause.until_unix_ms)
            ),
            (None, Agent::Running(_)) => "none".into(),
            (None, _) => MISSING.into(),
        }
    }

    fn sealed(&self) -> String {
        match self.spool.range {
            Some((first, last)) => format!(
                "up to {}, kept from {}",
                wording::grouped(last),
                wording::grouped(first)
            ),
            None => "nothing yet".into(),
        }
    }

    fn included(&self) -> String {
        let Some(cursor) = &self.spool.cursor else {
            return "nothing yet".into();
        };
        let up_to = format!(
            "up to {}, at index {}",
            wording::grouped(cursor.sequence),
            wording::grouped(cursor.index)
        );
        match self.included_ms {
            Some(sealed) => format!("{up_to}, sealed {} ago", self.since(sealed)),
            None => up_to,
        }
    }

    fn waiting(&self) -> String {
        let waiting = wording::grouped(self.spool.waiting());
        match self.oldest_waiting_ms {
            Some(oldest) => format!("{waiting}, the oldest for {}", self.since(oldest)),
            None => waiting,
        }
    }

    fn spool_line(&self) -> String {
        let used = format!(
            "{} of {}, {} %",
            wording::bytes(self.spool.bytes),
            wording::bytes(self.spool_limit),
            percent(self)
        );
        match self.days_left() {
            Some(1) => format!("{used}; 1 more day fits"),
            Some(days) => format!("{used}; {} more days fit", wording::grouped(days)),
            None => used,
        }
    }

    fn checkpoint_line(&self) -> String {
        match self.checkpoint {
            Some((size, told)) => format!(
                "of {} entries, told {} ago",
                wording::grouped(size),
                self.since(told)
            ),
            None => "none seen yet".into(),
        }
    }

    fn device_table(&self) -> String {
        let head = ["GPU", "MODEL", "COVERAGE", "OBSERVED", "UUID"].map(String::from);
        let mut rows = vec![head.to_vec()];
        for (number, device) in self.devices.iter().enumerate() {
            let coverage = device.coverage.strip_prefix("COVERAGE_");
            let coverage = coverage.unwrap_or(&device.coverage).to_lowercase();
            let observed = match (&device.not_observed, &self.agent) {
                (_, Agent::Stopped | Agent::Silent(_)) => MISSING.to_owned(),
                (None, _) => "yes".to_owned(),
                (Some(reason), _) => format!("no: {}", reason_in_words(reason)),
            };
            rows.push(vec![
                number.to_string(),
                device.model.clone(),
                coverage.replace('_', " "),
                observed,
                device.uuid.clone(),
            ]);
        }
        aligned(&rows)
    }
}
