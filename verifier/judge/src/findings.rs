//! Findings: rules that were broken, as the reader sees them.

use std::{cmp::Ordering, sync::Arc};

use serde::{Deserialize, Serialize};

use crate::{
    devices::Class,
    handling::Handling,
    policy::{Mode, Policy},
};

/// Version of the rules of this release; every finding names it.
pub const RULES_VERSION: &str = "4";

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
    /// A device at a site that the approval does not allow.
    SiteNotAllowed,
    /// More devices at once than the approval, or the policy pack, allows.
    GpuCap,
    /// More processing performance at once than the approval, or the policy pack, allows.
    TppCap,
    /// More device time in a calendar month than the approval, or the policy pack, allows.
    HoursCap,
    /// Linked tenants together exceeded a cap that none of them exceeded by itself.
    Structuring,
    /// Operations in some months may reach, or surely reach, what has to be reported.
    ComputeThreshold,
    /// Much use by a tenant that is new.
    RampNewTenant,
    /// What a tenant used is not like what it declared.
    UseMismatch,
    /// Tenants that nothing links worked in step.
    CorrelatedTenants,
    /// A device that an officer declared is in no host.
    InventoryMissing,
    /// A device in a host whose site's declaration lacks it.
    InventoryUnexpected,
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
    /// The ultimate parent of a tenant, or its headquarters, is not known.
    ParentUnknown,
    /// A reseller stands in the chain that was not vetted itself.
    ResellerUnvetted,
    /// The chain has more intermediaries than the policy pack allows.
    ChainTooDeep,
    /// A party of the chain, or an owner, is on a list.
    ListedParty,
    /// A near name on a list that nobody decided.
    PossibleListed,
    /// A listed unit of a party, or a listed name that contains its.
    ListedContext,
    /// Listed parties together own half of a party or more.
    #[serde(rename = "AFFILIATE_50")]
    Affiliate50,
    /// They may: the shares are not known well enough.
    #[serde(rename = "AFFILIATE_50_UNRESOLVED")]
    Affiliate50Unresolved,
    /// The tenant was screened against old lists, or none.
    ScreeningStale,
    /// A policy of the pack that no other rule names.
    Policy,
    /// An officer approved a tenant that he acts for, or two that were one person did.
    SelfApproval,
    /// A hit on a list was left undecided beyond the days that the pack gives.
    HoldOverdue,
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

impl Severity {
    /// Spells it as policies and reports do.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Low => "low",
            Self::Medium => "medium",
            Self::High => "high",
            Self::Critical => "critical",
        }
    }
}

impl Rule {
    /// The rules that policies of a pack file what they find under.
    pub const OF_POLICIES: [Self; 13] = [
        Self::RestrictedHq,
        Self::ParentUnknown,
        Self::EndCustomerUndeclared,
        Self::ResellerUnvetted,
        Self::ChainTooDeep,
        Self::ListedParty,
        Self::PossibleListed,
        Self::ListedContext,
        Self::Affiliate50,
        Self::Affiliate50Unresolved,
        Self::ScreeningStale,
        Self::HoldOverdue,
        Self::Policy,
    ];

