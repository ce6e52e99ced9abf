//! Listings: which screening lists are in force at a moment, and what they say of a party.
//!
//! A version of a list is in force from when it took effect until a later version has been logged. So
//! what it names counts at once, and what it no longer names counts until that is known. A version
//! whose file is not at hand, or cannot be read, replaces none, and that is said: it is never taken as
//! clear. Nor does a file of aliases replace a list of its name.
//!
//! What screening finds depends on the lists and the party alone, so it is remembered and shared by all
//! copies of a judge.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    sync::{Arc, Mutex, PoisonError},
};

use affiant_proto::{
    Digest, digest,
    v1::{self},
};
use prost::Message as _;
use serde::Serialize;

use crate::{
    approval::NoEffect,
    dispositions::{About, Disposition, Dispositions},
    exhibits::Exhibits,
    screening::{
        self, Agreement, Aliases, Entry, Hit, List, Screener, Subject,
        import::{self, Kind},
    },
    timeline::{Doubt, Moment, Stamp, Timeline},
};

/// Sets of lists for which what was found is remembered: those in force, those of the version before,
/// and two of a look back. A set of 25,000 entries takes some 30 MB.
const SETS: usize = 4;

/// Subjects that are remembered of one set: 100,000 parties, of which nearly all have no hit.
const SUBJECTS: usize = 100_000;

/// All imports, and the decisions on hits.
#[derive(Clone, Debug, Default)]
pub(crate) struct Listings {
    lists: BTreeMap<String, Timeline<Version<Arc<List>>>>,
    aliases: BTreeMap<String, Timeline<Version<Arc<Aliases>>>>,
    /// Imports that could not be read.
    unread: BTreeMap<String, Timeline<Version<()>>>,
    /// By list and listed name, when it came onto the list: a later version that has it too says nothing new.
    since: BTreeMap<String, Since>,
    dispositions: Dispositions,
    found: Arc<Mutex<Found>>,
}

/// A version of a list, of aliases, or of neither that could be read.
#[derive(Clone, Debug)]
struct Version<R> {
    version: String,
    format: String,
    rows: u64,
    digest: Digest,
    read: R,
}

/// The names of a list: those of its newest version that was read, and when each came, as (log index, log
/// time); more than once where it was gone between. 25,000 names are some 4 MB.
#[derive(Clone, Debug, Default)]
struct Since {
    present: BTreeSet<Arc<str>>,
    came: BTreeMap<Arc<str>, Vec<(u64, u64)>>,
}

impl Since {
    fn take(&mut self, stamp: Stamp, list: &List) {
        let mut present = BTreeSet::new();
        for name in list.entries().iter().flat_map(Entry::names) {
            let known = self.came.get_key_value(name.as_str());
            let name = known.map_or_else(|| name.as_str().into(), |(name, _)| Arc::clone(name));
            if present.insert(Arc::clone(&name)) && !self.present.contains(&name) {
                let came = self.came.entry(name).or_default();
                came.push((stamp.index, stamp.logged_ms));
            }
        }
        self.present = present;
    }

    /// The log's time when a name last came onto the list, by the version at a log index.
    fn of(&self, name: &str, index: u64) -> Option<u64> {
        let came = self.came.get(name)?.iter().rev();
        let mut by_then = came.filter(|(at, _)| *at <= index);
        by_then.next().map(|(_, logged_ms)| *logged_ms)
    }
}

/// What was read of a file.
#[derive(Clone, Debug)]
pub enum Read {
    /// A list.
    List(Arc<List>),
    /// Names that are one organisation's; no list, but lists are screened with them.
    Aliases(Arc<Aliases>),
}

