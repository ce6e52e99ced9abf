//! A witness outside of the operator: the auditor's binary, in a directory of its own.

use std::{
    fs,
    io::{Read as _, Write as _},
    net::TcpStream,
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
    time::Duration,
};

use affiant_proto::tlog::{AddCheckpoint, Hash, Note};

use crate::{
    process::{Running, binary, until},
    verifier::Deployment,
};

/// Longest that a test waits for a witness to listen.
const PATIENCE: Duration = Duration::from_secs(60);

/// A witness of one log.
pub struct Witness {
    running: Option<Running>,
    folder: PathBuf,
    log: String,
    key: String,
    port: u16,
}

impl Witness {
    /// Makes one of the deployment's log, that listens.
    pub fn of(deployment: &Deployment, name: &str) -> Self {
        let mut made = Self::by_hand(deployment, name);
        made.listen();
        made
    }

    /// Makes one of the deployment's log, without a network.
    pub fn by_hand(deployment: &Deployment, name: &str) -> Self {
        let folder = deployment.path(&format!("witness-{name}"));
        fs::create_dir(&folder).unwrap();
        let mut made = Self {
            running: None,
            folder,
            log: deployment.log_key(),
            key: String::new(),
            port: 0,
        };
        let output = made.run(&["--init", "--name", &format!("{name}.example")]);
        assert!(output.status.success(), "{output:?}");
        made.key = String::from_utf8(output.stdout).unwrap().trim().to_owned();
        made
    }

    fn command(&self) -> Command {
        let mut command = Command::new(binary("affiant-audit"));
        command.args(["witness", "--key"]).arg(self.path("key"));
        command
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    fn run(&self, arguments: &[&str]) -> Output {
        self.command().args(arguments).output().unwrap()
    }

    /// Starts it.
    pub fn listen(&mut self) {
        let port = self.path("port");
        let _ = fs::remove_file(&port);
        let mut command = self.command();
        command.arg("--state").arg(self.path("state"));
        command.args(["--log", &self.log, "--listen", "127.0.0.1:0"]);
        command.arg("--port-file").arg(&port).stderr(Stdio::null());
        self.running = Some(Running::start(&mut command));
        self.port = until("the witness", PATIENCE, || {
            fs::read_to_string(&port).ok()?.trim().parse().ok()
        });
    }

    /// Has it cosign what lies there, by exchange of files.
    pub fn once(&self, asked: &Path, tiles: Option<&Path>, out: &Path) -> Output {
        let mut command = self.command();
        command.arg("--state").arg(self.path("state"));
        command.args(["--log", &self.log, "--once"]).arg(asked);
        if let Some(tiles) = tiles {
            command.arg("--tiles").arg(tiles);
        }
        command.arg("--out").arg(out).output().unwrap()
    }

    /// Where it listens.
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// Its public key.
    pub fn key(&self) -> &str {
        &self.key
    }

    /// Its table in a verifier's configuration.
    pub fn table(&self) -> String {
        let (url, key) = (self.url(), &self.key);
        format!("\n[[witness]]\nurl = \"{url}\"\nkey = \"{key}\"\n")
    }

    /// What it answered a verifier last.
    pub fn answer(&self, deployment: &Deployment) -> serde_json::Value {
        deployment.json(&["status", "--json"])["witnesses"][&self.url()].clone()
    }

    /// Size of what it cosigned last, as it shows it to everybody; 0 where it cosigned nothing.
    pub fn known(&self) -> u64 {
        let origin = self.log.split('+').next().unwrap();
        let path = format!("/{}/checkpoint", affiant_proto::digest(origin.as_bytes()));
        let answer = self.send(&format!("GET {path} HTTP/1.1\r\n"), "");
        let Some((_, note)) = answer.split_once("\r\n\r\n") else {
            return 0;
        };
        match answer.starts_with("HTTP/1.1 200") {
            true => note.lines().nth(1).unwrap().parse().unwrap(),
            false => 0,
        }
    }

    fn send(&self, first: &str, body: &str) -> String {
        let mut socket = TcpStream::connect(("127.0.0.1", self.port)).unwrap();
        let length = body.len();
        let head = format!("{first}host: witness\r\nconnection: close\r\ncontent-length: {length}");
        write!(socket, "{head}\r\n\r\n{body}").unwrap();
        let mut answer = String::new();
        socket.read_to_string(&mut answer).unwrap();
        answer
    }

    /// Asks for a cosignature; gives the HTTP status.
    pub fn asked(&self, old: u64, proof: Vec<Hash>, note: &Note) -> u16 {
        let body = AddCheckpoint::new(old, proof, note.clone()).unwrap();
        let answer = self.send("POST /add-checkpoint HTTP/1.1\r\n", &body.to_string());
        answer.split(' ').nth(1).unwrap().parse().unwrap()
    }
}
