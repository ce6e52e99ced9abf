//! The check of the log: before anything is sent, and hourly, it must show that its newest tree
//! extends all that this host has seen of it.

use affiant_proto::v1;

use super::ending::Lost;
use crate::{
    anchor::Anchor,
    rpc::{
        self, Channel,
        intake::{admission_client::AdmissionClient, intake_client::IntakeClient},
    },
};

/// How often the log is asked again because it grew between two answers. They are milliseconds
/// apart and it grows once a second; after that many the check is as good as it gets, and the next
/// one begins from all of them.
const ROUNDS: usize = 3;

/// Asks once. What comes back is an error of the log, or of the way to it.
pub(super) async fn check(channel: &Channel, anchor: &mut Anchor) -> Result<(), Lost> {
    let mut admission = AdmissionClient::new(channel.clone());
    let described = rpc::answer(admission.describe(v1::DescribeRequest {})).await?;
    anchor.shown(&described)?;
    let mut intake = IntakeClient::new(channel.clone());
    for _ in 0..ROUNDS {
        let mut shown = Vec::new();
        for seen in anchor.unproved() {
            let size = seen.checkpoint().size();
            let reply = rpc::answer(intake.extend(v1::ExtendRequest { size })).await?;
            shown.push(anchor.extend(&seen, &reply)?);
        }
        if anchor.settle(shown)? {
            break;
        }
    }
    Ok(())
}
