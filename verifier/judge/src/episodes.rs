//! Episodes: observations of one rule and subject that lie close together, as one finding.
//!
//! An episode is a connected part of the observations under "less than the gap apart". So sets of
//! episodes merge in any order and grouping, and a verdict may be put together from parts.

use std::{
    borrow::Borrow,
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use affiant_proto::{Digest, digest};

use crate::{
    devices::Class,
    findings::{Cause, Cited, Evidence, Finding, Known, RULES_VERSION, Severity, Subject, title},
};

/// Most log indices that a finding lists: sixteen are enough to look at, and the first and last
/// of all stand beside them. 16 × 8 bytes.
pub const MAX_INDICES: usize = 16;

/// Most details, and most hosts, that a finding lists.
pub const MAX_DETAILS: usize = 16;

/// Most tenants that a finding lists, where it is about several.
pub const MAX_TENANTS: usize = 64;

/// Most characters of one detail: workload names come from hosts.
pub const MAX_DETAIL_CHARS: usize = 200;

/// What episodes are told apart by.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Key {
    /// What was broken.
    pub cause: Cause,
    /// Who or what broke it.
    pub subject: Subject,
    /// When that could be known.
    pub known: Known,
}

/// Evidence of one breach: a record, a span of records, or a span without.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Episode {
    from_ms: u64,
    to_ms: u64,
    last_index: u64,
    count: u64,
    indices: BTreeSet<u64>,
    logged_first_ms: u64,
    logged_last_ms: u64,
    details: BTreeSet<String>,
    hosts: BTreeSet<String>,
    classes: BTreeSet<Class>,
    tenants: BTreeSet<String>,
    severity: Option<Severity>,
    /// The policy as its newest evidence was judged by, where a pack found it, and that evidence.
    cited: Option<(u64, Cited)>,
}

/// One record that broke a rule.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Observed<'a> {
    pub(crate) index: u64,
    /// Its interval by the wall clock.
    pub(crate) span_ms: (u64, u64),
    pub(crate) logged_ms: u64,
    pub(crate) host: &'a str,
    /// What broke it, cut by [`cut`], each with the class of device that was used.
    pub(crate) told: &'a [(String, Class)],
    /// The policy that it broke, where a pack found it.
    pub(crate) cited: Option<&'a Cited>,
}

/// A detail as a finding has room for it.
pub(crate) fn cut(detail: &str) -> String {
    detail.chars().take(MAX_DETAIL_CHARS).collect()
}

impl Episode {
    /// Begins with `count` pieces of evidence between two log indices and two instants.
    pub fn new(indices: (u64, u64), span_ms: (u64, u64), logged_ms: u64, count: u64) -> Self {
        Self {
            from_ms: span_ms.0.min(span_ms.1),
            to_ms: span_ms.0.max(span_ms.1),
            last_index: indices.0.max(indices.1),
            count,
            indices: BTreeSet::from([indices.0, indices.1]),
            logged_first_ms: logged_ms,
            logged_last_ms: logged_ms,
            details: BTreeSet::new(),
            hosts: BTreeSet::new(),
            classes: BTreeSet::new(),
            tenants: BTreeSet::new(),
            severity: None,
            cited: None,
        }
    }

    /// Makes it as grave as `severity`, where that is more than the rule's own.
    pub fn grave(mut self, severity: Severity) -> Self {
        self.severity = self.severity.max(Some(severity));
        self
    }

    /// Adds what happened and where; a detail longer than [`MAX_DETAIL_CHARS`] is cut.
    pub fn with(mut self, detail: &str, host: &str, class: Option<Class>) -> Self {
        self.tell(detail, host, class);
        self
    }

    /// Adds what happened and where to what is there.
    pub fn tell(&mut self, detail: &str, host: &str, class: Option<Class>) {
        self.say(detail);
        self.hosts.insert(host.to_owned());
        self.classes.extend(class);
        bound(&mut self.hosts, MAX_DETAILS);
    }

    /// Adds what happened, at no host in particular.
    pub fn say(&mut self, detail: &str) {
        self.details.insert(cut(detail));
        bound(&mut self.details, MAX_DETAILS);
    }

