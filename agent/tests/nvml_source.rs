//! The NVML source against the simulated library: whatever the driver does, every tick says what
//! was seen of every device, and why not.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::{
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::OnceLock,
    time::{Duration, Instant},
};

use affiant_agent::{
    meter::Ending,
    sample::{self, Event, Inventory, Processes, Reading, Sample},
    source::{
        GpuSource, Paused,
        nvml::{NvmlSource, Options},
    },
};
use affiant_proto::v1::{Coverage, Reason, SourceKind};

/// Longest that any condition is waited for: the machine may be busy with other builds.
const PATIENCE: Duration = Duration::from_secs(60);

/// Builds a target of the workspace and gives its file.
fn built(arguments: &[&str], target: &str) -> PathBuf {
    let output = Command::new(env!("CARGO"))
        .args(["build", "--quiet", "--message-format=json"])
        .args(arguments)
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .stderr(Stdio::inherit())
        .output()
        .unwrap();
    assert!(output.status.success(), "cargo build {arguments:?} failed");
    let messages = String::from_utf8(output.stdout).unwrap();
    let artifacts = messages
        .lines()
        .map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap());
    artifacts
        .filter(|message| message["target"]["name"] == target)
        .find_map(|message| {
            let file = message["executable"]
                .as_str()
                .or(message["filenames"][0].as_str())?;
            Some(PathBuf::from(file))
        })
        .unwrap_or_else(|| panic!("cargo built no {target}"))
}

fn library() -> &'static Path {
    static LIBRARY: OnceLock<PathBuf> = OnceLock::new();
    LIBRARY.get_or_init(|| built(&["-p", "affiant-nvml-sim"], "nvidia_ml"))
}

fn reader() -> &'static Path {
    static READER: OnceLock<PathBuf> = OnceLock::new();
    READER.get_or_init(|| {
        built(
            &["-p", "affiant-agent", "--example", "nvml-reader"],
            "nvml-reader",
        )
    })
}

fn clock() -> sample::Instant {
    use rustix::time::{ClockId, clock_gettime};
    let millis = |clock| {
        let now = clock_gettime(clock);
        u64::try_from(now.tv_sec).unwrap() * 1000 + u64::try_from(now.tv_nsec).unwrap() / 1_000_000
    };
    sample::Instant {
        boot_ms: millis(ClockId::Boottime),
        wall_ms: millis(ClockId::Realtime),
        slept_ms: 0,
    }
}

fn uuid(device: usize) -> String {
    format!("GPU-00000000-0000-4000-8000-{device:012}")
}

/// A simulated machine in a folder of its own.
struct Machine {
    folder: tempfile::TempDir,
}

