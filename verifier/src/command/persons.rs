//! Which officer somebody is at the desk: one person counts once, whatever keys he has.

use affiant_proto::PublicKey;
use serde_json::Value;

use super::{Failure, text};
use crate::{client::Client, rpc::admin::list_request::What, wording};

/// All officers, as the server lists them.
pub(super) struct Officers(Value);

impl Officers {
    pub(super) async fn of(client: &mut Client) -> Result<Self, Failure> {
        Ok(Self(client.list(What::Officers).await?))
    }

    /// The chain of the officer with a key; none where nothing was signed with it yet.
    pub(super) fn chain_of(&self, key: &PublicKey) -> Option<&str> {
        let key = key.id().to_string();
        let own = self.all().find(|it| text(it, "key") == key);
        own.map(|it| text(it, "chain"))
    }

    /// Names officers by their chains.
    pub(super) fn names_of(&self, chains: &[&str]) -> String {
        let named = chains.iter().map(|chain| {
            let short: String = chain.chars().take(8).collect();
            let his = self.all().find(|it| text(it, "chain") == *chain);
            match his.map_or("", |it| text(it, "name")) {
                "" => format!("officer {short}"),
                name => format!("{} ({short})", wording::plain(name)),
            }
        });
        named.collect::<Vec<_>>().join(", ")
    }

    fn all(&self) -> impl Iterator<Item = &Value> {
        self.0.as_array().into_iter().flatten()
    }

    #[cfg(test)]
    pub(super) fn listed(officers: Value) -> Self {
        Self(officers)
    }
}
