//! `verifier.toml`: unknown keys are refused, and all faults are reported at once.

use std::{
    fmt,
    net::SocketAddr,
    path::{Path, PathBuf},
    time::Duration,
};

use affiant_judge::Parameters;
use affiant_proto::tlog::Policy;
use serde::Deserialize;

mod deliver;
mod serving;
mod witnesses;

pub use self::serving::ApiTls;

use self::{
    deliver::DeliverEntry,
    serving::ApiEntry,
    witnesses::{Entries, WitnessEntry},
};
use crate::{
    deliver::Receiver,
    http::{Entitled, MAX_READERS, Right},
    keyfile,
    witness::WitnessAddress,
};

/// Where the configuration lies unless `--config` says otherwise.
pub const DEFAULT_PATH: &str = "/etc/affiant/verifier.toml";

/// Most days that lines may be kept for: a hundred years. For longer, name no number.
const MOST_DAYS: u64 = 36_525;

/// Where the data lies unless the configuration says otherwise.
pub const DEFAULT_DATA: &str = "/var/lib/affiant";

/// The file as written.
#[derive(Debug)]
struct File {
    data: PathBuf,
    listen: String,
    http: String,
    api: ApiEntry,
    names: Vec<String>,
    enrolment: Enrolment,
    retention: Retained,
    judge: Option<PathBuf>,
    witnesses: Entries,
    reader: Vec<ReaderEntry>,
    deliver: Vec<DeliverEntry>,
    log: LogFormat,
    log_level: String,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Enrolment {
    certificate_hours: u64,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Retained {
    lines_days: Option<u64>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct ReaderEntry {
    name: String,
    token_sha256: String,
    #[serde(default = "to_read")]
    may: Vec<Right>,
}

fn to_read() -> Vec<Right> {
    vec![Right::Read]
}

/// How the journal is written to standard error.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LogFormat {
    /// A line for people.
    #[default]
    Text,
    /// A JSON object a line.
    Json,
}

impl Default for File {
    fn default() -> Self {
        Self {
            data: DEFAULT_DATA.into(),
            listen: "0.0.0.0:7443".into(),
            http: "0.0.0.0:7480".into(),
            api: ApiEntry::default(),
            names: vec!["localhost".into(), "127.0.0.1".into()],
            enrolment: Enrolment::default(),
            retention: Retained::default(),
            judge: None,
            witnesses: Entries::default(),
            reader: Vec::new(),
            deliver: Vec::new(),
            log: LogFormat::default(),
            log_level: "info".into(),
        }
    }
}

impl Default for Enrolment {
    fn default() -> Self {
        Self {
            certificate_hours: 24,
        }
    }
}

impl File {
    /// Reads key by key, so that one fault does not hide another.
    fn read(mut table: toml::Table) -> (Self, Vec<String>) {
        let mut faults = Vec::new();
        let mut file = Self::default();
        take(&mut table, "data", &mut file.data, &mut faults);
        take(&mut table, "listen", &mut file.listen, &mut faults);
        take(&mut table, "http", &mut file.http, &mut faults);
        take(&mut table, "api", &mut file.api, &mut faults);
        take(&mut table, "names", &mut file.names, &mut faults);
        take(&mut table, "enrolment", &mut file.enrolment, &mut faults);
        take(&mut table, "retention", &mut file.retention, &mut faults);
        let tables: &mut Vec<WitnessEntry> = &mut file.witnesses.tables;
        take(&mut table, "witness", tables, &mut faults);
        let (policy, authorities) = (&mut file.witnesses.policy, &mut file.witnesses.authorities);
        take_path(&mut table, "witness_policy", policy, &mut faults);
        take_path(&mut table, "witness_ca", authorities, &mut faults);
        take(&mut table, "reader", &mut file.reader, &mut faults);
        take(&mut table, "deliver", &mut file.deliver, &mut faults);
        take(&mut table, "log", &mut file.log, &mut faults);
        take(&mut table, "log_level", &mut file.log_level, &mut faults);
        take_path(&mut table, "judge", &mut file.judge, &mut faults);
        faults.extend(table.keys().map(|key| format!("{key}: {NO_KEY}")));
        (file, faults)
    }
}

fn take<T: serde::de::DeserializeOwned>(
    table: &mut toml::Table,
    key: &str,
    into: &mut T,
    faults: &mut Vec<String>,
) {
    match table.remove(key).map(toml::Value::try_into) {
        Some(Ok(read)) => *into = read,
        Some(Err(error)) => faults.push(format!("{key}: {}", error.to_string().trim_end())),
        None => {}
    }
}

fn take_path(
    table: &mut toml::Table,
    key: &str,
    into: &mut Option<PathBuf>,
    faults: &mut Vec<String>,
) {
    if table.contains_key(key) {
        take(table, key, into.get_or_insert_default(), faults);
    }
}

/// What is said of a key that the file does not have.
const NO_KEY: &str = "is not a key of this file";

fn relative(data: &Path) -> String {
    format!("data: `{}` is not an absolute path", data.display())
}

/// The configuration, checked.
#[derive(Clone, Debug)]
pub struct Config {
    /// Data directory. Trusted as [`crate::data::DataDir`] says of each thing in it.
    pub data: PathBuf,
    /// Where agents connect.
    pub listen: SocketAddr,
    /// Where everybody may read the public tree over HTTP; `None` serves it nowhere.
    pub http: Option<SocketAddr>,
    /// Where readers with a token may read statements over HTTP; `None` serves them nowhere.
    pub api: Option<SocketAddr>,
    /// Where they may over TLS.
    pub api_tls: Option<ApiTls>,
    /// Names and addresses in the server's certificate.
    pub names: Vec<String>,
    /// Life of a host's certificate.
    pub certificate_life: Duration,
    /// After how many days of log time the lines of usage records are erased; `None` keeps them.
    pub lines_days: Option<u64>,
    /// What the judge goes by.
    pub parameters: Parameters,
    /// Witnesses asked to cosign. Not trusted: what they sign is checked.
    pub witnesses: Vec<WitnessAddress>,
    /// Which of them must have cosigned before a report goes out without waiting longer; none where
    /// no witness is asked for.
    pub quorum: Option<Policy>,
    /// Who may read statements, hand in officers' and ask over HTTP.
    pub readers: Vec<Entitled>,
    /// Who is told of findings.
    pub deliver: Vec<Receiver>,
    /// Format of the journal.
    pub log: LogFormat,
    /// What the journal tells: error, warn, info, debug or trace.
    pub log_level: tracing::Level,
}

/// Every fault of the file, each with its key.
#[derive(Debug)]
pub struct Faults {
    path: PathBuf,
    faults: Vec<String>,
}

impl fmt::Display for Faults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.path.display(), self.faults.join("\n  "))
    }
}