/// One line of the lists as they were last imported.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Imported {
    /// Short name of the list.
    pub list: String,
    /// Its newest version.
    pub version: String,
    /// How its file is read.
    pub format: String,
    /// Entries.
    pub rows: u64,
    /// SHA-256 of its file, in hexadecimal.
    pub digest: String,
    /// Log index of the import.
    pub index: u64,
    /// The log's time there, milliseconds since 1970.
    pub logged_unix_ms: u64,
    /// From when it is in force, milliseconds since 1970; where that is to come, the version before it is until then.
    pub effective_unix_ms: u64,
    /// Whether the file is at hand.
    pub at_hand: bool,
}

/// A hit on a party, with how it stands.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Listed {
    /// The party's id.
    pub party: String,
    /// Its name that was screened.
    pub name: String,
    /// The list.
    pub list: String,
    /// The entry's first name.
    pub entry: String,
    /// The listed name that it was aligned with.
    pub listed: String,
    /// How near it is.
    pub class: screening::Class,
    /// What was aligned and what speaks for or against it, in words.
    pub why: String,
    /// What officers decided.
    pub disposition: Disposition,
    /// Officers whose word clears it where they are enough, by the digests that opened their chains, in
    /// hexadecimal.
    pub cleared_by: Vec<String>,
    /// 16 hexadecimal digits; the same for as long as it is about the same.
    pub id: String,
    /// The log's time when it was first there: the name on the list, and the party under its name. A later
    /// version of either begins nothing anew.
    pub since_unix_ms: u64,
    /// Until when it is to be decided, where it holds and the pack says so.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub due_unix_ms: Option<u64>,
}

/// What the lists in force say of parties.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Screened {
    /// Hits, cleared ones among them.
    pub hits: Vec<Listed>,
    /// Lists in force, and when the newest version in force of each was logged.
    pub lists: BTreeMap<String, u64>,
    /// Lists of which a version should be in force whose file is not at hand or cannot be read.
    pub unread: BTreeSet<String>,
    /// Parties of the chain, or behind it, whom nobody stated: no name of theirs was compared.
    pub unstated: BTreeSet<String>,
}

impl Listed {
    /// Whether it stands: nobody cleared it.
    pub fn is_open(&self) -> bool {
        self.disposition != Disposition::Cleared
    }

    /// The class that counts: one that officers confirmed is the listed party itself.
    pub fn weight(&self) -> screening::Class {
        match self.disposition {
            Disposition::Confirmed => self.class.max(screening::Class::Strong),
            _ => self.class,
        }
    }

    /// Until when officers have to decide it, by a pack that gives them so many days: an exact or strong hit
    /// that nobody decided is a hold.
    pub fn deadline_ms(&self, days: Option<u32>) -> Option<u64> {
        let holds =
            self.disposition == Disposition::Undecided && self.class >= screening::Class::Strong;
        let days = days.filter(|_| holds)?;
        let given = u64::from(days).saturating_mul(DAY_MS);
        Some(self.since_unix_ms.saturating_add(given))
    }
}

/// Milliseconds of a day.
const DAY_MS: u64 = 86_400_000;

impl Screened {
    /// Says of each hit that holds until when it is to be decided.
    pub fn give(&mut self, days: Option<u32>) {
        for hit in &mut self.hits {
            hit.due_unix_ms = hit.deadline_ms(days);
        }
    }

    /// Hits that were to be decided by `instant_ms` and were not.
    pub fn overdue(&self, instant_ms: u64, days: Option<u32>) -> impl Iterator<Item = &Listed> {
        let is_over =
            move |hit: &&Listed| hit.deadline_ms(days).is_some_and(|due| due <= instant_ms);
        self.hits.iter().filter(is_over)
    }

    /// Whole days at `instant_ms` since the newest version in force of the oldest list was logged; `None` where
    /// there is no list.
    pub fn age_days(&self, instant_ms: u64) -> Option<u32> {
        let oldest = self.lists.values().min()?;
        let days = instant_ms.saturating_sub(*oldest) / DAY_MS;
        Some(u32::try_from(days).unwrap_or(u32::MAX))
    }

