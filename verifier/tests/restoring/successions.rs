//! The next generation: by two officers, over what was kept, and never half.

use std::{fs, path::PathBuf};

use affiant_proto::{
    authority::Fate,
    tlog::{Checkpoint, Hash},
};
use affiant_report::trust::Trust;
use affiant_verifier::{
    backup::{Options, backup},
    data::DataDir,
    keyfile::{self, OfficerKey},
    ledger::{Ledger, PublishedNote},
    restore::restore,
    succession::{Approval, Asked, Opened, Proposal, SuccessionError, approve, open, propose},
};

use super::fixture::{Deployment, authorities_of, clock, copy, speak};

fn quiet(_: usize, _: usize) {}

impl Deployment {
    fn note(&self, data: &DataDir, name: &str) -> (PathBuf, Checkpoint) {
        let path = self.at(name);
        fs::copy(data.ledger().join("public/checkpoint"), &path).unwrap();
        let checkpoint = PublishedNote::read(&path).unwrap().checkpoint().clone();
        (path, checkpoint)
    }

    /// Keeps a backup at the present size, says more, and loses the directory; gives what was
    /// restored and the newest checkpoint.
    fn lose(&self, more: u64) -> (DataDir, PathBuf, Checkpoint) {
        let data = self.data();
        let options = Options {
            with_keys: true,
            ..Options::default()
        };
        backup(&data, &self.at("backup"), options, quiet).unwrap();
        speak(&data, more);
        let (path, newest) = self.note(&data, "newest.note");
        fs::rename(data.path(), self.at("lost")).unwrap();
        restore(&self.at("backup"), data.path(), quiet).unwrap();
        (data, path, newest)
    }

    fn approval(&self, proposal: &Proposal, name: &str) -> Approval {
        let signer = keyfile::read_signer(&self.at(&format!("{name}.key"))).unwrap();
        let officer = OfficerKey::read(&self.at(&format!("{name}.pub"))).unwrap();
        let out = self.at(&format!("{name}-{}.json", files_in(self)));
        approve(proposal, &officer, &signer, &out).unwrap();
        Approval::read(&out).unwrap()
    }

    fn propose(&self, asked: &Asked) -> Result<Proposal, SuccessionError> {
        let out = self.at(&format!("proposal-{}.json", files_in(self)));
        let made = propose(&self.data(), asked, &out)?;
        // What officers read is what was proposed.
        assert_eq!(Proposal::read(&out).unwrap(), made);
        Ok(made)
    }

    fn open(&self, proposal: &Proposal, by: &[&str]) -> Result<Opened, SuccessionError> {
        let approvals: Vec<_> = by
            .iter()
            .map(|name| self.approval(proposal, name))
            .collect();
        open(&self.data(), proposal, &approvals, &clock(2_000))
    }
}

fn files_in(deployment: &Deployment) -> usize {
    fs::read_dir(deployment.at("")).unwrap().count()
}

fn root_at(data: &DataDir, size: u64) -> Hash {
    let ledger = super::fixture::open(data);
    let leaves = ledger
        .reader()
        .entries(0..size)
        .map(|read| read.unwrap().1.leaf());
    let tree: affiant_proto::tlog::MemoryTree = leaves.collect();
    tree.root(size).unwrap()
}

fn asked(last: &[&PathBuf]) -> Asked {
    Asked {
        last: last.iter().map(|path| (*path).clone()).collect(),
        reason: "disk lost".into(),
        new_operator_key: false,
    }
}

#[test]
fn the_key_of_a_stopped_log_changes_and_nothing_is_lost() {
    let deployment = Deployment::new();
    let data = deployment.data();
    speak(&data, 300);
    let (_, before) = deployment.note(&data, "before.note");
    let old = keyfile::read_signer(&data.log_key()).unwrap();
    let proposal = deployment.propose(&asked(&[])).unwrap();
    assert_eq!(proposal.lost(), 0);
    let opened = deployment.open(&proposal, &["alice", "bob"]).unwrap();
    assert_eq!(opened.origin.as_str(), "test.example/affiant/2");
    assert_eq!((opened.size, opened.lost), (before.size() + 2, 0));
    // The old key signs nothing any more, and the new one goes on from the same tree.
    assert!(Ledger::open(&data.ledger(), Box::new(old)).is_err());
    assert_eq!(root_at(&data, before.size()), *before.root());
    speak(&data, 5);
    let authorities = authorities_of(&data);
    let lineage = authorities.lineage();
    assert_eq!(lineage.generations().count(), 2);
    assert_eq!(
        lineage.fate(before.origin().as_str(), before.size(), before.root()),
        Fate::Standing
    );
    let trust = Trust::parse(&fs::read_to_string(data.trust()).unwrap()).unwrap();
    assert_eq!(trust.log(), lineage.current().key());
    // And once more.
    let third = deployment.propose(&asked(&[])).unwrap();
    let third = deployment.open(&third, &["bob", "alice"]).unwrap();
    assert_eq!(third.origin.as_str(), "test.example/affiant/3");
}

