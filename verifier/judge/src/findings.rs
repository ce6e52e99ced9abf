//! Findings: rules that were broken, as the reader sees them.

use serde::{Deserialize, Serialize};

use crate::devices::Class;

/// Version of the rules of this release; every finding names it.
pub const RULES_VERSION: &str = "3";

/// A rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Rule {
    /// A tenant used a device without an approval that stood.
    UseUnvetted,
    /// A device was used and no tenant can be named.
    UseUnattributed,
    /// A device of a class that the approval does not allow.
    DeviceNotAllowed,
    /// Used after the approval ran out.
    VettingExpired,
    /// Somebody stands between, and no end customer is declared.
    EndCustomerUndeclared,
    /// A party of the chain, or behind it, is headquartered in a restricted country.
    RestrictedHq,
    /// Time of a host or device that nothing covers.
    UsageGap,
    /// Two statements were signed at one place of a host's chain.
    ChainFork,
    /// A host went on from the log's head because its disk no longer had it.
    ChainRestart,
    /// Records were sealed and lost before they could be sent.
    RecordsLost,
    /// Lines of records were let go; their totals stand.
    LinesLost,
    /// A host was enrolled anew while its old chain was open.
    ReEnrolled,
    /// Statements of a key that was revoked from before they were logged.
    KeySuspect,
    /// A device is now in another host.
    DeviceMoved,
    /// Two hosts say of one time that they have the same device.
    DeviceDuplicate,
    /// Planned silence beyond what a day excuses.
    PlannedSilenceExceeded,
    /// The log went on under a new key or from an earlier state.
    LogSuccession,
    /// A host says that it was shown a log that contradicts this one.
    LogContradicted,
    /// A record of which the log shows only that it was made within a wide window.
    LateRecord,
    /// A host claims a time outside of the window in which the log shows that it spoke.
    ClockOutOfBounds,
    /// What a use breaks depends on when in a wide window it was.
    TimeNotEstablished,
}

/// How grave a finding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// Low.
    Low,
    /// Medium.
    Medium,
    /// High.
    High,
    /// Critical.
    Critical,
}

impl Rule {
    /// Spells the rule as reports do.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::UseUnvetted => "USE_UNVETTED",
            Self::UseUnattributed => "USE_UNATTRIBUTED",
            Self::DeviceNotAllowed => "DEVICE_NOT_ALLOWED",
            Self::VettingExpired => "VETTING_EXPIRED",
            Self::EndCustomerUndeclared => "END_CUSTOMER_UNDECLARED",
            Self::RestrictedHq => "RESTRICTED_HQ",
            Self::UsageGap => "USAGE_GAP",
            Self::ChainFork => "CHAIN_FORK",
            Self::ChainRestart => "CHAIN_RESTART",
            Self::RecordsLost => "RECORDS_LOST",
            Self::LinesLost => "LINES_LOST",
            Self::ReEnrolled => "RE_ENROLLED",
            Self::KeySuspect => "KEY_SUSPECT",
            Self::DeviceMoved => "DEVICE_MOVED",
            Self::DeviceDuplicate => "DEVICE_DUPLICATE",
            Self::PlannedSilenceExceeded => "PLANNED_SILENCE_EXCEEDED",
            Self::LogSuccession => "LOG_SUCCESSION",
            Self::LogContradicted => "LOG_CONTRADICTED",
            Self::LateRecord => "LATE_RECORD",
            Self::ClockOutOfBounds => "CLOCK_OUT_OF_BOUNDS",
            Self::TimeNotEstablished => "TIME_NOT_ESTABLISHED",
        }
    }

    /// How grave a breach of it is at least: evidence of a loss makes LOG_SUCCESSION high.
    pub const fn severity(self) -> Severity {
        match self {
            Self::UseUnvetted | Self::RestrictedHq | Self::ChainFork => Severity::Critical,
            Self::UseUnattributed
            | Self::DeviceNotAllowed
            | Self::VettingExpired
            | Self::EndCustomerUndeclared
            | Self::RecordsLost
            | Self::KeySuspect
            | Self::DeviceDuplicate
            | Self::LogContradicted => Severity::High,
            Self::UsageGap
            | Self::ChainRestart
            | Self::LinesLost
            | Self::ReEnrolled
            | Self::PlannedSilenceExceeded
            | Self::ClockOutOfBounds
            | Self::TimeNotEstablished => Severity::Medium,
            Self::DeviceMoved | Self::LogSuccession | Self::LateRecord => Severity::Low,
        }
    }
}

/// Whom or what a finding is about.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Subject {
    /// A tenant, by id.
    Tenant(String),
    /// A host, by name and chain.
    Host(String, [u8; 32]),
    /// All devices of a host at once.
    AllDevices(String, [u8; 32]),
    /// One device of a host: name, chain, and the device's uuid or place.
    Device(String, [u8; 32], String),
    /// An officer, by name and chain.
    Officer(String, [u8; 32]),
    /// The log, by its name at the time.
    Log(String),
}

