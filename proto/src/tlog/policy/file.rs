//! The text form of a policy (C2SP tlog-policy): lines of logs, witnesses, groups and one quorum.
//!
//! ```text
//! log log.example/1+ab12cd34+AT…
//! witness X1 x1.example+0011aabb+BL…  https://x1.example
//! witness X2 x2.example+2233ccdd+BL…
//! witness Y  y.example+4455eeff+BL…
//! group X any X1 X2
//! group X-and-Y all X Y
//! quorum X-and-Y
//! ```
//!
//! Names are octets: they mean nothing outside of their file, and are compared byte by byte.

use std::collections::{BTreeMap, BTreeSet};

use super::{
    MAX_WITNESSES, Policy,
    rule::{Group, Member, Rule},
};
use crate::tlog::{
    cosignature::CosignerKey,
    key::{MalformedKey, NoteKey, VerifierKey},
    spelling,
};

/// Most bytes of a policy: 99 witnesses and 32 logs of 400 bytes are 52 kB, 64 groups of 150 bytes
/// 10 kB.
pub const MAX_POLICY_BYTES: usize = 64 * 1024;

/// Most logs of a policy: the specification wants 32 at least; 256 of 250 bytes fill the file.
pub const MAX_LOGS: usize = 256;

/// Most groups of a policy: the specification wants 32 at least.
const MAX_GROUPS: usize = 64;

/// Most bytes of a URL: as many as browsers and servers have always taken.
const MAX_URL_BYTES: usize = 2_048;

/// A log that a policy accepts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListedLog {
    /// Its key, whose name is its origin.
    pub key: NoteKey,
    /// Where it can be reached.
    pub url: Option<String>,
}

/// A witness that a policy lists.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListedWitness {
    /// Its key.
    pub key: CosignerKey,
    /// Where it can be asked: its submission prefix (C2SP tlog-witness).
    pub url: Option<String>,
}

/// A policy as its file lists it. Made by [`PolicyFile::parse`] alone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PolicyFile {
    logs: Vec<ListedLog>,
    witnesses: Vec<ListedWitness>,
    rule: Option<Rule>,
}

/// Why bytes are not a policy.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BadPolicyFile {
    /// Above [`MAX_POLICY_BYTES`].
    #[error("the policy is {0} bytes long where at most {MAX_POLICY_BYTES} are allowed")]
    TooLong(usize),
    /// A last line without newline.
    #[error("the policy does not end in a newline; it may be cut off")]
    Cut,
    /// An octet that no policy has.
    #[error("line {0} of the policy has a control character; only tabs are allowed")]
    Control(usize),
    /// A first word without meaning.
    #[error("line {line} of the policy begins with {word:?}: log, witness, group or quorum is due")]
    Word {
        /// Which line.
        line: usize,
        /// Its first word.
        word: String,
    },
    /// Too few or too many words.
    #[error("line {line} of the policy is not `{due}`")]
    Form {
        /// Which line.
        line: usize,
        /// What it should be.
        due: &'static str,
    },
    /// A key.
    #[error("line {line} of the policy: {source}")]
    Key {
        /// Which line.
        line: usize,
        /// Why.
        source: MalformedKey,
    },
    /// Bytes that are no key at all.
    #[error(
        "line {0} of the policy has a key or url that is not utf-8, or a url of over 2048 bytes"
    )]
    Text(usize),
    /// One public key in two lines.
    #[error("line {0} of the policy lists a key that was listed before; list each key once")]
    RepeatedKey(usize),
    /// One name for two things, or the name `none`.
    #[error("line {line} of the policy: the name {name:?} is taken; names are for one thing each")]
    Taken {
        /// Which line.
        line: usize,
        /// The name.
        name: String,
    },
    /// A name that no line before defined.
    #[error("line {line} of the policy: no line before it defines {name:?}")]
    Undefined {
        /// Which line.
        line: usize,
        /// The name.
        name: String,
    },
    /// A name that is a member of a group already.
    #[error("line {line} of the policy: {name:?} is a member of a group already; it counts once")]
    Member {
        /// Which line.
        line: usize,
        /// The name.
        name: String,
    },
    /// A threshold that the group cannot have.
    #[error("line {line} of the policy: any, all or 1 to {members} is due, for as many members")]
    Threshold {
        /// Which line.
        line: usize,
        /// How many members there are.
        members: usize,
    },
    /// Above [`MAX_LOGS`], [`MAX_WITNESSES`] or the number of groups.
    #[error(
        "line {0} of the policy is one too many: at most {MAX_LOGS} logs, {MAX_WITNESSES} \
         witnesses and {MAX_GROUPS} groups are allowed"
    )]
    TooMany(usize),
    /// A second quorum.
    #[error("line {0} of the policy is a second quorum; give one")]
    SecondQuorum(usize),
    /// No quorum.
    #[error("the policy has no quorum line; give one, `quorum none` to ask for no witness")]
    NoQuorum,
}

