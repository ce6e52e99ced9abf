//! Upload: what is on disk goes to the verifier, and what the log has comes back.
//!
//! ```text
//! certificate due? ─ renew ─ connect ─ hello, welcome ─ resend ─ stream ─┐
//!     ▲                                                                 │
//!     └────────────── back-off with full jitter ◀── lost ───────────────┘      halted: never again
//! ```

mod ending;
mod scrutiny;
mod session;

use std::{path::PathBuf, sync::Arc, time::Duration};

use affiant_proto::Digest;
use tokio::{sync::watch, time::Instant};

pub use ending::Halt;
pub use session::MAX_IN_FLIGHT;

use crate::{
    anchor::{Anchor, Unproved},
    backoff::Backoff,
    certificate::{Authority, CertificateError},
    charge::Charges,
    config::VerifierUrl,
    credential::{Credential, CredentialError, TlsKey},
    data::DataDir,
    deployment::NotADeployment,
    durable,
    identity::{Identity, IdentityError, Keys},
    link::Link,
    outside::Outside,
    recorder::Recorder,
    renewal::{RenewalError, renew},
    rpc::{Admitted, Route, RpcError},
    spool::Cursor,
};
use ending::{End, Lost};
use session::{Included, Session};

/// A session that lived as long as this made good the failures before it.
const GOOD_SESSION: Duration = Duration::from_secs(60);

/// Time after which the same complaint is made again.
const REPEAT: Duration = Duration::from_secs(600);

/// Time between two attempts to renew a certificate that still holds, milliseconds.
const RENEWAL_RETRY_MS: u64 = 300_000;

/// What the uploader works with.
pub struct Uploader {
    /// Where the verifier is.
    pub verifier: VerifierUrl,
    /// Where the certificates of those lie whom TLS believes; read at each connection.
    pub ca: PathBuf,
    /// Who this host is.
    pub identity: Arc<Identity>,
    /// Where certificates lie and a halt is written.
    pub data: DataDir,
    /// Where records come from.
    pub recorder: Recorder,
    /// How far the log was when the agent started.
    pub cursor: Option<Cursor>,
    /// Longest wait between two attempts.
    pub reconnect_max: Duration,
    /// The last record that there will be, once the agent ends.
    pub drain: watch::Receiver<Option<u64>>,
    /// Where it is written up how the connection stands.
    pub link: watch::Sender<Link>,
    /// Clocks, chance and network.
    pub outside: Outside,
    /// The last record that was sent by this process; 0 at first.
    pub sent: u64,
}

/// How uploading ended.
#[derive(Debug)]
pub enum Outcome {
    /// Everything up to the last record is in the log.
    Drained,
    /// Nothing may be sent any more.
    Halted,
}

