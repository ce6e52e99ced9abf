//! Plays the operator's dishonest insider, who has every key of the verifier: removes a host's
//! last usage record, rebuilds the whole log without it and signs it with the real keys.
//!
//! ```text
//! affiant-insider FROM TO      FROM: a stopped verifier's data directory; TO: a new one
//! ```
//!
//! For the demo and for tests: it shows what an anchor outside the operator is for.
#![allow(clippy::print_stdout)]

use std::{
    collections::BTreeMap,
    error::Error,
    fs,
    path::{Path, PathBuf},
    process::ExitCode,
};

use affiant_proto::{Body, ChainState, Digest, Ed25519Signer, Envelope, Statement, tlog::Origin};
use affiant_verifier::{
    data::DataDir,
    keyfile,
    ledger::{Entry, Ledger},
};

fn main() -> ExitCode {
    let mut arguments = std::env::args_os().skip(1).map(PathBuf::from);
    let (Some(from), Some(to)) = (arguments.next(), arguments.next()) else {
        eprintln!("usage: affiant-insider FROM TO");
        return ExitCode::from(64);
    };
    match forge(&from, &to) {
        Ok(said) => {
            println!("{said}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("affiant-insider: {error}");
            ExitCode::from(74)
        }
    }
}

fn forge(from: &Path, to: &Path) -> Result<String, Box<dyn Error>> {
    let (from, to) = (DataDir::at(from), DataDir::create(to)?);
    let copies = [
        (from.ca_key(), to.ca_key()),
        (from.log_key(), to.log_key()),
        (from.operator_key(), to.operator_key()),
        (from.ca_certificate(), to.ca_certificate()),
        (from.tokens(), to.tokens()),
        (from.trust(), to.trust()),
    ];
    for (source, target) in copies {
        fs::copy(source, target)?;
    }
    let (log, _) = Ledger::open(
        &from.ledger(),
        Box::new(keyfile::read_signer(&from.log_key())?),
    )?;
    let reader = log.reader();
    let honest: Vec<Envelope> = reader
        .entries(0..reader.size())
        .map(|entry| Ok(Envelope::parse(entry?.1.envelope())?))
        .collect::<Result<_, Box<dyn Error>>>()?;
    let victim = last_record(&honest)
        .ok_or("the log holds no host whose last statement is a usage record")?;
    let operator = keyfile::read_signer(&from.operator_key())?;
    let forged = without(&honest, victim, &operator)?;
    write(&to, &forged)?;
    let statement = honest.get(victim).ok_or("no such entry")?.statement();
    let chain = statement.header().chain().ok_or("not a record")?;
    Ok(format!(
        "removed entry {victim} of {}: usage record {} of chain {}…; {} entries signed again with the real keys",
        honest.len(),
        statement.header().sequence(),
        &chain.to_string()[..12],
        forged.len(),
    ))
}

/// The last statement of some host's chain that is a usage record: its chain stays unbroken
/// without it.
fn last_record(entries: &[Envelope]) -> Option<usize> {
    let mut last: BTreeMap<Digest, usize> = BTreeMap::new();
    for (index, entry) in entries.iter().enumerate() {
        if let Some(chain) = entry.statement().header().chain() {
            last.insert(chain, index);
        }
    }
    let is_usage = |index: &usize| {
        matches!(
            entries.get(*index).map(|e| e.statement().body()),
            Some(Body::Usage(_))
        )
    };
    last.into_values().filter(is_usage).max()
}

/// All entries but one. What names the true tree is left out or signed again: `cosigned` notes
/// would give the forgery away, and each removal shifts the operator's own chain.
fn without(
    entries: &[Envelope],
    victim: usize,
    operator: &Ed25519Signer,
) -> Result<Vec<Envelope>, Box<dyn Error>> {
    let genesis = entries.first().ok_or("the log is empty")?.clone();
    let (mut chain, _) = ChainState::open(genesis.statement().clone())?;
    let mut forged = vec![genesis];
    for (index, entry) in entries.iter().enumerate().skip(1) {
        let statement = entry.statement();
        if index == victim || matches!(statement.body(), Body::Cosigned(_) | Body::ReportIssued(_))
        {
            continue;
        }
        if statement.header().chain() != Some(chain.chain()) {
            forged.push(entry.clone());
            continue;
        }
        let (body, time) = (statement.body().clone(), *statement.header().time());
        let again = Statement::seal(body, chain.next_place(), time, None, operator)?;
        chain.follow(again.clone())?;
        forged.push(Envelope::join(again, None)?);
    }
    Ok(forged)
}

fn write(to: &DataDir, forged: &[Envelope]) -> Result<(), Box<dyn Error>> {
    let genesis = forged.first().ok_or("nothing to write")?;
    let Body::Genesis(body) = genesis.statement().body() else {
        return Err("the log does not begin with a genesis".into());
    };
    let origin: Origin = body.origin.parse()?;
    let time = |envelope: &Envelope| envelope.statement().header().time().unix_ms;
    let entry = |envelope: &Envelope| Entry::parse(envelope.to_bytes());
    let signer = keyfile::read_signer(&to.log_key())?;
    let first = [entry(genesis)?];
    let mut log = Ledger::create(
        &to.ledger(),
        origin,
        Box::new(signer),
        &first,
        time(genesis),
    )?;
    let mut segment: Vec<Entry> = Vec::new();
    let mut clock = 0;
    for envelope in forged.iter().skip(1) {
        if matches!(envelope.statement().body(), Body::Clock(_)) {
            close(&mut log, &mut segment, clock)?;
            clock = time(envelope);
        }
        segment.push(entry(envelope)?);
    }
    close(&mut log, &mut segment, clock)
}

fn close(log: &mut Ledger, segment: &mut Vec<Entry>, clock: u64) -> Result<(), Box<dyn Error>> {
    if !segment.is_empty() {
        log.append(&std::mem::take(segment), clock)?;
        log.close_segment()?;
    }
    Ok(())
}
