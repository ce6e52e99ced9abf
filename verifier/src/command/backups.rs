//! `backup`, `export` and `restore`: files only, no server is asked.

use std::{io::IsTerminal as _, process::ExitCode};

use super::{Context, Failure};
use crate::{backup, cli, ledger, restore};

pub(super) fn make(context: &Context, options: &cli::Backup) -> Result<ExitCode, Failure> {
    let how = backup::Options {
        with_keys: options.with_keys,
        link: options.link,
    };
    let done = backup::backup(&context.data, &options.to, how, progress);
    let done = done.map_err(|error| match error {
        backup::BackupError::Foreign { .. } => Failure::usage(error),
        _ => Failure::io(error),
    })?;
    say!(
        "backed up {} entries in {} segments, {} of them new, to {}",
        done.size,
        done.segments,
        done.added,
        options.to.display()
    )?;
    if !options.with_keys {
        say!("the private keys are not in it: keep them apart, or name --with-keys")?;
    }
    Ok(ExitCode::SUCCESS)
}

pub(super) fn export(context: &Context, options: &cli::Export) -> Result<ExitCode, Failure> {
    let (log, statements) = (context.data.ledger(), options.statements);
    let done = ledger::export(&log, &options.to, statements, progress);
    let done = done.map_err(|error| match error {
        ledger::NotExported::Foreign { .. } => Failure::usage(error),
        _ => Failure::io(error),
    })?;
    say!(
        "exported the tree of {} entries to {}: {} tiles and bundles and {} segments are new",
        done.size,
        options.to.display(),
        done.tiles,
        done.segments
    )?;
    Ok(ExitCode::SUCCESS)
}

pub(super) fn restore(context: &Context, options: &cli::Restore) -> Result<ExitCode, Failure> {
    let data = context.data.path();
    let done = restore::restore(&options.backup, data, progress).map_err(Failure::io)?;
    say!(
        "restored {} at size {}; the log may have published more, so `serve` refuses it",
        data.display(),
        done.size
    )?;
    if !done.with_keys {
        say!(
            "put the private keys into {}, mode 0600",
            context.data.keys().display()
        )?;
    }
    say!(
        "next: affiant-verifier succession propose --data {} --last NOTE --out PROPOSAL, with the \
         newest checkpoint that a witness, agent or auditor holds; or, if its own directory survived \
         intact, put the lock back",
        data.display()
    )?;
    Ok(ExitCode::SUCCESS)
}

/// Shows on a terminal how far it is.
fn progress(done: usize, of: usize) {
    if std::io::stderr().is_terminal() && (done.is_multiple_of(64) || done == of) {
        let end = if done == of { "\n" } else { "" };
        super::say::beside(format_args!("\r{done} of {of} segments{end}"));
    }
}
