//! The index over all names of all lists, and what it finds for a subject.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, OnceLock},
};

use serde::Serialize;

use super::{
    aliases::Aliases,
    align::{Alignment, Pair},
    class::{self, Class},
    corroborate::{Corroboration, Known, Subject, numbers_in},
    known_as,
    list::{self, List},
    name::{Name, Token},
    similar,
    table::{Table, with_letters_left_out},
    words::Sort,
};

/// Most words that one may run together or be the first letters of, as in the pairing.
const MAX_RUN: usize = 8;
/// Words of a name that runs begin in; later ones are found by themselves.
const MAX_STARTS: usize = 24;
/// Legal forms and stop words of a name that an acronym may leave out in any choice: 2⁴ acronyms.
const MAX_OPTIONAL: u32 = 4;

/// Share of a name that has to be found before it is compared word by word, in thousandths. A little
/// below what is possible, since what is found is an estimate.
const WORTH_A_LOOK: u64 = 760;
/// Most hits of one subject on one list. The real lists give a handful; a list of one name a hundred
/// thousand times would take a gigabyte.
const MAX_HITS: usize = 1_000;

/// A name on a list that a subject's name is near to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Hit {
    /// The list's id.
    pub list: String,
    /// The entry, counted from 0 in the order of its list.
    pub entry: usize,
    /// The name under which it is listed.
    pub listed: String,
    /// Which of its names was matched.
    pub matched_name: String,
    /// Which of the subject's names, or of its aliases, matched.
    pub asked: String,
    /// How near they are, all things considered.
    pub class: Class,
    /// Words of both that stand for each other, the weightiest first.
    pub tokens: Vec<Pair>,
    /// What beside the name speaks for it, or against it.
    pub corroboration: Corroboration,
}

/// All names of some lists, ready to be asked. It never changes, so that threads may share it.
#[derive(Clone, Debug)]
pub struct Screener {
    lists: Vec<Arc<List>>,
    aliases: Aliases,
    names: Vec<Indexed>,
    /// Every word on the lists, by its text.
    ids: BTreeMap<Box<str>, u32>,
    words: Vec<Entry>,
    keys: BTreeMap<Box<str>, Vec<u32>>,
    groups: BTreeMap<&'static str, Vec<u32>>,
    sounds: BTreeMap<String, Vec<u32>>,
    initials: BTreeMap<Box<str>, Vec<u32>>,
    slips: Table,
    /// Names by words run together and by first letters.
    runs: Table,
    identifiers: BTreeMap<String, Vec<(u32, u32)>>,
    /// What is known of each entry of each list, read when it is first hit.
    known: Vec<Vec<OnceLock<Known>>>,
}

#[derive(Clone, Debug)]
struct Indexed {
    list: u32,
    entry: u32,
    text: u32,
    name: Name,
    weight: u32,
}

/// A word on the lists.
#[derive(Clone, Debug)]
struct Entry {
    token: Token,
    names: Vec<u32>,
    entries: BTreeSet<(u32, u32)>,
}

impl Screener {
    /// Indexes lists. Their order does not matter.
    pub fn over(lists: impl IntoIterator<Item = Arc<List>>, aliases: &Aliases) -> Self {
        let mut lists: Vec<Arc<List>> = lists.into_iter().collect();
        lists.sort_by(|a, b| a.id().cmp(b.id()).then_with(|| a.names().cmp(&b.names())));
        let mut it = Self {
            lists,
            aliases: aliases.clone(),
            names: Vec::new(),
            ids: BTreeMap::new(),
            words: Vec::new(),
            keys: BTreeMap::new(),
            groups: BTreeMap::new(),
            sounds: BTreeMap::new(),
            initials: BTreeMap::new(),
            slips: Table::default(),
            runs: Table::default(),
            identifiers: BTreeMap::new(),
            known: Vec::new(),
        };
        it.known = it
            .lists
            .iter()
            .map(|list| vec![OnceLock::new(); list.entries().len()])
            .collect();
        it.read_names();
        it.weigh();
        it.index_words();
        it
    }

