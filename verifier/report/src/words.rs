//! What reports say in plain words: what they prove, what they cannot, what a rule means, and how a
//! finding stands.

use affiant_judge::{
    Finding, Rule,
    handling::{Handling, State},
};

/// What a report proves, given an anchor outside the operator.
pub const PROVES: [&str; 4] = [
    "Nothing that was recorded in this period was removed, changed, back-dated or shown differently to others.",
    "Every figure and every finding can be computed again from the evidence in this bundle.",
    "Every silence of an enrolled host shows: time that no record covers is counted as such.",
    "The vetting of each tenant was signed by the officers named here, in the order shown.",
];

/// The condition of all of that.
pub const PROVIDED: &str = "All of this holds given an anchor outside the operator: a witness that \
     you trust, or a checkpoint that you kept. Without one, the operator could have written the \
     whole log anew.";

/// What a report cannot prove.
pub const CANNOT_PROVE: [&str; 6] = [
    "That the administrator of a host did not lie about what its devices did.",
    "That withheld lines belong to whom the operator says.",
    "What model was trained or served, or what the work was for.",
    "Who sat at the keyboard.",
    "Devices that nobody declared and no agent saw.",
    "Hosts that fell silent before this period and of which nothing was logged in it.",
];

/// Fields that regulators have asked for and that no data exists for in this release.
pub const NOT_COLLECTED: [(&str, &str); 10] = [
    (
        "operator.country",
        "the operator does not state it in the log",
    ),
    (
        "devices.location_evidence",
        "the site is as the operator configured it, not attested",
    ),
    ("tenants.payment", "no payment reference is kept"),
    (
        "tenants.contacts",
        "no e-mail address or telephone number is kept",
    ),
    (
        "tenants.access_addresses",
        "addresses of access and administration need a feed from the provider",
    ),
    (
        "tenants.screening",
        "list imports are reserved and not yet judged",
    ),
    (
        "tenants.usage_by_day",
        "figures are for the period as a whole",
    ),
    (
        "compute_estimate",
        "operations are held against the threshold of the policy pack (COMPUTE_THRESHOLD), and no figure is given",
    ),
    ("large_runs", "runs across devices are not told apart"),
    (
        "retention_class",
        "no retention policy is stated in the log",
    ),
];

/// What there is to know of the handling of findings.
pub const HANDLED: &str = "Officers of the operator sign what they do about a finding, with their reasons. It \
     takes no finding away: one that was resolved or withdrawn stays and counts as it did, and whether \
     the reason holds is for the reader to judge.";

/// Of a finding about which no officer signed anything.
pub const NOT_HANDLED: &str = "Open: no officer has signed anything about it.";

/// Of a finding that went on after it was dealt with.
pub const OVERTAKEN: &str = "Evidence was logged since, so it is to be dealt with again.";

/// Says how a finding stands, in a word or two: "open" while officers have something left to do.
pub fn standing(finding: &Finding) -> &'static str {
    match &finding.handling {
        None => "open",
        Some(handling) => match (handling.state, handling.overtaken) {
            (State::Resolved, true) => "resolved, open again",
            (State::Withdrawn, true) => "withdrawn, open again",
            (state, _) => state.as_str(),
        },
    }
}

/// Tells whether officers say that nothing is left to do about a finding.
pub fn is_settled(finding: &Finding) -> bool {
    finding.handling.as_ref().is_some_and(Handling::is_settled)
}

/// Says what a state means.
pub fn means(handling: &Handling) -> &'static str {
    match handling.state {
        State::Acknowledged => "Acknowledged: an officer says that somebody is at it.",
        State::Resolved => "Resolved: an officer says that what caused it was put right.",
        State::WithdrawalAsked => {
            "Withdrawal asked for: one person says that it should not have been raised. It takes two."
        }
        State::Withdrawn => "Withdrawn: two officers say that it should not have been raised.",
    }
}

/// How many findings officers settled in each way.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stand {
    /// With which something is left to do.
    pub open: usize,
    /// Resolved, and no evidence since.
    pub resolved: usize,
    /// Withdrawn by two officers, and no evidence since.
    pub withdrawn: usize,
}

impl Stand {
    /// Counts findings.
    pub fn of(findings: &[Finding]) -> Self {
        let mut stand = Self::default();
        for finding in findings {
            let state = finding.handling.as_ref().filter(|it| it.is_settled());
            match state.map(|handling| handling.state) {
                Some(State::Withdrawn) => stand.withdrawn += 1,
                Some(_) => stand.resolved += 1,
                None => stand.open += 1,
            }
        }
        stand
    }
}

