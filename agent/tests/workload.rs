//! pid → workload over a made-up /proc.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used)]

use std::{fs, path::Path};

use affiant_agent::workload::{BELIEVED_MS, MAX_REMEMBERED, Resolution, Resolver, Unknown};
use affiant_proto::v1::{Platform, Workload};

fn process(root: &Path, pid: u32, start: u64, uid: u32, cgroup: &str) {
    let folder = root.join(pid.to_string());
    fs::create_dir_all(&folder).unwrap();
    let stat =
        format!("{pid} (py (3) thon) S 1 2 3 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 1 0 {start} 9 10\n");
    fs::write(folder.join("stat"), stat).unwrap();
    fs::write(
        folder.join("status"),
        format!("Name:\tx\nUid:\t{uid}\t0\t0\t0\n"),
    )
    .unwrap();
    fs::write(folder.join("cgroup"), format!("0::{cgroup}\n")).unwrap();
}

fn resolver(root: &Path) -> Resolver {
    let passwd = root.join("passwd");
    fs::write(&passwd, "maria:x:1000:1000::/home/maria:/bin/sh\n").unwrap();
    Resolver::new(root, passwd)
}

fn workload(resolution: Resolution) -> Workload {
    match resolution {
        Resolution::Workload(workload) => workload.as_ref().clone(),
        Resolution::Unknown(unknown) => panic!("{unknown}"),
    }
}

#[test]
fn a_process_is_described_by_its_cgroup_and_its_user() {
    let root = tempfile::tempdir().unwrap();
    process(root.path(), 42, 7, 1_000, "/system.slice/run-u77.service");
    process(
        root.path(),
        43,
        7,
        1_001,
        "/system.slice/slurmstepd.scope/job_9/step_0/user",
    );
    process(
        root.path(),
        44,
        7,
        0,
        "/machine.slice/machine-qemu\\x2d1\\x2dvm.scope",
    );
    let mut resolver = resolver(root.path());
    let unit = workload(resolver.resolve(42, 0));
    assert_eq!(unit.platform(), Platform::SystemdUnit);
    assert_eq!(
        (unit.unit.as_str(), unit.uid),
        ("run-u77.service", Some(1_000))
    );
    assert_eq!(unit.user, "maria");
    let job = workload(resolver.resolve(43, 0));
    assert_eq!(
        (job.platform(), job.slurm_job.as_str()),
        (Platform::Slurm, "9")
    );
    assert_eq!(job.user, "", "not in the file, so not known");
    let machine = workload(resolver.resolve(44, 0));
    assert_eq!(machine.unit, "qemu/vm");
}

#[test]
fn a_process_that_is_gone_is_unknown() {
    let root = tempfile::tempdir().unwrap();
    let mut resolver = resolver(root.path());
    assert_eq!(resolver.resolve(42, 0), Resolution::Unknown(Unknown::Gone));
    assert_eq!(resolver.resolve(0, 0), Resolution::Unknown(Unknown::NoPid));
    process(root.path(), 42, 7, 0, "/system.slice/a.service");
    fs::remove_file(root.path().join("42/cgroup")).unwrap();
    assert_eq!(resolver.resolve(42, 0), Resolution::Unknown(Unknown::Gone));
}

#[test]
fn a_number_taken_by_another_process_is_read_anew() {
    let root = tempfile::tempdir().unwrap();
    let mut resolver = resolver(root.path());
    process(root.path(), 42, 7, 0, "/system.slice/a.service");
    assert_eq!(workload(resolver.resolve(42, 0)).unit, "a.service");
    process(root.path(), 42, 8, 0, "/system.slice/b.service");
    assert_eq!(workload(resolver.resolve(42, 1)).unit, "b.service");
}

#[test]
fn what_is_remembered_is_believed_for_a_while_only() {
    let root = tempfile::tempdir().unwrap();
    let mut resolver = resolver(root.path());
    process(root.path(), 42, 7, 0, "/system.slice/slurmd.service");
    assert_eq!(workload(resolver.resolve(42, 5)).unit, "slurmd.service");
    process(
        root.path(),
        42,
        7,
        0,
        "/system.slice/slurmstepd.scope/job_9/step_0",
    );
    assert_eq!(workload(resolver.resolve(42, 6)).unit, "slurmd.service");
    let later = workload(resolver.resolve(42, 5 + BELIEVED_MS));
    assert_eq!(later.slurm_job, "9");
}

#[test]
fn files_of_absurd_size_are_not_read_to_their_end() {
    let root = tempfile::tempdir().unwrap();
    let mut resolver = resolver(root.path());
    process(root.path(), 42, 7, 0, "/system.slice/a.service");
    let endless = "0::/a\n".repeat(1 << 20);
    fs::write(root.path().join("42/cgroup"), endless).unwrap();
    assert_eq!(
        resolver.resolve(42, 0),
        Resolution::Unknown(Unknown::Malformed)
    );
}

#[test]
fn more_processes_than_are_remembered_are_resolved_all_the_same() {
    let root = tempfile::tempdir().unwrap();
    let mut resolver = resolver(root.path());
    let most = u32::try_from(MAX_REMEMBERED).unwrap();
    for pid in 1..=most + 2 {
        process(
            root.path(),
            pid,
            7,
            0,
            &format!("/system.slice/u{pid}.service"),
        );
        let unit = workload(resolver.resolve(pid, 0)).unit;
        assert_eq!(unit, format!("u{pid}.service"));
    }
}

#[test]
fn this_process_is_resolved_by_the_real_proc() {
    use std::os::unix::fs::MetadataExt as _;
    let owner = fs::metadata("/proc/self").unwrap().uid();
    let mut resolver = Resolver::new("/proc", "/etc/passwd");
    match resolver.resolve(std::process::id(), 0) {
        Resolution::Workload(own) => assert_eq!(own.uid, Some(owner)),
        // Where tests run in a cgroup namespace inside of another.
        Resolution::Unknown(unknown) => assert_eq!(unknown, Unknown::CgroupNamespace),
    }
}