impl std::error::Error for Faults {}

impl Config {
    /// Reads and checks the file; a missing file at the default path means the defaults.
    pub fn load(path: Option<&Path>) -> Result<Self, Faults> {
        let given = path.unwrap_or(Path::new(DEFAULT_PATH));
        if path.is_none() && !given.exists() {
            return Self::check(File::default(), given);
        }
        let fault = |text: String| Faults {
            path: given.to_owned(),
            faults: vec![text],
        };
        let text = keyfile::read_text(given).map_err(|e| fault(e.to_string()))?;
        let table: toml::Table = toml::from_str(&text).map_err(|e| fault(e.to_string()))?;
        let (file, mut faults) = File::read(table);
        match Self::check(file, given) {
            Ok(config) if faults.is_empty() => return Ok(config),
            Ok(_) => {}
            Err(more) => faults.extend(more.faults),
        }
        Err(Faults {
            path: given.to_owned(),
            faults,
        })
    }

    /// Where the data lies: all that clients of the running server go by. What the server alone goes by may
    /// be wrong meanwhile, such as a file of a receiver's secret; a key that is none may not, for it may have
    /// been meant for this one.
    pub fn data_of(path: Option<&Path>) -> Result<PathBuf, Faults> {
        let given = path.unwrap_or(Path::new(DEFAULT_PATH));
        if path.is_none() && !given.exists() {
            return Ok(DEFAULT_DATA.into());
        }
        let fault = |text: String| Faults {
            path: given.to_owned(),
            faults: vec![text],
        };
        let text = keyfile::read_text(given).map_err(|e| fault(e.to_string()))?;
        let table: toml::Table = toml::from_str(&text).map_err(|e| fault(e.to_string()))?;
        let (file, faults) = File::read(table);
        let told = |text: &String| text.ends_with(NO_KEY) || text.starts_with("data:");
        let faults: Vec<String> = faults.into_iter().filter(told).collect();
        if !faults.is_empty() {
            return Err(Faults {
                path: given.to_owned(),
                faults,
            });
        }
        match file.data.is_absolute() {
            true => Ok(file.data),
            false => Err(fault(relative(&file.data))),
        }
    }

