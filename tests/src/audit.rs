//! What an auditor makes of a deployment: a report over two months around now, verified from outside.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    time::UNIX_EPOCH,
};

use crate::{process::binary, verifier::Deployment};

/// Milliseconds of thirty days: a report is over a year at most.
const MONTH_MS: u128 = 30 * 86_400_000;

/// A verdict of `affiant-audit verify --json`.
#[derive(Debug)]
pub struct Audit {
    /// Exit code.
    pub exit: i32,
    /// "clean", "findings", "incomplete" or "broken".
    pub verdict: String,
    /// Kind of the anchor.
    pub anchor: String,
    /// The rules that were broken, sorted, one for each finding; with " (later)" where only what was
    /// logged later says so.
    pub findings: Vec<String>,
    /// All of it.
    pub said: serde_json::Value,
}

impl Audit {
    /// Holds the verdict against what is due; the message has all that was said.
    ///
    /// # Panics
    /// When anything differs.
    pub fn assert(&self, exit: i32, verdict: &str, anchor: &str, findings: &[&str]) {
        let due = (exit, verdict, anchor);
        let got = (self.exit, self.verdict.as_str(), self.anchor.as_str());
        assert_eq!(due, got, "{:#}", self.said);
        assert_eq!(self.findings, findings, "{:#}", self.said["findings"]);
    }
}

impl Deployment {
    /// Keeps the newest published checkpoint, as an auditor or a customer does.
    pub fn keep_checkpoint(&self, name: &str) -> PathBuf {
        let kept = self.path(name);
        fs::copy(self.data().join("log/public/checkpoint"), &kept).unwrap();
        kept
    }

    /// The log's key as the deployment's trust file names it.
    pub fn log_key(&self) -> String {
        let trust = fs::read_to_string(self.data().join("trust.toml")).unwrap();
        let line = trust.lines().find_map(|line| line.strip_prefix("key = \""));
        line.unwrap().trim_end_matches('"').to_owned()
    }

    /// Has a report made over two months around now.
    pub fn report(&self, name: &str) -> PathBuf {
        let report = self.path(name);
        let _ = fs::remove_dir_all(&report);
        let now = UNIX_EPOCH.elapsed().unwrap().as_millis();
        let (from, to) = ((now - MONTH_MS).to_string(), (now + MONTH_MS).to_string());
        let period = ["--from", &from, "--to", &to];
        let out = ["--out", report.to_str().unwrap()];
        self.succeed(&[&["report"], &period[..], &out[..]].concat());
        report
    }

    /// Has a report made over two months around now, and verified by an auditor who trusts the genesis, accepts
    /// the judge's parameters and kept a checkpoint.
    pub fn audit(&self, kept: &Path) -> Audit {
        self.verify(&self.report("report"), Some(kept), "")
    }

    /// Has a report verified by an auditor who trusts the genesis, accepts the judge's parameters, perhaps kept a
    /// checkpoint, and asks for the witnesses of a policy's text, if it has any.
    pub fn verify(&self, report: &Path, kept: Option<&Path>, policy: &str) -> Audit {
        self.told("verify", report, kept, policy)
    }

    /// Has the whole log in a data directory audited, by the same auditor. No verifier may run on it.
    pub fn audit_log(&self, data: &Path, kept: Option<&Path>, policy: &str) -> Audit {
        self.told("log", data, kept, policy)
    }

    fn told(&self, command: &str, of: &Path, kept: Option<&Path>, policy: &str) -> Audit {
        let trust = fs::read_to_string(self.data().join("trust.toml")).unwrap();
        let mut trust = trust.replace("accept_recorded = false", "accept_recorded = true");
        if !policy.is_empty() {
            let policy = format!("witness_policy = '''\n{policy}'''\n\n[log]");
            trust = trust.replace("[log]", &policy);
        }
        let parameters = fs::read_to_string(self.path("judge.toml"));
        let parameters = parameters.map(|text| format!("\n[parameters]\n{text}"));
        let trust = trust + &parameters.unwrap_or_default();
        fs::write(self.path("trust.toml"), trust).unwrap();
        let mut audit = Command::new(binary("affiant-audit"));
        audit.arg(command).arg(of).arg("--json");
        audit.arg("--trust").arg(self.path("trust.toml"));
        if let Some(kept) = kept {
            audit.arg("--since").arg(kept);
        }
        let output = audit.output().unwrap();
        let said: serde_json::Value = serde_json::from_slice(&output.stdout)
            .unwrap_or_else(|_| panic!("{}", String::from_utf8_lossy(&output.stderr)));
        let text = |value: &serde_json::Value| value.as_str().unwrap().to_owned();
        let items = said["findings"]["items"].as_array().unwrap();
        let mut findings: Vec<String> = items
            .iter()
            .map(|finding| match finding["known"] == "later" {
                true => format!("{} (later)", text(&finding["rule"])),
                false => text(&finding["rule"]),
            })
            .collect();
        findings.sort();
        Audit {
            exit: output.status.code().unwrap(),
            verdict: text(&said["verdict"]),
            anchor: text(&said["anchor"]["kind"]),
            findings,
            said,
        }
    }
}