    /// The span of instants around `instant_ms`, end excluded, in which neither that age nor what is overdue
    /// changes.
    pub(crate) fn steady(&self, instant_ms: u64, days: Option<u32>) -> (u64, u64) {
        let mut span = self.steady_age(instant_ms);
        for due in self.hits.iter().filter_map(|hit| hit.deadline_ms(days)) {
            if due <= instant_ms {
                span.0 = span.0.max(due);
            } else {
                span.1 = span.1.min(due);
            }
        }
        span
    }

    fn steady_age(&self, instant_ms: u64) -> (u64, u64) {
        let Some(oldest) = self.lists.values().min() else {
            return (0, u64::MAX);
        };
        let begun = instant_ms.saturating_sub(*oldest) / DAY_MS * DAY_MS;
        let from = if begun == 0 {
            0
        } else {
            oldest.saturating_add(begun)
        };
        (from, oldest.saturating_add(begun).saturating_add(DAY_MS))
    }
}

impl Listings {
    /// Takes an import; its file must be among the exhibits.
    pub(crate) fn import(
        &mut self,
        stamp: Stamp,
        import: &v1::ListImport,
        exhibits: &mut Exhibits,
    ) -> Result<(), NoEffect> {
        let bad = |fault: String| NoEffect::Import {
            list: import.list.clone(),
            version: import.version.clone(),
            fault,
        };
        let file = exhibits.take(&import.digest);
        let digest = Digest::try_from(import.digest.as_slice());
        let digest = digest.map_err(|_| bad("it names no file".to_owned()))?;
        let read = match (self.read_before(import, digest), &file) {
            (Some(read), _) => Ok(read),
            (None, None) => Err("its file is not at hand".to_owned()),
            (None, Some(bytes)) => imported(import, bytes),
        };
        match read {
            Ok(Read::List(list)) => {
                let since = self.since.entry(import.list.clone()).or_default();
                since.take(stamp, &list);
                push(&mut self.lists, stamp, import, (digest, list));
            }
            Ok(Read::Aliases(aliases)) => push(&mut self.aliases, stamp, import, (digest, aliases)),
            Err(fault) => {
                push(&mut self.unread, stamp, import, (digest, ()));
                return Err(bad(fault));
            }
        }
        Ok(())
    }

    /// What was read of the same file as the same list: a list that is imported daily and changes
    /// weekly is kept once a week.
    fn read_before(&self, import: &v1::ListImport, digest: Digest) -> Option<Read> {
        let list = same(self.lists.get(&import.list), import, digest);
        let aliases = || same(self.aliases.get(&import.list), import, digest).map(Read::Aliases);
        list.map(Read::List).or_else(aliases)
    }

    /// Takes one officer's decision on a hit.
    pub(crate) fn dispose(
        &mut self,
        stamp: Stamp,
        officer: [u8; 32],
        decision: &v1::Decision,
        hit: &v1::HitDecision,
    ) -> Result<(), NoEffect> {
        self.dispositions.take(stamp, officer, decision, hit)
    }

    /// The officers who cleared a hit by now.
    pub(crate) fn cleared_by(&self, hit: &v1::HitDecision) -> BTreeSet<[u8; 32]> {
        self.dispositions.cleared_by(hit)
    }

    /// The parties on whom a hit was cleared.
    pub(crate) fn cleared_parties(&self) -> BTreeSet<String> {
        self.dispositions.cleared_parties()
    }

    /// The clears of each hit on a party that nothing casts doubt on, in the order of the log.
    pub(crate) fn clears_of(&self, party: &str) -> Vec<Vec<(Stamp, [u8; 32])>> {
        self.dispositions.clears_of(party)
    }

    /// Casts doubt on imports and decisions.
    pub(crate) fn doubt(&mut self, doubt: &Doubt) {
        self.lists.values_mut().for_each(|line| line.doubt(doubt));
        self.aliases.values_mut().for_each(|line| line.doubt(doubt));
        self.unread.values_mut().for_each(|line| line.doubt(doubt));
        self.dispositions.doubt(doubt);
    }