    /// Adds tenants that it is about; of many the first [`MAX_TENANTS`] by id.
    pub fn of<'a>(mut self, tenants: impl IntoIterator<Item = &'a str>) -> Self {
        self.tenants.extend(tenants.into_iter().map(str::to_owned));
        bound(&mut self.tenants, MAX_TENANTS);
        self
    }

    fn near(&self, (from_ms, to_ms): (u64, u64), gap_ms: u64) -> bool {
        self.from_ms.saturating_sub(to_ms) < gap_ms && from_ms.saturating_sub(self.to_ms) < gap_ms
    }

    /// Takes the newest version of its policy; how grave it is stays what the gravest of them said.
    fn cite(&mut self, cited: Option<(u64, Cited)>) {
        let both = [&self.cited, &cited].into_iter().flatten();
        let gravest = both.map(|(_, cited)| cited.policy.severity()).max();
        if self.cited.is_some() {
            self.severity = self.severity.max(gravest);
        }
        let order = |(index, cited): &(u64, Cited)| (*index, Arc::clone(&cited.pack));
        if cited.as_ref().map(order) > self.cited.as_ref().map(order) {
            self.cited = cited;
        }
    }

    fn take(&mut self, seen: &Observed<'_>) {
        self.from_ms = self.from_ms.min(seen.span_ms.0);
        self.to_ms = self.to_ms.max(seen.span_ms.1);
        self.last_index = self.last_index.max(seen.index);
        self.count = self.count.saturating_add(1);
        match (&mut self.cited, seen.cited) {
            // With nearly every record it is what it was.
            (Some((index, known)), Some(cited)) if Arc::ptr_eq(&known.pack, &cited.pack) => {
                *index = seen.index.max(*index);
            }
            (_, cited) => self.cite(cited.map(|cited| (seen.index, cited.clone()))),
        }
        self.logged_first_ms = self.logged_first_ms.min(seen.logged_ms);
        self.logged_last_ms = self.logged_last_ms.max(seen.logged_ms);
        keep(&mut self.indices, MAX_INDICES, &seen.index);
        keep(&mut self.hosts, MAX_DETAILS, seen.host);
        for (detail, class) in seen.told {
            keep(&mut self.details, MAX_DETAILS, detail.as_str());
            self.classes.insert(*class);
        }
    }

    fn absorb(&mut self, other: Self) {
        self.from_ms = self.from_ms.min(other.from_ms);
        self.to_ms = self.to_ms.max(other.to_ms);
        self.last_index = self.last_index.max(other.last_index);
        self.count = self.count.saturating_add(other.count);
        self.logged_first_ms = self.logged_first_ms.min(other.logged_first_ms);
        self.logged_last_ms = self.logged_last_ms.max(other.logged_last_ms);
        self.indices.extend(other.indices);
        self.details.extend(other.details);
        self.hosts.extend(other.hosts);
        self.classes.extend(other.classes);
        self.tenants.extend(other.tenants);
        bound(&mut self.tenants, MAX_TENANTS);
        self.severity = self.severity.max(other.severity);
        self.cite(other.cited);
        bound(&mut self.indices, MAX_INDICES);
        bound(&mut self.details, MAX_DETAILS);
        bound(&mut self.hosts, MAX_DETAILS);
    }
}

/// Where among episodes one of `span_ms` belongs, or the first is that it is near to.
fn belongs(series: &[Episode], span_ms: (u64, u64), gap_ms: u64) -> usize {
    series.partition_point(|old| old.to_ms < span_ms.0 && !old.near(span_ms, gap_ms))
}

/// Joins the episode at `from`, which has grown, with those behind it that it now is near to.
fn bridge(series: &mut Vec<Episode>, from: usize, gap_ms: u64) {
    while let [grown, next, ..] = series.get(from..).unwrap_or_default()
        && next.near((grown.from_ms, grown.to_ms), gap_ms)
    {
        let next = series.remove(from + 1);
        if let Some(grown) = series.get_mut(from) {
            grown.absorb(next);
        }
    }
}

/// Takes an entry as [`bound`] would leave it.
fn keep<T, Q>(set: &mut BTreeSet<T>, most: usize, entry: &Q)
where
    T: Ord + Borrow<Q>,
    Q: Ord + ToOwned<Owned = T> + ?Sized,
{
    let is_beyond = |last: &T| set.len() >= most && entry >= last.borrow();
    if set.last().is_some_and(is_beyond) || set.contains(entry) {
        return;
    }
    set.insert(entry.to_owned());
    bound(set, most);
}

/// Keeps the lowest entries, which is the same in whatever order they came.
fn bound<T: Ord>(set: &mut BTreeSet<T>, most: usize) {
    while set.len() > most {
        set.pop_last();
    }
}

