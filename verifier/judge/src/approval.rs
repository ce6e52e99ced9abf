//! The vetting of one tenant: its states, and the decisions that led to them.

use std::collections::{BTreeMap, BTreeSet};

use affiant_proto::{
    Digest,
    v1::{self, TenantState, Verdict},
};
use serde::Serialize;

use crate::timeline::{Doubt, Moment, Stamp};

pub use affiant_proto::authority::APPROVERS;

/// What an approval allows, read from the dossier that was approved.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Terms {
    /// Device classes that may be used; `None` when the approval names no conditions.
    pub classes: Option<BTreeSet<String>>,
    /// Sites where devices may be used, as hosts are enrolled with them; none stands for all.
    pub sites: BTreeSet<String>,
    /// Most devices at once; `None` for any number.
    pub max_gpus: Option<u32>,
    /// Most total processing performance at once, summed over devices; `None` for any.
    pub max_aggregate_tpp: Option<u64>,
    /// Most device time in a calendar month UTC, hours; `None` for any.
    pub max_gpu_hours_month: Option<u64>,
    /// First instant, milliseconds since 1970.
    pub valid_from_unix_ms: Option<u64>,
    /// Last instant.
    pub valid_to_unix_ms: Option<u64>,
}

impl Terms {
    /// Reads the terms of a tenant. Conditions bind wherever they stand; an approval with
    /// conditions that names none allows no class.
    fn of(tenant: &v1::Tenant, conditional: bool) -> Self {
        match &tenant.conditions {
            Some(conditions) => Self {
                classes: Some(conditions.device_classes.iter().cloned().collect()),
                sites: conditions.sites.iter().cloned().collect(),
                max_gpus: conditions.max_gpus,
                max_aggregate_tpp: conditions.max_aggregate_tpp,
                max_gpu_hours_month: conditions.max_gpu_hours_month,
                valid_from_unix_ms: conditions.valid_from_unix_ms,
                valid_to_unix_ms: conditions.valid_to_unix_ms,
            },
            None => Self {
                classes: conditional.then(BTreeSet::new),
                ..Self::default()
            },
        }
    }
}

/// One change of a tenant's state.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Change {
    /// Log index of the event that made it.
    pub index: u64,
    /// The log's time there, milliseconds since 1970.
    pub logged_unix_ms: u64,
    /// From when it works.
    pub from_unix_ms: u64,
    /// Whether `from_unix_ms` may lie before the inclusion.
    pub reaches_back: bool,
    /// The state, as `under_review`.
    pub state: &'static str,
    /// Officers who decided, by the digest that opened their chain, in hexadecimal.
    pub officers: Vec<String>,
    /// Their reason, or why the judge lapsed an approval.
    pub reason: String,
    /// What an approval allows.
    pub terms: Option<Terms>,
    /// Log index of what casts doubt on it, such as the revocation of a key by which it was decided;
    /// as known since then, it permits nothing and never did.
    pub doubted_at_index: Option<u64>,
    /// What that was.
    #[serde(skip)]
    ground: Option<Ground>,
    /// Log indices of the decisions that led to it.
    #[serde(skip)]
    decisions: BTreeSet<u64>,
}

/// Why an approval is in doubt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ground {
    /// A key by which it was approved was revoked.
    KeyRevoked,
    /// Those who approved were not two who may.
    FourEyes,
}

impl Ground {
    /// The state of a tenant whose approval is in doubt.
    fn state(self) -> &'static str {
        match self {
            Self::KeyRevoked => "approved by a key that was revoked",
            Self::FourEyes => "approved without two officers who may",
        }
    }

    /// Why the approval ended.
    fn reason(self) -> &'static str {
        match self {
            Self::KeyRevoked => "a key by which it was approved was revoked",
            Self::FourEyes => "an officer who approved it acts for the applicant, or both were one",
        }
    }
}

