//! Policy packs as people look at them: which one judges, who signed it and when, and what is to come.

use affiant_proto::Digest;
use serde::Serialize;

use super::Wanted;
use crate::{
    Judge,
    policy::{Mode, Pack},
};

/// How a pack stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Stands {
    /// It judges what comes.
    InForce,
    /// It waits for a second officer.
    Waiting,
    /// It judged what was logged before another one took its place.
    Before,
}

/// One officer's word for a pack.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct SignedLine {
    /// The digest that opened his chain, in hexadecimal.
    pub officer: String,
    /// His name, where the log tells it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Log index of what he said.
    pub index: u64,
    /// The log's time there, milliseconds since 1970.
    pub logged_unix_ms: u64,
}

/// One line of the packs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct PackLine {
    /// Its name.
    pub pack: String,
    /// Its version.
    pub version: String,
    /// How it stands.
    pub stands: Stands,
    /// SHA-256 of its canonical bytes, in hexadecimal.
    pub digest: String,
    /// The first log index that it judges; `None` for one that waits.
    pub from_index: Option<u64>,
    /// "shadow" where use by tenants on whom nobody decided is tried only.
    pub undecided: &'static str,
    /// Policies that count.
    pub enforced: usize,
    /// Policies that are tried in shadow.
    pub in_shadow: usize,
    /// Policies that begin on a later day than the log's, as `ID from DAY`.
    pub begins: Vec<String>,
    /// Policies that end on a day that is not over, as `ID until DAY`.
    pub ends: Vec<String>,
    /// Who signed it; nobody did the one that a log begins with, which is that of the release.
    pub signed: Vec<SignedLine>,
}

impl Judge {
    /// All packs: the one in force first, then those that wait for a second officer, then those before it,
    /// the newest first.
    pub fn pack_lines(&self) -> Vec<PackLine> {
        let packs = &self.packs;
        let nobody = Wanted::new();
        let mut judged: Vec<PackLine> = std::iter::once((0, &packs.first, &nobody))
            .chain(
                packs
                    .later
                    .iter()
                    .map(|it| (it.after + 1, &it.pack, &it.by)),
            )
            .map(|(from, pack, by)| self.pack_line(pack, by, Stands::Before, Some(from)))
            .collect();
        let mut lines = Vec::new();
        if let Some(mut newest) = judged.pop() {
            newest.stands = Stands::InForce;
            lines.push(newest);
        }
        // One of which every word was taken back waits for nobody.
        let waiting = packs.proposed.values().filter(|it| !it.by.is_empty());
        lines.extend(waiting.map(|it| self.pack_line(&it.pack, &it.by, Stands::Waiting, None)));
        lines.extend(judged.into_iter().rev());
        lines
    }

    fn pack_line(
        &self,
        pack: &Pack,
        by: &Wanted,
        stands: Stands,
        from_index: Option<u64>,
    ) -> PackLine {
        let shadow = pack.policies().iter();
        let shadow = shadow.filter(|policy| policy.mode() == Mode::Shadow);
        let in_shadow = shadow.count();
        let later = pack.policies().iter();
        let later = later.filter(|policy| policy.since().begins_unix_ms() > self.clock_ms);
        let ends = pack.policies().iter().filter_map(|policy| {
            let until = policy.until()?;
            (until.ends_unix_ms() > self.clock_ms).then(|| format!("{} until {until}", policy.id()))
        });
        let signed = by.iter().map(|(officer, said)| {
            let officer = Digest::new(*officer).to_string();
            SignedLine {
                name: self.officer_name(&officer),
                officer,
                index: said.index,
                logged_unix_ms: said.logged_ms,
            }
        });
        let mut signed: Vec<SignedLine> = signed.collect();
        signed.sort_by_key(|line| line.index);
        let undecided = match pack.undecided() {
            Some(_) => Mode::Shadow,
            None => Mode::Enforce,
        };
        PackLine {
            pack: pack.name().to_owned(),
            version: pack.version().to_owned(),
            stands,
            digest: pack.digest().to_string(),
            from_index,
            undecided: undecided.as_str(),
            enforced: pack.policies().len() - in_shadow,
            in_shadow,
            begins: later
                .map(|policy| format!("{} from {}", policy.id(), policy.since()))
                .collect(),
            ends: ends.collect(),
            signed,
        }
    }
}
