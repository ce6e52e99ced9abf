//! The child process: asks every device at once and answers with what came in time.

use std::{
    ffi::OsString,
    io::{self, Write},
    path::PathBuf,
    process::ExitCode,
    sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel},
    thread,
    time::{Duration, Instant},
};

use super::{
    MAX_DEVICES,
    device::DeviceReader,
    frame::{self, Answer, Cause, FrameError, Identity, MAX_FAILURE, Outcome, Request},
    raw::{self, Driver, Fault},
};

/// Share of a tick after which a device that has not answered is hung: 600 ms at 1 Hz. The rest
/// is for the answer's way back.
const DEADLINE_PERCENT: u32 = 60;

/// Ticks that devices are given to say who they are: 10 s at 1 Hz, for a driver without
/// persistence mode takes a second or two to wake each. The late are named when they answer.
const IDENTIFY_TICKS: u32 = 10;

/// Time that a child which was told to end gives its own end: half of what the parent waits.
const LAST_WORDS: Duration = Duration::from_millis(500);

/// Runs the child: reads devices through the library named in `args` and answers the requests
/// that come on standard input, until that ends.
///
/// `args` are those after the hidden subcommand: `--library ABSOLUTE_PATH --period-ms N`. Exit
/// codes: 0 told to end, 64 wrong arguments, 74 the pipe or NVML failed.
pub fn reader_main(args: impl IntoIterator<Item = OsString>) -> ExitCode {
    let Some((library, period)) = parse(args) else {
        eprintln!("nvml-reader is started by the agent: --library ABSOLUTE_PATH --period-ms N");
        return ExitCode::from(64);
    };
    confine();
    match run(library, period) {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => ExitCode::from(74),
    }
}

fn parse(args: impl IntoIterator<Item = OsString>) -> Option<(PathBuf, Duration)> {
    let (mut library, mut period) = (None, None);
    let mut args = args.into_iter();
    while let Some(flag) = args.next() {
        let value = args.next()?;
        match flag.to_str()? {
            "--library" => library = Some(PathBuf::from(value)).filter(|path| path.is_absolute()),
            "--period-ms" => {
                let millis = value.to_str()?.parse().ok().filter(|&millis| millis > 0)?;
                period = Some(Duration::from_millis(millis));
            }
            _ => return None,
        }
    }
    library.zip(period)
}

/// Drops what can be dropped. What the kernel refuses is not fatal: the parent does not rely on it.
fn confine() {
    use rustix::process::{Resource, Rlimit, Signal};
    let _ = rustix::process::set_parent_process_death_signal(Some(Signal::KILL));
    let _ = rustix::thread::set_no_new_privs(true);
    // A library that crashes leaves no core file with the driver's memory in it.
    let none = Rlimit {
        current: Some(0),
        maximum: Some(0),
    };
    let _ = rustix::process::setrlimit(Resource::Core, none);
}

fn run(library: PathBuf, period: Duration) -> Result<(), FrameError> {
    // Read on a thread of its own from the start: the parent's end is heard even in nvmlInit.
    let (requests, orders) = sync_channel(2);
    thread::Builder::new()
        .name("requests".into())
        .spawn(move || listen(requests))?;
    let mut answers = io::stdout().lock();
    let (driver, version, count) = match open(&library) {
        Ok(opened) => opened,
        Err(fault) => return fail(&mut answers, fault),
    };
    let mut panel = match Panel::new(driver, count, period) {
        Ok(panel) => panel,
        Err(error) => return fail(&mut answers, Fault::Driver(error.to_string())),
    };
    panel.ask(Job::default(), period * IDENTIFY_TICKS);
    panel.announce(&mut answers, &version)?;
    while let Ok(request) = orders.recv() {
        let deadline = period * DEADLINE_PERCENT / 100;
        let devices = panel.ask(request.into(), deadline);
        if panel.news {
            panel.announce(&mut answers, &version)?;
        }
        let tick = request.tick;
        frame::write(&mut answers, &Answer::Tick { tick, devices })?;
    }
    // With a call under way a shutdown could hang in it.
    if panel.posts.iter().all(|post| !post.busy) {
        driver.shut_down();
    }
    raw::leave()
}

/// Hands on requests until the parent closes the pipe, then sees to it that the process ends.
fn listen(requests: SyncSender<Request>) {
    let mut pipe = io::stdin().lock();
    // A parent that asks faster than it is answered waits in `send`.
    while let Ok(Some(request)) = frame::read(&mut pipe) {
        if requests.send(request).is_err() {
            break;
        }
    }
    // By this `run` hears of the end, unless it is stuck in the driver.
    drop(requests);
    thread::sleep(LAST_WORDS);
    raw::leave()
}

fn open(library: &std::path::Path) -> Result<(Driver, String, u32), Fault> {
    let driver = Driver::open(library)?;
    let count = driver.count()?;
    if usize::try_from(count).is_ok_and(|count| count <= MAX_DEVICES) {
        Ok((driver, driver.version().unwrap_or_default(), count))
    } else {
        Err(Fault::Driver(format!(
            "the driver claims {count} devices, {MAX_DEVICES} are the most"
        )))
    }
}

fn fail(answers: &mut impl Write, fault: Fault) -> Result<(), FrameError> {
    let mut text: String = fault.to_string().replace(char::is_control, " ");
    while text.len() > MAX_FAILURE {
        text.pop();
    }
    let cause = fault.into();
    frame::write(answers, &Answer::Failed { cause, text })
}

