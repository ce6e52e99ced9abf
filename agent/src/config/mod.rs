//! `agent.toml`: unknown keys are refused, and all faults are reported at once.

mod host;
mod section;
mod source;
mod verifier;

use std::{
    fmt,
    path::{Path, PathBuf},
    str::FromStr,
    time::Duration,
};

use toml::Table;

pub use host::{HostName, NotAHostName};
pub use section::Fault;
pub use source::{LIBRARIES, Source};
pub use verifier::{NotAVerifierUrl, VerifierUrl};

use crate::{
    durable::{self, FileError, Secrecy},
    spool::Limits,
    workload::Endpoint,
};
use section::Section;

/// Where the configuration lies unless `--config` says otherwise.
pub const DEFAULT_PATH: &str = "/etc/affiant/agent.toml";

/// Where the data lies unless the configuration says otherwise.
pub const DEFAULT_DATA: &str = "/var/lib/affiant-agent";

/// Where Slurm's prolog leaves a file per job unless the configuration says otherwise.
pub const DEFAULT_PROLOG: &str = "/run/affiant/slurm";

/// Most bytes of the file: sixty lines of at most 300 bytes are 18 KiB.
const MAX_FILE: u64 = 64 << 10;

/// Default budget of the spool: an 8-GPU host at 10 s seals 8,640 records of 1.4 KiB a day, 12 MiB,
/// so that 30 days without a verifier are 360 MiB. With eight workloads on each device a record is
/// some 4 KiB, and 1 GiB still holds 30 days of 34 MiB; with all 512 lines that eight devices can
/// have, 15 KiB, it holds 8 days of 127 MiB before any line must go.
const SPOOL_BYTES: u64 = 1 << 30;

/// Least budget of the spool: eight segments, so that it is never full of one that is kept.
const LEAST_SPOOL_BYTES: u64 = 8 * crate::spool::MAX_SEGMENT;

/// How long INCLUDED records are kept: 72 hours.
const KEEP_SECONDS: u64 = 72 * 3_600;

/// Longest time between two attempts to connect, milliseconds: 10 min. With full jitter a fleet
/// that was away for long is then spread over ten minutes, half of it coming back after the fifth;
/// after a short break, as of a verifier that starts again within 30 s, agents have not doubled
/// their waits beyond a minute.
const RECONNECT_MAX_MS: u64 = 600_000;

/// The configuration, checked.
#[derive(Clone, Debug)]
pub struct Config {
    /// Where records go.
    pub verifier: VerifierUrl,
    /// The one certificate authority that is believed, as a PEM file.
    pub ca: PathBuf,
    /// The data directory.
    pub data: PathBuf,
    /// The name under which the host enrols.
    pub host: HostName,
    /// Where the host stands, as tenants' conditions spell it; empty when nobody says.
    pub site: String,
    /// Length of a record's interval, 1 to 60 s.
    pub interval: Duration,
    /// Where readings and names come from.
    pub measuring: Measuring,
    /// How much is kept on disk.
    pub spool: Limits,
    /// Longest time between two attempts to connect.
    pub reconnect_max: Duration,
}

/// The part that says where readings and names come from: all that `inspect` needs.
#[derive(Clone, Debug)]
pub struct Measuring {
    /// NVML or a trace.
    pub source: Source,
    /// The cluster's name, for workloads of Kubernetes and Slurm; empty when it has none.
    pub cluster: String,
    /// The kubelet, for names of pods.
    pub kubelet: Option<Endpoint>,
    /// The kubelet's URL as it was written.
    kubelet_url: Option<String>,
    /// Where Slurm's prolog leaves a file per job.
    pub prolog: PathBuf,
    /// How the journal is written.
    pub log: Log,
}

/// How the journal is written to standard error.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Log {
    /// `error`, `warn`, `info`, `debug` or `trace`.
    pub level: String,
    /// One JSON object a line, not text.
    pub json: bool,
}

/// Why there is no configuration.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file.
    #[error(transparent)]
    File(#[from] FileError),
    /// There is none.
    #[error("there is no configuration {0}; write one, or name another with --config")]
    Missing(PathBuf),
    /// It is no TOML at all.
    #[error("{path} is not TOML: {text}")]
    Toml {
        /// The file.
        path: PathBuf,
        /// Where and what.
        text: String,
    },
    /// Everything that is wrong with it.
    #[error("{path} has {} faults:{}", faults.len(), Lines(faults))]
    Faults {
        /// The file.
        path: PathBuf,
        /// Each with its key.
        faults: Vec<Fault>,
    },
}

