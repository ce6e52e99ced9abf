//! What the server shows in TLS and whose certificates it takes: made at the start, each day, when
//! the configuration is read again, and when an authority changes or is revoked.

use std::{path::Path, sync::Arc, time::Duration};

use affiant_proto::{Digest, authority::certifier_id, digest, v1::KeyUse};
use arc_swap::ArcSwap;
use tokio_util::sync::CancellationToken;

use crate::{
    clock::Clock,
    config::Config,
    data::DataDir,
    gate::Gate,
    keyfile::{self, KeyFileError},
    pki::{Ca, CaFiles, Peer, PkiError, ends_unix_ms},
    tls::{self, TlsError},
};

/// How often the server's certificate is made anew.
const RENEW: Duration = Duration::from_secs(86_400);

/// Why the server has nothing to show.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BadCredentials {
    /// A file.
    #[error(transparent)]
    File(#[from] KeyFileError),
    /// A certificate.
    #[error(transparent)]
    Pki(#[from] PkiError),
    /// TLS.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// Not what the log says.
    #[error(
        "ca.pem begins with authority {got}, and the log says that {due} issues; restore the \
         ca.pem and keys/ca.key that belong to this log"
    )]
    NotInForce {
        /// By the log.
        due: Digest,
        /// By the file.
        got: Digest,
    },
}

/// What the server shows and takes.
pub struct Credentials {
    data: DataDir,
    gate: Gate,
    clock: Clock,
    config: Arc<ArcSwap<Config>>,
    tls: Arc<ArcSwap<rustls::ServerConfig>>,
    server_ends_unix_ms: std::sync::atomic::AtomicU64,
}

/// Reads the authority of a data directory, which must be the one that issues by the log.
pub fn load_ca(data: &DataDir, due: Digest) -> Result<Ca, BadCredentials> {
    let key = keyfile::read_private(&data.ca_key())?;
    let key = std::str::from_utf8(&key).map_err(|_| PkiError::Key)?;
    let certificates = keyfile::read_text(&data.ca_certificate())?;
    let cross = optional(&data.ca_cross())?;
    let ca = Ca::load(key, &certificates, cross.as_deref())?;
    let got = digest(ca.certificate());
    if got != due {
        return Err(BadCredentials::NotInForce { due, got });
    }
    Ok(ca)
}

fn optional(path: &Path) -> Result<Option<String>, KeyFileError> {
    if path.exists() {
        keyfile::read_text(path).map(Some)
    } else {
        Ok(None)
    }
}

impl Credentials {
    /// Makes the first certificate.
    pub fn new(
        data: DataDir,
        gate: Gate,
        clock: Clock,
        config: Arc<ArcSwap<Config>>,
    ) -> Result<Arc<Self>, BadCredentials> {
        let (first, ends) = shown(&gate, &config.load(), &clock)?;
        Ok(Arc::new(Self {
            data,
            gate,
            clock,
            config,
            tls: Arc::new(ArcSwap::from_pointee(first)),
            server_ends_unix_ms: ends.into(),
        }))
    }

    /// What the accept loop shows to each new connection.
    pub fn tls(&self) -> Arc<ArcSwap<rustls::ServerConfig>> {
        self.tls.clone()
    }

    /// The authority in force.
    pub fn ca(&self) -> Arc<Ca> {
        self.gate.ca.load_full()
    }

    /// When the server's certificate ends, milliseconds since 1970.
    pub fn server_ends_unix_ms(&self) -> u64 {
        self.server_ends_unix_ms
            .load(std::sync::atomic::Ordering::SeqCst)
    }

    /// Takes a new configuration if a certificate can be made by it.
    pub fn configure(&self, config: Config) -> Result<(), BadCredentials> {
        let made = shown(&self.gate, &config, &self.clock)?;
        self.config.store(Arc::new(config));
        self.show(made);
        Ok(())
    }

