//! The hosts, in one look: who is connected, silent or behind, and whom to look at first.

use std::collections::BTreeMap;

use affiant_proto::v1::KeyUse;
use serde::Serialize;

use super::{DAY_MS, StatusSource};
use crate::{
    hosts::{Host, Maintenance, Standing},
    presence::{Known, ToldSpool},
};

/// Hosts that one list names: a screen has some, JSON has these; the count has all.
const MAX_LISTED: usize = 1_000;

/// The hosts.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Fleet {
    /// How many there are of each standing.
    pub standing: BTreeMap<Standing, usize>,
    /// Connected now.
    pub connected: usize,
    /// Most statements of one stream that were on their way into the log at one time.
    pub most_in_flight: u64,
    /// Active and silent.
    pub silent_count: usize,
    /// Of those, excused by planned maintenance.
    pub planned_count: usize,
    /// The silent ones, the longest first; at most a thousand.
    pub silent: Vec<Silent>,
    /// Those with records that are not INCLUDED, the most first; at most a thousand.
    pub behind: Vec<Behind>,
    /// What connections show of active hosts and these say of themselves, by name; at most a
    /// thousand.
    pub seen: Vec<Seen>,
    /// The worst of all of them.
    pub worst: Worst,
}

/// What its connection shows of a host, and what it says of itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Seen {
    /// Its name.
    pub host: String,
    /// Its chain.
    pub chain: String,
    /// Whether it is connected now.
    pub connected: bool,
    /// When the certificate of its last connection ends, milliseconds since 1970.
    pub certificate_ends_unix_ms: Option<u64>,
    /// Whole days until then.
    pub certificate_days_left: Option<u64>,
    /// How its spool stands, as the host says: believed for nothing.
    pub spool: Option<ToldSpool>,
}

/// The hosts to look at first.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Worst {
    /// Connected by the certificate that ends first.
    pub certificate: Option<Seen>,
    /// Has the oldest record that is not INCLUDED, as it says.
    pub oldest_waiting: Option<Seen>,
    /// Has room for the fewest days, as it says.
    pub spool: Option<Seen>,
}

impl Worst {
    /// Takes one more into account.
    fn consider(&mut self, seen: &Seen) {
        let end = |seen: &Seen| seen.certificate_ends_unix_ms.filter(|_| seen.connected);
        let oldest = |seen: &Seen| seen.spool?.oldest_waiting_unix_ms;
        let days = |seen: &Seen| seen.spool?.days_left;
        worse(&mut self.certificate, seen, end);
        worse(&mut self.oldest_waiting, seen, oldest);
        worse(&mut self.spool, seen, days);
    }
}

/// Puts `seen` in the place of one whose number is not less.
fn worse(worst: &mut Option<Seen>, seen: &Seen, number: impl Fn(&Seen) -> Option<u64>) {
    let known = worst.as_ref().and_then(&number);
    if number(seen).is_some_and(|new| known.is_none_or(|known| new < known)) {
        *worst = Some(seen.clone());
    }
}

/// A host that is expected to report and does not.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Silent {
    /// Its name.
    pub host: String,
    /// Its chain.
    pub chain: String,
    /// The log's time at its newest statement, milliseconds since 1970.
    pub since_unix_ms: Option<u64>,
    /// What is known of it.
    pub why: String,
    /// Planned work that excuses it.
    pub planned: Option<Maintenance>,
}

/// A host whose disk has more than the log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Behind {
    /// Its name.
    pub host: String,
    /// Statements that it told of and that are not INCLUDED.
    pub statements: u64,
    /// The log's time at its newest INCLUDED statement: the oldest that waits is younger.
    pub included_to_unix_ms: Option<u64>,
}

