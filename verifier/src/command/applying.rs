//! `tenant apply`: what a file says and the log does not, signed with the officer's own key.

use std::{path::Path, process::ExitCode};

use super::{Context, Failure, bulk, indices, officer};
use crate::{
    dossier_file::{self, BadFile},
    lapse,
};

pub(super) async fn apply(context: &Context, file: &Path, key: &Path) -> Result<ExitCode, Failure> {
    let (name, signer) = officer(key)?;
    let bad = |error: BadFile| match error {
        BadFile::Io(_) => Failure::io(error),
        _ => Failure::usage(error),
    };
    let application = dossier_file::read(file, context.clock.now_ms()).map_err(bad)?;
    let mut client = context.client().await?;
    let stands = bulk::standing(context, &mut client).await?;
    for warning in application.check(&stands).map_err(bad)? {
        aside!("warning: {warning}");
    }
    let (application, due) = application.due(&stands);
    say!(
        "{}: {} new, {} changed, {}{} stand already and are not signed again",
        file.display(),
        due.new,
        due.changed,
        match due.anew {
            0 => String::new(),
            anew => format!("{anew} to apply anew, "),
        },
        due.same
    )?;
    if let Some(words) = lapse::words(&due.lapsing) {
        say!("{words}")?;
    }
    let bodies = application.into_bodies();
    if bodies.is_empty() {
        say!("nothing was signed: all of it stands already")?;
        return Ok(ExitCode::SUCCESS);
    }
    let count = bodies.len();
    let logged = client
        .sign_and_submit(&name, &signer, bodies, &context.clock)
        .await?;
    say!(
        "{} signed {count} statements, logged at {}",
        name.name,
        range(&logged)
    )?;
    Ok(ExitCode::SUCCESS)
}

fn range(logged: &[u64]) -> String {
    match (logged.first(), logged.last()) {
        (Some(first), Some(last)) if first != last => format!("{first} to {last}"),
        _ => indices(logged),
    }
}
