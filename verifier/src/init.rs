//! `init`: a data directory with its keys, and a log with its genesis.

use affiant_proto::{
    Envelope, Signer as _, Statement,
    authority::folded,
    statement::Place,
    tlog::{NoteKey, Origin},
    v1,
};

use crate::{
    cli::Init,
    clock::Clock,
    data::DataDir,
    form,
    keyfile::{self, KeyFileError, OfficerKey},
    ledger::{Entry, Ledger},
    pki::Ca,
};

/// Why nothing was made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum InitError {
    /// A file.
    #[error(transparent)]
    File(#[from] KeyFileError),
    /// Something in the command.
    #[error("{0}")]
    Usage(String),
    /// Something that should never fail.
    #[error("{0}")]
    Failed(String),
}

/// Makes everything, or nothing.
pub fn init(options: &Init, path: &std::path::Path, clock: &Clock) -> Result<String, InitError> {
    let origin: Origin = options
        .origin
        .parse()
        .map_err(|e| InitError::Usage(format!("--origin: {e}")))?;
    let officers: Vec<OfficerKey> = options
        .officers
        .iter()
        .map(|p| OfficerKey::read(p))
        .collect::<Result<_, _>>()?;
    let [first, second] = officers.as_slice() else {
        return Err(InitError::Usage(
            "--officer: exactly two officers are due, so that no one can approve alone".into(),
        ));
    };
    if first.key == second.key || folded(&first.name) == folded(&second.name) {
        return Err(InitError::Usage(
            "--officer: the two officers must be two people with two keys".into(),
        ));
    }
    if options.operator.is_empty() || options.operator.len() > 200 {
        return Err(InitError::Usage(
            "--operator: a name of 1 to 200 bytes is due".into(),
        ));
    }
    let mut faults = form::Faults::new();
    form::named("--operator", &options.operator, &mut faults);
    if let Some(fault) = faults.first() {
        return Err(InitError::Usage(fault.to_string()));
    }
    let data = DataDir::create(path)?;
    let made = fill(&data, options, &origin, &officers, clock);
    if made.is_err() {
        keyfile::discard(path);
    }
    made
}

fn fill(
    data: &DataDir,
    options: &Init,
    origin: &Origin,
    officers: &[OfficerKey],
    clock: &Clock,
) -> Result<String, InitError> {
    let failed = |error: &dyn std::fmt::Display| InitError::Failed(error.to_string());
    let now = clock.now_ms();
    let ca = Ca::create(&options.operator, now).map_err(|e| failed(&e))?;
    keyfile::create_private(&data.ca_key(), ca.key.as_bytes())?;
    keyfile::create_public(&data.ca_certificate(), ca.certificates.as_bytes())?;
    let log_key = keyfile::create_signer(&data.log_key())?;
    let operator_key = keyfile::create_signer(&data.operator_key())?;
    let ca_digest = ca.digest;
    let genesis = v1::Genesis {
        header: None,
        origin: origin.as_str().to_owned(),
        log_key: log_key.public_key().as_bytes().to_vec(),
        operator_key: operator_key.public_key().as_bytes().to_vec(),
        ca: ca_digest.as_bytes().to_vec(),
        officers: officers
            .iter()
            .map(|o| v1::OfficerKey {
                name: o.name.clone(),
                key: o.key.as_bytes().to_vec(),
            })
            .collect(),
        operator: options.operator.clone(),
    };
    let time = v1::Time {
        unix_ms: now,
        clock: v1::ClockState::Unknown.into(),
        max_error_ms: None,
    };
    let statement = Statement::seal(genesis.into(), Place::Opening, time, None, &operator_key)
        .map_err(|e| failed(&e))?;
    let digest = statement.digest();
    let vkey =
        NoteKey::new(origin.key_name(), log_key.public_key().clone()).map_err(|e| failed(&e))?;
    let envelope = Envelope::join(statement, None).map_err(|e| failed(&e))?;
    let entry = Entry::parse(envelope.to_bytes()).map_err(|e| failed(&e))?;
    Ledger::create(
        &data.ledger(),
        origin.clone(),
        Box::new(log_key),
        &[entry],
        now,
    )
    .map_err(|e| failed(&e))?;
    let trust =
        affiant_report::trust::Trust::of_genesis(envelope.statement()).map_err(|e| failed(&e))?;
    // One that is not there when receivers are told something was lost, and not never made.
    keyfile::create_dir(&data.deliveries())?;
    let trust = trust.print().map_err(|e| failed(&e))?;
    keyfile::create_public(&data.trust(), trust.as_bytes())?;
    Ok(format!(
        "made {dir}\n  log       {origin}\n  log key   {vkey}\n  genesis   {digest}\n  authority {ca_digest}\n\n\
         next:\n  give agents {ca}\n  give readers of reports {trust} by a channel of their own\n  \
         affiant-verifier serve --data {dir}",
        dir = data.path().display(),
        origin = origin.as_str(),
        ca = data.ca_certificate().display(),
        trust = data.trust().display(),
    ))
}