impl StatusSource {
    /// Looks at every host.
    pub(super) fn fleet(&self, now: u64) -> Fleet {
        let grace_ms = self.config.load().parameters.gap_grace_ms;
        let mut fleet = Fleet::default();
        for host in self.gate.hosts.all() {
            let standing = host.standing();
            *fleet.standing.entry(standing).or_default() += 1;
            let presence = host.presence.known();
            fleet.connected += usize::from(presence.sessions > 0);
            fleet.most_in_flight = fleet.most_in_flight.max(presence.most_in_flight);
            let included = host.included();
            let waiting = presence.told_sequence.and_then(|told| {
                let have = included.map_or(0, |watermark| watermark.sequence);
                told.checked_sub(have).filter(|more| *more > 0)
            });
            if let Some(statements) = waiting {
                fleet.behind.push(Behind {
                    host: host.name().to_owned(),
                    statements,
                    included_to_unix_ms: included.map(|watermark| watermark.logged_unix_ms),
                });
            }
            // What another chain goes on from, or was put out, is nobody's to mend.
            if standing == Standing::Active
                && let Some(seen) = seen(&host, &presence, waiting.is_some(), now)
            {
                fleet.worst.consider(&seen);
                fleet.seen.push(seen);
            }
            let since = included.map(|watermark| watermark.logged_unix_ms);
            let quiet = since.is_none_or(|since| now.saturating_sub(since) > grace_ms);
            if standing == Standing::Active && quiet {
                let silent = self.silent(&host, since, now);
                fleet.silent_count += 1;
                fleet.planned_count += usize::from(silent.planned.is_some());
                fleet.silent.push(silent);
            }
        }
        fleet
            .silent
            .sort_by(|a, b| (a.since_unix_ms, &a.host).cmp(&(b.since_unix_ms, &b.host)));
        fleet.silent.truncate(MAX_LISTED);
        fleet
            .behind
            .sort_by(|a, b| (b.statements, &a.host).cmp(&(a.statements, &b.host)));
        fleet.behind.truncate(MAX_LISTED);
        fleet.seen.sort_by(|a, b| a.host.cmp(&b.host));
        fleet.seen.truncate(MAX_LISTED);
        fleet
    }

    fn silent(&self, host: &Host, since_unix_ms: Option<u64>, now: u64) -> Silent {
        let time = crate::wording::time;
        let presence = host.presence.known();
        let planned = host.maintenance(now);
        let sequence = host.included().map_or(0, |watermark| watermark.sequence);
        let revoked = host.key().is_some_and(|key| {
            let authorities = self.gate.authorities.borrow();
            let revocations = authorities.revocations();
            revocations.trusts(KeyUse::Record, &key.id()).is_err()
        });
        let why = match &planned {
            _ if revoked => "its record key is revoked: it has to enrol again".to_owned(),
            Some(planned) => match planned.until_unix_ms {
                Some(until) => format!("planned maintenance until {}", time(until)),
                None => "planned maintenance without an end".to_owned(),
            },
            None if presence.sessions > 0 => {
                let began = presence.began_unix_ms.unwrap_or_default();
                format!("connected since {}, and sends nothing", time(began))
            }
            None if let Some(ended) = presence.ended_unix_ms => {
                format!("connection lost at {}", time(ended))
            }
            None if sequence == 0 => "never reported".to_owned(),
            None => format!(
                "has not connected since this verifier started at {}",
                time(self.started_unix_ms)
            ),
        };
        Silent {
            host: host.name().to_owned(),
            chain: host.chain().to_string(),
            since_unix_ms,
            why,
            planned,
        }
    }
}

/// What is known of a host by its connections, if there was one.
fn seen(host: &Host, known: &Known, waits: bool, now: u64) -> Option<Seen> {
    known.began_unix_ms?;
    let mut spool = known.spool;
    // What waited when it was told is INCLUDED by now.
    if let Some(spool) = spool.as_mut().filter(|_| !waits) {
        spool.oldest_waiting_unix_ms = None;
    }
    let left = |end: u64| end.saturating_sub(now) / DAY_MS;
    Some(Seen {
        host: host.name().to_owned(),
        chain: host.chain().to_string(),
        connected: known.sessions > 0,
        certificate_ends_unix_ms: known.certificate_ends_unix_ms,
        certificate_days_left: known.certificate_ends_unix_ms.map(left),
        spool,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(host: &str, connected: bool, ends: u64, spool: Option<(Option<u64>, u64)>) -> Seen {
        Seen {
            host: host.into(),
            chain: String::new(),
            connected,
            certificate_ends_unix_ms: Some(ends),
            certificate_days_left: None,
            spool: spool.map(|(oldest_waiting_unix_ms, days)| ToldSpool {
                told_unix_ms: 0,
                oldest_waiting_unix_ms,
                bytes: 1,
                max_bytes: 2,
                days_left: Some(days),
            }),
        }
    }

    #[test]
    fn the_worst_hosts_are_those_that_end_wait_and_fill_up_first() {
        let mut worst = Worst::default();
        for host in [
            seen("gone", false, 1, Some((None, 40))),
            seen("late", true, 9, Some((Some(100), 30))),
            seen("full", true, 8, Some((Some(200), 2))),
            seen("ends", true, 7, None),
            seen(
                "says-what-it-likes",
                true,
                u64::MAX,
                Some((Some(u64::MAX), u64::MAX)),
            ),
        ] {
            worst.consider(&host);
        }
        let name = |seen: Option<Seen>| seen.unwrap_or_else(|| panic!("nobody")).host;
        assert_eq!(name(worst.certificate), "ends", "who is gone renews later");
        assert_eq!(name(worst.oldest_waiting), "late");
        assert_eq!(name(worst.spool), "full");
    }
}