struct Lines<'a>(&'a [Fault]);

impl fmt::Display for Lines<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|fault| write!(f, "\n  {fault}"))
    }
}

impl Config {
    /// Reads and checks the file.
    pub fn load(path: &Path) -> Result<Self, ConfigError> {
        let (config, _, faults) = read(table(path)?);
        match config {
            Some(config) if faults.is_empty() => Ok(config),
            _ => Err(ConfigError::Faults {
                path: path.to_owned(),
                faults,
            }),
        }
    }
}

impl Measuring {
    /// Reads the file for what `inspect` needs: it may leave out the verifier, and where nobody
    /// named a file, be missing.
    pub fn load(path: Option<&Path>) -> Result<Self, ConfigError> {
        let given = path.unwrap_or(Path::new(DEFAULT_PATH));
        let table = match table(given) {
            Err(ConfigError::Missing(_)) if path.is_none() => Table::new(),
            table => table?,
        };
        let (_, measuring, mut faults) = read(table);
        faults.retain(|fault| !fault.missing || !matches!(fault.key.as_str(), "verifier" | "ca"));
        if !faults.is_empty() {
            let path = given.to_owned();
            return Err(ConfigError::Faults { path, faults });
        }
        Ok(measuring)
    }
}

fn table(path: &Path) -> Result<Table, ConfigError> {
    let bytes = durable::read(path, MAX_FILE, Secrecy::Public)?;
    let bytes = bytes.ok_or_else(|| ConfigError::Missing(path.to_owned()))?;
    let not_toml = |text: String| ConfigError::Toml {
        path: path.to_owned(),
        text,
    };
    let text = std::str::from_utf8(&bytes).map_err(|error| not_toml(error.to_string()))?;
    text.parse()
        .map_err(|error: toml::de::Error| not_toml(error.to_string()))
}

fn read(table: Table) -> (Option<Config>, Measuring, Vec<Fault>) {
    let mut faults = Vec::new();
    let mut root = Section::root(table, &mut faults);
    let interval = root.number("interval", 1..=60).unwrap_or(10);
    let measuring = Measuring::read(&mut root, interval);
    let spool = spool(root.section("spool"));
    if !root.has("verifier") {
        root.missing("verifier", "give the verifier as https://HOST:PORT");
    }
    let verifier = root.parsed("verifier", |text| {
        VerifierUrl::from_str(text).map_err(|error| error.to_string())
    });
    if !root.has("ca") {
        root.missing("ca", "give the file of the verifier's CA certificate (PEM)");
    }
    let ca = root.path("ca");
    let data = root.path("data").unwrap_or_else(|| DEFAULT_DATA.into());
    let host = if root.has("host") {
        root.parsed("host", |text| {
            HostName::from_str(text).map_err(|error| error.to_string())
        })
    } else {
        let host = HostName::of_this_host();
        if host.is_none() {
            root.missing("host", "and the kernel knows no name of this host");
        }
        host
    };
    let site = root.parsed("site", label).unwrap_or_default();
    let reconnect_max = root.number("reconnect_max_ms", 10..=3_600_000);
    root.end();
    let config = verifier
        .zip(ca)
        .zip(host)
        .map(|((verifier, ca), host)| Config {
            verifier,
            ca,
            data,
            host,
            site,
            interval: Duration::from_secs(interval),
            measuring: measuring.clone(),
            spool,
            reconnect_max: Duration::from_millis(reconnect_max.unwrap_or(RECONNECT_MAX_MS)),
        });
    (config, measuring, faults)
}

fn spool(mut section: Section<'_>) -> Limits {
    // Sixteen TiB and ten years are more than any host has or any verifier is away.
    let max_bytes = section.number("max_bytes", LEAST_SPOOL_BYTES..=1 << 44);
    let keep = section.number("keep", 0..=10 * 366 * 86_400);
    let max_age = section.number("max_age", 3_600..=10 * 366 * 86_400);
    let reserve = section.number("reserve", 0..=1 << 40);
    section.end();
    Limits {
        reserve,
        max_bytes: max_bytes.unwrap_or(SPOOL_BYTES),
        keep: Duration::from_secs(keep.unwrap_or(KEEP_SECONDS)),
        max_age: max_age.map(Duration::from_secs),
    }
}