impl Vetting {
    /// Spells the state as policies read it.
    pub const fn state(&self) -> &'static str {
        match self {
            Self::Approved(terms) if terms.classes.is_none() => "approved",
            Self::Approved(_) => "approved_with_conditions",
            Self::Expired => "expired",
            Self::Not(state) => state,
        }
    }
}

/// A tenant's vetting as it is at one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Vetting {
    /// Approved, on these terms.
    Approved(Terms),
    /// Was approved, and the approval ran out.
    Expired,
    /// Not approved; the state that it is in.
    Not(&'static str),
}

/// Why an officer's act had no effect.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoEffect {
    /// Approval by a change of state.
    #[error(
        "approval of tenant {0} by one change of state: an approval takes two officers' decisions"
    )]
    ApprovalByOne(String),
    /// A state or verdict that is not defined.
    #[error("event about tenant {0} names no state or verdict that is defined")]
    Undefined(String),
    /// A decision about a tenant nobody stated.
    #[error("decision about tenant {0}, which no event stated before")]
    NoTenant(String),
    /// A decision over something else than the dossier as it stands.
    #[error(
        "decision about tenant {0} is over another dossier than stands in the log; decide again"
    )]
    OtherDossier(String),
    /// A hit that the officer may not clear.
    #[error("a hit of party {0} is not cleared by this officer: {1}; another has to clear it")]
    OwnHit(String, String),
    /// A decision on a hit that neither clears nor confirms it, or sees it in no class.
    #[error(
        "decision on a hit of party {0} neither clears nor confirms it in a class that is defined"
    )]
    NotOnAHit(String),
    /// A decision on a finding that is none.
    #[error("decision on finding {0} neither acknowledges, resolves nor withdraws it")]
    NotOnAFinding(String),
    /// One without a reason.
    #[error("decision on finding {0} gives no reason")]
    NoReason(String),
    /// A pack that cannot be read.
    #[error("policy pack {pack} is not judged: {fault}")]
    Pack {
        /// The pack.
        pack: String,
        /// Why.
        fault: String,
    },
    /// A list, or aliases, that cannot be read.
    #[error("list {list}, version {version}, is not judged: {fault}")]
    Import {
        /// The list.
        list: String,
        /// The version.
        version: String,
        /// Why.
        fault: String,
    },
    /// The officer had approved the same dossier already.
    #[error(
        "decision about tenant {0} by an officer who approved the same dossier before: one officer \
         counts once, and another has to approve"
    )]
    Again(String),
    /// The officer acts for the applicant, or is one of its parties.
    #[error("decision about tenant {0} by an officer of its own: {1}; another has to approve")]
    OwnTenant(String, String),
    /// The officers who approved are one person.
    #[error("decision about tenant {0} by the same person: {1}; another has to approve")]
    OnePerson(String, String),
    /// A decision about a tenant that was rejected or closed and has not applied since.
    #[error(
        "decision about tenant {0}, which was {1}: it has to apply anew before anybody can approve it"
    )]
    NotApplied(String, &'static str),
    /// An event without a body.
    #[error("tenant event {0} says nothing")]
    Empty(u64),
}

#[derive(Clone, Debug)]
struct Opinion {
    index: u64,
    dossier: Vec<u8>,
    conditional: bool,
    effective_ms: u64,
}

/// All changes and pending decisions of one tenant.
#[derive(Clone, Debug, Default)]
pub(crate) struct Approval {
    changes: Vec<Change>,
    opinions: BTreeMap<[u8; 32], Opinion>,
    approved: Option<Digest>,
    /// The dossier under an approval that stands until what was dated ahead takes effect, and when that is.
    ending: Option<(Digest, u64)>,
    /// `rejected` or `closed`, until it applies anew: nobody can approve it before.
    barred: Option<&'static str>,
}

impl Approval {
    pub(crate) fn changes(&self) -> &[Change] {
        &self.changes
    }