impl PolicyFile {
    /// Reads a policy.
    pub fn parse(bytes: &[u8]) -> Result<Self, BadPolicyFile> {
        if bytes.len() > MAX_POLICY_BYTES {
            return Err(BadPolicyFile::TooLong(bytes.len()));
        }
        let lines = bytes.strip_suffix(b"\n").ok_or(BadPolicyFile::Cut)?;
        let mut reading = Reading::default();
        for (number, line) in (1..).zip(lines.split(|byte| *byte == b'\n')) {
            let control = |byte: &u8| (*byte < 0x20 && *byte != b'\t') || *byte == 0x7f;
            if line.iter().any(control) {
                return Err(BadPolicyFile::Control(number));
            }
            let blank = |byte: &u8| *byte == b' ' || *byte == b'\t';
            let words: Vec<&[u8]> = line.split(blank).filter(|word| !word.is_empty()).collect();
            match words.split_first() {
                None => {}
                Some((first, _)) if first.starts_with(b"#") => {}
                Some((first, rest)) => reading.line(number, first, rest)?,
            }
        }
        Ok(Self {
            logs: reading.logs,
            witnesses: reading.witnesses,
            rule: match reading.quorum.ok_or(BadPolicyFile::NoQuorum)? {
                None => None,
                Some(quorum) => Some(Rule {
                    groups: reading.groups,
                    quorum,
                }),
            },
        })
    }

    /// Gives the logs, any of which is accepted; none are listed where the log is known otherwise.
    pub fn logs(&self) -> &[ListedLog] {
        &self.logs
    }

    /// Gives the witnesses.
    pub fn witnesses(&self) -> &[ListedWitness] {
        &self.witnesses
    }

    /// Gives the rule over them; none for `quorum none`.
    pub fn policy(&self) -> Option<Policy> {
        let keys = self.witnesses.iter().map(|witness| witness.key.clone());
        Some(Policy {
            witnesses: keys.collect(),
            rule: self.rule.clone()?,
        })
    }
}

/// What the lines so far have defined.
#[derive(Default)]
struct Reading<'a> {
    logs: Vec<ListedLog>,
    witnesses: Vec<ListedWitness>,
    groups: Vec<Group>,
    names: BTreeMap<&'a [u8], Member>,
    /// Names that are members of a group.
    members: BTreeSet<&'a [u8]>,
    quorum: Option<Option<Member>>,
}