/// Why an attempt came to nothing.
#[derive(Debug, thiserror::Error)]
enum Attempt {
    #[error(transparent)]
    Rpc(#[from] RpcError),
    #[error("no certificate: {0}")]
    Renewal(#[from] RenewalError),
    #[error(
        "this host waits for approval: have the verifier's operator approve it (`affiant-verifier host approve`)"
    )]
    Pending,
    #[error(transparent)]
    Credential(#[from] CredentialError),
    #[error(transparent)]
    Identity(#[from] IdentityError),
    #[error(transparent)]
    Authority(#[from] CertificateError),
    #[error(transparent)]
    Deployment(#[from] NotADeployment),
    #[error(transparent)]
    Lost(#[from] Lost),
}

impl Attempt {
    /// Tells whether the verifier said no, and will until a person acts.
    fn is_refusal(&self) -> bool {
        let rpc = match self {
            Self::Pending => return true,
            Self::Rpc(rpc) | Self::Renewal(RenewalError::Rpc(rpc)) | Self::Lost(Lost::Rpc(rpc)) => {
                rpc
            }
            _ => return false,
        };
        matches!(rpc, RpcError::Refused(_))
    }
}

/// Says why there is no connection: at once when the reason is new, else once in a while.
#[derive(Default)]
struct Complaint(Option<(String, Instant)>);

impl Complaint {
    fn make(&mut self, error: &str, wait: Duration) {
        let known = |(text, made): &(String, Instant)| text == error && made.elapsed() < REPEAT;
        if self.0.as_ref().is_some_and(known) {
            tracing::debug!(error, retry_in_ms = wait.as_millis(), "not connected");
            return;
        }
        tracing::warn!(error, "not connected; records stay in the spool");
        crate::notify::status(&format!("not connected: {error}"));
        self.0 = Some((error.to_owned(), Instant::now()));
    }
}

impl Uploader {
    /// Sends until everything is in the log after the agent's end, or nothing may be sent.
    pub async fn run(self) -> Outcome {
        self.send(false).await
    }

    /// The same, but ends where a person would have to let this host send.
    pub async fn run_until_refused(self) -> Outcome {
        self.send(true).await
    }

    async fn send(mut self, until_refused: bool) -> Outcome {
        let mut backoff = Backoff::new(self.reconnect_max);
        let mut credential = Credential::read(&self.data).unwrap_or_else(|error| {
            tracing::warn!(%error, "asking for a new certificate");
            None
        });
        let mut anchor = self.anchor();
        let mut charges = Charges::at(&self.data);
        let mut complaint = Complaint::default();
        let mut included = self.included(&anchor);
        loop {
            let began = Instant::now();
            match self
                .attempt(&mut credential, &mut anchor, &mut charges, &mut included)
                .await
            {
                Ok(End::Drained) => return Outcome::Drained,
                Ok(End::RenewalDue) => continue,
                Ok(End::Halted(halt)) => {
                    self.halt(&halt);
                    return Outcome::Halted;
                }
                Ok(End::Gone) => return Outcome::Halted,
                Err(error) if until_refused && error.is_refusal() => {
                    tracing::warn!(%error, "nothing is sent");
                    return Outcome::Halted;
                }
                Err(error) => {
                    if let Attempt::Lost(Lost::Unproved(unproved)) = &error {
                        self.charge(unproved, &mut charges).await;
                    }
                    if began.elapsed() >= GOOD_SESSION {
                        backoff.reset();
                    }
                    let wait = backoff.next(&self.outside.chance);
                    let error = error.to_string();
                    complaint.make(&error, wait);
                    let wait_ms = u64::try_from(wait.as_millis()).unwrap_or(u64::MAX);
                    let lost =
                        self.link
                            .borrow()
                            .lost(&error, self.outside.clock.wall_ms(), wait_ms);
                    self.link.send_replace(lost);
                    let mut drain = self.drain.clone();
                    let changed = async {
                        // Once only: after the agent's end is announced nothing changes.
                        if drain.borrow_and_update().is_some() || drain.changed().await.is_err() {
                            std::future::pending::<()>().await;
                        }
                    };
                    tokio::select! {
                        biased;
                        () = tokio::time::sleep(wait) => {}
                        () = changed => {}
                    }
                }
            }
        }
    }

    async fn attempt(
        &mut self,
        credential: &mut Option<Credential>,
        anchor: &mut Anchor,
        charges: &mut Charges,
        included: &mut Option<Included>,
    ) -> Result<End, Attempt> {
        let now = self.outside.clock.wall_ms();
        let authority = Authority::read(&self.ca)?;
        let authority = anchor.deployment().trusted(&authority)?;
        let mut renew_at_ms = now.saturating_add(RENEWAL_RETRY_MS);
        if credential
            .as_ref()
            .is_none_or(|held| now >= held.certificate().renew_at_ms())
        {
            let head = *self.recorder.head().borrow();
            match self.renewed(head, &authority).await {
                Ok(fresh) => *credential = Some(fresh),
                // There is a third of its life left to try again in.
                Err(error)
                    if credential
                        .as_ref()
                        .is_some_and(|held| !held.certificate().expired(now)) =>
                {
                    tracing::warn!(%error, "the certificate is not renewed yet");
                }
                Err(error) => return Err(error),
            }
        }
        let Some(held) = credential.as_ref() else {
            return Err(Attempt::Pending);
        };
        // Where renewal failed just now, the session lasts until the next attempt at it.
        renew_at_ms = renew_at_ms.max(held.certificate().renew_at_ms());
        let route = Route::identified(&self.verifier, &authority, held, &self.outside)?;
        let channel = route.connect().await?;
        // No record goes to a log that is not the one it was.
        scrutiny::check(&channel, anchor).await?;
        if let Some(hidden) = anchor.hidden() {
            self.charge(&hidden, charges).await;
        }
        let mut sent = self.sent;
        let session = Session {
            chain: self.identity.opened().chain(),
            recorder: self.recorder.clone(),
            drain: self.drain.clone(),
            renew_at_ms,
            clock: self.outside.clock.clone(),
            sent: &mut sent,
            included,
        };
        let end = session.run(channel, anchor, |anchor| {
            // Whatever was wrong before, now it goes.
            let since_unix_ms = self.outside.clock.wall_ms();
            self.link.send_replace(Link::Connected { since_unix_ms });
            let _ = std::fs::remove_file(self.data.halt());
            charges.cleared();
            self.keep(anchor);
        });
        let end = end.await;
        self.sent = sent;
        Ok(end?)
    }

    async fn renewed(
        &self,
        head: (u64, Digest),
        authority: &Authority,
    ) -> Result<Credential, Attempt> {
        let channel = Route::anonymous(&self.verifier, authority, &self.outside)?
            .connect()
            .await?;
        // From the disk: the record key may have changed since the start.
        let keys = Keys::read(&self.data)?;
        let keys = keys.as_ref().unwrap_or(self.identity.keys());
        let key = TlsKey::next(&self.data)?;
        let ask = |signer| {
            let time = self.outside.clock.read().header;
            renew(channel.clone(), &self.identity, &key, signer, head, time)
        };
        let mut asked = ask(keys.record()).await;
        // Until the log has the change of the key, the verifier knows the key before it only.
        if let (Err(RenewalError::Rpc(RpcError::Refused(_))), Some(former)) =
            (&asked, keys.former())
        {
            asked = ask(former).await;
        }
        match asked? {
            Admitted::Pending => Err(Attempt::Pending),
            Admitted::Certificate(fresh) => {
                let fresh = Credential::keep(&self.data, fresh, key)?;
                tracing::info!("certificate issued, for a new key");
                Ok(fresh)
            }
        }
    }

    /// What is known of the log, from the disk.
    fn anchor(&self) -> Anchor {
        let newest = self
            .cursor
            .as_ref()
            .map(|cursor| cursor.checkpoint.as_str());
        Anchor::read(&self.data, self.identity.deployment().clone(), newest)
    }

    /// The newest record that the log said it has before this process began.
    fn included(&self, anchor: &Anchor) -> Option<Included> {
        let cursor = self.cursor.as_ref()?;
        let signed = anchor
            .deployment()
            .open(cursor.checkpoint.as_bytes())
            .ok()?;
        Some(Included {
            sequence: cursor.sequence,
            index: cursor.index,
            origin: signed.checkpoint().origin().to_string(),
        })
    }

    /// Keeps on disk how far the log was shown to be one.
    fn keep(&self, anchor: &Anchor) {
        let Some(proved) = anchor.proved() else {
            return;
        };
        if let Err(error) = anchor.deployment().store(&self.data) {
            tracing::warn!(%error, "who speaks for the deployment is not kept on disk");
        }
        if let Some(former) = anchor.former()
            && let Err(error) = durable::replace(&self.data.former_anchor(), former.as_bytes())
        {
            tracing::warn!(%error, "the newest checkpoint before the succession is not kept");
        }
        let note = proved.note().to_string();
        if let Err(error) = durable::replace(&self.data.anchor(), note.as_bytes()) {
            tracing::warn!(%error, "the checkpoint that was proved is not kept on disk");
        }
    }

    /// Keeps what speaks against the log, and has it signed into the chain. Sending is tried again
    /// later: what the operator mends must not need a hand on every host.
    async fn charge(&self, unproved: &Unproved, charges: &mut Charges) {
        let Some(charge) = unproved.charge() else {
            return;
        };
        let now = self.outside.clock.read();
        match charges.bring(&charge, now.header.unix_ms, now.boot_ms) {
            Ok(false) => return,
            Ok(true) => {}
            Err(error) => tracing::error!(%error, "could not keep the evidence on disk"),
        }
        tracing::error!(
            rule = charge.rule,
            text = charge.text,
            "NOTHING IS SENT TO THIS LOG; measuring and sealing go on"
        );
        // The recorder's end comes to light elsewhere.
        let _ = self.recorder.observe(charge.rule, charge.text).await;
    }

    fn halt(&self, halt: &Halt) {
        tracing::error!(%halt, "NOTHING IS SENT ANY MORE; measuring and sealing go on");
        crate::notify::status(&format!("nothing is sent: {halt}"));
        let since_unix_ms = self.outside.clock.wall_ms();
        self.link.send_replace(Link::Halted { since_unix_ms });
        if let Err(error) = durable::replace(&self.data.halt(), format!("{halt}\n").as_bytes()) {
            tracing::error!(%error, "could not keep the reason on disk");
        }
    }
}