    /// Spells the rule as reports do.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::UseUnvetted => "USE_UNVETTED",
            Self::UseUnattributed => "USE_UNATTRIBUTED",
            Self::DeviceNotAllowed => "DEVICE_NOT_ALLOWED",
            Self::SiteNotAllowed => "SITE_NOT_ALLOWED",
            Self::GpuCap => "GPU_CAP",
            Self::TppCap => "TPP_CAP",
            Self::HoursCap => "HOURS_CAP",
            Self::Structuring => "STRUCTURING",
            Self::ComputeThreshold => "COMPUTE_THRESHOLD",
            Self::RampNewTenant => "RAMP_NEW_TENANT",
            Self::UseMismatch => "USE_MISMATCH",
            Self::CorrelatedTenants => "CORRELATED_TENANTS",
            Self::InventoryMissing => "INVENTORY_MISSING",
            Self::InventoryUnexpected => "INVENTORY_UNEXPECTED",
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
            Self::ParentUnknown => "PARENT_UNKNOWN",
            Self::ResellerUnvetted => "RESELLER_UNVETTED",
            Self::ChainTooDeep => "CHAIN_TOO_DEEP",
            Self::ListedParty => "LISTED_PARTY",
            Self::PossibleListed => "POSSIBLE_LISTED",
            Self::ListedContext => "LISTED_CONTEXT",
            Self::Affiliate50 => "AFFILIATE_50",
            Self::Affiliate50Unresolved => "AFFILIATE_50_UNRESOLVED",
            Self::ScreeningStale => "SCREENING_STALE",
            Self::Policy => "POLICY",
            Self::SelfApproval => "SELF_APPROVAL",
            Self::HoldOverdue => "HOLD_OVERDUE",
        }
    }

    /// How grave a breach of it is at least: evidence of a loss makes LOG_SUCCESSION high, and so does a
    /// lower bound that reaches it COMPUTE_THRESHOLD.
    pub const fn severity(self) -> Severity {
        match self {
            Self::UseUnvetted
            | Self::RestrictedHq
            | Self::ChainFork
            | Self::ListedParty
            | Self::Affiliate50
            | Self::SelfApproval => Severity::Critical,
            Self::UseUnattributed
            | Self::DeviceNotAllowed
            | Self::SiteNotAllowed
            | Self::GpuCap
            | Self::TppCap
            | Self::HoursCap
            | Self::Structuring
            | Self::InventoryMissing
            | Self::VettingExpired
            | Self::EndCustomerUndeclared
            | Self::ParentUnknown
            | Self::Affiliate50Unresolved
            | Self::HoldOverdue
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
            | Self::TimeNotEstablished
            | Self::ResellerUnvetted
            | Self::ChainTooDeep
            | Self::PossibleListed
            | Self::ComputeThreshold
            | Self::RampNewTenant
            | Self::InventoryUnexpected
            | Self::ScreeningStale => Severity::Medium,
            Self::DeviceMoved
            | Self::LogSuccession
            | Self::LateRecord
            | Self::ListedContext
            | Self::UseMismatch
            | Self::CorrelatedTenants
            | Self::Policy => Severity::Low,
        }
    }
}

/// What was broken: a rule, and the policy of a pack where one found it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Cause {
    /// The rule.
    pub rule: Rule,
    /// The policy; `None` where a rule of the judge's own was broken.
    pub policy: Option<Cited>,
}

impl From<Rule> for Cause {
    fn from(rule: Rule) -> Self {
        Self { rule, policy: None }
    }
}

impl Cause {
    /// How grave a breach is at least: as the policy says, else as the rule does.
    pub fn severity(&self) -> Severity {
        let policy = self.policy.as_ref();
        policy.map_or(self.rule.severity(), |cited| cited.policy.severity())
    }

    /// Whether it is by a policy that is only tried.
    pub fn is_shadow(&self) -> bool {
        let policy = self.policy.as_ref();
        policy.is_some_and(|cited| cited.policy.mode() == Mode::Shadow)
    }
}

/// A policy with the pack that it is of.
///
/// Two that differ in the version of their pack alone are one: what breaks a policy goes on breaking it
/// when the next version of the pack has it too. One that is only tried is another than one that counts.
#[derive(Clone, Debug)]
pub struct Cited {
    /// The pack, as `name@version`.
    pub pack: Arc<str>,
    /// The policy.
    pub policy: Arc<Policy>,
}

impl Cited {
    /// The name of the pack, which all of its versions bear.
    pub fn pack_name(&self) -> &str {
        let name = self.pack.split_once('@');
        name.map_or(&self.pack, |(name, _)| name)
    }
}

impl Ord for Cited {
    /// By name of pack, id and mode.
    fn cmp(&self, other: &Self) -> Ordering {
        if Arc::ptr_eq(&self.policy, &other.policy) && Arc::ptr_eq(&self.pack, &other.pack) {
            return Ordering::Equal;
        }
        let by_pack = self.pack_name().cmp(other.pack_name());
        let (one, other) = (&self.policy, &other.policy);
        by_pack.then_with(|| (one.id(), one.mode()).cmp(&(other.id(), other.mode())))
    }
}

