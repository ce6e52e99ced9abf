//! What a revocation casts doubt on: statements of the key from the index that it names on.

use affiant_proto::{
    KeyId,
    v1::{self, KeyUse},
};

use crate::{
    Admission, Judge,
    custody::quoted,
    episodes::{Episode, Key},
    findings::{Known, Rule, Subject},
    hosts::HostState,
};

/// Most approvals of one officer that are read, as many as admission reads.
const MAX_APPROVALS: usize = 16;

impl Judge {
    /// Takes note of who signed the statement at `index`; before what it says is heard.
    pub fn signed(&mut self, index: u64, chain: [u8; 32], key: KeyId) {
        self.signers.signed(index, chain, *key.as_bytes());
    }

    /// Takes an officer's opening statement.
    pub fn officer(&mut self, index: u64, chain: [u8; 32], officer: &v1::Officer) {
        let approvals = officer.approvals.iter().take(MAX_APPROVALS);
        let admission = Admission {
            index,
            name: officer.name.clone(),
            by: approvals.map(|approval| approval.officer.clone()).collect(),
        };
        self.officers.insert(chain, admission);
        self.introduce(chain);
    }

    /// Takes a revocation: what the key signed before `from_index` stands, what it signed since
    /// was admitted and is suspect, and nothing more of it is admitted.
    pub fn revocation(&mut self, index: u64, revocation: &v1::Revocation) {
        let Ok(key) = <[u8; 16]>::try_from(revocation.key_id.as_slice()) else {
            self.note(format!("revocation at index {index} names no key"));
            return;
        };
        let usage = KeyUse::try_from(revocation.r#use).unwrap_or_default();
        let Some(signed) = self.signers.by(&key) else {
            return;
        };
        if self.relays.contains(&signed.chain) {
            return;
        }
        let speaks = usage == KeyUse::Record && signed.next.is_none();
        if speaks && self.hosts.of(signed.chain).state.is_live() {
            self.thaw(signed.chain);
            self.hosts.of(signed.chain).state = HostState::Revoked;
        }
        let first = signed.first.max(revocation.from_index);
        let subject = match usage {
            KeyUse::Record => Subject::Host(self.hosts.of(signed.chain).name.clone(), signed.chain),
            KeyUse::Officer => {
                let officer = self.officers.get(&signed.chain);
                let name = officer.map_or("", |officer| officer.name.as_str());
                Subject::Officer(name.to_owned(), signed.chain)
            }
            // These open connections and sign no statement.
            KeyUse::Tls | KeyUse::Ca | KeyUse::Unspecified => return,
        };
        // The revocation itself is nothing that somebody who leaves need answer for.
        let last = match signed.last == index {
            true => signed.before,
            false => Some(signed.last),
        };
        let Some(last) = last.filter(|last| first <= *last) else {
            return;
        };
        let touched = match usage {
            KeyUse::Officer => self.doubt(index, signed.chain, (first, last)),
            _ => Vec::new(),
        };
        let span = (self.signers.logged_ms(first), self.clock_ms);
        if span.1 <= self.period.0 || span.0 > self.period.1 {
            return;
        }
        let host = match &subject {
            Subject::Host(name, _) => name.clone(),
            _ => String::new(),
        };
        let mut episode = Episode::new((first, index), span, self.clock_ms, 1);
        let detail = format!(
            "log indices {first} to {last} were signed by key {}, revoked from {}{}",
            KeyId::new(key),
            revocation.from_index,
            quoted(&revocation.reason)
        );
        episode.tell(&detail, &host, None);
        if let Some(next) = signed.next {
            let detail = format!(
                "its last statement named the next key, {}",
                KeyId::new(next)
            );
            episode.tell(&detail, &host, None);
        }
        for touched in touched {
            episode.tell(&touched, &host, None);
        }
        let key = Key {
            cause: Rule::KeySuspect.into(),
            subject,
            known: Known::Later,
        };
        self.episodes.add(key, episode);
    }

    /// Casts doubt on all that an officer said between two log indices; gives it in words.
    fn doubt(&mut self, index: u64, officer: [u8; 32], span: (u64, u64)) -> Vec<String> {
        let stamp = self.stamp(index, self.clock_ms);
        let (mut said, doubt) = self.registry.doubt(stamp, officer, span);
        self.acts.doubt(&doubt);
        self.packs.doubt(&doubt);
        said.extend(self.bindings.doubt(index, officer, span));
        let admitted = self.officers.values().filter(|other| {
            (span.0..=index).contains(&other.index) && other.by.contains(officer.as_slice())
        });
        said.extend(admitted.map(|other| {
            format!(
                "officer {}, admitted at log index {} with his approval",
                other.name, other.index
            )
        }));
        said
    }
}