#[test]
fn what_was_lost_is_declared_and_who_holds_more_finds_it_out() {
    let deployment = Deployment::new();
    speak(&deployment.data(), 10);
    let (data, path, newest) = deployment.lose(7);
    let mut asked = asked(&[&path]);
    asked.new_operator_key = true;
    let proposal = deployment.propose(&asked).unwrap();
    assert_eq!(proposal.lost(), 7);
    let opened = deployment.open(&proposal, &["alice", "bob"]).unwrap();
    assert_eq!((opened.size, opened.lost), (13, 7));
    speak(&data, 20);
    let authorities = authorities_of(&data);
    let fate = |size: u64, root: &Hash| {
        let origin = newest.origin().as_str();
        match authorities.lineage().fate(origin, size, root) {
            Fate::Standing => "standing",
            Fate::Lost(opening) => {
                assert_eq!((opening.lost(), opening.reason()), (7, "disk lost"));
                "lost"
            }
            Fate::Hidden(_) => "hidden",
            _ => "other",
        }
    };
    assert_eq!(fate(11, newest.root()), "standing");
    assert_eq!(fate(18, newest.root()), "lost");
    assert_eq!(fate(18, &root_at(&data, 18)), "hidden");
    assert_eq!(fate(19, newest.root()), "hidden");
}

#[test]
fn without_two_officers_nothing_changes() {
    let deployment = Deployment::new();
    speak(&deployment.data(), 10);
    let (data, path, _) = deployment.lose(7);
    let proposal = deployment.propose(&asked(&[&path])).unwrap();
    let before = super::fixture::files(data.path());
    OfficerKey::create("mallory", &deployment.at("mallory.key")).unwrap();
    for by in [&["alice"][..], &["alice", "alice"], &[]] {
        let refused = deployment.open(&proposal, by).unwrap_err();
        assert!(matches!(refused, SuccessionError::Refused(_)), "{refused}");
    }
    // An outsider has nothing to sign, and an approval of something else counts for nothing.
    let mallory = OfficerKey::read(&deployment.at("mallory.pub")).unwrap();
    let signer = keyfile::read_signer(&deployment.at("mallory.key")).unwrap();
    let refused = approve(&proposal, &mallory, &signer, &deployment.at("m.json"));
    assert!(matches!(refused, Err(SuccessionError::NoOfficer(_))));
    let mut other = asked(&[&path]);
    other.reason = "another reason".into();
    let other = deployment.propose(&other).unwrap();
    let approvals = [
        deployment.approval(&proposal, "alice"),
        deployment.approval(&other, "bob"),
    ];
    let refused = open(&data, &proposal, &approvals, &clock(2_000)).unwrap_err();
    assert!(matches!(refused, SuccessionError::Refused(_)), "{refused}");
    assert_eq!(super::fixture::files(data.path()), before);
    // The same proposal is still good.
    deployment.open(&proposal, &["alice", "bob"]).unwrap();
}

#[test]
fn notes_that_no_succession_can_explain_are_refused() {
    let deployment = Deployment::new();
    let data = deployment.data();
    speak(&data, 10);
    // Another history of the same key and size.
    copy(data.path(), &deployment.at("copy"));
    let other = DataDir::at(&deployment.at("copy"));
    speak(&data, 2);
    speak(&other, 1);
    speak(&other, 1);
    let (forked, _) = deployment.note(&other, "forked.note");
    let refused = deployment.propose(&asked(&[&forked])).unwrap_err();
    assert!(
        matches!(refused, SuccessionError::Forked { size: 13, .. }),
        "{refused}"
    );
    let stranger = Deployment::new();
    speak(&stranger.data(), 90);
    let (foreign, _) = stranger.note(&stranger.data(), "foreign.note");
    let refused = deployment.propose(&asked(&[&foreign])).unwrap_err();
    assert!(matches!(refused, SuccessionError::Note { .. }), "{refused}");
    // A directory that has published since is another one than was approved.
    let proposal = deployment.propose(&asked(&[])).unwrap();
    speak(&data, 1);
    let refused = deployment.open(&proposal, &["alice", "bob"]).unwrap_err();
    assert!(
        matches!(
            refused,
            SuccessionError::Changed {
                found: 14,
                kept: 13
            }
        ),
        "{refused}"
    );
}

