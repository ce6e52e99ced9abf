//! Approving: an officer signs what he was shown, with a key that never leaves his machine.

use std::path::Path;

use affiant_proto::{Digest, Ed25519Signer, Signer as _, authority::succession_approval_bytes, v1};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde::{Deserialize, Serialize};

use super::{Proposal, SuccessionError};
use crate::keyfile::{self, OfficerKey};

/// One officer's approval of a proposal.
#[derive(Clone, Debug, PartialEq)]
pub struct Approval(v1::OfficerApproval);

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct ApprovalFile {
    version: u32,
    name: String,
    /// Base64: the officer's chain, or his key while he has none.
    officer: String,
    /// Base64.
    signature: String,
}

impl Approval {
    /// Reads an approval; whether it holds is found out when the succession is opened.
    pub fn read(path: &Path) -> Result<Self, SuccessionError> {
        let wrong = || SuccessionError::Format(path.to_owned(), "is not an approval of version 1");
        let file: ApprovalFile =
            serde_json::from_str(&keyfile::read_text(path)?).map_err(|_| wrong())?;
        if file.version != 1 {
            return Err(wrong());
        }
        let bytes = |text: &str| STANDARD.decode(text).map_err(|_| wrong());
        Ok(Self(v1::OfficerApproval {
            officer: bytes(&file.officer)?,
            signature: bytes(&file.signature)?,
        }))
    }

    pub(super) fn message(&self) -> v1::OfficerApproval {
        self.0.clone()
    }
}

/// Signs a proposal as an officer and writes the approval to `out`.
pub fn approve(
    proposal: &Proposal,
    officer: &OfficerKey,
    signer: &Ed25519Signer,
    out: &Path,
) -> Result<(), SuccessionError> {
    let key = STANDARD.encode(officer.key.as_bytes());
    let listed = proposal.officers.iter().find(|listed| listed.key == key);
    let listed = listed.ok_or_else(|| SuccessionError::NoOfficer(officer.name.clone()))?;
    let named = match &listed.chain {
        Some(chain) => {
            let chain: Result<Digest, _> = chain.parse();
            let chain = chain.map_err(|_| SuccessionError::NoOfficer(officer.name.clone()))?;
            chain.as_bytes().to_vec()
        }
        None => officer.key.as_bytes().to_vec(),
    };
    let bytes = succession_approval_bytes(proposal.genesis, &proposal.body);
    let signature = signer
        .sign(&bytes)
        .map_err(|e| SuccessionError::Refused(e.to_string()))?;
    let file = ApprovalFile {
        version: 1,
        name: officer.name.clone(),
        officer: STANDARD.encode(named),
        signature: STANDARD.encode(signature),
    };
    let wrong = |_| SuccessionError::Format(out.to_owned(), "cannot be spelt");
    let text = serde_json::to_string_pretty(&file).map_err(wrong)?;
    Ok(keyfile::create_public(out, text.as_bytes())?)
}

/// Says in plain words what an approval signs.
pub fn in_words(proposal: &Proposal) -> String {
    let body = proposal.body();
    let checkpoint = |named: &Option<v1::CheckpointRef>| match named {
        Some(named) => {
            let root: String = named.root.iter().map(|b| format!("{b:02x}")).collect();
            format!("size {} of {}, root {root}", named.size, named.origin)
        }
        None => "none".to_owned(),
    };
    let lost = match proposal.lost() {
        0 => "nothing: every entry that was published is kept".to_owned(),
        lost => format!(
            "{lost} entries that were published and are not kept; hosts send again what they have"
        ),
    };
    let log_key = proposal.log_key().map(|key| key.to_string());
    let operator_key: String = body
        .operator_key
        .iter()
        .map(|b| format!("{b:02x}"))
        .collect();
    format!(
        "The log of genesis {genesis} goes on as a new generation.\n\
         \x20 kept          {kept}\n\
         \x20 last known    {last}\n\
         \x20 lost          {lost}\n\
         \x20 new origin    {origin}\n\
         \x20 new log key   {log_key}\n\
         \x20 operator key  {operator_key}\n\
         \x20 reason        {reason}\n\
         Whoever holds a checkpoint beyond the last known one will find this succession to hide \
         something.",
        genesis = proposal.genesis,
        kept = checkpoint(&body.kept),
        last = checkpoint(&body.last),
        origin = body.origin.escape_debug(),
        log_key = log_key.as_deref().unwrap_or("not a key"),
        reason = body.reason.escape_debug(),
    )
}
