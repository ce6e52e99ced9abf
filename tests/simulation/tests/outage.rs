//! Days without the verifier, and the return.
#![allow(missing_docs, clippy::unwrap_used)]

use std::time::Duration;

use affiant_simulation::{outage::outage, seeds::number};

/// `AFFIANT_OFFLINE_HOSTS` and `AFFIANT_OFFLINE_DAYS` say how many; 200 and 8 are the promise.
#[test]
fn after_days_offline_nothing_is_lost_and_others_findings_were_never_late() {
    let hosts = number("AFFIANT_OFFLINE_HOSTS").unwrap_or(3);
    let days = number("AFFIANT_OFFLINE_DAYS").unwrap_or(1);
    let length = Duration::from_secs(days * 86_400);
    let outage = outage(1, usize::try_from(hosts).unwrap(), length).unwrap();
    println!("{hosts} hosts, {days} days: {outage:#?}");
    assert!(outage.broken.is_empty(), "{:#?}", outage.broken);
    // A record a minute of each, at least.
    assert!(outage.held >= hosts * days * 1_440);
    // Six an hour, but for the first and what the ends of the run leave over.
    assert!(outage.summary.roll_calls + 2 >= days * 144);
    // The interval of 60 s in which use becomes a record, and a minute.
    assert!(outage.looks > 20 && outage.most_behind_ms <= 120_000);
}