    /// What it was, as `closed`, where it has to apply anew before anybody can approve it.
    pub(crate) fn barred(&self) -> Option<&'static str> {
        self.barred
    }

    /// Whether an officer's decision may wait for another's.
    pub(crate) fn is_pending(&self) -> bool {
        self.approved.is_none() && !self.opinions.is_empty()
    }

    /// Who has decided to approve this dossier while it takes more, each with the log index of that.
    pub(crate) fn waiting(&self, dossier: Digest) -> Vec<([u8; 32], u64)> {
        let over = |opinion: &&Opinion| opinion.dossier == dossier.as_bytes();
        let all = self.opinions.iter();
        let waits = all.filter(|(_, opinion)| self.approved != Some(dossier) && over(opinion));
        let mut waits: Vec<_> = waits
            .map(|(officer, opinion)| (*officer, opinion.index))
            .collect();
        waits.sort_by_key(|(_, index)| *index);
        waits
    }

    /// The dossier under a standing approval.
    pub(crate) fn approved(&self) -> Option<Digest> {
        self.approved
    }

    /// The same, or that under an approval which ends later than an instant: as long as it permits
    /// anything, it lapses with its dossier.
    pub(crate) fn watched(&self, instant_ms: u64) -> Option<Digest> {
        let ending = self.ending.filter(|(_, end)| *end > instant_ms);
        self.approved.or(ending.map(|(dossier, _)| dossier))
    }

    /// Takes a change of state by one officer: everything but approval.
    ///
    /// Suspension, rejection, expiry and closing reach back to their effective instant; a return
    /// to draft, application or review works from inclusion. All of them end a standing approval
    /// and the decisions that led to it. After a rejection or a closing, whenever it works, only an
    /// application opens the way to an approval again.
    pub(crate) fn change(
        &mut self,
        stamp: Stamp,
        officer: [u8; 32],
        change: &v1::TenantStateChange,
    ) -> Result<(), NoEffect> {
        let state = TenantState::try_from(change.state).unwrap_or_default();
        let reaches_back = match state {
            TenantState::Unspecified => return Err(NoEffect::Undefined(change.tenant.clone())),
            TenantState::Approved | TenantState::ApprovedWithConditions => {
                return Err(NoEffect::ApprovalByOne(change.tenant.clone()));
            }
            TenantState::Draft | TenantState::Applied | TenantState::UnderReview => false,
            _ => true,
        };
        self.restrict(
            stamp,
            reaches_back,
            word(state),
            vec![officer],
            change.reason.clone(),
        );
        Ok(())
    }

    /// Takes one officer's decision, `standing` being the tenant and the digest of its dossier as
    /// they stand at this index. `alike` says why officers are fewer persons than it takes.
    pub(crate) fn decide(
        &mut self,
        stamp: Stamp,
        officer: [u8; 32],
        decision: &v1::Decision,
        standing: (&v1::Tenant, Digest),
        alike: &dyn Fn(&BTreeSet<[u8; 32]>) -> Option<String>,
    ) -> Result<(), NoEffect> {
        let (tenant, dossier) = standing;
        let conditional = match Verdict::try_from(decision.verdict).unwrap_or_default() {
            Verdict::Unspecified
            | Verdict::Clear
            | Verdict::Confirm
            | Verdict::Acknowledge
            | Verdict::Resolve
            | Verdict::Withdraw => return Err(NoEffect::Undefined(decision.tenant.clone())),
            Verdict::Reject => {
                self.restrict(
                    stamp,
                    true,
                    "rejected",
                    vec![officer],
                    decision.reason.clone(),
                );
                return Ok(());
            }
            Verdict::Approve => false,
            Verdict::ApproveWithConditions => true,
        };
        if let Some(was) = self.barred {
            return Err(NoEffect::NotApplied(decision.tenant.clone(), was));
        }
        let effective_ms = stamp.effective_ms;
        let opinion = Opinion {
            index: stamp.index,
            dossier: decision.dossier.clone(),
            conditional,
            effective_ms,
        };
        // Before it is kept: whoever is tied to the tenant was asked of the dossier as it stands.
        if decision.dossier != dossier.as_bytes() {
            return Err(NoEffect::OtherDossier(decision.tenant.clone()));
        }
        let before = self.opinions.insert(officer, opinion);
        let agreed = self
            .opinions
            .iter()
            .filter(|(_, opinion)| opinion.dossier == dossier.as_bytes());
        let agreed: Vec<_> = agreed.collect();
        if self.approved == Some(dossier) {
            return Ok(());
        }
        if agreed.len() < APPROVERS {
            let again = before.is_some_and(|before| before.dossier == decision.dossier);
            return match again {
                true => Err(NoEffect::Again(decision.tenant.clone())),
                false => Ok(()),
            };
        }
        let officers = agreed.iter().map(|(officer, _)| **officer).collect();
        if let Some(why) = alike(&officers) {
            return Err(NoEffect::OnePerson(decision.tenant.clone(), why));
        }
        let conditional = agreed.iter().any(|(_, opinion)| opinion.conditional);
        let effective_ms = agreed.iter().map(|(_, opinion)| opinion.effective_ms).max();
        let change = Change {
            index: stamp.index,
            logged_unix_ms: stamp.logged_ms,
            from_unix_ms: effective_ms.unwrap_or(0).max(stamp.logged_ms),
            reaches_back: false,
            state: if conditional {
                "approved_with_conditions"
            } else {
                "approved"
            },
            officers: agreed.iter().map(|(officer, _)| hex(officer)).collect(),
            reason: decision.reason.clone(),
            terms: Some(Terms::of(tenant, conditional)),
            doubted_at_index: None,
            ground: None,
            decisions: agreed.iter().map(|(_, opinion)| opinion.index).collect(),
        };
        self.changes.push(change);
        self.approved = Some(dossier);
        self.ending = None;
        Ok(())
    }

    /// Ends a standing approval whose dossier is no longer the one that was approved. It works
    /// from inclusion, whenever the change takes effect: what was used before was used under an approval
    /// that stood, and what comes is not what anybody approved.
    pub(crate) fn lapse(&mut self, stamp: Stamp) {
        let stamp = Stamp {
            effective_ms: stamp.logged_ms,
            ..stamp
        };
        let reason = "the dossier changed after it was approved".to_owned();
        self.restrict(stamp, false, "under_review", Vec::new(), reason);
    }

    /// Casts doubt on decisions: approvals that rest on one permit nothing as known from then on, and one that stands ends. Gives the log indices of these approvals. What the
    /// decisions restricted stays restricted.
    pub(crate) fn doubt(&mut self, stamp: Stamp, doubt: &Doubt, ground: Ground) -> Vec<u64> {
        let mut found = Vec::new();
        for change in &mut self.changes {
            if !change.decisions.is_disjoint(&doubt.acts) && change.doubted_at_index.is_none() {
                change.doubted_at_index = Some(doubt.index);
                change.ground = Some(ground);
                found.push(change.index);
            }
        }
        self.opinions
            .retain(|_, opinion| !doubt.acts.contains(&opinion.index));
        let last = self.changes.last();
        let stands =
            self.approved.is_some() && last.is_some_and(|change| change.doubted_at_index.is_some());
        if stands {
            let reason = ground.reason().to_owned();
            self.restrict(stamp, false, "under_review", Vec::new(), reason);
        }
        found
    }

    /// Whether no decision about the tenant works at a moment, and none did before.
    pub(crate) fn is_undecided(&self, at: Moment) -> bool {
        let known = self.changes.iter();
        let mut known = known.filter(|change| {
            let reaches = change.reaches_back && change.index < at.known_before;
            (change.index < at.index || reaches) && change.from_unix_ms <= at.instant_ms
        });
        known.all(|change| matches!(change.state, "draft" | "applied" | "under_review"))
    }

    /// The state at a moment: the last of the log among the changes that work by then. What
    /// reaches back, and was logged after the use, counts as far as `at` may know it. With it the
    /// change that makes it so; of an approval in doubt, the approval.
    ///
    /// Only what was approved can expire: an expiry of anything else changes nothing, for a use without
    /// an approval is no less grave because somebody says that one ran out.
    pub(crate) fn governing(&self, at: Moment) -> (Vetting, Option<&Change>) {
        let (vetting, change) = self.unexpired(at);
        let expired = self.changes.iter().rev().find(|change| {
            let known = change.index < at.index || change.index < at.known_before;
            change.state == EXPIRED && known && change.from_unix_ms <= at.instant_ms
        });
        let before = change.map_or(0, |change| change.index);
        match expired.filter(|expired| expired.index > before) {
            Some(expired) if !matches!(vetting, Vetting::Not(_)) => {
                (Vetting::Expired, Some(expired))
            }
            _ => (vetting, change),
        }
    }

    fn unexpired(&self, at: Moment) -> (Vetting, Option<&Change>) {
        let works =
            |change: &&Change| change.from_unix_ms <= at.instant_ms && change.state != EXPIRED;
        let later = self.changes.iter().rev().filter(works).find(|change| {
            change.reaches_back && change.index >= at.index && change.index < at.known_before
        });
        let before = self.changes.iter().rev().filter(works);
        let mut before = before.filter(|change| change.index < at.index).peekable();
        let is_doubted = |change: &&Change| {
            let known = change.doubted_at_index;
            known.is_some_and(|known| known < at.known_before)
        };
        let doubted = before.peek().copied();
        let doubted = doubted.filter(|change| later.is_none() && is_doubted(change));
        let change = later.or_else(|| before.find(|change| !is_doubted(change)));
        let vetting = change.map_or(Vetting::Not("draft"), |change| allows(change, at));
        match (vetting, doubted) {
            (Vetting::Not(_), Some(doubted)) => {
                let ground = doubted.ground.unwrap_or(Ground::KeyRevoked);
                (Vetting::Not(ground.state()), Some(doubted))
            }
            (vetting, _) => (vetting, change),
        }
    }

    /// Whether a decision is one to approve.
    pub(crate) fn approves(decision: &v1::Decision) -> bool {
        let verdict = Verdict::try_from(decision.verdict).unwrap_or_default();
        matches!(verdict, Verdict::Approve | Verdict::ApproveWithConditions)
    }

    /// The decisions behind each approval that is not in doubt, and those that wait for a second.
    pub(crate) fn undoubted(&self) -> Vec<BTreeSet<u64>> {
        let approvals = self
            .changes
            .iter()
            .filter(|change| change.doubted_at_index.is_none() && !change.decisions.is_empty());
        let approvals = approvals.map(|change| change.decisions.clone());
        let waiting = self.opinions.values().map(|opinion| opinion.index);
        let waiting = waiting.map(|index| BTreeSet::from([index]));
        let mut all: Vec<BTreeSet<u64>> = approvals.collect();
        let waiting: Vec<_> = waiting
            .filter(|one| all.iter().all(|decisions| decisions.is_disjoint(one)))
            .collect();
        all.extend(waiting);
        all
    }

    fn restrict(
        &mut self,
        stamp: Stamp,
        reaches_back: bool,
        state: &'static str,
        officers: Vec<[u8; 32]>,
        reason: String,
    ) {
        let from_unix_ms = match reaches_back {
            true => stamp.effective_ms,
            false => stamp.permits_from(),
        };
        self.opinions.clear();
        let watched = self.watched(stamp.logged_ms);
        self.approved = None;
        let ahead = from_unix_ms > stamp.logged_ms;
        let ends = self
            .ending
            .map_or(from_unix_ms, |(_, end)| end.min(from_unix_ms));
        self.ending = watched.filter(|_| ahead).map(|dossier| (dossier, ends));
        match state {
            "rejected" | "closed" => self.barred = Some(state),
            "applied" => self.barred = None,
            _ => {}
        }
        self.changes.push(Change {
            index: stamp.index,
            logged_unix_ms: stamp.logged_ms,
            from_unix_ms,
            reaches_back,
            state,
            officers: officers.iter().map(hex).collect(),
            reason,
            terms: None,
            doubted_at_index: None,
            ground: None,
            decisions: BTreeSet::new(),
        });
    }
}

