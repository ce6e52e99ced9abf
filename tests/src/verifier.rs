//! A deployment of one verifier in a directory of its own.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
    time::Duration,
};

use affiant_judge::{Parameters, admission::Sources};
use affiant_verifier::{
    data::DataDir,
    keyfile,
    ledger::{Exhibits, Ledger},
    replay::{self, Replayed},
};
use tempfile::TempDir;

use crate::process::{Running, binary, copy, until};

/// A verifier with two officers, alice and bob; it listens on a free port of the loopback.
pub struct Deployment {
    dir: TempDir,
    running: Option<Running>,
    /// How far its verifier's clock is behind the machine's, milliseconds.
    behind_ms: u64,
}

impl Default for Deployment {
    fn default() -> Self {
        Self::new()
    }
}

impl Deployment {
    /// Initialises one and starts it.
    pub fn new() -> Self {
        Self::with_config("")
    }

    /// The same with more lines in its configuration.
    pub fn with_config(more: &str) -> Self {
        Self::made(more, 0)
    }

    /// Initialises one by a clock that is so far behind, and starts it by that clock.
    pub fn backdated(behind_ms: u64) -> Self {
        Self::made("", behind_ms)
    }

    fn made(more: &str, behind_ms: u64) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let mut made = Self {
            dir,
            running: None,
            behind_ms,
        };
        let config = format!(
            "data = {:?}\nlisten = \"127.0.0.1:0\"\nhttp = \"127.0.0.1:0\"\napi = \"127.0.0.1:0\"\n{more}",
            made.data()
        );
        fs::write(made.path("verifier.toml"), config).unwrap();
        for name in ["alice", "bob"] {
            made.succeed(&[
                "officer",
                "new",
                "--name",
                name,
                "--out",
                made.key(name).to_str().unwrap(),
            ]);
        }
        let (alice, bob) = (made.path("alice.pub"), made.path("bob.pub"));
        let mut init = made.program();
        init.args(["init", "--origin", "test.example/affiant/1"]);
        init.args(["--operator", "Test", "--data"]).arg(made.data());
        init.arg("--officer").arg(alice).arg("--officer").arg(bob);
        let output = init.output().unwrap();
        assert!(output.status.success(), "{output:?}");
        made.start();
        made
    }

    /// Initialises one and starts it, with the judge's parameters as this text has them. The hosts
    /// of tests count their intervals faster than time goes by: their clocks may be two hours off.
    pub fn judged_by(parameters: &str) -> Self {
        let mut made = Self::new();
        made.stop();
        let judge = made.path("judge.toml");
        fs::write(
            &judge,
            format!("clock_tolerance_ms = 7200000\n{parameters}"),
        )
        .unwrap();
        made.configure(&format!("judge = {judge:?}\n"));
        made.start();
        made
    }

    /// The verifier, by its clock.
    fn program(&self) -> Command {
        if self.behind_ms == 0 {
            return Command::new(binary("affiant-verifier"));
        }
        let mut command = Command::new(binary("affiant-backdater"));
        command.arg(self.behind_ms.to_string());
        command
    }

    /// Adds to its configuration, for when it is read next.
    pub fn configure(&self, more: &str) {
        let config = fs::read_to_string(self.path("verifier.toml")).unwrap();
        fs::write(self.path("verifier.toml"), config + more).unwrap();
    }

    /// A path in the deployment's directory.
    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// The verifier's data directory.
    pub fn data(&self) -> PathBuf {
        self.path("data")
    }

    /// An officer's private key.
    pub fn key(&self, name: &str) -> PathBuf {
        self.path(&format!("{name}.key"))
    }

    /// Starts the verifier and waits until it serves.
    pub fn start(&mut self) {
        let address = self.path("address");
        let _ = fs::remove_file(&address);
        let journal = fs::OpenOptions::new()
            .create(true)
            .append(true)
            .open(self.path("journal"))
            .unwrap();
        let mut command = self.program();
        command
            .args(["serve", "--accept-recorded", "--config"])
            .arg(self.path("verifier.toml"));
        command
            .arg("--address-file")
            .arg(&address)
            .stderr(journal)
            .stdout(Stdio::null());
        let mut running = Running::start(&mut command);
        until("the verifier to serve", Duration::from_secs(60), || {
            assert!(
                running.exited().is_none(),
                "verifier ended: {}",
                self.journal()
            );
            address.exists().then_some(())
        });
        self.running = Some(running);
    }

    /// Where it listens for agents.
    pub fn address(&self) -> String {
        let listens = fs::read_to_string(self.path("address")).unwrap();
        listens.lines().next().unwrap().to_owned()
    }

    /// Where it answers over HTTP: `http` or `api`.
    pub fn site(&self, name: &str) -> String {
        let listens = fs::read_to_string(self.path("address")).unwrap();
        let at = listens
            .lines()
            .find_map(|line| line.strip_prefix(&format!("{name} ")));
        at.unwrap().to_owned()
    }

    /// Lets it listen where it does now whenever it is started again, for agents that were told so.
    pub fn stay(&self) {
        let config = fs::read_to_string(self.path("verifier.toml")).unwrap();
        let config = config.replace(
            "listen = \"127.0.0.1:0\"",
            &format!("listen = {:?}", self.address()),
        );
        fs::write(self.path("verifier.toml"), config).unwrap();
    }

    /// What it wrote to its journal.
    pub fn journal(&self) -> String {
        fs::read_to_string(self.path("journal")).unwrap_or_default()
    }

    /// SIGKILL.
    pub fn kill(&mut self) {
        self.running.take().unwrap().kill();
    }

    /// SIGHUP: has it read its configuration again.
    pub fn hang_up(&self) {
        self.signal("-HUP");
    }

    fn signal(&self, signal: &str) {
        let mut command = Command::new("kill");
        let sent = command.arg(signal).arg(self.id().to_string()).status();
        assert!(sent.unwrap().success());
    }

    /// Copies its data directory as it is at one moment of its work: none of its threads runs
    /// meanwhile.
    pub fn image(&self, to: &Path) {
        self.signal("-STOP");
        let threads = format!("/proc/{}/task", self.id());
        until("every thread to stop", Duration::from_secs(60), || {
            let stands = |thread: std::io::Result<fs::DirEntry>| {
                let stat = fs::read_to_string(thread.unwrap().path().join("stat")).unwrap();
                // The state follows the name, which may have anything in it.
                stat.rsplit(") ").next().unwrap().starts_with('T')
            };
            fs::read_dir(&threads).unwrap().all(stands).then_some(())
        });
        copy(&self.data(), to);
        self.signal("-CONT");
    }

    /// SIGTERM; must end in order.
    pub fn stop(&mut self) {
        let (status, _) = self.running.take().unwrap().terminate();
        assert!(status.success(), "{status}: {}", self.journal());
    }

    /// The process id of the server.
    pub fn id(&self) -> u32 {
        self.running.as_ref().unwrap().id()
    }

    /// Runs a command of affiant-verifier.
    pub fn run(&self, arguments: &[&str]) -> Output {
        let mut command = Command::new(binary("affiant-verifier"));
        command
            .args(arguments)
            .arg("--config")
            .arg(self.path("verifier.toml"));
        command.output().unwrap()
    }

    /// Runs a command that must succeed, and gives its standard output.
    pub fn succeed(&self, arguments: &[&str]) -> String {
        let output = self.run(arguments);
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let error = String::from_utf8_lossy(&output.stderr);
        assert!(
            output.status.success(),
            "{arguments:?}: {}: {text}{error}",
            output.status
        );
        text
    }

    /// Runs a command whose standard output is JSON.
    pub fn json(&self, arguments: &[&str]) -> serde_json::Value {
        let output = self.run(arguments);
        serde_json::from_slice(&output.stdout).unwrap_or_else(|e| {
            panic!(
                "{arguments:?}: {e}: {}",
                String::from_utf8_lossy(&output.stderr)
            )
        })
    }

    /// The findings, as (rule, tenant, host).
    pub fn findings(&self) -> Vec<(String, String, String)> {
        let all = self.json(&["findings", "--json"]);
        let text =
            |f: &serde_json::Value, key: &str| f[key].as_str().unwrap_or_default().to_owned();
        all.as_array()
            .unwrap()
            .iter()
            .map(|f| (text(f, "rule"), text(f, "tenant"), text(f, "host")))
            .collect()
    }

    /// Issues a token for `host`.
    pub fn token(&self, host: &str, valid: &str) -> String {
        let out = self.path(&format!("{host}-{}.token", rand_suffix()));
        self.succeed(&[
            "token",
            "--host",
            host,
            "--valid",
            valid,
            "--out",
            out.to_str().unwrap(),
        ]);
        fs::read_to_string(out).unwrap().trim().to_owned()
    }

    /// Issues a token for a relay of a site.
    pub fn relay_token(&self, relay: &str, site: &str) -> String {
        let out = self.path(&format!("{relay}-{}.token", rand_suffix()));
        let place = ["--out", out.to_str().unwrap()];
        self.succeed(&[&["token", "--relay", relay, "--site", site], &place[..]].concat());
        fs::read_to_string(out).unwrap().trim().to_owned()
    }

    /// The CA's certificate file.
    pub fn ca(&self) -> PathBuf {
        DataDir::at(&self.data()).ca_certificate()
    }

    /// Makes an officer's key, as one of these that [`Self::key`] names.
    pub fn officer(&self, name: &str) {
        self.officer_key(name, name);
    }

    /// Makes another key for an officer of a name, as the one that [`Self::key`] names `file`.
    pub fn officer_key(&self, name: &str, file: &str) {
        let key = self.key(file);
        self.succeed(&[
            "officer",
            "new",
            "--name",
            name,
            "--out",
            key.to_str().unwrap(),
        ]);
    }

    /// Has officers approve another's key, and adds it; else gives what was said against it.
    pub fn admit(&self, name: &str, by: &[&str]) -> Result<(), String> {
        let text = |path: PathBuf| path.to_str().unwrap().to_owned();
        let mut add = vec!["officer".to_owned(), "add".into(), "--key".into()];
        add.push(text(self.key(name)));
        for (number, officer) in by.iter().enumerate() {
            let out = text(self.path(&format!("{name}-{number}-by-{officer}")));
            // Of another attempt.
            let _ = fs::remove_file(&out);
            let (candidate, own) = (
                text(self.path(&format!("{name}.pub"))),
                text(self.key(officer)),
            );
            self.succeed(&[
                "officer",
                "approve",
                "--candidate",
                &candidate,
                "--key",
                &own,
                "--out",
                &out,
            ]);
            add.extend(["--approval".into(), out]);
        }
        let add: Vec<&str> = add.iter().map(String::as_str).collect();
        let output = self.run(&add);
        match output.status.success() {
            true => Ok(()),
            false => Err(String::from_utf8_lossy(&output.stderr).into_owned()),
        }
    }

    /// Applies a registry file as alice.
    pub fn apply(&self, toml: &str) {
        let file = self.path(&format!("registry-{}.toml", rand_suffix()));
        fs::write(&file, toml).unwrap();
        self.succeed(&[
            "tenant",
            "apply",
            file.to_str().unwrap(),
            "--key",
            self.key("alice").to_str().unwrap(),
        ]);
    }

    /// Has both officers approve a tenant.
    pub fn approve(&self, tenant: &str) {
        for name in ["alice", "bob"] {
            self.succeed(&[
                "tenant",
                "approve",
                tenant,
                "--key",
                self.key(name).to_str().unwrap(),
            ]);
        }
    }

    /// Reads the whole log back as the verifier does at its start: everything is admitted again,
    /// every chain held. The verifier must be stopped.
    pub fn read_log(&self) -> Replayed {
        assert!(self.running.is_none());
        let data = DataDir::at(&self.data());
        let signer = keyfile::read_signer(&data.log_key()).unwrap();
        let (mut ledger, _) = Ledger::open(&data.ledger(), Box::new(signer)).unwrap();
        ledger.close_segment().unwrap();
        let reader = ledger.reader();
        let sources = Sources {
            accept_recorded: true,
        };
        replay::replay(
            reader.entries(0..reader.size()),
            &Exhibits::of(&data.ledger()),
            sources,
            &Parameters::default(),
        )
        .unwrap()
    }

    /// The envelopes of the log in order. The verifier must be stopped.
    pub fn log_entries(&self) -> Vec<Vec<u8>> {
        assert!(self.running.is_none());
        log_entries(&self.data())
    }

    /// The directory that holds everything.
    pub fn root(&self) -> &Path {
        self.dir.path()
    }
}

/// The envelopes of the log of a data directory on which no verifier runs, in order. What a crash
/// left there is mended as by a start.
pub fn log_entries(data: &Path) -> Vec<Vec<u8>> {
    let data = DataDir::at(data);
    let signer = keyfile::read_signer(&data.log_key()).unwrap();
    let (mut ledger, _) = Ledger::open(&data.ledger(), Box::new(signer)).unwrap();
    ledger.close_segment().unwrap();
    let reader = ledger.reader();
    reader
        .entries(0..reader.size())
        .map(|entry| entry.unwrap().1.into_envelope())
        .collect()
}

fn rand_suffix() -> String {
    use ring::rand::{SecureRandom as _, SystemRandom};
    let mut bytes = [0; 6];
    SystemRandom::new().fill(&mut bytes).unwrap();
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}