impl Measuring {
    fn read(root: &mut Section<'_>, interval: u64) -> Self {
        let source = Source::read(root.section("source"), interval);
        let cluster = root.parsed("cluster", label);
        let (kubelet, kubelet_url) = kubelet(root.section("kubernetes"));
        let mut slurm = root.section("slurm");
        let prolog = slurm
            .path("prolog")
            .unwrap_or_else(|| DEFAULT_PROLOG.into());
        slurm.end();
        Self {
            source,
            cluster: cluster.unwrap_or_default(),
            kubelet,
            kubelet_url,
            prolog,
            log: Log::read(root.section("log")),
        }
    }
}

/// A name that an operator gives to things of his own.
fn label(text: &str) -> Result<String, String> {
    let fits = text.len() <= 253 && !text.chars().any(char::is_control);
    fits.then(|| text.to_owned())
        .ok_or_else(|| "is longer than 253 bytes".into())
}

fn kubelet(mut section: Section<'_>) -> (Option<Endpoint>, Option<String>) {
    let ca = section.path("ca");
    let token = section.path("token");
    let server_name = section.text("server_name");
    let given = ca.is_some() || token.is_some() || server_name.is_some();
    if given && !section.has("url") {
        section.missing("url", "give the kubelet as https://HOST:10250");
    }
    let url = section.text("url");
    let endpoint = url.as_ref().and_then(|url| {
        let endpoint = Endpoint::new(url, ca.as_deref(), token, server_name.as_deref());
        endpoint
            .map_err(|error| section.fault("url", error.to_string()))
            .ok()
    });
    section.end();
    (endpoint, url)
}

impl Log {
    fn read(mut section: Section<'_>) -> Self {
        let one_of = |choices: &'static [&'static str]| {
            move |text: &str| {
                let known = choices.contains(&text).then(|| text.to_owned());
                known.ok_or_else(|| format!("{text:?} is none of {}", choices.join(", ")))
            }
        };
        let level = section.parsed(
            "level",
            one_of(&["error", "warn", "info", "debug", "trace"]),
        );
        let format = section.parsed("format", one_of(&["text", "json"]));
        section.end();
        Self {
            level: level.unwrap_or_else(|| "info".into()),
            json: format.as_deref() == Some("json"),
        }
    }
}

impl fmt::Display for Config {
    /// Prints the values in effect, as a file that gives the same ones.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let quoted = |path: &Path| toml::Value::String(path.to_string_lossy().into_owned());
        writeln!(f, "verifier = \"{}\"", self.verifier)?;
        writeln!(f, "ca = {}", quoted(&self.ca))?;
        writeln!(f, "data = {}", quoted(&self.data))?;
        writeln!(f, "host = \"{}\"", self.host)?;
        writeln!(f, "site = {}", toml::Value::String(self.site.clone()))?;
        writeln!(f, "interval = {}", self.interval.as_secs())?;
        writeln!(f, "reconnect_max_ms = {}", self.reconnect_max.as_millis())?;
        writeln!(
            f,
            "cluster = {}",
            toml::Value::String(self.measuring.cluster.clone())
        )?;
        match &self.measuring.source {
            Source::Nvml { library, period } => {
                writeln!(
                    f,
                    "\n[source]\nkind = \"nvml\"\nlibrary = {}",
                    quoted(library)
                )?;
                writeln!(f, "period_ms = {}", period.as_millis())?;
            }
            Source::Recorded { trace, repeat } => {
                writeln!(
                    f,
                    "\n[source]\nkind = \"recorded\"\ntrace = {}",
                    quoted(trace)
                )?;
                writeln!(f, "loop = {repeat}")?;
            }
        }
        if let Some(url) = &self.measuring.kubelet_url {
            writeln!(f, "\n[kubernetes]\nurl = \"{url}\"")?;
        }
        writeln!(f, "\n[slurm]\nprolog = {}", quoted(&self.measuring.prolog))?;
        writeln!(f, "\n[spool]\nmax_bytes = {}", self.spool.max_bytes)?;
        writeln!(f, "keep = {}", self.spool.keep.as_secs())?;
        if let Some(max_age) = self.spool.max_age {
            writeln!(f, "max_age = {}", max_age.as_secs())?;
        }
        if let Some(reserve) = self.spool.reserve {
            writeln!(f, "reserve = {reserve}")?;
        }
        writeln!(f, "\n[log]\nlevel = \"{}\"", self.measuring.log.level)?;
        writeln!(
            f,
            "format = \"{}\"",
            if self.measuring.log.json {
                "json"
            } else {
                "text"
            }
        )
    }
}

#[cfg(test)]
mod tests;
