//! Declared devices: what officers say that a site has, against what hosts have in their inventories.
//!
//! The newest declaration of a site counts, from where it stands in the log. A device of it that no host
//! has for longer than the grace is INVENTORY_MISSING, from when it was declared or was last in a host; one
//! that a host of the site has and the declaration lacks is INVENTORY_UNEXPECTED. A device is the same by
//! its uuid or by its serial number. What is said after the period that is judged counts for nothing here:
//! evidence of a period does not show what hosts had later.

use std::collections::{BTreeMap, BTreeSet};

use affiant_proto::v1;
use serde::{Deserialize, Serialize};

use crate::{
    Judge,
    chains::ByChain,
    episodes::{Episode, Key},
    findings::{Known, Rule, Subject},
    hosts::HostState,
};

type Chain = [u8; 32];

/// Most devices of one declaration. 300 bytes each, 80 MB; what is declared beyond that is not taken.
const MAX_DECLARED: usize = 262_144;

/// Most devices of one site with a finding of their own, those that have one for longest; the others have
/// one together, for nobody looks into a thousand one by one.
const EACH: usize = 256;

/// The devices of one site, declared and seen.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SiteInventory {
    /// The site.
    pub site: String,
    /// Log index of the declaration that counts.
    pub declared_index: u64,
    /// The log's time there, milliseconds since 1970.
    pub declared_unix_ms: u64,
    /// Devices that it names.
    pub declared: u64,
    /// Those of them that a host has.
    pub seen: u64,
    /// Those that no host has for longer than the grace.
    pub missing: u64,
    /// Devices of hosts of the site that it does not name.
    pub unexpected: u64,
}

/// From where on something has been so.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Since {
    ms: u64,
    index: u64,
}

/// A declared device.
#[derive(Clone, Debug)]
struct Entry {
    /// How a host may name it.
    names: Vec<Name>,
    model: String,
    holders: BTreeSet<Chain>,
    /// Since when no host has it, where none has.
    absent: Since,
}

/// How a device is looked for.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Name {
    Uuid(String),
    Serial(String),
}

/// A site, and a device's key in its declaration.
type Place = (String, String);

#[derive(Clone, Debug)]
struct Site {
    since: Since,
    devices: BTreeMap<String, Entry>,
}

/// The parts of a declaration that were said so far.
#[derive(Clone, Debug)]
struct Waiting {
    officer: Chain,
    site: String,
    part: u32,
    parts: u32,
    devices: Vec<v1::DeclaredDevice>,
}

/// All that is declared, and who has it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Declared {
    sites: BTreeMap<String, Site>,
    named: BTreeMap<Name, BTreeSet<Place>>,
    /// Of each host what it has of what is declared.
    held: ByChain<BTreeSet<Place>>,
    /// Of each host the devices that its site's declaration lacks.
    strange: ByChain<BTreeMap<String, Since>>,
    waiting: Option<Waiting>,
}

/// What a host has: names, and how it is called.
struct Has {
    names: Vec<Name>,
    called: String,
}

/// Something that is over: what, about whom, since when, and in which words.
struct Over {
    rule: Rule,
    subject: Subject,
    since: Since,
    detail: String,
}

fn names(uuid: &str, serial: &str) -> Vec<Name> {
    let uuid = uuid.trim().to_lowercase();
    let serial = serial.trim().to_uppercase();
    let uuid = (!uuid.is_empty()).then_some(Name::Uuid(uuid));
    let serial = (!serial.is_empty()).then_some(Name::Serial(serial));
    uuid.into_iter().chain(serial).collect()
}

/// The uuid of a device, else its serial number.
fn called(uuid: &str, serial: &str) -> String {
    let (uuid, serial) = (uuid.trim(), serial.trim());
    if uuid.is_empty() { serial } else { uuid }.to_owned()
}

impl Entry {
    fn is_missing(&self, now_ms: u64, grace_ms: u64) -> bool {
        self.holders.is_empty() && now_ms >= self.absent.ms.saturating_add(grace_ms)
    }

