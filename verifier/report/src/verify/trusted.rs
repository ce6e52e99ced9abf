//! Holding who signs against what the reader trusts.

use affiant_proto::{Digest, PublicKey, tlog::NoteKey, v1};

use super::checks::{Checks, Stop};
use crate::{
    reading::Reading,
    trust::{self, Trust},
};

/// Holds the genesis against what the reader trusts; gives the key that signs checkpoints.
pub(super) fn trusted(
    checks: &mut Checks,
    reading: &Reading,
    trust: Option<&Trust>,
) -> Result<NoteKey, Stop> {
    let (genesis, found) = reading.genesis();
    let own = trust::log_key(genesis).map_err(|bad| checks.broken("trust", bad.to_string()))?;
    let Some(trust) = trust else {
        checks.unknown("trust", fingerprints(genesis, found, &own));
        return Ok(own);
    };
    let ca = Digest::try_from(genesis.ca.as_slice()).ok();
    let wrong = if trust.genesis() != found {
        Some(format!(
            "the genesis is {found}, and you trust {}",
            trust.genesis()
        ))
    } else if *trust.log() != own {
        Some(format!(
            "the log's key is {own}, and you trust {}",
            trust.log()
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
        None => checks.fine(
            "trust",
            format!("genesis {found}, log key and authority are those you trust"),
        ),
    }
    Ok(trust.log().clone())
}

/// Holds the officers against what the reader trusts, once all are known.
pub(super) fn officers(checks: &mut Checks, reading: &Reading, trust: Option<&Trust>) {
    let Some(trust) = trust else { return };
    let known = |key: &[u8]| PublicKey::ed25519(key).is_ok_and(|key| trust.knows(&key));
    let (genesis, _) = reading.genesis();
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
    let later: Vec<&str> = reading
        .officers()
        .into_iter()
        .filter(|officer| !known(&officer.key))
        .map(|officer| officer.name.as_str())
        .collect();
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
