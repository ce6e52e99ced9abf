//! `affiant-audit witness`: flags in, a server or one answer out.

use std::{
    fs,
    net::SocketAddr,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
};

use affiant_proto::{
    Ed25519Signer,
    tlog::{Cosigner, KeyName, MAX_POLICY_BYTES, Note, NoteKey, PolicyFile},
};
use affiant_report::{
    Conclusion,
    plain_file::{self, read_bounded},
};

use super::{Answer, Asked, FileMemory, NotAsked, Witness, beside, make, once, read, server};
use crate::cli::{Failure, io_error, say, unread, usage};

/// Exit code when a log contradicts itself.
const BROKEN: u8 = Conclusion::Broken.exit_code();

/// Exit code when the witness could not be asked from what was brought.
const INCOMPLETE: u8 = Conclusion::Incomplete.exit_code();

/// Flags of `affiant-audit witness`.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// Make a key, print its public half, and end
    #[arg(long, conflicts_with_all = ["listen", "once", "state", "log", "logs"], requires = "name")]
    init: bool,
    /// Name of the key, such as your domain; with --init
    #[arg(long, requires = "init")]
    name: Option<KeyName>,
    /// File of the witness's private key
    #[arg(long, value_name = "FILE")]
    key: PathBuf,
    /// File that holds the newest checkpoints that were cosigned; back it up never, restore it never
    #[arg(long, value_name = "FILE", required_unless_present = "init")]
    state: Option<PathBuf>,
    /// Public key of a log, name+id+base64; for each log to watch
    #[arg(long, value_name = "VKEY")]
    log: Vec<NoteKey>,
    /// File with `log VKEY` lines (C2SP tlog-policy), for the logs to watch
    #[arg(long, value_name = "FILE")]
    logs: Option<PathBuf>,
    /// Address to listen on; port 0 takes any
    #[arg(long, value_name = "ADDRESS", required_unless_present_any = ["init", "once"])]
    listen: Option<SocketAddr>,
    /// Write the port that was taken into this file
    #[arg(long, value_name = "FILE", requires = "listen")]
    port_file: Option<PathBuf>,
    /// Answer once, without a network: a copy of the log's public directory, a checkpoint, or the
    /// body of an add-checkpoint request
    #[arg(long, value_name = "PATH", conflicts_with = "listen", requires = "out")]
    once: Option<PathBuf>,
    /// Where --once writes the checkpoint with the cosignature
    #[arg(long, value_name = "FILE", requires = "once")]
    out: Option<PathBuf>,
    /// The log's public directory, where --once names a checkpoint
    #[arg(long, value_name = "DIR", requires = "once")]
    tiles: Option<PathBuf>,
}

/// Does what the flags ask for; gives the exit code.
pub(crate) fn execute(arguments: &Arguments) -> Result<u8, Failure> {
    if arguments.init {
        return init(arguments);
    }
    let Some(state) = &arguments.state else {
        return Err(usage("a witness needs --state, or --init"));
    };
    let logs = logs(arguments)?;
    let cosigner = read(&arguments.key).map_err(io_error)?;
    let memory = FileMemory::first_or_again(&arguments.key, state).map_err(io_error)?;
    match (&arguments.once, arguments.listen) {
        (Some(asked), None) => {
            let out = arguments.out.as_deref();
            let out = out.ok_or_else(|| usage("--once needs --out"))?;
            let tiles = arguments.tiles.as_deref();
            let own = [Some(&arguments.key), Some(state), arguments.logs.as_ref()];
            for kept in own {
                if kept.is_some_and(|kept| is_one_file(kept, out)) {
                    let text = format!("--out {} is what another flag names", out.display());
                    return Err(usage(text));
                }
            }
            answer(&mut together(logs, cosigner, memory)?, asked, tiles, out)
        }
        (None, Some(listen)) => {
            let witness = together(logs, cosigner, memory)?;
            listens(witness, listen, arguments.port_file.as_deref())
        }
        _ => Err(usage("a witness needs --listen or --once")),
    }
}

fn together(
    logs: Vec<NoteKey>,
    cosigner: Cosigner<Ed25519Signer>,
    memory: FileMemory,
) -> Result<Witness<FileMemory>, Failure> {
    Witness::new(logs, cosigner, memory).map_err(usage)
}

fn init(arguments: &Arguments) -> Result<u8, Failure> {
    let name = arguments.name.clone();
    let name = name.ok_or_else(|| usage("--init needs --name, such as your domain"))?;
    let random = ring::rand::SystemRandom::new();
    let made = make(&arguments.key, name, &random).map_err(io_error)?;
    say(&format!("{}\n", made.key()))?;
    Ok(0)
}