    fn over(&self, site: &str, device: &str) -> Over {
        let model = match self.model.is_empty() {
            true => String::new(),
            false => format!(", model {}", self.model),
        };
        Over {
            rule: Rule::InventoryMissing,
            subject: Subject::Declared(site.to_owned(), device.to_owned()),
            since: self.absent,
            detail: format!("declared for site {site}{model}; no host has it in its inventory"),
        }
    }
}

impl Declared {
    /// Puts a declaration in the place of its site's last. Gives what is over by it.
    fn declare(
        &mut self,
        site: &str,
        devices: &[v1::DeclaredDevice],
        since: Since,
        grace_ms: u64,
    ) -> Vec<Over> {
        let mut old = self.sites.remove(site).map(|site| site.devices);
        let mut new: BTreeMap<String, Entry> = BTreeMap::new();
        let mut over = Vec::new();
        for device in devices.iter().take(MAX_DECLARED) {
            let names = names(&device.uuid, &device.serial);
            let key = called(&device.uuid, &device.serial);
            if names.is_empty() || new.contains_key(&key) {
                continue;
            }
            let was = self.called_before(site, &names, &key);
            let kept = old.as_mut().and_then(|old| old.remove(&was));
            if let Some(kept) = kept
                .as_ref()
                .filter(|kept| was != key && kept.is_missing(since.ms, grace_ms))
            {
                over.push(kept.over(site, &was));
            }
            // Under other names it is looked for anew; missing it was from when it was.
            let absent = match &kept {
                Some(kept) if kept.holders.is_empty() => kept.absent,
                _ => since,
            };
            let kept = kept.filter(|kept| kept.names == names);
            let entry = kept.unwrap_or_else(|| Entry {
                names,
                model: String::new(),
                holders: BTreeSet::new(),
                absent,
            });
            let model = device.model.clone();
            new.insert(key, Entry { model, ..entry });
        }
        for (key, entry) in old.into_iter().flatten() {
            if entry.is_missing(since.ms, grace_ms) {
                over.push(entry.over(site, &key));
            }
        }
        // A device of another name in its place is looked for anew.
        self.named.retain(|_, places| {
            places.retain(|(of, _)| of != site);
            !places.is_empty()
        });
        for (key, entry) in &new {
            for name in &entry.names {
                let places = self.named.entry(name.clone()).or_default();
                places.insert((site.to_owned(), key.clone()));
            }
        }
        let devices = new;
        self.sites.insert(site.to_owned(), Site { since, devices });
        over
    }

    /// What a site's device was called that has one of these names, as its last declaration spelt it.
    fn called_before(&self, site: &str, names: &[Name], key: &str) -> String {
        let places = names.iter().filter_map(|name| self.named.get(name));
        let here = places.flatten().filter(|(of, _)| of == site);
        let mut called: BTreeSet<&String> = here.map(|(_, called)| called).collect();
        match called.contains(&key.to_owned()) {
            true => key.to_owned(),
            false => called
                .pop_first()
                .map_or_else(|| key.to_owned(), String::clone),
        }
    }

    /// Takes what a host of a site has now. Gives what is over by it.
    fn see(
        &mut self,
        chain: Chain,
        (host, site): (&str, &str),
        has: &[Has],
        now: Since,
        grace_ms: u64,
    ) -> Vec<Over> {
        let mut over = Vec::new();
        let mut held: BTreeSet<Place> = BTreeSet::new();
        let mut strange: BTreeMap<String, Since> = BTreeMap::new();
        let before = self.strange.remove(&chain).unwrap_or_default();
        for device in has {
            let places = device.names.iter().filter_map(|name| self.named.get(name));
            let places: BTreeSet<&Place> = places.flatten().collect();
            let is_due = places.iter().any(|(of, _)| of == site);
            held.extend(places.into_iter().cloned());
            if self.sites.contains_key(site) && !is_due {
                let since = before.get(&device.called).copied().unwrap_or(now);
                strange.insert(device.called.clone(), since);
            }
        }
        for (device, since) in before {
            if !strange.contains_key(&device) {
                over.push(unexpected(chain, (host, site), &device, since));
            }
        }
        let had = self.held.remove(&chain).unwrap_or_default();
        for place in had.difference(&held) {
            if let Some(entry) = self.entry(place)
                && entry.holders.remove(&chain)
                && entry.holders.is_empty()
            {
                entry.absent = now;
            }
        }
        for place in &held {
            if let Some(entry) = self.entry(place) {
                if entry.is_missing(now.ms, grace_ms) {
                    over.push(entry.over(&place.0, &place.1));
                }
                entry.holders.insert(chain);
            }
        }
        if !held.is_empty() {
            self.held.insert(chain, held);
        }
        if !strange.is_empty() {
            self.strange.insert(chain, strange);
        }
        over
    }