    /// The configuration of an empty file, for tests.
    #[cfg(test)]
    #[allow(clippy::unwrap_used)]
    pub(crate) fn defaults() -> Self {
        Self::check(File::default(), Path::new(DEFAULT_PATH)).unwrap()
    }

    /// Names the keys in which `new` differs and which count at the next start only.
    pub fn needs_restart(&self, new: &Self) -> Vec<&'static str> {
        let differs = [
            ("data", self.data != new.data),
            ("listen", self.listen != new.listen),
            ("http", self.http != new.http),
            (
                "api",
                self.api != new.api || self.secured_at() != new.secured_at(),
            ),
            ("judge", self.parameters != new.parameters),
            ("deliver", !self.delivers_like(new)),
            ("log", self.log != new.log),
        ];
        let differs = differs.into_iter().filter(|(_, differs)| *differs);
        differs.map(|(key, _)| key).collect()
    }

    /// Where the API is served over TLS.
    pub fn secured_at(&self) -> Option<SocketAddr> {
        self.api_tls.as_ref().map(|tls| tls.listen)
    }

    fn delivers_like(&self, new: &Self) -> bool {
        self.deliver.len() == new.deliver.len()
            && self
                .deliver
                .iter()
                .zip(&new.deliver)
                .all(|(old, new)| old.is_like(new))
    }

    fn check(file: File, path: &Path) -> Result<Self, Faults> {
        let mut faults = Vec::new();
        let listen = file.listen.parse().map_err(|_| {
            faults.push(format!(
                "listen: `{}` is not ADDRESS:PORT, such as 0.0.0.0:7443",
                file.listen
            ));
        });
        let http = address("http", &file.http, &mut faults);
        let (api, api_tls) = serving::check(&file.api, &mut faults);
        if !file.data.is_absolute() {
            faults.push(relative(&file.data));
        }
        if file.names.is_empty() {
            faults.push("names: empty; agents need a name or address to connect to".into());
        }
        if !(1..=24 * 90).contains(&file.enrolment.certificate_hours) {
            faults.push("enrolment.certificate_hours: not from 1 to 2160".into());
        }
        let lines_days = file.retention.lines_days;
        if lines_days.is_some_and(|days| !(1..=MOST_DAYS).contains(&days)) {
            faults.push(format!("retention.lines_days: not from 1 to {MOST_DAYS}"));
        }
        let witnesses = file.witnesses.check(&mut faults);
        let readers = readers(&file.reader, &mut faults);
        let deliver = deliver::check(&file.deliver, &mut faults);
        let parameters = match &file.judge {
            None => Ok(Parameters::default()),
            Some(path) => keyfile::read_text(path)
                .map_err(|e| e.to_string())
                .and_then(|text| toml::from_str(&text).map_err(|e| e.to_string()))
                .map_err(|error| faults.push(format!("judge: {error}"))),
        };
        let log_level = file.log_level.parse().map_err(|_| {
            faults.push(format!(
                "log_level: `{}` is not error, warn, info, debug or trace",
                file.log_level
            ));
        });
        match (listen, parameters, log_level, faults.is_empty()) {
            (Ok(listen), Ok(parameters), Ok(log_level), true) => Ok(Self {
                data: file.data,
                listen,
                http,
                api,
                api_tls,
                names: file.names,
                certificate_life: Duration::from_secs(file.enrolment.certificate_hours * 3_600),
                lines_days,
                parameters,
                witnesses: witnesses.listed,
                quorum: witnesses.quorum,
                readers,
                deliver,
                log: file.log,
                log_level,
            }),
            _ => Err(Faults {
                path: path.to_owned(),
                faults,
            }),
        }
    }
}