impl Machine {
    /// Has `count` devices, each with a load, and `more` in its fleet file.
    fn new(count: usize, more: &str) -> Self {
        let machine = Self {
            folder: tempfile::tempdir().unwrap(),
        };
        let control = machine.path("control.toml");
        let mut fleet = format!("driver_version = '570.148.08'\ncontrol = {control:?}\n{more}\n");
        for device in 0..count {
            fleet += &format!(
                "[[device]]\nuuid = '{}'\nname = 'NVIDIA H100 80GB HBM3'\nserial = '165302{device}'\n\
                 pci_bus_id = '00000000:{:02X}:00.0'\npci_device_id = 0x233010DE\n\
                 pci_subsystem_id = 0x16C110DE\nmemory_mib = 81559\nmig = {}\ngpm = {}\n\
                 load = [{{ utilization = 9{device}, watts = 50{device}, tensor = 40 }}]\n",
                uuid(device),
                device + 16,
                device == 7,
                device == 0,
            );
        }
        std::fs::write(machine.path("fleet.toml"), fleet).unwrap();
        machine.install(library());
        machine
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Makes a file the machine's driver, under a path that no other test has.
    fn install(&self, library: &Path) {
        std::os::unix::fs::symlink(library, self.path("libnvidia-ml.so.1")).unwrap();
    }

    /// Says what is wrong with the machine from now on.
    fn befall(&self, control: &str) {
        // Renamed into place: no call reads half of it.
        std::fs::write(self.path("next.toml"), control).unwrap();
        std::fs::rename(self.path("next.toml"), self.path("control.toml")).unwrap();
    }

    fn options(&self, period_ms: u64) -> Options {
        Options {
            program: reader().to_owned(),
            period: Duration::from_millis(period_ms),
            start_deadline: Duration::from_secs(2),
            restart_first: Duration::from_millis(100),
            restart_most: Duration::from_millis(400),
            fleet: Some(self.path("fleet.toml").into()),
            ..Options::new(self.path("libnvidia-ml.so.1"), clock)
        }
    }

    fn watch(&self, period_ms: u64) -> Watch {
        Watch {
            source: NvmlSource::start(self.options(period_ms)).unwrap(),
            inventory: None,
        }
    }

    /// Gives the readers that run on this machine's library.
    fn readers(&self) -> Vec<u32> {
        let here = self.folder.path().to_str().unwrap().to_owned();
        let processes = std::fs::read_dir("/proc").unwrap().flatten();
        processes
            .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
            .filter(|pid| {
                std::fs::read(format!("/proc/{pid}/cmdline"))
                    .is_ok_and(|line| String::from_utf8_lossy(&line).contains(&here))
            })
            .collect()
    }
}

/// A source and the last inventory that it gave.
struct Watch {
    source: NvmlSource,
    inventory: Option<Inventory>,
}

impl Watch {
    /// Gives the next sample, whose devices must be those of the inventory before it.
    async fn sample(&mut self) -> Sample {
        loop {
            let event = tokio::time::timeout(PATIENCE, self.source.next())
                .await
                .expect("the source went silent");
            match event {
                Event::Inventory(inventory) => self.inventory = Some(inventory),
                Event::Sample(sample) => {
                    let inventory = self
                        .inventory
                        .as_ref()
                        .expect("a sample before any inventory");
                    assert_eq!(sample.devices.len(), inventory.devices.len());
                    return sample;
                }
                Event::End => panic!("nvml has no end"),
            }
        }
    }

    /// Gives the first sample that meets a condition.
    async fn until(&mut self, what: &str, condition: impl Fn(&Sample) -> bool) -> Sample {
        let start = Instant::now();
        loop {
            let sample = self.sample().await;
            if condition(&sample) {
                return sample;
            }
            assert!(
                start.elapsed() < PATIENCE,
                "waited for: {what}; fault {:?}; last {sample:?}",
                self.source.fault()
            );
        }
    }

    fn inventory(&self) -> &Inventory {
        self.inventory.as_ref().unwrap()
    }

    fn uuids(&self) -> Vec<&str> {
        let devices = self.inventory().devices.iter();
        devices.map(|device| device.uuid.as_str()).collect()
    }