/// All devices, each with a thread of its own.
struct Panel {
    posts: Vec<Post>,
    done: Receiver<Done>,
    /// Somebody said who it is since the last announcement.
    news: bool,
}

struct Post {
    jobs: SyncSender<Job>,
    busy: bool,
    /// The last result did not go out, so that the next must stand alone.
    owed: bool,
    identity: Option<Identity>,
}

/// One question to one device; tick 0 asks only who it is.
#[derive(Clone, Copy, Default)]
struct Job {
    tick: u64,
    fresh: bool,
    energy: bool,
}

impl From<Request> for Job {
    fn from(request: Request) -> Self {
        Self {
            tick: request.tick,
            fresh: request.fresh,
            energy: request.energy,
        }
    }
}

struct Done {
    place: usize,
    tick: u64,
    identity: Option<Identity>,
    outcome: Outcome,
}

impl Panel {
    fn new(driver: Driver, count: u32, period: Duration) -> io::Result<Self> {
        // Each device has at most one result under way, so that no thread waits to give its own.
        let (results, done) = sync_channel(count as usize);
        let mut posts = Vec::new();
        for index in 0..count {
            let (jobs, orders) = sync_channel(1);
            let results = results.clone();
            thread::Builder::new()
                .name(format!("gpu-{index}"))
                .spawn(move || {
                    work(
                        DeviceReader::new(driver, index, period),
                        index as usize,
                        &orders,
                        &results,
                    )
                })?;
            posts.push(Post {
                jobs,
                busy: false,
                owed: true,
                identity: None,
            });
        }
        Ok(Self {
            posts,
            done,
            news: false,
        })
    }

    /// Asks every device that is not still at an older question, and gathers until `deadline`.
    fn ask(&mut self, job: Job, deadline: Duration) -> Vec<Outcome> {
        let tick = job.tick;
        let until = Instant::now() + deadline;
        while let Ok(late) = self.done.try_recv() {
            self.take(late, tick, &mut []);
        }
        let mut outcomes = vec![Outcome::Missing(Cause::Hung); self.posts.len()];
        let mut pending = 0_usize;
        for (post, outcome) in self.posts.iter_mut().zip(&mut outcomes) {
            if post.busy {
                continue;
            }
            let fresh = job.fresh || post.owed;
            post.owed = true;
            // A thread that has ended (it panicked) takes no more: that device has failed.
            match post.jobs.try_send(Job { fresh, ..job }) {
                Ok(()) => {
                    post.busy = true;
                    pending += 1;
                }
                Err(_) => *outcome = Outcome::Missing(Cause::Error),
            }
        }
        while pending > 0 {
            match self
                .done
                .recv_timeout(until.saturating_duration_since(Instant::now()))
            {
                Ok(done) => pending -= usize::from(self.take(done, tick, &mut outcomes)),
                Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => break,
            }
        }
        outcomes
    }

    /// Books a result; true when it answers this tick.
    fn take(&mut self, done: Done, tick: u64, outcomes: &mut [Outcome]) -> bool {
        let Some(post) = self.posts.get_mut(done.place) else {
            return false;
        };
        post.busy = false;
        if let Some(identity) = done.identity {
            let known = post.identity.replace(identity);
            self.news |= known != post.identity;
        }
        let Some(outcome) = outcomes.get_mut(done.place).filter(|_| done.tick == tick) else {
            return false;
        };
        post.owed = matches!(done.outcome, Outcome::Missing(_));
        *outcome = done.outcome;
        true
    }

    fn announce(&mut self, answers: &mut impl Write, version: &str) -> Result<(), FrameError> {
        self.news = false;
        let answer = Answer::Devices {
            driver_version: version.to_owned(),
            devices: self
                .posts
                .iter()
                .map(|post| post.identity.clone())
                .collect(),
        };
        frame::write(answers, &answer)
    }
}

/// One device's thread. It may hang in the driver for ever; nothing waits for it.
fn work(
    mut device: DeviceReader,
    place: usize,
    orders: &Receiver<Job>,
    results: &SyncSender<Done>,
) {
    let mut known = false;
    while let Ok(job) = orders.recv() {
        let mut identity = None;
        let mut outcome = Outcome::Missing(Cause::Error);
        // After a failure the device is opened anew: it may have been reset or cut up differently.
        if !known {
            match device.identify() {
                Ok(found) => identity = Some(found),
                Err(cause) => outcome = Outcome::Missing(cause),
            }
            known = identity.is_some();
        }
        if known && job.tick > 0 {
            outcome = device.read(job.fresh, job.energy);
            known = matches!(outcome, Outcome::Read(_));
        }
        let done = Done {
            place,
            tick: job.tick,
            identity,
            outcome,
        };
        if results.send(done).is_err() {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn args(words: &[&str]) -> Vec<OsString> {
        words.iter().map(OsString::from).collect()
    }

    #[test]
    fn only_an_absolute_library_and_a_period_start_the_child() {
        let parsed = parse(args(&["--library", "/lib/x.so", "--period-ms", "1000"]));
        assert_eq!(
            parsed,
            Some((PathBuf::from("/lib/x.so"), Duration::from_secs(1)))
        );
        for wrong in [
            args(&[]),
            args(&["--library", "x.so", "--period-ms", "1000"]),
            args(&["--library", "/lib/x.so", "--period-ms", "0"]),
            args(&["--library", "/lib/x.so", "--period-ms"]),
            args(&["--library", "/lib/x.so", "--shell", "1"]),
        ] {
            assert_eq!(parse(wrong.clone()), None, "{wrong:?}");
        }
    }
}