    /// How many names are indexed.
    pub fn names(&self) -> usize {
        self.names.len()
    }

    /// The lists, by their ids.
    pub fn lists(&self) -> &[Arc<List>] {
        &self.lists
    }

    fn read_names(&mut self) {
        for (at, list) in self.lists.iter().enumerate() {
            for (entry, listed) in list.entries().iter().enumerate() {
                for number in listed.identifiers().iter().flat_map(|it| numbers_in(it)) {
                    self.identifiers
                        .entry(number)
                        .or_default()
                        .push((id(at), id(entry)));
                }
                for (text, name) in listed.names().iter().enumerate() {
                    let Some(name) = Name::read(name) else {
                        continue;
                    };
                    let number = id(self.names.len());
                    self.keys.entry(name.key().into()).or_default().push(number);
                    if name.whole() != name.key() {
                        self.keys
                            .entry(name.whole().into())
                            .or_default()
                            .push(number);
                    }
                    for token in name.tokens() {
                        let fresh = id(self.words.len());
                        let word = *self.ids.entry(token.text.clone()).or_insert(fresh);
                        if word == fresh {
                            self.words.push(Entry {
                                token: token.clone(),
                                names: Vec::new(),
                                entries: BTreeSet::new(),
                            });
                        }
                        if let Some(word) = self.words.get_mut(index(word)) {
                            word.entries.insert((id(at), id(entry)));
                            if word.names.last() != Some(&number) {
                                word.names.push(number);
                            }
                        }
                    }
                    each_run(&name, |run| self.runs.add(run, number));
                    let indexed = Indexed {
                        list: id(at),
                        entry: id(entry),
                        text: id(text),
                        name,
                        weight: 0,
                    };
                    self.names.push(indexed);
                }
            }
        }
        self.runs.close();
    }

    /// Lowers names of their own that many entries have: families of firms, and given names.
    fn weigh(&mut self) {
        for word in &mut self.words {
            word.token.weight = rarity(&word.token, word.entries.len());
            word.entries = BTreeSet::new();
        }
        let (ids, words) = (&self.ids, &self.words);
        for indexed in &mut self.names {
            reweigh(&mut indexed.name, ids, words);
            indexed.weight = indexed.name.weight();
        }
    }

    fn index_words(&mut self) {
        for (at, word) in self.words.iter().enumerate() {
            let (at, token) = (id(at), &word.token);
            if token.sort == Sort::Number {
                continue;
            }
            if let Some(group) = token.group {
                self.groups.entry(group).or_default().push(at);
            }
            if let Some(initials) = &token.initials {
                self.initials.entry(initials.clone()).or_default().push(at);
            }
            if token.sort == Sort::Own && token.text.len() >= similar::SOUND_LETTERS {
                self.sounds
                    .entry(similar::sound(&token.text))
                    .or_default()
                    .push(at);
            }
            with_letters_left_out(token.text.as_bytes(), |rest| self.slips.add(rest, at));
        }
        self.slips.close();
    }

    /// Finds every entry that a subject may be, the nearest first.
    ///
    /// The same subject and lists give the same hits in the same order, of each list the nearest
    /// 1,000 at most: no list can crowd out what another has.
    pub fn screen(&self, subject: &Subject) -> Vec<Hit> {
        let known = Known::of(subject);
        let mut best: BTreeMap<(u32, u32), Hit> = BTreeMap::new();
        for (text, name) in self.names_of(subject) {
            for number in self.candidates(&name) {
                let Some(indexed) = self.names.get(index(number)) else {
                    continue;
                };
                let Some((class, alignment)) = class::judge(&name, &indexed.name) else {
                    continue;
                };
                let Some(hit) = self.hit(&known, indexed, &text, class, alignment) else {
                    continue;
                };
                keep(&mut best, (indexed.list, indexed.entry), hit);
            }
        }
        for at in known
            .identifiers
            .iter()
            .filter_map(|it| self.identifiers.get(it))
            .flatten()
        {
            if let Some(hit) = self.hit_by_number(&known, *at) {
                keep(&mut best, *at, hit);
            }
        }
        let mut hits: Vec<Hit> = best.into_values().collect();
        hits.sort_by(|a, b| {
            b.class
                .cmp(&a.class)
                .then_with(|| a.list.cmp(&b.list))
                .then_with(|| a.entry.cmp(&b.entry))
        });
        let mut of_list: BTreeMap<String, usize> = BTreeMap::new();
        hits.retain(|hit| {
            let count = of_list.entry(hit.list.clone()).or_default();
            *count += 1;
            *count <= MAX_HITS
        });
        hits
    }