fn logs(arguments: &Arguments) -> Result<Vec<NoteKey>, Failure> {
    let mut logs = arguments.log.clone();
    if let Some(path) = &arguments.logs {
        let place = |why: &dyn std::fmt::Display| format!("{}: {why}", path.display());
        let mut text = read_bounded(path, MAX_POLICY_BYTES as u64).map_err(unread)?;
        // A list of logs needs no rule over witnesses.
        if !has_quorum(&text) {
            text.extend_from_slice(b"quorum none\n");
        }
        let file = PolicyFile::parse(&text).map_err(|error| usage(place(&error)))?;
        logs.extend(file.logs().iter().map(|log| log.key.clone()));
    }
    Ok(logs)
}

/// Tells whether two paths lead to one file.
fn is_one_file(one: &Path, other: &Path) -> bool {
    let identity = |path: &Path| {
        fs::metadata(path)
            .map(|found| (found.dev(), found.ino()))
            .ok()
    };
    identity(one).is_some_and(|one| identity(other) == Some(one))
}

fn has_quorum(text: &[u8]) -> bool {
    let mut lines = text.split(|byte| *byte == b'\n');
    lines.any(|line| line.trim_ascii_start().starts_with(b"quorum"))
}

fn listens(
    witness: Witness<FileMemory>,
    listen: SocketAddr,
    port_file: Option<&Path>,
) -> Result<u8, Failure> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build();
    runtime
        .map_err(io_error)?
        .block_on(server::run(witness, listen, port_file))
        .map_err(|error| io_error(format!("{listen}: {error}")))?;
    Ok(0)
}

/// Answers one request from a file, into a file.
fn answer(
    witness: &mut Witness<FileMemory>,
    asked: &Path,
    tiles: Option<&Path>,
    out: &Path,
) -> Result<u8, Failure> {
    let asked = match (asked.is_dir(), tiles) {
        (true, None) => Asked::Directory(asked),
        (true, Some(_)) => return Err(usage("--tiles goes with a checkpoint, not a directory")),
        (false, None) => Asked::File(asked),
        (false, Some(tiles)) => Asked::With(asked, tiles),
    };
    let (note, answer) = once(witness, asked, server::now()).map_err(|error| match error {
        NotAsked::Unread(error) => unread(error),
        error => Failure {
            code: match error {
                NotAsked::Older { .. } | NotAsked::NoProof { .. } => INCOMPLETE,
                NotAsked::Tiles { .. } => crate::cli::EX_IOERR,
                _ => crate::cli::EX_USAGE,
            },
            text: error.to_string(),
        },
    })?;
    let refused = |code, text: String| Err(Failure { code, text });
    let line = match answer {
        Answer::Cosigned(line) => line,
        Answer::Contradicted(size) => {
            let text = format!(
                "not cosigned: this log's key signed another tree of size {size}, and this witness \
                 keeps both in its state"
            );
            return refused(BROKEN, text);
        }
        Answer::Inconsistent(why) => {
            let text = format!("not cosigned: {why}");
            return refused(BROKEN, text);
        }
        Answer::Conflict(size) => {
            let text = format!("not cosigned: this witness knows the log at size {size}");
            return refused(INCOMPLETE, text);
        }
        Answer::UnknownLog => return Err(usage("not cosigned: no --log is of that origin")),
        Answer::Unsigned(why) => {
            let text = format!(
                "not cosigned: {why}; it is not what the log that --log names has published, or it \
                 was changed since: ask for it by another way"
            );
            return refused(BROKEN, text);
        }
        Answer::Malformed(why) => return Err(usage(format!("not cosigned: {why}"))),
        Answer::Forgetful(why) => return Err(io_error(format!("not cosigned: {why}"))),
    };
    let cosigned = with(note, line).map_err(usage)?;
    // Renamed into place, so that nobody takes half a note.
    let new = beside(out, "new");
    plain_file::put(out, &new, cosigned.to_string().as_bytes()).map_err(unread)?;
    let size = witness.known(cosigned.text().lines().next().unwrap_or_default());
    say(&format!(
        "cosigned size {}; give {} back to the log's operator\n",
        size.unwrap_or_default(),
        out.display()
    ))?;
    Ok(0)
}

fn with(
    mut note: Note,
    line: affiant_proto::tlog::NoteSignature,
) -> Result<Note, affiant_proto::tlog::MalformedNote> {
    note.add(line)?;
    Ok(note)
}
