//! `succession`: on the files of a stopped verifier, and on officers' own machines.

use std::{io::BufRead as _, process::ExitCode};

use super::{Context, Failure};
use crate::{
    cli::{self, Succession},
    succession::{self, Approval, Asked, Proposal, SuccessionError},
};

impl From<SuccessionError> for Failure {
    fn from(error: SuccessionError) -> Self {
        match error {
            SuccessionError::Format(..) | SuccessionError::NoOfficer(_) => Self::usage(error),
            _ => Self::io(error),
        }
    }
}

pub(super) fn run(context: &Context, command: &Succession) -> Result<ExitCode, Failure> {
    match command {
        Succession::Propose(options) => propose(context, options),
        Succession::Approve(options) => approve(options),
        Succession::Open(options) => open(context, options),
    }
}

fn propose(context: &Context, options: &cli::Propose) -> Result<ExitCode, Failure> {
    let asked = Asked {
        last: options.last.clone(),
        reason: options.reason.clone(),
        new_operator_key: options.new_operator_key,
    };
    let proposal = succession::propose(&context.data, &asked, &options.out)?;
    say!("{}\n", succession::in_words(&proposal))?;
    say!(
        "wrote {out}\nnext: two officers, each on a machine of their own:\n  affiant-verifier \
         succession approve {out} --key OFFICER.key",
        out = options.out.display()
    )?;
    Ok(ExitCode::SUCCESS)
}

pub(super) fn approve(options: &cli::ApproveSuccession) -> Result<ExitCode, Failure> {
    let proposal = Proposal::read(&options.proposal)?;
    let (officer, signer) = super::officer(&options.key)?;
    say!("{}\n", succession::in_words(&proposal))?;
    if !options.yes && !agreed(&officer.name)? {
        say!("nothing was signed")?;
        return Ok(ExitCode::from(1));
    }
    let beside = || {
        let mut name = options.proposal.as_os_str().to_owned();
        name.push(format!(".{}", officer.name));
        name.into()
    };
    let out = options.out.clone().unwrap_or_else(beside);
    succession::approve(&proposal, &officer, &signer, &out)?;
    say!("{} signed; wrote {}", officer.name, out.display())?;
    Ok(ExitCode::SUCCESS)
}

fn agreed(name: &str) -> Result<bool, Failure> {
    put!("Sign this as {name}? [y/N] ")?;
    let mut answer = String::new();
    std::io::stdin()
        .lock()
        .read_line(&mut answer)
        .map_err(Failure::io)?;
    Ok(matches!(answer.trim(), "y" | "Y" | "yes"))
}

fn open(context: &Context, options: &cli::OpenSuccession) -> Result<ExitCode, Failure> {
    let proposal = Proposal::read(&options.proposal)?;
    let approvals = options.approvals.iter().map(|path| Approval::read(path));
    let approvals = approvals.collect::<Result<Vec<_>, _>>()?;
    let opened = succession::open(&context.data, &proposal, &approvals, &context.clock)?;
    say!(
        "opened {} at size {}; {} entries are declared as lost\nnext: affiant-verifier serve, give \
         readers {} anew, and have witnesses begin with the new origin",
        opened.origin,
        opened.size,
        opened.lost,
        context.data.trust().display()
    )?;
    Ok(ExitCode::SUCCESS)
}