/// Says how many findings are open, and how many officers settled.
pub fn stand(findings: &[Finding]) -> String {
    let Stand {
        open,
        resolved,
        withdrawn,
    } = Stand::of(findings);
    let parts = [
        (open, "open"),
        (resolved, "resolved"),
        (withdrawn, "withdrawn"),
    ];
    let parts = parts
        .into_iter()
        .filter(|(count, what)| *count > 0 || *what == "open");
    let parts: Vec<String> = parts
        .map(|(count, what)| format!("{count} {what}"))
        .collect();
    parts.join(", ")
}

/// Says what a rule means and what a reader may do.
pub fn meaning(rule: Rule) -> &'static str {
    match rule {
        Rule::UseUnvetted => {
            "Devices worked for a tenant that no two officers had approved at that time. Ask when \
             and why it was given access."
        }
        Rule::UseUnattributed => {
            "Devices worked and no binding says for whom. Ask whose the workload was; a binding \
             made later does not change these figures."
        }
        Rule::DeviceNotAllowed => {
            "The approval names the classes of device that the tenant may use, and this is none of \
             them. Ask who widened the access."
        }
        Rule::SiteNotAllowed => {
            "The approval names sites, and this host is enrolled at none of them, or at none at all. Ask why \
             the work was placed there."
        }
        Rule::GpuCap => {
            "The approval, or the policy pack for all who have none, names how many devices the tenant may \
             have at once, and it had more: in one record, or on average of ten minutes over all hosts. Ask \
             for the approval of the larger number."
        }
        Rule::TppCap => {
            "The approval, or the policy pack, names how much processing performance the tenant may have at \
             once, by the device table, and it had more. Devices whose performance is not known are left \
             out. Ask for the approval of the larger figure."
        }
        Rule::HoursCap => {
            "The approval, or the policy pack, names how many device hours the tenant may have in a calendar \
             month, and it had more. Of a report for a part of a month only that part counts. Ask for the \
             approval of the larger figure."
        }
        Rule::Structuring => {
            "Tenants that have a parent, an owner, a customer, an address or a number in a register in common \
             used more together than one of them may, and none did so alone. Ask whether one party stands \
             behind them and was parted to stay below the cap."
        }
        Rule::ComputeThreshold => {
            "By the peak performance of the devices and the time for which the tenant, or linked tenants \
             together, had them, the operations of these months reach the threshold of the policy pack: surely \
             where it is high, by what the pack assumes; possibly where it is medium. Nothing counts \
             operations themselves. Ask what was trained, and whether it is to be reported."
        }
        Rule::RampNewTenant => {
            "The tenant was new and used many devices at once. A new buyer with a large volume is a red flag \
             by the guidance of export authorities, and no breach by itself. Ask for the business case."
        }
        Rule::UseMismatch => {
            "The tenant declared to train no models, or to serve them, and kept many whole hosts busy for days \
             on end, which is what training looks like. What ran cannot be told from here. Ask what it was."
        }
        Rule::CorrelatedTenants => {
            "The loads of two tenants that nothing links rose and fell together over a day, as those of one job \
             that is split in two would. It may be chance, or a habit of many. Ask whether they are one party."
        }
        Rule::InventoryMissing => {
            "An officer declared the device for this site, and for longer than the grace no enrolled host has \
             had it. What it does is not known. Ask where it is."
        }
        Rule::InventoryUnexpected => {
            "A host of the site has a device that the newest declaration of the site does not name. Ask where \
             it came from, and for a declaration that is complete."
        }
        Rule::VettingExpired => {
            "The approval had run out when the devices were used. Ask for the review that was due."
        }
        Rule::EndCustomerUndeclared => {
            "Somebody stands between the operator and the user, and nobody has declared who the \
             end customer is. Ask the intermediary for its customer."
        }
        Rule::RestrictedHq => {
            "A party of the tenant's chain, or one that owns or controls it, is headquartered in a \
             country of the restricted set, and the devices are of a controlled class. A licence \
             may be needed."
        }
        Rule::UsageGap => {
            "For this time no record covers the host, or its devices could not be observed. What \
             ran there is not known."
        }
        Rule::ChainFork => {
            "One key signed two statements at one place of the chain: two copies of the host's \
             disk or key were at work. Nothing more of the chain is taken. Ask for both histories."
        }
        Rule::ChainRestart => {
            "The host came back with an older disk and went on from where the log stood. What it \
             had measured and never sent may be missing. Ask why the disk was restored."
        }
        Rule::RecordsLost => {
            "Records were sealed, and lost before they were sent. What the host's devices did in \
             their time is not known. Ask what happened to its disk."
        }
        Rule::LinesLost => {
            "The host ran out of room and let go of the lines of these records. How much its \
             devices worked stands in their signed totals; for whom is not known."
        }
        Rule::ReEnrolled => {
            "A new chain took the place of one that nobody had retired. Compare the time between \
             the last record of the old and the first of the new."
        }
        Rule::KeySuspect => {
            "A key was revoked from an index that lies behind, and signed statements since. They \
             may be a thief's. What an officer's key permitted in that span permits no more."
        }
        Rule::DeviceMoved => {
            "The device worked in one host and then in another. Ask when it was carried over, and \
             what it did in between."
        }
        Rule::DeviceDuplicate => {
            "Two hosts recorded the same device for the same time. At least one of them is wrong \
             about what it has, or one machine was copied."
        }
        Rule::PlannedSilenceExceeded => {
            "Silence for maintenance is excused for some time of each day, and this was longer. \
             What ran there meanwhile is not known. Ask for the plan."
        }
        Rule::LogSuccession => {
            "Two officers opened a new generation of the log. What lies in a declared loss cannot \
             be shown any more; hosts send again what they still have."
        }
        Rule::LogContradicted => {
            "A host was shown a state of the log that does not fit this one, or not shown a record \
             that it was told is in it. It holds the evidence. Ask it for that, and compare with \
             what witnesses saw."
        }
        Rule::LateRecord => {
            "The log shows only that these records were made within a wide window: after the newest \
             checkpoint that the host had seen, and before they were logged. A host that was cut \
             off sends them late; the times within are its own claim. Ask why it was cut off."
        }
        Rule::ClockOutOfBounds => {
            "The host claims a time at which, by the log's own clock, this was not yet or no longer \
             being made. Its clock is wrong, the log's was, or what it measured was sealed again. \
             What it claims about when is not to be relied on."
        }
        Rule::TimeNotEstablished => {
            "The records came late, and within the window in which they were made the tenant's \
             standing changed. Whether the use was before or after the change is the host's claim \
             alone."
        }
        Rule::ParentUnknown => {
            "The devices are of a controlled class, and who ultimately owns the tenant, or where \
             that parent has its seat, is not known. Where it has decides whether a licence is \
             needed. Ask the tenant."
        }
        Rule::ResellerUnvetted => {
            "A reseller stands between the operator and the user, and it is not known that it was \
             vetted itself. Ask how it knows its customers."
        }
        Rule::ChainTooDeep => {
            "More intermediaries stand between the operator and the user than the policy pack \
             allows. Ask what each of them is for."
        }
        Rule::ListedParty => {
            "A party of the tenant's chain, or one of its owners, is on a list under its own name. \
             Read the entry: what it forbids, and since when."
        }
        Rule::PossibleListed => {
            "A name on a list is near that of a party, and no officer has decided whether it is \
             the same. Ask for that decision."
        }
        Rule::HoldOverdue => {
            "A name on a list is that of a party, or nearly so, and officers had their days to say \
             whether it is the same, and did not. Ask for that decision, and why it took so long."
        }
        Rule::ListedContext => {
            "A unit of a party is on a list, or a listed name contains that of a party. The whole \
             is not listed by that. Ask whether the unit is among the users."
        }
        Rule::Affiliate50 => {
            "Listed parties together own half of a party of the chain or more, directly or through \
             others. Whether that counts depends on the day: see the policy that is named."
        }
        Rule::Affiliate50Unresolved => {
            "Listed parties may own half of a party of the chain: shares are not known well enough \
             to tell. Ask for them."
        }
        Rule::ScreeningStale => {
            "The tenant was screened against lists that are older than the policy pack allows, or \
             never. That no hit stands says nothing."
        }
        Rule::Policy => {
            "A policy of the pack forbids this use and no rule of the judge's own names it. The \
             finding names the policy; the pack says what it means and where it is written."
        }
        Rule::SelfApproval => {
            "Four eyes were two: an officer who approved is a party of the tenant, owns of one or acts \
             for one, or those who approved are one person. The approval permits nothing. Ask who \
             knew, and have two others look at the tenant again."
        }
    }
}