    /// The lists as they were last imported, by name.
    pub(crate) fn all(&self) -> impl Iterator<Item = Imported> + '_ {
        let mut all: Vec<Imported> = last_of(&self.lists, true).collect();
        all.extend(last_of(&self.aliases, true));
        // Of what could not be read nothing is said any more once a later version was.
        let read = all.iter().map(|it| (it.list.clone(), it.index));
        let read: BTreeSet<(String, u64)> = read.collect();
        let is_newest = |it: &Imported| {
            let later = (it.list.clone(), it.index)..=(it.list.clone(), u64::MAX);
            read.range(later).next().is_none()
        };
        all.extend(last_of(&self.unread, false).filter(is_newest));
        all.sort_by(|a, b| (&a.list, a.index).cmp(&(&b.list, b.index)));
        all.into_iter()
    }

    /// The decisions on hits.
    pub(crate) fn dispositions(&self) -> &Dispositions {
        &self.dispositions
    }

    /// Says what the lists in force at a moment say of parties, each in all versions in force of it.
    /// `named_since` tells since when the log has a party under a name.
    pub(crate) fn screen<'a>(
        &self,
        parties: impl Iterator<Item = &'a v1::Party>,
        at: Moment,
        named_since: impl Fn(&str, &str) -> Option<u64>,
    ) -> Screened {
        let mut screened = Screened::default();
        let (mut lists, mut aliases) = (BTreeMap::new(), BTreeMap::new());
        // The newest version in force of each list, as (log index, log time).
        let mut newest_of: BTreeMap<&str, (u64, u64)> = BTreeMap::new();
        for (name, line) in &self.lists {
            for (stamp, version) in line.in_force(at) {
                lists.insert((name.as_str(), version.digest), Arc::clone(&version.read));
                let newest = screened.lists.entry(name.clone()).or_default();
                *newest = (*newest).max(stamp.logged_ms);
                let newest = newest_of.entry(name).or_default();
                *newest = (*newest).max((stamp.index, stamp.logged_ms));
            }
        }
        for (name, line) in &self.aliases {
            for (stamp, version) in line.in_force(at) {
                aliases.insert((name.as_str(), version.digest), Arc::clone(&version.read));
                let newest = newest_of.entry(name).or_default();
                *newest = (*newest).max((stamp.index, stamp.logged_ms));
            }
        }
        for (name, line) in &self.unread {
            let newest = newest_of.get(name.as_str()).map_or(0, |(index, _)| *index);
            if line.in_force(at).any(|(stamp, _)| stamp.index > newest) {
                screened.unread.insert(name.clone());
            }
        }
        if lists.is_empty() {
            return screened;
        }
        for party in parties {
            let hits = self.hits(&lists, &aliases, party);
            screened.hits.extend(hits.iter().map(|hit| {
                let about = About {
                    party: party.id.clone(),
                    name: hit.asked.clone(),
                    list: hit.list.clone(),
                    listed: hit.matched_name.clone(),
                };
                let of_list = newest_of.get(about.list.as_str()).copied();
                let (index, logged_ms) = of_list.unwrap_or_default();
                let names = self.since.get(&about.list);
                let listed_since = names.and_then(|names| {
                    let own = names.of(&about.listed, index);
                    own.or_else(|| names.of(&hit.listed, index))
                });
                let named_since = named_since(&about.party, &about.name);
                Listed {
                    since_unix_ms: listed_since
                        .unwrap_or(logged_ms)
                        .max(named_since.unwrap_or_default()),
                    due_unix_ms: None,
                    id: about.id(),
                    disposition: self.dispositions.of(&about, hit.class, at),
                    cleared_by: self.clearing(&about, hit.class, at),
                    party: about.party,
                    name: about.name,
                    list: about.list,
                    entry: hit.listed.clone(),
                    listed: about.listed,
                    class: hit.class,
                    why: why(hit),
                }
            }));
        }
        screened.hits.sort();
        screened.hits.dedup();
        screened
    }

    fn clearing(&self, about: &About, class: screening::Class, at: Moment) -> Vec<String> {
        let (officers, _) = self.dispositions.clearing(about, class, at);
        let officers = officers.into_iter();
        officers.map(|it| Digest::new(it).to_string()).collect()
    }

    fn hits(
        &self,
        lists: &BTreeMap<(&str, Digest), Arc<List>>,
        aliases: &BTreeMap<(&str, Digest), Arc<Aliases>>,
        party: &v1::Party,
    ) -> Arc<[Hit]> {
        let named = lists.keys().chain(aliases.keys());
        let lists_of: Vec<(String, Digest)> = named
            .map(|(name, digest)| ((*name).to_owned(), *digest))
            .collect();
        let subject = digest(&party.encode_to_vec());
        let make = || {
            let all = aliases.values();
            let all = all.fold(Aliases::shipped().clone(), |all, more| all.with(more));
            Screener::over(lists.values().cloned(), &all)
        };
        let mut found = self.found.lock().unwrap_or_else(PoisonError::into_inner);
        let set = found.of(&lists_of, make);
        if let Some(hits) = set.hits.get(&subject) {
            return Arc::clone(hits);
        }
        let screener = Arc::clone(&set.screener);
        drop(found);
        // Not under the lock: this is what takes time.
        let hits: Arc<[Hit]> = screener.screen(&subject_of(party)).into();
        let mut found = self.found.lock().unwrap_or_else(PoisonError::into_inner);
        let set = found.of(&lists_of, make);
        if set.hits.len() >= SUBJECTS {
            set.hits.clear();
        }
        set.hits.insert(subject, Arc::clone(&hits));
        hits
    }
}