/// Reads an address, or `none` for no socket at all.
fn address(key: &str, text: &str, faults: &mut Vec<String>) -> Option<SocketAddr> {
    if text == "none" {
        return None;
    }
    let read = text.parse();
    if read.is_err() {
        faults.push(format!(
            "{key}: `{text}` is not ADDRESS:PORT, such as 127.0.0.1:7480, or none"
        ));
    }
    read.ok()
}

fn readers(entries: &[ReaderEntry], faults: &mut Vec<String>) -> Vec<Entitled> {
    if entries.len() > MAX_READERS {
        faults.push(format!(
            "reader: {} where at most {MAX_READERS} are",
            entries.len()
        ));
    }
    let mut readers = Vec::new();
    for (n, entry) in entries.iter().take(MAX_READERS).enumerate() {
        match Entitled::new(&entry.name, &entry.token_sha256, &entry.may) {
            Ok(reader) => readers.push(reader),
            Err(error) => faults.push(format!("reader[{n}].{error}")),
        }
    }
    readers
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    pub(super) fn load(text: &str) -> Result<Config, Faults> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("verifier.toml");
        std::fs::write(&path, text).unwrap();
        Config::load(Some(&path))
    }

    #[test]
    fn what_the_server_alone_goes_by_stops_no_client_of_it() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("verifier.toml");
        let with = |text: &str| {
            std::fs::write(&path, text).unwrap();
            Config::data_of(Some(&path))
        };
        let secret = "data = \"/d\"\n[[deliver]]\nname = \"ops\"\nkind = \"webhook\"\n\
                      url = \"http://127.0.0.1/\"\nsecret_file = \"/nowhere\"\n";
        assert!(
            load(secret)
                .unwrap_err()
                .to_string()
                .contains("secret_file")
        );
        assert_eq!(with(secret).unwrap(), Path::new("/d"));
        assert_eq!(
            with("data = \"/d\"\nlisten = 5\n").unwrap(),
            Path::new("/d")
        );
        assert_eq!(with("").unwrap(), Path::new(DEFAULT_DATA));
        for bad in ["daat = \"/d\"", "data = 5", "data = \"d\"", "data ="] {
            assert!(
                with(bad).unwrap_err().to_string().contains("verifier.toml"),
                "{bad}"
            );
        }
    }

    #[test]
    fn an_unknown_key_is_refused_by_name() {
        let error = load("lisen = \"0.0.0.0:1\"").unwrap_err().to_string();
        assert!(error.contains("lisen"), "{error}");
    }

    #[test]
    fn all_faults_are_reported_at_once() {
        let error =
            load("listen = \"x\"\ndata = \"here\"\nnames = []\nhttp = \"7480\"\nfrob = 1\nretention.lines_days = 0\nlog = 7\nlog_level = \"loud\"\n[enrolment]\ncertificate_hours = 0")
                .unwrap_err()
                .to_string();
        for key in [
            "listen",
            "data",
            "names",
            "http",
            "certificate_hours",
            "lines_days",
            "frob",
            "log",
            "log_level",
        ] {
            assert!(error.contains(key), "{key} in {error}");
        }
    }

    #[test]
    fn the_defaults_stand_by_themselves() {
        let config = load("").unwrap();
        assert_eq!(config.listen.port(), 7443);
        assert_eq!(config.data, Path::new(DEFAULT_DATA));
    }
}