impl PartialOrd for Cited {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Cited {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Cited {}

/// Whom or what a finding is about.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Subject {
    /// A tenant, by id.
    Tenant(String),
    /// Tenants that are linked, by the id of one that stands for them.
    Linked(String),
    /// Two tenants, by id, the lesser first.
    Pair(String, String),
    /// A device that was declared for a site: the site, and the device's uuid or serial number.
    Declared(String, String),
    /// All that was declared for a site.
    Site(String),
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
    /// The policy that found it, by its id; `None` where a rule of the judge's own did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub policy: Option<String>,
    /// The pack of that policy, as `name@version`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pack: Option<String>,
    /// Whether the policy is only tried: then this counts for nothing.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub shadow: bool,
    /// What happened, in plain words.
    pub title: String,
    /// The tenant that it is about.
    pub tenant: Option<String>,
    /// All tenants that it is about, where these are several; some.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tenants: Vec<String>,
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
    /// What officers did about it last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub handling: Option<Handling>,
}

/// Says in plain words what a subject did.
pub(crate) fn title(cause: &Cause, subject: &Subject) -> String {
    let who = match subject {
        Subject::Tenant(tenant) => format!("tenant {tenant}"),
        Subject::Linked(tenant) => format!("tenant {tenant} with those linked to it"),
        Subject::Pair(one, other) => format!("tenants {one} and {other}"),
        Subject::Declared(site, device) => format!("device {device} declared for site {site}"),
        Subject::Site(site) => format!("site {site}"),
        Subject::Host(host, _) => format!("host {host}"),
        Subject::AllDevices(host, _) => format!("all devices of host {host}"),
        Subject::Device(host, _, device) => format!("device {device} of host {host}"),
        Subject::Officer(name, _) => format!("officer {name}"),
        Subject::Log(origin) => format!("log {origin}"),
    };
    match cause.rule {
        Rule::UseUnvetted => format!("{who} used devices without an approval"),
        Rule::UseUnattributed => format!("devices of {who} were used and no tenant can be named"),
        Rule::DeviceNotAllowed => {
            format!("{who} used devices of a class that its approval does not allow")
        }
        Rule::SiteNotAllowed => {
            format!("{who} used devices at a site that its approval does not allow")
        }
        Rule::GpuCap => format!("{who} used more devices at once than it may"),
        Rule::TppCap => format!("{who} used more processing performance at once than it may"),
        Rule::HoursCap => format!("{who} used more device time in a month than it may"),
        Rule::Structuring => format!("{who} exceeded a cap together that none exceeded alone"),
        Rule::ComputeThreshold => {
            format!("operations of {who} reach what has to be reported, or may")
        }
        Rule::RampNewTenant => format!("{who} is new and used many devices at once"),
        Rule::UseMismatch => format!("{who} used devices unlike what it declared"),
        Rule::CorrelatedTenants => format!("{who} worked in step, and nothing links them"),
        Rule::InventoryMissing => match subject {
            Subject::Site(_) => format!("more devices declared for {who} are in no host"),
            _ => format!("{who} is in no host"),
        },
        Rule::InventoryUnexpected => match subject {
            Subject::Site(_) => format!("more devices in hosts of {who} are not declared"),
            _ => format!("{who} is not declared for its site"),
        },
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
        Rule::ParentUnknown => {
            format!("{who} used controlled devices and its ultimate parent is not known")
        }
        Rule::ResellerUnvetted => {
            format!("{who} used devices through a reseller that is not vetted")
        }
        Rule::ChainTooDeep => format!("{who} used devices through too many intermediaries"),
        Rule::ListedParty => format!("{who} used devices and a party of its chain is on a list"),
        Rule::PossibleListed => {
            format!("{who} used devices and a name on a list is near that of a party of its chain")
        }
        Rule::ListedContext => {
            format!("{who} used devices and a unit of a party of its chain is on a list")
        }
        Rule::Affiliate50 => {
            format!("{who} used devices and listed parties own half of a party of its chain")
        }
        Rule::Affiliate50Unresolved => {
            format!("{who} used devices and listed parties may own half of a party of its chain")
        }
        Rule::HoldOverdue => {
            format!("{who} used devices and a hit on a list was not decided in its days")
        }
        Rule::ScreeningStale => format!("{who} used devices without a fresh screening"),
        Rule::SelfApproval => {
            format!("{who} was approved by an officer of its own, or by one person twice")
        }
        Rule::Policy => {
            let policy = cause
                .policy
                .as_ref()
                .map(|cited| cited.policy.id().as_ref());
            format!(
                "{who} used devices against policy {}",
                policy.unwrap_or("unknown")
            )
        }
    }
}