    fn place(&self, device: usize) -> usize {
        let uuid = uuid(device);
        self.uuids()
            .iter()
            .position(|known| *known == uuid)
            .unwrap()
    }
}

fn all_read(sample: &Sample) -> bool {
    !sample.devices.is_empty() && sample.devices.iter().all(Result::is_ok)
}

fn all_missing(reason: Reason) -> impl Fn(&Sample) -> bool {
    move |sample| {
        !sample.devices.is_empty() && sample.devices.iter().all(|device| *device == Err(reason))
    }
}

fn reading(sample: &Sample, place: usize) -> &Reading {
    sample.devices[place].as_ref().unwrap()
}

fn pids(reading: &Reading) -> Option<Vec<u32>> {
    match &reading.processes {
        Processes::Read(processes) => Some(processes.iter().map(|process| process.pid).collect()),
        Processes::Unchanged | Processes::Failed => None,
    }
}

#[tokio::test]
async fn a_hanging_and_a_lost_device_take_no_sample_from_the_other_six() {
    const PERIOD: u64 = 600;
    let machine = Machine::new(8, "");
    let mut watch = machine.watch(PERIOD);
    watch.until("eight readings", all_read).await;
    machine.befall("fault = [{ kind = 'hang', device = 2 }]");
    let mut samples = vec![watch.sample().await];
    for _ in 0..4 {
        samples.push(watch.sample().await);
    }
    machine.befall("fault = [{ kind = 'hang', device = 2 }, { kind = 'lost', device = 5 }]");
    for _ in 0..5 {
        samples.push(watch.sample().await);
    }
    for sample in &samples {
        for device in [0, 1, 3, 4, 6, 7] {
            assert!(
                sample.devices[device].is_ok(),
                "device {device}: {sample:?}"
            );
        }
    }
    for pair in samples.windows(2) {
        let apart = pair[1].at.boot_ms - pair[0].at.boot_ms;
        assert!(
            (PERIOD / 2..PERIOD * 3 / 2).contains(&apart),
            "{apart} ms between two ticks"
        );
    }
    let last = samples.last().unwrap();
    assert_eq!(last.devices[2], Err(Reason::DriverHung));
    assert_eq!(last.devices[5], Err(Reason::DeviceLost));
    // The lost one keeps its place and comes back to it; the one in a call that never returns does not.
    assert_eq!(watch.place(5), 5);
    machine.befall("");
    let back = watch
        .until("device 5 again", |sample| sample.devices[5].is_ok())
        .await;
    assert!(
        pids(reading(&back, 5)).is_some(),
        "the list is stale after a failure"
    );
    assert_eq!(back.devices[2], Err(Reason::DriverHung));
    watch.source.close().await;
}

#[tokio::test]
async fn a_device_that_hangs_from_the_start_is_counted_dark_and_named_once_it_answers() {
    let machine = Machine::new(3, "fault = [{ kind = 'lost', device = 9 }]");
    machine.befall("fault = [{ kind = 'stall', device = 1 }]");
    let mut watch = machine.watch(200);
    let first = watch
        .until("two readings", |s| {
            s.devices.iter().filter(|d| d.is_ok()).count() == 2
        })
        .await;
    assert_eq!(watch.uuids(), [&uuid(0), &uuid(2), "unidentified:1"]);
    assert_eq!(first.devices[2], Err(Reason::DriverHung));
    let dark = watch.inventory().devices[2].coverage;
    assert_eq!(dark, i32::from(Coverage::Dark));
    machine.befall("");
    watch.until("three readings", all_read).await;
    assert_eq!(watch.uuids(), [uuid(0), uuid(2), uuid(1)]);
    watch.source.close().await;
}

#[tokio::test]
async fn a_process_wide_hang_leaves_all_unobserved_none_idle_and_the_child_comes_back() {
    let machine = Machine::new(4, "");
    let mut watch = machine.watch(200);
    watch.until("four readings", all_read).await;
    let before = watch.inventory().clone();
    let first = machine.readers();
    machine.befall("fault = [{ kind = 'hang' }]");
    watch
        .until("all hung", all_missing(Reason::DriverHung))
        .await;
    // Long enough for the child to be killed and the next to hang in nvmlInit.
    let started = clock().boot_ms;
    for _ in 0..25 {
        let sample = watch.sample().await;
        assert!(all_missing(Reason::DriverHung)(&sample), "{sample:?}");
    }
    let took = clock().boot_ms - started;
    assert!(
        (3_800..10_000).contains(&took),
        "25 ticks of 200 ms took {took} ms"
    );
    assert!(
        machine.readers() != first,
        "the hung child still runs alone"
    );
    assert!(watch.source.fault().is_some());
    machine.befall("");
    let back = watch.until("four readings again", all_read).await;
    assert!(
        back.devices
            .iter()
            .all(|device| pids(device.as_ref().unwrap()).is_some())
    );
    assert_eq!(*watch.inventory(), before);
    assert_eq!(watch.source.fault(), None);
    watch.source.close().await;
}

#[tokio::test]
async fn a_segfault_in_the_library_leaves_all_unobserved_and_the_child_comes_back() {
    let machine = Machine::new(2, "");
    let mut watch = machine.watch(200);
    watch.until("two readings", all_read).await;
    machine.befall("fault = [{ kind = 'segfault' }]");
    watch
        .until("a dead reader", all_missing(Reason::ReaderDied))
        .await;
    for _ in 0..10 {
        let sample = watch.sample().await;
        assert!(all_missing(Reason::ReaderDied)(&sample), "{sample:?}");
    }
    machine.befall("");
    watch.until("two readings again", all_read).await;
    watch.source.close().await;
}

#[tokio::test]
async fn a_reader_that_is_killed_from_outside_is_replaced() {
    let machine = Machine::new(2, "");
    let mut watch = machine.watch(200);
    watch.until("two readings", all_read).await;
    let readers = machine.readers();
    let [pid] = readers.as_slice() else {
        panic!("one reader, not {readers:?}")
    };
    let killed = Command::new("kill")
        .args(["-9", &pid.to_string()])
        .status()
        .unwrap();
    assert!(killed.success());
    watch
        .until("a dead reader", all_missing(Reason::ReaderDied))
        .await;
    watch.until("two readings again", all_read).await;
    assert!(!machine.readers().contains(pid));
    watch.source.close().await;
}

#[tokio::test]
async fn close_ends_the_child_within_two_seconds_hung_or_well() {
    for fault in ["", "fault = [{ kind = 'hang' }]"] {
        let machine = Machine::new(2, "");
        let mut watch = machine.watch(200);
        watch.until("two readings", all_read).await;
        machine.befall(fault);
        if !fault.is_empty() {
            watch
                .until("all hung", all_missing(Reason::DriverHung))
                .await;
        }
        let start = Instant::now();
        watch.source.close().await;
        assert!(
            start.elapsed() < Duration::from_secs(2),
            "{fault}: {:?}",
            start.elapsed()
        );
        assert_eq!(machine.readers(), [0; 0], "{fault}");
    }
}

#[tokio::test]
async fn a_source_that_is_dropped_leaves_no_child_behind() {
    let machine = Machine::new(1, "");
    let mut watch = machine.watch(200);
    watch.until("a reading", all_read).await;
    drop(watch);
    let start = Instant::now();
    while !machine.readers().is_empty() {
        assert!(start.elapsed() < PATIENCE, "the reader outlives its source");
        tokio::task::yield_now().await;
    }
}

#[test]
fn a_reader_whose_parent_is_gone_ends_even_when_it_hangs_in_the_driver() {
    let machine = Machine::new(1, "fault = [{ kind = 'hang' }]");
    let mut child = Command::new(reader())
        .arg("nvml-reader")
        .arg("--library")
        .arg(machine.path("libnvidia-ml.so.1"))
        .args(["--period-ms", "1000"])
        .env("AFFIANT_NVML_SIM", machine.path("fleet.toml"))
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    drop(child.stdin.take());
    // Ends by itself, or this test never does.
    assert!(child.wait().unwrap().success());
}

#[tokio::test]
async fn absurd_sizes_are_refused_and_cost_no_sample() {
    let machine = Machine::new(2, "");
    let mut watch = machine.watch(200);
    for claim in [
        "{ kind = 'claim', device = 0, count = 4294967295 }",
        "{ kind = 'claim', device = 0, count = 4294967295, code = 7 }",
        "{ kind = 'claim', device = 0, count = 257 }",
    ] {
        machine.befall("");
        watch.until("both lists", all_read).await;
        // The load goes, so that the list is due.
        machine.befall(&format!(
            "fault = [{claim}]\nload = [{{ device = 0, utilization = 0, watts = 70 }}]"
        ));
        let sample = watch
            .until("a refused list", |s| {
                s.devices[0]
                    .as_ref()
                    .is_ok_and(|r| r.processes == Processes::Failed)
            })
            .await;
        assert!(sample.devices[1].is_ok());
    }
    assert_eq!(
        watch.source.fault(),
        None,
        "the reader had to be started anew"
    );
    watch.source.close().await;
}

#[tokio::test]
async fn a_driver_that_claims_four_billion_devices_is_not_believed() {
    let machine = Machine::new(2, "");
    machine
        .befall("fault = [{ kind = 'claim', call = 'nvmlDeviceGetCount_v2', count = 4294967295 }]");
    let mut watch = machine.watch(200);
    let sample = watch.sample().await;
    assert!(sample.devices.is_empty());
    let fault = watch.source.fault().unwrap();
    assert!(fault.contains("4294967295"), "{fault}");
    machine.befall("");
    watch.until("two readings", all_read).await;
    watch.source.close().await;
}

#[tokio::test]
async fn text_that_does_not_end_names_no_device() {
    let machine = Machine::new(1, "");
    machine.befall("fault = [{ kind = 'garbage' }]");
    let mut watch = machine.watch(200);
    let sample = watch.until("the device", |s| s.devices.len() == 1).await;
    assert_eq!(sample.devices, [Err(Reason::DriverError)]);
    assert_eq!(watch.uuids(), ["unidentified:0"]);
    machine.befall("");
    watch.until("a reading", all_read).await;
    assert_eq!(watch.uuids(), [uuid(0)]);
    watch.source.close().await;
}

#[tokio::test]
async fn without_a_library_samples_flow_and_say_why_and_one_that_comes_is_read() {
    let machine = Machine::new(2, "");
    std::fs::remove_file(machine.path("libnvidia-ml.so.1")).unwrap();
    let mut watch = machine.watch(100);
    for _ in 0..3 {
        assert!(watch.sample().await.devices.is_empty());
    }
    let fault = watch.source.fault().unwrap();
    assert!(
        fault.contains("libnvidia-ml.so.1") && fault.contains("No such file"),
        "{fault}"
    );
    assert_eq!(watch.inventory().library_digest, [0; 32]);
    std::fs::write(machine.path("libnvidia-ml.so.1"), "no library").unwrap();
    watch.until("a digest", |_| true).await;
    let start = Instant::now();
    while !watch
        .source
        .fault()
        .unwrap_or_default()
        .contains("libloading")
    {
        assert!(start.elapsed() < PATIENCE, "{:?}", watch.source.fault());
        watch.sample().await;
    }
    std::fs::remove_file(machine.path("libnvidia-ml.so.1")).unwrap();
    machine.install(library());
    watch.until("two readings", all_read).await;
    assert_eq!(watch.source.fault(), None);
    watch.source.close().await;
}

#[tokio::test]
async fn a_simulated_driver_names_itself_and_its_devices_are_told_as_they_are() {
    let machine = Machine::new(8, "");
    let mut watch = machine.watch(300);
    let sample = watch.until("eight readings", all_read).await;
    let inventory = watch.inventory();
    assert_eq!(inventory.source, SourceKind::Simulated);
    assert_eq!(
        inventory.library,
        machine.path("libnvidia-ml.so.1").to_str().unwrap()
    );
    assert_ne!(inventory.library_digest, [0; 32]);
    assert_eq!(inventory.driver_version, "570.148.08");
    let device = &inventory.devices[3];
    assert_eq!(device.uuid, uuid(3));
    assert_eq!(device.model, "NVIDIA H100 80GB HBM3");
    assert_eq!(device.serial.as_deref(), Some("1653023"));
    assert_eq!(device.pci_bus_id.as_deref(), Some("00000000:13:00.0"));
    assert_eq!(device.pci_device_id, Some(0x2330_10DE));
    assert_eq!(device.pci_subsystem_id, Some(0x16C1_10DE));
    assert_eq!(device.memory_bytes, Some(81_559 << 20));
    assert_eq!(device.coverage, i32::from(Coverage::Full));
    assert_eq!(inventory.devices[7].coverage, i32::from(Coverage::Mig));
    let whole = reading(&sample, 3);
    assert_eq!(
        (whole.utilization, whole.power_mw),
        (Some(93), Some(503_000))
    );
    // nvml.h: no utilization while MIG is on. Missing, and not zero.
    assert_eq!(reading(&sample, 7).utilization, None);
    let pipes = watch.until("pipe activity", |s| {
        s.devices[0].as_ref().is_ok_and(|r| r.sm_permille.is_some())
    });
    let pipes = pipes.await;
    let active = reading(&pipes, 0);
    assert_eq!(
        (active.sm_permille, active.tensor_permille),
        (Some(900), Some(400))
    );
    assert_eq!(reading(&pipes, 1).sm_permille, None);
    let later = watch.sample().await;
    assert!(reading(&later, 3).energy_mj > whole.energy_mj);
    watch.source.close().await;
}

#[tokio::test]
async fn a_process_that_comes_and_goes_is_listed() {
    let machine = Machine::new(1, "");
    let mut watch = machine.watch(200);
    let first = watch.until("a reading", all_read).await;
    assert_eq!(pids(reading(&first, 0)), Some(Vec::new()));
    let own = std::process::id();
    machine.befall("process = [{ device = 0, pid = 'parent', memory_mib = 512 }]");
    let busy = watch
        .until("a process", |s| {
            s.devices[0].as_ref().is_ok_and(|r| r.memory_used > Some(0))
        })
        .await;
    let listed = match pids(reading(&busy, 0)) {
        Some(_) => busy,
        // Memory is read before the list: the process came between the two.
        None => {
            watch
                .until("its list", |s| {
                    s.devices[0].as_ref().is_ok_and(|r| pids(r).is_some())
                })
                .await
        }
    };
    assert_eq!(pids(reading(&listed, 0)), Some(vec![own]));
    machine.befall("");
    watch
        .until("an empty list", |s| {
            s.devices[0]
                .as_ref()
                .is_ok_and(|r| pids(r) == Some(Vec::new()))
        })
        .await;
    watch.source.close().await;
}

#[tokio::test]
async fn energy_is_read_where_a_record_ends_and_after_a_sample_that_was_lost() {
    let machine = Machine::new(1, "");
    let mut watch = machine.watch(200);
    let ending = Ending::default();
    watch.until("a reading", all_read).await;
    watch.source.follow(ending.clone());
    ending.tell(Some(u64::MAX));
    let told = |sample: &Sample| reading(sample, 0).energy_mj.is_some();
    let without = |sample: &Sample| all_read(sample) && !told(sample);
    let silent = watch.until("a tick without energy", without).await;
    assert!(reading(&silent, 0).power_mw.is_some());
    let full_at = silent.at.boot_ms + 1_000;
    ending.tell(Some(full_at));
    let mut last_read = true;
    let due = loop {
        let sample = watch.sample().await;
        let read = all_read(&sample);
        if sample.at.boot_ms >= full_at && read {
            break sample;
        }
        // After a sample that a busy machine cost, everything is rightly read anew.
        assert!(!(read && last_read && told(&sample)), "before the end");
        last_read = read;
    };
    assert!(told(&due));
    ending.tell(Some(u64::MAX));
    let readers = machine.readers();
    let [pid] = readers.as_slice() else {
        panic!("one reader, not {readers:?}")
    };
    let kill = Command::new("kill").args(["-9", &pid.to_string()]).status();
    assert!(kill.unwrap().success());
    watch
        .until("its end", all_missing(Reason::ReaderDied))
        .await;
    let again = watch.until("a reading", all_read).await;
    assert!(told(&again), "the counter's new begin");
    watch.source.close().await;
}

#[tokio::test]
async fn what_a_device_refuses_is_missing_and_never_zero() {
    let machine = Machine::new(1, "");
    machine.befall(
        "fault = [{ kind = 'error', call = 'nvmlDeviceGetPowerUsage', code = 3 },\n\
         { kind = 'error', call = 'nvmlDeviceGetTotalEnergyConsumption', code = 999 },\n\
         { kind = 'error', call = 'nvmlDeviceGetComputeRunningProcesses_v3', code = 4 }]\n\
         load = [{ device = 0, utilization = 4000, watts = 70 }]",
    );
    let mut watch = machine.watch(200);
    let sample = watch.until("a reading", all_read).await;
    let reading = reading(&sample, 0);
    assert_eq!(reading.power_mw, None);
    assert_eq!(reading.energy_mj, None);
    assert_eq!(reading.utilization, None);
    assert_eq!(reading.memory_used, Some(0));
    assert_eq!(reading.processes, Processes::Failed);
    watch.source.close().await;
}

#[tokio::test]
async fn a_reader_that_talks_nonsense_is_ended_and_samples_flow() {
    use std::os::unix::fs::PermissionsExt;
    for script in [
        "#!/bin/sh\nwhile :; do echo nonsense; done\n",
        "#!/bin/sh\nprintf '\\377\\377\\377\\377'; exec sleep 600\n",
        "#!/bin/sh\nexit 3\n",
    ] {
        let machine = Machine::new(1, "");
        let program = machine.path("liar");
        std::fs::write(&program, script).unwrap();
        std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755)).unwrap();
        let options = Options {
            program,
            ..machine.options(100)
        };
        let mut watch = Watch {
            source: NvmlSource::start(options).unwrap(),
            inventory: None,
        };
        for _ in 0..10 {
            assert!(watch.sample().await.devices.is_empty());
        }
        assert!(watch.source.fault().is_some(), "{script}");
        watch.source.close().await;
        assert_eq!(machine.readers(), [0; 0], "{script}");
    }
}