fn push<R>(
    lines: &mut BTreeMap<String, Timeline<Version<R>>>,
    stamp: Stamp,
    import: &v1::ListImport,
    (digest, read): (Digest, R),
) {
    let version = Version {
        version: import.version.clone(),
        format: import.format.clone(),
        rows: import.rows,
        digest,
        read,
    };
    let line = lines.entry(import.list.clone()).or_default();
    line.push(stamp, version);
}

fn same<R: Clone>(
    line: Option<&Timeline<Version<R>>>,
    import: &v1::ListImport,
    digest: Digest,
) -> Option<R> {
    let mut versions = line?.said_before(u64::MAX).map(|(_, version)| version);
    let same = versions
        .find(|it| (it.digest, it.rows, &it.format) == (digest, import.rows, &import.format));
    same.map(|version| version.read.clone())
}

/// The last import of each.
fn last_of<R>(
    lines: &BTreeMap<String, Timeline<Version<R>>>,
    at_hand: bool,
) -> impl Iterator<Item = Imported> + '_ {
    lines.iter().filter_map(move |(list, line)| {
        let (stamp, newest) = line.newest_stamped()?;
        Some(Imported {
            list: list.clone(),
            version: newest.version.clone(),
            format: newest.format.clone(),
            rows: newest.rows,
            digest: newest.digest.to_string(),
            index: stamp.index,
            logged_unix_ms: stamp.logged_ms,
            effective_unix_ms: stamp.effective_ms,
            at_hand,
        })
    })
}

