//! Withdrawing a binding, signed with the officer's own key, here in the client.

use std::{path::Path, process::ExitCode};

use affiant_proto::v1;
use serde_json::Value;

use super::{Context, Failure, indices, officer, text};
use crate::rpc::admin::list_request::What;

pub(super) async fn withdraw(
    context: &Context,
    binding: &str,
    key: &Path,
) -> Result<ExitCode, Failure> {
    let (name, signer) = officer(key)?;
    let mut client = context.client().await?;
    let known = client.list(What::Bindings).await?;
    let mut known = known.as_array().into_iter().flatten();
    let found = known.find(|entry| text(entry, "id") == binding);
    let Some(found) = found else {
        return Err(Failure::usage(format!(
            "no binding `{binding}`; `binding list` shows them"
        )));
    };
    let selects = text(found, "selects");
    if found.get("withdrawn").and_then(Value::as_bool) == Some(true) {
        return Err(Failure::usage(format!(
            "binding `{binding}` ({selects}) is withdrawn already; nothing was signed"
        )));
    }
    let tenant = text(found, "tenant");
    say!("binding {binding} of tenant {tenant}: {selects}")?;
    let withdrawn = v1::Binding {
        id: binding.to_owned(),
        tenant: tenant.to_owned(),
        ..Default::default()
    };
    let body = v1::BindingEvent {
        header: None,
        effective_unix_ms: context.clock.now_ms(),
        binding: Some(withdrawn),
        withdrawn: true,
    };
    let logged = client
        .sign_and_submit(&name, &signer, vec![body.into()], &context.clock)
        .await?;
    say!(
        "{} withdrew {binding}, logged at {}",
        name.name,
        indices(&logged)
    )?;
    Ok(ExitCode::SUCCESS)
}