#[tokio::test]
async fn a_relative_library_or_an_absurd_period_does_not_start() {
    let machine = Machine::new(1, "");
    let relative = Options {
        library: "libnvidia-ml.so.1".into(),
        ..machine.options(100)
    };
    assert!(NvmlSource::start(relative).is_err());
    assert!(NvmlSource::start(machine.options(1)).is_err());
}

#[tokio::test]
async fn a_pause_leaves_no_reader_and_each_tick_has_its_reason_until_the_driver_answers_again() {
    let machine = Machine::new(3, "");
    let mut watch = machine.watch(200);
    watch.until("three readings", all_read).await;
    assert_eq!(machine.readers().len(), 1);
    let began = Instant::now();
    watch.source.pause(Reason::DriverUpgrade).await.unwrap();
    let took = began.elapsed();
    assert_eq!(
        machine.readers(),
        Vec::<u32>::new(),
        "nothing holds the devices"
    );
    assert!(took < Duration::from_secs(2), "{took:?}");
    let paused = all_missing(Reason::DriverUpgrade);
    watch.until("the pause", &paused).await;
    for _ in 0..10 {
        let sample = watch.sample().await;
        assert!(paused(&sample), "{sample:?}");
    }
    assert_eq!(machine.readers(), Vec::<u32>::new(), "no other is started");
    // Another reason replaces the first.
    watch.source.pause(Reason::Mig).await.unwrap();
    watch.until("another pause", all_missing(Reason::Mig)).await;
    watch.source.resume();
    loop {
        let sample = watch.sample().await;
        if all_read(&sample) {
            break;
        }
        assert!(all_missing(Reason::Mig)(&sample), "{sample:?}");
    }
    assert_eq!(watch.uuids(), [uuid(0), uuid(1), uuid(2)]);
    watch.source.close().await;
}

