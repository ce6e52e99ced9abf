//! What an import makes of ownership: shares of more than all, which are refused, and circles, which
//! are told.

use std::collections::{BTreeMap, BTreeSet};

use affiant_proto::v1::{Edge, EdgeKind};

use crate::import::{EdgeId, Entries, Faults, Standing};

/// All of a party, in hundredths of a percent.
const WHOLE_BP: u64 = 10_000;

/// Most circles that are told.
const MAX_CIRCLES: usize = 8;

/// Edges by which parties are owned, by (to, from), with the line of those in the file.
type Owned<'a> = BTreeMap<(&'a str, &'a str), (Option<usize>, &'a Edge)>;

/// All `owns` edges as they will stand: those of the file in place of the log's.
fn owned<'a>(entries: &'a Entries, stands: &'a Standing) -> Owned<'a> {
    let owns = |(_, _, kind): &EdgeId| *kind == i32::from(EdgeKind::Owns);
    let logged = stands.edges.iter().filter(|(id, _)| owns(id));
    let logged = logged.map(|(id, edge)| (id, (None, edge)));
    let filed = entries.edges.iter().filter(|(id, _)| owns(id));
    let filed = filed.map(|(id, (line, edge))| (id, (Some(*line), edge)));
    let all = logged.chain(filed);
    let open = all.map(|(id, found)| ((id.1.as_str(), id.0.as_str()), found));
    let mut owned: Owned<'a> = open.collect();
    // One with an end is or will be over: what it shares with others it shares with those after it.
    owned.retain(|_, (_, edge)| edge.until_unix_ms.is_none());
    owned
}

/// Finds parties that the file has owned by more than all.
pub(crate) fn check(entries: &Entries, stands: &Standing, faults: &mut Faults) {
    let owned = owned(entries, stands);
    let touched: BTreeSet<&str> = entries.edges.keys().map(|(_, to, _)| to.as_str()).collect();
    for party in touched {
        let owners = owned.range((party, "")..);
        let owners: Vec<_> = owners.take_while(|((to, _), _)| *to == party).collect();
        let least = |edge: &Edge| u64::from(edge.share_min_bp.unwrap_or(0));
        let sum: u64 = owners.iter().map(|(_, (_, edge))| least(edge)).sum();
        let last = owners.iter().filter_map(|(_, (line, _))| *line).max();
        let (Some(line), true) = (last, sum > WHOLE_BP) else {
            continue;
        };
        let told = owners.iter().map(|((_, from), (line, edge))| {
            let place = line.map_or("logged".to_owned(), |line| format!("line {line}"));
            format!("{from} {} ({place})", percent(least(edge)))
        });
        let told: Vec<String> = told.collect();
        let text = format!(
            "the least shares of `{party}` come to {}, more than all: {}",
            percent(sum),
            told.join(", ")
        );
        faults.add(line, "edge.share_min_percent", &text);
    }
}

/// The circles of ownership that the file closes or touches, in words.
pub(crate) fn circles(entries: &Entries, stands: &Standing) -> Vec<String> {
    let owned = owned(entries, stands);
    let mut owns: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for (to, from) in owned.keys() {
        owns.entry(from).or_default().push(to);
    }
    let mut told = Vec::new();
    // On the path to where one is, or done with.
    let mut seen: BTreeMap<&str, bool> = BTreeMap::new();
    for start in owns.keys() {
        if seen.contains_key(start) {
            continue;
        }
        let mut path: Vec<(&str, usize)> = vec![(start, 0)];
        seen.insert(start, true);
        while let Some((party, tried)) = path.last_mut() {
            let next = owns.get(party).and_then(|to| to.get(*tried)).copied();
            *tried += 1;
            match next {
                None => {
                    seen.insert(party, false);
                    path.pop();
                }
                Some(next) => match seen.get(next) {
                    None => {
                        seen.insert(next, true);
                        path.push((next, 0));
                    }
                    Some(true) if told.len() < MAX_CIRCLES => {
                        let circle = path.iter().map(|(party, _)| *party);
                        let circle = circle.skip_while(|party| *party != next);
                        let circle: Vec<&str> = circle.chain([next]).collect();
                        let filed = circle.windows(2).find_map(|step| {
                            let edge = owned.get(&(*step.get(1)?, *step.first()?))?;
                            edge.0
                        });
                        if let Some(line) = filed {
                            told.push(format!(
                                "line {line}: {} own each other in a circle; shares count as they come round",
                                circle.join(" → ")
                            ));
                        }
                    }
                    Some(_) => {}
                },
            }
        }
    }
    told
}

fn percent(bp: u64) -> String {
    format!("{}.{:02} %", bp / 100, bp % 100)
}
