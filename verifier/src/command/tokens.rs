//! `token`: tokens go into files of mode 0600, never onto a command line or a terminal.

use std::{
    path::{Path, PathBuf},
    process::ExitCode,
};

use ring::rand::SystemRandom;

use super::{Context, Failure};
use crate::{cli, http, keyfile, rpc::admin as rpc};

/// Most bytes of a file of host names: 65,000 of the longest, 250 bytes with the end of the line.
const MAX_HOSTS_BYTES: u64 = 16 * 1024 * 1024;

/// Hosts in one request; longer files are asked for in pieces, with progress.
const PIECE: usize = 1_000;

/// Makes a reader's token here: the server learns of it from its configuration only.
fn reader(name: &str, out: &Path) -> Result<ExitCode, Failure> {
    let made = http::make(&SystemRandom::new());
    let (token, digest) = made.ok_or_else(|| Failure::io("the system gave no randomness"))?;
    http::Entitled::new(name, &digest.to_string(), &[http::Right::Read]).map_err(Failure::usage)?;
    keyfile::create_private(out, format!("{token}\n").as_bytes())?;
    say!(
        "wrote {}; give it to its reader, add to verifier.toml\n\n[[reader]]\nname = {name:?}\ntoken_sha256 = \"{digest}\"\n\nand have the verifier read it: systemctl reload affiant-verifier, or SIGHUP",
        out.display()
    )?;
    Ok(ExitCode::SUCCESS)
}

pub(super) async fn issue(context: &Context, options: &cli::Token) -> Result<ExitCode, Failure> {
    if let (Some(name), Some(out)) = (&options.reader, &options.out) {
        return reader(name, out);
    }
    let mut client = context.client().await?;
    let wanted = wanted(options)?;
    for (done, piece) in wanted.chunks(PIECE).enumerate() {
        for (_, path) in piece {
            if path.exists() {
                return Err(Failure::io(format!(
                    "{}: exists already; remove it or choose another place",
                    path.display()
                )));
            }
        }
        let request = rpc::IssueTokensRequest {
            hosts: piece.iter().map(|(host, _)| host.clone()).collect(),
            valid_ms: options.valid,
            site: options.site.clone().unwrap_or_default(),
            relays: options.relay.is_some(),
        };
        let tokens = client
            .calls()
            .issue_tokens(request)
            .await?
            .into_inner()
            .tokens;
        for ((_, path), token) in piece.iter().zip(&tokens) {
            keyfile::create_private(path, format!("{token}\n").as_bytes())?;
        }
        if wanted.len() > PIECE {
            aside!("{} of {}", done * PIECE + piece.len(), wanted.len());
        }
    }
    let first = wanted
        .first()
        .map(|(_, path)| path.display().to_string())
        .unwrap_or_default();
    let others = if wanted.len() > 1 {
        format!(" and {} more", wanted.len() - 1)
    } else {
        String::new()
    };
    if options.relay.is_some() {
        say!("wrote {first}; the relay enrols with it")?;
        return Ok(ExitCode::SUCCESS);
    }
    say!(
        "wrote {first}{others}; give each to its host, and then\n  affiant-agent enroll --token-file FILE"
    )?;
    Ok(ExitCode::SUCCESS)
}

fn wanted(options: &cli::Token) -> Result<Vec<(String, PathBuf)>, Failure> {
    let one = options.host.as_ref().or(options.relay.as_ref());
    if let (Some(name), Some(out)) = (one, &options.out) {
        return Ok(vec![(name.clone(), out.clone())]);
    }
    let (Some(hosts), Some(dir)) = (&options.hosts, &options.out_dir) else {
        return Err(Failure::usage(
            "--host with --out, or --hosts with --out-dir",
        ));
    };
    let text = keyfile::read_bounded_text(hosts, MAX_HOSTS_BYTES)?;
    std::fs::create_dir_all(dir).map_err(|e| Failure::io(format!("{}: {e}", dir.display())))?;
    let mut wanted = Vec::new();
    for (line, host) in (1..).zip(text.lines().map(str::trim)) {
        if host.is_empty() || host.starts_with('#') {
            continue;
        }
        // A name becomes part of a path: only what is a host name may.
        if !crate::enrol::is_host_name(host) {
            return Err(Failure::usage(format!(
                "{}: line {line}: `{host}` is not a host name",
                hosts.display()
            )));
        }
        wanted.push((host.to_owned(), dir.join(format!("{host}.token"))));
    }
    Ok(wanted)
}