    /// The subject's names, each as all that it is read as, and what the operator's file adds.
    fn names_of(&self, subject: &Subject) -> Vec<(String, Name)> {
        let mut names: Vec<(String, Name)> = Vec::new();
        let mut seen = BTreeSet::new();
        let mut add = |text: String, names: &mut Vec<(String, Name)>| {
            if let Some(mut name) = Name::read(&text) {
                reweigh(&mut name, &self.ids, &self.words);
                if seen.insert(name.key().to_owned()) {
                    names.push((text, name));
                }
            }
        };
        for name in &subject.names {
            add(name.clone(), &mut names);
            known_as::names_in(name)
                .into_iter()
                .for_each(|it| add(it, &mut names));
        }
        let others: Vec<String> = names
            .iter()
            .flat_map(|(_, name)| self.aliases.others(name).map(str::to_owned))
            .collect();
        others.into_iter().for_each(|it| add(it, &mut names));
        names
    }

    fn hit(
        &self,
        known: &Known,
        indexed: &Indexed,
        asked: &str,
        class: Class,
        alignment: Alignment,
    ) -> Option<Hit> {
        let list = self.lists.get(index(indexed.list))?;
        let entry = list.entries().get(index(indexed.entry))?;
        let corroboration = self.beside(known, indexed.list, indexed.entry, entry);
        let mut tokens = alignment.pairs;
        tokens.sort_by_key(|it| std::cmp::Reverse(it.weight));
        Some(Hit {
            list: list.id().to_owned(),
            entry: index(indexed.entry),
            listed: entry.name().to_owned(),
            matched_name: entry.names().get(index(indexed.text))?.clone(),
            asked: asked.to_owned(),
            class: corroboration.moved(class),
            tokens,
            corroboration,
        })
    }

    fn beside(&self, asked: &Known, list: u32, at: u32, entry: &list::Entry) -> Corroboration {
        let read = || Known::of_entry(entry);
        let cell = self.known.get(index(list)).and_then(|it| it.get(index(at)));
        match cell {
            Some(cell) => asked.beside(cell.get_or_init(read)),
            None => asked.beside(&read()),
        }
    }

    /// A hit whose name is another one, but whose number in a register is the same.
    fn hit_by_number(&self, known: &Known, (list_at, at): (u32, u32)) -> Option<Hit> {
        let list = self.lists.get(index(list_at))?;
        let entry = list.entries().get(index(at))?;
        Some(Hit {
            list: list.id().to_owned(),
            entry: index(at),
            listed: entry.name().to_owned(),
            matched_name: entry.name().to_owned(),
            asked: String::new(),
            class: Class::Strong,
            tokens: Vec::new(),
            corroboration: self.beside(known, list_at, at, entry),
        })
    }

