//! The anchor: what outside the operator the bundle's checkpoint is tied to.

use std::collections::BTreeMap;

use affiant_proto::{
    authority::{Fate, Lineage},
    tlog::{
        Checkpoint, CosignerKey, Hash, NotWitnessed, Note, Policy, SignedCheckpoint,
        verify_cosignature,
    },
};

use super::verdict::{Anchor, AnchorKind, Witness};
use crate::{
    calendar::utc,
    reading::{Lag, Lags},
    trust::Trust,
};

/// What came of a check of the anchor.
pub(super) enum Found {
    /// Holds, or there was nothing to check.
    Fine(String),
    /// Holds, and lies in what a succession declared as lost.
    Lost(String),
    /// Cannot be told.
    Unknown(String),
    /// Contradicts.
    Broken(String),
}

/// Checks the cosignatures by the reader's own policy.
pub(super) fn witnesses(
    anchor: &mut Anchor,
    signed: &SignedCheckpoint,
    trust: Option<&Trust>,
) -> Found {
    let Some(policy) = trust.and_then(Trust::witnesses) else {
        return Found::Fine("no witness is listed in what you trust".to_owned());
    };
    let witness = |found: &[affiant_proto::tlog::Cosigned]| -> Vec<Witness> {
        let one = |one: &affiant_proto::tlog::Cosigned| Witness {
            name: one.witness.to_string(),
            unix_s: one.seconds,
        };
        found.iter().map(one).collect()
    };
    match policy.cosigned(signed.note(), signed.checkpoint()) {
        Ok(witnessed) => {
            anchor.kind = AnchorKind::Witnessed;
            anchor.witnesses = witness(witnessed.cosigned());
            anchor.witnessed_unix_s = Some(witnessed.by());
            let names: Vec<&str> = anchor
                .witnesses
                .iter()
                .map(|witness| witness.name.as_str())
                .collect();
            let when = utc(witnessed.by().saturating_mul(1_000));
            Found::Fine(format!(
                "cosigned by {}; your quorum, {}, stood by {when}",
                names.join(", "),
                policy.words()
            ))
        }
        Err(NotWitnessed::Quorum { found, due }) => {
            anchor.witnesses = witness(&found);
            Found::Unknown(format!(
                "{} of your witnesses have cosigned this checkpoint where {due} must; ask for a \
                 report with a witnessed one",
                found.len()
            ))
        }
        Err(bad) => Found::Broken(format!("a cosignature does not hold: {bad}")),
    }
}

/// How far the clocks of a log and of a witness may part, milliseconds: the five minutes that
/// Kerberos gives to clocks that are kept, and a segment of a second is nothing beside it.
const CLOCKS_APART_MS: u64 = 300_000;

/// Holds the log's clock against the times at which the reader's witnesses cosigned: an entry that
/// holds a cosignature was made after it, whatever the log's clock says there. Where none is logged,
/// its `newest` clock is held against the cosignatures on the checkpoint.
pub(super) fn clock(
    lags: &Lags,
    trust: Option<&Trust>,
    signed: &SignedCheckpoint,
    newest: Option<u64>,
) -> Found {
    let Some(policy) = trust.and_then(Trust::witnesses) else {
        return Found::Fine(
            "no witness is listed whose time the log's could be held to".to_owned(),
        );
    };
    let mut worst: Option<(&CosignerKey, &Lag)> = None;
    for key in policy.witnesses() {
        let Some(lag) = lags.of(key.name(), key.id()) else {
            continue;
        };
        if let Err(bad) = verify_cosignature(&lag.note, key) {
            return Found::Broken(format!(
                "log index {}: a cosignature does not hold: {bad}",
                lag.index
            ));
        }
        if worst.is_none_or(|(_, worst)| lag.behind_ms > worst.behind_ms) {
            worst = Some((key, lag));
        }
    }
    if lags.more() {
        return Found::Unknown(
            "the log holds cosignatures of more keys than a fleet of witnesses has".to_owned(),
        );
    }
    let Some((key, lag)) = worst else {
        return unlogged(policy, signed, newest);
    };
    // The slower witnesses of a quorum must agree that the clock was behind.
    let agreed = policy.reached(|key| {
        let lag = lags.of(key.name(), key.id())?;
        (lag.behind_ms > CLOCKS_APART_MS).then_some(lag.behind_ms)
    });
    let told = format!(
        "at log index {} the log's clock says {}, {} min before {} had cosigned what is logged there",
        lag.index,
        utc(lag.logged_ms),
        lag.behind_ms / 60_000,
        key.name()
    );
    match (agreed, lag.behind_ms > CLOCKS_APART_MS) {
        (Some(_), _) => Found::Broken(format!("the log was back-dated: {told}")),
        (None, true) => Found::Unknown(format!("one of two clocks is wrong: {told}")),
        (None, false) => Found::Fine(format!(
            "the log's clock is never more than {} s behind your witnesses'",
            lag.behind_ms.div_ceil(1_000)
        )),
    }
}