    /// Makes the server's certificate anew, by the authorities that count now.
    pub fn refresh(&self) -> Result<(), BadCredentials> {
        let made = shown(&self.gate, &self.config.load(), &self.clock)?;
        self.show(made);
        Ok(())
    }

    /// Makes the files of the next authority; nothing goes by them until [`Credentials::succeed`].
    pub fn prepare(&self) -> Result<CaFiles, BadCredentials> {
        let operator = self.gate.authorities.borrow().body().operator.clone();
        let made = self.ca().succeed(&operator, self.clock.now_ms())?;
        let [key, cross, certificates] = self.data.next_ca();
        for left in [&key, &cross, &certificates] {
            keyfile::remove(left)?;
        }
        keyfile::create_private(&key, made.key.as_bytes())?;
        if let Some(text) = &made.cross {
            keyfile::create_public(&cross, text.as_bytes())?;
        }
        keyfile::create_public(&certificates, made.certificates.as_bytes())?;
        Ok(made)
    }

    /// Goes over to the prepared authority, which the log has just said issues.
    pub fn succeed(&self, due: Digest) -> Result<(), BadCredentials> {
        settle_ca(&self.data, due)?;
        let ca = load_ca(&self.data, due)?;
        self.gate.ca.store(Arc::new(ca));
        self.refresh()
    }

    /// Keeps what is shown fresh until stopped.
    pub async fn keep(self: Arc<Self>, stop: CancellationToken) {
        let mut authorities = self.gate.authorities.clone();
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(RENEW) => {}
                changed = authorities.changed() => if changed.is_err() { return },
            }
            if let Err(error) = self.refresh() {
                tracing::error!(%error, "the server's certificate could not be renewed");
            }
        }
    }

    fn show(&self, (config, ends): (rustls::ServerConfig, u64)) {
        self.tls.store(Arc::new(config));
        self.server_ends_unix_ms
            .store(ends, std::sync::atomic::Ordering::SeqCst);
    }
}

/// Finishes a change of the authority that the log has and a crash left half done. The
/// certificates are moved last: while they wait, the change is not finished.
pub fn settle_ca(data: &DataDir, due: Digest) -> Result<(), BadCredentials> {
    let [key, cross, certificates] = data.next_ca();
    let Some(text) = optional(&certificates)? else {
        return Ok(());
    };
    let next = crate::pki::certificates_der(&text)?;
    if next.first().is_none_or(|der| digest(der) != due) {
        return Ok(());
    }
    let moves = [
        (key, data.ca_key()),
        (cross, data.ca_cross()),
        (certificates, data.ca_certificate()),
    ];
    for (from, to) in moves {
        if from.exists() {
            keyfile::replace(&from, &to)?;
        }
    }
    tracing::info!(authority = %due, "went over to the new authority");
    Ok(())
}

fn shown(
    gate: &Gate,
    config: &Config,
    clock: &Clock,
) -> Result<(rustls::ServerConfig, u64), BadCredentials> {
    let authorities = gate.authorities.borrow().clone();
    let revoked = |named: &Digest| {
        let trusted = authorities
            .revocations()
            .trusts(KeyUse::Ca, &certifier_id(*named));
        trusted.is_err()
    };
    let ca = (*gate.ca.load_full()).clone().without(revoked);
    let identity = ca.issue_server(&config.names, clock.now_ms())?;
    let ends = identity.chain.first().and_then(|leaf| ends_unix_ms(leaf));
    let at = gate.clone();
    let refused = Arc::new(move |leaf: &[u8]| {
        // What is no host's certificate comes no further than the handshake anyhow.
        let Ok(peer) = Peer::read(leaf) else {
            return false;
        };
        let trusted = at.tls_key(&peer.key);
        if let Err(why) = &trusted {
            tracing::warn!(chain = %peer.chain, %why, "connection refused");
        }
        trusted.is_err()
    });
    let config = tls::server_config(&ca, identity, refused, clock)?;
    Ok((config, ends.unwrap_or_default()))
}