    fn entry(&mut self, (site, key): &Place) -> Option<&mut Entry> {
        self.sites.get_mut(site)?.devices.get_mut(key)
    }

    /// What is missing at a site, that which is so for longest first.
    fn missing(&self, site: &str, now_ms: u64, grace_ms: u64) -> Vec<Over> {
        let devices = self.sites.get(site).into_iter();
        let devices = devices.flat_map(|site| &site.devices);
        let missing = devices.filter(|(_, entry)| entry.is_missing(now_ms, grace_ms));
        let mut missing: Vec<Over> = missing.map(|(key, entry)| entry.over(site, key)).collect();
        missing.sort_by_key(|over| over.since);
        missing
    }
}

fn unexpected(chain: Chain, (host, site): (&str, &str), device: &str, since: Since) -> Over {
    Over {
        rule: Rule::InventoryUnexpected,
        subject: Subject::Device(host.to_owned(), chain, device.to_owned()),
        since,
        detail: format!("in host {host}; the declaration of site {site} lacks it"),
    }
}

impl Judge {
    /// Takes an officer's list of the devices of a site, or a part of one.
    pub fn inventory_declaration(
        &mut self,
        index: u64,
        officer: Chain,
        body: &v1::InventoryDeclaration,
    ) {
        let stamp = self.stamp(index, self.clock_ms);
        self.registry.act(stamp, officer);
        if self.clock_ms > self.period.1 {
            return;
        }
        let before = self.declared.waiting.take();
        let mut whole = Waiting {
            officer,
            site: body.site.clone(),
            part: body.part,
            parts: body.parts,
            devices: Vec::new(),
        };
        if body.part > 1 {
            let goes_on = |old: &Waiting| {
                (old.officer, old.site.as_str(), old.parts) == (officer, &body.site, body.parts)
                    && old.part.checked_add(1) == Some(body.part)
            };
            match before.filter(goes_on) {
                Some(old) => whole.devices = old.devices,
                None => {
                    self.note(format!(
                        "index {index}: part {} of a declaration of devices follows no part before it, and is not taken",
                        body.part
                    ));
                    return;
                }
            }
        }
        let room = MAX_DECLARED.saturating_sub(whole.devices.len());
        whole
            .devices
            .extend(body.devices.iter().take(room).cloned());
        if body.part < body.parts {
            self.declared.waiting = Some(whole);
            return;
        }
        let (since, grace) = (self.since(index), self.parameters.inventory_grace_ms);
        let over = self
            .declared
            .declare(&whole.site, &whole.devices, since, grace);
        self.is_over(index, over);
        let chains: Vec<Chain> = self.hosts.iter().map(|(chain, _)| *chain).collect();
        for chain in chains {
            self.see_devices(index, chain);
        }
    }

    /// Looks at what a host has, after an inventory of it or a change of how it stands.
    pub(crate) fn see_devices(&mut self, index: u64, chain: Chain) {
        if self.declared.sites.is_empty() || self.clock_ms > self.period.1 {
            return;
        }
        let host = self.hosts.share(chain);
        let counts = host.state.is_live() || host.state == HostState::Revoked;
        let devices = host.devices().flatten().filter(|_| counts);
        let has: Vec<Has> = devices
            .map(|placed| {
                let serial = placed.device.serial.as_deref().unwrap_or_default();
                Has {
                    names: names(&placed.device.uuid, serial),
                    called: called(&placed.device.uuid, serial),
                }
            })
            .collect();
        let (since, grace) = (self.since(index), self.parameters.inventory_grace_ms);
        let named = (host.name.as_str(), host.site.as_str());
        let over = self.declared.see(chain, named, &has, since, grace);
        self.is_over(index, over);
    }