/// A log that holds no cosignature says nothing false by that; but then its clock is as good as the
/// time from its end to the cosignatures on its checkpoint.
fn unlogged(policy: &Policy, signed: &SignedCheckpoint, newest: Option<u64>) -> Found {
    const NONE: &str = "no cosignature of your witnesses is logged in what is shown";
    let stood = policy.cosigned(signed.note(), signed.checkpoint());
    let (Ok(witnessed), Some(newest)) = (stood, newest) else {
        return Found::Fine(NONE.to_owned());
    };
    let late = witnessed.by().saturating_mul(1_000).saturating_sub(newest);
    if late > CLOCKS_APART_MS {
        return Found::Unknown(format!(
            "{NONE}, and the log's clock ends at {}, {} min before your quorum stood; ask for a \
             report that is made once a cosignature is logged",
            utc(newest),
            late / 60_000
        ));
    }
    Found::Fine(format!(
        "{NONE}, and the log's clock ends {} s before your quorum stood",
        late.div_ceil(1_000)
    ))
}

/// Relates the checkpoint that the reader kept to the bundle's.
pub(super) fn kept(
    anchor: &mut Anchor,
    kept: &Note,
    lineage: &Lineage,
    now: &Checkpoint,
    past: &BTreeMap<u64, Hash>,
) -> Found {
    let unrelated = |anchor: &mut Anchor, why: String| {
        if anchor.kind == AnchorKind::None {
            anchor.kind = AnchorKind::Unrelated;
        }
        Found::Unknown(format!(
            "the checkpoint that you kept cannot be related to this log: {why}"
        ))
    };
    let origin = kept.text().lines().next().unwrap_or_default();
    // A log that is not named here gets its refusal from the key of the one that is.
    let generation = lineage.named(origin).unwrap_or(lineage.current());
    let signed = match SignedCheckpoint::of(kept.clone(), generation.key()) {
        Ok(signed) => signed,
        Err(bad) => return unrelated(anchor, bad.to_string()),
    };
    let (size, root) = (signed.checkpoint().size(), signed.checkpoint().root());
    if size == 0 {
        return unrelated(anchor, "it is of the log before its first entry".to_owned());
    }
    match lineage.fate(origin, size, root) {
        Fate::Standing => {}
        Fate::Lost(opening) => {
            anchor.lost_size = Some(size);
            if anchor.kind != AnchorKind::Witnessed {
                anchor.kind = AnchorKind::Lost;
            }
            return Found::Lost(format!(
                "the checkpoint of size {size} that you kept lies in the declared loss: the \
                 succession keeps {} entries of {}, and what was between is gone",
                opening.kept().size(),
                opening.last().size()
            ));
        }
        Fate::Hidden(opening) => {
            return Found::Broken(format!(
                "the succession hides more than it declares: you kept {origin} at size {size} \
                 under root {root}, and it says that the last was of size {} under root {}",
                opening.last().size(),
                opening.last().root()
            ));
        }
        Fate::Impossible | Fate::Foreign => {
            return Found::Broken(format!(
                "the log signed {origin} at size {size}, which that generation never had"
            ));
        }
    }
    if size > now.size() {
        let why = format!(
            "it is of size {size}, and what is here ends at {}: it is older, or the log has gone back; ask for a newer one",
            now.size()
        );
        return unrelated(anchor, why);
    }
    let here = past.get(&size);
    match here {
        None => unrelated(
            anchor,
            format!(
                "the bundle neither shows nor proves what the log was at size {size}; ask for a report over a longer period"
            ),
        ),
        Some(here) if here != root => Found::Broken(format!(
            "the log was rewritten: at size {size} you kept root {root}, and this log has {here}"
        )),
        Some(_) => {
            anchor.kept_size = anchor.kept_size.max(Some(size));
            if anchor.kind == AnchorKind::None || anchor.kind == AnchorKind::Unrelated {
                anchor.kind = AnchorKind::Kept;
            }
            Found::Fine(format!(
                "the log only grew since the checkpoint of size {size} that you kept"
            ))
        }
    }
}

/// Says in words what the anchor is.
pub(super) fn words(anchor: &Anchor) -> String {
    let size = anchor
        .size
        .map_or("unknown".to_owned(), |size| size.to_string());
    let mut kept = anchor.kept_size.map_or(String::new(), |kept| {
        format!("; consistent with the checkpoint of size {kept} that you kept")
    });
    if let Some(lost) = anchor.lost_size {
        kept = format!("; the kept checkpoint of size {lost} lies in the declared loss");
    }
    match anchor.kind {
        AnchorKind::None => "none: nothing outside the operator vouches for this log; it could have been written anew".to_owned(),
        AnchorKind::Unrelated => "none: the checkpoint that you kept cannot be related to this log".to_owned(),
        AnchorKind::Lost => format!("none of what the log is now{kept}"),
        AnchorKind::Kept => format!("kept: size {size}{kept}"),
        AnchorKind::Witnessed => {
            let names: Vec<&str> = anchor.witnesses.iter().map(|witness| witness.name.as_str()).collect();
            let when = anchor.witnessed_unix_s.map_or(String::new(), |s| format!(" by {}", utc(s.saturating_mul(1_000))));
            format!("witnessed: size {size}, cosigned by {}{when}{kept}", names.join(", "))
        }
    }
}
