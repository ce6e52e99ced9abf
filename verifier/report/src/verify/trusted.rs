//! Holding who signs against what the reader trusts.

use affiant_proto::{
    Authorities, Digest, PublicKey,
    authority::{APPROVERS, Approver, Worth, persons},
    tlog::NoteKey,
    v1,
};

use super::checks::{Checks, Stop};
use crate::trust::{self, Trust};

/// Holds the genesis against what the reader trusts.
pub(super) fn trusted(
    checks: &mut Checks,
    authorities: &Authorities,
    trust: Option<&Trust>,
) -> Result<(), Stop> {
    let (genesis, found) = (authorities.body(), authorities.genesis());
    let own = trust::log_key(genesis).map_err(|bad| checks.broken("trust", bad.to_string()))?;
    let Some(trust) = trust else {
        checks.unknown("trust", fingerprints(genesis, found, &own));
        return Ok(());
    };
    let ca = Digest::try_from(genesis.ca.as_slice()).ok();
    let wrong = if trust.genesis() != found {
        Some(format!(
            "the genesis is {found}, and you trust {}",
            trust.genesis()
        ))
    } else if ca != Some(trust.ca()) {
        Some(format!(
            "the authority is not {}, which you trust",
            trust.ca()
        ))
    } else {
        None
    };
    match wrong {
        Some(wrong) => {
            checks.broken("trust", wrong);
        }
        None if *trust.log() == own => checks.fine(
            "trust",
            format!("genesis {found}, log key and authority are those you trust"),
        ),
        None => checks.fine(
            "trust",
            format!(
                "genesis {found} and authority are those you trust; your log key is of a later \
                 generation"
            ),
        ),
    }
    Ok(())
}

/// Follows the log's generations from the one whose key the reader trusts; gives the key that
/// signs checkpoints now. Those before it the reader trusts with it; each after it needs two
/// officers whom he knows.
pub(super) fn generations(
    checks: &mut Checks,
    authorities: &Authorities,
    trust: Option<&Trust>,
) -> Result<NoteKey, Stop> {
    let lineage = authorities.lineage();
    let now = lineage.current().key().clone();
    let mut later = lineage.generations();
    if let Some(trust) = trust
        && !later.any(|it| it.key() == trust.log())
    {
        let text = format!("the log's key is {now}, and you trust {}", trust.log());
        return Err(checks.broken("trust", text));
    }
    let mut told = Vec::new();
    let mut strange = Vec::new();
    for (generation, opening) in later.filter_map(|it| Some((it, it.opening()?))) {
        let approvers = opening.approvers();
        let known = approvers
            .iter()
            .filter(|approver| speaks(authorities, trust, opening.index(), approver));
        let known = persons(known);
        let origin = generation.origin();
        if known < APPROVERS {
            strange.push(format!(
                "{origin}, approved by {known} of two persons whom you trust as officers and whose keys \
                 were not revoked from before"
            ));
        }
        told.push(format!(
            "{origin} keeps {} entries of {}, approved by {} officers",
            opening.kept().size(),
            opening.last().size(),
            approvers.len()
        ));
    }
    if !strange.is_empty() {
        checks.unknown(
            "generations",
            format!(
                "two officers who are two persons must open a generation: {}; compare their keys by another channel",
                strange.join("; ")
            ),
        );
    } else if !told.is_empty() {
        checks.fine(
            "generations",
            format!("the log went on anew: {}", told.join("; ")),
        );
    }
    Ok(now)
}

/// Tells whether the reader knows an officer who approved, and his key was trusted there. Without
/// a trust file the genesis says who officers are.
fn speaks(
    authorities: &Authorities,
    trust: Option<&Trust>,
    index: Option<u64>,
    approver: &Approver,
) -> bool {
    let first = approver
        .chain
        .and_then(|chain| authorities.opened_by(&chain));
    let named = |key: &PublicKey| match trust {
        Some(trust) => trust.knows(key),
        None => {
            let officers = &authorities.body().officers;
            officers.iter().any(|named| named.key == key.as_bytes())
        }
    };
    let revoked = authorities
        .revocations()
        .of(v1::KeyUse::Officer, &approver.key.id());
    let stands = match (revoked, index) {
        (None, _) => true,
        (Some(revoked), Some(index)) => revoked.worth(index) == Worth::Stands,
        (Some(_), None) => false,
    };
    stands && (named(&approver.key) || first.is_some_and(named))
}

/// Holds the officers, whose names and opening keys are `all`, against what the reader trusts, once
/// all are known.
pub(super) fn officers<'a>(
    checks: &mut Checks,
    genesis: &v1::Genesis,
    all: impl IntoIterator<Item = (&'a str, &'a [u8])>,
    trust: Option<&Trust>,
) {
    let Some(trust) = trust else { return };
    let known = |key: &[u8]| PublicKey::ed25519(key).is_ok_and(|key| trust.knows(&key));
    if let Some(stranger) = genesis.officers.iter().find(|officer| !known(&officer.key)) {
        checks.broken(
            "officers",
            format!(
                "officer {} of the genesis is not among those you trust",
                stranger.name
            ),
        );
        return;
    }
    let later = all.into_iter().filter(|(_, key)| !known(key));
    let later: Vec<&str> = later.map(|(name, _)| name).collect();
    match later.is_empty() {
        true => checks.fine("officers", "every officer is among those you trust"),
        false => checks.fine(
            "officers",
            format!(
                "admitted by two officers each, and not in your list: {}",
                later.join(", ")
            ),
        ),
    }
}

/// Says what to compare by another channel.
fn fingerprints(genesis: &v1::Genesis, digest: Digest, key: &NoteKey) -> String {
    let ca = Digest::try_from(genesis.ca.as_slice())
        .map_or("not a digest".to_owned(), |ca| ca.to_string());
    let officers = genesis.officers.iter().map(|officer| {
        let id = PublicKey::ed25519(&officer.key)
            .map_or("refused key".to_owned(), |key| key.id().to_string());
        format!("{} {id}", officer.name)
    });
    let officers: Vec<String> = officers.collect();
    format!(
        "no trust was given; compare by another channel: genesis {digest}; log key {key}; authority {ca}; officers {}",
        officers.join(", ")
    )
}
