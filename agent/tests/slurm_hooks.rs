//! The prolog and epilog that are shipped, and the agent that reads what they leave.
#![allow(missing_docs, clippy::unwrap_used)]

use std::{
    os::unix::fs::{MetadataExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
    process::Command,
};

use affiant_agent::workload::PrologFiles;

fn hook(name: &str, folder: &Path, more: &[(&str, &str)]) {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let status = Command::new("sh")
        .arg(root.join("deploy/hooks").join(name))
        .env_remove("SLURM_JOB_ID")
        .env("AFFIANT_SLURM", folder)
        .envs(more.iter().copied())
        .status()
        .unwrap();
    assert!(status.success(), "a hook that fails drains the node");
}

fn folder() -> (tempfile::TempDir, PathBuf, PrologFiles) {
    let directory = tempfile::tempdir().unwrap();
    let folder = directory.path().join("slurm");
    let owner = std::fs::metadata(directory.path()).unwrap().uid();
    let files = PrologFiles::new(&folder, owner);
    (directory, folder, files)
}

const JOB: &[(&str, &str)] = &[
    ("SLURM_JOB_ID", "4711"),
    ("SLURM_JOB_ACCOUNT", "quickfire"),
    ("SLURM_JOB_USER", "maria"),
];

#[test]
fn what_the_prolog_leaves_the_agent_believes_and_the_epilog_takes_it_away() {
    let (_directory, folder, files) = folder();
    hook("slurm-prolog.sh", &folder, JOB);
    let job = files.read("4711").unwrap().unwrap();
    assert_eq!(
        (job.account.as_str(), job.user.as_str()),
        ("quickfire", "maria")
    );
    let mode = std::fs::metadata(folder.join("4711"))
        .unwrap()
        .permissions()
        .mode();
    assert_eq!(mode & 0o777, 0o644);
    assert_eq!(std::fs::read_dir(&folder).unwrap().count(), 1);
    // A job that is requeued has its prolog again.
    hook("slurm-prolog.sh", &folder, JOB);
    hook("slurm-epilog.sh", &folder, JOB);
    assert_eq!(files.read("4711").unwrap(), None);
    assert_eq!(std::fs::read_dir(&folder).unwrap().count(), 0);
}

#[test]
fn a_job_without_an_account_has_a_file_that_reads_and_says_none() {
    let (_directory, folder, files) = folder();
    hook("slurm-prolog.sh", &folder, &JOB[..1]);
    let job = files.read("4711").unwrap().unwrap();
    assert_eq!((job.account.as_str(), job.user.as_str()), ("", ""));
}

#[test]
fn no_job_id_leads_out_of_the_folder_and_a_folder_that_cannot_be_made_drains_no_node() {
    let (directory, folder, _) = folder();
    std::fs::write(directory.path().join("kept"), "x").unwrap();
    for id in ["", "../kept", "4/../../kept", "a b", "*"] {
        for name in ["slurm-prolog.sh", "slurm-epilog.sh"] {
            hook(name, &folder, &[("SLURM_JOB_ID", id)]);
        }
    }
    let kept = std::fs::read_to_string(directory.path().join("kept"));
    assert_eq!(kept.unwrap(), "x");
    hook("slurm-prolog.sh", &directory.path().join("kept/slurm"), JOB);
}
