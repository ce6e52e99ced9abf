//! Holds: what an officer keeps from being erased.

use std::process::ExitCode;

use affiant_proto::v1;

use super::{Context, Failure, listing, officer};
use crate::{
    cli::{Hold, HoldChange},
    rpc::admin::list_request::What,
};

pub(super) async fn run(context: &Context, command: Hold) -> Result<ExitCode, Failure> {
    match command {
        Hold::Place(change) => change_to(context, change, false).await,
        Hold::Release(change) => change_to(context, change, true).await,
        Hold::List(options) => listing::list(context, What::Holds, options.json).await,
    }
}

async fn change_to(
    context: &Context,
    change: HoldChange,
    released: bool,
) -> Result<ExitCode, Failure> {
    if change.first > change.last {
        let (first, last) = (change.first, change.last);
        return Err(Failure::usage(format!(
            "--first {first} comes after --last {last}"
        )));
    }
    let (name, signer) = officer(&change.key)?;
    let hold = v1::Hold {
        header: None,
        first_index: change.first,
        last_index: change.last,
        reason: change.reason,
        released,
    };
    let mut client = context.client().await?;
    let logged = client
        .sign_and_submit(&name, &signer, vec![hold.into()], &context.clock)
        .await?;
    say!(
        "{} {} a hold of log indices {} to {}, logged at {}",
        name.name,
        if released { "released" } else { "placed" },
        change.first,
        match change.last {
            u64::MAX => "all to come".to_owned(),
            last => last.to_string(),
        },
        super::indices(&logged)
    )?;
    Ok(ExitCode::SUCCESS)
}