/// Where the episodes of one key are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Place(usize);

/// A set of episodes.
#[derive(Clone, Debug)]
pub struct Episodes {
    gap_ms: u64,
    places: BTreeMap<Key, Place>,
    /// By place; of each key apart by at least the gap, ordered by time.
    series: Vec<Vec<Episode>>,
}

impl PartialEq for Episodes {
    /// Compares what is in them, wherever it is kept.
    fn eq(&self, other: &Self) -> bool {
        self.gap_ms == other.gap_ms && self.all().eq(other.all())
    }
}

impl Eq for Episodes {}

impl Episodes {
    /// Begins empty; observations less than `gap_ms` apart, at least one millisecond, are one.
    pub fn new(gap_ms: u64) -> Self {
        Self {
            gap_ms: gap_ms.max(1),
            places: BTreeMap::new(),
            series: Vec::new(),
        }
    }

    /// Adds an observation.
    pub fn add(&mut self, key: Key, mut new: Episode) {
        if new.cited.is_none() {
            let cited = key.cause.policy.clone();
            new.cited = cited.map(|cited| (new.last_index, cited));
        }
        let place = self.place(key);
        let Some(series) = self.series.get_mut(place.0) else {
            return;
        };
        let from = belongs(series, (new.from_ms, new.to_ms), self.gap_ms);
        let running = series.get_mut(from);
        match running.filter(|old| old.near((new.from_ms, new.to_ms), self.gap_ms)) {
            Some(old) => old.absorb(new),
            None => {
                series.insert(from, new);
                return;
            }
        }
        bridge(series, from, self.gap_ms);
    }

    /// Where what is observed of a key is kept; whoever observes it again and again asks once.
    pub(crate) fn place(&mut self, key: Key) -> Place {
        *self.places.entry(key).or_insert_with(|| {
            self.series.push(Vec::new());
            Place(self.series.len() - 1)
        })
    }

    /// Adds one record that broke a rule, by what is told of it: the same as [`Self::add`], and without
    /// a copy where an episode runs that tells all of it already, as with nearly every record.
    pub(crate) fn observe(&mut self, place: Place, seen: &Observed<'_>) {
        let Some(series) = self.series.get_mut(place.0) else {
            return;
        };
        let from = belongs(series, seen.span_ms, self.gap_ms);
        let running = series.get_mut(from);
        match running.filter(|old| old.near(seen.span_ms, self.gap_ms)) {
            Some(old) => old.take(seen),
            None => {
                let mut new =
                    Episode::new((seen.index, seen.index), seen.span_ms, seen.logged_ms, 0);
                new.take(seen);
                series.insert(from, new);
                return;
            }
        }
        bridge(series, from, self.gap_ms);
    }

    /// Adds all of another set.
    pub fn merge(&mut self, other: Self) {
        for (key, episode) in other.all() {
            self.add(key.clone(), episode.clone());
        }
    }

    fn all(&self) -> impl Iterator<Item = (&Key, &Episode)> {
        self.places.iter().flat_map(|(key, place)| {
            let series = self.series.get(place.0).into_iter().flatten();
            series.map(move |episode| (key, episode))
        })
    }

    /// Gives the findings as of `now_ms`, by (opened, rule, id).
    pub fn findings(&self, now_ms: u64) -> Vec<Finding> {
        let mut findings: Vec<Finding> = self
            .all()
            .map(|(key, e)| self.finding(key, e, now_ms))
            .collect();
        findings.sort_by(|a, b| {
            (a.opened_unix_ms, a.rule, &a.id).cmp(&(b.opened_unix_ms, b.rule, &b.id))
        });
        findings
    }