    /// What is missing or not expected by now, as observations.
    pub(crate) fn misplaced(&self) -> Vec<(Key, Episode)> {
        let now = self.clock_ms.min(self.period.1);
        if self.declared.sites.is_empty() || now <= self.period.0 && self.period.0 > 0 {
            return Vec::new();
        }
        let grace = self.parameters.inventory_grace_ms;
        let mut found = Vec::new();
        let mut strange: BTreeMap<String, Vec<Over>> = BTreeMap::new();
        for (chain, devices) in self.declared.strange.iter() {
            let host = self.hosts.get(chain);
            let (host, site) = host.map_or(("", ""), |host| (&host.name, &host.site));
            let of_site = strange.entry(site.to_owned()).or_default();
            let each = devices.iter();
            of_site.extend(
                each.map(|(device, since)| unexpected(*chain, (host, site), device, *since)),
            );
        }
        for site in self.declared.sites.keys() {
            let missing = self.declared.missing(site, now, grace);
            found.extend(self.each(site, missing, now));
        }
        for (site, mut over) in strange {
            over.sort_by_key(|over| over.since);
            found.extend(self.each(&site, over, now));
        }
        found
    }

    /// Devices, declared and seen, by site.
    pub fn declared(&self) -> Vec<SiteInventory> {
        let now = self.clock_ms.min(self.period.1);
        let grace = self.parameters.inventory_grace_ms;
        let mut unexpected: BTreeMap<&str, u64> = BTreeMap::new();
        for (chain, devices) in self.declared.strange.iter() {
            let site = self.hosts.get(chain).map_or("", |host| host.site.as_str());
            *unexpected.entry(site).or_default() += devices.len() as u64;
        }
        let sites = self.declared.sites.iter();
        let said = sites.map(|(site, of)| {
            let count = |is: &dyn Fn(&Entry) -> bool| {
                of.devices.values().filter(|entry| is(entry)).count() as u64
            };
            SiteInventory {
                site: site.clone(),
                declared_index: of.since.index,
                declared_unix_ms: of.since.ms,
                declared: of.devices.len() as u64,
                seen: count(&|entry| !entry.holders.is_empty()),
                missing: count(&|entry| entry.is_missing(now, grace)),
                unexpected: unexpected.get(site.as_str()).copied().unwrap_or_default(),
            }
        });
        said.collect()
    }

    fn since(&self, index: u64) -> Since {
        Since {
            ms: self.clock_ms,
            index,
        }
    }

    /// Keeps what is over as findings.
    fn is_over(&mut self, index: u64, over: Vec<Over>) {
        for over in over
            .into_iter()
            .filter(|_| self.in_period())
            .collect::<Vec<_>>()
        {
            let (key, episode) = self.misplacement(over, self.clock_ms, index);
            self.episodes.add(key, episode);
        }
    }

    fn each(&self, site: &str, mut over: Vec<Over>, now: u64) -> Vec<(Key, Episode)> {
        let more = over.split_off(EACH.min(over.len()));
        let mut found: Vec<_> = over
            .into_iter()
            .map(|over| {
                let index = over.since.index;
                self.misplacement(over, now, index)
            })
            .collect();
        if let Some(first) = more.first() {
            let together = Over {
                rule: first.rule,
                subject: Subject::Site(site.to_owned()),
                since: first.since,
                detail: format!("{} more, beside those that have a finding each", more.len()),
            };
            let index = together.since.index;
            found.push(self.misplacement(together, now, index));
        }
        found
    }

    fn misplacement(&self, over: Over, to_ms: u64, index: u64) -> (Key, Episode) {
        let span = (over.since.ms, to_ms);
        let mut episode = Episode::new((over.since.index, index), span, self.clock_ms, 1);
        match &over.subject {
            Subject::Device(host, ..) => episode.tell(&over.detail, host, None),
            _ => episode.say(&over.detail),
        }
        let key = Key {
            cause: over.rule.into(),
            subject: over.subject,
            known: Known::Then,
        };
        (key, episode)
    }
}
