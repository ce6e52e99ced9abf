//! What a site has, as an officer declares it, signed with his own key, here in the client.

use std::{path::Path, process::ExitCode};

use super::{Context, Failure, indices, officer};
use crate::declaration::{self, BadDeclaration};

/// Most statements of one submission: 60 × 64 KiB are 4 MiB, of the 128 MiB that the server reads at once. Of a
/// longer list the first parts alone have no effect.
const BATCH: usize = 60;

/// Most bytes of a site's name, as tokens name sites.
const MAX_SITE: usize = 64;

pub(super) async fn declare(
    context: &Context,
    site: &str,
    file: Option<&Path>,
    key: &Path,
) -> Result<ExitCode, Failure> {
    if site.is_empty() || site.len() > MAX_SITE || site.chars().any(char::is_control) {
        return Err(Failure::usage(format!(
            "--site has 1 to {MAX_SITE} bytes; write it as hosts are enrolled with it"
        )));
    }
    let (name, signer) = officer(key)?;
    // Without a file it was said that there is none.
    let devices = match file {
        None => Vec::new(),
        Some(file) => declaration::read(file).map_err(|error| match error {
            BadDeclaration::Io(_) => Failure::io(error),
            BadDeclaration::Lines(_) => Failure::usage(error),
        })?,
    };
    let count = devices.len();
    let bodies = declaration::bodies(site, devices);
    let mut client = context.client().await?;
    let mut logged = Vec::new();
    for batch in bodies.chunks(BATCH) {
        let batch = batch.to_vec();
        let taken = client.sign_and_submit(&name, &signer, batch, &context.clock);
        logged.extend(taken.await?);
    }
    say!(
        "{} declared {count} devices of site {site}, logged at {}; `host declared` shows how many are seen",
        name.name,
        indices(&logged)
    )?;
    Ok(ExitCode::SUCCESS)
}