impl<'a> Reading<'a> {
    fn line(&mut self, line: usize, first: &[u8], rest: &[&'a [u8]]) -> Result<(), BadPolicyFile> {
        match (first, rest) {
            (b"log", [key]) => self.log(line, key, None),
            (b"log", [key, url]) => self.log(line, key, Some(url)),
            (b"witness", [name, key]) => self.witness(line, name, key, None),
            (b"witness", [name, key, url]) => self.witness(line, name, key, Some(url)),
            (b"group", [name, threshold, members @ ..]) if !members.is_empty() => {
                self.group(line, name, threshold, members)
            }
            (b"quorum", [name]) => self.quorum(line, name),
            (b"log", _) => form(line, "log <vkey> [<url>]"),
            (b"witness", _) => form(line, "witness <name> <vkey> [<url>]"),
            (b"group", _) => form(line, "group <name> any|all|<k> <name>..."),
            (b"quorum", _) => form(line, "quorum <name>"),
            (word, _) => Err(BadPolicyFile::Word {
                line,
                word: shown(word),
            }),
        }
    }

    fn log(&mut self, line: usize, key: &[u8], url: Option<&[u8]>) -> Result<(), BadPolicyFile> {
        let key: NoteKey = parsed(line, key)?;
        let known = |log: &ListedLog| log.key.public_key() == key.public_key();
        if self.logs.iter().any(known) {
            return Err(BadPolicyFile::RepeatedKey(line));
        }
        let url = address(line, url)?;
        push(line, &mut self.logs, ListedLog { key, url }, MAX_LOGS)
    }

    fn witness(
        &mut self,
        line: usize,
        name: &'a [u8],
        key: &[u8],
        url: Option<&[u8]>,
    ) -> Result<(), BadPolicyFile> {
        let key: CosignerKey = parsed(line, key)?;
        let known = |witness: &ListedWitness| witness.key.public_key() == key.public_key();
        if self.witnesses.iter().any(known) {
            return Err(BadPolicyFile::RepeatedKey(line));
        }
        let url = address(line, url)?;
        self.define(line, name, Member::Witness(self.witnesses.len()))?;
        let listed = ListedWitness { key, url };
        push(line, &mut self.witnesses, listed, MAX_WITNESSES)
    }

    fn group(
        &mut self,
        line: usize,
        name: &'a [u8],
        threshold: &[u8],
        named: &[&'a [u8]],
    ) -> Result<(), BadPolicyFile> {
        let bad = || BadPolicyFile::Threshold {
            line,
            members: named.len(),
        };
        let threshold = match threshold {
            b"any" => 1,
            b"all" => named.len(),
            number => std::str::from_utf8(number)
                .ok()
                .and_then(spelling::decimal)
                .and_then(|number| usize::try_from(number).ok())
                .filter(|number| (1..=named.len()).contains(number))
                .ok_or_else(bad)?,
        };
        let mut members = Vec::with_capacity(named.len());
        for &member in named {
            members.push(self.defined(line, member)?);
            if !self.members.insert(member) {
                let name = shown(member);
                return Err(BadPolicyFile::Member { line, name });
            }
        }
        // Defined last: a group is no member of itself.
        self.define(line, name, Member::Group(self.groups.len()))?;
        let group = Group { threshold, members };
        push(line, &mut self.groups, group, MAX_GROUPS)
    }

    fn quorum(&mut self, line: usize, name: &[u8]) -> Result<(), BadPolicyFile> {
        if self.quorum.is_some() {
            return Err(BadPolicyFile::SecondQuorum(line));
        }
        self.quorum = Some(match name {
            b"none" => None,
            name => Some(self.defined(line, name)?),
        });
        Ok(())
    }

    fn define(&mut self, line: usize, name: &'a [u8], as_: Member) -> Result<(), BadPolicyFile> {
        if name == b"none" || self.names.insert(name, as_).is_some() {
            let name = shown(name);
            return Err(BadPolicyFile::Taken { line, name });
        }
        Ok(())
    }

    fn defined(&self, line: usize, name: &[u8]) -> Result<Member, BadPolicyFile> {
        let undefined = || BadPolicyFile::Undefined {
            line,
            name: shown(name),
        };
        self.names.get(name).copied().ok_or_else(undefined)
    }
}

fn form(line: usize, due: &'static str) -> Result<(), BadPolicyFile> {
    Err(BadPolicyFile::Form { line, due })
}

fn push<T>(line: usize, list: &mut Vec<T>, one: T, most: usize) -> Result<(), BadPolicyFile> {
    if list.len() >= most {
        return Err(BadPolicyFile::TooMany(line));
    }
    list.push(one);
    Ok(())
}

fn parsed<const A: u8>(line: usize, key: &[u8]) -> Result<VerifierKey<A>, BadPolicyFile> {
    let text = std::str::from_utf8(key).map_err(|_| BadPolicyFile::Text(line))?;
    text.parse()
        .map_err(|source| BadPolicyFile::Key { line, source })
}

fn address(line: usize, url: Option<&[u8]>) -> Result<Option<String>, BadPolicyFile> {
    let Some(url) = url else { return Ok(None) };
    let text = std::str::from_utf8(url).ok();
    match text.filter(|url| url.len() <= MAX_URL_BYTES) {
        Some(text) => Ok(Some(text.to_owned())),
        None => Err(BadPolicyFile::Text(line)),
    }
}

/// A name as it can be told to people.
fn shown(name: &[u8]) -> String {
    String::from_utf8_lossy(name).chars().take(80).collect()
}