/// Says what of a hit was aligned, and what speaks for or against it.
fn why(hit: &Hit) -> String {
    let pairs = hit
        .tokens
        .iter()
        .map(|pair| match pair.asked == pair.listed {
            true => pair.asked.clone(),
            false => format!("{} ~ {}", pair.asked, pair.listed),
        });
    let pairs: Vec<String> = pairs.collect();
    let mut told = vec![match pairs.is_empty() {
        true => "no word".to_owned(),
        false => pairs.join(", "),
    }];
    let beside = [
        ("country", hit.corroboration.country),
        ("address", hit.corroboration.address),
        ("identifier", hit.corroboration.identifier),
    ];
    for (what, agreement) in beside {
        match agreement {
            Agreement::Agrees => told.push(format!("{what} agrees")),
            Agreement::Contradicts => told.push(format!("{what} contradicts")),
            Agreement::Unknown => {}
        }
    }
    told.join("; ")
}

/// What of a party is screened.
fn subject_of(party: &v1::Party) -> Subject {
    let countries = [&party.incorporation, &party.headquarters];
    let countries = countries
        .into_iter()
        .filter(|country| *country != "unknown");
    Subject {
        names: party.names.iter().map(|name| name.text.clone()).collect(),
        countries: countries
            .filter(|country| !country.is_empty())
            .cloned()
            .collect(),
        addresses: party.addresses.clone(),
        identifiers: party
            .identifiers
            .iter()
            .map(|id| id.value.clone())
            .collect(),
    }
}

/// Reads a file as one of a kind, for a list of this name.
///
/// # Errors
/// What is wrong with the file, with place and remedy; that a file which names its list names another.
pub fn read(list: &str, kind: Kind, bytes: &[u8]) -> Result<Read, String> {
    let read = match kind {
        Kind::Aliases => {
            let aliases = Aliases::parse(bytes).map_err(|bad| bad.to_string())?;
            return Ok(Read::Aliases(Arc::new(aliases)));
        }
        Kind::Consolidated => import::read_consolidated(list, bytes),
        Kind::Json => import::read_json(bytes),
        Kind::Operator => import::read_operator(list, bytes),
        Kind::Pairs => return Err("labelled pairs are no list".to_owned()),
    };
    let read = read.map_err(|bad| bad.to_string())?;
    if read.id() != list {
        return Err(format!(
            "its list_id is {}, and not {list}; import it as that",
            read.id()
        ));
    }
    Ok(Read::List(Arc::new(read)))
}

impl Read {
    /// Entries of a list, or organisations with aliases.
    pub fn rows(&self) -> u64 {
        match self {
            Self::List(list) => list.rows(),
            Self::Aliases(aliases) => aliases.groups() as u64,
        }
    }
}

/// Reads the file of an import; it must have as many entries as the import says.
fn imported(import: &v1::ListImport, bytes: &[u8]) -> Result<Read, String> {
    let kind = import.format.parse();
    let kind = kind.map_err(|_| format!("format {:?} is not known", import.format))?;
    let read = read(&import.list, kind, bytes)?;
    match import.rows == read.rows() {
        true => Ok(read),
        false => Err(format!(
            "it says {} entries, and its file has {}",
            import.rows,
            read.rows()
        )),
    }
}

/// What was found so far, by the lists in force, each by name and digest, for a file may be imported as two
/// lists, and the digest of the party; the set asked for last stands last.
#[derive(Default)]
struct Found(Vec<Set>);

struct Set {
    lists: Vec<(String, Digest)>,
    screener: Arc<Screener>,
    hits: BTreeMap<Digest, Arc<[Hit]>>,
}

impl Found {
    /// The set of these lists, made where it is not there.
    fn of(&mut self, lists: &[(String, Digest)], make: impl FnOnce() -> Screener) -> &mut Set {
        let at = self.0.iter().position(|set| set.lists == lists);
        let set = match at {
            Some(at) => self.0.remove(at),
            None => Set {
                lists: lists.to_vec(),
                screener: Arc::new(make()),
                hits: BTreeMap::new(),
            },
        };
        if self.0.len() >= SETS {
            self.0.remove(0);
        }
        self.0.push(set);
        let last = self.0.len() - 1;
        &mut self.0[last]
    }
}

impl fmt::Debug for Found {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} sets of lists", self.0.len())
    }
}
