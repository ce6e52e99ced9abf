//! What a backup holds, and what a restored directory may do.

use std::{fs, os::unix::fs::PermissionsExt as _};

use affiant_verifier::{
    backup::{self, BackupError, Manifest, Options, backup},
    data::DataDir,
    keyfile,
    ledger::{Ledger, OpenError},
    restore::{RestoreError, restore},
    token::Tokens,
};

use super::fixture::{Deployment, entry, files, grow, open};

fn quiet(_: usize, _: usize) {}

fn make(deployment: &Deployment, options: Options) -> Result<backup::Done, BackupError> {
    backup(&deployment.data(), &deployment.at("backup"), options, quiet)
}

#[test]
fn a_backup_of_a_running_log_has_what_was_published_and_a_later_one_adds_to_it() {
    let deployment = Deployment::new();
    let data = deployment.data();
    let mut ledger = open(&data);
    grow(&mut ledger, 5);
    // Appended and not published: not in the backup.
    let pending = [entry(6)];
    ledger.append(&pending, ledger.clock() + 1).unwrap();
    let done = make(&deployment, Options::default()).unwrap();
    assert_eq!((done.size, done.segments, done.added), (6, 2, 2));
    ledger.close_segment().unwrap();
    grow(&mut ledger, 3);
    let done = make(&deployment, Options::default()).unwrap();
    assert_eq!((done.size, done.segments, done.added), (10, 4, 2));
    let again = make(&deployment, Options::default()).unwrap();
    assert_eq!((again.size, again.added), (10, 0));
    for mine in files(&deployment.at("backup")) {
        let of_the_server = ["lock", "admin.sock", "registry.db", "wal"];
        assert!(
            !of_the_server.iter().any(|name| mine.ends_with(name)),
            "{mine}"
        );
    }
}

#[test]
fn a_directory_of_somebody_else_is_not_backed_up_into_and_loses_nothing() {
    let deployment = Deployment::new();
    let home = deployment.at("home");
    fs::create_dir_all(home.join("files")).unwrap();
    for name in ["diary", "files/letter"] {
        fs::write(home.join(name), "dear").unwrap();
    }
    let made = || backup(&deployment.data(), &home, Options::default(), quiet);
    let refused = made().unwrap_err();
    assert!(
        matches!(&refused, BackupError::Foreign { found, .. } if found == "diary"),
        "{refused}"
    );
    assert_eq!(files(&home).len(), 2);
    // What a backup left that was cut off before its manifest is gone on with.
    fs::remove_file(home.join("diary")).unwrap();
    assert_eq!(made().unwrap().size, 1);
    assert!(home.join("files/letter").exists());
}

#[test]
fn private_keys_are_in_a_backup_only_when_asked_for_and_for_their_owner_alone() {
    let deployment = Deployment::new();
    make(&deployment, Options::default()).unwrap();
    let names = |manifest: Manifest| {
        let names = manifest.files().iter().map(|file| file.name.clone());
        names.collect::<Vec<_>>()
    };
    let read = || Manifest::read(&deployment.at("backup")).unwrap().unwrap();
    assert!(!names(read()).iter().any(|name| name.starts_with("keys/")));
    let with_keys = Options {
        with_keys: true,
        ..Options::default()
    };
    make(&deployment, with_keys).unwrap();
    assert!(names(read()).contains(&"keys/log.key".to_owned()));
    for file in files(&deployment.at("backup")) {
        let path = deployment.at("backup").join(&file);
        let mode = fs::metadata(path).unwrap().permissions().mode();
        assert_eq!(mode & 0o077, 0, "{file}");
    }
    // A backup without them forgets those that an earlier one had.
    make(&deployment, Options::default()).unwrap();
    let kept = files(&deployment.at("backup/files"));
    assert_eq!(kept.len(), read().files().len());
}

#[test]
fn what_a_change_of_keys_has_still_to_move_is_in_a_backup() {
    let deployment = Deployment::new();
    let data = deployment.data();
    let [key, cross, certificates] = data.next_ca();
    let unmoved = [data.new_operator_key(), key, cross, certificates];
    for path in &unmoved {
        fs::write(path, path.display().to_string()).unwrap();
    }
    let with_keys = Options {
        with_keys: true,
        ..Options::default()
    };
    make(&deployment, with_keys).unwrap();
    let restored = deployment.at("restored");
    restore(&deployment.at("backup"), &restored, quiet).unwrap();
    for path in &unmoved {
        let at = restored.join(path.strip_prefix(data.path()).unwrap());
        assert_eq!(fs::read(at).unwrap(), fs::read(path).unwrap(), "{path:?}");
    }
}