#[test]
fn an_opening_that_was_cut_off_anywhere_is_finished_by_opening_again() {
    let deployment = Deployment::new();
    let data = deployment.data();
    speak(&data, 10);
    let mut asked = asked(&[]);
    asked.new_operator_key = true;
    let proposal = deployment.propose(&asked).unwrap();
    copy(data.path(), &deployment.at("before"));
    let done = deployment.open(&proposal, &["alice", "bob"]).unwrap();
    copy(data.path(), &deployment.at("after"));
    // Which files had changed when it was cut off; the new segment is put right before the lock.
    let keys = "keys";
    let rows: [(&str, &[&str]); 6] = [
        ("nothing", &[]),
        ("the keys", &[keys]),
        ("keys and segment", &[keys, "log/segments"]),
        (
            "keys, segment and lock",
            &[keys, "log/segments", "log/lock"],
        ),
        (
            "all but the checkpoint",
            &[keys, "log/segments", "log/lock", "log/wal", "log/swept"],
        ),
        (
            "all but the trust file",
            &[
                keys,
                "log/segments",
                "log/lock",
                "log/wal",
                "log/swept",
                "log/public",
            ],
        ),
    ];
    for (case, changed) in rows {
        fs::remove_dir_all(data.path()).unwrap();
        copy(&deployment.at("before"), data.path());
        for name in changed {
            let (from, to) = (deployment.at("after").join(name), data.path().join(name));
            let _ = fs::remove_dir_all(&to);
            copy(&from, &to);
        }
        if case == "all but the checkpoint" {
            let _ = fs::remove_file(data.ledger().join("public/checkpoint"));
        }
        let opened = deployment.open(&proposal, &["alice", "bob"]);
        let opened = opened.unwrap_or_else(|error| panic!("{case}: {error}"));
        assert_eq!(opened, done, "{case}");
        speak(&data, 3);
        let authorities = authorities_of(&data);
        assert_eq!(authorities.lineage().generations().count(), 2, "{case}");
        let trust = fs::read_to_string(data.trust()).unwrap();
        let trust = Trust::parse(&trust).unwrap();
        assert_eq!(trust.log(), authorities.lineage().current().key(), "{case}");
        let next = [data.next_log_key(), data.next_operator_key()];
        assert!(next.iter().all(|path| !path.exists()), "{case}");
        // Opening once more changes nothing that was said since.
        let size = PublishedNote::of(&data.ledger())
            .unwrap()
            .checkpoint()
            .size();
        deployment.open(&proposal, &["alice", "bob"]).unwrap();
        let after = PublishedNote::of(&data.ledger()).unwrap();
        assert_eq!(after.checkpoint().size(), size, "{case}");
    }
}

#[test]
fn a_directory_that_was_copied_back_over_a_newer_one_goes_on_by_succession_alone() {
    let deployment = Deployment::new();
    let data = deployment.data();
    speak(&data, 10);
    copy(data.path(), &deployment.at("old"));
    speak(&data, 5);
    speak(&data, 6);
    let (path, newest) = deployment.note(&data, "newest.note");
    // Lock, write-ahead file and checkpoint are the old ones, the newer segments still lie there.
    copy(&deployment.at("old"), data.path());
    let key = keyfile::read_signer(&data.log_key()).unwrap();
    let refused = Ledger::open(&data.ledger(), Box::new(key)).unwrap_err();
    assert!(refused.to_string().contains("succession"), "{refused}");
    let proposal = deployment.propose(&asked(&[&path])).unwrap();
    assert_eq!(proposal.lost(), 11);
    deployment.open(&proposal, &["alice", "bob"]).unwrap();
    speak(&data, 1);
    let authorities = authorities_of(&data);
    let origin = newest.origin().as_str();
    assert!(matches!(
        authorities
            .lineage()
            .fate(origin, newest.size(), newest.root()),
        Fate::Lost(_)
    ));
    // What was lost is kept aside for people.
    let swept = super::fixture::files(&data.ledger().join("swept"));
    assert_eq!(
        swept.iter().filter(|name| name.ends_with(".seg")).count(),
        2
    );
}
