//! One child process, seen from the parent.

use std::{
    io,
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
    sync::mpsc::SyncSender,
    thread,
};

use super::{
    frame::{self, Answer, FrameError, Request},
    options::{FLEET_VARIABLE, Options},
};

/// What a child said, and which child.
#[derive(Debug)]
pub(super) struct Note {
    pub(super) generation: u64,
    pub(super) said: Said,
}

/// What a child may say.
#[derive(Debug)]
pub(super) enum Said {
    Answer(Answer),
    /// Its pipe ended or carried nonsense: it says nothing more.
    Ended(String),
}

/// A child that was started.
#[derive(Debug)]
pub(super) struct Reader {
    process: Child,
    requests: Option<ChildStdin>,
    generation: u64,
}

impl Reader {
    /// Starts a child that sends what it says to `notes`.
    ///
    /// Call it from a thread that lives as long as the child may: the kernel kills the child when
    /// that thread ends (PR_SET_PDEATHSIG).
    ///
    /// # Errors
    /// When the system refuses a process, a pipe or a thread.
    pub(super) fn start(
        options: &Options,
        generation: u64,
        notes: &SyncSender<Note>,
    ) -> io::Result<Self> {
        let mut command = Command::new(&options.program);
        command
            .arg("nvml-reader")
            .arg("--library")
            .arg(&options.library)
            .arg("--period-ms")
            .arg(options.period.as_millis().to_string())
            .env_clear()
            .current_dir("/")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            // A foreign library could write anything, in any amount, into the agent's log.
            .stderr(Stdio::null());
        if let Some(fleet) = &options.fleet {
            command.env(FLEET_VARIABLE, fleet);
        }
        // No other descriptor is inherited: the standard library opens all of them close-on-exec.
        let mut process = command.spawn()?;
        let started = Self::wire(&mut process, generation, notes);
        match started {
            Ok(requests) => Ok(Self {
                process,
                requests: Some(requests),
                generation,
            }),
            Err(error) => {
                let _ = process.kill();
                let _ = process.wait();
                Err(error)
            }
        }
    }

    fn wire(
        process: &mut Child,
        generation: u64,
        notes: &SyncSender<Note>,
    ) -> io::Result<ChildStdin> {
        let pipes = process.stdin.take().zip(process.stdout.take());
        let (requests, answers) =
            pipes.ok_or_else(|| io::Error::other("no pipe to the nvml reader"))?;
        // A child that does not read must not stop the parent once the pipe is full.
        rustix::io::ioctl_fionbio(&requests, true)?;
        let notes = notes.clone();
        thread::Builder::new()
            .name("nvml-answers".into())
            .spawn(move || hear(answers, generation, &notes))?;
        Ok(requests)
    }

    /// Says which child this is.
    pub(super) fn generation(&self) -> u64 {
        self.generation
    }

    /// Gives its process id.
    pub(super) fn id(&self) -> u32 {
        self.process.id()
    }

    /// Asks for a tick; never waits.
    ///
    /// # Errors
    /// When the child has ended, or has left thousands of requests unread.
    pub(super) fn ask(&mut self, request: Request) -> Result<(), FrameError> {
        let pipe = self.requests.as_mut().ok_or(FrameError::Cut)?;
        frame::write(pipe, &request)
    }

    /// Tells the child to end by itself.
    pub(super) fn hang_up(&mut self) {
        self.requests = None;
    }

    /// Kills the child and gives up what is left of it, to be reaped when it goes.
    pub(super) fn kill(mut self) -> Child {
        // An error means that it is gone already.
        let _ = self.process.kill();
        self.process
    }
}

fn hear(mut pipe: ChildStdout, generation: u64, notes: &SyncSender<Note>) {
    loop {
        let said = match frame::read::<Answer>(&mut pipe)
            .and_then(|answer| answer.map(Answer::check).transpose())
        {
            Ok(Some(answer)) => Said::Answer(answer),
            Ok(None) => Said::Ended("the nvml reader ended".into()),
            Err(error) => Said::Ended(error.to_string()),
        };
        let last = matches!(said, Said::Ended(_));
        // The queue is short: a child that talks too much waits in its own pipe.
        if notes.send(Note { generation, said }).is_err() || last {
            return;
        }
    }
}