#[tokio::test]
async fn a_reader_that_hangs_in_the_driver_is_gone_within_two_seconds_of_a_pause() {
    for (period, fault) in [(200, "hang"), (60_000, "stall")] {
        let machine = Machine::new(2, "");
        machine.befall(&format!("fault = [{{ kind = '{fault}' }}]"));
        let mut watch = machine.watch(period);
        let readers = || (machine.readers().len() == 1).then_some(());
        let start = Instant::now();
        while readers().is_none() {
            assert!(start.elapsed() < PATIENCE, "no reader was started");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        let began = Instant::now();
        watch.source.pause(Reason::Rma).await.unwrap();
        let took = began.elapsed();
        assert!(took < Duration::from_secs(2), "{took:?}");
        assert_eq!(machine.readers(), Vec::<u32>::new());
        watch.source.close().await;
    }
}

#[tokio::test]
async fn a_source_that_begins_in_a_pause_asks_nobody_and_names_what_was_known() {
    let machine = Machine::new(2, "");
    let known = |uuid: &str| affiant_proto::v1::Device {
        uuid: uuid.into(),
        model: "NVIDIA H100 80GB HBM3".into(),
        ..Default::default()
    };
    let mut options = machine.options(100);
    options.paused = Some(Paused {
        reason: Reason::Rma,
        devices: vec![known("GPU-gone"), known(&uuid(0))],
    });
    let mut watch = Watch {
        source: NvmlSource::start(options).unwrap(),
        inventory: None,
    };
    for _ in 0..10 {
        let sample = watch.sample().await;
        assert!(all_missing(Reason::Rma)(&sample), "{sample:?}");
    }
    assert_eq!(watch.uuids(), ["GPU-gone", &uuid(0)]);
    assert_eq!(watch.inventory().source, SourceKind::Simulated);
    assert_eq!(machine.readers(), Vec::<u32>::new());
    watch.source.resume();
    watch.until("two readings", all_read).await;
    assert_eq!(watch.uuids(), [uuid(0), uuid(1)], "those that are there");
    watch.source.close().await;
}

#[tokio::test]
async fn a_driver_that_refuses_this_user_is_a_matter_of_permission() {
    let machine = Machine::new(2, "");
    let mut watch = machine.watch(100);
    watch.until("two readings", all_read).await;
    machine.befall("fault = [{ kind = 'error', code = 4 }]");
    watch
        .until("refusals", all_missing(Reason::Permission))
        .await;
    watch.source.close().await;
}