    fn finding(&self, key: &Key, episode: &Episode, now_ms: u64) -> Finding {
        let (tenant, host, device) = match &key.subject {
            Subject::Log(_) | Subject::Officer(..) | Subject::Site(_) => (None, None, None),
            Subject::Tenant(tenant) | Subject::Linked(tenant) | Subject::Pair(tenant, _) => {
                (Some(tenant.clone()), None, None)
            }
            Subject::Declared(_, device) => (None, None, Some(device.clone())),
            Subject::Host(host, chain) | Subject::AllDevices(host, chain) => {
                (None, Some((host, chain)), None)
            }
            Subject::Device(host, chain, device) => {
                (None, Some((host, chain)), Some(device.clone()))
            }
        };
        let cited = episode.cited.as_ref().map(|(_, cited)| cited);
        let cause = Cause {
            rule: key.cause.rule,
            policy: cited.cloned(),
        };
        let least = cause.severity();
        let first_index = episode
            .indices
            .first()
            .copied()
            .unwrap_or(episode.last_index);
        Finding {
            id: id(key, first_index),
            rule: cause.rule,
            severity: episode.severity.max(Some(least)).unwrap_or(least),
            policy: cited.map(|cited| cited.policy.id().to_string()),
            pack: cited.map(|cited| cited.pack.to_string()),
            shadow: cause.is_shadow(),
            title: title(&cause, &key.subject),
            tenant,
            tenants: episode.tenants.iter().cloned().collect(),
            host: host.map(|(name, _)| name.clone()),
            chain: host.map(|(_, chain)| Digest::new(*chain).to_string()),
            device,
            opened_unix_ms: episode.from_ms,
            last_unix_ms: episode.to_ms,
            open: now_ms.saturating_sub(episode.to_ms) < self.gap_ms,
            known: key.known,
            rules_version: RULES_VERSION.to_owned(),
            details: episode.details.iter().cloned().collect(),
            hosts: episode.hosts.iter().cloned().collect(),
            classes: episode.classes.iter().copied().collect(),
            evidence: Evidence {
                first_index,
                last_index: episode.last_index,
                count: episode.count,
                indices: episode.indices.iter().copied().collect(),
                logged_first_unix_ms: episode.logged_first_ms,
                logged_last_unix_ms: episode.logged_last_ms,
            },
            handling: None,
        }
    }
}