    /// Names that share enough with one to be compared word by word.
    fn candidates(&self, name: &Name) -> Vec<u32> {
        let mut found = Found {
            weights: vec![0; self.names.len()],
            touched: Vec::new(),
        };
        for token in name.tokens() {
            for word in self.words_like(token) {
                let Some(word) = self.words.get(index(word)) else {
                    continue;
                };
                found.add(&word.names, token.weight.min(word.token.weight));
            }
            for number in self.runs.find(token.text.as_bytes()) {
                found.add(&[number], token.weight);
            }
        }
        each_run(name, |run| {
            let word = std::str::from_utf8(run)
                .ok()
                .and_then(|it| self.ids.get(it));
            if let Some(word) = word.and_then(|it| self.words.get(index(*it))) {
                found.add(&word.names, word.token.weight);
            }
        });
        let asked = u64::from(name.weight());
        let mut worth: Vec<u32> = found
            .touched
            .iter()
            .copied()
            .filter(|number| {
                let at = index(*number);
                let weight = found.weights.get(at).copied().unwrap_or_default();
                let listed = self.names.get(at).map_or(0, |it| it.weight);
                is_worth_a_look(u64::from(weight), asked, u64::from(listed))
            })
            .collect();
        for key in [name.key(), name.whole()] {
            worth.extend(self.keys.get(key).into_iter().flatten());
        }
        worth.sort_unstable();
        worth.dedup();
        worth
    }

    /// Words on the lists that a word may stand for, each once.
    fn words_like(&self, token: &Token) -> Vec<u32> {
        let mut near: Vec<u32> = self.ids.get(&token.text).copied().into_iter().collect();
        if token.sort != Sort::Number {
            near.extend(
                token
                    .group
                    .and_then(|it| self.groups.get(it))
                    .into_iter()
                    .flatten(),
            );
            near.extend(token.initials.as_ref().and_then(|it| self.ids.get(it)));
            near.extend(self.initials.get(&token.text).into_iter().flatten());
            if token.sort == Sort::Own && token.text.len() >= similar::SOUND_LETTERS {
                near.extend(
                    self.sounds
                        .get(&similar::sound(&token.text))
                        .into_iter()
                        .flatten(),
                );
            }
            if matches!(token.sort, Sort::Own | Sort::Place) && token.text.len() >= 4 {
                with_letters_left_out(token.text.as_bytes(), |rest| {
                    near.extend(self.slips.find(rest))
                });
            }
        }
        near.sort_unstable();
        near.dedup();
        near.retain(|word| {
            let word = self.words.get(index(*word));
            word.is_some_and(|it| similar::alike(token, &it.token) > 0)
        });
        near
    }
}

/// What was found of each name.
struct Found {
    weights: Vec<u32>,
    touched: Vec<u32>,
}

impl Found {
    fn add(&mut self, names: &[u32], weight: u32) {
        for number in names {
            let Some(sum) = self.weights.get_mut(index(*number)) else {
                continue;
            };
            if *sum == 0 {
                self.touched.push(*number);
            }
            *sum = sum.saturating_add(weight.max(1));
        }
    }
}

/// Whether so much is found that a class is within reach: as much as the pairing asks for where all that
/// stands alone is at its cheapest, or one name nearly whole.
fn is_worth_a_look(found: u64, asked: u64, listed: u64) -> bool {
    let found = found.min(asked).min(listed);
    let alone = (asked - found) / 2 + (listed - found) * 2 / 5;
    found * 1_000 >= WORTH_A_LOOK * (found + alone) || found * 10 >= asked.min(listed) * 9
}

/// Every run of words as one word, and by its first letters; and the whole name by its first letters.
fn each_run(name: &Name, mut each: impl FnMut(&[u8])) {
    let tokens = name.tokens();
    let mut text = Vec::with_capacity(64);
    let mut letters = Vec::with_capacity(16);
    let mut syllables = Vec::with_capacity(16);
    for from in 0..tokens.len().min(MAX_STARTS) {
        let run = tokens.get(from..).unwrap_or_default();
        text.clear();
        letters.clear();
        syllables.clear();
        for (at, token) in run.iter().take(MAX_RUN).enumerate() {
            text.extend_from_slice(token.text.as_bytes());
            letters.extend(token.text.bytes().next());
            match &token.initials {
                Some(initials) => syllables.extend_from_slice(initials.as_bytes()),
                None => syllables.extend(token.text.bytes().next()),
            }
            if at == 0 {
                continue;
            }
            if at < 4 {
                each(&text);
            }
            each(&letters);
            if syllables != letters {
                each(&syllables);
            }
            if at > 1 {
                // With the letter of a legal form, and without that of "group".
                letters.push(b'c');
                each(&letters);
                letters.pop();
                if token.group == Some("company") {
                    let group = letters.pop();
                    letters.push(b'c');
                    each(&letters);
                    letters.pop();
                    letters.extend(group);
                }
            }
        }
    }
    let all = name.letters();
    let optional = all.iter().filter(|(_, optional)| *optional).count();
    let choices = 1_u32
        << u32::try_from(optional)
            .unwrap_or(u32::MAX)
            .min(MAX_OPTIONAL);
    for choice in 0..choices {
        letters.clear();
        let mut bit = 0;
        for (letter, optional) in all {
            if *optional {
                // Beyond the bound all are left out.
                let taken = bit < MAX_OPTIONAL && choice >> bit & 1 == 1;
                bit += 1;
                if !taken {
                    continue;
                }
            }
            letters.push(*letter);
        }
        if letters.len() >= 3 {
            each(&letters);
        }
    }
}

