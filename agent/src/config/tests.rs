#![allow(clippy::unwrap_used, clippy::expect_used)]

use super::*;

fn write(text: &str) -> (tempfile::TempDir, PathBuf) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("agent.toml");
    std::fs::write(&path, text).unwrap();
    (directory, path)
}

fn load(text: &str) -> Result<Config, ConfigError> {
    let (_directory, path) = write(text);
    Config::load(&path)
}

const LEAST: &str =
    "verifier = \"https://v.example.org\"\nca = \"/etc/affiant/ca.pem\"\nhost = \"gpu-01\"\n";

#[test]
fn two_keys_and_the_defaults_are_a_configuration() {
    let config = load(LEAST).unwrap();
    assert_eq!(config.verifier.port(), 7443);
    assert_eq!(config.data, Path::new(DEFAULT_DATA));
    assert_eq!(config.interval, Duration::from_secs(10));
    assert_eq!(config.spool.keep, Duration::from_secs(72 * 3_600));
    let Source::Nvml { library, period } = config.measuring.source else {
        panic!("{config:?}");
    };
    assert!(library.is_absolute());
    assert_eq!(period, Duration::from_secs(1));
}

#[test]
fn all_faults_are_reported_at_once_each_with_its_key() {
    let refused = load(
        "verifier = \"http://v\"\nhost = \"a b\"\ndata = \"here\"\ninterval = 0\nlog = 3\nlisten = 1\n\
         [source]\nkind = \"dcgm\"\nloop = 3\ntrace = \"x\"\n[spool]\nmax_bytes = 1\nage = 1\n\
         [kubernetes]\ntoken = \"/t\"\n[slurm]\nprolog = \"run\"\n",
    );
    let ConfigError::Faults { faults, .. } = refused.unwrap_err() else {
        panic!("no faults");
    };
    let mut keys: Vec<&str> = faults.iter().map(|fault| fault.key.as_str()).collect();
    keys.sort_unstable();
    keys.dedup();
    let due = [
        "ca",
        "data",
        "host",
        "interval",
        "kubernetes.url",
        "listen",
        "log",
        "slurm.prolog",
        "source.kind",
        "source.loop",
        "source.trace",
        "spool.age",
        "spool.max_bytes",
        "verifier",
    ];
    assert_eq!(keys, due);
}

#[test]
fn what_is_printed_as_in_effect_reads_back_as_the_same() {
    for text in [
        LEAST.to_owned(),
        format!(
            "{LEAST}cluster = \"a \\\"b\\\"\"\n[source]\nkind = \"recorded\"\ntrace = \"/t.jsonl\"\nloop = true\n[log]\nformat = \"json\"\nlevel = \"warn\"\n"
        ),
        format!("{LEAST}interval = 1\n[kubernetes]\nurl = \"http://127.0.0.1:10255\"\n"),
    ] {
        let printed = load(&text).unwrap().to_string();
        assert_eq!(load(&printed).unwrap().to_string(), printed);
    }
}

#[test]
fn keys_of_the_other_source_are_refused() {
    let recorded =
        format!("{LEAST}[source]\nkind = \"recorded\"\nlibrary = \"/lib.so\"\ntrace = \"/t\"\n");
    assert!(
        load(&recorded)
            .unwrap_err()
            .to_string()
            .contains("source.library")
    );
    let without = load(&format!("{LEAST}[source]\nkind = \"recorded\"\n")).unwrap_err();
    assert!(
        without.to_string().contains("source.trace: is missing"),
        "{without}"
    );
    let nvml = load(&format!("{LEAST}[source]\ntrace = \"/t\"\n")).unwrap_err();
    assert!(nvml.to_string().contains("source.trace"), "{nvml}");
}

#[test]
fn a_period_leaves_room_for_two_samples_in_an_interval() {
    let config = load(&format!("{LEAST}interval = 1\n")).unwrap();
    assert!(
        matches!(config.measuring.source, Source::Nvml { period, .. } if period.as_millis() == 500)
    );
    let refused = load(&format!(
        "{LEAST}interval = 1\n[source]\nperiod_ms = 1000\n"
    ))
    .unwrap_err();
    assert!(refused.to_string().contains("from 10 to 500"), "{refused}");
}

#[test]
fn inspect_needs_no_verifier_but_refuses_what_is_wrong() {
    let (_directory, path) = write("[source]\nperiod_ms = 200\n");
    let measuring = Measuring::load(Some(&path)).unwrap();
    assert!(matches!(measuring.source, Source::Nvml { period, .. } if period.as_millis() == 200));
    let (_directory, path) = write("verifier = \"nowhere\"\n");
    assert!(
        Measuring::load(Some(&path))
            .unwrap_err()
            .to_string()
            .contains("verifier")
    );
    let missing = Measuring::load(Some(Path::new("/nowhere/agent.toml"))).unwrap_err();
    assert!(matches!(missing, ConfigError::Missing(_)), "{missing}");
}

#[test]
fn a_file_that_is_no_toml_is_refused_with_its_place() {
    let refused = load("verifier = \n").unwrap_err();
    assert!(
        matches!(refused, ConfigError::Toml { .. }) && refused.to_string().contains("line 1"),
        "{refused}"
    );
}