/// Names an episode by its key and the lowest log index of its evidence, so that nothing that is
/// logged later changes the name; when two episodes grow together, the older name stays.
fn id(key: &Key, first_index: u64) -> String {
    let mut bytes = b"affiant finding v1\0".to_vec();
    let mut put = |part: &[u8]| {
        bytes.extend(u64::try_from(part.len()).unwrap_or(u64::MAX).to_be_bytes());
        bytes.extend(part);
    };
    put(key.cause.rule.as_str().as_bytes());
    if let Some(cited) = &key.cause.policy {
        put(b"policy");
        put(cited.pack_name().as_bytes());
        put(cited.policy.id().as_bytes());
        put(cited.policy.mode().as_str().as_bytes());
    }
    match &key.subject {
        Subject::Tenant(tenant) => {
            put(b"tenant");
            put(tenant.as_bytes());
        }
        Subject::Linked(tenant) => {
            put(b"linked");
            put(tenant.as_bytes());
        }
        Subject::Pair(one, other) => {
            put(b"pair");
            put(one.as_bytes());
            put(other.as_bytes());
        }
        Subject::Declared(site, device) => {
            put(b"declared");
            put(site.as_bytes());
            put(device.as_bytes());
        }
        Subject::Site(site) => {
            put(b"site");
            put(site.as_bytes());
        }
        Subject::Host(_, chain) => {
            put(b"host");
            put(chain);
        }
        Subject::AllDevices(_, chain) => {
            put(b"devices");
            put(chain);
        }
        Subject::Device(_, chain, device) => {
            put(b"device");
            put(chain);
            put(device.as_bytes());
        }
        Subject::Officer(_, chain) => {
            put(b"officer");
            put(chain);
        }
        Subject::Log(origin) => {
            put(b"log");
            put(origin.as_bytes());
        }
    }
    put(if key.known == Known::Then {
        b"then"
    } else {
        b"later"
    });
    put(&first_index.to_be_bytes());
    digest(&bytes).to_string().chars().take(32).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::findings::Rule;

    fn key(tenant: &str) -> Key {
        Key {
            cause: Rule::UseUnvetted.into(),
            subject: Subject::Tenant(tenant.into()),
            known: Known::Then,
        }
    }

    fn seen(index: u64, from_ms: u64, to_ms: u64) -> Episode {
        Episode::new((index, index), (from_ms, to_ms), to_ms, 1).with(
            &format!("d{index}"),
            "h",
            None,
        )
    }

    #[test]
    fn an_episode_extends_while_evidence_is_near_and_keeps_its_id() {
        let mut episodes = Episodes::new(100);
        episodes.add(key("t"), seen(5, 0, 10));
        let id = episodes
            .findings(0)
            .first()
            .map(|finding| finding.id.clone());
        episodes.add(key("t"), seen(6, 109, 120));
        let findings = episodes.findings(120);
        assert_eq!(findings.len(), 1);
        assert_eq!(findings.first().map(|finding| finding.id.clone()), id);
        episodes.add(key("t"), seen(7, 220, 230));
        assert_eq!(episodes.findings(230).len(), 2);
        assert_eq!(
            episodes
                .findings(230)
                .first()
                .map(|finding| finding.id.clone()),
            id
        );
    }

    #[test]
    fn an_episode_is_open_until_the_gap_has_passed() {
        let mut episodes = Episodes::new(100);
        episodes.add(key("t"), seen(5, 0, 10));
        let open = |now| episodes.findings(now).first().map(|finding| finding.open);
        assert_eq!(
            [open(10), open(109), open(110)],
            [Some(true), Some(true), Some(false)]
        );
    }

    #[test]
    fn lists_stay_bounded_and_the_count_stays_exact() {
        let mut episodes = Episodes::new(100);
        for index in 0..1_000 {
            let detail = "x".repeat(1_000) + &index.to_string();
            episodes.add(
                key("t"),
                seen(index, index * 10, index * 10 + 10).with(&detail, "h", None),
            );
        }
        let findings = episodes.findings(0);
        assert_eq!(findings.len(), 1);
        for finding in findings {
            assert_eq!(finding.evidence.count, 1_000);
            assert_eq!(
                (finding.evidence.first_index, finding.evidence.last_index),
                (0, 999)
            );
            assert_eq!(finding.evidence.indices.len(), MAX_INDICES);
            assert!(finding.details.len() <= MAX_DETAILS);
            assert!(
                finding
                    .details
                    .iter()
                    .all(|detail| detail.chars().count() <= MAX_DETAIL_CHARS)
            );
        }
    }

    fn any_set() -> impl Strategy<Value = Vec<(u8, u64, u64, u64)>> {
        let one = (0_u8..2, 0_u64..50, 0_u64..3_000, 0_u64..200);
        proptest::collection::vec(one, 0..40)
    }

    fn set(observations: &[(u8, u64, u64, u64)]) -> Episodes {
        let mut episodes = Episodes::new(100);
        for (tenant, index, from, length) in observations {
            episodes.add(
                key(if *tenant == 0 { "a" } else { "b" }),
                seen(*index, *from, from + length),
            );
        }
        episodes
    }

    proptest! {
        #[test]
        fn verdicts_merge_in_any_order(a in any_set(), b in any_set(), c in any_set()) {
            let join = |mut left: Episodes, right: Episodes| { left.merge(right); left };
            let (a, b, c) = (set(&a), set(&b), set(&c));
            prop_assert_eq!(join(a.clone(), b.clone()), join(b.clone(), a.clone()));
            let left = join(join(a.clone(), b.clone()), c.clone());
            let right = join(a.clone(), join(b, c));
            prop_assert_eq!(left, right);
            prop_assert_eq!(join(a.clone(), Episodes::new(100)), a);
        }

        #[test]
        fn a_record_that_is_borrowed_says_what_one_that_is_copied_does(a in any_set(), gap in 1..300_u64) {
            let (mut copied, mut borrowed) = (Episodes::new(gap), Episodes::new(gap));
            for (which, index, from, length) in a {
                let told = [
                    (format!("d{}", index % 20), Class::A),
                    (format!("e{}", length % 20), Class::B),
                ];
                let host = format!("h{}", from % 20);
                let (key, span_ms) = (key(if which == 0 { "a" } else { "b" }), (from, from + length));
                let mut episode = Episode::new((index, index), span_ms, from, 1);
                for (detail, class) in &told {
                    episode.tell(detail, &host, Some(*class));
                }
                let seen = Observed { index, span_ms, logged_ms: from, host: &host, told: &told, cited: None };
                let place = borrowed.place(key.clone());
                borrowed.observe(place, &seen);
                copied.add(key, episode);
            }
            prop_assert_eq!(borrowed, copied);
        }

        #[test]
        fn the_order_of_observations_does_not_matter(a in any_set(), seed in any::<u64>()) {
            let mut other = a.clone();
            let by = |o: &(u8, u64, u64, u64)| (o.1 ^ seed).wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ o.2;
            other.sort_by_key(by);
            prop_assert_eq!(set(&a), set(&other));
        }
    }
}
