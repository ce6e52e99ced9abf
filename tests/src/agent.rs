//! The agent's binary with a directory of its own, on a trace or on the simulated NVML library.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
};

use crate::{
    process::{Running, binary},
    verifier::Deployment,
};

/// One enrolled agent.
pub struct Agent {
    dir: PathBuf,
    fleet: Option<PathBuf>,
    running: Option<Running>,
}

impl Agent {
    /// Enrols an agent that plays a trace of `deploy/demo/traces`.
    pub fn on_trace(deployment: &Deployment, host: &str, trace: &str, interval: u32) -> Self {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
        let trace = root.join("deploy/demo/traces").join(trace);
        let source = format!("kind = \"recorded\"\nloop = true\ntrace = {trace:?}\n");
        Self::enrol(deployment, host, &source, None, interval)
    }

    /// Enrols an agent on the simulated NVML library with this fleet file.
    pub fn on_fleet(
        deployment: &Deployment,
        host: &str,
        fleet: &Path,
        interval: u32,
        period_ms: u32,
    ) -> Self {
        let library = binary("libnvidia_ml.so");
        let source = format!("kind = \"nvml\"\nlibrary = {library:?}\nperiod_ms = {period_ms}\n");
        Self::enrol(deployment, host, &source, Some(fleet.to_owned()), interval)
    }

    fn enrol(
        deployment: &Deployment,
        host: &str,
        source: &str,
        fleet: Option<PathBuf>,
        interval: u32,
    ) -> Self {
        let dir = deployment.path(&format!("agent-{host}"));
        fs::create_dir(&dir).unwrap();
        let made = Self {
            dir,
            fleet,
            running: None,
        };
        let config = format!(
            "verifier = \"https://{}\"\nca = {:?}\ndata = {:?}\nhost = \"{host}\"\ninterval = {interval}\n\
             reconnect_max_ms = 200\n\n[source]\n{source}",
            deployment.address(),
            deployment.ca(),
            made.dir.join("data"),
        );
        fs::write(made.config(), config).unwrap();
        let token = made.dir.join("token");
        deployment.succeed(&["token", "--host", host, "--out", token.to_str().unwrap()]);
        let output = made.run(&["enroll", "--token-file", token.to_str().unwrap()]);
        assert!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
        made
    }

    /// Its configuration.
    pub fn config(&self) -> PathBuf {
        self.dir.join("agent.toml")
    }

    fn command(&self) -> Command {
        let mut command = Command::new(binary("affiant-agent"));
        if let Some(fleet) = &self.fleet {
            command.env("AFFIANT_NVML_SIM", fleet);
        }
        command
    }

    /// Runs one of its commands.
    pub fn run(&self, arguments: &[&str]) -> Output {
        self.command()
            .args(arguments)
            .arg("--config")
            .arg(self.config())
            .output()
            .unwrap()
    }

    /// Runs one of its commands that answers in JSON, whatever its exit code.
    pub fn json(&self, arguments: &[&str]) -> serde_json::Value {
        let output = self.run(&[arguments, &["--json"]].concat());
        let value = serde_json::from_slice(&output.stdout);
        value.unwrap_or_else(|_| panic!("{}", String::from_utf8_lossy(&output.stderr)))
    }

    /// The processes that it has started and that have not been reaped.
    pub fn children(&self) -> Vec<u32> {
        let own = self.id();
        let processes = fs::read_dir("/proc").unwrap().flatten();
        processes
            .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
            .filter(|pid| parent(*pid) == Some(own))
            .collect()
    }

    /// Starts the daemon.
    pub fn start(&mut self) {
        let journal = fs::OpenOptions::new()
            .create(true)
            .append(true)
            .open(self.dir.join("journal"))
            .unwrap();
        let mut command = self.command();
        command
            .arg("run")
            .arg("--config")
            .arg(self.config())
            .stdout(Stdio::null())
            .stderr(journal);
        self.running = Some(Running::start(&mut command));
    }

    /// Its data directory.
    pub fn data(&self) -> PathBuf {
        self.dir.join("data")
    }

    /// What it wrote to its journal.
    pub fn journal(&self) -> String {
        fs::read_to_string(self.dir.join("journal")).unwrap_or_default()
    }

    /// The process id of the daemon.
    pub fn id(&self) -> u32 {
        self.running.as_ref().unwrap().id()
    }

    /// SIGKILL.
    pub fn kill(&mut self) {
        self.running.take().unwrap().kill();
    }

    /// SIGTERM; gives how long it took to end, in order.
    pub fn stop(&mut self) -> std::time::Duration {
        let (status, took) = self.running.take().unwrap().terminate();
        assert!(status.success(), "{status}: {}", self.journal());
        took
    }
}

/// The parent of a process: the second field behind its name.
fn parent(pid: u32) -> Option<u32> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let (_, fields) = stat.rsplit_once(')')?;
    fields.split_whitespace().nth(1)?.parse().ok()
}