fn keep(best: &mut BTreeMap<(u32, u32), Hit>, at: (u32, u32), hit: Hit) {
    let better = best.get(&at).is_none_or(|known| rank(&hit) > rank(known));
    if better {
        best.insert(at, hit);
    }
}

/// Which of two hits on one entry says more: the class, then what is paired, then the earlier name.
fn rank(hit: &Hit) -> (Class, u64) {
    let paired = hit
        .tokens
        .iter()
        .map(|it| u64::from(it.weight) * u64::from(it.alike))
        .sum();
    (hit.class, paired)
}

/// A name of its own tells less where many entries have it: from eleven on nine tenths, from 51 on
/// eight tenths. It stays a name: a group's firms are each listed, and all of them are meant.
fn rarity(token: &Token, entries: usize) -> u32 {
    let share = match entries {
        0..=10 => 1_000,
        11..=50 => 900,
        _ => 800,
    };
    if token.sort == Sort::Own {
        token.weight * share / 1_000
    } else {
        token.weight
    }
}

fn reweigh(name: &mut Name, ids: &BTreeMap<Box<str>, u32>, words: &[Entry]) {
    for token in name.tokens_mut() {
        if token.sort == Sort::Own
            && let Some(word) = ids.get(&token.text).and_then(|it| words.get(index(*it)))
            && word.token.sort == Sort::Own
        {
            token.weight = word.token.weight;
        }
    }
}

/// Judges one pair of names, without a list: with the neutral table of rarity and the shipped aliases.
///
/// Fields that hold several names are read as all of them; the nearest pair counts.
pub fn compare(asked: &str, listed: &str) -> Option<(Class, Vec<Pair>)> {
    let read = |text: &str| -> Vec<Name> {
        known_as::names_in(text)
            .iter()
            .filter_map(|it| Name::read(it))
            .collect()
    };
    let (a, b) = (read(asked), read(listed));
    let mut best: Option<(Class, u64, Vec<Pair>)> = None;
    for (x, y) in a.iter().flat_map(|x| b.iter().map(move |y| (x, y))) {
        let judged = class::judge(x, y);
        let is_one = || Aliases::shipped().are_one(x, y);
        if judged.as_ref().is_none_or(|it| it.0 < Class::Strong) && is_one() {
            return Some((Class::Strong, vec![Pair::of_aliases(x, y)]));
        }
        let Some((class, alignment)) = judged else {
            continue;
        };
        if best
            .as_ref()
            .is_none_or(|it| (it.0, it.1) < (class, alignment.matched))
        {
            best = Some((class, alignment.matched, alignment.pairs));
        }
    }
    best.map(|(class, _, pairs)| (class, pairs))
}

/// Numbers of lists, entries and names fit, for files are bounded: 250,000 rows of 64 names each.
fn id(at: usize) -> u32 {
    u32::try_from(at).unwrap_or(u32::MAX)
}

fn index(id: u32) -> usize {
    usize::try_from(id).unwrap_or(usize::MAX)
}