#[test]
fn a_restored_directory_has_everything_but_the_lock_and_is_not_served() {
    let deployment = Deployment::new();
    let data = deployment.data();
    let tokens = ["gpu-1".to_owned()];
    let issued = Tokens::open(&data.tokens())
        .unwrap()
        .issue(&tokens, "", 9_000);
    let mut ledger = open(&data);
    grow(&mut ledger, 300);
    let with_keys = Options {
        with_keys: true,
        link: true,
    };
    make(&deployment, with_keys).unwrap();
    let restored = DataDir::at(&deployment.at("restored"));
    let done = restore(&deployment.at("backup"), restored.path(), quiet).unwrap();
    assert_eq!((done.size, done.with_keys), (301, true));
    assert!(!restored.ledger().join("lock").exists());
    let signer = keyfile::read_signer(&restored.log_key()).unwrap();
    let refused = Ledger::open(&restored.ledger(), Box::new(signer)).unwrap_err();
    assert!(
        matches!(refused, OpenError::NoLock { size: 301, .. }),
        "{refused}"
    );
    let said = refused.to_string();
    assert!(
        said.contains("size 301") && said.contains("succession"),
        "{said}"
    );
    let tokens = Tokens::open(&restored.tokens()).unwrap();
    assert!(tokens.admits(&issued.unwrap()[0], "gpu-1", 8_000).is_ok());
    // The target is never one that has anything in it.
    let again = restore(&deployment.at("backup"), restored.path(), quiet);
    assert!(matches!(again, Err(RestoreError::Target(_))));

    // With the lock of the directory itself it is the same log, and nothing was lost.
    drop(ledger);
    for file in ["lock", "wal"] {
        fs::copy(data.ledger().join(file), restored.ledger().join(file)).unwrap();
    }
    assert_eq!(open(&restored).reader().size(), 301);
}

#[test]
fn a_backup_that_was_cut_off_is_the_one_before() {
    let deployment = Deployment::new();
    let mut ledger = open(&deployment.data());
    grow(&mut ledger, 5);
    make(&deployment, Options::default()).unwrap();
    let manifest = deployment.at("backup/manifest.json");
    let before = fs::read(&manifest).unwrap();
    grow(&mut ledger, 5);
    make(&deployment, Options::default()).unwrap();
    // All is written but the manifest.
    fs::write(&manifest, before).unwrap();
    let done = restore(&deployment.at("backup"), &deployment.at("restored"), quiet).unwrap();
    assert_eq!(done.size, 6);
}

#[test]
fn a_backup_with_a_changed_byte_anywhere_is_not_restored() {
    let deployment = Deployment::new();
    grow(&mut open(&deployment.data()), 20);
    make(&deployment, Options::default()).unwrap();
    let backup = deployment.at("backup");
    for (number, file) in files(&backup).into_iter().enumerate() {
        if file == "writer.pid" {
            continue;
        }
        let path = backup.join(&file);
        let whole = fs::read(&path).unwrap();
        if whole.is_empty() {
            continue;
        }
        let mut changed = whole.clone();
        changed[whole.len() / 2] ^= 1;
        fs::write(&path, changed).unwrap();
        let target = deployment.at(&format!("restored-{number}"));
        // In the manifest a change of the note may only be found by whoever knows the log's key.
        if file != "manifest.json" {
            assert!(restore(&backup, &target, quiet).is_err(), "{file}");
            assert!(!target.exists(), "{file}: nothing was begun");
        }
        fs::write(&path, whole).unwrap();
    }
}

#[test]
fn a_backup_of_a_log_that_went_back_does_not_take_the_place_of_the_newer_one() {
    let deployment = Deployment::new();
    let data = deployment.data();
    let mut ledger = open(&data);
    grow(&mut ledger, 5);
    drop(ledger);
    let copy = deployment.at("copy");
    super::fixture::copy(data.path(), &copy);
    grow(&mut open(&data), 5);
    make(&deployment, Options::default()).unwrap();
    let back = DataDir::at(&copy);
    let refused = backup(&back, &deployment.at("backup"), Options::default(), quiet);
    assert!(
        matches!(refused, Err(BackupError::Other { size: 11, .. })),
        "{refused:?}"
    );
    // Nor does one of another branch of the same length.
    let mut branch = open(&back);
    let others: Vec<_> = (20..25).map(entry).collect();
    branch.append(&others, branch.clock() + 1).unwrap();
    branch.close_segment().unwrap();
    let refused = backup(&back, &deployment.at("backup"), Options::default(), quiet);
    assert!(
        matches!(refused, Err(BackupError::Other { .. })),
        "{refused:?}"
    );
    let done = restore(&deployment.at("backup"), &deployment.at("restored"), quiet).unwrap();
    assert_eq!(done.size, 11);
}