/// When it could be known.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Known {
    /// When the evidence was logged.
    Then,
    /// Only by what was logged later and reaches back.
    Later,
}

/// Where in the log the evidence of a finding is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Evidence {
    /// Lowest log index.
    pub first_index: u64,
    /// Highest.
    pub last_index: u64,
    /// How many records, or spans without a record.
    pub count: u64,
    /// The lowest indices, at most [`MAX_INDICES`](crate::episodes::MAX_INDICES).
    pub indices: Vec<u64>,
    /// The log's own time at the first evidence, milliseconds since 1970: no later than this.
    pub logged_first_unix_ms: u64,
    /// And at the last.
    pub logged_last_unix_ms: u64,
}

/// One episode in which one subject broke one rule.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finding {
    /// 32 hexadecimal digits; stays while evidence extends the episode.
    pub id: String,
    /// The rule.
    pub rule: Rule,
    /// How grave.
    pub severity: Severity,
    /// What happened, in plain words.
    pub title: String,
    /// The tenant that it is about.
    pub tenant: Option<String>,
    /// The host that it is about, by name.
    pub host: Option<String>,
    /// Digest of the host's chain, in hexadecimal.
    pub chain: Option<String>,
    /// The device that it is about.
    pub device: Option<String>,
    /// When it began, as the evidence claims, milliseconds since 1970.
    pub opened_unix_ms: u64,
    /// The last instant that the evidence covers.
    pub last_unix_ms: u64,
    /// Whether it may go on: the last evidence is younger than the episode gap.
    pub open: bool,
    /// When it could be known.
    pub known: Known,
    /// Version of the rules.
    pub rules_version: String,
    /// What broke the rule, in words; some, in their alphabetical order.
    pub details: Vec<String>,
    /// Hosts where it was seen; some.
    pub hosts: Vec<String>,
    /// Classes of device with which; all.
    pub classes: Vec<Class>,
    /// Where the evidence is.
    pub evidence: Evidence,
}

/// Says in plain words what a subject did.
pub(crate) fn title(rule: Rule, subject: &Subject) -> String {
    let who = match subject {
        Subject::Tenant(tenant) => format!("tenant {tenant}"),
        Subject::Host(host, _) => format!("host {host}"),
        Subject::AllDevices(host, _) => format!("all devices of host {host}"),
        Subject::Device(host, _, device) => format!("device {device} of host {host}"),
        Subject::Officer(name, _) => format!("officer {name}"),
        Subject::Log(origin) => format!("log {origin}"),
    };
    match rule {
        Rule::UseUnvetted => format!("{who} used devices without an approval"),
        Rule::UseUnattributed => format!("devices of {who} were used and no tenant can be named"),
        Rule::DeviceNotAllowed => {
            format!("{who} used devices of a class that its approval does not allow")
        }
        Rule::VettingExpired => format!("{who} used devices after its approval ran out"),
        Rule::EndCustomerUndeclared => {
            format!("{who} used devices through an intermediary without a declared end customer")
        }
        Rule::RestrictedHq => {
            format!(
                "{who} used controlled devices and a party of its chain has restricted headquarters"
            )
        }
        Rule::UsageGap => match subject {
            Subject::AllDevices(..) | Subject::Device(..) => format!("{who} went unobserved"),
            _ => format!("time of {who} is not covered by records"),
        },
        Rule::ChainFork => format!("{who} signed two histories"),
        Rule::ChainRestart => {
            format!("{who} lost statements from its disk and went on from the log")
        }
        Rule::RecordsLost => format!("{who} lost records before it could send them"),
        Rule::LinesLost => format!("{who} let go of lines, and whose use they told is not known"),
        Rule::ReEnrolled => format!("{who} was enrolled anew while its old chain was open"),
        Rule::KeySuspect => format!("{who} has statements of a key that was revoked"),
        Rule::DeviceMoved => format!("{who} was in another host before"),
        Rule::DeviceDuplicate => format!("{who} is in another host at the same time"),
        Rule::PlannedSilenceExceeded => {
            format!("{who} was silent by plan for longer than a day excuses")
        }
        Rule::LogSuccession => format!("{who} went on in a new generation"),
        Rule::LogContradicted => format!("{who} was shown a log that contradicts this one"),
        Rule::LateRecord => format!("records of {who} came late"),
        Rule::ClockOutOfBounds => format!("{who} claims times that the log disproves"),
        Rule::TimeNotEstablished => {
            format!(
                "when {who} used devices is not established, and its standing changed meanwhile"
            )
        }
    }
}