/// The state of what was approved and ran out.
const EXPIRED: &str = "expired";

/// What a change allows at a moment.
fn allows(change: &Change, at: Moment) -> Vetting {
    match &change.terms {
        None => Vetting::Not(change.state),
        Some(terms)
            if terms
                .valid_from_unix_ms
                .is_some_and(|from| at.instant_ms < from) =>
        {
            Vetting::Not("approved for a later time")
        }
        Some(terms) if terms.valid_to_unix_ms.is_some_and(|to| at.instant_ms > to) => {
            Vetting::Expired
        }
        Some(terms) => Vetting::Approved(terms.clone()),
    }
}

/// The beginning of a chain, for words: as much as tells officers apart.
pub(crate) fn short(chain: &[u8; 32]) -> String {
    hex(chain).chars().take(8).collect()
}

pub(crate) fn hex(chain: &[u8; 32]) -> String {
    Digest::new(*chain).to_string()
}

fn word(state: TenantState) -> &'static str {
    match state {
        TenantState::Unspecified => "unspecified",
        TenantState::Draft => "draft",
        TenantState::Applied => "applied",
        TenantState::UnderReview => "under_review",
        TenantState::Approved => "approved",
        TenantState::ApprovedWithConditions => "approved_with_conditions",
        TenantState::Rejected => "rejected",
        TenantState::Suspended => "suspended",
        TenantState::Expired => EXPIRED,
        TenantState::Closed => "closed",
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    const ANN: [u8; 32] = [1; 32];
    const BO: [u8; 32] = [2; 32];

    impl Approval {
        fn at(&self, at: Moment) -> Vetting {
            self.governing(at).0
        }
    }

    fn dossier() -> Digest {
        affiant_proto::digest(b"dossier")
    }

    fn stamp(index: u64, effective_ms: u64) -> Stamp {
        Stamp {
            index,
            logged_ms: index * 10,
            effective_ms,
        }
    }

    fn decide(
        approval: &mut Approval,
        index: u64,
        officer: [u8; 32],
        digest: Digest,
    ) -> Result<(), NoEffect> {
        let decision = v1::Decision {
            dossier: digest.as_bytes().to_vec(),
            verdict: Verdict::Approve.into(),
            ..Default::default()
        };
        approval.decide(
            stamp(index, 0),
            officer,
            &decision,
            (&v1::Tenant::default(), dossier()),
            &|_| None,
        )
    }

    fn approved_at_2() -> Approval {
        let mut approval = Approval::default();
        decide(&mut approval, 1, ANN, dossier()).unwrap();
        decide(&mut approval, 2, BO, dossier()).unwrap();
        approval
    }

    fn change(state: TenantState) -> v1::TenantStateChange {
        v1::TenantStateChange {
            state: state.into(),
            ..Default::default()
        }
    }

    #[test]
    fn two_officers_approve_and_an_approval_does_not_reach_back() {
        let approval = approved_at_2();
        assert_eq!(
            approval.at(Moment::as_known_then(3, 25)),
            Vetting::Approved(Terms::default())
        );
        assert_eq!(
            approval.at(Moment::as_known_then(3, 15)),
            Vetting::Not("draft")
        );
        assert_eq!(
            approval.at(Moment::as_known_now(1, 25)),
            Vetting::Not("draft")
        );
    }

    #[test]
    fn one_officer_twice_is_not_two() {
        let mut approval = Approval::default();
        decide(&mut approval, 1, ANN, dossier()).unwrap();
        for index in 2..9 {
            let again = decide(&mut approval, index, ANN, dossier());
            assert_eq!(again, Err(NoEffect::Again(String::new())));
        }
        assert_eq!(
            approval.at(Moment::as_known_now(99, 999)),
            Vetting::Not("draft")
        );
    }

    #[test]
    fn two_officers_over_different_dossiers_do_not_agree() {
        let mut approval = Approval::default();
        let other = affiant_proto::digest(b"another");
        assert!(matches!(
            decide(&mut approval, 1, ANN, other),
            Err(NoEffect::OtherDossier(_))
        ));
        decide(&mut approval, 2, BO, dossier()).unwrap();
        assert_eq!(
            approval.at(Moment::as_known_now(99, 999)),
            Vetting::Not("draft")
        );
    }

    #[test]
    fn one_officer_cannot_approve_by_a_change_of_state() {
        let mut approval = Approval::default();
        let made = approval.change(stamp(1, 0), ANN, &change(TenantState::Approved));
        assert!(matches!(made, Err(NoEffect::ApprovalByOne(_))));
        assert_eq!(
            approval.at(Moment::as_known_now(99, 999)),
            Vetting::Not("draft")
        );
    }

    #[test]
    fn a_suspension_reaches_back_as_known_now_and_not_as_known_then() {
        let mut approval = approved_at_2();
        approval
            .change(stamp(9, 40), ANN, &change(TenantState::Suspended))
            .unwrap();
        assert_eq!(
            approval.at(Moment::as_known_then(5, 50)),
            Vetting::Approved(Terms::default())
        );
        assert_eq!(
            approval.at(Moment::as_known_now(5, 50)),
            Vetting::Not("suspended")
        );
        assert_eq!(
            approval.at(Moment::as_known_now(5, 39)),
            Vetting::Approved(Terms::default())
        );
    }

    #[test]
    fn decisions_made_before_a_suspension_do_not_count_after_it() {
        let mut approval = approved_at_2();
        approval
            .change(stamp(9, 90), ANN, &change(TenantState::Suspended))
            .unwrap();
        decide(&mut approval, 10, ANN, dossier()).unwrap();
        assert_eq!(
            approval.at(Moment::as_known_now(99, 999)),
            Vetting::Not("suspended")
        );
        decide(&mut approval, 11, BO, dossier()).unwrap();
        assert_eq!(
            approval.at(Moment::as_known_now(99, 999)),
            Vetting::Approved(Terms::default())
        );
    }

    #[test]
    fn what_was_rejected_or_closed_is_approved_only_after_it_applied_anew() {
        for end in [TenantState::Rejected, TenantState::Closed] {
            let mut approval = approved_at_2();
            // To come, or by now: the officers who approve after it have to know of it.
            for (index, effective) in [(9, 90), (9, 99_999)] {
                let mut approval = approval.clone();
                let made = approval.change(stamp(index, effective), ANN, &change(end));
                made.unwrap();
                let one = change(TenantState::UnderReview);
                approval.change(stamp(10, 0), BO, &one).unwrap();
                for officer in [ANN, BO] {
                    let made = decide(&mut approval, 11, officer, dossier());
                    let why = NoEffect::NotApplied(String::new(), word(end));
                    assert_eq!(made, Err(why));
                }
                assert_eq!(approval.waiting(dossier()), []);
                let now = approval.at(Moment::as_known_now(99, 999));
                assert_eq!(now, Vetting::Not("under_review"));
            }
            approval.change(stamp(9, 90), ANN, &change(end)).unwrap();
            let applied = change(TenantState::Applied);
            approval.change(stamp(10, 0), ANN, &applied).unwrap();
            decide(&mut approval, 11, ANN, dossier()).unwrap();
            assert_eq!(approval.waiting(dossier()), [(ANN, 11)]);
            decide(&mut approval, 12, BO, dossier()).unwrap();
            assert_eq!(approval.waiting(dossier()), []);
            assert_eq!(
                approval.at(Moment::as_known_now(99, 999)),
                Vetting::Approved(Terms::default())
            );
        }
    }

    #[test]
    fn an_approval_by_a_key_that_was_revoked_stands_as_known_then_and_not_as_known_now() {
        let mut approval = approved_at_2();
        let doubt = Doubt {
            index: 9,
            acts: BTreeSet::from([2]),
        };
        assert_eq!(
            approval.doubt(stamp(9, 20), &doubt, Ground::KeyRevoked),
            [2]
        );
        let then = approval.at(Moment::as_known_then(5, 50));
        assert_eq!(then, Vetting::Approved(Terms::default()));
        let revoked = Vetting::Not("approved by a key that was revoked");
        assert_eq!(approval.at(Moment::as_known_now(5, 50)), revoked);
        let after = approval.at(Moment::as_known_then(10, 100));
        assert_eq!(after, Vetting::Not("under_review"));
        decide(&mut approval, 11, ANN, dossier()).unwrap();
        decide(&mut approval, 12, BO, dossier()).unwrap();
        let again = approval.at(Moment::as_known_now(13, 130));
        assert_eq!(again, Vetting::Approved(Terms::default()));
        assert_eq!(approval.at(Moment::as_known_now(5, 50)), revoked);
    }

    #[test]
    fn a_decision_in_doubt_counts_for_no_later_approval() {
        let mut approval = Approval::default();
        decide(&mut approval, 1, ANN, dossier()).unwrap();
        let doubt = Doubt {
            index: 5,
            acts: BTreeSet::from([1]),
        };
        assert_eq!(
            approval.doubt(stamp(5, 0), &doubt, Ground::KeyRevoked),
            [] as [u64; 0]
        );
        decide(&mut approval, 6, BO, dossier()).unwrap();
        let now = approval.at(Moment::as_known_now(99, 999));
        assert_eq!(now, Vetting::Not("draft"));
    }

    /// The terms of an approval for one class that runs out.
    fn only_b() -> Vetting {
        Vetting::Approved(Terms {
            classes: Some(BTreeSet::from(["3A090.b".to_owned()])),
            valid_from_unix_ms: Some(100),
            valid_to_unix_ms: Some(200),
            ..Terms::default()
        })
    }

    #[test]
    fn conditions_that_ran_out_are_expired_and_not_unvetted() {
        let mut approval = Approval::default();
        let conditions = v1::Conditions {
            valid_from_unix_ms: Some(100),
            valid_to_unix_ms: Some(200),
            device_classes: vec!["3A090.b".into()],
            ..Default::default()
        };
        let tenant = v1::Tenant {
            conditions: Some(conditions),
            ..Default::default()
        };
        for (index, officer) in [(1, ANN), (2, BO)] {
            let decision = v1::Decision {
                dossier: dossier().as_bytes().to_vec(),
                verdict: Verdict::ApproveWithConditions.into(),
                ..Default::default()
            };
            approval
                .decide(
                    stamp(index, 0),
                    officer,
                    &decision,
                    (&tenant, dossier()),
                    &|_| None,
                )
                .unwrap();
        }
        let at = |instant| approval.at(Moment::as_known_then(50, instant));
        assert!(matches!(at(99), Vetting::Not(_)));
        assert_eq!(at(150), only_b());
        assert_eq!(at(200), only_b());
        assert_eq!(at(201), Vetting::Expired);
    }

    #[test]
    fn an_approval_with_conditions_that_names_none_allows_no_class() {
        assert_eq!(
            Terms::of(&v1::Tenant::default(), true).classes,
            Some(BTreeSet::new())
        );
        assert_eq!(Terms::of(&v1::Tenant::default(), false).classes, None);
    }
}
